"""The proxy: a client cannot tell it from the service, whatever either of them does."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from azure.ai.voicelive.aio import ConnectionError as RefusedBySdk

from voicelive_agent.emulator import Options, serve
from voicelive_agent.emulator.observers import ConnectionInfo
from voicelive_agent.emulator.proxy import Proxy, serve_proxy
from voicelive_agent.emulator.recording import Recorder, load_recording
from voicelive_agent.emulator.replay import ReplayOptions, replaying
from voicelive_agent.errors import ConfigurationError

from ..faultserver import BINARY, CLOSE, CREATED, PING, PONG, TEXT, FaultServer, Frame, Peer, Script, closed_port
from .driver import Event, audio_of
from .recorded import KEY, connected, converse, emulator, only_recording, timeless, until

PATH = "/voice-live/realtime?api-version=2026-07-15&model=gpt-4.1"


class Spy:
    """Writes down what an observer is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.infos: list[ConnectionInfo] = []
        self.ended = asyncio.Event()

    def opened(self, connection: ConnectionInfo, now: float) -> None:
        self.infos.append(connection)
        self.told.append(("opened",))

    def received(self, connection: ConnectionInfo, message: str | bytes, now: float) -> None:
        self.told.append(("received", message))

    def sent(self, connection: ConnectionInfo, event: Mapping[str, Any], now: float) -> None:
        self.told.append(("sent", event.get("type")))

    def closed(self, connection: ConnectionInfo, code: int | None, reason: str, now: float) -> None:
        self.told.append(("closed", code, reason))
        self.ended.set()


@asynccontextmanager
async def proxied(script: Script, **settings: Any) -> AsyncIterator[tuple[FaultServer, Proxy]]:
    """A proxy in front of a scripted service."""
    async with FaultServer(script) as service, serve_proxy(service.url, **settings) as proxy:
        yield service, proxy


async def part(peer: Peer) -> int | None:
    """Read on until the client says good-bye, and answer."""
    code = await peer.closing()
    if code is not None:
        await peer.close(code)
    return code


@asynccontextmanager
async def opened(
    url: str, path: str = PATH, headers: Mapping[str, str] | None = None, **settings: Any
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with aiohttp.ClientSession() as client:
        async with client.ws_connect(url + path, headers=headers or {"api-key": KEY}, **settings) as socket:
            yield socket


# --- The SDK --------------------------------------------------------------------------------------------------


def without_ids(events: list[Event]) -> list[Event]:
    """Events of a session with ids that count instead of random ones."""
    names: dict[str, str] = {}

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: renamed(each) for key, each in value.items()}
        if isinstance(value, list):
            return [renamed(each) for each in value]
        if isinstance(value, str) and value.split("_")[0] in ("event", "sess", "item", "msg", "resp", "call"):
            return names.setdefault(value, f"{value.split('_')[0]}_{len(names)}")
        return value

    return [dict(event) for event in renamed(timeless(events))]


async def test_the_sdk_sees_no_difference(tmp_path: Path) -> None:
    async with emulator() as url:
        direct = await converse(url)
    async with emulator() as url, serve_proxy(url, observers=[Recorder(tmp_path, source="proxy")]) as proxy:
        through = await converse(proxy.url)
    assert without_ids(through) == without_ids(direct)
    assert audio_of(through) == audio_of(direct)
    recording = only_recording(tmp_path)
    assert recording.source == "proxy"
    assert [frame.event for frame in recording.frames if frame.sender == "service"] == through
    assert KEY not in str(recording)
    async with serve(make_session=replaying(recording, ReplayOptions(speed=1000.0))) as server:
        assert timeless(await converse(server.url)) == timeless(through)


async def test_what_the_service_is_told() -> None:
    """Path, query and headers go on as they are; the host is the service's own."""
    seen = asyncio.get_running_loop().create_future()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        seen.set_result(peer)
        await peer.accept()
        await peer.text(CREATED)
        await part(peer)

    async with proxied(script) as (service, proxy):
        headers = {"x-ms-client-request-id": "abc-123", "User-Agent": "mine/1.0", "VoiceLive-Features": "Key=V1"}
        async with connected(f"{proxy.url}/base", headers=headers, query={"profile": "a b+c&d"}) as connection:
            await until(connection, "session.created")
        peer = await seen
        assert peer.path == "/base/voice-live/realtime"
        assert peer.query["profile"] == "a b+c&d"
        assert peer.query["model"] == "gpt-4.1"
        assert peer.headers["api-key"] == KEY
        assert peer.headers["host"] == f"127.0.0.1:{service.port}"
        for name, value in headers.items():
            assert peer.headers[name.lower()] == value
        assert "sec-websocket-extensions" not in peer.headers
        assert "cookie" not in peer.headers


async def test_a_query_goes_on_letter_by_letter() -> None:
    query = "api-version=1&model=a%2Cb,c+d%20e&Authorization=Bearer%20x%2Fy"
    targets = []

    async def script(peer: Peer) -> None:
        head = await peer.reader.readuntil(b"\r\n\r\n")
        targets.append(head.split(b" ")[1].decode())
        await peer.raw(b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n")

    async with proxied(script) as (_, proxy):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(proxy.url.rpartition(":")[2]))
        upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        writer.write(f"GET /x%2Fy?{query} HTTP/1.1\r\nHost: h\r\n{upgrade}{key}\r\n".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 404")
        writer.close()
        await writer.wait_closed()
    assert targets == [f"/x%2Fy?{query}"]


async def test_an_upstream_may_have_a_path() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.text({"path": peer.path})
        await part(peer)

    async with FaultServer(script) as service, serve_proxy(f"{service.url}/team/") as proxy:
        async with opened(proxy.url) as socket:
            assert await socket.receive_json() == {"path": "/team/voice-live/realtime"}


# --- Refusals -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429, 500, 503])
async def test_a_refused_handshake(status: int) -> None:
    body = json.dumps({"error": {"code": str(status), "message": "No."}}).encode()

    async def script(peer: Peer) -> None:
        headers = {"Retry-After": "7", "Content-Type": "application/json", "x-ms-request-id": "r1"}
        await peer.status(status, headers, body)

    async with proxied(script) as (service, proxy), aiohttp.ClientSession() as client:
        answers = []
        for url in (service.url, proxy.url):
            upgrade = {
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
            }
            async with client.get(url + PATH, headers=upgrade) as response:
                kept = ("Retry-After", "Content-Type", "x-ms-request-id")
                answers.append((response.status, [response.headers[name] for name in kept], await response.read()))
        assert answers[0] == answers[1]
        with pytest.raises(RefusedBySdk) as refused:
            async with connected(proxy.url):
                pass
        cause = refused.value.__cause__
        assert isinstance(cause, aiohttp.WSServerHandshakeError)
        assert cause.status == status
        assert cause.headers is not None
        assert cause.headers["Retry-After"] == "7"


async def test_a_refusal_whose_body_breaks_off() -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.raw(b"HTTP/1.1 429 X\r\nRetry-After: 3\r\nContent-Length: 100\r\n\r\nabc")
        peer.fin()

    async with proxied(script) as (_, proxy), aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect(proxy.url + PATH)
    assert refused.value.status == 429
    assert refused.value.headers is not None
    assert refused.value.headers["Retry-After"] == "3"


async def test_a_wrong_key_is_the_services_to_refuse() -> None:
    async with serve(api_key="right") as server, serve_proxy(server.url) as proxy:
        with pytest.raises(RefusedBySdk, match="401"):
            async with connected(proxy.url):
                pass
        assert proxy.connections == 0


async def test_a_service_that_cannot_be_reached(caplog: pytest.LogCaptureFixture) -> None:
    upstream = f"http://127.0.0.1:{closed_port()}"
    async with serve_proxy(upstream) as proxy:
        status, error = await refusal(proxy)
    assert status == 502
    assert error["message"].startswith(f"The proxy could not reach {upstream}: Cannot connect to host 127.0.0.1")
    assert caplog.messages == [error["message"]]


async def test_a_service_that_does_not_answer() -> None:
    async def script(peer: Peer) -> None:
        await peer.gone()

    async with proxied(script, connect_timeout_s=0.2) as (service, proxy):
        status, error = await refusal(proxy)
        assert (status, error["message"]) == (
            502,
            f"The proxy could not reach {service.url}: it did not answer in time.",
        )


async def test_a_service_that_is_no_web_server() -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.raw(b"SSH-2.0-x\r\n")
        peer.fin()

    async with proxied(script) as (service, proxy):
        status, error = await refusal(proxy)
        assert status == 502
        assert error["message"].startswith(f"The proxy could not reach {service.url}: ")
        assert KEY not in error["message"]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirection_is_refused_and_the_key_stays_here(status: int) -> None:
    async def script(peer: Peer) -> None:
        await peer.status(status, {"Location": elsewhere.url + PATH})

    async def never(peer: Peer) -> None:
        raise AssertionError("nobody may come here")

    async with FaultServer(never) as elsewhere, proxied(script) as (_, proxy):
        got, error = await refusal(proxy)
        assert got == 502
        assert f"a redirection ({status}), which is refused" in error["message"]
        assert elsewhere.peers == []


async def test_what_is_no_websocket_is_not_passed_on() -> None:
    async def never(peer: Peer) -> None:
        raise AssertionError("nobody may come here")

    async with proxied(never) as (_, proxy), aiohttp.ClientSession() as client:
        async with client.post(proxy.url + "/anything", data="x") as response:
            assert response.status == 400
            assert "WebSocket upgrade" in (await response.json())["error"]["message"]


async def refusal(proxy: Proxy) -> tuple[int, Event]:
    """Status and error with which a handshake is refused."""
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "api-key": KEY}
    async with aiohttp.ClientSession() as client:
        headers = upgrade | {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
        async with client.get(proxy.url + PATH, headers=headers, allow_redirects=False) as response:
            return response.status, (await response.json())["error"]


# --- Frames ---------------------------------------------------------------------------------------------------


async def test_frames_pass_unchanged_and_in_order() -> None:
    frames = [(TEXT, b'{ "a" :1,\n"b":"\xc3\xa4"}'), (BINARY, bytes(range(256))), (TEXT, b""), (TEXT, b"{nope")]
    seen: list[Frame] = []

    async def script(peer: Peer) -> None:
        await peer.accept()
        for _ in range(len(frames) + 1):
            frame = await peer.read()
            assert frame is not None
            seen.append(frame)
            await peer.frame(frame.opcode, frame.payload)
        await part(peer)

    big = "x" * 1_000_000
    spy = Spy()
    async with proxied(script, observers=[spy]) as (_, proxy):
        async with opened(proxy.url) as socket:
            for kind, payload in frames:
                await (socket.send_str(payload.decode()) if kind == TEXT else socket.send_bytes(payload))
            await socket.send_str(big)
            back = [(await socket.receive()).data for _ in range(len(frames) + 1)]
        await spy.ended.wait()
    texts = [payload.decode() if kind == TEXT else payload for kind, payload in frames]
    assert back == [*texts, big]
    assert [(frame.opcode, frame.payload) for frame in seen] == [*frames, (TEXT, big.encode())]
    assert spy.told[0] == ("opened",)
    assert [told[1] for told in spy.told if told[0] == "received"] == [*texts, big]
    assert spy.told[-1] == ("closed", 1000, "")


async def test_an_observer_is_told_what_is_no_event(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.text(CREATED)
        await peer.text("{nope")
        await peer.frame(BINARY, b"\xff")
        await peer.close(1011, "over")
        await part(peer)

    path, spy = tmp_path / "call.jsonl", Spy()
    async with proxied(script, observers=[spy, Recorder(path)]) as (_, proxy):
        async with opened(proxy.url) as socket:
            while (await socket.receive()).type in (WSMsgType.TEXT, WSMsgType.BINARY):
                pass
        await spy.ended.wait()
    recording = load_recording(path)
    assert [(frame.text, frame.binary) for frame in recording.frames[1:]] == [("{nope", None), (None, b"\xff")]
    assert recording.closed is not None
    assert (recording.closed.sender, recording.closed.code, recording.closed.reason) == ("service", 1011, "over")
    names = [told[1] for told in spy.told if told[0] == "sent"]
    assert names == ["session.created", "(text)", "(binary)", "(close)"]


async def test_a_client_that_reads_nothing_slows_the_service_down() -> None:
    written = 0
    line = json.dumps({"x": "y" * 100_000})

    async def script(peer: Peer) -> None:
        nonlocal written
        await peer.accept()
        for _ in range(600):
            await peer.text(line)
            written += 1
        await part(peer)

    async with proxied(script) as (_, proxy), opened(proxy.url) as socket:
        before = -1
        while before != written or not written:  # until it stands still
            before = written
            await asyncio.sleep(0.3)
        assert written < 600
        for _ in range(600):
            assert (await socket.receive()).data == line
        assert written == 600


async def test_a_service_that_reads_nothing_slows_the_client_down() -> None:
    go_on = asyncio.Event()
    line, count = "y" * 100_000, 400

    async def script(peer: Peer) -> None:
        await peer.accept()
        await go_on.wait()
        await peer.reader.readexactly(count * (len(line) + 14))  # each with its head and its mask
        await peer.close(1000)
        await peer.gone()

    async with proxied(script) as (_, proxy), opened(proxy.url) as socket:
        sent = 0

        async def send() -> None:
            nonlocal sent
            for _ in range(count):
                await socket.send_str(line)
                sent += 1

        task = asyncio.create_task(send())
        before = -1
        while before != sent or not sent:  # until it stands still
            before = sent
            await asyncio.sleep(0.3)
        assert sent < count
        go_on.set()
        await task
        assert (await socket.receive()).type is WSMsgType.CLOSE


async def test_pings_are_answered_on_either_side() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.frame(PING, b"service")
        frame = await peer.read()
        assert frame == Frame(PONG, b"service")
        await peer.text("{}")
        await part(peer)

    async with proxied(script) as (_, proxy), opened(proxy.url, autoping=False) as socket:
        await socket.ping(b"client")
        answers = {
            (message.type, bytes(message.data, "utf8") if isinstance(message.data, str) else bytes(message.data))
            for message in [await socket.receive(), await socket.receive()]
        }
        assert answers == {(WSMsgType.PONG, b"client"), (WSMsgType.TEXT, b"{}")}


async def test_a_service_that_answers_no_ping_is_lost() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.text(CREATED)
        await peer.gone()  # reads, and says nothing

    async with proxied(script, heartbeat_s=0.2) as (_, proxy), opened(proxy.url) as socket:
        assert (await socket.receive_json())["type"] == "session.created"
        assert (await socket.receive()).type is WSMsgType.CLOSED
        assert socket.close_code == 1006


# --- Ends -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, ""), (1001, "session_expired"), (1011, "Grund: ä"), (4000, "x" * 123)]
)
async def test_the_service_closes(code: int, reason: str) -> None:
    answers = []

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.text(CREATED)
        await peer.close(code, reason)
        answers.append(await part(peer))

    spy = Spy()
    async with proxied(script, observers=[spy]) as (service, proxy):
        async with opened(proxy.url) as socket:
            assert (await socket.receive_json())["type"] == "session.created"
            message = await socket.receive()
        assert (message.type, message.data, message.extra or "") == (WSMsgType.CLOSE, code, reason)
        await spy.ended.wait()
        await service.finished()
    assert spy.told[-1] == ("closed", code, reason)
    assert len(answers) == 1


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, ""), (4001, "enough")])
async def test_the_client_closes(code: int, reason: str) -> None:
    frames = []

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.text(CREATED)
        frame = await peer.read()
        frames.append(frame)
        await peer.close(code, "")
        await peer.gone()

    spy = Spy()
    async with proxied(script, observers=[spy]) as (service, proxy):
        async with opened(proxy.url) as socket:
            await socket.receive()
            await socket.close(code=code, message=reason.encode())
            assert socket.close_code == code
        await spy.ended.wait()
        await service.finished()
    assert frames == [Frame(CLOSE, code.to_bytes(2, "big") + reason.encode())]
    assert spy.told[-1] == ("closed", code, reason)


async def test_an_answer_to_a_good_bye_is_waited_for_and_passed_on() -> None:
    answers = []

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.close(4005, "bye")
        answers.append(await part(peer))

    async with proxied(script) as (service, proxy):
        async with opened(proxy.url, autoclose=False) as socket:
            message = await socket.receive()
            assert (message.data, message.extra) == (4005, "bye")
            await asyncio.sleep(0.2)  # somebody who takes a while
            assert answers == []
            await socket.close(code=4009)
        await service.finished()
    assert answers == [4009]


async def test_a_close_without_a_code() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.close(None)
        await peer.gone()

    async with proxied(script) as (_, proxy), opened(proxy.url) as socket:
        assert (await socket.receive()).data == 1000


@pytest.mark.parametrize("end", ["fin", "reset"])
async def test_a_service_that_is_lost(end: str, tmp_path: Path) -> None:
    """What it said last still arrives, and then the client is alone too."""

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.text(CREATED)
        assert await peer.read_text() == "{}"
        getattr(peer, end)()

    spy = Spy()
    async with proxied(script, observers=[spy, Recorder(tmp_path / "call.jsonl")]) as (_, proxy):
        async with opened(proxy.url) as socket:
            assert (await socket.receive_json())["type"] == "session.created"
            await socket.send_str("{}")
            assert (await socket.receive()).type is WSMsgType.CLOSED
            assert socket.close_code == 1006
        await spy.ended.wait()
    assert spy.told[-2:] == [("sent", "(lost)"), ("closed", None, "")]
    closed = load_recording(tmp_path / "call.jsonl").closed
    assert closed is not None
    assert (closed.sender, closed.code) == ("service", None)


@pytest.mark.parametrize("abort", [True, False])
async def test_a_client_that_is_lost(abort: bool) -> None:
    """The service sees the end of the connection and no close frame."""
    ends = []

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.text(CREATED)
        ends.append(await part(peer))

    spy = Spy()
    async with proxied(script, observers=[spy]) as (service, proxy):
        async with aiohttp.ClientSession() as client:
            socket = await client.ws_connect(proxy.url + PATH)
            await socket.receive()
            transport = socket._response.connection.transport  # type: ignore[union-attr]
            transport.abort() if abort else transport.close()
            await spy.ended.wait()
        await service.finished()
        assert proxy.connections == 0
    assert ends == [None]
    assert spy.told[-1] == ("closed", None, "")


async def test_what_the_service_said_last_arrives_while_the_client_talks_on() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        for number in range(200):
            await peer.text({"type": "x", "number": number})
        await peer.close(1008, "enough of you")
        await part(peer)

    async with proxied(script) as (_, proxy), opened(proxy.url, autoclose=False) as socket:
        received = []
        while (message := await socket.receive()).type is WSMsgType.TEXT:
            received.append(json.loads(message.data)["number"])
            await socket.send_str("{}")
        assert received == list(range(200))
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 1008, "enough of you")


async def test_a_service_that_takes_no_more_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.accept()
        await tried.wait()
        await peer.close(1008, "enough of you")
        await part(peer)

    async def refuse(*_: object) -> None:
        tried.set()
        raise aiohttp.ClientConnectionResetError("Cannot write to closing transport")

    async with proxied(script) as (_, proxy), opened(proxy.url) as socket:
        with monkeypatch.context() as patch:
            patch.setattr(aiohttp.ClientWebSocketResponse, "send_bytes", refuse)
            await socket.send_frame(b"x", WSMsgType.BINARY)
            message = await socket.receive()
    assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 1008, "enough of you")


async def test_a_frame_that_is_too_long() -> None:
    ends = []

    async def script(peer: Peer) -> None:
        await peer.accept()
        ends.append(await part(peer))

    async with proxied(script, max_message_bytes=1000) as (service, proxy):
        async with opened(proxy.url) as socket:
            await socket.send_str("x" * 1001)
            assert (await socket.receive()).type is WSMsgType.CLOSE
            assert socket.close_code == 1009
        await service.finished()
    assert ends == [1009]


async def test_a_frame_of_the_service_that_breaks_the_protocol() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.raw(b"\xff\xff\xff\xff")
        await peer.gone()

    async with proxied(script) as (_, proxy), opened(proxy.url) as socket:
        message = await socket.receive()
        assert (message.type, message.data) == (WSMsgType.CLOSE, 1002)


async def test_a_proxy_that_stops_says_good_bye_to_both() -> None:
    ends = []

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.text(CREATED)
        ends.append(await part(peer))

    spy = Spy()
    async with FaultServer(script) as service:
        async with aiohttp.ClientSession() as client:
            async with serve_proxy(service.url, observers=[spy]) as proxy:
                socket = await client.ws_connect(proxy.url + PATH)
                await socket.receive()
                assert proxy.connections == 1
                reading = asyncio.create_task(socket.receive())
            message = await reading
            assert (message.type, message.data, message.extra) == (
                WSMsgType.CLOSE,
                1001,
                "the proxy is shutting down",
            )
    assert ends == [1001]
    assert spy.told[-1] == ("closed", 1001, "the proxy is shutting down")


async def test_a_client_that_has_gone_before_it_is_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = []

    async def script(peer: Peer) -> None:
        await peer.accept()
        ends.append(await part(peer))

    async def gone(*_: object) -> None:
        raise ConnectionResetError("Cannot write to closing transport")

    spy = Spy()
    async with proxied(script, observers=[spy]) as (service, proxy), aiohttp.ClientSession() as client:
        with monkeypatch.context() as patch:
            patch.setattr(web.WebSocketResponse, "prepare", gone)
            with pytest.raises(aiohttp.ClientError):
                await client.ws_connect(proxy.url + PATH)
        await service.finished()
    assert set(ends) == {1001}  # a client of aiohttp tries again
    assert spy.told == []


# --- Settings -------------------------------------------------------------------------------------------------


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate of ``localhost`` and its key."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "1"]
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            key,
            "-out",
            certificate,
            *subject,
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


@pytest.mark.linux
async def test_certificates_are_checked(tmp_path: Path) -> None:
    certificate, key = await asyncio.to_thread(self_signed, tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.text(CREATED)
        await part(peer)

    async with FaultServer(script, tls=tls) as service:
        async with serve_proxy(service.url) as proxy:
            status, error = await refusal(proxy)
            assert status == 502
            assert "certificate verify failed" in error["message"]
        trusted = ssl.create_default_context(cafile=str(certificate))
        async with serve_proxy(service.url.replace("https", "wss"), ssl_context=trusted) as proxy:
            async with opened(proxy.url) as socket:
                assert (await socket.receive_json())["type"] == "session.created"


@pytest.mark.parametrize(
    ("upstream", "fault"),
    [
        ("", "is not a URL of a service"),
        ("myresource", "is not a URL of a service"),
        ("ftp://host", "is not a URL of a service"),
        ("https://", "is not a URL"),
        ("https://host:port", "is not a URL"),
        (f"https://user:{KEY}@host", "has a user, a query or a fragment"),
        (f"https://host?api-key={KEY}", "has a user, a query or a fragment"),
    ],
)
async def test_what_is_no_upstream(upstream: str, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault) as raised:
        async with serve_proxy(upstream):
            pass
    assert KEY not in str(raised.value)


async def test_other_machines_are_not_served_unless_that_is_wanted() -> None:
    with pytest.raises(ConfigurationError, match=r"would listen on 0\.0\.0\.0"):
        async with serve_proxy("http://127.0.0.1:1", "0.0.0.0"):
            pass
    async with serve_proxy("http://127.0.0.1:1", "0.0.0.0", allow_remote=True) as proxy:
        assert proxy.url.startswith("http://0.0.0.0:")


async def test_no_secret_is_logged_or_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "voicelive_agent")
    spy = Spy()
    async with serve(options=Options()) as server, serve_proxy(server.url, observers=[spy]) as proxy:
        query = f"&API-Key={KEY}&api-key={KEY}&Authorization=Bearer%20{KEY}"
        async with opened(proxy.url, PATH + query) as socket:
            await socket.receive()
        await spy.ended.wait()
    async with serve_proxy(f"http://127.0.0.1:{closed_port()}") as proxy:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            async with opened(proxy.url, PATH + query):
                pass
    assert KEY not in caplog.text
    assert KEY not in str(spy.infos)
