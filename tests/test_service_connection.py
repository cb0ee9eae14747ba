"""An open session over real sockets with the real SDK: messages in both directions, and closing."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from azure.ai.voicelive import aio

from voicelive_agent import _service, _service_connection
from voicelive_agent._connection import ConnectionEnded
from voicelive_agent._service import AzureConnector
from voicelive_agent._service_connection import ServiceConnection
from voicelive_agent.errors import ServiceUnavailableError
from voicelive_agent.events import EndReason

from .faultserver import BINARY, CREATED, TEXT, FaultServer, Peer
from .service_driver import (
    NEXT,
    connected,
    ending,
    error_event,
    flood,
    keep_silent,
    leave,
    refused,
    say_goodbye,
    settings_for,
    stay,
    until_lost,
)

pytestmark = pytest.mark.usefixtures("nothing_left")


# --- messages, as they come ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("opcode", "payload"),
    [
        (TEXT, b"{nope"),
        (TEXT, b"[1,2]"),
        (TEXT, b"null"),
        (TEXT, b""),
        (TEXT, "ü€😀".encode()),
        (TEXT, b"[" * 100_000 + b"]" * 100_000),
        (TEXT, b'{"type":"error","x":' + b"[" * 100_000),
        (TEXT, b'{"type":"response.audio.delta","delta":"' + b"A" * 3_900_000 + b'"}'),
        (BINARY, b"\xff\xfe\x00bin"),
        (BINARY, b""),
    ],
    ids=["bad", "list", "null", "empty", "unicode", "deep", "deep-error", "big", "binary", "empty-binary"],
)
async def test_a_message_passes_as_it_is_and_the_next_one_too(opcode: int, payload: bytes) -> None:
    async def play(peer: Peer) -> None:
        await peer.frame(opcode, payload)
        await peer.text(NEXT)
        await say_goodbye(peer)

    async with connected(play) as (connection, _):
        assert await connection.receive() == payload
        assert json.loads(await connection.receive()) == NEXT


async def test_a_cancelled_receive_loses_nothing() -> None:
    async def play(peer: Peer) -> None:
        await peer.read_text()
        await peer.text(NEXT)
        await say_goodbye(peer)

    async with connected(play) as (connection, _):
        with anyio.move_on_after(0.05):
            await connection.receive()
        await connection.send("{}")
        assert json.loads(await connection.receive()) == NEXT


async def test_what_goes_wrong_in_the_sdk_while_reading_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: object) -> bytes:
        raise RecursionError("too deep")

    async with connected(say_goodbye) as (connection, _):
        monkeypatch.setattr(aio.VoiceLiveConnection, "recv_bytes", broken)
        with pytest.raises(ConnectionEnded) as ended:
            await connection.receive()
        assert isinstance(ended.value.__cause__, RecursionError)
        verdict = await ending(connection)
    assert verdict.reason is EndReason.PROTOCOL
    assert "too deep" in verdict.detail


async def test_two_readers_at_once_are_a_mistake_that_is_told() -> None:
    async with connected(say_goodbye) as (connection, _):
        reader = asyncio.create_task(connection.receive())
        await asyncio.sleep(0)
        with pytest.raises(ConnectionEnded) as ended:
            await connection.receive()
        assert ended.value.verdict.reason is EndReason.PROTOCOL
        assert isinstance(ended.value.__cause__, RuntimeError)
        reader.cancel()
        await asyncio.wait({reader})


# --- the first words -----------------------------------------------------------------------------------------


async def test_a_server_that_accepts_and_says_nothing() -> None:
    async def mute(peer: Peer) -> None:
        await peer.accept()
        await peer.closing()

    async with FaultServer(mute) as server:
        error = await refused(server.url, first_event_timeout_s=0.2)
    assert isinstance(error, ServiceUnavailableError)
    assert "said nothing" in str(error)


async def test_an_error_before_the_session_is_received_first() -> None:
    async def warn(peer: Peer) -> None:
        await peer.accept()
        await peer.text(error_event("first"))
        await peer.text(CREATED)
        await say_goodbye(peer)

    async with FaultServer(warn) as server:
        connection = await AzureConnector().connect(settings_for(server.url))
        assert b"first" in await connection.receive()
        assert b"session.created" in await connection.receive()
        await connection.close()


async def test_an_error_and_then_nothing_is_for_the_conversation_to_judge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop, read, passed_s = asyncio.get_running_loop(), ServiceConnection._read, 0.0
    clock = loop.time

    async def read_and_let_time_pass(connection: ServiceConnection) -> bytes:
        nonlocal passed_s
        message = await read(connection)
        passed_s += 20
        return message

    async def complain(peer: Peer) -> None:
        await peer.accept()
        await peer.text(error_event("only"))
        await say_goodbye(peer)

    async with FaultServer(complain) as server:
        monkeypatch.setattr(loop, "time", lambda: clock() + passed_s)
        monkeypatch.setattr(ServiceConnection, "_read", read_and_let_time_pass)
        connection = await AzureConnector().connect(settings_for(server.url, first_event_timeout_s=20))
        assert b"only" in await connection.receive()
        await connection.close()


# --- sending -------------------------------------------------------------------------------------------------


async def test_text_that_cannot_be_sent_is_not_the_connections_fault() -> None:
    async with connected(say_goodbye) as (connection, peer):
        with pytest.raises(UnicodeEncodeError):
            await connection.send('"\ud800"')
        await connection.send("{}")
        assert peer.headers


async def test_a_failed_send_learns_from_the_reader_how_it_ended() -> None:
    async def play(peer: Peer) -> None:
        await peer.close(1013)
        peer.fin()

    async with connected(play) as (connection, _):
        await until_lost(connection)
        sender = asyncio.create_task(connection.send("{}"))
        await asyncio.sleep(0)
        assert (await ending(connection)).reason is EndReason.UNAVAILABLE
        with pytest.raises(ConnectionEnded) as ended:
            await sender
        assert ended.value.verdict.close_code == 1013


async def test_a_failed_send_that_nobody_reads_beside_is_a_loss() -> None:
    async def play(peer: Peer) -> None:
        peer.reset()

    async with connected(play) as (connection, _):
        await until_lost(connection)
        with pytest.raises(ConnectionEnded) as ended:
            await connection.send("{}")
        assert ended.value.verdict.reason is EndReason.NETWORK
        assert await ending(connection) is ended.value.verdict


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a peer that does not answer less time, for the sake of the suite."""
    monkeypatch.setattr(_service, "_GOODBYE_LIMIT_S", 0.1)
    monkeypatch.setattr(_service_connection, "CLOSE_LIMIT_S", 0.2)


@asynccontextmanager
async def choked() -> AsyncIterator[tuple[ServiceConnection, asyncio.Task[None]]]:
    """A connection whose peer does not read, and who keeps sending to it."""

    async def never_read(_: Peer) -> None:
        await asyncio.Event().wait()

    async with connected(never_read) as (connection, peer):
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is a full transport
        sender = asyncio.create_task(flood(connection))
        while connection.unsent < 65_536:  # noqa: ASYNC110  # there is no event for it
            await asyncio.sleep(0)
        yield connection, sender


async def test_a_peer_that_does_not_read_shows_as_unsent_and_cannot_hold_a_send_or_the_end() -> None:
    async with choked() as (connection, sender):
        assert connection.unsent >= 65_536
        assert not sender.done()
        with anyio.fail_after(10):
            await connection.close()
        with pytest.raises(ConnectionEnded) as ended:
            await sender
        assert ended.value.verdict.reason is EndReason.STOPPED
        assert connection.unsent == 0


# --- closing -------------------------------------------------------------------------------------------------


async def test_our_goodbye_is_code_1000_and_makes_no_noise(caplog: pytest.LogCaptureFixture) -> None:
    codes: list[int | None] = []

    async def listen(peer: Peer) -> None:
        codes.append(await peer.closing())
        await peer.close(1000)

    async with connected(listen) as (connection, _):
        await connection.close()
        verdict = await ending(connection)
        await connection.close()
    assert codes == [1000]
    assert (verdict.reason, verdict.close_code) == (EndReason.STOPPED, 1000)
    assert verdict.ok
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("cancelled", [False, True])
async def test_closing_under_or_after_a_reader(cancelled: bool) -> None:
    codes: list[int | None] = []

    async def listen(peer: Peer) -> None:
        codes.append(await peer.closing())
        await peer.close(1000)

    async with connected(listen) as (connection, peer):
        reader = asyncio.create_task(connection.receive())
        await asyncio.sleep(0)
        if cancelled:
            reader.cancel()
            await asyncio.wait({reader})
        await connection.close()
        if not cancelled:
            with pytest.raises(ConnectionEnded) as ended:
                await reader
            assert ended.value.verdict.reason is EndReason.STOPPED
        await peer.gone()
    assert codes == [1000]


async def keep_talking(peer: Peer) -> None:
    try:
        while True:
            await peer.text(NEXT)
            await asyncio.sleep(0)
    except ConnectionError:
        pass


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("script", [stay, keep_silent, keep_talking, leave])
@pytest.mark.parametrize("times", [1, 3])
async def test_closing_does_not_hang_on_the_peer(script: Callable[[Peer], Awaitable[None]], times: int) -> None:
    async with connected(script) as (connection, _):
        with anyio.fail_after(10):
            await asyncio.gather(*(connection.close() for _ in range(times)))
        assert (await ending(connection)).reason is EndReason.STOPPED


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("script", [keep_silent, say_goodbye])
async def test_a_cancelled_close_closes_all_the_same(script: Callable[[Peer], Awaitable[None]]) -> None:
    async with connected(script) as (connection, _):
        closing = asyncio.create_task(connection.close())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert connection._closing is not None
        assert connection._closing.done()
    async with connected(script) as (connection, _):
        finished = False
        with anyio.CancelScope() as scope:
            scope.cancel()
            await connection.close()
            finished = True
        assert finished
        assert connection._closing is not None
        assert connection._closing.done()
