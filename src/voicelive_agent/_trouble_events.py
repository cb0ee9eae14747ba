"""The events about what went wrong without ending anything, or what is only worth knowing.

They are a part of :mod:`voicelive_agent.events`, and are imported from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = [
    "AudioRejected",
    "DeviceReopened",
    "EventsDropped",
    "HookFailed",
    "MessageReceived",
    "MessageRejected",
    "MicrophoneDropped",
    "RequestRefused",
    "ServiceFailed",
    "SinkStalled",
    "Stalled",
    "Warned",
]


@dataclass(frozen=True, slots=True)
class ServiceFailed:
    """The service reported an error of its own; the conversation goes on unless ``fatal``.

    Comes when a response fails, before its ``TurnEnded`` with the status failed, and for errors that answer
    nothing the agent asked for. After a fatal one the service hangs up, and ``SessionEnded`` follows.
    """

    code: str
    message: str
    type: str = ""
    param: str | None = None
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """The service refused something the agent asked for (``request`` is its type); the state is unchanged.

    Comes when the refusal does. What the agent has another way for is not told (a correction of the record, a
    response that was asked for too early), and a change of the session raises from ``update_session()`` instead.
    Of the first ``session.update`` it is fatal: ``SessionEnded`` follows.
    """

    request: str
    code: str
    message: str
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Stalled:
    """Nothing came for ``waited_ms`` though it was due; the agent stopped waiting for it.

    Comes after 30 s without an answer, without a response that was asked for or the rest of one, or without a word
    about a change of the session, and after 120 s without the result of an MCP server's tool. ``waited_for`` says
    which, in words. The state goes on, usually to READY.
    """

    waited_for: str
    waited_ms: int


@dataclass(frozen=True, slots=True)
class AudioRejected:
    """A piece of the service's audio could not be decoded; silence of its length was played instead.

    Comes when the piece is about to be played, not when it arrived.
    """

    item_id: str
    samples: int
    message: str


@dataclass(frozen=True, slots=True)
class MessageRejected:
    """A message from the service could not be read (``message`` says why) and was left out.

    Comes when the message did. 20 in a row end the call: ``SessionEnded`` follows.
    """

    message: str
    size: int


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A service message that this library does not interpret (avatar, new kinds ...).

    Comes when the message did, in its order. Messages that only repeat what others say are left out.
    """

    type: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Warned:
    """Something to know, from the service, about a setting or about a device; nothing has changed.

    Comes when the service says so, with the service's code; ``auto_truncate`` right after ``SessionStarted``;
    ``microphone_silent`` once a microphone has given exact silence for 3 s; ``device_lost`` when a device is gone
    and another one is looked for.
    """

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class HookFailed:
    """A hook raised (only with ``on_hook_error="report"``); the call goes on.

    Comes right after the hook, before the next event; of ``approve()``, in the order of the other events.
    """

    hook: str
    error: Exception


@dataclass(frozen=True, slots=True)
class EventsDropped:
    """The consumer was too slow: this many events were left out. State, end and tool events never are.

    Comes before the first event for which there is room again, ``SessionEnded`` at the latest.
    """

    count: int


@dataclass(frozen=True, slots=True)
class MicrophoneDropped:
    """The network was too slow: this much microphone audio was left out to stay live.

    Comes when audio can be sent again. It is left out while more than 200 ms of it wait to be sent.
    """

    dropped_ms: int


@dataclass(frozen=True, slots=True)
class SinkStalled:
    """The sink has audio pending but has played none of it for ``stalled_ms``.

    Comes after 2 s, and not again before it has played something.
    """

    pending_ms: int
    stalled_ms: int


@dataclass(frozen=True, slots=True)
class DeviceReopened:
    """A microphone ("input") or a speaker ("output") was lost, and ``device`` took its place after ``gap_ms``.

    Comes when the new one works, once for each direction; a sound card that is both has two.
    """

    direction: Literal["input", "output"]
    lost: str
    device: str
    gap_ms: int
