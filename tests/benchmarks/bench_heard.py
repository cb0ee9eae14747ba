"""How true ``heard_ms`` is: people talk over an agent, and the far end knows what was played.

    python -m tests.benchmarks.bench_heard [TRIALS [ROW]]

Run it in the project's directory; by default there are 100 trials. For each far end: the error of the event's
figure, and, of the same interruptions, that of two simpler ways: to take for heard what was sent, and to take for
heard the time since the first audio came. Errors are claimed minus heard, in milliseconds; |p95| and |max| are of
their sizes. "far" is 40 ms away, each way; to the "slow" ones the service speaks at 0.8 of the speed of speech, so
that the listener waits for audio now and then. Whole packets of 20 ms are heard to their end.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import Callable
from functools import partial
from random import Random
from typing import NamedTuple, TypeAlias

from voicelive_agent.emulator import Options

from ..net.barge_in import Trial, storytelling, talk_over
from ..net.far import FarEnd
from ..net.far_acs import FarAcs
from ..net.far_browser import FarBrowser
from ..net.far_twilio import FarTwilio

AT_ONCE = 2
FAR_S = 0.04
SLOW = Options(realtime_factor=0.8)
Make: TypeAlias = Callable[[str], FarEnd]


class Row(NamedTuple):
    """Who is measured."""

    name: str
    kind: str
    make: Make
    delay_s: float = 0.0
    options: Options | None = None


ROWS = [
    Row("page", "browser", FarBrowser),
    Row("page, far", "browser", FarBrowser, FAR_S),
    Row("page, slow", "browser", FarBrowser, options=SLOW),
    Row("Twilio", "twilio", FarTwilio),
    Row("Twilio, far", "twilio", FarTwilio, FAR_S),
    Row("Twilio, slow", "twilio", FarTwilio, options=SLOW),
    Row("Twilio, whole packets", "twilio", partial(FarTwilio, packet_ms=20)),
    Row("Azure CS (estimated)", "acs", FarAcs),
    Row("Azure CS, far (estimated)", "acs", FarAcs, FAR_S),
    Row("Azure CS, slow (estimated)", "acs", FarAcs, options=SLOW),
]


async def measure(row: Row, trials: int) -> list[Trial]:
    """So many interruptions, each at some other time."""
    random = Random(row.name)
    async with storytelling(row.options) as (desk, url):
        several = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> Trial:
            async with several:
                far = row.make(f"{url}{row.kind}-{number}")
                far.delay_s = row.delay_s
                return await talk_over(desk, far, random.uniform(300, 2_500))

        return await asyncio.gather(*(one(number) for number in range(trials)))


def line(name: str, errors: list[float]) -> str:
    """The figures of one way to know."""
    sizes = sorted(abs(error) for error in errors)
    p95 = sizes[max(0, -(-len(sizes) * 95 // 100) - 1)]
    return f"{name:30} {statistics.median(errors):8.1f} {p95:8.1f} {sizes[-1]:8.1f}"


async def main(trials: int, wanted: str) -> None:
    """A table of the rows whose name begins so."""
    print(f"{f'{trials} trials each':30} {'median':>8} {'|p95|':>8} {'|max|':>8}")
    for row in (row for row in ROWS if row.name.startswith(wanted)):
        results = await measure(row, trials)
        assert {trial.estimated for trial in results} == {row.kind == "acs"}
        print(line(row.name, [trial.error for trial in results]))
        print(line("  if sent were heard", [trial.sent - trial.true for trial in results]))
        print(line("  if time were heard", [trial.passed - trial.true for trial in results]), flush=True)


if __name__ == "__main__":
    arguments = dict(enumerate(sys.argv))
    asyncio.run(main(int(arguments.get(1, 100)), arguments.get(2, "")))
