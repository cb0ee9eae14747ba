"""A real MCP server on loopback: the official package behind uvicorn, in a thread of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from starlette.types import ASGIApp, Receive, Scope, Send


class Tools:
    """What the server offers, and what was asked of it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""

    def server(self) -> MCPServer:
        server = MCPServer("library", log_level="CRITICAL")

        @server.tool()
        def find_book(title: str) -> str:
            """Find a book by its title."""
            self.calls.append(("find_book", {"title": title}))
            return f"{title}: shelf 7"

        @server.tool()
        def borrow(title: str, days: int = 14) -> dict[str, Any]:
            """Borrow a book."""
            self.calls.append(("borrow", {"title": title, "days": days}))
            return {"title": title, "days": days}

        @server.tool()
        def burn(title: str) -> str:
            """Never works."""
            self.calls.append(("burn", {"title": title}))
            raise ToolError("Books do not burn here.")

        return server


class Watched:
    """The server's app, with the headers of each request noted, and a token wanted where there is one."""

    def __init__(self, app: ASGIApp, tools: Tools, token: str | None) -> None:
        self._app = app
        self._tools = tools
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            self._tools.headers.append(headers)
            if self._token is not None and headers.get("authorization") != f"Bearer {self._token}":
                await send({"type": "http.response.start", "status": 401, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
        await self._app(scope, receive, send)


@contextmanager
def serving(*, sse: bool = False, token: str | None = None, tools: Tools | None = None) -> Iterator[Tools]:
    """A server with its tools; ``url`` is where it is. It is stopped, and its thread has ended, afterwards."""
    tools = tools or Tools()
    server = tools.server()
    app = server.sse_app() if sse else server.streamable_http_app()
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        Watched(app, tools, token), log_level="critical", timeout_graceful_shutdown=1, ws="none"
    )
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    tools.url = f"http://127.0.0.1:{listening.getsockname()[1]}/{'sse' if sse else 'mcp'}"
    try:
        yield tools
    finally:
        running.should_exit = True
        thread.join(10)
        listening.close()
        assert not thread.is_alive()
