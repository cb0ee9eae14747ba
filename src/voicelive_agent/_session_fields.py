"""What every object of the session has in common: checked when it is made, turned into JSON by one rule.

The annotation of a field is its whole specification: its type, which values are allowed (``Literal``), its
range (a :class:`Rule` inside ``Annotated``). A field that is annotated with other parts also takes a plain
mapping or a model of the Azure SDK in their place; those models are recognised by what they can do, so
Azure is never imported.
"""

from __future__ import annotations

import difflib
import math
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from enum import Enum
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from .errors import ConfigurationError

__all__ = [
    "Fraction",
    "JsonObject",
    "Milliseconds",
    "Part",
    "PositiveInt",
    "Rule",
    "Text",
    "between",
    "json_copy",
    "mapping_of",
    "part_of",
    "refuse",
]

JsonObject: TypeAlias = Mapping[str, Any]
"""A JSON object as a plain mapping, or a model of the Azure SDK (which is one)."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a value must be, in words that complete "it must be ...", and the test for it."""

    must: str
    holds: Callable[[Any], bool]


def between(low: float, high: float, unit: str = "") -> Rule:
    """A number from ``low`` to ``high``, both included."""
    return Rule(f"between {low:g} and {high:g}{unit and ' ' + unit}", lambda value: low <= value <= high)


Milliseconds: TypeAlias = Annotated[int, Rule("0 ms or more", lambda value: value >= 0)]
PositiveInt: TypeAlias = Annotated[int, Rule("1 or more", lambda value: value >= 1)]
Fraction: TypeAlias = Annotated[float, between(0, 1)]
Text: TypeAlias = Annotated[str, Rule("not empty", lambda value: bool(value.strip()))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """An object of the session: immutable, checked, and with the service's own names for its fields.

    A field that is ``None`` is left to the service and not sent. ``TAG`` names the JSON key whose constant
    value (a class attribute of the same name) tells this kind from others in the same place.
    """

    TAG: ClassVar[str] = ""

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self), include_extras=True)
        for field in fields(self):
            where = f"{type(self).__name__}.{field.name}"
            value = _convert(getattr(self, field.name), hints[field.name], where, secret=not field.repr)
            object.__setattr__(self, field.name, value)

    def to_dict(self) -> dict[str, Any]:
        """This object as new plain JSON, without what is left to the service."""
        tag = {self.TAG: getattr(self, self.TAG)} if self.TAG else {}
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return tag | {name: _plain(value) for name, value in values.items() if value is not None}


AnyPart = TypeVar("AnyPart", bound=Part)


def refuse(where: str, value: Any, must: str, *, secret: bool = False, hint: str = "") -> ConfigurationError:
    """The error that names the field, the value and what is allowed.

    Of a secret, and of anything that could hold one, only the type is named.
    """
    harmless = not secret and (value is None or isinstance(value, str | int | float))
    shown = _shortened(repr(value)) if harmless else f"of type {type(value).__name__}"
    return ConfigurationError(f"{where} is {shown}; it must be {must}.", hint=hint)


def mapping_of(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a mapping says. SDK models answer with ``as_dict()``, which alone keeps their explicit nulls."""
    as_dict = getattr(value, "as_dict", None)
    if as_dict is None:
        return value
    plain: Mapping[str, Any] = as_dict()
    return plain


def part_of(kind: type[AnyPart], value: Mapping[str, Any], **absent: Any) -> AnyPart:
    """The part that a mapping describes; ``absent`` replaces the defaults of fields it does not mention."""
    name = kind.__name__
    known = sorted({field.name for field in fields(kind)} | {kind.TAG} - {""})
    for key in value:
        if key not in known:
            hint = _did_you_mean(key, known) or "What this version does not know goes into SessionConfig.extra."
            raise ConfigurationError(f"{name} has no field {key!r}; it has {', '.join(known)}.", hint=hint)
    optional = {field.name for field in fields(kind) if _has_default(field)}
    if missing := [repr(key) for key in known if key not in value and key not in optional | {kind.TAG}]:
        raise ConfigurationError(f"{name} needs {' and '.join(missing)}.")
    return kind(**absent | {key: given for key, given in value.items() if key != kind.TAG})


def _has_default(field: Field[Any]) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def json_copy(value: Any, where: str) -> Any:
    """A deep copy of a JSON value.

    Raises :class:`~voicelive_agent.errors.ConfigurationError` for what JSON cannot express.
    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, Part):
        return value.to_dict()
    if isinstance(value, Mapping):
        if odd := [key for key in value if not isinstance(key, str)]:
            raise refuse(f"a key of {where}", odd[0], "text")
        return {key: json_copy(item, f"{where}.{key}") for key, item in mapping_of(value).items()}
    if isinstance(value, list | tuple):
        return [json_copy(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise refuse(where, value, "JSON: text, a finite number, true, false, null, a list or a mapping", secret=True)


# --- one value, one annotation -----------------------------------------------------------------------------


def _convert(value: Any, hint: Any, where: str, *, secret: bool) -> Any:
    """``value`` in the form the annotation ``hint`` asks for; raises :class:`ConfigurationError`."""
    if isinstance(value, Enum):
        value = value.value
    arms = _arms(hint)
    fitting = [arm for arm in arms if _fits(value, _base(arm))]
    if not fitting:
        raise refuse(where, value, _described(arms), secret=secret, hint=_hint_for(value, arms))
    if parts := [arm for arm in fitting if _is_part(arm)]:
        return value if isinstance(value, Part) else _tagged(mapping_of(value), parts, where)
    base = _base(fitting[0])
    converted = _contents(value, base, where, secret=secret)
    for rule in _rules(fitting[0]):
        if not rule.holds(converted):
            raise refuse(where, value, _described(fitting), secret=secret)
    return converted


def _fits(value: Any, base: Any) -> bool:
    """Whether a value is of the right kind, its contents aside. ``True`` is no number here."""
    origin = get_origin(base)
    if origin is Literal:
        return value in get_args(base)
    if base is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if base is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if origin is Sequence:
        return isinstance(value, list | tuple)
    if _is_part(base):
        return isinstance(value, base if isinstance(value, Part) else Mapping)
    return isinstance(value, origin or base)


def _contents(value: Any, base: Any, where: str, *, secret: bool) -> Any:
    """A container copied and its items converted, so that nothing the caller still holds can change it."""
    origin = get_origin(base)
    if origin is Sequence:
        (item,) = get_args(base)
        return tuple(_convert(one, item, f"{where}[{at}]", secret=secret) for at, one in enumerate(value))
    if origin is Mapping:
        _, item = get_args(base)
        copied = json_copy(value, where)
        if item is Any:
            return copied
        return {key: _convert(one, item, f"{where}[{key!r}]", secret=secret) for key, one in copied.items()}
    return value


def _tagged(mapping: Mapping[str, Any], parts: Sequence[type[Part]], where: str) -> Part:
    """The one of ``parts`` that the mapping's tag names."""
    tag = parts[0].TAG
    if len(parts) == 1 and tag not in mapping:
        return part_of(parts[0], mapping)
    kinds = {getattr(part, tag): part for part in parts}
    given = mapping.get(tag)
    given = given.value if isinstance(given, Enum) else given
    if not isinstance(given, str) or given not in kinds:
        raise refuse(f"{where}[{tag!r}]", given, _one_of(kinds), hint=_did_you_mean(given, kinds))
    return part_of(kinds[given], mapping)


def _arms(hint: Any) -> Sequence[Any]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _base(arm: Any) -> Any:
    return get_args(arm)[0] if get_origin(arm) is Annotated else arm


def _rules(arm: Any) -> Sequence[Rule]:
    return get_args(arm)[1:] if get_origin(arm) is Annotated else ()


def _is_part(base: Any) -> bool:
    return isinstance(base, type) and issubclass(base, Part)


# --- words -------------------------------------------------------------------------------------------------

_WORDS: Mapping[Any, str] = {
    bool: "True or False",
    float: "a number",
    int: "a whole number",
    str: "text",
    type(None): "None",
}


def _described(arms: Iterable[Any]) -> str:
    """What a field takes, for people: "a number between 0 and 1 or None"."""
    return " or ".join(" ".join([_word(_base(arm)), *(rule.must for rule in _rules(arm))]) for arm in arms)


def _word(base: Any) -> str:
    if get_origin(base) is Literal:
        return _one_of(get_args(base))
    if get_origin(base) is Sequence:
        return f"a list, each item {_described(_arms(get_args(base)[0]))}"
    if get_origin(base) is Mapping:
        return "a mapping"
    return _WORDS.get(base) or f"{base.__name__}(...)"


def _one_of(choices: Iterable[Any]) -> str:
    words = [repr(choice) for choice in choices]
    return f"one of {', '.join(words)}" if len(words) > 1 else words[0]


def _hint_for(value: Any, arms: Iterable[Any]) -> str:
    choices = [choice for arm in arms if get_origin(_base(arm)) is Literal for choice in get_args(_base(arm))]
    return _did_you_mean(value, choices)


def _did_you_mean(value: Any, choices: Iterable[Any]) -> str:
    close = difflib.get_close_matches(str(value), [str(choice) for choice in choices], n=1)
    return f"Did you mean {close[0]!r}?" if close else ""


def _shortened(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


def _plain(value: Any) -> Any:
    if isinstance(value, Part):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
