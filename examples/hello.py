"""A receptionist you can talk to.   Try it with no account:  voicelive-agent talk hello.py --emulator"""

from voicelive_agent import Interrupted, UserSpoke, VoiceAgent, tool


class Receptionist(VoiceAgent):
    instructions = "You are the receptionist of the city library. Be brief."
    greeting = "City library, good morning!"

    @tool
    def opening_hours(self, day: str) -> str:
        """When the library is open on a day of the week."""
        return "closed" if day == "Sunday" else "9 to 17"

    async def on_user_spoke(self, event: UserSpoke) -> None:
        print("you:", event.text)

    async def on_interrupted(self, event: Interrupted) -> None:
        print(f"(cut off after {event.heard_text!r})")


if __name__ == "__main__":
    Receptionist.from_env().talk()  # microphone and speaker until Ctrl-C: the only synchronous entry
