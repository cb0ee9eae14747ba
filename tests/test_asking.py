"""What is asked for next: what was wanted, results of tools, and fillers while these take long."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.conversation_driver import Driver, plan

from voicelive_agent import _wire as wire
from voicelive_agent._outputs import CancelTool
from voicelive_agent.events import State, ToolApprovalAnswered, ToolFinished, ToolRoundsExceeded

FILLER = {
    "pre_generated_assistant_message": {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": "Hm."}],
    }
}
AFTER_S = 1.5


def driver(**changes: Any) -> Driver:
    return Driver(tools=["look"], filled_tools={"find": "Hm."}, **changes).start()


def call_tools(d: Driver, *names: str, response: str = "resp_1") -> None:
    """The model calls these tools, each by its own name as an id."""
    d.type("go")
    d.granted(response)
    for name in names:
        d.call(name, name, response)
    d.done(response)


def params(d: Driver) -> list[dict[str, Any]]:
    """What was asked for, without our tag."""
    return [{k: v for k, v in each.response.items() if k != "metadata"} for each in d.all(wire.CreateResponse)]


def test_the_tools_in_force_can_be_looked_at() -> None:
    assert driver().core.tools.keys() == {"look", "find"}


# --- fillers --------------------------------------------------------------------------------------------------


def test_a_slow_tool_is_filled_once() -> None:
    d = driver()
    call_tools(d, "look", "find")
    d.wait(AFTER_S - 0.01)
    assert params(d) == [{}]
    d.wait(0.01)
    assert params(d) == [{}, FILLER]
    d.granted("resp_2")
    d.audio(500, "msg_2", "resp_2")
    assert d.state() is State.SPEAKING
    d.done("resp_2")
    d.wait(60)
    assert len(params(d)) == 2
    assert d.state() is State.PROCESSING
    d.finish_tool("find")
    d.finish_tool("look")
    assert params(d) == [{}, FILLER, {}]


def test_a_model_that_has_to_be_asked_for_it_must_not_call_anything() -> None:
    d = driver(pregenerated=False)
    call_tools(d, "find")
    d.wait(AFTER_S)
    assert params(d)[-1] == {"instructions": 'Say exactly: "Hm."', "tool_choice": "none"}


def test_it_waits_until_what_was_said_before_the_call_is_heard() -> None:
    d = driver()
    d.type("go")
    d.granted()
    d.audio(2_000)
    d.audio_done()
    d.call("find", "find")
    d.done()
    d.wait(2.0 + AFTER_S - 0.05)
    assert len(params(d)) == 1
    d.wait(0.1)
    assert params(d)[-1] == FILLER


def test_where_the_service_fills_there_is_no_second_one() -> None:
    d = driver(service_fills=True)
    d.type("go")
    d.granted()
    d.audio(200)
    d.audio_done()
    d.call("find", "find")
    d.done()
    d.wait(60)
    assert len(params(d)) == 1


def test_none_is_asked_for_when_the_result_is_there_in_time() -> None:
    d = driver()
    call_tools(d, "find")
    d.wait(AFTER_S / 2)
    d.finish_tool("find")
    d.granted("resp_2")
    d.done("resp_2")
    d.wait(60)
    assert params(d) == [{}, {}]


def test_one_that_is_asked_for_is_taken_back_by_the_result() -> None:
    d = driver()
    call_tools(d, "find")
    d.wait(AFTER_S)
    d.finish_tool("find")
    d.granted("resp_2")
    assert d.asked(last=True) == ["response.cancel"]
    d.audio(500, "msg_2", "resp_2")
    assert d.pending == 0
    d.done("resp_2", "cancelled")
    assert params(d) == [{}, FILLER, {}]


def test_one_of_which_nothing_was_heard_is_taken_back_with_its_item() -> None:
    d = driver()
    call_tools(d, "find")
    d.wait(AFTER_S)
    d.granted("resp_2")
    d.item("msg_2", "resp_2")
    d.finish_tool("find")
    assert d.asked(last=True) == ["conversation.item.create", "response.cancel"]
    d.done("resp_2", "cancelled")
    assert d.asked(last=True) == ["conversation.item.delete", "response.create"]


def test_one_that_is_being_heard_is_heard_to_its_end() -> None:
    d = driver()
    call_tools(d, "find")
    d.wait(AFTER_S)
    d.granted("resp_2")
    d.audio(500, "msg_2", "resp_2")
    d.finish_tool("find")
    assert "response.cancel" not in d.asked()
    d.done("resp_2")
    assert params(d) == [{}, FILLER, {}]
    assert d.pending == 12_000


def test_it_is_interrupted_like_any_speech_and_not_said_again() -> None:
    d = driver()
    call_tools(d, "find")
    d.wait(AFTER_S)
    d.granted("resp_2")
    d.audio(500, "msg_2", "resp_2")
    d.skip(0.2)
    d.user_begins()
    assert d.pending == 0
    assert "Interrupted" in d.told()
    d.done("resp_2", "cancelled")
    d.user_ends()
    d.answer(response="resp_3", item="msg_3")
    d.wait(60)
    d.finish_tool("find")
    assert params(d) == [{}, FILLER]  # the result is late: the user has gone on


@pytest.mark.parametrize("refused", [False, True])
def test_one_that_comes_too_late_for_the_user_is_not_kept_for_later(refused: bool) -> None:
    d = driver()
    call_tools(d, "find")
    d.wait(AFTER_S)
    asked = d.all(wire.CreateResponse)[-1]
    d.user_begins()
    if refused:
        d.error("conversation_already_has_active_response", event_id=asked.event_id)
    else:
        d.granted("resp_2")
        assert d.asked(last=True) == ["response.cancel"]
        d.done("resp_2", "cancelled")
    d.user_ends()
    d.answer(response="resp_3", item="msg_3")
    d.wait(60)
    assert params(d) == [{}, FILLER]


def test_an_interruption_by_hand_asks_for_silence() -> None:
    d = driver()
    call_tools(d, "find")
    d.interrupt()
    d.wait(60)
    assert params(d) == [{}]


def test_what_somebody_says_comes_before_it() -> None:
    d = driver()
    call_tools(d, "find")
    d.wait(AFTER_S / 2)
    d.say("Let me see.")
    d.granted("resp_2")
    d.audio(3_000, "msg_2", "resp_2")
    d.audio_done("msg_2", "resp_2")
    d.done("resp_2")
    d.wait(3.0 + AFTER_S - 0.05)
    assert len(params(d)) == 2
    d.wait(0.1)
    assert params(d)[-1] == FILLER


# --- rounds ---------------------------------------------------------------------------------------------------


def test_a_model_that_calls_again_and_again_has_to_answer() -> None:
    d = driver(max_tool_rounds=2)
    call_tools(d, "look")
    d.finish_tool("look")
    d.granted("resp_2")
    d.call("again", "look", "resp_2")
    d.done("resp_2")
    d.finish_tool("again")
    assert d.one(ToolRoundsExceeded) == ToolRoundsExceeded(2)
    assert params(d) == [{}, {}, {"tool_choice": "none"}]
    d.granted("resp_3")
    d.call("and again", "look", "resp_3")
    d.done("resp_3")
    assert d.one(ToolRoundsExceeded) == ToolRoundsExceeded(2, ("look",))
    assert d.asked(last=True) == ["conversation.item.create"]
    assert d.state() is State.READY


def test_a_response_that_a_tool_asks_for_is_a_round_of_its_own() -> None:
    """A tool that awaits respond(), which calls the same tool, would go on for ever."""
    d = driver(max_tool_rounds=2)
    call_tools(d, "look")
    d.respond({}, ticket=1)
    d.granted("resp_2")
    d.call("deeper", "look", "resp_2")
    d.done("resp_2")
    d.respond({}, ticket=2)
    d.granted("resp_3")
    d.call("too deep", "look", "resp_3")
    d.done("resp_3")
    assert d.one(ToolRoundsExceeded) == ToolRoundsExceeded(2, ("look",))
    assert d.asked(last=True) == ["conversation.item.create"]
    for call in ("deeper", "look"):
        d.finish_tool(call)
    assert params(d)[-1] == {"tool_choice": "none"}


def choosing(choice: object) -> Driver:
    the_plan = plan(tools=["look"])
    return Driver(replace(the_plan, session={**the_plan.session, "tool_choice": choice})).start()


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "look"}])
def test_a_choice_that_forces_a_call_is_not_in_force_for_its_result(choice: object) -> None:
    """It would force another call, and so on until the limit."""
    d = choosing(choice)
    call_tools(d, "look")
    d.finish_tool("look")
    assert params(d) == [{}, {"tool_choice": "auto"}]


@pytest.mark.parametrize("choice", ["auto", "none", None])
def test_other_choices_stay_as_they_are(choice: object) -> None:
    d = choosing(choice)
    call_tools(d, "look")
    d.finish_tool("look")
    assert params(d) == [{}, {}]


def test_a_new_turn_counts_from_the_beginning() -> None:
    d = driver(max_tool_rounds=1)
    call_tools(d, "look")
    d.finish_tool("look")
    d.granted("resp_2")
    d.done("resp_2")
    d.type("go on")
    d.granted("resp_3")
    d.call("again", "look", "resp_3")
    d.done("resp_3")
    assert d.finish_tool("again")
    assert params(d) == [{}, {"tool_choice": "none"}, {}, {"tool_choice": "none"}]


# --- approvals ------------------------------------------------------------------------------------------------


def test_an_approval_that_never_comes_is_a_refusal() -> None:
    d = Driver(approved_tools=["pay"], approval_s=5.0).start()
    call_tools(d, "pay")
    assert d.state() is State.PROCESSING
    d.wait(5.0)
    assert d.one(ToolApprovalAnswered) == ToolApprovalAnswered("pay", "pay", False, "timeout")
    assert d.one(CancelTool) == CancelTool("pay")
    assert d.one(ToolFinished).error == "refused"
    assert params(d) == [{}, {}]
    assert d.approve("pay") == []


def test_an_answer_after_the_end_is_nothing() -> None:
    d = Driver(approved_tools=["pay"]).start()
    call_tools(d, "pay")
    d.close()
    assert d.approve("pay") == []
