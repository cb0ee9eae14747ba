"""The web app on aiohttp.web: one port for the page, its files and its sound."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Final

from aiohttp import web

from ._app import AgentFactory, Answer, WebApp
from ._guard import Guard
from ._visitors import WebLimits

__all__ = ["APP", "create_app"]

APP: Final = web.AppKey("voicelive_agent.web", WebApp)
"""Where the aiohttp application keeps its :class:`WebApp`."""

CLOSE_S: Final = 2.0


def create_app(
    agent_factory: AgentFactory,
    *,
    limits: WebLimits | None = None,
    origins: Iterable[str] = (),
    hosts: Iterable[str] | None = None,
    proxies: int = 0,
    title: str = "Voice agent",
    details: bool = False,
) -> web.Application:
    """An aiohttp application with the page and its WebSocket: run it, or add it to yours with ``add_subapp``.

    ``agent_factory`` makes one agent for each visitor: a subclass of ``VoiceAgent``, or a function. ``origins``
    are further pages that may connect, ``hosts`` the names this server goes by (None: any), ``proxies`` how many
    proxies in front are trusted to say whose request it is. ``details`` tells visitors what went wrong word for
    word. On shutdown nobody is let in, and whoever talks has ``limits.drain_s`` to finish.

    Raises :class:`~voicelive_agent.errors.ConfigurationError`, and what the factory raises.
    """
    guard = Guard.of(origins, hosts, proxies=proxies)
    here = WebApp(agent_factory, limits=limits, guard=guard, title=title, details=details)
    app = web.Application(client_max_size=here.limits.message_bytes)
    app[APP] = here
    app.router.add_get("/ws", _websocket)
    app.router.add_route("*", "/{path:.*}", _http)
    app.on_shutdown.append(_drain)
    return app


async def _http(request: web.Request) -> web.Response:
    return _response(
        request.app[APP].answer(request.method, request.match_info["path"], request.headers, _peer(request))
    )


async def _websocket(request: web.Request) -> web.StreamResponse:
    here = request.app[APP]
    if (refusal := here.refusal(request.headers, _peer(request))) is not None:
        return _response(refusal)
    # Decoded per message: compressing audio costs more than it saves. The heartbeat finds a page that is gone.
    socket = web.WebSocketResponse(
        heartbeat=5.0, max_msg_size=here.limits.message_bytes, compress=False, timeout=CLOSE_S
    )
    if not socket.can_prepare(request):
        return web.Response(status=426, headers={"Upgrade": "websocket"}, text="A WebSocket is expected here.")
    await socket.prepare(request)
    await here.call(socket, request.headers, _peer(request))
    _let_go(request)
    return socket


def _let_go(request: web.Request) -> None:
    """Drop the connection of whoever did not take our last words: else it stays open as long as they like."""
    if (transport := request.transport) is not None and transport.get_write_buffer_size():
        transport.abort()


def _peer(request: web.Request) -> str:
    return request.remote or ""


def _response(answer: Answer) -> web.Response:
    return web.Response(
        status=answer.status, body=answer.body, content_type=answer.content_type, headers=dict(answer.headers)
    )


async def _drain(app: web.Application) -> None:
    await app[APP].drain()


@contextlib.asynccontextmanager
async def serving(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """Serve an application while the block runs; gives its URL. OSError if the port is taken."""
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1.0, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound = runner.addresses[0][1]
        shown = "localhost" if host in ("127.0.0.1", "::1", "localhost") else host
        yield f"http://{shown}:{bound}/"
    finally:
        await runner.cleanup()
