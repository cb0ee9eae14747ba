"""Keep the audio threads from running for a while, as a long computation that does not let go would."""

from __future__ import annotations

import asyncio
import ctypes
import time

from child import options, read, say

from voicelive_agent.devices import Microphone, Speaker


async def main(path: str, stand_still_s: float, rate: int) -> None:
    captured = 0

    async def listen() -> None:
        nonlocal captured
        async for block in microphone:
            captured += len(block) // microphone.format.frame_bytes

    audio = read(path)
    async with Microphone(rate=rate) as microphone, Speaker(rate=rate) as speaker:
        listening = asyncio.ensure_future(listen())
        await asyncio.sleep(0.3)
        speaker.write(audio)
        await asyncio.sleep(0.3)
        began, before = time.monotonic(), captured
        say(
            "before", underruns=speaker.underruns, overflows=microphone.overflows, dropped_ms=microphone.dropped_ms
        )
        # A function called through PyDLL keeps the interpreter's lock.
        ctypes.PyDLL(None).usleep(round(stand_still_s * 1e6))
        await asyncio.sleep(0.5)
        at, heard = time.monotonic(), len(audio) // 2 - speaker.pending + speaker.in_flight
        speaker.flush()
        say(
            "after",
            elapsed_ms=(at - began) * 1000,
            captured_ms=(captured - before) * 1000 / rate,
            dropped_ms=microphone.dropped_ms,
            heard_ms=heard * 1000 / rate,
            underruns=speaker.underruns,
            overflows=microphone.overflows,
        )
        listening.cancel()


if __name__ == "__main__":
    asyncio.run(main(**options()))
