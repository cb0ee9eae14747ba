"""Audio over a WebSocket: a browser's page, a telephone call, or a protocol of your own.

    async with WebSocketAudio(websocket, Twilio()) as audio:
        await agent.run(audio, audio)

``websocket`` is what Starlette or FastAPI, aiohttp, Quart or ``websockets`` hands to its handler, or anything
with the four methods of :class:`WebSocketLike`. A *dialect* says what the messages mean: :class:`Browser`,
:class:`Twilio`, :class:`AzureCommunicationServices`, or a subclass of :class:`Dialect`.
"""

from __future__ import annotations

from ._adapters import (
    WebSocketClosed,
    WebSocketLike,
    as_websocket,
    from_aiohttp,
    from_quart,
    from_starlette,
    from_websockets,
)
from ._audio import WebSocketAudio
from ._limits import Limits, Stats
from .acs import AudioMetadata, AzureCommunicationServices
from .browser import Browser, Hello
from .dialect import Dialect
from .twilio import StreamStart, Twilio

__all__ = [
    "AudioMetadata",
    "AzureCommunicationServices",
    "Browser",
    "Dialect",
    "Hello",
    "Limits",
    "Stats",
    "StreamStart",
    "Twilio",
    "WebSocketAudio",
    "WebSocketClosed",
    "WebSocketLike",
    "as_websocket",
    "from_aiohttp",
    "from_quart",
    "from_starlette",
    "from_websockets",
]
