"""Types and docstrings to the JSON schema that a model is told."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Optional,
    Required,
    TypedDict,
    TypeVar,
)

import msgspec
import pytest

from voicelive_agent._schema import (
    Schema,
    note,
    object_schema,
    parameter_docs,
    property_schema,
    summary,
    unknown_field,
    usage,
)

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Floor(enum.IntEnum):
    GROUND = 0
    FIRST = 1


@dataclass
class Point:
    x: float
    y: float = 0.0


@dataclass
class Parcel:
    """Something to send.

    It has a weight.
    """

    to: Annotated[str, "the full name"]
    kg: Annotated[float, msgspec.Meta(gt=0, le=30, description="its weight")]
    at: Point | None = None
    colour: Colour | None = Colour.RED
    tags: list[str] = field(default_factory=list)


class Order(TypedDict, total=False):
    item: Required[Annotated[str, "what is wanted"]]
    count: NotRequired[Annotated[int, "how many of it"]]


class Cat(msgspec.Struct, tag=True, rename="camel"):
    nine_lives: int | None = None


class Dog(msgspec.Struct, tag="dog", tag_field="animal"):
    name: str


class Row(msgspec.Struct, array_like=True):
    a: int


class Pair(NamedTuple):
    a: int
    b: int


@dataclass
class Node:
    children: list[Node]


@dataclass
class Holder:
    parts: list[Part]


@dataclass
class Part:
    holder: Holder | None


@dataclass
class Box(Generic[T]):
    """Things of one kind."""

    first: Annotated[T, "the first one"]
    others: list[T]


class Broken(enum.Enum):
    HALF = 0.5


UserId = NewType("UserId", int)

COLOUR_OR_NULL: Schema = {"type": ["string", "null"], "enum": ["red", "blue", None]}
POINT: Schema = {
    "type": "object",
    "properties": {"x": {"type": "number"}, "y": {"type": "number"}},
    "additionalProperties": False,
    "required": ["x"],
}

TYPES: list[tuple[object, Schema]] = [
    (str, {"type": "string"}),
    (int, {"type": "integer"}),
    (float, {"type": "number"}),
    (bool, {"type": "boolean"}),
    (None, {"type": "null"}),
    (Any, {}),
    (UserId, {"type": "integer"}),
    (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
    (Literal[1, 2], {"type": "integer", "enum": [1, 2]}),
    (Literal[True], {"type": "boolean", "enum": [True]}),
    (Literal["a", 1, None], {"type": ["null", "integer", "string"], "enum": [None, 1, "a"]}),  # sorted by msgspec
    (Colour, {"type": "string", "enum": ["red", "blue"]}),
    (Floor, {"type": "integer", "enum": [0, 1]}),
    (dt.datetime, {"type": "string", "format": "date-time", "description": "Like 2030-12-31T14:30:00."}),
    (dt.date, {"type": "string", "format": "date", "description": "Like 2030-12-31."}),
    (dt.time, {"type": "string", "format": "time", "description": "Like 14:30:00."}),
    (dt.timedelta, {"type": "string", "format": "duration", "description": "Like PT1H30M."}),
    (uuid.UUID, {"type": "string", "format": "uuid"}),
    (decimal.Decimal, {"type": "string", "format": "decimal"}),
    # containers
    (list, {"type": "array", "items": {}}),
    (list[int], {"type": "array", "items": {"type": "integer"}}),
    (Sequence[str], {"type": "array", "items": {"type": "string"}}),
    (set[str], {"type": "array", "items": {"type": "string"}}),
    (frozenset[str], {"type": "array", "items": {"type": "string"}}),
    (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
    (list[int | None], {"type": "array", "items": {"type": ["integer", "null"]}}),
    (dict, {"type": "object", "additionalProperties": True}),
    (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
    (
        Mapping[str, list[bool]],
        {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "boolean"}}},
    ),
    # unions
    (int | None, {"type": ["integer", "null"]}),
    (Literal["a"] | None, {"type": ["string", "null"], "enum": ["a", None]}),
    (Colour | None, {"type": ["string", "null"], "enum": ["red", "blue", None]}),
    (int | str, {"type": ["integer", "string"]}),
    (int | str | None, {"type": ["integer", "string", "null"]}),
    (int | Any, {}),
    (Literal["a", 1] | None, {"type": ["integer", "string", "null"], "enum": [1, "a", None]}),
    (int | list[int], {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}),
    (
        str | list[str] | None,
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
    ),
    # unions within Annotated, which Python leaves as they are
    (Annotated[int | str, 5] | bool, {"type": ["integer", "string", "boolean"]}),
    (Annotated[int | None, 5] | str | None, {"type": ["integer", "null", "string"]}),
    (Annotated[int, 5] | Annotated[int, 6], {"type": "integer"}),
    # notes, wherever they are
    (list[Annotated[int, "a page"]], {"type": "array", "items": {"type": "integer", "description": "a page"}}),
    (
        Annotated[list[Annotated[int, "a page"]], "which ones"],
        {"type": "array", "items": {"type": "integer", "description": "a page"}, "description": "which ones"},
    ),
    (
        dict[str, Annotated[int, "how many"]],
        {"type": "object", "additionalProperties": {"type": "integer", "description": "how many"}},
    ),
    (Annotated[int, "how many"] | None, {"type": ["integer", "null"], "description": "how many"}),
    (Optional[Annotated[Colour, "which"]], {**COLOUR_OR_NULL, "description": "which"}),  # noqa: UP045
    (
        Annotated[int, "its number"] | Annotated[str, "its name"],
        {
            "anyOf": [
                {"type": "integer", "description": "its number"},
                {"type": "string", "description": "its name"},
            ]
        },
    ),
    (
        Annotated[int | str, "n"] | bool,
        {"anyOf": [{"type": ["integer", "string"], "description": "n"}, {"type": "boolean"}]},
    ),
    (Annotated[dt.date, "A day."], {"type": "string", "format": "date", "description": "A day. Like 2030-12-31."}),
    (Annotated[Any, "what you know"] | None, {"description": "what you know"}),
    (
        Box[int],
        {
            "type": "object",
            "properties": {
                "first": {"type": "integer", "description": "the first one"},
                "others": {"type": "array", "items": {"type": "integer"}},
            },
            "additionalProperties": False,
            "required": ["first", "others"],
            "description": "Things of one kind.",
        },
    ),
    (
        Annotated[str | list[str], "n"] | None,
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
    ),
    (
        Annotated[str | list[str] | None, "n"] | bool | None,
        {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}},
                {"type": "null"},
                {"type": "boolean"},
            ]
        },
    ),
    (Literal["a", None] | None, {"type": ["null", "string"], "enum": [None, "a"]}),
    # limits and descriptions
    (
        Annotated[int, msgspec.Meta(ge=1, lt=10, multiple_of=3)],
        {"type": "integer", "minimum": 1, "exclusiveMaximum": 10, "multipleOf": 3},
    ),
    (
        Annotated[str, msgspec.Meta(min_length=2, max_length=3, pattern="^a")],
        {"type": "string", "minLength": 2, "maxLength": 3, "pattern": "^a"},
    ),
    (
        Annotated[list[int], msgspec.Meta(min_length=1)],
        {"type": "array", "items": {"type": "integer"}, "minItems": 1},
    ),
    (
        Annotated[dict[str, int], msgspec.Meta(max_length=5)],
        {"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 5},
    ),
    (Annotated[int, msgspec.Meta(description="how many")], {"type": "integer", "description": "how many"}),
    (
        list[Annotated[dt.date, msgspec.Meta(description="a day")]],
        {"type": "array", "items": {"type": "string", "format": "date", "description": "a day. Like 2030-12-31."}},
    ),
    # classes
    (Point, POINT),
    (Point | None, {**POINT, "type": ["object", "null"]}),
    (list[Point], {"type": "array", "items": POINT}),
    (
        Parcel,
        {
            "type": "object",
            "description": "Something to send.",
            "properties": {
                "to": {"type": "string", "description": "the full name"},
                "kg": {
                    "type": "number",
                    "exclusiveMinimum": 0,
                    "maximum": 30,
                    "description": "its weight",
                },
                "at": POINT,
                "colour": {"type": ["string", "null"], "enum": ["red", "blue", None]},
                "tags": {"type": "array", "items": {"type": "string"}},
            },
            "additionalProperties": False,
            "required": ["to", "kg"],
        },
    ),
    (
        Order,
        {
            "type": "object",
            "properties": {
                "item": {"type": "string", "description": "what is wanted"},
                "count": {"type": "integer", "description": "how many of it"},
            },
            "additionalProperties": False,
            "required": ["item"],
        },
    ),
    (
        Cat,
        {
            "type": "object",
            "properties": {"type": {"type": "string", "enum": ["Cat"]}, "nineLives": {"type": "integer"}},
            "additionalProperties": False,
            "required": ["type"],
        },
    ),
    (
        Dog,
        {
            "type": "object",
            "properties": {"animal": {"type": "string", "enum": ["dog"]}, "name": {"type": "string"}},
            "additionalProperties": False,
            "required": ["animal", "name"],
        },
    ),
]


@pytest.mark.parametrize(("hint", "expected"), TYPES, ids=[str(hint) for hint, _ in TYPES])
def test_schema_of_a_type(hint: object, expected: Schema) -> None:
    assert property_schema(hint) == expected


@pytest.mark.parametrize("hint", [hint for hint, _ in TYPES], ids=str)
def test_schema_is_plain_enough_for_the_service(hint: object) -> None:
    for part in _parts(property_schema(hint)):
        assert not {"$ref", "$defs", "prefixItems"} & part.keys()
        assert all("type" in branch for branch in part.get("anyOf", ()))
        assert part.get("type") != "array" or "items" in part


def _parts(schema: Any) -> Iterator[Schema]:
    if isinstance(schema, dict):
        yield schema
    for inner in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from _parts(inner)


@pytest.mark.parametrize(
    "hint",
    [
        *[bytes, complex, object, Callable, type, Pair, Row, Node, Holder, Broken],
        *[dict[int, str], tuple[int, int], Literal[1.5], Point | Order, dt.date | str, list[complex]],
    ],
    ids=str,
)
def test_a_type_that_cannot_be_described_is_a_type_error(hint: object) -> None:
    with pytest.raises(TypeError):
        property_schema(hint)


def test_the_error_names_the_type_within() -> None:
    with pytest.raises(TypeError, match="complex has no JSON form"):
        property_schema(list[complex])
    with pytest.raises(TypeError, match="bytes has no JSON form"):
        property_schema(bytes)
    with pytest.raises(TypeError, match="Node contains itself"):
        property_schema(Node)
    with pytest.raises(TypeError, match="Holder contains itself"):
        property_schema(Holder)


@pytest.mark.parametrize(
    ("hint", "default", "expected"),
    [
        (int | None, None, {"type": "integer"}),
        (Colour | None, None, {"type": "string", "enum": ["red", "blue"]}),
        (int | str | None, None, {"type": ["integer", "string"]}),
        (int | None, 5, {"type": ["integer", "null"]}),
        (int, None, {"type": "integer"}),
        (
            Annotated[int | None, msgspec.Meta(description="few")],
            None,
            {"type": "integer", "description": "few"},
        ),
    ],
)
def test_null_is_not_offered_where_leaving_out_says_it(hint: object, default: object, expected: Schema) -> None:
    assert property_schema(hint, default=default) == expected


def test_a_note_of_the_type_stands_for_what_the_docstring_says() -> None:
    noted = {"type": "integer", "description": "how many"}
    assert property_schema(Annotated[int, "how many"], description="Few.") == noted
    assert property_schema(Annotated[int, "how many"] | None, description="Few.", default=None) == noted


def test_descriptions_are_joined_the_nearer_one_first() -> None:
    assert property_schema(dt.time, description="When to come.") == {
        "type": "string",
        "format": "time",
        "description": "When to come. Like 14:30:00.",
    }
    assert property_schema(Parcel, description="What?")["description"] == "What? Something to send."


def test_object_schema() -> None:
    one: dict[str, Schema] = {"a": {"type": "string"}}
    closed = {"type": "object", "properties": one, "additionalProperties": False}
    assert object_schema(one, []) == closed
    assert object_schema(one, ["a"]) == {**closed, "required": ["a"]}


CLOSED: Schema = object_schema({"x": {"type": "integer"}, "any": {}}, [])
OPEN: Schema = {"type": "object", "additionalProperties": CLOSED}
MANY: Schema = {"type": ["array", "null"], "items": CLOSED}
EITHER: Schema = {"anyOf": [{"type": "string"}, MANY, CLOSED | {"type": ["object", "null"]}]}
TAGGED: Schema = {"anyOf": [CLOSED, object_schema({"y": {"type": "string"}}, [])]}


@pytest.mark.parametrize(
    ("schema", "value", "at"),
    [
        (CLOSED, {"x": 1, "any": {"z": [{"z": 1}]}}, ""),
        (CLOSED, {"x": 1, "z": 2}, "$"),
        (CLOSED, None, ""),
        (OPEN, {"a": {"x": 1}, "b": {"z": 1}}, "$.b"),
        (OPEN | {"additionalProperties": True}, {"a": {"z": 1}}, ""),
        (MANY, [{"x": 1}, {"z": 1}], "$[1]"),
        ({"type": "array"}, [{"z": 1}], ""),
        (EITHER, [{"z": 1}], "$[0]"),
        (EITHER, {"z": 1}, "$"),
        (EITHER, {"x": 1}, ""),
        (EITHER, "z", ""),
        (TAGGED, {"y": "a"}, ""),
        (TAGGED, {"z": "a"}, "$"),
        ({"anyOf": [{"required": ["x"]}]}, {"z": 1}, ""),  # words of the user's own, of which nothing is known
        (object_schema({"far": OPEN}, []), {"far": {"off": {"x": 1, "z": 2}}}, "$.far.off"),
    ],
)
def test_a_field_that_a_schema_does_not_allow(schema: Schema, value: object, at: str) -> None:
    assert unknown_field(schema, value) == (at and f"Object contains unknown field `z` - at `{at}`")


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (int, ""),
        (Annotated[int, "how many"], "how many"),
        (Annotated[int, msgspec.Meta(ge=0), "first", "second"], "first"),
        (Annotated[int, 5], ""),
        (Required[Annotated[int, "inside"]], "inside"),
        (list[Annotated[int, "of an item"]], ""),
        (Annotated[int, "maybe"] | None, "maybe"),
        (Annotated[int, "of one"] | str, ""),
    ],
)
def test_note(hint: object, expected: str) -> None:
    assert note(hint) == expected


@pytest.mark.parametrize(
    ("doc", "expected"),
    [
        (None, ""),
        ("", ""),
        ("One line.", "One line."),
        ("Two\n    lines.\n\n    More.", "Two lines."),
        ("\n    On the next line.\n    ", "On the next line."),
        ("Book it.\n    :param day: when", "Book it."),
        ("Book it.\n    Args:\n        day: when", "Book it."),
        ("Args:\n    day: when", ""),
        ("Book it.\n    Parameters\n    ----------\n    day : str\n        When.", "Book it."),
        ("Args are not a section here: go on.", "Args are not a section here: go on."),
    ],
)
def test_summary(doc: str | None, expected: str) -> None:
    assert summary(doc) == expected


GOOGLE = """Book a table.

    Args:
        day: The day,
            in words.
        people (int, optional): How many.
        filters (Callable[[int], str]): What for: exactly?

        late: After an empty line.

    Returns:
        str: not a parameter
    """

REST = """Book a table.

    :param day: The day,
        in words.
    :param int people: How many.
    :type people: int
    :returns: not a parameter
    """


def test_parameter_docs_of_google_style() -> None:
    assert parameter_docs(GOOGLE) == {
        "day": "The day, in words.",
        "people": "How many.",
        "filters": "What for: exactly?",
        "late": "After an empty line.",
    }


NUMPY = """Book a table.

    Parameters
    ----------
    day : str
        The day,
        in words.
    people, children : int, optional
        How many: exactly?

        At most 12.
    note
        What for.
    silent : bool

    Returns
    -------
    str
        not a parameter

    Other Parameters
    ----------------
    late : int
        After the others.
    """


def test_parameter_docs_of_numpy_style() -> None:
    assert parameter_docs(NUMPY) == {
        "day": "The day, in words.",
        "people": "How many: exactly? At most 12.",
        "children": "How many: exactly? At most 12.",
        "note": "What for.",
        "silent": "",
        "late": "After the others.",
    }


def test_parameter_docs_of_rest_style() -> None:
    assert parameter_docs(REST) == {"day": "The day, in words.", "people": "How many."}


@pytest.mark.parametrize("doc", [None, "", "Only a summary: with a colon.", "Args:"])
def test_no_parameter_docs(doc: str | None) -> None:
    assert parameter_docs(doc) == {}


def test_usage_reminds_of_all_parameters() -> None:
    properties = {
        "day": property_schema(str),
        "at": property_schema(dt.time),
        "colour": property_schema(Colour),
        "limit": property_schema(int | str | None),
        "tags": property_schema(str | list[str]),
        "more": property_schema(Any),
    }
    assert usage(object_schema(properties, ["day", "at"])) == (
        'day (string), at (string, time like 14:30:00), colour (one of "red" "blue", optional), '
        "limit (integer or string or null, optional), tags (string or array, optional), more (anything, optional)"
    )
    assert usage(object_schema({}, [])) == ""
