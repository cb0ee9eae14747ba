"""The live view over HTTP: the page, its stream of news, one event, and WAV files. For this computer only."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import anyio
from aiohttp import web

from ._sound import EMPTY_WAV, Chunk, mixed, wav

if TYPE_CHECKING:
    from . import LiveView
    from ._record import Record

__all__ = ["add_routes", "serving"]

_EVERY_S: Final = 0.25
"""How often the page hears news, where there are any."""
_STATIC: Final = {
    "index.html": "text/html",
    "style.css": "text/css",
    "favicon.svg": "image/svg+xml",
    **dict.fromkeys(
        ("app.js", "conversation.js", "events.js", "levels.js", "player.js", "sessions.js"), "text/javascript"
    ),
}
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_routes(app: web.Application, view: LiveView) -> None:
    """Add the page at ``/`` and what it needs under ``/view/``."""
    routes = _Routes(view)
    for path, handler in (
        ("/", routes.page),
        ("/view/stream", routes.stream),
        ("/view/sessions/{number:[0-9]{1,9}}/events/{seq:[0-9]{1,12}}", routes.event),
        ("/view/sessions/{number:[0-9]{1,9}}/audio.wav", routes.audio),
        ("/view/{name}", routes.file),
    ):
        app.router.add_get(path, _guarded(handler))
    app.on_shutdown.append(routes.stop)


@asynccontextmanager
async def serving(view: LiveView) -> AsyncIterator[str]:
    """A server with nothing but the page, on a free port of 127.0.0.1; its URL."""
    app = web.Application()
    add_routes(app, view)
    runner = web.AppRunner(app, handle_signals=False, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        with anyio.CancelScope(shield=True):
            await runner.cleanup()


class _Routes:
    def __init__(self, view: LiveView) -> None:
        self._view = view
        self._stopping = asyncio.Event()

    async def stop(self, app: web.Application) -> None:
        """End the streams: a page that is left open does not keep the server from stopping."""
        self._stopping.set()

    async def page(self, request: web.Request) -> web.StreamResponse:
        return _static("index.html")

    async def file(self, request: web.Request) -> web.StreamResponse:
        return _static(request.match_info["name"])

    async def event(self, request: web.Request) -> web.StreamResponse:
        self._view.catch_up()
        record = self._view.record(int(request.match_info["number"]))
        entry = record and record.event(int(request.match_info["seq"]))
        if not entry:
            raise web.HTTPNotFound(text="This event is not kept any more.")
        return web.json_response(entry.body)

    async def audio(self, request: web.Request) -> web.StreamResponse:
        """A WAV file: of one item of the conversation, or of the whole session."""
        self._view.catch_up()
        record = self._view.record(int(request.match_info["number"]))
        if record is None:
            raise web.HTTPNotFound(text="This session is not kept any more.")
        item = request.query.get("item")
        make = functools.partial(mixed, list(record.user.chunks), list(record.agent.chunks))
        body = await asyncio.to_thread(make if item is None else _of_item(record, item))
        if len(body) <= EMPTY_WAV:
            raise web.HTTPNotFound(text="Its audio is not kept any more.")
        name = f"session-{record.info.number}.wav"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return web.Response(body=body, content_type="audio/wav", headers=headers)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: all there is of one session and the list of sessions, then what changes."""
        wanted = request.query.get("session", "")
        number = int(wanted) if re.fullmatch("[0-9]{1,9}", wanted) else None
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **_HEADERS})
        await response.prepare(request)
        news = _News(self._view, number)
        try:
            while not self._stopping.is_set():
                if (encode := news.next()) is not None:
                    await response.write(f"data: {await asyncio.to_thread(encode)}\n\n".encode())
                try:
                    await asyncio.wait_for(self._stopping.wait(), _EVERY_S)
                except TimeoutError:
                    continue
        except ConnectionError:
            pass  # the page is gone
        return response


def _of_item(record: Record, item: str) -> Callable[[], bytes]:
    line = record.line(item)
    if line is None:
        raise web.HTTPNotFound(text="There is no such item.")
    if line.side == "user" and line.start_s is not None:
        end_s = record.user.position_s if line.end_s is None else line.end_s
        return functools.partial(wav, list(record.user.chunks), line.start_s, end_s)
    return functools.partial(wav, [chunk for chunk in record.agent.chunks if chunk.item_id == item])


class _News:
    """What one page has not been told yet."""

    def __init__(self, view: LiveView, number: int | None) -> None:
        self._view = view
        self._number = number
        self._version = -1
        self._seq = self._user = self._agent = 0

    def next(self) -> Callable[[], str] | None:
        """The news, to be made JSON on another thread, as levels take their time; None if there are none."""
        view = self._view
        view.catch_up()
        if view.version == self._version:
            return None
        first, self._version = self._version < 0, view.version
        record = None if self._number is None else view.record(self._number)
        news = {"first": first, "now": time.time(), "sessions": view.summaries()}
        return functools.partial(_encoded, news, *(self._of(record) if record else (None, {})))

    def _of(self, record: Record) -> tuple[dict[str, Any], dict[str, list[Chunk]]]:
        """What is new of the session, and the audio that is new."""
        sound = {"user": record.user.since(self._user), "agent": record.agent.since(self._agent)}
        session = {
            "number": record.info.number,
            "query": dict(record.info.query),
            "events": [entry.to_line() for entry in record.events(self._seq)],
            "lines": record.lines(self._seq),
            "cut": record.cut,
        }
        self._seq, self._user, self._agent = record.seq, record.user.count, record.agent.count
        return session, sound


def _encoded(news: dict[str, Any], session: dict[str, Any] | None, sound: dict[str, list[Chunk]]) -> str:
    if session is not None:
        session["levels"] = {side: [_level(chunk) for chunk in chunks] for side, chunks in sound.items()}
    return json.dumps({**news, "session": session}, separators=(",", ":"))


def _level(chunk: Chunk) -> list[Any]:
    return [chunk.number, round(chunk.at_s, 3), round(chunk.duration_s, 3), chunk.levels]


# --- who may see it -------------------------------------------------------------------------------------------


def _guarded(handler: _Handler) -> _Handler:
    """The handler, for pages of this server on this machine; 403 for all others."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        if (why := _refusal(request)) is not None:
            return web.Response(
                status=403, text=f"The live view is for this computer only: {why}.\n", headers=_HEADERS
            )
        try:
            response = await handler(request)
        except web.HTTPException as error:
            error.headers.update(_HEADERS)
            raise
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    return guarded


def _refusal(request: web.Request) -> str | None:
    """Why a request is not from the page of this server on this machine; None if it is.

    A name of somebody else's may point here (DNS rebinding), so the Host must be a loopback name; any page may
    send requests here, so its Origin, where it has one, must be ours.
    """
    if not _is_loopback(request.remote or ""):
        return "it was asked for from another one"
    if not _is_loopback(_hostname(request.host)):
        return "the Host is not a name of it"
    origin = request.headers.get("Origin")
    if origin is not None and origin != f"http://{request.host}":
        return "the Origin is another page"
    if request.headers.get("Sec-Fetch-Site") == "cross-site" and request.path != "/":
        return "it was asked for by another page"
    return None


def _hostname(host: str) -> str:
    """``[::1]:80`` -> ``::1``."""
    return re.sub(r":[0-9]+$", "", host).removeprefix("[").removesuffix("]").lower()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@functools.cache
def _content(name: str) -> bytes:
    return (files(__package__) / "static" / name).read_bytes()


def _static(name: str) -> web.Response:
    if name not in _STATIC:
        raise web.HTTPNotFound(text="There is no such file.")
    return web.Response(body=_content(name), content_type=_STATIC[name], charset="utf-8")
