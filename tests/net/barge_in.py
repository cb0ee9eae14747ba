"""A person talks over the agent: what the agent says was heard, and what was."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from voicelive_agent import Interrupted
from voicelive_agent.emulator import Options, serve

from ..agent_driver import LONG, Recorder
from .desk import Desk
from .far import FarEnd
from .kinds import KINDS
from .servers import serve_aiohttp

__all__ = ["Trial", "storytelling", "talk_over"]


@dataclass(frozen=True, slots=True)
class Trial:
    """Milliseconds of a story: ``claimed`` by the event, ``true`` by the listener's line.

    And what simpler programs take for the truth: what was ``sent``, and the time ``passed`` since it began to be.
    """

    claimed: float
    true: float
    sent: float
    passed: float
    estimated: bool
    late: float
    """The worst delay of the event loop in the last moments before: nobody in it could know anything sooner."""

    @property
    def error(self) -> float:
        """How much more was claimed than heard."""
        return self.claimed - self.true


LAST_MOMENTS_S = 0.3
PACE_S = 0.005


class Lateness:
    """How late this event loop is, all the time."""

    def __init__(self) -> None:
        self._delays: deque[tuple[float, float]] = deque(maxlen=round(LAST_MOMENTS_S / PACE_S))

    async def watch(self) -> None:
        """Look for ever."""
        while True:
            due = time.monotonic() + PACE_S
            await asyncio.sleep(PACE_S)
            self._delays.append((now := time.monotonic(), now - due))

    @property
    def worst_ms(self) -> float:
        """The longest delay of the last moments."""
        since = time.monotonic() - LAST_MOMENTS_S
        return max((1000 * delay for at, delay in self._delays if at >= since), default=0.0)


@asynccontextmanager
async def storytelling(options: Options | None = None) -> AsyncIterator[tuple[Desk, str]]:
    """Agents that tell a long story to everybody who calls at this URL and a name."""
    async with serve(options=options) as emulator:
        desk = Desk(lambda: Recorder(emulator.url, greeting=LONG))
        async with serve_aiohttp(desk.answer) as url:
            yield desk, url


async def talk_over(desk: Desk, far: FarEnd, after_ms: float) -> Trial:
    """Listen for so long, say something, and hang up as soon as the agent is silent."""
    name, lateness = far.url.rpartition("/")[2], Lateness()
    async with far:
        watching = asyncio.create_task(lateness.watch())
        await far.heard(after_ms)
        speaking = asyncio.create_task(far.say(KINDS[name.partition("-")[0]].speech(2_000)))
        await far.until(lambda: far.cuts)
        late_ms = lateness.worst_ms
        for task in (speaking, watching):
            task.cancel()
        await asyncio.wait([speaking, watching])
    call = await desk.ended(name)
    assert call.error is None, call.error
    event, cut = call.agent.all(Interrupted)[0], far.cuts[0]
    heard, received = far.ms(cut.heard), far.ms(cut.received)
    return Trial(event.heard_ms, heard, received, cut.after_s * 1000, event.heard_estimated, late_ms)
