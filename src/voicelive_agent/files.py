"""Recordings as somebody who speaks, and as somebody who listens: WAV files of 16-bit PCM.

Both keep time: a source is paced like a microphone, and a sink hears what is written to it at the speed of
speech, so that a conversation between files has the timing of one between people. RIFF is read and written
here because the standard library's ``wave`` takes a rate of zero for audio and refuses streamed files.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self, TypeAlias

import anyio

from ._paced import PacedQueue
from .audio import MAX_RATE, AudioFormat
from .errors import AudioFileError

__all__ = ["WavSink", "WavSource", "WavWriter"]

StrPath: TypeAlias = str | os.PathLike[str]

_MAX_CHUNKS = 1_000  # a real file has a handful of chunks before its audio
_STREAMED = (0, 0xFFFF_FFFF)  # data sizes that a writer leaves which could not go back
_OTHER_ENCODINGS = {
    0x0003: "floating-point samples",
    0x0006: "A-law samples",
    0x0007: "mu-law samples",
    0xFFFE: "a WAVE_FORMAT_EXTENSIBLE header",
}


# --- Reading ----------------------------------------------------------------------------------------------


class _WavInfo(NamedTuple):
    format: AudioFormat
    data_at: int
    frames: int
    truncated: bool


class WavSource:
    """A WAV file as a speaker: an AudioSource of 16-bit PCM, at the file's own rate and channels.

    ``speed`` is 1.0 for real time, 8.0 for eight times as fast, None for as fast as it is asked. Each
    iteration reads the file from its beginning, ``block_ms`` of audio at a time; a block comes when a
    microphone would have recorded it, and a late reader gets at once what it missed. ``clock`` returns
    seconds; by default it is the event loop's.

    The file is examined here: AudioFileError if it is missing, or is not such a file. ``truncated`` is true
    if it ends before its header says; what is there is played.
    """

    def __init__(
        self,
        path: StrPath,
        *,
        speed: float | None = 1.0,
        block_ms: int = 20,
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:
        if speed is not None and not speed > 0.0:
            raise ValueError(f"the speed must be positive, or None for as fast as possible, not {speed}")
        if block_ms < 1:
            raise ValueError(f"block_ms must be at least 1, not {block_ms}")
        self.path: Path = Path(path)
        self.speed = speed
        self.block_ms = block_ms
        self._clock = clock
        with _opened(self.path) as file:
            self._info = _examined(file, self.path)

    @property
    def format(self) -> AudioFormat:
        """The file's own format."""
        return self._info.format

    @property
    def frames(self) -> int:
        """Samples of each channel in the file."""
        return self._info.frames

    @property
    def duration_s(self) -> float:
        """The length of the recording, whatever the speed."""
        return self.frames / self.format.rate

    @property
    def truncated(self) -> bool:
        """Whether the file ends before its header says."""
        return self._info.truncated

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the recording from its beginning. AudioFileError if it cannot be opened any more."""
        begin, frames = self._clock(), 0
        with contextlib.closing(self._blocks()) as blocks:
            for pcm in blocks:
                frames += len(pcm) // self.format.frame_bytes
                due = 0.0 if self.speed is None else begin + frames / (self.format.rate * self.speed)
                # A deadline counted from the beginning cannot drift; even a late one lets other tasks run.
                await anyio.sleep(max(0.0, due - self._clock()))
                yield pcm

    def _blocks(self) -> Generator[bytes, None, None]:
        frame_bytes = self.format.frame_bytes
        block_bytes = max(1, self.format.rate * self.block_ms // 1000) * frame_bytes
        left = self.frames * frame_bytes
        with _opened(self.path) as file:
            file.seek(self._info.data_at)
            while pcm := file.read(min(block_bytes, left)):
                left -= len(pcm)
                yield pcm


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except FileNotFoundError as missing:
        raise AudioFileError(
            path, "there is no such file.", hint=f"Check the path: it was looked for in {Path.cwd()}."
        ) from missing
    except OSError as failure:
        raise AudioFileError(
            path,
            f"cannot be opened: {failure.strerror or failure}.",
            hint="It must be a file that you may read.",
        ) from failure
    with file:
        yield file


def _examined(file: BinaryIO, path: Path) -> _WavInfo:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    riff = file.read(12)
    if not riff:
        raise AudioFileError(path, "the file is empty.", hint="Record it again.")
    if len(riff) < 12 or riff[:4] != b"RIFF" or riff[8:] != b"WAVE":
        raise AudioFileError(path, f"is not a WAV file: it begins with {riff!r}.", hint=_convert(path))
    format: AudioFormat | None = None
    for _ in range(_MAX_CHUNKS):
        header = file.read(8)
        if len(header) < 8:
            break
        name, length = struct.unpack("<4sI", header)
        if name == b"data" and format is not None:
            return _located(path, format, file.tell(), length, size)
        if name == b"fmt ":
            format = _format(file.read(16), path)
            length -= 16
        file.seek(length + length % 2, os.SEEK_CUR)  # chunks begin at even places
    missing = "audio" if format else "description of a format"
    raise AudioFileError(path, f"the header is cut short: there is no {missing}.", hint="Record it again.")


def _format(fmt: bytes, path: Path) -> AudioFormat:
    if len(fmt) < 16:
        raise AudioFileError(path, "the header is cut short.", hint="Record it again.")
    tag, channels, rate, bits = struct.unpack("<HHI6xH", fmt)
    if tag in _OTHER_ENCODINGS:
        raise AudioFileError(path, f"has {_OTHER_ENCODINGS[tag]}, not supported yet here.", hint=_convert(path))
    if tag != 1:
        raise AudioFileError(path, f"has samples of unknown encoding {tag:#06x}.", hint=_convert(path))
    if bits != 16:
        raise AudioFileError(path, f"has {bits}-bit samples, not supported yet here.", hint=_convert(path))
    if not channels:
        raise AudioFileError(path, "the header says that it has no channels.", hint="Record it again.")
    if not 1 <= rate <= MAX_RATE:
        raise AudioFileError(path, f"the header says {rate} samples per second.", hint="Record it again.")
    return AudioFormat(rate=rate, channels=channels)


def _located(path: Path, format: AudioFormat, data_at: int, length: int, size: int) -> _WavInfo:
    available = size - data_at
    expected = available if length in _STREAMED else length
    frames = min(available, expected) // format.frame_bytes
    if not frames:
        raise AudioFileError(path, "holds no audio, only a header.", hint="Record it again.")
    return _WavInfo(format, data_at, frames, truncated=available < expected)


def _convert(path: Path) -> str:
    return f"Convert it: sox {path.name} -b 16 -e signed-integer {path.stem}-pcm16.wav"


# --- Writing ----------------------------------------------------------------------------------------------


class WavWriter:
    """A WAV file of 16-bit PCM that grows, and is whole after every :meth:`write`.

    Silence costs nothing until sound follows: it is a hole in the file, where the system knows holes. OSError
    if the file cannot be created or written, or would exceed the 4 GiB that a WAV file may have.
    """

    _HEADER_BYTES = 44

    def __init__(self, path: StrPath, rate: int, channels: int = 1) -> None:
        self.path: Path = Path(path)
        self.format: AudioFormat = AudioFormat(rate=rate, channels=channels)
        self.frames: int = 0
        self._file = self.path.open("wb", buffering=0)  # what a buffer could not write, its close() tries again
        try:
            self._patch()
        except OSError:
            self._file.close()
            raise

    def write(self, pcm: bytes | memoryview) -> None:
        """Append whole frames of interleaved samples. ValueError if they are not whole."""
        frames, rest = divmod(len(pcm), self.format.frame_bytes)
        if rest:
            raise ValueError(f"{len(pcm)} bytes are not whole frames of {self.format.frame_bytes} bytes")
        end = self._place(self.frames + frames)
        self._put(end - len(pcm), pcm)
        self.frames += frames
        self._patch()

    def write_silence(self, frames: int) -> None:
        """Append silence. It is in the file when sound follows, or at the end."""
        if frames < 0:
            raise ValueError(f"cannot append {frames} frames of silence")
        self._place(self.frames + frames)
        self.frames += frames

    def close(self) -> None:
        """Make the file whole and close it."""
        if self._file.closed:
            return
        with self._file:
            self._file.truncate(self._place(self.frames))
            self._patch()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _place(self, frame: int) -> int:
        place = self._HEADER_BYTES + frame * self.format.frame_bytes
        if place > 0xFFFF_FFFF:
            raise OSError(errno.EFBIG, "a WAV file cannot be larger than 4 GiB", str(self.path))
        return place

    def _patch(self) -> None:
        rate, channels, frame_bytes = self.format.rate, self.format.channels, self.format.frame_bytes
        data = self.frames * frame_bytes
        fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * frame_bytes, frame_bytes, 16)
        riff = struct.pack("<4sI4s", b"RIFF", data + self._HEADER_BYTES - 8, b"WAVE")
        self._put(0, riff + fmt + struct.pack("<4sI", b"data", data))

    def _put(self, place: int, data: bytes | memoryview) -> None:
        self._file.seek(place)
        left = memoryview(data)
        while left:  # an almost full disk takes a part and fails at the next
            left = left[self._file.write(left) :]


class WavSink:
    """A listener who records: an AudioSink whose file holds what was heard, when it was heard.

    The file (mono 16-bit PCM at ``rate``) runs from opening to closing, with silence where nothing was played
    and nothing of what was flushed. ``speed`` is how fast the listener hears, in seconds of audio per second
    of ``clock``. OSError if the file cannot be created.

    A full disk ends the recording but not the call: ``pending`` goes on as before, ``error`` says what
    happened, and :meth:`close` raises it once. Close it, or use ``async with``.
    """

    def __init__(
        self,
        path: StrPath,
        *,
        rate: int = 24_000,
        speed: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path: Path = Path(path)
        self._queue = PacedQueue(rate, clock, speed)
        self._writer = WavWriter(self.path, rate)
        self._unheard: deque[tuple[int, memoryview]] = deque()  # where each begins, and its samples
        self._half = b""
        self._closed = False
        self.error: OSError | None = None

    @property
    def format(self) -> AudioFormat:
        """Mono 16-bit PCM at the rate of the file."""
        return self._writer.format

    @property
    def pending(self) -> int:
        """Samples written and not yet heard."""
        return self._queue.pending

    @property
    def heard(self) -> int:
        """Samples heard so far, silence not included."""
        return self._queue.heard

    def write(self, pcm: bytes) -> None:
        """Take samples, to be heard after what is pending; half a sample waits for its other half."""
        if self._closed:
            raise ValueError(f"{self.path}: the recording is closed")
        self._record(self._queue.position)
        pcm = self._half + pcm
        samples = len(pcm) // 2
        self._half = pcm[2 * samples :]
        if samples:
            self._unheard.append((self._queue.write(samples), memoryview(pcm)[: 2 * samples]))

    def flush(self) -> None:
        """Drop what is not yet heard."""
        self._queue.flush()
        self._record(self._queue.end)
        self._unheard.clear()
        self._half = b""

    async def drain(self) -> None:
        """Wait until all of it was heard."""
        while pending := self.pending:  # noqa: ASYNC110 - no event ends this: only the clock does
            await anyio.sleep(pending / (self.format.rate * self._queue.speed))

    def close(self) -> None:
        """End the recording now. OSError, once, if it could not be written."""
        if self._closed:
            return
        self._closed = True
        self.flush()
        with self._noting_failure():
            if not self.error:
                self._writer.write_silence(self._queue.position - self._writer.frames)
        with self._noting_failure():
            self._writer.close()
        if self.error:
            raise self.error

    def _record(self, until: int) -> None:
        """Move what is heard before position ``until`` from memory into the file."""
        while self._unheard and self._unheard[0][0] < until:
            start, pcm = self._unheard.popleft()
            heard, unheard = pcm[: 2 * (until - start)], pcm[2 * (until - start) :]
            if unheard:
                self._unheard.appendleft((until, unheard))
            with self._noting_failure():
                if not self.error:
                    self._writer.write_silence(start - self._writer.frames)
                    self._writer.write(heard)

    @contextlib.contextmanager
    def _noting_failure(self) -> Iterator[None]:
        try:
            yield
        except OSError as failure:
            self.error = self.error or failure

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.close()
        except OSError:
            if exc is None:  # else what ended the block, a cancellation for one, is what matters
                raise
