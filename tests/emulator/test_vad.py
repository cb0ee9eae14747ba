"""When turns begin and end in recordings of people, and that noise is no turn. The clock is the audio."""

from __future__ import annotations

import wave
from pathlib import Path
from random import Random

import numpy as np
import pytest

from voicelive_agent.emulator import EnergyEars, Options
from voicelive_agent.emulator.protocols import Ears, Listener
from voicelive_agent.emulator.speech.packages import missing_packages

from .driver import Driver, Event, every, noise, only, silence, types
from .labels import labelled_ms

AUDIO = Path(__file__).parents[1] / "data" / "audio"
CLIPS = sorted(path.name for path in AUDIO.glob("*.wav"))
RATE = 16_000
PREFIX_MS, SILENCE_MS = 320, 640
STARTED, STOPPED = "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped"

speech = pytest.mark.skipif(bool(missing_packages()), reason="needs the speech packages")


def recording(name: str) -> bytes:
    with wave.open(str(AUDIO / name), "rb") as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        return file.readframes(file.getnframes())


class SileroEars(EnergyEars):
    """Silero's voice activity detection, without Whisper."""

    def listener(self) -> Listener:  # type: ignore[override]
        from voicelive_agent.emulator.speech.ears import SileroListener

        return SileroListener()


def hearing(ears: Ears | None = None, **turn_detection: object) -> Driver:
    driver = Driver(ears=ears or EnergyEars())
    numbers = {"type": "server_vad", "prefix_padding_ms": PREFIX_MS, "silence_duration_ms": SILENCE_MS}
    driver.update(input_audio_sampling_rate=RATE, turn_detection={**numbers, **turn_detection})
    driver.log.clear()
    return driver


def pcm(signal: np.ndarray) -> bytes:
    return np.rint(np.clip(signal, -1, 1) * 32767).astype("<i2").tobytes()


def turns(driver: Driver) -> list[tuple[int, int]]:
    starts = [event["audio_start_ms"] for event in every(driver.events, STARTED)]
    ends = [event["audio_end_ms"] for event in every(driver.events, STOPPED)]
    return list(zip(starts, ends, strict=True))


# --- Times ------------------------------------------------------------------------------------------------


@speech
@pytest.mark.parametrize("name", CLIPS)
def test_speech_begins_and_ends_within_60_ms_of_the_label(name: str) -> None:
    clip = recording(name)
    begin_ms, end_ms = labelled_ms(clip)
    driver = hearing(SileroEars())
    driver.append(silence(1.0, RATE) + clip + silence(1.5, RATE), piece=1280)
    [(start, stop)] = turns(driver)
    assert start == pytest.approx(1000 + begin_ms - PREFIX_MS, abs=60)
    assert stop == pytest.approx(1000 + end_ms + SILENCE_MS, abs=60)
    assert start % 32 == stop % 32 == 0


@speech
def test_a_recording_gives_the_same_turns_however_it_is_appended() -> None:
    stream = b"".join(silence(1.0, RATE) + recording(name) for name in CLIPS[:4]) + silence(1.5, RATE)
    whole = hearing(SileroEars())
    whole.append(stream, piece=len(stream))
    pieces = hearing(SileroEars())
    pieces.append(stream, piece=1022)
    assert len(turns(whole)) == 4
    assert turns(whole) == turns(pieces)


@pytest.mark.parametrize("silence_ms", [96, 320, 992])
@pytest.mark.parametrize("prefix_ms", [0, 96, 640])
def test_padding_and_silence_are_those_of_the_session(silence_ms: int, prefix_ms: int) -> None:
    driver = hearing(silence_duration_ms=silence_ms, prefix_padding_ms=prefix_ms)
    driver.append(silence(1.0, RATE) + noise(1.0, RATE) + silence(1.5, RATE))
    [(start, stop)] = turns(driver)
    assert start == pytest.approx(1000 - prefix_ms, abs=32)
    assert stop == pytest.approx(2000 + silence_ms, abs=48)


@pytest.mark.parametrize(("speech_ms", "found"), [(320, 1), (640, 0)])
def test_the_least_duration_of_speech(speech_ms: int, found: int) -> None:
    driver = hearing(speech_duration_ms=speech_ms)
    driver.append(silence(1.0, RATE) + noise(0.5, RATE) + silence(1.5, RATE))
    assert len(turns(driver)) == found


@pytest.mark.parametrize(("threshold", "found"), [(0.3, 1), (0.6, 1), (0.95, 0)])
def test_the_threshold_is_compared_with_the_listener(threshold: float, found: int) -> None:
    class Doubtful:
        def probability(self, frame: bytes) -> float:
            return 0.7 if any(frame) else 0.0

    class DoubtfulEars(EnergyEars):
        def listener(self) -> Doubtful:  # type: ignore[override]
            return Doubtful()

    driver = hearing(DoubtfulEars(), threshold=threshold)
    driver.append(silence(1.0, RATE) + noise(0.5, RATE) + silence(1.5, RATE))
    assert len(turns(driver)) == found


def test_the_level_sharpens_what_the_listener_blurs() -> None:
    """A listener that notices speech 100 ms late, and hears it for 300 ms too long."""

    class Blurred:
        def __init__(self) -> None:
            self.since_loud = 99
            self.loud = 0

        def probability(self, frame: bytes) -> float:
            self.loud = self.loud + 1 if any(frame) else 0
            self.since_loud = 0 if self.loud > 3 else self.since_loud + 1
            return 1.0 if self.since_loud < 10 else 0.0

    class BlurredEars(EnergyEars):
        def listener(self) -> Blurred:  # type: ignore[override]
            return Blurred()

    driver = hearing(BlurredEars())
    driver.append(silence(1.0, RATE) + noise(1.0, RATE) + silence(1.5, RATE))
    [(start, stop)] = turns(driver)
    assert start == pytest.approx(1000 - PREFIX_MS, abs=32)
    assert stop == pytest.approx(2000 + SILENCE_MS, abs=48)


# --- Noise ------------------------------------------------------------------------------------------------


def typing(seconds: float) -> np.ndarray:
    """Key strokes: decaying clicks of 5 to 30 ms, about 7 a second, over a faint hiss."""
    random, hiss = Random(3), np.random.default_rng(3)
    sound = hiss.normal(0, 0.004, int(RATE * seconds))
    at = 0.3
    while at < seconds - 0.2:
        length = int(RATE * random.uniform(0.005, 0.03))
        stroke = hiss.normal(0, random.uniform(0.1, 0.5), length) * np.exp(-5 * np.arange(length) / length)
        sound[int(RATE * at) : int(RATE * at) + length] += stroke
        at += random.uniform(0.06, 0.25)
    return sound


def pink(seconds: float, rms: float) -> np.ndarray:
    spectrum = np.fft.rfft(np.random.default_rng(4).normal(0, 1, int(RATE * seconds)))
    spectrum /= np.sqrt(np.maximum(1, np.arange(len(spectrum))))
    spectrum[: int(seconds * 20)] = 0  # below 20 Hz there is nothing to hear
    sound = np.fft.irfft(spectrum)
    return sound * rms / np.sqrt(np.mean(sound**2))


def white(seconds: float, rms: float) -> np.ndarray:
    return np.random.default_rng(5).normal(0, rms, int(RATE * seconds))


@speech
@pytest.mark.parametrize("sound", [typing(30), pink(30, 0.05), white(30, 0.05)], ids=["typing", "pink", "white"])
def test_30_s_of_noise_are_no_turn_for_silero(sound: np.ndarray) -> None:
    driver = hearing(SileroEars())
    driver.append(pcm(sound), piece=32_000)
    assert driver.events == []


@pytest.mark.parametrize("rms", [0.001, 0.01, 0.03])
@pytest.mark.parametrize("sound", [pink, white])
def test_30_s_of_steady_noise_are_no_turn_for_the_energy_listener(sound: object, rms: float) -> None:
    assert callable(sound)
    driver = hearing()
    driver.append(pcm(sound(30, rms)), piece=32_000)
    assert driver.events == []
    # It is not deaf either.
    driver.append(pcm(sound(1, rms)) + noise(1.0, RATE, level=20_000) + pcm(sound(2, rms)), piece=32_000)
    assert len(turns(driver)) == 1


# --- Formats ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8000, 16_000, 24_000, 44_100])
def test_a_whole_file_in_one_append(rate: int) -> None:
    driver = hearing()
    driver.update(input_audio_sampling_rate=rate)
    driver.log.clear()
    sound = silence(1.0, rate) + noise(1.0, rate) + silence(3.0, rate)
    driver.append(sound * 4, piece=len(sound) * 4)
    found = turns(driver)
    assert [start for start, _ in found] == [
        pytest.approx(1000 - PREFIX_MS + 5000 * index, abs=32) for index in range(4)
    ]


@pytest.mark.parametrize(
    ("format", "channels", "size"), [("pcm16", 1, 4801), ("pcm16", 2, 4802), ("pcm16", 2, 4801)]
)
def test_a_part_of_a_sample_is_refused(format: str, channels: int, size: int) -> None:
    import base64

    driver = Driver()
    cancellation = {"type": "server_echo_cancellation", "reference_source": "client", "channels": 2}
    driver.update(input_audio_format=format, input_audio_echo_cancellation=cancellation if channels == 2 else None)
    driver.log.clear()
    audio = base64.b64encode(bytes(size)).decode()
    error = only(driver.ask("input_audio_buffer.append", audio=audio), "error")["error"]
    assert error["param"] == "audio"
    assert "not a whole number" in error["message"]


# --- Noise suppression ------------------------------------------------------------------------------------


def suppressed(*, doubles: bool) -> list[Event]:
    driver = Driver(ears=EnergyEars(["hello"]), options=Options(noise_suppression_doubles=doubles))
    driver.update(turn_detection=None, input_audio_noise_reduction={"type": "azure_deep_noise_suppression"})
    driver.append(silence(0.2) + noise(0.5))
    return driver.ask("input_audio_buffer.commit")


def test_deep_noise_suppression_may_tell_of_a_manual_turn_twice() -> None:
    events = suppressed(doubles=True)
    completed, created = "conversation.item.input_audio_transcription.completed", "conversation.item.created"
    assert types(events) == ["input_audio_buffer.committed", completed, created, completed, created]
    assert [event["transcript"] for event in every(events, completed)] == ["hello", ""]
    first, second = every(events, created)
    assert second["item"]["id"] == first["item"]["id"] == second["previous_item_id"]


def test_unless_asked_for_it_does_not() -> None:
    assert len(suppressed(doubles=False)) == 3


def test_every_kind_of_noise_reduction_is_accepted() -> None:
    for kind in ("azure_deep_noise_suppression", "near_field", "far_field"):
        events = Driver().update(input_audio_noise_reduction={"type": kind})
        assert only(events, "session.updated")["session"]["input_audio_noise_reduction"] == {"type": kind}
