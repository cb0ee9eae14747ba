"""A person talks to an agent over a sound card, and what comes out of the speaker is what the agent said."""

from __future__ import annotations

import difflib
import wave
from importlib.resources import files

import numpy as np
import pytest

from voicelive_agent._pcm import Resampler
from voicelive_agent.emulator.protocols import Ears
from voicelive_agent.emulator.speech import load_speech
from voicelive_agent.emulator.speech.normalise import normalise

from .program import running
from .pulse import Card
from .recording import QUIET, Samples
from .service import serving

pytestmark = [pytest.mark.audio, pytest.mark.linux, pytest.mark.speech]

CLIPS = files("voicelive_agent.cli") / "audio"
HEARING = 16_000


def clip(name: str) -> bytes:
    """A recorded person, 16 kHz."""
    with (CLIPS / name).open("rb") as file, wave.open(file) as recording:
        assert recording.getframerate() == HEARING
        pcm: bytes = recording.readframes(recording.getnframes())
        return pcm


def words(ears: Ears, samples: Samples, rate: int) -> list[str]:
    """What is said in these samples."""
    resampler = Resampler(rate, HEARING)
    pcm = resampler.process(samples.astype("<i2").tobytes()) + resampler.finish()
    padding = bytes(HEARING // 2 * 2)
    return normalise(ears.transcribe(padding + pcm + padding).text)


async def test_a_person_is_heard_and_answered(card: Card) -> None:
    ears, brain, voice = load_speech()
    async with serving(ears=ears, brain=brain, voice=voice) as service:
        with card.record() as recorder:
            async with running(card, "talk.py", url=service.url) as agent:
                await agent.until("StateChanged", new="State.READY")
                card.say(clip("librivox_0880.wav"), HEARING)
                heard = await agent.until("UserSpoke")
                turn = await agent.until("TurnEnded")
                ended = await agent.until("StateChanged", new="State.READY")
                recorder.wait_for(0.5)
                await agent.tell(stop=True)
                await agent.finish()
            recording = recorder.take()
    (spoke,) = agent.all("AgentSpoke")
    assert "young man" in heard["text"].lower()
    assert turn["status"] == "completed"
    assert turn["heard_ms"] > 2_000
    told, said = normalise(spoke["text"]), words(ears, recording.samples, recording.rate)
    likeness = difflib.SequenceMatcher(a=told, b=said, autojunk=False).ratio()
    assert likeness > 0.8, f"{' '.join(told)!r} was heard as {' '.join(said)!r}"
    # When the agent says that it is done, nothing more is heard.
    after = recording.samples[recording.sample_at(ended["at"] + 0.02) :]
    assert len(after) > recording.rate // 3
    assert np.abs(after.astype(int)).max() <= QUIET
