"""Silence a speaker in the middle of a tone, again and again, and say when."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

from child import options, read, say

from voicelive_agent.devices import Speaker

PAUSE_S = 0.14


async def main(path: str, trials: int, seed: int, **speaker: Any) -> None:
    chance = random.Random(seed)
    tone = read(path)
    async with Speaker(**speaker) as opened:
        block_ms = speaker.get("block_ms", 20)
        say("opened", rate=opened.format.rate, latency_ms=opened.latency_ms, block_ms=block_ms)
        await asyncio.sleep(PAUSE_S)
        for _ in range(trials):
            opened.write(tone)
            await asyncio.sleep(chance.uniform(0.15, 0.3))
            at, in_flight = time.monotonic(), opened.in_flight
            heard = len(tone) // opened.format.frame_bytes - opened.pending + in_flight
            opened.flush()
            assert opened.pending == 0
            ms = 1000 / opened.format.rate
            say("flush", at=at, told_ms=heard * ms, in_flight_ms=in_flight * ms)
            await asyncio.sleep(PAUSE_S)
        say("closing", underruns=opened.underruns)


if __name__ == "__main__":
    asyncio.run(main(**options()))
