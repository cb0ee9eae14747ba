"""An agent changes its session while it talks: what may change, what is refused where, and what follows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.agent_driver import LONG, Line, Recorder, calling, emulated, sink, source, tone, virtual

from voicelive_agent import EndReason, SessionConfig, State, UserSpoke, Verdict, WavSource, tool
from voicelive_agent._agent_session import changed_plan, session_changes
from voicelive_agent._combinations import Backend
from voicelive_agent._plan import Plan, ToolPolicy
from voicelive_agent._turn_detection import turn_policy
from voicelive_agent.audio import AudioFormat
from voicelive_agent.config import (
    AzureSemanticVad,
    AzureStandardVoice,
    DefaultTurnDetection,
    ServerVad,
    StaticInterimResponse,
)
from voicelive_agent.emulator import EmulatorSession, Options, serve
from voicelive_agent.errors import ConfigurationError, SessionLostError, SessionRefusedError
from voicelive_agent.events import SettingNotGranted, TurnEnded
from voicelive_agent.testing import MemorySink, MemorySource

RECORDING = Path(__file__).parent / "data" / "audio" / "cards_001.wav"
CASCADE = Backend("gpt-4.1", realtime=False, agent=False)
REALTIME = Backend("gpt-realtime", realtime=True, agent=False)
OWN = {"type": "function", "name": "own"}


def plan(**session: Any) -> Plan:
    full = SessionConfig(**session).to_session()
    return Plan(session=full, turns=turn_policy(full), tools={"own": ToolPolicy()})


def changed(old: Plan, backend: Backend = CASCADE, *, is_audible: bool = True, **changes: Any) -> Plan:
    asked = session_changes(changes)
    return changed_plan(old, changes=asked, backend=backend, is_audible=is_audible)


# --- what a change makes of the plan -----------------------------------------------------------------------


def test_only_what_is_named_changes() -> None:
    old = plan(instructions="Be brief.", temperature=0.7)
    new = changed(old, voice="en-GB-SoniaNeural", turn_detection=None)
    voice = {"type": "azure-standard", "name": "en-GB-SoniaNeural"}
    assert new.session == {**old.session, "voice": voice, "turn_detection": None}
    assert new.turns.kind == "manual"
    assert old.turns.kind == "server"


@pytest.mark.parametrize(
    "voice", [AzureStandardVoice(name="a", rate="1.2"), {"type": "azure-standard", "name": "a", "rate": "1.2"}]
)
def test_values_are_those_of_the_configuration(voice: Any) -> None:
    new = changed(plan(), voice=voice, turn_detection=AzureSemanticVad(interrupt_response=False))
    assert new.session["voice"] == {"type": "azure-standard", "name": "a", "rate": "1.2"}
    assert (new.turns.kind, new.turns.interrupts_response) == ("semantic", False)


def test_none_is_sent_as_null_where_something_was_sent_before() -> None:
    old = plan(input_audio_noise_reduction={"type": "near_field"})
    new = changed(old, input_audio_noise_reduction=None, temperature=None)
    assert new.session == {**old.session, "input_audio_noise_reduction": None}
    assert changed(new, input_audio_noise_reduction=None).session == new.session


def test_the_agents_own_tools_stay() -> None:
    other = {"type": "function", "name": "other"}
    old = plan(tools=[OWN])
    assert changed(old, tools=[other]).session["tools"] == [other, OWN]
    assert changed(changed(old, tools=[other]), tools=None).session["tools"] == [OWN]
    assert changed(old, temperature=0.7).session["tools"] == [OWN]


def test_who_speaks_decides_how_it_can_be_made_to_say_something() -> None:
    assert not changed(plan(), voice="alloy").pregenerated
    assert changed(plan(voice="alloy"), voice="en-US-AvaNeural").pregenerated
    assert not changed(plan(), REALTIME, temperature=1.0).pregenerated
    filled = StaticInterimResponse(texts=["One moment."], triggers=["tool"])
    assert changed(plan(), interim_response=filled).service_fills


def test_fields_this_version_does_not_know() -> None:
    assert changed(plan(), extra={"greeting": None, "handoff": {"a": 1}}).session["handoff"] == {"a": 1}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "There is nothing to change"),
        ({"model": "gpt-4o"}, "A session cannot change its model ('gpt-4o')"),
        ({"output_audio_format": "pcm16"}, "output_audio_format cannot change during a call: the agent's audio"),
        ({"input_audio_format": "g711_ulaw"}, "input_audio_format cannot change during a call"),
        ({"extra": {"input_audio_sampling_rate": 8_000}}, "input_audio_sampling_rate cannot change during a call"),
        ({"turn_detection": DefaultTurnDetection()}, "turn_detection cannot be left to the service"),
        ({"voise": "alloy"}, "Did you mean 'voice'?"),
        ({"temperature": 3}, "SessionConfig.temperature is 3"),
        ({"modalities": None}, "SessionConfig.modalities is None"),
    ],
)
def test_what_cannot_be_asked_for_at_all(changes: Mapping[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        session_changes(changes)
    assert said in str(caught.value)


def test_what_contradicts_the_rest_of_the_session() -> None:
    telephone = plan(output_audio_format="pcm16_16000hz")
    with pytest.raises(ConfigurationError, match="voice='openai': the voices of OpenAI speak"):
        changed(telephone, voice="alloy")
    hearing = plan(
        turn_detection=AzureSemanticVad(), voice="alloy", input_audio_transcription={"model": "azure-speech"}
    )
    with pytest.raises(ConfigurationError, match="azure_semantic_vad"):
        changed(hearing, REALTIME, turn_detection=ServerVad())
    with pytest.raises(ConfigurationError, match="the microphone's audio is under way with 1 channel"):
        changed(plan(), input_audio_echo_cancellation={"reference_source": "client", "channels": 2})
    with pytest.raises(ConfigurationError, match="Give the call a sink"):
        changed(plan(modalities=["text"]), is_audible=False, modalities=["text", "audio"])
    assert changed(plan(modalities=["text"]), is_audible=False, temperature=0.6).session["temperature"] == 0.6


PHONE, STUDIO = AudioFormat("g711_ulaw", 8_000), AudioFormat()


@pytest.mark.parametrize(
    ("asked", "listener", "said"),
    [
        (
            {"output_audio_format": "g711_ulaw"},
            STUDIO,
            "output_audio_format='g711_ulaw': with this call's sink it",
        ),
        ({"output_audio_format": "pcm16_8000hz"}, PHONE, "sink it is 'g711_ulaw'. Leave it out"),
        ({"input_audio_format": "g711_alaw"}, PHONE, "input_audio_format='g711_alaw': with this call's source"),
        (
            {"input_audio_sampling_rate": 16_000},
            STUDIO,
            "input_audio_sampling_rate=16000: with this call's source",
        ),
        ({"output_audio_format": "g711_ulaw", "input_audio_format": "g711_ulaw"}, PHONE, ""),
        ({"input_audio_sampling_rate": 24_000}, STUDIO, ""),
        ({}, PHONE, ""),
    ],
)
async def test_an_audio_format_that_the_call_does_not_have(
    asked: Mapping[str, Any], listener: AudioFormat, said: str
) -> None:
    line = Line(emulated)
    agent = Recorder(line, config=SessionConfig(**asked))
    if not said:
        await agent.run(MemorySource(b"", format=listener), MemorySink(listener))
        session = line.sent("session.update")[0]["session"]
        assert {**session, **asked} == session
        return
    with pytest.raises(ConfigurationError) as caught:
        await agent.run(MemorySource(b"", format=listener), MemorySink(listener))
    assert said in str(caught.value)
    assert not line.connections
    async with calling(agent):  # a call without audio has none of it
        assert line.sent("session.update")[0]["session"]["output_audio_format"] == "pcm16"


# --- in a call ---------------------------------------------------------------------------------------------


class Librarian(Recorder):
    instructions = "Be brief."

    @tool
    def look(self) -> str:
        """Looks."""
        return "found"


@virtual
async def test_several_at_once_while_the_agent_speaks() -> None:
    line = Line(lambda: emulated(("hi", LONG), says=["hi"]))
    agent = Librarian(line)
    async with calling(agent, source(tone(400), bytes(400_000)), sink()):
        await agent.reach(State.SPEAKING)
        first, second = await asyncio.gather(
            agent.update_session(instructions="Be long."), agent.update_session(turn_detection=None)
        )
        assert (first["instructions"], second["instructions"]) == ("Be long.", "Be long.")
        assert (first["turn_detection"]["type"], second["turn_detection"]) == ("server_vad", None)
        assert agent.state is State.SPEAKING
    whole, *changes = [message["session"] for message in line.sent("session.update")]
    assert changes[0] == {**whole, "instructions": "Be long."}
    assert changes[1] == {**whole, "instructions": "Be long.", "turn_detection": None}
    assert [each["name"] for each in changes[1]["tools"]] == ["look"]
    assert not agent.all(SettingNotGranted)


@virtual
async def test_what_the_service_refuses_leaves_the_old_session_in_force() -> None:
    options = Options(fixed_turn_detection=True, error_event_ids=False)
    line = Line(lambda: emulated(options=options))
    agent = Librarian(line)
    async with calling(agent):
        with pytest.raises(SessionRefusedError) as refused:
            await agent.update_session(turn_detection=AzureSemanticVad(), temperature=0.6)
        assert refused.value.param == "session.turn_detection.type"
        assert "cannot change during a session" in refused.value.reason
        granted = await agent.update_session(temperature=0.7)
        assert (granted["turn_detection"]["type"], granted["temperature"]) == ("server_vad", 0.7)


@virtual
async def test_a_voice_that_is_heard_cannot_change() -> None:
    line, config = Line(lambda: emulated(model="gpt-realtime")), SessionConfig(voice="alloy")
    agent = Recorder(line, config=config, target="gpt-realtime", greeting="Good morning!")
    async with calling(agent, None, sink()):
        await agent.until(lambda: agent.all(TurnEnded))
        with pytest.raises(SessionRefusedError) as refused:
            await agent.update_session(voice="ash")
        assert refused.value.code == "cannot_update_voice"


@virtual
async def test_hanging_up_is_an_answer() -> None:
    line = Line(lambda: emulated(options=Options(latency="service")))
    agent = Librarian(line)
    with pytest.raises(RuntimeError, match="No call is running"):
        await agent.update_session(temperature=0.7)
    call = asyncio.ensure_future(agent.run())
    await agent.reach(State.READY)
    waiting = asyncio.ensure_future(agent.update_session(temperature=0.7))
    given_up = asyncio.ensure_future(agent.update_session(temperature=0.8))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.sleep(0)
    agent.stop()
    with pytest.raises(SessionLostError) as lost:
        await waiting
    assert lost.value.verdict == Verdict(EndReason.STOPPED)
    with pytest.raises(SessionLostError):
        await agent.update_session(temperature=0.7)
    assert given_up.cancelled()
    assert (await call).ok


async def test_it_is_awaited_in_the_loop_of_the_call() -> None:
    agent = Librarian(Line(emulated))
    async with calling(agent):
        shell = agent._current()
        with pytest.raises(RuntimeError, match="in the event loop of the call"):
            await asyncio.to_thread(asyncio.run, shell.update(lambda old: old))


class Deaf(EmulatorSession):
    """A service that turns the temperature to what it likes."""

    def poll(self, now: float) -> list[dict[str, Any]]:
        events = super().poll(now)
        for event in events:
            if event["type"] == "session.updated":
                event["session"]["temperature"] = 1.0
        return events


@pytest.mark.usefixtures("unhurried_hooks")
@virtual
async def test_each_difference_is_an_event_and_one_line_in_the_log() -> None:
    lines: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("voicelive_agent")
    logger.addHandler(handler)
    try:
        agent = Librarian(Line(Deaf), config=SessionConfig(temperature=0.8))
        async with calling(agent):
            await agent.until(lambda: agent.all(SettingNotGranted))
            assert agent.all(SettingNotGranted) == [SettingNotGranted("temperature", 0.8, 1.0)]
            await agent.update_session(temperature=0.5, instructions="x" * 1_000)
    finally:
        logger.removeHandler(handler)
    assert lines == [
        "temperature was asked for as 0.8 and granted as 1.0.",
        "temperature was asked for as 0.5 and granted as 1.0.",
    ]


# --- over a socket -----------------------------------------------------------------------------------------


class Careful(Recorder):
    """Changes its session as soon as it has heard somebody."""

    async def on_user_spoke(self, event: UserSpoke) -> None:
        self.granted = await self.update_session(voice="en-US-AndrewNeural", temperature=0.6)
        with pytest.raises(SessionRefusedError):
            await self.update_session(voice={"type": "openai", "name": "nobody"})


async def test_recorded_speech_over_a_socket() -> None:
    async with serve() as server:
        agent = Careful(server.url)
        verdict = await agent.run(WavSource(RECORDING, speed=None), sink())
    assert verdict.ok
    assert agent.granted["voice"]["name"] == "en-US-AndrewNeural"
    assert agent.granted["temperature"] == 0.6
    assert not agent.all(SettingNotGranted)
