"""Devices by their names, as PortAudio has them, and what is said where there is no such thing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .program import running
from .pulse import Card

pytestmark = [pytest.mark.audio, pytest.mark.linux]


@pytest.fixture
def furnished(card: Card) -> Iterator[Card]:
    card.add_speaker("kitchen_speaker")
    card.add_speaker("kitchen_radio")
    yield card
    card.remove("kitchen_speaker")
    card.remove("kitchen_radio")


async def test_devices_by_name(furnished: Card) -> None:
    microphones = [{"device": "mic"}, {"device": "kitchen"}, {"device": 99}, {"rate": 500_000}]
    speakers = [{"device": "Radio"}, {"device": "kitchen"}, {"device": "mic"}]
    async with running(furnished, "names.py", microphones=microphones, speakers=speakers) as program:
        devices, heard, played = (line for line in await program.finish())
    found = {device["name"]: device for device in devices["found"]}
    assert (found["mic"]["inputs"] > 0, found["mic"]["outputs"]) == (True, 0)
    assert (found["kitchen_radio"]["inputs"], found["kitchen_radio"]["outputs"] > 0) == (0, True)
    assert found["default"]["is_default_input"]
    assert found["default"]["is_default_output"]

    by_name, no_microphone, no_index, no_rate = heard["said"]
    assert by_name == "open: mic"
    assert "no input device 'kitchen'" in no_microphone
    assert "] mic (ALSA)" in no_microphone, "it lists what there is"
    assert "] kitchen_radio" not in no_microphone, "and nothing else"
    assert "no input device 99" in no_index
    assert "500000 Hz" in no_rate
    assert "48000" in no_rate, "it names the rates that there are"

    by_part, ambiguous, no_speaker = played["said"]
    assert by_part == "open: kitchen_radio"
    assert "several output devices 'kitchen'" in ambiguous
    assert "] kitchen_radio" in ambiguous
    assert "] kitchen_speaker" in ambiguous
    assert "no output device 'mic'" in no_speaker
