"""Every function call is answered exactly once, and then spoken about once."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelive_agent import _wire as wire
from voicelive_agent._outputs import CallTool, CancelTool, Output
from voicelive_agent._requests import Requests
from voicelive_agent._toolcalls import _MAX_KNOWN, CANCELLED, NOT_RUN, ToolCalls
from voicelive_agent.events import ToolCalled, ToolFinished, ToolUnknown


def toolcalls() -> ToolCalls:
    """One tool that an interruption cancels, one that it does not."""
    return ToolCalls({"look": True, "book": False}, Requests())


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


# --- interruptions and the end ------------------------------------------------------------------------------


def test_an_interruption_cancels_only_the_tools_that_want_it_so() -> None:
    calls = toolcalls()
    calls.called([call("c1", "look"), call("c2", "book")], batch="r", turn=1)
    outputs = calls.interrupted()
    assert outputs[0] == CancelTool("c1")
    assert answers(outputs) == [("c1", CANCELLED)]
    assert outputs[-1] == ToolFinished("c1", "look", CANCELLED, 0, "cancelled")
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
