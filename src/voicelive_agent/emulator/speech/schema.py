"""The part of JSON schema that function declarations use, read into one small form. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Schema", "properties_of"]


@dataclass(frozen=True, slots=True)
class Schema:
    """What one argument may be. ``kind`` is its JSON type, "null" aside; ``items`` is for an array's elements."""

    kind: str
    enum: tuple[Any, ...] = ()
    required: bool = False
    nullable: bool = False
    format: str = ""
    description: str = ""
    minimum: float = float("-inf")
    maximum: float = float("inf")
    items: Schema | None = None


def properties_of(tool: Mapping[str, Any]) -> dict[str, Schema]:
    """The arguments of a function declaration (``{"name", "parameters": {"properties", "required"}}``) by name."""
    parameters = tool.get("parameters") or {}
    required = parameters.get("required") or ()
    definitions = parameters.get("$defs") or parameters.get("definitions") or {}
    return {
        name: _read(schema, definitions, required=name in required)
        for name, schema in (parameters.get("properties") or {}).items()
    }


def _read(schema: Any, definitions: Mapping[str, Any], *, required: bool = False, element: bool = False) -> Schema:
    nullable = False
    merged: dict[str, Any] = dict(schema) if isinstance(schema, Mapping) else {}
    # A choice between a type and null is how optional arguments are written; of other choices the first is taken.
    for _ in range(8):  # a $ref may lead to a choice and the choice to a $ref, but not for ever
        options = merged.pop("anyOf", None) or merged.pop("oneOf", None) or merged.pop("allOf", None)
        reference = merged.pop("$ref", None)
        if options:
            nullable = nullable or {"type": "null"} in options
            merged |= next((option for option in options if option != {"type": "null"}), {})
        elif reference:
            merged |= definitions.get(str(reference).rpartition("/")[2], {})
        else:
            break
    kind = merged.get("type", "")
    if isinstance(kind, list):
        nullable = nullable or "null" in kind
        kind = next((one for one in kind if one != "null"), "null")
    enum = tuple(value for value in merged.get("enum", ()) if value is not None)
    if "const" in merged:
        enum = (merged["const"],)
    return Schema(
        kind=kind or "string",
        enum=enum,
        required=required,
        nullable=nullable or None in merged.get("enum", ()),
        format=str(merged.get("format", "")),
        description=str(merged.get("description", "")),
        minimum=merged.get("minimum", float("-inf")),
        maximum=merged.get("maximum", float("inf")),
        # The elements of elements are never filled, and a type may contain itself.
        items=_read(merged["items"], definitions, element=True) if "items" in merged and not element else None,
    )
