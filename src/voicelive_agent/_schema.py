"""Python types and docstrings to JSON schema, in the form in which a voice model is told about a tool.

The service accepts less than JSON schema allows, so what comes out is plain: everything that ``$ref`` would name
is written in place, every branch of an ``anyOf`` has its ``type`` (the service rejects one that has none), and
every class says ``additionalProperties: false``. Types are read by msgspec, which also decodes the arguments:
what is described here and what is accepted there cannot drift apart.

Nothing here knows what a tool is. What cannot be described is a ``TypeError`` (msgspec's own, or one from here).
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable
from itertools import zip_longest
from types import UnionType
from typing import (
    Annotated,
    Any,
    NotRequired,
    Required,
    TypeAlias,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec
from msgspec import inspect as types

__all__ = [
    "Schema",
    "note",
    "object_schema",
    "parameter_docs",
    "property_schema",
    "summary",
    "unknown_field",
    "usage",
]

Schema: TypeAlias = dict[str, Any]

_FORMATS: dict[type[types.Type], tuple[str, str]] = {
    types.DateTimeType: ("date-time", "2030-12-31T14:30:00"),
    types.DateType: ("date", "2030-12-31"),
    types.TimeType: ("time", "14:30:00"),
    types.TimeDeltaType: ("duration", "PT1H30M"),
    types.UUIDType: ("uuid", ""),
    types.DecimalType: ("decimal", ""),
}
"""Types that are written as text: the format's name, and an example, because models guess ``14:30``."""

_EXAMPLES = dict(_FORMATS.values())
_LIMITS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
    "pattern": "pattern",
}
_JSON_NAMES = {str: "string", int: "integer", bool: "boolean", type(None): "null"}
_ABSENT = object()


# --- types -------------------------------------------------------------------------------------------------


def property_schema(hint: object, *, description: str = "", default: object = _ABSENT) -> Schema:
    """The schema of one parameter; ``default`` is given where it may be left out.

    ``description`` is for a hint that has no note of its own. A parameter that may be null *and* is None when left
    out is described without the null: leaving it out says the same, and models do it more reliably.
    """
    return _property(types.type_info(_with_notes(hint)), "" if note(hint) else description, default is None, ())


def object_schema(properties: dict[str, Schema], required: Iterable[str]) -> Schema:
    """An object that has these properties and no others."""
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    names = list(required)
    return schema | {"required": names} if names else schema


def unknown_field(schema: Schema, value: object, at: str = "$") -> str:
    """What msgspec would say of the first field that the schema does not allow; "" if there is none.

    ``value`` is JSON that was decoded as that type already, so its shape is right: of a dataclass or a TypedDict
    msgspec only leaves out the fields that it does not know.
    """
    inner: list[tuple[Any, object, str]] = []
    if "anyOf" in schema:
        kind = "array" if isinstance(value, list) else "object"
        faults = [unknown_field(each, value, at) for each in schema["anyOf"] if kind in each.get("type", ())]
        return faults[0] if faults and all(faults) else ""
    if isinstance(value, list):
        inner = [(schema.get("items"), each, f"{at}[{index}]") for index, each in enumerate(value)]
    elif isinstance(value, dict):
        known, others = schema.get("properties", {}), schema.get("additionalProperties")
        unknown = next((name for name in value if name not in known), None)
        if others is False and unknown is not None:
            return f"Object contains unknown field `{unknown}` - at `{at}`"
        inner = [(known.get(name, others), each, f"{at}.{name}") for name, each in value.items()]
    return next(filter(None, (unknown_field(*each) for each in inner if isinstance(each[0], dict))), "")


def note(hint: object) -> str:
    """The description in ``Annotated[int, "how many"]``, also in one that may be None: its first text, or ""."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return next((text for text in args[1:] if isinstance(text, str)), "")
    if origin in (Union, UnionType):
        args = tuple(arg for arg in args if arg is not type(None))
    elif origin not in (Required, NotRequired):
        return ""
    return note(args[0]) if len(args) == 1 else ""


def _with_notes(hint: Any) -> Any:
    """The same hint with its notes, at any depth, as descriptions that msgspec keeps."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Required, NotRequired):
        return _with_notes(args[0])
    if origin is Annotated:
        described = [msgspec.Meta(description=note(hint))] if note(hint) else []
        return Annotated[_with_notes(args[0]), *args[1:], *described]
    inner = tuple(_with_notes(arg) for arg in args)
    if inner == args:
        return hint
    return Union[inner] if origin is UnionType else origin[inner]  # noqa: UP007 - built from what is found


def _property(node: types.Type, description: str, none_is_default: bool, inside: tuple[type, ...]) -> Schema:
    return _described(_schema(_without_none(node) if none_is_default else node, inside), description)


def _described(schema: Schema, description: str) -> Schema:
    """Both descriptions, the nearer one first: "When to come. Like 14:30:00."."""
    further = schema.get("description", "")
    if description and further:
        description += " " if description.endswith((".", "!", "?")) else ". "
    return schema | {"description": description + further} if description or further else schema


def _without_none(node: types.Type) -> types.Type:
    match node:
        case types.Metadata():
            return types.Metadata(_without_none(node.type), node.extra_json_schema, node.extra)
        case types.UnionType():
            return types.UnionType(tuple(one for one in node.types if not isinstance(one, types.NoneType)))
        case _:
            return node


def _schema(node: types.Type, inside: tuple[type, ...]) -> Schema:
    """``inside`` are the classes that are being described: one of them again would never end."""
    match node:
        case types.Metadata():
            more = dict(node.extra_json_schema or {})
            words = more.pop("description", "")
            return _described(_schema(node.type, inside) | more, words)
        case types.AnyType():
            return {}
        case types.NoneType():
            return {"type": "null"}
        case types.BoolType():
            return {"type": "boolean"}
        case types.IntType():
            return {"type": "integer"} | _limits(node, "")
        case types.FloatType():
            return {"type": "number"} | _limits(node, "")
        case types.StrType():
            return {"type": "string"} | _limits(node, "Length")
        case types.LiteralType():
            return _choice(node.values)
        case types.EnumType():
            return _choice([member.value for member in node.cls])
        case types.ListType() | types.VarTupleType() | types.SetType() | types.FrozenSetType():
            return {"type": "array", "items": _schema(node.item_type, inside)} | _limits(node, "Items")
        case types.DictType(key_type=types.AnyType() | types.StrType()):
            values = _schema(node.value_type, inside)
            return {"type": "object", "additionalProperties": values or True} | _limits(node, "Properties")
        case types.UnionType():
            return _union(node, inside)
        case types.DataclassType() | types.TypedDictType() | types.StructType(array_like=False):
            return _class(node, inside)
    if type(node) in _FORMATS:
        name, example = _FORMATS[type(node)]
        return _described({"type": "string", "format": name}, example and f"Like {example}.")
    raise TypeError(f"{_name(node)} has no JSON form that a model could write")


def _name(node: types.Type) -> str:
    cls = getattr(node, "cls", None)
    return cls.__qualname__ if isinstance(cls, type) else type(node).__name__.removesuffix("Type").lower()


def _limits(node: types.Type, unit: str) -> Schema:
    names = _LIMITS | {"min_length": f"min{unit}", "max_length": f"max{unit}"}
    limits = {name: getattr(node, ours, None) for ours, name in names.items()}
    return {name: limit for name, limit in limits.items() if limit is not None}


def _choice(values: Iterable[str | int | None]) -> Schema:
    choices = list(values)
    names = list(dict.fromkeys(_JSON_NAMES[type(value)] for value in choices))
    return {"type": names[0] if len(names) == 1 else names, "enum": choices}


def _union(node: types.UnionType, inside: tuple[type, ...]) -> Schema:
    schemas = [_schema(one, inside) for one in node.types if not isinstance(one, types.NoneType)]
    nullable = len(schemas) < len(node.types)
    for schema in schemas:
        if schema.keys() <= {"description"}:  # anything, and so the others too
            return schema
    # A union within Annotated is not merged by Python, and as a branch it would have no type.
    branches = [branch for schema in schemas for branch in schema.get("anyOf", [schema])]
    if nullable and len(branches) == 1:
        return _nullable(branches[0])
    if nullable and {"type": "null"} not in branches:
        branches.append({"type": "null"})
    if all(branch.keys() == {"type"} for branch in branches):
        names = list(dict.fromkeys(name for branch in branches for name in _types(branch)))
        return {"type": names if len(names) > 1 else names[0]}
    return {"anyOf": branches} if len(branches) > 1 else branches[0]


def _types(schema: Schema) -> list[str]:
    return schema["type"] if isinstance(schema["type"], list) else [schema["type"]]


def _nullable(schema: Schema) -> Schema:
    or_null = schema | {"type": list(dict.fromkeys([*_types(schema), "null"]))}
    return or_null | {"enum": [*schema["enum"], None]} if None not in schema.get("enum", (None,)) else or_null


def _class(node: types.DataclassType | types.TypedDictType | types.StructType, inside: tuple[type, ...]) -> Schema:
    cls = node.cls
    if cls in inside:
        raise TypeError(f"{cls.__qualname__} contains itself, and a tool's schema has to end somewhere")
    plain = get_origin(cls) or cls  # of a generic class
    hints = get_type_hints(plain, include_extras=True)
    properties = {
        field.encode_name: _property(
            _noted(field.type, hints.get(field.name)), "", field.default is None, (*inside, cls)
        )
        for field in node.fields
    }
    required = [field.encode_name for field in node.fields if field.required]
    if isinstance(node, types.StructType) and node.tag_field is not None:
        properties = {node.tag_field: _choice([node.tag])} | properties
        required.insert(0, node.tag_field)
    return _described(object_schema(properties, required), _class_summary(plain))


def _noted(node: types.Type, hint: Any) -> types.Type:
    """The type of a field with the notes of its hint, which msgspec leaves out."""
    if getattr(hint, "__parameters__", ()):  # of a generic class: only the node knows what its variables stand for
        return types.Metadata(node, {"description": note(hint)})
    noted = _with_notes(hint)
    return node if noted is hint else types.type_info(noted)


def _class_summary(cls: type) -> str:
    doc = vars(cls).get("__doc__") or ""
    # A dataclass without a docstring is given its own signature for one: that helps nobody.
    return "" if doc.startswith(f"{cls.__name__}(") else summary(doc)


# --- words -------------------------------------------------------------------------------------------------

_SECTION = re.compile(r"^(?:(?:Args|Arguments|Parameters|Returns|Yields|Raises|Examples?|Notes?):\s*$|:\w)")
_REST = re.compile(r"^:param[ \t]+(?:[^:\n]*[ \t])?(\w+):[ \t]*(.*(?:\n[ \t]+\S.*)*)", re.MULTILINE)
_GOOGLE = re.compile(r"^(?:Args|Arguments|Parameters):[ \t]*\n((?:[ \t]+.*(?:\n|$)|[ \t]*\n)*)", re.MULTILINE)
_NUMPY = re.compile(r"^(?:Other )?Parameters[ \t]*\n-{3,}[ \t]*\n((?:(?!.*\n-{3,}).*(?:\n|$))*)", re.MULTILINE)
_NUMPY_ENTRY = re.compile(r"^(\w+(?:, *\w+)*)[ \t]*(?::.*)?((?:\n[ \t]+\S.*|\n[ \t]*(?=\n))+)", re.MULTILINE)
_GOOGLE_ENTRY = re.compile(r"^(\w+)[ \t]*(?:\(.*?\))?:[ \t]*(.*(?:\n[ \t]+\S.*)*)", re.MULTILINE)


def summary(doc: str | None) -> str:
    """The first paragraph of a docstring, as one line."""
    lines: list[str] = []
    text = inspect.cleandoc(doc or "").splitlines()
    for line, following in zip_longest(text, text[1:], fillvalue=""):
        if not line.strip() or _SECTION.match(line) or following.startswith("---"):
            break
        lines.append(line.strip())
    return " ".join(lines)


def parameter_docs(doc: str | None) -> dict[str, str]:
    """What a docstring says about each parameter, in Google, NumPy or reST (``:param x:``) form."""
    text = inspect.cleandoc(doc or "")
    entries = _REST.findall(text)
    for block in _GOOGLE.findall(text):
        entries += _GOOGLE_ENTRY.findall(textwrap.dedent(block))
    for block in _NUMPY.findall(text):
        entries += [(name, words) for names, words in _NUMPY_ENTRY.findall(block) for name in names.split(", ")]
    return {name: " ".join(words.split()) for name, words in entries}


def usage(parameters: Schema) -> str:
    """The parameters in one line, to remind a model of them: ``day (string), limit (integer, optional)``."""
    required = parameters.get("required", ())
    return ", ".join(
        f"{name} ({_kind(schema)}{'' if name in required else ', optional'})"
        for name, schema in parameters["properties"].items()
    )


def _kind(schema: Schema) -> str:
    if "enum" in schema:
        return "one of " + " ".join(msgspec.json.encode(choice).decode() for choice in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_kind(branch) for branch in schema["anyOf"])
    names = schema.get("type", "anything")
    kind = " or ".join(names) if isinstance(names, list) else names
    if "format" not in schema:
        return kind
    example = _EXAMPLES.get(schema["format"])
    return f"{kind}, {schema['format']}" + (f" like {example}" if example else "")
