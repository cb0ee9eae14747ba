"""Every approval is asked for once, answered once, and never waited for without end."""

from __future__ import annotations

import pytest

from voicelive_agent._approval import ApprovalAnswer, ApprovalRequest
from voicelive_agent._approvals import Approvals, Decision
from voicelive_agent._outputs import CancelTool, Output
from voicelive_agent.events import ToolApprovalAnswered, ToolApprovalAsked

REQUEST = ApprovalRequest("c1", "pay", '{"sum":3}')
REMOTE = ApprovalRequest("m1", "pay", "{}", "bank")


class Desk:
    """Where approvals are asked for, and what followed from the answers."""

    def __init__(self) -> None:
        self.approvals = Approvals(limit_s=30)
        self.decisions: list[Decision] = []

    def ask(self, request: ApprovalRequest, *, turn: int = 1, now: float = 100.0) -> list[Output]:
        return self.approvals.ask(request, self._then, turn=turn, now=now)

    def answer(self, call_id: str, answer: ApprovalAnswer, *, turn: int = 1, now: float = 101.0) -> list[Output]:
        return self.approvals.answer(call_id, answer, turn=turn, now=now)

    def _then(self, decision: Decision) -> list[Output]:
        self.decisions.append(decision)
        return [CancelTool("what follows")]


def test_a_question_goes_to_the_agent_and_to_the_user() -> None:
    desk = Desk()
    assert desk.ask(REQUEST) == [ToolApprovalAsked("c1", "pay", '{"sum":3}'), REQUEST]
    assert desk.ask(REMOTE) == [ToolApprovalAsked("m1", "pay", "{}", "bank"), REMOTE]
    assert desk.decisions == []


@pytest.mark.parametrize(
    ("answer", "approved", "reason"), [(True, True, ""), (False, False, "refused"), ("always", True, "always")]
)
def test_the_first_answer_counts(answer: ApprovalAnswer, approved: bool, reason: str) -> None:
    desk = Desk()
    desk.ask(REQUEST)
    told = ToolApprovalAnswered("c1", "pay", approved, reason)
    assert desk.answer("c1", answer, turn=2) == [told, CancelTool("what follows")]
    assert desk.decisions == [Decision(approved, reason, 2, 101.0)]
    assert desk.answer("c1", True) == []
    assert desk.approvals.deadline is None


def test_an_answer_that_nobody_waits_for_is_nothing() -> None:
    assert Desk().answer("c1", "always") == []


def test_always_is_for_one_tool_of_one_server() -> None:
    desk = Desk()
    desk.ask(REMOTE)
    desk.answer("m1", "always")
    assert desk.ask(REQUEST)[-1] == REQUEST
    assert desk.ask(ApprovalRequest("m2", "other", "{}", "bank"))[-1] == ApprovalRequest(
        "m2", "other", "{}", "bank"
    )
    told = ToolApprovalAnswered("m3", "pay", True, "always", "bank")
    assert desk.ask(ApprovalRequest("m3", "pay", "{}", "bank"), turn=4) == [told, CancelTool("what follows")]
    assert desk.decisions[-1] == Decision(True, "always", 4, 100.0)


def test_what_is_not_answered_in_time_is_refused_and_asked_no_longer() -> None:
    desk = Desk()
    desk.ask(REQUEST, now=100.0)
    desk.ask(REMOTE, now=110.0)
    assert desk.approvals.deadline == 130.0
    assert desk.approvals.give_up(turn=1, now=129.9) == []
    assert desk.approvals.give_up(turn=1, now=130.0) == [
        CancelTool("c1"),
        ToolApprovalAnswered("c1", "pay", False, "timeout"),
        CancelTool("what follows"),
    ]
    assert desk.decisions == [Decision(False, "timeout", 1, 130.0)]
    assert desk.answer("c1", True) == []
    assert desk.approvals.deadline == 140.0


@pytest.mark.parametrize("answer", [True, "always"])
def test_an_approval_that_comes_too_late_is_none(answer: ApprovalAnswer) -> None:
    desk = Desk()
    desk.ask(REQUEST, now=100.0)
    refused = ToolApprovalAnswered("c1", "pay", False, "timeout")
    assert desk.answer("c1", answer, now=130.0) == [refused, CancelTool("what follows")]
    assert desk.ask(REQUEST)[-1] == REQUEST


def test_what_is_withdrawn_has_no_consequence() -> None:
    desk = Desk()
    desk.ask(REQUEST)
    assert desk.approvals.withdraw("c1", "cancelled") == [ToolApprovalAnswered("c1", "pay", False, "cancelled")]
    assert desk.approvals.withdraw("c1", "cancelled") == []
    assert desk.decisions == []


def test_at_the_end_nobody_is_asked_any_longer() -> None:
    desk = Desk()
    desk.ask(REQUEST)
    desk.ask(REMOTE)
    assert desk.approvals.withdraw_all() == [
        CancelTool("c1"),
        ToolApprovalAnswered("c1", "pay", False, "ended"),
        CancelTool("m1"),
        ToolApprovalAnswered("m1", "pay", False, "ended", "bank"),
    ]
    assert desk.approvals.withdraw_all() == []
    assert desk.decisions == []
