"""The web app in a process of its own, that can be killed:  python server.py PORT ENDPOINT"""

from __future__ import annotations

import asyncio
import sys

from voicelive_agent import VoiceAgent
from voicelive_agent.web import create_app
from voicelive_agent.web.aiohttp_app import serving


async def main(port: int, endpoint: str) -> None:
    app = create_app(lambda: VoiceAgent(endpoint, "key", greeting="Good morning!"), title="City library")
    async with serving(app, "127.0.0.1", port) as url:
        print(url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
