"""The hooks of an agent: one method for each kind of event, named after it. Override those you care about.

A hook takes the event and returns nothing; it may be a plain function or ``async``. A plain one runs on the event
loop and must not block. What it raises ends the call with that exception (see ``on_hook_error``).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable
from typing import Final, TypeAlias

from . import events
from .events import EVENT_TYPES, Event

HookResult: TypeAlias = Awaitable[None] | None


class Hooks:
    """Does nothing at any event."""

    def on_event(self, event: Event) -> HookResult:
        """Observe every event, before the hook of its own kind."""

    def on_session_started(self, event: events.SessionStarted) -> HookResult:
        """The service accepted the configuration."""

    def on_setting_not_granted(self, event: events.SettingNotGranted) -> HookResult:
        """The service answered a setting with another value."""

    def on_state_changed(self, event: events.StateChanged) -> HookResult:
        """The conversation moved from one state to another."""

    def on_session_ended(self, event: events.SessionEnded) -> HookResult:
        """The conversation is over; the last event."""

    def on_speech_started(self, event: events.SpeechStarted) -> HookResult:
        """The user began to speak."""

    def on_speech_stopped(self, event: events.SpeechStopped) -> HookResult:
        """The user stopped speaking."""

    def on_user_speaking(self, event: events.UserSpeaking) -> HookResult:
        """A partial transcript of the user."""

    def on_user_spoke(self, event: events.UserSpoke) -> HookResult:
        """The transcript of what the user said."""

    def on_dtmf_received(self, event: events.DtmfReceived) -> HookResult:
        """The user pressed a key of a telephone."""

    def on_turn_too_short(self, event: events.TurnTooShort) -> HookResult:
        """A turn of push-to-talk was too short to be anything."""

    def on_turn_timed_out(self, event: events.TurnTimedOut) -> HookResult:
        """A turn of push-to-talk was not ended, and was ended here."""

    def on_transcription_failed(self, event: events.TranscriptionFailed) -> HookResult:
        """What the user said could not be transcribed."""

    def on_agent_speaking(self, event: events.AgentSpeaking) -> HookResult:
        """The agent's words so far."""

    def on_agent_spoke(self, event: events.AgentSpoke) -> HookResult:
        """All words of an answer."""

    def on_interrupted(self, event: events.Interrupted) -> HookResult:
        """An answer was cut off."""

    def on_turn_ended(self, event: events.TurnEnded) -> HookResult:
        """An answer is over, with the turn's latencies."""

    def on_tool_called(self, event: events.ToolCalled) -> HookResult:
        """The model called a tool."""

    def on_tool_finished(self, event: events.ToolFinished) -> HookResult:
        """A tool call was answered."""

    def on_tool_unknown(self, event: events.ToolUnknown) -> HookResult:
        """The model called a function that is not the agent's."""

    def on_tool_approval_asked(self, event: events.ToolApprovalAsked) -> HookResult:
        """A tool waits for an approval."""

    def on_tool_approval_answered(self, event: events.ToolApprovalAnswered) -> HookResult:
        """A tool was approved or refused."""

    def on_tool_rounds_exceeded(self, event: events.ToolRoundsExceeded) -> HookResult:
        """The model called tools too often in one turn."""

    def on_mcp_listed(self, event: events.McpListed) -> HookResult:
        """The tools of an MCP server are known."""

    def on_mcp_listing_failed(self, event: events.McpListingFailed) -> HookResult:
        """The tools of an MCP server are not to be had."""

    def on_mcp_called(self, event: events.McpCalled) -> HookResult:
        """The model called a tool of an MCP server."""

    def on_mcp_finished(self, event: events.McpFinished) -> HookResult:
        """A call of an MCP server's tool is over."""

    def on_service_failed(self, event: events.ServiceFailed) -> HookResult:
        """The service reported an error of its own."""

    def on_request_refused(self, event: events.RequestRefused) -> HookResult:
        """The service refused something the agent asked for."""

    def on_stalled(self, event: events.Stalled) -> HookResult:
        """Something that was due did not come."""

    def on_audio_rejected(self, event: events.AudioRejected) -> HookResult:
        """A piece of the service's audio could not be decoded."""

    def on_message_rejected(self, event: events.MessageRejected) -> HookResult:
        """A message from the service could not be read."""

    def on_message_received(self, event: events.MessageReceived) -> HookResult:
        """A service message that this library does not interpret."""

    def on_warned(self, event: events.Warned) -> HookResult:
        """Something to know."""

    def on_hook_failed(self, event: events.HookFailed) -> HookResult:
        """A hook raised (only with ``on_hook_error="report"``)."""

    def on_events_dropped(self, event: events.EventsDropped) -> HookResult:
        """The hooks were too slow, and events were left out."""

    def on_microphone_dropped(self, event: events.MicrophoneDropped) -> HookResult:
        """The network was too slow, and microphone audio was left out."""

    def on_sink_stalled(self, event: events.SinkStalled) -> HookResult:
        """The sink plays nothing though it has audio."""

    def on_device_reopened(self, event: events.DeviceReopened) -> HookResult:
        """A microphone or a speaker was lost, and another one took its place."""


def hook_name(event_type: type[Event]) -> str:
    """The name of the hook of a kind of event: ``UserSpoke`` -> ``on_user_spoke``."""
    return "on_" + re.sub(r"(?<!^)(?=[A-Z])", "_", event_type.__name__).lower()


HOOKS: Final = {event_type: hook_name(event_type) for event_type in EVENT_TYPES}
"""The hook of every kind of event."""
