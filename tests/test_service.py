"""Sessions opened over real sockets with the real SDK: what the service is asked, what opening leaves behind."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from azure.core.credentials import AccessToken, AzureKeyCredential
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError

from voicelive_agent import _service
from voicelive_agent._service import AzureConnector
from voicelive_agent._service_connection import ServiceConnection
from voicelive_agent.config import AgentTarget, ModelTarget
from voicelive_agent.errors import AuthenticationError, ConfigurationError, ConnectError, ServiceUnavailableError

from .faultserver import CREATED, FaultServer, Peer, closed_port
from .service_driver import (
    ACCESS_TOKEN,
    KEY,
    Token,
    connected,
    keep_silent,
    refused,
    say_goodbye,
    settings_for,
    stay,
)

pytestmark = pytest.mark.usefixtures("nothing_left")


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


# --- settings and credentials that cannot work ---------------------------------------------------------------


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


# --- given up or cancelled while it opens --------------------------------------------------------------------


async def test_a_handshake_that_hangs_ends_by_our_own_deadline() -> None:
    async with FaultServer(stay) as server:
        error = await refused(server.url, connect_timeout_s=0.2)
        assert "within 0.2 s" in str(error)
        await server.finished()  # the socket is closed, too
    assert isinstance(error, ServiceUnavailableError)


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
        await server.finished()  # and so the socket, and nothing_left finds the session closed


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
        scope.deadline = anyio.current_time() + 0.1  # before that there may be nothing that could be read
        await peer.gone()

    async with FaultServer(mute) as server:
        with pytest.raises(TimeoutError):
            with anyio.fail_after(30) as scope:
                await AzureConnector().connect(settings_for(server.url))
        await server.finished()


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
