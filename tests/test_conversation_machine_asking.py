"""The conversation machine once more, with answers out of band, undisturbed scopes and MCP calls as well."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from tests.test_conversation_machine import ConversationMachine

from voicelive_agent._outputs import CancelTool, Output
from voicelive_agent.events import ToolApprovalAnswered, ToolApprovalAsked


class AskingMachine(ConversationMachine):
    """What else may happen, in any order, between all that may happen anyway."""

    holds = 0

    def perform(self, output: Output) -> None:
        about = isinstance(output, ToolApprovalAsked | ToolApprovalAnswered | CancelTool)
        if not (about and output.call_id.startswith("q")):  # a server's tool is none of those that are watched
            super().perform(output)

    @rule(silent=st.booleans(), own_words=st.booleans())
    def ask_for_a_response(self, silent: bool, own_words: bool) -> None:
        self.tickets += 1
        params = {"instructions": "x"} if own_words else {}
        self.step(self.core.respond, params, ticket=self.tickets, silent=silent)

    @rule()
    def hold(self) -> None:
        self.holds += 1
        self.step(self.core.hold, 1)

    @precondition(lambda self: self.holds > 0)
    @rule()
    def let_go(self) -> None:
        self.holds -= 1
        self.step(self.core.hold, -1)

    @precondition(lambda self: self.service_open is not None and not self.closed)
    @rule()
    def out_of_band_text(self) -> None:
        ids = {"response_id": self.service_open, "item_id": f"{self.service_open}a"}
        self.say("response.text.done", text="some words", **ids)

    # --- MCP: a service that keeps to the rules, or does not ---

    @precondition(lambda self: not self.closed)
    @rule(number=st.integers(1, 3), kind=st.sampled_from(["added", "created", "done", "output", "incomplete"]))
    def mcp_item(self, number: int, kind: str) -> None:
        item: dict[str, Any] = {"id": f"m{number}", "type": "mcp_call", "server_label": "l", "name": "f"}
        if kind == "created":
            self.say("conversation.item.created", item=item)
            return
        if kind == "output":
            item["output"] = "x"
        if kind == "incomplete":
            item["status"] = "incomplete"
        which = "added" if kind == "added" else "done"
        self.say(f"response.output_item.{which}", response_id=self.service_open or "r0", item=item)

    @precondition(lambda self: not self.closed)
    @rule(
        number=st.integers(1, 3), kind=st.sampled_from(["in_progress", "completed", "failed", "_arguments.done"])
    )
    def mcp_progress(self, number: int, kind: str) -> None:
        dot = "" if kind.startswith("_") else "."
        self.say(f"response.mcp_call{dot}{kind}", item_id=f"m{number}")

    @precondition(lambda self: not self.closed)
    @rule(number=st.integers(1, 3))
    def mcp_question(self, number: int) -> None:
        item = {"id": f"q{number}", "type": "mcp_approval_request", "server_label": "l", "name": "f"}
        self.say("conversation.item.created", item=item)

    @rule(number=st.integers(1, 3), answer=st.sampled_from([True, False, "always"]))
    def mcp_answer(self, number: int, answer: Any) -> None:
        self.step(self.core.approval_answered, f"q{number}", answer)

    def teardown(self) -> None:
        for _ in range(self.holds):
            self.step(self.core.hold, -1)
        super().teardown()


AskingMachine.TestCase.settings = settings(
    max_examples=120,
    stateful_step_count=35,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)
TestAskingMachine = AskingMachine.TestCase
