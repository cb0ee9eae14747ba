"""Fault scripts as JSON: every wrong entry is refused with its place and its field."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar, get_args

from ..errors import ConfigurationError
from ._fault_actions import EventAction, FaultAction, HandshakeAction, SocketAction, When

__all__ = ["action_of", "action_to_json", "when_of", "when_to_json"]

T = TypeVar("T")


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


_ACTIONS: Mapping[str, Callable[..., FaultAction]] = {
    _snake(kind.__name__): kind
    for union in (HandshakeAction, SocketAction, EventAction)
    for kind in get_args(union)
}


def _integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return _integer(value) or (isinstance(value, float) and math.isfinite(value))


_KINDS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "int": (_integer, "an integer"),
    "float": (_number, "a number"),
    "bool": (lambda value: isinstance(value, bool), "true or false"),
    "str": (lambda value: isinstance(value, str), "a string"),
    "Mapping[str, Any]": (lambda value: isinstance(value, Mapping), "an object"),
    "object": (lambda value: True, "anything"),
}
"""Annotation: whether a JSON value is of it, and what it is called. Any other is a choice of strings."""


def shown(value: object) -> str:
    """A value in an error message: its JSON, shortened."""
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else f"{text[:57]}..."


def made(kind: Callable[..., T], given: Mapping[str, object], where: str) -> T:
    """The dataclass ``kind`` with these fields, all of them checked; ``where`` names the place in errors."""
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    for name, value in given.items():
        if name not in known:
            has = ", ".join(known) or "none"
            raise ConfigurationError(f"{where}.{name} is no field of it.", hint=f"Its fields are: {has}.")
        annotation = str(known[name].type)
        optional = annotation.endswith(" | None")
        fits, called = _KINDS.get(annotation.removesuffix(" | None"), _KINDS["str"])
        if not (value is None and optional) and not fits(value):
            raise ConfigurationError(f"{where}.{name} must be {called}, not {shown(value)}.")
    for name, field in known.items():
        if field.default is MISSING and name not in given:
            raise ConfigurationError(f"{where}.{name} is missing.")
    try:
        return kind(**given)
    except ValueError as error:
        raise ConfigurationError(f"{where}.{error}") from error


def when_of(given: object, where: str) -> When:
    """The :class:`When` in JSON: an object, or only its ``at``."""
    if isinstance(given, str):
        given = {"at": given}
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"{where} must be an object or a string, not {shown(given)}.")
    return made(When, given, where)


def action_of(given: object, where: str) -> FaultAction:
    """The action in JSON: an object whose ``do`` names it, or only that name."""
    if isinstance(given, str):
        given = {"do": given}
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"{where} must be an object or a string, not {shown(given)}.")
    name = given.get("do")
    if not isinstance(name, str) or name not in _ACTIONS:
        known = ", ".join(sorted(_ACTIONS))
        raise ConfigurationError(
            f"{where}.do must be the name of an action, not {shown(name)}.", hint=f"One of: {known}."
        )
    return made(_ACTIONS[name], {key: value for key, value in given.items() if key != "do"}, where)


def when_to_json(when: When) -> dict[str, Any]:
    """What :func:`when_of` makes this of."""
    return _changed(when)


def action_to_json(action: FaultAction) -> dict[str, Any]:
    """What :func:`action_of` makes this of."""
    return {"do": _snake(type(action).__name__), **_changed(action)}


def _changed(value: When | FaultAction) -> dict[str, Any]:
    """The fields that are not the default."""
    every = {field.name: (field.default, getattr(value, field.name)) for field in fields(value)}
    return {name: given for name, (default, given) in every.items() if given != default}
