"""A kiosk in a museum: visitors type, and show it a photo of what they see. Answers are text.

    voicelive-agent emulator
    AZURE_VOICELIVE_ENDPOINT=emulator python examples/kiosk_text_and_image.py

A line is a question. ``photo.jpg What is this?`` shows a photo (PNG, JPEG, WebP or GIF) with a question about it;
an empty line ends the conversation. The emulator's scripted brain cannot see, and says what it was shown.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from voicelive_agent import AgentSpoke, SessionStarted, State, StateChanged, VoiceAgent, VoiceLiveError
from voicelive_agent.errors import ImageError

PHOTOS = (".png", ".jpg", ".jpeg", ".webp", ".gif")
ROOM = "The visitor stands in room 3: portraits, 1600 to 1700."


class Kiosk(VoiceAgent):
    instructions = "You are the guide of a museum. Answer in one sentence."

    def on_session_started(self, event: SessionStarted) -> None:
        self.send_text(ROOM, respond=False)  # for the model to know; nothing is answered

    def on_agent_spoke(self, event: AgentSpoke) -> None:
        print("guide:  ", event.text)

    async def on_state_changed(self, event: StateChanged) -> None:
        if event.new is State.READY:
            while (line := await asyncio.to_thread(input, "visitor: ")) and not await self.ask(line):
                pass
            if not line:
                self.stop()

    async def ask(self, line: str) -> bool:
        """Send what the visitor wrote. Whether there was something to send."""
        name, _, question = line.partition(" ")
        photo = Path(name)
        if photo.suffix.lower() not in PHOTOS:
            self.send_text(line)
            return True
        try:
            await self.send_image(photo, text=question or None, detail="low")
        except (ImageError, OSError) as error:
            print("kiosk:  ", error)
            return False
        return True


if __name__ == "__main__":
    try:
        asyncio.run(Kiosk.from_env().run())
    except VoiceLiveError as error:
        sys.exit(f"kiosk_text_and_image.py: {error}")
