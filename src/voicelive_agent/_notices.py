"""Which events are worth a line in somebody's log, though nothing has ended."""

from __future__ import annotations

from typing import Final

from . import events

__all__ = ["NOTICES"]

NOTICES: Final = (
    events.Warned,
    events.RequestRefused,
    events.Stalled,
    events.TranscriptionFailed,
    events.AudioRejected,
    events.MessageRejected,
    events.MicrophoneDropped,
    events.SinkStalled,
    events.EventsDropped,
    events.ToolUnknown,
)
