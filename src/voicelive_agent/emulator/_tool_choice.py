"""What ``tool_choice`` and ``parallel_tool_calls`` make of a brain's calls, and the call that they demand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .protocols import Call, Turn

_DEEPEST = 16
"""A schema may contain itself; what is deeper than this is left out."""
_FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "PT1S",
    "email": "user@example.com",
    "uri": "https://example.com",
    "uuid": "00000000-0000-0000-0000-000000000000",
    "ipv4": "127.0.0.1",
    "hostname": "example.com",
}


class ToolChoice:
    """Which calls of one response leave.

    ``none``: no call. ``required``: at least one, of any function. A named function: only that one, at least once.
    Without ``parallel`` only the first call leaves.
    """

    def __init__(self, turn: Turn, *, parallel: bool) -> None:
        self._turn = turn
        self._named = named_function(turn.tool_choice)
        self._parallel = parallel
        self._called = False

    def takes(self, call: Call) -> bool:
        """Whether this call leaves."""
        taken = (
            self._turn.tool_choice != "none"
            and self._named in (None, call.name)
            and (self._parallel or not self._called)
        )
        self._called = self._called or taken
        return taken

    def owed(self) -> Call | None:
        """The call that has to be made although the brain made none."""
        return None if self._called else demanded_call(self._turn)


def named_function(tool_choice: object) -> str | None:
    """The function that a ``tool_choice`` names: ``{"name"}`` or ``{"function": {"name"}}``."""
    if not isinstance(tool_choice, Mapping):
        return None
    function = tool_choice.get("function")
    name = tool_choice.get("name") or (function.get("name") if isinstance(function, Mapping) else None)
    return name if isinstance(name, str) else None


def demanded_call(turn: Turn) -> Call | None:
    """The call that ``tool_choice`` demands, with the smallest arguments that its schema allows.

    ``required`` takes the first function, and none where there is none. A named function is called even where it
    is not among the tools, without arguments. Raises ValueError where its parameters are no JSON schema.
    """
    tools = {str(tool["name"]): tool for tool in turn.tools}
    name = named_function(turn.tool_choice)
    if name is None and turn.tool_choice == "required":
        name = next(iter(tools), None)
    if name is None:
        return None
    try:
        arguments = smallest((tools.get(name) or {}).get("parameters") or {})
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"The parameters of the function {name!r} are no JSON schema: {error}") from error
    return Call(name, arguments if isinstance(arguments, dict) else {})


def smallest(schema: Mapping[str, Any]) -> Any:
    """The smallest value that a JSON schema allows.

    Required properties only, empty strings, zeros, the first choice; a ``default`` or ``const`` is taken as it is.
    Patterns and conditions between properties are not looked at.
    """
    return _smallest(schema, schema, 0)


def _smallest(schema: Any, root: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return None
    for fixed in ("const", "default"):
        if fixed in schema:
            return schema[fixed]
    if schema.get("enum"):
        return schema["enum"][0]
    if "$ref" in schema:
        return _smallest(_referred(str(schema["$ref"]), root), root, depth + 1)
    for choices in ("anyOf", "oneOf"):
        if schema.get(choices):
            return _smallest({**schema, choices: None, **schema[choices][0]}, root, depth + 1)
    if schema.get("allOf"):
        return _smallest(_merged(schema, root), root, depth + 1)
    kind = schema.get("type") or ("object" if "properties" in schema or depth == 0 else "string")
    if isinstance(kind, list):
        kind = kind[0] if kind else "null"
    match kind:
        case "object":
            properties = schema.get("properties") or {}
            wanted = schema.get("required") or ()
            return {name: _smallest(properties.get(name, {}), root, depth + 1) for name in wanted}
        case "array":
            count = int(schema.get("minItems") or 0)
            return [_smallest(schema.get("items") or {}, root, depth + 1) for _ in range(min(count, 100))]
        case "string":
            return _FORMATS.get(str(schema.get("format"))) or "x" * int(schema.get("minLength") or 0)
        case "integer" | "number":
            return _smallest_number(schema, whole=kind == "integer")
        case "boolean":
            return False
        case _:
            return None


def _smallest_number(schema: Mapping[str, Any], *, whole: bool) -> float:
    """0 where it is allowed, else the allowed number that is nearest to it."""
    step = schema.get("multipleOf") or (1 if whole else None)
    lowest, highest = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    value: float = 0
    if lowest is not None and lowest > 0:
        value = math.ceil(lowest / step) * step if step else lowest
    elif highest is not None and highest < 0:
        value = math.floor(highest / step) * step if step else highest
    if above is not None and value <= above:
        value = (math.floor(above / step) + 1) * step if step else above + 1
    elif below is not None and value >= below:
        value = (math.ceil(below / step) - 1) * step if step else below - 1
    return int(value) if whole else value


def _referred(reference: str, root: Mapping[str, Any]) -> Any:
    """What a ``#/$defs/Name`` points to; None where it points nowhere."""
    found: Any = root
    for name in reference.removeprefix("#").split("/")[1:]:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _merged(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """A schema and all that its ``allOf`` adds."""
    parts = [_referred(str(part["$ref"]), root) if "$ref" in part else part for part in schema["allOf"]]
    merged = {key: value for key, value in schema.items() if key != "allOf"}
    for part in parts:
        for key, value in (part or {}).items():
            if key == "properties":
                merged[key] = {**merged.get(key, {}), **value}
            elif key == "required":
                merged[key] = [*merged.get(key, ()), *value]
            else:
                merged[key] = value
    return merged
