"""A server in front of the real service, or of another emulator: it passes everything on and lets observers watch.

Whatever one side does happens to the other: frames unchanged and in order, close codes and reasons, the loss of
the connection. A handshake that the upstream refuses is refused with the same status, headers and body.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

import aiohttp
import anyio
from aiohttp import WSCloseCode, WSMsgType, web
from yarl import URL

from ..errors import ConfigurationError
from ._fault_socket import error_response
from ._redact import Redactor
from .observers import ConnectionInfo, Observer, Observers
from .recording import OtherFrame, parsed
from .server import is_loopback

__all__ = ["Proxy", "serve_proxy"]

_MAX_MESSAGE = 16 * 1024 * 1024
_MAX_BODY = 64 * 1024
_CLOSE_TIMEOUT_S = 2.0
_SCHEMES = {"https": "https", "wss": "https", "http": "http", "ws": "http"}
_OF_ONE_LEG = {
    "connection",
    "content-encoding",
    "content-length",
    "date",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
_log = logging.getLogger("voicelive_agent.emulator")
_Socket: TypeAlias = "web.WebSocketResponse | aiohttp.ClientWebSocketResponse"


class Proxy:
    """A running proxy. ``url`` is the endpoint to give to a client."""

    def __init__(
        self,
        upstream: URL,
        observers: Sequence[Observer],
        *,
        max_message_bytes: int,
        connect_timeout_s: float,
        heartbeat_s: float | None,
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        self.url = ""
        self.upstream: str = str(upstream)
        self._upstream = upstream
        self._observers = Observers(observers)
        self._watched = bool(observers)
        self._max_message_bytes = max_message_bytes
        self._connect_timeout_s = connect_timeout_s
        self._heartbeat_s = heartbeat_s
        self._ssl: ssl.SSLContext | bool = ssl_context or True
        self._accepted = 0
        self._open = 0
        self._stopping = asyncio.Event()

    @property
    def connections(self) -> int:
        """How many connections are passed on at the moment."""
        return self._open

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Do the handshake with the upstream first; serve the client only if that succeeds."""
        client = self._socket()
        if not client.can_prepare(request):
            return error_response(400, "BadRequest", "A WebSocket upgrade is expected here.")
        answers = _Answers()
        timeout = aiohttp.ClientTimeout(total=None, connect=self._connect_timeout_s)
        async with aiohttp.ClientSession(
            timeout=timeout,
            trace_configs=[answers.trace()],
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
        ) as session:
            try:
                async with asyncio.timeout(self._connect_timeout_s):
                    upstream = await self._connect(session, request)
            except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
                return answers.refusal or _unreachable(self._upstream, error)
            client = self._socket((upstream.protocol,) if upstream.protocol else ())
            client.headers.extend(answers.headers)
            try:
                await self._serve(request, client, upstream)
            finally:
                answers.drop()
        return client

    def _socket(self, protocols: Sequence[str] = ()) -> web.WebSocketResponse:
        return web.WebSocketResponse(
            timeout=_CLOSE_TIMEOUT_S,
            autoclose=False,
            compress=False,
            max_msg_size=self._max_message_bytes,
            protocols=protocols,
        )

    async def _connect(
        self, session: aiohttp.ClientSession, request: web.Request
    ) -> aiohttp.ClientWebSocketResponse:
        query = request.rel_url.raw_query_string
        path = self._upstream.raw_path.rstrip("/") + request.rel_url.raw_path
        url = URL(f"{self._upstream.origin()}{path}{'?' if query else ''}{query}", encoded=True)
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        return await session.ws_connect(
            url,
            headers=_passed_on(request.headers),
            protocols=[name.strip() for name in offered.split(",") if name.strip()],
            autoclose=False,
            heartbeat=self._heartbeat_s,
            max_msg_size=self._max_message_bytes,
            timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_TIMEOUT_S),
            ssl=self._ssl,
        )

    async def _serve(
        self, request: web.Request, client: web.WebSocketResponse, upstream: aiohttp.ClientWebSocketResponse
    ) -> None:
        try:
            await client.prepare(request)
        except ConnectionError:  # the client has gone while the upstream was being asked
            await upstream.close(code=WSCloseCode.GOING_AWAY)
            return
        self._accepted += 1
        self._open += 1
        try:
            info = ConnectionInfo.of(self._accepted, Redactor().query(request.query), time.time())
            observers = self._observers if self._watched else None
            await _Relay(request, client, upstream, info, observers, self._stopping).run()
        finally:
            self._open -= 1

    def stop(self) -> None:
        """Say good-bye on both sides of every connection."""
        self._stopping.set()


@dataclass(frozen=True, slots=True)
class _End:
    """How one side ended. ``code`` is None where it was lost without a close frame."""

    by: _Socket | None
    """None: the proxy itself."""
    code: int | None = None
    reason: str = ""


class _Relay:
    """Passes the frames of one connection on, both ways, until either side ends it."""

    def __init__(
        self,
        request: web.Request,
        client: web.WebSocketResponse,
        upstream: aiohttp.ClientWebSocketResponse,
        info: ConnectionInfo,
        observers: Observers | None,
        stopping: asyncio.Event,
    ) -> None:
        self._request = request
        self._client = client
        self._upstream = upstream
        self._info = info
        self._observers = observers
        self._stopping = stopping
        self._now = asyncio.get_running_loop().time

    async def run(self) -> None:
        """Until either side ends, or the proxy is stopped."""
        if self._observers:
            self._observers.opened(self._info, self._now())
        tasks = [
            asyncio.create_task(self._up()),
            asyncio.create_task(self._down()),
            asyncio.create_task(self._stopped()),
        ]
        end = _End(None, WSCloseCode.GOING_AWAY, "the proxy is shutting down")
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            # Where both ended, what the upstream said last is not to be lost.
            end = next(task for task in reversed(tasks[:2]) if task in done).result() if done - {tasks[2]} else end
        finally:
            await self._finish(end, tasks)

    async def _finish(self, end: _End, tasks: list[asyncio.Task[_End]]) -> None:
        for task in tasks:
            task.cancel()
        try:
            # First: aiohttp waits for the answer to a close frame only where no other task reads.
            await asyncio.wait(tasks)
            await self._pass_on(end)
        finally:
            if self._observers:
                if end.by is self._upstream:
                    self._observers.sent(
                        self._info, OtherFrame("lost" if end.code is None else "close"), self._now()
                    )
                self._observers.closed(self._info, end.code, end.reason, self._now())

    async def _up(self) -> _End:
        """From the client to the upstream."""
        while True:
            message = await self._client.receive()
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return _end_of(self._client, message)
            if self._observers:
                self._observers.received(self._info, message.data, self._now())
            await _send(self._upstream, message)

    async def _down(self) -> _End:
        """From the upstream to the client."""
        while True:
            message = await self._upstream.receive()
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return _end_of(self._upstream, message)
            if await _send(self._client, message) and self._observers:
                event = parsed(message.data)
                seen = OtherFrame.of(message.data) if event is None else event
                self._observers.sent(self._info, seen, self._now())

    async def _stopped(self) -> _End:
        await self._stopping.wait()
        return _End(None)

    async def _pass_on(self, end: _End) -> None:
        """End the other side in the same way, then answer the one that began with the other's answer."""
        sides: tuple[_Socket, ...] = (self._client, self._upstream)
        others = [side for side in sides if side is not end.by]
        if end.code is None:
            # The upstream's is dropped when the handler returns. What was sent to the client still arrives.
            if self._client in others and self._request.transport is not None:
                self._request.transport.close()
            return
        message = end.reason.encode()
        await asyncio.gather(*(side.close(code=end.code, message=message) for side in others))
        if end.by is not None:
            await end.by.close(code=_sendable(others[0].close_code, end.code), message=b"")


async def _send(side: _Socket, message: aiohttp.WSMessage) -> bool:
    """Whether the frame could be handed over; waits while the other side takes no more.

    A side that takes nothing any more has said why, and whoever reads from it comes to that.
    """
    try:
        if message.type is WSMsgType.TEXT:
            await side.send_str(message.data)
        else:
            await side.send_bytes(message.data)
    except ConnectionError:
        return False
    return True


def _end_of(side: _Socket, message: aiohttp.WSMessage) -> _End:
    """What a frame that carries no data says about its side."""
    if message.type is WSMsgType.CLOSE:
        # A frame without a code is shown as 0, and 1000 is what comes nearest to it.
        return _End(side, _sendable(message.data, WSCloseCode.OK), message.extra or "")
    if message.type is WSMsgType.ERROR and isinstance(message.data, aiohttp.WebSocketError):
        return _End(side, _sendable(message.data.code, WSCloseCode.PROTOCOL_ERROR), str(message.data)[:100])
    return _End(side)


def _sendable(code: int | None, otherwise: int) -> int:
    """A code that may stand in a close frame."""
    if code is None or code in (1004, 1005, 1006, 1015) or not 1000 <= code <= 4999:
        return otherwise
    return code


class _Answers:
    """What the upstream answered to the handshake, which the exception for a refused one does not tell."""

    def __init__(self) -> None:
        self._response: aiohttp.ClientResponse | None = None
        self.headers: list[tuple[str, str]] = []
        self.refusal: web.Response | None = None

    def trace(self) -> aiohttp.TraceConfig:
        """What has to be given to the session."""
        config = aiohttp.TraceConfig()
        config.on_request_end.append(self._answered)
        config.on_request_redirect.append(self._redirected)
        return config

    def drop(self) -> None:
        """End the upstream's connection without a close frame, unless it has ended."""
        assert self._response is not None
        self._response.close()

    async def _answered(
        self, session: aiohttp.ClientSession, context: object, params: aiohttp.TraceRequestEndParams
    ) -> None:
        self._response = response = params.response
        self.headers = _passed_on(response.headers)
        if response.status == 101:
            return
        body = bytearray()
        try:
            while len(body) < _MAX_BODY and (part := await response.content.read(_MAX_BODY - len(body))):
                body += part
        except aiohttp.ClientError:
            pass  # the status alone says that it is refused
        self.refusal = web.Response(status=response.status, body=bytes(body), headers=self.headers)

    async def _redirected(
        self, session: aiohttp.ClientSession, context: object, params: aiohttp.TraceRequestRedirectParams
    ) -> None:
        status = params.response.status
        params.response.close()
        message = (
            f"The upstream answered with a redirection ({status}), which is refused: the key would go with it."
        )
        self.refusal = error_response(502, "BadGateway", message)
        raise aiohttp.ClientError(message)


def _passed_on(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """The headers that mean something to the other side."""
    return [
        (name, value)
        for name, value in headers.items()
        if name.lower() not in _OF_ONE_LEG and not name.lower().startswith("sec-websocket-")
    ]


def _unreachable(upstream: URL, error: Exception) -> web.Response:
    why = str(error) if isinstance(error, aiohttp.ClientConnectionError) else ""
    reason = "it did not answer in time" if isinstance(error, TimeoutError) else why or type(error).__name__
    message = f"The proxy could not reach {upstream.origin()}: {reason}."
    _log.warning("%s", message)
    return error_response(502, "BadGateway", message)


def _parsed_upstream(upstream: str) -> URL:
    try:
        url = URL(upstream)
        scheme, extra = _SCHEMES.get(url.scheme), bool(url.raw_query_string or url.raw_fragment)
    except ValueError as error:
        raise ConfigurationError(
            f"The upstream {upstream!r} is not a URL: {error}.", hint=_UPSTREAM_HINT
        ) from error
    if scheme is None or not url.host:
        raise ConfigurationError(f"The upstream {upstream!r} is not a URL of a service.", hint=_UPSTREAM_HINT)
    if url.user is not None or url.password is not None or extra:
        raise ConfigurationError(
            "The upstream is more than an endpoint: it has a user, a query or a fragment.", hint=_UPSTREAM_HINT
        )
    return url.with_scheme(scheme)


_UPSTREAM_HINT = "Give the endpoint alone, like https://NAME.services.ai.azure.com; keys are the client's to send."


@asynccontextmanager
async def serve_proxy(
    upstream: str,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    observers: Iterable[Observer] = (),
    allow_remote: bool = False,
    max_message_bytes: int = _MAX_MESSAGE,
    connect_timeout_s: float = 30.0,
    heartbeat_s: float | None = 30.0,
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncIterator[Proxy]:
    """Pass connections on to ``upstream`` (``https://...`` or ``http://...``) while the ``async with`` lasts.

    Path, query and headers of a handshake go on as they are, the client's key included; the upstream's certificate
    is checked as usual (``ssl_context`` for an authority of your own) and redirections are refused. Frames larger
    than ``max_message_bytes`` close the connection (1009). Pings are answered on either side; the upstream is also
    sent one every ``heartbeat_s`` seconds, and is lost if it does not answer. Raises ConfigurationError for an
    upstream that is not an endpoint, and for a host that is not loopback unless ``allow_remote``: whoever reaches
    the proxy reaches the service. Raises OSError where the port is taken.
    """
    if not allow_remote and not is_loopback(host):
        raise ConfigurationError(
            f"The proxy would listen on {host}, where other machines reach it.",
            hint="Use 127.0.0.1, or allow_remote=True if that is wanted.",
        )
    proxy = Proxy(
        _parsed_upstream(upstream),
        tuple(observers),
        max_message_bytes=max_message_bytes,
        connect_timeout_s=connect_timeout_s,
        heartbeat_s=heartbeat_s,
        ssl_context=ssl_context,
    )
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", proxy.handle)
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=2 * _CLOSE_TIMEOUT_S)
    try:
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        name = f"[{host}]" if ":" in host else host
        proxy.url = f"http://{name}:{runner.addresses[0][1]}"
        yield proxy
    finally:
        with anyio.CancelScope(shield=True):
            proxy.stop()
            await runner.cleanup()
