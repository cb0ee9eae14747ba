"""Talk to an agent with your microphone, and hear it from your speaker. Ctrl-C hangs up.

No account is needed. In one terminal, Voice Live on this machine:

    voicelive-agent emulator

In another one:

    AZURE_VOICELIVE_ENDPOINT=emulator python examples/microphone.py

With the URL of an Azure resource in that variable it talks to Azure: docs/how-to/connect-to-azure.md.
"""

from __future__ import annotations

import asyncio
import sys

from voicelive_agent import AgentSpoke, Interrupted, UserSpoke, VoiceAgent, VoiceLiveError
from voicelive_agent.devices import Microphone, Speaker
from voicelive_agent.events import DeviceReopened


class Receptionist(VoiceAgent):
    instructions = "You are the receptionist of the city library. Be brief."
    greeting = "City library, good morning!"

    def on_user_spoke(self, event: UserSpoke) -> None:
        print("you:  ", event.text)

    def on_agent_spoke(self, event: AgentSpoke) -> None:
        print("agent:", event.text)

    def on_interrupted(self, event: Interrupted) -> None:
        print(f"(cut off after {event.heard_text!r})")

    def on_device_reopened(self, event: DeviceReopened) -> None:
        print(f"({event.lost} is gone; going on with {event.device})")


async def main() -> None:
    async with Microphone(on_loss="reopen") as microphone, Speaker(on_loss="reopen") as speaker:
        await Receptionist.from_env().run(microphone, speaker)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        print("(hung up)")
    except VoiceLiveError as error:
        sys.exit(f"microphone.py: {error}")
