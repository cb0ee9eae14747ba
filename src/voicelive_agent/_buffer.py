"""Between the conversation and whoever consumes its events: a buffer that never makes the conversation wait."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from .events import (
    AgentSpeaking,
    Event,
    EventsDropped,
    McpCalled,
    McpFinished,
    SessionEnded,
    SessionStarted,
    StateChanged,
    ToolApprovalAnswered,
    ToolApprovalAsked,
    ToolCalled,
    ToolFinished,
    UserSpeaking,
)

LIMIT: Final = 4_096
"""Events that may wait; about two minutes of the densest conversation."""

_KEPT: Final = (
    StateChanged,
    SessionStarted,
    SessionEnded,
    ToolCalled,
    ToolFinished,
    ToolApprovalAsked,
    ToolApprovalAnswered,
    McpCalled,
    McpFinished,
    EventsDropped,
)
"""Never dropped, however slow the consumer."""


class EventBuffer:
    """An asynchronous iterator of events. ``put`` never waits and may be called at any time.

    Partial transcripts of one item replace each other while they wait. When full, the newest events are left out
    and one :class:`~voicelive_agent.events.EventsDropped` says how many. ``SessionEnded`` is the last one.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._waiting: deque[list[Event]] = deque()  # boxes of one event, so that it can be replaced
        self._partial: dict[tuple[type[Event], str], list[Event]] = {}
        self._dropped = 0
        self._closed = False
        self._changed = asyncio.Event()

    def put(self, event: Event) -> None:
        """An event for the consumer; nothing comes after ``SessionEnded``."""
        if self._closed:
            return
        if isinstance(event, UserSpeaking | AgentSpeaking):
            key = (type(event), event.item_id)
            if (box := self._partial.get(key)) is not None:
                box[0] = event
                return
            self._partial[key] = box = [event]
        else:
            box = [event]
        if len(self._waiting) >= self._limit and not isinstance(event, _KEPT):
            self._dropped += 1
            if isinstance(event, UserSpeaking | AgentSpeaking):
                del self._partial[type(event), event.item_id]
            return
        self._closed = isinstance(event, SessionEnded)
        self._report_dropped()
        self._waiting.append(box)
        self._changed.set()

    def __aiter__(self) -> EventBuffer:
        return self

    async def __anext__(self) -> Event:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        event = self._waiting.popleft()[0]
        if isinstance(event, UserSpeaking | AgentSpeaking):
            del self._partial[type(event), event.item_id]
        return event

    def _report_dropped(self) -> None:
        """Once there is room again, or at the end: say how many were left out."""
        if self._dropped and (self._closed or len(self._waiting) + 1 < self._limit):
            self._waiting.append([EventsDropped(self._dropped)])
            self._dropped = 0
