"""A process that stands still: what the card missed meanwhile is counted, and what was heard is still known."""

from __future__ import annotations

from pathlib import Path

import pytest

from .measure import position_of
from .program import running
from .pulse import Card
from .signals import coded

pytestmark = [pytest.mark.audio, pytest.mark.linux]

RATE = 48_000


@pytest.mark.parametrize("stand_still_s", [0.3, 1.0])
async def test_what_is_missed_is_counted(card: Card, stand_still_s: float, tmp_path: Path) -> None:
    played, path = coded(3.0, RATE), tmp_path / "played.raw"
    path.write_bytes(played.tobytes())
    with card.record() as recorder:
        async with running(card, "starve.py", path=str(path), stand_still_s=stand_still_s, rate=RATE) as program:
            before, after = await program.finish()
        recorder.wait_for(0.1)
        recording = recorder.take()
    assert after["underruns"] > before["underruns"]
    # PulseAudio keeps what a slow program has not fetched: it comes late, and what is too old by then is dropped.
    assert after["captured_ms"] + after["dropped_ms"] - before["dropped_ms"] == pytest.approx(
        after["elapsed_ms"],
        abs=120,  # what lay ready at either end
    )
    # The listener's clock stood still too: what was heard is what the recording ends with.
    end = recording.stretches(pause_s=2 * stand_still_s)[-1][1]
    assert after["heard_ms"] == pytest.approx(position_of(played, recording, end) * 1000 / RATE, abs=30)
