"""The conversation machine: states, the session, the user, limits, and the end."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conversation_driver import LOST, RATE, SERVER_VAD, STOPPED, Driver, plan

from voicelive_agent import _wire as wire
from voicelive_agent import events
from voicelive_agent._conversation import MIN_TICK_S
from voicelive_agent._outputs import CancelTool, End, FinishPlayback, Play, StopPlayback
from voicelive_agent.events import EndReason, State

NO_INTERRUPT = {**SERVER_VAD, "interrupt_response": False}
ACTIVE = "conversation_already_has_active_response"

profiles = pytest.mark.parametrize("profile", ["cascade", "realtime"])


def started(**changes: Any) -> Driver:
    return Driver(**changes).start()


def test_a_session_is_configured_once_and_announced() -> None:
    driver = Driver()
    assert driver.state() is State.CONNECTING
    assert driver.core.deadline is None
    driver.hear("session.created", session={"id": "sess_1"})
    request = driver.one(wire.UpdateSession)
    assert request.session == driver.plan.session
    assert driver.hear("session.created", session={"id": "sess_1"}) == []
    driver.hear("session.updated", session={"id": "sess_1", "model": "m"})
    assert driver.one(events.SessionStarted) == events.SessionStarted("sess_1", {"id": "sess_1", "model": "m"})
    assert driver.one(events.StateChanged) == events.StateChanged(State.CONNECTING, State.READY)
    assert driver.core.deadline is None
    assert driver.hear("session.updated", session={"id": "sess_1"}) == []
    assert driver.hear("session.created", session={"id": "sess_1"}) == []


@profiles
def test_a_spoken_turn_goes_through_all_states(profile: Any) -> None:
    driver = started(profile=profile)
    driver.user_begins()
    driver.user_ends()
    driver.transcript("hello")
    driver.created()
    driver.item()
    driver.words("Good morning.")
    driver.audio(1_000)
    driver.audio_done()
    driver.done()
    driver.wait(0.9)
    assert driver.state() is State.SPEAKING, (
        "it lasts until the last sample was heard, not until the last was sent"
    )
    driver.wait(0.2)
    assert driver.states() == [State.READY, State.LISTENING, State.PROCESSING, State.SPEAKING, State.READY]
    (turn,) = driver.all(events.TurnEnded)
    assert (turn.status, turn.heard_ms) == ("completed", 1_000)
    assert [(item.role, item.text, item.heard_text) for item in driver.core.history] == [
        ("user", "hello", "hello"),
        ("assistant", "Good morning.", "Good morning."),
    ]
    assert driver.asked() == ["session.update"], "the service made the response by itself"


def test_slow_deltas_do_not_make_the_state_flap() -> None:
    driver = started()
    driver.user_speaks()
    driver.created()
    for _ in range(5):
        driver.audio(200)
        driver.wait(0.55)
        assert driver.state() is State.SPEAKING
    driver.wait(0.1)
    assert driver.state() is State.PROCESSING, "nothing for 400 ms is no longer speech"
    driver.audio(200)
    assert driver.state() is State.SPEAKING
    driver.audio_done()
    driver.wait(0.21)
    assert driver.state() is State.PROCESSING
    driver.done()
    assert driver.state() is State.READY
    assert driver.states().count(State.SPEAKING) == 2


def test_history_follows_what_is_heard() -> None:
    driver = started()
    driver.user_speaks()
    driver.answer(1_000)
    driver.wait(0.5)
    driver.tick()
    item = driver.core.history["msg_1"]
    assert (item.heard_ms, item.received_ms, item.interrupted) == (500, 1_000, False)
    assert item.heard_text == "one two three"


def test_a_greeting_is_said_first_and_word_for_word() -> None:
    driver = started(greeting="Good morning!")
    (request,) = driver.all(wire.CreateResponse)
    message = request.response["pre_generated_assistant_message"]
    assert message == {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": "Good morning!"}],
    }
    assert driver.state() is State.PROCESSING


def test_a_voice_of_the_model_is_asked_to_say_it() -> None:
    driver = started(pregenerated=False)
    driver.say("Good morning!")
    assert driver.one(wire.CreateResponse).response["instructions"] == 'Say exactly: "Good morning!"'


# --- the user -----------------------------------------------------------------------------------------------


def test_what_the_user_says_is_told_as_it_comes() -> None:
    driver = started()
    driver.user_begins("u", at_ms=320)
    assert driver.one(events.SpeechStarted) == events.SpeechStarted("u", 320)
    kind = "conversation.item.input_audio_transcription."
    driver.hear(kind + "delta", item_id="u", delta="good ")
    driver.hear(kind + "delta", item_id="u", delta="day")
    assert driver.one(events.UserSpeaking) == events.UserSpeaking("u", "good day")
    assert driver.hear(kind + "delta", item_id="u") == [events.UserSpeaking("u", "good day")]
    driver.user_ends("u", at_ms=900)
    assert driver.one(events.SpeechStopped) == events.SpeechStopped("u", 900)
    driver.hear(kind + "completed", item_id="u", transcript=" Good day. ", language="en-US")
    assert driver.one(events.UserSpoke) == events.UserSpoke("u", "Good day.", "en-US")
    assert driver.core.history["u"].text == "Good day."


@profiles
@pytest.mark.parametrize("outcome", ["empty", "missing", "stalled"])
def test_processing_ends_when_nothing_was_said(outcome: str, profile: str) -> None:
    driver = started(profile=profile)
    driver.user_begins("u")
    driver.user_ends("u")
    assert driver.state() is State.PROCESSING
    kind = "conversation.item.input_audio_transcription."
    match outcome:
        case "empty":
            assert driver.hear(kind + "completed", item_id="u", transcript=" ")[:-1] == []
        case "missing":
            driver.hear(kind + "completed", item_id="u")
        case _:
            driver.wait(31)
            assert driver.one(events.Stalled) == events.Stalled("an answer to what the user said", 30_000)
    assert driver.state() is State.READY
    driver.hear(kind + "failed", item_id="u", error={})
    assert driver.told() == ["TranscriptionFailed"]


def not_transcribed(profile: str, **detection: Any) -> Driver:
    """The user has spoken, and nobody will know what."""
    driver = started(profile=profile, turn_detection={**SERVER_VAD, **detection})
    driver.user_begins("u")
    driver.user_ends("u")
    kind = "conversation.item.input_audio_transcription.failed"
    driver.hear(kind, item_id="u", error={"code": "c", "message": "m"})
    assert driver.one(events.TranscriptionFailed) == events.TranscriptionFailed("u", "c", "m")
    return driver


def test_a_model_that_hears_audio_answers_what_could_not_be_transcribed() -> None:
    driver = not_transcribed("realtime")
    assert driver.state() is State.PROCESSING
    driver.answer()
    assert driver.states()[1:] == [State.LISTENING, State.PROCESSING, State.SPEAKING]
    driver.wait(2)
    assert driver.state() is State.READY
    assert driver.all(events.TurnEnded)[0].response_ms is not None


def test_a_model_that_needs_words_is_not_waited_for_when_there_are_none() -> None:
    driver = not_transcribed("cascade")
    assert driver.state() is State.READY
    driver.created()  # it was never seen whether it does
    assert driver.state() is State.PROCESSING


def test_no_answer_is_due_to_what_could_not_be_transcribed_if_the_service_makes_none() -> None:
    driver = not_transcribed("realtime", create_response=False)
    assert State.PROCESSING not in driver.states()
    assert driver.state() is State.READY


@pytest.mark.parametrize("outcome", ["failed", "cancelled", "refused", "stalled", "said again"])
def test_an_answer_to_what_could_not_be_transcribed_that_does_not_come_is_not_waited_for(outcome: str) -> None:
    driver = not_transcribed("realtime")
    match outcome:
        case "failed":
            driver.created()
            driver.done(status="failed")
            assert driver.state() is State.ERROR
        case "cancelled":
            driver.created()
            driver.done(status="cancelled")
            assert driver.state() is State.READY
        case "refused":
            driver.error("insufficient_quota")
            assert driver.state() is State.ERROR
        case "stalled":
            driver.wait(31)
            assert driver.one(events.Stalled) == events.Stalled("an answer to what the user said", 30_000)
            assert driver.state() is State.READY
        case _:
            driver.user_begins("v")
            assert driver.state() is State.LISTENING
            driver.hear("input_audio_buffer.committed", item_id="v")
            assert driver.state() is State.READY


def test_what_is_said_because_of_a_failed_transcription_follows_the_answer() -> None:
    driver = not_transcribed("realtime")
    driver.say("Please say that again.", 1)
    assert driver.asked(last=True) == []
    driver.answer()
    assert driver.asked(last=True) == ["response.create"]


def test_a_late_empty_transcript_does_not_stop_the_answer() -> None:
    driver = started()
    driver.user_speaks("hello")
    driver.created()
    driver.transcript("")
    assert driver.state() is State.PROCESSING


def test_a_commit_ends_the_speech_though_its_end_was_not_told() -> None:
    driver = started()
    driver.user_begins("u")
    driver.hear("input_audio_buffer.committed", item_id="other")
    assert driver.state() is State.LISTENING
    driver.hear("input_audio_buffer.committed", item_id="u")
    assert driver.state() is State.READY


def test_items_take_their_places() -> None:
    driver = started()
    driver.hear("conversation.item.created", item={"id": "t", "type": "function_call"})
    driver.hear("conversation.item.created", item={"type": "function_call"})
    driver.hear("conversation.item.created", item={"id": "u", "role": "user"})
    driver.hear("conversation.item.created", item={"id": "a", "role": "assistant"})
    assert [(item.item_id, item.role) for item in driver.core.history] == [
        ("t", "tool"),
        ("u", "user"),
        ("a", "assistant"),
    ]


# --- limits -------------------------------------------------------------------------------------------------


def test_the_service_has_to_accept_the_configuration_in_time() -> None:
    driver = Driver(start_s=4.0)
    driver.hear("session.created", session={})
    driver.wait(3.9)
    assert driver.last == []
    driver.wait(0.2)
    verdict = driver.one(End).verdict
    assert verdict.reason is EndReason.UNAVAILABLE
    assert "4 s" in verdict.detail


@pytest.mark.parametrize(
    ("named", "param"), [(True, "session.turn_detection"), (True, None), (False, "session.turn_detection")]
)
def test_a_refused_configuration_ends_it(named: bool, param: str | None) -> None:
    driver = Driver()
    driver.hear("session.created", session={})
    event_id = driver.one(wire.UpdateSession).event_id
    driver.error("invalid_request_error", event_id=event_id if named else None, param=param)
    assert driver.one(events.RequestRefused).param == param
    verdict = driver.one(End).verdict
    assert verdict.reason is EndReason.CONFIGURATION
    assert (param or "Mend") in verdict.hint
    assert driver.last[-1] == End(verdict)


def test_a_stalled_create_is_given_up() -> None:
    driver = started(stall_s=5.0)
    driver.say("Hello.", 3)
    driver.wait(4.9)
    assert driver.state() is State.PROCESSING
    driver.wait(0.2)
    assert driver.one(events.Stalled) == events.Stalled("the response that was asked for", 5_000)
    assert driver.speech(3) == ["dropped"]
    assert driver.state() is State.READY


def test_the_late_refusal_of_a_create_that_was_given_up_leaves_the_service_s_own_answer_alone() -> None:
    driver = started(stall_s=5.0)
    driver.say("Hello.", 3)
    event_id = driver.one(wire.CreateResponse).event_id
    driver.wait(5.1)
    driver.user_speaks()
    driver.created("resp_of_the_service")
    driver.error(ACTIVE, event_id=event_id)
    driver.audio(200, "msg_1", "resp_of_the_service")
    driver.done("resp_of_the_service")
    driver.wait(0.3)
    assert driver.one(events.TurnEnded).status == "completed"
    assert driver.asked().count("response.create") == 1, "nobody waits for it any more"
    assert driver.speech(3) == ["dropped"]


def test_a_response_that_stops_coming_is_incomplete_and_what_came_is_heard() -> None:
    driver = started(stall_s=5.0)
    driver.user_speaks()
    driver.created()
    driver.wait(4.0)
    driver.audio(200)
    driver.wait(4.9)
    assert driver.all(events.Stalled) == [], "every sign of life counts"
    driver.wait(0.2)
    assert driver.one(events.Stalled).waited_for == "the rest of a response"
    assert driver.one(events.TurnEnded).status == "incomplete"
    assert driver.state() is State.READY
    assert driver.audio(200) == [], "it is over, whatever still comes"
    assert driver.core.deadline is None


def test_a_stalled_response_that_ends_after_all_unblocks_the_next() -> None:
    driver = started(stall_s=5.0)
    driver.created()
    driver.wait(6.0)
    driver.type("hello")
    driver.error(ACTIVE, event_id=driver.one(wire.CreateResponse).event_id)
    driver.done()
    assert driver.asked(last=True) == ["response.create"]


def test_a_response_that_only_the_service_knows_is_not_waited_for_without_end() -> None:
    driver = started(stall_s=5.0)
    driver.say("Hello.", 3)
    driver.error(ACTIVE, event_id=driver.one(wire.CreateResponse).event_id)
    driver.wait(5.1)
    assert driver.one(events.Stalled).waited_for == "the end of a response that only the service knows of"
    assert driver.asked(last=True) == ["response.create"]
    driver.wait(5.1)
    assert driver.state() is State.READY
    assert driver.speech(3) == ["dropped"]


def test_the_deadline_is_never_nearer_than_ten_milliseconds() -> None:
    driver = started()
    driver.created()
    driver.audio(1)
    assert driver.core.deadline == driver.now + MIN_TICK_S
    driver.audio(5_000)
    assert driver.core.deadline == driver.now + 0.020, "the first sample heard is looked for"
    driver.skip(0.05)
    driver.tick()
    assert driver.core.deadline == pytest.approx(driver.now + 5.001 - 0.05)
    driver.skip(5.0)
    driver.tick()
    assert driver.core.deadline == pytest.approx(driver.now + 0.4), "all is heard, and more may come"
    driver.skip(60)
    assert driver.tick()
    driver.user_begins()
    driver.audio(0)
    assert driver.core.deadline is None


# --- the end ------------------------------------------------------------------------------------------------


def speaking() -> Driver:
    driver = started(tools=["look"])
    driver.user_speaks()
    driver.answer(2_000)
    driver.wait(0.5)
    return driver


def test_a_stop_silences() -> None:
    driver = speaking()
    driver.close(STOPPED)
    assert driver.names() == [
        "StopPlayback",
        "TruncateItem",
        "Interrupted",
        "TurnEnded",
        "StateChanged",
        "SessionEnded",
        "End",
    ]
    assert driver.state() is State.CLOSED
    assert driver.core.deadline is None


def test_a_loss_lets_what_is_queued_be_heard() -> None:
    driver = speaking()
    driver.close(LOST)
    assert driver.names() == ["TurnEnded", "StateChanged", "SessionEnded", "End"]
    turn = driver.one(events.TurnEnded)
    assert (turn.status, turn.heard_ms) == ("interrupted", 500)
    assert driver.one(events.SessionEnded).verdict is LOST


def in_state(state: State) -> Driver:
    driver = Driver(tools=["look"])
    if state is State.CONNECTING:
        return driver
    driver.start()
    match state:
        case State.LISTENING:
            driver.user_begins()
        case State.PROCESSING:
            driver.say("Hello.", 1)
            driver.say("Hello again.", 2)
        case State.SPEAKING:
            driver.say("Hello.", 1)
            driver.granted()
            driver.audio(1_000)
        case State.ERROR:
            driver.error("session_expired")
        case _:
            pass
    assert driver.state() is state
    return driver


@pytest.mark.parametrize("verdict", [STOPPED, LOST], ids=["stopped", "lost"])
@pytest.mark.parametrize("state", [state for state in State if state is not State.CLOSED])
def test_it_can_end_in_every_state_and_then_says_nothing_more(state: State, verdict: Any) -> None:
    driver = in_state(state)
    driver.close(verdict)
    assert driver.last[-3:] == [
        events.StateChanged(state, State.CLOSED),
        events.SessionEnded(verdict),
        End(verdict),
    ]
    assert any(isinstance(output, StopPlayback) for output in driver.last) is (
        state is State.SPEAKING and verdict is STOPPED
    )
    for ticket in (1, 2):
        assert driver.speech(ticket)[-1:] in ([], ["dropped"], ["interrupted"])
    assert driver.close(LOST) == []
    assert driver.interrupt() == []
    assert driver.type("hello") == []
    assert driver.audio(100) == []
    assert driver.tick() == []
    assert driver.finish_tool("call_1") == []
    assert driver.say("too late", 9)
    assert driver.speech(9) == ["dropped"]
    assert driver.state() is State.CLOSED


def test_what_waits_at_the_end_is_told() -> None:
    driver = started(tools=["look"])
    driver.user_speaks()
    driver.created()
    driver.call()
    driver.done()
    driver.say("one", 1)
    driver.granted("resp_2")
    driver.audio(1_000, "msg_2", "resp_2")
    driver.say("two", 2)
    driver.wait(0.1)
    driver.close(LOST)
    assert driver.one(CancelTool) == CancelTool("call_1")
    assert driver.speech(1) == ["speaking", "interrupted"]
    assert driver.speech(2) == ["dropped"]
    assert [item.heard_ms for item in driver.core.history if item.item_id == "msg_2"] == [100]


def test_audio_is_handed_on_undecoded() -> None:
    driver = started()
    driver.created()
    driver.audio(100)
    play = driver.one(Play)
    assert (play.samples, len(play.decode())) == (RATE // 10, RATE // 5)
    assert driver.audio_done() == [FinishPlayback("msg_1")]
    assert driver.audio_done() == []


def test_a_plan_reads_its_policy_from_what_is_sent() -> None:
    assert plan(turn_detection=None).turns.kind == "manual"
    assert not plan(turn_detection=NO_INTERRUPT).turns.interrupts_response
