"""The agent's side of a conversation: say(), tools, latencies, and responses that come at a bad time."""

from __future__ import annotations

import base64
from typing import Any
from unittest.mock import ANY

import pytest
from tests.conversation_driver import LOST, RATE, SERVER_VAD, STOPPED, Driver

from voicelive_agent import _wire as wire
from voicelive_agent import events
from voicelive_agent._outputs import CallTool, CancelTool, MoveSpeech
from voicelive_agent.events import State, Verdict

NO_INTERRUPT = {**SERVER_VAD, "interrupt_response": False}
QUIET = {**NO_INTERRUPT, "create_response": False}


def started(**changes: Any) -> Driver:
    return Driver(**changes).start()


# --- a response that comes while the user speaks ------------------------------------------------------------


@pytest.mark.parametrize(
    ("turn_detection", "client_barge_in", "ours", "cancelled"),
    [
        (SERVER_VAD, False, True, True),
        (SERVER_VAD, False, False, False),  # the service cancels it by itself
        (NO_INTERRUPT, False, True, False),
        (QUIET, True, True, True),
        (NO_INTERRUPT, True, False, True),
    ],
)
def test_a_response_that_is_created_while_the_user_speaks(
    turn_detection: Any, client_barge_in: bool, ours: bool, cancelled: bool
) -> None:
    driver = started(turn_detection=turn_detection, client_barge_in=client_barge_in)
    if ours:
        driver.say("Hello.", 1)
    driver.user_begins()
    if ours:
        driver.granted()
    else:
        driver.created()
    assert driver.asked(last=True) == (["response.cancel"] if cancelled else [])
    driver.audio(500)
    assert bool(driver.pending) is not cancelled
    driver.done(status="cancelled" if cancelled else "completed")
    driver.user_ends()
    driver.transcript("")
    assert driver.asked().count("response.create") == ours + (ours and cancelled), (
        "ours had to wait, and comes now"
    )
    assert "dropped" not in driver.speech(1)


# --- say() --------------------------------------------------------------------------------------------------


def test_what_is_said_is_followed_to_the_listener() -> None:
    driver = started()
    driver.say("one", 1)
    driver.say("two", 2)
    driver.granted("resp_1")
    driver.audio(500)
    assert driver.speech(1) == []
    driver.wait(0.05)
    assert driver.speech(1) == ["speaking"]
    driver.done("resp_1")
    driver.granted("resp_2")
    driver.audio(500, "msg_2", "resp_2")
    driver.done("resp_2")
    driver.wait(0.4)
    assert (driver.speech(1), driver.speech(2)) == (["speaking"], [])
    driver.wait(0.2)
    assert (driver.speech(1), driver.speech(2)) == (["speaking", "heard"], ["speaking"])
    driver.user_begins()
    assert driver.speech(2) == ["speaking", "interrupted"]


@pytest.mark.parametrize("arrived", [False, True], ids=["still coming", "all there"])
@pytest.mark.parametrize("end", [LOST, STOPPED], ids=["lost", "stopped"])
def test_the_end_of_the_call_tells_which_words_were_heard(end: Verdict, arrived: bool) -> None:
    talk = Driver().start()
    talk.say("one two three four", 7)
    talk.granted()
    talk.item()
    talk.words("one two three four")
    talk.audio(1_000)
    if arrived:
        talk.audio_done()
        talk.done()
    talk.wait(0.6)
    talk.close(end)
    assert [(move.status, move.text) for move in talk.all(MoveSpeech)] == [
        ("speaking", ""),
        ("interrupted", "one two"),
    ]


def test_a_barge_in_that_is_the_first_look_at_what_was_heard() -> None:
    driver = started()
    driver.say("one", 1)
    driver.granted()
    driver.audio(500)
    driver.skip(0.3)
    driver.user_begins()
    assert driver.speech(1) == ["speaking", "interrupted"], "in this order, and nothing after it"
    driver.done(status="cancelled")
    assert driver.speech(1) == ["speaking", "interrupted"]


@pytest.mark.parametrize(
    ("status", "calls", "fate"),
    [("failed", False, "dropped"), ("cancelled", False, "dropped"), ("completed", True, "dropped")],
)
def test_what_was_never_said_is_dropped(status: str, calls: bool, fate: str) -> None:
    driver = started()
    driver.say("one", 1)
    driver.granted()
    if calls:
        driver.call()
    driver.done(status=status)
    assert driver.speech(1) == [fate]


def test_what_is_cut_off_before_a_sample_was_heard_is_dropped() -> None:
    driver = started()
    driver.say("one", 1)
    driver.granted()
    driver.audio(500)
    driver.interrupt()
    assert driver.speech(1) == ["dropped"]


def test_an_interruption_by_hand_drops_what_is_queued_and_what_is_on_its_way() -> None:
    driver = started()
    for ticket in (1, 2, 3):
        driver.say("x", ticket)
    driver.interrupt()
    assert [driver.speech(ticket) for ticket in (1, 2, 3)] == [["dropped"]] * 3
    driver.granted()
    assert driver.asked(last=True) == ["response.cancel"]
    assert driver.audio(500) == []
    driver.done(status="cancelled")
    assert driver.told() == []
    assert driver.state() is State.READY
    driver.say("y", 4)
    driver.granted("resp_2")
    driver.audio(100, "msg_2", "resp_2")
    driver.done("resp_2")
    driver.wait(0.2)
    assert driver.speech(4) == ["speaking", "heard"]


def test_what_is_no_longer_wanted_is_not_asked_for_again() -> None:
    driver = started()
    driver.say("x", 1)
    driver.interrupt()
    event_id = driver.all(wire.CreateResponse)[-1].event_id
    driver.error("conversation_already_has_active_response", event_id=event_id)
    driver.done("resp_of_the_service")
    assert driver.asked() == ["session.update", "response.create"]
    assert driver.state() is State.READY


# --- tools --------------------------------------------------------------------------------------------------


def calling(*calls: str, **changes: Any) -> Driver:
    driver = started(**{"tools": ["look"], **changes})
    driver.user_speaks()
    driver.created()
    for call in calls:
        driver.call(call)
    driver.done()
    return driver


def test_parallel_calls_are_answered_each_and_spoken_about_once() -> None:
    driver = calling("call_1", "call_2")
    assert [call.call_id for call in driver.all(CallTool)] == ["call_1", "call_2"]
    assert driver.state() is State.PROCESSING
    driver.finish_tool("call_2", "2")
    assert driver.one(wire.CreateItem).item == {
        "id": ANY,
        "type": "function_call_output",
        "call_id": "call_2",
        "output": "2",
    }
    assert driver.asked(last=True) == ["conversation.item.create"]
    driver.finish_tool("call_1", "1")
    assert driver.asked(last=True) == ["conversation.item.create", "response.create"]
    assert driver.finish_tool("call_1", "1") == []
    driver.answer(100, "msg_2", "resp_2")
    driver.wait(0.2)
    assert driver.state() is State.READY
    assert driver.asked().count("response.create") == 1


def test_calls_are_known_by_any_of_their_messages() -> None:
    driver = started(tools=["look"])
    driver.created()
    ids = {"response_id": "resp_1", "item_id": "i"}
    driver.hear("response.function_call_arguments.done", call_id="c1", name="look", arguments='{"a": 1}', **ids)
    driver.hear("response.function_call_arguments.done", call_id="c2", arguments="{}", **ids)
    output = {"id": "i3", "type": "function_call", "call_id": "c3", "name": "look", "arguments": "{}"}
    driver.done(output=[output, {"id": "m", "type": "message"}])
    assert [(call.call_id, call.arguments) for call in driver.all(CallTool)] == [("c1", '{"a": 1}'), ("c3", "{}")]


def test_a_tool_that_is_not_ours_is_left_alone() -> None:
    driver = started(tools=["look"])
    driver.created()
    driver.call("call_1", "end_call")
    driver.done()
    assert driver.told() == ["ToolUnknown"]
    assert driver.state() is State.READY


@pytest.mark.parametrize("transcript", ["so", ""])
def test_a_late_result_is_spoken_about_only_if_no_newer_turn_has_begun(transcript: str) -> None:
    driver = calling("call_1")
    driver.user_begins("user_2")
    driver.user_ends("user_2")
    driver.transcript(transcript, "user_2")
    if transcript:
        driver.answer(100, "msg_2", "resp_2")
        driver.wait(0.2)
    driver.finish_tool("call_1")
    spoken = [] if transcript else ["response.create"]
    assert driver.asked(last=True) == ["conversation.item.create", *spoken]


def test_a_result_is_spoken_about_after_what_is_being_said() -> None:
    driver = calling("call_1")
    driver.say("One moment.", 1)
    driver.finish_tool("call_1")
    assert driver.asked(last=True) == ["conversation.item.create"]
    driver.granted("resp_2")
    driver.audio(500, "msg_2", "resp_2")
    driver.done("resp_2")
    assert driver.asked(last=True) == ["response.create"], "what was said did not say anything about the result"
    driver.answer(500, "msg_3", "resp_3")
    driver.wait(1.1)
    assert driver.state() is State.READY


def test_an_interruption_cancels_the_tools_that_want_it() -> None:
    driver = calling("call_1", cancelled_tools=["look"])
    driver.user_begins("user_2")
    assert driver.one(CancelTool).call_id == "call_1"
    assert driver.asked(last=True) == ["conversation.item.create"]
    assert driver.one(events.ToolFinished).error == "cancelled"
    assert driver.finish_tool("call_1") == []


def test_after_an_interruption_by_hand_nothing_is_said_about_what_it_cancelled() -> None:
    driver = calling("call_1", cancelled_tools=["look"])
    driver.interrupt()
    assert driver.asked(last=True) == ["conversation.item.create"]
    assert driver.state() is State.READY


def test_calls_of_a_dropped_response_are_answered_once_and_not_run() -> None:
    driver = started(tools=["look"])
    driver.user_speaks()
    driver.created()
    driver.call()
    driver.user_begins("user_2")
    output = {"id": "i", "type": "function_call", "call_id": "call_1", "name": "look", "status": "completed"}
    driver.done(status="cancelled", output=[output, {**output, "call_id": "call_2"}])
    answers = [item.item for item in driver.last if isinstance(item, wire.CreateItem)]
    assert [item["call_id"] for item in answers] == ["call_1", "call_2"]
    assert all("not run" in item["output"] for item in answers)
    assert driver.all(CallTool) == []


# --- latencies ----------------------------------------------------------------------------------------------


def test_latencies_are_those_that_the_listener_lived() -> None:
    driver = started(turn_detection={**SERVER_VAD, "prefix_padding_ms": 300, "silence_duration_ms": 500})
    begin = driver.now
    for number in range(1, 401):  # 8 s of microphone audio in blocks of 20 ms, each sent when it is complete
        driver.core.audio_sent(RATE // 50, begin + number * 0.020)
    driver.now = begin + 1.150
    driver.user_begins(at_ms=700)  # the speech itself began at 1000 ms
    driver.now = begin + 2.600
    driver.user_ends(at_ms=2_500)  # the speech itself ended at 2000 ms
    driver.now = begin + 3.000
    driver.created()
    driver.audio(2_000)
    driver.done()
    driver.skip(0.030)
    driver.tick()
    driver.now = begin + 4.100
    driver.skip(0.0)
    driver.user_begins("user_2", at_ms=3_700)  # begun at 4000 ms
    (turn,) = driver.all(events.TurnEnded)
    assert (turn.response_ms, turn.endpoint_ms, turn.barge_in_ms) == (1_000, 600, 100)


def test_latencies_are_none_where_they_do_not_apply() -> None:
    driver = started()
    driver.type("hello")
    driver.granted()
    driver.audio(100)
    driver.done()
    driver.wait(0.2)
    turn = driver.one(events.TurnEnded)
    assert (turn.response_ms, turn.endpoint_ms, turn.barge_in_ms) == (None, None, None)


def test_without_marks_the_end_of_the_speech_is_when_it_was_noticed() -> None:
    driver = started()
    driver.user_speaks()
    driver.wait(0.7)
    driver.answer(500)
    driver.wait(0.6)
    turn = driver.one(events.TurnEnded)
    assert (turn.response_ms, turn.endpoint_ms, turn.barge_in_ms) == (700, 0, None)


def test_g711_has_one_byte_a_sample() -> None:
    driver = started(output_rate=8_000, output_sample_bytes=1)
    driver.created()
    audio = base64.b64encode(bytes(8_000)).decode()
    driver.hear("response.audio.delta", response_id="resp_1", item_id="msg_1", delta=audio)
    driver.wait(0.25)
    driver.interrupt()
    assert driver.one(events.Interrupted).heard_ms == 250


def test_a_call_that_was_cut_off_is_neither_run_nor_answered() -> None:
    driver = started(tools=["look"])
    driver.created()
    ids = {"response_id": "resp_1", "item_id": "i"}
    driver.hear("response.function_call_arguments.done", call_id="c1", name="look", arguments='{"a', **ids)
    cut = {"id": "i", "type": "function_call", "status": "incomplete", "call_id": "c1", "name": "look"}
    driver.hear("response.output_item.done", response_id="resp_1", item=cut)
    driver.done(status="cancelled", output=[cut])
    assert driver.all(CallTool) == []
    assert "conversation.item.create" not in driver.asked()


def test_a_result_is_spoken_about_after_a_turn_over_the_call_that_came_to_nothing() -> None:
    driver = started(tools=["look"], turn_detection={"type": "server_vad", "interrupt_response": False})
    driver.created()
    driver.hear("input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)
    driver.hear("input_audio_buffer.speech_stopped", item_id="u", audio_end_ms=900)
    driver.call("call_1", "look")
    driver.done()
    driver.hear("conversation.item.input_audio_transcription.completed", item_id="u", transcript="")
    driver.finish_tool("call_1", "1")
    assert driver.asked(last=True) == ["conversation.item.create", "response.create"]
