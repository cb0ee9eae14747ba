"""Observers: told everything in order, never in the way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest

from voicelive_agent.emulator import serve
from voicelive_agent.emulator.observers import ConnectionInfo, Observers

PATH = "/voice-live/realtime?api-version=2026-07-15&model=gpt-4.1&api-key=secret"


class Notes:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.over = asyncio.Event()

    def opened(self, connection: ConnectionInfo, now: float) -> None:
        self.told.append(("opened", connection))

    def received(self, connection: ConnectionInfo, message: str | bytes, now: float) -> None:
        self.told.append(("received", message))

    def sent(self, connection: ConnectionInfo, event: Mapping[str, Any], now: float) -> None:
        self.told.append(("sent", event["type"]))

    def closed(self, connection: ConnectionInfo, code: int | None, reason: str, now: float) -> None:
        self.told.append(("closed", code, reason))
        self.over.set()


async def watched(
    faults: Any = (), leave: int | None = None, ask: str = '{"type":"input_audio_buffer.clear"}'
) -> Notes:
    notes = Notes()
    async with asyncio.timeout(10), serve(observers=[notes], faults=faults) as server:
        async with aiohttp.ClientSession(server.url) as client, client.ws_connect(PATH) as socket:
            await socket.receive()
            await socket.send_str(ask)
            await socket.receive()
            if leave is not None:
                await socket.close(code=leave, message=b"bye")
            await notes.over.wait()
    return notes


async def test_everything_is_told_in_order() -> None:
    notes = await watched(leave=4000)
    (opened, info), *told = notes.told
    assert opened == "opened"
    assert (info.number, info.model, info.query["api-key"]) == (1, "gpt-4.1", "***")
    assert told == [
        ("sent", "session.created"),
        ("received", '{"type":"input_audio_buffer.clear"}'),
        ("sent", "input_audio_buffer.cleared"),
        ("closed", 4000, "bye"),
    ]


CLEARED = {"at": "sent", "type": "input_audio_buffer.cleared"}


@pytest.mark.parametrize(
    ("action", "told"),
    [
        (
            {"do": "close", "code": 4001, "reason": "r"},
            [("sent", "input_audio_buffer.cleared"), ("closed", 4001, "r")],
        ),
        ("fin", [("sent", "input_audio_buffer.cleared"), ("closed", None, "")]),
        ("reset", [("sent", "input_audio_buffer.cleared"), ("closed", None, "")]),
    ],
)
async def test_the_end_is_told_as_it_was(action: Any, told: list[Any]) -> None:
    notes = await watched([{"when": CLEARED, "action": action}])
    assert notes.told[-len(told) :] == told


async def test_what_went_wrong_is_told_as_it_went_over_the_wire() -> None:
    notes = await watched(
        [
            {"when": CLEARED, "action": "duplicate"},
            {"when": CLEARED, "action": {"do": "close", "code": 4001}},
        ]
    )
    assert notes.told[-3:-1] == [("sent", "input_audio_buffer.cleared")] * 2
    notes = await watched(
        [
            {"when": CLEARED, "action": {"do": "corrupt", "how": "bad_json"}},
            {"when": CLEARED, "action": {"do": "close", "code": 4001}},
        ]
    )
    assert ("sent", "input_audio_buffer.cleared") not in notes.told


async def test_the_end_of_the_server_is_told() -> None:
    notes = Notes()
    async with aiohttp.ClientSession() as client:
        async with serve(observers=[notes]) as server:
            socket = await client.ws_connect(server.url + PATH)
            await socket.receive()
        await socket.receive()
    assert notes.told[-1] == ("closed", 1001, "the server is shutting down")


def test_one_that_raises_is_reported_once_and_told_no_more(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Notes):
        def sent(self, connection: ConnectionInfo, event: Mapping[str, Any], now: float) -> None:
            raise RuntimeError("no ink")

    broken, whole = Broken(), Notes()
    observers, info = Observers([broken, whole]), ConnectionInfo(1, "m")
    observers.opened(info, 0.0)
    for _ in range(2):
        observers.sent(info, {"type": "x"}, 0.0)
    observers.closed(info, None, "", 0.0)
    assert len(broken.told) == 1
    assert len(whole.told) == 4
    assert caplog.text.count("is told no more") == 1
