"""An agent that listens only while you want it to: press Enter to talk, and Enter again when you have finished.

    voicelive-agent emulator
    AZURE_VOICELIVE_ENDPOINT=emulator python examples/push_to_talk.py

Talk while the agent speaks and it falls silent. With two names, ``push_to_talk.py question.wav answer.wav``, files
take the place of microphone and speaker: the question begins when you press Enter, and its end ends the turn.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from voicelive_agent import (
    AgentSpoke,
    FileSource,
    Microphone,
    SessionConfig,
    SessionStarted,
    Speaker,
    State,
    StateChanged,
    UserSpoke,
    VoiceAgent,
    VoiceLiveError,
    WavSink,
)
from voicelive_agent.events import TurnTimedOut, TurnTooShort


class Walkie(VoiceAgent):
    instructions = "Answer in one sentence."
    config = SessionConfig(turn_detection=None)  # nobody but you says when a turn ends

    def on_session_started(self, event: SessionStarted) -> None:
        print("Press Enter to talk, and Enter again when you have finished.")
        threading.Thread(target=self.watch_the_button, daemon=True).start()

    def watch_the_button(self) -> None:
        """In a thread of its own: turns may begin and end anywhere."""
        pressed = False
        for _ in sys.stdin:
            pressed = not pressed
            try:
                self.begin_turn(pre_roll_ms=300) if pressed else self.end_turn()
            except RuntimeError:  # the call is over
                return

    def on_state_changed(self, event: StateChanged) -> None:
        if event.new is State.LISTENING:
            print("(listening)")

    def on_turn_too_short(self, event: TurnTooShort) -> None:
        print(f"(that was only {event.audio_ms} ms)")

    def on_turn_timed_out(self, event: TurnTimedOut) -> None:
        print(f"(the turn ended by itself after {event.limit_ms // 1000} s)")

    def on_user_spoke(self, event: UserSpoke) -> None:
        print("you:  ", event.text)

    def on_agent_spoke(self, event: AgentSpoke) -> None:
        print("agent:", event.text)


class Question(FileSource):
    """A recorded person, who begins to speak when the button is pressed."""

    def __init__(self, path: str, walkie: Walkie) -> None:
        super().__init__(path)
        self.pressed = asyncio.Event()
        walkie.on(StateChanged, self.on_state_changed)

    def on_state_changed(self, event: StateChanged) -> None:
        if event.new is State.LISTENING:
            self.pressed.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        await self.pressed.wait()
        async for block in super().__aiter__():
            yield block


async def talk(*files: str) -> None:
    """With microphone and speaker, or with these two files."""
    walkie = Walkie.from_env()
    async with AsyncExitStack() as devices:
        if files:
            question, answer = files
            speaker = await devices.enter_async_context(WavSink(answer))
            await walkie.run(Question(question, walkie), speaker)
        else:
            loud = await devices.enter_async_context(Speaker())
            await walkie.run(await devices.enter_async_context(Microphone()), loud)


if __name__ == "__main__":
    if len(sys.argv) not in (1, 3):
        sys.exit("usage: python examples/push_to_talk.py [QUESTION ANSWER.wav]")
    try:
        asyncio.run(talk(*sys.argv[1:]))
    except KeyboardInterrupt:
        pass
    except (VoiceLiveError, OSError) as error:
        sys.exit(f"push_to_talk.py: {error}")
