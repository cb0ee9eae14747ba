"""What the model wrote, as arguments: converted where it is clear, and else sent back with what to mend."""

from __future__ import annotations

import datetime as dt
import enum
import json
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TypedDict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelive_agent._tool import collect_tools
from voicelive_agent.errors import ToolError
from voicelive_agent.tools import tool

from .tool_driver import Picky, made


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Address(TypedDict):
    street: str
    number: int


@dataclass
class Guest:
    name: str
    born: dt.date | None = None


class Menu(msgspec.Struct):
    dishes: dict[str, float] = msgspec.field(default_factory=dict)


@tool
def everything(
    text: str,
    count: int = 1,
    share: float = 0.5,
    sure: bool = False,
    size: Size = Size.SMALL,
    way: Literal["in", "out"] | None = None,
    day: dt.date | None = None,
    at: dt.datetime | None = None,
    hour: dt.time | None = None,
    long: dt.timedelta | None = None,
    key: uuid.UUID | None = None,
    words: list[str] | None = None,
    odds: dict[str, float] | None = None,
    guest: Guest | None = None,
    guests: tuple[Guest, ...] = (),
    address: Address | None = None,
    menu: Menu | None = None,
    either: int | str | None = None,
) -> dict[str, object]:
    return locals()


EVERYTHING = made(everything)


def test_arguments_are_converted() -> None:
    text = """{"text": "a", "size": "large", "way": "out", "day": "2030-12-31", "hour": "14:30:00", "share": 1,
               "guest": {"name": "Ann", "born": null}, "address": {"street": "x", "number": 2}, "long": "PT90S",
               "menu": {"dishes": {"soup": 3}}, "guests": [{"name": "Bob"}], "either": "07"}"""
    assert EVERYTHING.arguments(text) == {
        "text": "a",
        "size": Size.LARGE,
        "way": "out",
        "day": dt.date(2030, 12, 31),
        "hour": dt.time(14, 30),
        "share": 1.0,
        "guest": Guest("Ann"),
        "address": {"street": "x", "number": 2},
        "long": dt.timedelta(seconds=90),
        "menu": Menu({"soup": 3.0}),
        "guests": (Guest("Bob"),),
        "either": "07",
    }


def test_what_is_left_out_is_left_to_the_function() -> None:
    def sloppy(a: int = None, b: list[int] = []) -> object:  # type: ignore[assignment] # noqa: RUF013, B006
        return a, b

    one = made(sloppy)
    assert one.arguments("{}") == {}
    assert one(**one.arguments("{}")) == (None, [])


@pytest.mark.parametrize("text", ["", "  \n", "{}", " { } "])
def test_no_text_is_no_arguments(text: str) -> None:
    assert made(lambda_like).arguments(text) == {}


def lambda_like(x: int = 1) -> int:
    return x


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"text": "a", "count": "5"}', 5),
        ('{"text": "a", "count": 5.0}', 5),
        ('{"text": "a", "share": "0.25"}', 0.25),
        ('{"text": "a", "sure": "true"}', True),
        ('{"text": "a", "sure": 0}', False),
        ('{"text": "a", "way": null}', None),
    ],
)
def test_sloppy_models_are_understood(text: str, expected: object) -> None:
    (_, value) = EVERYTHING.arguments(text).values()
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "missing required field `text`"),
        ('{"text": 5}', "Expected `str`, got `int` - at `$.text`"),
        ('{"text": "a", "size": "huge"}', "Invalid enum value 'huge' - at `$.size`"),
        ('{"text": "a", "guest": {}}', "missing required field `name` - at `$.guest`"),
        ('{"text": "a", "hour": "14:30"}', "Invalid RFC3339 encoded time - at `$.hour`"),
        ('{"text": "a", "colour": 1}', "unknown field `colour`"),
        ('{"text": "a", "address": {"street": "x", "number": 2, "typo": 1}}', "`typo` - at `$.address`"),
        ('{"text": "a", "menu": {"dish": {}}}', "Object contains unknown field `dish` - at `$.menu`"),
        ('{"text": "a", "guests": [{"name": "b"}, {"name": "c", "age": 9}]}', "`age` - at `$.guests[1]`"),
        ('{"text": "a"', "truncated"),
        ('{"text": "a"} and more', "malformed"),
        ("book it, please", "malformed"),
        ("[]", "Expected `object`, got `array`"),
        ('"{}"', "Expected `object`, got `str`"),
        ('{"text": "\ud800"}', "surrogates"),
    ],
)
def test_wrong_arguments_say_what_to_mend(text: str, said: str) -> None:
    with pytest.raises(ToolError) as caught:
        EVERYTHING.arguments(text)
    words = str(caught.value)
    assert words.startswith("The arguments of everything are wrong: ")
    assert said in words
    assert "text (string), count (integer, optional), share (number, optional)" in words
    assert 'size (one of "small" "large", optional)' in words
    assert words.endswith("Call it again.")


def test_a_number_of_any_length_is_no_matter_for_the_names() -> None:
    def weigh(of: Guest, exactly: Decimal) -> None: ...

    digits = "9" * 5_000
    values = made(weigh).arguments(f'{{"of": {{"name": "a"}}, "exactly": "{digits}"}}')
    assert values == {"of": Guest("a"), "exactly": Decimal(digits)}
    with pytest.raises(ToolError, match="`of` - at"):
        made(weigh).arguments(f'{{"of": {{"name": "a", "of": {digits}}}, "exactly": 1e999}}')


def test_wrong_arguments_of_a_tool_that_takes_none() -> None:
    def ping() -> None: ...

    with pytest.raises(ToolError, match=r"It takes no arguments. Call it with \{\}\.$"):
        made(ping).arguments('{"x": 1}')


def test_json_without_end_is_wrong_too() -> None:
    def anything(x: Any) -> None: ...

    with pytest.raises(ToolError, match="recursion"):
        made(anything).arguments('{"x": ' + "[" * 200_000)


@pytest.mark.parametrize("text", ['"nan"', '"inf"', '"-Infinity"'])
def test_a_number_is_one_that_can_be_compared(text: str) -> None:
    @tool
    def pay(amount: float) -> None: ...

    with pytest.raises(ToolError, match=r"is no number - at `\$\.amount`\. It takes amount \(number\)"):
        collect_tools(None, [pay])["pay"].arguments(f'{{"amount": {text}}}')


def test_an_argument_that_refuses_itself() -> None:
    def pick(it: Picky) -> None: ...

    with pytest.raises(ToolError, match=r"one is too few - at `\$\.it`"):
        made(pick).arguments('{"it": {"value": 1}}')


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(list(EVERYTHING.parameters["properties"]))


@given(st.text() | st.dictionaries(names, json_values).map(json.dumps) | json_values.map(json.dumps))
def test_no_text_raises_anything_but_the_error_for_the_model(text: str) -> None:
    try:
        kwargs = EVERYTHING.arguments(text)
    except ToolError:
        return
    assert kwargs.keys() <= EVERYTHING.parameters["properties"].keys()
    assert everything(**kwargs).keys() == EVERYTHING.parameters["properties"].keys()


plain_text = st.text(st.characters(exclude_categories=["Cs"]))
guests = st.builds(Guest, plain_text, st.none() | st.dates())
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": plain_text,
    "count": st.integers(-(2**63), 2**63 - 1),
    "share": st.floats(allow_nan=False, allow_infinity=False),
    "sure": st.booleans(),
    "size": st.sampled_from(Size),
    "way": st.sampled_from(["in", "out"]),
    "day": st.dates(),
    "at": st.datetimes() | st.datetimes(timezones=st.just(dt.UTC)),
    "hour": st.times(),
    "long": st.timedeltas(dt.timedelta(-10_000), dt.timedelta(10_000)),
    "key": st.uuids(),
    "words": st.lists(plain_text),
    "odds": st.dictionaries(plain_text, st.floats(allow_nan=False, allow_infinity=False)),
    "guest": guests,
    "guests": st.lists(guests).map(tuple),
    "address": st.fixed_dictionaries({"street": plain_text, "number": st.integers(0, 99)}),
    "menu": st.builds(Menu, st.dictionaries(plain_text, st.floats(0, 99))),
    "either": st.integers(0, 9) | plain_text,
}


@given(st.fixed_dictionaries({"text": VALUES["text"]}, optional={k: v for k, v in VALUES.items() if k != "text"}))
def test_valid_values_arrive_unchanged_and_fit_the_schema(kwargs: dict[str, Any]) -> None:
    text = msgspec.json.encode(kwargs).decode()
    assert EVERYTHING.arguments(text) == kwargs
    # None where it is the default is accepted, though the schema does not offer it.
    assert fits(json.loads(text), EVERYTHING.parameters)


def test_the_values_cover_all_parameters() -> None:
    assert VALUES.keys() == EVERYTHING.parameters["properties"].keys()


JSON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list,),
    "object": (dict,),
}


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a JSON value is what a schema describes; as much of JSON schema as the tools here use."""
    names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not isinstance(value, tuple(one for name in names for one in JSON_TYPES[name])):
        return False
    if "enum" in schema:
        return value in schema["enum"]
    if isinstance(value, list):
        return all(fits(item, schema["items"]) for item in value)
    if not isinstance(value, dict):
        return True
    if "properties" not in schema:
        return all(fits(item, schema["additionalProperties"]) for item in value.values())
    known = schema["properties"]
    return (
        value.keys() <= known.keys()
        and all(name in value for name in schema.get("required", ()))
        and all(fits(item, known[name]) for name, item in value.items() if item is not None)
    )
