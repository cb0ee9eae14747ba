"""What the history shows of tools: what was called, and what came of it, whoever runs the tool."""

from __future__ import annotations

from typing import Final

from . import _wire as wire

MAX_TEXT: Final = 20_000
"""Characters shown of a result: the history is a record, and results may be of any size."""
NOT_SHOWN: Final = frozenset({"mcp_list_tools", "mcp_approval_request", "mcp_approval_response"})
"""Items about what may be called, of which events tell; nothing was said, called or answered."""


def text_of(item: wire.ItemInfo) -> str:
    """A function call or its result; "" for another item."""
    match item.type:
        case "function_call":
            return called(item.name or "", item.arguments or "")
        case "function_call_output":
            return _cut("" if item.output is None else str(item.output))
        case _:
            return ""


def called(name: str, arguments: str, result: str = "") -> str:
    """A call, and what came of it if that is in the same item."""
    call = f"{name}({arguments})"
    return f"{call} -> {_cut(result)}" if result else call


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + " ..."
