"""Twilio Media Streams: the audio of a telephone call, both ways.

JSON as https://www.twilio.com/docs/voice/media-streams/websocket-messages documents it for a bidirectional stream
(TwiML ``<Connect><Stream>``): mu-law at 8 kHz in base64. In: ``connected``, ``start``, ``media``, ``dtmf``,
``mark``, ``stop``. Out: ``media``, ``mark``, ``clear``. Twilio buffers what it is sent and plays it in order; a
``mark`` comes back when the audio before it was played. ``clear`` empties the buffer *and sends back all marks in
it*, as if they had been reached. So the name of a mark says which generation it is of, and those of an old one
count for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
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
    Left,
    Message,
    Played,
    Refused,
    Rejected,
    Reply,
    RoundTrip,
    Tell,
    decoded,
    encoded,
    parsed,
    shown,
    to_json,
)

__all__ = ["StreamStart", "Twilio"]

ULAW: Final = AudioFormat("g711_ulaw", 8_000)
MEDIA_FORMAT: Final[Mapping[str, object]] = {"encoding": "audio/x-mulaw", "sampleRate": 8_000, "channels": 1}
MARK_MS: Final = 200
"""Audio between two marks, at most."""
PROBES: Final = ("probe:1", "probe:2", "probe:3", "probe:4")
"""Marks that measure the round trip before the first word, one after the other: a single one may have been
somebody's hesitation, and what is believed of a flush hangs on it."""
_MARK: Final = re.compile(r"([0-9]{1,9}):([0-9]{1,12})", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,15}", re.ASCII)


@dataclass(frozen=True, slots=True)
class StreamStart:
    """What Twilio says about a stream. ``parameters`` are those of ``<Stream>``'s ``<Parameter>`` in the TwiML."""

    stream_sid: str
    call_sid: str = ""
    account_sid: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)


class Twilio(Dialect[StreamStart]):
    """A call over Twilio Media Streams; https://www.twilio.com/docs/voice/media-streams/websocket-messages.

    ``start`` is a :class:`StreamStart`. A key that the caller presses is a
    :class:`~voicelive_agent.events.DtmfReceived`. Closing the socket ends the stream, and Twilio goes on with the
    TwiML after ``<Connect>``: without any, it hangs up. Anybody can connect to a public server, so compare the
    ``X-Twilio-Signature`` of the request before (https://www.twilio.com/docs/usage/security).

    Audio of another track than ``inbound``, of another stream, or with a sequence number that was there already is
    left out, and messages that make no sense are; binary ones and what is no JSON end the call.
    """

    piece_ms: ClassVar[int] = MARK_MS

    def __init__(self) -> None:
        super().__init__(ULAW)
        self._sequence = 0
        self._since_mark = 0  # samples
        self._probe: tuple[str, float] | None = None  # a mark with nothing to wait for, and when it was sent
        self._probes = iter(PROBES)  # those to be sent before the first audio
        self._handlers: Final[Mapping[str, Callable[[dict[str, object], float], Iterator[Action]]]] = {
            "start": self._on_start,
            "media": self._on_media,
            "mark": self._on_mark,
            "dtmf": self._on_dtmf,
            "stop": self._on_stop,
        }

    def receive(self, message: Message, now: float) -> Iterable[Action]:
        """What a message of Twilio means."""
        if isinstance(message, bytes):
            yield Refused(BAD_KIND, "a binary message, where Twilio sends text")
            return
        try:
            fields = parsed(message)
        except ValueError as error:
            yield Refused(BAD_DATA, str(error))
            return
        kind = fields.get("event")
        handler = self._handlers.get(kind) if isinstance(kind, str) else None
        if handler is None:
            yield from () if kind == "connected" else (Ignored(shown(kind)),)
        elif kind != "start" and self._start is None:
            yield Rejected(f"{kind} before start")
        elif self._is_repeated(fields):
            yield Rejected(f"{kind} with a sequence number that was there already")
        elif self._start is not None and fields.get("streamSid", self._start.stream_sid) != self._start.stream_sid:
            yield Rejected(f"{kind} of another stream")
        else:
            yield from handler(fields, now)

    def encode(self, audio: bytes, position: Position, *, last: bool, now: float) -> Iterable[tuple[Message, int]]:
        """The audio, and a mark where one is due.

        A mark before it, too, if the listener is known to wait: it comes back at once, which says when the audio
        arrived, and how long the way there and back is.
        """
        self._probes = iter(())  # from now on a mark waits for audio
        messages: list[tuple[Message, int]] = [
            (self._message("media", media={"payload": encoded(audio)}), len(audio))
        ]
        if position.is_confirmed:
            name = f"{position.generation}:{position.sent}"
            self._probe = name, now
            messages.insert(0, (self._mark(name), 0))
        self._since_mark += len(audio)
        if last or self._since_mark >= MARK_MS * ULAW.rate // 1000:
            self._since_mark = 0
            messages.append((self._mark(f"{position.generation}:{position.sent + len(audio)}"), 0))
        return messages

    def flush(self, generation: int) -> str:
        """The message that empties Twilio's buffer."""
        self._since_mark = 0
        return self._message("clear")

    def _probing(self, now: float) -> Iterator[Action]:
        """Measure the round trip once more, as long as nothing was said."""
        if (name := next(self._probes, None)) is not None:
            self._probe = name, now
            yield Reply(self._mark(name))

    def _mark(self, name: str) -> str:
        return self._message("mark", mark={"name": name})

    def _message(self, event: str, **content: object) -> str:
        stream_sid = "" if self._start is None else self._start.stream_sid
        return to_json({"event": event, "streamSid": stream_sid, **content})

    def _is_repeated(self, fields: Mapping[str, object]) -> bool:
        """Whether this is not the first message with its number. Gaps are none of our business."""
        number = fields.get("sequenceNumber")
        if not isinstance(number, str) or not _NUMBER.fullmatch(number):
            return False
        repeated = int(number) <= self._sequence
        self._sequence = max(self._sequence, int(number))
        return repeated

    # --- what Twilio says ---

    def _on_start(self, fields: dict[str, object], now: float) -> Iterator[Action]:
        start = _object(fields, "start")
        stream_sid = start.get("streamSid", fields.get("streamSid"))
        media = {**MEDIA_FORMAT, **_object(start, "mediaFormat")}
        if self._start is not None:
            yield Rejected("a second start")
        elif not isinstance(stream_sid, str) or not stream_sid:
            yield Refused(BAD_DATA, "start without a streamSid")
        elif any(media[name] != value for name, value in MEDIA_FORMAT.items()):
            yield Refused(BAD_KIND, "the media format must be audio/x-mulaw, 8000 Hz, 1 channel")
        else:
            parameters = _object(start, "customParameters")
            self._start = StreamStart(
                stream_sid,
                str(start.get("callSid", "")),
                str(start.get("accountSid", "")),
                {name: value for name, value in parameters.items() if isinstance(value, str)},
            )
            yield from self._probing(now)

    def _on_media(self, fields: dict[str, object], now: float) -> Iterator[Action]:
        media = _object(fields, "media")
        if media.get("track", "inbound") != "inbound":
            yield Ignored(f"media of the track {shown(media['track'])}")
            return
        try:
            audio = decoded(media.get("payload"), ULAW.frame_bytes)
        except ValueError as error:
            yield Rejected(f"media: {error}")
            return
        yield Audio(audio) if audio else Rejected("media of no samples")

    def _on_mark(self, fields: dict[str, object], now: float) -> Iterator[Action]:
        name = _object(fields, "mark").get("name")
        if self._probe is not None and self._probe[0] == name:
            yield RoundTrip(now - self._probe[1])
            self._probe = None
            yield from self._probing(now)
        found = _MARK.fullmatch(name) if isinstance(name, str) else None
        if found is not None:
            yield Played(int(found[1]), int(found[2]))
        elif name not in PROBES:
            yield Ignored(f"a mark that is not ours: {shown(name)}")

    def _on_dtmf(self, fields: dict[str, object], now: float) -> Iterator[Action]:
        digit = _object(fields, "dtmf").get("digit")
        known = isinstance(digit, str) and digit in DTMF_DIGITS
        yield Tell(DtmfReceived(str(digit))) if known else Rejected(f"dtmf: {shown(digit)} is no key")

    def _on_stop(self, fields: dict[str, object], now: float) -> Iterator[Action]:
        yield Left("Twilio stopped the stream: the call was hung up, or it goes on elsewhere")


def _object(fields: Mapping[str, object], name: str) -> Mapping[str, object]:
    """A field that should be an object; an empty one if it is not."""
    value = fields.get(name)
    return value if isinstance(value, dict) else {}
