"""The web app in a process of its own, that can be killed:  python server.py PORT ENDPOINT"""

from __future__ import annotations

import asyncio
import signal
import sys

from voicelive_agent import VoiceAgent
from voicelive_agent.web import WebLimits, create_app
from voicelive_agent.web.aiohttp_app import serving


async def main(port: int, endpoint: str) -> None:
    def make_agent() -> VoiceAgent:
        return VoiceAgent(endpoint, "key", greeting="Good morning!")

    app = create_app(make_agent, title="City library", limits=WebLimits(drain_s=0.5))
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with serving(app, "127.0.0.1", port) as url:
        print(url, flush=True)
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
