"""The web app as both of its shells serve it, and a visitor who speaks its protocol."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from voicelive_agent import VoiceAgent
from voicelive_agent.web import WebApp, create_app, create_asgi_app
from voicelive_agent.web.aiohttp_app import APP, serving

SILENCE = bytes(960)  # 20 ms


@dataclass
class Site:
    """A web app that is being served."""

    url: str
    app: WebApp
    client: ClientSession
    stop: Callable[[], None] = lambda: None

    @property
    def origin(self) -> str:
        return "/".join(self.url.split("/")[:3])

    async def ticket(self) -> str:
        async with self.client.post(self.url + "start", headers={"Origin": self.origin}) as response:
            assert response.status == 200, await response.text()
            return str((await response.json())["ticket"])

    def connect(self, **headers: str) -> Any:
        return self.client.ws_connect(self.url + "ws", headers={"Origin": self.origin} | headers)

    async def health(self) -> dict[str, Any]:
        async with self.client.get(self.url + "health") as response:
            found: dict[str, Any] = await response.json()
            return found

    @asynccontextmanager
    async def visitor(self, **hello: Any) -> AsyncIterator[Visitor]:
        """Somebody with a ticket, a microphone and a speaker."""
        hello = {"type": "hello", "rate": 24_000, "ticket": await self.ticket()} | hello
        async with self.connect() as ws:
            visitor = Visitor(ws)
            await ws.send_json(hello)
            tasks = [asyncio.ensure_future(work()) for work in (visitor.listen, visitor.speak)]
            try:
                yield visitor
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class Visitor:
    """What a page does: speaks, plays, and says what it has played."""

    ws: ClientWebSocketResponse
    messages: list[dict[str, Any]] = field(default_factory=list)
    heard: bytearray = field(default_factory=bytearray)
    says: list[bytes] = field(default_factory=list)
    _generation: int = 0
    _played: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self) -> None:
        async for message in self.ws:
            if message.type is WSMsgType.BINARY:
                self.heard += message.data
                self._played += len(message.data) // 2
                await self.ws.send_json(
                    {"type": "played", "samples": self._played, "generation": self._generation}
                )
            else:
                content = json.loads(message.data)
                if content["type"] == "flush":
                    self._generation, self._played = content["generation"], 0
                self.messages.append(content)
            self._news.set()
        self._news.set()

    async def speak(self) -> None:
        while not self.ws.closed:
            await self.ws.send_bytes(self.says.pop(0) if self.says else SILENCE)
            await asyncio.sleep(0.02)

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until this holds after a message."""
        async with asyncio.timeout(20):
            while not holds():
                assert not self.ws.closed, f"closed with {self.ws.close_code} after {self.messages}"
                self._news.clear()
                await self._news.wait()

    async def state(self, state: str) -> None:
        await self.until(lambda: any(message["state"] == state for message in self.all("state")))

    async def closed(self) -> int | None:
        """Wait for the end; its code."""
        async with asyncio.timeout(20):
            while not self.ws.closed:
                self._news.clear()
                await self._news.wait()
        return self.ws.close_code


@asynccontextmanager
async def on_aiohttp(factory: Callable[[], VoiceAgent], **options: Any) -> AsyncIterator[Site]:
    app = create_app(factory, **options)
    async with serving(app, "127.0.0.1", 0) as url, ClientSession() as client:
        yield Site(url, app[APP], client)


@asynccontextmanager
async def on_starlette(factory: Callable[[], VoiceAgent], **options: Any) -> AsyncIterator[Site]:
    """Mounted below a prefix, as in an application of somebody's own."""
    uvicorn = pytest.importorskip("uvicorn")
    from starlette.applications import Starlette
    from starlette.routing import Mount

    talk = create_asgi_app(factory, **options)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    config = uvicorn.Config(
        Starlette(routes=[Mount("/talk", talk)]), log_level="error", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:  # noqa: ASYNC110  (uvicorn has no event for it)
            await asyncio.sleep(0.005)
        async with ClientSession() as client:
            yield Site(f"http://127.0.0.1:{listener.getsockname()[1]}/talk/", talk.state.web, client)
    finally:
        server.should_exit = True
        await running


Serve: TypeAlias = Callable[..., AbstractAsyncContextManager[Site]]
SERVERS: dict[str, Serve] = {"aiohttp": on_aiohttp, "starlette": on_starlette}
