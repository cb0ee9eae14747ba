"""A Voice Live that answers with the very bytes it was sent, from the first one on: nothing is decoded here.

It speaks just enough of the protocol for a call of one answer, and hears no turns in it. Whatever is appended is
one audio delta of that answer, until ``limit`` bytes were echoed: audio that comes back changed was changed on its
way.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import WSMsgType, web

__all__ = ["EchoService", "echoing"]

PATH = "/voice-live/realtime"
ITEM = {"id": "msg_echo", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
RESPONSE: dict[str, Any] = {
    "id": "resp_echo",
    "status": "in_progress",
    "status_details": None,
    "output": [],
    "usage": None,
}
PART = {"response_id": "resp_echo", "item_id": "msg_echo", "output_index": 0, "content_index": 0}


class EchoService:
    """What it was sent: ``session`` as the client wanted it, ``heard`` all audio, ``echoed`` what it answered."""

    def __init__(self, limit: int) -> None:
        self.url = ""
        self.session: dict[str, Any] = {}
        self.heard = bytearray()
        self.echoed = bytearray()
        self.done = asyncio.Event()
        self._limit = limit
        self._numbers = itertools.count(1)

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """One session."""
        socket = web.WebSocketResponse(max_msg_size=0, compress=False)
        await socket.prepare(request)
        await self._say(socket, "session.created", session={"id": "sess_echo"})
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await self._receive(socket, json.loads(message.data))
        return socket

    async def _receive(self, socket: web.WebSocketResponse, message: dict[str, Any]) -> None:
        match message["type"]:
            case "session.update":
                self.session |= message["session"]
                await self._say(socket, "session.updated", session={"id": "sess_echo", **self.session})
            case "input_audio_buffer.append":
                if not self.heard:
                    await self._begin(socket)
                self.heard += base64.b64decode(message["audio"], validate=True)
                await self._echo(socket)
            case _:
                pass

    async def _begin(self, socket: web.WebSocketResponse) -> None:
        await self._say(socket, "response.created", response=RESPONSE)
        added = {"response_id": "resp_echo", "output_index": 0, "item": ITEM}
        await self._say(socket, "response.output_item.added", **added)
        await self._say(socket, "conversation.item.created", previous_item_id="", item=ITEM)
        part = {"type": "audio", "transcript": ""}
        await self._say(socket, "response.content_part.added", **PART, part=part)

    async def _echo(self, socket: web.WebSocketResponse) -> None:
        """Answer what was not yet answered, and end the answer when it is long enough."""
        audio = bytes(self.heard[len(self.echoed) : self._limit])
        if not audio:
            return
        self.echoed += audio
        await self._say(socket, "response.audio.delta", **PART, delta=base64.b64encode(audio).decode())
        if len(self.echoed) == self._limit:
            await self._end(socket)
            self.done.set()

    async def _end(self, socket: web.WebSocketResponse) -> None:
        item = {**ITEM, "status": "completed", "content": [{"type": "audio", "transcript": "echo"}]}
        await self._say(socket, "response.audio_transcript.done", **PART, transcript="echo")
        await self._say(socket, "response.audio.done", **PART)
        await self._say(socket, "response.output_item.done", response_id="resp_echo", output_index=0, item=item)
        await self._say(socket, "response.done", response={**RESPONSE, "status": "completed", "output": [item]})

    async def _say(self, socket: web.WebSocketResponse, type: str, **content: Any) -> None:
        await socket.send_json({"type": type, "event_id": f"event_{next(self._numbers)}", **content})


@asynccontextmanager
async def echoing(limit: int) -> AsyncIterator[EchoService]:
    """Serve it on loopback; ``limit`` is how many bytes are echoed."""
    service = EchoService(limit)
    app = web.Application()
    app.router.add_get(PATH, service.handle)
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        service.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield service
    finally:
        await runner.cleanup()
