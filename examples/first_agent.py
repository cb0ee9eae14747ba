"""A typed conversation with an agent that knows when the library is open.

Run ``voicelive-agent emulator`` in one terminal, and ``python examples/first_agent.py`` in another.
"""

from __future__ import annotations

import asyncio

from voicelive_agent import AgentSpoke, State, StateChanged, VoiceAgent, tool


class Receptionist(VoiceAgent):
    instructions = "You are the receptionist of the city library. Be brief."
    greeting = "City library, good morning!"

    @tool
    def opening_hours(self, day: str) -> str:
        """When the library is open on a day of the week."""
        return "closed" if day == "Sunday" else "9 to 17"

    def on_agent_spoke(self, event: AgentSpoke) -> None:
        print("agent:", event.text)

    async def on_state_changed(self, event: StateChanged) -> None:
        if event.new is State.READY:  # the user's turn; an empty line hangs up
            line = await asyncio.to_thread(input, "you:   ")
            self.send_text(line) if line else self.stop()


if __name__ == "__main__":
    asyncio.run(Receptionist("emulator").run())
