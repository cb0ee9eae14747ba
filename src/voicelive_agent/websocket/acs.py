"""Azure Communication Services: the audio of a call that Call Automation streams to a WebSocket, both ways.

JSON as https://learn.microsoft.com/azure/communication-services/how-tos/call-automation/audio-streaming-quickstart
documents it: ``AudioMetadata`` first, then ``AudioData`` every 20 ms (16-bit mono PCM at 16 or 24 kHz, in base64),
and ``DtmfData``. Out: ``AudioData`` and ``StopAudio``, which drops what is queued there. What comes has names in
camelCase; Microsoft's samples send PascalCase, and so does this. Names are understood in both.

Nothing comes back that says what was played. So audio is sent in frames of 20 ms, at most ``LEAD_MS`` before it is
due: what StopAudio has to catch is little, and the figures of what was heard are estimates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from ..audio import AudioFormat
from ..events import DtmfReceived
from ._position import Position
from .dialect import (
    BAD_DATA,
    BAD_KIND,
    DTMF_DIGITS,
    Action,
    Audio,
    Dialect,
    Ignored,
    Message,
    Refused,
    Rejected,
    Tell,
    decoded,
    encoded,
    parsed,
    shown,
    to_json,
)

__all__ = ["AudioMetadata", "AzureCommunicationServices"]

RATES: Final = (16_000, 24_000)
FRAME_MS: Final = 20
LEAD_MS: Final = 60
"""Three frames: as late as a busy event loop may be without a gap in the sound."""


@dataclass(frozen=True, slots=True)
class AudioMetadata:
    """What the service says about a stream."""

    subscription_id: str
    rate: int


class AzureCommunicationServices(Dialect[AudioMetadata]):
    """A call over Azure Communication Services' audio streaming, with ``enableBidirectional`` and mixed audio.

    https://learn.microsoft.com/azure/communication-services/how-tos/call-automation/audio-streaming-quickstart.
    ``start`` is an :class:`AudioMetadata`. With ``enableDtmfTones``, a key that the caller presses is a
    :class:`~voicelive_agent.events.DtmfReceived`. Of unmixed audio, only the participant who came first is heard.
    Closing the socket does not hang up: the call belongs to Call Automation. What comes with a request can be
    checked before: https://learn.microsoft.com/azure/communication-services/how-tos/call-automation/secure-webhook-endpoint.
    """

    confirms: ClassVar[bool] = False
    lead_ms: ClassVar[int | None] = LEAD_MS
    piece_ms: ClassVar[int] = FRAME_MS

    def __init__(self) -> None:
        super().__init__(AudioFormat(rate=RATES[0]))
        self._participant: str | None = None
        self._handlers: Final[Mapping[str, Callable[[Mapping[str, object]], Iterator[Action]]]] = {
            "audioMetadata": self._on_metadata,
            "audioData": self._on_audio,
            "dtmfData": self._on_dtmf,
        }

    def receive(self, message: Message, now: float) -> Iterable[Action]:
        """What a message of the service means."""
        if isinstance(message, bytes):
            yield Refused(BAD_KIND, "a binary message, where the service sends text")
            return
        try:
            fields = _camel(parsed(message))
        except ValueError as error:
            yield Refused(BAD_DATA, str(error))
            return
        kind = fields.get("kind")
        name = kind[:1].lower() + kind[1:] if isinstance(kind, str) else ""
        content = fields.get(name)
        if name not in self._handlers:
            yield Ignored(shown(kind))
        elif not isinstance(content, dict):
            yield Rejected(f"{kind} without {name}")
        elif self._start is None and name != "audioMetadata":
            yield Rejected(f"{kind} before AudioMetadata")
        else:
            yield from self._handlers[name](_camel(content))

    def encode(self, audio: bytes, position: Position, *, last: bool, now: float) -> Iterable[tuple[Message, int]]:
        """One frame."""
        message = {"Kind": "AudioData", "AudioData": {"Data": encoded(audio)}, "StopAudio": None}
        yield to_json(message), len(audio) // self._format.frame_bytes

    def flush(self, generation: int) -> str:
        """The message that drops what is queued."""
        return to_json({"Kind": "StopAudio", "AudioData": None, "StopAudio": {}})

    def _on_metadata(self, content: Mapping[str, object]) -> Iterator[Action]:
        encoding, rate, channels = content.get("encoding"), content.get("sampleRate"), content.get("channels", 1)
        if self._start is not None:
            yield Rejected("a second AudioMetadata")
        elif str(encoding).upper() != "PCM" or type(rate) is not int or rate not in RATES or channels != 1:
            given = f"{shown(encoding)} at {shown(rate)} Hz with {shown(channels)} channels"
            yield Refused(BAD_KIND, f"mono PCM at 16000 or 24000 Hz is understood, not {given}")
        else:
            self._format = AudioFormat(rate=rate)
            self._start = AudioMetadata(str(content.get("subscriptionId", "")), rate)

    def _on_audio(self, content: Mapping[str, object]) -> Iterator[Action]:
        participant = content.get("participantRawID")
        if isinstance(participant, str):
            self._participant = self._participant or participant
            if participant != self._participant:
                yield Ignored("AudioData of another participant")
                return
        try:
            audio = decoded(content.get("data") or "", self._format.frame_bytes)
        except ValueError as error:
            yield Rejected(f"AudioData: {error}")
            return
        if not audio and content.get("silent") is True:  # silence lasts, and somebody counts its time
            audio = bytes(self._format.rate * FRAME_MS // 1000 * self._format.frame_bytes)
        yield Audio(audio) if audio else Rejected("AudioData of no samples")

    def _on_dtmf(self, content: Mapping[str, object]) -> Iterator[Action]:
        digit = content.get("data")
        known = isinstance(digit, str) and digit in DTMF_DIGITS
        yield Tell(DtmfReceived(str(digit))) if known else Rejected(f"DtmfData: {shown(digit)} is no key")


def _camel(fields: Mapping[str, object]) -> dict[str, object]:
    """The same, with names that begin with a small letter."""
    return {name[:1].lower() + name[1:]: value for name, value in fields.items()}
