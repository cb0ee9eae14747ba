"""The conversation machine: requests and their refusals, failures, odd messages."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conversation_driver import SERVER_VAD, Driver

from voicelive_agent import _wire as wire
from voicelive_agent import events
from voicelive_agent._incoming import MAX_UNREADABLE
from voicelive_agent._outputs import End, MoveSpeech
from voicelive_agent.events import EndReason, State

ACTIVE = "conversation_already_has_active_response"

profiles = pytest.mark.parametrize("profile", ["cascade", "realtime"])


def started(**changes: Any) -> Driver:
    return Driver(**changes).start()


# --- typed texts and response.create ------------------------------------------------------------------------


@profiles
def test_a_typed_text_is_answered(profile: Any) -> None:
    driver = started(profile=profile, turn_detection=None)
    driver.type("hello")
    create, ask = (output for output in driver.last if isinstance(output, wire.Request))
    assert isinstance(create, wire.CreateItem)
    assert create.item["content"] == [{"type": "input_text", "text": "hello"}]
    assert isinstance(ask, wire.CreateResponse)
    driver.hear("conversation.item.created", item={"id": create.item["id"], "role": "user", "type": "message"})
    driver.granted()
    driver.hear("response.text.delta", response_id="resp_1", item_id="msg_1", delta="Hi")
    assert driver.one(events.AgentSpeaking).text == "Hi"
    driver.hear("response.text.done", response_id="resp_1", item_id="msg_1", text="Hi there")
    assert driver.one(events.AgentSpoke).text == "Hi there"
    driver.done(response_usage=None)
    assert driver.state() is State.READY
    assert [item.text for item in driver.core.history] == ["hello", "Hi there"]
    assert driver.states() == [State.READY, State.PROCESSING, State.READY]
    assert driver.one(events.TurnEnded).status == "completed"


def test_creates_wait_for_the_open_response_and_typed_texts_share_one() -> None:
    driver = started()
    for text in ("one", "two", "three"):
        driver.type(text)
    assert (
        driver.asked()
        == ["session.update", "conversation.item.create", "response.create"] + ["conversation.item.create"] * 2
    )
    driver.granted("resp_1")
    assert driver.asked().count("response.create") == 1
    driver.done("resp_1")
    assert driver.asked(last=True) == ["response.create"], "one answer for the two texts that came later"
    driver.granted("resp_2")
    driver.done("resp_2")
    assert driver.asked(last=True) == []
    assert driver.state() is State.READY


def test_what_is_typed_early_comes_after_the_configuration() -> None:
    driver = Driver(greeting="Hello.")
    assert driver.type("early") == []
    driver.start()
    assert driver.asked() == ["session.update", "conversation.item.create", "response.create"]
    assert [item.text for item in driver.core.history] == ["early"]


def test_no_create_while_the_user_has_the_floor() -> None:
    driver = started()
    driver.user_begins()
    driver.type("hello")
    assert driver.asked(last=True) == ["conversation.item.create"]
    driver.user_ends()
    assert driver.asked(last=True) == []
    driver.created("resp_1")
    driver.done("resp_1")
    assert driver.asked(last=True) == ["response.create"], "it was typed and never tried: it is answered now"


@pytest.mark.parametrize("named", [True, False])
def test_a_create_that_came_too_early_is_postponed_until_the_other_is_done(named: bool) -> None:
    driver = started()
    driver.say("Hello.", 1)
    event_id = driver.one(wire.CreateResponse).event_id
    driver.error(ACTIVE, event_id=event_id if named else None)
    assert driver.last == [], "the state is as it was, and nothing is asked again at once"
    assert driver.state() is State.PROCESSING
    driver.wait(5.0)
    assert driver.asked(last=True) == []
    driver.done("resp_of_the_service")
    assert driver.asked(last=True) == ["response.create"]
    driver.granted("resp_2")
    driver.audio(100, "msg_2", "resp_2")
    driver.done("resp_2")
    driver.wait(0.2)
    assert driver.speech(1) == ["speaking", "heard"]


def test_a_postponed_answer_is_covered_by_one_of_the_services_own() -> None:
    driver = started()
    driver.type("hello")
    driver.error(ACTIVE, event_id=driver.one(wire.CreateResponse).event_id)
    driver.created("resp_1")
    driver.done("resp_1")
    assert driver.asked().count("response.create") == 1
    assert driver.state() is State.READY


def test_whoever_waits_for_an_answer_that_one_of_the_services_own_covers_is_told() -> None:
    driver = started()
    driver.respond({}, 1)
    driver.user_begins()
    driver.granted("resp_1")
    driver.done("resp_1", "cancelled")
    driver.created("resp_2")
    moved = driver.one(MoveSpeech)
    assert (moved.ticket, moved.status, moved.text) == (1, "dropped", "the service answered by itself")
    driver.done("resp_2")
    assert driver.asked().count("response.create") == 1


def test_a_response_that_was_not_ours_and_was_interrupted_meanwhile_is_not_asked_for_again() -> None:
    driver = started()
    driver.say("Hello.", 1)
    event_id = driver.one(wire.CreateResponse).event_id
    driver.created("resp_vad")
    driver.audio(1_000, response="resp_vad")
    driver.interrupt()
    assert driver.speech(1) == ["dropped"]
    driver.error(ACTIVE, event_id=event_id)
    driver.done("resp_vad", "cancelled")
    driver.close()
    assert driver.speech(1) == ["dropped"]
    assert driver.asked().count("response.create") == 1


def test_a_response_without_metadata_that_was_not_ours_after_all() -> None:
    driver = started()
    driver.say("Hello.", 1)
    event_id = driver.one(wire.CreateResponse).event_id
    driver.created("resp_vad")
    driver.error(ACTIVE, event_id=event_id)
    driver.audio(100, response="resp_vad")
    driver.done("resp_vad")
    assert driver.asked(last=True) == ["response.create"], "what was to be said is still to be said"
    driver.wait(0.2)
    assert driver.speech(1) == []
    driver.error(ACTIVE, event_id="vla_unknown")
    assert driver.one(events.ServiceFailed).code == ACTIVE


def test_a_late_refusal_of_an_older_create_changes_nothing() -> None:
    driver = started()
    driver.say("one", 1)
    first = driver.one(wire.CreateResponse).event_id
    driver.wait(31)
    driver.say("two", 2)
    assert driver.asked(last=True) == ["response.create"]
    driver.error(ACTIVE, event_id=first)
    driver.error("invalid_request_error", event_id=first)
    assert driver.one(events.ServiceFailed).code == "invalid_request_error"
    assert driver.speech(2) == []
    driver.granted("resp_2")
    assert driver.state() is State.PROCESSING


def test_a_refused_create_drops_what_was_to_be_said() -> None:
    driver = started()
    driver.say("Hello.", 7)
    driver.error(
        "invalid_request_error", event_id=driver.one(wire.CreateResponse).event_id, param="response.voice"
    )
    refused = driver.one(events.RequestRefused)
    assert (refused.request, refused.param) == ("response.create", "response.voice")
    assert driver.speech(7) == ["dropped"]
    assert driver.state() is State.READY


@pytest.mark.parametrize(
    ("profile", "code"), [("realtime", "invalid_value"), ("cascade", "something_else"), ("cascade", "")]
)
def test_another_refused_request_changes_no_state(profile: Any, code: str) -> None:
    driver = started(profile=profile)
    driver.type("hello")
    event_id = driver.one(wire.CreateItem).event_id
    driver.error(code, event_id=event_id)
    assert driver.one(events.RequestRefused).request == "conversation.item.create"
    assert driver.state() is State.PROCESSING
    driver.granted()
    driver.done()
    assert driver.state() is State.READY


def test_a_refused_update_after_the_start_is_only_told() -> None:
    driver = Driver()
    driver.hear("session.created", session={})
    event_id = driver.one(wire.UpdateSession).event_id
    driver.hear("session.updated", session={})
    driver.error("cannot_update_voice", event_id=event_id)
    assert driver.told() == ["ServiceFailed"], "it was confirmed already: this answers something else"
    assert driver.state() is State.READY


# --- failures -----------------------------------------------------------------------------------------------


def failed_turn() -> Driver:
    driver = started()
    driver.user_speaks()
    driver.created()
    details = {"type": "failed", "error": {"type": "server_error", "code": "oh", "message": "no"}}
    driver.done(status="failed", status_details=details)
    assert driver.state() is State.ERROR
    return driver


def test_a_failed_response_is_an_error_of_this_turn() -> None:
    driver = failed_turn()
    assert driver.one(events.ServiceFailed) == events.ServiceFailed("oh", "no", "server_error")
    assert driver.one(events.TurnEnded).status == "failed"


@pytest.mark.parametrize("way_out", ["speech", "response", "text"])
def test_an_error_is_left_by_the_next_turn(way_out: str) -> None:
    driver = failed_turn()
    match way_out:
        case "speech":
            driver.user_begins("user_2")
            assert driver.state() is State.LISTENING
        case "response":
            driver.created("resp_2")
            assert driver.state() is State.PROCESSING
        case _:
            driver.type("again")
            assert driver.state() is State.PROCESSING


def test_a_failure_without_details_is_one_too() -> None:
    driver = started()
    driver.created()
    driver.done(status="failed")
    assert driver.one(events.ServiceFailed) == events.ServiceFailed("response_failed", "the response failed")


def test_errors_of_the_service_are_told_and_only_fatal_ones_are_a_state() -> None:
    driver = started()
    driver.error("server_error", param="p")
    assert driver.one(events.ServiceFailed) == events.ServiceFailed(
        "server_error", "no", "invalid_request_error", "p", False
    )
    assert driver.state() is State.READY
    driver.hear("error", error={"message": None})
    assert driver.one(events.ServiceFailed) == events.ServiceFailed("", "")
    driver.error("session_expired")
    assert driver.one(events.ServiceFailed).fatal
    assert driver.state() is State.ERROR
    driver.error("server_error")
    assert driver.state() is State.ERROR


def test_a_cancel_that_came_too_late_is_nobodys_error() -> None:
    driver = started()
    driver.created()
    driver.interrupt()
    cancel = driver.one(wire.CancelResponse)
    assert driver.error("response_cancel_not_active", event_id=cancel.event_id) == []
    driver.done()
    assert driver.error("response_cancel_not_active", event_id=cancel.event_id) == []
    assert driver.error("response_cancel_not_active") == []
    assert driver.state() is State.READY


def test_another_refusal_of_a_cancel_is_told() -> None:
    driver = started()
    driver.created()
    driver.interrupt()
    driver.error("server_error", event_id=driver.one(wire.CancelResponse).event_id)
    assert driver.one(events.RequestRefused).request == "response.cancel"


def test_warnings_are_told() -> None:
    driver = started()
    driver.hear("warning", warning={"code": "w", "message": "m"})
    assert driver.last == [events.Warned("w", "m")]
    driver.hear("warning", warning={})
    assert driver.last == [events.Warned("", "")]


def test_auto_truncation_is_warned_of_once() -> None:
    driver = started(turn_detection={**SERVER_VAD, "auto_truncate": True})
    assert [warning.code for warning in driver.all(events.Warned)] == ["auto_truncate"]


def test_too_many_unreadable_messages_end_it() -> None:
    driver = started()
    for _ in range(MAX_UNREADABLE - 1):
        driver.hear_raw("[")
        assert driver.told() == ["MessageRejected"]
    driver.hear("rate_limits.updated")
    for _ in range(MAX_UNREADABLE - 1):
        driver.hear_raw("{}")
    assert driver.state() is State.READY, "one good message in between begins the count anew"
    driver.hear_raw('{"type":"error"}')
    verdict = driver.one(End).verdict
    assert verdict.reason is EndReason.PROTOCOL
    assert "Voice Live" in verdict.hint
