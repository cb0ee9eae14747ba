"""Push to talk: turns that begin and end when the user says so, and what of the microphone belongs to them.

Audio outside of a turn is never sent, so that the service's buffer is empty when a turn begins. The first 100 ms
of a turn are held back: the service refuses to commit less, and what was never sent need not be taken back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from . import _wire as wire
from . import events
from ._answers import Answers
from ._plan import Plan
from ._step import Step
from ._turns import Turns
from .history import History

MIN_TURN_MS: Final = 100
"""The service refuses to commit less audio than this (``input_audio_buffer_commit_empty``)."""
MAX_PRE_ROLL_MS: Final = 1_000
"""How much of the audio before a turn is kept."""


@dataclass(slots=True)
class _Turn:
    """A turn that has begun."""

    began_at: float
    limit_s: float
    held: bytes  # not yet sent: what was kept from before the turn, and the turn's first 100 ms
    heard: int = 0  # bytes, without what was kept from before

    @property
    def ends_at(self) -> float:
        return self.began_at + self.limit_s


class ManualTurns:
    """The turns of a conversation without turn detection; one that has it takes no part."""

    def __init__(self, step: Step, turns: Turns, answers: Answers, history: History) -> None:
        self._step = step
        self._turns = turns
        self._answers = answers
        self._history = history
        self._turn: _Turn | None = None
        self._before = b""  # the last audio that belongs to no turn

    @property
    def deadline(self) -> float | None:
        """When the turn has lasted too long."""
        return None if self._turn is None else self._turn.ends_at

    def begin(self, *, pre_roll_ms: int, limit_s: float) -> None:
        """The user takes the word, and the agent falls silent. Nothing where the user has it already."""
        if self._turn is not None:
            return
        kept = _bytes_of(pre_roll_ms, self._step.plan)
        self._turn = _Turn(self._step.now, limit_s, self._before[-kept:] if kept else b"")
        self._before = b""
        self._turns.taken()
        self._answers.supersede()
        if not self._answers.responses.uninterruptible:
            self._answers.interrupt(cancel=True, barge_in_ms=0)

    def hear(self, audio: bytes) -> bytes:
        """The microphone has heard this: what of all that it has heard so far is to be sent now."""
        plan = self._step.plan
        turn = self._turn
        if turn is None:
            self._before = (self._before + audio)[-_bytes_of(MAX_PRE_ROLL_MS, plan) :]
            return b""
        turn.heard += len(audio)
        turn.held += audio
        if turn.heard < _bytes_of(MIN_TURN_MS, plan):
            return b""
        audio, turn.held = turn.held, b""
        return audio

    def end(self) -> None:
        """The user has finished: what was said is answered, unless it is too short to be anything."""
        if self._turn is None:
            return
        turn, self._turn = self._turn, None
        plan, step = self._step.plan, self._step
        if turn.heard < _bytes_of(MIN_TURN_MS, plan):
            self._turns.taken_back()
            step.tell(events.TurnTooShort(turn.heard * 1000 // (plan.input_rate * plan.input_frame_bytes)))
            return
        self._turns.given(step.now)
        commit = wire.CommitInput(event_id=step.requests.new_id())
        step.ask(commit)
        self._history.reserve(commit.event_id, "user")  # before what is typed until the service has answered
        self._answers.responses.want_answer()

    def refused(self, request: wire.Request) -> None:
        """The service refused one of these requests."""
        if isinstance(request, wire.CommitInput):
            self._history.release(request.event_id)

    def follow(self) -> None:
        """The turn detection may be another one from now on: nobody will end by it what began by the last one."""
        if self._step.plan.turns.kind == "manual":
            self._turns.user_item = None
        else:
            self.end()
            self._before = b""

    def check(self) -> None:
        """End a turn that nobody ends."""
        if self._turn is not None and self._step.now >= self._turn.ends_at:
            self._step.tell(events.TurnTimedOut(round(self._turn.limit_s * 1000)))
            self.end()


def _bytes_of(ms: int, plan: Plan) -> int:
    """The bytes of so much microphone audio: whole samples of every channel."""
    return plan.input_rate * ms // 1000 * plan.input_frame_bytes
