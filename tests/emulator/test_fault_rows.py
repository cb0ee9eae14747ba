"""Every failure that comes with the package: what the SDK sees of it, and that the server survives it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from azure.ai.voicelive import models
from azure.ai.voicelive.aio import ConnectionClosed, VoiceLiveConnection, connect
from azure.ai.voicelive.aio import ConnectionError as VoiceLiveConnectionError
from azure.core.credentials import AzureKeyCredential

from voicelive_agent import AudioFormat, SessionLostError, VoiceAgent
from voicelive_agent.emulator import Server, serve
from voicelive_agent.emulator.faults import FaultScript, named_rows
from voicelive_agent.errors import (
    AuthenticationError,
    ConnectError,
    NotFoundError,
    RateLimitedError,
    ServiceUnavailableError,
    VoiceLiveError,
)

from .driver import noise

ROWS = named_rows()
FREE_OF_CODE = (AttributeError, RecursionError, VoiceLiveConnectionError, ConnectionClosed)
"""What the SDK's recv() raises for a single bad message, besides the loss of the connection."""


@asynccontextmanager
async def connected(
    server: Server, *, heartbeat: bool = False, **headers: str
) -> AsyncIterator[VoiceLiveConnection]:
    async with connect(
        endpoint=server.url,
        credential=AzureKeyCredential("key"),
        model="gpt-4.1",
        headers=headers,
        connection_options={"heartbeat": 0.3} if heartbeat else None,
    ) as connection:
        yield connection


class Client:
    """A conversation through the SDK, and what ``recv()`` gave: types of events, or RAISED and an exception."""

    def __init__(self, connection: VoiceLiveConnection) -> None:
        self.connection = connection
        self.labels: list[str] = []
        self.raw: list[Any] = []

    @property
    def lost(self) -> bool:
        return self.connection._connection.closed

    async def turn(self, does: str) -> None:
        """Configure the session and take a turn of it; the rest is up to :meth:`until`."""
        connection = self.connection
        if does == "commit":
            await connection.session.update(session={"turn_detection": None})
            audio = base64.b64encode(noise(0.3)).decode()
            await connection.input_audio_buffer.append(audio=audio)
            await connection.input_audio_buffer.commit()
            return
        content: list[models.MessageContentPart] = [models.InputTextContentPart(text="Hello")]
        await connection.session.update(session=models.RequestSession(instructions="Be brief."))
        await connection.conversation.item.create(item=models.UserMessageItem(content=content))
        await connection.response.create()

    async def until(self, wanted: list[str]) -> int | None:
        """Receive until these labels have come, in this order; the code of the end where that came first."""
        rest = list(wanted)
        while rest:
            try:
                event = await self.connection.recv()
            except FREE_OF_CODE as error:
                if self.lost and isinstance(error, ConnectionClosed):
                    return error.code
                label = f"RAISED {type(error).__name__}"
            else:
                self.raw.append(event)
                label = str(event.get("type"))
                if label == "error":
                    label = f"error {event['error']['code']}"
            self.labels.append(label)
            if label == rest[0]:
                del rest[0]
        return None


async def a_turn_works(connection: VoiceLiveConnection) -> None:
    client = Client(connection)
    await client.turn("speak")
    assert await client.until(["response.done"]) is None, client.labels


@pytest.mark.parametrize("name", ROWS)
async def test_a_client_sees_the_failure_and_the_server_survives_it(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = asyncio.all_tasks()
    async with asyncio.timeout(20), serve(faults=name) as server:
        wanted = ROWS[name]["client"]
        if "handshake" in wanted:
            await refused(server, wanted)
        else:
            async with connected(server, heartbeat=wanted.get("heartbeat", False)) as connection:
                await played(Client(connection), wanted)
        server.faults.load(())
        async with connected(server) as other:
            await a_turn_works(other)
    assert asyncio.all_tasks() == before
    assert [
        record for record in caplog.records if record.name.startswith(("voicelive_agent", "aiohttp", "asyncio"))
    ] == []


async def refused(server: Server, wanted: dict[str, Any]) -> None:
    """A handshake that leads to nothing: the status is on the cause only."""
    if wanted["handshake"] == "timeout":
        # Not through the SDK: it leaks its connection when its handshake is cancelled.
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        writer.write(b"GET /voice-live/realtime HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await reader.read(1)
        writer.close()
        await writer.wait_closed()
        return
    with pytest.raises(VoiceLiveConnectionError) as caught:
        async with connected(server):
            pass
    cause = caught.value.__cause__
    if wanted["handshake"] == "redirect":  # no status, and nothing was sent to the other place
        assert "redirects are not supported" in str(cause)
        return
    assert isinstance(cause, aiohttp.WSServerHandshakeError)
    assert cause.status == wanted["handshake"]
    assert cause.headers is not None
    assert {key: cause.headers[key] for key in wanted.get("headers", {})} == wanted.get("headers", {})
    if wanted.get("again"):
        async with connected(server) as connection:
            await a_turn_works(connection)


async def played(client: Client, wanted: dict[str, Any]) -> None:
    """A turn during which it happens, then the end of the connection, or another turn."""
    try:
        await client.turn(wanted.get("does", "speak"))
    except VoiceLiveConnectionError:  # what is sent to a connection that is gone
        assert isinstance(wanted.get("end"), dict)
    sees = wanted.get("sees", [])
    if wanted.get("does") == "truncate":
        assert await client.until(["response.done"]) is None
        sees = [label for label in sees if label != "response.done"]
        await client.connection.conversation.item.truncate(item_id="x", content_index=0, audio_end_ms=9)
    end = await client.until(sees)
    if wanted.get("end") == "nothing":
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.until(["response.done"])
    elif "end" in wanted:
        assert end is None, client.labels
        assert await client.until(["(the end)"]) == wanted["end"]["code"]
        assert client.connection._connection.close_code == wanted["end"]["wire"]
    else:
        assert end is None, client.labels
        await a_turn_works(client.connection)
    assert wanted.get("misses") not in client.labels


# --- What cannot be told from the types alone --------------------------------------------------------------


async def seen(name: str, labels: list[str], does: str = "speak") -> list[Any]:
    async with (
        asyncio.timeout(20),
        serve() as server,
        connected(server, **{"x-voicelive-faults": name}) as connection,
    ):
        client = Client(connection)
        await client.turn(does)
        assert await client.until(labels) is None
        return client.raw


def of(events: list[Any], kind: str) -> Iterator[Any]:
    return (event for event in events if event["type"] == kind)


async def test_audio_that_is_no_base64_is_text_to_the_sdk() -> None:
    delta = next(of(await seen("bad-base64", ["response.done"]), "response.audio.delta")).delta
    assert isinstance(delta, str)


async def test_half_a_sample_is_an_odd_number_of_bytes() -> None:
    delta = next(of(await seen("half-a-sample", ["response.done"]), "response.audio.delta")).delta
    assert isinstance(delta, bytes)
    assert len(delta) % 2 == 1


async def test_an_event_twice_has_one_id() -> None:
    first, second, *_ = of(await seen("event-twice", ["response.done"]), "response.audio.delta")
    assert dict(first) == dict(second)


async def test_a_late_delta_belongs_to_the_answer_that_is_over() -> None:
    events = await seen("late-delta", ["response.done", "response.audio.delta"])
    assert events[-1]["response_id"] == events[-2]["response"]["id"]


async def test_the_second_transcript_is_empty_and_its_item_follows_itself() -> None:
    events = await seen("transcript-twice", ["conversation.item.created"] * 2, "commit")
    transcripts = [
        event["transcript"] for event in of(events, "conversation.item.input_audio_transcription.completed")
    ]
    items = list(of(events, "conversation.item.created"))
    assert transcripts[0] != ""
    assert transcripts[1] == ""
    assert items[1]["previous_item_id"] == items[1]["item"]["id"] == items[0]["item"]["id"]
    assert len({event["event_id"] for event in events}) == len(events)


async def test_the_second_connection_has_the_old_token() -> None:
    async with asyncio.timeout(20), serve(faults="token-expired") as server:
        async with connected(server) as connection:
            await a_turn_works(connection)
        with pytest.raises(VoiceLiveConnectionError, match="401"):
            async with connected(server):
                pass


@pytest.mark.parametrize("name", ROWS)
def test_the_data_say_what_they_mean(name: str) -> None:
    row = ROWS[name]
    assert row["failure"].endswith(".")
    script = FaultScript.named(name)
    assert FaultScript.of(script.to_json()) == script
    assert {"handshake", "then", "end"} & row["client"].keys()


def test_the_guide_lists_every_failure() -> None:
    guide = Path(__file__).parents[2] / "docs" / "how-to" / "emulator-faults.md"
    lines = guide.read_text(encoding="utf-8").splitlines()
    listed = [line for line in lines if line.startswith("| `") and line.endswith(". |")]
    assert listed == [f"| `{name}` | {row['failure']} |" for name, row in ROWS.items()]


# --- The project's own agent --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("unauthorized", AuthenticationError),
        ("forbidden", AuthenticationError),
        ("not-found", NotFoundError),
        ("rate-limited", RateLimitedError),
        ("unavailable", ServiceUnavailableError),
        ("redirect", ConnectError),
        ("captive-portal", ConnectError),
        ("fin", SessionLostError),
        ("reset", SessionLostError),
        ("close-1011", SessionLostError),
        ("close-1008", SessionLostError),
        ("expired", SessionLostError),
        ("expired-bare", SessionLostError),
        ("oversized", SessionLostError),
    ],
)
async def test_the_agent_names_the_failure(name: str, error: type[VoiceLiveError]) -> None:
    async with asyncio.timeout(20), serve(faults=name) as server:
        agent = VoiceAgent(server.url, "key", greeting="Hello.")
        with pytest.raises(error) as caught:
            await agent.run(sink=Nowhere())
        if isinstance(caught.value, RateLimitedError):
            assert caught.value.retry_after_s == 7
        server.faults.load(())
        async with connected(server) as connection:
            await a_turn_works(connection)


class Nowhere:
    """A sink that plays everything at once."""

    format = AudioFormat(rate=24_000)
    pending = 0

    def write(self, pcm: bytes) -> None:
        """Gone."""

    def flush(self) -> None:
        """Nothing is there."""
