"""What the service's messages are before they mean anything: repeated, unknown, or not to be read at all."""

from __future__ import annotations

from typing import Final

from . import _wire as wire
from ._step import Step
from .events import EndReason, MessageReceived, MessageRejected, Verdict

MAX_UNREADABLE: Final = 20
"""Unreadable messages in a row after which there is no point in going on."""

_SEEN: Final = 512  # event ids remembered, so that a repeated message counts once

_QUIET: Final = frozenset(
    {
        "conversation.item.done",
        "conversation.item.retrieved",
        "input_audio_buffer.cleared",
        "mcp_list_tools.in_progress",
        "output_audio_buffer.cleared",
        "rate_limits.updated",
        "response.audio_timestamp.done",
        "response.content_part.added",
        "response.content_part.done",
        "response.function_call_arguments.delta",
        "response.mcp_call_arguments.delta",
    }
)
"""Messages that tell nothing which another does not tell; all others without a rule become MessageReceived."""


class Incoming:
    """The messages of one conversation."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._seen: dict[str, None] = {}
        self._unreadable = 0  # messages in a row that could not be read

    def is_news(self, message: wire.Message) -> bool:
        """Whether this is not a repetition of a message; it is seen from now on."""
        if message.event_id is not None:
            if message.event_id in self._seen:
                return False
            self._seen[message.event_id] = None
            if len(self._seen) > _SEEN:
                del self._seen[next(iter(self._seen))]
        if type(message) is not wire.Unreadable:
            self._unreadable = 0
        return True

    def on_unknown(self, message: wire.Unknown) -> None:
        """A message without a rule of its own is the user's, unless it tells nothing."""
        if message.type not in _QUIET:
            self._step.tell(MessageReceived(message.type, message.data))

    def on_unreadable(self, message: wire.Unreadable) -> Verdict | None:
        """A message that could not be read is told; too many in a row are the end."""
        self._step.tell(MessageRejected(message.fault, message.size))
        self._unreadable += 1
        if self._unreadable < MAX_UNREADABLE:
            return None
        detail = f"{MAX_UNREADABLE} messages in a row could not be read; the last: {message.fault}"
        return Verdict(EndReason.PROTOCOL, detail, "Check that the endpoint is a Voice Live service.")
