"""The conversation as it is told: a line for everything that happened, with its time."""

from __future__ import annotations

from collections.abc import Callable

from .. import events as happened
from .._notices import NOTICES
from ..events import Event

__all__ = ["FAULTS", "ExpectationFailed", "Story", "is_fault"]

FAULTS = (*(kind for kind in NOTICES if kind is not happened.Warned), happened.ServiceFailed, happened.HookFailed)
"""Events that say that something went wrong."""
_SHOWN = 25


class ExpectationFailed(AssertionError):
    """The conversation is not as expected: ``expected`` and ``found`` say what differs, ``story`` what was."""

    __module__ = "voicelive_agent.testing"  # where it is found, and what pytest shows

    def __init__(self, expected: str, found: str, story: str) -> None:
        super().__init__(f"expected: {expected}\nbut:      {found}\n\n{story}")
        self.expected = expected
        self.found = found
        self.story = story


class Story:
    """What happened so far. ``clock`` returns seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = clock()
        self.lines: list[str] = []

    def tell(self, text: str) -> None:
        """Add a line."""
        self.lines.append(f"{self._clock() - self._began:8.2f}  {text}")

    def note(self, event: Event) -> None:
        """Add what is worth telling of an event."""
        if (text := _told(event)) is not None:
            self.tell(text)

    def __str__(self) -> str:
        left_out = len(self.lines) - _SHOWN
        head = "the conversation, with the seconds since it began:"
        more = [f"          ({left_out} lines before)"] if left_out > 0 else []
        return "\n".join([head, *more, *self.lines[-_SHOWN:]])


def is_fault(event: Event) -> bool:
    """Whether something went wrong."""
    match event:
        case happened.ToolFinished():
            return bool(event.error)
        case happened.TurnEnded(_, status):
            return status == "failed"
        case happened.SessionEnded(verdict):
            return not verdict.ok
        case _:
            return isinstance(event, FAULTS)


def _told(event: Event) -> str | None:
    match event:
        case happened.StateChanged(_, new):
            return f"[{new.value}]"
        case happened.UserSpoke(_, text):
            return f"heard:  {text!r}"
        case happened.AgentSpoke(_, text):
            return f"agent:  {text!r}"
        case happened.ToolCalled(_, name, arguments):
            return f"tool:   {name} {arguments}"
        case happened.ToolFinished():
            return f"tool:   {event.name} -> {event.error or event.output}"
        case happened.Interrupted():
            return f"cut off after {event.heard_ms} ms of {event.received_ms}, at {event.heard_text!r}"
        case happened.TurnEnded():
            return f"answer {event.status}, {event.heard_ms} ms heard"
        case happened.SessionEnded(verdict):
            return f"the end: {verdict.reason.value} {verdict.detail}".rstrip()
        case _ if isinstance(event, NOTICES) or is_fault(event):
            return str(event)
        case _:
            return None
