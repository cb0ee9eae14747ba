"""The connection to the service over real sockets, with the real SDK: each way it can begin, go on and end."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import json
import logging
import socket
import ssl
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from azure.ai.voicelive import aio
from azure.core.credentials import AccessToken, AzureKeyCredential
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError

from voicelive_agent import _service
from voicelive_agent._connection import ConnectionEnded
from voicelive_agent._service import AzureConnector, ServiceConnection
from voicelive_agent.config import AgentTarget, ModelTarget, Settings
from voicelive_agent.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    NotFoundError,
    RateLimitedError,
    ServiceUnavailableError,
    VoiceLiveError,
)
from voicelive_agent.events import EndReason, Verdict

from .faultserver import BINARY, CREATED, TEXT, FaultServer, Peer, Script, closed_port

KEY = "S3CRET-KEY"
ACCESS_TOKEN = "S3CRET-ACCESS-TOKEN"  # as classic agents carry it: in the URL
NEXT = {"type": "session.updated", "event_id": "event_2", "session": {}}


# --- every test leaves nothing behind ------------------------------------------------------------------------


@pytest.fixture(autouse=True)
async def _nothing_left(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """No task, no open HTTP session, no ResourceWarning, nothing reported to the event loop."""
    loop = asyncio.get_running_loop()
    complaints: list[object] = []
    sessions: list[aiohttp.ClientSession] = []
    make_session = aiohttp.ClientSession.__init__

    def remember(session: aiohttp.ClientSession, *args: Any, **options: Any) -> None:
        make_session(session, *args, **options)
        sessions.append(session)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", remember)
    monkeypatch.setattr(sys, "unraisablehook", lambda args: complaints.append(args.exc_value))
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    yield
    for _ in range(3):  # connection_lost comes one turn of the loop after close()
        await asyncio.sleep(0)
    assert all(session.closed for session in sessions)
    sessions.clear()
    gc.collect()
    assert not complaints
    assert not [task for task in asyncio.all_tasks() if "TestRunner" not in repr(task)]


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


async def stay(peer: Peer) -> None:
    """Answer nothing until the client is gone."""
    await peer.gone()


async def say_goodbye(peer: Peer) -> None:
    """Answer the client's close frame as it should be."""
    if (code := await peer.closing()) is not None:
        await peer.close(code)
        peer.fin()


# --- what the service is asked -------------------------------------------------------------------------------


async def test_the_url_and_headers_of_a_model() -> None:
    async with connected(say_goodbye) as (_, peer):
        assert peer.path == "/voice-live/realtime"
        assert peer.query.pop("x-ms-client-sdk")
        assert peer.query == {"api-version": "2026-07-15", "model": "gpt-x"}
        assert peer.headers["api-key"] == KEY
        assert "authorization" not in peer.headers
        assert "sec-websocket-extensions" not in peer.headers  # no compression: audio does not shrink
        assert "sec-websocket-protocol" not in peer.headers  # the service drops those who offer "realtime"


async def test_profile_version_query_and_headers_are_the_callers() -> None:
    async with connected(
        say_goodbye,
        target=ModelTarget("own", profile="byom-azure-openai-realtime"),
        api_version="2025-10-01",
        query={"features": "client_ec_reference:true"},
        headers={"x-ms-client-request-id": "42"},
        application_id="library-desk",
        credential=AzureKeyCredential(KEY),
    ) as (_, peer):
        assert peer.query["profile"] == "byom-azure-openai-realtime"
        assert peer.query["api-version"] == "2025-10-01"
        assert peer.query["features"] == "client_ec_reference:true"
        assert peer.headers["x-ms-client-request-id"] == "42"
        assert peer.headers["user-agent"].startswith("library-desk azsdk-python-ai-voicelive/")
        assert peer.headers["api-key"] == KEY


async def test_the_callers_own_user_agent_wins() -> None:
    async with connected(say_goodbye, application_id="a", headers={"user-agent": "mine"}) as (_, peer):
        assert peer.headers["user-agent"] == "mine"


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


async def test_the_url_and_headers_of_an_agent_and_a_borrowed_credential_stays_open() -> None:
    credential = Token()
    target = AgentTarget("a", "p", "7", "conv", "client", "resource")
    async with connected(say_goodbye, target=target, credential=credential) as (_, peer):
        assert peer.query.pop("x-ms-client-sdk")
        assert peer.query == {
            "api-version": "2026-07-15",
            "agent-name": "a",
            "agent-project-name": "p",
            "agent-version": "7",
            "conversation-id": "conv",
            "agent-authentication-identity-client-id": "client",
            "foundry-resource-override": "resource",
        }
        assert peer.headers["authorization"] == "Bearer S3CRET-TOKEN"
        assert "api-key" not in peer.headers
    assert credential.scopes == [("https://ai.azure.com/.default",)]
    assert not credential.closed


async def test_a_classic_agent_is_named_by_its_id_and_called_with_a_token() -> None:
    credential, target = Token(), AgentTarget("asst_1", "library", classic=True)
    async with connected(say_goodbye, target=target, credential=credential) as (_, peer):
        assert peer.query.pop("x-ms-client-sdk")
        assert peer.query == {
            "api-version": "2026-07-15",
            "agent-id": "asst_1",
            "agent-project-name": "library",
            "agent-access-token": "S3CRET-TOKEN",
        }
        assert peer.headers["authorization"] == "Bearer S3CRET-TOKEN"
    assert set(credential.scopes) == {("https://ai.azure.com/.default",)}
    own = {"agent-access-token": "mine"}
    async with connected(say_goodbye, target=target, credential=Token(), query=own) as (_, peer):
        assert peer.query["agent-access-token"] == "mine"
    with pytest.raises(AuthenticationError, match="Token has no token for Voice Live"):
        async with connected(say_goodbye, target=target, credential=Token(ClientAuthenticationError("no"))):
            pass


async def test_no_secret_of_a_session_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "voicelive_agent")
    async with connected(say_goodbye, query={"agent-access-token": ACCESS_TOKEN}) as (connection, _):
        await connection.send('{"type":"response.create"}')
    said = [record.getMessage() for record in caplog.records if record.name.startswith("voicelive_agent")]
    assert any("connected to" in message for message in said)
    assert not any("S3CRET" in message for message in said)


# --- why no session began ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, ConnectError),
        (400, ConnectError),
        (401, AuthenticationError),
        (403, AuthenticationError),
        (404, NotFoundError),
        (429, RateLimitedError),
        (500, ServiceUnavailableError),
        (503, ServiceUnavailableError),
    ],
)
async def test_http_status(status: int, kind: type[ConnectError], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "voicelive_agent")
    async with FaultServer(lambda peer: peer.status(status)) as server:
        error = await refused(server.url)
    assert type(error) is kind
    assert isinstance(error, ConnectError)
    assert error.status == status
    assert f"http://127.0.0.1:{server.port}/voice-live/realtime" in str(error)
    assert not any("S3CRET" in r.getMessage() for r in caplog.records if r.name.startswith("voicelive_agent"))


async def test_a_rate_limit_says_how_long_to_wait() -> None:
    async with FaultServer(lambda peer: peer.status(429, {"retry-after": "7"})) as server:
        error = await refused(server.url)
    assert isinstance(error, RateLimitedError)
    assert error.retry_after_s == 7.0


async def test_a_redirect_is_not_followed() -> None:
    async with FaultServer(stay) as thief:

        async def redirect(peer: Peer) -> None:
            await peer.status(302, {"Location": thief.url})

        async with FaultServer(redirect) as server:
            error = await refused(server.url)
        assert "redirect" in str(error)
        assert not thief.peers


async def test_nobody_listens_on_this_machine() -> None:
    error = await refused(f"http://127.0.0.1:{closed_port()}")
    assert isinstance(error, ServiceUnavailableError)
    assert "voicelive-agent emulator" in error.hint


async def test_nobody_listens_elsewhere() -> None:
    error = await refused(f"https://127.0.0.1:{closed_port()}")
    assert isinstance(error, ServiceUnavailableError)
    assert "emulator" not in error.hint


async def test_an_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = await refused("https://typo.services.ai.azure.example")
    assert isinstance(error, ServiceUnavailableError)
    assert "typo.services.ai.azure.example" in str(error)


async def test_an_endpoint_without_tls() -> None:
    async def plain(peer: Peer) -> None:
        await peer.reader.read(100)
        await peer.raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        peer.fin()

    async with FaultServer(plain) as server:
        error = await refused(server.url.replace("http:", "https:"))
    assert "TLS" in str(error)


async def test_an_endpoint_that_is_not_http() -> None:
    async def mail(peer: Peer) -> None:
        await peer.read_request()
        await peer.raw(b"220 mail.example ESMTP\r\n")
        await stay(peer)

    async with FaultServer(mail) as server:
        error = await refused(server.url)
    assert "HTTP" in str(error)


@pytest.mark.parametrize("how", [Peer.fin, Peer.reset])
async def test_a_handshake_that_breaks_off(how: Callable[[Peer], None]) -> None:
    async def leave(peer: Peer) -> None:
        await peer.read_request()
        how(peer)

    async with FaultServer(leave) as server:
        error = await refused(server.url)
    assert isinstance(error, ServiceUnavailableError)


async def test_a_handshake_that_hangs_ends_by_our_own_deadline() -> None:
    async with FaultServer(stay) as server:
        error = await refused(server.url, connect_timeout_s=0.2)
        assert "within 0.2 s" in str(error)
        await server.finished()  # the socket is closed, too
    assert isinstance(error, ServiceUnavailableError)


async def test_a_key_with_a_line_break() -> None:
    async with FaultServer(stay) as server:
        error = await refused(server.url, credential=KEY + "\r\nx: y")
    assert isinstance(error, ConfigurationError)
    assert "line break" in error.hint


async def test_what_the_sdk_raises_unexpectedly_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise aiohttp.ClientError("something new")

    monkeypatch.setattr(aiohttp.ClientSession, "ws_connect", broken)
    error = await refused("http://127.0.0.1:1")
    assert type(error) is ConnectError
    assert "ClientError" in str(error)


@pytest.mark.parametrize("url", ["http://example.com", "ws://10.0.0.1", "http://user@127.0.0.1", "nonsense"])
async def test_an_endpoint_that_would_give_the_key_away_is_not_even_tried(url: str) -> None:
    assert isinstance(await refused(url), ConfigurationError)


async def test_a_synchronous_credential_is_refused_with_a_hint() -> None:
    class Synchronous:
        def get_token(self, *_: str) -> AccessToken:
            return AccessToken("t", 0)

    error = await refused("https://127.0.0.1:1", credential=Synchronous())
    assert isinstance(error, ConfigurationError)
    assert "azure.identity.aio" in error.hint


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (ClientAuthenticationError("no"), AuthenticationError),
        (ServiceRequestError("no route"), ServiceUnavailableError),
        (KeyError("x"), AuthenticationError),
    ],
)
async def test_a_credential_without_a_token(raised: Exception, kind: type[ConnectError]) -> None:
    error = await refused("https://127.0.0.1:1", credential=Token(raised))
    assert type(error) is kind
    assert "Token" in str(error)
    assert error.__cause__ is raised


async def test_a_lent_credential_stays_open_whatever_the_sdk_does_with_it() -> None:
    credential = Token()
    async with _service._LentCredential(credential) as lent:
        assert (await lent.get_token("scope")).token == "S3CRET-TOKEN"
    assert not credential.closed


@pytest.mark.parametrize("raised", [None, ClientAuthenticationError("no")])
async def test_a_credential_made_here_is_closed_here(
    raised: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Token(raised)
    monkeypatch.setattr("azure.identity.aio.DefaultAzureCredential", lambda: made)
    await refused(f"https://127.0.0.1:{closed_port()}", credential=None)
    assert len(made.scopes) == 1
    assert made.closed


# --- the first words -----------------------------------------------------------------------------------------


def error_event(code: str, message: str = "so it is") -> dict[str, Any]:
    return {"type": "error", "event_id": "e", "error": {"type": "t", "code": code, "message": message}}


async def test_a_server_that_accepts_and_says_nothing() -> None:
    async def mute(peer: Peer) -> None:
        await peer.accept()
        await peer.closing()

    async with FaultServer(mute) as server:
        error = await refused(server.url, first_event_timeout_s=0.2)
    assert isinstance(error, ServiceUnavailableError)
    assert "said nothing" in str(error)


@pytest.mark.parametrize(
    ("code", "close_code", "kind"),
    [
        ("agent_initialization_failed", 1006, AuthenticationError),
        ("model_not_found", 1008, NotFoundError),
        ("rate_limit_exceeded", 1013, RateLimitedError),
        ("something_else", 1011, ServiceUnavailableError),
        ("something_else", 1008, ConnectError),
    ],
)
async def test_an_error_and_the_end_instead_of_a_session(
    code: str, close_code: int, kind: type[ConnectError]
) -> None:
    async def fail(peer: Peer) -> None:
        await peer.accept()
        await peer.text(error_event(code))
        if close_code != 1006:
            await peer.close(close_code)
        peer.fin()

    async with FaultServer(fail) as server:
        error = await refused(server.url)
    assert type(error) is kind
    assert f"{code}: so it is" in str(error)


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


async def test_an_error_and_then_nothing_is_for_the_conversation_to_judge() -> None:
    async def complain(peer: Peer) -> None:
        await peer.accept()
        await peer.text(error_event("only"))
        await say_goodbye(peer)

    async with FaultServer(complain) as server:
        connection = await AzureConnector().connect(settings_for(server.url, first_event_timeout_s=0.2))
        assert b"only" in await connection.receive()
        await connection.close()


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


# --- how a session ends --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1000, EndReason.SERVICE_CLOSED),
        (1001, EndReason.SERVICE_CLOSED),
        (1008, EndReason.PROTOCOL),
        (1009, EndReason.TOO_LARGE),
        (1011, EndReason.UNAVAILABLE),
        (1013, EndReason.UNAVAILABLE),
        (4000, EndReason.PROTOCOL),
    ],
)
@pytest.mark.parametrize("then", [None, Peer.fin], ids=["waits", "leaves"])
async def test_close_code(code: int, reason: EndReason, then: Callable[[Peer], None] | None) -> None:
    async def play(peer: Peer) -> None:
        await peer.text(NEXT)
        await peer.close(code, "the reason")
        if then is not None:
            then(peer)
        else:
            await stay(peer)

    async with connected(play) as (connection, _):
        verdict = await ending(connection)
    assert (verdict.reason, verdict.close_code) == (reason, code)
    assert "max_message_bytes" not in verdict.hint


async def test_a_close_frame_without_a_code_is_a_goodbye() -> None:
    async with connected(lambda peer: peer.close(None)) as (connection, _):
        assert (await ending(connection)).reason is EndReason.SERVICE_CLOSED


async def test_the_close_code_is_not_lost_on_a_reader_that_comes_late() -> None:
    async def play(peer: Peer) -> None:
        await peer.text(NEXT)
        await peer.close(1011)
        peer.fin()

    async with connected(play) as (connection, _):
        await until_lost(connection)
        assert json.loads(await connection.receive()) == NEXT
        verdict = await ending(connection)
    assert (verdict.reason, verdict.close_code) == (EndReason.UNAVAILABLE, 1011)


async def until_lost(connection: ServiceConnection) -> None:
    while not connection._layers[-1].is_closing():  # noqa: ASYNC110  # there is no event for it
        await asyncio.sleep(0)


@pytest.mark.parametrize("how", [Peer.fin, Peer.reset])
async def test_a_connection_that_is_cut_is_lost_and_not_closed(how: Callable[[Peer], None]) -> None:
    async def play(peer: Peer) -> None:
        how(peer)

    async with connected(play) as (connection, _):
        verdict = await ending(connection)
    assert (verdict.reason, verdict.close_code) == (EndReason.NETWORK, 1006)


async def test_a_peer_that_no_longer_answers_pings() -> None:
    async with connected(stay, heartbeat_s=0.2) as (connection, _):
        verdict = await ending(connection)
    assert verdict.reason is EndReason.NETWORK
    assert "PONG" in verdict.detail


async def test_a_message_over_our_limit_names_it() -> None:
    async def play(peer: Peer) -> None:
        await peer.text({"type": "response.audio.delta", "delta": "A" * 4_400_000})  # 3.3 MB of audio
        await stay(peer)

    async with connected(play) as (connection, _):
        verdict = await ending(connection)
    assert (verdict.reason, verdict.close_code) == (EndReason.TOO_LARGE, 1009)
    assert "4,194,304" in verdict.detail
    assert "max_message_bytes" in verdict.hint


@pytest.mark.parametrize(("opcode", "payload", "code"), [(TEXT, b"\xff\xfe", 1007), (3, b"", 1002)])
async def test_what_is_not_websocket(opcode: int, payload: bytes, code: int) -> None:
    async def play(peer: Peer) -> None:
        await peer.frame(opcode, payload)
        await stay(peer)

    async with connected(play) as (connection, _):
        verdict = await ending(connection)
    assert (verdict.reason, verdict.close_code) == (EndReason.PROTOCOL, code)


@pytest.mark.parametrize("code", [1000, 1001, None])
async def test_an_expired_session(code: int | None) -> None:
    async def play(peer: Peer) -> None:
        await peer.text(error_event("session_expired", "Your session hit the maximum duration."))
        if code is not None:
            await peer.close(code)
        peer.fin()

    async with connected(play) as (connection, _):
        verdict = await ending(connection)
    assert verdict.reason is EndReason.EXPIRED
    assert "maximum duration" in verdict.detail
    assert verdict.close_code == (code or 1006)


async def test_a_session_that_expired_without_an_error_says_so_in_its_close_frame() -> None:
    async def play(peer: Peer) -> None:
        await peer.close(1001, "session_expired")

    async with connected(play) as (connection, _):
        verdict = await ending(connection)
    assert (verdict.reason, verdict.close_code) == (EndReason.EXPIRED, 1001)
    assert "session_expired" in verdict.detail


async def test_an_error_of_long_ago_is_not_why_the_session_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(peer: Peer) -> None:
        await peer.text(error_event("rate_limit_exceeded"))
        await peer.read_text()
        peer.fin()

    async with connected(play) as (connection, _):
        await connection.receive()
        monkeypatch.setattr(_service, "_LAST_WORDS_S", -1.0)
        await connection.send("{}")
        assert (await ending(connection)).reason is EndReason.NETWORK


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


# --- sending -------------------------------------------------------------------------------------------------


async def test_ready_made_text_goes_out_as_it_is() -> None:
    """Notices an SDK that stops to pass ready-made text through, or that encodes it twice."""
    texts = ['{"type":"a", "n":1.50}', '{"type":"ü€😀"}', '{"type":"b","x":"' + "y" * 200_000 + '"}']
    got: list[str] = []

    async def listen(peer: Peer) -> None:
        got.extend([await peer.read_text() for _ in texts])
        await say_goodbye(peer)

    assert await _service._ready_text_passes()
    async with connected(listen) as (connection, _):
        await asyncio.gather(*(connection.send(text) for text in texts))
    assert got == texts


@pytest.mark.parametrize("how", ["double-encodes", "refuses"])
async def test_with_an_sdk_that_takes_no_text_a_mapping_is_sent(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    send = aio.VoiceLiveConnection.send

    async def newer(sdk: aio.VoiceLiveConnection, event: Any) -> None:
        if isinstance(event, dict):
            await send(sdk, event)
        elif how == "refuses":
            raise aio.ConnectionError("not an event")
        else:
            await send(sdk, json.dumps(event.as_dict()))  # type: ignore[arg-type]

    got: list[object] = []

    async def listen(peer: Peer) -> None:
        got.append(json.loads(await peer.read_text()))
        await say_goodbye(peer)

    monkeypatch.setattr(aio.VoiceLiveConnection, "send", newer)
    assert not await _service._ready_text_passes()
    async with connected(listen) as (connection, _):
        await connection.send('{"type":"a","b":[1]}')
    assert got == [{"type": "a", "b": [1]}]


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
    monkeypatch.setattr(_service, "CLOSE_LIMIT_S", 0.2)


async def flood(connection: ServiceConnection) -> None:
    """Send until the network takes no more."""
    while True:
        await connection.send('"' + "x" * 60_000 + '"')


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


@pytest.mark.linux
async def test_the_kernel_does_not_hide_what_is_unsent() -> None:
    """By itself Linux takes almost 4 MB, a minute of microphone, before anything shows as unsent."""
    sent = 0

    async def send_until_it_shows(connection: ServiceConnection) -> None:
        nonlocal sent
        while not connection.unsent:
            await connection.send('"' + "x" * 1300 + '"')
            await asyncio.sleep(0)
            sent += 1300

    async with connected(keep_silent) as (connection, peer):
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is a full transport
        await send_until_it_shows(connection)
        peer.writer.transport.abort()
    assert sent < 1_000_000


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


async def keep_silent(_: Peer) -> None:
    await asyncio.Event().wait()


async def keep_talking(peer: Peer) -> None:
    try:
        while True:
            await peer.text(NEXT)
            await asyncio.sleep(0)
    except ConnectionError:
        pass


async def leave(peer: Peer) -> None:
    peer.reset()


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


# --- cancelled while it opens --------------------------------------------------------------------------------


async def test_a_cancelled_handshake_closes_the_session_that_the_sdk_leaves_open() -> None:
    """Notices an SDK in which that session is no longer to be found."""
    asked = asyncio.Event()

    async def hang(peer: Peer) -> None:
        await peer.read_request()
        asked.set()
        await peer.gone()

    async with FaultServer(hang) as server:
        opening = asyncio.create_task(AzureConnector().connect(settings_for(server.url)))
        await asked.wait()
        opening.cancel()
        await asyncio.wait({opening})
        assert opening.cancelled()
        await server.finished()  # and so the socket, and _nothing_left finds the session closed


@pytest.mark.parametrize("turns", range(30))
async def test_cancelling_at_any_instant_leaves_nothing(turns: int) -> None:
    async def greet(peer: Peer) -> None:
        try:
            await peer.accept()
            await peer.text(CREATED)
            await say_goodbye(peer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return

    async with FaultServer(greet) as server:
        opening = asyncio.create_task(AzureConnector().connect(settings_for(server.url)))
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait({opening})
        if not opening.cancelled():
            await opening.result().close()
        await server.finished()


async def test_a_connection_that_was_there_when_the_cancellation_came_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opens = _service._open

    async def greet(peer: Peer) -> None:
        await peer.accept()
        await peer.text(CREATED)
        await say_goodbye(peer)

    async with FaultServer(greet) as server:
        with anyio.CancelScope() as scope:

            async def open_and_cancel(*args: Any) -> ServiceConnection:
                connection = await opens(*args)
                scope.cancel()
                return connection

            monkeypatch.setattr(_service, "_open", open_and_cancel)
            await AzureConnector().connect(settings_for(server.url))
        assert scope.cancelled_caught
        await server.finished()


async def test_a_deadline_around_it_works_as_usual() -> None:
    async def mute(peer: Peer) -> None:
        await peer.accept()
        await peer.gone()

    async with FaultServer(mute) as server:
        with pytest.raises(TimeoutError):
            with anyio.fail_after(0.1):
                await AzureConnector().connect(settings_for(server.url))
        await server.finished()


# --- without the private attributes --------------------------------------------------------------------------


async def test_where_the_socket_is_not_found_the_connection_knows_less_and_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def play(peer: Peer) -> None:
        await peer.read_text()
        peer.fin()

    monkeypatch.setattr(_service, "_socket_of", lambda _: None)
    async with connected(play) as (connection, _):
        assert connection.unsent == 0
        await connection.send("{}")
        assert (await ending(connection)).reason is EndReason.NETWORK
    async with connected(leave) as (connection, _):
        with pytest.raises(ConnectionEnded) as ended:
            await flood(connection)
        assert ended.value.verdict.reason is EndReason.NETWORK
        assert isinstance(ended.value.__cause__, aio.ConnectionError)


async def test_the_private_attributes_are_where_they_are_looked_up() -> None:
    """Notices an SDK or an aiohttp that renames them."""
    async with connected(say_goodbye) as (connection, _):
        assert isinstance(connection._socket, aiohttp.ClientWebSocketResponse)
        assert len(connection._layers) == 1
    assert _service._socket_of(object()) is None  # type: ignore[arg-type]
    assert _service._layers_of(None) == []


# --- TLS -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate of its own for localhost, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + signed.public_bytes(pem))
    return path


def server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def test_a_certificate_that_is_not_trusted(certificate: Path) -> None:
    async with FaultServer(stay, tls=server_context(certificate)) as server:
        error = await refused(server.url)
    assert "certificate" in str(error)
    assert "SSL_CERT_FILE" in error.hint


@pytest.mark.parametrize("answers", [True, False])
async def test_over_tls(answers: bool, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trusting = ssl.create_default_context(cafile=certificate)
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting)

    async def greet(peer: Peer) -> None:
        await peer.accept()
        await peer.text(CREATED)
        await (say_goodbye(peer) if answers else keep_silent(peer))

    async with FaultServer(greet, tls=server_context(certificate)) as server:
        connection = await AzureConnector().connect(settings_for(server.url))
        assert b"session.created" in await connection.receive()
        assert len(connection._layers) == 2  # bytes wait above and below the encryption
        await connection.send("{}")
        with anyio.fail_after(10):
            await connection.close()
        assert connection.unsent == 0
