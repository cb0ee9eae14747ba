"""A typed conversation with an agent that uses the tools of an MCP server, and asks you before it does.

The service itself calls the server, so it has to be able to reach it. With no account: run the emulator in one
terminal (it needs ``pip install "voicelive-agent[emulator,mcp]"`` to call MCP servers), and in another the agent,
with the address of an MCP server and the names of those of its tools that need no approval:

    voicelive-agent emulator
    AZURE_VOICELIVE_ENDPOINT=emulator python examples/mcp_agent.py http://127.0.0.1:8000/mcp find_book
"""

from __future__ import annotations

import asyncio
import sys

from voicelive_agent import AgentSpoke, SessionConfig, State, StateChanged, VoiceAgent
from voicelive_agent.config import MCPServer
from voicelive_agent.events import McpCalled, McpFinished, McpListed, McpListingFailed
from voicelive_agent.tools import ApprovalAnswer, ApprovalRequest


class Librarian(VoiceAgent):
    instructions = "You are the librarian. Look books up before you answer."
    approval_timeout_s = 120.0  # somebody has to read the question
    listed = False

    def __init__(self, url: str, harmless: list[str]) -> None:
        server = MCPServer(server_label="library", server_url=url, require_approval={"never": harmless})
        super().__init__(config=SessionConfig(tools=[server]))

    async def approve(self, request: ApprovalRequest) -> ApprovalAnswer:
        question = f"May it {request.name} {request.arguments}? [y]es, [a]lways, no: "
        answer = (await asyncio.to_thread(input, question)).strip().lower()[:1]
        return "always" if answer == "a" else answer == "y"

    async def on_mcp_listed(self, event: McpListed) -> None:
        print(f"({event.server_label} has {', '.join(event.tools)})")
        await self.hear_user()

    async def on_mcp_listing_failed(self, event: McpListingFailed) -> None:
        print(f"({event.server_label} does not answer; the conversation goes on without it)")
        await self.hear_user()

    async def on_state_changed(self, event: StateChanged) -> None:
        if event.new is State.READY and self.listed:
            await self.hear_user()

    async def hear_user(self) -> None:
        self.listed = True
        line = await asyncio.to_thread(input, "you:   ")  # an empty line hangs up
        self.send_text(line) if line else self.stop()

    def on_mcp_called(self, event: McpCalled) -> None:
        print(f"({event.name} is called)")

    def on_mcp_finished(self, event: McpFinished) -> None:
        print(f"({event.name}: {event.error or 'done'})")

    def on_agent_spoke(self, event: AgentSpoke) -> None:
        print("agent:", event.text)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    asyncio.run(Librarian(sys.argv[1], sys.argv[2:]).run())
