"""Faults below the events: refused handshakes, and what no WebSocket does to its TCP connection by itself."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys

from aiohttp import web

from ._fault_actions import Redirect, Refuse

__all__ = ["abort", "error_response", "freeze", "redirected", "refused", "reset"]

_BODIES = {
    400: ("BadRequest", "The request is invalid."),
    401: ("401", "Access denied due to invalid subscription key or wrong API endpoint."),
    403: ("403", "The principal lacks the required data action, or public access is disabled."),
    404: ("404", "Resource not found"),
    409: ("agent_disabled", "The agent is disabled."),
    429: ("429", "The connection rate limit of the resource was exceeded. Please retry later."),
    500: ("InternalServerError", "The server had an error while processing your request."),
    503: ("ServiceUnavailable", "The service is temporarily unavailable."),
}


def error_response(status: int, code: str, message: str) -> web.Response:
    """An HTTP error with a body as Azure's services have it."""
    return web.json_response({"error": {"code": code, "message": message}}, status=status)


def refused(action: Refuse) -> web.Response:
    """The answer to a handshake that is refused."""
    if action.body is not None:
        response = web.Response(status=action.status, text=action.body, content_type=action.content_type)
    else:
        code, message = _BODIES.get(action.status, (str(action.status), "The request failed."))
        response = error_response(action.status, action.code or code, action.message or message)
    if action.retry_after_s is not None:
        response.headers["Retry-After"] = str(action.retry_after_s)
    return response


def redirected(action: Redirect) -> web.Response:
    """The answer that sends a client elsewhere."""
    return web.Response(status=action.status, text=action.body, headers={"Location": action.location})


def reset(transport: asyncio.BaseTransport) -> None:
    """End a TCP connection with RST: what was not read yet is lost, on either side."""
    tcp = transport.get_extra_info("socket")
    if tcp is not None:
        # Lingering for 0 s makes the close a reset. The structure's members are shorter on Windows.
        linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    abort(transport)


def abort(transport: asyncio.BaseTransport) -> None:
    """End a TCP connection without waiting for what was not sent yet."""
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


def freeze(transport: asyncio.BaseTransport) -> None:
    """Read nothing any more: the peer's data stays in the kernel, and its end goes unnoticed."""
    if isinstance(transport, asyncio.ReadTransport):
        transport.pause_reading()
