"""The voice: level, silences, pieces, and whether it can be understood."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voicelive_agent._pcm import Resampler
from voicelive_agent.emulator._timing import words_in
from voicelive_agent.emulator.protocols import TimedVoice
from voicelive_agent.emulator.speech.durations import Durations
from voicelive_agent.emulator.speech.normalise import word_errors
from voicelive_agent.emulator.speech.voice import HibariVoice, pieces
from voicelive_agent.errors import ConfigurationError

if TYPE_CHECKING:
    from voicelive_agent.emulator.speech.ears import WhisperEars

pytestmark = [pytest.mark.speech, pytest.mark.once]

LONG = (
    "You said: and mister john dashwood had then leisure to consider how much there might be prudently in his "
    "power to do for them. Once more, slowly: and, mister, john, dashwood, had, then, leisure, to, consider, how, "
    "much, there, might, be, prudently, in, his, power, to, do, for, them."
)


def samples(pcm: bytes) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.frombuffer(pcm, "<i2")


def silence_ms(voice: HibariVoice, pcm: bytes) -> tuple[float, float]:
    """Before the first and after the last sample that can be heard (-44 dBFS)."""
    loud = np.flatnonzero(np.abs(samples(pcm).astype(int)) > 200)
    return loud[0] * 1000 / voice.rate, (len(pcm) // 2 - 1 - loud[-1]) * 1000 / voice.rate


def test_it_is_loud_enough_and_never_clips(voice: HibariVoice) -> None:
    pcm = np.concatenate([samples(one).astype(float) for one in voice.speak(LONG)])
    assert voice.rate == 24_000
    assert np.abs(pcm).max() <= 0.98 * 32767
    assert -26 < 20 * np.log10(np.sqrt(np.mean(pcm**2)) / 32768) < -16


def test_silence_around_it_is_short(voice: HibariVoice) -> None:
    (pcm,) = voice.speak("Hello, how can I help you?")
    lead, tail = silence_ms(voice, pcm)
    assert 10 <= lead <= 45
    assert 100 <= tail <= 200


def test_there_is_a_pause_between_sentences_and_a_shorter_one_at_the_end(voice: HibariVoice) -> None:
    first, last = voice.speak("I am here. You are there.")
    assert silence_ms(voice, first)[1] > silence_ms(voice, last)[1] + 100


def test_the_same_text_is_the_same_audio(voice: HibariVoice) -> None:
    once = list(voice.speak("One two three. Four five six."))
    assert once == list(voice.speak("One two three. Four five six."))
    assert once[1:] == list(voice.speak("Four five six."))


def test_a_long_text_comes_in_pieces_the_first_of_them_early(voice: HibariVoice) -> None:
    spoken = list(voice.speak(LONG))
    assert len(spoken) > 5
    assert len(spoken[0]) < voice.rate * 2 * 2
    assert sum(map(len, spoken)) > voice.rate * 2 * 10


def test_it_stops_when_nobody_asks_for_more(voice: HibariVoice) -> None:
    endless = voice.speak("Again and again. " * 100_000)
    assert next(endless)
    endless.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["", "   ", "\n", "...", "?!", "你好", "Привет", "😀🎉", "\x00", "--", "。"])
def test_what_cannot_be_spoken_is_a_short_silence(voice: HibariVoice, text: str) -> None:
    (pcm,) = voice.speak(text)
    assert len(pcm) == voice.rate * 2 // 10
    assert not any(pcm)


@pytest.mark.parametrize("text", ["x" * 1000, "9" * 100, "1," * 40, "½ and ²", "a " * 300, "Mr." * 20, "£1e999"])
def test_odd_text_is_spoken_all_the_same(voice: HibariVoice, text: str) -> None:
    assert any(any(piece) for piece in voice.speak(text))


def test_text_that_the_engine_has_no_sound_for_is_a_short_silence(
    voice: HibariVoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voice, "_hibari", lambda *_, **__: np.zeros(0, np.float32))
    assert list(voice.speak("Hello. You.")) == [bytes(voice.rate * 2 // 10)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=20) | st.text("0123456789.,:/-$%€ apmhk", max_size=20))
def test_no_text_is_an_error(voice: HibariVoice, text: str) -> None:
    assert sum(len(piece) for piece in voice.speak(text)) > 0


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Hello, you.", ["Hello, you."]),
        ("I am here. You are there.", ["I am here.", "You are there."]),
        ("Card 1234567890123, please.", ["Card 1 2 3 4 5 6 7 8 9 0 1 2 3, please."]),
        ("That is 1,234,567,890 of them.", ["That is 1,234,567,890 of them."]),
        (
            "I heard: a sentence long enough to be taken apart, at all its commas; and, of course, at the others.",
            [
                "I heard:",
                "a sentence long enough to be taken apart,",
                "at all its commas;",
                "and, of course,",
                "at the others.",
            ],
        ),
        ("", []),
    ],
)
def test_pieces(text: str, parts: list[str]) -> None:
    if importlib.util.find_spec("hibari") is None:
        pytest.skip("not installed: hibari-tts")
    assert [part for part, _ in pieces(text)] == parts


def test_no_piece_is_too_long_and_no_word_is_lost() -> None:
    pytest.importorskip("hibari")
    text = "word " * 500
    parts = [part for part, _ in pieces(text)]
    assert max(map(len, parts)) <= 200
    assert " ".join(parts).split() == text.split()


@pytest.mark.parametrize(
    "text",
    [
        "Hello, how can I help you?",
        "I heard: go forward ten meters.",
        "Today is Friday, March 6, 2026.",
        "Your order number is four two seven one nine, and it will arrive on Friday before noon.",
        "one, two, three, four, five, six, seven, eight, nine, ten.",
        "The ship had 1,250 passengers and 38 dogs.",
        LONG,
    ],
)
def test_the_ears_understand_it(voice: HibariVoice, ears: WhisperEars, text: str) -> None:
    resampler = Resampler(voice.rate, 16_000)
    heard = ears.transcribe(resampler.process(b"".join(voice.speak(text))) + resampler.finish()).text
    assert word_errors(text, heard) <= len(text.split()) // 20


def test_speed(voice: HibariVoice) -> None:
    def seconds(speaker: HibariVoice) -> float:
        return sum(map(len, speaker.speak("How are you today?"))) / 2 / speaker.rate

    assert seconds(HibariVoice(speed=0.5)) > 1.5 * seconds(voice)


@pytest.mark.parametrize("speed", [0.4, 2.1, float("nan")])
def test_a_speed_that_is_none(speed: float) -> None:
    with pytest.raises(ConfigurationError, match="speed"):
        HibariVoice(speed)


# --- Times ------------------------------------------------------------------------------------------------


def test_timed_speech_is_the_same_audio(voice: HibariVoice) -> None:
    assert isinstance(voice, TimedVoice)
    text = "Hello there. How are you, my friend?"
    assert [piece.pcm for piece in voice.speak_timed(text)] == list(voice.speak(text))


@pytest.mark.parametrize(
    "text",
    [
        LONG,
        "At 7:30 pm, Dr. Smith paid 1,250 dollars in the U.S.",
        "On March 6, 2026 it costs $9.99. That's fine, isn't it?",
        "It's 25°C on 3/4/2026 at No. 12.",
        "Mr. O'Neil's 3.5 km run, wow!",
    ],
)
def test_words_have_times_within_their_piece(voice: HibariVoice, text: str) -> None:
    spoken = list(voice.speak_timed(text))
    assert [word.text for piece in spoken for word in piece.words] == words_in(text)
    for piece in spoken:
        end = 0.0
        for word in piece.words:
            assert word.offset_ms >= end - 1e-6
            assert word.duration_ms > 0
            end = word.offset_ms + word.duration_ms
            assert all(0 <= at <= word.duration_ms and 1 <= viseme <= 21 for at, viseme in word.visemes)
        assert end <= len(piece.pcm) / 48


def test_the_times_are_those_of_the_sound(voice: HibariVoice) -> None:
    """Where a comma makes a pause, no word is said; the words on both sides are loud."""
    (piece,) = voice.speak_timed("Wonderful, absolutely.")
    first, second = piece.words
    pcm = samples(piece.pcm).astype(float)

    def level(start_ms: float, end_ms: float) -> float:
        part = pcm[int(start_ms * 24) : int(end_ms * 24)]
        return float(np.sqrt(np.mean(part**2)))

    pause = (first.offset_ms + first.duration_ms, second.offset_ms)
    assert pause[1] - pause[0] >= 50
    middle = (pause[0] + pause[1]) / 2
    loud = [level(word.offset_ms, word.offset_ms + word.duration_ms) for word in (first, second)]
    assert level(middle - 10, middle + 10) < 0.2 * min(loud)


def test_mouth_positions_are_those_of_the_phonemes(voice: HibariVoice) -> None:
    (piece,) = voice.speak_timed("Mom.")
    assert [viseme for _, viseme in piece.words[0].visemes] == [21, 2, 21]


@pytest.mark.parametrize("text", ["", "...", "你好"])
def test_silence_has_no_words(voice: HibariVoice, text: str) -> None:
    (piece,) = voice.speak_timed(text)
    assert not any(piece.pcm)
    assert list(piece.words) == []


@pytest.mark.parametrize("text", ["x" * 1000, "1," * 40, "½ and ²", "a " * 300, "£1e999", "--a--b"])
def test_odd_text_has_times_within_its_audio(voice: HibariVoice, text: str) -> None:
    for piece in voice.speak_timed(text):
        assert all(0 <= word.offset_ms <= len(piece.pcm) / 48 for word in piece.words)


def test_speed_changes_the_times(voice: HibariVoice) -> None:
    (fast,) = HibariVoice(2.0).speak_timed("Hello, my friend.")
    (usual,) = voice.speak_timed("Hello, my friend.")
    assert fast.words[-1].offset_ms < 0.7 * usual.words[-1].offset_ms


class ReadsOtherwise:
    """A model that says "a b c d", one step each, where its words alone would be "a" and "a b"."""

    def __init__(self) -> None:
        self.vocab = {"a": 1, "b": 2, " ": 3}
        self.sess: object = self

    def g2p(self, word: str) -> str:
        return {"one": "a", "two": "a b"}[word]

    def run(self, names: object, inputs: object) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
        return [np.zeros((1, 9 * 2), np.float32), np.ones(9, np.float32)]


def test_a_sentence_that_is_read_otherwise_than_its_words() -> None:
    model = ReadsOtherwise()
    durations = Durations(model)
    (curve,) = durations.run(None, {"ids": [[0, 1, 3, 2, 3, 1, 3, 2, 0]]})
    assert curve.shape == (1, 18)
    assert model.sess is durations
    # 25 ms a step: one word of the text gets a third of the four that were said, the other one the rest.
    one, two = durations.words("one two")
    assert (one.text, one.duration_ms) == ("one", 25)
    assert (two.text, two.duration_ms) == ("two", 125)
    assert two.offset_ms - one.offset_ms == 50
    durations.forget()
    assert durations.words("one two") == []
