"""Every function call is answered exactly once, and then spoken about once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conversation_driver import plan

from voicelive_agent import _wire as wire
from voicelive_agent._approval import ApprovalRequest
from voicelive_agent._approvals import Approvals
from voicelive_agent._outputs import CallTool, CancelTool, Output
from voicelive_agent._plan import ToolPolicy
from voicelive_agent._step import Step
from voicelive_agent._toolcalls import (
    _MAX_KNOWN,
    CANCELLED,
    GONE,
    NOT_RUN,
    REFUSED,
    TOO_MANY,
    UNKNOWN,
    ToolCalls,
)
from voicelive_agent.events import (
    ToolApprovalAnswered,
    ToolApprovalAsked,
    ToolCalled,
    ToolFinished,
    ToolRoundsExceeded,
    ToolUnknown,
)


def toolcalls() -> ToolCalls:
    """One tool that an interruption cancels, one that it does not."""
    return ToolCalls(Step(plan(tools=["book"], cancelled_tools=["look"])))


def call(call_id: str | None, name: str | None = "book", arguments: str | None = "{}") -> wire.ItemInfo:
    return wire.ItemInfo(type="function_call", call_id=call_id, name=name, arguments=arguments)


def answers(outputs: list[Output]) -> list[tuple[str, str]]:
    """The (call_id, output) of all results sent to the service."""
    items = [output.item for output in outputs if isinstance(output, wire.CreateItem)]
    assert all(item["type"] == "function_call_output" for item in items)
    return [(item["call_id"], item["output"]) for item in items]


def finish(calls: ToolCalls, call_id: str, output: str = "done") -> list[Output]:
    return calls.finished(call_id, output, error="", elapsed_ms=12)


# --- calling ------------------------------------------------------------------------------------------------


def test_our_tools_run_and_others_are_left_to_their_owner() -> None:
    calls = toolcalls()
    outputs = calls.called([call("c1", "book", '{"day":1}'), call("c2", "theirs", "{}")], batch="r", turn=1)
    assert outputs == [
        ToolCalled("c1", "book", '{"day":1}'),
        CallTool("c1", "book", '{"day":1}'),
        ToolUnknown("c2", "theirs", "{}"),
    ]
    assert finish(calls, "c2") == []


@pytest.mark.parametrize("call_id", [None, ""])
def test_a_call_without_an_id_could_not_be_answered(call_id: str | None) -> None:
    assert toolcalls().called([call(call_id)], batch="r", turn=1) == []


def test_a_call_may_lack_a_name_or_arguments() -> None:
    calls = toolcalls()
    assert calls.called([call("c1", None, None)], batch="r", turn=1) == [ToolUnknown("c1", "", "")]
    assert calls.called([call("c2", "book", None)], batch="r", turn=1)[-1] == CallTool("c2", "book", "")


def test_a_call_is_taken_once_however_often_it_is_told() -> None:
    calls = toolcalls()
    assert len(calls.called([call("c1"), call("c1")], batch="r", turn=1)) == 2
    assert calls.called([call("c1")], batch="r2", turn=2) == []
    assert calls.not_run([call("c1")]) == []
    finish(calls, "c1")
    assert calls.called([call("c1")], batch="r3", turn=3) == []


def test_the_calls_of_a_dropped_response_are_answered_without_being_run() -> None:
    calls = toolcalls()
    outputs = calls.not_run([call("c1"), call("c2", "theirs"), call("c3", "look")])
    assert answers(outputs) == [("c1", NOT_RUN), ("c3", NOT_RUN)]
    assert len(outputs) == 2
    assert calls.called([call("c1"), call("c2", "theirs")], batch="r", turn=1) == []
    assert not calls.waiting(1)


def test_calls_are_remembered_for_long_but_not_for_ever() -> None:
    calls = toolcalls()
    for number in range(_MAX_KNOWN + 1):
        calls.not_run([call(f"c{number}")])
    assert calls.not_run([call(f"c{number}") for number in range(1, _MAX_KNOWN + 1)]) == []
    assert answers(calls.not_run([call("c0")])) == [("c0", NOT_RUN)]


# --- answering ----------------------------------------------------------------------------------------------


def test_a_result_goes_to_the_service_and_to_the_user() -> None:
    calls = toolcalls()
    calls.called([call("c1")], batch="r", turn=1)
    outputs = calls.finished("c1", "sold out", error="ToolError", elapsed_ms=12)
    assert answers(outputs) == [("c1", "sold out")]
    assert outputs[-1] == ToolFinished("c1", "book", "sold out", 12, "ToolError")
    assert finish(calls, "c1") == []


def test_a_result_that_nobody_waits_for_is_nothing() -> None:
    assert finish(toolcalls(), "never called") == []


def test_every_answer_is_a_request_of_its_own() -> None:
    calls = toolcalls()
    outputs = calls.not_run([call("c1"), call("c2")])
    assert len({output.event_id for output in outputs if isinstance(output, wire.CreateItem)}) == 2


def test_a_result_is_spoken_about_when_all_of_its_response_are_there() -> None:
    calls = toolcalls()
    calls.called([call("c1"), call("c2")], batch="r", turn=1)
    finish(calls, "c1")
    assert (calls.waiting(1), calls.result_due(1)) == (True, False)
    finish(calls, "c2")
    assert (calls.waiting(1), calls.result_due(1)) == (True, True)
    calls.spoken()
    assert (calls.waiting(1), calls.result_due(1)) == (False, False)


def test_a_slow_tool_of_another_response_holds_nothing_up() -> None:
    calls = toolcalls()
    calls.called([call("slow")], batch="r1", turn=1)
    calls.called([call("quick")], batch="r2", turn=1)
    finish(calls, "quick")
    assert calls.result_due(1)
    assert calls.waiting(1)


def test_a_late_result_is_sent_but_a_newer_turn_is_not_disturbed() -> None:
    calls = toolcalls()
    calls.called([call("c1")], batch="r", turn=1)
    assert calls.waiting(2)
    assert answers(finish(calls, "c1")) == [("c1", "done")]
    assert (calls.waiting(2), calls.result_due(2)) == (False, False)


def test_a_late_result_of_an_old_turn_does_not_hide_the_result_of_this_one() -> None:
    calls = toolcalls()
    calls.called([call("old")], batch="r1", turn=1)
    calls.called([call("new")], batch="r2", turn=2)
    finish(calls, "new")
    finish(calls, "old")
    assert calls.result_due(2)


def test_a_call_that_still_waits_for_its_approval_has_taken_no_time_when_it_is_interrupted() -> None:
    step = Step(plan())
    step.plan = replace(step.plan, tools={"pay": ToolPolicy(approval=True, cancel_on_interruption=True)})
    calls = ToolCalls(step)
    calls.called([call("c1", "pay")], batch="r", turn=1)
    step.now += 1.2
    assert calls.interrupted()[-1] == ToolFinished("c1", "pay", CANCELLED, 0, "cancelled")


def test_what_runs_a_call_is_the_tool_that_was_in_force_when_it_was_made() -> None:
    step = Step(plan())
    step.plan = replace(step.plan, tools={"pay": ToolPolicy(approval=True, tool="the old one")})
    approvals = Approvals(30)
    calls = ToolCalls(step, None, approvals)
    calls.called([call("c1", "pay")], batch="r", turn=1)
    step.plan = replace(step.plan, tools={"pay": ToolPolicy(tool="the new one")})
    outputs = [
        *approvals.answer("c1", True, turn=1, now=step.now),
        *calls.called([call("c2", "pay")], batch="s", turn=1),
    ]
    runs = [output.tool for output in outputs if isinstance(output, CallTool)]
    assert runs == ["the old one", "the new one"]


# --- interruptions and the end ------------------------------------------------------------------------------


def test_an_interruption_cancels_only_the_tools_that_want_it_so() -> None:
    step = Step(plan(tools=["book"], cancelled_tools=["look"]))
    calls = ToolCalls(step)
    calls.called([call("c1", "look"), call("c2", "book")], batch="r", turn=1)
    step.now += 1.2
    outputs = calls.interrupted()
    assert outputs[0] == CancelTool("c1")
    assert answers(outputs) == [("c1", CANCELLED)]
    assert outputs[-1] == ToolFinished("c1", "look", CANCELLED, 1_200, "cancelled")
    assert calls.interrupted() == []
    assert finish(calls, "c1") == []
    assert answers(finish(calls, "c2")) == [("c2", "done")]


def test_at_the_end_all_tools_are_cancelled_and_none_is_answered() -> None:
    calls = toolcalls()
    calls.called([call("c1", "look"), call("c2", "book")], batch="r", turn=1)
    assert calls.cancel_all() == [CancelTool("c1"), CancelTool("c2")]
    assert calls.cancel_all() == []
    assert finish(calls, "c2") == []
    assert not calls.waiting(1)


CALL_IDS = st.sampled_from(["c1", "c2", "c3", "c4"])
STEP = st.one_of(
    st.tuples(st.just("called"), CALL_IDS, st.sampled_from(["look", "book"])),
    st.tuples(st.just("not_run"), CALL_IDS, st.sampled_from(["look", "book"])),
    st.tuples(st.just("finished"), CALL_IDS, st.just("")),
    st.tuples(st.just("interrupted"), st.just(""), st.just("")),
)


@given(st.lists(STEP, max_size=30))
def test_whatever_happens_each_call_runs_at_most_once_and_is_answered_exactly_once(
    steps: list[tuple[str, str, str]],
) -> None:
    calls = toolcalls()
    outputs: list[Output] = []
    told: set[str] = set()
    for turn, (action, call_id, name) in enumerate(steps):
        match action:
            case "called":
                outputs += calls.called([call(call_id, name)], batch=f"r{turn}", turn=turn)
                told.add(call_id)
            case "not_run":
                outputs += calls.not_run([call(call_id, name)])
                told.add(call_id)
            case "finished":
                outputs += finish(calls, call_id)
            case _:
                outputs += calls.interrupted()
    for call_id in told:  # those that still run
        outputs += finish(calls, call_id)
    assert Counter(call_id for call_id, _ in answers(outputs)) == Counter(told)
    started = Counter(output.call_id for output in outputs if isinstance(output, CallTool))
    reported = Counter(output.call_id for output in outputs if isinstance(output, ToolFinished))
    assert started == reported
    assert all(count == 1 for count in started.values())
    assert not calls.interrupted()
    assert calls.cancel_all() == []


# --- approvals ----------------------------------------------------------------------------------------------


def guarded(**changes: object) -> tuple[ToolCalls, Approvals]:
    """One tool that needs an approval."""
    the_plan = plan(approved_tools=["pay"], cancelled_tools=["look"], **changes)
    approvals = Approvals(limit_s=30)
    return ToolCalls(Step(the_plan), approvals=approvals), approvals


def test_a_tool_runs_when_it_is_approved() -> None:
    calls, approvals = guarded()
    asked = ApprovalRequest("c1", "pay", "{}")
    outputs = calls.called([call("c1", "pay")], batch="r", turn=1)
    assert outputs == [ToolCalled("c1", "pay", "{}"), ToolApprovalAsked("c1", "pay", "{}"), asked]
    assert calls.waiting(1)
    approved = approvals.answer("c1", True, turn=1, now=9.0)
    assert approved == [ToolApprovalAnswered("c1", "pay", True), CallTool("c1", "pay", "{}")]
    assert answers(finish(calls, "c1")) == [("c1", "done")]


def test_what_was_approved_aloud_belongs_to_the_turn_of_that_word() -> None:
    calls, approvals = guarded()
    calls.called([call("c1", "pay")], batch="r", turn=1)
    approvals.answer("c1", True, turn=2, now=9.0)
    finish(calls, "c1")
    assert calls.result_due(2)


@pytest.mark.parametrize("reason", REFUSED)
def test_the_model_is_told_why_a_tool_was_not_run(reason: str) -> None:
    calls, approvals = guarded()
    calls.called([call("c1", "pay")], batch="r", turn=1)
    outputs = approvals.answer("c1", False, reason, turn=1, now=9.0)
    assert answers(outputs) == [("c1", REFUSED[reason])]
    assert outputs[0] == ToolApprovalAnswered("c1", "pay", False, reason)
    assert outputs[-1] == ToolFinished("c1", "pay", REFUSED[reason], 0, "refused")
    assert calls.result_due(1)


def test_a_call_that_is_answered_otherwise_needs_no_approval_any_more() -> None:
    calls, approvals = guarded()
    calls.called([call("c1", "pay")], batch="r", turn=1)
    outputs = calls.finished("c1", "wrong", error="arguments", elapsed_ms=0)
    assert outputs[0] == ToolApprovalAnswered("c1", "pay", False, "arguments")
    assert approvals.answer("c1", True, turn=1, now=9.0) == []


def test_at_the_end_a_call_that_waits_for_an_approval_is_given_up_like_one_that_runs() -> None:
    calls, _ = guarded()
    calls.called([call("c1", "pay"), call("c2", "look")], batch="r", turn=1)
    assert calls.cancel_all() == [
        CancelTool("c1"),
        ToolApprovalAnswered("c1", "pay", False, "ended"),
        CancelTool("c2"),
    ]


# --- how often, and which -------------------------------------------------------------------------------------


def test_what_is_asked_for_while_a_tool_runs_is_a_round_deeper() -> None:
    calls = ToolCalls(Step(plan(tools=["book"])))
    assert calls.depth == 0
    calls.called([call("c")], batch="r", turn=1, rounds=1)
    assert calls.depth == 2


def test_rounds_are_counted_from_one_response_to_the_next() -> None:
    calls = ToolCalls(Step(plan(tools=["book"], max_tool_rounds=2)))
    calls.called([call("c1")], batch="r1", turn=1)
    finish(calls, "c1")
    assert (calls.rounds, calls.exhausted) == (1, False)
    calls.spoken()
    calls.called([call("c2")], batch="r2", turn=1, rounds=1)
    finish(calls, "c2")
    assert (calls.rounds, calls.exhausted) == (2, True)


def test_a_model_that_calls_on_is_answered_and_not_asked_any_more() -> None:
    calls = ToolCalls(Step(plan(tools=["book"], max_tool_rounds=2)))
    outputs = calls.called([call("c1"), call("c2", "theirs")], batch="r", turn=1, rounds=2)
    assert answers(outputs) == [("c1", TOO_MANY)]
    assert outputs[-1] == ToolRoundsExceeded(2, ("book",))
    assert not calls.waiting(1)
    assert calls.called([call("c3", "theirs")], batch="r", turn=1, rounds=2) == []


def test_a_function_that_can_be_nobody_elses_is_answered() -> None:
    calls = ToolCalls(Step(plan(tools=["book"], leaves_unknown_tools=False)))
    outputs = calls.called([call("c1", "buuk")], batch="r", turn=1)
    assert answers(outputs) == [("c1", UNKNOWN)]
    assert outputs[-1] == ToolUnknown("c1", "buuk", "{}", answered=True)
    assert calls.result_due(1)


def test_a_tool_that_was_taken_away_is_answered_and_what_runs_goes_on() -> None:
    step = Step(plan(tools=["book"]))
    calls = ToolCalls(step)
    calls.called([call("c1", "book")], batch="r1", turn=1)
    step.plan = plan(tools=["sing"])
    assert answers(calls.called([call("c2", "book")], batch="r2", turn=1)) == [("c2", GONE)]
    assert calls.called([call("c3", "theirs")], batch="r2", turn=1) == [ToolUnknown("c3", "theirs", "{}")]
    assert calls.called([call("c4", "sing")], batch="r3", turn=1)[-1] == CallTool("c4", "sing", "{}")
    assert answers(finish(calls, "c1")) == [("c1", "done")]
    step.plan = plan(tools=["book"])
    assert calls.called([call("c5", "book")], batch="r4", turn=1)[-1] == CallTool("c5", "book", "{}")


# --- fillers ------------------------------------------------------------------------------------------------

NEVER = float("-inf")


def filling(*names: str, filled: bool = False) -> tuple[ToolCalls, Step]:
    """These tools run, since 100 s."""
    step = Step(plan(tools=["book"], filled_tools={"find": "Hm.", "ask": "Well."}), now=100.0)
    calls = ToolCalls(step)
    calls.called([call(name, name) for name in names], batch="r", turn=1, filled=filled)
    return calls, step


def test_a_filler_is_due_after_so_much_silence() -> None:
    calls, step = filling("find")
    assert calls.filler_at(1, NEVER) == 101.5
    assert calls.filler_at(1, 100.8) == pytest.approx(102.3)
    step.now = 101.4
    assert calls.filler(1, NEVER) == ""
    assert not calls.filling
    step.now = 101.5
    assert calls.filler(1, NEVER) == "Hm."
    assert calls.filling


def test_one_filler_stands_for_all_that_runs() -> None:
    calls, step = filling("book", "find", "ask")
    step.now = 200.0
    assert calls.filler(1, NEVER) == "Hm."
    assert calls.filler_at(1, NEVER) is None
    assert calls.filler(1, NEVER) == ""
    finish(calls, "find")
    assert calls.filling
    finish(calls, "ask")
    finish(calls, "book")
    assert not calls.filling


@pytest.mark.parametrize("why", ["no filler", "newer turn", "service", "hushed"])
def test_there_is_none_where_it_would_be_out_of_place(why: str) -> None:
    calls, step = filling("book" if why == "no filler" else "find", filled=why == "service")
    if why == "hushed":
        calls.hush()
    step.now = 200.0
    turn = 2 if why == "newer turn" else 1
    assert calls.filler_at(turn, NEVER) is None
    assert calls.filler(turn, NEVER) == ""


def test_nothing_is_filled_before_a_tool_was_approved() -> None:
    policy = ToolPolicy(approval=True, filler="Hm.", filler_after_s=2)
    approvals = Approvals(limit_s=30)
    step = Step(replace(plan(), tools={"pay": policy}), now=100.0)
    calls = ToolCalls(step, approvals=approvals)
    calls.called([call("c1", "pay")], batch="r", turn=1)
    assert calls.filler_at(1, NEVER) is None
    step.now = 110.0
    approvals.answer("c1", True, turn=1, now=110.0)
    assert calls.filler_at(1, NEVER) == 112.0
