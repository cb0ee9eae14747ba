"""A person's voice goes in, an answer in words comes out: real ears, brain and voice behind a real browser."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from voicelive_agent._pcm import Resampler
from voicelive_agent.emulator.protocols import Brain, Ears, Voice
from voicelive_agent.emulator.speech import load_speech
from voicelive_agent.emulator.speech.normalise import normalise
from voicelive_agent.events import Interrupted

from .chromium import chromium, recording, silence
from .site import site, until
from .visitor import IN_A_ROOM, Sound, visitor

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.alone, pytest.mark.speech]

PEOPLE = Path(__file__).parents[1] / "data" / "audio"
STORY = (
    "Once upon a time there was a library at the end of the street. It was open from nine to seventeen, and "
    "everybody who lived in the town went there to read. There were books about birds, and books about the sea, "
    "and some about places that nobody had ever seen. In the winter it was warm there, and in the summer it was "
    "cool, so that people came on every day of the year, the young ones and the old ones. One day a stranger came "
    "in and asked for a book."
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


async def test_the_spoken_words_arrive_and_the_answer_is_heard(
    tmp_path: Path, speech: tuple[Ears, Brain, Voice]
) -> None:
    ears, brain, voice = speech
    # The browser's own microphone. It begins when it is opened: who is late for it hears the next time.
    person = recording(tmp_path / "person.wav", (silence(4) + said("goforward") + silence(30)) * 3)
    async with (
        chromium(person) as browser,
        site(ears=ears, brain=brain, voice=voice) as here,
        visitor(browser, here.url) as anna,
    ):
        await anna.press_start()
        await anna.sees_state("listening", timeout_s=60)
        await anna.sees_state("speaking", timeout_s=20)
        await anna.sees_state("ready", timeout_s=20)
        user = " ".join(normalise(await anna.words("user").first.inner_text()))
        assert "go forward 10 meters" in user
        heard, shown = words(ears, await anna.hears()), await anna.words("agent").first.inner_text()
        assert "forward 10 meters" in heard
        assert heard == " ".join(normalise(shown))
        assert anna.complaints == []


async def test_talking_over_the_agent_silences_it_and_strikes_out_the_rest(
    browser: Browser, speech: tuple[Ears, Brain, Voice]
) -> None:
    ears, brain, voice = speech
    async with site(ears=ears, brain=brain, voice=voice, greetings=(STORY,)) as here:
        async with visitor(browser, here.url, before=IN_A_ROOM) as anna:
            await anna.press_start()
            await anna.sees_state("speaking")
            await anna.page.wait_for_timeout(2000)
            await anna.says(said("goforward"))
            await anna.sees_state("listening")
            struck = anna.page.locator("#transcript s")
            await struck.wait_for()
            await until(lambda: here.events(Interrupted))
            heard = words(ears, await anna.hears())
            assert "stranger" in await struck.inner_text()
            assert "once upon a time" in heard
            assert "stranger" not in heard
            event = here.events(Interrupted)[0]
            shown = await anna.words("agent").first.inner_text()
            assert "".join(shown.split()).startswith("".join(event.heard_text.split()))
            await anna.sees("#transcript .words.user", "", timeout_s=20)
            await anna.sees("#turns", " ms")
