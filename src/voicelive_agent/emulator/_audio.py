"""Appended audio to 16 kHz for the ears, and the voice's audio to deltas in the session's output format."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, repeat

from .._pcm import Resampler, alaw_to_pcm, pcm_to_alaw, pcm_to_ulaw, split, ulaw_to_pcm
from ._echo_canceller import EchoCanceller
from ._errors import ClientError

EARS_RATE = 16_000
MAX_APPEND = 15 * 1024 * 1024
"""Characters of one append: the documented limit is 15 MiB per event."""

_TO_PCM: dict[str, Callable[[bytes], bytes]] = {"g711_ulaw": ulaw_to_pcm, "g711_alaw": alaw_to_pcm}
_FROM_PCM: dict[str, Callable[[bytes], bytes]] = {"g711_ulaw": pcm_to_ulaw, "g711_alaw": pcm_to_alaw}


class InputDecoder:
    """Turns appended audio of one format into 16 kHz PCM16.

    Of two channels the first is the microphone; the second is the client's echo reference, which is subtracted.
    """

    def __init__(self, format: str, rate: int, channels: int = 1) -> None:
        self.format, self.rate, self.channels = format, rate, channels
        self._to_pcm = _TO_PCM.get(format)
        self._resamplers = [Resampler(rate, EARS_RATE) for _ in range(channels)]
        self._canceller = EchoCanceller() if channels == 2 else None
        self.frame_bytes = (1 if self._to_pcm else 2) * channels
        self.bytes_per_s = rate * self.frame_bytes

    def unpack(self, audio: str) -> bytes:
        """The bytes of one append; raises ClientError where they are not audio of this format."""
        if len(audio) > MAX_APPEND:
            raise ClientError(
                f"Invalid 'audio': {len(audio)} characters are more than the 15 MiB of one event.", param="audio"
            )
        try:
            raw = base64.b64decode(audio, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ClientError(f"Invalid 'audio': not base64 ({error}).", param="audio") from error
        if len(raw) % self.frame_bytes:
            frames = "16-bit samples" if self.channels == 1 else f"frames of {self.frame_bytes} bytes"
            raise ClientError(
                f"Invalid 'audio': {len(raw)} bytes are not a whole number of {frames}.", param="audio"
            )
        return raw

    def decode(self, raw: bytes) -> bytes:
        """The next part of the stream at 16 kHz."""
        channels = [self._to_pcm(raw)] if self._to_pcm else split(raw, self.channels)
        return self._mixed([each.process(pcm) for each, pcm in zip(self._resamplers, channels, strict=True)])

    def finish(self) -> bytes:
        """What the resampler still holds, at the end of a stream."""
        return self._mixed([each.finish() for each in self._resamplers])

    def _mixed(self, channels: list[bytes]) -> bytes:
        return channels[0] if self._canceller is None else self._canceller.process(*channels)


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """A format of response audio: how a sample is written and how many there are per second."""

    name: str
    rate: int
    width: int

    @classmethod
    def named(cls, name: str | None) -> OutputFormat:
        """The format that ``output_audio_format`` names; null is pcm16 at 24 kHz."""
        if name in _FROM_PCM:
            return cls(name, 8000, 1)
        if name is None or name == "pcm16":
            return cls("pcm16", 24_000, 2)
        return cls(name, int(name.removeprefix("pcm16_").removesuffix("hz")), 2)

    def size(self, ms: int) -> int:
        """Bytes of ``ms`` milliseconds."""
        return self.rate * ms // 1000 * self.width

    def ms(self, size: int) -> float:
        """How long ``size`` bytes sound."""
        return size * 1000 / (self.rate * self.width)


class OutputEncoder:
    """Cuts the audio of one item into deltas: 200 ms, 300 ms, then 500 ms each with an Azure voice.

    The sizes of OpenAI voices were not recorded; token counts give a mean of about 260 ms, so 250 ms are used.
    """

    def __init__(self, format: OutputFormat, voice_rate: int, *, azure_voice: bool) -> None:
        self._format = format
        self._resampler = None if voice_rate == format.rate else Resampler(voice_rate, format.rate)
        self._from_pcm = _FROM_PCM.get(format.name)
        self._sizes = chain((200, 300), repeat(500)) if azure_voice else repeat(250)
        self._next = format.size(next(self._sizes))
        self._buffer = b""

    def feed(self, pcm: bytes) -> list[bytes]:
        """The deltas that are complete after the voice's next piece."""
        self._buffer += self._encode(self._resampler.process(pcm) if self._resampler else pcm)
        chunks = []
        while len(self._buffer) >= self._next:
            chunks.append(self._buffer[: self._next])
            self._buffer = self._buffer[self._next :]
            self._next = self._format.size(next(self._sizes))
        return chunks

    def finish(self) -> list[bytes]:
        """The remainder."""
        rest = self._buffer + self._encode(self._resampler.finish() if self._resampler else b"")
        self._buffer = b""
        return [rest] if rest else []

    def _encode(self, pcm: bytes) -> bytes:
        return self._from_pcm(pcm) if self._from_pcm else pcm
