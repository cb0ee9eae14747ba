"""What errors of the SDK and of aiohttp say, over real sockets: why no session began, and how one ended."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable

import aiohttp
import pytest

from voicelive_agent import _service_connection
from voicelive_agent.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    NotFoundError,
    RateLimitedError,
    ServiceUnavailableError,
)
from voicelive_agent.events import EndReason

from .faultserver import TEXT, FaultServer, Peer, closed_port
from .service_driver import KEY, NEXT, connected, ending, error_event, refused, stay, until_lost

pytestmark = pytest.mark.usefixtures("nothing_left")


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
        monkeypatch.setattr(_service_connection, "_LAST_WORDS_S", -1.0)
        await connection.send("{}")
        assert (await ending(connection)).reason is EndReason.NETWORK
