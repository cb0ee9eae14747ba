"""What the service is asked to say next: one response at a time, and only when nothing is in the way."""

from __future__ import annotations

from typing import Any

from ._answers import Answers
from ._plan import Plan
from ._responses import Want
from ._step import Step
from ._toolcalls import ToolCalls
from ._turns import Turns
from .events import ToolRoundsExceeded


class Asking:
    """Decides which response is asked for: what somebody wanted, then results of tools, then a filler."""

    def __init__(self, step: Step, turns: Turns, tools: ToolCalls, answers: Answers) -> None:
        self._step = step
        self._turns = turns
        self._tools = tools
        self._answers = answers

    @property
    def _free(self) -> bool:
        """Whether a response could be asked for now."""
        return not self._answers.responses.busy and not self._turns.user_has_the_floor

    @property
    def deadline(self) -> float | None:
        """When a filler is due, if the silence lasts that long."""
        playback = self._answers.playback
        if not self._free or playback.audible(self._step.now):
            return None
        return self._tools.filler_at(self._turns.number, playback.silent_since)

    def next(self) -> None:
        """Ask for the next response, if one is wanted and nothing is in the way."""
        responses = self._answers.responses
        if not self._free or (want := self._next_want()) is None:
            return
        if want.answers:
            self._tools.spoken()
        self._step.ask(responses.create(want, self._step.requests.new_id(), self._step.now))

    def _next_want(self) -> Want | None:
        if wants := self._answers.responses.wants:
            return wants.popleft()
        if self._tools.result_due(self._turns.number):
            return self._about_results()
        playback = self._answers.playback
        if playback.audible(self._step.now):
            return None
        text = self._tools.filler(self._turns.number, playback.silent_since)
        return Want(filler_of(self._step.plan, text), filler=True) if text else None

    def _about_results(self) -> Want:
        rounds = self._tools.rounds
        if not self._tools.exhausted:
            # A choice that forces a call is made by then; in force for the results too, it would never end.
            forced = self._step.plan.session.get("tool_choice") not in (None, "auto", "none")
            return Want({"tool_choice": "auto"} if forced else {}, rounds=rounds)
        self._step.tell(ToolRoundsExceeded(rounds))
        return Want({"tool_choice": "none"}, rounds=rounds)


def saying(plan: Plan, text: str) -> dict[str, Any]:
    """What makes the service say exactly this."""
    if plan.pregenerated:
        content = [{"type": "text", "text": text}]
        return {"pre_generated_assistant_message": {"type": "message", "role": "assistant", "content": content}}
    return {"instructions": f'Say exactly: "{text}"'}


def filler_of(plan: Plan, text: str) -> dict[str, Any]:
    """The same while a call is open, which a model that is asked would only make again."""
    return saying(plan, text) | ({} if plan.pregenerated else {"tool_choice": "none"})
