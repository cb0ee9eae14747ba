"""A WebSocket client that keeps to no rule: frames as bytes, over a socket of its own."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import struct
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

__all__ = ["BINARY", "CONTINUATION", "TEXT", "RawClient", "frame"]

CONTINUATION, TEXT, BINARY, CLOSE = 0, 1, 2, 8


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, claims: int | None = None, masked: bool = True
) -> bytes:
    """One frame, which may claim to be longer than it is. The mask is zero: it changes nothing."""
    size = len(payload) if claims is None else claims
    mask = 0x80 if masked else 0
    head = bytes([(0x80 if fin else 0) | opcode])
    if size < 126:
        head += bytes([mask | size])
    elif size < 65_536:
        head += struct.pack("!BH", mask | 126, size)
    else:
        head += struct.pack("!BQ", mask | 127, size)
    return head + (b"\0\0\0\0" if masked else b"") + payload


class RawClient:
    """One connection, past the handshake while the ``async with`` lasts. ``receive_buffer``: how much the system
    takes for somebody who does not read.
    """

    def __init__(self, url: str, *, receive_buffer: int | None = None, **headers: str) -> None:
        self._url = urlsplit(url)
        self._headers = [f"{name}: {value}" for name, value in headers.items()]
        self._receive_buffer = receive_buffer

    async def __aenter__(self) -> Self:
        tcp = socket.socket()
        if self._receive_buffer is not None:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        tcp.setblocking(False)
        host, port = self._url.hostname, self._url.port
        assert host is not None
        await asyncio.get_running_loop().sock_connect(tcp, (host, port))
        self.reader, self.writer = await asyncio.open_connection(sock=tcp)
        key = base64.b64encode(os.urandom(16)).decode()
        request = [
            f"GET {self._url.path} HTTP/1.1",
            f"Host: {host}:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            *self._headers,
        ]
        self.writer.write("\r\n".join([*request, "", ""]).encode())
        status = await self.reader.readuntil(b"\r\n\r\n")
        assert status.startswith(b"HTTP/1.1 101"), status
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    async def raw(self, data: bytes) -> None:
        """Send bytes. ConnectionError when the server is gone."""
        self.writer.write(data)
        await self.writer.drain()

    async def text(self, message: object) -> None:
        """Send text: a string as it is, anything else as JSON."""
        text = message if isinstance(message, str) else json.dumps(message)
        await self.raw(frame(TEXT, text.encode()))

    async def binary(self, data: bytes) -> None:
        """Send a binary message."""
        await self.raw(frame(BINARY, data))

    async def read(self) -> tuple[int, bytes]:
        """The next frame. IncompleteReadError or ConnectionError when there is none."""
        first, second = await self.reader.readexactly(2)
        size = second & 0x7F
        if size == 126:
            size = int.from_bytes(await self.reader.readexactly(2), "big")
        elif size == 127:
            size = int.from_bytes(await self.reader.readexactly(8), "big")
        return first & 0x0F, await self.reader.readexactly(size)

    async def closing(self) -> int | None:
        """Read on until the server closes: its code, which is not answered. None if it is gone without a word."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                opcode, payload = await self.read()
                if opcode == CLOSE:
                    return int.from_bytes(payload[:2], "big")
        return None
