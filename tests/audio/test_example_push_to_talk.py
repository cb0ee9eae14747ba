"""examples/push_to_talk.py on the virtual card: a person presses Enter, speaks into the microphone, lets go."""

from __future__ import annotations

import asyncio
import signal
import sys
import wave
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from voicelive_agent.emulator import EnergyEars, ScriptedBrain, ToneVoice

from ..agent_driver import eventually
from .pulse import Card
from .service import Heard, serving
from .test_example_microphone import LONG, environment, line

pytestmark = [pytest.mark.audio, pytest.mark.linux]

EXAMPLE = Path(__file__).parents[2] / "examples" / "push_to_talk.py"
PERSON = Path(__file__).parents[1] / "data" / "audio" / "cards_001.wav"
HEARING = 16_000
COMMIT = "input_audio_buffer.commit"


@asynccontextmanager
async def walkie(card: Card, endpoint: str) -> AsyncIterator[Process]:
    """The example, ready for the first press."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLE), stdin=PIPE, stdout=PIPE, stderr=STDOUT, env=environment(card, endpoint)
    )
    try:
        await line(process, "Press Enter")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def press(process: Process, times: int = 1) -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n" * times)


async def speak(card: Card) -> float:
    """A person says something into the microphone. How long it takes."""
    with wave.open(str(PERSON)) as recording:
        assert (recording.getframerate(), recording.getnchannels()) == (HEARING, 1)
        pcm: bytes = recording.readframes(recording.getnframes())
    voice = card.say(pcm, HEARING)
    assert await asyncio.to_thread(voice.wait) == 0
    return len(pcm) / 2 / HEARING


def sent(service: Heard, kind: str) -> int:
    return [message["type"] for message in service.sent].count(kind)


async def test_push_to_talk(card: Card) -> None:
    turns: list[float] = []

    def words(pcm: bytes) -> str:
        turns.append(len(pcm) / 2 / HEARING)
        return "ten of clubs"

    brain = ScriptedBrain([("clubs", LONG)])
    async with serving(ears=EnergyEars(words), brain=brain, voice=ToneVoice()) as service:
        with card.record() as recorder:
            async with walkie(card, service.url) as process:
                await speak(card)
                assert not service.audio, "the microphone is nobody's business"
                press(process)
                await line(process, "(listening)")
                seconds = await speak(card)
                press(process)
                assert await line(process, "you:") == "you:   ten of clubs"
                await line(process, "agent: One two three")
                heard = len(service.audio)
                await speak(card)  # over the agent, and without the button: nobody hears it
                assert (len(service.audio), len(turns)) == (heard, 1)
                press(process)  # over the agent, which falls silent
                await line(process, "(listening)")
                recorder.wait_for(1.5)
                press(process)
                await line(process, "you:")
                press(process, 2)  # a nervous finger over the next answer
                await line(process, "(that was only ")
                await eventually(lambda: sent(service, COMMIT) == 2)
                process.send_signal(signal.SIGINT)
                async with asyncio.timeout(20):
                    assert await process.wait() == 0
                assert process.stdout is not None
                assert await process.stdout.read() == b""
            recording = recorder.take()
    assert turns[0] >= seconds
    assert (sent(service, COMMIT), sent(service, "response.create"), len(turns)) == (2, 2, 2)
    answers = recording.stretches(pause_s=0.5)
    spoken_s = [(end - begin) / recording.rate for begin, end in answers]
    assert spoken_s
    assert max(spoken_s) < len(LONG) * 0.06 / 2, "the button cut it off"
    assert service.session["turn_detection"] is None
