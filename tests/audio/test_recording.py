"""The instruments, on signals whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from .measure import Flush, p95
from .recording import Recording, biggest_step, find, level, stretches, tone_of
from .signals import click, coded, tone

RATE = 48_000


def arriving(samples: int, pieces: int, late: list[float], began: float = 100.0) -> Recording:
    """A recording of so many pieces, each of which came so much later than it could."""
    ends = np.arange(1, pieces + 1) * samples
    return Recording(np.zeros(pieces * samples, "<i2"), RATE, began + ends / RATE + np.array(late), ends)


def test_lateness_of_single_pieces_does_not_matter() -> None:
    late = 0.0001 + np.random.default_rng(1).exponential(0.005, 1_000)
    late[::50] = 0.0001
    recording = arriving(240, 1_000, list(late))
    for sample in (0, 50_000, 239_999):
        assert recording.time_of(sample) == pytest.approx(100.0001 + sample / RATE + 0.005, abs=1e-6)
        assert recording.sample_at(recording.time_of(sample)) == sample


def test_a_card_whose_second_is_longer_is_followed() -> None:
    ends = np.arange(1, 2_001) * 240
    recording = Recording(np.zeros(480_000, "<i2"), RATE, ends / RATE * 1.0002, ends)
    assert recording.time_of(400_000) - recording.time_of(100_000) == pytest.approx(
        300_000 / RATE * 1.0002, abs=1e-4
    )


def test_stretches_of_sound() -> None:
    samples = np.concatenate([click(RATE), click(RATE)])
    assert stretches(samples, 100) == [(4_800, 4_848), (14_400, 14_448)]
    assert stretches(samples, 20_000) == [(4_800, 14_448)]
    assert stretches(np.zeros(100, "<i2"), 10) == []


def test_a_tone_is_measured() -> None:
    frequency, distance = tone_of(tone(997.3, 1.0, RATE), RATE)
    assert frequency == pytest.approx(997.3, abs=0.05)
    assert distance > 80
    noisy = tone(997.3, 1.0, RATE) + coded(1.0, RATE, seed=2) // 10
    assert 15 < tone_of(noisy, RATE)[1] < 30
    assert level(tone(100, 1.0, RATE, amplitude=10_000)) == pytest.approx(7_071, rel=0.001)


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 44_100, 48_000, 96_000])
def test_coded_noise_is_found_at_any_rate(rate: int) -> None:
    whole = coded(3.0, rate)
    begin, count = round(1.2345 * rate), round(0.05 * rate)
    at, likeness = find(whole, whole[begin : begin + count])
    assert at == begin
    assert likeness > 0.999
    assert find(whole, coded(1.0, rate, seed=9)[:count])[1] < 0.5


def test_coded_noise_has_one_length_and_one_level_at_any_rate() -> None:
    assert len(coded(2.0, 44_100)) == 88_200
    assert level(coded(2.0, 44_100)) == pytest.approx(level(coded(2.0, 96_000)), rel=0.01)


def test_a_cut_without_a_fade_is_a_click() -> None:
    whole = tone(440.0, 0.1, RATE)
    silence = np.zeros(48, "<i2")
    peak = round(20.25 * RATE / 440) + 1  # where a cut is loudest
    assert abs(int(whole[peak - 1])) > 11_000
    cut = Flush(0.0, 0.0, 0.0, 0.0, whole[:960], np.concatenate([whole[peak - 960 : peak], silence]))
    fade = np.linspace(1, 0, 240)
    soft = whole[peak - 960 : peak].astype(float)
    soft[-240:] *= fade
    faded = Flush(0.0, 0.0, 0.0, 0.0, whole[:960], np.concatenate([soft.astype("<i2"), silence]))
    assert cut.clicks > 5
    assert cut.fades > 0.8
    assert faded.clicks < 1.1
    assert faded.fades < 0.4


def test_the_biggest_step() -> None:
    assert biggest_step(np.array([0, 5, -30_000, 30_000], "<i2")) == 60_000
    assert biggest_step(np.array([1], "<i2")) == 0


def test_p95_of_ten_is_the_largest_and_of_a_hundred_leaves_out_four() -> None:
    assert p95(range(10)) == 9
    assert p95(range(100)) == 95
