"""The live view without a browser: what it gathers of a session, what it serves to whom, and what it forgets."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from voicelive_agent._pcm import pcm_to_ulaw
from voicelive_agent.emulator import Call, EnergyEars, Options, ScriptedBrain, Server, serve, view
from voicelive_agent.emulator.observers import ConnectionInfo
from voicelive_agent.emulator.view import CLOSED_SESSIONS, LiveView, _routes, _sound
from voicelive_agent.emulator.view._record import EVENTS, LINES, Record
from voicelive_agent.emulator.view._sound import Budget, Format, Track, mixed, wav

from .driver import Event, noise, silence

PATH = "/voice-live/realtime?api-version=2026-07-15&api-key=sesame&model="


# --- audio ------------------------------------------------------------------------------------------------------


def encoded(pcm: bytes) -> str:
    return base64.b64encode(pcm).decode()


def read(data: bytes) -> tuple[int, np.ndarray]:
    """Rate and samples by channel, as the standard library reads them."""
    with wave.open(io.BytesIO(data)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return file.getframerate(), samples.reshape(-1, file.getnchannels()).T


def ramp(first: int, count: int) -> bytes:
    return np.arange(first, first + count, dtype="<i2").tobytes()


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        ({}, Format("pcm16", 24_000, 1)),
        ({"input_audio_format": "pcm16", "input_audio_sampling_rate": 16_000}, Format("pcm16", 16_000, 1)),
        ({"input_audio_format": "g711_ulaw", "input_audio_sampling_rate": 24_000}, Format("g711_ulaw", 8_000, 1)),
        ({"input_audio_echo_cancellation": {"channels": 2}}, Format("pcm16", 24_000, 2)),
        ({"input_audio_echo_cancellation": None, "input_audio_sampling_rate": None}, Format()),
    ],
)
def test_the_format_of_what_is_appended(session: dict[str, object], expected: Format) -> None:
    assert Format.of_input(session) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, Format()),
        ("pcm16", Format()),
        ("pcm16_8000hz", Format("pcm16", 8_000)),
        ("g711_alaw", Format("g711_alaw", 8_000)),
        ("pcm16_0hz", Format()),
    ],
)
def test_the_format_of_answers(name: str | None, expected: Format) -> None:
    assert Format.of_output(name) == expected


def test_a_part_of_a_stream_as_wav() -> None:
    track = Track(Budget())
    for first in (0, 240, 480):
        track.add(encoded(ramp(first, 240)), Format(), first / 24_000)
    rate, (samples,) = read(wav(track.chunks, 0.005, 0.025))
    assert rate == 24_000
    assert samples.tolist() == list(range(120, 600))


def test_g711_and_a_change_of_rate_in_one_wav() -> None:
    track = Track(Budget())
    tone = (8000 * np.sin(np.arange(800) / 3)).astype("<i2").tobytes()
    track.add(encoded(pcm_to_ulaw(tone)), Format("g711_ulaw", 8_000), 0.0)
    track.add(encoded(ramp(0, 2400)), Format(), 0.1)
    rate, (samples,) = read(wav(track.chunks))
    assert rate == 8_000
    assert len(samples) == 1600
    assert np.abs(samples[:800] - np.frombuffer(tone, "<i2")).max() < 300


def test_of_two_channels_the_microphone_is_kept() -> None:
    track = Track(Budget())
    pairs = np.stack([np.arange(100), np.full(100, 9)], axis=-1).astype("<i2").tobytes()
    track.add(encoded(pairs), Format(channels=2), 0.0)
    assert read(wav(track.chunks))[1][0].tolist() == list(range(100))
    assert track.position_s == pytest.approx(100 / 24_000)


def test_a_session_in_stereo_each_side_when_it_was() -> None:
    user, agent = Track(Budget()), Track(Budget())
    user.add(encoded(ramp(1, 2400)), Format(), 5.0)
    agent.add(encoded(np.full(1600, 500, "<i2").tobytes()), Format("pcm16", 16_000), 5.2)
    rate, (left, right) = read(mixed(user.chunks, agent.chunks))  # type: ignore[arg-type]
    assert rate == 24_000
    assert left[:2400].tolist() == list(range(1, 2401))
    assert not left[2400:].any()
    assert not right[:4790].any()
    assert len(right) == 4800 + 2400
    assert abs(int(right[6000]) - 500) <= 2


def test_what_an_interruption_cut_off_is_not_in_the_session_but_in_the_answer() -> None:
    agent = Track(Budget())
    for number in range(3):
        agent.add(encoded(np.full(24_000, 100, "<i2").tobytes()), Format(), float(number), "msg")
    agent.cut(1.5)
    agent.cut(2.0)  # already over by then
    agent.add(encoded(np.full(2400, 900, "<i2").tobytes()), Format(), max(agent.end_s, 2.5), "next")
    _, (left, right) = read(mixed([], list(agent.chunks)))
    assert not left.any()
    assert (right[:36_000] == 100).all()
    assert not right[36_000:60_000].any()
    assert (right[60_000:] == 900).all()
    assert len(read(wav(chunk for chunk in agent.chunks if chunk.item_id == "msg"))[1][0]) == 72_000


def test_levels_of_each_100_ms() -> None:
    track = Track(Budget())
    loud = np.full(2400, 32767, "<i2").tobytes()
    track.add(encoded(bytes(4800) + loud + bytes(100)), Format(), 0.0)
    assert track.chunks[0].levels == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("audio", ["", "no base64!", "AA==", "AAA"])
def test_what_is_no_audio_is_left_out(audio: str) -> None:
    track = Track(Budget())
    track.add(audio, Format(), 0.0)
    assert not track.chunks
    assert track.position_s == 0


def test_minutes_of_a_session_are_kept_and_megabytes_of_all() -> None:
    budget = Budget(limit=10_000)
    first, second = Track(budget, longest_s=0.1), Track(budget)
    for _ in range(10):
        first.add(encoded(bytes(960)), Format(), 0.0)  # 20 ms
    assert [chunk.number for chunk in first.chunks] == [6, 7, 8, 9, 10]
    assert budget.used == 5 * 960
    for _ in range(8):
        second.add(encoded(bytes(960)), Format(), 0.0)
    assert [chunk.number for chunk in first.chunks] == [9, 10]
    assert [chunk.number for chunk in first.since(9)] == [10]
    assert [chunk.number for chunk in first.since(0)] == [9, 10]
    assert budget.used == 10 * 960


# --- a session --------------------------------------------------------------------------------------------------


class Fed:
    """A record that is fed with events at given times."""

    def __init__(self) -> None:
        self.record = Record(ConnectionInfo(1, "gpt-4.1"), 100.0, Budget())

    def server(self, type: str, at: float = 0.0, **fields: Any) -> None:
        self.record.take("server", {"type": type, **fields}, 100.0 + at)

    def client(self, type: str, at: float = 0.0, **fields: Any) -> None:
        self.record.take("client", {"type": type, **fields}, 100.0 + at)

    def line(self, id: str) -> dict[str, Any]:
        return next(line for line in self.record.lines() if line["id"] == id)


def test_events_are_bounded_and_audio_does_not_push_out_the_others() -> None:
    fed = Fed()
    fed.server("session.created", session={})
    for _ in range(EVENTS + 10):
        fed.client("input_audio_buffer.append", audio="AAAA")
    events = fed.record.events()
    assert len(events) == EVENTS + 1
    assert (events[0].type, events[1].seq) == ("session.created", 12)
    assert [entry.seq for entry in fed.record.events(after=EVENTS + 9)] == [EVENTS + 10, EVENTS + 11]
    assert fed.record.event(2) is None
    kept = fed.record.event(1)
    assert kept is not None
    assert kept.body == {"type": "session.created", "session": {}}


def test_lines_are_bounded() -> None:
    fed = Fed()
    for _ in range(LINES + 5):
        fed.server("error", error={"code": "c", "message": "m"})
    assert [line["id"] for line in fed.record.lines()] == [f"event {n}" for n in range(6, LINES + 6)]


def test_an_utterance_of_a_live_client_is_where_it_was_said() -> None:
    fed = Fed()
    fed.client("input_audio_buffer.append", at=2.0, audio=encoded(bytes(48_000)))
    fed.client("input_audio_buffer.append", at=2.1, audio=encoded(bytes(48_000)))
    assert [(chunk.at_s, chunk.position_s) for chunk in fed.record.user.chunks] == [(1.0, 0.0), (2.0, 1.0)]


def test_speech_that_was_committed_by_hand_has_its_audio() -> None:
    fed = Fed()
    fed.client("input_audio_buffer.append", audio=encoded(bytes(4800)))
    fed.server("input_audio_buffer.cleared")
    fed.client("input_audio_buffer.append", audio=encoded(bytes(9600)))
    fed.server("input_audio_buffer.committed", item_id="u")
    assert (fed.line("u")["start_s"], fed.line("u")["end_s"]) == (pytest.approx(0.1), pytest.approx(0.3))
    fed.server("conversation.item.input_audio_transcription.delta", item_id="u", delta="Hel")
    assert (fed.line("u")["text"], fed.line("u")["partial"]) == ("Hel", True)
    fed.server("conversation.item.input_audio_transcription.completed", item_id="u", transcript="")
    assert (fed.line("u")["note"], fed.line("u")["partial"]) == ("no words were heard", False)
    fed.server("conversation.item.input_audio_transcription.failed", item_id="u", error={"message": "Sorry"})
    assert fed.line("u")["note"] == "no transcript: Sorry"


def test_an_answer_that_is_interrupted_truncated_or_fails() -> None:
    fed = Fed()
    fed.server("session.updated", session={"output_audio_format": "g711_alaw", "model": "served"})
    fed.server("response.created", response={"id": "r", "output_audio_format": None})
    assert fed.record.state == "answering"
    fed.server("response.output_item.added", item={"id": "m", "type": "message"})
    fed.server("response.text.delta", item_id="m", delta="Once")
    fed.server("response.audio.delta", at=1.0, item_id="m", delta=encoded(bytes(40_000)))
    assert fed.record.agent.end_s == 6.0
    fed.server("input_audio_buffer.speech_started", at=3.0, item_id="u", audio_start_ms=0)
    assert fed.record.state == "user speaking"
    assert fed.record.agent.end_s == 3.0
    assert fed.record.cut == {"number": 1, "at": 3.0}
    fed.server(
        "response.done",
        response={
            "id": "r",
            "status": "cancelled",
            "status_details": {"reason": "turn_detected"},
            "output": [{"id": "m", "type": "message"}],
        },
    )
    assert fed.line("m")["note"] == "cancelled: turn_detected"
    fed.server("conversation.item.truncated", item_id="m", audio_end_ms=1500)
    assert fed.line("m")["note"] == "heard up to 1.5 s"
    error = {"type": "failed", "error": {"message": "No rule."}}
    fed.server("response.done", response={"id": "r2", "status": "failed", "status_details": error, "output": []})
    assert fed.line("r2")["text"] == "response failed: No rule."
    assert fed.record.model == "served"
    fed.record.close(1001, "bye", 107.0)
    assert (fed.record.state, fed.record.summary()["lasted"]) == ("closed", 7.0)


def test_an_answer_that_must_not_be_interrupted_goes_on() -> None:
    fed = Fed()
    fed.server("session.updated", session={"turn_detection": {"interrupt_response": False}})
    fed.server("response.audio.delta", at=1.0, item_id="m", delta=encoded(bytes(96_000)))
    fed.server("input_audio_buffer.speech_started", at=2.0, item_id="u", audio_start_ms=0)
    assert fed.record.agent.end_s == 3.0


def test_tools_of_the_client_and_of_a_server() -> None:
    fed = Fed()
    call = {"id": "c", "type": "function_call", "name": "f", "call_id": "call_1", "arguments": '{"a":1}'}
    fed.server("response.output_item.done", item=call)
    fed.server(
        "conversation.item.created", item={"type": "function_call_output", "call_id": "call_1", "output": "42"}
    )
    assert (fed.line("c")["text"], fed.line("c")["output"]) == ('f({"a":1})', "42")
    fed.server("response.output_item.done", item={"id": "x", "type": "mcp_call", "name": "g", "output": "ok"})
    assert (fed.line("x")["text"], fed.line("x")["output"]) == ("g()", "ok")


async def test_events_of_any_shape_do_no_harm() -> None:
    watching, info = LiveView(), ConnectionInfo(1, "m")
    watching.opened(info, 0.0)
    for event in (
        {"type": "response.audio.delta"},
        {"type": "conversation.item.created", "item": 7},
        {"type": "input_audio_buffer.speech_started", "item_id": None, "audio_start_ms": "x"},
    ):
        watching.sent(info, event, 0.0)
    watching.received(info, "no json", 0.0)
    watching.catch_up()
    record = watching.record(1)
    assert record is not None
    assert [entry.type for entry in record.events()][-1] == "(no event)"


async def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "_MOST_WAITING", 3)
    watching, info = LiveView(), ConnectionInfo(1, "m")
    watching.opened(info, 0.0)
    for _ in range(10):
        watching.received(info, "{}", 0.0)
    assert watching.version == 8
    async with asyncio.timeout(20):
        while watching.version < 11:  # noqa: ASYNC110  the slices tell nobody
            await asyncio.sleep(0.01)


async def test_closed_sessions_are_forgotten_with_their_audio() -> None:
    watching = LiveView()
    for number in range(1, CLOSED_SESSIONS + 4):
        info = ConnectionInfo(number, "m")
        watching.opened(info, 0.0)
        watching.received(info, json.dumps({"type": "input_audio_buffer.append", "audio": "AAAA" * 64}), 0.0)
        if number > 1:
            watching.closed(info, 1000, "", 1.0)
    watching.catch_up()
    assert [each["number"] for each in watching.summaries()] == [*range(CLOSED_SESSIONS + 3, 3, -1), 1]
    assert watching._budget.used == (CLOSED_SESSIONS + 1) * 192


# --- over HTTP --------------------------------------------------------------------------------------------------


@asynccontextmanager
async def viewed(**settings: Any) -> AsyncIterator[tuple[Server, aiohttp.ClientSession]]:
    watching = LiveView()
    async with serve(observers=[watching], extensions=[watching.extend], **settings) as server:
        async with aiohttp.ClientSession(server.url) as http:
            yield server, http


async def until(socket: aiohttp.ClientWebSocketResponse, kind: str) -> Event:
    async with asyncio.timeout(20):
        while True:
            event: Event = await socket.receive_json()
            if event["type"] == kind:
                return event


async def news(stream: aiohttp.ClientResponse) -> dict[str, Any]:
    async with asyncio.timeout(20):
        line = await stream.content.readuntil(b"\n\n")
    told: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
    return told


async def test_a_conversation_is_told_as_it_happens() -> None:
    brain = ScriptedBrain([("weather", Call("get_weather", {})), ("time", "It is late.")])
    ears = EnergyEars(["what time is it"])
    async with viewed(brain=brain, ears=ears) as (_, http):
        async with http.get("/view/stream?session=1") as stream:
            assert (await news(stream))["sessions"] == []
            async with http.ws_connect(PATH + "gpt-4.1") as socket:
                await until(socket, "session.created")
                pcm = silence(0.5) + noise(1.0) + silence(0.8)
                await socket.send_json({"type": "input_audio_buffer.append", "audio": encoded(pcm)})
                done = await until(socket, "response.done")
                answer = done["response"]["output"][0]["id"]
                lines: dict[str, dict[str, Any]] = {}
                events: list[dict[str, Any]] = []
                levels: list[Any] = []
                while not any(event["type"] == "response.done" for event in events):
                    session = (await news(stream))["session"]
                    lines |= {line["id"]: line for line in session["lines"]}
                    events += session["events"]
                    levels += session["levels"]["user"]
                assert [(line["side"], line["text"]) for line in lines.values()] == [
                    ("user", "what time is it"),
                    ("agent", "It is late."),
                ]
                assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
                assert len(levels) == 1
                assert [level > 0.3 for level in levels[0][3]] == [False] * 5 + [True] * 10 + [False] * 8
                user = next(line for line in lines.values() if line["side"] == "user")
                spoken = await (await http.get("/view/sessions/1/audio.wav", params={"item": user["id"]})).read()
                assert read(spoken)[1].shape == (1, round((user["end_s"] - user["start_s"]) * 24_000))
                said = await (await http.get("/view/sessions/1/audio.wav", params={"item": answer})).read()
                assert read(said)[1].shape[1] > 24_000 * 0.6
                everything = await http.get("/view/sessions/1/audio.wav")
                assert read(await everything.read())[1].shape[0] == 2
                appended = next(event for event in events if event["audio"] and event["who"] == "client")
                body = await (await http.get(f"/view/sessions/1/events/{appended['seq']}")).json()
                assert body["audio"].endswith("characters)")
            session = await news(stream)
            while session["sessions"][0]["state"] != "closed":
                session = await news(stream)
            assert session["sessions"][0]["code"] == 1000


async def test_g711_both_ways_can_be_played() -> None:
    async with viewed() as (_, http), http.ws_connect(PATH + "gpt-4.1") as socket:
        formats = {"input_audio_format": "g711_ulaw", "output_audio_format": "g711_alaw", "turn_detection": None}
        await socket.send_json({"type": "session.update", "session": formats})
        await until(socket, "session.updated")
        quiet = encoded(pcm_to_ulaw(noise(0.5, 8_000)))
        await socket.send_json({"type": "input_audio_buffer.append", "audio": quiet})
        await socket.send_json({"type": "input_audio_buffer.commit"})
        await socket.send_json({"type": "response.create"})
        item = (await until(socket, "input_audio_buffer.committed"))["item_id"]
        answer = (await until(socket, "response.done"))["response"]["output"][0]["id"]
        for id, shortest in ((item, 4_000), (answer, 4_000)):
            rate, samples = read(await (await http.get("/view/sessions/1/audio.wav", params={"item": id})).read())
            assert rate == 8_000
            assert samples.shape[1] >= shortest
            assert np.abs(samples.astype(int)).max() > 1_000


@pytest.mark.parametrize(
    "path",
    [
        "/view/sessions/9/audio.wav",
        "/view/sessions/1/audio.wav",
        "/view/sessions/1/audio.wav?item=nobody",
        "/view/sessions/1/events/99999",
        "/view/sessions/9/events/1",
        "/view/nothing.js",
        "/view/..%2f__init__.py",
    ],
)
async def test_what_is_not_there_is_404(path: str) -> None:
    async with viewed() as (_, http), http.ws_connect(PATH + "gpt-4.1") as socket:
        await until(socket, "session.created")
        answer = await http.get(path)
        assert answer.status == 404
        assert "Content-Security-Policy" in answer.headers or path.count("..")


async def test_the_page_brings_all_it_names_and_nothing_else() -> None:
    async with viewed() as (_, http):
        page = await http.get("/")
        assert "script-src 'self'" in page.headers["Content-Security-Policy"]
        assert "unsafe" not in page.headers["Content-Security-Policy"]
        text = await page.text()
        folder = Path(_routes.__file__).parent / "static"
        assert {path.name for path in folder.iterdir()} == set(_routes._STATIC)
        for name, kind in _routes._STATIC.items():
            answer = await http.get(f"/view/{name}")
            assert (answer.status, answer.content_type) == (200, kind)
        for forbidden in ("https://", "<script>", "onclick", "style="):
            assert forbidden not in text
        scripts = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.js"))
        for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert forbidden not in scripts


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"Host": "evil.example"}, "Host"),
        ({"Host": "evil.example:80"}, "Host"),
        ({"Host": "127.0.0.1.evil.example"}, "Host"),
        ({"Origin": "https://evil.example"}, "Origin"),
        ({"Origin": "null"}, "Origin"),
        ({"Sec-Fetch-Site": "cross-site"}, "another page"),
    ],
)
@pytest.mark.parametrize("path", ["/view/stream", "/view/sessions/1/audio.wav", "/view/app.js"])
async def test_other_pages_are_refused(path: str, headers: dict[str, str], why: str) -> None:
    async with viewed() as (_, http):
        answer = await http.get(path, headers=headers)
        assert answer.status == 403
        assert why in await answer.text()


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1", "[::1]", "[::1]:8765"])
async def test_the_names_of_this_computer_are_not(host: str) -> None:
    async with viewed() as (_, http):
        assert (await http.get("/", headers={"Host": host, "Sec-Fetch-Site": "cross-site"})).status == 200
        ours = {"Host": host, "Origin": f"http://{host}"}
        assert (await http.get("/view/app.js", headers=ours)).status == 200


@pytest.mark.parametrize(("remote", "expected"), [("10.0.0.7", 403), ("127.0.0.1", 200), (None, 403)])
async def test_other_computers_are_refused(
    remote: str | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiohttp.web.Request.remote", remote)
    monkeypatch.setattr("aiohttp.web.BaseRequest.remote", remote)
    async with viewed() as (_, http):
        assert (await http.get("/")).status == expected


async def test_an_open_page_does_not_keep_the_server_from_stopping() -> None:
    async with aiohttp.ClientSession() as http:
        async with viewed() as (server, _):
            stream = await http.get(f"{server.url}/view/stream")
            await news(stream)
        assert await stream.content.read() == b""  # a stream that was cut off raises ClientPayloadError


async def test_the_view_can_have_a_server_of_its_own() -> None:
    watching = LiveView()
    async with watching.serving() as url, aiohttp.ClientSession() as http:
        watching.opened(ConnectionInfo(1, "gpt-4.1", opened_at=1.0), 0.0)
        async with http.get(f"{url}/view/stream") as stream:
            assert (await news(stream))["sessions"][0]["model"] == "gpt-4.1"


async def test_paced_answers_are_played_from_their_arrival() -> None:
    async with viewed(options=Options(realtime_factor=4.0)) as (_, http), http.ws_connect(PATH + "m") as socket:
        await socket.send_json({"type": "response.create"})
        await until(socket, "response.done")
        _, (left, right) = read(await (await http.get("/view/sessions/1/audio.wav")).read())
        assert not left.any()
        assert np.flatnonzero(right)[0] < 24
        assert _sound.WAV_RATE == 24_000
