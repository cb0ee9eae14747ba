"""What the page is told: the browser dialect, and lines for its log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from .. import events
from .._notices import NOTICES
from ..events import EndReason, Event
from ..websocket import Browser
from ..websocket.dialect import to_json

__all__ = ["Page"]

_ENDINGS: Final = {
    EndReason.AUTHENTICATION: "The voice service refused this server's credential.",
    EndReason.CONFIGURATION: "The voice service refused this server's configuration.",
    EndReason.NOT_FOUND: "The voice service does not know the resource or the model.",
    EndReason.RATE_LIMITED: "The voice service is busy. Try again in a minute.",
    EndReason.UNAVAILABLE: "The voice service cannot be reached.",
    EndReason.NETWORK: "The connection to the voice service broke.",
    EndReason.EXPIRED: "The longest time of a session is over.",
    EndReason.FAILED: "The agent failed.",
}
"""What a visitor is told, who is not to read URLs, names of models or the text of exceptions."""


class Page(Browser):
    """The page of this package. ``details``: the far end is a developer, who may read every word.

    Besides the messages of :class:`~voicelive_agent.websocket.Browser` it is sent
    ``{"type": "log", "level", "text"}`` with the level ``info`` or ``warning``.
    """

    def __init__(self, *, details: bool = False) -> None:
        super().__init__()
        self._details = details

    def describe(self, event: Event) -> Iterable[str]:
        """What the page shows of an event."""
        if isinstance(event, events.SessionEnded):
            verdict = event.verdict
            detail = verdict.detail if self._details or verdict.ok else _ENDINGS.get(verdict.reason, "")
            hint = verdict.hint if self._details else ""
            yield to_json({"type": "end", "reason": verdict.reason.value, "detail": detail, "hint": hint})
            return
        if isinstance(event, events.ServiceFailed) and not self._details:
            event = replace(event, code="service_failed", message="The voice service reported a failure.")
        yield from super().describe(event)
        if isinstance(event, events.SessionStarted):
            yield _log("info", f"session {event.session_id}")
        elif isinstance(event, events.HookFailed):
            yield _log("warning", f"the hook {event.hook} failed")
        elif isinstance(event, NOTICES):
            yield _log("warning", str(event) if self._details else type(event).__name__)


def _log(level: str, text: str) -> str:
    return to_json({"type": "log", "level": level, "text": text})
