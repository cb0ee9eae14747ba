"""A sound card: how soon it is silent, how true its clock is, how long the microphone takes to the network.

    python tests/benchmarks/bench_devices.py [TRIALS]

On the virtual sound card of tests/audio, where everything is recorded with the time at which it was heard. Beside
ours, the usual way: a callback that takes whole deltas from a queue, which an interruption empties. TRIALS are 100
unless given.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from audio.measure import LOSSES, Flushes, echo, flushes, interruptions, lose, p95, sendings
from audio.pulse import Card, missing
from audio.recording import find
from audio.signals import coded

RATE = 48_000
ECHO_S = 10.0
LOSS_TRIALS = 5


def row(name: str, values: Iterable[float], limit: str = "") -> None:
    """The middle, the 95th of a hundred and the worst of some milliseconds."""
    ordered = sorted(values)
    figures = f"{statistics.median(ordered):8.1f} {p95(ordered):8.1f} {ordered[-1]:8.1f}"
    print(f"{name:58}{figures}  {limit}", flush=True)


def rows(way: str, measured: Flushes) -> None:
    """The figures of one way to silence a speaker."""
    trials = measured.trials
    row(
        f"{way}: flush to silence",
        (trial.silent_ms for trial in trials),
        f"latency + block + 10: {measured.allowed_ms:.0f}",
    )
    row(f"{way}: error of what was heard", (abs(trial.told_ms - trial.heard_ms) for trial in trials))
    clicks = sum(trial.clicks > 1.15 for trial in trials)
    print(f"{way}: {clicks} of {len(trials)} end with a click; underruns: {measured.underruns}", flush=True)


async def measure(card: Card, folder: Path, trials: int) -> None:
    print(f"{trials} trials; ms{'':49}{'p50':>8} {'p95':>8} {'max':>8}")
    ours = await flushes(card, folder, trials)
    rows("speaker", ours)
    usual = await flushes(card, folder, trials, program="queue_player.py", rate=24_000)
    rows("usual way", usual)
    ratio = statistics.median(trial.silent_ms for trial in usual.trials) / statistics.median(
        trial.silent_ms for trial in ours.trials
    )
    print(f"usual way / speaker: {ratio:.1f} times as long until it is silent")
    cuts = await interruptions(card, trials)
    row("agent interrupted: flush to silence", (cut.silent_ms for cut in cuts), f"at most {ours.allowed_ms:.0f}")
    row("agent interrupted: error of heard_ms", (abs(cut.error_ms) for cut in cuts), "at most 30")
    sent = await sendings(card, trials)
    row("click in the room to the microphone's callback", (click.room_ms for click in sent))
    row("callback to the agent's socket", (click.wire_ms for click in sent), "at most 1")
    row("callback to the service", (click.service_ms for click in sent))
    await measure_echo(card, folder)
    for loss in LOSSES:
        lost = [await lose(new_folder(folder), loss) for _ in range(min(trials, LOSS_TRIALS))]
        row(f"{loss}, to DeviceLost", (1000 * each.noticed_s for each in lost), "at most 1000")


async def measure_echo(card: Card, folder: Path) -> None:
    """How well the client's echo reference fits."""
    played = coded(ECHO_S, RATE)
    heard = await echo(card, folder, played, RATE)
    begin, _ = find(heard.reference, played)
    end = begin + len(played)
    exact = "is" if heard.reference[begin:end].tobytes() == played.tobytes() else "IS NOT"
    print(f"the echo reference {exact} what was played, bit by bit", flush=True)
    row("reference to echo, in each quarter of a second", heard.lags_ms(begin, end))


def new_folder(folder: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=folder))


def main() -> None:
    if lacking := missing():
        sys.exit(f"There is no virtual sound card on this machine: {lacking}")
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory() as folder, Card(Path(folder)) as card:
        asyncio.run(measure(card, Path(folder), trials))


if __name__ == "__main__":
    main()
