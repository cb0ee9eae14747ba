"""The exceptions of this library, all under one root.

    VoiceLiveError                   anything below; has .hint, the fix in a sentence
    +-- ConfigurationError           a setting is missing, contradictory or not allowed (also a ValueError)
    +-- ConnectError                 no session could be opened
    |   +-- AuthenticationError      401 or 403: the key, token or role is refused; never retried
    |   +-- NotFoundError            404: no such path, resource, model or api-version
    |   +-- RateLimitedError         429: too many connections; .retry_after_s
    |   +-- ServiceUnavailableError  5xx, refused, unreachable, or nothing said in time
    +-- SessionLostError             an open session ended and nobody asked for it; .verdict
    +-- SessionRefusedError          the service refused a change of the open session; .code, .param
    +-- ImageError                   an image is of no kind or size that the service takes (also a ValueError)
    +-- AudioFileError               a file is not audio that can be read (also a ValueError); .path
    +-- AudioDeviceError             a sound card cannot be used: no such device, no such rate, no PortAudio
    |   +-- DeviceLost               an open one is gone: unplugged, taken, or its sound server died; .device
    +-- TransportError               the far end of a transport broke its rules; .close_code
    +-- ReplyError                   an answer that respond(out_of_band=True) asked for did not come
    +-- ToolError                    raised *by a tool* to tell the model, in its own words, what went wrong

What the service says while a session is open is an event, not an exception.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .events import Verdict

__all__ = [
    "AudioDeviceError",
    "AudioFileError",
    "AuthenticationError",
    "ConfigurationError",
    "ConnectError",
    "DeviceLost",
    "ImageError",
    "NotFoundError",
    "RateLimitedError",
    "ReplyError",
    "ServiceUnavailableError",
    "SessionLostError",
    "SessionRefusedError",
    "ToolError",
    "TransportError",
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


class SessionRefusedError(VoiceLiveError):
    """The service refused to change an open session, which stays as it was; ``code`` and ``param`` as it said."""

    def __init__(self, reason: str, *, code: str = "", param: str | None = None) -> None:
        hint = f"Mend {param.removeprefix('session.')}." if param else ""
        super().__init__(f"The service refused to change the session: {reason.rstrip('.')}.", hint=hint)
        self.reason = reason
        self.code = code
        self.param = param


class ImageError(VoiceLiveError, ValueError):
    """An image cannot be sent: it is no PNG, JPEG, WebP or GIF, too large or empty, or its link leads nowhere."""


class AudioFileError(VoiceLiveError, ValueError):
    """A file is not audio that can be read here; ``path`` names it."""

    def __init__(self, path: str | os.PathLike[str], fault: str, *, hint: str = "") -> None:
        super().__init__(f"{os.fspath(path)}: {fault}", hint=hint)
        self.path: str = os.fspath(path)
        self.fault = fault


class AudioDeviceError(VoiceLiveError):
    """A sound card, or PortAudio itself, cannot be used."""


class DeviceLost(AudioDeviceError):
    """A microphone or a speaker that was open is gone; ``device`` names it.

    PortAudio reports nothing of that kind: what is noticed is that it no longer asks for audio, or brings none.
    """

    def __init__(self, device: str, fault: str, *, hint: str = "") -> None:
        super().__init__(f"{device}: {fault}", hint=hint)
        self.device = device
        self.fault = fault


class TransportError(VoiceLiveError):
    """The far end of a transport broke its rules, and was told so with ``close_code``."""

    def __init__(self, message: str, *, hint: str = "", close_code: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.close_code = close_code


class ReplyError(VoiceLiveError):
    """An answer out of band did not come: its response failed or was refused, or the conversation ended first."""


class ToolError(VoiceLiveError):
    """Raise this in a tool to give the model an error message of your own words."""
