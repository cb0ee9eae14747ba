"""How approvals and fillers are written, as type checkers see it. Checked, never run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_type

from voicelive_agent import VoiceAgent, tool
from voicelive_agent.config import ToolChoice
from voicelive_agent.events import ToolApprovalAnswered, ToolApprovalAsked, ToolRoundsExceeded
from voicelive_agent.speech import Reply, Speech, SpeechStatus
from voicelive_agent.tools import ApprovalAnswer, ApprovalRequest


class Asking(VoiceAgent):
    max_tool_rounds = 3
    approval_timeout_s = 5

    @tool(approval=True, filler="One moment.", filler_after_ms=800)
    async def pay(self, amount: int) -> str:
        return str(amount)

    async def approve(self, request: ApprovalRequest) -> ApprovalAnswer:
        assert_type(request.server_label, str | None)
        return "always" if request.name == "pay" else False

    def on_tool_approval_asked(self, event: ToolApprovalAsked) -> None:
        assert_type(event.arguments, str)

    def on_tool_approval_answered(self, event: ToolApprovalAnswered) -> None:
        assert_type(event.approved, bool)

    async def on_tool_rounds_exceeded(self, event: ToolRoundsExceeded) -> None:
        assert_type(event.not_run, tuple[str, ...])


class Plain(VoiceAgent):
    def approve(self, request: ApprovalRequest) -> bool:
        return request.server_label is None


async def change(agent: Asking) -> None:
    assert_type(await agent.pay(3), str)
    assert_type(await agent.set_tools([agent.pay, len], tool_choice=ToolChoice(name="pay")), Mapping[str, Any])


async def ask(agent: Asking) -> None:
    assert_type(agent.respond("Sum up."), Speech)
    reply = assert_type(agent.respond("Sum up.", out_of_band=True), Reply)
    assert_type(await reply, str)
    assert_type(await agent.say("Hello."), SpeechStatus)
