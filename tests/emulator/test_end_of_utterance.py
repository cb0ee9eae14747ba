"""Whether a sentence is finished, and how much longer a turn waits where it is not."""

from __future__ import annotations

import pytest

from voicelive_agent.emulator import EnergyEars, Transcript
from voicelive_agent.emulator._end_of_utterance import EndOfUtterance, completeness

from .driver import Driver, every, noise, only, silence, types

STARTED, STOPPED = "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped"
COMPLETED = "conversation.item.input_audio_transcription.completed"

FINISHED = [
    "Book a table.",
    "Where are you from?",
    "What is it for?",
    "Yes.",
    "No, thank you!",
    "Turn it off.",
    "My number is 4 2 7 1 9.",
    "I have 2 cats.",
    "",
]
UNFINISHED = {
    "Um": 0.1,
    "I would like, um...": 0.1,
    "Book a table,": 0.1,
    "And then I…": 0.1,
    "Book a table for.": 0.2,
    "I want to know if the": 0.2,
    "I would come, but": 0.2,
    "I like it because.": 0.2,
    "Is it for?": 0.2,
    "My number is 4 2.": 0.4,
    "It costs twenty": 0.4,
    "Book a table": 0.6,
}


@pytest.mark.parametrize("text", FINISHED)
def test_finished_sentences(text: str) -> None:
    assert completeness(text, "en-US") == 1.0


@pytest.mark.parametrize("text", UNFINISHED)
def test_unfinished_sentences(text: str) -> None:
    assert completeness(text, "en-US") == UNFINISHED[text]


@pytest.mark.parametrize(
    ("text", "language"),
    [("Ich möchte einen", "de-DE"), ("Je voudrais une.", "fr-FR"), ("Quiero una", "es"), ("Vorrei un", "it-IT")],
)
def test_other_languages_have_their_own_words(text: str, language: str) -> None:
    assert completeness(text, language) == 0.2
    assert completeness(text.rstrip(".") + ".", "en") == 1.0


@pytest.mark.parametrize(
    ("level", "finished"),
    [("low", [False, True, True]), ("medium", [False, False, True]), ("default", [False, False, True])],
)
def test_levels_want_more_and_more(level: str, finished: list[bool]) -> None:
    rule = EndOfUtterance.of(
        {"type": "azure_semantic_vad", "end_of_utterance_detection": {"threshold_level": level}}
    )
    assert rule is not None
    assert [rule.finished(text) for text in ("Book a table for", "My number is 4 2.", "Book a table")] == finished


def test_the_high_level_wants_a_full_stop() -> None:
    rule = EndOfUtterance.of({"type": "server_vad", "end_of_utterance_detection": {"threshold_level": "high"}})
    assert rule is not None
    assert (rule.finished("Book a table"), rule.finished("Book a table."), rule.timeout_ms) == (False, True, 1000)


@pytest.mark.parametrize("given", [None, {"type": "server_vad"}, {"type": "azure_semantic_vad"}])
def test_without_detection_silence_alone_ends_a_turn(given: dict[str, str] | None) -> None:
    assert EndOfUtterance.of(given) is None


@pytest.mark.parametrize(
    ("eagerness", "timeout_ms"), [("low", 8000), ("medium", 4000), ("high", 2000), ("auto", 4000), (None, 4000)]
)
def test_openais_semantic_vad_waits_by_its_eagerness(eagerness: str | None, timeout_ms: int) -> None:
    rule = EndOfUtterance.of({"type": "semantic_vad", "eagerness": eagerness})
    assert rule is not None
    assert rule.timeout_ms == timeout_ms


# --- In a session -----------------------------------------------------------------------------------------


def detecting(*transcripts: str, **detection: object) -> Driver:
    driver = Driver(ears=EnergyEars(transcripts))
    end = {"model": "semantic_detection_v1", "timeout_ms": 1500, **detection}
    driver.update(
        turn_detection={
            "type": "azure_semantic_vad",
            "silence_duration_ms": 320,
            "end_of_utterance_detection": end,
        }
    )
    driver.log.clear()
    return driver


def test_a_finished_sentence_ends_after_the_silence() -> None:
    driver = detecting("Book a table.")
    driver.append(silence(0.5) + noise(1.0) + silence(0.5))
    driver.settle()
    assert only(driver.events, STOPPED)["audio_end_ms"] == pytest.approx(1500 + 320, abs=48)
    assert only(driver.events, COMPLETED)["transcript"] == "Book a table."


def test_an_unfinished_sentence_ends_after_the_timeout() -> None:
    driver = detecting("Book a table for")
    driver.append(silence(0.5) + noise(1.0) + silence(1.7))
    driver.settle()
    assert STOPPED not in types(driver.events)
    driver.append(silence(0.3))
    assert only(driver.events, STOPPED)["audio_end_ms"] == pytest.approx(1500 + 320 + 1500, abs=48)


def test_a_pause_in_a_sentence_does_not_end_the_turn() -> None:
    class Reading(EnergyEars):
        def transcribe_so_far(self, pcm: bytes, *, language: str | None = None) -> Transcript:
            return Transcript("Book a table for" if len(pcm) < 3 * 16_000 else "Book a table for two.")

    driver = Driver(ears=Reading(["Book a table for two."]))
    driver.update(
        turn_detection={
            "type": "azure_semantic_vad_en",
            "silence_duration_ms": 320,
            "end_of_utterance_detection": {"model": "semantic_detection_v1_en"},
        }
    )
    driver.append(silence(0.5) + noise(0.6) + silence(0.8) + noise(0.8) + silence(0.5))
    driver.settle()
    assert len(list(every(driver.events, STARTED))) == 1
    assert only(driver.events, STOPPED)["audio_end_ms"] == pytest.approx(2700 + 320, abs=48)
    assert only(driver.events, COMPLETED)["transcript"] == "Book a table for two."


def test_a_failure_to_hear_so_far_leaves_it_to_the_silence() -> None:
    class Failing(EnergyEars):
        def transcribe_so_far(self, pcm: bytes, *, language: str | None = None) -> Transcript:
            raise RuntimeError("the ears are blocked")

    driver = Driver(ears=Failing(["Book a table for"]))
    driver.update(
        turn_detection={"type": "server_vad", "end_of_utterance_detection": {"model": "semantic_detection_v1"}}
    )
    driver.append(silence(0.5) + noise(1.0) + silence(0.8))
    assert only(driver.events, STOPPED)["audio_end_ms"] == pytest.approx(2000, abs=48)


def test_fillers_and_the_end_of_the_sentence_take_one_look() -> None:
    looks: list[int] = []

    class Counting(EnergyEars):
        def transcribe_so_far(self, pcm: bytes, *, language: str | None = None) -> Transcript:
            looks.append(len(pcm))
            return super().transcribe_so_far(pcm, language=language)

    driver = Driver(ears=Counting(["Yes, um"]))
    driver.update(
        turn_detection={
            "type": "azure_semantic_vad",
            "remove_filler_words": True,
            "end_of_utterance_detection": {"model": "semantic_detection_v1", "timeout_ms": 640},
        }
    )
    driver.append(silence(0.5) + noise(0.4) + silence(2.0))
    driver.settle()
    assert len(looks) == 2  # the second one is the transcript
    assert only(driver.events, STOPPED)["audio_end_ms"] == pytest.approx(900 + 500 + 640, abs=64)
    assert only(driver.events, COMPLETED)["transcript"] == "Yes,"
