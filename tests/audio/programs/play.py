"""Play a file of raw PCM16 and close the speaker, which must not cut off the end."""

from __future__ import annotations

import asyncio
from typing import Any

from child import options, read, say

from voicelive_agent.devices import Speaker


async def main(path: str, **speaker: Any) -> None:
    async with Speaker(**speaker) as opened:
        say("opened", rate=opened.format.rate, latency_ms=opened.latency_ms)
        opened.write(read(path))
    say("closed", underruns=opened.underruns)


if __name__ == "__main__":
    asyncio.run(main(**options()))
