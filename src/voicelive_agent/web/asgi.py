"""The web app on Starlette, to be mounted into an application of FastAPI or Starlette (extra ``asgi``).

app.mount("/talk", create_asgi_app(Receptionist.from_env))
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING

from ..errors import ConfigurationError
from ._app import AgentFactory, WebApp
from ._guard import Guard
from ._visitors import WebLimits

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.websockets import WebSocket

__all__ = ["create_asgi_app"]


def create_asgi_app(
    agent_factory: AgentFactory,
    *,
    limits: WebLimits | None = None,
    origins: Iterable[str] = (),
    hosts: Iterable[str] | None = None,
    proxies: int = 0,
    title: str = "Voice agent",
    details: bool = False,
) -> Starlette:
    """The same page and socket as :func:`voicelive_agent.web.create_app`, with the same arguments.

    Its :class:`~voicelive_agent.web.WebApp` is ``app.state.web``. A mounted application gets no lifespan events:
    call ``await app.state.web.drain()`` in that of yours. Give the server the limit of a message as well, with
    uvicorn's ``ws_max_size``. ConfigurationError if Starlette is not installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.responses import Response as Reply
        from starlette.routing import Route, WebSocketRoute
    except ImportError as error:
        raise ConfigurationError(
            "create_asgi_app needs Starlette.", hint='pip install "voicelive-agent[asgi]"'
        ) from error

    here = WebApp(
        agent_factory,
        limits=limits,
        guard=Guard.of(origins, hosts, proxies=proxies),
        title=title,
        details=details,
    )

    async def http(request: Request) -> Response:
        answer = here.answer(request.method, request.path_params["path"], request.headers, _peer(request.client))
        headers = {**answer.headers, "Content-Type": answer.content_type}
        return Reply(answer.body, answer.status, headers)

    async def websocket(socket: WebSocket) -> None:
        peer = _peer(socket.client)
        if here.refusal(socket.headers, peer) is not None:
            await socket.close(1008)  # before it is accepted: the server answers 403
            return
        await socket.accept()
        await here.call(socket, socket.headers, peer)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await here.drain()

    methods = ["GET", "HEAD", "POST"]
    app = Starlette(
        routes=[WebSocketRoute("/ws", websocket), Route("/{path:path}", http, methods=methods)], lifespan=lifespan
    )
    app.state.web = here
    return app


def _peer(client: object) -> str:
    return str(getattr(client, "host", ""))
