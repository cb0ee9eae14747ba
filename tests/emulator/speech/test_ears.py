"""The ears: what they find and understand in recordings of people, and that they hear nothing in noise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from voicelive_agent._pcm import Resampler
from voicelive_agent.emulator.protocols import Transcript
from voicelive_agent.emulator.speech.ears import WhisperEars, says_everything_twice
from voicelive_agent.emulator.speech.normalise import word_errors
from voicelive_agent.errors import ConfigurationError

pytestmark = [pytest.mark.speech, pytest.mark.once]

RATE = 16_000


def pcm(signal: Any) -> bytes:
    return bytes((np.clip(signal, -1, 1) * 32767).astype("<i2"))


def tone(frequency: float, seconds: float) -> Any:
    return 0.3 * np.sin(2 * np.pi * frequency * np.arange(int(RATE * seconds)) / RATE)


def noise(level: float, seconds: float) -> Any:
    return np.random.default_rng(0).normal(0, level, int(RATE * seconds))


NO_SPEECH = {
    "nothing": b"",
    "one byte": b"\x01",
    "10 ms": bytes(320),
    "half a second of silence": bytes(RATE),
    "20 s of silence": bytes(40 * RATE),
    "faint noise": pcm(noise(0.001, 3)),
    "loud noise": pcm(noise(0.1, 3)),
    "40 s of noise": pcm(noise(0.01, 40)),
    "tone": pcm(tone(440, 3)),
    "short tone": pcm(tone(1000, 0.5)),
    "chord": pcm(tone(300, 2) + tone(450, 2)),
    "hum": pcm(tone(50, 3)),
    "click": pcm(np.eye(1, 2 * RATE, RATE)[0]),
}


@pytest.mark.parametrize("name", NO_SPEECH)
def test_no_words_where_nobody_speaks(ears: WhisperEars, name: str) -> None:
    assert ears.transcribe(NO_SPEECH[name]) == Transcript("")


@pytest.mark.parametrize("signal", [bytes(4 * RATE), pcm(noise(0.01, 2)), pcm(tone(440, 2))])
def test_the_listener_hears_no_voice_in_it(ears: WhisperEars, signal: bytes) -> None:
    listener = ears.listener()
    frames = [signal[start : start + 1024] for start in range(0, len(signal) - 1023, 1024)]
    assert max(map(listener.probability, frames)) < 0.5


def errors(ears: WhisperEars, clips: Any, audio: Callable[[Any], bytes]) -> int:
    return sum(word_errors(clip.transcript, ears.transcribe(audio(clip)).text) for clip in clips)


def test_recordings(ears: WhisperEars, clips: Any) -> None:
    assert len(clips) == 7
    assert errors(ears, clips, lambda clip: clip.pcm) <= 5


def test_recordings_as_voice_activity_detection_cuts_them(
    ears: WhisperEars, clips: Any, cut: dict[str, list[bytes]]
) -> None:
    assert {name: len(found) for name, found in cut.items()} == {clip.name: 1 for clip in clips}
    assert errors(ears, clips, lambda clip: cut[clip.name][0]) <= 5


def test_recordings_by_way_of_24_khz(ears: WhisperEars, clips: Any, cut: dict[str, list[bytes]]) -> None:
    def there_and_back(clip: Any) -> bytes:
        audio = cut[clip.name][0]
        for rates in ((RATE, 24_000), (24_000, RATE)):
            resampler = Resampler(*rates)
            audio = resampler.process(audio) + resampler.finish()
        return audio

    assert errors(ears, clips, there_and_back) <= 5


def test_speech_in_a_long_silence(ears: WhisperEars, clips: Any) -> None:
    clip = next(one for one in clips if one.name == "goforward.wav")
    heard = ears.transcribe(bytes(20 * 2 * RATE) + clip.pcm + bytes(20 * 2 * RATE))
    assert word_errors(clip.transcript, heard.text) == 0


def test_more_than_half_a_minute(ears: WhisperEars, clips: Any) -> None:
    long = [clip for clip in clips if clip.name.startswith("librivox")] * 3
    heard = ears.transcribe(b"".join(clip.pcm for clip in long))
    said = " ".join(clip.transcript for clip in long)
    assert word_errors(said, heard.text) <= len(said.split()) // 5


@pytest.mark.parametrize(
    ("language", "told"),
    [
        (None, "en-US"),
        ("en-GB", "en-GB"),
        ("en", "en"),
        ("en-US,de-DE", "en-US"),
        ("de-DE", "en-US"),
        ("", "en-US"),
    ],
)
def test_language(ears: WhisperEars, clips: Any, language: str | None, told: str) -> None:
    clip = next(one for one in clips if one.name == "goforward.wav")
    heard = ears.transcribe(clip.pcm, language=language)
    assert heard.language == told
    assert word_errors(clip.transcript, heard.text) == 0


def test_a_multilingual_model_takes_the_language_it_is_told_if_it_knows_it(
    ears: WhisperEars, clips: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str | None] = []

    def full_window(_: Any, language: str | None) -> tuple[str, list[Any], str]:
        told.append(language)
        return "ja", [], language or "fr"

    whisper = SimpleNamespace(model=SimpleNamespace(is_multilingual=True), supported_languages=["de", "fr"])
    monkeypatch.setattr(ears, "_whisper", whisper)
    monkeypatch.setattr(ears, "_short_window", lambda *_: None)
    monkeypatch.setattr(ears, "_full_window", full_window)
    languages = [ears.transcribe(clips[0].pcm, language=tag).language for tag in ("de-DE", "xx", None, "fr-CA")]
    assert told == ["de", None, None, "fr"]
    assert languages == ["de-DE", "fr", "fr", "fr-CA"]


def test_whisper_alone_hears_no_words_in_noise_either(ears: WhisperEars, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicelive_agent.emulator.speech.ears._trimmed", lambda samples: (0, samples))
    assert ears.transcribe(NO_SPEECH["loud noise"]).text == ""


def test_what_was_heard_so_far_is_not_worked_out_again(
    ears: WhisperEars, clips: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = next(one for one in clips if one.name == "goforward.wav")
    speech, pause = bytes(RATE) + clip.pcm, bytes(RATE)
    so_far = ears.transcribe_so_far(speech + pause, language="en-US")
    assert word_errors(clip.transcript, so_far.text) == 0
    with monkeypatch.context() as patch:
        patch.setattr(ears, "_transcribe", lambda *_: pytest.fail("heard again"))
        assert ears.transcribe(speech + pause, language="en-US") is so_far
    # Another language is another matter.
    assert ears.transcribe(speech + pause, language="en-GB").language == "en-GB"


def test_words_have_times_and_probabilities(ears: WhisperEars, clips: Any) -> None:
    clip = next(one for one in clips if one.name == "goforward.wav")
    heard = ears.transcribe_words(bytes(4 * RATE) + clip.pcm + bytes(2 * RATE), language="en-US")
    assert word_errors(clip.transcript, heard.text) == 0
    assert heard.language == "en-US"
    assert " ".join(word.text for word in heard.words) == heard.text
    # Two seconds of silence come first; the recording has speech from 500 to 2400 ms.
    assert heard.words[0].start_ms == pytest.approx(2500, abs=300)
    assert heard.words[-1].end_ms == pytest.approx(4400, abs=500)  # the smallest Whisper is no better
    assert all(word.start_ms <= word.end_ms and 0 < word.probability <= 1 for word in heard.words)
    assert [word.start_ms for word in heard.words] == sorted(word.start_ms for word in heard.words)


def test_no_words_have_no_times(ears: WhisperEars) -> None:
    assert ears.transcribe_words(bytes(2 * RATE)) == Transcript("")


@pytest.mark.parametrize("text", ["yes yes", "Go back. Go back!", "a b a b a b", "No, no, no."])
def test_said_twice(text: str) -> None:
    assert says_everything_twice(text)


@pytest.mark.parametrize("text", ["", "yes", "go back", "a b a", "no no yes"])
def test_said_once(text: str) -> None:
    assert not says_everything_twice(text)


def test_what_the_short_window_doubts_is_heard_again_in_full(
    ears: WhisperEars, clips: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = next(one for one in clips if one.name == "goforward.wav")
    monkeypatch.setattr(ears, "_short_window", lambda *_: None)
    assert word_errors(clip.transcript, ears.transcribe(clip.pcm).text) == 0


@pytest.mark.parametrize("model", ["./no/such/directory", Path("no-such-directory"), "a name with blanks"])
def test_a_model_that_is_not_there(model: str | Path) -> None:
    with pytest.raises(ConfigurationError, match="no Whisper model in"):
        WhisperEars(model)


def test_a_directory_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="could not be loaded"):
        WhisperEars(tmp_path)


def test_a_hub_model_without_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigurationError, match="needs a network"):
        WhisperEars("somebody/no-such-model")
