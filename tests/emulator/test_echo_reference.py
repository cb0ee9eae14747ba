"""Echo cancellation with the client's reference: the second channel is subtracted from the first."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from voicelive_agent.emulator import EnergyEars
from voicelive_agent.emulator._audio import InputDecoder
from voicelive_agent.emulator._echo_canceller import EchoCanceller

from .driver import Driver, only, types
from .test_vad import AUDIO, CLIPS, RATE, pcm, recording

assert AUDIO.is_dir()
STARTED = "input_audio_buffer.speech_started"


def samples(name: str) -> np.ndarray:
    return np.frombuffer(recording(name), "<i2") / 32768


FAR = np.concatenate([samples(name) for name in CLIPS if name.startswith("librivox")] * 2)[: 16 * RATE]
NEAR = 0.6 * samples("goforward.wav")
NEAR_AT = 9 * RATE


def room(delay_ms: int, seed: int = 0) -> np.ndarray:
    """An impulse response: the delay, the direct sound, and 250 ms of reverberation; 6 dB quieter in all."""
    length = RATE // 4
    response = np.random.default_rng(seed).normal(0, 1, length) * np.exp(-6.9 * np.arange(length) / length)
    response[0] = 8
    response *= 0.5 / np.sqrt(np.sum(response**2))
    return np.concatenate((np.zeros(delay_ms * RATE // 1000), response))


def echo(delay_ms: int) -> np.ndarray:
    response, size = room(delay_ms), 2 * len(FAR)
    heard = np.fft.irfft(np.fft.rfft(FAR, size) * np.fft.rfft(response, size))[: len(FAR)]
    return heard + np.random.default_rng(1).normal(0, 1e-4, len(FAR))


def cancelled(microphone: np.ndarray) -> np.ndarray:
    return np.frombuffer(EchoCanceller().process(pcm(microphone), pcm(FAR)), "<i2") / 32768


def decibels(signal: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(np.sum(signal**2) / np.sum(other**2)))


@pytest.mark.parametrize("delay_ms", [0, 60, 250, 500])
def test_the_echo_of_a_room_is_subtracted(delay_ms: int) -> None:
    heard = echo(delay_ms)
    left = cancelled(heard)
    for begin, end, erle in ((2, 4, 10), (4, 8, 15), (8, 16, 20)):
        part = slice(begin * RATE, end * RATE)
        assert decibels(heard[part], left[part]) > erle


@pytest.mark.parametrize("delay_ms", [60, 500])
def test_speech_at_the_near_end_comes_through(delay_ms: int) -> None:
    near = np.zeros(len(FAR))
    near[NEAR_AT : NEAR_AT + len(NEAR)] = NEAR
    heard = echo(delay_ms) + near
    part = slice(NEAR_AT, NEAR_AT + len(NEAR))
    before = decibels(near[part], heard[part] - near[part])
    left = cancelled(heard)
    assert before < 0
    assert decibels(near[part], left[part] - near[part]) > 12
    # Nor did it make the filter forget the room.
    after = slice(NEAR_AT + len(NEAR) + RATE, len(left))
    assert decibels(heard[after], left[after]) > 20


def test_without_a_reference_nothing_changes() -> None:
    speech = recording("goforward.wav")
    left = EchoCanceller().process(speech, bytes(len(speech)))
    assert left == speech[: len(left)]


def test_the_result_does_not_depend_on_how_the_stream_is_cut() -> None:
    heard, played = pcm(echo(60)[: 2 * RATE]), pcm(FAR[: 2 * RATE])
    canceller = EchoCanceller()
    pieces = [canceller.process(heard[at : at + 998], played[at : at + 998]) for at in range(0, len(heard), 998)]
    assert b"".join(pieces) == EchoCanceller().process(heard, played)


def test_full_scale_noise_stays_finite_and_in_range() -> None:
    random = np.random.default_rng(2)
    loud = random.choice([-1.0, 1.0], 2 * RATE)
    left = np.frombuffer(EchoCanceller().process(pcm(loud), pcm(np.roll(loud, 100))), "<i2")
    assert len(left) == 2 * RATE // 256 * 256


def interleaved(microphone: np.ndarray, reference: np.ndarray) -> bytes:
    both = np.stack([np.frombuffer(pcm(each), "<i2") for each in (microphone, reference)], axis=1)
    return both.tobytes()


@pytest.mark.parametrize("rate", [8000, 16_000, 24_000])
def test_the_decoder_subtracts_at_every_rate(rate: int) -> None:
    random = np.random.default_rng(3)
    played = random.normal(0, 0.1, 6 * rate)
    heard = 0.5 * np.concatenate((np.zeros(rate // 50), played))[: len(played)]
    left = np.frombuffer(InputDecoder("pcm16", rate, 2).decode(interleaved(heard, played)), "<i2") / 32768
    alone = np.frombuffer(InputDecoder("pcm16", rate).decode(pcm(heard)), "<i2") / 32768
    part = slice(4 * RATE, len(left))
    assert decibels(alone[part], left[part]) > 20


def echoing(channels: int) -> Driver:
    driver = Driver(ears=EnergyEars(), query={"features": "client_ec_reference:true"})
    cancellation = {"type": "server_echo_cancellation", "reference_source": "client", "channels": channels}
    driver.update(input_audio_sampling_rate=RATE, input_audio_echo_cancellation=cancellation)
    driver.log.clear()
    return driver


def test_an_assistant_does_not_interrupt_itself() -> None:
    """The same audio with and without the reference: the echo of a voice is speech, and then it is not."""
    warm, part = 10 * RATE, slice(10 * RATE, 16 * RATE)
    heard = echo(60) + np.random.default_rng(7).normal(0, 0.003, len(FAR))  # a room with a computer in it
    plain = Driver(ears=EnergyEars())
    plain.update(input_audio_sampling_rate=RATE)
    plain.append(pcm(np.random.default_rng(8).normal(0, 0.003, RATE)), piece=RATE)
    plain.append(pcm(heard[part]), piece=RATE)
    assert STARTED in types(plain.events)

    driver = echoing(2)
    driver.append(interleaved(heard[:warm], FAR[:warm]), piece=RATE)
    quiet = np.random.default_rng(8).normal(0, 0.003, 2 * RATE)
    driver.append(interleaved(quiet, np.zeros(2 * RATE)), piece=RATE)
    driver.settle()
    driver.log.clear()
    driver.append(interleaved(heard[part], FAR[part]), piece=RATE)
    assert STARTED not in types(driver.events)


def test_half_a_frame_of_two_channels_is_refused() -> None:
    audio = base64.b64encode(bytes(4802)).decode()
    error = only(echoing(2).ask("input_audio_buffer.append", audio=audio), "error")["error"]
    assert "frames of 4 bytes" in error["message"]
