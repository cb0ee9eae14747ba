"""What a far end has heard: the clock between confirmations, and what may never happen to a position."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from voicelive_agent._paced import PacedQueue
from voicelive_agent.websocket._position import Position, Unsent

RATE = 1_000
"""A sample is a millisecond."""


def playing(samples: int, *, at: float = 0.0, run_on_s: float | None = 0.5) -> Position:
    """So much was written, and all of it sent."""
    position = Position(RATE, run_on_s=run_on_s)
    position.write(samples)
    position.send(samples, at)
    return position


def test_written_is_pending_until_it_is_heard() -> None:
    position = Position(RATE, run_on_s=None)
    position.write(300)
    assert (position.pending(0.0), position.ahead(0.0), position.heard(9.0)) == (300, 0, 0)
    position.send(100, 9.0)
    assert (position.pending(9.0), position.ahead(9.0)) == (300, 100)
    assert (position.pending(9.06), position.ahead(9.06), position.heard(9.06)) == (240, 40, 60)
    assert position.pending(20.0) == 200, "what was not sent is not heard"


def test_only_what_was_written_can_be_sent() -> None:
    position = Position(RATE, run_on_s=None)
    position.write(10)
    with pytest.raises(ValueError, match="cannot send 11 samples: 10 are unsent"):
        position.send(11, 0.0)


def test_a_stretch_without_a_gap_goes_on_from_where_it_was() -> None:
    position = playing(100)
    position.write(100)
    position.send(100, 0.05)
    assert position.heard(0.15) == 150


def test_after_an_underrun_the_listener_begins_anew() -> None:
    position = playing(100)
    position.write(100)
    position.send(100, 3.0)
    assert position.heard(3.0) == 100
    assert position.heard(3.04) == 140


def test_a_confirmation_moves_the_line_forward() -> None:
    position = playing(400)
    assert position.confirm(0, 150, 0.1)
    assert position.heard(0.1) == 150
    assert position.heard(0.2) == 250


def test_a_confirmation_of_less_holds_the_position_until_the_line_is_there() -> None:
    position = playing(400)
    assert position.confirm(0, 60, 0.1)
    assert position.heard(0.1) == 100, "never backwards"
    assert position.heard(0.13) == 100
    assert position.heard(0.2) == 160


def test_a_stalled_far_end_that_goes_on_reporting_stays_where_it_is() -> None:
    position = playing(400)
    for tenth in range(1, 30):
        assert position.confirm(0, 50, tenth / 10)
    assert position.heard(2.95) == 150, "what was believed before the last report, and no more"


def test_the_clock_alone_is_believed_only_so_long() -> None:
    position = playing(2_000)
    assert position.heard(10.0) == 500
    position.confirm(0, 480, 10.0)
    assert position.heard(10.0) == 500
    assert position.heard(11.0) == 980
    assert playing(2_000, run_on_s=None).heard(10.0) == 2_000


def test_old_news_changes_nothing() -> None:
    position = playing(400)
    position.confirm(0, 100, 0.1)
    assert not position.confirm(0, 99, 0.2)
    assert position.flush()
    position.write(400)
    position.send(400, 1.0)
    assert not position.confirm(0, 400, 1.1), "marks of a cleared buffer come back too"
    assert position.heard(1.1) == 100


@pytest.mark.parametrize(("generation", "samples"), [(0, 401), (1, 0), (2, 400)])
def test_what_was_not_sent_cannot_be_confirmed(generation: int, samples: int) -> None:
    position = playing(400)
    with pytest.raises(Unsent, match=f"{samples} samples of generation {generation} are confirmed, and were not"):
        position.confirm(generation, samples, 0.1)
    assert position.heard(0.1) == 100


def test_a_flush_that_the_far_end_need_not_know_of_begins_no_generation() -> None:
    position = Position(RATE, run_on_s=None)
    position.write(100)
    assert not position.flush()
    assert (position.generation, position.pending(0.0)) == (0, 0)
    position.write(100)
    position.send(1, 0.0)
    assert position.flush()
    assert (position.generation, position.pending(0.0), position.sent) == (1, 0, 0)


def test_what_is_on_its_way_is_not_heard_yet_and_cannot_be_stopped() -> None:
    position = Position(RATE, run_on_s=0.5)
    assert position.in_flight(0.0) == 0
    for seconds in (0.3, 0.125, 0.5, -1.0):
        position.round_trip(seconds)
    assert position.round_trip_s == 0.0
    for _ in range(7):
        position.round_trip(0.125)
    assert position.round_trip_s == 0.0, "the last eight count"
    position.round_trip(0.125)
    assert position.round_trip_s == 0.125
    position.write(200)
    assert position.in_flight(0.0) == 0, "nothing was sent"
    position.send(200, 0.0)
    assert position.in_flight(0.0) == 0, "a flush right behind it would stop all of it"
    assert position.heard(0.125) == 0
    assert position.in_flight(0.0625) == 62
    assert position.heard(0.25) == 125
    assert position.in_flight(0.25) == 75


def test_a_word_about_what_came_before_does_not_make_it_heard_sooner() -> None:
    position = playing(100)
    position.round_trip(0.08)
    position.write(100)
    position.send(100, 1.0)
    position.confirm(0, 100, 1.01)
    assert position.is_confirmed is False
    assert position.heard(1.08) == 100
    assert position.heard(1.10) == 120


def test_is_confirmed() -> None:
    position = playing(100)
    assert not position.is_confirmed
    position.confirm(0, 100, 0.1)
    assert position.is_confirmed


class Listening(RuleBasedStateMachine):
    """A far end that plays, reports, stalls and is flushed; and what must hold whatever it does."""

    @initialize(run_on_s=st.sampled_from([None, 0.5]), round_trip_s=st.sampled_from([0.0, 0.1]))
    def begin(self, run_on_s: float | None, round_trip_s: float) -> None:
        self.now = 0.0
        self.position = Position(RATE, run_on_s=run_on_s)
        self.position.round_trip(round_trip_s)
        self.pending = self.heard = 0
        self.generation = 0

    @rule(samples=st.integers(0, 500))
    def write(self, samples: int) -> None:
        self.position.write(samples)
        self.pending += samples

    @rule(share=st.floats(0, 1))
    def send(self, share: float) -> None:
        self.position.send(int((self.position.written - self.position.sent) * share), self.now)

    @rule(share=st.floats(0, 1), generation=st.integers(0, 5))
    def confirm(self, share: float, generation: int) -> None:
        samples = int(self.position.sent * share)
        if generation > self.position.generation:
            with pytest.raises(Unsent):
                self.position.confirm(generation, samples, self.now)
        elif self.position.confirm(generation, samples, self.now):
            assert generation == self.position.generation
            assert self.position.heard(self.now) >= samples

    @rule(seconds=st.floats(0, 1))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def flush(self) -> None:
        sent = self.position.sent
        assert self.position.flush() == (sent > 0)
        assert self.position.pending(self.now) == 0
        assert self.position.in_flight(self.now) == 0
        self.pending = self.heard = 0

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "position"):
            return
        position, now = self.position, self.now
        assert 0 <= position.confirmed <= position.heard(now) <= position.sent <= position.written
        assert self.heard <= position.heard(now), "a position is never taken back"
        assert 0 <= position.pending(now) <= self.pending, "only a write raises it"
        assert 0 <= position.in_flight(now) <= position.ahead(now) <= position.pending(now)
        assert position.generation >= self.generation
        self.heard, self.pending, self.generation = position.heard(now), position.pending(now), position.generation


Listening.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestListening: Any = Listening.TestCase


@pytest.mark.parametrize("report_ms", [20, 50, 100])
@pytest.mark.parametrize("delay_ms", [1, 40])
def test_a_page_that_reports_is_known_to_the_millisecond(report_ms: int, delay_ms: int) -> None:
    """Against an ideal page: what is heard here and what is in flight is what was heard once a flush is there."""
    clock = [0.0]
    page = PacedQueue(RATE, lambda: clock[0])
    position = Position(RATE, run_on_s=0.5)
    position.round_trip(2 * delay_ms / 1000)
    arrivals: dict[int, list[int]] = defaultdict(list)
    reports: dict[int, int] = {}
    predicted: dict[int, int] = {}
    for now_ms in range(2_500):
        clock[0] = now = now_ms / 1000
        if now_ms % 100 == 0 and not 800 <= now_ms < 1_300:  # audio, with a pause in which all is heard
            samples = 300 if now_ms in (0, 1_300) else 100
            position.write(samples)
            position.send(samples, now)
            arrivals[now_ms + delay_ms].append(samples)
        for samples in arrivals.pop(now_ms, []):
            page.write(samples)
        if now_ms % report_ms == 0:
            reports[now_ms + delay_ms] = page.heard
        if now_ms in reports:
            assert position.confirm(0, reports[now_ms], now)
        predicted[now_ms + delay_ms] = position.heard(now) + position.in_flight(now)
        if now_ms in predicted:
            assert abs(predicted[now_ms] - page.heard) <= 2, now_ms
