"""What functions and the tools of MCP servers answered, as sentences that can be spoken. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .words import STOP, name_words, spoken_name

__all__ = ["pending_outputs", "spoken_results"]

_FAILED = re.compile(r"\s*(error|exception|failed)\b[:.\s]*", re.IGNORECASE)
_FAULT_KEYS = ("error", "exception")
_MOST_ENTRIES = 10
"""Nobody listens to more; the rest is counted."""


def pending_outputs(items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The outputs of functions and MCP tools after the last message: nobody has spoken about them yet."""
    pending: list[Mapping[str, Any]] = []
    for item in items:
        if item.get("type") == "message":
            pending = []
        elif item.get("type") == "function_call_output" or _is_over(item):
            pending.append(item)
    return pending


def spoken_results(items: Sequence[Mapping[str, Any]]) -> str:
    """A sentence for every pending output: what came out, or an apology for what did not work."""
    names = {item.get("call_id"): item.get("name") for item in items if item.get("type") == "function_call"}
    sentences = []
    for item in pending_outputs(items):
        about = _subject(str(item.get("name") or names.get(item.get("call_id")) or "")).capitalize()
        text, failed = _rendered({"error": item["error"]} if item.get("error") else item.get("output"))
        text = text.strip().rstrip(".") or "no answer"
        sentences.append(f"Sorry, that did not work: {text}." if failed else f"{about}: {text}.")
    return " ".join(sentences)


def _is_over(item: Mapping[str, Any]) -> bool:
    """Whether this is a call of an MCP server's tool that has its result: the item of the call gets it."""
    return item.get("type") == "mcp_call" and bool(item.get("error") or item.get("output") is not None)


def _subject(name: str) -> str:
    """What a function is about: ``get_weather`` is weather."""
    parts = name_words(name)
    while len(parts) > 1 and parts[0] in STOP:
        parts.pop(0)
    return " ".join(parts) or "result"


def _rendered(output: Any) -> tuple[str, bool]:
    """The words for an output, and whether it tells of a failure."""
    value = output
    if isinstance(output, str):
        try:
            value = json.loads(output)
        except ValueError:
            value = output
    if isinstance(value, str) and (fault := _FAILED.match(value)):
        return value[fault.end() :] or value, True
    if isinstance(value, Mapping):
        fault_text = next((value[key] for key in _FAULT_KEYS if value.get(key)), None)
        if fault_text is not None:
            if isinstance(fault_text, Mapping):
                fault_text = fault_text.get("message", fault_text)
            told = value.get("message", "no reason given") if fault_text is True else fault_text
            return _in_words(told), True
        if value.get("ok", value.get("success")) is False or value.get("status") == "error":
            return _in_words(value.get("message") or value.get("reason") or "no reason given"), True
    return _in_words(value), False


def _in_words(value: Any) -> str:
    match value:
        case None:
            return "done"
        case True:
            return "yes"
        case False:
            return "no"
        case Mapping():
            return ", ".join(_first([f"{spoken_name(str(key))} {_in_words(one)}" for key, one in value.items()]))
        case list() | tuple():
            entries = _first([_in_words(one) for one in value])
            return " and ".join(filter(None, [", ".join(entries[:-1]), *entries[-1:]])) or "nothing"
        case _:
            return str(value)


def _first(entries: list[str]) -> list[str]:
    more = len(entries) - _MOST_ENTRIES
    return [*entries[:_MOST_ENTRIES], f"{more} more"] if more > 0 else entries
