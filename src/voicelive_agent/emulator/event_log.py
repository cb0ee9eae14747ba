"""One line per event of the emulator's connections: what ``--log-events`` writes, and what the live view lists."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from .observers import ConnectionInfo

__all__ = ["EventLog", "describe", "parsed", "shortened"]

_LONGEST_VALUE = 80
_LONGEST_TEXT = 4_000
_LONGEST_BASE64 = 120
_SECRET = frozenset({"authorization", "api_key", "api-key", "headers"})
_UNTOLD = frozenset({"type", "event_id", "content_index", "output_index"})
_INSIDE: Mapping[str, tuple[str, ...]] = {
    "session": (
        "model",
        "voice",
        "modalities",
        "input_audio_format",
        "output_audio_format",
        "turn_detection",
        "tools",
    ),
    "item": ("id", "type", "role", "status", "name", "call_id", "arguments", "output", "content"),
    "response": ("id", "status", "status_details", "instructions", "metadata"),
    "error": ("code", "message", "param", "event_id"),
    "warning": ("code", "message", "param"),
    "part": ("type", "text", "transcript"),
}
"""What is told of an object, of all that is in it."""


def parsed(message: str | bytes) -> dict[str, Any]:
    """What a client sent, as an event; for what is none, an event of the type ``(no event)`` that quotes it."""
    try:
        event = json.loads(message)
    except (ValueError, RecursionError):
        event = None
    if isinstance(event, dict) and isinstance(event.get("type"), str):
        return event
    return {"type": "(no event)", "frame": repr(message[:200])}


def describe(event: Mapping[str, Any]) -> str:
    """The important fields of an event, as ``name=value``, in one line, ids last; audio as its length."""
    told = list(_told(event))
    return " ".join(sorted(told, key=lambda each: each.partition("=")[0].endswith("id")))


def _told(event: Mapping[str, Any]) -> Iterator[str]:
    for name, value in event.items():
        if name in _UNTOLD or value is None:
            continue
        if name == "audio" or (name == "delta" and "audio.delta" in str(event["type"])):
            yield f"{len(value) * 3 // 4:,} bytes" if isinstance(value, str) else f"{name}={_short(value)}"
        elif name in _INSIDE and isinstance(value, Mapping):
            for key in _INSIDE[name]:
                if value.get(key) not in (None, "", [], {}):
                    yield f"{key}={_short(value[key])}"
        else:
            yield f"{name}={_short(value)}"


def _short(value: object) -> str:
    """A value in a few words: objects by their name or type, lists by their length."""
    if isinstance(value, Mapping):
        named = [str(value[key]) for key in ("type", "reason", "name", "text", "transcript") if value.get(key)]
        value = "/".join(named) if named else json.dumps(shortened(value))
    elif isinstance(value, list):
        single = all(isinstance(each, str) for each in value) or len(value) == 1
        value = ",".join(_short(each) for each in value) if single else f"({len(value)})"
    text = str(value)
    text = text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
    # repr for what would break the line or hide in it: a log is forged by what it quotes.
    return (
        text if text.isprintable() and " " not in text else json.dumps(text, ensure_ascii=not text.isprintable())
    )


def shortened(value: Any, name: str = "") -> Any:
    """A copy of a JSON value for the eye: long base64 and very long text are cut, secrets are stars."""
    if name in _SECRET and value:
        return "***"
    if isinstance(value, Mapping):
        return {key: shortened(each, str(key)) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [shortened(each) for each in value]
    if isinstance(value, str):
        limit = _LONGEST_TEXT if _is_prose(value) else _LONGEST_BASE64
        if len(value) > limit:
            return f"{value[: min(limit, 1_000)]}… ({len(value):,} characters)"
    return value


def _is_prose(text: str) -> bool:
    """Whether a long string is words: base64 has no blanks."""
    return len(text) <= _LONGEST_BASE64 or any(blank in text[:_LONGEST_BASE64] for blank in " \n")


class EventLog:
    """An observer that writes a line for each event: time, connection, who sent it, type, important fields.

        12:30:01.250 #1 client input_audio_buffer.append 1,920 bytes
        12:30:01.261 #1 server input_audio_buffer.speech_started audio_start_ms=320 item_id=item_5g0z

    The time is the computer's, to the millisecond. What the file raises when it is written to ends the log, and
    not the sessions.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def opened(self, connection: ConnectionInfo, now: float) -> None:
        """A line for a new connection."""
        query = " ".join(f"{name}={_short(value)}" for name, value in connection.query.items())
        self._write(connection, "open  ", query)

    def received(self, connection: ConnectionInfo, message: str | bytes, now: float) -> None:
        """A line for what the client sent."""
        self._event(connection, "client", parsed(message))

    def sent(self, connection: ConnectionInfo, event: Mapping[str, Any], now: float) -> None:
        """A line for what it was sent."""
        self._event(connection, "server", event)

    def closed(self, connection: ConnectionInfo, code: int | None, reason: str, now: float) -> None:
        """A line for the end."""
        how = "without a close frame" if code is None else f"{code} {_short(reason)}" if reason else str(code)
        self._write(connection, "close ", how)

    def _event(self, connection: ConnectionInfo, who: str, event: Mapping[str, Any]) -> None:
        self._write(connection, who, f"{_short(str(event['type']))} {describe(event)}".rstrip())

    def _write(self, connection: ConnectionInfo, who: str, what: str) -> None:
        at = time.time()
        clock = f"{time.strftime('%H:%M:%S', time.localtime(at))}.{int(at * 1000) % 1000:03}"
        self._file.write(f"{clock} #{connection.number} {who} {what}\n")
        self._file.flush()
