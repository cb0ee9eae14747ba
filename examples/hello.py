"""The receptionist of a library: a greeting, a tool, and hooks that tell what happens.

No account is needed. In one terminal, Voice Live on this machine:

    voicelive-agent emulator

In another one, a typed conversation, or a spoken one between two files:

    AZURE_VOICELIVE_ENDPOINT=emulator python examples/hello.py
    AZURE_VOICELIVE_ENDPOINT=emulator python examples/hello.py question.wav answer.wav

With the URL of an Azure resource in that variable it talks to Azure: docs/how-to/connect-to-azure.md.
"""

from __future__ import annotations

import asyncio
import sys

import anyio.to_thread

from voicelive_agent import (
    AgentSpoke,
    Interrupted,
    State,
    StateChanged,
    UserSpoke,
    VoiceAgent,
    VoiceLiveError,
    WavSink,
    WavSource,
    tool,
)


class Receptionist(VoiceAgent):
    """Who it is, what it can do, and what to do when something happens."""

    instructions = "You are the receptionist of the city library. Be brief."
    greeting = "City library, good morning!"

    @tool
    def opening_hours(self, day: str) -> str:
        """When the library is open on a day of the week."""
        return "closed" if day == "Sunday" else "9 to 17"

    def on_user_spoke(self, event: UserSpoke) -> None:
        print("you:  ", event.text)

    def on_agent_spoke(self, event: AgentSpoke) -> None:
        print("agent:", event.text)

    def on_interrupted(self, event: Interrupted) -> None:
        print(f"(cut off after {event.heard_text!r})")


class TypedReceptionist(Receptionist):
    """Asks for a line whenever it is the user's turn; an empty one ends the conversation."""

    async def on_state_changed(self, event: StateChanged) -> None:
        if event.new is not State.READY:
            return
        line = await anyio.to_thread.run_sync(_ask, abandon_on_cancel=True)
        if line:
            self.send_text(line)
        else:
            self.stop()


def _ask() -> str:
    try:
        return input("you:   ").strip()
    except EOFError:
        return ""


async def spoken(question: str, answer: str) -> None:
    """Say what is in one file, and record what is heard in another."""
    async with WavSink(answer) as speaker:
        await Receptionist.from_env().run(WavSource(question), speaker)


async def typed() -> None:
    """Without a source and a sink it is a text conversation."""
    await TypedReceptionist.from_env().run()


def main(files: list[str]) -> None:
    """Two files, or none."""
    try:
        if len(files) == 2:
            asyncio.run(spoken(*files))
        else:
            asyncio.run(typed())
    except VoiceLiveError as error:
        sys.exit(f"hello.py: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
