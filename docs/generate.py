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
<!-- Made by docs/generate.py from src/voicelive_agent/events.py. -->
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


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(_section(event) for event in EVENT_TYPES)])


def _section(event: type[events.Event]) -> str:
    text = re.sub(r"``([^`]+)``", r"`\1`", inspect.cleandoc(event.__doc__ or ""))
    rows = [f"| `{field.name}` | `{field.type}` |" for field in dataclasses.fields(event)]
    table = ["| Field | Type |", "|---|---|", *(row.replace(" | None`", " or None`") for row in rows)]
    return "\n".join([f"## {event.__name__}", "", f"Hook: `{HOOKS[event]}`", "", text, "", *table, ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
