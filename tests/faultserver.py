"""A server on loopback that plays wire faults: real sockets, bytes under full control.

A test writes what the server does with a connection as a small coroutine, a *script*::

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.text({"type": "session.created"})
        await peer.close(1001)

    async with FaultServer(script) as server:
        ...  # connect to server.url

What is not scripted does not happen: no pong, no answer to a close frame, nothing closed (until the server ends).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias
from urllib.parse import parse_qsl, urlsplit

__all__ = ["CREATED", "FaultServer", "Frame", "Peer", "Script", "closed_port"]

CREATED: Mapping[str, Any] = {"type": "session.created", "event_id": "event_1", "session": {"id": "sess_1"}}

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame from the client, unmasked."""

    opcode: int
    payload: bytes

    @property
    def close_code(self) -> int | None:
        if self.opcode != CLOSE:
            return None
        return int.from_bytes(self.payload[:2], "big") if self.payload else 1005


@dataclass(slots=True)
class Peer:
    """One client, as the server sees it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    path: str = ""
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    # --- handshake ---

    async def read_request(self) -> None:
        """Read the HTTP request; header names are in lower case."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        target = urlsplit(head[0].split(" ")[1])
        self.path = target.path
        self.query = dict(parse_qsl(target.query, keep_blank_values=True))
        fields = (line.partition(":") for line in head[1:] if line)
        self.headers = {name.strip().lower(): value.strip() for name, _, value in fields}

    async def accept(self) -> None:
        """Answer the handshake: from here on it is WebSocket."""
        if not self.headers:
            await self.read_request()
        digest = hashlib.sha1(self.headers["sec-websocket-key"].encode() + _GUID).digest()
        accept = base64.b64encode(digest).decode()
        await self.status(
            101, {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept}, body=None
        )

    async def status(self, code: int, headers: Mapping[str, str] | None = None, body: bytes | None = b"") -> None:
        """Answer the handshake with an HTTP status."""
        if not self.headers:
            await self.read_request()
        lines = [f"HTTP/1.1 {code} X", *(f"{name}: {value}" for name, value in (headers or {}).items())]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        await self.raw("\r\n".join([*lines, "", ""]).encode() + (body or b""))

    # --- frames ---

    async def raw(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def frame(self, opcode: int, payload: bytes = b"") -> None:
        size = len(payload)
        head = bytes([0x80 | opcode])
        if size < 126:
            head += bytes([size])
        elif size < 65_536:
            head += struct.pack("!BH", 126, size)
        else:
            head += struct.pack("!BQ", 127, size)
        await self.raw(head + payload)

    async def text(self, message: object) -> None:
        """Send a text frame: a ``str`` as it is, anything else as JSON."""
        text = message if isinstance(message, str) else json.dumps(message)
        await self.frame(TEXT, text.encode())

    async def close(self, code: int | None, reason: str = "") -> None:
        """Send a close frame, and nothing else."""
        await self.frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason.encode())

    async def read(self) -> Frame | None:
        """The next frame, or None when the client is gone."""
        try:
            first, second = await self.reader.readexactly(2)
            size = second & 0x7F
            if size == 126:
                size = int.from_bytes(await self.reader.readexactly(2), "big")
            elif size == 127:
                size = int.from_bytes(await self.reader.readexactly(8), "big")
            mask = await self.reader.readexactly(4) if second & 0x80 else b"\0\0\0\0"
            payload = await self.reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return Frame(first & 0x0F, bytes(byte ^ mask[at & 3] for at, byte in enumerate(payload)))

    async def read_text(self) -> str:
        """The next text frame; pings before it are answered."""
        while (frame := await self.read()) is not None:
            if frame.opcode == PING:
                await self.frame(PONG, frame.payload)
            elif frame.opcode == TEXT:
                return frame.payload.decode()
        raise AssertionError("the client is gone")

    async def closing(self) -> int | None:
        """Read on until the client says goodbye, which is its close code, or is gone without one (None)."""
        while (frame := await self.read()) is not None:
            if frame.opcode == CLOSE:
                return frame.close_code
        return None

    async def gone(self) -> None:
        """Wait until the client has closed its socket."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65_536):
                pass

    # --- the end of TCP ---

    def fin(self) -> None:
        """Close the socket properly, with no close frame."""
        self.writer.close()

    def reset(self) -> None:
        """Reset the connection."""
        tcp = self.writer.get_extra_info("socket")
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("hh" if os.name == "nt" else "ii", 1, 0))
        self.writer.transport.abort()


Script: TypeAlias = Callable[[Peer], Awaitable[None]]


class FaultServer:
    """Plays ``script`` with everyone who connects; ends all of them at the end."""

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._tls = tls
        self._tasks: list[asyncio.Task[None]] = []
        self._arrivals: asyncio.Queue[Peer] = asyncio.Queue()
        self.peers: list[Peer] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        for peer in self.peers:
            peer.writer.transport.abort()
        # What a connection ended with is asked for: else asyncio may complain of it, as the collector has it.
        await asyncio.gather(*(peer.writer.wait_closed() for peer in self.peers), return_exceptions=True)
        await self._server.wait_closed()
        failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        if failures:
            raise failures[0]

    @property
    def url(self) -> str:
        host = "localhost" if self._tls else "127.0.0.1"
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    async def arrival(self) -> Peer:
        """The next client that connects."""
        return await self._arrivals.get()

    async def finished(self) -> None:
        """Wait for the scripts of all who came so far."""
        await asyncio.gather(*self._tasks)

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self.peers.append(peer)
        self._arrivals.put_nowait(peer)
        self._tasks.append(asyncio.ensure_future(self._script(peer)))


def closed_port() -> int:
    """A port of loopback on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
