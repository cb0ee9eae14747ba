"""Arguments from words, by the schema alone."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelive_agent.emulator.speech.arguments import fill, missing
from voicelive_agent.emulator.speech.numbers import number_words

FRIDAY = date(2026, 3, 6)
TEXT, NUMBER, INTEGER, BOOLEAN = ({"type": kind} for kind in ("string", "number", "integer", "boolean"))
DATE = {"type": "string", "format": "date"}
ROOMS = {"type": "string", "enum": ["kitchen", "bed_room", "living room"]}


def function(name: str, required: list[str] | None = None, /, **properties: Any) -> dict[str, Any]:
    needed = list(properties) if required is None else required
    return {"name": name, "parameters": {"type": "object", "properties": properties, "required": needed}}


@pytest.mark.parametrize(
    ("tool", "text", "arguments"),
    [
        (function("light", room=ROOMS), "the kitchen light", {"room": "kitchen"}),
        (function("light", room=ROOMS), "the living-room light", {"room": "living room"}),
        (function("light", room=ROOMS), "the bedroom light", {"room": "bed_room"}),
        (function("light", room=ROOMS), "the light", {}),
        (function("pick", size={"enum": [1, 20]}), "pick twenty", {"size": 20}),
        (function("go", meters=NUMBER), "go ten meters", {"meters": 10}),
        (function("go", meters=NUMBER), "go 2.5 meters", {"meters": 2.5}),
        (function("go", meters=NUMBER), "go a meter", {"meters": 1}),
        (function("go", meters=NUMBER), "go back", {}),
        (function("wait", hours=INTEGER, minutes=INTEGER), "5 minutes and 2 hours", {"hours": 2, "minutes": 5}),
        (function("wait", minutes=INTEGER), "two and a half", {"minutes": 2}),
        (function("wait", minutes=INTEGER), "2.5", {}),
        (function("volume", level={"type": "integer", "maximum": 10}), "volume eleven", {}),
        (function("volume", level={"type": "integer", "maximum": 10}), "eleven, no, seven", {"level": 7}),
        (function("track", order_number=TEXT), "order number four two seven one", {"order_number": "4271"}),
        (function("call", phone=TEXT), "call zero four two one five", {"phone": "04215"}),
        (function("call", phone=TEXT), "call 0421", {"phone": "0421"}),
        (function("call", phone=TEXT), "call Ada", {"phone": "Ada"}),
        (function("book", [], outside=BOOLEAN), "a table outside", {"outside": True}),
        (function("book", [], outside=BOOLEAN), "a table, not outside", {"outside": False}),
        (function("book", [], outside=BOOLEAN), "a table", {}),
        (function("switch", state=BOOLEAN), "switch it off", {"state": False}),
        (function("switch", state=BOOLEAN), "yes", {"state": True}),
        (function("hours", day=TEXT), "are you open on sunday", {"day": "Sunday"}),
        (function("book", date=DATE), "next Friday", {"date": "2026-03-13"}),
        (function("book", date=DATE), "soon", {}),
        (function("book", date=DATE), "at noon", {}),
        (function("note", text=TEXT), "please note", {}),
        (
            function("book", people=INTEGER, time=TEXT),
            "for four at seven thirty",
            {"people": 4, "time": "seven thirty"},
        ),
        (function("weather", city=TEXT), "the weather in New York, please", {"city": "New York"}),
        (function("weather", city=TEXT), "what's the weather", {}),
        (function("weather", city=TEXT), "Paris", {"city": "Paris"}),
        (function("weather", ["city"], city=TEXT, unit=TEXT), "in Rome", {"city": "Rome"}),
        (
            function("fly", origin=TEXT, destination=TEXT),
            "fly to Rome from London",
            {"origin": "London", "destination": "Rome"},
        ),
        (function("greet", name=TEXT), "greet the guest named Ada Lovelace", {"name": "Ada Lovelace"}),
        (function("greet", name=TEXT), "my name is Ada", {"name": "Ada"}),
        (function("search", query=TEXT), "search for ships in the fog", {"query": "ships in the fog"}),
        (function("search", query=TEXT), "search whales", {"query": "whales"}),
        (function("search", query=TEXT), "search", {}),
        (function("note", [], text=TEXT), "make a note", {}),
        (
            function("pizza", toppings={"type": "array", "items": {"enum": ["ham", "cheese", "corn"]}}),
            "cheese and ham",
            {"toppings": ["cheese", "ham"]},
        ),
        (function("add", numbers={"type": "array", "items": NUMBER}), "add ten and 2.5", {"numbers": [10, 2.5]}),
        (function("add", numbers={"type": "array", "items": INTEGER}), "add 2 and 2.5 and 3", {"numbers": [2, 3]}),
        (function("pizza", toppings={"type": "array", "items": {"enum": ["ham"]}}), "plain", {}),
        (function("pizza", toppings={"type": "array", "items": TEXT}), "with ham", {}),
        (function("pizza", toppings={"type": "array"}), "with ham", {}),
        (
            function("paint", a={"enum": ["red"]}, b={"enum": ["red", "blue"]}),
            "red and blue",
            {"a": "red", "b": "blue"},
        ),
        (function("paint", a={"enum": ["red"]}, b={"enum": ["red"]}), "red", {"a": "red"}),
        (function("meet", day=TEXT, until=TEXT), "on Monday", {"day": "Monday"}),
        (function("meet", [], place=TEXT, floor={"enum": ["two"]}), "on floor two", {"floor": "two"}),
        (function("go", [], meters=NUMBER), "a meter", {"meters": 1}),
        (function("go", [], meters={"type": "number", "minimum": 2}), "a meter", {}),
        (function("ride", vehicle=TEXT), "ride by bus with Ada", {"vehicle": "bus"}),
        (function("put", what={"type": "object"}), "put it there", {}),
        (
            function("weather", city=TEXT, unit={"type": ["string", "null"], "enum": ["celsius", None]}),
            "weather in Oslo",
            {"city": "Oslo", "unit": None},
        ),
        (function("hang_up"), "hang up", {}),
    ],
)
def test_filling(tool: dict[str, Any], text: str, arguments: dict[str, Any]) -> None:
    assert fill(tool, text, FRIDAY) == arguments


def test_missing_are_the_required_ones_in_order() -> None:
    tool = function("book", ["people", "time"], people=INTEGER, time=TEXT, name=TEXT)
    assert missing(tool, {"people": 2}) == ["time"]
    assert missing(tool, {}) == ["people", "time"]
    assert missing(tool, {"people": 2, "time": "noon"}) == []


@given(st.integers(0, 999_999), st.booleans())
def test_any_number_in_words_or_digits(value: int, in_words: bool) -> None:
    said = number_words(value) if in_words else f"{value:,}"
    tool = function("move", direction={"enum": ["forward", "backward"]}, meters=NUMBER)
    assert fill(tool, f"Go backward {said} meters.", FRIDAY) == {"direction": "backward", "meters": value}


@given(st.lists(st.sampled_from(["red", "green", "dark blue", "blue"]), min_size=1, unique=True), st.data())
def test_any_enum_value(values: list[str], data: st.DataObject) -> None:
    value = data.draw(st.sampled_from(values))
    assert fill(function("paint", colour={"enum": values}), f"paint it {value}", FRIDAY) == {"colour": value}


_SCHEMAS = st.sampled_from(
    [TEXT, NUMBER, INTEGER, BOOLEAN, DATE, ROOMS, {"type": "array", "items": NUMBER}, {"type": "object"}, {}, True]
)
_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "array": list,
}


@given(st.dictionaries(st.sampled_from(["city", "day", "text", "meters", "name", "x"]), _SCHEMAS), st.text())
def test_whatever_is_said_arguments_have_the_types_of_the_schema(properties: dict[str, Any], text: str) -> None:
    for name, value in fill(function("do_it", **properties), text, FRIDAY).items():
        schema = properties[name]
        kind = schema.get("type", "string") if isinstance(schema, dict) else "string"
        assert isinstance(value, _TYPES[kind])
        assert value in ROOMS["enum"] if schema == ROOMS else True
