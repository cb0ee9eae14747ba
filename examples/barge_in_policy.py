"""What happens when somebody talks over the agent, under each policy. Takes a second, and needs no account.

    python examples/barge_in_policy.py

The same conversation is held in memory and in virtual time: the user asks for a story and, two seconds into it,
says "Wait!". What the listener heard of the story depends on the policy.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass

import anyio

from voicelive_agent import SessionConfig, TurnEnded, VoiceAgent
from voicelive_agent.config import ServerVad
from voicelive_agent.emulator import EmulatorSession, EnergyEars, ScriptedBrain
from voicelive_agent.testing import MemorySink, MemorySource, connect, run_virtual

RATE = 24_000
STORY = "Once upon a time there was a library with a thousand and one rooms, and in each of them a lamp was lit."
RULES = [("story", STORY), ("wait", "Yes?")]
KEEP_TALKING = SessionConfig(turn_detection=ServerVad(interrupt_response=False))


def silence(seconds: float) -> bytes:
    """Nobody speaks."""
    return bytes(2 * round(seconds * RATE))


def noise(seconds: float) -> bytes:
    """Somebody speaks: loud enough for the scripted ears."""
    return array("h", ([8_000] * 60 + [-8_000] * 60) * round(seconds * RATE / 120)).tobytes()


def blocks(pcm: bytes, ms: int = 20) -> list[bytes]:
    """What a microphone would deliver."""
    size = RATE * ms // 1000 * 2
    return [pcm[at : at + size] for at in range(0, len(pcm), size)]


class Polite(VoiceAgent):
    """Finishes what it has to say: the user is not heard until then."""

    def on_session_started(self, event: object) -> None:
        self.say(STORY, uninterruptible=True)


@dataclass(frozen=True)
class Policy:
    """How an agent behaves when it is talked over."""

    name: str
    agent: Callable[[EmulatorSession], VoiceAgent]


POLICIES = [
    Policy("the service interrupts (default)", lambda session: VoiceAgent(connect(session))),
    Policy("nobody interrupts", lambda session: VoiceAgent(connect(session), config=KEEP_TALKING)),
    Policy(
        "the client interrupts",
        lambda session: VoiceAgent(connect(session), config=KEEP_TALKING, barge_in="client"),
    ),
    Policy("uninterruptible speech", lambda session: Polite(connect(session))),
]


async def tell(policy: Policy) -> TurnEnded:
    """Hold the conversation; how the story ended."""
    session = EmulatorSession(ears=EnergyEars(["Tell me a story.", "Wait!"]), brain=ScriptedBrain(RULES))
    agent = policy.agent(session)
    turns: list[TurnEnded] = []
    agent.on(TurnEnded, turns.append)
    said = silence(0.3) + noise(0.9) + silence(2.6) + noise(0.6) + silence(1.0)
    await agent.run(MemorySource(*blocks(said)), MemorySink(clock=anyio.current_time))
    return turns[0]


def main() -> None:
    """One line for each policy."""
    for policy in POLICIES:
        story = run_virtual(tell, policy)
        print(f"{policy.name:33} {story.status:12} {story.heard_ms / 1000:4.1f} s heard")


if __name__ == "__main__":
    main()
