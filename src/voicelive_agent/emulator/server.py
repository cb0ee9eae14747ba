"""The emulated service behind its URL: an aiohttp shell around sessions, with sockets but without opinions."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

import anyio
from aiohttp import WSCloseCode, web

from ..errors import ConfigurationError
from ._agents import check_query
from ._errors import ClientError
from ._fault_socket import abort, error_response, redirected, refused
from ._options import Options
from ._workers import Workers
from .faults import FAULTS_HEADER, ConnectionFaults, FaultPlan, FaultSource, Redirect, Refuse
from .mcp import HttpMcpClient, McpClient
from .observers import ConnectionInfo, Observer, Observers
from .protocols import Brain, Ears, Voice
from .scripted import EnergyEars, ScriptedBrain, ToneVoice
from .server_connection import Connection, Session
from .session import EmulatorSession

__all__ = ["Extension", "MakeSession", "Server", "Session", "is_loopback", "serve"]

MakeSession: TypeAlias = Callable[[str, Mapping[str, str]], Session]
"""``make_session(model, query)`` returns the session of a new connection."""
Extension: TypeAlias = "Callable[[web.Application, Server], None]"
"""Adds routes of its own to the emulator's server, before it starts: a live view, a control API."""

PATH = "/voice-live/realtime"
_MAX_MESSAGE = 16 * 1024 * 1024
_CLOSE_TIMEOUT_S = 2.0
_WORK_TIMEOUT_S = 2.0
_AGENT_KEYS = ("agent-name", "agent-id", "agent_id")
_GONE_CHECK_S = 0.05


class Server:
    """A running emulator. ``url`` is the endpoint to give to a client, ``faults`` what goes wrong on purpose."""

    def __init__(
        self,
        make_session: MakeSession,
        api_key: str | None,
        observers: Iterable[Observer] = (),
        faults: FaultSource = (),
    ) -> None:
        self._make_session = make_session
        self._api_key = api_key
        self._observers = Observers(observers)
        self._accepted = 0
        self._workers = Workers()
        self._open: dict[int, Connection] = {}
        self._ending = asyncio.Event()
        self.faults: FaultPlan = FaultPlan(faults)
        self.url = ""

    @property
    def connections(self) -> int:
        """How many sessions are open."""
        return len(self._open)

    @property
    def sessions(self) -> Mapping[int, Connection]:
        """The open sessions by the numbers of their connections."""
        return dict(self._open)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a handshake, and serve the session it opens."""
        wanted = request.headers.get(FAULTS_HEADER)
        if wanted is not None and not is_loopback(request.remote or ""):
            return error_response(403, "403", f"{FAULTS_HEADER} is honoured on loopback only.")
        try:
            faults = self.faults.connection(wanted)
        except ConfigurationError as error:
            return error_response(400, "BadRequest", str(error))
        answer = await self._spoiled(request, faults) or self._refusal(request)
        if answer is not None:
            return answer
        socket = web.WebSocketResponse(
            max_msg_size=_MAX_MESSAGE, timeout=_CLOSE_TIMEOUT_S, compress=False, autoping=False
        )
        if not socket.can_prepare(request):
            return error_response(400, "BadRequest", "A WebSocket upgrade is expected at this path.")
        # Before the upgrade: what plug-ins raise here is an HTTP error.
        session = self._make_session(request.query.get("model", ""), dict(request.query))
        try:
            await socket.prepare(request)
        except ConnectionError:  # the client has gone while it was being let in
            return socket
        transport = request.transport
        if transport is not None:
            await self._serve(socket, transport, session, request.query, faults)
        return socket

    async def _serve(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.BaseTransport,
        session: Session,
        query: Mapping[str, str],
        faults: ConnectionFaults,
    ) -> None:
        self._accepted += 1
        info = ConnectionInfo.of(self._accepted, query, time.time())
        connection = Connection(socket, transport, session, self._workers, info, self._observers, faults)
        self._open[info.number] = connection
        try:
            await connection.run()
        finally:
            del self._open[info.number]

    async def _spoiled(self, request: web.Request, faults: ConnectionFaults) -> web.Response | None:
        """The answer to a handshake that is to go wrong; None, perhaps after a while, where it goes on."""
        for action in faults.handshake():
            if isinstance(action, Refuse):
                return refused(action)
            if isinstance(action, Redirect):
                return redirected(action)
            if not await self._hang(request, action.for_s):
                return error_response(503, "ServiceUnavailable", "Nobody is there to read this.")
        return None

    async def _hang(self, request: web.Request, for_s: float | None) -> bool:
        """Leave a handshake without an answer for a while; whether its client is still there then."""
        loop = asyncio.get_running_loop()
        until = None if for_s is None else loop.time() + for_s
        while (transport := request.transport) is not None and not transport.is_closing():
            if self._ending.is_set():
                abort(transport)
                return False
            # aiohttp tells nobody that the client of an unanswered request has gone: look from time to time.
            check = loop.time() + _GONE_CHECK_S
            with suppress(TimeoutError):
                async with asyncio.timeout_at(check if until is None else min(check, until)):
                    await self._ending.wait()
            if until is not None and loop.time() >= until:
                return True
        return False

    def _refusal(self, request: web.Request) -> web.Response | None:
        """The HTTP error for a handshake that the service would not accept."""
        query = request.query
        key = request.headers.get("api-key") or query.get("api-key")
        token = request.headers.get("Authorization") or query.get("Authorization")
        if not key and not token:
            return error_response(
                401, "401", "Access denied: neither an api-key nor an Authorization header was sent."
            )
        if key and self._api_key is not None and not hmac.compare_digest(key.encode(), self._api_key.encode()):
            return error_response(401, "401", "Access denied due to invalid subscription key.")
        agent = any(query.get(name) for name in _AGENT_KEYS)
        if agent and not token:
            return error_response(
                401, "401", "Access denied: an agent needs a Microsoft Entra token, not an api-key."
            )
        if not query.get("api-version"):
            return error_response(400, "BadRequest", "The query parameter 'api-version' is required.")
        if not query.get("model") and not agent:
            return error_response(400, "BadRequest", "The query parameter 'model' is required without an agent.")
        try:
            check_query(query)
        except ClientError as error:
            return error_response(400, "BadRequest", error.message)
        return None

    async def close(self) -> None:
        """Say good-bye to every client, then wait for what the threads are doing."""
        self._ending.set()
        closing = [
            connection.close(WSCloseCode.GOING_AWAY, "the server is shutting down")
            for connection in self._open.values()
        ]
        await asyncio.gather(*closing)
        await self._workers.close(_WORK_TIMEOUT_S)


async def _not_found(request: web.Request) -> web.Response:
    return error_response(404, "404", "Resource not found")


def is_loopback(host: str) -> bool:
    """Whether this host name or address is this machine's own."""
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


@asynccontextmanager
async def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    make_session: MakeSession | None = None,
    api_key: str | None = None,
    ears: Ears | None = None,
    brain: Brain | None = None,
    voice: Voice | None = None,
    mcp: McpClient | None = None,
    options: Options | None = None,
    observers: Iterable[Observer] = (),
    extensions: Iterable[Extension] = (),
    faults: FaultSource = (),
    allow_remote: bool = False,
) -> AsyncIterator[Server]:
    """Serve emulated sessions at ``/voice-live/realtime`` while the ``async with`` lasts; port 0 takes a free one.

    All sessions share ``ears``, ``brain``, ``voice`` and ``mcp`` (by default the official client, where it is
    installed); a ``make_session`` decides on these and the ``options`` itself. With ``api_key`` any other key is
    refused; bearer tokens are never checked. Raises ConfigurationError for a host that is not loopback, unless
    ``allow_remote``, and OSError where the port is taken. The ``observers`` are told what crosses every socket;
    ``extensions`` add routes. The ``faults`` happen to every connection that does not ask for its own in the
    header ``x-voicelive-faults``; ConfigurationError names what is wrong with them.
    """
    if not allow_remote and not is_loopback(host):
        raise ConfigurationError(
            f"The emulator would listen on {host}, where other machines reach it.",
            hint="Use 127.0.0.1, or allow_remote=True if that is wanted.",
        )
    plugs = (ears or EnergyEars(), brain or ScriptedBrain(), voice or ToneVoice(), mcp or HttpMcpClient())

    def default(model: str, query: Mapping[str, str]) -> EmulatorSession:
        ears, brain, voice, mcp = plugs
        return EmulatorSession(
            model=model, query=query, ears=ears, brain=brain, voice=voice, mcp=mcp, options=options
        )

    server = Server(make_session or default, api_key, observers, faults)
    app = web.Application()
    app.router.add_get(PATH, server.handle)
    for extend in extensions:
        extend(app, server)
    app.router.add_route("*", "/{tail:.*}", _not_found)
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=_CLOSE_TIMEOUT_S)
    try:
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        name = f"[{host}]" if ":" in host else host
        server.url = f"http://{name}:{runner.addresses[0][1]}"
        yield server
    finally:
        with anyio.CancelScope(shield=True):
            await server.close()
            await runner.cleanup()
