"""Filler words: an utterance of nothing else never happened, and in a sentence they are left out."""

from __future__ import annotations

import pytest

from voicelive_agent.emulator import EnergyEars, Transcript
from voicelive_agent.emulator._fillers import is_filler, only_fillers, without_fillers

from .driver import Driver, Event, noise, only, silence, types

STARTED, STOPPED = "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped"
COMPLETED = "conversation.item.input_audio_transcription.completed"


@pytest.mark.parametrize("word", ["um", "Um,", "uhh...", "Hmm.", "erm", "mm", "Ah,", "uhm"])
def test_fillers(word: str) -> None:
    assert is_filler(word, "en-US")


@pytest.mark.parametrize("word", ["am", "her", "hum", "uh-huh", "mhm", "a", "him", "umbrella", "I", "oh", ""])
def test_words_that_only_look_like_fillers(word: str) -> None:
    assert not is_filler(word, "en-US")


@pytest.mark.parametrize(
    ("word", "language", "expected"),
    [
        ("um", "de-DE", False),
        ("er", "de", False),
        ("Ähm", "de-DE", True),
        ("euh,", "fr", True),
        ("hm", "ja", True),
    ],
)
def test_each_language_has_its_own(word: str, language: str, expected: bool) -> None:
    assert is_filler(word, language) is expected


@pytest.mark.parametrize(
    ("text", "expected"), [("", True), ("Um.", True), ("Uh, hmm...", True), ("…", True), ("Um, yes.", False)]
)
def test_only_fillers(text: str, expected: bool) -> None:
    assert only_fillers(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Um, book a table.", "Book a table."),
        ("I, um, want a table.", "I want a table."),
        ("I want a table, um.", "I want a table."),
        ("I want, uh a table for two, er, at eight.", "I want, a table for two at eight."),
        ("um book a table", "book a table"),
        ("Is it, hmm?", "Is it?"),
        ("Nothing to remove, her umbrella.", "Nothing to remove, her umbrella."),
        ("Um.", ""),
        ("", ""),
    ],
)
def test_a_sentence_without_them(text: str, expected: str) -> None:
    assert without_fillers(text, "en-US") == expected


# --- In a session -----------------------------------------------------------------------------------------


def removing(*transcripts: str, **turn_detection: object) -> Driver:
    driver = Driver(ears=EnergyEars(transcripts))
    given = {"type": "azure_semantic_vad", "remove_filler_words": True, **turn_detection}
    driver.update(turn_detection=given)
    driver.log.clear()
    return driver


def test_an_utterance_of_fillers_gives_no_event_at_all() -> None:
    driver = removing("Um.", "Book a table.")
    assert driver.speak() == []
    events = driver.speak()
    assert types(events)[:3] == [STARTED, STOPPED, "input_audio_buffer.committed"]
    assert only(events, COMPLETED)["transcript"] == "Book a table."
    # The first utterance is forgotten, but the clock ran on: it is the second one that starts here.
    assert only(events, STARTED)["audio_start_ms"] == pytest.approx(2300 + 500 - 420, abs=64)


def test_speech_started_is_held_until_there_is_a_word() -> None:
    class Growing(EnergyEars):
        """Hears "Um" in a second and a half, and then more."""

        def transcribe_so_far(self, pcm: bytes, *, language: str | None = None) -> Transcript:
            return Transcript("Um" if len(pcm) < 3 * 16_000 else "Um, book a table.")

    driver = Driver(ears=Growing())
    driver.update(turn_detection={"type": "azure_semantic_vad", "remove_filler_words": True})
    driver.append(silence(0.5) + noise(0.9))
    assert STARTED not in types(driver.events)
    driver.append(noise(1.0))
    assert only(driver.events, STARTED)["audio_start_ms"] == pytest.approx(500 - 420, abs=48)
    driver.append(silence(1.0))
    driver.settle()
    assert only(driver.events, COMPLETED)["transcript"] == "Book a table."


def test_fillers_stay_where_removal_was_not_asked_for() -> None:
    driver = Driver(ears=EnergyEars(["Um, yes."]))
    driver.update(turn_detection={"type": "azure_semantic_vad"})
    assert only(driver.speak(), COMPLETED)["transcript"] == "Um, yes."


def test_the_turn_does_not_depend_on_how_slow_the_ears_are() -> None:
    fast, slow = removing("Um.", "Yes.", "No."), removing("Um.", "Yes.", "No.")
    slow.working = False
    for driver in (fast, slow):
        driver.append((silence(0.5) + noise(0.7) + silence(0.8)) * 3, piece=300_000)
    while slow.kept:
        slow.wait(7)
        slow.work()
        slow.settle()
    fast.settle()
    times = [
        [event.get("audio_start_ms", event.get("audio_end_ms")) for event in driver.events if spoken(event)]
        for driver in (fast, slow)
    ]
    assert len(times[0]) == 4
    assert times[0] == times[1]


def spoken(event: Event) -> bool:
    return event["type"] in (STARTED, STOPPED)


def test_what_the_client_sends_meanwhile_waits() -> None:
    driver = removing("Um.", "Yes.")
    driver.working = False
    driver.append(silence(0.5) + noise(0.7))
    driver.send("input_audio_buffer.clear")
    assert driver.events == []
    driver.working = True
    driver.settle()
    assert types(driver.events) == ["input_audio_buffer.cleared"]


def test_an_open_utterance_that_nobody_told_of_can_be_committed() -> None:
    driver = removing("Um.")
    driver.append(silence(0.5) + noise(0.4))
    events = driver.ask("input_audio_buffer.commit")
    assert types(events)[0] == "input_audio_buffer.committed"
    assert only(events, COMPLETED)["transcript"] == ""


def test_ears_that_fail_hold_nothing_back() -> None:
    class Failing(EnergyEars):
        def transcribe_so_far(self, pcm: bytes, *, language: str | None = None) -> Transcript:
            raise RuntimeError("the ears are blocked")

        def transcribe(self, pcm: bytes, *, language: str | None = None) -> Transcript:
            raise RuntimeError("the ears are blocked")

    driver = Driver(ears=Failing())
    driver.update(turn_detection={"type": "azure_semantic_vad", "remove_filler_words": True})
    names = types(driver.speak())
    assert STARTED in names
    assert "conversation.item.input_audio_transcription.failed" in names


def test_ears_that_hear_no_running_words_remove_fillers_from_the_transcript() -> None:
    class Late:
        """Hears only when all was said."""

        def __init__(self) -> None:
            self._ears = EnergyEars(["Um.", "Uh, yes."])
            self.listener = self._ears.listener
            self.transcribe = self._ears.transcribe

    driver = Driver(ears=Late())
    driver.update(turn_detection={"type": "azure_semantic_vad", "remove_filler_words": True})
    events = driver.speak()
    assert only(events, COMPLETED)["transcript"] == ""
    assert "response.created" not in types(events)
    assert only(driver.speak(), COMPLETED)["transcript"] == "Yes."
