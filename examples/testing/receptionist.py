"""The agent that this folder tests. Nothing in it is about testing."""

from __future__ import annotations

from voicelive_agent import VoiceAgent, tool


class Receptionist(VoiceAgent):
    instructions = "You are the receptionist of the city library. Be brief."
    greeting = "City library, good morning!"

    @tool
    def opening_hours(self, day: str) -> str:
        """When the library is open on a day of the week."""
        return "closed" if day == "Sunday" else "9 to 17"
