"""WAV files as they are met: what the header says, and the samples as blocks of audio.

Works on any file that can seek, and opens none. RIFF is read here because the standard library's ``wave`` takes a
rate of zero for audio, and knows neither float, G.711, WAVE_FORMAT_EXTENSIBLE nor RF64. Where a header and its
file contradict each other about lengths, the file is right: headers are written first, and not always again.
"""

from __future__ import annotations

import os
import shlex
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from .audio import MAX_RATE, AudioFormat, Encoding
from .errors import AudioFileError

if TYPE_CHECKING:
    from ._pcm import SampleType

__all__ = [
    "HEAD_BYTES",
    "MAX_CHANNELS",
    "OtherCodec",
    "WavFile",
    "checked_format",
    "conversion",
    "is_wav",
    "read_wav",
]

HEAD_BYTES = 12
"""What must be read of a file to know whether it is a WAV file."""

MAX_CHANNELS = 256
"""More channels than that are not audio, but a damaged header."""

_MAX_CHUNKS = 1_000  # a real file has a handful of chunks before its audio
_UNKNOWN = 0xFFFF_FFFF  # in a size of 32 bits: ds64 has it, or nobody
_STREAMED = (0, _UNKNOWN, 2**64 - 1)  # sizes that a writer leaves which could not go back ...
_SOMETIMES_STREAMED = (0x7FFF_F000, 0x8000_0000)  # ... and those of sox and arecord, which may also be meant

_PCM, _FLOAT, _ALAW, _ULAW, _EXTENSIBLE = 0x0001, 0x0003, 0x0006, 0x0007, 0xFFFE
_G711: dict[int, Encoding] = {_ALAW: "g711_alaw", _ULAW: "g711_ulaw"}
_STORED: dict[tuple[int, int], SampleType | None] = {  # by codec and bytes of a sample; None: as it is
    (_ALAW, 1): None,
    (_ULAW, 1): None,
    (_PCM, 1): "u8",
    (_PCM, 2): None,
    (_PCM, 3): "s24",
    (_PCM, 4): "s32",
    (_FLOAT, 4): "f32",
    (_FLOAT, 8): "f64",
}
_SUBFORMAT = bytes.fromhex("000000001000800000aa00389b71")  # of WAVE_FORMAT_EXTENSIBLE, behind the codec
_CODECS = {
    0x0002: "Microsoft ADPCM",
    0x0011: "IMA ADPCM",
    0x0022: "TrueSpeech",
    0x0031: "GSM 6.10",
    0x0040: "G.721 ADPCM",
    0x0045: "G.726 ADPCM",
    0x0050: "MPEG audio, layer 1 or 2",
    0x0055: "MP3",
    0x0064: "G.726 ADPCM",
    0x0083: "G.729",
    0x00FF: "AAC",
    0x0161: "Windows Media Audio",
    0x1610: "AAC",
    0x2000: "AC-3",
}
_DAMAGED = "It is damaged: copy it again, or record it again."


class OtherCodec(AudioFileError):
    """A WAV file whose samples are of none of the codecs that are read here; ``codec`` names it."""

    def __init__(self, path: Path, codec: str) -> None:
        hint = f"FileSource may read it. Or convert it: {conversion(path)}"
        super().__init__(path, f"is a WAV file of {codec}, which is not read here.", hint=hint)
        self.codec = codec


class WavFile(NamedTuple):
    """What a WAV file holds, and where."""

    format: AudioFormat
    """That of the blocks: pcm16, or the G.711 of the file."""
    frames: int
    truncated: bool
    """Whether the file ends before its header says."""
    data_at: int
    stored: SampleType | None
    """What becomes pcm16; None where the samples stay as they are."""
    stored_frame_bytes: int

    def blocks(self, file: BinaryIO, frames: int) -> Iterator[bytes]:
        """Yield the audio from its beginning, so many frames at a time, the last block excepted."""
        file.seek(self.data_at)
        left = self.frames
        # The file may have been cut since it was examined.
        while (
            whole := len(data := file.read(min(frames, left) * self.stored_frame_bytes)) // self.stored_frame_bytes
        ):
            left -= whole
            yield self._converted(data[: whole * self.stored_frame_bytes])

    def _converted(self, data: bytes) -> bytes:
        if self.stored is None:
            return data
        from ._pcm import to_pcm16

        return to_pcm16(data, self.stored)


def is_wav(head: bytes) -> bool:
    """Whether a file that begins so is a WAV file: RIFF, RF64 or BW64."""
    return head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:HEAD_BYTES] == b"WAVE"


def read_wav(file: BinaryIO, path: Path) -> WavFile:
    """Read the header. ``path`` is for the messages.

    AudioFileError if it is damaged or not that of a WAV file, and OtherCodec if the codec is not one of ours.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if not head:
        raise AudioFileError(path, "the file is empty.", hint="Record it again.")
    if not is_wav(head):
        hint = f"FileSource reads other kinds of recordings. Or convert it: {conversion(path)}"
        raise AudioFileError(path, f"is not a WAV file: it begins with {head!r}.", hint=hint)
    fmt: _Fmt | None = None
    data_bytes = _UNKNOWN
    for _ in range(_MAX_CHUNKS):
        header = file.read(8)
        if len(header) < 8:
            break
        name, length = struct.unpack("<4sI", header)
        begin = file.tell()
        if name == b"data":
            if fmt is None:
                raise AudioFileError(path, "the audio comes before the description of its format.", hint=_DAMAGED)
            return _located(fmt, path, begin, data_bytes if length == _UNKNOWN else length, size)
        if name == b"fmt ":
            fmt = _Fmt.read(file.read(min(length, 40)), path)
        elif name == b"ds64" and len(sizes := file.read(min(length, 16))) == 16:
            data_bytes = int.from_bytes(sizes[8:], "little")
        file.seek(begin + length + length % 2)  # chunks begin at even places
    missing = "audio" if fmt else "description of a format"
    raise AudioFileError(path, f"the header is cut short: there is no {missing}.", hint=_DAMAGED)


def checked_format(path: Path, rate: int, channels: int, encoding: Encoding = "pcm16") -> AudioFormat:
    """The format that a header describes. AudioFileError if nothing has such a rate or so many channels."""
    if not 1 <= channels <= MAX_CHANNELS:
        many = f"{channels} channels" if channels else "no channels"
        raise AudioFileError(path, f"the header says that it has {many}.", hint=_DAMAGED)
    if not 1 <= rate <= MAX_RATE:
        raise AudioFileError(path, f"the header says {rate} samples per second.", hint=_DAMAGED)
    return AudioFormat(encoding, rate, channels)


def conversion(path: Path) -> str:
    """A command that makes something of this file that is read here."""
    return f"ffmpeg -i {shlex.quote(path.name)} {shlex.quote(path.stem + '-pcm16.wav')}"


class _Fmt(NamedTuple):
    """The description of the samples."""

    format: AudioFormat
    stored: SampleType | None
    frame_bytes: int

    @classmethod
    def read(cls, fmt: bytes, path: Path) -> _Fmt:
        if len(fmt) < 16:
            raise AudioFileError(path, "the header is cut short.", hint=_DAMAGED)
        codec, channels, rate, frame_bytes, bits = struct.unpack("<HHI4xHH", fmt[:16])
        if codec == _EXTENSIBLE:
            codec = _extensible_codec(fmt, path)
        if codec not in (_PCM, _FLOAT, _ALAW, _ULAW):
            raise OtherCodec(path, _CODECS.get(codec, f"the unknown codec {codec:#06x}"))
        format = checked_format(path, rate, channels, _G711.get(codec, "pcm16"))
        sample_bytes = 1 if codec in _G711 else -(-bits // 8)
        if (codec, sample_bytes) not in _STORED:
            kind = "floating-point samples" if codec == _FLOAT else "samples"
            raise AudioFileError(path, f"has {kind} of {bits} bits.", hint=f"Convert it: {conversion(path)}")
        # Some writers leave the size of a frame out, and some give a sample more room than it needs: it then is at
        # the upper end. So are the valid bits that WAVE_FORMAT_EXTENSIBLE counts, which therefore change nothing.
        room, rest = divmod(frame_bytes, channels) if frame_bytes else (sample_bytes, 0)
        if rest or room < sample_bytes or (codec, room) not in _STORED:
            fault = f"the header contradicts itself: {channels} x {bits} bits in frames of {frame_bytes} bytes."
            raise AudioFileError(path, fault, hint=_DAMAGED)
        return cls(format, _STORED[codec, room], room * channels)


def _extensible_codec(fmt: bytes, path: Path) -> int:
    if len(fmt) < 40:
        raise AudioFileError(path, "the header is cut short.", hint=_DAMAGED)
    if fmt[26:] != _SUBFORMAT:
        raise OtherCodec(path, f"the unknown codec {fmt[24:].hex()}")
    return int.from_bytes(fmt[24:26], "little")


def _located(fmt: _Fmt, path: Path, data_at: int, length: int, size: int) -> WavFile:
    available = max(0, size - data_at)
    expected = available if length in _STREAMED else length
    frames = min(available, expected) // fmt.frame_bytes
    if not frames:
        raise AudioFileError(path, "holds no audio, only a header.", hint="Record it again.")
    truncated = available < expected and length not in _SOMETIMES_STREAMED
    return WavFile(fmt.format, frames, truncated, data_at, fmt.stored, fmt.frame_bytes)
