"""A control API beside the service's: fault scripts, the open sessions, and what is to go wrong with one now.

    async with serve(extensions=[control]) as server: ...

==========  ===================================  =========================================================
GET         ``/emulator/faults``                 the script, how many connections were tried, the names
PUT         ``/emulator/faults``                 a script as JSON, or ``{"name": "..."}`` of one
DELETE      ``/emulator/faults``                 no faults any more
PUT DELETE  ``/emulator/faults/{name}``          a script that connections ask for by header
GET         ``/emulator/sessions``               the open sessions
POST        ``/emulator/sessions/{number}``      one action, now: ``{"do": "close", "code": 1011}``
==========  ===================================  =========================================================

Open connections keep the faults they began with. Only loopback is answered, and no page of another site.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from aiohttp import web

from ..errors import ConfigurationError
from ._fault_socket import error_response
from .faults import FaultScript, action_of, named_rows
from .server import Server, is_loopback

__all__ = ["control"]

_MAX_NAME = 100
_MAX_SETS = 100
Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


def control(app: web.Application, server: Server) -> None:
    """Add the routes: ``serve(extensions=[control])``."""
    api = _Control(server)
    for method, path, handler in (
        ("GET", "/emulator/faults", api.faults),
        ("PUT", "/emulator/faults", api.set_faults),
        ("DELETE", "/emulator/faults", api.clear_faults),
        ("PUT", "/emulator/faults/{name}", api.add_set),
        ("DELETE", "/emulator/faults/{name}", api.remove_set),
        ("GET", "/emulator/sessions", api.sessions),
        ("POST", "/emulator/sessions/{number}", api.act),
    ):
        app.router.add_route(method, path, _guarded(handler))


def _guarded(handler: Handler) -> Handler:
    """A handler that only this machine reaches; what is wrong with a request is its answer."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        if (why := _stranger(request)) is not None:
            return error_response(403, "403", why)
        try:
            return await handler(request)
        except ConfigurationError as error:
            return error_response(400, "BadRequest", str(error))

    return guarded


def _stranger(request: web.Request) -> str | None:
    """Why a request is not answered. A page's own name may lead here: its Host tells, as the Origin does."""
    if not is_loopback(request.remote or ""):
        return "The control API is for this machine only."
    if not _names_loopback(f"//{request.host}"):
        return f"The Host {request.host!r} is not a name of this machine."
    origin = request.headers.get("Origin")
    if origin is not None and origin not in (f"http://{request.host}", f"https://{request.host}"):
        return f"The control API is not for pages of {origin!r}."
    return None


def _names_loopback(url: str) -> bool:
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False


class _Control:
    def __init__(self, server: Server) -> None:
        self._server = server

    async def faults(self, request: web.Request) -> web.Response:
        plan = self._server.faults
        return web.json_response(
            {
                **plan.script.to_json(),
                "connections": plan.connections,
                "sets": {name: script.to_json() for name, script in plan.sets.items()},
                "names": sorted(named_rows()),
            }
        )

    async def set_faults(self, request: web.Request) -> web.Response:
        given = await _body(request)
        if isinstance(given, dict) and given.keys() == {"name"}:
            self._server.faults.load(self._server.faults.named(str(given["name"])))
        else:
            self._server.faults.load(FaultScript.of(_listed(given)))
        return await self.faults(request)

    async def clear_faults(self, request: web.Request) -> web.Response:
        self._server.faults.load(())
        return await self.faults(request)

    async def add_set(self, request: web.Request) -> web.Response:
        name, sets = request.match_info["name"], self._server.faults.sets
        if len(name) > _MAX_NAME or name.startswith(("[", "{")):
            raise ConfigurationError(f"A name has at most {_MAX_NAME} characters, and begins with no bracket.")
        if len(sets) >= _MAX_SETS and name not in sets:
            raise ConfigurationError(f"There are {_MAX_SETS} named scripts already.", hint="Delete one.")
        sets[name] = FaultScript.of(_listed(await _body(request)))
        return await self.faults(request)

    async def remove_set(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if self._server.faults.sets.pop(name, None) is None:
            return error_response(404, "404", f"There is no script {name!r} to delete.")
        return await self.faults(request)

    async def sessions(self, request: web.Request) -> web.Response:
        described = [
            {"number": info.number, "model": info.model, "query": dict(info.query), "opened_at": info.opened_at}
            for info in (connection.info for connection in self._server.sessions.values())
        ]
        return web.json_response({"sessions": described})

    async def act(self, request: web.Request) -> web.Response:
        number = request.match_info["number"]
        connection = self._server.sessions.get(int(number)) if number.isascii() and number.isdigit() else None
        if connection is None:
            return error_response(404, "404", f"There is no session {number!r}.")
        action = action_of(await _body(request), "action")
        try:
            connection.act(action)
        except ValueError as error:
            raise ConfigurationError(f"action: {error}") from error
        return web.json_response({"done": True})


async def _body(request: web.Request) -> Any:
    try:
        return json.loads(await request.read())
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"The body is not valid JSON: {error}") from error


def _listed(given: object) -> Any:
    """The JSON of a script; no other: a string would be the name of a file."""
    if not isinstance(given, list | dict):
        raise ConfigurationError("A script is a JSON list or object.")
    return given
