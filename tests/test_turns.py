"""The user's side: whose turn it is, and how long answers take."""

from __future__ import annotations

import pytest

from voicelive_agent import _wire as wire
from voicelive_agent._plan import Plan
from voicelive_agent._turn_detection import TurnPolicy, turn_policy
from voicelive_agent._turns import Turns

PREFIX_MS, SILENCE_MS = 300, 500
RATE = 24_000


def turns(*, creates_response: bool = True, sent_s: float = 10.0) -> Turns:
    policy = TurnPolicy(
        kind="server",
        creates_response=creates_response,
        interrupts_response=True,
        auto_truncates=False,
        prefix_padding_ms=PREFIX_MS,
        silence_ms=SILENCE_MS,
    )
    made = Turns(Plan(session={}, turns=policy, input_rate=RATE))
    for number in range(round(sent_s * 50)):  # a microphone of 20 ms pieces that was opened at 100 s
        made.clock.sent(RATE // 50, 100.0 + (number + 1) / 50)
    return made


def began(item_id: str = "u1", *, audio_start_ms: int = 700) -> wire.SpeechBegan:
    return wire.SpeechBegan(item_id=item_id, audio_start_ms=audio_start_ms)


def ended(item_id: str = "u1", *, audio_end_ms: int = 2_500) -> wire.SpeechEnded:
    return wire.SpeechEnded(item_id=item_id, audio_end_ms=audio_end_ms)


def test_before_anybody_speaks_nobody_has_the_floor() -> None:
    quiet = turns()
    assert not quiet.user_has_the_floor
    assert (quiet.number, quiet.failed, quiet.heard(0.0)) == (0, False, None)


def test_the_user_has_the_floor_until_answered() -> None:
    talk = turns()
    talk.speech_began(began(), 101.5)
    assert (talk.user_item, talk.user_has_the_floor, talk.number) == ("u1", True, 1)
    talk.speech_ended(ended(), 102.6)
    assert (talk.user_item, talk.due_item, talk.due_at) == (None, "u1", 102.6)
    assert talk.user_has_the_floor
    talk.answered()
    assert not talk.user_has_the_floor
    assert talk.number == 1


def test_where_the_service_makes_no_answer_none_is_due() -> None:
    talk = turns(creates_response=False)
    talk.speech_began(began(), 101.5)
    talk.speech_ended(ended(), 102.6)
    assert (talk.due_item, talk.user_has_the_floor) == (None, False)


def test_speaking_again_makes_the_earlier_answer_not_due() -> None:
    talk = turns()
    talk.speech_began(began("u1"), 101.5)
    talk.speech_ended(ended("u1"), 102.6)
    talk.speech_began(began("u2", audio_start_ms=2_600), 103.0)
    assert (talk.user_item, talk.due_item, talk.number) == ("u2", None, 2)


def test_the_end_of_the_users_audio_ends_the_speech_too() -> None:
    talk = turns()
    talk.speech_began(began("u1"), 101.5)
    talk.committed("another")
    assert talk.user_item == "u1"
    talk.committed("u1")
    assert talk.user_item is None


@pytest.mark.parametrize("item_id", [None, "another"])
def test_only_what_is_due_can_come_to_nothing(item_id: str | None) -> None:
    talk = turns()
    talk.came_to_nothing(item_id)
    assert talk.number == 0
    talk.speech_began(began(), 101.5)
    talk.speech_ended(ended(), 102.6)
    talk.came_to_nothing(item_id)
    assert (talk.due_item, talk.number) == ("u1", 1)


def test_a_cough_counts_as_not_having_been_a_turn() -> None:
    talk = turns()
    talk.typed()
    talk.speech_began(began(), 101.5)
    talk.speech_ended(ended(), 102.6)
    talk.came_to_nothing("u1")
    assert (talk.due_item, talk.number, talk.user_has_the_floor) == (None, 1, False)
    talk.came_to_nothing("u1")
    assert talk.number == 1


def test_what_is_said_after_a_cough_is_no_answer_to_it() -> None:
    talk = turns()
    talk.speech_began(began(), 101.5)
    talk.speech_ended(ended(), 102.6)
    talk.came_to_nothing("u1")
    assert talk.heard(130.0) is None


@pytest.mark.parametrize("news", ["speech", "text", "answer"])
def test_a_new_turn_forgives_the_failure_of_the_last(news: str) -> None:
    talk = turns()
    talk.failed = True
    match news:
        case "speech":
            talk.speech_began(began(), 101.5)
        case "text":
            talk.typed()
        case _:
            talk.answered()
    assert not talk.failed


def test_typing_is_a_turn() -> None:
    talk = turns()
    talk.typed()
    assert (talk.number, talk.user_has_the_floor) == (1, False)


# --- latencies ----------------------------------------------------------------------------------------------


def test_the_onset_of_speech_is_when_it_was_sent_and_not_when_it_was_noticed() -> None:
    # The padding began 700 ms into the audio, so the speech at 1000 ms, which was sent at 101 s.
    assert turns().speech_began(began(audio_start_ms=700), 101.45) == 450
    assert turns().speech_began(began(audio_start_ms=700), 111.0) == 10_000


def test_an_onset_that_was_never_sent_is_not_known() -> None:
    assert turns(sent_s=0).speech_began(began(), 101.45) is None
    assert turns(sent_s=0.9).speech_began(began(audio_start_ms=700), 101.45) is None


def test_an_onset_is_never_in_the_future() -> None:
    assert turns().speech_began(began(audio_start_ms=5_000), 101.0) == 0


def test_an_answer_is_measured_from_the_end_of_the_speech_and_once() -> None:
    talk = turns()
    talk.speech_began(began(), 101.5)
    talk.speech_ended(ended(audio_end_ms=2_500), 102.6)  # the silence began at 2000 ms, sent at 102 s
    assert talk.heard(103.4) == (1_400, 600)
    assert talk.heard(103.5) is None


def test_where_the_end_is_not_known_the_moment_it_was_noticed_stands_for_it() -> None:
    talk = turns(sent_s=0)
    talk.speech_ended(ended(), 102.6)
    assert talk.heard(103.4) == (800, 0)


def test_an_answer_cannot_be_heard_before_the_end_of_what_it_answers() -> None:
    talk = turns()
    talk.speech_ended(ended(audio_end_ms=2_500), 102.6)
    assert talk.heard(101.0) == (0, 600)


@pytest.mark.parametrize("interlude", ["typed", "speech"])
def test_what_is_not_an_answer_to_speech_is_not_measured(interlude: str) -> None:
    talk = turns()
    talk.speech_ended(ended(), 102.6)
    if interlude == "typed":
        talk.typed()
    else:
        talk.speech_began(began("u2"), 103.0)
    assert talk.heard(104.0) is None


def test_the_user_who_holds_the_button_has_the_floor() -> None:
    talk = turns()
    talk.taken()
    assert (talk.by_hand, talk.user_speaks, talk.user_has_the_floor, talk.number) == (True, True, True, 1)
    talk.given(105.0)
    assert (talk.by_hand, talk.user_speaks, talk.user_has_the_floor, talk.number) == (False, False, False, 1)
    assert talk.heard(105.5) == (500, 0)


def test_a_tap_on_the_button_was_no_turn() -> None:
    talk = turns()
    talk.taken()
    talk.taken_back()
    assert (talk.user_speaks, talk.number, talk.heard(105.5)) == (False, 0, None)


def test_another_turn_detection_counts_from_when_it_is_followed() -> None:
    talk = turns()
    talk.follow(turn_policy({"turn_detection": {"type": "server_vad", "create_response": False}}))
    talk.speech_began(began(), 103.0)
    talk.speech_ended(ended(), 104.0)
    assert not talk.user_has_the_floor
