"""A person's voice goes in, an answer in words comes out: real ears, brain and voice behind a real browser."""

from __future__ import annotations

import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from voicelive_agent._pcm import Resampler
from voicelive_agent.emulator.protocols import Brain, Ears, Voice
from voicelive_agent.emulator.speech import load_speech
from voicelive_agent.emulator.speech.normalise import normalise
from voicelive_agent.events import Interrupted

from .chromium import chromium, recording, silence
from .site import site
from .visitor import Sound, visitor

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.alone, pytest.mark.speech, pytest.mark.timeout(120)]

PEOPLE = Path(__file__).parents[1] / "data" / "audio"
STORY = (
    "Once upon a time there was a library at the end of the street. It was open from nine to seventeen, and "
    "everybody who lived in the town went there to read. One day a stranger came in and asked for a book."
)


def said(name: str) -> bytes:
    """A recorded person, 16 kHz."""
    with wave.open(str(PEOPLE / f"{name}.wav")) as file:
        pcm: bytes = file.readframes(file.getnframes())
    return pcm


def words(ears: Ears, sound: Sound) -> str:
    """What is said in it, normalised."""
    resampler = Resampler(sound.rate, 16_000)
    pcm = resampler.process(sound.samples.astype("<i2").tobytes()) + resampler.finish()
    return " ".join(normalise(ears.transcribe(pcm).text))


@pytest.fixture(scope="module")
def speech() -> tuple[Ears, Brain, Voice]:
    return load_speech()


@pytest.fixture
async def person(tmp_path: Path) -> AsyncIterator[Browser]:
    """A browser with somebody who says "go forward ten meters" after two seconds."""
    spoken = recording(tmp_path / "person.wav", silence(2) + said("goforward") + silence(60))
    async with chromium(spoken) as opened:
        yield opened


async def test_the_spoken_words_arrive_and_the_answer_is_heard(
    person: Browser, speech: tuple[Ears, Brain, Voice]
) -> None:
    ears, brain, voice = speech
    async with site(ears=ears, brain=brain, voice=voice) as here, visitor(person, here.url) as anna:
        await anna.press_start()
        await anna.sees_state("ready")
        await anna.sees_state("listening")
        await anna.sees_state("speaking", timeout_s=20)
        await anna.sees_state("ready", timeout_s=20)
        user = " ".join(normalise(await anna.words("user").first.inner_text()))
        assert "go forward 10 meters" in user
        heard, shown = words(ears, await anna.hears()), await anna.words("agent").first.inner_text()
        assert "forward 10 meters" in heard
        assert heard == " ".join(normalise(shown))
        assert anna.complaints == []


async def test_talking_over_the_agent_silences_it_and_strikes_out_the_rest(
    person: Browser, speech: tuple[Ears, Brain, Voice]
) -> None:
    ears, brain, voice = speech
    async with site(ears=ears, brain=brain, voice=voice, greetings=(STORY,)) as here:
        async with visitor(person, here.url) as anna:
            await anna.press_start()
            await anna.sees_state("speaking")
            await anna.sees_state("listening", timeout_s=15)
            struck = anna.page.locator("#transcript s")
            await struck.wait_for()
            heard = words(ears, await anna.hears())
            assert "stranger" in await struck.inner_text()
            assert "once upon a time" in heard
            assert "stranger" not in heard
            event = here.events(Interrupted)[0]
            shown = await anna.words("agent").first.inner_text()
            assert "".join(shown.split()).startswith("".join(event.heard_text.split()))
            await anna.sees("#transcript .words.user", "", timeout_s=20)
            await anna.sees("#turns", " ms")
