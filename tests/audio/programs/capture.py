"""Write what a microphone hears to a file of raw PCM16, for some seconds."""

from __future__ import annotations

import asyncio
from typing import Any

from child import options, say, write

from voicelive_agent.devices import Microphone


async def main(path: str, seconds: float, **microphone: Any) -> None:
    async with Microphone(**microphone) as opened:
        wanted = round(seconds * opened.format.rate) * opened.format.frame_bytes
        captured = bytearray()
        sizes = set()
        async for chunk in opened:
            if not captured:
                say("listening", rate=opened.format.rate, channels=opened.format.channels)
            captured += chunk
            sizes.add(len(chunk))
            if len(captured) >= wanted:
                break
    write(path, captured)
    say("captured", sizes=sorted(sizes), overflows=opened.overflows)


if __name__ == "__main__":
    asyncio.run(main(**options()))
