"""What tests of client events share."""

from __future__ import annotations

from typing import Any

from .driver import Driver, Event, only, types


def user(text: str, **fields: Any) -> dict[str, Any]:
    """A typed message."""
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}], **fields}


def created(driver: Driver) -> dict[str, Any]:
    """The session of session.created."""
    driver.settle()
    session: dict[str, Any] = only(driver.events, "session.created")["session"]
    return session


def updated(events: list[Event]) -> dict[str, Any]:
    """The session of session.updated."""
    session: dict[str, Any] = only(events, "session.updated")["session"]
    return session


def refusal(events: list[Event]) -> dict[str, Any]:
    """The error that was the last event."""
    assert types(events)[-1] == "error", types(events)
    error: dict[str, Any] = events[-1]["error"]
    return error
