"""A conversation of the emulator as messages of the chat completions API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .protocols import Turn

__all__ = ["chat_choice", "chat_messages", "chat_tools"]

Message = dict[str, Any]

_CALLS = {"function_call": "call_id", "mcp_call": "id"}
"""The items that are calls, and where the call's id is."""


def chat_messages(turn: Turn) -> list[Message]:
    """The instructions and the items of ``turn``.

    A call without an output is left out: endpoints refuse a conversation that has one.
    """
    messages: list[Message] = []
    if turn.instructions:
        messages.append({"role": "system", "content": turn.instructions})
    outputs = _outputs(turn.items)
    made_by: Message | None = None  # the answer that the calls which come next belong to
    for item in turn.items:
        if item["type"] == "message":
            said = _said(item)
            messages += said
            made_by = said[-1] if said and item["role"] == "assistant" else None
        elif item["type"] in _CALLS:
            call_id = item[_CALLS[item["type"]]]
            if call_id in outputs:
                if made_by is None:
                    made_by = {"role": "assistant", "content": None}
                    messages.append(made_by)
                made_by.setdefault("tool_calls", []).append(_call(item, call_id))
                messages.append({"role": "tool", "tool_call_id": call_id, "content": outputs[call_id]})
        else:
            made_by = None
    return messages


def chat_tools(turn: Turn) -> list[dict[str, Any]]:
    """The functions the model may call."""
    wanted = ("name", "description", "parameters")
    return [
        {"type": "function", "function": {key: tool[key] for key in wanted if tool.get(key) is not None}}
        for tool in turn.tools
    ]


def chat_choice(choice: Any) -> Any:
    """The tool_choice of a session as one of the chat completions API: there the name is inside."""
    if isinstance(choice, Mapping) and "name" in choice:
        return {"type": "function", "function": {"name": choice["name"]}}
    return choice


def _outputs(items: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The output of each call that has one, by the call's id."""
    outputs: dict[str, str] = {}
    for item in items:
        if item["type"] == "function_call_output":
            outputs[item["call_id"]] = item["output"]
        elif item["type"] == "mcp_call" and item.get("output") is not None:
            outputs[item["id"]] = item["output"]
        elif item["type"] == "mcp_call" and item.get("error"):
            outputs[item["id"]] = f"Error: {item['error']['message']}"
    return outputs


def _call(item: Mapping[str, Any], call_id: str) -> Message:
    function = {"name": item["name"], "arguments": item["arguments"]}
    return {"id": call_id, "type": "function", "function": function}


def _said(item: Mapping[str, Any]) -> list[Message]:
    parts = [part for part in map(_part, item["content"]) if part is not None]
    if not parts:
        return []
    text = all(part["type"] == "text" for part in parts)
    return [{"role": item["role"], "content": " ".join(part["text"] for part in parts) if text else parts}]


def _part(part: Mapping[str, Any]) -> dict[str, Any] | None:
    """Text or an image; None for what has no words, as an answer that was cut off."""
    if part["type"] == "input_image":
        image = {key: part[name] for key, name in (("url", "image_url"), ("detail", "detail")) if part.get(name)}
        return {"type": "image_url", "image_url": image} if image.get("url") else None
    words = part.get("text") or part.get("transcript")
    return {"type": "text", "text": words} if words else None
