"""What the errors of the SDK and of aiohttp say: why a session did not begin, and how one ended."""

from __future__ import annotations

from typing import Final

import aiohttp
from azure.ai.voicelive import aio

from ._endings import Attempt, LastError, redirected, refusal, retry_after_s, verdict_of
from ._service_sdk import locals_of
from .config import Settings
from .errors import ConfigurationError, ConnectError, ServiceUnavailableError, VoiceLiveError
from .events import Verdict

__all__ = ["end_of", "failure_from"]

_SDK_CLOSED: Final = "Connection closed"
"""The SDK's reason where no close frame came; it says code 1000 all the same."""


def failure_from(cause: BaseException | None, settings: Settings, attempt: Attempt) -> VoiceLiveError:
    """The error for what aiohttp raised during the handshake."""
    url = attempt.url
    match cause:
        case aiohttp.WSServerHandshakeError():
            return refusal(attempt, cause.status, wait_s=retry_after_s(cause.headers or {}))
        case aiohttp.ClientResponseError():
            return ConnectError(f"{url} does not answer in HTTP.", hint="Check host and port of the endpoint.")
        case aiohttp.ClientConnectorCertificateError():
            hint = "If a proxy here inspects traffic, let SSL_CERT_FILE name its certificate."
            return ConnectError(f"{url} shows a certificate that is not trusted.", hint=hint)
        case aiohttp.ClientSSLError():
            return ConnectError(f"{url} does not speak TLS.", hint="Check host and port of the endpoint.")
        case aiohttp.ClientConnectorDNSError():
            hint = "Check the name of the resource in the endpoint, and the network."
            return ServiceUnavailableError(f"{url}: the name {cause.host!r} is not known.", hint=hint)
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()) if settings.is_local:
            hint = "Start it with `voicelive-agent emulator`."
            return ServiceUnavailableError(f"Nothing listens at {url}.", hint=hint)
        case aiohttp.ClientConnectorError():
            reason = cause.os_error.strerror or type(cause.os_error).__name__
            return ServiceUnavailableError(f"{url} cannot be reached: {reason}.", hint="Check the network.")
        case aiohttp.ClientConnectionError():
            hint = "Connecting again usually helps; if not, look for a proxy or firewall in the way."
            return ServiceUnavailableError(f"{url} broke off the handshake.", hint=hint)
        case ValueError():
            hint = "Look for a line break at the end of the API key."
            return ConfigurationError(
                "The API key or a header has a character that HTTP does not allow.", hint=hint
            )
        case aiohttp.ClientError() if "redirect" in str(cause).lower():
            return redirected(attempt)
        case _:
            hint = "Set the logger azure.ai.voicelive to DEBUG to see more; it shows the whole URL."
            return ConnectError(f"{url}: the handshake failed ({type(cause).__name__}).", hint=hint)


def end_of(
    closed: aio.ConnectionClosed,
    websocket: aiohttp.ClientWebSocketResponse | None,
    *,
    last_error: LastError | None,
    limit: int,
) -> Verdict:
    """What the SDK says about the end of a session, put right by what the socket knows.

    ``limit`` is the longest message in bytes that we accept.
    """
    if closed.code != 1006 and closed.reason != _SDK_CLOSED:
        reasons = [str(frame.extra or "") for frame in locals_of(closed, aiohttp.WSMessage)]
        return verdict_of(closed.code, last_error=last_error, text="".join(reasons) or closed.reason)
    known = websocket.close_code if websocket is not None else None
    code = known if known and known != 1000 else 1006
    text = closed.reason if closed.reason not in (_SDK_CLOSED, "None") else ""
    return verdict_of(code, by_service=False, last_error=last_error, text=text, limit=limit)
