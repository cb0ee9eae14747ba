"""Which function was meant."""

from __future__ import annotations

from typing import Any

import pytest

from voicelive_agent.emulator.speech.matching import is_meant, match
from voicelive_agent.emulator.speech.words import words_of


def function(name: str, description: str = "", **properties: Any) -> dict[str, Any]:
    return {"name": name, "description": description, "parameters": {"properties": properties}}


MOVE = function("move", direction={"enum": ["forward", "back left", "stop"]}, meters={"type": "number"})
LIGHT_ON = function("turn_on_light", room={"enum": ["kitchen", "living room"]})
HOURS = function("opening_hours", "When the library can be visited on a day of the week.", day={"type": "string"})


@pytest.mark.parametrize(
    ("tool", "text", "why"),
    [
        (MOVE, "Move!", {"mov": 2}),
        (MOVE, "forward", {"forward": 2}),
        (MOVE, "left", {}),
        (MOVE, "Go back left.", {"back": 2}),
        (MOVE, "Go forward ten meters.", {"forward": 2, "meter": 1, "a number": 1}),
        (MOVE, "ten of clubs", {"a number": 1}),
        (LIGHT_ON, "turn on the light in the living room", {"turn": 2, "light": 2, "liv": 2, "on": 1, "room": 1}),
        (LIGHT_ON, "on Sunday", {"on": 1}),
        (HOURS, "Can I visit the library this week?", {"library": 1, "visit": 1}),
        (HOURS, "when do you open", {"open": 2}),
        (HOURS, "how are you", {}),
        (function("get"), "get it", {"get": 2}),
        (function("pick", size={"enum": [1, 20]}), "twenty of them", {"twenty": 2}),
        ({}, "anything", {}),
    ],
)
def test_points(tool: dict[str, Any], text: str, why: dict[str, int]) -> None:
    found = match(tool, words_of(text))
    assert set(found.why) == set(why)
    assert found.points == sum(why.values())


def test_a_long_sentence_needs_more() -> None:
    short = words_of("the forward part")
    long = words_of("the forward part of a very long sentence in which nobody wants to go anywhere at all")
    assert is_meant(match(MOVE, short), short)
    assert not is_meant(match(MOVE, long), long)
    long_order = words_of(
        "would you be so kind and let the little robot over there go forward by ten meters please"
    )
    assert is_meant(match(MOVE, long_order), long_order)
