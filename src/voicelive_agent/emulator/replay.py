"""A recording as a service: the same events to a client that says the same, and a diff to one that does not.

``serve(make_session=replaying(load_recording(path)))`` serves it; a :class:`ReplaySession` is driven like an
:class:`EmulatorSession` and has as little I/O.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import ConfigurationError
from ._matching import MISSING, Difference, Matcher
from ._options import Job
from ._redact import Redactor, audio_bytes
from ._replay_plan import APPENDS, COMMITS, Expected, Plan, Step, event_of, is_time
from .recording import Frame, Recording, parsed

__all__ = ["ReplayMismatch", "ReplayOptions", "ReplaySession", "Replaying", "replaying"]

_POLICY_VIOLATION = 1008
_LOST = 1006
"""Tells the server to end the connection without a close frame."""
_log = logging.getLogger("voicelive_agent.emulator")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """How a recording is served.

    * ``speed`` divides the recorded delays; ``inf`` sends everything as soon as it may be sent.
    * ``policy``: ``"strict"`` answers a client that departs with an ``error`` event and closes (1008);
      ``"lenient"`` reports it and goes on wherever the client can be matched again.
    * ``audio``: ``"length"`` compares how much audio comes before a commit; ``"exact"`` also compares its bytes,
      however they are divided into messages.
    * ``tolerance_ms`` of audio may be missing before a commit or a VAD event, or be too much before a commit.
    * ``ignore``: paths in the client's messages that are not compared, like ``item.output`` or
      ``response.metadata*``; an index is a name too (``session.tools.0.description``).
    * ``shift_expiry``: ``session.expires_at`` is as far ahead as it was then.
    """

    speed: float = 1.0
    policy: Literal["strict", "lenient"] = "strict"
    audio: Literal["length", "exact"] = "length"
    tolerance_ms: float = 200.0
    ignore: tuple[str, ...] = ()
    shift_expiry: bool = True

    def __post_init__(self) -> None:
        if not self.speed > 0:
            raise ValueError(f"ReplayOptions.speed must be greater than 0, not {self.speed!r}.")
        if not self.tolerance_ms >= 0:
            raise ValueError(f"ReplayOptions.tolerance_ms must be at least 0, not {self.tolerance_ms!r}.")
        for name, known in (("policy", ("strict", "lenient")), ("audio", ("length", "exact"))):
            if getattr(self, name) not in known:
                allowed = " or ".join(map(repr, known))
                raise ValueError(f"ReplayOptions.{name} must be {allowed}, not {getattr(self, name)!r}.")


@dataclass(frozen=True, slots=True)
class ReplayMismatch:
    """Where a client departs from a recording; as a string it is a diff to read."""

    path: str
    """The recording."""
    line: int | None
    """Of the message that was expected; None where nothing was."""
    fault: Literal["differs", "not sent", "unexpected"]
    type: str
    """Of the message in question: the one expected, or the one that was not."""
    differences: tuple[Difference, ...] = ()

    def __str__(self) -> str:
        where = self.path if self.line is None else f"{self.path}:{self.line}"
        words = {
            "differs": f"{where}: the client's {self.type} is not the recorded one:",
            "not sent": f"{where}: the client did not send the recorded {self.type}:",
            "unexpected": f"{where}: the client sent a {self.type} that was not recorded:",
        }
        return "\n".join([words[self.fault], *(f"  {difference}" for difference in self.differences)])


class Replaying:
    """Makes the sessions that serve a recording, as ``serve(make_session=...)`` wants it."""

    def __init__(
        self,
        recording: Recording,
        options: ReplayOptions,
        on_mismatch: Callable[[ReplayMismatch], None] | None,
    ) -> None:
        if options.audio == "exact" and recording.audio == "cut":
            raise ConfigurationError(
                f"{recording.path} holds only the beginnings of the audio.", hint="Use audio='length'."
            )
        self._plan = Plan(recording)
        self._options = options
        self._on_mismatch = on_mismatch
        self.sessions: list[ReplaySession] = []
        """Every session so far, in the order of the connections."""

    def __call__(self, model: str, query: Mapping[str, str]) -> ReplaySession:
        """The session of a new connection."""
        session = ReplaySession(self._plan, self._options, self._on_mismatch)
        self.sessions.append(session)
        return session

    @property
    def mismatches(self) -> list[ReplayMismatch]:
        """Where the clients departed, of all sessions."""
        return [mismatch for session in self.sessions for mismatch in session.mismatches]


def replaying(
    recording: Recording,
    options: ReplayOptions | None = None,
    *,
    on_mismatch: Callable[[ReplayMismatch], None] | None = None,
) -> Replaying:
    """Serve this recording to every connection: ``serve(make_session=replaying(recording))``.

    The model that a client asks for is not compared. Every mismatch is given to ``on_mismatch`` (default: a
    warning in the log), which must not raise. Raises ConfigurationError for a recording that cannot be served.
    """
    return Replaying(recording, options or ReplayOptions(), on_mismatch)


class ReplaySession:
    """One session that serves a recording; made by :func:`replaying`, driven like an EmulatorSession."""

    def __init__(
        self, plan: Plan, options: ReplayOptions, on_mismatch: Callable[[ReplayMismatch], None] | None
    ) -> None:
        self._plan = plan
        self._options = options
        self._on_mismatch = on_mismatch or _warn
        self._matcher = Matcher(plan.recording, options.ignore)
        kept = plan.recording
        self._redactor = Redactor(audio=kept.audio != "left out", texts=kept.texts)
        # Where appends are counted, there is nothing between all of them and any number.
        counted = kept.audio == "cut" and math.isfinite(options.tolerance_ms)
        self._tolerance = 0.0 if counted else options.tolerance_ms * plan.bytes_per_ms
        self._hear = _ExactAudio(plan) if options.audio == "exact" else None
        self._pending = list(range(len(plan.messages)))
        self._passed = 0  # the messages up to the last one matched
        self._audio = 0
        self._next = 0  # of the plan's steps
        self._due: float | None = None
        self._now = 0.0
        self._shift_s = 0
        self._out: list[dict[str, Any]] = []
        self._closing: tuple[int, str] | None = None
        self.mismatches: list[ReplayMismatch] = []
        """Where the client departed so far."""

    @property
    def not_sent(self) -> list[Expected]:
        """The recorded messages that the client did not send yet."""
        return [self._plan.messages[index] for index in self._pending]

    @property
    def finished(self) -> bool:
        """Whether everything recorded has happened again."""
        return not self._pending and self._next == len(self._plan.steps)

    # --- Driving ------------------------------------------------------------------------------------------

    def start(self, now: float, *, unix_time: float | None = None) -> None:
        """Begin. ``unix_time`` (default: ``now``) moves the recorded expiry."""
        if self._options.shift_expiry:
            self._shift_s = self._plan.expiry_shift_s(now if unix_time is None else unix_time)
        self._arrange(now)

    def receive(self, data: str | bytes, now: float) -> None:
        """Take one message of the client, and compare it with the recorded ones."""
        if self._closing:
            return
        event = parsed(data)
        if event is None:
            event = dict(event_of(Frame.other(data)))
        self._advance(now)
        if event.get("type") in APPENDS:
            self._append(event)
        else:
            self._match(event)
        self._arrange(now)

    def poll(self, now: float) -> list[dict[str, Any]]:
        """The events due by ``now``, in order."""
        self._advance(now)
        out, self._out = self._out, []
        return out

    @property
    def deadline(self) -> float | None:
        """When :meth:`poll` has something to do next; None if it depends on the client."""
        return self._now if self._out else self._due

    def jobs(self) -> list[Job]:
        """Nothing has to be worked out."""
        return []

    def finish(self, job: Job, result_or_error: object, now: float) -> None:
        """Never called with anything: there are no jobs."""

    @property
    def closing(self) -> tuple[int, str] | None:
        """The close code and reason, as recorded; 1008 for a client that departed."""
        return self._closing

    # --- The service's side -------------------------------------------------------------------------------

    def _advance(self, now: float) -> None:
        """Do what is due."""
        self._now = max(self._now, now)
        while not self._closing and self._due is not None and self._due <= now:
            at, self._due = self._due, None
            step = self._plan.steps[self._next]
            self._next += 1
            if step.event is None:
                self._end()
            else:
                self._out.append(self._told(step.event))
            self._arrange(at)

    def _arrange(self, now: float) -> None:
        """Set the time of the next step, once everything that it waits for has happened."""
        if self._closing or self._due is not None or self._next == len(self._plan.steps):
            return
        if self._may(self._plan.steps[self._next]):
            self._due = now + self._plan.steps[self._next].delay_s / self._options.speed

    def _may(self, step: Step) -> bool:
        return step.messages <= self._passed and step.audio <= self._audio + self._tolerance

    def _told(self, event: Mapping[str, Any]) -> dict[str, Any]:
        told = self._matcher.for_client(event)
        session = told.get("session")
        if self._shift_s and isinstance(session, Mapping) and is_time(session.get("expires_at")):
            told["session"] = {**session, "expires_at": session["expires_at"] + self._shift_s}
        return told

    def _end(self) -> None:
        assert self._plan.closing is not None
        code, reason = self._plan.closing
        self._closing = (_LOST if code is None else code, reason)

    # --- The client's side --------------------------------------------------------------------------------

    def _append(self, event: Mapping[str, Any]) -> None:
        audio = event.get("audio")
        data = audio_bytes(audio) if isinstance(audio, str) else b""
        self._audio += 1 if self._plan.recording.audio == "cut" else len(data)
        if self._hear is not None:
            for line, difference in self._hear.append(data):
                self._depart("differs", line, str(event["type"]), [difference], event)

    def _match(self, event: Mapping[str, Any]) -> None:
        """Find the recorded message that this one is."""
        seen = self._redactor.event(event)
        match = next((index for index in self._pending if not self._differences(index, seen)), None)
        if match is None:
            self._differs(seen, event)
            return
        # What comes later than it should was reported when others overtook it.
        overtaken = [index for index in self._pending if self._passed <= index < match]
        for index in overtaken[:1] if self._strict else overtaken:
            self._not_sent(index, seen, event)
        if not (self._strict and overtaken):
            self._take(match, seen)

    def _differs(self, seen: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        """Find the recorded message that this one was meant to be."""
        if self._strict:
            closest = self._pending[0] if self._pending else None
        else:
            kinds = {index: self._plan.messages[index].event.get("type") for index in self._pending}
            closest = next((index for index, kind in kinds.items() if kind == seen.get("type")), None)
        if closest is None:
            self._unexpected(seen, event)
            return
        expected = self._plan.messages[closest]
        if expected.event.get("type") != seen.get("type"):
            self._not_sent(closest, seen, event)
            return
        found = self._differences(closest, seen)
        self._depart("differs", expected.line, str(seen.get("type")), found, event)
        self._take(closest, seen)

    def _unexpected(self, seen: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        name = str(seen.get("type"))
        self._depart("unexpected", None, name, [Difference("type", MISSING, seen.get("type", MISSING))], event)

    def _not_sent(self, index: int, seen: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        expected = self._plan.messages[index]
        name = str(expected.event.get("type"))
        self._depart("not sent", expected.line, name, [Difference("type", name, seen.get("type", MISSING))], event)

    def _differences(self, index: int, seen: Mapping[str, Any]) -> list[Difference]:
        expected = self._plan.messages[index]
        found = self._matcher.differences(expected.event, seen)
        if not found and seen.get("type") in COMMITS and abs(expected.audio - self._audio) > self._tolerance:
            lengths = (self._plan.length_s(amount) for amount in (expected.audio, self._audio))
            found.append(Difference("(audio before it)", *lengths))
        return found

    def _take(self, index: int, seen: Mapping[str, Any]) -> None:
        """This is that message."""
        expected = self._plan.messages[index]
        self._matcher.adopt(expected.event, seen)
        self._pending.remove(index)
        self._passed = max(self._passed, index + 1)
        if seen.get("type") in COMMITS:
            self._audio = expected.audio  # so that small differences do not add up

    @property
    def _strict(self) -> bool:
        return self._options.policy == "strict"

    def _depart(
        self,
        fault: Literal["differs", "not sent", "unexpected"],
        line: int | None,
        type: str,
        differences: list[Difference],
        event: Mapping[str, Any],
    ) -> None:
        mismatch = ReplayMismatch(self._plan.recording.path, line, fault, type, tuple(differences))
        self.mismatches.append(mismatch)
        self._on_mismatch(mismatch)
        if self._strict and not self._closing:
            where = "" if line is None else f" at line {line}"
            self._due = None
            self._closing = (_POLICY_VIOLATION, f"The client departs from the recording{where}.")
            self._out.append(_error_event(len(self.mismatches), mismatch, event))


def _warn(mismatch: ReplayMismatch) -> None:
    _log.warning("%s", mismatch)


def _error_event(number: int, mismatch: ReplayMismatch, event: Mapping[str, Any]) -> dict[str, Any]:
    event_id = event.get("event_id")
    return {
        "event_id": f"event_replay{number:010}",
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "code": "replay_mismatch",
            "message": str(mismatch),
            "param": mismatch.differences[0].path if mismatch.differences else None,
            "event_id": event_id if isinstance(event_id, str) else None,
        },
    }


class _ExactAudio:
    """Compares the client's audio with the recorded one, in the recorded pieces."""

    def __init__(self, plan: Plan) -> None:
        self._pieces = plan.pieces
        self._at = 0
        self._heard = bytearray()

    def append(self, audio: bytes) -> list[tuple[int, Difference]]:
        """Where the audio that is complete now is not the recorded one: the line, and the difference."""
        self._heard += audio
        found = []
        while self._at < len(self._pieces) and len(self._heard) >= self._pieces[self._at].bytes:
            piece = self._pieces[self._at]
            got = hashlib.sha256(self._heard[: piece.bytes]).hexdigest()
            del self._heard[: piece.bytes]
            self._at += 1
            if got != piece.sha256:
                found.append((piece.line, Difference("sha256 of the audio", piece.sha256, got)))
        return found
