"""A recorded person calls by telephone, and is understood: real ears, a real voice, and G.711 in between."""

from __future__ import annotations

import asyncio
import wave
from pathlib import Path

import pytest

import voicelive_agent
from voicelive_agent import AgentSpoke, State, UserSpoke
from voicelive_agent._pcm import Resampler, pcm_to_ulaw, ulaw_to_pcm
from voicelive_agent.emulator import ScriptedBrain, serve
from voicelive_agent.emulator.speech import load_speech
from voicelive_agent.emulator.speech.normalise import normalise

from ..agent_driver import Recorder, check_story
from .desk import Desk
from .far_twilio import FarTwilio
from .servers import serve_aiohttp

pytestmark = [
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.e2e,
    pytest.mark.alone,
    pytest.mark.speech,
]

RECORDINGS = Path(voicelive_agent.__file__).parent / "cli" / "audio"
ANSWER = "Please go forward ten meters."


def on_the_telephone(path: Path) -> bytes:
    """What a telephone makes of a recording: mu-law at 8 kHz."""
    with wave.open(str(path)) as recording:
        resampler = Resampler(recording.getframerate(), 8_000)
        pcm = resampler.process(recording.readframes(recording.getnframes())) + resampler.finish()
    return pcm_to_ulaw(pcm)


@pytest.mark.parametrize(
    ("recording", "transcript"),
    [
        ("goforward.wav", "go forward ten meters"),
        (
            "librivox_0870.wav",
            "and mister john dashwood had then leisure to consider how much there might be prudently in his power "
            "to do for them",
        ),
    ],
)
async def test_a_recorded_person_is_understood_on_the_telephone(recording: str, transcript: str) -> None:
    ears, _, voice = load_speech()
    said = on_the_telephone(RECORDINGS / recording)
    async with serve(ears=ears, brain=ScriptedBrain([(".", ANSWER)]), voice=voice) as emulator:
        desk = Desk(lambda: Recorder(emulator.url))
        async with serve_aiohttp(desk.answer) as url:
            async with FarTwilio(f"{url}twilio") as phone, asyncio.timeout(60):
                await phone.say(said)
                agent = desk.calls["twilio"].agent
                await agent.until(lambda: agent.all(AgentSpoke) and agent.state is State.READY)
            await desk.ended("twilio")
    check_story(agent.seen)
    [words] = [event.text for event in agent.all(UserSpoke)]
    assert " ".join(normalise(words)) == " ".join(normalise(transcript))
    # And the person at the telephone understands the agent, with ears of the same kind.
    to_16k = Resampler(8_000, 16_000)
    heard = to_16k.process(ulaw_to_pcm(phone.line.played)) + to_16k.finish()
    answer = ears.transcribe(bytes(16_000) + heard + bytes(16_000)).text
    assert " ".join(normalise(answer)) == " ".join(normalise(ANSWER))
