"""What is looked up in the SDK: that it is there, and that a connection works without it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from azure.ai.voicelive import aio

from voicelive_agent import _service_connection, _service_sdk
from voicelive_agent._connection import ConnectionEnded
from voicelive_agent._service_connection import ServiceConnection
from voicelive_agent.events import EndReason

from .faultserver import Peer
from .service_driver import connected, ending, flood, keep_silent, leave, say_goodbye

pytestmark = pytest.mark.usefixtures("nothing_left")


# --- ready-made text -----------------------------------------------------------------------------------------


async def test_ready_made_text_goes_out_as_it_is() -> None:
    """Notices an SDK that stops to pass ready-made text through, or that encodes it twice."""
    texts = ['{"type":"a", "n":1.50}', '{"type":"ü€😀"}', '{"type":"b","x":"' + "y" * 200_000 + '"}']
    got: list[str] = []

    async def listen(peer: Peer) -> None:
        got.extend([await peer.read_text() for _ in texts])
        await say_goodbye(peer)

    assert await _service_sdk.ready_text_passes()
    async with connected(listen) as (connection, _):
        await asyncio.gather(*(connection.send(text) for text in texts))
    assert got == texts


@pytest.mark.parametrize("how", ["double-encodes", "refuses"])
async def test_with_an_sdk_that_takes_no_text_a_mapping_is_sent(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    send = aio.VoiceLiveConnection.send

    async def newer(sdk: aio.VoiceLiveConnection, event: Any) -> None:
        if isinstance(event, dict):
            await send(sdk, event)
        elif how == "refuses":
            raise aio.ConnectionError("not an event")
        else:
            await send(sdk, json.dumps(event.as_dict()))  # type: ignore[arg-type]

    got: list[object] = []

    async def listen(peer: Peer) -> None:
        got.append(json.loads(await peer.read_text()))
        await say_goodbye(peer)

    monkeypatch.setattr(aio.VoiceLiveConnection, "send", newer)
    assert not await _service_sdk.ready_text_passes()
    async with connected(listen) as (connection, _):
        await connection.send('{"type":"a","b":[1]}')
    assert got == [{"type": "a", "b": [1]}]


# --- the socket and its transports ---------------------------------------------------------------------------


async def test_where_the_socket_is_not_found_the_connection_knows_less_and_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def play(peer: Peer) -> None:
        await peer.read_text()
        peer.fin()

    monkeypatch.setattr(_service_connection, "socket_of", lambda _: None)
    async with connected(play) as (connection, _):
        assert connection.unsent == 0
        await connection.send("{}")
        assert (await ending(connection)).reason is EndReason.NETWORK
    async with connected(leave) as (connection, _):
        with pytest.raises(ConnectionEnded) as ended:
            await flood(connection)
        assert ended.value.verdict.reason is EndReason.NETWORK
        assert isinstance(ended.value.__cause__, aio.ConnectionError)


async def test_the_private_attributes_are_where_they_are_looked_up() -> None:
    """Notices an SDK or an aiohttp that renames them."""
    async with connected(say_goodbye) as (connection, _):
        assert isinstance(connection._socket, aiohttp.ClientWebSocketResponse)
        assert len(connection._layers) == 1
    assert _service_sdk.socket_of(object()) is None  # type: ignore[arg-type]
    assert _service_sdk.layers_of(None) == []


@pytest.mark.linux
async def test_the_kernel_does_not_hide_what_is_unsent() -> None:
    """By itself Linux takes almost 4 MB, a minute of microphone, before anything shows as unsent."""
    sent = 0

    async def send_until_it_shows(connection: ServiceConnection) -> None:
        nonlocal sent
        while not connection.unsent:
            await connection.send('"' + "x" * 1300 + '"')
            await asyncio.sleep(0)
            sent += 1300

    async with connected(keep_silent) as (connection, peer):
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is a full transport
        await send_until_it_shows(connection)
        peer.writer.transport.abort()
    assert sent < 1_000_000
