"""The browser dialect: binary messages are audio, text messages are small JSON objects.

Audio is 16-bit little-endian mono PCM in both directions, at one rate, in messages of any whole number of samples.

The page says (a field marked ? may be left out; any other field is refused, so that a page can change neither the
session nor the tools nor the instructions):

| type | fields | meaning |
|---|---|---|
| ``hello`` | rate?, ticket? | Only as the first message, which may also be audio: the rate in Hz, 8,000 to 48,000 (the agent converts), and a text for the server's own use. |
| ``played`` | samples, generation | So many samples were *heard* since the generation began. At least every 250 ms while there are any, better every 50, and at the end. |
| ``interrupt`` | | Be silent. |
| ``text`` | text | The user has typed this: 1 to 4,000 characters. |
| ``ping`` | id? | Answered by ``pong``. |
| ``pong`` | id | The answer to ``ping``, at once. |
| ``bye`` | | The user leaves. |

The server says:

| type | fields | meaning |
|---|---|---|
| ``ready`` | rate, generation | The answer to the first message: this rate goes both ways; the generation is 0. |
| ``flush`` | generation | Drop what is not yet heard. Audio from here on is of this generation, whose samples count from 0. |
| ``state`` | state | ``connecting``, ``ready``, ``listening``, ``processing``, ``speaking``, ``error`` or ``closed``. |
| ``transcript`` | who, item_id, text, final | What ``user`` or ``agent`` says: the whole text so far, which replaces the item's earlier one. ``""`` keeps the place of words that may come after the answer to them. |
| ``interrupted`` | item_id, heard_ms, heard_text | The agent was cut off; the listener knows this much of the item. |
| ``tool`` | call_id, name, status, elapsed_ms?, error? | A tool is ``called`` or ``finished``. |
| ``turn`` | response_id, status, heard_ms, response_ms, endpoint_ms, barge_in_ms | An answer is over; null is what does not apply. |
| ``error`` | code, message, fatal | The service reports a failure. |
| ``ping`` | id | Every 5 s, the first four in succession. Answer it at once: the round trip tells what a flush comes too late for. |
| ``pong`` | id? | The answer to ``ping``, with its id if it had one. |
| ``end`` | reason, detail | The call is over; the socket is closed next. |

A page that no longer reports ``played`` gets no more audio after half a second: it could not be interrupted. Close
codes: 1007 for text that is no JSON object and for half a sample, 1008 for what the tables do not allow. A message
of another type is ignored.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from .. import events
from ..audio import AudioFormat
from ..events import Event
from ._position import Position
from .dialect import (
    BAD_DATA,
    POLICY,
    Action,
    Audio,
    Dialect,
    Ignored,
    Interrupt,
    Left,
    Message,
    Played,
    Refused,
    Rejected,
    Reply,
    RoundTrip,
    Typed,
    is_count,
    parsed,
    shown,
    to_json,
)

__all__ = ["Browser", "Hello"]

RATES: Final = range(8_000, 48_001)
PROBES: Final = 4
"""So many pings follow each other at first: a single round trip may have been somebody's hesitation, and what is
believed of a flush hangs on it."""
MAX_TEXT: Final = 4_000
MAX_TICKET: Final = 1_000


@dataclass(frozen=True, slots=True)
class Hello:
    """How a page introduced itself. The ticket is what the server made of it, and is not looked at here."""

    rate: int
    ticket: str | None = None


class Browser(Dialect[Hello]):
    """A page with a microphone and a speaker: see :mod:`voicelive_agent.websocket.browser` for its messages.

    ``rate`` in Hz is that of a page which does not say hello. ``start`` is a :class:`Hello`.
    """

    ping_s: ClassVar[float | None] = 5.0

    def __init__(self, rate: int = 24_000) -> None:
        if rate not in RATES:
            raise ValueError(f"the rate must be 8,000 to 48,000 Hz, not {rate}")
        super().__init__(AudioFormat(rate=rate))
        self._ping = 0
        self._pinged_at: float | None = None  # None: the latest one was answered

    def receive(self, message: Message, now: float) -> Iterable[Action]:
        """What a message of the page means."""
        if isinstance(message, bytes):
            yield from self._begin({})
            yield self._audio(message)
            return
        try:
            fields = parsed(message)
        except ValueError as error:
            yield Refused(BAD_DATA, str(error))
            return
        kind = fields.pop("type", None)
        if not isinstance(kind, str) or kind not in _SCHEMA:
            yield Ignored(shown(kind))
        elif fault := _fault(kind, fields):
            yield Refused(POLICY, fault)
        elif kind == "hello" and self._start is not None:
            yield Refused(POLICY, "hello comes first")
        else:
            yield from self._begin(fields if kind == "hello" else {})
            yield from self._means(kind, fields, now)

    def encode(self, audio: bytes, position: Position, *, last: bool, now: float) -> Iterable[tuple[Message, int]]:
        """One binary message."""
        yield audio, len(audio) // self._format.frame_bytes

    def flush(self, generation: int) -> str:
        """The message that empties the page's buffer."""
        return to_json({"type": "flush", "generation": generation})

    def describe(self, event: Event) -> Iterable[str]:
        """What the page shows of an event."""
        if (content := _described(event)) is not None:
            yield to_json(content)

    def ping(self, now: float) -> str:
        """A heartbeat. Its answer measures the round trip, if it is the latest one's."""
        self._ping += 1
        self._pinged_at = now
        return to_json({"type": "ping", "id": self._ping})

    def _begin(self, hello: Mapping[str, object]) -> Iterator[Action]:
        if self._start is not None:
            return
        rate, ticket = hello.get("rate"), hello.get("ticket")
        if isinstance(rate, int):
            self._format = AudioFormat(rate=rate)
        self._start = Hello(self._format.rate, ticket if isinstance(ticket, str) else None)
        yield Reply(to_json({"type": "ready", "rate": self._format.rate, "generation": 0}))

    def _audio(self, message: bytes) -> Action:
        if len(message) % self._format.frame_bytes:
            return Refused(BAD_DATA, f"{len(message)} bytes are no 16-bit samples")
        return Audio(message) if message else Rejected("audio of no samples")

    def _means(self, kind: str, fields: Mapping[str, object], now: float) -> Iterator[Action]:
        """What a message means that has the fields it should have."""
        match kind, fields:
            case "played", {"samples": int(samples), "generation": int(generation)}:
                yield Played(generation, samples)
            case "interrupt", _:
                yield Interrupt()
            case "text", {"text": str(text)}:
                yield Typed(text)
            case "ping", _:
                yield Reply(to_json({"type": "pong", **fields}))
            case "pong", {"id": number}:
                if number == self._ping and self._pinged_at is not None:
                    yield RoundTrip(now - self._pinged_at)
                    self._pinged_at = None
                    if self._ping < PROBES:
                        yield Reply(self.ping(now))
            case "bye", _:
                yield Left("the page said goodbye")
            case _:
                pass  # hello, which has begun


# --- the page's messages -----------------------------------------------------------------------------------------


def _is_rate(value: object) -> bool:
    return type(value) is int and value in RATES


def _is_text(value: object, longest: int) -> bool:
    """Whether this is text that can be written down: half a surrogate pair is none."""
    return (
        isinstance(value, str) and 0 < len(value) <= longest and not any("\ud800" <= c <= "\udfff" for c in value)
    )


_SCHEMA: Final[Mapping[str, Mapping[str, Callable[[object], bool]]]] = {
    "hello": {"rate": _is_rate, "ticket": lambda value: _is_text(value, MAX_TICKET)},
    "played": {"samples": is_count, "generation": is_count},
    "interrupt": {},
    "text": {"text": lambda value: _is_text(value, MAX_TEXT)},
    "ping": {"id": is_count},
    "pong": {"id": is_count},
    "bye": {},
}
_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "played": ("samples", "generation"),
    "text": ("text",),
    "pong": ("id",),
}


def _fault(kind: str, fields: Mapping[str, object]) -> str | None:
    """What is wrong with the fields of a message, or None."""
    allowed = _SCHEMA[kind]
    for name, value in fields.items():
        if name not in allowed:
            return f"{kind} has no field {shown(name)}"
        if not allowed[name](value):
            return f"{kind}: {name} cannot be {shown(value)}"
    missing = [name for name in _REQUIRED.get(kind, ()) if name not in fields]
    return f"{kind} needs {' and '.join(missing)}" if missing else None


# --- the server's ------------------------------------------------------------------------------------------------


def _described(event: Event) -> dict[str, object] | None:
    match event:
        case events.StateChanged(new=state):
            return {"type": "state", "state": state.value}
        case events.SpeechStarted(item_id=item_id):
            return _transcript("user", item_id, "", final=False)
        case events.UserSpeaking() | events.UserSpoke():
            return _transcript("user", event.item_id, event.text, final=isinstance(event, events.UserSpoke))
        case events.AgentSpeaking() | events.AgentSpoke():
            return _transcript("agent", event.item_id, event.text, final=isinstance(event, events.AgentSpoke))
        case events.Interrupted():
            return {"type": "interrupted", **_some(event, "item_id", "heard_ms", "heard_text")}
        case events.ToolCalled():
            return {"type": "tool", **_some(event, "call_id", "name"), "status": "called"}
        case events.ToolFinished():
            return {
                "type": "tool",
                **_some(event, "call_id", "name"),
                "status": "finished",
                **_some(event, "elapsed_ms", "error"),
            }
        case events.TurnEnded():
            names = ("response_id", "status", "heard_ms", "response_ms", "endpoint_ms", "barge_in_ms")
            return {"type": "turn", **_some(event, *names)}
        case events.ServiceFailed():
            return {"type": "error", **_some(event, "code", "message", "fatal")}
        case events.SessionEnded(verdict):
            return {"type": "end", "reason": verdict.reason.value, "detail": verdict.detail}
        case _:
            return None


def _transcript(who: str, item_id: str, text: str, *, final: bool) -> dict[str, object]:
    return {"type": "transcript", "who": who, "item_id": item_id, "text": text, "final": final}


def _some(event: Event, *names: str) -> dict[str, object]:
    return {name: getattr(event, name) for name in names}
