"""Changes of the session while it is under way: one at a time, each made from what the one before left in force.

A ``session.updated`` names no request, so that only the order says which one it answers; and a change that was
refused must not come back with the next one, which sends the whole session again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from . import _wire as wire
from ._answers import Answers
from ._granted import not_granted
from ._outputs import FinishUpdate
from ._plan import Plan
from ._step import Step
from ._turns import Turns
from .errors import ConfigurationError, SessionLostError, SessionRefusedError
from .events import Stalled, Verdict

__all__ = ["Change", "Updates"]

Change: TypeAlias = Callable[[Plan], Plan]
"""Makes the plan to ask for from the one in force. Raises ConfigurationError for what cannot be."""
WAITED_FOR: Final = "the answer to a session.update"


@dataclass(frozen=True, slots=True)
class _Asked:
    """A change that the service is considering."""

    event_id: str
    ticket: int
    plan: Plan
    give_up_at: float


class Updates:
    """The changes that were asked for and not yet answered."""

    def __init__(self, step: Step, turns: Turns, answers: Answers) -> None:
        self._step = step
        self._turns = turns
        self._answers = answers
        self._waiting: deque[tuple[int, Change]] = deque()
        self._asked: _Asked | None = None

    @property
    def deadline(self) -> float | None:
        """When the service has had its time."""
        return None if self._asked is None else self._asked.give_up_at

    def want(self, ticket: int, change: Change) -> None:
        """Somebody wants the session changed, and is told under this ticket what came of it."""
        self._waiting.append((ticket, change))

    def next(self) -> None:
        """Ask for the next change, unless the service is considering one."""
        step = self._step
        while self._waiting and self._asked is None:
            ticket, change = self._waiting.popleft()
            try:
                plan = change(step.plan)
            except ConfigurationError as error:  # against what is in force by now
                step.out.append(FinishUpdate(ticket, error=error))
                continue
            event_id = step.requests.new_id()
            self._asked = _Asked(event_id, ticket, plan, step.now + plan.stall_s)
            step.ask(wire.UpdateSession(event_id=event_id, session=dict(plan.session)))

    def granted(self, request: wire.UpdateSession, session: Mapping[str, Any]) -> None:
        """The service accepted a session, the first one or a change: what of it is otherwise is told."""
        asked = self._asked
        if asked is not None and asked.event_id == request.event_id:
            self._asked = None
            self._adopt(asked.plan)
            self._step.out.append(FinishUpdate(asked.ticket, granted=session))
        self._step.out += not_granted(request.session, session)

    def refused(self, request: wire.Request, error: wire.ErrorInfo) -> bool:
        """The service refused a request. Whether that was a change: whoever wanted it is told."""
        asked = self._asked
        if asked is None or asked.event_id != request.event_id:
            return False
        self._asked = None
        refusal = SessionRefusedError(error.message or "no reason given", code=error.code or "", param=error.param)
        self._step.out.append(FinishUpdate(asked.ticket, error=refusal))
        return True

    def check(self) -> None:
        """Give up a change that the service does not answer."""
        asked, step = self._asked, self._step
        if asked is None or step.now < asked.give_up_at:
            return
        step.requests.refused(wire.ErrorInfo(event_id=asked.event_id))  # no longer expected
        step.tell(Stalled(WAITED_FOR, round(asked.plan.stall_s * 1000)))
        self.refused(
            wire.UpdateSession(event_id=asked.event_id, session={}),
            wire.ErrorInfo(message=f"no answer within {asked.plan.stall_s:g} s"),
        )

    def drop_all(self, verdict: Verdict) -> None:
        """It is over: nobody will answer."""
        tickets = [self._asked.ticket] if self._asked is not None else []
        tickets += [ticket for ticket, _ in self._waiting]
        self._step.out += [FinishUpdate(ticket, error=SessionLostError(verdict)) for ticket in tickets]
        self._asked = None
        self._waiting.clear()

    def _adopt(self, plan: Plan) -> None:
        """From now on this is what everybody goes by."""
        self._step.plan = plan
        self._turns.follow(plan.turns)
        self._answers.corrections.enabled = not plan.turns.auto_truncates
