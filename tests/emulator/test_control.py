"""The control API: scripts and sessions, and who is not answered."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from voicelive_agent.emulator import Server, serve
from voicelive_agent.emulator import control as control_module
from voicelive_agent.emulator.control import control

PATH = "/voice-live/realtime?api-version=2026-07-15&model=gpt-4.1&api-key=secret"
SCRIPT = [{"when": {"at": "sent", "type": "response.done"}, "action": {"do": "close", "code": 4001}}]


@asynccontextmanager
async def controlled(**settings: Any) -> AsyncIterator[tuple[Server, aiohttp.ClientSession]]:
    async with serve(extensions=[control], **settings) as server, aiohttp.ClientSession(server.url) as client:
        yield server, client


async def call(client: aiohttp.ClientSession, method: str, path: str, body: Any = None, **headers: str) -> Any:
    async with client.request(method, path, json=body, headers=headers) as response:
        return response.status, await response.json()


async def test_a_script_is_set_shown_and_deleted() -> None:
    async with controlled() as (server, client):
        status, shown = await call(client, "PUT", "/emulator/faults", SCRIPT)
        assert status == 200
        assert shown["faults"] == SCRIPT
        assert shown["connections"] == 0
        assert "rate-limited" in shown["names"]
        async with client.ws_connect(PATH) as socket:
            await socket.send_json({"type": "response.create"})
            async for _ in socket:
                pass
            assert socket.close_code == 4001
        _, shown = await call(client, "GET", "/emulator/faults")
        assert shown["connections"] == 1
        _, shown = await call(client, "DELETE", "/emulator/faults")
        assert shown["faults"] == []
        _, shown = await call(client, "PUT", "/emulator/faults", {"name": "rate-limited"})
        assert shown["faults"][0]["action"]["status"] == 429
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await client.ws_connect(PATH)
        assert caught.value.status == 429
        assert server.connections == 0


async def test_a_named_script_is_for_the_connections_that_ask() -> None:
    async with controlled() as (_, client):
        _, shown = await call(client, "PUT", "/emulator/faults/mine", {"seed": 3, "faults": SCRIPT})
        assert shown["sets"] == {"mine": {"seed": 3, "faults": SCRIPT}}
        async with client.ws_connect(PATH, headers={"x-voicelive-faults": "mine"}) as socket:
            await socket.send_json({"type": "response.create"})
            async for _ in socket:
                pass
            assert socket.close_code == 4001
        assert (await call(client, "DELETE", "/emulator/faults/mine"))[0] == 200
        assert (await call(client, "DELETE", "/emulator/faults/mine"))[0] == 404
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await client.ws_connect(PATH, headers={"x-voicelive-faults": "mine"})
        assert caught.value.status == 400


async def test_sessions_are_listed_without_keys() -> None:
    async with controlled() as (_, client), client.ws_connect(PATH) as socket:
        await socket.receive()
        _, shown = await call(client, "GET", "/emulator/sessions")
        (session,) = shown["sessions"]
        assert (session["number"], session["model"]) == (1, "gpt-4.1")
        assert session["query"]["api-key"] == "***"


async def test_what_is_to_go_wrong_now() -> None:
    async with controlled() as (_, client), client.ws_connect(PATH) as socket:
        assert (await socket.receive_json())["type"] == "session.created"
        event = {"type": "warning", "warning": {"message": "soon"}}
        assert await call(client, "POST", "/emulator/sessions/1", {"do": "send", "event": event}) == (
            200,
            {"done": True},
        )
        assert (await socket.receive_json())["warning"] == {"message": "soon"}
        await call(client, "POST", "/emulator/sessions/1", "drop")
        await socket.send_json({"type": "input_audio_buffer.clear"})
        await socket.send_json({"type": "output_audio_buffer.clear"})
        assert (await socket.receive_json())["type"] == "output_audio_buffer.cleared"
        await call(client, "POST", "/emulator/sessions/1", {"do": "pause", "for_s": 0.05})
        await call(client, "POST", "/emulator/sessions/1", {"do": "close", "code": 4002, "reason": "enough"})
        message = await socket.receive()
        assert (message.type, message.data, message.extra) == (aiohttp.WSMsgType.CLOSE, 4002, "enough")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("PUT", "/emulator/faults", "rate-limited", 400, "list or object"),
        ("PUT", "/emulator/faults", {"name": "none such"}, 400, "none such"),
        ("PUT", "/emulator/faults", [{"when": "open"}], 400, "faults[0].action is missing"),
        (
            "PUT",
            "/emulator/faults",
            [{"when": "open", "action": {"do": "close", "code": "x"}}],
            400,
            "action.code",
        ),
        ("PUT", "/emulator/faults/" + "x" * 101, [], 400, "100 characters"),
        ("PUT", "/emulator/faults/%5Bx", [], 400, "bracket"),
        ("POST", "/emulator/sessions/1", {"do": "close"}, 404, "no session '1'"),
        ("POST", "/emulator/sessions/x", {"do": "close"}, 404, "no session 'x'"),
    ],
)
async def test_requests_that_are_refused(method: str, path: str, body: Any, status: int, text: str) -> None:
    async with controlled() as (_, client):
        found, answer = await call(client, method, path, body)
        assert found == status
        assert text in answer["error"]["message"]


async def test_actions_that_are_refused() -> None:
    async with controlled() as (_, client), client.ws_connect(PATH):
        for body, text in [
            ({"do": "refuse"}, "only happens at the handshake"),
            ({"do": "explode"}, "action.do must be the name of an action"),
            ({"do": "close", "code": 1006}, "action.code 1006 is never in a close frame"),
            (7, "must be an object or a string"),
        ]:
            status, answer = await call(client, "POST", "/emulator/sessions/1", body)
            assert status == 400
            assert text in answer["error"]["message"]


async def test_what_is_no_json_is_refused() -> None:
    async with controlled() as (_, client):
        for body in (b"{", b"\xff", b"[" * 100_000):
            async with client.put("/emulator/faults", data=body) as response:
                assert response.status == 400
                assert "not valid JSON" in (await response.json())["error"]["message"]


async def test_named_scripts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_module, "_MAX_SETS", 1)
    async with controlled() as (_, client):
        assert (await call(client, "PUT", "/emulator/faults/one", []))[0] == 200
        assert (await call(client, "PUT", "/emulator/faults/one", []))[0] == 200
        assert (await call(client, "PUT", "/emulator/faults/two", []))[0] == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "[", "Origin": "http://["}, 403),
        ({"Host": "localhost:80"}, 200),
        ({"Host": "[::1]:80"}, 200),
        ({"Host": "localhost:80", "Origin": "http://localhost:80"}, 200),
    ],
)
async def test_pages_of_other_sites_are_not_answered(headers: dict[str, str], status: int) -> None:
    async with controlled() as (_, client):
        for method, path in [("GET", "/emulator/faults"), ("GET", "/emulator/sessions")]:
            assert (await call(client, method, path, **headers))[0] == status


async def test_other_machines_are_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    from aiohttp import web

    async with controlled(host="0.0.0.0", allow_remote=True) as (server, _):
        local = server.url.replace("0.0.0.0", "127.0.0.1")
        monkeypatch.setattr(web.BaseRequest, "remote", "192.0.2.7")
        async with aiohttp.ClientSession(local) as client:
            assert (await call(client, "GET", "/emulator/faults"))[0] == 403
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await client.ws_connect(PATH, headers={"x-voicelive-faults": json.dumps(SCRIPT)})
            assert caught.value.status == 403
            async with client.ws_connect(PATH) as socket:
                assert (await socket.receive_json())["type"] == "session.created"
