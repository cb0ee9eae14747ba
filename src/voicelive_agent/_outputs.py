"""What the conversation wants done. The shell does these in order, without asking why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from . import _wire as wire
from ._approval import ApprovalRequest
from .errors import VoiceLiveError
from .events import Event, Verdict


@dataclass(frozen=True, slots=True)
class Play:
    """Let this be heard after what is queued already.

    ``samples`` is what it counts for; it is decoded when the sink is about to need it, so that what an
    interruption throws away was never decoded. A half sample at its end belongs to the next piece of the item.
    """

    item_id: str
    samples: int
    base64: str

    def decode(self) -> bytes:
        """The audio in the session's output format. Raises ValueError if it is not base64."""
        return wire.base64_decode(self.base64)


@dataclass(frozen=True, slots=True)
class FinishPlayback:
    """No more of this item will come: nothing needs to be held back for a smooth continuation."""

    item_id: str


@dataclass(frozen=True, slots=True)
class StopPlayback:
    """Drop what is queued and not yet heard, now."""


@dataclass(frozen=True, slots=True)
class CallTool:
    """Run one of the agent's tools (``tool``, of its policy) and report with ``tool_finished``."""

    call_id: str
    name: str
    arguments: str
    tool: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class CancelTool:
    """Stop a running tool, or asking for its approval; its call is answered already."""

    call_id: str


SpeechStatus: TypeAlias = Literal["queued", "speaking", "heard", "interrupted", "dropped"]


@dataclass(frozen=True, slots=True)
class MoveSpeech:
    """Something that ``say()`` asked for has come further."""

    ticket: int
    status: SpeechStatus
    text: str = ""
    """The words that were heard; of an answer out of band its words, or why there are none."""


@dataclass(frozen=True, slots=True)
class FinishUpdate:
    """A change of the session is answered: granted, with the session as it is now, or refused."""

    ticket: int
    granted: Mapping[str, Any] | None = None
    error: VoiceLiveError | None = None


@dataclass(frozen=True, slots=True)
class End:
    """Close the connection and finish; nothing follows."""

    verdict: Verdict


Output: TypeAlias = (
    Event
    | wire.Request
    | Play
    | FinishPlayback
    | StopPlayback
    | CallTool
    | CancelTool
    | ApprovalRequest
    | MoveSpeech
    | FinishUpdate
    | End
)


def rank(output: Output) -> int:
    """The order within one step: silence first, then the service, then what is played, then the user."""
    match output:
        case StopPlayback():
            return 0
        case _ if isinstance(output, wire.Request):
            return 1
        case Play() | FinishPlayback():
            return 2
        case End():
            return 4
        case _:
            return 3
