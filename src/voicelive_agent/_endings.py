"""How a session ends and why none began: the tables, and nothing that touches a socket, a clock or the SDK.

Every ending comes down to one :class:`~voicelive_agent.events.Verdict`, every refusal to one
:class:`~voicelive_agent.errors.ConnectError`. The codes are those of RFC 6455, of the service's documentation and
of reports by its users; whatever the tables say, ``detail`` keeps the service's own words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeAlias

from .config import AgentTarget, ModelTarget, Settings
from .errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    NotFoundError,
    RateLimitedError,
    ServiceUnavailableError,
    VoiceLiveError,
)
from .events import EndReason, Verdict

__all__ = [
    "Attempt",
    "LastError",
    "error_in",
    "failure_of",
    "redirected",
    "refusal",
    "retry_after_s",
    "verdict_of",
    "verdict_of_failure",
]

LastError: TypeAlias = tuple[str, str]
"""Code and message of an ``error`` event."""

_LONGEST_QUOTE = 300  # characters of the service's own words that a message may carry

_AGAIN = "Connecting again usually helps."
_REPORT = "Set the logger voicelive_agent to DEBUG to see what was sent before it."
_AGENT = "Check the names of the agent and its project, and the roles of the identity that starts it."
_ROLES = "The identity needs the roles Cognitive Services User and Azure AI User on the resource."

# --- an open session that ends -------------------------------------------------------------------------------

_BY_CLOSE_CODE: Mapping[int, tuple[EndReason, str, str]] = {
    1000: (EndReason.SERVICE_CLOSED, "the service closed the session", ""),
    1001: (EndReason.SERVICE_CLOSED, "the service went away (a time limit, or a restart)", _AGAIN),
    1002: (EndReason.PROTOCOL, "the service reports a WebSocket protocol error", _REPORT),
    1003: (EndReason.PROTOCOL, "the service does not accept this kind of data", _REPORT),
    1006: (EndReason.NETWORK, "the connection broke without a goodbye", "Check the network; " + _AGAIN.lower()),
    1007: (EndReason.PROTOCOL, "the service could not read a message", _REPORT),
    1008: (
        EndReason.PROTOCOL,
        "the service refuses the session by its policy",
        "Check credential, roles and quota.",
    ),
    1009: (EndReason.TOO_LARGE, "the service found a message too large", "Send audio and text in smaller pieces."),
    1011: (EndReason.UNAVAILABLE, "the service failed", _AGAIN),
    1012: (EndReason.UNAVAILABLE, "the service restarts", _AGAIN),
    1013: (EndReason.UNAVAILABLE, "the service is overloaded", "Try again later."),
    1014: (EndReason.UNAVAILABLE, "a gateway on the way could not reach the service", _AGAIN),
}

# Codes are compared without case and punctuation: "DeploymentNotFound" is seen beside "rate_limit_exceeded".
_BY_ERROR_CODE: Mapping[str, tuple[EndReason, str]] = {
    "sessionexpired": (EndReason.EXPIRED, "A session has a maximum time; open a new one to go on."),
    **dict.fromkeys(
        ("authenticationerror", "invalidapikey", "unauthorized", "401", "tokenexpired", "invalidtoken"),
        (EndReason.AUTHENTICATION, "Check the key or the identity."),
    ),
    **dict.fromkeys(
        ("forbidden", "403", "permissiondenied", "accessdenied", "permissionerror"),
        (EndReason.AUTHENTICATION, _ROLES),
    ),
    **dict.fromkeys(
        ("agentinitializationfailed", "agentdisabled", "agentaccessdenied"), (EndReason.AUTHENTICATION, _AGENT)
    ),
    **dict.fromkeys(
        ("modelnotfound", "deploymentnotfound", "agentnotfound", "resourcenotfound", "projectnotfound"),
        (EndReason.NOT_FOUND, "Check the name of the model or agent, and that it is deployed on this resource."),
    ),
    **dict.fromkeys(
        ("ratelimiterror", "ratelimitexceeded", "toomanyrequests", "429", "insufficientquota", "quotaexceeded"),
        (EndReason.RATE_LIMITED, "Wait before connecting again, or ask for a higher quota."),
    ),
    **dict.fromkeys(
        ("servererror", "internalerror", "internalservererror", "serviceunavailable", "serveroverloaded"),
        (EndReason.UNAVAILABLE, _AGAIN),
    ),
}

# The service is seen to say this in words, with a general code or none, and then to drop the connection.
_AGENT_FAILED = "failed to initialize ai agent"


def verdict_of(
    close_code: int,
    *,
    asked: bool = False,
    by_service: bool = True,
    last_error: LastError | None = None,
    text: str = "",
    limit: int = 0,
) -> Verdict:
    """How an open session ended.

    ``close_code`` is that of the close frame, or what our own socket found (1006: gone). ``asked`` says that the
    goodbye was ours, ``by_service`` that the code came from the service. ``last_error`` is an ``error`` event
    right before the end: it tells more than any code. ``text`` is the reason in the close frame, which may be a
    code of the same kind ("session_expired" is seen), or what the transport said about the end. ``limit`` is our
    largest message in bytes.
    """
    if asked:
        return Verdict(EndReason.STOPPED, close_code=1000)
    reason, detail, hint = _by_code(close_code, by_service=by_service, limit=limit)
    cause = None if last_error is None else _cause(*last_error)
    if cause is None and by_service:
        cause = _cause(text, text)
    if cause is not None:
        reason, hint = cause
    if last_error is not None:
        detail = f"{_quote(*last_error)}; {detail}"
    if text:
        detail = f"{detail}: {_short(text)}"
    return Verdict(reason, f"{detail} (close code {close_code})", hint, close_code)


def _by_code(close_code: int, *, by_service: bool, limit: int) -> tuple[EndReason, str, str]:
    if close_code == 1009 and not by_service:
        return (
            EndReason.TOO_LARGE,
            f"the service sent a message of more than the {limit:,} bytes accepted here",
            "Raise max_message_bytes.",
        )
    if close_code != 1006 and not by_service:
        return (
            EndReason.PROTOCOL,
            "what the service sent is not WebSocket",
            "Look for a proxy that alters traffic.",
        )
    known = _BY_CLOSE_CODE.get(close_code)
    return known or (EndReason.PROTOCOL, "the service closed the session with a code of its own", _REPORT)


def _cause(code: str, message: str) -> tuple[EndReason, str] | None:
    if _AGENT_FAILED in message.lower():
        return EndReason.AUTHENTICATION, _AGENT
    return _BY_ERROR_CODE.get(re.sub(r"[^a-z0-9]", "", code.lower()))


def error_in(message: bytes) -> LastError | None:
    """Code and message if ``message`` is an ``error`` event, else None; also for what is not JSON at all."""
    try:
        event = json.loads(message)
    except (
        ValueError,
        RecursionError,
    ):  # the decoder of the conversation reports it; here it only is no error event
        return None
    if not isinstance(event, dict) or event.get("type") != "error":
        return None
    error = event.get("error")
    if not isinstance(error, dict):
        return "", ""
    return str(error.get("code") or error.get("type") or ""), str(error.get("message") or "")


def _quote(code: str, message: str) -> str:
    said = ": ".join(part for part in (code, message) if part)
    return f"the service said {_short(said)!r}" if said else "the service reported an error"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 1] + "…"


# --- a session that could not be opened ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Attempt:
    """What was tried, in words that may be shown: no key, no token, no query string.

    ``url`` has scheme, host and path; ``target`` and ``credential`` are phrases such as "the model 'gpt-realtime'"
    and "the API key".
    """

    url: str
    target: str
    credential: str
    is_key: bool = False
    is_agent: bool = False

    @classmethod
    def of(cls, settings: Settings) -> Attempt:
        """What connecting with ``settings`` tries; its endpoint is a URL."""
        target, credential = settings.target, settings.credential
        is_key = (
            settings.is_local if credential is None else isinstance(getattr(credential, "key", credential), str)
        )
        name = "DefaultAzureCredential" if credential is None else type(credential).__name__
        return cls(
            url=str(settings.endpoint).partition("?")[0].rstrip("/") + "/voice-live/realtime",
            target=f"the model {target.model!r}"
            if isinstance(target, ModelTarget)
            else f"the agent {target.agent!r} of the project {target.project!r}",
            credential="the API key" if is_key else f"the token of {name}",
            is_key=is_key,
            is_agent=isinstance(target, AgentTarget),
        )


def refusal(attempt: Attempt, status: int, *, wait_s: float | None = None) -> ConnectError:
    """The error for a handshake that was answered with HTTP ``status`` instead of a WebSocket.

    ``wait_s`` is how long the service asks to wait (see :func:`retry_after_s`).
    """
    wait = "" if wait_s is None else f"It asks to wait {wait_s:g} s."
    if status in (401, 403):
        message = f"{attempt.url} refused {attempt.credential} (HTTP {status})."
        return AuthenticationError(message, hint=_credential_hint(attempt, status), status=status)
    if status == 404:
        message = f"{attempt.url} does not know {attempt.target} (HTTP 404)."
        hint = "Check the endpoint, that this name is available on the resource, and the api-version."
        return NotFoundError(message, hint=hint, status=status)
    if status == 429:
        message = f"{attempt.url} accepts no more connections for now (HTTP 429)."
        hint = wait or "Wait before connecting again; new connections per minute are limited."
        return RateLimitedError(message, hint=hint, status=status, retry_after_s=wait_s)
    if 300 <= status < 400:
        return redirected(attempt, status)
    if status == 408 or status >= 500:
        message = f"{attempt.url} is not available (HTTP {status})."
        return ServiceUnavailableError(message, hint=wait or _AGAIN, status=status)
    message = f"{attempt.url} answered with HTTP {status} and opened no session."
    hint = f"Check the api-version and {attempt.target}."
    if status < 300:
        hint = "Something else answers there: a captive portal, a proxy, or an endpoint that is not Voice Live."
    return ConnectError(message, hint=hint, status=status)


def redirected(attempt: Attempt, status: int | None = None) -> ConnectError:
    """The error for a handshake that was answered with a redirect; the SDK keeps the status to itself."""
    return ConnectError(
        f"{attempt.url} answered with a redirect, which is not followed: it could carry the credential away.",
        hint="If you trust the address it leads to, make that the endpoint.",
        status=status,
    )


def _credential_hint(attempt: Attempt, status: int) -> str:
    if attempt.is_key and attempt.is_agent:
        return "Agents accept no key, only a token credential."
    if status == 403:
        return f"{_ROLES} The resource may also be closed to this network."
    return "Check that the key belongs to this resource." if attempt.is_key else _ROLES


def retry_after_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds to wait, by ``Retry-After`` (seconds or an HTTP date) or Azure's ``retry-after-ms``, or None.

    ``headers`` must not care about case. ``now`` is the present, in UTC.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("Retry-After", "")
    seconds = _number(value)
    if seconds is not None or not value:
        return seconds
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    if until.tzinfo is None:  # "-0000": UTC without a place
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - (now or datetime.now(UTC))).total_seconds())


def _number(value: str) -> float | None:
    return float(value) if re.fullmatch(r"\s*\d{1,9}(\.\d{1,9})?\s*", value, re.ASCII) else None


# --- between the two: a session that ended before it began, and a reconnect that failed -----------------------

_FAILURES: Mapping[EndReason, type[ConnectError]] = {
    EndReason.AUTHENTICATION: AuthenticationError,
    EndReason.NOT_FOUND: NotFoundError,
    EndReason.RATE_LIMITED: RateLimitedError,
    EndReason.UNAVAILABLE: ServiceUnavailableError,
    EndReason.SERVICE_CLOSED: ServiceUnavailableError,
    EndReason.NETWORK: ServiceUnavailableError,
}


def failure_of(attempt: Attempt, verdict: Verdict) -> ConnectError:
    """The error for a connection that was accepted and ended before the session began."""
    kind = _FAILURES.get(verdict.reason, ConnectError)
    message = f"{attempt.url} accepted the connection and ended it before the session began: {verdict.detail}."
    return kind(message, hint=verdict.hint)


_REFUSALS: Mapping[type[VoiceLiveError], EndReason] = {
    AuthenticationError: EndReason.AUTHENTICATION,
    ConfigurationError: EndReason.CONFIGURATION,
    NotFoundError: EndReason.NOT_FOUND,
    RateLimitedError: EndReason.RATE_LIMITED,
}
"""How a call ended that could not be opened; every other ConnectError says that the service cannot be had."""


def verdict_of_failure(error: ConnectError | ConfigurationError) -> Verdict:
    """How a call ends of which no session could be opened."""
    return Verdict(_REFUSALS.get(type(error), EndReason.UNAVAILABLE), error.message, error.hint)
