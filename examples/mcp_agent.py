"""A typed conversation with an agent that uses the tools of an MCP server, and asks you before it does.

The service itself calls the server, so it has to be able to reach it. With no account: run the emulator and a
server in two terminals (``pip install "voicelive-agent[emulator,mcp]"``), and in a third one the agent, with the
address of the server and the names of those of its tools that need no approval:

    voicelive-agent emulator
    python examples/mcp_server.py
    AZURE_VOICELIVE_ENDPOINT=emulator python examples/mcp_agent.py http://127.0.0.1:8000/mcp find_book

"Find the book Emma" is answered at once; before "Borrow the book Emma" is done, you are asked.
"""

from __future__ import annotations

import asyncio
import sys
import threading

from voicelive_agent import (
    AgentSpoke,
    SessionConfig,
    SessionStarted,
    State,
    StateChanged,
    VoiceAgent,
    VoiceLiveError,
)
from voicelive_agent.config import MCPServer
from voicelive_agent.events import McpCalled, McpFinished, McpListed, McpListingFailed, ToolApprovalAnswered
from voicelive_agent.tools import ApprovalAnswer, ApprovalRequest


async def typed(prompt: str) -> str:
    """The next line of the terminal, "" at its end. A daemon reads it, so that Ctrl-C need not wait for Enter."""
    loop = asyncio.get_running_loop()
    line: asyncio.Queue[str] = asyncio.Queue()

    def read() -> None:
        print(prompt, end="", flush=True)
        loop.call_soon_threadsafe(line.put_nowait, sys.stdin.readline().strip())

    threading.Thread(target=read, daemon=True).start()
    return await line.get()


class Librarian(VoiceAgent):
    instructions = "You are the librarian. Look books up before you answer."
    approval_timeout_s = 120.0  # somebody has to read the question
    listed = False

    def __init__(self, url: str, harmless: list[str]) -> None:
        self.url = url
        server = MCPServer(server_label="library", server_url=url, require_approval={"never": harmless})
        super().__init__(config=SessionConfig(tools=[server]))

    async def approve(self, request: ApprovalRequest) -> ApprovalAnswer:
        question = f"May it {request.name} {request.arguments}? [y]es, [a]lways, no: "
        answer = (await typed(question)).lower()[:1]
        return "always" if answer == "a" else answer == "y"

    def on_tool_approval_answered(self, event: ToolApprovalAnswered) -> None:
        if event.reason == "timeout":
            print("\n(nobody answered in time: refused. Press Enter to go on.)")

    def on_session_started(self, event: SessionStarted) -> None:
        print(f"(connected; the service asks {self.url} for its tools)")

    def on_mcp_listed(self, event: McpListed) -> None:
        print(f"({event.server_label} has {', '.join(event.tools)}; an empty line hangs up)")
        self.begin()

    def on_mcp_listing_failed(self, event: McpListingFailed) -> None:
        print(f"(it goes on without the tools: {event.message or 'the server does not answer'})")
        self.begin()

    def begin(self) -> None:
        self.listed = True
        self.hearing = asyncio.create_task(self.hear_user())

    def on_state_changed(self, event: StateChanged) -> None:
        if self.listed and event.new in (State.READY, State.ERROR):
            self.hearing = asyncio.create_task(self.hear_user())  # a hook that waited would hold up all others

    async def hear_user(self) -> None:
        line = await typed("you:   ")
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
    try:
        asyncio.run(Librarian(sys.argv[1], sys.argv[2:]).run())
    except KeyboardInterrupt:
        pass
    except VoiceLiveError as error:
        sys.exit(f"mcp_agent.py: {error}")
