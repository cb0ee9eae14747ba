"""Play a file through a sound card and write down all that its microphone gives meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

from child import options, read, say, write

from voicelive_agent.devices import SoundCard

SETTLED_S = 0.8
"""How far apart microphone and speaker are is learnt from the first 25 blocks."""
PAUSE_S = 0.3


async def main(path: str, heard: str, **settings: Any) -> None:
    captured = bytearray()

    async def listen() -> None:
        async for chunk in card.microphone:
            captured.extend(chunk)

    async with SoundCard(**settings) as card:
        listening = asyncio.ensure_future(listen())
        await asyncio.sleep(SETTLED_S)
        card.speaker.write(read(path))
        await card.speaker.drain()
        await asyncio.sleep(PAUSE_S)
        listening.cancel()
    write(heard, captured)
    say("closed", underruns=card.speaker.underruns, overflows=card.microphone.overflows)


if __name__ == "__main__":
    asyncio.run(main(**options()))
