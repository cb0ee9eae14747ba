"""What an interruption says was heard, compared with what the far end really played."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from .barge_in import Trial, storytelling, talk_over
from .kinds import KINDS

pytestmark = [pytest.mark.usefixtures("nothing_left"), pytest.mark.e2e, pytest.mark.alone]

TRIALS, AT_ONCE = 10, 3
WITHIN_MS = 20.0


async def interruptions(kind: str) -> list[Trial]:
    """Ten people who interrupt at different times, three at once."""
    random = Random(kind)
    async with storytelling() as (desk, url), asyncio.timeout(50):
        several = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> Trial:
            async with several:
                far = KINDS[kind].far(f"{url}{kind}-{number}")
                return await talk_over(desk, far, random.uniform(400, 2_000))

        return await asyncio.gather(*(one(number) for number in range(TRIALS)))


@pytest.mark.parametrize("kind", ["browser", "twilio"])
async def test_what_was_heard_is_the_truth(kind: str) -> None:
    trials = await interruptions(kind)
    # An event loop that was late cannot know better, by that much, and a machine may be busy in other ways once in
    # a while; but somebody who guesses is wrong all the time. The benchmark has the figures of a quiet machine.
    true = [abs(trial.error) <= WITHIN_MS + trial.late for trial in trials]
    assert sum(true) >= TRIALS * 8 // 10, [(round(trial.error), round(trial.late)) for trial in trials]
    assert not any(trial.estimated for trial in trials)
    assert all(trial.sent - trial.true > 5 * WITHIN_MS for trial in trials)


async def test_where_nothing_confirms_it_is_an_estimate_and_says_so() -> None:
    trials = await interruptions("acs")
    errors = sorted(abs(trial.error) for trial in trials)
    assert all(trial.estimated for trial in trials)
    assert errors[TRIALS * 6 // 10] <= 5 * WITHIN_MS, errors
    # Paced: what StopAudio has to catch is never much.
    assert all(trial.sent - trial.true < 10 * WITHIN_MS for trial in trials)
