"""The WebSockets of other libraries, all with the same four methods. None of these libraries is imported here.

Every library has its own word for the end of a connection; here it is always :class:`WebSocketClosed`, whichever
method notices it. What else is raised is somebody's bug and passes through.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Any, Final, Protocol, runtime_checkable

__all__ = [
    "ABNORMAL",
    "WebSocketClosed",
    "WebSocketLike",
    "as_websocket",
    "closing_reason",
    "from_aiohttp",
    "from_quart",
    "from_starlette",
    "from_websockets",
]

ABNORMAL: Final = 1006
"""There was no closing message."""
MAX_REASON: Final = 123
"""Bytes of a reason (RFC 6455, section 5.5: a closing message has 125, and the code is two of them)."""
NO_CODE: Final = 1005
"""There was one, and it said nothing."""


class WebSocketClosed(Exception):
    """The connection is over: ``code`` and ``reason`` are the far end's, or 1006 if it said nothing."""

    def __init__(self, code: int = ABNORMAL, reason: str = "") -> None:
        super().__init__(f"closed with {code}" + (f": {reason}" if reason else ""))
        self.code = code
        self.reason = reason


@runtime_checkable
class WebSocketLike(Protocol):
    """A WebSocket that is open, as :class:`~voicelive_agent.websocket.WebSocketAudio` needs it."""

    async def receive(self) -> str | bytes:
        """The next message: text or binary. Raises :class:`WebSocketClosed` after the last one."""
        ...

    async def send_text(self, text: str) -> None:
        """Send a text message; returns when there is room for another. Raises :class:`WebSocketClosed`."""

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary message; returns when there is room for another. Raises :class:`WebSocketClosed`."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close politely, while another task may be receiving. Does nothing if it is closed."""


def as_websocket(websocket: object) -> WebSocketLike:
    """Whatever it is, with the four methods. TypeError if it is no WebSocket known here."""
    # Not type(): Quart hands out a proxy, whose class is that of what it stands for.
    for base in websocket.__class__.__mro__:
        if (adapter := _ADAPTERS.get(base.__module__.partition(".")[0])) is not None:
            return adapter(websocket)
    if isinstance(websocket, WebSocketLike):
        return websocket
    raise TypeError(
        f"{type(websocket).__name__} is no WebSocket known here: pass that of Starlette, FastAPI, aiohttp, Quart "
        "or websockets, or an object with the methods of WebSocketLike."
    )


def from_starlette(websocket: Any) -> WebSocketLike:
    """The ``WebSocket`` of Starlette and FastAPI, accepted."""
    return _Starlette(websocket)


def from_aiohttp(websocket: Any) -> WebSocketLike:
    """The ``WebSocketResponse`` of aiohttp, prepared, or the ``ClientWebSocketResponse`` of its client."""
    return _Aiohttp(websocket)


def from_websockets(websocket: Any) -> WebSocketLike:
    """A connection of ``websockets.asyncio``, of a server or of a client."""
    return _Websockets(websocket)


def from_quart(websocket: Any) -> WebSocketLike:
    """The ``websocket`` of Quart, in its handler.

    Quart cancels the handler when the far end leaves, and with it ``run()``: the call ends as ``stopped``.
    """
    resolve = getattr(websocket, "_get_current_object", None)
    return _Quart(websocket if resolve is None else resolve())


def closing_reason(reason: str) -> str:
    """So much of a reason as a closing message can hold."""
    return reason.encode("utf-8", "replace")[:MAX_REASON].decode("utf-8", "ignore")


class _Starlette:
    """https://www.starlette.io/websockets/; the messages are those of ASGI."""

    def __init__(self, websocket: Any) -> None:
        self._websocket = websocket

    async def receive(self) -> str | bytes:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketClosed(message.get("code", NO_CODE), message.get("reason") or "")
        if message["type"] != "websocket.receive":
            raise RuntimeError("This WebSocket is not open yet: await websocket.accept() first.")
        text: str | None = message.get("text")
        data: bytes | None = message.get("bytes")
        return text if text is not None else data or b""

    async def send_text(self, text: str) -> None:
        await self._send({"type": "websocket.send", "text": text})

    async def send_bytes(self, data: bytes) -> None:
        await self._send({"type": "websocket.send", "bytes": data})

    async def close(self, code: int = 1000, reason: str = "") -> None:
        with contextlib.suppress(WebSocketClosed):
            await self._send({"type": "websocket.close", "code": code, "reason": reason})

    async def _send(self, message: dict[str, object]) -> None:
        try:
            await self._websocket.send(message)
        except Exception as error:
            # A closed one raises WebSocketDisconnect, a server's own OSError, or RuntimeError: it was too late.
            if isinstance(error, OSError | RuntimeError) or type(error).__name__ == "WebSocketDisconnect":
                raise WebSocketClosed from error
            raise


class _Aiohttp:
    """https://docs.aiohttp.org/en/stable/web_reference.html#websocketresponse."""

    def __init__(self, websocket: Any) -> None:
        self._websocket = websocket

    async def receive(self) -> str | bytes:
        message = await self._websocket.receive()
        match message.type.name:
            case "TEXT" | "BINARY":
                data: str | bytes = message.data
                return data
            case "CLOSE":
                raise WebSocketClosed(message.data or NO_CODE, message.extra or "")
            case "ERROR":
                code = getattr(message.data, "code", None)
                raise WebSocketClosed(ABNORMAL if code is None else int(code), str(message.data))
            case _:  # CLOSED without a word, or CLOSING by ourselves
                raise WebSocketClosed

    async def send_text(self, text: str) -> None:
        await self._wait_for_room(self._websocket.send_str(text))

    async def send_bytes(self, data: bytes) -> None:
        await self._wait_for_room(self._websocket.send_bytes(data))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        with contextlib.suppress(WebSocketClosed):
            await self._wait_for_room(self._websocket.close(code=code, message=reason.encode()))

    async def _wait_for_room(self, sending: Awaitable[object]) -> None:
        """Those who wait for room share one future, which is cancelled with the first of them, for all to come."""
        try:
            await sending
        except ConnectionError as error:
            raise WebSocketClosed from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise WebSocketClosed from error


class _Websockets:
    """https://websockets.readthedocs.io/en/stable/reference/asyncio/server.html."""

    def __init__(self, websocket: Any) -> None:
        self._websocket = websocket

    async def receive(self) -> str | bytes:
        try:
            message: str | bytes = await self._websocket.recv()
        except Exception as error:
            raise _closed(error) from error
        return message

    async def send_text(self, text: str) -> None:
        await self._send(text)

    async def send_bytes(self, data: bytes) -> None:
        await self._send(data)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._websocket.close(code, reason)

    async def _send(self, message: str | bytes) -> None:
        try:
            await self._websocket.send(message)
        except Exception as error:
            raise _closed(error) from error


def _closed(error: Exception) -> Exception:
    """What ``websockets`` means by a ConnectionClosed; anything else as it is."""
    if not hasattr(error, "rcvd"):
        return error
    # What came, or else what was sent because of what came: a message too large, text that is not UTF-8.
    close = getattr(error, "rcvd", None) or getattr(error, "sent", None)
    return WebSocketClosed() if close is None else WebSocketClosed(close.code, close.reason)


class _Quart:
    """https://quart.palletsprojects.com/en/latest/how_to_guides/websockets/."""

    def __init__(self, websocket: Any) -> None:
        self._websocket = websocket

    async def receive(self) -> str | bytes:
        message: str | bytes | None = await self._websocket.receive()
        return message if message is not None else b""  # Quart takes an empty binary message for none

    async def send_text(self, text: str) -> None:
        await self._send(text)

    async def send_bytes(self, data: bytes) -> None:
        await self._send(data)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        with contextlib.suppress(OSError, RuntimeError):  # the server it runs in says that this was too late
            await self._websocket.close(code, reason)

    async def _send(self, message: str | bytes) -> None:
        try:
            await self._websocket.send(message)
        except (OSError, RuntimeError) as error:
            raise WebSocketClosed from error


_ADAPTERS: Final = {
    "starlette": from_starlette,
    "fastapi": from_starlette,
    "aiohttp": from_aiohttp,
    "websockets": from_websockets,
    "quart": from_quart,
}
