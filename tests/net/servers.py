"""Real web servers on loopback, one for each adapter: what answers a WebSocket is a function for all of them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import pytest
from aiohttp import web

from voicelive_agent.websocket import WebSocketLike, from_aiohttp, from_quart, from_starlette, from_websockets

__all__ = ["SERVERS", "Answer", "Serve", "serve_aiohttp", "serve_fastapi", "serve_starlette"]

Answer: TypeAlias = Callable[[WebSocketLike, str], Awaitable[None]]
"""Holds one call, of the kind that the last part of the path names."""
Serve: TypeAlias = Callable[[Answer], AbstractAsyncContextManager[str]]
"""``async with serve(answer) as url``: a WebSocket at this URL and a name is answered."""

SEND_BUFFER = 16 * 1024
"""What the system takes off a server's hands: not megabytes, which hide for a minute that nobody reads."""

MAX_BYTES = 64 * 1024


@asynccontextmanager
async def serve_aiohttp(answer: Answer) -> AsyncIterator[str]:
    """aiohttp.web."""

    async def handle(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(max_msg_size=MAX_BYTES, writer_limit=SEND_BUFFER, compress=False)
        await ws.prepare(request)
        await answer(from_aiohttp(ws), request.match_info["kind"])
        return ws

    app = web.Application()
    app.router.add_get("/{kind}", handle)
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.SockSite(runner, _listener()).start()
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _uvicorn(app: Any) -> AsyncIterator[str]:
    uvicorn = pytest.importorskip("uvicorn")
    listener = _listener()
    config = uvicorn.Config(
        app, log_level="error", ws="websockets-sansio", ws_max_size=MAX_BYTES, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            await asyncio.sleep(0.005)
            if serving.done():
                await serving
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def serve_starlette(answer: Answer) -> AsyncIterator[str]:
    """Starlette on uvicorn."""
    pytest.importorskip("starlette")
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket

    async def handle(ws: WebSocket) -> None:
        await ws.accept()
        await answer(from_starlette(ws), ws.path_params["kind"])

    async with _uvicorn(Starlette(routes=[WebSocketRoute("/{kind}", handle)])) as url:
        yield url


@asynccontextmanager
async def serve_fastapi(answer: Answer) -> AsyncIterator[str]:
    """FastAPI on uvicorn."""
    fastapi = pytest.importorskip("fastapi")
    app = fastapi.FastAPI()

    async def handle(ws: Any) -> None:
        await ws.accept()
        await answer(from_starlette(ws), ws.path_params["kind"])

    handle.__annotations__["ws"] = fastapi.WebSocket
    app.add_api_websocket_route("/{kind}", handle)
    async with _uvicorn(app) as url:
        yield url


@asynccontextmanager
async def serve_websockets(answer: Answer) -> AsyncIterator[str]:
    """``websockets.serve``."""
    pytest.importorskip("websockets")
    from websockets.asyncio.server import ServerConnection, serve

    async def handle(ws: ServerConnection) -> None:
        assert ws.request is not None
        await answer(from_websockets(ws), ws.request.path.removeprefix("/"))

    async with serve(handle, sock=_listener(), max_size=MAX_BYTES, compression=None, close_timeout=2) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"


@asynccontextmanager
async def serve_quart(answer: Answer) -> AsyncIterator[str]:
    """Quart on hypercorn."""
    quart = pytest.importorskip("quart")
    pytest.importorskip("hypercorn")
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    app = quart.Quart(__name__)

    @app.websocket("/<kind>")  # type: ignore[untyped-decorator]
    async def handle(kind: str) -> None:
        await answer(from_quart(quart.websocket), kind)

    listener, over = _listener(), asyncio.Event()
    port = listener.getsockname()[1]
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]  # which it closes
    config.websocket_max_message_size = MAX_BYTES
    config.graceful_timeout = 1.0
    config.errorlog = None
    serving = asyncio.create_task(serve(app, config, shutdown_trigger=over.wait))
    try:
        yield f"ws://127.0.0.1:{port}/"
    finally:
        over.set()
        await serving


def _listener() -> socket.socket:
    """A socket that listens on a free port: nobody who connects from now on is refused."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # of all that it accepts
    listener.setblocking(False)
    return listener


SERVERS: dict[str, Serve] = {
    "starlette": serve_starlette,
    "fastapi": serve_fastapi,
    "aiohttp": serve_aiohttp,
    "websockets": serve_websockets,
    "quart": serve_quart,
}
