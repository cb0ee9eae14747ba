"""What happened in a conversation: the things an agent tells you.

Every event is an immutable value, named in the past tense; match on its class, or override the hook that has
its name (``UserSpoke`` calls ``on_user_spoke``). Durations end in ``_ms`` and are whole milliseconds. Audio never
travels as an event: it goes to the sink.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, get_args

from ._tool_events import (
    McpCalled,
    McpFinished,
    McpListed,
    McpListingFailed,
    ToolApprovalAnswered,
    ToolApprovalAsked,
    ToolCalled,
    ToolFinished,
    ToolRoundsExceeded,
    ToolUnknown,
)
from ._trouble_events import (
    AudioRejected,
    DeviceReopened,
    EventsDropped,
    HookFailed,
    MessageReceived,
    MessageRejected,
    MicrophoneDropped,
    RequestRefused,
    ServiceFailed,
    SinkStalled,
    Stalled,
    Warned,
)

__all__ = [
    "EVENT_TYPES",
    "AgentSpeaking",
    "AgentSpoke",
    "AudioRejected",
    "DeviceReopened",
    "DtmfReceived",
    "EndReason",
    "Event",
    "EventsDropped",
    "HookFailed",
    "Interrupted",
    "McpCalled",
    "McpFinished",
    "McpListed",
    "McpListingFailed",
    "MessageReceived",
    "MessageRejected",
    "MicrophoneDropped",
    "RequestRefused",
    "ServiceFailed",
    "SessionEnded",
    "SessionStarted",
    "SettingNotGranted",
    "SinkStalled",
    "SpeechStarted",
    "SpeechStopped",
    "Stalled",
    "State",
    "StateChanged",
    "ToolApprovalAnswered",
    "ToolApprovalAsked",
    "ToolCalled",
    "ToolFinished",
    "ToolRoundsExceeded",
    "ToolUnknown",
    "TranscriptionFailed",
    "TurnEnded",
    "TurnTimedOut",
    "TurnTooShort",
    "UserSpeaking",
    "UserSpoke",
    "Verdict",
    "Warned",
]


class State(enum.Enum):
    """Where the conversation stands. It is computed from facts; nothing ever assigns it."""

    CONNECTING = "connecting"
    """No session yet, or none any more and a new one is being opened."""
    READY = "ready"
    """Nobody speaks and nothing is due: the user's turn."""
    LISTENING = "listening"
    """The user is speaking."""
    PROCESSING = "processing"
    """An answer or a tool is open or due, and nothing of it is audible."""
    SPEAKING = "speaking"
    """The agent is audible: from the first audio until the last sample was *heard*."""
    ERROR = "error"
    """The open turn failed; the next speech, response or text leaves this state."""
    CLOSED = "closed"
    """The conversation is over."""


class EndReason(enum.Enum):
    """Why a session ended."""

    STOPPED = "stopped"
    """We asked for it: ``stop()``, leaving the ``async with``, cancellation."""
    SOURCE_FINISHED = "source_finished"
    """The audio source came to its end and everything was answered and heard."""
    HUNG_UP = "hung_up"
    """The far end left: a phone was hung up, a page closed."""
    SERVICE_CLOSED = "service_closed"
    """The service said goodbye properly, though nobody asked (close codes 1000 and 1001)."""
    EXPIRED = "expired"
    """The session's maximum time was reached."""
    CONFIGURATION = "configuration"
    """The service refused the session's configuration."""
    AUTHENTICATION = "authentication"
    """The credential was refused, or is no longer accepted."""
    NOT_FOUND = "not_found"
    """The service knows no such path, resource, model or api-version."""
    RATE_LIMITED = "rate_limited"
    """Quota or rate limit."""
    UNAVAILABLE = "unavailable"
    """The service could not be reached, or failed (close codes 1011, 1012, 1013)."""
    NETWORK = "network"
    """The connection broke without a goodbye (1006: reset, unplugged, no pong)."""
    TOO_LARGE = "too_large"
    """A message was larger than one side accepts (1009)."""
    PROTOCOL = "protocol"
    """One side did not understand the other (1002, 1003, 1007, 1008, 4xxx, or too many unreadable messages)."""
    FAILED = "failed"
    """A hook, the source or the sink raised; the exception comes out of ``run()``."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a session ended: the reason, what was said about it, and what can be done."""

    reason: EndReason
    detail: str = ""
    hint: str = ""
    close_code: int | None = None

    @property
    def ok(self) -> bool:
        """Whether this is an ending that somebody asked for."""
        return self.reason in (EndReason.STOPPED, EndReason.SOURCE_FINISHED, EndReason.HUNG_UP)


# --- the session -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """The service accepted the configuration; ``granted`` is the session as it echoed it.

    Comes once, before everything that is said.
    """

    session_id: str
    granted: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SettingNotGranted:
    """A setting is not in force as it was asked for: the service answered with another value.

    ``path`` is its place in the session, such as ``turn_detection.silence_duration_ms``. What the service only
    filled in, reordered or made more precise is no difference. It also stands in the log, as a warning.

    Comes after ``SessionStarted``, and after each change of the session, once for each such setting.
    """

    path: str
    asked: Any
    granted: Any


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The conversation moved from one state to another. ``old`` is the ``new`` of the ``StateChanged`` before.

    Comes after the other events of what caused it: ``TurnEnded`` first, and then that it is the user's turn. The
    first one leaves CONNECTING; only ``SessionEnded`` follows the one to CLOSED.
    """

    old: State
    new: State


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The conversation is over; this is always the last event, and comes exactly once.

    Before it come ``Interrupted`` (if it was stopped while the agent spoke), the ``TurnEnded`` of an answer that
    was being said, and the ``StateChanged`` to CLOSED. A call that cannot connect has no events: ``run()`` raises.
    """

    verdict: Verdict


# --- the user ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The user began to speak. ``audio_start_ms`` counts the microphone audio sent, prefix padding included.

    Comes when the service is sure that it is speech, a little after the onset. If the agent is cut off by it,
    ``Interrupted`` is the next event. With push-to-talk there is none: the state LISTENING says the same.
    """

    item_id: str
    audio_start_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The user stopped speaking. ``audio_end_ms`` counts the microphone audio sent, ending silence included.

    Comes after the silence that ends a turn. With push-to-talk there is none.
    """

    item_id: str
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class UserSpeaking:
    """A partial transcript of what the user says: the whole text so far, which later ones replace.

    Comes between ``SpeechStarted`` and the ``UserSpoke`` of this item, where the service sends any. A hook that is
    slow gets only the latest one.
    """

    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class UserSpoke:
    """The transcript of what the user said. It may arrive after the answer began; match it by ``item_id``.

    Comes after ``SpeechStopped``: before the answer from cascade models, which answer the transcript, and before,
    during or after it from realtime models. Once for each turn, but not where no words were understood.
    """

    item_id: str
    text: str
    language: str | None = None


@dataclass(frozen=True, slots=True)
class DtmfReceived:
    """The user pressed a key of a telephone: ``0`` to ``9``, ``*``, ``#`` or ``A`` to ``D``.

    Comes when the telephone service says so, whatever else goes on; it interrupts nothing.
    """

    digit: str


@dataclass(frozen=True, slots=True)
class TurnTooShort:
    """A turn of push-to-talk ended after ``audio_ms`` of microphone audio, less than the 100 ms that the service
    accepts: nothing of it was sent, and nothing is answered. The agent was interrupted all the same.

    Comes at ``end_turn()``, before the state leaves LISTENING.
    """

    audio_ms: int


@dataclass(frozen=True, slots=True)
class TurnTimedOut:
    """A turn of push-to-talk was not ended within ``limit_ms``, and was ended here: what was said is answered.

    Comes when that time is over, before the state leaves LISTENING.
    """

    limit_ms: int


@dataclass(frozen=True, slots=True)
class TranscriptionFailed:
    """What the user said could not be transcribed. A realtime model, which hears the audio itself, still answers.

    Comes in the place of ``UserSpoke``. A cascade model has no words to answer, so that the turn counts as not
    having begun; what the service does then is not known, and an answer that comes is taken as any other.
    """

    item_id: str
    code: str
    message: str


# --- the agent ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AgentSpeaking:
    """The agent's words so far (the whole text, which later ones replace). They run ahead of the audio.

    Comes as the service writes, until ``AgentSpoke``; nothing more of an answer that was cut off. A hook that is
    slow gets only the latest one.
    """

    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class AgentSpoke:
    """All words of one answer. What of it was *heard* is in the history, and in ``Interrupted``.

    Comes when the text is complete, which is usually long before it was heard; ``TurnEnded`` comes when it was.
    There is none for an answer that was cut off before that.
    """

    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Interrupted:
    """An answer was cut off: silence is already there when this arrives, and the service is being told.

    Comes right after ``SpeechStarted`` where speech interrupts, else at ``interrupt()``, ``begin_turn()`` or
    ``stop()``; once for each item of which audio had arrived. An answer in text alone has none.

    ``heard_ms`` is what the listener really heard of this item, ``received_ms`` what had arrived; ``heard_text``
    the words up to there, exact where the service gave word timestamps, else ``estimated`` from the durations.
    ``heard_estimated``: the sink has only a clock to know by, since its far end confirms nothing.
    """

    item_id: str
    heard_ms: int
    received_ms: int
    heard_text: str
    estimated: bool = True
    heard_estimated: bool = False


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """One answer is over: heard to its end, cut off, or failed. Latencies are as the listener lived them.

    Comes once for each answer: when the service is done with it *and* its last sample was heard, or, cut off,
    after ``Interrupted``: at once if all of it had arrived, otherwise when the service has cancelled the rest. A
    response of tool calls alone has none, and neither has one that was cancelled before anything of it was there.

    ``status`` is completed, interrupted, cancelled, incomplete or failed. ``response_ms`` runs from the end of
    the user's speech (not of the silence after it) to the first sample heard, ``endpoint_ms`` is the part of it
    until the service noticed that end; ``barge_in_ms`` runs from the onset of the user's speech to silence. Each
    is None where it does not apply: a typed turn, an answer not interrupted. ``usage`` is the service's token
    count, if it gave one. ``heard_estimated``: see :class:`Interrupted`.
    """

    response_id: str
    status: str
    heard_ms: int = 0
    response_ms: int | None = None
    endpoint_ms: int | None = None
    barge_in_ms: int | None = None
    usage: Mapping[str, Any] | None = None
    heard_estimated: bool = False


Event: TypeAlias = (
    SessionStarted
    | SettingNotGranted
    | StateChanged
    | SessionEnded
    | SpeechStarted
    | SpeechStopped
    | UserSpeaking
    | UserSpoke
    | DtmfReceived
    | TurnTooShort
    | TurnTimedOut
    | TranscriptionFailed
    | AgentSpeaking
    | AgentSpoke
    | Interrupted
    | TurnEnded
    | ToolCalled
    | ToolFinished
    | ToolUnknown
    | ToolApprovalAsked
    | ToolApprovalAnswered
    | ToolRoundsExceeded
    | McpListed
    | McpListingFailed
    | McpCalled
    | McpFinished
    | ServiceFailed
    | RequestRefused
    | Stalled
    | AudioRejected
    | MessageRejected
    | MessageReceived
    | Warned
    | HookFailed
    | EventsDropped
    | MicrophoneDropped
    | SinkStalled
    | DeviceReopened
)

EVENT_TYPES: tuple[type[Event], ...] = get_args(Event)
"""Every event class, in the order of this module."""
