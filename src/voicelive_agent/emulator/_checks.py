"""Checks of what a client sends: each raises a ClientError that names the parameter."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ._errors import ClientError

Check: TypeAlias = Callable[[Any, str], None]
"""``check(value, path)`` returns if ``value`` is allowed at ``path``."""


def _type_name(value: object) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "an integer", float: "a number", str: "a string", list: "an array"}
    return names.get(type(value), "an object")


class WrongType(ClientError):
    """A value of another type than expected."""


def wrong_type(path: str, expected: str, value: object) -> WrongType:
    """The error for a value of another type than expected."""
    return WrongType(
        f"Invalid type for '{path}': expected {expected}, but got {_type_name(value)} instead.", param=path
    )


def missing(path: str) -> ClientError:
    """The error for a required parameter that is not there."""
    return ClientError(f"Missing required parameter: '{path}'.", code="missing_required_parameter", param=path)


def text(value: Any, path: str) -> None:
    """A string."""
    if not isinstance(value, str):
        raise wrong_type(path, "a string", value)


def boolean(value: Any, path: str) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise wrong_type(path, "a boolean", value)


def anything(value: Any, path: str) -> None:
    """No check: the emulator only echoes it."""


def number(low: float, high: float = math.inf) -> Check:
    """A number from ``low`` to ``high``."""

    def check(value: Any, path: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong_type(path, "a number", value)
        if not low <= value <= high:
            raise ClientError(f"Invalid value for '{path}': {value} is out of range.", param=path)

    return check


def integer(low: int, high: float = math.inf) -> Check:
    """A whole number from ``low`` to ``high``."""

    def check(value: Any, path: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(path, "an integer", value)
        number(low, high)(value, path)

    return check


def one_of(*allowed: str | int) -> Check:
    """One of these values."""
    known = ", ".join(repr(each) for each in allowed)
    types = tuple({type(each) for each in allowed})

    def check(value: Any, path: str) -> None:
        if isinstance(value, bool) or not isinstance(value, types):
            raise wrong_type(path, f"one of {known}", value)
        if value not in allowed:
            raise ClientError(f"Invalid value for '{path}': {value!r}. Supported values are: {known}.", param=path)

    return check


def either(*checks: Check) -> Check:
    """What any of the checks allows; the error is that of the one which allows the value's type, else the last."""

    def check(value: Any, path: str) -> None:
        errors: list[ClientError] = []
        for each in checks:
            try:
                return each(value, path)
            except ClientError as error:
                errors.append(error)
        raise next((error for error in errors if not isinstance(error, WrongType)), errors[-1])

    return check


def null_or(inner: Check) -> Check:
    """Null, or what ``inner`` allows."""

    def check(value: Any, path: str) -> None:
        if value is not None:
            inner(value, path)

    return check


def array(inner: Check) -> Check:
    """A list, each entry checked by ``inner``."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, list):
            raise wrong_type(path, "an array", value)
        for index, each in enumerate(value):
            inner(each, f"{path}[{index}]")

    return check


def struct(fields: Mapping[str, Check], *, required: tuple[str, ...] = (), closed: bool = False) -> Check:
    """An object with these fields; ``closed`` refuses others."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise wrong_type(path, "an object", value)
        for name in required:
            if name not in value:
                raise missing(f"{path}.{name}" if path else name)
        for name, each in value.items():
            inner = f"{path}.{name}" if path else name
            if name in fields:
                fields[name](each, inner)
            elif closed:
                raise ClientError(f"Unknown parameter: '{inner}'.", param=inner)

    return check


def union(tag: str, variants: Mapping[str, Check]) -> Check:
    """An object whose ``tag`` says which check applies."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise wrong_type(path, "an object", value)
        if tag not in value:
            raise missing(f"{path}.{tag}")
        one_of(*variants)(value[tag], f"{path}.{tag}")
        variants[value[tag]](value, path)

    return check
