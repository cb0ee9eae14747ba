"""The queue of a sound card: every sample once, in its order, and pending is what the listener has not heard.

The audio thread may be stopped between any two instructions for the loop's, and the other way round: so here too.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Callable
from itertools import pairwise
from types import FrameType
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelive_agent import _playout
from voicelive_agent._playout import FADE_MS, MAX_LATENCY_S, Playout
from voicelive_agent.audio import AudioFormat

RATE = 8_000
BLOCK = RATE // 50
FADE = RATE * FADE_MS // 1000

CALLBACK, LOOP = 340, 260
"""As many instructions as a callback has, but for computing a fade, and as the loop has for what it does at
once."""

_T = TypeVar("_T")


def pcm(*samples: int) -> bytes:
    return array("h", samples).tobytes()


def samples_of(audio: bytes) -> list[int]:
    return array("h", audio).tolist()


def mono(rate: int = RATE) -> Playout:
    return Playout(AudioFormat(rate=rate))


def taken(playout: Playout, frames: int = BLOCK, *, heard_at: float = 0.0, now: float = 0.0) -> list[int]:
    return samples_of(playout.take(frames, heard_at=heard_at, now=now))


# --- what is written is played --------------------------------------------------------------------------------


def test_silence_is_played_when_nothing_was_written() -> None:
    playout = mono()
    assert taken(playout) == [0] * BLOCK
    assert (playout.pending(0.0), playout.in_flight(0.0), playout.queued) == (0, 0, 0)
    assert playout.silent_at == -math.inf


@given(
    writes=st.lists(st.integers(0, 700), max_size=10),
    cuts=st.lists(st.integers(0, 1_400), max_size=6),
    blocks=st.lists(st.integers(1, 300), min_size=1, max_size=10),
    channels=st.integers(1, 3),
)
def test_every_sample_once_and_in_order(
    writes: list[int], cuts: list[int], blocks: list[int], channels: int
) -> None:
    """However it is cut into pieces: half samples and half frames wait for the rest of them."""
    playout = Playout(AudioFormat(rate=RATE, channels=channels))
    audio = pcm(*range(1, 1 + sum(writes) * channels))
    edges = sorted({0, len(audio), *(cut for cut in cuts if cut < len(audio))})
    for begin, end in pairwise(edges):
        playout.write(audio[begin:end])
    heard = b""
    assert playout.pending(0.0) == sum(writes)
    while playout.queued:
        for frames in blocks:
            block = playout.take(frames, heard_at=-1.0, now=0.0)
            assert len(block) == 2 * frames * channels
            heard += block
    assert heard[: len(audio)] == audio
    assert not any(heard[len(audio) :])


def test_a_gap_is_silence_and_what_comes_later_goes_on_after_it() -> None:
    playout = mono()
    playout.write(pcm(1, 2, 3))
    assert taken(playout, 5) == [1, 2, 3, 0, 0]
    assert taken(playout, 2) == [0, 0]
    playout.write(pcm(4))
    assert taken(playout, 2) == [4, 0]


# --- what was heard -------------------------------------------------------------------------------------------


def test_a_sample_is_pending_until_its_time_at_the_converter() -> None:
    playout = mono()
    playout.write(pcm(*range(1, 401)))
    assert playout.pending(0.0) == 400
    taken(playout, 160, heard_at=1.0, now=0.95)
    assert (playout.pending(0.95), playout.in_flight(0.95), playout.queued) == (400, 160, 240)
    assert (playout.pending(1.0), playout.in_flight(1.0)) == (400, 160)
    assert (playout.pending(1.01), playout.in_flight(1.01)) == (320, 80)  # between two callbacks
    assert (playout.pending(1.0101), playout.in_flight(1.0101)) == (320, 80)  # a sample that has begun is not over
    assert (playout.pending(1.02), playout.in_flight(1.02)) == (240, 0)
    assert playout.pending(9.0) == 240
    assert playout.silent_at == pytest.approx(1.02)


def test_audio_in_the_middle_of_a_block_is_heard_in_the_middle() -> None:
    playout = mono()
    playout.write(pcm(*[5] * 80))
    taken(playout, 160, heard_at=1.0, now=1.0)
    assert playout.pending(1.00501) == 40
    assert playout.pending(1.01) == 0
    assert playout.silent_at == pytest.approx(1.01)


def test_nobody_believes_a_driver_that_is_late_by_more_than_any_is() -> None:
    playout = mono()
    playout.write(pcm(*[5] * 160))
    taken(playout, 160, heard_at=1e9, now=1.0)
    assert playout.pending(1.0 + MAX_LATENCY_S) == 160
    assert playout.pending(1.0 + MAX_LATENCY_S + 0.02) == 0


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("write"), st.integers(0, 500)),
            st.tuples(st.just("take"), st.integers(-3, 60)),  # ms until it is heard
            st.tuples(st.just("wait"), st.integers(0, 40)),  # ms
            st.tuples(st.just("flush"), st.just(0)),
        ),
        max_size=40,
    )
)
def test_pending_rises_by_writing_alone_and_is_never_negative(steps: list[tuple[str, int]]) -> None:
    playout, now = mono(), 100.0
    before = 0
    for action, amount in steps:
        if action == "write":
            playout.write(pcm(*[1] * amount))
            assert playout.pending(now) == before + amount
        elif action == "take":
            taken(playout, heard_at=now + amount / 1000, now=now)
            assert playout.pending(now) <= before
        elif action == "wait":
            now += amount / 1000
            assert playout.pending(now) <= before
        else:
            playout.flush()
            assert playout.pending(now) == playout.in_flight(now) == playout.queued == 0
        before = playout.pending(now)
        assert 0 <= playout.in_flight(now) <= before
        assert before == playout.queued + playout.in_flight(now)


# --- silence at once, without a click ---------------------------------------------------------------------------


def sine(frames: int, rate: int = RATE, amplitude: int = 12_000, hertz: float = 440.0) -> list[int]:
    return [round(amplitude * math.sin(2 * math.pi * hertz * i / rate)) for i in range(frames)]


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_a_flush_fades_what_would_have_come_and_is_silent_within_a_block(rate: int) -> None:
    playout, wave = mono(rate), sine(rate, rate)
    fade, block = rate * FADE_MS // 1000, rate // 50
    playout.write(pcm(*wave))
    heard = taken(playout, block) + taken(playout, block)
    playout.flush()
    assert playout.pending(0.0) == 0
    assert playout.fading
    heard += taken(playout, block)
    assert not playout.fading
    assert heard[: 2 * block] == wave[: 2 * block]
    expected = [wave[2 * block + i] * (fade - i) // (fade + 1) for i in range(fade)]
    assert heard[2 * block : 2 * block + fade] == expected
    assert not any(heard[2 * block + fade :])
    natural = max(abs(b - a) for a, b in pairwise(wave))
    jump = max(abs(b - a) for a, b in pairwise(heard))
    assert jump <= natural + 12_000 / fade + 1


def test_each_channel_fades() -> None:
    playout = Playout(AudioFormat(rate=RATE, channels=2))
    playout.write(pcm(*[1_000, -1_000] * 400))
    taken(playout)
    playout.flush()
    heard = taken(playout)
    assert [-sample for sample in heard[0::2][:5]] == pytest.approx(heard[1::2][:5], abs=1)
    assert heard[0] == 1_000 * FADE // (FADE + 1)
    assert not any(heard[2 * FADE :])


def test_what_is_written_after_a_flush_follows_the_fade() -> None:
    playout = mono()
    playout.write(pcm(*[1_000] * 400))
    taken(playout)
    playout.flush()
    playout.write(pcm(*[7] * 200))
    heard = taken(playout, heard_at=1.0, now=1.0)
    assert 0 < heard[FADE - 1] < 100
    assert heard[FADE:] == [7] * (BLOCK - FADE)
    assert playout.pending(1.0) == 200  # the fade is not counted: it was flushed
    assert playout.pending(1.0 + FADE_MS / 1000) == 200
    assert playout.pending(1.0 + FADE_MS / 1000 + 0.00501) == 160


def test_a_fade_may_be_longer_than_a_block_and_a_second_flush_does_not_disturb_it() -> None:
    playout = mono()
    playout.write(pcm(*[10_000] * 400))
    heard = taken(playout, 16)
    playout.flush()
    heard += taken(playout, 16)
    assert playout.fading
    playout.write(pcm(*[5] * 400))
    playout.flush()
    heard += taken(playout, 16) + taken(playout, 16)
    assert heard == [10_000] * 16 + [10_000 * (FADE - i) // (FADE + 1) for i in range(FADE)] + [0] * (48 - FADE)


@pytest.mark.parametrize("before", [0, BLOCK // 2], ids=["nothing played", "all played"])
def test_where_nothing_sounded_nothing_fades(before: int) -> None:
    playout = mono()
    playout.write(pcm(*[9_000] * before))
    taken(playout)
    playout.write(pcm(*[9_000] * 400))  # not begun
    playout.flush()
    assert not any(taken(playout))
    assert not playout.fading


def test_a_fade_ends_where_the_audio_does() -> None:
    playout = mono()
    playout.write(pcm(*[1_000] * (BLOCK + 4)))
    taken(playout)
    playout.flush()
    assert taken(playout)[:5] == [800, 600, 400, 200, 0]


def test_a_flush_forgets_half_a_sample() -> None:
    playout = mono()
    playout.write(b"\x01")
    playout.flush()
    playout.write(pcm(7))
    assert taken(playout, 2) == [7, 0]


# --- two threads ------------------------------------------------------------------------------------------------


def interrupted(work: Callable[[], _T], at: int, by: Callable[[], object]) -> _T:
    """Do ``work``, and ``by`` before its instruction number ``at`` in the module, as another thread would.

    ``by`` comes afterwards if there are not as many.
    """
    left, done = at, False

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal left, done
        if frame.f_code.co_filename != _playout.__file__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and not done:
            left -= 1
            if left < 0:
                done = True
                sys.settrace(None)  # what interrupts is not interrupted
                try:
                    by()
                finally:
                    sys.settrace(trace)
        return trace

    usual = sys.gettrace()  # of a debugger, or of what measures coverage
    sys.settrace(trace)
    try:
        result = work()
    finally:
        sys.settrace(usual)
    if not done:
        by()
    return result


class Thread2:
    """A playout whose output is collected, and what was written into it: one list of samples for each flush."""

    def __init__(self, written: int, played: int) -> None:
        self.playout = mono()
        self.generations: list[list[int]] = [[]]
        self.heard: list[int] = []
        self.readings: list[int] = []
        self.now = 10.0
        self.write(written)
        for _ in range(played):
            self.take()

    def write(self, frames: int) -> None:
        begin = 2_000 * len(self.generations) + len(self.generations[-1])
        samples = list(range(begin, begin + frames))
        self.generations[-1] += samples
        self.playout.write(pcm(*samples))
        self.readings.clear()  # may rise

    def flush(self) -> None:
        self.generations.append([])
        self.playout.flush()
        assert self.playout.pending(self.now) == 0

    def read(self) -> None:
        self.readings.append(self.playout.pending(self.now))
        assert self.readings == sorted(self.readings, reverse=True), "only writing raises it"

    def take(self) -> None:
        self.heard += taken(self.playout, heard_at=self.now + 0.05, now=self.now)

    def check(self) -> None:
        """Play out the rest: of each generation a beginning was heard and perhaps a fade, of the last one all."""
        self.read()
        assert self.playout.pending(self.now) <= len(self.generations[-1])
        while self.playout.queued or self.playout.fading:
            self.take()
            self.read()
        heard = [sample for sample in self.heard if sample]
        for generation in self.generations:
            whole = 0
            while heard[:1] == generation[whole : whole + 1] != []:
                whole += 1
                del heard[0]
            rest = generation[whole : whole + FADE]
            faded = [sample * (len(rest) - i) // (len(rest) + 1) for i, sample in enumerate(rest)]
            if heard[: len(faded)] == faded:
                del heard[: len(faded)]
        assert heard == []
        assert whole == len(self.generations[-1])
        assert self.playout.pending(self.now + 10.0) == 0


def in_turn(*actions: Callable[[], object]) -> Callable[[], None]:
    def act() -> None:
        for action in actions:
            action()

    return act


BY_LOOP: dict[str, Callable[[Thread2], Callable[[], None]]] = {
    "write": lambda both: in_turn(lambda: both.write(100)),
    "flush": lambda both: both.flush,
    "flush and write": lambda both: in_turn(both.flush, lambda: both.write(100)),
    "write and flush": lambda both: in_turn(lambda: both.write(100), both.flush),
    "flush twice": lambda both: in_turn(both.flush, lambda: both.write(9), both.flush, lambda: both.write(60)),
    "read": lambda both: both.read,
}


@pytest.mark.parametrize("action", BY_LOOP)
@pytest.mark.parametrize(("written", "played"), [(0, 0), (BLOCK, 1), (500, 2)])
def test_the_loop_may_do_anything_anywhere_in_a_callback(written: int, played: int, action: str) -> None:
    for at in range(CALLBACK):
        both = Thread2(written, played)
        both.read()
        block = interrupted(
            lambda: both.playout.take(BLOCK, heard_at=both.now + 0.05, now=both.now),  # noqa: B023
            at,
            in_turn(BY_LOOP[action](both), both.read),
        )
        both.heard += samples_of(block)
        both.read()
        both.take()
        both.check()


@given(
    written=st.integers(0, 3 * BLOCK),
    steps=st.lists(
        st.tuples(st.integers(0, CALLBACK), st.sampled_from(sorted(BY_LOOP)), st.integers(0, 30)), max_size=6
    ),
)
def test_two_threads(written: int, steps: list[tuple[int, str, int]]) -> None:
    """Callback after callback, with the loop in the middle of each, and time that passes."""
    both = Thread2(written, 0)
    for at, action, waited_ms in steps:
        block = interrupted(
            lambda: both.playout.take(BLOCK, heard_at=both.now + 0.05, now=both.now),
            at,
            in_turn(both.read, BY_LOOP[action](both), both.read),
        )
        both.heard += samples_of(block)
        both.read()
        both.now += waited_ms / 1000
        both.read()
    both.check()


@pytest.mark.parametrize("action", BY_LOOP)
@pytest.mark.parametrize(("written", "played"), [(0, 0), (BLOCK, 1), (500, 2)])
def test_a_callback_may_come_anywhere_in_what_the_loop_does(written: int, played: int, action: str) -> None:
    for at in range(LOOP):
        both = Thread2(written, played)
        both.read()
        interrupted(BY_LOOP[action](both), at, both.take)
        both.check()


def test_the_interruptions_really_come_in_the_middle() -> None:
    """What the tests above rest on: before, where it has taken a chunk and not counted it, and after."""
    found: set[tuple[int, int]] = set()
    for at in range(CALLBACK):
        playout = mono()
        playout.write(pcm(*[5] * 500))
        interrupted(
            lambda: taken(playout),  # noqa: B023
            at,
            lambda: found.add((playout.queued, len(playout._queue.chunks))),  # noqa: B023
        )
    assert found == {(500, 1), (500, 0), (500 - BLOCK, 0)}


def test_a_callback_never_waits_for_another() -> None:
    playout = mono()
    playout.write(pcm(*[5] * 500))
    with playout._turn:
        assert taken(playout) == [0] * BLOCK
    assert taken(playout) == [5] * BLOCK


def test_of_two_callbacks_at_once_the_later_gets_silence() -> None:
    """A stream that is given up may call once more while its successor does already."""
    wave, outcomes = list(range(1, 1 + 2 * BLOCK)), set()
    for at in range(CALLBACK):
        playout = mono()
        playout.write(pcm(*wave))
        late: list[list[int]] = []
        block = interrupted(
            lambda: taken(playout),  # noqa: B023
            at,
            lambda: late.append(taken(playout)),  # noqa: B023
        )
        heard = sorted([block, *late])
        assert heard in ([[0] * BLOCK, wave[:BLOCK]], [wave[:BLOCK], wave[BLOCK:]])
        outcomes.add(any(heard[0]))
    assert outcomes == {False, True}


# --- hours ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("off", [-200e-6, 200e-6])
def test_eight_hours_with_a_clock_that_is_off(off: float) -> None:
    """The card's clock is 200 ppm off ours: what is pending stays right, and nothing grows.

    The agent writes as its pump does, a piece whenever less than a lead is pending; blocks and lead are longer
    than they are, which is quicker. Every two minutes it is silent for a while, so that the queue runs dry.
    """
    rate, block, lead, latency_s = 1_000, 400, 800, 0.06
    true_rate = rate * (1 + off)
    playout = mono(rate)
    written: list[tuple[float, int]] = []  # when the last sample of each stretch will have been heard, frames
    worst: dict[int, float] = {}
    longest = handed = 0
    piece = bytes(2 * rate // 10)
    for number in range(int(8 * 3600 * true_rate) // block):
        called_at = number * block / true_rate
        heard_at = called_at + latency_s
        queued = playout.queued
        playout.take(block, heard_at=heard_at, now=called_at)
        if took := queued - playout.queued:
            written.append((heard_at + took / true_rate, took))
        now = called_at + (number % 7) * 0.05
        written = [(end, frames) for end, frames in written if end > now]
        unheard = sum(min(frames, (end - now) * true_rate) for end, frames in written)
        error = abs(playout.pending(now) - playout.queued - unheard)
        hour = int(now) // 3600
        worst[hour] = max(worst.get(hour, 0.0), error)
        while number % 300 < 290 and playout.pending(now) < lead:
            playout.write(piece)
        longest = max(longest, len(playout._queue.chunks), playout.pending(now))
        handed = max(handed, len(playout._queue.progress.handed))
    assert len(worst) == 8
    assert (
        max(worst.values()) <= 1.0 + 200e-6 * block * 2
    )  # a sample, and what the clock is off in what was handed over
    assert worst[7] == pytest.approx(worst[0], abs=0.01)
    assert longest <= lead + len(piece) // 2
    assert handed <= 3
