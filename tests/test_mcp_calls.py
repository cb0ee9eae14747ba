"""MCP servers in the conversation: what they offer, what is called and approved, and that it is spoken about."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.conversation_driver import LOST, Driver

from voicelive_agent import _wire as wire
from voicelive_agent._approval import ApprovalRequest
from voicelive_agent._mcp_calls import _MAX_KNOWN, RESULT_LIMIT_S, RUN_LIMIT_S
from voicelive_agent._outputs import CancelTool
from voicelive_agent._tool_items import MAX_TEXT
from voicelive_agent.events import (
    AgentSpoke,
    EndReason,
    McpCalled,
    McpFinished,
    McpListed,
    McpListingFailed,
    MessageReceived,
    RequestRefused,
    SessionEnded,
    Stalled,
    State,
    ToolApprovalAnswered,
    ToolApprovalAsked,
    ToolFinished,
)

ARGUMENTS = '{"title": "Emma"}'


class Library(Driver):
    """A conversation with an MCP server, and what the service says of it."""

    def item(self, item: str = "msg_1", response: str = "resp_1", **fields: Any) -> list[Any]:
        if not fields:
            return super().item(item, response)
        return self.hear("response.output_item.added", response_id=response, output_index=0, item=fields)

    def makes(
        self, call: str = "mcp_1", response: str = "resp_1", name: str = "find", args: str = ARGUMENTS
    ) -> None:
        """The model writes a whole call."""
        item = {"id": call, "type": "mcp_call", "server_label": "library", "name": name, "arguments": ""}
        self.item(response=response, **item)
        self.hear("conversation.item.created", item=item)
        ids = {"response_id": response, "item_id": call, "output_index": 0}
        self.hear("response.mcp_call_arguments.delta", delta=args, **ids)
        self.hear("response.mcp_call_arguments.done", arguments=args, **ids)

    def asks(self, question: str = "mcpr_1", name: str = "find", args: str = ARGUMENTS) -> list[Any]:
        return self.hear("conversation.item.created", item=a_question(question, name, args))

    def starts(self, call: str = "mcp_1") -> list[Any]:
        return self.hear("response.mcp_call.in_progress", item_id=call, output_index=0)

    def ends(self, call: str = "mcp_1", response: str = "resp_1", **result: Any) -> list[Any]:
        """The tool is done, with an ``output`` or an ``error``."""
        result = result or {"output": "shelf 7"}
        state = "failed" if "error" in result else "completed"
        self.hear(f"response.mcp_call.{state}", item_id=call, output_index=0)
        return self.result(call, response, **result)

    def result(self, call: str = "mcp_1", response: str = "resp_1", **result: Any) -> list[Any]:
        item = {"id": call, "type": "mcp_call", "server_label": "library", "name": "find", **result}
        return self.hear("response.output_item.done", response_id=response, output_index=0, item=item)

    def creates(self) -> int:
        return self.asked().count("response.create")


def a_question(question: str, name: str = "find", args: str = ARGUMENTS) -> dict[str, Any]:
    kind = {"type": "mcp_approval_request", "server_label": "library"}
    return {"id": question, "name": name, "arguments": args, **kind}


def library(**changes: Any) -> Library:
    driver = Library(**changes)
    driver.start()
    return driver


def calling(**changes: Any) -> Library:
    """The user has spoken, and the answer is a call that is complete."""
    driver = library(**changes)
    driver.user_speaks("Where is Emma?")
    driver.created()
    driver.makes()
    return driver


def asking(**changes: Any) -> Library:
    """The same, and the service wants to know whether it may; its response is over."""
    driver = calling(**changes)
    driver.asks()
    driver.done()
    return driver


def approvals(driver: Driver) -> list[tuple[str, bool]]:
    """What the service was told: (question, approved)."""
    items = [output.item for output in driver.all(wire.CreateItem)]
    answers = [item for item in items if item["type"] == "mcp_approval_response"]
    return [(item["approval_request_id"], item["approve"]) for item in answers]


# --- what the servers offer ---------------------------------------------------------------------------------


def listing(tools: Any, **more: Any) -> dict[str, Any]:
    return {"id": "mcpl_1", "type": "mcp_list_tools", "server_label": "library", "tools": tools, **more}


def test_the_tools_of_a_server() -> None:
    driver = library()
    driver.hear("conversation.item.created", item=listing([{"name": "find"}, {"name": "burn"}, "?"]))
    assert driver.hear("mcp_list_tools.in_progress", item_id="mcpl_1") == []
    assert driver.hear("mcp_list_tools.completed", item_id="mcpl_1") == [McpListed("library", ("find", "burn"))]


@pytest.mark.parametrize(
    ("more", "message"),
    [({}, ""), ({"error": "HTTP 401"}, "HTTP 401"), ({"error": {"message": "HTTP 401"}}, "HTTP 401")],
)
def test_a_listing_that_failed_is_told_and_ends_nothing(more: dict[str, Any], message: str) -> None:
    driver = library()
    driver.hear("conversation.item.created", item=listing(None, **more))
    driver.hear("mcp_list_tools.failed", item_id="mcpl_1")
    assert driver.one(McpListingFailed) == McpListingFailed("library", message)
    assert driver.state() is State.READY
    driver.user_speaks()
    driver.answer()
    assert driver.all(AgentSpoke) == []  # the driver's answer has no transcript.done; it is heard all the same
    assert driver.state() is State.SPEAKING


def test_a_listing_whose_item_was_not_seen() -> None:
    driver = library()
    assert driver.hear("mcp_list_tools.completed", item_id="x") == [McpListed("", ())]
    assert driver.hear("mcp_list_tools.failed", item_id="x") == [McpListingFailed("", "")]


# --- a call that needs no approval --------------------------------------------------------------------------


def test_the_result_is_spoken_about_when_the_response_is_done() -> None:
    driver = calling()
    assert driver.all(McpCalled) == [McpCalled("mcp_1", "library", "find", ARGUMENTS)]
    driver.starts()
    driver.now += 1.5
    driver.ends()
    assert driver.all(McpFinished) == [McpFinished("mcp_1", "library", "find", "shelf 7", 1500)]
    assert driver.creates() == 0
    driver.done()
    assert driver.asked(last=True) == ["response.create"]
    driver.granted("resp_2")
    driver.done("resp_2")
    assert driver.creates() == 1
    assert driver.state() is State.READY


@pytest.mark.parametrize(
    ("error", "kind", "output"),
    [
        ({"type": "tool_execution_error", "message": "No such book."}, "tool_execution_error", "No such book."),
        ({}, "failed", ""),
        ("broken", "failed", "broken"),
    ],
)
def test_a_failure_is_spoken_about_as_well(error: Any, kind: str, output: str) -> None:
    driver = calling()
    driver.starts()
    driver.ends(error=error or {"code": 1})
    driver.done()
    assert driver.all(McpFinished) == [McpFinished("mcp_1", "library", "find", output, 0, kind)]
    assert driver.creates() == 1


def test_several_calls_of_a_response_are_spoken_about_together() -> None:
    driver = calling()
    driver.starts()
    driver.ends()
    driver.makes("mcp_2")
    driver.starts("mcp_2")
    driver.ends("mcp_2", error={"type": "http_error", "message": "503"})
    driver.done()
    assert len(driver.all(McpFinished)) == 2
    assert driver.creates() == 1


def test_a_function_beside_it_is_waited_for() -> None:
    driver = calling(tools=["look"])
    driver.call()
    driver.starts()
    driver.ends()
    driver.done()
    assert driver.creates() == 0
    driver.finish_tool("call_1")
    assert driver.creates() == 1
    assert len(driver.all(ToolFinished)) == 1


def test_it_is_processing_all_the_time() -> None:
    driver = calling()
    states = [driver.state()]
    driver.starts()
    states.append(driver.state())
    driver.wait(60)  # longer than a response may be without a sign of life
    states.append(driver.state())
    driver.ends()
    driver.done()
    states.append(driver.state())
    assert set(states) == {State.PROCESSING}
    assert driver.all(Stalled) == []


# --- approvals ----------------------------------------------------------------------------------------------


def test_an_approval_is_asked_for_and_the_result_is_spoken_about() -> None:
    driver = asking()
    assert driver.all(ApprovalRequest) == [ApprovalRequest("mcpr_1", "find", ARGUMENTS, "library")]
    assert driver.all(ToolApprovalAsked) == [ToolApprovalAsked("mcpr_1", "find", ARGUMENTS, "library")]
    assert driver.creates() == 0
    assert driver.state() is State.PROCESSING
    driver.approve("mcpr_1")
    assert approvals(driver) == [("mcpr_1", True)]
    driver.starts()
    driver.ends()
    assert driver.asked(last=True) == ["response.create"]
    assert [type(each) for each in driver.all(McpFinished)] == [McpFinished]


def test_a_refusal_is_spoken_about_at_once() -> None:
    driver = asking()
    driver.approve("mcpr_1", False)
    assert approvals(driver) == [("mcpr_1", False)]
    assert driver.asked(last=True) == ["conversation.item.create", "response.create"]
    assert driver.one(McpFinished) == McpFinished("mcp_1", "library", "find", "", 0, "refused")
    assert driver.one(ToolApprovalAnswered).reason == "refused"


def test_an_approval_that_never_comes_is_a_refusal() -> None:
    driver = asking(approval_s=20.0)
    driver.wait(19.9)
    assert approvals(driver) == []
    driver.wait(0.2)
    assert approvals(driver) == [("mcpr_1", False)]
    assert driver.all(McpFinished)[-1].error == "timeout"
    assert driver.creates() == 1
    assert driver.approve("mcpr_1") == []


def test_always_is_not_asked_again_and_only_for_that_tool() -> None:
    driver = asking()
    driver.approve("mcpr_1", "always")
    driver.starts()
    driver.ends()
    driver.granted("resp_2")
    driver.makes("mcp_2", "resp_2")
    driver.asks("mcpr_2")
    assert approvals(driver) == [("mcpr_1", True), ("mcpr_2", True)]
    driver.makes("mcp_3", "resp_2", name="burn")
    driver.asks("mcpr_3", name="burn")
    assert len(driver.all(ApprovalRequest)) == 2


def test_two_questions_of_one_response_are_two_answers_and_one_response() -> None:
    driver = calling()
    driver.makes("mcp_2", args='{"title": "Ulysses"}')
    driver.asks("mcpr_2", args='{"title": "Ulysses"}')
    driver.asks("mcpr_1")
    driver.done()
    driver.approve("mcpr_2")
    driver.starts("mcp_2")
    driver.ends("mcp_2")
    assert driver.creates() == 0
    driver.approve("mcpr_1", False)
    assert driver.creates() == 1
    assert {event.call_id: event.error for event in driver.all(McpFinished)} == {"mcp_1": "refused", "mcp_2": ""}


def test_the_same_call_twice_is_two_questions_though_the_first_is_answered_before_the_second_is_asked() -> None:
    driver = calling()
    driver.makes("mcp_2")
    driver.asks("mcpr_1")
    driver.approve("mcpr_1")
    driver.asks("mcpr_2")
    driver.done()
    driver.approve("mcpr_2", False)
    driver.starts("mcp_1")
    driver.ends("mcp_1")
    finished = [(event.call_id, event.error) for event in driver.all(McpFinished)]
    assert finished == [("mcp_2", "refused"), ("mcp_1", "")]
    assert driver.state() is State.PROCESSING
    assert driver.creates() == 1


def test_a_call_that_is_made_only_after_the_approval_keeps_its_name() -> None:
    driver = library()
    driver.user_speaks()
    driver.created()
    driver.hear("response.output_item.added", response_id="resp_1", item=a_question("mcpr_1"))
    driver.asks()  # the same question, as an item of the conversation
    driver.done()
    assert len(driver.all(ApprovalRequest)) == 1
    driver.approve("mcpr_1")
    item = {"id": "mcp_9", "type": "mcp_call", "approval_request_id": "mcpr_1", "name": "find"}
    driver.hear("conversation.item.created", item=item)
    driver.starts("mcp_9")
    driver.ends("mcp_9")
    assert [event.call_id for event in driver.all(McpCalled)] == ["mcpr_1"]
    assert [event.call_id for event in driver.all(McpFinished)] == ["mcpr_1"]
    assert driver.creates() == 1


def test_a_service_that_does_not_wait_for_the_answer() -> None:
    driver = asking()
    driver.starts()
    assert driver.one(ToolApprovalAnswered).approved is False
    driver.ends()
    assert driver.creates() == 1
    assert driver.approve("mcpr_1") == []


def test_a_service_that_has_the_result_before_the_answer() -> None:
    driver = calling()
    driver.asks()
    driver.result(output="shelf 7")
    assert CancelTool("mcpr_1") in driver.last
    driver.done()
    assert driver.approve("mcpr_1") == []
    assert driver.all(McpFinished)[0].output == "shelf 7"
    assert driver.creates() == 1


def test_an_item_that_is_done_before_its_approval_is_not_over() -> None:
    driver = calling()
    driver.asks()
    driver.result()
    driver.done()
    driver.approve("mcpr_1")
    driver.result()
    assert driver.all(McpFinished) == []
    driver.starts()
    driver.ends()
    assert driver.creates() == 1


def test_an_answer_that_the_service_does_not_take() -> None:
    driver = asking()
    driver.approve("mcpr_1")
    request = driver.all(wire.CreateItem)[-1]
    driver.error("invalid_value", event_id=request.event_id)
    assert driver.one(RequestRefused).request == "conversation.item.create"
    assert driver.one(McpFinished).error == "not_run"
    assert driver.state() is State.READY
    assert driver.creates() == 0


def test_another_item_that_the_service_does_not_take_changes_no_call() -> None:
    driver = asking()
    driver.type("hello")
    driver.error("invalid_value", event_id=driver.all(wire.CreateItem)[-1].event_id)
    assert driver.all(McpFinished) == []


# --- the user talks meanwhile -------------------------------------------------------------------------------


def test_the_user_was_answered_before_the_result_came_and_then_it_is_spoken_about() -> None:
    driver = asking()
    driver.approve("mcpr_1")
    driver.starts()
    driver.user_speaks("Are you there?", "user_2")
    driver.answer(item="msg_2", response="resp_2")
    driver.wait(2)
    assert driver.creates() == 0
    driver.ends()
    assert driver.creates() == 1


def test_the_result_comes_while_the_user_talks_and_the_services_own_answer_knows_it() -> None:
    driver = asking()
    driver.approve("mcpr_1")
    driver.starts()
    driver.user_begins("user_2")
    driver.ends()
    assert driver.creates() == 0
    driver.user_ends("user_2")
    driver.transcript("And Ulysses?", "user_2")
    driver.answer(item="msg_2", response="resp_2")
    driver.wait(2)
    assert driver.creates() == 0
    assert driver.state() is State.READY


def test_the_result_comes_while_the_user_coughs() -> None:
    driver = asking()
    driver.approve("mcpr_1")
    driver.starts()
    driver.user_begins("user_2")
    driver.ends()
    driver.user_ends("user_2")
    driver.transcript("", "user_2")
    assert driver.creates() == 1


def test_the_response_is_interrupted_while_the_tool_runs() -> None:
    driver = calling()
    driver.starts()
    driver.user_begins("user_2")
    driver.done(status="cancelled")
    driver.user_ends("user_2")
    driver.transcript("Stop.", "user_2")
    driver.answer(item="msg_2", response="resp_2")
    driver.ends()
    driver.wait(2)
    assert len(driver.all(McpFinished)) == 1
    assert driver.creates() == 1


def test_a_call_that_was_cut_off_before_it_was_whole_is_nothing() -> None:
    driver = library()
    driver.user_speaks()
    driver.created()
    item = {"id": "mcp_1", "type": "mcp_call", "server_label": "library", "name": "find", "arguments": ""}
    driver.item(**item)
    driver.user_begins("user_2")
    driver.done(status="cancelled")
    assert driver.all(McpCalled) + driver.all(McpFinished) == []
    driver.user_ends("user_2")
    driver.transcript("", "user_2")
    assert driver.creates() == 0
    assert driver.state() is State.READY


def test_a_whole_call_that_was_cut_off_before_it_ran_is_told() -> None:
    driver = calling()
    driver.result(status="incomplete")
    assert driver.one(McpFinished).error == "not_run"
    driver.done(status="cancelled")
    assert driver.creates() == 0


# --- limits and the end -------------------------------------------------------------------------------------


def test_a_tool_of_which_nothing_is_heard_is_given_up() -> None:
    driver = asking()
    driver.approve("mcpr_1")
    driver.starts()
    driver.wait(RUN_LIMIT_S - 1)
    assert driver.all(McpFinished) == []
    driver.wait(2)
    assert driver.all(Stalled) == [Stalled("the result of an MCP server's tool", 120_000)]
    assert driver.all(McpFinished)[0].error == "stalled"
    assert driver.creates() == 1
    assert driver.ends() == []
    assert len(driver.all(McpFinished)) == 1


def test_a_result_without_its_item_is_spoken_about_soon() -> None:
    driver = asking()
    driver.approve("mcpr_1")
    driver.starts()
    driver.hear("response.mcp_call.completed", item_id="mcp_1", output_index=0)
    assert driver.creates() == 0
    driver.wait(RESULT_LIMIT_S + 0.1)
    assert driver.creates() == 1
    assert driver.all(Stalled) == []
    assert driver.all(McpFinished)[0].error == ""


def test_a_result_may_come_with_the_end_of_the_response() -> None:
    driver = calling()
    driver.starts()
    driver.hear("response.mcp_call.completed", item_id="mcp_1", output_index=0)
    output = {"id": "mcp_1", "type": "mcp_call", "output": {"shelf": 7}}
    driver.hear("response.done", response={"id": "resp_1", "status": "completed", "output": [output, {"id": "x"}]})
    assert driver.all(McpFinished)[0].output == "{'shelf': 7}"
    assert driver.creates() == 1


@pytest.mark.parametrize("moment", ["made", "asked", "approved", "running"])
def test_the_call_is_hung_up_meanwhile(moment: str) -> None:
    driver = calling()
    if moment != "made":
        driver.asks()
    if moment in ("approved", "running"):
        driver.approve("mcpr_1")
    if moment == "running":
        driver.starts()
    driver.close(LOST)
    assert driver.one(SessionEnded).verdict.reason is EndReason.NETWORK
    assert driver.core.deadline is None
    assert driver.approve("mcpr_1") == []
    assert driver.ends() == []


# --- what is told twice, late, or by nobody -----------------------------------------------------------------


def test_everything_is_taken_once() -> None:
    driver = asking()
    driver.asks()
    driver.makes()
    driver.approve("mcpr_1")
    driver.starts()
    driver.starts()
    driver.ends()
    driver.ends()
    driver.makes()
    driver.starts()
    assert len(driver.all(McpCalled)) == len(driver.all(McpFinished)) == driver.creates() == 1
    assert len(driver.all(ApprovalRequest)) == 1


def test_messages_about_unknown_calls_are_left_alone() -> None:
    driver = library()
    assert driver.starts() == []
    assert driver.hear("response.mcp_call.completed", item_id="mcp_1") == []
    assert driver.hear("response.mcp_call_arguments.done", item_id="x", arguments="{}") == []
    assert driver.hear("conversation.item.created", item={"type": "mcp_call"}) == []
    driver.hear("conversation.item.created", item={"id": "x", "type": "message", "role": "user"})
    driver.item(type="mcp_call")
    driver.item(type="mcp_approval_request")
    assert driver.all(MessageReceived) + driver.all(McpCalled) + driver.all(ApprovalRequest) == []


def test_a_question_that_is_repeated_after_a_thousand_others() -> None:
    driver = library()
    driver.user_speaks()
    driver.created()
    question = {"type": "mcp_approval_request", "server_label": "library", "name": "reserve", "arguments": "{}"}
    driver.item(id="first", **question)
    for number in range(1_001):
        driver.item(id=f"q{number}", **question)
    asked = len(driver.all(ApprovalRequest))
    driver.item(id="first", **question)
    assert len(driver.all(ApprovalRequest)) == asked == 1_002


def test_a_call_whose_creation_is_told_before_its_response() -> None:
    driver = library()
    driver.user_speaks()
    driver.created()
    item = {"id": "mcp_1", "type": "mcp_call", "server_label": "library", "name": "find", "arguments": "{}"}
    driver.hear("conversation.item.created", item=item)
    driver.item(**item)
    driver.makes("mcp_2")
    for call in ("mcp_1", "mcp_2"):
        driver.starts(call)
        driver.ends(call)
    driver.done()
    assert driver.creates() == 1


def test_a_call_of_which_only_the_end_is_seen() -> None:
    driver = library()
    driver.user_speaks()
    driver.created()
    driver.result(output="shelf 7")
    driver.done()
    assert driver.all(McpCalled) == [McpCalled("mcp_1", "library", "find", "")]
    assert driver.all(McpFinished)[0].output == "shelf 7"
    assert driver.creates() == 1


def test_a_service_that_goes_on_by_itself_is_only_listened_to() -> None:
    driver = calling(continues_mcp=False)
    driver.starts()
    driver.ends()
    driver.done()
    assert len(driver.all(McpFinished)) == 1
    assert driver.creates() == 0
    assert driver.state() is State.READY


def test_the_rounds_of_calls_are_counted_with_those_of_functions() -> None:
    driver = calling(max_tool_rounds=2)
    for number in (1, 2):
        driver.starts(f"mcp_{number}")
        driver.ends(f"mcp_{number}", f"resp_{number}")
        driver.done(f"resp_{number}")
        driver.granted(f"resp_{number + 1}")
        driver.makes(f"mcp_{number + 1}", f"resp_{number + 1}")
    assert driver.all(wire.CreateResponse)[-1].response["tool_choice"] == "none"


def test_calls_are_remembered_for_long_but_not_for_ever() -> None:
    driver = calling()
    for number in range(_MAX_KNOWN + 1):
        driver.asks(f"q{number}", args=json.dumps(number))
        driver.approve(f"q{number}", False)
    asked = len(driver.all(ApprovalRequest))
    driver.asks(f"q{_MAX_KNOWN}")
    assert len(driver.all(ApprovalRequest)) == asked
    driver.asks("q0")
    assert len(driver.all(ApprovalRequest)) == asked + 1


# --- the record ---------------------------------------------------------------------------------------------


def recorded(driver: Driver) -> list[str]:
    return [item.text for item in driver.core.history if item.role == "tool"]


def test_the_history_has_the_call_and_then_its_result() -> None:
    driver = asking()
    assert recorded(driver) == [f"library.find({ARGUMENTS})"], "and not the question"
    driver.approve("mcpr_1")
    driver.starts()
    driver.ends()
    assert recorded(driver) == [f"library.find({ARGUMENTS}) -> shelf 7"]


def test_the_history_has_the_words_of_a_failure() -> None:
    driver = calling()
    driver.starts()
    driver.ends(error={"type": "http_error", "message": "503"})
    assert recorded(driver) == [f"library.find({ARGUMENTS}) -> 503"]


def test_the_history_has_that_a_call_was_refused() -> None:
    driver = asking()
    driver.approve("mcpr_1", False)
    assert recorded(driver) == [f"library.find({ARGUMENTS}) -> refused"]


def test_the_history_has_functions_the_same_way() -> None:
    driver = library(tools=["look"])
    driver.user_speaks("look")
    driver.created()
    driver.hear("conversation.item.created", item={"id": "item_call_1", "type": "function_call", "name": "look"})
    driver.call()
    driver.done()
    driver.finish_tool("call_1", "nothing")
    answer = driver.one(wire.CreateItem).item
    driver.hear("conversation.item.created", item=answer)
    assert recorded(driver) == ['look({"a": 1})', "nothing"]
    assert [item.heard_text for item in driver.core.history][-2:] == recorded(driver)


def test_the_history_does_not_have_what_is_only_offered() -> None:
    driver = library()
    driver.hear("conversation.item.created", item=listing([{"name": "find"}]))
    assert list(driver.core.history) == []


def test_the_history_shows_the_beginning_of_a_long_result() -> None:
    driver = calling()
    driver.starts()
    driver.ends(output="x" * 1_000_000)
    [text] = recorded(driver)
    assert text.endswith("x ...")
    assert len(text) < MAX_TEXT + 100
    assert len(driver.all(McpFinished)[0].output) == 1_000_000
