"""The server: the SDK over a real socket, and handshakes that the service would refuse."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from azure.ai.voicelive import models
from azure.ai.voicelive.aio import VoiceLiveConnection, connect
from azure.core.credentials import AzureKeyCredential

from voicelive_agent.emulator import (
    Action,
    Call,
    EmulatorSession,
    EnergyEars,
    Job,
    Options,
    Say,
    ScriptedBrain,
    Server,
    ToneVoice,
    Turn,
    serve,
)
from voicelive_agent.emulator import server as server_module
from voicelive_agent.emulator import server_connection as connection_module
from voicelive_agent.emulator.threaded import in_thread
from voicelive_agent.errors import ConfigurationError

from .driver import Event, noise, only, silence, types

PATH = "/voice-live/realtime?api-version=2026-07-15&model=gpt-4.1"
AGENT = "/voice-live/realtime?api-version=v1&agent-name=a&agent-project-name=p"

pytestmark = pytest.mark.usefixtures("patient_server")


@asynccontextmanager
async def connected(server: Server, **settings: Any) -> AsyncIterator[VoiceLiveConnection]:
    settings.setdefault("model", "gpt-4.1")
    async with connect(endpoint=server.url, credential=AzureKeyCredential("key"), **settings) as connection:
        yield connection


async def until(connection: VoiceLiveConnection, kind: str) -> list[Event]:
    """The events up to the next one of this type, as the SDK received them."""
    events: list[Event] = []
    async with asyncio.timeout(20):
        while not events or events[-1]["type"] != kind:
            events.append(json.loads(await connection.recv_bytes()))
    return events


async def say(connection: VoiceLiveConnection, text: str) -> list[Event]:
    content: list[models.MessageContentPart] = [models.InputTextContentPart(text=text)]
    await connection.conversation.item.create(item=models.UserMessageItem(content=content))
    await connection.response.create()
    return await until(connection, "response.done")


async def append(connection: VoiceLiveConnection, pcm: bytes) -> None:
    for at in range(0, len(pcm), 4800):
        audio = base64.b64encode(pcm[at : at + 4800]).decode()
        await connection.input_audio_buffer.append(audio=audio)


# --- The SDK ----------------------------------------------------------------------------------------------


async def test_a_typed_turn() -> None:
    async with serve() as server, connected(server) as connection:
        first = await connection.recv()
        assert isinstance(first, models.ServerEventSessionCreated)
        assert first.session.expires_at is not None
        await connection.session.update(session=models.RequestSession(instructions="Be brief."))
        assert only(await until(connection, "session.updated"), "session.updated")
        events = await say(connection, "Hello")
        assert only(events, "response.audio_transcript.done")["transcript"] == "I heard: Hello"
        assert "response.audio.delta" in types(events)


async def test_a_spoken_turn() -> None:
    async with serve(ears=EnergyEars(["what time is it"])) as server, connected(server) as connection:
        turn = models.ServerVad(threshold=0.5, prefix_padding_ms=300, silence_duration_ms=500)
        await connection.session.update(session=models.RequestSession(turn_detection=turn))
        await append(connection, silence(0.5) + noise(1.0) + silence(0.8))
        events = await until(connection, "response.done")
        completed = only(events, "conversation.item.input_audio_transcription.completed")
        assert completed["transcript"] == "what time is it"
        assert only(events, "response.done")["response"]["status"] == "completed"


async def test_a_function_call() -> None:
    brain = ScriptedBrain([(r"weather in (\w+)", Call("get_weather", {"city": r"\1"}))])
    async with serve(brain=brain) as server, connected(server, model="gpt-realtime") as connection:
        tool = models.FunctionTool(name="get_weather", parameters={"type": "object", "properties": {}})
        await connection.session.update(session=models.RequestSession(tools=[tool]))
        call = only(await say(connection, "The weather in Rome?"), "response.function_call_arguments.done")
        assert json.loads(call["arguments"]) == {"city": "Rome"}
        item = models.FunctionCallOutputItem(call_id=call["call_id"], output="Sunny.")
        await connection.conversation.item.create(item=item)
        await connection.response.create()
        events = await until(connection, "response.done")
        assert only(events, "response.audio_transcript.done")["transcript"] == "Sunny."


async def test_a_barge_in() -> None:
    brain = ScriptedBrain([("", "A long story. " * 20)])
    async with serve(brain=brain, options=Options(realtime_factor=1.0)) as server, connected(server) as connection:
        content: list[models.MessageContentPart] = [models.InputTextContentPart(text="Tell me")]
        await connection.conversation.item.create(item=models.UserMessageItem(content=content))
        await connection.response.create()
        await until(connection, "response.audio.delta")
        await append(connection, silence(0.3) + noise(0.5))
        events = await until(connection, "response.done")
        assert "input_audio_buffer.speech_started" in types(events)
        details = only(events, "response.done")["response"]["status_details"]
        assert details == {"type": "cancelled", "reason": "turn_detected"}


async def test_sessions_are_apart_and_at_the_same_time() -> None:
    async with serve() as server, connected(server) as one, connected(server, model="gpt-realtime") as two:
        assert server.connections == 2
        answers = await asyncio.gather(say(one, "one"), say(two, "two"))
        texts = [only(events, "response.audio_transcript.done")["transcript"] for events in answers]
        assert texts == ["I heard: one", "I heard: two"]


async def test_a_plug_in_runs_on_one_thread_at_a_time_and_never_on_the_loops() -> None:
    class Watchful(ToneVoice):
        busy = False
        threads: set[int] = set()  # noqa: RUF012

        def speak(self, text: str) -> Iterator[bytes]:
            for piece in super().speak(text):
                assert not self.busy
                self.busy = True
                self.threads.add(threading.get_ident())
                sum(range(20_000))
                self.busy = False
                yield piece

    voice = Watchful()
    async with serve(voice=voice, brain=ScriptedBrain([("", "Yes. " * 20)])) as server:
        async with connected(server) as one, connected(server) as two:
            answers = await asyncio.gather(say(one, "one"), say(two, "two"))
    statuses = [only(events, "response.done")["response"]["status"] for events in answers]
    assert statuses == ["completed", "completed"]
    assert threading.get_ident() not in voice.threads


async def test_a_failing_brain_is_a_failed_response() -> None:
    class Broken(ScriptedBrain):
        def answer(self, turn: Turn) -> Iterator[Action]:
            raise RuntimeError("no thoughts")

    async with serve(brain=Broken()) as server, connected(server) as connection:
        response = only(await say(connection, "Hi"), "response.done")["response"]
        assert response["status"] == "failed"
        assert "no thoughts" in response["status_details"]["error"]["message"]


async def test_sessions_can_be_made_to_measure() -> None:
    def make(model: str, query: Mapping[str, str]) -> EmulatorSession:
        assert query["api-version"]
        return EmulatorSession(model=model, brain=ScriptedBrain([("", f"This is {model}.")]))

    async with serve(make_session=make) as server, connected(server, model="my-model") as connection:
        events = await say(connection, "Hi")
        assert only(events, "response.audio_transcript.done")["transcript"] == "This is my-model."


# --- Endings ----------------------------------------------------------------------------------------------


async def test_the_time_limit_closes_with_1001() -> None:
    async with serve(options=Options(max_session_s=0.1)) as server, aiohttp.ClientSession() as client:
        async with client.ws_connect(server.url + PATH, headers={"api-key": "x"}) as socket:
            kinds = [json.loads(message.data)["type"] async for message in socket]
            assert kinds == ["session.created", "error"]
            assert socket.close_code == 1001


async def test_shutdown_closes_with_1001_and_leaves_nothing_behind() -> None:
    before = asyncio.all_tasks()
    threads = set(threading.enumerate())
    async with aiohttp.ClientSession() as client:
        async with serve() as server:
            socket = await client.ws_connect(server.url + PATH, headers={"api-key": "x"})
            await socket.send_json({"type": "response.create"})
            while json.loads((await socket.receive()).data)["type"] != "response.done":
                pass
        message = await socket.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1001)
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.get(server.url)
    assert asyncio.all_tasks() == before
    assert set(threading.enumerate()) <= threads


async def test_shutdown_waits_for_work_in_hand() -> None:
    begun, end = threading.Event(), threading.Event()

    class Slow(ScriptedBrain):
        def answer(self, turn: Turn) -> Iterator[Action]:
            begun.set()
            end.wait(10)
            yield Say("too late")

    await asyncio.to_thread(len, "")  # the loop's own pool has its thread from now on
    threads = set(threading.enumerate())
    async with aiohttp.ClientSession() as client, serve(brain=Slow()) as server:
        async with client.ws_connect(server.url + PATH, headers={"api-key": "x"}) as socket:
            await socket.send_json({"type": "response.create"})
            assert await asyncio.to_thread(begun.wait, 10)
        asyncio.get_running_loop().call_later(0.05, end.set)
    assert set(threading.enumerate()) <= threads


async def test_shutdown_leaves_a_hanging_plug_in_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server_module, "_WORK_TIMEOUT_S", 0.05)
    begun, end = threading.Event(), threading.Event()

    class Hanging(ScriptedBrain):
        def answer(self, turn: Turn) -> Iterator[Action]:
            begun.set()
            end.wait(20)
            return iter(())

    try:
        async with aiohttp.ClientSession() as client, serve(brain=Hanging()) as server:
            for _ in range(2):  # the second one waits for its plug-in, and is never run
                socket = await client.ws_connect(server.url + PATH, headers={"api-key": "x"})
                await socket.send_json({"type": "response.create"})
            assert await asyncio.to_thread(begun.wait, 10)
        assert "abandoned" in caplog.text
    finally:
        end.set()


async def test_work_that_nobody_waits_for_any_more_is_not_begun() -> None:
    begun, end = threading.Event(), threading.Event()
    answered = []

    class Slow(ScriptedBrain):
        def answer(self, turn: Turn) -> Iterator[Action]:
            answered.append(turn)
            begun.set()
            end.wait(20)
            return iter(())

    async with aiohttp.ClientSession() as client, serve(brain=Slow()) as server:
        sockets = [await client.ws_connect(server.url + PATH, headers={"api-key": "x"}) for _ in range(2)]
        await sockets[0].send_json({"type": "response.create"})
        assert await asyncio.to_thread(begun.wait, 10)
        await sockets[1].send_json({"type": "response.create"})
        await sockets[1].receive()
        await sockets[1].receive()
        await sockets[1].close()
        end.set()
        while (await sockets[0].receive_json())["type"] != "response.done":
            pass
    assert len(answered) == 1


async def test_messages_may_be_binary() -> None:
    async with serve() as server, aiohttp.ClientSession() as client:
        async with client.ws_connect(server.url + PATH, headers={"api-key": "x"}) as socket:
            await socket.receive()
            await socket.send_bytes(b'{"type": "response.create"}')
            assert (await socket.receive_json())["type"] == "response.created"


async def test_a_client_that_vanishes_is_forgotten() -> None:
    async with serve(options=Options(realtime_factor=1.0)) as server:
        async with aiohttp.ClientSession() as client:
            socket = await client.ws_connect(server.url + PATH, headers={"api-key": "x"})
            await socket.send_json({"type": "response.create"})
            await socket.receive()
            assert server.connections == 1
            socket._response.connection.transport.abort()  # type: ignore[union-attr]
            async with asyncio.timeout(20):
                while server.connections:  # noqa: ASYNC110  there is no event for it
                    await asyncio.sleep(0.01)


async def test_a_client_that_vanishes_while_it_is_let_in_is_no_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def gone(*_: object) -> None:
        raise ConnectionResetError("Cannot write to closing transport")

    async with serve() as server, aiohttp.ClientSession() as client:
        url = server.url + PATH
        with monkeypatch.context() as patch:
            patch.setattr(web.WebSocketResponse, "prepare", gone)
            with pytest.raises(aiohttp.ClientError):
                await client.ws_connect(url, headers={"api-key": "k"})
        async with client.ws_connect(url, headers={"api-key": "k"}) as socket:
            assert (await socket.receive_json())["type"] == "session.created"
    assert caplog.records == []


async def test_a_message_over_16_mib_ends_only_its_connection() -> None:
    async with serve() as server, aiohttp.ClientSession() as client:
        async with client.ws_connect(server.url + PATH, headers={"api-key": "x"}) as socket:
            await socket.receive()
            with suppress(ConnectionError):  # the server does not read the rest
                await socket.send_str("x" * (16 * 1024 * 1024 + 1))
            assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        async with connected(server) as connection:
            assert "response.done" in types(await say(connection, "Hi"))


async def test_an_append_over_15_mib_is_an_error_event() -> None:
    async with serve() as server, aiohttp.ClientSession() as client:
        async with client.ws_connect(server.url + PATH, headers={"api-key": "x"}) as socket:
            await socket.receive()
            await socket.send_json({"type": "input_audio_buffer.append", "audio": "A" * (15 * 1024 * 1024 + 4)})
            assert json.loads((await socket.receive()).data)["error"]["param"] == "audio"


# --- Handshakes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        (PATH, {}, 401),
        (PATH, {"api-key": "wrong"}, 401),
        (PATH, {"api-key": "wröng"}, 401),
        (PATH + "&api-key=wrong", {}, 401),
        ("/voice-live/realtime?model=gpt-4.1", {"api-key": "right"}, 400),
        ("/voice-live/realtime?api-version=2026-07-15", {"api-key": "right"}, 400),
        (PATH, {"api-key": "right"}, 400),  # no upgrade
        (AGENT, {"api-key": "right"}, 401),
        (AGENT + "&api-key=right", {}, 401),
        ("/", {"api-key": "right"}, 404),
        ("/openai/realtime?api-version=2026-07-15&model=x", {"api-key": "right"}, 404),
    ],
)
async def test_refused_handshakes(path: str, headers: dict[str, str], status: int) -> None:
    async with serve(api_key="right") as server, aiohttp.ClientSession() as client:
        async with client.get(server.url + path, headers=headers) as response:
            assert response.status == status
            assert (await response.json())["error"]["message"]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (PATH, {"api-key": "right"}),
        (PATH, {"Authorization": "Bearer token"}),
        (PATH + "&api-key=right", {}),
        (PATH + "&Authorization=Bearer%20token", {}),
        (AGENT, {"Authorization": "Bearer token"}),
        (AGENT + "&Authorization=Bearer%20token", {}),
    ],
)
async def test_accepted_handshakes(path: str, headers: dict[str, str]) -> None:
    async with serve(api_key="right") as server, aiohttp.ClientSession() as client:
        async with client.ws_connect(server.url + path, headers=headers) as socket:
            assert json.loads((await socket.receive()).data)["type"] == "session.created"


async def test_the_sdk_reports_a_refused_key() -> None:
    from azure.ai.voicelive.aio import ConnectionError as VoiceLiveConnectionError

    async with serve(api_key="right") as server:
        with pytest.raises(VoiceLiveConnectionError) as caught:
            async with connected(server):
                pass
        assert isinstance(caught.value.__cause__, aiohttp.WSServerHandshakeError)
        assert caught.value.__cause__.status == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com", "::"])
async def test_other_machines_are_not_served_by_accident(host: str) -> None:
    with pytest.raises(ConfigurationError, match="allow_remote"):
        async with serve(host):
            pass


async def test_other_machines_are_served_on_purpose() -> None:
    async with serve("0.0.0.0", allow_remote=True) as server:
        assert server.url.startswith("http://0.0.0.0:")


async def test_a_port_that_is_taken_is_an_os_error() -> None:
    async with serve() as server:
        port = int(server.url.rsplit(":", 1)[1])
        with pytest.raises(OSError, match=str(port)):
            async with serve(port=port):
                pass


# --- Faults on the socket -----------------------------------------------------------------------------------


async def test_pings_are_answered() -> None:
    async with serve() as server, aiohttp.ClientSession() as client:
        async with client.ws_connect(server.url + PATH, headers={"api-key": "x"}, autoping=False) as socket:
            await socket.receive()
            await socket.ping(b"hello")
            message = await socket.receive()
            assert (message.type, bytes(message.data)) == (aiohttp.WSMsgType.PONG, b"hello")


async def test_a_slow_reader_reads_everything_in_the_end() -> None:
    faults = [{"when": "open", "action": {"do": "slow", "bytes_per_s": 1_000_000, "direction": "received"}}]
    async with serve(faults=faults) as server, connected(server) as connection:
        assert "response.done" in types(await say(connection, "Hi"))


async def test_a_flood_is_not_read_faster_than_it_is_handled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "_MAX_BACKLOG", 10_000)
    async with serve() as server, connected(server) as connection:
        await append(connection, noise(0.5))
        await connection.input_audio_buffer.clear()
        assert "input_audio_buffer.cleared" in types(await until(connection, "input_audio_buffer.cleared"))


async def test_the_server_ends_with_handshakes_and_sockets_that_hang() -> None:
    before = asyncio.all_tasks()
    async with aiohttp.ClientSession() as client:
        async with serve(faults="half-open") as server:
            frozen = await client.ws_connect(server.url + PATH, headers={"api-key": "x"})
            await frozen.send_json({"type": "response.create"})
            while (await frozen.receive_json())["type"] != "response.audio.delta":
                pass
            await frozen.send_json({"type": "response.cancel"})
            server.faults.load("handshake-hangs")
            hanging = asyncio.create_task(client.ws_connect(server.url + PATH, headers={"api-key": "x"}))
            while server.faults.connections < 1:  # noqa: ASYNC110  there is no event for it
                await asyncio.sleep(0)
            assert server.connections == 1
        with pytest.raises(aiohttp.ClientError):
            await hanging
        await frozen.close()
    assert asyncio.all_tasks() == before


async def test_a_client_that_leaves_a_hanging_handshake_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    left = asyncio.Event()
    hang = Server._hang

    async def noted(self: Server, request: web.Request, for_s: float | None) -> bool:
        stays = await hang(self, request, for_s)
        left.set()
        return stays

    monkeypatch.setattr(Server, "_hang", noted)
    async with asyncio.timeout(10), serve(faults="handshake-hangs") as server, aiohttp.ClientSession() as client:
        _, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        writer.write(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await writer.drain()
        while not server.faults.connections:  # noqa: ASYNC110  there is no event for it
            await asyncio.sleep(0)
        assert not left.is_set()
        writer.close()
        await left.wait()
        server.faults.load(())
        async with client.ws_connect(server.url + PATH, headers={"api-key": "x"}) as socket:
            assert (await socket.receive_json())["type"] == "session.created"


class Parrot:
    """A session that is none of ours: it repeats what it hears, and closes as it is told."""

    closing: tuple[int, str] | None = None
    deadline: float | None = None

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []

    def start(self, now: float, *, unix_time: float | None = None) -> None:
        self.said.append({"type": "hello"})

    def receive(self, data: str | bytes, now: float) -> None:
        event = json.loads(data)
        self.said.append(event)
        self.closing = (event["close"], "x" * 200) if "close" in event else None

    def poll(self, now: float) -> list[dict[str, Any]]:
        said, self.said = self.said, []
        return said

    def jobs(self) -> list[Job]:
        return []

    def finish(self, job: Job, result_or_error: object, now: float) -> None:
        raise AssertionError


@pytest.mark.parametrize(("code", "seen"), [(4003, 4003), (1006, 1006)])
async def test_any_session_is_served(code: int, seen: int) -> None:
    async with serve(make_session=lambda model, query: Parrot()) as server, aiohttp.ClientSession() as client:
        async with client.ws_connect(server.url + PATH, headers={"api-key": "x"}) as socket:
            assert await socket.receive_json() == {"type": "hello"}
            await socket.send_json({"close": code})
            assert await socket.receive_json() == {"close": code}
            message = await socket.receive()
            assert socket.close_code == seen
            assert message.extra in ("x" * 123, None)


async def test_a_client_that_answers_the_close_late_is_waited_for() -> None:
    """The server's end of a session is a whole closing handshake, whatever its reader notices first."""
    script = [{"when": "open", "action": {"do": "close", "code": 4005, "reason": "bye"}}]
    async with serve(faults=script) as server, aiohttp.ClientSession() as client:
        async with client.ws_connect(server.url + PATH, headers={"api-key": "x"}, autoclose=False) as socket:
            message = await socket.receive()
            assert (message.data, message.extra) == (4005, "bye")
            await asyncio.sleep(0.2)
            assert server.connections == 1
            await socket.close()
        while server.connections:  # noqa: ASYNC110  there is no event for it
            await asyncio.sleep(0.01)


async def test_a_client_that_talks_on_and_listens_late_hears_why_it_ends() -> None:
    cleared = {"at": "received", "type": "input_audio_buffer.clear"}
    script = [{"when": cleared, "action": {"do": "close", "code": 4005, "reason": "bye"}}]
    with in_thread(serve(faults=script)) as server:
        async with aiohttp.ClientSession() as client:
            async with client.ws_connect(server.url + PATH, headers={"api-key": "x"}) as socket:
                await socket.receive()
                for _ in range(5):
                    await socket.send_json({"type": "input_audio_buffer.clear"})
                    time.sleep(0.1)  # noqa: ASYNC251  its loop is busy: it reads nothing meanwhile
                while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                    pass
                assert (message.type, message.data, message.extra) == (aiohttp.WSMsgType.CLOSE, 4005, "bye")


async def test_a_client_that_is_gone_before_its_pong_is_no_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def gone(*_: object) -> None:
        raise ConnectionResetError("Cannot write to closing transport")

    monkeypatch.setattr(web.WebSocketResponse, "pong", gone)
    async with serve() as server, aiohttp.ClientSession() as client:
        async with client.ws_connect(server.url + PATH, headers={"api-key": "k"}) as socket:
            await socket.ping()
            await socket.send_json({"type": "input_audio_buffer.clear"})
            await socket.receive()
            assert (await socket.receive_json())["type"] == "input_audio_buffer.cleared"
    assert caplog.records == []
