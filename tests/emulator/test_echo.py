"""The echo."""

from __future__ import annotations

from voicelive_agent.emulator import EnergyEars, Say, Turn
from voicelive_agent.emulator.echo import EchoBrain

from .driver import Driver, only


def test_it_says_back_what_was_spoken_and_what_was_typed() -> None:
    driver = Driver(brain=EchoBrain(), ears=EnergyEars(["Good morning."]))
    assert only(driver.speak(), "response.audio_transcript.done")["transcript"] == "Good morning."
    assert only(driver.say("And you?"), "response.audio_transcript.done")["transcript"] == "And you?"


def test_it_says_so_where_there_is_nothing_to_say_back() -> None:
    heard = {"type": "message", "role": "user", "content": [{"type": "input_audio", "transcript": ""}]}
    assert list(EchoBrain().answer(Turn([]))) == [Say("Say something, and I will say it back.")]
    assert list(EchoBrain().answer(Turn([heard]))) == [Say("I did not hear any words.")]
