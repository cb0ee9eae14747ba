"""What the SDK does not give, looked up in its attributes, each time guarded.

Without any of it a connection still works, and knows less.
"""

from __future__ import annotations

import asyncio
import socket
import traceback
from contextlib import suppress
from typing import Any, Final, TypeVar, cast

import aiohttp
from azure.ai.voicelive import aio
from azure.ai.voicelive.models import ClientEvent

__all__ = ["ReadyEvent", "layers_of", "locals_of", "ready_text_passes", "socket_of"]

_KERNEL_UNSENT_BYTES: Final = 16 * 1024
"""What the kernel may take ahead of the network: a quarter of a second of audio, instead of megabytes."""

_AnyObject = TypeVar("_AnyObject")


class ReadyEvent(ClientEvent):
    """A client event that is JSON text already: the SDK sends a ``str`` from ``as_dict`` as it is."""

    text = ""

    def __init__(self) -> None:
        super().__init__(type="ready")

    def as_dict(self, *, exclude_readonly: bool = False) -> str:  # type: ignore[override]  # see the class
        return self.text


class _Recorder:
    """Stands in for the socket and keeps what the SDK would send."""

    sent = ""

    async def send_str(self, data: str) -> None:
        self.sent = data


async def ready_text_passes() -> bool:
    """Whether this version of the SDK sends ready-made text as it is; if not, a mapping will do, at a price."""
    recorder, probe = _Recorder(), ReadyEvent()
    probe.text = '{"type":"probe"}'
    sdk = aio.VoiceLiveConnection(cast("Any", None), cast("Any", recorder))
    with suppress(aio.ConnectionError):
        await sdk.send(probe)
    return recorder.sent == probe.text


def locals_of(error: BaseException, kind: type[_AnyObject]) -> list[_AnyObject]:
    """The objects of this kind in the frames that an error came through: what the SDK had in hand."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return [value for frame in frames for value in frame.f_locals.values() if isinstance(value, kind)]


def socket_of(sdk: aio.VoiceLiveConnection) -> aiohttp.ClientWebSocketResponse | None:
    """The socket under a connection of the SDK, which alone knows the true close code."""
    found = getattr(sdk, "_connection", None)
    return found if isinstance(found, aiohttp.ClientWebSocketResponse) else None


def layers_of(websocket: aiohttp.ClientWebSocketResponse | None) -> list[asyncio.WriteTransport]:
    """The transports under a socket, TCP last: bytes wait in each. Also keeps the kernel from taking too many."""
    layers: list[asyncio.WriteTransport] = []
    layer: Any = getattr(getattr(websocket, "_writer", None), "transport", None)
    while callable(getattr(layer, "get_write_buffer_size", None)):
        layers.append(layer)
        layer = getattr(getattr(layer, "_ssl_protocol", None), "_transport", None)
    tcp = websocket.get_extra_info("socket") if websocket is not None else None
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)  # Linux and macOS
    if tcp is not None and option is not None:
        with suppress(OSError):  # an older kernel: then it only takes more
            tcp.setsockopt(socket.IPPROTO_TCP, option, _KERNEL_UNSENT_BYTES)
    return layers
