"""What a dialect is: messages in, actions out; and audio in, messages out. For those who write one of their own.

A dialect has no socket, no clock and no task, so a test can speak it one message at a time. What it *means* is an
:data:`Action`, which :class:`~voicelive_agent.websocket.WebSocketAudio` carries out.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Generic, NoReturn, TypeAlias, TypeVar

from ..audio import AudioFormat
from ..events import Event
from ._position import Position

__all__ = [
    "BAD_DATA",
    "BAD_KIND",
    "DTMF_DIGITS",
    "POLICY",
    "TOO_BIG",
    "Action",
    "Audio",
    "Dialect",
    "Ignored",
    "Interrupt",
    "Left",
    "Message",
    "Played",
    "Position",
    "Refused",
    "Rejected",
    "Reply",
    "RoundTrip",
    "Tell",
    "Typed",
    "decoded",
    "encoded",
    "is_count",
    "parsed",
    "shown",
    "to_json",
]

StartT = TypeVar("StartT")

Message: TypeAlias = str | bytes
"""A text message, or a binary one."""

# RFC 6455, section 7.4.1: what a close code says to the far end.
BAD_KIND: Final = 1003
BAD_DATA: Final = 1007
POLICY: Final = 1008
TOO_BIG: Final = 1009

DTMF_DIGITS: Final = frozenset("0123456789*#ABCD")


@dataclass(frozen=True, slots=True)
class Audio:
    """The far end says this: whole frames in the dialect's format."""

    audio: bytes


@dataclass(frozen=True, slots=True)
class Played:
    """The far end has played so many samples of a generation."""

    generation: int
    samples: int


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """A message took so long there and back."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Tell:
    """Something for the agent's hooks."""

    event: Event


@dataclass(frozen=True, slots=True)
class Interrupt:
    """The user wants the agent to be silent."""


@dataclass(frozen=True, slots=True)
class Typed:
    """The user has typed this."""

    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    """This is to be sent."""

    message: str


@dataclass(frozen=True, slots=True)
class Left:
    """The far end says goodbye."""

    detail: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """A message of a kind that is none of our business. It is counted."""

    kind: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message that makes no sense and does no harm. It is counted."""

    fault: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A message after which there is no point in going on: the socket is closed with this code and reason."""

    code: int
    reason: str


Action: TypeAlias = (
    Audio | Played | RoundTrip | Tell | Interrupt | Typed | Reply | Left | Ignored | Rejected | Refused
)


class Dialect(Generic[StartT]):
    """The base of all dialects: subclass it for a protocol of your own. One object speaks on one socket.

    ``confirms`` is whether the far end says what it has played. ``lead_ms``: audio is sent at most so long before
    it is heard (None: at once, since the agent holds back what is not due). ``piece_ms``: a message has at most so
    much audio. ``ping_s``: how often :meth:`ping` is asked for a heartbeat.
    """

    confirms: ClassVar[bool] = True
    lead_ms: ClassVar[int | None] = None
    piece_ms: ClassVar[int] = 100
    ping_s: ClassVar[float | None] = None

    def __init__(self, format: AudioFormat) -> None:
        self._format = format
        self._start: StartT | None = None

    @property
    def format(self) -> AudioFormat:
        """What is said and what is heard. Final once the far end has begun."""
        return self._format

    @property
    def start(self) -> StartT | None:
        """What the far end said about itself when it began; None until it has."""
        return self._start

    def receive(self, message: Message, now: float) -> Iterable[Action]:
        """What a message of the far end means."""
        raise NotImplementedError

    def encode(self, audio: bytes, position: Position, *, last: bool, now: float) -> Iterable[tuple[Message, int]]:
        """The messages that carry a piece of audio, each with the samples in it.

        ``position`` is as of before it, and ``last`` whether nothing more is written yet.
        """
        raise NotImplementedError

    def flush(self, generation: int) -> str:
        """The message that silences the far end; what follows is of this generation."""
        raise NotImplementedError

    def describe(self, event: Event) -> Iterable[str]:
        """The messages that tell the far end of an event. None, unless it is somebody who looks."""
        return ()

    def ping(self, now: float) -> str | None:
        """A heartbeat, or None if there is none."""
        return None


# --- what they share ---------------------------------------------------------------------------------------------


def parsed(text: str) -> dict[str, object]:
    """The object that a text is in JSON. ValueError, in words for the far end, if it is anything else."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError("JSON, but no object")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"there is no {name} in JSON")


def to_json(message: Mapping[str, object]) -> str:
    """An object as JSON, in ASCII, as short as it gets."""
    return json.dumps(message, separators=(",", ":"))


def encoded(audio: bytes) -> str:
    """Audio as base64."""
    return base64.b64encode(audio).decode("ascii")


def decoded(payload: object, frame_bytes: int) -> bytes:
    """Audio from base64. ValueError if it is none, or not whole frames."""
    if not isinstance(payload, str):
        raise ValueError("no base64 text")
    try:
        audio = base64.b64decode(payload, validate=True)
    except ValueError as error:  # binascii.Error is one
        raise ValueError(f"not base64: {error}") from None
    if len(audio) % frame_bytes:
        raise ValueError(f"{len(audio)} bytes are no whole samples")
    return audio


def shown(value: object) -> str:
    """A value of the far end in a sentence: what it is, or what kind of thing, but never much of it."""
    if isinstance(value, str | int | float | None):
        return f"{value!r:.40}"
    return f"a {type(value).__name__}"


def is_count(value: object) -> bool:
    """Whether this is a number to count with: an integer of JSON that JavaScript knows exactly, not negative."""
    return type(value) is int and 0 <= value <= 2**53
