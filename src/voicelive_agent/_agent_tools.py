"""How an agent's tools may be used: what may run, how often, and what the service does with tools by itself."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Container, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ._approval import ApprovalAnswer, ApprovalRequest
from ._plan import Plan, ToolPolicy
from ._tool import Tool
from .errors import ConfigurationError

__all__ = ["ToolUse", "leaves_unknown_tools", "own_definitions", "policies", "service_fills"]


class ToolUse:
    """The part of an agent that says how its tools may be used."""

    max_tool_rounds: ClassVar[int] = 8
    """How often in a row the model may call tools before it has to answer the user."""
    approval_timeout_s: ClassVar[float] = 30.0
    """How long :meth:`approve` may take; what it has not approved by then is refused."""

    if TYPE_CHECKING:

        def _note_slowness(self, name: str, elapsed_s: float) -> None: ...

    def approve(self, request: ApprovalRequest) -> ApprovalAnswer | Awaitable[ApprovalAnswer]:
        """Override to say whether a tool may run: one with ``@tool(approval=True)``, or one of an MCP server.

        True approves this call, "always" also all later ones of that tool in this conversation, False refuses.
        Plain, and then it must not block (``input()`` belongs into ``asyncio.to_thread``), or ``async`` and then
        cancelled when its time is over; hooks go on being called meanwhile. The model is told of a refusal.
        What it raises ends the conversation, or is a refusal with ``on_hook_error="report"``. By default nothing
        is approved.
        """
        return False

    async def _approval(self, request: ApprovalRequest) -> ApprovalAnswer:
        started = time.perf_counter()
        answer = self.approve(request)
        self._note_slowness("approve", time.perf_counter() - started)
        if inspect.isawaitable(answer):
            answer = await answer
        if not isinstance(answer, bool) and answer != "always":
            raise TypeError(f'approve() returned {answer!r:.80}. It returns True, False or "always".')
        return answer

    def _check_tool_limits(self) -> None:
        rounds, timeout_s = self.max_tool_rounds, self.approval_timeout_s
        if type(rounds) is not int or rounds < 1:
            hint = "It is a whole number from 1: how often in a row the model may call tools."
            raise ConfigurationError(f"max_tool_rounds={rounds!r:.40}:", hint=hint)
        if type(timeout_s) not in (int, float) or not 0 < timeout_s < float("inf"):
            hint = "It is a positive number of seconds."
            raise ConfigurationError(f"approval_timeout_s={timeout_s!r:.40}:", hint=hint)


def policies(tools: Mapping[str, Tool]) -> dict[str, ToolPolicy]:
    """The rules of each tool, by name."""
    return {
        name: ToolPolicy(
            cancel_on_interruption=tool.cancel_on_interruption,
            approval=tool.approval,
            filler=tool.filler,
            filler_after_s=tool.filler_after_ms / 1000,
            tool=tool,
        )
        for name, tool in tools.items()
    }


def own_definitions(plan: Plan) -> list[Mapping[str, Any]]:
    """The agent's own tools, as the session in force has them."""
    return [each for each in plan.session.get("tools") or () if _is_function(each) and each["name"] in plan.tools]


def leaves_unknown_tools(session: Mapping[str, Any], tools: Container[str], *, agent: bool) -> bool:
    """Whether somebody else may answer a function call: an agent at the service, or whoever listed a function.

    Calls of functions that a Foundry agent owns come along like any other, and are answered over there.
    """
    listed = [each for each in session.get("tools") or () if _is_function(each)]
    return agent or any(each["name"] not in tools for each in listed)


def _is_function(definition: Mapping[str, Any]) -> bool:
    return definition.get("type") == "function" and "name" in definition


def service_fills(session: Mapping[str, Any], *, pregenerated: bool) -> bool:
    """Whether the service bridges the time of a tool call itself: cascades with an Azure voice can."""
    interim = session.get("interim_response")
    # Without triggers it is latency alone (documented).
    return pregenerated and isinstance(interim, Mapping) and "tool" in (interim.get("triggers") or ())
