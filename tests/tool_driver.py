"""Tools and calls of them, for tests without an agent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from voicelive_agent._tool import collect_tools
from voicelive_agent.tools import Tool, ToolContext


@dataclass
class Picky:
    """Raises when it is made."""

    value: int

    def __post_init__(self) -> None:
        if self.value == 1:
            raise ValueError("one is too few")
        raise LookupError("nothing is right")


def made(function: Callable[..., object]) -> Tool:
    """The tool of one function."""
    (one,) = collect_tools(None, [function]).values()
    return one


def context() -> ToolContext:
    return ToolContext(agent=None, call_id="call_1", name="it")
