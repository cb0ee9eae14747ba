"""Push-to-talk in the conversation machine: what begins and ends a turn, and what of the microphone is sent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.conversation_driver import RATE, Driver, plan

from voicelive_agent import _wire as wire
from voicelive_agent._outputs import Output, StopPlayback
from voicelive_agent._plan import Plan
from voicelive_agent._turn_detection import turn_policy
from voicelive_agent.events import Interrupted, Stalled, State, StateChanged, TurnEnded, TurnTimedOut, TurnTooShort


def pcm(ms: int, value: int = 1) -> bytes:
    return bytes([value]) * (RATE * ms // 1000 * 2)


class Button(Driver):
    """A conversation with a button to talk."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(plan(turn_detection=None, **changes))
        self.start()

    def press(self, *, pre_roll_ms: int = 0, limit_s: float = 60.0) -> list[Output]:
        return self.feed(self.core.begin_turn, pre_roll_ms=pre_roll_ms, limit_s=limit_s)

    def release(self) -> list[Output]:
        return self.feed(self.core.end_turn)

    def speaks(self, ms: int = 1_000) -> None:
        """A whole turn."""
        self.press()
        self.core.hear(pcm(ms))
        self.skip(ms / 1_000)
        self.release()


def test_a_turn_is_committed_and_answered() -> None:
    talk = Button()
    talk.press()
    assert talk.state() is State.LISTENING
    assert talk.core.hear(pcm(500)) == pcm(500)
    talk.release()
    assert talk.asked(last=True) == ["input_audio_buffer.commit", "response.create"]
    assert talk.state() is State.PROCESSING
    talk.hear("input_audio_buffer.committed", item_id="user_1")
    talk.transcript("hello")
    talk.granted()
    talk.audio(1_000)
    talk.audio_done()
    talk.done()
    talk.wait(2)
    assert talk.states() == [
        State.READY, State.LISTENING, State.PROCESSING, State.SPEAKING, State.READY,
    ]  # fmt: skip
    assert [(item.role, item.text) for item in talk.core.history] == [("user", "hello"), ("assistant", "")]


def test_the_latency_runs_from_the_end_of_the_turn() -> None:
    talk = Button()
    talk.speaks()
    talk.skip(0.5)
    talk.granted()
    talk.skip(0.25)
    talk.audio()
    talk.audio_done()
    talk.done()
    talk.wait(2)
    (turn,) = talk.all(TurnEnded)
    assert turn.response_ms == pytest.approx(750, abs=25)
    assert turn.endpoint_ms == 0


def test_what_is_heard_outside_of_a_turn_is_not_sent() -> None:
    talk = Button()
    assert talk.core.hear(pcm(200, 1)) == b""
    talk.press()
    assert talk.core.hear(pcm(200, 2)) == pcm(200, 2)
    talk.release()
    assert talk.core.hear(pcm(200, 3)) == b""


@pytest.mark.parametrize(("pre_roll_ms", "kept"), [(0, 0), (300, 300), (1_000, 400)])
def test_what_was_heard_just_before_can_be_kept(pre_roll_ms: int, kept: int) -> None:
    talk = Button()
    for _ in range(4):
        talk.core.hear(pcm(100, 1))
    talk.press(pre_roll_ms=pre_roll_ms)
    assert talk.core.hear(pcm(100, 2)) == pcm(kept, 1) + pcm(100, 2)


def test_no_more_than_a_second_is_kept() -> None:
    talk = Button()
    for value in range(1, 4):
        talk.core.hear(pcm(500, value))
    talk.press(pre_roll_ms=1_000)
    assert talk.core.hear(pcm(100, 9)) == pcm(500, 2) + pcm(500, 3) + pcm(100, 9)


def test_nothing_of_the_last_turn_is_kept_for_the_next() -> None:
    talk = Button()
    talk.press()
    talk.core.hear(pcm(500, 1))
    talk.release()
    talk.core.hear(pcm(40, 2))
    talk.press(pre_roll_ms=300)
    assert talk.core.hear(pcm(100, 3)) == pcm(40, 2) + pcm(100, 3)


def test_all_channels_of_an_echo_reference_are_heard() -> None:
    talk = Button(input_frame_bytes=4)
    talk.core.hear(pcm(200, 1))  # 100 ms of two channels
    talk.press(pre_roll_ms=50)
    assert talk.core.hear(pcm(100, 2)) == b""
    assert talk.core.hear(pcm(100, 2)) == pcm(100, 1) + pcm(200, 2)


def test_a_turn_that_is_too_short_sends_nothing() -> None:
    talk = Button()
    talk.core.hear(pcm(500))
    talk.press(pre_roll_ms=300)
    assert talk.core.hear(pcm(99)) == b""
    talk.release()
    assert talk.last == [TurnTooShort(99), StateChanged(State.LISTENING, State.READY)]
    assert talk.asked() == ["session.update"]
    talk.press()
    assert talk.core.hear(pcm(100, 7)) == pcm(100, 7)  # and nothing of it is left over


def test_pressing_twice_and_letting_go_of_nothing_do_nothing() -> None:
    talk = Button()
    assert talk.release() == []
    talk.press(limit_s=5)
    talk.core.hear(pcm(500))
    assert talk.press(limit_s=50) == []
    assert talk.core.deadline == talk.now + 5
    talk.release()
    assert talk.release() == []
    assert talk.asked().count("input_audio_buffer.commit") == 1


def test_a_turn_that_nobody_ends_is_ended() -> None:
    talk = Button()
    talk.press(limit_s=2)
    talk.core.hear(pcm(500))
    talk.wait(1.9)
    assert talk.state() is State.LISTENING
    talk.wait(0.2)
    assert talk.told() == ["TurnTimedOut"]
    assert talk.all(TurnTimedOut) == [TurnTimedOut(2_000)]
    assert talk.asked()[1:] == ["input_audio_buffer.commit", "response.create"]
    assert talk.state() is State.PROCESSING


def test_a_turn_that_nobody_ends_and_nobody_speaks_in() -> None:
    talk = Button()
    talk.press(limit_s=2)
    talk.wait(3)
    assert talk.told() == ["TurnTimedOut", "TurnTooShort"]
    assert talk.state() is State.READY
    assert talk.core.deadline is None


# --- while the agent speaks ----------------------------------------------------------------------------------


def test_it_silences_an_answer_that_has_arrived() -> None:
    talk = Button(profile="realtime")
    talk.speaks()
    talk.granted()
    talk.item()
    talk.words()
    talk.audio(2_000)
    talk.audio_done()
    talk.done()
    talk.wait(0.5)
    talk.press()
    assert isinstance(talk.last[0], StopPlayback)
    assert talk.asked(last=True) == ["conversation.item.truncate"]
    (cut,) = talk.all(Interrupted)
    assert (cut.heard_ms, cut.received_ms) == (500, 2_000)
    (turn,) = talk.all(TurnEnded)
    assert (turn.status, turn.barge_in_ms) == ("interrupted", 0)
    assert talk.state() is State.LISTENING


def test_it_cancels_an_answer_that_is_still_coming_and_waits_for_its_end() -> None:
    talk = Button()
    talk.speaks()
    talk.granted()
    talk.item()
    talk.audio(2_000)
    talk.press()
    assert talk.asked(last=True) == ["response.cancel"]
    assert talk.audio(500) == []
    talk.core.hear(pcm(300))
    talk.release()
    assert talk.asked(last=True) == ["input_audio_buffer.commit"]
    talk.done(status="cancelled")
    assert talk.asked(last=True)[-1] == "response.create"


def test_an_answer_that_is_only_asked_for_is_asked_for_again() -> None:
    talk = Button()
    talk.speaks()
    talk.press()
    talk.core.hear(pcm(300))
    talk.granted()
    assert talk.asked(last=True) == ["response.cancel"]
    talk.release()
    talk.done(status="cancelled")
    assert talk.asked(last=True) == ["response.create"]
    talk.granted("resp_2")
    talk.audio(100, response="resp_2")
    talk.done("resp_2")
    talk.wait(1)
    assert talk.asked().count("response.create") == 2
    assert talk.state() is State.READY


def test_it_is_asked_for_again_though_the_turn_was_over_sooner() -> None:
    talk = Button()
    talk.speaks()
    talk.speaks()
    talk.granted()
    assert talk.asked(last=True) == ["response.cancel"]
    talk.done(status="cancelled")
    assert talk.asked(last=True) == ["response.create"]


def test_it_is_asked_for_again_though_the_turn_was_nothing() -> None:
    talk = Button()
    talk.speaks()
    talk.press()
    talk.release()
    assert talk.told() == ["TurnTooShort"]
    talk.granted()
    talk.done(status="cancelled")
    assert talk.asked(last=True) == ["response.create"]


def test_what_is_to_be_said_waits_for_the_end_of_the_turn() -> None:
    talk = Button()
    talk.press()
    talk.say("By the way.", 1)
    assert talk.asked(last=True) == []
    talk.core.hear(pcm(300))
    talk.release()
    assert talk.asked(last=True) == ["input_audio_buffer.commit", "response.create"]


def test_what_is_asked_to_be_said_is_said_after_the_turn() -> None:
    talk = Button()
    talk.say("By the way.", 1)
    talk.press()
    talk.granted()
    assert talk.asked(last=True) == ["response.cancel"]
    talk.done(status="cancelled")
    talk.release()
    assert talk.asked(last=True) == ["response.create"]
    assert talk.speech(1) == []


def test_uninterruptible_speech_goes_on_and_the_turn_is_heard() -> None:
    talk = Button()
    talk.say("This call is recorded.", 1, uninterruptible=True)
    talk.granted()
    talk.item()
    talk.audio(2_000)
    talk.audio_done()
    talk.press()
    assert talk.asked(last=True) == []
    assert talk.core.hear(pcm(300)) == pcm(300)
    talk.done()
    talk.release()
    assert talk.asked(last=True) == ["input_audio_buffer.commit", "response.create"]
    talk.wait(3)
    assert talk.speech(1)[-1] == "heard"


# --- around the call -------------------------------------------------------------------------------------------


def test_a_turn_may_begin_before_the_session() -> None:
    talk = Driver(plan(turn_detection=None))
    talk.feed(talk.core.begin_turn)
    assert talk.state() is State.CONNECTING
    talk.start()
    assert talk.state() is State.LISTENING


def test_a_call_that_ends_within_a_turn() -> None:
    talk = Button()
    talk.press()
    talk.core.hear(pcm(300))
    talk.close()
    assert talk.state() is State.CLOSED
    assert talk.core.deadline is None
    assert talk.release() == []
    assert talk.press() == []
    assert talk.asked() == ["session.update"]


def switch(talk: Driver, turn_detection: dict[str, Any] | None) -> None:
    """The service grants another turn detection."""

    def change(now: Plan) -> Plan:
        session = {**now.session, "turn_detection": turn_detection}
        return replace(now, session=session, turns=turn_policy(session))

    talk.feed(talk.core.update_session, change, ticket=1)
    talk.hear("session.updated", session={"turn_detection": turn_detection})


def test_a_turn_ends_where_the_service_begins_to_detect_them() -> None:
    talk = Button()
    talk.press()
    talk.core.hear(pcm(300))
    switch(talk, {"type": "server_vad"})
    assert talk.asked(last=True) == ["input_audio_buffer.commit", "response.create"]
    assert talk.state() is State.PROCESSING
    assert not talk.core.turns_by_hand


def test_nothing_is_kept_from_before_the_service_detected_turns() -> None:
    talk = Button()
    talk.core.hear(pcm(300, 1))
    switch(talk, {"type": "server_vad"})
    switch(talk, None)
    talk.press(pre_roll_ms=300)
    assert talk.core.hear(pcm(100, 2)) == pcm(100, 2)


def test_speech_that_the_service_no_longer_hears_the_end_of_is_over() -> None:
    talk = Driver().start()
    talk.user_begins()
    switch(talk, None)
    assert talk.state() is State.READY


def test_a_failed_turn_is_over_with_the_next() -> None:
    talk = Button()
    talk.speaks()
    talk.granted()
    talk.done(status="failed")
    assert talk.state() is State.ERROR
    talk.press()
    assert talk.state() is State.LISTENING


def test_a_refused_commit_is_told_and_changes_nothing() -> None:
    talk = Button()
    talk.speaks()
    (commit,) = talk.all(wire.CommitInput)
    talk.type("x")
    (item,) = talk.all(wire.CreateItem)
    talk.error("invalid_value", event_id=item.event_id)  # has nothing to do with it
    assert [each.item_id for each in talk.core.history] == [commit.event_id, item.item["id"]]
    talk.error("input_audio_buffer_commit_empty", event_id=commit.event_id)
    assert talk.told() == ["RequestRefused"]
    assert talk.state() is State.PROCESSING
    assert [each.item_id for each in talk.core.history] == [item.item["id"]]


def test_what_is_typed_right_after_a_turn_follows_it() -> None:
    talk = Button()
    talk.speaks()
    talk.type("typed before the service has answered")
    talk.hear("input_audio_buffer.committed", item_id="user_1")
    talk.transcript("said before that")
    talk.hear("input_audio_buffer.committed", item_id="user_2")  # of nobody here
    items = [(item.item_id, item.text) for item in talk.core.history]
    assert items[0] == ("user_1", "said before that")
    assert [text for _, text in items[1:]] == ["typed before the service has answered", ""]


def test_a_refusal_without_a_name_is_that_of_the_open_commit() -> None:
    talk = Button()
    talk.speaks()
    talk.error("input_audio_buffer_commit_empty")
    assert talk.told() == ["RequestRefused"]
    talk.speaks()
    talk.hear("input_audio_buffer.committed", item_id="user_1")
    talk.error("input_audio_buffer_commit_empty")
    assert talk.told() == ["ServiceFailed"]


def test_a_turn_that_is_never_answered_stalls() -> None:
    talk = Button()
    talk.speaks()
    talk.wait(31)
    assert [stalled.waited_for for stalled in talk.all(Stalled)] == ["the response that was asked for"]
    assert talk.state() is State.READY


def test_a_response_that_was_asked_for_before_the_turn_is_dropped_and_whoever_waits_for_it_is_told() -> None:
    talk = Button()
    talk.respond({}, 1)
    talk.press()
    assert talk.speech(1) == ["dropped"]
    talk.core.hear(pcm(300))
    talk.granted()
    talk.release()
    talk.done(status="cancelled")
    talk.close()
    assert talk.asked().count("response.create") == 2, "the other one answers the turn"
    assert talk.speech(1) == ["dropped"]


def test_a_tool_result_of_an_older_turn_is_covered_by_the_answer() -> None:
    talk = Button(tools=["look"])
    talk.speaks()
    talk.granted()
    talk.call()
    talk.done()
    talk.press()
    talk.core.hear(pcm(300))
    talk.finish_tool("call_1")
    assert talk.asked(last=True) == ["conversation.item.create"]
    talk.release()
    assert talk.asked(last=True) == ["input_audio_buffer.commit", "response.create"]
    talk.granted("resp_2")
    talk.done("resp_2")
    assert talk.asked().count("response.create") == 2
