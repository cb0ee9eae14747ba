"""Stop a call while a tool hangs for ever in its thread: the program has to end all the same."""

from __future__ import annotations

import asyncio
import logging
import threading

from voicelive_agent import ToolCalled, VoiceAgent, tool
from voicelive_agent.emulator import Call, EmulatorSession, ScriptedBrain
from voicelive_agent.events import SessionStarted
from voicelive_agent.testing import connect


class Hanging(VoiceAgent):
    @tool
    def hang(self) -> str:
        """Never come back."""
        started.set()
        threading.Event().wait()
        return ""

    def on_session_started(self, event: SessionStarted) -> None:
        self.send_text("go")

    async def on_tool_called(self, event: ToolCalled) -> None:
        await asyncio.to_thread(started.wait)
        self.stop()


started = threading.Event()

if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    agent = Hanging(connect(EmulatorSession(brain=ScriptedBrain([("go", Call("hang", {}))]))))
    print(asyncio.run(agent.run()).reason.value, flush=True)
