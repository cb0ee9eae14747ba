"""What the conversation waits for from the service, none of it without a limit."""

from __future__ import annotations

import enum

from . import _wire as wire
from . import events
from ._answers import Answers
from ._mcp_calls import McpCalls
from ._step import Step
from ._turns import Turns


class Wait(enum.Enum):
    """What the conversation may be waiting for."""

    ANSWER = "an answer to what the user said"
    CREATION = "the response that was asked for"
    REST = "the rest of a response"
    OTHER = "the end of a response that only the service knows of"


class Waiting:
    """The waits of one conversation; what does not come in time is given up, with an event."""

    def __init__(self, step: Step, turns: Turns, answers: Answers, mcp: McpCalls) -> None:
        self._step = step
        self._turns = turns
        self._answers = answers
        self._mcp = mcp

    @property
    def deadline(self) -> float | None:
        """When the next wait has lasted too long."""
        limits = [self._mcp.deadline, *(at for at, _ in self._waits())]
        return min((limit for limit in limits if limit is not None), default=None)

    def check(self) -> None:
        """Give up what has not come in time."""
        self._mcp.check()
        for at, wait in self._waits():
            if self._step.now >= at:
                self._step.tell(events.Stalled(wait.value, round(self._step.plan.stall_s * 1000)))
                self._give_up(wait)

    def _waits(self) -> list[tuple[float, Wait]]:
        """What is being waited for, and until when."""
        responses, turns = self._answers.responses, self._turns
        waits: list[tuple[float, Wait]] = []
        if turns.due_item is not None:
            waits.append((turns.due_at, Wait.ANSWER))
        if responses.in_flight is not None:
            waits.append((responses.in_flight_at, Wait.CREATION))
        if responses.open is not None and not self._mcp.holds(responses.open.id):
            waits.append((responses.open.progress_at, Wait.REST))
        if responses.blocked_at is not None:
            waits.append((responses.blocked_at, Wait.OTHER))
        return [(since + self._step.plan.stall_s, wait) for since, wait in waits]

    def _give_up(self, wait: Wait) -> None:
        responses = self._answers.responses
        match wait:
            case Wait.ANSWER:
                self._turns.came_to_nothing(self._turns.due_item)
            case Wait.CREATION:
                self._step.move(responses.give_up(), "dropped", "it did not come in time")
            case Wait.REST if responses.open is not None:
                self._answers.end(responses.open, wire.ResponseInfo(responses.open.id, "incomplete"))
            case _:
                responses.blocked_at = None
