"""What can be told to go wrong, and when: frozen values, each checked where it is made."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

__all__ = [
    "Close",
    "Corrupt",
    "Delay",
    "Drop",
    "Duplicate",
    "DuplicateTranscript",
    "Error",
    "EventAction",
    "Expire",
    "FaultAction",
    "Fin",
    "HalfOpen",
    "HandshakeAction",
    "Hang",
    "NoPong",
    "Pause",
    "Redirect",
    "Refuse",
    "Reorder",
    "Reset",
    "Send",
    "Silence",
    "Slow",
    "SocketAction",
    "When",
]

Place: TypeAlias = Literal["handshake", "open", "time", "sent", "received", "audio"]
Corruption: TypeAlias = Literal[
    "bad_json",
    "truncated",
    "not_object",
    "empty",
    "binary",
    "deep",
    "unknown_type",
    "missing_field",
    "wrong_type",
    "bad_base64",
    "odd_bytes",
    "oversized",
]
_PLACES = ("handshake", "open", "time", "sent", "received", "audio")
_CORRUPTIONS = (
    "bad_json",
    "truncated",
    "not_object",
    "empty",
    "binary",
    "deep",
    "unknown_type",
    "missing_field",
    "wrong_type",
    "bad_base64",
    "odd_bytes",
    "oversized",
)
_OF_PLACE = {
    "after_s": ("time",),
    "type": ("sent", "received"),
    "nth": ("sent", "received"),
    "deltas": ("audio",),
    "audio_bytes": ("audio",),
}
_NEVER_IN_A_FRAME = (1004, 1005, 1006, 1015)
_MAX_REASON_BYTES = 123


def _demand(holds: bool, text: str) -> None:
    if not holds:
        raise ValueError(text)


def _one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    _demand(value in known, f"{name} must be one of {', '.join(map(repr, known))}, not {value!r}.")


def _positive(name: str, value: float | None) -> None:
    _demand(
        value is None or (value > 0 and math.isfinite(value)), f"{name} must be greater than 0, not {value!r}."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """When a fault happens.

    * ``at``: ``"handshake"``; ``"open"``, before anything is sent; ``"time"``, ``after_s`` seconds later;
      ``"sent"`` and ``"received"``, at the ``nth`` event whose type fits ``type`` (with ``*`` and ``?``);
      ``"audio"``, at the delta that completes so many ``deltas`` or ``audio_bytes`` of the output audio.
    * ``always``: every time from then on (of ``"time"``: every ``after_s``), instead of once in a connection.
    * ``probability`` (0..1): each time, by chance; the chances are the same in each run with the script's seed.
    * ``connection``: only the nth one since the script was set, refused ones counted. None: every connection.

    Raises ValueError, which names the field, for anything else.
    """

    at: Place
    type: str = "*"
    nth: int = 1
    after_s: float = 0.0
    deltas: int = 0
    audio_bytes: int = 0
    always: bool = False
    probability: float = 1.0
    connection: int | None = None

    def __post_init__(self) -> None:
        _one_of("at", self.at, _PLACES)
        for name, places in _OF_PLACE.items():
            default = When.__dataclass_fields__[name].default
            used = getattr(self, name) != default
            _demand(not used or self.at in places, f"{name} has no meaning at {self.at!r}.")
        _demand(self.nth >= 1, f"nth must be at least 1, not {self.nth}.")
        _demand(
            self.after_s >= 0 and math.isfinite(self.after_s), f"after_s must be at least 0, not {self.after_s}."
        )
        _demand(0 <= self.probability <= 1, f"probability must be between 0 and 1, not {self.probability}.")
        _demand(
            self.connection is None or self.connection >= 1,
            f"connection must be at least 1, not {self.connection}.",
        )
        if self.at == "audio":
            counts = (self.deltas, self.audio_bytes)
            _demand(min(counts) == 0 < max(counts), "deltas or audio_bytes (one of them) must be greater than 0.")
        if self.at == "time":
            _demand(not self.always or self.after_s > 0, "after_s must be greater than 0 where it happens always.")
        else:
            _demand(
                not self.always or self.at not in ("handshake", "open"), f"always has no meaning at {self.at!r}."
            )


# --- The handshake ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Answer the handshake with this HTTP status and the service's JSON error, or with a ``body`` of your own.

    ``code`` and ``message`` default to what fits the status. The service's true bodies were never recorded.
    """

    status: int = 503
    code: str | None = None
    message: str | None = None
    retry_after_s: int | None = None
    body: str | None = None
    content_type: str = "text/html"

    def __post_init__(self) -> None:
        _demand(
            self.status == 200 or 400 <= self.status <= 599,
            f"status must be 200 or between 400 and 599, not {self.status}.",
        )
        _demand(
            self.retry_after_s is None or self.retry_after_s >= 0,
            f"retry_after_s must be at least 0, not {self.retry_after_s}.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Hang:
    """Do not answer the handshake for ``for_s`` seconds, then go on; None: never."""

    for_s: float | None = None

    def __post_init__(self) -> None:
        _positive("for_s", self.for_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """Answer the handshake with a redirection; the default ``location`` is a port where nobody listens."""

    status: int = 302
    location: str = "http://127.0.0.1:1/elsewhere"
    body: str = ""

    def __post_init__(self) -> None:
        _demand(self.status in (301, 302, 303, 307, 308), f"status must be a redirection, not {self.status}.")
        _demand(self.location.isprintable(), "location must be printable.")


# --- The socket -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """Close with this code and reason (at most 123 bytes)."""

    code: int = 1011
    reason: str = ""

    def __post_init__(self) -> None:
        _demand(1000 <= self.code <= 4999, f"code must be between 1000 and 4999, not {self.code}.")
        _demand(
            self.code not in _NEVER_IN_A_FRAME,
            f"code {self.code} is never in a close frame: use fin or reset for a loss without one.",
        )
        size = len(self.reason.encode())
        _demand(size <= _MAX_REASON_BYTES, f"reason must have at most {_MAX_REASON_BYTES} bytes, not {size}.")


@dataclass(frozen=True, slots=True)
class Fin:
    """End the TCP connection without a close frame."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the TCP connection."""


@dataclass(frozen=True, slots=True)
class NoPong:
    """Answer no ping from now on; everything else goes on."""


@dataclass(frozen=True, slots=True)
class HalfOpen:
    """Read and write nothing any more and keep the socket, until the server ends."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Send no event from now on; pings are answered. On opening: no session.created."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """Send (or read) at most this many bytes per second: a frame arrives when its last byte does."""

    bytes_per_s: float
    direction: Literal["sent", "received"] = "sent"

    def __post_init__(self) -> None:
        _positive("bytes_per_s", self.bytes_per_s)
        _one_of("direction", self.direction, ("sent", "received"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Send nothing for so long; then what was held back, at once."""

    for_s: float

    def __post_init__(self) -> None:
        _positive("for_s", self.for_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Send an event (an ``event_id`` is added), a text frame, or a binary frame given as base64: one of them.

    In the strings of an event ``"$x.y"`` stands for the field ``y`` of the field ``x`` of the event it happens at.
    """

    event: Mapping[str, Any] | None = None
    text: str | None = None
    binary: str | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.event, self.text, self.binary) if value is not None]
        _demand(len(given) == 1, "event, text or binary (one of them) must be given.")
        try:
            base64.b64decode(self.binary or "", validate=True)
        except ValueError as error:
            raise ValueError(f"binary must be base64: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """Send an ``error`` event; an ``event_id`` of ``"$event_id"`` is that of the event it happens at."""

    code: str = "server_error"
    type: str = "server_error"
    message: str = "The server had an error while processing your request."
    param: str | None = None
    event_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expire:
    """The session's time is over: an error ``session_expired`` and a close with 1001, or that close alone."""

    form: Literal["error", "bare"] = "error"

    def __post_init__(self) -> None:
        _one_of("form", self.form, ("error", "bare"))


# --- One event --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Drop:
    """Lose the event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """Send the event twice. ``changes`` replace fields of the second one; ``new_id`` gives it its own event_id."""

    changes: Mapping[str, Any] | None = None
    new_id: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateTranscript:
    """What deep noise suppression does to a manual commit: a transcript and its item twice, one transcript empty.

    The second ``conversation.item.created`` names the item itself as its predecessor. Which transcript is empty is
    not recorded: ``empty`` says. Other events are left alone.
    """

    empty: Literal["first", "second"] = "second"

    def __post_init__(self) -> None:
        _one_of("empty", self.empty, ("first", "second"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """Let the event, and all that follow it, come so much later."""

    by_ms: float

    def __post_init__(self) -> None:
        _positive("by_ms", self.by_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reorder:
    """Send the event behind the next one of this type; ``*`` swaps it with whatever is next."""

    behind: str = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrupt:
    """Spoil the event.

    ``how``: ``bad_json``, ``truncated`` (half of it), ``not_object`` (the JSON of ``value``), ``empty``,
    ``binary`` (bytes that are no text), ``deep`` (100,000 nested lists), ``unknown_type``, ``missing_field`` and
    ``wrong_type`` (``field`` is gone or becomes ``value``), ``bad_base64`` and ``odd_bytes`` (of the audio),
    ``oversized`` (padded to more than ``size`` bytes, by default the 4 MiB that the SDK accepts).
    """

    how: Corruption
    field: str = ""
    value: object = None
    size: int = 4 * 1024 * 1024

    def __post_init__(self) -> None:
        _one_of("how", self.how, _CORRUPTIONS)
        wanted = self.how in ("missing_field", "wrong_type")
        _demand(bool(self.field) or not wanted, f"field must be given where how is {self.how!r}.")
        _demand(0 < self.size <= 64 * 1024 * 1024, f"size must be between 1 and 64 MiB, not {self.size}.")


HandshakeAction: TypeAlias = Refuse | Hang | Redirect
EventAction: TypeAlias = Drop | Duplicate | DuplicateTranscript | Delay | Reorder | Corrupt
SocketAction: TypeAlias = Close | Fin | Reset | NoPong | HalfOpen | Silence | Slow | Pause | Send | Error | Expire
FaultAction: TypeAlias = HandshakeAction | EventAction | SocketAction
