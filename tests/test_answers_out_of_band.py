"""Responses that the program asks for: in the conversation, and out of band, where nobody is to notice them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conversation_driver import LOST, Driver

from voicelive_agent import _wire as wire
from voicelive_agent import events
from voicelive_agent._outputs import MoveSpeech, Play
from voicelive_agent._responses import MAX_ATTEMPTS
from voicelive_agent.events import State

SILENT: dict[str, Any] = {"conversation": "none", "modalities": ["text"], "instructions": "Summarise."}


def started(**changes: Any) -> Driver:
    return Driver(**changes).start()


def thinking() -> Driver:
    """Somebody has asked for an answer out of band, and the service has begun it."""
    driver = started()
    driver.respond(SILENT, 7, silent=True)
    driver.granted("resp_s")
    return driver


def says(driver: Driver, text: str = "A summary.", response: str = "resp_s") -> list[Any]:
    """The service writes all of the answer."""
    ids = {"response_id": response, "item_id": "msg_s"}
    message = {"id": "msg_s", "type": "message", "role": "assistant"}
    outputs = driver.hear("response.output_item.added", response_id=response, output_index=0, item=message)
    outputs += driver.hear("response.text.delta", delta=text, **ids)
    outputs += driver.hear("response.text.done", text=text, **ids)
    return outputs


def replies(driver: Driver, ticket: int = 7) -> list[tuple[str, str]]:
    return [(move.status, move.text) for move in driver.all(MoveSpeech) if move.ticket == ticket]


# --- in the conversation ------------------------------------------------------------------------------------


def test_the_parameters_and_the_metadata_go_along() -> None:
    driver = started()
    driver.respond({"instructions": "Ask for the name.", "metadata": {"a": "b"}}, 7)
    request = driver.one(wire.CreateResponse)
    assert request.response == {
        "instructions": "Ask for the name.",
        "metadata": {"a": "b", "vla": request.event_id},
    }
    driver.granted()
    driver.item()
    driver.words()
    driver.audio(1_000)
    driver.done()
    driver.wait(2)
    assert driver.speech(7) == ["speaking", "heard"]


def test_it_waits_for_the_open_response_and_for_the_user() -> None:
    driver = started()
    driver.user_speaks()
    driver.created()
    driver.respond({}, 7)
    assert driver.asked(last=True) == []
    driver.user_begins("user_2")
    driver.done(status="cancelled")
    assert driver.asked(last=True) == []
    driver.user_ends("user_2")
    driver.transcript("", "user_2")
    assert driver.asked(last=True) == ["response.create"]


def test_without_words_of_its_own_it_answers_what_was_said_and_done() -> None:
    driver = started(tools=["look"])
    driver.user_speaks()
    driver.created()
    driver.call()
    driver.done()
    driver.respond({"tool_choice": "none"}, 7)
    driver.granted("resp_2")
    driver.finish_tool("call_1")
    driver.respond({"modalities": ["text"]}, 8)
    driver.done("resp_2")
    assert driver.one(wire.CreateResponse).response["modalities"] == ["text"]
    driver.granted("resp_3")
    driver.done("resp_3")
    assert driver.asked().count("response.create") == 2  # the second one knew the result


def test_with_instructions_of_its_own_it_does_not_stand_for_the_result_of_a_tool() -> None:
    driver = started(tools=["look"])
    driver.user_speaks()
    driver.created()
    driver.call()
    driver.done()
    driver.respond({"instructions": "Say something."}, 7)
    driver.granted("resp_2")
    driver.finish_tool("call_1")
    driver.done("resp_2")
    assert driver.one(wire.CreateResponse).response.keys() == {"metadata"}


def test_after_the_end_nothing_is_asked_for() -> None:
    driver = started()
    driver.close()
    driver.respond({}, 7)
    assert replies(driver) == [("dropped", "the conversation has ended")]


# --- out of band --------------------------------------------------------------------------------------------


def test_the_text_is_for_whoever_asked_and_for_nobody_else() -> None:
    driver = thinking()
    before = list(driver.core.history)
    outputs = says(driver)
    outputs += driver.audio(1_000, "msg_s", "resp_s")
    outputs += driver.words("x", "msg_s", "resp_s")
    word = {"text": "x", "timestamp_type": "word", "item_id": "msg_s"}
    outputs += driver.hear("response.audio_timestamp.delta", response_id="resp_s", **word)
    assert outputs == []
    driver.done("resp_s")
    assert replies(driver) == [("heard", "A summary.")]
    assert driver.all(Play) == []
    assert list(driver.core.history) == before
    assert driver.told() == []
    assert driver.all(events.TurnEnded) == []
    assert driver.state() is State.READY


def test_its_calls_are_nobodys() -> None:
    driver = started(tools=["look"])
    driver.respond(SILENT, 7, silent=True)
    driver.granted("resp_s")
    assert driver.call(response="resp_s") == []
    arguments = {"call_id": "call_2", "name": "look", "arguments": "{}"}
    assert driver.hear("response.function_call_arguments.done", response_id="resp_s", **arguments) == []
    driver.done("resp_s")
    assert driver.all(events.ToolCalled) == []


def test_an_answer_of_the_services_own_is_not_taken_for_it() -> None:
    driver = started()
    driver.respond(SILENT, 7, silent=True)
    driver.created("resp_u")  # its own, without metadata
    driver.item("msg_u", "resp_u")
    driver.audio(500, "msg_u", "resp_u")
    assert driver.all(Play) != []
    driver.done("resp_u")
    driver.granted("resp_s")
    says(driver)
    driver.done("resp_s")
    assert replies(driver) == [("heard", "A summary.")]


@pytest.mark.parametrize("interrupts", [True, False])
def test_the_user_may_speak_meanwhile(interrupts: bool) -> None:
    detection = {"type": "server_vad", "interrupt_response": interrupts}
    driver = started(turn_detection=detection, client_barge_in=True)
    driver.respond(SILENT, 7, silent=True)
    driver.granted("resp_s")
    driver.user_begins()
    assert "response.cancel" not in driver.asked()
    says(driver)
    driver.done("resp_s")
    assert replies(driver) == [("heard", "A summary.")]
    driver.user_ends()
    assert driver.state() is State.PROCESSING  # the answer to the user is due


def test_an_answer_to_the_user_is_due_though_it_is_not_over() -> None:
    driver = thinking()
    driver.user_begins()
    driver.user_ends()
    says(driver)
    driver.done("resp_s")
    assert driver.state() is State.PROCESSING


def test_what_the_service_cut_off_is_asked_for_again_but_not_for_ever() -> None:
    driver = thinking()
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert driver.asked().count("response.create") == attempt
        driver.user_begins(f"user_{attempt}")
        driver.done(f"resp_{attempt}" if attempt > 1 else "resp_s", status="cancelled")
        driver.user_ends(f"user_{attempt}")
        driver.transcript("", f"user_{attempt}")
        if attempt < MAX_ATTEMPTS:
            driver.granted(f"resp_{attempt + 1}")
    assert replies(driver) == [("dropped", "it ended as cancelled")]
    assert driver.asked().count("response.create") == MAX_ATTEMPTS


def test_one_that_fails_says_why_and_is_no_failure_of_the_turn() -> None:
    driver = thinking()
    details = {"type": "failed", "error": {"code": "server_error", "message": "Too much."}}
    driver.done("resp_s", "failed", status_details=details)
    assert replies(driver) == [("dropped", "Too much.")]
    assert driver.state() is State.READY
    assert driver.all(events.ServiceFailed) == []


def test_one_that_is_refused_says_why() -> None:
    driver = started()
    driver.respond(SILENT, 7, silent=True)
    driver.error(
        "invalid_request_error", event_id=driver.one(wire.CreateResponse).event_id, message="No such thing."
    )
    assert replies(driver) == [("dropped", "No such thing.")]


def test_a_refusal_of_something_else_is_not_its_own() -> None:
    driver = started()
    driver.respond(SILENT, 7, silent=True)
    driver.type("hello")
    driver.error("invalid_value", event_id=driver.one(wire.CreateItem).event_id)
    assert driver.one(events.RequestRefused).request == "conversation.item.create"
    assert replies(driver) == []


def test_one_that_does_not_come() -> None:
    driver = started()
    driver.respond(SILENT, 7, silent=True)
    driver.wait(31)
    assert replies(driver) == [("dropped", "it did not come in time")]


def test_an_interruption_by_hand_leaves_it_alone() -> None:
    driver = started()
    driver.say("hello", 1)
    driver.respond(SILENT, 7, silent=True)
    driver.interrupt()
    assert driver.speech(1) == ["dropped"]
    assert replies(driver) == []
    driver.granted()
    driver.done(status="cancelled")
    assert driver.one(wire.CreateResponse).response["conversation"] == "none"
    driver.interrupt()
    assert replies(driver) == []
    driver.granted("resp_s")
    driver.interrupt()
    says(driver)
    driver.done("resp_s")
    assert replies(driver) == [("heard", "A summary.")]


@pytest.mark.parametrize("moment", ["wanted", "asked", "open"])
def test_the_end_is_its_end(moment: str) -> None:
    driver = started()
    if moment == "wanted":
        driver.user_begins()
    driver.respond(SILENT, 7, silent=True)
    if moment == "open":
        driver.granted("resp_s")
    driver.close(LOST)
    [(status, reason)] = replies(driver)
    assert status == "dropped"
    assert "ended" in reason


# --- a scope in which nothing is interrupted ----------------------------------------------------------------


def answering(driver: Driver) -> None:
    """The agent says 2 s, and all of it has arrived."""
    driver.say("Terms and conditions apply.", 7)
    driver.granted()
    driver.item()
    driver.words("Terms and conditions apply.")
    driver.audio(2_000)


def test_in_the_scope_the_service_gets_silence_only_while_something_is_said() -> None:
    driver = started()
    driver.hold(1)
    assert not driver.core.mutes_input
    answering(driver)
    assert driver.core.mutes_input
    driver.audio_done()
    driver.done()
    assert driver.core.mutes_input
    driver.wait(2.1)
    assert not driver.core.mutes_input
    assert driver.speech(7) == ["speaking", "heard"]
    driver.hold(-1)


def test_after_the_scope_the_same_words_can_be_interrupted() -> None:
    driver = started()
    driver.hold(1)
    driver.hold(1)
    answering(driver)
    driver.hold(-1)
    assert driver.core.mutes_input
    driver.hold(-1)
    assert not driver.core.mutes_input
    driver.skip(0.5)
    driver.user_begins()
    assert driver.one(events.Interrupted).heard_ms == 500


def test_speech_that_was_on_its_way_flushes_nothing() -> None:
    driver = started()
    driver.hold(1)
    answering(driver)
    driver.skip(0.5)
    driver.user_begins()
    assert driver.all(events.Interrupted) == []
    driver.done(status="cancelled")
    driver.wait(2)
    assert driver.all(events.Interrupted) == []
    assert driver.all(events.TurnEnded)[0].heard_ms == 2_000


def test_what_the_service_cancelled_before_it_was_heard_is_said_again() -> None:
    driver = started()
    driver.hold(1)
    driver.say("Terms and conditions apply.", 7)
    driver.granted()
    driver.item()
    driver.user_begins()
    driver.done(status="cancelled")
    driver.user_ends()
    driver.transcript("")
    assert driver.asked(last=True) == ["response.create"]
    assert driver.speech(7) == []


def test_an_answer_of_the_services_own_that_it_cancels_is_not_asked_for_again() -> None:
    driver = started()
    driver.hold(1)
    driver.user_speaks()
    driver.created()
    driver.user_begins("user_2")
    driver.done(status="cancelled")
    assert "response.create" not in driver.asked()


def test_by_hand_it_can_be_interrupted_all_the_same() -> None:
    driver = started()
    driver.hold(1)
    answering(driver)
    driver.skip(0.5)
    driver.interrupt()
    assert driver.speech(7)[-1] == "interrupted"


def test_what_is_out_of_band_mutes_nobody() -> None:
    driver = started()
    driver.hold(1)
    driver.respond(SILENT, 7, silent=True)
    assert not driver.core.mutes_input
    driver.granted("resp_s")
    assert not driver.core.mutes_input


# --- what the service says by itself while the answer takes long --------------------------------------------


def test_an_interim_sentence_is_part_of_what_was_said_and_heard() -> None:
    driver = started(profile="cascade")
    driver.user_speaks()
    driver.created()
    driver.item()
    driver.words("One moment. ")
    driver.audio(1_000)
    driver.wait(3)
    assert driver.state() is State.PROCESSING  # it was heard, and the answer is not there yet
    driver.words("It is open.")
    driver.audio(1_000)
    driver.skip(0.5)
    driver.user_begins("user_2")
    cut = driver.one(events.Interrupted)
    assert (cut.heard_ms, cut.received_ms) == (1_500, 2_000)
    assert cut.heard_text.startswith("One moment.")
    assert driver.core.history["msg_1"].text == "One moment. It is open."
    driver.done(status="cancelled")
    rewritten = driver.one(wire.CreateItem).item["content"][0]["text"]
    assert rewritten == cut.heard_text
