"""The tables of endings: one row per code."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from voicelive_agent._endings import (
    Attempt,
    error_in,
    failure_of,
    redirected,
    refusal,
    retry_after_s,
    verdict_of,
    verdict_of_failure,
)
from voicelive_agent.config import AgentTarget, ModelTarget, Settings
from voicelive_agent.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    NotFoundError,
    RateLimitedError,
    ServiceUnavailableError,
)
from voicelive_agent.events import EndReason, Verdict

ATTEMPT = Attempt("https://x.example/voice-live/realtime", "the model 'm'", "the API key", is_key=True)


# --- an open session that ends -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1000, EndReason.SERVICE_CLOSED),
        (1001, EndReason.SERVICE_CLOSED),
        (1002, EndReason.PROTOCOL),
        (1003, EndReason.PROTOCOL),
        (1006, EndReason.NETWORK),
        (1007, EndReason.PROTOCOL),
        (1008, EndReason.PROTOCOL),
        (1009, EndReason.TOO_LARGE),
        (1010, EndReason.PROTOCOL),
        (1011, EndReason.UNAVAILABLE),
        (1012, EndReason.UNAVAILABLE),
        (1013, EndReason.UNAVAILABLE),
        (1014, EndReason.UNAVAILABLE),
        (3000, EndReason.PROTOCOL),
        (4000, EndReason.PROTOCOL),
    ],
)
def test_close_code(code: int, reason: EndReason) -> None:
    verdict = verdict_of(code)
    assert (verdict.reason, verdict.close_code) == (reason, code)
    assert f"(close code {code})" in verdict.detail
    assert not verdict.ok


@pytest.mark.parametrize("code", [1000, 1006, 1011, 4000])
def test_an_ending_we_asked_for_is_ours_whatever_the_service_answers(code: int) -> None:
    verdict = verdict_of(code, asked=True, last_error=("session_expired", ""), text="late")
    assert verdict == Verdict(EndReason.STOPPED, close_code=1000)
    assert verdict.ok


def test_too_large_says_whose_limit_it_was() -> None:
    ours = verdict_of(1009, by_service=False, limit=4_194_304)
    theirs = verdict_of(1009)
    assert ours.reason is theirs.reason is EndReason.TOO_LARGE
    assert "4,194,304" in ours.detail
    assert "max_message_bytes" in ours.hint
    assert "max_message_bytes" not in theirs.hint


@pytest.mark.parametrize("code", [1002, 1007])
def test_what_our_own_socket_could_not_read_is_not_blamed_on_our_messages(code: int) -> None:
    verdict = verdict_of(code, by_service=False)
    assert verdict.reason is EndReason.PROTOCOL
    assert verdict.detail != verdict_of(code).detail


def test_a_lost_connection_is_no_goodbye_and_keeps_the_words_of_the_transport() -> None:
    verdict = verdict_of(1006, by_service=False, text="No PONG received after 0.1 seconds")
    assert verdict.reason is EndReason.NETWORK
    assert "No PONG received after 0.1 seconds" in verdict.detail


@pytest.mark.parametrize(
    ("code", "message", "reason"),
    [
        ("session_expired", "Your session hit its maximum duration.", EndReason.EXPIRED),
        ("authentication_error", "", EndReason.AUTHENTICATION),
        ("invalid_api_key", "", EndReason.AUTHENTICATION),
        ("Unauthorized", "", EndReason.AUTHENTICATION),
        ("401", "", EndReason.AUTHENTICATION),
        ("token_expired", "", EndReason.AUTHENTICATION),
        ("PermissionDenied", "", EndReason.AUTHENTICATION),
        ("agent_initialization_failed", "", EndReason.AUTHENTICATION),
        ("x", "Failed to initialize AI agent, check connection string", EndReason.AUTHENTICATION),
        ("DeploymentNotFound", "", EndReason.NOT_FOUND),
        ("model_not_found", "", EndReason.NOT_FOUND),
        ("rate_limit_exceeded", "", EndReason.RATE_LIMITED),
        ("rate_limit_error", "", EndReason.RATE_LIMITED),
        ("insufficient_quota", "", EndReason.RATE_LIMITED),
        ("429", "", EndReason.RATE_LIMITED),
        ("server_error", "", EndReason.UNAVAILABLE),
    ],
)
@pytest.mark.parametrize("close_code", [1000, 1001, 1006, 1008, 1011])
def test_an_error_right_before_the_end_is_its_cause(
    code: str, message: str, reason: EndReason, close_code: int
) -> None:
    verdict = verdict_of(close_code, last_error=(code, message))
    assert (verdict.reason, verdict.close_code) == (reason, close_code)
    assert code in verdict.detail
    assert message in verdict.detail
    assert verdict.hint


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("session_expired", EndReason.EXPIRED),
        ("Session expired.", EndReason.EXPIRED),
        ("Failed to initialize AI agent, check connection string", EndReason.AUTHENTICATION),
        ("going away", EndReason.SERVICE_CLOSED),
        ("", EndReason.SERVICE_CLOSED),
    ],
)
def test_the_reason_in_a_close_frame_is_the_cause_if_it_is_known(text: str, reason: EndReason) -> None:
    verdict = verdict_of(1001, text=text)
    assert (verdict.reason, verdict.close_code) == (reason, 1001)
    assert text in verdict.detail
    assert verdict.hint
    assert verdict_of(1001, text=text, last_error=("server_error", "")).reason is EndReason.UNAVAILABLE
    assert verdict_of(1001, text=text, last_error=("item_not_found", "")).reason is reason


def test_words_of_our_own_socket_are_no_cause() -> None:
    assert verdict_of(1006, by_service=False, text="session_expired").reason is EndReason.NETWORK


def test_an_error_that_explains_nothing_is_quoted_and_the_close_code_decides() -> None:
    verdict = verdict_of(1011, last_error=("item_not_found", "no item x"))
    assert verdict.reason is EndReason.UNAVAILABLE
    assert "'item_not_found: no item x'" in verdict.detail
    assert "reported an error" in verdict_of(1011, last_error=("", "")).detail


def test_long_words_of_the_service_are_cut() -> None:
    verdict = verdict_of(1011, last_error=("x", "y" * 10_000), text="z" * 10_000)
    assert len(verdict.detail) < 800
    assert "…" in verdict.detail


# --- error events --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (b'{"type":"error","error":{"code":"c","message":"m","type":"t"}}', ("c", "m")),
        (b'{"type": "error", "error": {"code": null, "type": "t", "message": null}}', ("t", "")),
        (b'{"type":"error","error":{"code":429}}', ("429", "")),
        (b'{"type":"error"}', ("", "")),
        (b'{"type":"error","error":"text"}', ("", "")),
        (b'{"type":"response.done","error":{"code":"c"}}', None),
        (b'{"type":["error"]}', None),
        (b'["error"]', None),
        (b"error", None),
        (b"", None),
        (b"\xff\xfeerror", None),
        (b'{"type":"error","x":' + b"[" * 200_000, None),
    ],
)
def test_error_in(message: bytes, error: tuple[str, str] | None) -> None:
    assert error_in(message) == error


# --- a session that could not be opened ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (200, ConnectError, "captive portal"),
        (302, ConnectError, "redirect"),
        (400, ConnectError, "api-version"),
        (401, AuthenticationError, "belongs to this resource"),
        (403, AuthenticationError, "roles"),
        (404, NotFoundError, "the model 'm'"),
        (408, ServiceUnavailableError, "not available"),
        (409, ConnectError, "HTTP 409"),
        (429, RateLimitedError, "no more connections"),
        (500, ServiceUnavailableError, "HTTP 500"),
        (503, ServiceUnavailableError, "HTTP 503"),
    ],
)
def test_refusal(status: int, kind: type[ConnectError], words: str) -> None:
    error = refusal(ATTEMPT, status)
    assert type(error) is kind
    assert error.status == status
    assert error.hint
    assert words in str(error)
    assert ATTEMPT.url in str(error)


def test_a_refused_token_needs_roles_and_a_refused_key_for_an_agent_needs_a_token() -> None:
    token = Attempt("https://x", "the model 'm'", "the token of DefaultAzureCredential")
    assert "the token of DefaultAzureCredential" in str(refusal(token, 401))
    assert "Cognitive Services User" in refusal(token, 401).hint
    agent = Attempt("https://x", "the agent 'a' of the project 'p'", "the API key", is_key=True, is_agent=True)
    assert "token credential" in refusal(agent, 401).hint


def test_a_refusal_that_names_a_time_passes_it_on() -> None:
    limited = refusal(ATTEMPT, 429, wait_s=7.0)
    assert isinstance(limited, RateLimitedError)
    assert limited.retry_after_s == 7.0
    assert "7 s" in limited.hint
    assert "2.5 s" in refusal(ATTEMPT, 503, wait_s=2.5).hint


def test_a_redirect_of_unknown_status() -> None:
    assert redirected(ATTEMPT).status is None


NOW = datetime(2026, 8, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": " 1.5 "}, 1.5),
        ({"Retry-After": "Sat, 01 Aug 2026 12:00:30 GMT"}, 30.0),
        ({"Retry-After": "Sat, 01 Aug 2026 12:00:30 -0000"}, 30.0),
        ({"Retry-After": "Sat, 01 Aug 2026 11:00:00 GMT"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "9" * 400}, None),
        ({"retry-after-ms": "250", "Retry-After": "7"}, 0.25),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, NOW) == seconds


def test_retry_after_by_the_clock() -> None:
    assert retry_after_s({"Retry-After": "Sat, 01 Jan 2000 00:00:00 GMT"}) == 0.0


# --- what was tried, in words --------------------------------------------------------------------------------


class KeyCredential:
    key = "S3CRET"


class TokenCredential:
    async def get_token(self, *scopes: str) -> object: ...


@pytest.mark.parametrize(
    ("credential", "words", "is_key"),
    [
        ("S3CRET", "the API key", True),
        (KeyCredential(), "the API key", True),
        (TokenCredential(), "the token of TokenCredential", False),
        (None, "the token of DefaultAzureCredential", False),
    ],
)
def test_attempt(credential: str | KeyCredential | TokenCredential | None, words: str, is_key: bool) -> None:
    settings = Settings(
        endpoint="https://x.example/base/?token=S3CRET", credential=credential, target=ModelTarget("gpt-x")
    )
    attempt = Attempt.of(settings)
    assert (attempt.credential, attempt.is_key, attempt.is_agent) == (words, is_key, False)
    assert attempt.url == "https://x.example/base/voice-live/realtime"
    assert attempt.target == "the model 'gpt-x'"
    assert "S3CRET" not in repr(attempt)


def test_attempt_at_an_agent_and_at_an_emulator() -> None:
    agent = Attempt.of(Settings(endpoint="https://x.example", target=AgentTarget("a", "p")))
    assert (agent.target, agent.is_agent) == ("the agent 'a' of the project 'p'", True)
    assert Attempt.of(Settings(endpoint="http://127.0.0.1:8765", target=ModelTarget("m"))).is_key


# --- between the two -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (EndReason.AUTHENTICATION, AuthenticationError),
        (EndReason.NOT_FOUND, NotFoundError),
        (EndReason.RATE_LIMITED, RateLimitedError),
        (EndReason.UNAVAILABLE, ServiceUnavailableError),
        (EndReason.SERVICE_CLOSED, ServiceUnavailableError),
        (EndReason.NETWORK, ServiceUnavailableError),
        (EndReason.PROTOCOL, ConnectError),
        (EndReason.TOO_LARGE, ConnectError),
    ],
)
def test_an_ending_before_the_session_is_a_connect_error(reason: EndReason, kind: type[ConnectError]) -> None:
    error = failure_of(ATTEMPT, Verdict(reason, "the reason", "The hint."))
    assert type(error) is kind
    assert "the reason" in str(error)
    assert error.hint == "The hint."


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (refusal(ATTEMPT, 401), EndReason.AUTHENTICATION),
        (refusal(ATTEMPT, 404), EndReason.NOT_FOUND),
        (refusal(ATTEMPT, 429), EndReason.RATE_LIMITED),
        (refusal(ATTEMPT, 503), EndReason.UNAVAILABLE),
        (refusal(ATTEMPT, 400), EndReason.UNAVAILABLE),
        (ConfigurationError("No key.", hint="Set it."), EndReason.CONFIGURATION),
    ],
)
def test_how_a_call_ends_that_could_not_be_opened(
    error: ConnectError | ConfigurationError, reason: EndReason
) -> None:
    verdict = verdict_of_failure(error)
    assert verdict == Verdict(reason, error.message, error.hint)
    assert not verdict.ok
