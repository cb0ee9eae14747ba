"""When a block is heard, in the agent's time."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from voicelive_agent._device_clock import StreamClock


@dataclass
class Moment:
    currentTime: float = 0.0
    inputBufferAdcTime: float = 0.0
    outputBufferDacTime: float = 0.0


OFFSET = 1_700_000_000.0  # PortAudio's clock counts from another day


def test_the_time_at_the_converter_on_our_clock() -> None:
    clock = StreamClock({"output": 0.04})
    at = OFFSET + 10.0
    assert clock.heard_at(10.0, Moment(at, 0.0, at + 0.06)) == pytest.approx(10.06, abs=1e-5)


def test_a_callback_that_is_late_does_not_delay_what_is_heard() -> None:
    """The thread waited for the interpreter; the sound card did not."""
    clock = StreamClock({"output": 0.04})
    clock.heard_at(10.0, Moment(OFFSET + 10.0, 0.0, OFFSET + 10.06))
    late = clock.heard_at(10.035, Moment(OFFSET + 10.02, 0.0, OFFSET + 10.08))
    assert late == pytest.approx(10.08, abs=1e-5)


@pytest.mark.parametrize("jump", [-3_600.0, 3_600.0])
def test_a_clock_that_was_set_does_not_matter_for_long(jump: float) -> None:
    clock = StreamClock({"output": 0.04})
    for number in range(120):
        now = 10.0 + number * 0.02
        current = OFFSET + now + (jump if number >= 30 else 0.0)
        heard_at = clock.heard_at(now, Moment(current, 0.0, current + 0.06))
        assert heard_at == pytest.approx(now + 0.06, abs=0.1 + 1e-5)
    assert heard_at == pytest.approx(now + 0.06, abs=1e-5)


def test_what_is_due_already_is_heard_now() -> None:
    clock = StreamClock({"output": 0.04})
    assert clock.heard_at(10.0, Moment(5.0, 0.0, 4.0)) == 10.0


@pytest.mark.parametrize("moment", [Moment(), Moment(currentTime=5.0), Moment(outputBufferDacTime=5.0)])
def test_a_host_api_without_times_has_its_latency(moment: Moment) -> None:
    latency_s: dict[str, float] = {}
    clock = StreamClock(latency_s)  # type: ignore[arg-type]
    latency_s["output"] = 0.04  # known when the stream is open
    assert clock.heard_at(10.0, moment) == pytest.approx(10.04)


def test_the_way_from_the_microphone_to_the_speaker() -> None:
    clock = StreamClock({"input": 0.02, "output": 0.04})
    assert clock.round_trip(Moment(5.0, 4.98, 5.06)) == pytest.approx(0.08)
    assert clock.round_trip(Moment(5.0, 0.0, 5.06)) == pytest.approx(0.06)
    assert clock.round_trip(Moment(5.0, 4.98, 0.0)) == pytest.approx(0.06)
