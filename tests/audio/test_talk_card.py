"""``talk``, on the command line and in a program, with a microphone and a speaker: those of the virtual card."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import wave
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from voicelive_agent._pcm import Resampler
from voicelive_agent.emulator import serve

from ..agent_driver import eventually
from ..test_lifecycle import PROGRAMS, ended, line_with
from .pulse import Card
from .recording import Recording, Samples

pytestmark = [pytest.mark.audio, pytest.mark.linux]

ROOT = Path(__file__).parents[2]
HELLO = ROOT / "examples" / "hello.py"
PERSON = ROOT / "src" / "voicelive_agent" / "cli" / "audio" / "librivox_0880.wav"
COMMAND = ("-m", "voicelive_agent")
WITHOUT_SPEECH = (str(PROGRAMS / "without_speech.py"),)
"""The same command line, whose emulator hears "Hello." in everything."""


@asynccontextmanager
async def on(card: Card, *arguments: str | Path, **environ: str) -> AsyncIterator[Process]:
    """A program that uses this card."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *map(str, arguments), stdout=PIPE, stderr=PIPE, env=card.environ | environ
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def person() -> tuple[Samples, int]:
    with wave.open(str(PERSON)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2"), file.getframerate()


def answer_after(recording: Recording, at: float) -> Samples:
    """The sound that the speaker made after this time, as one piece."""
    samples = recording.samples[recording.sample_at(at) :]
    loud = np.flatnonzero(np.abs(samples.astype(int)) > 200)
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples[:0]


async def test_talk_hears_the_microphone_and_is_heard_from_the_speaker(card: Card) -> None:
    with card.record() as recorder:
        async with on(card, *WITHOUT_SPEECH, "talk", HELLO, "--emulator") as process:
            assert "Microphone: " in await line_with(process, "Microphone: ")
            await line_with(process, "Speaker: ")
            await line_with(process, "agent:   City library, good morning!")  # heard to its end
            card.say(*person())
            await line_with(process, "you: Hello.")  # the agent's own hook
            await line_with(process, "you:     Hello.")
            await line_with(process, "agent:   I heard: Hello.")
            assert "answered after" in await line_with(process, "turn:")
            process.send_signal(signal.SIGINT)
            code, out, errors = await ended(process)
        recorder.wait_for(0.1)
        recording = recorder.take()
    assert code == 130
    assert out.strip().endswith("Ended: stopped.")
    assert "Traceback" not in errors
    sounds = [end - begin for begin, end in recording.stretches(pause_s=0.3)]
    assert len(sounds) == 2
    greeting_s = 0.060 * len("City library, good morning!")  # a tone of 60 ms per character
    assert sounds[0] / recording.rate == pytest.approx(greeting_s, abs=0.2)


async def test_talk_in_a_program_until_ctrl_c(card: Card) -> None:
    async with serve() as server:
        with card.record() as recorder:
            async with on(card, HELLO, AZURE_VOICELIVE_ENDPOINT=server.url) as process:
                await eventually(lambda: recorder.recorded and recorder.take().stretches())
                await asyncio.sleep(0.5)  # of a greeting of 1.6 s
                process.send_signal(signal.SIGINT)
                code, _, errors = await ended(process)
            recorder.wait_for(0.3)
            recording = recorder.take()
    assert code == 0
    assert "Traceback" not in errors
    begin, end = recording.stretches()[0]
    assert 0.2 < (end - begin) / recording.rate < 1.5  # it fell silent
    assert not server.connections


async def test_the_devices_of_the_card(card: Card) -> None:
    async with on(card, *COMMAND, "devices", "--json") as process:
        out, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    found = {device["name"]: device for device in json.loads(out)}
    assert {"speaker", "mic"} <= found.keys()
    assert any(device["is_default_input"] for device in found.values())
    async with on(card, *COMMAND, "devices") as process:
        out, _ = await asyncio.wait_for(process.communicate(), 30)
    assert "Host API" in out.decode().splitlines()[0]


async def test_a_device_that_is_not_there_lists_what_there_is(card: Card) -> None:
    arguments = ("talk", HELLO, "--emulator", "--input", "Nowhere")
    async with on(card, *WITHOUT_SPEECH, *arguments) as process:
        _, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    (line,) = [line for line in errors.decode().splitlines() if line.startswith("voicelive-agent: ")]
    assert "Nowhere" in line
    assert "mic" in line


@pytest.mark.speech
@pytest.mark.e2e
async def test_a_person_is_understood_and_the_answer_is_words(card: Card) -> None:
    from voicelive_agent.emulator.speech.ears import WhisperEars

    with card.record() as recorder:
        async with on(card, *COMMAND, "talk", HELLO, "--emulator") as process:
            await line_with(process, "agent:   City library, good morning!")
            card.say(*person())
            assert "young man" in await line_with(process, "you:     ")
            asked_at = recorder.take().time_of(recorder.recorded)
            await line_with(process, "agent:   I heard: ")
            process.send_signal(signal.SIGINT)
            await ended(process)
        recorder.wait_for(0.1)
        recording = recorder.take()
    samples = answer_after(recording, asked_at)
    resampler = Resampler(recording.rate, 16_000)
    pcm = resampler.process(samples.astype("<i2").tobytes()) + resampler.finish()
    words = WhisperEars().transcribe(bytes(16_000) + pcm + bytes(16_000)).text.lower()
    assert "heard" in words
    assert "young man" in words
