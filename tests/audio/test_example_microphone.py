"""examples/microphone.py on the virtual card: a greeting, a question, an answer, an interruption, Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from pathlib import Path

import pytest

from voicelive_agent.emulator import ScriptedBrain, ToneVoice

from .pulse import Card
from .recording import tone_of
from .service import serving
from .signals import coded

pytestmark = [pytest.mark.audio, pytest.mark.linux]

EXAMPLE = Path(__file__).parents[2] / "examples" / "microphone.py"
LONG = "One two three four five six seven eight nine ten. " * 4


async def line(process: Process, beginning: str) -> str:
    """The next line that begins so."""
    assert process.stdout is not None
    async with asyncio.timeout(20):
        async for text in process.stdout:
            if text.startswith(beginning.encode()):
                return text.decode().strip()
    raise AssertionError(f"it ended without {beginning!r}")


def environment(card: Card, endpoint: str) -> dict[str, str]:
    ours = {name: value for name, value in card.environ.items() if "VOICELIVE" not in name}
    return ours | {"AZURE_VOICELIVE_ENDPOINT": endpoint, "PYTHONUNBUFFERED": "1"}


async def test_microphone(card: Card) -> None:
    async with serving(brain=ScriptedBrain([(".", LONG)]), voice=ToneVoice()) as service:
        with card.record() as recorder:
            process = await asyncio.create_subprocess_exec(
                sys.executable, str(EXAMPLE), stdout=PIPE, stderr=STDOUT, env=environment(card, service.url)
            )
            try:
                assert await line(process, "agent:") == "agent: City library, good morning!"
                await asyncio.sleep(2.0)
                card.say(coded(0.6, 16_000, seed=5), 16_000)
                assert await line(process, "you:") == "you:   Hello."
                assert (await line(process, "agent:")).startswith("agent: One two three")
                await asyncio.sleep(0.5)
                card.say(coded(0.6, 16_000, seed=5), 16_000)
                assert (await line(process, "(cut off")).startswith("(cut off after 'One")
                process.send_signal(signal.SIGINT)
                assert await line(process, "(hung up)") == "(hung up)"
                async with asyncio.timeout(20):
                    assert await process.wait() == 0
            finally:
                if process.returncode is None:
                    process.kill()
                await process.communicate()
            recording = recorder.take()
    begin, end = recording.stretches(pause_s=0.5)[0]
    assert end - begin > recording.rate
    assert tone_of(recording.samples[begin + 2_000 : end - 2_000], recording.rate)[0] == pytest.approx(240, abs=2)


async def test_without_a_service_it_says_what_to_do(card: Card) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLE), stdout=PIPE, stderr=PIPE, env=environment(card, "emulator:9")
    )
    _, complaint = await process.communicate()
    assert process.returncode == 1
    sentence = complaint.decode().splitlines()[-1]  # ALSA may have complained before of a busy machine
    assert sentence.startswith("microphone.py: ")
    assert "voicelive-agent emulator" in sentence
