"""A listener's bookkeeping, against a listener who counts every sample."""

from __future__ import annotations

import math
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelive_agent._paced import PacedQueue

RATE = 8_192  # a power of two: positions of the model are exact in binary


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Listener:
    """Hears one sample of its queue per tick, and writes down what was heard when."""

    def __init__(self) -> None:
        self.queue: deque[int] = deque()
        self.written = 0
        self.heard_at: dict[int, int] = {}
        self.tick = 0

    def write(self, samples: int) -> None:
        self.queue.extend(range(self.written, self.written + samples))
        self.written += samples

    def wait(self, ticks: int) -> None:
        for _ in range(ticks):
            if self.queue:
                self.heard_at[self.queue.popleft()] = self.tick
            self.tick += 1


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 60)),
        st.tuples(st.just("wait"), st.integers(0, 90)),
        st.tuples(st.just("flush"), st.just(0)),
    ),
    max_size=40,
)


@given(steps=STEPS, speed=st.sampled_from([0.25, 1.0, 8.0]))
def test_it_counts_like_a_listener(steps: list[tuple[str, int]], speed: float) -> None:
    clock, model = Clock(), Listener()
    queue = PacedQueue(RATE, clock, speed)
    starts: dict[int, int] = {}  # sample -> the position promised for it
    for action, amount in steps:
        if action == "write":
            first, start = model.written, queue.write(amount)
            model.write(amount)
            starts.update((first + n, start + n) for n in range(amount))
            assert queue.end == start + amount
        elif action == "wait":
            model.wait(amount)
            clock.now = 1_000.0 + model.tick / RATE / speed
        else:
            assert queue.flush() == len(model.queue)
            for sample in model.queue:
                del starts[sample]
            model.queue.clear()
        assert queue.position == model.tick
        assert queue.pending == len(model.queue)
        assert queue.heard == len(model.heard_at)
    assert model.heard_at.items() <= starts.items()


@given(
    rate=st.integers(1, 200_000), speed=st.floats(0.01, 100.0), times=st.lists(st.floats(0.0, 1e5), max_size=30)
)
def test_pending_only_falls_between_writes(rate: int, speed: float, times: list[float]) -> None:
    clock = Clock()
    queue = PacedQueue(rate, clock, speed)
    queue.write(1_000_000)
    pending = heard = 0
    seen = [queue.pending]
    for time in sorted(times):
        clock.now = 1_000.0 + time
        pending, heard = queue.pending, queue.heard
        assert pending + heard == 1_000_000
        seen.append(pending)
    assert seen == sorted(seen, reverse=True)
    assert min(seen) >= 0


def test_nothing_drifts_in_hours_of_small_writes() -> None:
    clock = Clock()
    queue = PacedQueue(24_000, clock)
    for n in range(360_000):  # two hours of 20 ms chunks, each just in time
        clock.now = 1_000.0 + n * 0.02
        assert abs(queue.write(480) - 480 * n) <= 1
    assert queue.pending in (480, 481)


def test_audio_after_a_pause_begins_when_it_is_written() -> None:
    clock = Clock()
    queue = PacedQueue(RATE, clock)
    assert queue.write(100) == 0
    clock.now += 1.0
    assert queue.pending == 0
    assert queue.write(10) == RATE
    assert (queue.end, queue.heard) == (RATE + 10, 100)


@pytest.mark.parametrize("rate", [0, -8_000])
def test_a_rate_is_positive(rate: int) -> None:
    with pytest.raises(ValueError, match=f"rate must be positive, not {rate} Hz"):
        PacedQueue(rate, Clock())


@pytest.mark.parametrize("speed", [0.0, -1.0, math.inf, math.nan])
def test_a_speed_is_positive_and_finite(speed: float) -> None:
    with pytest.raises(ValueError, match="speed must be a positive number"):
        PacedQueue(RATE, Clock(), speed)


def test_samples_are_not_negative() -> None:
    with pytest.raises(ValueError, match="cannot write -1 samples"):
        PacedQueue(RATE, Clock()).write(-1)
