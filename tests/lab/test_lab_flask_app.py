"""The contract of the lab's app, kept by the Flask example: a real server, real sockets, an emulated service."""

from __future__ import annotations

import asyncio
import base64
import re
import subprocess
import sys
import time
import wave
from array import array
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import ClientSession, CookieJar, WSMsgType, WSServerHandshakeError

from voicelive_agent._pcm import Resampler
from voicelive_agent.emulator import EnergyEars, Options, ScriptedBrain, Server, serve

from ..agent_driver import LONG, RATE, eventually, silence, spoken_samples, tone

pytest.importorskip("flask", reason="flask is not installed")
pytest.importorskip("wsproto", reason="wsproto is not installed")

from .lab_app import APP, LIMIT_S, App, Browser, browser, environment, running, talking

RECORDINGS = Path(__file__).parents[1] / "data" / "audio"
pytestmark = [pytest.mark.e2e]
IDLE = "Select 'Start Session' to begin a voice session."
READY = "Session ready. You can start speaking now."
FINISHED = "Assistant finished. You can speak again."


@pytest.fixture(scope="module")
async def served() -> AsyncIterator[tuple[App, Server]]:
    async with serve() as server, running(server.url, LAB_WS_PORT="0") as app:
        yield app, server
        assert "Traceback" not in app.said
        assert await anyio.to_thread.run_sync(app.terminate) == 0


@pytest.fixture
async def service(served: tuple[App, Server]) -> AsyncIterator[Server]:
    """An emulated service, which nobody talks to at the beginning."""
    _, server = served
    yield server
    await eventually(lambda: server.connections == 0)


@pytest.fixture
def app(served: tuple[App, Server], service: Server) -> App:
    """The app, talking to that."""
    return served[0]


def base64_of(pcm: bytes) -> str:
    return base64.b64encode(pcm).decode()


async def say(one: Browser, pcm: bytes, block_ms: int = 150, *, then_s: float = 1.0) -> None:
    """What the lab's page does: a block every 150 ms, in JSON, and silence after it."""
    size = RATE * block_ms // 1000 * 2
    pcm += silence(round(then_s * 1000))
    due = time.monotonic()
    for at in range(0, len(pcm), size):
        status, answer = await one.post("/audio-chunk", {"audio": base64_of(pcm[at : at + size])})
        assert (status, answer) == (200, {"accepted": True})
        due += block_ms / 1000
        await anyio.sleep(max(0, due - time.monotonic()))


# --- every route ---------------------------------------------------------------------------------------------


async def test_the_page_shows_the_configuration_in_force_and_no_secret(service: Server) -> None:
    shown = {"VOICE_LIVE_MODEL": "gpt-4o", "VOICE_LIVE_VOICE": "alloy", "VOICE_LIVE_INSTRUCTIONS": "Be <b>."}
    async with running(service.url, AZURE_VOICE_LIVE_API_KEY="top-secret", **shown) as app:
        async with ClientSession() as http, http.get(app.url) as page:
            text = await page.text()
            cookie = page.headers["Set-Cookie"]
        assert "top-secret" not in text + app.said
    assert [name for name in shown if name not in text] == []
    assert ">gpt-4o<" in text
    assert ">alloy<" in text
    assert "Be &lt;b&gt;." in text
    assert service.url in text
    assert re.fullmatch(r"voicelive_visitor=[\w-]{43}; HttpOnly; Path=/; SameSite=Lax", cookie)


async def test_nothing_runs_before_the_start(app: App, service: Server) -> None:
    idle = {"state": "idle", "message": IDLE, "last_error": None, "connected": False}
    async with browser(app) as one:
        assert await one.get("/status") == (200, idle)
        health = {"ok": True, "state": "idle", "connected": False, "has_connection_obj": False}
        assert await one.get("/health") == (200, health)
        async with one.listening():
            assert one.told == [{"type": "status", **idle}]
        nobody = "No active session"
        assert await one.post("/stop-session") == (400, {"stopped": False, "reason": nobody})
        assert await one.post("/interrupt") == (400, {"interrupted": False, "reason": nobody})
        assert await one.post("/audio-chunk", {"audio": "AAA="}) == (400, {"accepted": False, "reason": nobody})
    assert service.connections == 0


async def test_a_session_from_start_to_stop(app: App, service: Server) -> None:
    async with browser(app) as one, one.listening():
        status, answer = await one.post("/start-session")
        assert status == 200
        assert answer["started"] is True
        assert answer["status"].keys() == {"state", "message", "last_error", "connected"}
        assert answer["status"]["state"] in ("starting", "ready")
        ready = {"type": "status", "state": "ready", "message": READY, "last_error": None, "connected": True}
        assert await one.reach("ready") == ready
        assert await one.get("/status") == (200, {name: ready[name] for name in ready if name != "type"})
        health = {"ok": True, "state": "ready", "connected": True, "has_connection_obj": True}
        assert await one.get("/health") == (200, health)
        again = await one.post("/start-session")
        assert again == (200, {"started": False, "status": again[1]["status"]})

        await say(one, tone(900))
        await one.reach("ready", FINISHED)
        assert list(dict.fromkeys(one.states)) == [
            ("idle", IDLE),
            ("starting", "Starting voice session…"),
            ("ready", READY),
            ("listening", "Listening… speak now"),
            ("processing", "Processing your input…"),
            ("assistant_speaking", "Assistant speaking…"),
            ("ready", FINISHED),
        ]
        audio = one.all("audio")
        assert all(each.keys() == {"type", "audio"} for each in audio)
        assert sum(len(base64.b64decode(each["audio"])) // 2 for each in audio) == spoken_samples(
            "I heard: Hello."
        )
        assert all(each.keys() == {"type", "level", "msg"} for each in one.all("log"))
        speaking = one.told.index(next(each for each in one.statuses if each["state"] == "assistant_speaking"))
        assert speaking < one.told.index(audio[0])

        began = time.monotonic()
        assert await one.post("/stop-session") == (200, {"stopped": True})
        await eventually(lambda: service.connections == 0)
        assert time.monotonic() - began < 5  # 0.2 s, on a machine that does nothing else
        stopped = await one.reach("stopped", "Session ended.")
        assert stopped["connected"] is False
        assert ("stopped", "Stopping session…") in one.states

        assert (await one.post("/start-session"))[1]["started"] is True
        await one.reach("ready", READY)


async def test_an_interrupt_stops_the_playback_and_not_the_session() -> None:
    async with serve(ears=EnergyEars(["a long one"]), brain=ScriptedBrain([("long", LONG)])) as service:
        async with running(service.url) as app, talking(app) as one:
            await say(one, tone(900))
            await one.until(lambda: one.all("audio"))
            assert await one.post("/interrupt") == (200, {"interrupted": True})
            await one.reach("ready", FINISHED)
            assert one.all("control") == [{"type": "control", "action": "stop_playback"}]
            after = one.told.index(one.all("control")[0])
            assert not [each for each in one.told[after:] if each["type"] == "audio"]
            assert "Interrupt requested." in one.logged
            assert service.connections == 1


async def test_talking_over_the_assistant_stops_the_playback() -> None:
    async with serve(ears=EnergyEars(["a long one", "stop"]), brain=ScriptedBrain([("long", LONG)])) as service:
        async with running(service.url) as app, talking(app) as one:
            await say(one, tone(900), then_s=0.6)
            await one.until(lambda: one.all("audio"))
            await say(one, tone(600))
            await one.until(lambda: one.all("control"))
            await one.reach("ready", FINISHED)
            control = one.told.index(one.all("control")[0])
            states = [each["state"] for each in one.told[control:] if each["type"] == "status"]
            assert states == ["listening", "processing", "assistant_speaking", "ready"]


# --- the microphone's WebSocket --------------------------------------------------------------------------------


@pytest.mark.parametrize("port", ["the page's", "the lab's"])
async def test_the_microphone_comes_over_a_websocket(app: App, port: str) -> None:
    base = app.url if port == "the page's" else f"http://127.0.0.1:{app.lab_port}"
    async with talking(app) as one:
        async with one.http.ws_connect(base + "/ws-audio", headers=one.origin) as socket:
            for at in range(0, 2 * RATE * 2, 7200):
                await socket.send_bytes((tone(900) + silence(2000))[at : at + 7200])
                await anyio.sleep(0.1)
            await one.reach("ready", FINISHED)
            await socket.ping()
        assert socket.close_code == 1000
        assert "You: Hello." in one.logged


async def test_only_the_microphone_is_on_the_lab_s_port(app: App) -> None:
    async with ClientSession() as http:
        for path in ("/", "/status", "/events", "/static/app.js"):
            async with http.get(f"http://127.0.0.1:{app.lab_port}{path}") as answer:
                assert answer.status == 404


async def refused(one: Browser, url: str, **headers: str) -> int:
    with pytest.raises(WSServerHandshakeError) as error:
        await one.http.ws_connect(url, headers=headers)
    return error.value.status


async def test_a_websocket_of_another_page_is_refused_before_it_opens(app: App) -> None:
    lab = f"http://127.0.0.1:{app.lab_port}"
    async with browser(app) as one:
        assert await refused(one, app.url + "/ws-audio") == 403
        assert await refused(one, app.url + "/ws-audio", Origin="http://evil.example") == 403
        assert await refused(one, lab + "/ws-audio", Origin=app.url) == 403  # no session was started
        await one.post("/start-session")
        assert await refused(one, lab + "/ws-audio", Origin=lab) == 403
        assert await refused(one, lab + "/ws-audio", Origin="http://127.0.0.1:1") == 403
        async with one.http.ws_connect(lab + "/ws-audio", headers=one.origin):
            pass
        async with ClientSession() as stranger, browser(app) as two:
            two.http, kept = stranger, two.http
            assert await refused(two, app.url + "/ws-audio", Origin=app.url) == 403
            two.http = kept


async def test_what_is_no_microphone_is_closed(app: App) -> None:
    async with talking(app) as one:
        for send, code in (("text", 1003), (bytes(300 * 1024), 1009)):
            async with one.http.ws_connect(app.url + "/ws-audio", headers=one.origin) as socket:
                await (socket.send_str(send) if isinstance(send, str) else socket.send_bytes(send))
                assert (await socket.receive()).type is WSMsgType.CLOSE
                assert socket.close_code == code
        async with one.http.get(app.url + "/ws-audio", headers=one.origin) as answer:
            assert answer.status == 400
        await one.post("/audio-chunk", {"audio": "AAA="})
        assert (await one.get("/status"))[1]["state"] == "ready"


# --- bad input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"{no json", 400, "Missing audio field"),
        (b"", 400, "Missing audio field"),
        (b"[1]", 400, "Missing audio field"),
        (b'{"audio": ""}', 400, "Missing audio field"),
        (b'{"audio": "A!!A"}', 400, "not base64"),
        (b'{"audio": "AAAA"}', 400, "whole number"),
        (b'{"audio": 7}', 400, "int"),
        (b'{"audio": "' + b"A" * 600_000 + b'"}', 413, "capacity limit"),
    ],
)
async def test_bad_audio_is_refused_and_the_session_goes_on(
    app: App, body: bytes, status: int, reason: str
) -> None:
    async with talking(app) as one:
        headers = {"Content-Type": "application/json", **one.origin}
        async with one.http.post(app.url + "/audio-chunk", data=body, headers=headers) as answer:
            assert answer.status == status
            content = await answer.json()
        assert reason in content.get("reason", content.get("error"))
        assert content.get("accepted", False) is False
        assert (await one.get("/status"))[1]["state"] == "ready"


async def test_wrong_methods_and_places_are_refused(app: App) -> None:
    async with browser(app) as one:
        for path in ("/start-session", "/stop-session", "/interrupt", "/audio-chunk"):
            assert (await one.get(path))[0] == 405
        for path in ("/", "/events", "/status", "/health", "/ws-audio"):
            assert (await one.post(path))[0] == 405
        assert (await one.get("/nothing"))[0] == 404
        assert (await one.get("/static/../flask_app.py"))[0] == 404


async def test_another_page_may_not_post_and_another_name_is_not_ours(app: App, service: Server) -> None:
    async with browser(app) as one:
        for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
            assert (await one.post("/start-session", headers={"Origin": origin}))[0] == 403
        rebound = {"Host": "evil.example", "Origin": "http://evil.example"}
        assert (await one.post("/start-session", headers=rebound))[0] == 403
    assert service.connections == 0


async def test_browsers_are_told_what_the_page_may_do(app: App) -> None:
    async with ClientSession() as http, http.get(app.url) as page:
        policy = page.headers["Content-Security-Policy"]
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert f"ws://{app.url[7:]} " in policy + " "
        assert page.headers["Permissions-Policy"].startswith("microphone=(self)")
        text = await page.text()
    assert "<script>" not in text
    assert " style=" not in text


# --- several visitors ----------------------------------------------------------------------------------------


async def test_two_visitors_never_hear_each_other() -> None:
    words = iter(["I am the first", "I am the second"])
    async with serve(ears=EnergyEars(words)) as service, running(service.url) as app:
        async with talking(app) as one, talking(app) as two:
            assert service.connections == 2
            await say(one, tone(900))
            await one.reach("ready", FINISHED)
            assert two.states[-1] == ("ready", READY)
            assert not two.all("audio")
            await say(two, tone(900))
            await two.reach("ready", FINISHED)
            assert "You: I am the first" in one.logged
            assert "You: I am the second" in two.logged
            assert not [each for each in one.logged if "second" in each]
            assert not [each for each in two.logged if "first" in each]
            await one.post("/stop-session")
            await eventually(lambda: service.connections == 1)
            assert two.states[-1][0] == "ready"


async def test_a_cookie_that_was_not_given_out_is_nobody_s(app: App) -> None:
    async with talking(app):
        jar = CookieJar(unsafe=True)
        jar.update_cookies({"voicelive_visitor": "guessed"})
        async with ClientSession(cookie_jar=jar) as http, http.get(app.url + "/status") as answer:
            assert (await answer.json())["state"] == "idle"
            assert "guessed" not in answer.headers["Set-Cookie"]


async def test_there_is_place_for_so_many_sessions(service: Server) -> None:
    async with running(service.url, SESSIONS="2") as app, AsyncExitStack() as stack:
        one, _ = [await stack.enter_async_context(talking(app)) for _ in range(2)]
        async with browser(app) as late:
            status, answer = await late.post("/start-session")
            assert (status, answer["started"]) == (503, False)
            assert answer["status"]["state"] == "error"
            assert "All 2 places are taken" in answer["status"]["last_error"]
            await one.post("/stop-session")
            await eventually(lambda: service.connections == 1)
            with anyio.fail_after(LIMIT_S):  # its place is free when all of the session is over
                while (await late.post("/start-session"))[0] == 503:  # noqa: ASYNC110  (it is another process)
                    await anyio.sleep(0.01)
            await eventually(lambda: service.connections == 2)


async def test_a_browser_that_is_closed_ends_its_session(app: App, service: Server) -> None:
    async with talking(app) as one:
        async with one.listening():  # a second tab, or the page loaded again
            pass
        await anyio.sleep(1)
        assert service.connections == 1
    began = time.monotonic()
    await eventually(lambda: service.connections == 0)
    assert time.monotonic() - began < 5  # 1 s, on a machine that does nothing else


async def test_streams_of_one_visitor_are_bounded(app: App) -> None:
    async with browser(app) as one, AsyncExitStack() as stack:
        for _ in range(4):
            await stack.enter_async_context(one.listening())
        assert (await one.get("/events"))[0] == 503


# --- what goes wrong with the service ----------------------------------------------------------------------------


async def test_a_service_that_drops_says_why_and_start_works_again() -> None:
    async with serve(options=Options(max_session_s=1.5)) as service, running(service.url) as app:
        async with talking(app) as one:
            await one.until(lambda: one.states[-1][1].startswith("Error: The session ended: "))
            failed = one.statuses[-1]
            assert failed["last_error"] == failed["message"]
            assert failed["connected"] is False
            assert (await one.get("/health"))[1]["ok"] is False
            status, answer = await one.post("/start-session")
            assert (status, answer["started"]) == (200, True)
            assert answer["status"]["last_error"] is None
            await one.reach("ready", READY)
        assert "A session failed" in app.said
        assert "Traceback" not in app.said


@pytest.mark.parametrize(
    ("endpoint", "fault"),
    [
        ("", "AZURE_VOICELIVE_ENDPOINT"),
        ("http://far.example", "unencrypted"),
        ("https://", "no https:// and host"),
    ],
)
async def test_a_configuration_that_cannot_work_is_said_at_the_start(endpoint: str, fault: str) -> None:
    async with running(endpoint) as app, browser(app) as one:
        status, answer = await one.post("/start-session")
        assert (status, answer["started"], answer["status"]["state"]) == (400, False, "error")
        assert fault in answer["status"]["last_error"]
        assert answer["status"]["message"] == answer["status"]["last_error"]


async def test_a_service_that_refuses_the_key_is_an_error_with_a_reason_and_no_key() -> None:
    async with serve(api_key="right") as service:
        async with running(service.url, AZURE_VOICE_LIVE_API_KEY="wrong-key") as app, browser(app) as one:
            async with one.listening():
                assert (await one.post("/start-session"))[0] == 200
                failed = await one.reach("error")
                assert "401" in failed["message"]
                assert "wrong-key" not in str(one.told) + app.said


# --- the end -------------------------------------------------------------------------------------------------


@pytest.mark.linux
@pytest.mark.parametrize("talks", [True, False])
async def test_sigterm_ends_sessions_and_then_the_process(service: Server, talks: bool) -> None:
    visit: Callable[[App], Any] = talking if talks else browser
    async with running(service.url) as app, visit(app) as one:
        ended = asyncio.ensure_future(anyio.to_thread.run_sync(app.terminate))
        if talks:
            assert (await one.reach("stopped"))["message"] in ("The server is being stopped.", "Session ended.")
        assert await ended == 0
        assert service.connections == 0
        assert "did not end in time" not in app.said
        assert "Traceback" not in app.said


async def test_a_port_that_is_taken_is_said() -> None:
    async with serve() as taken:
        port = taken.url.rpartition(":")[2]
        run = await anyio.to_thread.run_sync(
            lambda: subprocess.run(
                [sys.executable, str(APP)],
                env=environment(PORT=port),
                capture_output=True,
                text=True,
                timeout=20,
                check=False,
            )
        )
    assert run.returncode == 1
    assert "in use" in run.stderr
    assert "Traceback" not in run.stderr


# --- real ears -----------------------------------------------------------------------------------------------


@pytest.mark.speech
async def test_a_recorded_person_is_understood_and_answered() -> None:
    from voicelive_agent.emulator.speech import load_speech

    with wave.open(str(RECORDINGS / "cards_001.wav")) as recording:
        resampler = Resampler(recording.getframerate(), RATE)
        person = resampler.process(recording.readframes(recording.getnframes())) + resampler.finish()
    ears, _, voice = await anyio.to_thread.run_sync(load_speech)
    async with serve(ears=ears, voice=voice) as service, running(service.url) as app, talking(app) as one:
        await say(one, person, then_s=2)
        await one.reach("ready", FINISHED)
        assert [each for each in one.logged if re.search("10 of clubs|ten of clubs", each, re.IGNORECASE)]
        heard = array("h", b"".join(base64.b64decode(each["audio"]) for each in one.all("audio")))
        assert len(heard) > RATE
        assert max(heard) > 3000
