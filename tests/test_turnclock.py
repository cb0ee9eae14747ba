"""When a millisecond of microphone audio was sent, whatever the pacing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelive_agent._turnclock import _MARKS, TurnClock


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000])
@pytest.mark.parametrize("speed", [0.5, 1.0, 8.0])
def test_a_millisecond_was_sent_with_the_piece_that_it_is_in(rate: int, speed: float) -> None:
    clock = TurnClock(rate=rate)
    for number in range(100):  # of 20 ms
        clock.sent(rate // 50, 1_000.0 + number * 0.02 / speed)
    for ms in [0, 1, 19.5, 20, 20.5, 555, 2_000]:
        piece = max(0, -(-ms // 20) - 1)
        assert clock.when(ms) == 1_000.0 + piece * 0.02 / speed


def test_a_gap_in_the_sending_is_no_gap_in_the_audio() -> None:
    clock = TurnClock(rate=24_000)
    clock.sent(24_000, 10.0)
    clock.sent(24_000, 500.0)
    assert [clock.when(ms) for ms in (999, 1_000, 1_001, 2_000)] == [10.0, 10.0, 500.0, 500.0]


def test_what_was_not_sent_yet_has_no_moment() -> None:
    clock = TurnClock(rate=24_000)
    assert clock.when(0) is None
    clock.sent(480, 1.0)
    assert (clock.when(20), clock.when(20.01), clock.when(10_000)) == (1.0, None, None)


def test_audio_before_the_first_is_the_first() -> None:
    clock = TurnClock(rate=24_000)
    clock.sent(480, 1.0)
    assert (clock.when(-300), clock.when(0)) == (1.0, 1.0)


def test_what_is_too_long_ago_is_not_known_any_more() -> None:
    clock = TurnClock(rate=24_000)
    for number in range(_MARKS + 50):
        clock.sent(480, float(number))
    assert clock.when(0) is None
    assert clock.when(51 * 20) is None  # its piece was the last that was forgotten, so this is not sure
    assert clock.when(52 * 20) == 51.0
    assert clock.when((_MARKS + 50) * 20) == _MARKS + 49


@given(
    pieces=st.lists(st.tuples(st.integers(0, 5_000), st.floats(0.0, 5.0)), min_size=1, max_size=60),
    rate=st.sampled_from([8_000, 16_000, 24_000]),
    ms=st.integers(0, 40_000),
)
def test_it_remembers_like_somebody_who_notes_every_sample(
    pieces: list[tuple[int, float]], rate: int, ms: int
) -> None:
    clock, now, total = TurnClock(rate=rate), 0.0, 0
    expected = None
    for samples, pause in pieces:
        now += pause
        clock.sent(samples, now)
        total += samples
        if expected is None and total * 1000 / rate >= ms:
            expected = now
    assert clock.when(ms) == expected


def test_moments_never_go_back() -> None:
    clock = TurnClock(rate=8_000)
    for number in range(3_000):
        clock.sent(number % 7 * 40, number * 0.01)
    moments = [moment for ms in range(0, 50_000, 13) if (moment := clock.when(ms)) is not None]
    assert len(moments) > 100
    assert moments == sorted(moments)
