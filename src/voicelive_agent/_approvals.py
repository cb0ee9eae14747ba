"""The approvals of a conversation: each is asked for once, answered once, and never waited for without end.

Whoever needs one says what is to follow from the answer. A refusal has a reason: "refused" by the agent's hook,
"failed" because that raised, "timeout" because no answer came, or what made the question pointless.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ._approval import ApprovalAnswer, ApprovalRequest
from ._outputs import CancelTool, Output
from .events import ToolApprovalAnswered, ToolApprovalAsked


@dataclass(frozen=True, slots=True)
class Decision:
    """How a question was answered, in which turn and when. ``reason`` says why not, or "always"."""

    approved: bool
    reason: str
    turn: int
    now: float


Continuation: TypeAlias = Callable[[Decision], list[Output]]


@dataclass(frozen=True, slots=True)
class _Asked:
    request: ApprovalRequest
    until: float
    then: Continuation


class Approvals:
    """What is being asked, and what was approved for always."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._open: dict[str, _Asked] = {}
        self._always: set[tuple[str | None, str]] = set()

    @property
    def deadline(self) -> float | None:
        """When the oldest question has waited long enough."""
        return min((asked.until for asked in self._open.values()), default=None)

    def ask(self, request: ApprovalRequest, then: Continuation, *, turn: int, now: float) -> list[Output]:
        """Ask, unless this tool was approved for always; ``then`` says what follows from the answer."""
        if (request.server_label, request.name) in self._always:
            return [_answered(request, True, "always"), *then(Decision(True, "always", turn, now))]
        self._open[request.call_id] = _Asked(request, now + self._limit_s, then)
        told = ToolApprovalAsked(request.call_id, request.name, request.arguments, request.server_label)
        return [told, request]

    def answer(
        self, call_id: str, answer: ApprovalAnswer, reason: str = "refused", *, turn: int, now: float
    ) -> list[Output]:
        """The answer to a question, of which only the first one counts. ``reason`` is why it is refused."""
        if (asked := self._open.pop(call_id, None)) is None:
            return []
        if now >= asked.until:  # also when the answer and the end of its time are seen at once
            answer, reason = False, "timeout"
        request, approved = asked.request, answer is True or answer == "always"
        if approved:
            reason = ""
        if answer == "always":
            self._always.add((request.server_label, request.name))
            reason = "always"
        return [_answered(request, approved, reason), *asked.then(Decision(approved, reason, turn, now))]

    def give_up(self, *, turn: int, now: float) -> list[Output]:
        """What was not answered in time is refused, and nobody is asked any longer."""
        late = [call_id for call_id, asked in self._open.items() if now >= asked.until]
        return [
            output
            for call_id in late
            for output in [CancelTool(call_id), *self.answer(call_id, False, turn=turn, now=now)]
        ]

    def withdraw(self, call_id: str, reason: str) -> list[Output]:
        """There is nothing to approve any more, and nothing follows from it."""
        asked = self._open.pop(call_id, None)
        return [] if asked is None else [_answered(asked.request, False, reason)]

    def withdraw_all(self) -> list[Output]:
        """The conversation is over: nobody needs to decide anything."""
        return [
            output
            for call_id in list(self._open)
            for output in [CancelTool(call_id), *self.withdraw(call_id, "ended")]
        ]


def _answered(request: ApprovalRequest, approved: bool, reason: str) -> ToolApprovalAnswered:
    return ToolApprovalAnswered(request.call_id, request.name, approved, reason, request.server_label)
