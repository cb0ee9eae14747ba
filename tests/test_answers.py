"""The agent's side of a conversation: barge-in, the corrected record, responses that come to nothing."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conversation_driver import LOST, SERVER_VAD, Driver

from voicelive_agent import _wire as wire
from voicelive_agent import events
from voicelive_agent._outputs import Play, StopPlayback
from voicelive_agent.events import State

NO_INTERRUPT = {**SERVER_VAD, "interrupt_response": False}
QUIET = {**NO_INTERRUPT, "create_response": False}

profiles = pytest.mark.parametrize("profile", ["cascade", "realtime"])
opening = pytest.mark.parametrize("still_open", [True, False], ids=["still_coming", "all_arrived"])


def started(**changes: Any) -> Driver:
    return Driver(**changes).start()


def told(driver: Driver) -> str:
    """How the service's record of the first answer was corrected, as far as that is known."""
    return driver.core.history["msg_1"].told


def answering(*, still_open: bool, heard_ms: int = 500, **changes: Any) -> Driver:
    """The agent has been heard for a while: 2 s have arrived, and that was all, or more is to come."""
    driver = started(**changes)
    driver.user_speaks()
    driver.created()
    driver.item()
    driver.words("one two three four five six seven eight")
    driver.audio(2_000)
    if not still_open:
        driver.audio_done()
        driver.done()
    driver.wait(heard_ms / 1000)
    return driver


# --- barge-in: every row of the policy table ----------------------------------------------------------------


@opening
def test_the_service_interrupts(still_open: bool) -> None:
    driver = answering(still_open=still_open, profile="realtime")
    driver.user_begins("user_2")
    ends = [] if still_open else ["TurnEnded"]
    assert driver.names() == [
        "StopPlayback",
        "TruncateItem",
        "SpeechStarted",
        "Interrupted",
        *ends,
        "StateChanged",
    ], "silence first, then the service, then the user; and nothing to cancel"
    request = driver.one(wire.TruncateItem)
    assert (request.item_id, request.content_index, request.audio_end_ms) == ("msg_1", 0, 500)
    cut = driver.one(events.Interrupted)
    assert (cut.item_id, cut.heard_ms, cut.received_ms, cut.estimated) == ("msg_1", 500, 2_000, True)
    assert driver.audio() == [], "what comes late is dropped by its id"
    if still_open:
        driver.done(status="cancelled", usage={"total_tokens": 1})
        assert driver.one(events.TurnEnded).usage == {"total_tokens": 1}
    assert driver.audio() == [], "for ever"
    (turn,) = driver.all(events.TurnEnded)
    assert (turn.status, turn.heard_ms) == ("interrupted", 500)
    driver.hear("conversation.item.truncated", item_id="msg_1", audio_end_ms=500)
    assert told(driver) == "truncated"
    assert driver.state() is State.LISTENING


@opening
def test_what_can_no_longer_be_stopped_is_heard_before_the_answer_is_cut(still_open: bool) -> None:
    driver = answering(still_open=still_open, profile="realtime", heard_estimated=True)
    driver.core.in_flight = 80 * 24
    driver.user_begins("user_2")
    assert driver.core.in_flight == 0
    assert driver.one(wire.TruncateItem).audio_end_ms == 580
    cut = driver.one(events.Interrupted)
    assert (cut.heard_ms, cut.heard_estimated) == (580, True)
    if still_open:
        driver.done(status="cancelled")
    (turn,) = driver.all(events.TurnEnded)
    assert (turn.heard_ms, turn.heard_estimated) == (580, True)


def test_an_answer_that_is_in_flight_as_a_whole_is_not_cut() -> None:
    driver = answering(still_open=False, profile="realtime", heard_ms=1_950)
    driver.core.in_flight = 100 * 24
    driver.user_begins("user_2")
    assert driver.all(events.Interrupted) == []
    (turn,) = driver.all(events.TurnEnded)
    assert (turn.status, turn.heard_ms) == ("completed", 2_000)


def test_an_answer_whose_first_words_are_in_flight_was_heard() -> None:
    driver = answering(still_open=True, profile="realtime", heard_ms=0)
    driver.core.in_flight = 60 * 24
    driver.user_begins("user_2")
    assert driver.one(wire.TruncateItem).audio_end_ms == 60
    driver.done(status="cancelled")
    (turn,) = driver.all(events.TurnEnded)
    assert (turn.status, turn.heard_ms) == ("interrupted", 60)


@opening
def test_the_service_does_not_interrupt_and_neither_do_we(still_open: bool) -> None:
    driver = answering(still_open=still_open, turn_detection=NO_INTERRUPT)
    driver.user_begins("user_2")
    assert driver.names() == ["SpeechStarted", "StateChanged"]
    assert driver.state() is State.LISTENING
    driver.user_ends("user_2")
    assert driver.state() is State.SPEAKING
    assert driver.pending


@opening
def test_we_interrupt_where_the_service_was_told_not_to(still_open: bool) -> None:
    driver = answering(still_open=still_open, turn_detection=NO_INTERRUPT, client_barge_in=True)
    driver.user_begins("user_2")
    cancels = ["response.cancel"] if still_open else []
    assert driver.asked(last=True) == ["conversation.item.truncate", *cancels]
    assert driver.names()[0] == "StopPlayback"
    driver.audio()
    assert driver.pending == 0


@opening
def test_manual_turns_are_interrupted_by_hand(still_open: bool) -> None:
    driver = answering(still_open=still_open, turn_detection=None)
    driver.user_begins("user_2")
    assert driver.pending
    driver.interrupt()
    cancels = ["response.cancel"] if still_open else []
    assert driver.asked(last=True) == ["conversation.item.truncate", *cancels]
    assert driver.one(events.Interrupted).heard_ms == 500
    driver.interrupt()
    assert driver.last == [], "once is enough"


@opening
def test_the_service_truncates_by_itself(still_open: bool) -> None:
    driver = answering(still_open=still_open, turn_detection={**SERVER_VAD, "auto_truncate": True})
    driver.user_begins("user_2")
    assert driver.names()[0] == "StopPlayback"
    assert driver.asked(last=True) == []
    assert told(driver) == "unknown"
    driver.hear("conversation.item.truncated", item_id="msg_1", audio_end_ms=700)
    assert told(driver) == "truncated"


def test_what_is_uninterruptible_is_heard_to_its_end() -> None:
    driver = started()
    driver.say("Recorded for training.", 1, uninterruptible=True)
    assert driver.core.mutes_input
    driver.user_begins()
    driver.granted()
    driver.audio(1_000)
    driver.done()
    assert driver.asked() == ["session.update", "response.create"]
    driver.user_begins("user_2")
    assert driver.pending
    assert driver.core.mutes_input
    driver.wait(1.1)
    assert not driver.core.mutes_input
    assert driver.speech(1) == ["speaking", "heard"]
    driver.say("And again.", 2, uninterruptible=True)
    driver.user_ends("user_2")
    driver.transcript("", "user_2")
    driver.granted("resp_2")
    driver.audio(1_000, "msg_2", "resp_2")
    driver.interrupt()
    assert driver.pending == 0, "by hand, everything can be interrupted"
    assert driver.speech(2) == ["dropped"], "nothing of it was heard"


# --- the record ---------------------------------------------------------------------------------------------


def test_a_cut_reaches_only_what_was_heard() -> None:
    driver = answering(still_open=True, heard_ms=0)
    driver.skip(123.9 / 1000)
    driver.user_begins("user_2")
    assert driver.one(wire.TruncateItem).audio_end_ms == 123
    assert driver.one(events.Interrupted).heard_ms == 123


@profiles
def test_an_item_of_which_nothing_was_heard_is_deleted(profile: Any) -> None:
    driver = answering(still_open=True, heard_ms=0, profile=profile)
    driver.user_begins("user_2")
    assert driver.asked(last=True) == [], "the service still writes to it"
    assert driver.one(events.Interrupted).heard_text == ""
    driver.done(status="cancelled")
    assert driver.one(wire.DeleteItem).item_id == "msg_1"
    driver.hear("conversation.item.deleted", item_id="msg_1")
    assert told(driver) == "deleted"


@opening
def test_the_cascade_gets_the_words_that_were_heard_in_the_same_place(still_open: bool) -> None:
    driver = answering(still_open=still_open, heard_ms=1_000, profile="cascade")
    driver.user_begins("user_2")
    heard = driver.one(events.Interrupted).heard_text
    assert heard
    if still_open:
        assert driver.asked(last=True) == []
        driver.done(status="cancelled")
    assert driver.asked(last=True)[:2] == ["conversation.item.delete", "conversation.item.create"]
    create = driver.one(wire.CreateItem)
    assert create.previous_item_id == "user_1"
    assert create.item["role"] == "assistant"
    assert create.item["content"] == [{"type": "text", "text": heard}]
    driver.hear("conversation.item.deleted", item_id="msg_1")
    assert told(driver) == "unknown"
    driver.hear("conversation.item.created", item=create.item, previous_item_id="user_1")
    assert told(driver) == "rewritten"
    assert [item.item_id for item in driver.core.history] == ["user_1", "msg_1", "user_2"]


@pytest.mark.parametrize("named", [True, False])
def test_a_refused_truncation_is_rewritten_and_remembered(named: bool) -> None:
    driver = answering(still_open=False, heard_ms=1_000)
    driver.user_begins("user_2")
    event_id = driver.one(wire.TruncateItem).event_id
    driver.error("unsupported_content_type", event_id=event_id if named else None)
    assert driver.names() == ["DeleteItem", "CreateItem"], "no event: the request's own rule deals with it"
    driver.user_ends("user_2")
    driver.answer(2_000, "msg_2", "resp_2")
    driver.wait(1.0)
    driver.user_begins("user_3")
    assert driver.asked(last=True) == ["conversation.item.delete", "conversation.item.create"]


def test_a_truncation_refused_while_the_response_is_open_waits_for_its_end() -> None:
    driver = answering(still_open=True, heard_ms=1_000)
    driver.user_begins("user_2")
    assert driver.error("invalid_value", event_id=driver.one(wire.TruncateItem).event_id) == []
    driver.done(status="cancelled")
    assert driver.asked(last=True) == ["conversation.item.delete", "conversation.item.create"]


@profiles
def test_of_two_queued_items_the_newest_is_cut_first(profile: Any) -> None:
    driver = started(profile=profile)
    driver.user_speaks()
    driver.answer(1_000, "msg_1", "resp_1")
    driver.type("more")
    driver.answer(1_000, "msg_2", "resp_2")
    driver.wait(0.5)
    driver.user_begins("user_2")
    cuts = [(cut.item_id, cut.heard_ms) for cut in driver.last if isinstance(cut, events.Interrupted)]
    assert cuts == [("msg_2", 0), ("msg_1", 500)]
    ended = [(turn.response_id, turn.heard_ms) for turn in driver.last if isinstance(turn, events.TurnEnded)]
    assert ended == [("resp_1", 500), ("resp_2", 0)]


def test_of_two_items_of_one_response_the_newest_is_cut_first() -> None:
    driver = started()
    driver.user_speaks()
    driver.created()
    driver.audio(1_000, "msg_1")
    driver.audio_done("msg_1")
    driver.audio(1_000, "msg_2")
    driver.wait(0.5)
    driver.user_begins("user_2")
    assert [cut.item_id for cut in driver.last if isinstance(cut, events.Interrupted)] == ["msg_2", "msg_1"]
    assert driver.one(wire.TruncateItem).item_id == "msg_1"
    driver.done(status="cancelled")
    assert driver.one(wire.DeleteItem).item_id == "msg_2"


def test_word_timestamps_make_the_words_heard_exact() -> None:
    driver = started()
    driver.created()
    driver.audio(1_000)
    for at, word in enumerate(("Good", "morning", "everybody")):
        fields = {"audio_offset_ms": at * 300, "audio_duration_ms": 300, "text": word, "timestamp_type": "word"}
        driver.hear("response.audio_timestamp.delta", response_id="resp_1", item_id="msg_1", **fields)
    driver.wait(0.65)
    driver.interrupt()
    cut = driver.one(events.Interrupted)
    assert (cut.heard_text, cut.estimated) == ("Good morning", False)
    fields = {"audio_offset_ms": 900, "audio_duration_ms": 9, "text": "late", "timestamp_type": "word"}
    assert driver.hear("response.audio_timestamp.delta", response_id="resp_1", item_id="msg_1", **fields) == []


# --- responses that come to nothing -------------------------------------------------------------------------


@pytest.mark.parametrize("with_item", [True, False])
@pytest.mark.parametrize("speech_told", [True, False])
def test_a_tentative_response_counts_as_not_having_happened(with_item: bool, speech_told: bool) -> None:
    driver = started()
    driver.user_speaks()
    driver.created()
    if with_item:
        driver.item()
        driver.words("one two")
    before = len(driver.log)
    if speech_told:
        driver.user_begins("user_2")
    driver.done(status="cancelled")
    outputs = driver.log[before:]
    assert not any(isinstance(output, events.Interrupted | events.TurnEnded | StopPlayback) for output in outputs)
    assert driver.asked()[1:] == (["conversation.item.delete"] if with_item else [])
    assert driver.state() is (State.LISTENING if speech_told else State.READY)
    assert driver.core.deadline is None
    driver.user_ends("user_2")
    driver.answer(100, "msg_2", "resp_2")
    driver.wait(0.2)
    assert driver.one(events.TurnEnded).response_id == "resp_2"


def test_a_first_delta_without_a_sample_is_nothing_to_interrupt() -> None:
    driver = started(profile="cascade")
    driver.created()
    driver.hear("response.audio.delta", response_id="resp_1", item_id="msg_1", delta="AA==")
    assert driver.one(Play).samples == 0
    driver.user_begins()
    assert driver.told() == ["SpeechStarted"]
    driver.done(status="cancelled")
    assert driver.names() == ["DeleteItem", "FinishPlayback"]


def test_what_the_service_cuts_off_by_itself_is_silenced() -> None:
    driver = answering(still_open=True)
    driver.done(status="cancelled")
    assert driver.names()[0] == "StopPlayback"
    assert driver.one(events.Interrupted).heard_ms == 500
    assert driver.one(events.TurnEnded).status == "interrupted"


def test_what_was_cut_off_after_all_was_heard_needs_no_silence() -> None:
    driver = answering(still_open=True, heard_ms=2_100)
    driver.done(status="cancelled")
    assert driver.one(events.TurnEnded).status == "cancelled"
    assert not driver.all(StopPlayback)


def test_an_interruption_between_two_items_of_an_answer_ends_the_turn() -> None:
    driver = started()
    driver.user_speaks()
    driver.created()
    driver.audio(500)
    driver.audio_done()
    driver.wait(0.6)
    driver.item("msg_2")
    driver.user_begins("user_2")
    assert driver.told() == ["SpeechStarted"], "all that came was heard"
    driver.done(status="cancelled")
    turn = driver.one(events.TurnEnded)
    assert (turn.status, turn.heard_ms) == ("interrupted", 500)


def test_a_written_answer_can_be_interrupted() -> None:
    driver = started()
    driver.type("hello")
    driver.granted()
    driver.hear("response.text.delta", response_id="resp_1", item_id="msg_1", delta="some")
    driver.interrupt()
    assert driver.asked(last=True) == ["response.cancel"]
    assert driver.state() is State.READY
    driver.hear("response.text.delta", response_id="resp_1", item_id="msg_1", delta=" more")
    assert driver.last == []
    driver.hear("response.text.done", response_id="resp_1", item_id="msg_1", text="some more")
    assert driver.last == []
    driver.done(status="cancelled")
    assert driver.told() == ["TurnEnded"]


@pytest.mark.parametrize("status", ["incomplete", "completed"])
def test_what_arrived_of_a_response_is_heard(status: str) -> None:
    driver = answering(still_open=True)
    driver.done(status=status)
    driver.wait(1.6)
    turn = driver.one(events.TurnEnded)
    assert (turn.status, turn.heard_ms) == (status, 2_000)


def test_a_superseded_response_is_dropped_by_its_id() -> None:
    driver = started()
    driver.created("resp_1")
    driver.audio(500)
    driver.created("resp_2")
    assert driver.names()[0] == "FinishPlayback"
    assert driver.audio(500) == []
    driver.audio(500, "msg_2", "resp_2")
    assert driver.done("resp_1") == []
    driver.done("resp_2")
    driver.wait(1.1)
    assert [(turn.response_id, turn.status, turn.heard_ms) for turn in driver.all(events.TurnEnded)] == [
        ("resp_1", "incomplete", 500),
        ("resp_2", "completed", 500),
    ]
    assert driver.created("resp_1") == []


@pytest.mark.parametrize("kind", ["item", "words", "audio", "call", "done"])
def test_a_response_is_adopted_by_whatever_comes_first(kind: str) -> None:
    driver = started(tools=["look"])
    getattr(driver, kind)()
    assert driver.created() == []
    driver.done()
    driver.wait(1.1)
    assert not any(driver.core._answers.live())


def test_messages_of_nobody_are_left_alone() -> None:
    driver = started(tools=["look"])
    driver.created()
    driver.done()
    for kind in ("item", "words", "audio", "call", "done", "created"):
        assert getattr(driver, kind)() == []
    ids = {"response_id": "resp_1", "item_id": "msg_1"}
    assert driver.hear("response.text.done", text="x", **ids) == []
    assert driver.hear("response.function_call_arguments.done", call_id="c", name="look", **ids) == []
    driver.created("resp_2")
    driver.hear("response.output_item.added", response_id="resp_2", item={"type": "message"})
    driver.hear("response.output_item.added", response_id="resp_2", item={"type": "other", "id": "m"})
    driver.hear("response.output_item.done", response_id="resp_2", item={"type": "function_call", "id": "f"})
    driver.done("resp_2")
    assert driver.state() is State.READY
    assert driver.all(events.ToolCalled) == []


# --- the end


def test_a_loss_in_the_middle_of_an_answer_ends_its_turn() -> None:
    driver = answering(still_open=True)
    driver.close(LOST)
    turn = driver.one(events.TurnEnded)
    assert (turn.status, turn.heard_ms) == ("interrupted", 500)
    assert driver.core.history["msg_1"].heard_ms == 500


def test_a_loss_before_anything_was_said_ends_no_turn() -> None:
    driver = started()
    driver.say("x", 1)
    driver.granted()
    driver.close(LOST)
    assert driver.told() == ["SessionEnded"]
    assert driver.speech(1) == ["dropped"]
