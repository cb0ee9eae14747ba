"""What ``say()`` returns."""

from __future__ import annotations

import asyncio

import pytest

from voicelive_agent import Speech
from voicelive_agent._outputs import SpeechStatus


async def test_it_begins_queued_and_shows_itself() -> None:
    speech = Speech("Good morning!")
    assert (speech.text, speech.status) == ("Good morning!", "queued")
    assert repr(speech) == "Speech('Good morning!', status='queued')"


@pytest.mark.parametrize("final", ["heard", "interrupted", "dropped"])
async def test_whoever_awaits_it_learns_how_it_went(final: SpeechStatus) -> None:
    speech = Speech("x")
    waiting = [asyncio.ensure_future(_await(speech)) for _ in range(2)]
    speech._move("speaking")
    await asyncio.sleep(0)
    assert speech.status == "speaking"
    assert not any(task.done() for task in waiting)
    speech._move(final)
    assert await asyncio.gather(*waiting) == [final, final]
    assert await speech == final  # again, at once


async def _await(speech: Speech) -> str:
    return await speech
