"""The exceptions of this library, all under one root.

    VoiceLiveError                   anything below; has .hint, the fix in a sentence
    +-- ConfigurationError           a setting is missing, contradictory or not allowed (also a ValueError)
    +-- ConnectError                 no session could be opened
    |   +-- AuthenticationError      401 or 403: the key, token or role is refused; never retried
    |   +-- NotFoundError            404: no such path, resource, model or api-version
    |   +-- RateLimitedError         429: too many connections; .retry_after_s
    |   +-- ServiceUnavailableError  5xx, refused, unreachable, or nothing said in time
    +-- SessionLostError             an open session ended and nobody asked for it; .verdict
    +-- AudioFileError               a file is not audio that can be read (also a ValueError); .path
    +-- ToolError                    raised *by a tool* to tell the model, in its own words, what went wrong

What the service says while a session is open is an event, not an exception.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .events import Verdict

__all__ = [
    "AudioFileError",
    "AuthenticationError",
    "ConfigurationError",
    "ConnectError",
    "NotFoundError",
    "RateLimitedError",
    "ServiceUnavailableError",
    "SessionLostError",
    "ToolError",
    "VoiceLiveError",
]


class VoiceLiveError(Exception):
    """The root of all errors raised by this library; ``hint`` says what to do about it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".rstrip() if hint else message)
        self.message = message
        self.hint = hint


class ConfigurationError(VoiceLiveError, ValueError):
    """A setting is missing, contradictory or not allowed."""


class ConnectError(VoiceLiveError):
    """No session could be opened; ``status`` is the HTTP status if the service gave one."""

    def __init__(self, message: str, *, hint: str = "", status: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class AuthenticationError(ConnectError):
    """The service refused the credential (HTTP 401 or 403). Retrying will not help."""


class NotFoundError(ConnectError):
    """The service knows no such path, resource, model or api-version (HTTP 404)."""


class RateLimitedError(ConnectError):
    """The service asks to wait before the next connection (HTTP 429)."""

    def __init__(
        self, message: str, *, hint: str = "", status: int | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, hint=hint, status=status)
        self.retry_after_s = retry_after_s


class ServiceUnavailableError(ConnectError):
    """The service could not be reached, failed (HTTP 5xx), or did not answer in time."""


class SessionLostError(VoiceLiveError):
    """An open session ended though nobody asked for it; ``verdict`` says how."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(f"The session ended: {verdict.detail or verdict.reason.value}.", hint=verdict.hint)
        self.verdict = verdict


class AudioFileError(VoiceLiveError, ValueError):
    """A file is not audio that can be read here; ``path`` names it."""

    def __init__(self, path: str | os.PathLike[str], fault: str, *, hint: str = "") -> None:
        super().__init__(f"{os.fspath(path)}: {fault}", hint=hint)
        self.path: str = os.fspath(path)
        self.fault = fault


class ToolError(VoiceLiveError):
    """Raise this in a tool to give the model an error message of your own words."""
