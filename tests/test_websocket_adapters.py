"""The adapters, against stand-ins that behave as the libraries do; those themselves are tried elsewhere."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from voicelive_agent.websocket import (
    WebSocketClosed,
    WebSocketLike,
    as_websocket,
    from_aiohttp,
    from_quart,
    from_starlette,
    from_websockets,
)
from voicelive_agent.websocket._adapters import closing_reason


class Script:
    """An object of a library: what its methods are called with, and what they return or raise in turn."""

    def __init__(self, *answers: Any) -> None:
        self.calls: list[Any] = []
        self._answers = list(answers)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def method(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((name, *args, *kwargs.values()))
            answer = self._answers.pop(0) if self._answers else None
            if isinstance(answer, BaseException):
                raise answer
            return answer

        return method


async def closing(websocket: WebSocketLike) -> tuple[int, str]:
    """What it is closed with."""
    with pytest.raises(WebSocketClosed) as closed:
        await websocket.receive()
    return closed.value.code, closed.value.reason


def test_the_end_says_how() -> None:
    assert str(WebSocketClosed(1001, "off")) == "closed with 1001: off"
    assert str(WebSocketClosed()) == "closed with 1006"


def test_a_reason_fits_into_a_closing_message() -> None:
    assert closing_reason("short") == "short"
    assert len(closing_reason("€" * 100).encode()) == 123
    assert closing_reason("a" + "€" * 100).endswith("€")
    assert closing_reason("\ud800") == "?"


# --- Starlette -----------------------------------------------------------------------------------------------


class WebSocketDisconnect(Exception):
    """As Starlette's."""


async def test_starlette_receives() -> None:
    script = Script(
        {"type": "websocket.receive", "text": "a"},
        {"type": "websocket.receive", "text": "", "bytes": None},
        {"type": "websocket.receive", "bytes": b"b", "text": None},
        {"type": "websocket.receive", "bytes": b""},
    )
    websocket = from_starlette(script)
    assert [await websocket.receive() for _ in range(4)] == ["a", "", b"b", b""]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"code": 1001, "reason": "off"}, (1001, "off")),
        ({"code": 1006, "reason": None}, (1006, "")),
        ({}, (1005, "")),
    ],
)
async def test_starlette_ends(message: dict[str, Any], code: tuple[int, str]) -> None:
    assert await closing(from_starlette(Script({"type": "websocket.disconnect", **message}))) == code


async def test_starlette_must_be_accepted() -> None:
    with pytest.raises(RuntimeError, match=r"await websocket.accept\(\) first"):
        await from_starlette(Script({"type": "websocket.connect"})).receive()


async def test_starlette_sends() -> None:
    script = Script()
    websocket = from_starlette(script)
    await websocket.send_text("a")
    await websocket.send_bytes(b"b")
    await websocket.close(1001, "off")
    assert script.calls == [
        ("send", {"type": "websocket.send", "text": "a"}),
        ("send", {"type": "websocket.send", "bytes": b"b"}),
        ("send", {"type": "websocket.close", "code": 1001, "reason": "off"}),
    ]


@pytest.mark.parametrize("error", [RuntimeError("too late"), ConnectionResetError(), WebSocketDisconnect()])
async def test_starlette_is_closed(error: Exception) -> None:
    with pytest.raises(WebSocketClosed):
        await from_starlette(Script(error)).send_text("a")
    await from_starlette(Script(error)).close()


async def test_a_bug_in_starlette_is_not_an_end() -> None:
    with pytest.raises(LookupError):
        await from_starlette(Script(LookupError())).send_bytes(b"")


# --- aiohttp -------------------------------------------------------------------------------------------------


class MsgType(enum.Enum):
    """As aiohttp's."""

    TEXT = 1
    BINARY = 2
    CLOSE = 8
    CLOSING = 256
    CLOSED = 257
    ERROR = 258


def message(kind: MsgType, data: Any = None, extra: Any = None) -> SimpleNamespace:
    return SimpleNamespace(type=kind, data=data, extra=extra)


async def test_aiohttp_receives() -> None:
    websocket = from_aiohttp(Script(message(MsgType.TEXT, "a"), message(MsgType.BINARY, b"b")))
    assert [await websocket.receive(), await websocket.receive()] == ["a", b"b"]


@pytest.mark.parametrize(
    ("last", "code"),
    [
        (message(MsgType.CLOSE, 1001, "off"), (1001, "off")),
        (message(MsgType.CLOSE, 0, None), (1005, "")),
        (message(MsgType.CLOSED), (1006, "")),
        (message(MsgType.CLOSING), (1006, "")),
        (message(MsgType.ERROR, ConnectionResetError("reset")), (1006, "reset")),
    ],
)
async def test_aiohttp_ends(last: SimpleNamespace, code: tuple[int, str]) -> None:
    assert await closing(from_aiohttp(Script(last))) == code


async def test_aiohttp_says_what_it_closed_for() -> None:
    error = Exception("too big")
    error.code = 1009  # type: ignore[attr-defined]
    assert await closing(from_aiohttp(Script(message(MsgType.ERROR, error)))) == (1009, "too big")


async def test_aiohttp_sends() -> None:
    script = Script()
    websocket = from_aiohttp(script)
    await websocket.send_text("a")
    await websocket.send_bytes(b"b")
    await websocket.close(1001, "off")
    assert script.calls == [("send_str", "a"), ("send_bytes", b"b"), ("close", 1001, b"off")]
    for send in (websocket.send_text("a"), websocket.send_bytes(b"b")):
        script._answers.append(ConnectionResetError("closing transport"))
        with pytest.raises(WebSocketClosed):
            await send


async def test_what_aiohttp_cancelled_with_somebody_else_is_its_end() -> None:
    script = Script()
    websocket = from_aiohttp(script)
    for send in (websocket.send_text("a"), websocket.send_bytes(b"b")):
        script._answers.append(asyncio.CancelledError())
        with pytest.raises(WebSocketClosed):
            await send
    script._answers.append(asyncio.CancelledError())
    await websocket.close()


async def test_cancelling_a_send_to_aiohttp_cancels() -> None:
    class Full(Script):
        async def send_str(self, text: str) -> None:
            await asyncio.sleep(100)

    sending = asyncio.ensure_future(from_aiohttp(Full()).send_text("a"))
    await asyncio.sleep(0)
    sending.cancel()
    await asyncio.wait({sending})
    assert sending.cancelled()


# --- websockets ----------------------------------------------------------------------------------------------


class ConnectionClosed(Exception):
    """As that of ``websockets``."""

    def __init__(self, rcvd: Any, sent: Any) -> None:
        super().__init__()
        self.rcvd = rcvd
        self.sent = sent


FRAME = SimpleNamespace(code=1001, reason="off")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConnectionClosed(FRAME, None), (1001, "off")),
        (ConnectionClosed(None, SimpleNamespace(code=1009, reason="too big")), (1009, "too big")),
        (ConnectionClosed(None, None), (1006, "")),
    ],
)
async def test_websockets_end(error: Exception, code: tuple[int, str]) -> None:
    websocket = from_websockets(Script("a", b"b", error))
    assert [await websocket.receive(), await websocket.receive()] == ["a", b"b"]
    assert await closing(websocket) == code


async def test_websockets_send() -> None:
    script = Script(None, None, None, ConnectionClosed(FRAME, None), LookupError("bug"))
    websocket = from_websockets(script)
    await websocket.send_text("a")
    await websocket.send_bytes(b"b")
    await websocket.close(1001, "off")
    assert script.calls == [("send", "a"), ("send", b"b"), ("close", 1001, "off")]
    with pytest.raises(WebSocketClosed):
        await websocket.send_text("a")
    with pytest.raises(LookupError):
        await websocket.send_text("a")


# --- Quart ---------------------------------------------------------------------------------------------------


class QuartProxy:
    """As the ``websocket`` of Quart: it stands for another object in this context."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def _get_current_object(self) -> Script:
        return self._script


class Plain:
    """An object of Quart that is no proxy."""

    def __init__(self, script: Script) -> None:
        self.receive = script.receive


async def test_quart_receives_and_sends() -> None:
    script = Script("a", None)
    websocket = from_quart(QuartProxy(script))
    assert [await websocket.receive(), await websocket.receive()] == ["a", b""]
    await websocket.send_text("a")
    await websocket.send_bytes(b"b")
    await websocket.close(1001, "off")
    assert script.calls[2:] == [("send", "a"), ("send", b"b"), ("close", 1001, "off")]
    script._answers += [RuntimeError("too late")] * 2
    await websocket.close()
    with pytest.raises(WebSocketClosed):
        await websocket.send_text("a")
    script._answers.append("b")
    assert await from_quart(Plain(script)).receive() == "b"


# --- which it is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("starlette.websockets", "_Starlette"),
        ("fastapi.websockets", "_Starlette"),
        ("aiohttp.web_ws", "_Aiohttp"),
        ("aiohttp.client_ws", "_Aiohttp"),
        ("websockets.asyncio.server", "_Websockets"),
        ("quart.wrappers.websocket", "_Quart"),
    ],
)
def test_a_library_is_known_by_its_name(module: str, name: str) -> None:
    class Base:
        pass

    class Mine(Base):
        """Of an application, which has its own."""

    Base.__module__ = module
    websocket = as_websocket(Mine())
    assert type(websocket).__name__ == name
    assert isinstance(websocket, WebSocketLike)
    assert as_websocket(websocket) is websocket


def test_what_a_proxy_stands_for_counts() -> None:
    class Inner:
        __module__ = "quart.wrappers.websocket"

    class Proxy:
        @property  # type: ignore[misc]
        def __class__(self) -> type:
            return Inner

    assert type(as_websocket(Proxy())).__name__ == "_Quart"


def test_anything_else_is_told() -> None:
    with pytest.raises(TypeError, match="int is no WebSocket known here: pass that of Starlette"):
        as_websocket(5)
