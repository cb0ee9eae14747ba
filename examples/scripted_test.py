"""How to test an agent: no account, no network, no sound card, no waiting.

    pytest examples/scripted_test.py

The agent talks to an emulated session in memory. What the user says and what the model answers are scripts, and
time is virtual, so that half a minute of conversation takes a moment and comes out the same every time.
"""

from __future__ import annotations

from array import array

import anyio

from voicelive_agent import Interrupted, State, ToolFinished, Verdict, VoiceAgent, tool
from voicelive_agent.emulator import Call, EmulatorSession, EnergyEars, ScriptedBrain
from voicelive_agent.testing import MemorySink, MemorySource, connect, run_virtual

RATE = 24_000


class Receptionist(VoiceAgent):
    """The agent under test."""

    instructions = "You are the receptionist of the city library. Be brief."

    def __init__(self, session: EmulatorSession) -> None:
        super().__init__(connect(session))
        self.cuts: list[Interrupted] = []
        self.results: list[ToolFinished] = []

    @tool
    def opening_hours(self, day: str) -> str:
        """When the library is open on a day of the week."""
        return "closed" if day == "Sunday" else "9 to 17"

    def on_interrupted(self, event: Interrupted) -> None:
        self.cuts.append(event)

    def on_tool_finished(self, event: ToolFinished) -> None:
        self.results.append(event)


class Caller(Receptionist):
    """Ends the call as soon as the typed question was answered."""

    def on_session_started(self, event: object) -> None:
        self.send_text("When are you open on Sunday?")

    def on_turn_ended(self, event: object) -> None:
        self.stop()


def hold(agent: Receptionist, *spoken: bytes) -> tuple[Verdict, MemorySink]:
    """Hold the conversation in which the user says this; how it ended, and what was heard."""
    pcm = b"".join(spoken)
    size = RATE // 50 * 2  # 20 ms

    async def call() -> tuple[Verdict, MemorySink]:
        source = MemorySource(*(pcm[at : at + size] for at in range(0, len(pcm), size)))
        sink = MemorySink(clock=anyio.current_time)
        return await agent.run(source, sink), sink

    return run_virtual(call)


def quiet(seconds: float) -> bytes:
    """Nobody speaks."""
    return bytes(2 * round(seconds * RATE))


def loud(seconds: float) -> bytes:
    """Somebody speaks. What they say is in the script of the ears."""
    return array("h", ([8_000] * 60 + [-8_000] * 60) * round(seconds * RATE / 120)).tobytes()


def test_a_question_calls_the_tool_and_its_result_is_told() -> None:
    rules = [(r"open on (\w+)", Call("opening_hours", {"day": r"\1"}))]
    agent = Caller(EmulatorSession(brain=ScriptedBrain(rules)))
    verdict = anyio.run(agent.run)  # typed words take no time, and the tool is a plain function: it has a thread
    assert verdict.ok
    assert [(result.name, result.output) for result in agent.results] == [("opening_hours", "closed")]
    assert [item.text for item in agent.history if item.role == "assistant"] == ["closed"]


def test_who_talks_over_the_agent_is_listened_to() -> None:
    story = "Once upon a time there was a library with a thousand and one rooms."
    ears = EnergyEars(["Tell me a story.", "Thank you."])
    agent = Receptionist(EmulatorSession(ears=ears, brain=ScriptedBrain([("story", story)])))
    verdict, sink = hold(agent, quiet(0.3), loud(0.9), quiet(2.5), loud(0.6), quiet(1.0))
    assert verdict.ok
    assert agent.state is State.CLOSED
    assert sink.flushes == 1
    [cut] = agent.cuts
    assert cut.heard_ms < cut.received_ms
    assert story.startswith(cut.heard_text)
    assert [item.heard_text for item in agent.history if item.role == "assistant"] == [
        cut.heard_text,
        "I heard: Thank you.",
    ]
