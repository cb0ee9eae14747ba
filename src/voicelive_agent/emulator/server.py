"""The emulated service behind its URL: an aiohttp shell that adds sockets, a clock and threads, but no opinions.

Each connection has one task that reads and one that sends what is due; blocking work runs on two threads for all.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TypeAlias

import anyio
from aiohttp import WSCloseCode, WSMsgType, web

from ..errors import ConfigurationError
from ._options import Job, Options
from .observers import ConnectionInfo, Observer, Observers
from .protocols import Brain, Ears, Voice
from .scripted import EnergyEars, ScriptedBrain, ToneVoice
from .session import EmulatorSession

__all__ = ["Extension", "MakeSession", "Server", "serve"]

MakeSession: TypeAlias = Callable[[str, Mapping[str, str]], EmulatorSession]
"""``make_session(model, query)`` returns the session of a new connection."""
Extension: TypeAlias = "Callable[[web.Application, Server], None]"
"""Adds routes of its own to the emulator's server, before it starts: a live view, a control API."""

PATH = "/voice-live/realtime"
_MAX_MESSAGE = 16 * 1024 * 1024
_WORKERS = 2
_CLOSE_TIMEOUT_S = 2.0
_AGENT_KEYS = ("agent-name", "agent-id", "agent_id")
_log = logging.getLogger("voicelive_agent.emulator")


class Server:
    """A running emulator. ``url`` is the endpoint to give to a client."""

    def __init__(self, make_session: MakeSession, api_key: str | None, observers: Iterable[Observer] = ()) -> None:
        self._make_session = make_session
        self._api_key = api_key
        self._observers = Observers(observers)
        self._accepted = 0
        self._workers = _Workers()
        self._sockets: set[web.WebSocketResponse] = set()
        self.url = ""

    @property
    def connections(self) -> int:
        """How many sessions are open."""
        return len(self._sockets)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a handshake, and serve the session it opens."""
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        socket = web.WebSocketResponse(max_msg_size=_MAX_MESSAGE, timeout=_CLOSE_TIMEOUT_S, compress=False)
        if not socket.can_prepare(request):
            return _error(400, "BadRequest", "A WebSocket upgrade is expected at this path.")
        # Before the upgrade: what plug-ins raise here is an HTTP error.
        session = self._make_session(request.query.get("model", ""), dict(request.query))
        try:
            await socket.prepare(request)
        except ConnectionError:  # the client has gone while it was being let in
            return socket
        self._sockets.add(socket)
        try:
            self._accepted += 1
            info = ConnectionInfo.of(self._accepted, request.query, time.time())
            await _Connection(socket, session, self._workers, info, self._observers).run()
        finally:
            self._sockets.discard(socket)
        return socket

    def _refusal(self, request: web.Request) -> web.Response | None:
        """The HTTP error for a handshake that the service would not accept."""
        query = request.query
        key = request.headers.get("api-key") or query.get("api-key")
        token = request.headers.get("Authorization") or query.get("Authorization")
        if not key and not token:
            return _error(401, "401", "Access denied: neither an api-key nor an Authorization header was sent.")
        if key and self._api_key is not None and not hmac.compare_digest(key.encode(), self._api_key.encode()):
            return _error(401, "401", "Access denied due to invalid subscription key.")
        if not query.get("api-version"):
            return _error(400, "BadRequest", "The query parameter 'api-version' is required.")
        if not query.get("model") and not any(query.get(name) for name in _AGENT_KEYS):
            return _error(400, "BadRequest", "The query parameter 'model' is required without an agent.")
        return None

    async def close(self) -> None:
        """Say good-bye to every client, then wait for what the threads are doing."""
        message = b"the server is shutting down"
        closing = [socket.close(code=WSCloseCode.GOING_AWAY, message=message) for socket in self._sockets]
        await asyncio.gather(*closing)
        await self._workers.close()


class _Workers:
    """Two threads; the code of one plug-in runs on one of them at a time."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="voicelive-emulator")
        self._tasks: set[asyncio.Task[None]] = set()
        self._locks: dict[int, _CountedLock] = {}

    def submit(self, job: Job, deliver: Callable[[object], None], wanted: Callable[[], bool]) -> None:
        """Run a job when its plug-in is free, unless it is not ``wanted`` any more by then."""
        # A task of the server, not of the connection: a plug-in stays locked until its thread is done.
        task = asyncio.create_task(self._perform(job, deliver, wanted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _perform(self, job: Job, deliver: Callable[[object], None], wanted: Callable[[], bool]) -> None:
        key = id(job.owner)
        counted = self._locks.setdefault(key, _CountedLock())
        counted.users += 1
        try:
            async with counted.lock:
                if not wanted():
                    return
                result = await asyncio.get_running_loop().run_in_executor(self._pool, _outcome, job)
        finally:
            counted.users -= 1
            if not counted.users:
                del self._locks[key]
        if wanted():
            deliver(result)

    async def close(self) -> None:
        """Wait for the threads without holding up the loop; one that hangs is named and left behind."""
        running = set(self._tasks)
        hanging = (await asyncio.wait(running, timeout=_CLOSE_TIMEOUT_S))[1] if running else set()
        if hanging:
            _log.warning("%d job(s) of the emulator's plug-ins still run; they are abandoned.", len(hanging))
        self._pool.shutdown(wait=not hanging, cancel_futures=True)


class _CountedLock:
    """A lock that is forgotten when nobody uses it."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0


def _outcome(job: Job) -> object:
    try:
        return job.run()
    except Exception as error:  # noqa: BLE001  plug-in code: the session tells the client
        return error


class _Connection:
    """Drives one session: the clock is the loop's."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        session: EmulatorSession,
        workers: _Workers,
        info: ConnectionInfo,
        observers: Observers,
    ) -> None:
        self._socket = socket
        self._session = session
        self._workers = workers
        self._info = info
        self._observers = observers
        self._reason = ""
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._open = True

    async def run(self) -> None:
        """Until either side closes."""
        self._observers.opened(self._info, self._loop.time())
        self._session.start(self._loop.time(), unix_time=time.time())
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._send())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._open = False
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._observers.closed(self._info, self._socket.close_code, self._reason, self._loop.time())
        for task in tasks:
            if not task.cancelled():
                task.result()

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                now = self._loop.time()
                self._observers.received(self._info, message.data, now)
                self._session.receive(message.data, now)
                self._changed.set()

    async def _send(self) -> None:
        """Send what is due, hand out work, and sleep until there is more."""
        now = self._loop.time()
        while self._open:
            self._changed.clear()
            try:
                for event in self._session.poll(now):
                    await self._socket.send_str(json.dumps(event, separators=(",", ":")))
                    self._observers.sent(self._info, event, self._loop.time())
            except ConnectionError:
                return  # the client is gone, which the reader finds out too
            if self._session.closing:
                code, self._reason = self._session.closing
                await self._socket.close(code=code, message=self._reason.encode())
                return
            for job in self._session.jobs():
                self._workers.submit(job, partial(self._finish, job), lambda: self._open)
            now = await self._sleep(self._session.deadline)

    def _finish(self, job: Job, result: object) -> None:
        self._session.finish(job, result, self._loop.time())
        self._changed.set()

    async def _sleep(self, deadline: float | None) -> float:
        """Until the deadline, or until something changed; the time to poll at."""
        if deadline is not None and deadline <= self._loop.time():
            await asyncio.sleep(0)
            return self._loop.time()
        try:
            async with asyncio.timeout_at(deadline):
                await self._changed.wait()
        except TimeoutError:
            # A coarse clock (15 ms on Windows) wakes a little early; what is due then is due now.
            return max(self._loop.time(), deadline or 0.0)
        return self._loop.time()


def _error(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"error": {"code": code, "message": message}}, status=status)


async def _not_found(request: web.Request) -> web.Response:
    return _error(404, "404", "Resource not found")


def _is_loopback(host: str) -> bool:
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
    options: Options | None = None,
    observers: Iterable[Observer] = (),
    extensions: Iterable[Extension] = (),
    allow_remote: bool = False,
) -> AsyncIterator[Server]:
    """Serve emulated sessions at ``/voice-live/realtime`` while the ``async with`` lasts; port 0 takes a free one.

    All sessions share ``ears``, ``brain`` and ``voice``; a ``make_session`` decides on these and the ``options``
    itself. With ``api_key`` any other key is refused; bearer tokens are never checked. Raises ConfigurationError
    for a host that is not loopback, unless ``allow_remote``, and OSError where the port is taken. The
    ``observers`` are told what crosses every socket; ``extensions`` add routes.
    """
    if not allow_remote and not _is_loopback(host):
        raise ConfigurationError(
            f"The emulator would listen on {host}, where other machines reach it.",
            hint="Use 127.0.0.1, or allow_remote=True if that is wanted.",
        )
    plugs = (ears or EnergyEars(), brain or ScriptedBrain(), voice or ToneVoice())

    def default(model: str, query: Mapping[str, str]) -> EmulatorSession:
        ears, brain, voice = plugs
        return EmulatorSession(model=model, query=query, ears=ears, brain=brain, voice=voice, options=options)

    server = Server(make_session or default, api_key, observers)
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
