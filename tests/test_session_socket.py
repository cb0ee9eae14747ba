"""The session over a real socket: changed from many sides while somebody talks, granted otherwise, and expired."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.agent_driver import LONG, Microphone, Recorder, calling, check_story, tone

from voicelive_agent import AgentSpoke, EndReason, SessionConfig, State, UserSpoke, WavSource, tool
from voicelive_agent.audio import AudioFormat
from voicelive_agent.config import AzureSemanticVad, ServerVad, ToolChoice
from voicelive_agent.emulator import EmulatorSession, EnergyEars, ScriptedBrain, serve
from voicelive_agent.emulator.protocols import Call, Say, Turn
from voicelive_agent.errors import ConfigurationError, SessionLostError, SessionRefusedError
from voicelive_agent.events import Interrupted, SessionStarted, SettingNotGranted, ToolFinished, TurnEnded
from voicelive_agent.testing import MemorySink

RECORDING = Path(__file__).parent / "data" / "audio" / "cards_001.wav"
NOBODY = {"type": "openai", "name": "nobody"}


def listener() -> MemorySink:
    return MemorySink(AudioFormat(rate=24_000))


async def test_changes_from_all_sides_while_the_agent_speaks() -> None:
    async with serve() as server:
        agent = Recorder(server.url, greeting=LONG)
        async with calling(agent, Microphone(), listener()):
            await agent.reach(State.SPEAKING)
            changes: list[Mapping[str, Any]] = [{"temperature": step / 10} for step in range(1, 9)]
            changes += [{"voice": NOBODY}, {"voice": "en-US-AndrewNeural"}, {"turn_detection": AzureSemanticVad()}]
            granted = await asyncio.gather(
                *(agent.update_session(**change) for change in changes), return_exceptions=True
            )
            assert agent.state is State.SPEAKING
            assert not agent.all(Interrupted)
    refused = granted.pop(8)
    assert isinstance(refused, SessionRefusedError)
    assert (refused.param, "nobody" in refused.reason) == ("session.voice.name", True)
    sessions = [session for session in granted if not isinstance(session, BaseException)]
    assert [session["temperature"] for session in sessions] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.8, 0.8]
    assert [session["voice"]["name"][6:9] for session in sessions] == ["Ava"] * 8 + ["And"] * 2
    assert sessions[-1]["turn_detection"]["type"] == "azure_semantic_vad"
    assert not agent.all(SettingNotGranted)
    check_story(agent.seen)


async def test_turns_by_hand_and_detected_ones_in_one_call() -> None:
    brain = ScriptedBrain([(".", "Yes.")])
    async with serve(ears=EnergyEars(["first", "second", "third"]), brain=brain) as server:
        agent = Recorder(server.url, config=SessionConfig(turn_detection=None))
        microphone = Microphone(tone(60_000))
        async with calling(agent, microphone, listener()):
            agent.begin_turn()
            await microphone.goes_on(300)  # somebody talks
            await agent.update_session(turn_detection=ServerVad())  # what was said by now is committed
            await agent.until(lambda: len(agent.all(UserSpoke)) == 1)
            with pytest.raises(ConfigurationError, match="here the service detects turns"):
                agent.begin_turn()
            await agent.until(lambda: len(agent.all(TurnEnded)) == 1)
            await agent.update_session(turn_detection=None)
            agent.begin_turn()
            await microphone.goes_on(300)
            agent.end_turn()
            await agent.until(lambda: agent.all(AgentSpoke)[1:])
    assert agent.all(UserSpoke)[0].text == "first"
    check_story(agent.seen)


class Singing:
    """A model that calls the last tool it has, and then says what came of it."""

    def answer(self, turn: Turn) -> Iterator[Say | Call]:
        if turn.items[-1]["type"] == "function_call_output":
            yield Say(turn.items[-1]["output"])
        else:
            yield Call(turn.tools[-1]["name"], {})


def sing() -> str:
    """Sings."""
    return "la"


class Rehearsing(Recorder):
    """Has other tools before anybody has spoken."""

    @tool
    def look(self) -> str:
        """Looks."""
        return "found"

    async def on_session_started(self, event: SessionStarted) -> None:
        self.granted = await self.set_tools([sing], tool_choice=ToolChoice(name="sing"))
        with pytest.raises(ConfigurationError, match="tool_choice names 'sing', and no tool is called so"):
            await self.set_tools([self.look])
        with pytest.raises(ConfigurationError, match="tool_choice='required': there is no tool"):
            await self.set_tools([], tool_choice="required")
        await self.set_tools([self.look, sing], tool_choice="auto")


async def test_recorded_speech_to_an_agent_that_changes_its_tools() -> None:
    async with serve(brain=Singing()) as server:
        agent = Rehearsing(server.url)
        verdict = await agent.run(WavSource(RECORDING, speed=None), listener())
    assert verdict.ok
    assert [each["name"] for each in agent.granted["tools"]] == ["sing"]
    assert agent.granted["tool_choice"] == {"type": "function", "name": "sing"}
    assert [event.name for event in agent.all(ToolFinished)] == ["sing"]
    assert [event.text for event in agent.all(AgentSpoke)] == ["la"]
    check_story(agent.seen)


class Opinionated(EmulatorSession):
    """A service that knows better how long a silence is, and what to be called by."""

    def poll(self, now: float) -> list[dict[str, Any]]:
        events = super().poll(now)
        for event in events:
            if event["type"] == "session.updated":
                event["session"]["turn_detection"] |= {"silence_duration_ms": 500, "create_response": None}
        return events


@pytest.mark.usefixtures("unhurried_hooks")
async def test_each_difference_is_one_event_and_one_line(caplog: pytest.LogCaptureFixture) -> None:
    detection = ServerVad(silence_duration_ms=200, create_response=False)
    async with serve(make_session=lambda model, query: Opinionated(model=model, query=query)) as server:
        agent = Recorder(server.url, config=SessionConfig(turn_detection=detection))
        with caplog.at_level(logging.WARNING, "voicelive_agent"):
            async with calling(agent):
                await agent.until(lambda: len(agent.all(SettingNotGranted)) == 2)
    assert agent.all(SettingNotGranted) == [
        SettingNotGranted("turn_detection.silence_duration_ms", 200, 500),
        SettingNotGranted("turn_detection.create_response", False, None),
    ]
    assert [record.getMessage() for record in caplog.records] == [
        "turn_detection.silence_duration_ms was asked for as 200 and granted as 500.",
        "turn_detection.create_response was asked for as False and granted as None.",
    ]


@pytest.mark.parametrize("fault", ["expired", "expired-bare"])
async def test_the_time_of_the_session_is_over(fault: str) -> None:
    async with serve(faults=fault) as server:
        agent = Recorder(server.url, greeting=LONG)
        with pytest.raises(SessionLostError, match="session_expired") as lost:
            await agent.run(Microphone(), listener())
    assert (lost.value.verdict.reason, lost.value.verdict.close_code) == (EndReason.EXPIRED, 1001)
    check_story(agent.seen)
