"""Word timestamps, visemes and blendshapes: they fit the audio that was really sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from azure.ai.voicelive import models
from hypothesis import given, settings
from hypothesis import strategies as st

from voicelive_agent.emulator import Options, ScriptedBrain, ToneVoice
from voicelive_agent.emulator._animation import Face, visemes_between
from voicelive_agent.emulator._timing import estimated, timed_pieces, words_in
from voicelive_agent.emulator._visemes import viseme_of_sound, visemes_of_spelling
from voicelive_agent.emulator.protocols import SpokenPiece, SpokenWord, Wait

from .driver import Driver, Event, audio_of, every, noise, only, silence, types

SERVER: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data/events.json").read_text("utf-8"))["server"]
TEXT = "Good morning, Ada. It is a quarter past nine. Shall we begin?"
WORD, WORDS_DONE = "response.audio_timestamp.delta", "response.audio_timestamp.done"
VISEME, VISEMES_DONE = "response.animation_viseme.delta", "response.animation_viseme.done"
SHAPES, SHAPES_DONE = "response.animation_blendshapes.delta", "response.animation_blendshapes.done"
ALL: dict[str, Any] = {
    "output_audio_timestamp_types": ["word"],
    "animation": {"outputs": ["viseme_id", "blendshapes"]},
}


class Plain:
    """A voice without times: 80 ms of noise per letter, 200 ms of silence between words."""

    rate = 16_000

    def speak(self, text: str) -> Iterator[bytes]:
        for word in text.split():
            yield noise(0.08 * len(word), self.rate) + silence(0.2, self.rate)


def answer(text: str = TEXT, *, session: dict[str, Any] | None = None, **settings: Any) -> list[Event]:
    driver = Driver(brain=ScriptedBrain([("", text)]), **settings)
    driver.update(**(ALL if session is None else session))
    return driver.say("Hi")


def length_ms(events: list[Event], bytes_per_ms: int = 48) -> float:
    return len(audio_of(events)) / bytes_per_ms


# --- Words ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("voice", [ToneVoice(), Plain()])
@pytest.mark.parametrize(("format", "bytes_per_ms"), [("pcm16", 48), ("pcm16_8000hz", 16), ("g711_ulaw", 8)])
def test_words_are_in_order_and_within_the_audio(voice: Any, format: str, bytes_per_ms: int) -> None:
    events = answer(session={"output_audio_timestamp_types": ["word"], "output_audio_format": format}, voice=voice)
    words = list(every(events, WORD))
    assert [event["text"] for event in words] == words_in(TEXT)
    assert all(event["timestamp_type"] == "word" and event["audio_duration_ms"] > 0 for event in words)
    for before, after in pairwise(words):
        assert before["audio_offset_ms"] + before["audio_duration_ms"] <= after["audio_offset_ms"]
    last = words[-1]
    assert last["audio_offset_ms"] + last["audio_duration_ms"] <= length_ms(events, bytes_per_ms)
    assert {event["item_id"] for event in words} == {only(events, "response.output_item.done")["item"]["id"]}


def test_a_voice_that_knows_its_times_is_believed() -> None:
    words = list(every(answer("One two. Three."), WORD))
    # 60 ms per character; the first sentence has nine, and ends with a whole period of the tone.
    assert [(event["text"], event["audio_offset_ms"], event["audio_duration_ms"]) for event in words] == [
        ("One", 0, 180),
        ("two", 240, 180),
        ("Three", 541, 300),
    ]


def test_words_of_other_voices_are_where_the_audio_is_loud() -> None:
    text = "Incomprehensibilities are a thing."
    (piece,) = timed_pieces(Plain(), text)
    assert [word.text for word in piece.words] == ["Incomprehensibilities", "are", "a", "thing"]
    first, last = piece.words[0], piece.words[-1]
    assert first.offset_ms == 0
    assert first.duration_ms == pytest.approx(21 * 80, rel=0.2)
    # The silence at the end belongs to no word.
    assert last.offset_ms + last.duration_ms == pytest.approx(len(piece.pcm) / 32 - 200, abs=20)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("It costs 3.5 euros. Yes!  Really?", ["It costs 3.5 euros. ", "Yes!  ", "Really?"]),
        ("no end", ["no end"]),
        ("Two\nlines.\n", ["Two\nlines.\n"]),
        ("", [""]),
        ("...", ["..."]),
    ],
)
def test_other_voices_speak_sentence_by_sentence(text: str, sentences: list[str]) -> None:
    class Noting(Plain):
        def speak(self, text: str) -> Iterator[bytes]:
            asked.append(text)
            return super().speak(text)

    asked: list[str] = []
    assert len(list(timed_pieces(Noting(), text))) == len(sentences)
    assert asked == sentences


def test_a_pause_is_no_word() -> None:
    pcm = silence(0.5, 16_000) + noise(0.4, 16_000) + silence(0.6, 16_000) + noise(0.4, 16_000)
    yes, no = estimated("yes yes", pcm, 16_000)
    assert (yes.offset_ms, yes.duration_ms) == (500, 400)
    assert (no.offset_ms, no.duration_ms) == (1500, 400)


@given(st.text(max_size=40), st.integers(0, 3000), st.integers(0, 2000), st.sampled_from([1, 99, 8000, 24_000]))
@settings(max_examples=150, deadline=None)
def test_an_estimate_never_leaves_the_audio(text: str, loud: int, quiet: int, rate: int) -> None:
    pcm = np.concatenate([np.zeros(quiet), np.full(loud, 9000), np.zeros(quiet)]).astype("<i2").tobytes()
    words = estimated(text, pcm, rate)
    assert [word.text for word in words] == words_in(text)
    ends = [word.offset_ms + word.duration_ms for word in words]
    assert all(end <= after.offset_ms + 1e-6 for end, after in zip(ends, words[1:], strict=False))
    assert all(word.duration_ms >= 0 for word in words)
    assert max(ends, default=0) <= len(pcm) / 2 * 1000 / rate + 1e-6


def test_what_has_no_words_has_no_timestamps() -> None:
    events = answer("...!")
    assert not list(every(events, WORD))
    assert only(events, WORDS_DONE)
    assert [event["viseme_id"] for event in every(events, VISEME)] == [0]


def test_times_beyond_the_audio_are_cut() -> None:
    class Boastful(ToneVoice):
        def speak_timed(self, text: str) -> Iterator[SpokenPiece]:
            yield SpokenPiece(bytes(4800), [SpokenWord("early", -5, 10), SpokenWord("late", 500, 900)])

    events = answer("whatever", voice=Boastful())
    found = [(event["audio_offset_ms"], event["audio_duration_ms"]) for event in every(events, WORD)]
    assert found == [(0, 10), (99, 1)]
    assert length_ms(events) == 100


# --- Order ------------------------------------------------------------------------------------------------


def test_each_series_ends_before_the_audio_does() -> None:
    names = types(answer())
    assert names[-8:] == [
        WORDS_DONE,
        VISEMES_DONE,
        SHAPES_DONE,
        "response.audio.done",
        "response.audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.done",
    ]


def test_cues_come_no_later_than_the_audio_they_belong_to() -> None:
    sent_ms = 0.0
    for event in answer():
        if event["type"] == "response.audio.delta":
            sent_ms += length_ms([event])
        elif event["type"] in (WORD, VISEME):
            assert event["audio_offset_ms"] >= int(sent_ms)
        elif event["type"] == SHAPES:
            assert event["frame_index"] == -(-sent_ms * 60 // 1000)


def test_every_event_is_what_the_sdk_expects() -> None:
    events = answer()
    assert set(types(events)) >= {WORD, WORDS_DONE, VISEME, VISEMES_DONE, SHAPES, SHAPES_DONE}
    for event in events:
        json.dumps(event, allow_nan=False)
        entry = SERVER[event["type"]]
        assert type(models.ServerEvent._deserialize(event, [])).__name__ == entry["sdk_class"]
        assert all(event.get(name) is not None for name in entry["required"])
        assert set(event) <= {"type", "event_id", *entry["required"], *entry["optional"]}


def test_speech_cuts_the_cues_off_with_the_audio() -> None:
    driver = Driver(brain=ScriptedBrain([("", TEXT * 3)]), options=Options(realtime_factor=1.0))
    driver.update(**ALL)
    driver.send("response.create")
    driver.wait(1.2)
    driver.append(silence(0.2) + noise(0.5))
    driver.settle()
    events = driver.events
    assert only(events, "response.done")["response"]["status"] == "cancelled"
    sent_ms = length_ms(events)
    assert 0 < sent_ms < 2500
    assert all(event["audio_offset_ms"] < sent_ms for kind in (WORD, VISEME) for event in every(events, kind))
    frames = sum(len(event["frames"]) for event in every(events, SHAPES))
    assert frames == pytest.approx(sent_ms * 60 / 1000, abs=1)
    for kind in (WORDS_DONE, VISEMES_DONE, SHAPES_DONE):
        assert only(events, kind)


@pytest.mark.parametrize(
    ("settings", "session"),
    [
        ({}, {}),
        ({"model": "gpt-realtime"}, ALL),
        ({}, {**ALL, "modalities": ["text"]}),
        ({}, {**ALL, "voice": "alloy"}),
        ({}, {"output_audio_timestamp_types": [], "animation": {}}),
    ],
)
def test_nobody_gets_what_was_not_asked_for(settings: dict[str, Any], session: dict[str, Any]) -> None:
    names = types(answer(session=session, **settings))
    assert not [name for name in names if "timestamp" in name or "animation" in name]


def test_a_realtime_model_with_an_azure_voice_has_them() -> None:
    voice = {"type": "azure-standard", "name": "en-US-AvaNeural"}
    assert set(types(answer(session={**ALL, "voice": voice}, model="gpt-realtime"))) >= {WORD, VISEME, SHAPES}


def test_times_go_on_after_a_pause_in_the_answer() -> None:
    driver = Driver(brain=ScriptedBrain([("", ["One two.", Wait(900), "Three."])]))
    driver.update(**ALL)
    events = driver.say("Hi")
    words = [(event["text"], event["audio_offset_ms"]) for event in every(events, WORD)]
    # Eight characters at 60 ms are 480 ms, with the period that fills the tone's last one.
    assert words == [("One", 0), ("two", 240), ("Three", pytest.approx(480 + 60, abs=5))]


# --- Faces ------------------------------------------------------------------------------------------------


def test_visemes_follow_the_words_and_rest_in_silence() -> None:
    events = answer("Mum.", voice=Plain())
    found = [(event["audio_offset_ms"], event["viseme_id"]) for event in every(events, VISEME)]
    assert [viseme for _, viseme in found] == [21, 1, 21, 0]
    assert [at for at, _ in found] == sorted(at for at, _ in found)
    # The word is the loud part: four characters of 80 ms, and then the mouth closes.
    assert found[-1][0] == pytest.approx(320, abs=20)


def test_the_mouth_is_closed_before_and_between_words() -> None:
    words = [SpokenWord("me", 100, 100), SpokenWord("me", 210, 100), SpokenWord("me", 500, 100)]
    assert [viseme for _, viseme in visemes_between(words, 1000)] == [0, 21, 4, 21, 4, 0, 21, 4, 0]
    assert list(visemes_between([], 300)) == [(0.0, 0)]


def test_mouth_positions_that_the_voice_gives_are_kept() -> None:
    word = SpokenWord("knee", 50, 100, [(0, 19), (60, 6)])
    assert list(visemes_between([word], 150)) == [(0.0, 0), (50, 19), (110, 6)]


@pytest.mark.parametrize(
    ("word", "visemes"),
    [("ship", [16, 6, 21]), ("THOUGH", [19, 9, 20, 12]), ("4", [18, 9, 13]), ("你好", [1]), ("'", [1])],
)
def test_spelling(word: str, visemes: list[int]) -> None:
    assert visemes_of_spelling(word) == visemes


@given(st.text(max_size=30))
def test_every_spelling_has_visemes(word: str) -> None:
    visemes = visemes_of_spelling(word)
    assert visemes
    assert all(1 <= viseme <= 21 for viseme in visemes)


def test_sounds() -> None:
    found = {viseme_of_sound(sound) for sound in "æɑɔɛɝjwoWYIhɹlsʃðfdkp"}
    assert found == set(range(1, 22))
    assert viseme_of_sound("ˈ") is None


def test_blendshapes_are_frames_of_55_numbers_at_60_per_second() -> None:
    events = answer()
    frames = []
    for event in every(events, SHAPES):
        assert event["frame_index"] == len(frames)
        frames += event["frames"]
    assert len(frames) == pytest.approx(length_ms(events) * 60 / 1000, abs=1)
    assert {len(frame) for frame in frames} == {55}
    assert all(0 <= number <= 1 for frame in frames for number in frame)
    assert max(frame[17] for frame in frames) > 0.2, "the jaw never opened"
    assert "content_index" not in only(events, SHAPES_DONE)


def test_a_face_comes_to_rest() -> None:
    face = Face()
    face.follow(0, 2)
    face.follow(100, 0)
    frames = face.frames(1000)
    assert len(frames) == 60
    assert frames[5][17] > 0.4
    assert not any(frames[-1])


@pytest.mark.parametrize("outputs", [["viseme_id"], ["blendshapes"]])
def test_one_kind_of_animation_alone(outputs: list[str]) -> None:
    names = set(types(answer(session={"animation": {"outputs": outputs}})))
    assert (VISEME in names, SHAPES in names) == ("viseme_id" in outputs, "blendshapes" in outputs)
    assert (VISEMES_DONE in names, SHAPES_DONE in names) == ("viseme_id" in outputs, "blendshapes" in outputs)
