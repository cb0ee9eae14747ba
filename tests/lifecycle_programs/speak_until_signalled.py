"""Let an agent speak into a file until a signal comes: the URL of the service and the file are the arguments."""

from __future__ import annotations

import asyncio
import sys

import anyio

from voicelive_agent import State, StateChanged, VoiceAgent, WavSink
from voicelive_agent.testing import MemorySource


class Talkative(VoiceAgent):
    greeting = "One two three four five six seven eight nine ten. " * 10

    async def on_state_changed(self, event: StateChanged) -> None:
        if event.new is State.SPEAKING:
            await anyio.sleep(0.3)
            print("SPEAKING", flush=True)


async def main(url: str, path: str) -> None:
    silence = [bytes(960)] * 3_000  # a minute of somebody who says nothing
    async with WavSink(path) as listener:
        try:
            await Talkative(url).run(MemorySource(*silence), listener)
        finally:
            print("PENDING", listener.pending, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
