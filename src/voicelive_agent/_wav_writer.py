"""WAV files that grow and are whole at any instant, beyond 4 GiB too (RF64, EBU Tech 3306)."""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path
from typing import Self, TypeAlias

from .audio import AudioFormat
from .errors import AudioFileError

__all__ = ["WavWriter"]

StrPath: TypeAlias = str | os.PathLike[str]

# RIFF header, JUNK (later ds64) with 28 bytes, fmt with 16 bytes, header of data. What 32 bits cannot hold has its
# place from the beginning, so that no sample has to be moved when the file turns into RF64.
_DS64_AT = 12
_DATA_SIZE_AT = 76
_AUDIO_AT = 80
_OTHER_KINDS = (".aac", ".aiff", ".flac", ".m4a", ".mp3", ".mp4", ".oga", ".ogg", ".opus", ".webm", ".wma")
_IN_DS64 = 0xFFFF_FFFF  # in a size of 32 bits: look into ds64


class WavWriter:
    """A WAV file of 16-bit PCM that grows, and is whole after every :meth:`write` and at any instant in it.

    The samples are written first, then the header that counts them: if the process is killed or the disk is full,
    the file holds all whole writes before. From 4 GiB on it is RF64. Silence costs nothing until sound follows: it
    is a hole in the file, where the system knows holes. OSError if the file cannot be created or written;
    AudioFileError if its name is that of another kind of audio.
    """

    def __init__(self, path: StrPath, rate: int, channels: int = 1) -> None:
        self.path: Path = Path(path)
        self.format: AudioFormat = AudioFormat(rate=rate, channels=channels)
        self.frames: int = 0
        if self.path.suffix.lower() in _OTHER_KINDS:
            hint = f"Name it {self.path.with_suffix('.wav')}, and convert it afterwards."
            raise AudioFileError(path, "only WAV files can be written.", hint=hint)
        self._file = self.path.open("wb", buffering=0)  # what a buffer could not write, its close() tries again
        try:
            self._describe()
        except OSError:
            self._file.close()
            raise

    def write(self, pcm: bytes | memoryview) -> None:
        """Append whole frames of interleaved samples. ValueError if they are not whole."""
        frames, rest = divmod(len(pcm), self.format.frame_bytes)
        if rest:
            raise ValueError(f"{len(pcm)} bytes are not whole frames of {self.format.frame_bytes} bytes")
        if not frames:
            return  # no sound that silence before it could be in the file with
        self._put(self._end, pcm)
        self.frames += frames
        self._describe()

    def write_silence(self, frames: int) -> None:
        """Append silence. It is in the file when sound follows, or at the end."""
        if frames < 0:
            raise ValueError(f"cannot append {frames} frames of silence")
        self.frames += frames

    def close(self) -> None:
        """Make the file whole and close it."""
        if self._file.closed:
            return
        with self._file:
            if stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):  # os.devnull is a file without a length
                self._file.truncate(self._end)
            self._describe()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def _end(self) -> int:
        return _AUDIO_AT + self.frames * self.format.frame_bytes

    def _describe(self) -> None:
        """Let the header say how much there is now."""
        riff, data = self._end - 8, self._end - _AUDIO_AT
        if riff < _IN_DS64:
            # One write within one sector: it is done as a whole, or not.
            self._put(0, self._header(riff, data))
            return
        # Whichever of these is the last to be done, the file is whole: first RIFF with one more chunk that readers
        # skip, then RF64 with the last size that 32 bits could hold, then RF64 with all of it. Later on only the
        # first changes anything.
        self._put(_DS64_AT, struct.pack("<4sIQQQI", b"ds64", 28, riff, data, self.frames, 0))
        self._put(0, struct.pack("<4sI", b"RF64", _IN_DS64))
        self._put(_DATA_SIZE_AT, struct.pack("<I", _IN_DS64))

    def _header(self, riff: int, data: int) -> bytes:
        rate, channels, frame_bytes = self.format.rate, self.format.channels, self.format.frame_bytes
        return b"".join(
            (
                struct.pack("<4sI4s", b"RIFF", riff, b"WAVE"),
                struct.pack("<4sI28x", b"JUNK", 28),
                struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * frame_bytes, frame_bytes, 16),
                struct.pack("<4sI", b"data", data),
            )
        )

    def _put(self, place: int, data: bytes | memoryview) -> None:
        self._file.seek(place)
        left = memoryview(data)
        while left:  # an almost full disk takes a part and fails at the next
            try:
                left = left[self._file.write(left) :]
            except OSError as failure:
                failure.filename = str(self.path)  # which an open file does not know
                raise
