"""Whether the virtual card tells the truth: its recordings, and the time of each sample in them."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from .program import running
from .pulse import Card
from .recording import Samples, find
from .signals import coded

pytestmark = [pytest.mark.audio, pytest.mark.linux]


@pytest.mark.parametrize("render_ms", [2, 10])
async def test_the_time_of_a_sample_is_what_portaudio_says_it_is(card: Card, render_ms: int) -> None:
    # Two that know nothing of each other: the recorder looks at when data arrive, PortAudio asks PulseAudio. It is
    # a measurement of 1 ms: a busy machine may spoil one, and not three.
    tries = [await differences(card, render_ms) for _ in range(3)]
    middle, spread = min(tries, key=lambda each: each[1])
    assert abs(middle) < 0.0015
    assert spread < 0.001  # one or two may have come late


async def differences(card: Card, render_ms: int) -> tuple[float, float]:
    """What the recorder says less what PortAudio says, in seconds: the median, and how far others are from it."""
    with card.record(render_ms=render_ms) as recorder:
        async with running(card, "dac.py", seconds=1.2, rate=48_000, block_ms=20) as program:
            said = await program.finish()
        recorder.wait_for(0.1)
        recording = recorder.take()
    heard = [recording.time_of(start) for start, _ in recording.stretches(pause_s=0.01)]
    told = [time for time in said[-1]["times"] if time < heard[-1] + 0.01]
    assert len(heard) >= 4
    errors = np.array([float(np.array(heard)[np.abs(np.array(heard) - time).argmin()]) - time for time in told])
    assert recording.piece_s == pytest.approx(render_ms / 1000, abs=0.0005)
    middle = float(np.median(errors))
    return middle, float(np.median(np.abs(errors - middle)))


def test_what_is_said_into_a_microphone_is_recorded_bit_by_bit(card: Card) -> None:
    said = coded(0.5, 48_000)
    assert any(np.array_equal(recorded_part(card, said), said) for _ in range(3)), (
        "a busy machine may stutter once"
    )


def recorded_part(card: Card, said: Samples) -> Samples:
    """What was recorded where this is most alike."""
    with card.record("mic_in") as recorder:
        card.say(said, 48_000).wait()
        recorder.wait_for(0.1)
        samples = recorder.take().samples
    at, _ = find(samples, said)
    return samples[at : at + len(said)]


def test_a_position_and_its_time_are_the_same_both_ways(card: Card) -> None:
    with card.record() as recorder:
        recorder.wait_for(0.4)
        recording = recorder.take()
    for sample in (0, 10_000, len(recording.samples) - 1):
        assert recording.sample_at(recording.time_of(sample)) == pytest.approx(sample, abs=5)


def test_devices_come_and_go(card: Card) -> None:
    card.add_microphone("extra_mic", rate=8_000)
    card.add_speaker("extra_speaker", rate=8_000)
    assert {"extra_mic": (32, 0), "extra_speaker": (0, 32)}.items() <= seen(card).items()
    card.remove("extra_mic")
    card.remove("extra_speaker")
    assert not any("extra" in name for name in seen(card))
    assert "extra" not in card.pactl("list", "short", "modules")


def seen(card: Card) -> dict[str, tuple[int, int]]:
    """The input and output channels of the devices that PortAudio sees."""
    program = "import json, sounddevice; print(json.dumps(list(sounddevice.query_devices())))"
    done = subprocess.run([sys.executable, "-c", program], env=card.environ, capture_output=True, check=True)
    return {
        each["name"]: (each["max_input_channels"], each["max_output_channels"]) for each in json.loads(done.stdout)
    }


def test_nothing_of_the_user_is_touched(card: Card) -> None:
    info = card.pactl("info")
    assert f"Server String: unix:{card.folder / 'native'}" in info
    assert "Default Sink: speaker" in info
    assert "Default Source: mic" in info
