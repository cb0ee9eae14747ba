"""JSON schema as it is found in function declarations."""

from __future__ import annotations

from typing import Any

import pytest

from voicelive_agent.emulator.speech.schema import Schema, properties_of


def one(schema: Any, **parameters: Any) -> Schema:
    tool = {"name": "f", "parameters": {"type": "object", "properties": {"x": schema}, **parameters}}
    return properties_of(tool)["x"]


@pytest.mark.parametrize(
    "tool", [{}, {"parameters": None}, {"parameters": {}}, {"parameters": {"properties": None}}]
)
def test_no_arguments(tool: dict[str, Any]) -> None:
    assert properties_of(tool) == {}


def test_plain_types_and_limits() -> None:
    assert one({"type": "integer", "minimum": 1, "maximum": 9}, required=["x"]) == Schema(
        kind="integer", required=True, minimum=1, maximum=9
    )


@pytest.mark.parametrize(
    "schema",
    [
        {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        {"oneOf": [{"type": "null"}, {"type": "integer"}]},
        {"type": ["null", "integer"]},
    ],
)
def test_nullable(schema: dict[str, Any]) -> None:
    assert one(schema) == Schema(kind="integer", nullable=True)


def test_enum_with_null_and_const() -> None:
    assert one({"enum": ["a", None]}) == Schema(kind="string", enum=("a",), nullable=True)
    assert one({"const": 3}).enum == (3,)


def test_a_reference_is_followed() -> None:
    definitions = {"Colour": {"enum": ["red", "blue"], "type": "string"}}
    found = one({"anyOf": [{"$ref": "#/$defs/Colour"}, {"type": "null"}]}, **{"$defs": definitions})
    assert found == Schema(kind="string", enum=("red", "blue"), nullable=True)


def test_a_type_that_contains_itself_ends() -> None:
    definitions = {"Tree": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}, "Loop": {"$ref": "#/$defs/Loop"}}
    found = one({"$ref": "#/$defs/Tree"}, **{"$defs": definitions})
    assert found.kind == "array"
    assert found.items == Schema(kind="array")
    assert one({"$ref": "#/$defs/Loop"}, **{"$defs": definitions}) == Schema(kind="string")


@pytest.mark.parametrize("schema", [True, {}, None])
def test_a_schema_that_says_nothing_is_text(schema: Any) -> None:
    assert one(schema) == Schema(kind="string")
