"""A receptionist who looks things up, fills the time that takes, and reserves nothing without your approval.

    voicelive-agent emulator --script examples/emulator_script/library.py
    AZURE_VOICELIVE_ENDPOINT=emulator python examples/receptionist.py

Ask it for a book, or "Are you open on Sunday?". When it wants to reserve one, the keyboard decides: y, n or
always. With two names, ``receptionist.py question.wav answer.wav``, files take the place of microphone and
speaker.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import date
from itertools import chain
from typing import Annotated, Literal

from voicelive_agent import (
    AgentSpoke,
    FileSource,
    Microphone,
    SessionStarted,
    Speaker,
    UserSpoke,
    VoiceAgent,
    VoiceLiveError,
    WavSink,
    tool,
)
from voicelive_agent.events import ToolApprovalAnswered
from voicelive_agent.tools import ApprovalAnswer, ApprovalRequest


@dataclass
class Book:
    title: str
    shelf: str


class Receptionist(VoiceAgent):
    instructions = "You are the receptionist of the city library. Be brief. Find a book before you reserve it."
    approval_timeout_s = 20

    def on_session_started(self, event: SessionStarted) -> None:
        self.typed: asyncio.Queue[str] = asyncio.Queue()
        threading.Thread(target=self.read, args=(asyncio.get_running_loop(),), daemon=True).start()

    def read(self, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread of its own: hand over what is typed."""
        for line in chain(sys.stdin, [""]):  # its end is an answer, too: no
            try:
                loop.call_soon_threadsafe(self.typed.put_nowait, line.strip().lower())
            except RuntimeError:  # the call is over
                return

    @tool
    def opening_hours(self, day: Annotated[str, "a day of the week"]) -> str:
        """When the library is open."""
        return "closed" if day == "Sunday" else "9 to 17"

    @tool(filler="One moment, I am looking.", filler_after_ms=800, timeout_s=10)
    async def find_book(self, title: str) -> Book:
        """Find out where a book is. The catalogue is slow."""
        await asyncio.sleep(2)
        return Book(title, "on shelf 12")

    @tool(approval=True)
    def reserve(self, title: str, until: date, desk: Literal["north", "south"] = "north") -> str:
        """Put a book aside.

        Args:
            title: The book's title.
            until: The last day on which it can be fetched.
            desk: Where it is kept.
        """
        return f"{title} is at the {desk} desk until {until:%B} {until.day}."

    async def approve(self, request: ApprovalRequest) -> ApprovalAnswer:
        while not self.typed.empty():
            self.typed.get_nowait()  # typed before the question: no answer to it
        seconds = self.approval_timeout_s
        print(f"May I {request.name} {request.arguments}? [y/n/always, in {seconds} s]", flush=True)
        answer = await self.typed.get()
        return "always" if answer == "always" else answer == "y"

    def on_tool_approval_answered(self, event: ToolApprovalAnswered) -> None:
        if event.reason == "timeout":
            print("(nobody answered in time: it was not done)")

    def on_user_spoke(self, event: UserSpoke) -> None:
        print("you:  ", event.text)

    def on_agent_spoke(self, event: AgentSpoke) -> None:
        print("agent:", event.text)


async def talk(*files: str) -> None:
    """With microphone and speaker, or with these two files."""
    async with AsyncExitStack() as devices:
        if files:
            question, answer = files
            speaker = await devices.enter_async_context(WavSink(answer))
            await Receptionist.from_env().run(FileSource(question), speaker)
        else:
            loud = await devices.enter_async_context(Speaker())
            await Receptionist.from_env().run(await devices.enter_async_context(Microphone()), loud)


if __name__ == "__main__":
    if len(sys.argv) not in (1, 3):
        sys.exit("usage: python examples/receptionist.py [QUESTION ANSWER.wav]")
    try:
        asyncio.run(talk(*sys.argv[1:]))
    except KeyboardInterrupt:
        pass
    except (VoiceLiveError, OSError) as error:
        sys.exit(f"receptionist.py: {error}")
