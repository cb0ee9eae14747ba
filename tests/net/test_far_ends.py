"""The far ends themselves, at a server that does as the test says: they do what the vendors' documents say."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from ..agent_driver import eventually
from .far import FarEnd
from .far_acs import FarAcs
from .far_browser import FarBrowser
from .far_twilio import FarTwilio

pytestmark = pytest.mark.usefixtures("nothing_left")


class Server:
    """The other end of one WebSocket; what was received is in ``log``."""

    def __init__(self) -> None:
        self.log: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.audio = b""
        self.ws = web.WebSocketResponse(compress=False)
        self.connected, self.over = asyncio.Event(), asyncio.Event()
        self.headers: dict[str, str] = {}
        self.url = ""

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        self.headers = dict(request.headers)
        await self.ws.prepare(request)
        self.connected.set()
        async for message in self.ws:
            if message.type is WSMsgType.BINARY:
                self.audio += message.data
                continue
            self.log.append(json.loads(message.data))
            self.times.append(asyncio.get_running_loop().time())
        self.over.set()
        return self.ws

    def all(self, event: str) -> list[dict[str, Any]]:
        return [message for message in self.log if event in message.values()]

    async def send(self, **message: Any) -> None:
        await self.ws.send_json(message)


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_get("/", server.handle)
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"ws://127.0.0.1:{runner.addresses[0][1]}/"
        yield server
    finally:
        await runner.cleanup()


def encoded(audio: bytes) -> str:
    return base64.b64encode(audio).decode()


async def test_twilio_says_what_twilio_says() -> None:
    said = bytes(range(256)) * 3
    async with serving() as server:
        async with FarTwilio(server.url, custom={"name": "Jane"}) as phone:
            await phone.say(said)
            await phone.press("#")
        await server.over.wait()
    connected, start, *rest = server.log
    assert connected == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    assert (start["event"], start["sequenceNumber"], start["streamSid"]) == ("start", "1", phone.stream_sid)
    assert start["start"] == {
        "accountSid": phone.account_sid,
        "streamSid": phone.stream_sid,
        "callSid": phone.call_sid,
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"name": "Jane"},
    }
    assert [message["sequenceNumber"] for message in rest] == [str(2 + i) for i in range(len(rest))]
    media = server.all("media")
    assert [message["media"]["chunk"] for message in media] == [str(1 + i) for i in range(len(media))]
    assert [message["media"]["timestamp"] for message in media] == [str(20 * i) for i in range(len(media))]
    assert {len(base64.b64decode(message["media"]["payload"])) for message in media} == {160}
    heard = b"".join(base64.b64decode(message["media"]["payload"]) for message in media)
    assert heard == bytes(phone.sent)
    assert said in heard
    assert set(heard.replace(said, b"")) == {0xFF}
    [dtmf] = server.all("dtmf")
    assert dtmf["dtmf"] == {"track": "inbound_track", "digit": "#"}
    assert rest[-1]["event"] == "stop"
    assert rest[-1]["stop"] == {"accountSid": phone.account_sid, "callSid": phone.call_sid}


async def test_twilio_sends_a_mark_back_when_the_audio_before_it_was_played() -> None:
    async with serving() as server, FarTwilio(server.url) as phone:
        await server.connected.wait()
        stream = {"streamSid": phone.stream_sid}
        await server.send(event="mark", **stream, mark={"name": "nothing before"})
        await eventually(lambda: server.all("mark"))  # else the audio may have begun before it is sent back
        await server.send(event="media", **stream, media={"payload": encoded(b"a" * 800)})
        await server.send(event="mark", **stream, mark={"name": "100 ms"})
        await server.send(event="media", **stream, media={"payload": encoded(b"b" * 400)})
        await server.send(event="mark", **stream, mark={"name": "150 ms"})
        await eventually(lambda: len(server.all("mark")) == 3)
    assert [name for name, _ in phone.marks] == ["nothing before", "100 ms", "150 ms"]
    positions = [position for _, position in phone.marks]
    assert positions[0] == 0
    assert positions[1] >= 800
    assert positions[2] == 1200
    assert [message["mark"]["name"] for message in server.all("mark")] == [name for name, _ in phone.marks]
    assert phone.line.played == b"a" * 800 + b"b" * 400


async def test_twilio_clears_and_sends_all_marks_back_at_once() -> None:
    async with serving() as server, FarTwilio(server.url) as phone:
        await server.connected.wait()
        stream = {"streamSid": phone.stream_sid}
        for name in "abc":
            await server.send(event="media", **stream, media={"payload": encoded(name.encode() * 80_000)})
            await server.send(event="mark", **stream, mark={"name": name})
        await phone.heard(40)
        await server.send(event="clear", **stream)
        await phone.until(lambda: phone.cuts)
        [heard] = [cut.heard for cut in phone.cuts]
        await phone.all_marks()
        assert [name for name, _ in phone.marks] == ["a", "b", "c"]
        assert {position for _, position in phone.marks} == {heard}
        await server.send(event="media", **stream, media={"payload": encoded(b"d" * 80)})
        await phone.heard(heard / 8 + 10)
    assert phone.line.played == b"a" * heard + b"d" * 80
    assert 320 <= heard < 80_000
    assert phone.line.dropped == 240_000 - heard


async def test_acs_says_what_it_documents() -> None:
    said = Random(1).randbytes(640 * 3)
    async with serving() as server:
        async with FarAcs(server.url, rate=16_000) as phone:
            await phone.say(said)
            await phone.press("3")
        await server.over.wait()
    metadata, *rest = server.log
    assert metadata["kind"] == "AudioMetadata"
    about = metadata["audioMetadata"]
    assert {name: about[name] for name in ("encoding", "sampleRate", "channels", "length")} == {
        "encoding": "PCM",
        "sampleRate": 16_000,
        "channels": 1,
        "length": 640,
    }
    data = [message["audioData"] for message in rest if message["kind"] == "AudioData"]
    assert b"".join(base64.b64decode(each["data"]) for each in data) == bytes(phone.sent)
    assert [each["silent"] for each in data[:3]] == [False] * 3
    assert set(data[0]) == {"timestamp", "participantRawID", "data", "silent"}
    assert server.all("DtmfData") == [{"kind": "DtmfData", "dtmfData": {"data": "3"}}]
    assert {"x-ms-call-connection-id", "x-ms-call-correlation-id"} <= {name.lower() for name in server.headers}


@pytest.mark.parametrize("pascal", [False, True])
async def test_acs_plays_and_stops(pascal: bool) -> None:
    def names(**message: Any) -> dict[str, Any]:
        return {name[0].upper() + name[1:] if pascal else name: value for name, value in message.items()}

    async with serving() as server, FarAcs(server.url, rate=24_000) as phone:
        await server.connected.wait()
        audio = names(data=encoded(b"ab" * 240_000))  # ten seconds
        await server.send(**names(kind="AudioData", audioData=audio, stopAudio=None))
        await phone.heard(30)
        await server.send(**names(kind="StopAudio", audioData=None, stopAudio={}))
        await phone.until(lambda: phone.cuts)
        [heard] = [cut.heard for cut in phone.cuts]
        await asyncio.sleep(0.03)
    assert phone.line.played == b"ab" * (heard // 2)
    assert phone.line.dropped == 480_000 - heard > 0
    assert phone.most_waiting > 40_000


async def test_a_page_says_what_the_dialect_defines_and_reports_what_it_rendered() -> None:
    said = Random(2).randbytes(960 * 3)
    async with serving() as server:
        async with FarBrowser(server.url, rate=24_000) as page:
            await server.send(type="ready", rate=24_000, generation=0)
            await page.say(said)
            began = time.monotonic()
            await server.ws.send_bytes(b"ab" * 240_000)  # ten seconds
            await server.send(type="ping", id=7)
            await eventually(lambda: len(server.all("played")) >= 3)
            await server.send(type="flush", generation=1)
            await page.until(lambda: page.cuts)
            took_s = time.monotonic() - began
            await server.ws.send_bytes(b"cd" * 1_200)  # 50 ms
            await eventually(lambda: any(each["generation"] for each in server.all("played")))
            await page.heard(page.ms(page.cuts[0].heard) + 50)
            await eventually(lambda: server.all("played")[-1]["samples"] == 1_200)
        await server.over.wait()
    assert server.log[0] == {"type": "hello", "rate": 24_000}
    assert server.log[-1] == {"type": "bye"}
    assert server.audio == bytes(page.sent)
    assert said in server.audio
    assert server.all("pong") == [{"type": "pong", "id": 7}]
    [heard] = [cut.heard for cut in page.cuts]
    assert page.line.played == b"ab" * (heard // 2) + b"cd" * 1_200
    assert heard // 2 % 128 == 0  # whole quanta
    old = [each["samples"] for each in server.all("played") if each["generation"] == 0]
    assert old == sorted(set(old))
    assert 3 <= len(old) <= took_s / 0.05 + 1  # no more of them than one every 50 ms
    assert old[-1] <= heard // 2


async def test_a_page_that_buffers_waits_and_one_without_reports_says_nothing() -> None:
    async with serving() as server, FarBrowser(server.url, hello={}, buffer_ms=200, reports=False) as page:
        await server.connected.wait()
        await server.ws.send_bytes(b"ab" * 2_400)
        await page.heard(100)
    (began, _), *_ = page.line.sounds
    assert page.cuts == []
    assert began >= page.first_at + 0.19
    assert server.all("played") == server.all("hello") == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (FarTwilio, {"event": "media", "streamSid": "MZ0", "media": {"payload": ""}}),
        (FarTwilio, {"event": "media", "media": {"payload": ""}}),
        (FarTwilio, {"event": "flush"}),
        (FarTwilio, b"audio"),
        (FarTwilio, "[]"),
        (FarAcs, {"kind": "AudioData", "audioData": {"data": "*"}}),
        (FarAcs, {"kind": "AudioData", "audioData": {"data": encoded(b"odd")}}),
        (FarAcs, {"kind": "StopAudio", "stopAudio": None}),
        (FarAcs, {"kind": "Flush"}),
        (FarAcs, b"audio"),
        (FarBrowser, b"odd"),
        (FarBrowser, {"type": "flush", "generation": 2}),
        (FarBrowser, {"type": "state", "state": "asleep"}),
        (FarBrowser, {"type": "turn", "response_id": "resp_1"}),
        (FarBrowser, {"type": "clear"}),
    ],
)
async def test_what_a_vendor_would_not_understand_is_a_fault(make: Callable[[str], FarEnd], message: Any) -> None:
    async def tell(server: Server) -> None:
        async with make(server.url) as far:
            await server.connected.wait()
            if isinstance(message, bytes):
                await server.ws.send_bytes(message)
            else:
                await server.ws.send_str(message if isinstance(message, str) else json.dumps(message))
            await far.until(lambda: far.faults)

    async with serving() as server:
        with pytest.raises(AssertionError, match=r"Error|Malformed"):
            await tell(server)
