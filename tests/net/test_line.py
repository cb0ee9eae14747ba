"""The line that far ends listen to: it is the truth about what was heard, so it has to be right."""

from __future__ import annotations

from random import Random

import pytest

from .line import Line, digest


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def test_a_line_plays_in_real_time_and_remembers_when() -> None:
    clock = Clock()
    line = Line(1000, 2, clock=clock)
    clock.now += 0.1
    assert line.put(b"ab" * 50) == 100
    clock.now += 0.02
    assert line.advance() == 40
    assert line.finished == 38
    assert line.seconds_until(100) == pytest.approx(0.031)
    assert line.seconds_until(38) == 0
    assert line.heard_ms == 20
    clock.now += 1
    assert line.played == b"ab" * 50
    line.put(b"cd" * 10)
    clock.now += 1
    line.advance()
    assert [(round(at - 50, 6), before) for at, before in line.sounds] == [(0.1, 0), (1.12, 100)]


def test_what_is_cleared_is_never_heard() -> None:
    clock = Clock()
    line = Line(1000, 1, clock=clock)
    line.put(b"x" * 100)
    clock.now += 0.03
    line.clear()
    line.put(b"y" * 5)
    clock.now += 1
    assert (line.played, line.dropped) == (b"x" * 30 + b"y" * 5, 70)


def test_a_quantum_that_has_begun_is_heard_whole() -> None:
    clock = Clock()
    line = Line(8000, 1, quantum=160, clock=clock)
    line.put(b"x" * 400)
    clock.now += 0.039
    assert (line.advance(), line.finished) == (160, 0)
    assert line.seconds_until(160) == pytest.approx(0.001)
    assert line.seconds_until(161) == pytest.approx(0.021)
    clock.now += 0.001001
    assert line.finished == 160
    assert line.clear() == 320
    clock.now += 0.02
    assert line.finished == 320


@pytest.mark.parametrize("quantum", [1, 7, 128])
def test_however_audio_comes_all_of_it_is_heard_in_order(quantum: int) -> None:
    random, clock = Random(quantum), Clock()
    line, given = Line(8000, 1, quantum=quantum, clock=clock), b""
    for _ in range(300):
        piece = random.randbytes(random.randrange(200))
        given += piece
        line.put(piece)
        clock.now += random.random() * 0.02
    clock.now += 10
    line.advance()
    assert digest(line.played) == digest(given)
