"""The web app without a web framework: what each route answers, and one visitor's call.

Thin shells around it are :mod:`voicelive_agent.web.aiohttp_app` and :mod:`voicelive_agent.web.asgi`.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import logging
import mimetypes
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import anyio

from .._agent import VoiceAgent
from ..config import AgentTarget
from ..errors import ConfigurationError, TransportError, VoiceLiveError
from ..websocket import Hello, Limits, WebSocketAudio, WebSocketClosed, as_websocket
from ._guard import Guard, Refused, security_headers
from ._page import Page
from ._tickets import TicketRefused, Tickets
from ._visitors import Full, Visitors, WebLimits

__all__ = ["AgentFactory", "Answer", "WebApp"]

logger = logging.getLogger("voicelive_agent")

AgentFactory: TypeAlias = Callable[[], VoiceAgent | Awaitable[VoiceAgent]]
"""Makes the agent of one visitor; it may be asynchronous, to look something up first."""

STATIC: Final = Path(__file__).parent / "static"
BUSY: Final = 1013
POLICY: Final = 1008
INTERNAL_ERROR: Final = 1011
RESTART: Final = 1012
"""Service restart: the page comes back by itself, to whatever answers then."""
GOODBYE_S: Final = 5.0
"""The longest that a call may take to end after it was asked to."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an HTTP request is answered with."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


class WebApp:
    """One server: its visitors, its limits, its page.

    ``agent_factory`` makes an agent for each visitor. It is called here too, so that what cannot work is found
    out when the server starts. ``details`` tells visitors what went wrong in the words of the exception, which is
    for developers. Raises what the factory raises; ConfigurationError if it gives the same agent twice, or none.
    """

    def __init__(
        self,
        agent_factory: AgentFactory,
        *,
        limits: WebLimits | None = None,
        guard: Guard | None = None,
        title: str = "Voice agent",
        details: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits: WebLimits = limits or WebLimits()
        self.guard: Guard = guard or Guard()
        self.title = title
        self.details = details
        self._make = agent_factory
        self._visitors = Visitors(self.limits)
        self._tickets = Tickets(clock, lifetime_s=self.limits.ticket_s)
        self._calls: set[WebSocketAudio[Hello]] = set()
        self._left = anyio.Event()  # somebody has
        self._config = _in_force(agent_factory)
        _load()
        self._files = {path.name: _file(path) for path in STATIC.iterdir() if path.is_file()}

    @property
    def sessions(self) -> int:
        """Calls that are being held."""
        return len(self._visitors)

    # --- what is asked for over HTTP ---

    def answer(self, method: str, path: str, headers: Mapping[str, str], peer: str) -> Answer:
        """The answer to any request but the WebSocket's. ``path`` is relative to where the app is mounted."""
        answer = self._route(method, path.lstrip("/"), headers, peer)
        extra = {**security_headers(headers.get("Host", "")), **answer.headers}
        return Answer(answer.status, answer.body, answer.content_type, extra)

    def _route(self, method: str, path: str, headers: Mapping[str, str], peer: str) -> Answer:
        if path == "health":  # before the guard: a platform asks by address
            return self._only("GET", method) or self._health()
        try:
            self.guard.check_host(headers.get("Host", ""))
            if path == "start":
                return self._only("POST", method) or self._start(headers, peer)
        except Refused as refused:
            logger.warning("Refused a request of %s: %s.", peer, refused)
            return _error(403, "forbidden", "This page may not talk to this server.")
        if path == "config":
            return self._only("GET", method) or _json(200, {"title": self.title, "values": self._config})
        name = path.removeprefix("static/") or "index.html"
        if (file := self._files.get(name)) is not None and (path.startswith("static/") or not path):
            return self._only("GET", method) or file
        return _error(404, "not_found", "There is nothing here.")

    def _only(self, allowed: str, method: str) -> Answer | None:
        if method == allowed or (allowed == "GET" and method == "HEAD"):
            return None
        return Answer(405, b"", headers={"Allow": allowed})

    def _health(self) -> Answer:
        status = "draining" if self._visitors.draining else "ok"
        return _json(200, {"status": status, "sessions": self.sessions, "limit": self.limits.sessions})

    def _start(self, headers: Mapping[str, str], peer: str) -> Answer:
        self.guard.check(headers)
        address = self.guard.address(peer, headers)
        try:
            self._visitors.check(address)
        except Full as full:
            return _error(503, full.code, full.message, retry_after_s=30)
        return _json(200, {"ticket": self._tickets.issue(address), "session_s": self.limits.session_s})

    # --- the WebSocket ---

    def refusal(self, headers: Mapping[str, str], peer: str) -> Answer | None:
        """The answer to a WebSocket handshake that is not for us, or that there is no place for."""
        try:
            self.guard.check(headers)
            self._visitors.check(self.guard.address(peer, headers))
        except Refused as refused:
            logger.warning("Refused a WebSocket of %s: %s.", peer, refused)
            return _error(403, "forbidden", "This page may not talk to this server.")
        except Full as full:
            return _error(503, full.code, full.message, retry_after_s=30)
        return None

    async def call(self, websocket: object, headers: Mapping[str, str], peer: str) -> None:
        """Hold one visitor's call on a WebSocket that is open. Whatever happens is told and logged, not raised."""
        address = self.guard.address(peer, headers)
        try:
            with self._visitors.admit(address):
                async with WebSocketAudio(websocket, Page(details=self.details), limits=self._limits()) as audio:
                    await self._talk(audio, address)
        except Full as full:
            await _close(websocket, BUSY, full.message)
        except (TransportError, WebSocketClosed) as error:
            logger.info("The call of %s ended: %s", address, error)
        finally:
            self._left.set()

    async def _talk(self, audio: WebSocketAudio[Hello], address: str) -> None:
        try:
            self._tickets.redeem(audio.start.ticket, address)
        except TicketRefused as refused:
            await audio.close(POLICY, str(refused))
            return
        try:
            made = self._make()
            agent = await made if inspect.isawaitable(made) else made
        except Exception:
            logger.exception("The agent of a visitor could not be made.")
            await audio.close(INTERNAL_ERROR, "The agent could not be made.")
            return
        self._calls.add(audio)
        try:
            await agent.run(audio, audio)
        except TransportError:
            raise
        except VoiceLiveError as error:  # the page knows already: that was an event
            logger.warning("The call of %s failed: %s", address, error)
        except Exception:
            logger.exception("The call of %s failed.", address)
            await audio.close(INTERNAL_ERROR, "The agent failed.")
        finally:
            self._calls.discard(audio)

    def _limits(self) -> Limits:
        limits = self.limits
        return Limits(
            max_message_bytes=limits.message_bytes,
            bytes_per_s=limits.bytes_per_s,
            idle_s=limits.idle_s,
            start_s=limits.start_s,
            session_s=limits.session_s,
        )

    # --- the end ---

    async def drain(self) -> None:
        """Let nobody in, let those who talk finish within ``drain_s``, and send the rest to the next server."""
        self._visitors.draining = True
        with anyio.move_on_after(self.limits.drain_s):
            await self._empty()
        with anyio.move_on_after(GOODBYE_S):
            async with anyio.create_task_group() as tasks:
                for audio in self._calls:
                    tasks.start_soon(audio.close, RESTART, "The server is being restarted.")
            await self._empty()

    async def _empty(self) -> None:
        while self.sessions:
            self._left = anyio.Event()
            await self._left.wait()


def _load() -> None:
    """The SDK, and what converts audio: 0.15 s that the first visitor would wait for otherwise."""
    from .. import _pcm, _service  # noqa: F401


# --- what is answered --------------------------------------------------------------------------------------------


def _json(status: int, content: object, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, json.dumps(content).encode(), headers=headers or {})


def _error(status: int, code: str, message: str, *, retry_after_s: int | None = None) -> Answer:
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return _json(status, {"error": {"code": code, "message": message}}, headers)


def _file(path: Path) -> Answer:
    kind = "text/javascript" if path.suffix == ".js" else mimetypes.guess_type(path.name)[0]
    return Answer(200, path.read_bytes(), kind or "application/octet-stream")


async def _close(websocket: object, code: int, reason: str) -> None:
    with contextlib.suppress(WebSocketClosed):  # then it needs no closing
        await as_websocket(websocket).close(code, reason)


# --- the configuration -------------------------------------------------------------------------------------------


def _in_force(agent_factory: AgentFactory) -> list[tuple[str, str]]:
    """What the page shows of the configuration: never a key, a header, a query, or the instructions."""
    first = agent_factory()
    if inspect.iscoroutine(first):
        first.close()
        return []  # it may look up whatever is the visitor's
    if not isinstance(first, VoiceAgent):
        raise ConfigurationError(
            f"agent_factory gave a {type(first).__name__}, not a VoiceAgent.",
            hint="Pass a subclass of VoiceAgent, or a function that makes one.",
        )
    if agent_factory() is first:
        raise ConfigurationError(
            "agent_factory gave the same agent twice, and every visitor needs one of their own.",
            hint="Pass a subclass of VoiceAgent, or a function that makes a new one each time.",
        )
    settings = first._settings  # no property: that name is for subclasses to use
    target, session = settings.target, settings.session.to_session()
    turns = session.get("turn_detection")
    return [
        ("service", _host(settings.endpoint)),
        ("credential", _kind(settings.credential)),
        ("answers", target.agent if isinstance(target, AgentTarget) else target.model),
        ("voice", _named(session.get("voice"))),
        ("turn detection", "by hand" if turns is None else _named(turns)),
        ("tools", ", ".join(first._tools) or "none"),
    ]


def _kind(credential: object) -> str:
    """What kind of credential it is, and nothing of it."""
    if credential is None:
        return "Microsoft Entra, or none on this machine"
    return "key" if isinstance(credential, str) or hasattr(credential, "key") else "Microsoft Entra"


def _host(endpoint: object) -> str:
    """Of a URL no more than its host: the rest may be a secret."""
    return (urlsplit(endpoint).hostname or "") if isinstance(endpoint, str) else type(endpoint).__name__


def _named(value: object) -> str:
    """A setting's name, of an object the field that names it."""
    if isinstance(value, Mapping):
        return str(value.get("name") or value.get("type") or "")
    return str(value or "the model's own")
