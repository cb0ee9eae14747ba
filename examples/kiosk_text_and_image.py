"""A kiosk in a museum: visitors type, and show it a photo of what they see. Answers are text.

    voicelive-agent emulator
    AZURE_VOICELIVE_ENDPOINT=emulator python examples/kiosk_text_and_image.py

A line is a question. ``photo.jpg What is this?`` shows a photo (PNG, JPEG, WebP or GIF) with a question about it;
an empty line ends the conversation. The emulator's scripted brain cannot see, and says what it was shown.
"""

from __future__ import annotations

import asyncio
import sys
import threading
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

    def on_state_changed(self, event: StateChanged) -> None:
        if event.new in (State.READY, State.ERROR):
            self.hear()

    def hear(self) -> None:
        threading.Thread(target=self.read_line, args=(asyncio.get_running_loop(),), daemon=True).start()

    def read_line(self, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread, so that the call goes on while the visitor types."""
        print("visitor: ", end="", flush=True)
        line = sys.stdin.readline().strip()
        asyncio.run_coroutine_threadsafe(self.ask(line), loop)

    async def ask(self, line: str) -> None:
        """Send what the visitor wrote."""
        name, _, question = line.partition(" ")
        photo = Path(name)
        if not line:
            self.stop()
        elif photo.suffix.lower() not in PHOTOS:
            self.send_text(line)
        else:
            try:
                await self.send_image(photo, text=question or None, detail="low")
            except (ImageError, OSError) as error:
                print("kiosk:  ", error)
                self.hear()


if __name__ == "__main__":
    try:
        asyncio.run(Kiosk.from_env().run())
    except KeyboardInterrupt:
        pass
    except VoiceLiveError as error:
        sys.exit(f"kiosk_text_and_image.py: {error}")
