"""What goes wrong on one connection, the decisions only: events and the time in, what is to be done out."""

from __future__ import annotations

import base64
import heapq
import json
import math
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from itertools import count
from random import Random
from typing import Any, TypeAlias, get_args

from ._errors import ClientError, session_expired
from ._fault_actions import (
    Close,
    Corrupt,
    Delay,
    Drop,
    Duplicate,
    DuplicateTranscript,
    Error,
    EventAction,
    Expire,
    FaultAction,
    Fin,
    HalfOpen,
    HandshakeAction,
    Hang,
    NoPong,
    Pause,
    Redirect,
    Refuse,
    Reorder,
    Reset,
    Send,
    Silence,
    Slow,
    When,
)
from ._fault_events import Frame, Lane, altered, kind_of, resolved
from ._fault_script import Fault, FaultScript

__all__ = ["ConnectionFaults", "Step"]

Step: TypeAlias = Frame | Close | Fin | Reset | HalfOpen | NoPong
"""What a connection does next. After a Close, Fin, Reset or HalfOpen there is no other."""
_DEFAULT_LIMIT_S = 3600.0


class _Armed:
    """A fault of this connection, and how often its time has come."""

    def __init__(self, fault: Fault, chance: Random) -> None:
        self.fault = fault
        self.spent = False
        self._chance = chance
        self._seen = 0

    @property
    def when(self) -> When:
        return self.fault.when

    def fires(self) -> bool:
        """Whether it happens this time; asked once for each time that its condition holds."""
        self._seen += 1
        if self.spent or self._seen < self.when.nth or self._chance.random() >= self.when.probability:
            return False
        self.spent = not self.when.always
        return True


class ConnectionFaults:
    """The faults of one connection between a session and its client; no I/O, no clock.

    First :meth:`handshake` and :meth:`open`. Then give it every event of the session (:meth:`send`) and every
    frame of the client (:meth:`receive`); after each, and at :attr:`deadline`, do what :meth:`poll` returns and
    hand the session what :meth:`arrived` returns. An empty script changes nothing. ``number`` is 1 for the first
    connection since the script was set.
    """

    def __init__(self, script: FaultScript, number: int = 1) -> None:
        self._armed = [
            _Armed(fault, Random(f"{script.seed}/{number}/{index}"))
            for index, fault in enumerate(script.faults)
            if fault.when.connection in (None, number)
        ]
        self._out: Lane[Step] = Lane()
        self._in: Lane[Frame] = Lane()
        self._timed: list[tuple[float, int, _Armed]] = []
        self._ids = count(1)
        self._deltas = 0
        self._audio_bytes = 0
        self._silent = False
        self._over = False

    def handshake(self) -> list[HandshakeAction]:
        """What happens before the connection is accepted, in order."""
        return [
            armed.fault.action
            for armed in self._at("handshake")
            if isinstance(armed.fault.action, get_args(HandshakeAction)) and armed.fires()
        ]

    def open(self, now: float) -> None:
        """The connection is accepted; from here the session's seconds count."""
        for armed in self._at("time"):
            heapq.heappush(self._timed, (now + armed.when.after_s, next(self._ids), armed))
        for armed in self._at("open"):
            if armed.fires():
                self.do(armed.fault.action, now)
        self._tick(now)

    def send(self, event: Mapping[str, Any], now: float) -> None:
        """The session sends this event."""
        self._tick(now)
        if self._silent:
            return
        fired = [armed.fault.action for armed in self._matching("sent", kind_of(event)) if armed.fires()]
        fired += self._audio(event)
        self._pass(self._out, Frame.of(event), fired, now)

    def receive(self, data: str | bytes, now: float) -> None:
        """The client sent this frame."""
        self._tick(now)
        frame = Frame(data)
        if any(armed.when.at == "received" and not armed.spent for armed in self._armed):
            frame = Frame(data, _event_in(data))
        fired = [armed.fault.action for armed in self._matching("received", kind_of(frame.event)) if armed.fires()]
        self._pass(self._in, frame, fired, now)

    def do(self, action: FaultAction, now: float, cause: Mapping[str, Any] | None = None) -> None:
        """Do this now; what needs an event happens to the next one that is sent. ``cause``: see :class:`Send`.

        Raises ValueError for an action of the handshake.
        """
        match action:
            case Close() | Fin() | Reset() | HalfOpen() | NoPong():
                self._out.push(action, now)
            case Silence():
                self._silent = True
            case Slow(bytes_per_s=rate, direction=direction):
                (self._out if direction == "sent" else self._in).bytes_per_s = rate
            case Pause():
                self._out.pause(now, action.for_s)
            case Send() | Error():
                frame = self._said(action, cause or {})
                self._out.push(frame, now, size=len(frame.data))
            case Expire():
                if action.form == "error":
                    self._say(session_expired(_DEFAULT_LIMIT_S), now)
                self._out.push(Close(code=1001, reason="session_expired"), now)
            case Drop() | Duplicate() | DuplicateTranscript() | Delay() | Reorder() | Corrupt():
                self._armed.append(_Armed(Fault(When(at="sent"), action), Random(0)))
            case Refuse() | Hang() | Redirect():
                raise ValueError(f"{type(action).__name__} only happens at the handshake.")

    def poll(self, now: float) -> list[Step]:
        """What the server does by ``now``, in order."""
        self._tick(now)
        if self._over:
            return []
        steps = self._out.take(now)
        for index, step in enumerate(steps):
            if isinstance(step, Close | Fin | Reset | HalfOpen):
                self._over = True
                return steps[: index + 1]
        return steps

    def arrived(self, now: float) -> list[str | bytes]:
        """The frames that have reached the session by ``now``."""
        return [] if self._over else [frame.data for frame in self._in.take(now)]

    @property
    def reads_at(self) -> float:
        """When the next frame should be read: a slow server does not take what it cannot handle."""
        return self._in.free_at

    @property
    def deadline(self) -> float | None:
        """When there is something to poll next; None if nothing is scheduled."""
        if self._over:
            return None
        timed = self._timed[0][0] if self._timed else None
        return min(
            (due for due in (self._out.deadline, self._in.deadline, timed) if due is not None), default=None
        )

    # --- Deciding -----------------------------------------------------------------------------------------

    def _at(self, place: str) -> list[_Armed]:
        return [armed for armed in self._armed if armed.when.at == place]

    def _matching(self, place: str, kind: str) -> Iterable[_Armed]:
        return [armed for armed in self._at(place) if not armed.spent and fnmatchcase(kind, armed.when.type)]

    def _audio(self, event: Mapping[str, Any]) -> list[FaultAction]:
        """What happens at this event because of the audio that is sent by it."""
        delta = event.get("delta")
        if kind_of(event) != "response.audio.delta" or not isinstance(delta, str):
            return []
        self._deltas += 1
        self._audio_bytes += len(delta) * 3 // 4 - delta.count("=")
        return [
            armed.fault.action
            for armed in self._at("audio")
            if self._audio_bytes >= armed.when.audio_bytes and self._deltas >= armed.when.deltas and armed.fires()
        ]

    def _tick(self, now: float) -> None:
        """What was due by ``now`` because of the time."""
        while self._timed and self._timed[0][0] <= now and not self._over:
            due, _, armed = heapq.heappop(self._timed)
            if armed.fires():
                self.do(armed.fault.action, due)
            if armed.when.always:
                every_s = armed.when.after_s
                # What was missed while nobody asked is not made up for.
                due += every_s * (math.floor((now - due) / every_s) + 1)
                heapq.heappush(self._timed, (due, next(self._ids), armed))

    def _pass(self, lane: Lane[Any], frame: Frame, actions: list[FaultAction], now: float) -> None:
        """Let a frame through, or what the faults make of it; then what they do besides."""
        frames, delay_s, behind = [frame], 0.0, None
        for action in actions:
            match action:
                case Delay():
                    delay_s += action.by_ms / 1000
                case Reorder():
                    behind = action.behind
                case Drop() | Duplicate() | DuplicateTranscript() | Corrupt():
                    frames = [made for one in frames for made in altered(action, one, self._new_id)]
        if behind is not None:
            lane.hold(behind, frames)
        else:
            for one in [*frames, *lane.released(kind_of(frame.event))]:
                lane.push(one, now, size=len(one.data), delay_s=delay_s)
                delay_s = 0.0
        for action in actions:
            if not isinstance(action, get_args(EventAction)):
                self.do(action, now, frame.event)

    def _said(self, action: Send | Error, cause: Mapping[str, Any]) -> Frame:
        if isinstance(action, Error):
            details = {"type": action.type, "code": action.code, "message": action.message, "param": action.param}
            error = resolved({**details, "event_id": action.event_id}, cause)
            return Frame.of({"event_id": self._new_id(), "type": "error", "error": error})
        if action.event is not None:
            return Frame.of({"event_id": self._new_id(), **resolved(action.event, cause)})
        return Frame(action.text) if action.text is not None else Frame(base64.b64decode(action.binary or ""))

    def _say(self, error: ClientError, now: float) -> None:
        frame = Frame.of({"event_id": self._new_id(), "type": "error", "error": error.details(None)})
        self._out.push(frame, now, size=len(frame.data))

    def _new_id(self) -> str:
        return f"event_fault{next(self._ids)}"


def _event_in(data: str | bytes) -> Mapping[str, Any] | None:
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        return None  # whatever is wrong with it, the session says
    return event if isinstance(event, dict) else None
