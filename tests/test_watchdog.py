"""What counts as a lost device, and what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from voicelive_agent._watchdog import CHECK_S, STEADY_CALLS, Signs, Watchdog

BLOCK_S = 0.02


class Life:
    """A stream and its watchdog, looked at every ``CHECK_S`` of a time that only passes here."""

    def __init__(
        self, *, calls: int = STEADY_CALLS, block_s: float = BLOCK_S, silence_s: float | None = None
    ) -> None:
        self.now = 1_000.0
        self.block_s = block_s
        self.signs = Signs(active=True, calls=calls, called_at=self.now)
        self.dog = Watchdog(self.now, block_s=block_s, silence_s=silence_s)

    def lives(self, seconds: float, *, calling: bool = True, sounding: bool = False) -> str | None:
        """Let time pass, and look; the first fault that is found."""
        end = self.now + seconds
        while self.now < end:
            self.now += CHECK_S
            if calling:
                calls = self.signs.calls + round(CHECK_S / self.block_s)
                self.signs = replace(self.signs, calls=calls, called_at=self.now - self.block_s / 2)
            if sounding:
                self.signs = replace(self.signs, sound_at=self.signs.called_at)
            if fault := self.dog.check(self.now, self.signs):
                return fault
        return None

    def sleeps(self, seconds: float) -> str | None:
        """The process does not run, and then looks."""
        self.now += seconds
        return self.dog.check(self.now, self.signs)


def said(fault: str | None, words: str) -> bool:
    return fault is not None and fault.startswith(words)


def test_a_stream_that_calls_is_well() -> None:
    assert Life().lives(3_600) is None


def test_a_stream_that_does_not_call_is_lost_within_a_second() -> None:
    life = Life()
    life.lives(5)
    since = life.now
    assert said(life.lives(5, calling=False), "no audio for 0.")
    assert life.now - since < 0.7


def test_a_stream_that_portaudio_gave_up_is_lost_at_once() -> None:
    life = Life()
    life.signs = replace(life.signs, active=False)
    assert life.lives(CHECK_S) == "its stream has stopped"


def test_a_stream_may_take_its_time_to_begin() -> None:
    """The first blocks come in advance, and then nothing for as long as Bluetooth needs to wake up."""
    life = Life(calls=3)
    assert life.lives(2.9, calling=False) is None
    assert life.lives(3.0) is None


@pytest.mark.parametrize(("calls", "fault"), [(0, "no audio in 3."), (3, "no audio for 3.")])
def test_a_stream_that_does_not_begin_is_lost(calls: int, fault: str) -> None:
    assert said(Life(calls=calls).lives(4.0, calling=False), fault)


def test_long_blocks_come_seldom() -> None:
    life = Life(block_s=0.5)
    assert life.lives(1.9, calling=False) is None
    assert life.lives(0.3, calling=False) is not None


@pytest.mark.parametrize("seconds", [0.6, 60.0, 36_000.0])
def test_a_process_that_was_suspended_accuses_nobody(seconds: float) -> None:
    """Nor one whose loop was blocked together with the audio thread: all of it was late."""
    life = Life()
    life.lives(1)
    assert life.sleeps(seconds) is None
    assert life.lives(0.4, calling=False) is None  # the stream may be slower to wake up than the loop
    assert life.lives(10) is None


def test_a_device_that_is_gone_after_a_sleep_is_found() -> None:
    life = Life()
    life.sleeps(60.0)
    assert said(life.lives(1.0, calling=False), "no audio for 0.")


def test_a_loop_that_is_a_little_late_does_not_forgive() -> None:
    life = Life()
    assert [life.sleeps(CHECK_S + 0.2) is None for _ in range(2)] == [True, False]


# --- silence ---


def test_silence_is_no_fault_unless_somebody_says_so() -> None:
    life = Life()
    life.lives(1, sounding=True)
    assert life.lives(3_600) is None
    assert life.dog.silence(life.signs) == pytest.approx(3_600, abs=1)


def test_silence_after_sound_is_a_loss_for_who_says_so() -> None:
    life = Life(silence_s=0.5)
    life.lives(1, sounding=True)
    since = life.now
    assert said(life.lives(5), "only exact silence for 0.")
    assert life.now - since < 0.7


def test_silence_before_any_sound_is_none() -> None:
    """A microphone that was muted from the beginning, or whose gate is shut, may be a good one."""
    life = Life(silence_s=0.5)
    assert life.lives(60) is None
    assert life.dog.silence(life.signs) == 0.0
    assert life.dog.quiet(life.signs) == pytest.approx(60, abs=1)


def test_a_sleep_is_not_silence() -> None:
    life = Life(silence_s=0.5)
    life.lives(1, sounding=True)
    life.sleeps(60.0)
    assert life.lives(0.4) is None
    assert life.lives(1) is not None
