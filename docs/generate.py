"""Writes the table of events from the source: ``python docs/generate.py``. A test compares the two."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

from voicelive_agent import events
from voicelive_agent._hooks import HOOKS
from voicelive_agent.events import EVENT_TYPES

PAGE = Path(__file__).parent / "reference" / "events-and-states.md"

HEAD = """\
<!-- Made by docs/generate.py from the docstrings of the events. -->
# Events

Every event is an immutable value; match on its class, or override the hook that has its name. Import them
from `voicelive_agent.events`. Durations end in `_ms` and are whole milliseconds. Audio never travels as an event:
it goes to the sink.

Hooks are called one after the other, in the order of the events; `on_event` is called for every event before its
own hook, and `agent.on(SomeEvent, callback)` after it. A hook may be a plain function, which must not block, or
`async`. What it raises ends the call and comes out of `run()`; with `on_hook_error="report"` it becomes a
`HookFailed` event. Slow hooks delay no audio and no interruption. When 4,096 events wait, the newest are left out
and one `EventsDropped` says how many; events of state, endings and tools never are.

The states are on [a page of their own](states.md).
"""

ORDER = """\
## Order

By the time an event is told, it is done: the sink is silent and the request is on its way to the service. Of the
events with one cause, `StateChanged` is the last. A test compares these rows with conversations.

| What happens | Events |
|---|---|
{rows}

`AgentSpeaking` comes many times, before and after the state is speaking. A realtime model does not wait for the
transcript of the user: its `UserSpoke` may come as late as after `TurnEnded`.
"""

ORDERS = {
    "A call begins and the agent greets": (
        "SessionStarted, StateChanged processing, AgentSpeaking, StateChanged speaking, AgentSpoke, "
        "TurnEnded completed, StateChanged ready"
    ),
    "The user says something, and a cascade model answers": (
        "SpeechStarted, StateChanged listening, SpeechStopped, StateChanged processing, UserSpoke, AgentSpeaking, "
        "StateChanged speaking, AgentSpoke, TurnEnded completed, StateChanged ready"
    ),
    "The user talks over an answer that has arrived": (
        "SpeechStarted, Interrupted, TurnEnded interrupted, StateChanged listening"
    ),
    "A tool runs once it is approved, and is spoken about": (
        "ToolCalled, ToolApprovalAsked, ToolApprovalAnswered, ToolFinished, AgentSpeaking, StateChanged speaking, "
        "AgentSpoke, TurnEnded completed"
    ),
    "A turn of push-to-talk": "StateChanged listening, StateChanged processing, UserSpoke, AgentSpeaking",
    "`stop()` while the agent speaks": "Interrupted, TurnEnded interrupted, StateChanged closed, SessionEnded",
}
"""What comes in which order."""

GROUPS = {
    events.SessionStarted: "The session",
    events.SpeechStarted: "The user",
    events.AgentSpeaking: "The agent",
    events.ToolCalled: "Tools",
    events.McpListed: "Tools of MCP servers",
    events.ServiceFailed: "What went wrong, without ending anything",
}
"""The headings, each before the first event that is under it."""


def page() -> str:
    """The whole page."""
    rows = [f"| {what} | {_linked(order)} |" for what, order in ORDERS.items()]
    return "\n".join([HEAD, ORDER.format(rows="\n".join(rows)), *map(_section, EVENT_TYPES)])


def _linked(order: str) -> str:
    return re.sub(r"\b[A-Z]\w+", lambda event: f"[`{event[0]}`](#{event[0].lower()})", order)


def _section(event: type[events.Event]) -> str:
    group = [f"## {GROUPS[event]}", ""] if event in GROUPS else []
    rows = [f"| `{field.name}` | `{field.type}` |" for field in dataclasses.fields(event)]
    table = ["| Field | Type |", "|---|---|", *(row.replace(" | None`", " or None`") for row in rows)]
    return "\n".join(
        [*group, f"### {event.__name__}", "", f"Hook: `{HOOKS[event]}`", "", _text(event), "", *table, ""]
    )


def _text(event: type[events.Event]) -> str:
    """What the docstring says, with a link at the name of every other event."""
    text = re.sub(r":\w+:`(\w+)`", r"``\1``", inspect.cleandoc(event.__doc__ or ""))
    for other in EVENT_TYPES:
        if other is not event:
            name = other.__name__
            text = text.replace(f"``{name}``", f"[`{name}`](#{name.lower()})")
    return re.sub(r"``([^`]+)``", r"`\1`", text)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
