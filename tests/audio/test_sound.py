"""A microphone and a speaker at every rate: every sample arrives, as it was, and none is lost at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .program import Line, running
from .pulse import Card
from .recording import Recording, Samples, find, level, stretches, tone_of
from .signals import coded, tone

pytestmark = [pytest.mark.audio, pytest.mark.linux]

RATES = [8_000, 16_000, 44_100, 48_000, 96_000]
SECONDS = 0.5
TRIES = 3
DEFAULT_RATE = 44_100  # what ALSA's plug-in for PulseAudio names as its own


@pytest.fixture
def device(card: Card, rate: int) -> Iterator[str]:
    """The last part of the names of a speaker and a microphone of this rate."""
    name = f"at_{rate}"
    card.add_speaker(f"speaker_{name}", rate, channels=1)
    card.add_microphone(f"mic_{name}", rate)
    yield name
    card.remove(f"speaker_{name}")
    card.remove(f"mic_{name}")


async def recorded(card: Card, speaker: str, **play: Any) -> tuple[Recording, list[Line]]:
    """What is heard of a file, and what the program says of it.

    An underrun is the fault of a busy machine, and counted as one: then the file is played once more.
    """
    for _ in range(TRIES):
        with card.record(speaker) as recorder:
            async with running(card, "play.py", **play) as player:
                said = await player.finish()
            recorder.wait_for(0.1)
            recording = recorder.take()
        if not said[-1]["underruns"]:
            return recording, said
    pytest.fail(f"underruns in each of {TRIES} tries")


async def captured(card: Card, microphone: str, spoken: Samples, at_rate: int, **capture: Any) -> list[Line]:
    """What the program says that hears this; once more where it was not said in one piece."""
    seconds = len(spoken) / at_rate + 0.5
    for _ in range(TRIES):
        with card.record(f"{microphone}_in") as room:
            async with running(card, "capture.py", device=microphone, seconds=seconds, **capture) as program:
                await program.until("listening")
                card.say(spoken, at_rate, into=f"{microphone}_in")
                said = await program.finish()
            in_the_room = room.take().samples
        if holds(in_the_room, spoken):
            return said
    pytest.fail(f"this machine is too busy to say {seconds} s in one piece, in each of {TRIES} tries")


def holds(samples: Samples, part: Samples) -> bool:
    """Whether all of it is there, bit by bit."""
    at, _ = find(samples, part)
    return np.array_equal(samples[at : at + len(part)], part)


@pytest.mark.parametrize("rate", RATES)
async def test_every_sample_arrives_as_it_was(card: Card, device: str, rate: int, tmp_path: Path) -> None:
    """To the last one that was played before closing; both directions at once, each in a process of its own."""
    await asyncio.gather(
        check_playback(card, f"speaker_{device}", rate, tmp_path / "played.raw"),
        check_capture(card, f"mic_{device}", rate, tmp_path / "captured.raw"),
    )


async def check_playback(card: Card, speaker: str, rate: int, path: Path) -> None:
    played = coded(SECONDS, rate)
    played.tofile(path)
    recording, said = await recorded(card, speaker, path=str(path), device=speaker, rate=rate)
    assert said[0]["rate"] == rate
    at, likeness = find(recording.samples, played)
    assert likeness > 0.99, "it was interrupted or changed"
    assert np.array_equal(recording.samples[at : at + len(played)], played)
    assert not recording.samples[:at].any()
    assert not recording.samples[at + len(played) :].any()
    assert recording.time_of(at + len(played)) < said[-1]["at"] + 0.005, "it was closed before the end was heard"


async def check_capture(card: Card, microphone: str, rate: int, path: Path) -> None:
    spoken = coded(SECONDS, rate, seed=2)
    said = await captured(card, microphone, spoken, rate, path=str(path), rate=rate)
    assert (said[0]["rate"], said[0]["channels"]) == (rate, 1)
    assert holds(np.fromfile(path, "<i2"), spoken), "it was interrupted or changed"
    assert said[-1]["sizes"] == [rate // 50 * 2]  # blocks of 20 ms, and nothing else
    assert said[-1]["overflows"] == 0


async def test_the_default_microphone_at_the_rate_it_names(card: Card, tmp_path: Path) -> None:
    """A tone through the resampler of the sound server: frequency, level and purity."""
    path = tmp_path / "captured.raw"
    said = await captured(card, "mic", tone(997.0, 1.0, 48_000), 48_000, path=str(path))
    rate = said[0]["rate"]
    heard = np.fromfile(path, "<i2")
    ((begin, end),) = stretches(heard, pause=rate // 20)
    assert (end - begin) / rate == pytest.approx(1.0, abs=0.002)
    check_tone(heard[begin + rate // 20 : end - rate // 20], rate, 997.0, purer_db=40)


async def test_the_default_speaker_at_the_rate_it_names(card: Card, tmp_path: Path) -> None:
    path = tmp_path / "played.raw"
    tone(440.0, 1.0, DEFAULT_RATE).tofile(path)
    recording, said = await recorded(card, "speaker", path=str(path))
    assert said[0]["rate"] == DEFAULT_RATE
    ((begin, end),) = recording.stretches()
    rate = recording.rate
    assert (end - begin) / rate == pytest.approx(1.0, abs=0.002)
    check_tone(recording.samples[begin + rate // 20 : end - rate // 20], rate, 440.0, purer_db=60)


def check_tone(samples: Samples, rate: int, frequency: float, *, purer_db: float) -> None:
    heard, purity_db = tone_of(samples, rate)
    assert heard == pytest.approx(frequency, abs=0.2)
    assert level(samples) == pytest.approx(12_000 / 2**0.5, rel=0.01)
    assert purity_db > purer_db
