"""Clients that go away in the midst of a handshake or of an answer: nothing of them is left or logged."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import socket as sockets
import struct
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import aiohttp
import pytest

from voicelive_agent.emulator import McpResult, McpServer, McpTool, Options, ScriptedBrain, Server, serve

from .driver import noise, silence

PATH = "/voice-live/realtime?api-version=2026-07-15&model=gpt-4.1&api-key=any"
HANDSHAKE = (
    f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()
TEXT = [{"type": "input_text", "text": "Tell me a story."}]
MESSAGES: Sequence[Mapping[str, Any]] = (
    {
        "type": "session.update",
        "session": {"tools": [{"type": "mcp", "server_label": "library", "server_url": "http://127.0.0.1/mcp"}]},
    },
    {
        "type": "input_audio_buffer.append",
        "audio": base64.b64encode(silence(0.3) + noise(0.5) + silence(0.8)).decode(),
    },
    {"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": TEXT}},
    {"type": "response.create"},
)
CLIENTS = 50


class Library:
    """An MCP server that answers."""

    def list_tools(self, server: McpServer) -> Sequence[McpTool]:
        return [McpTool("find_book")]

    def call(self, server: McpServer, name: str, arguments: Mapping[str, Any]) -> McpResult:
        raise AssertionError("no rule calls it")


def cut(transport: asyncio.BaseTransport, how: str) -> None:
    """End a connection without a word: with FIN, or with RST."""
    assert isinstance(transport, asyncio.WriteTransport)
    if how == "reset":
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, linger)
        transport.abort()
    else:
        transport.close()


async def drop_in_the_handshake(server: Server, bytes_sent: int, how: str) -> None:
    """Go away after so many bytes of the request; all of them may leave an upgraded socket behind."""
    host, port = server.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(HANDSHAKE[:bytes_sent])
    await writer.drain()
    cut(writer.transport, how)


async def drop_in_the_answer(client: aiohttp.ClientSession, url: str, events: int, how: str) -> None:
    """Go away after so many events."""
    async with client.ws_connect(url + PATH) as socket:
        for message in MESSAGES:
            await socket.send_json(message)
        for _ in range(events):
            await socket.receive()
        if how != "close":
            connection = socket._response.connection
            assert connection is not None
            assert connection.transport is not None
            cut(connection.transport, how)


@pytest.mark.parametrize("seed", [1, 2])
async def test_nothing_is_left_of_clients_that_go_away_at_any_moment(
    seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    random = Random(seed)
    brain = ScriptedBrain([("story", "It was a dark and stormy night. " * 10)])
    async with serve(brain=brain, mcp=Library(), options=Options(realtime_factor=50)) as server:
        before = asyncio.all_tasks()
        async with aiohttp.ClientSession() as client, asyncio.timeout(30):
            async with asyncio.TaskGroup() as group:
                for _ in range(CLIENTS):
                    if random.random() < 0.4:
                        moment, how = random.randint(1, len(HANDSHAKE)), random.choice(("fin", "reset"))
                        group.create_task(drop_in_the_handshake(server, moment, how))
                    else:
                        moment, how = random.randint(0, 30), random.choice(("close", "fin", "reset"))
                        group.create_task(drop_in_the_answer(client, server.url, moment, how))
            while server.connections or asyncio.all_tasks() != before:  # noqa: ASYNC110  there is no event for it
                await asyncio.sleep(0.01)
            async with client.ws_connect(server.url + PATH) as socket:
                assert json.loads((await socket.receive()).data)["type"] == "session.created"
                assert server.connections == 1
    gc.collect()  # a task or a future whose error nobody looked at says so now
    assert [record.getMessage() for record in caplog.records] == []
