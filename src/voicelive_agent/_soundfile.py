"""Recordings that are no plain WAV files, decoded by the package soundfile (extra ``audio``) a block at a time.

The only module that imports it, and only when there is such a recording. Which files are given to it is decided
here, by how they begin: libsndfile would try any of its two dozen formats on whatever it gets.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ._wav import checked_format, conversion
from .audio import AudioFormat
from .errors import AudioFileError

__all__ = ["DecodedFile", "kind_of", "read_other"]

_INSTALL = 'Install it: pip install "voicelive-agent[audio]"'
_ENDLESS = 2**62  # what libsndfile says of a length that it does not know is about twice that

_KINDS = (  # where, what is there, and what it is then
    (0, b"fLaC", "FLAC"),
    (0, b"OggS", "Ogg"),
    (0, b"ID3", "MP3"),
    (8, b"AIFF", "AIFF"),
    (8, b"AIFC", "AIFF-C"),
    (0, b"caff", "CAF"),
    (0, b".snd", "AU"),
    (0, b"RIFX", "RIFX (big-endian WAV)"),
    (0, b"riff", "Wave64"),
    (0, b"NIST_1A", "NIST SPHERE"),
    (0, b"Creative Voi", "VOC"),
)
_UNREADABLE = (
    (4, b"ftyp", "MPEG-4 audio (m4a)"),
    (0, b"\x30\x26\xb2\x75", "Windows Media audio"),
    (0, b"\x1a\x45\xdf\xa3", "WebM or Matroska"),
    (0, b"#!AMR", "AMR"),
    (8, b"AVI ", "AVI video"),
    (0, b"\xff\xf1", "AAC"),
    (0, b"\xff\xf9", "AAC"),
)


class DecodedFile(NamedTuple):
    """What soundfile says of a file."""

    format: AudioFormat
    frames: int
    truncated: bool
    """Always false: that a compressed file was cut is found only when it is played."""
    path: Path
    kind: str

    def blocks(self, file: BinaryIO, frames: int) -> Iterator[bytes]:
        """Decode from the beginning, so many frames at a time, the last block excepted."""
        from ._pcm import to_pcm16

        frame_bytes = 8 * self.format.channels
        buffer = bytearray(frames * frame_bytes)
        done = 0
        with _decoder(file, self.path, self.kind) as decoder:
            while count := self._decoded(decoder, buffer, done):
                done += count
                yield to_pcm16(bytes(memoryview(buffer)[: count * frame_bytes]), "f64")

    def _decoded(self, decoder: Any, buffer: bytearray, done: int) -> int:
        """Fill ``buffer`` and return how many frames that were; 0 at the end."""
        try:
            return int(decoder.buffer_read_into(buffer, dtype="float64"))
        except _soundfile(self.path, self.kind).SoundFileError as failure:
            fault = f"cannot be decoded from {done / self.format.rate:.2f} s on: {_words(failure)}."
            raise AudioFileError(
                self.path, fault, hint=f"It is damaged. Convert it: {conversion(self.path)}"
            ) from failure


def kind_of(head: bytes, path: Path) -> str:
    """Name what begins so. AudioFileError if soundfile cannot read it, or nobody knows it."""
    kind = _found(head, _KINDS) or ("MP3" if _is_mp3(head) else "")
    if kind:
        return kind
    if not head:
        raise AudioFileError(path, "the file is empty.", hint="Record it again.")
    if other := _found(head, _UNREADABLE):
        raise AudioFileError(path, f"is {other}, which is not read here.", hint=f"Convert it: {conversion(path)}")
    hint = f"If it is audio, convert it: {conversion(path)}"
    raise AudioFileError(path, f"is not a recording known here: it begins with {head!r}.", hint=hint)


def read_other(file: BinaryIO, path: Path, kind: str) -> DecodedFile:
    """Examine a recording of a kind that soundfile reads. AudioFileError if it cannot, or is not installed."""
    with _decoder(file, path, kind) as decoder:
        format = checked_format(path, decoder.samplerate, decoder.channels)
        frames = int(decoder.frames)
    if not 0 < frames < _ENDLESS:
        fault = "it does not say how long it is" if frames else "it holds no audio"
        raise AudioFileError(path, f"is {kind}, but {fault}.", hint=f"Convert it: {conversion(path)}")
    return DecodedFile(format, frames, False, path, kind)


@contextlib.contextmanager
def _decoder(file: BinaryIO, path: Path, kind: str) -> Iterator[Any]:
    soundfile = _soundfile(path, kind)
    # A number for a name: soundfile looks at names, and takes no x.raw whatever it holds.
    with open(file.fileno(), "rb", closefd=False) as nameless:
        nameless.seek(0)
        try:
            decoder = soundfile.SoundFile(nameless)
        except soundfile.SoundFileError as failure:
            hint = f"It is damaged, or a variant that is not known. Convert it: {conversion(path)}"
            raise AudioFileError(
                path, f"is {kind}, but cannot be read: {_words(failure)}.", hint=hint
            ) from failure
        with decoder:
            yield decoder


def _soundfile(path: Path, kind: str) -> Any:
    try:
        import soundfile
    except ImportError as missing:
        raise AudioFileError(
            path, f"is {kind}, for which the package soundfile is needed.", hint=_INSTALL
        ) from missing
    except OSError as missing:
        fault = f"is {kind}, and the package soundfile does not find its library: {missing}."
        raise AudioFileError(
            path, fault, hint="Install it: apt install libsndfile1, or brew install libsndfile"
        ) from missing
    return soundfile


def _words(failure: Exception) -> str:
    """What libsndfile says, in the middle of a sentence."""
    return str(getattr(failure, "error_string", failure)).removeprefix("Error : ").rstrip(". ")


def _found(head: bytes, kinds: tuple[tuple[int, bytes, str], ...]) -> str:
    return next((kind for place, mark, kind in kinds if head[place:].startswith(mark)), "")


def _is_mp3(head: bytes) -> bool:
    """Whether it begins with a frame's header: MPEG audio, layer 3, of a bit rate and a sample rate that exist."""
    return (
        len(head) > 2
        and head[0] == 0xFF
        and head[1] & 0xE6 == 0xE2
        and head[2] >> 4 != 0xF
        and head[2] >> 2 & 3 != 3
    )
