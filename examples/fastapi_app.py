"""A receptionist in a FastAPI application: a page opens a WebSocket to /voice, and talks.

    pip install fastapi "uvicorn[standard]"
    voicelive-agent emulator
    AZURE_VOICELIVE_ENDPOINT=emulator python examples/fastapi_app.py

What the page says and is told are the messages in docs/how-to/websocket.md: 16-bit audio both ways, and a little
JSON for what was heard. `voicelive-agent serve` has a page that speaks them.
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI, WebSocket

from voicelive_agent import VoiceAgent, tool
from voicelive_agent.websocket import Browser, WebSocketAudio

app = FastAPI()


class Receptionist(VoiceAgent):
    instructions = "You are the receptionist of the city library. Be brief."

    @tool
    def opening_hours(self, day: str) -> str:
        """When the library is open on a day of the week."""
        return "closed" if day == "Sunday" else "9 to 17"


@app.websocket("/voice")
async def voice(websocket: WebSocket) -> None:
    """One visitor: a page of this server, and not one of another site that uses its visitors' cookies."""
    origin = websocket.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != websocket.headers["host"]:
        await websocket.close(1008)  # not accepted yet: the answer is 403
        return
    await websocket.accept()
    async with WebSocketAudio(websocket, Browser()) as page:
        await Receptionist.from_env().run(page, page)


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8080")), ws_max_size=65_536)
