"""Connections to a scripted server over real sockets with the real SDK, and what such servers do."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from azure.core.credentials import AccessToken

from voicelive_agent._connection import ConnectionEnded
from voicelive_agent._service import AzureConnector
from voicelive_agent._service_connection import ServiceConnection
from voicelive_agent.config import Settings
from voicelive_agent.errors import VoiceLiveError
from voicelive_agent.events import Verdict

from .faultserver import CREATED, FaultServer, Peer, Script

KEY = "S3CRET-KEY"
ACCESS_TOKEN = "S3CRET-ACCESS-TOKEN"  # as classic agents carry it: in the URL
NEXT = {"type": "session.updated", "event_id": "event_2", "session": {}}


def settings_for(url: str, **changes: Any) -> Settings:
    given: dict[str, Any] = {"endpoint": url, "credential": KEY, "target": "gpt-x", "heartbeat_s": 30.0}
    return Settings(**(given | changes))


@asynccontextmanager
async def connected(script: Script, **changes: Any) -> AsyncIterator[tuple[ServiceConnection, Peer]]:
    """A connection to a server with this script, which goes on after the session was created."""

    async def greet_and_play(peer: Peer) -> None:
        await peer.accept()
        await peer.text(CREATED)
        await script(peer)

    async with FaultServer(greet_and_play) as server:
        connection = await AzureConnector().connect(settings_for(server.url, **changes))
        try:
            assert json.loads(await connection.receive())["type"] == "session.created"
            yield connection, await server.arrival()
        finally:
            await connection.close()


async def ending(connection: ServiceConnection) -> Verdict:
    """The verdict, which must be the same for whoever asks and however often."""

    async def read_on() -> None:
        while True:
            await connection.receive()

    with pytest.raises(ConnectionEnded) as ended:
        await read_on()
    verdict = ended.value.verdict
    for call in (connection.receive, lambda: connection.send("{}"), connection.receive):
        with pytest.raises(ConnectionEnded) as again:
            await call()
        assert again.value.verdict is verdict
    return verdict


async def refused(url: str, **changes: Any) -> VoiceLiveError:
    """The error of a connection that cannot be made. It holds no secret anywhere."""
    with pytest.raises(VoiceLiveError) as caught:
        await AzureConnector().connect(settings_for(url, query={"agent-access-token": ACCESS_TOKEN}, **changes))
    error = caught.value
    shown = "".join([str(error), repr(error), repr(vars(error)), *traceback.format_exception(error)])
    assert "S3CRET" not in shown
    assert error.hint
    return error


def error_event(code: str, message: str = "so it is") -> dict[str, Any]:
    return {"type": "error", "event_id": "e", "error": {"type": "t", "code": code, "message": message}}


class Token:
    """An asynchronous credential with nothing but what is needed."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.closed = False
        self.scopes: list[tuple[str, ...]] = []

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes.append(scopes)
        if self.error is not None:
            raise self.error
        return AccessToken("S3CRET-TOKEN", 0)

    async def close(self) -> None:
        self.closed = True


async def stay(peer: Peer) -> None:
    """Answer nothing until the client is gone."""
    await peer.gone()


async def say_goodbye(peer: Peer) -> None:
    """Answer the client's close frame as it should be."""
    if (code := await peer.closing()) is not None:
        await peer.close(code)
        peer.fin()


async def keep_silent(_: Peer) -> None:
    await asyncio.Event().wait()


async def leave(peer: Peer) -> None:
    peer.reset()


async def until_lost(connection: ServiceConnection) -> None:
    while not connection._layers[-1].is_closing():  # noqa: ASYNC110  # there is no event for it
        await asyncio.sleep(0)


async def flood(connection: ServiceConnection) -> None:
    """Send until the network takes no more."""
    while True:
        await connection.send('"' + "x" * 60_000 + '"')
