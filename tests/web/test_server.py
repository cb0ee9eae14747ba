"""The web app on real servers: its routes, one agent for each visitor, its limits, its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import WSServerHandshakeError

from voicelive_agent import ConfigurationError, ToolCalled, VoiceAgent, tool
from voicelive_agent.emulator import Call, ScriptedBrain, serve
from voicelive_agent.emulator.server import Server as Emulator
from voicelive_agent.web import WebLimits, create_app

from ..net.rawclient import RawClient
from .servers import SERVERS, SILENCE, Serve, Site

LONG = "One two three four five six seven eight nine ten. " * 3


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Serve:
    return SERVERS[request.param]


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    rules = [("hours", Call("opening_hours", {})), ("long", LONG), (".", "You said something.")]
    async with serve(brain=ScriptedBrain(rules)) as served:
        yield served


class Clerk(VoiceAgent):
    greeting = "Hello there."
    instructions = "A secret of the house."

    @tool
    def opening_hours(self) -> str:
        """When it is open."""
        return "always"


def clerk(emulator: Emulator, **more: Any) -> Any:
    return lambda: Clerk(emulator.url, "a-secret-key", **more)


# --- HTTP ----------------------------------------------------------------------------------------------------


async def test_the_routes(server: Serve, emulator: Emulator) -> None:
    async with server(clerk(emulator), title="The library") as site:
        assert await site.health() == {"status": "ok", "sessions": 0, "limit": 50}
        async with site.client.get(site.url + "config") as response:
            text = await response.text()
            config = await response.json()
        assert config["title"] == "The library"
        assert dict(config["values"]) == {
            "service": "127.0.0.1",
            "credential": "key",
            "answers": "gpt-4.1",
            "voice": "en-US-AvaNeural",
            "turn detection": "server_vad",
            "tools": "opening_hours",
        }
        assert "secret" not in text
        async with site.client.get(site.url + "static/../_app.py") as response:
            assert response.status == 404
        async with site.client.get(site.url + "static/%2e%2e/_app.py") as response:
            assert response.status == 404
        async with site.client.get(site.url + "elsewhere") as response:
            assert response.status == 404
            assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
        async with site.client.get(site.url + "start", headers={"Origin": site.origin}) as response:
            assert (response.status, response.headers["Allow"]) == (405, "POST")
        async with site.client.post(site.url + "health") as response:
            assert (response.status, response.headers["Allow"]) == (405, "GET")


@pytest.mark.parametrize("origin", [None, "https://evil.test", "null"])
async def test_a_page_of_another_site_gets_no_ticket_and_no_socket(
    server: Serve, emulator: Emulator, origin: str | None
) -> None:
    headers = {} if origin is None else {"Origin": origin}
    async with server(clerk(emulator)) as site:
        async with site.client.post(site.url + "start", headers=headers) as response:
            assert response.status == 403
            assert (await response.json())["error"]["code"] == "forbidden"
        with pytest.raises(WSServerHandshakeError) as refused:
            await site.client.ws_connect(site.url + "ws", headers=headers)
        assert refused.value.status == 403


async def test_a_name_that_is_not_ours_is_refused(server: Serve, emulator: Emulator) -> None:
    async with server(clerk(emulator), hosts=["talk.example"]) as site:
        for path in ("", "config", "start"):
            method = "POST" if path == "start" else "GET"
            async with site.client.request(method, site.url + path, headers={"Origin": site.origin}) as response:
                assert response.status == 403
        ours = {"Host": "talk.example", "Origin": "https://talk.example"}
        async with site.client.post(site.url + "start", headers=ours) as response:
            assert response.status == 200
        assert (await site.health())["status"] == "ok", "a platform asks by address"


# --- calls ---------------------------------------------------------------------------------------------------


async def test_a_visitor_is_greeted_and_answered(server: Serve, emulator: Emulator) -> None:
    async with server(clerk(emulator)) as site, site.visitor() as visitor:
        await visitor.state("ready")
        assert visitor.heard
        await visitor.ws.send_json({"type": "text", "text": "What are the hours?"})
        await visitor.until(lambda: len(visitor.all("tool")) == 2)
        called, finished = visitor.all("tool")
        assert (called["name"], called["status"], finished["status"]) == ("opening_hours", "called", "finished")
        await visitor.until(lambda: len(visitor.all("turn")) >= 2)
        assert (await site.health())["sessions"] == 1
        await visitor.ws.send_json({"type": "bye"})
        assert await visitor.closed() == 1000
        assert visitor.all("end")[0]["reason"] == "hung_up"
        await leave(site)


async def leave(site: Site) -> None:
    """Wait until nobody is in a call."""
    async with asyncio.timeout(20):
        while (await site.health())["sessions"]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_every_visitor_has_an_agent_and_hears_nobody_else(server: Serve, emulator: Emulator) -> None:
    made: list[VoiceAgent] = []

    def factory() -> VoiceAgent:
        made.append(VoiceAgent(emulator.url, "key"))
        return made[-1]

    async with server(factory) as site, site.visitor() as one, site.visitor() as other:
        await one.state("ready")
        await other.state("ready")
        first = len(made)
        assert made[-1] is not made[-2]
        await one.ws.send_json({"type": "text", "text": "Something."})
        await one.until(lambda: one.all("turn"))
        assert one.heard
        assert not other.heard
        assert other.all("transcript") == other.all("turn") == []
        assert len(made) == first


async def test_a_page_may_interrupt(server: Serve, emulator: Emulator) -> None:
    async with server(clerk(emulator, greeting=LONG)) as site, site.visitor() as visitor:
        await visitor.state("speaking")
        await visitor.ws.send_json({"type": "interrupt"})
        await visitor.until(lambda: visitor.all("turn"))
        assert visitor.all("flush") == [{"type": "flush", "generation": 1}]
        assert visitor.all("turn")[0]["status"] == "interrupted"


async def test_a_factory_may_be_asynchronous(server: Serve, emulator: Emulator) -> None:
    async def factory() -> VoiceAgent:
        await asyncio.sleep(0)
        return Clerk(emulator.url, "key")

    async with server(factory) as site, site.visitor() as visitor:
        await visitor.state("ready")
        async with site.client.get(site.url + "config") as response:
            assert (await response.json())["values"] == []


# --- refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ticket", [{}, {"ticket": "guessed"}])
async def test_without_a_ticket_there_is_no_call(
    server: Serve, emulator: Emulator, ticket: dict[str, str]
) -> None:
    async with server(clerk(emulator)) as site, site.connect() as ws:
        await ws.send_json({"type": "hello", **ticket})
        assert (await ws.receive_json())["type"] == "ready"
        await ws.receive()
        assert ws.close_code == 1008
        await leave(site)


async def test_a_ticket_is_good_once(server: Serve, emulator: Emulator) -> None:
    async with server(clerk(emulator)) as site:
        ticket = await site.ticket()
        async with site.visitor(ticket=ticket) as visitor:
            await visitor.state("ready")
            async with site.visitor(ticket=ticket) as thief:
                assert await thief.closed() == 1008
            assert not visitor.ws.closed


@pytest.mark.parametrize(
    "message", [{"type": "text", "text": "x", "session": {}}, {"type": "hello", "tools": []}, {"type": "played"}]
)
async def test_a_page_can_change_nothing(server: Serve, emulator: Emulator, message: dict[str, Any]) -> None:
    async with server(clerk(emulator)) as site, site.visitor() as visitor:
        await visitor.state("ready")
        await visitor.ws.send_json(message)
        assert await visitor.closed() == 1008


async def test_a_full_server_says_so(server: Serve, emulator: Emulator) -> None:
    limits = WebLimits(sessions=1)
    async with server(clerk(emulator), limits=limits) as site:
        late = await site.ticket()
        async with site.visitor() as visitor:
            await visitor.state("ready")
            async with site.client.post(site.url + "start", headers={"Origin": site.origin}) as response:
                assert response.status == 503
                assert response.headers["Retry-After"] == "30"
                assert (await response.json())["error"]["code"] == "server_full"
            with pytest.raises(WSServerHandshakeError) as refused:
                await site.connect()
            assert refused.value.status in (403, 503)  # ASGI's refusal has no other status
        await leave(site)
        async with site.visitor(ticket=late) as visitor:
            await visitor.state("ready")


async def test_one_address_has_its_share(server: Serve, emulator: Emulator) -> None:
    async with (
        server(clerk(emulator), limits=WebLimits(sessions_per_address=1)) as site,
        site.visitor() as visitor,
    ):
        await visitor.state("ready")
        async with site.client.post(site.url + "start", headers={"Origin": site.origin}) as response:
            assert (await response.json())["error"]["code"] == "address_full"


async def test_a_call_has_a_time_limit(server: Serve, emulator: Emulator) -> None:
    async with server(clerk(emulator), limits=WebLimits(session_s=0.5)) as site, site.visitor() as visitor:
        assert await visitor.closed() == 1000
        assert visitor.all("end")[0]["detail"] == "the time limit of 0.5 s is over"


# --- failures ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("details", [True, False])
async def test_a_visitor_learns_what_failed_and_no_more(
    server: Serve, emulator: Emulator, details: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(api_key="another") as strict:
        async with server(lambda: Clerk(strict.url, "a-secret-key"), details=details) as site:
            async with site.visitor() as visitor:
                await visitor.closed()
                end = visitor.all("end")[0]
            assert end["reason"] == "authentication"
            assert ("refused this server's credential" in end["detail"]) != details
            assert "secret" not in str(visitor.messages)
            assert (strict.url in str(end)) <= details
            async with asyncio.timeout(20):
                while "failed" not in caplog.text:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
    assert "a-secret-key" not in caplog.text


async def test_a_hook_that_raises_ends_this_call_and_no_other(
    server: Serve, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Clerk):
        def on_tool_called(self, event: ToolCalled) -> None:
            raise LookupError("the database's password is xyzzy")

    async with server(lambda: Broken(emulator.url, "key")) as site, site.visitor() as one, site.visitor() as other:
        await one.state("ready")
        await other.state("ready")
        await one.ws.send_json({"type": "text", "text": "What are the hours?"})
        await one.closed()
        assert one.all("end")[0]["detail"] == "The agent failed."
        assert "xyzzy" not in str(one.messages)
        await other.ws.send_json({"type": "text", "text": "Hello?"})
        await other.until(lambda: len(other.all("turn")) >= 2)
    assert "xyzzy" in caplog.text


async def test_an_agent_that_cannot_be_made_is_told(
    server: Serve, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    makes = iter([Clerk(emulator.url, "key"), Clerk(emulator.url, "key")])

    async with server(lambda: next(makes)) as site, site.connect() as ws:
        await ws.send_json({"type": "hello", "ticket": await site.ticket()})
        assert (await ws.receive_json())["type"] == "ready"
        closing = await ws.receive()
        assert (ws.close_code, closing.extra) == (1011, "The agent could not be made.")
    assert "StopIteration" in caplog.text


async def test_an_agent_for_all_visitors_is_refused(emulator: Emulator) -> None:
    agent = Clerk(emulator.url, "key")
    with pytest.raises(ConfigurationError, match="the same agent twice"):
        create_app(lambda: agent)
    with pytest.raises(ConfigurationError, match="gave a str, not a VoiceAgent"):
        create_app(lambda: "agent")  # type: ignore[arg-type,return-value]


async def test_who_never_reads_keeps_no_connection(emulator: Emulator) -> None:
    long = "A long story. " * 400  # minutes of sound
    serve_site = SERVERS["aiohttp"]
    async with serve_site(lambda: VoiceAgent(emulator.url, "key", greeting=long)) as site:
        hello = {"type": "hello", "rate": 24_000, "ticket": await site.ticket()}
        async with RawClient(site.url + "ws", receive_buffer=4_096, Origin=site.origin) as deaf:
            deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await deaf.text(hello)

            async def insist() -> None:
                for block in range(3_000):  # says that it hears it all
                    await deaf.binary(SILENCE)
                    await deaf.text({"type": "played", "samples": max(0, block - 50) * 470, "generation": 0})
                    await asyncio.sleep(0.02)

            with pytest.raises(ConnectionError):
                await insist()
        assert site.app.sessions == 0


# --- the end -------------------------------------------------------------------------------------------------


async def test_draining_lets_calls_finish_and_nobody_in(emulator: Emulator) -> None:
    serve_site = SERVERS["aiohttp"]
    async with serve_site(clerk(emulator), limits=WebLimits(drain_s=20)) as site, site.visitor() as visitor:
        await visitor.state("ready")
        drained = asyncio.ensure_future(site.app.drain())
        await asyncio.sleep(0)
        assert (await site.health())["status"] == "draining"
        async with site.client.post(site.url + "start", headers={"Origin": site.origin}) as response:
            assert (await response.json())["error"]["code"] == "draining"
        await visitor.ws.send_json({"type": "text", "text": "Something."})
        await visitor.until(lambda: len(visitor.all("turn")) == 2)
        assert not drained.done()
        await visitor.ws.send_json({"type": "bye"})
        await drained
        assert await visitor.closed() == 1000


async def test_draining_sends_who_stays_too_long_to_the_next_server(server: Serve, emulator: Emulator) -> None:
    async with server(clerk(emulator), limits=WebLimits(drain_s=0.2)) as site, site.visitor() as visitor:
        await visitor.state("ready")
        await site.app.drain()
        assert await visitor.closed() == 1012
        assert visitor.all("end")[0]["reason"] == "hung_up"
        assert not site.app.sessions


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "voicelive_agent")
