"""YAML with the line of everything, for errors that say where."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ..errors import ConfigurationError

__all__ = ["Located", "parse_yaml"]


class Located(dict[str, Any]):
    """A mapping that knows the line of each key."""

    def __init__(self, values: Mapping[str, Any], lines: Mapping[str | int, int]) -> None:
        super().__init__(values)
        self.lines = lines


class LocatedList(list[Any]):
    """A list that knows the line of each element."""

    def __init__(self, values: list[Any], lines: Mapping[str | int, int]) -> None:
        super().__init__(values)
        self.lines = lines


def parse_yaml(text: str, file: str) -> Any:
    """The value of a YAML document; raises ConfigurationError where it is none, or the extra is missing."""
    if find_spec("yaml") is None:
        raise ConfigurationError(
            f"{file} is YAML, and the package pyyaml is not installed.",
            hint='pip install "voicelive-agent[scenarios]", or write the script in Python.',
        )
    yaml = import_module("yaml")
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        return None if node is None else _located(loader, node, file, ())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file}, line {mark.line + 1}" if mark else file
        problem = getattr(error, "problem", None) or str(error)
        raise ConfigurationError(
            f"{where}: not valid YAML: {problem}.",
            hint=r"Put texts with : # { [ or a backslash into single quotes: '\1'.",
        ) from error
    finally:
        loader.dispose()


def _located(loader: Any, node: Any, file: str, outer: tuple[int, ...]) -> Any:
    line = node.start_mark.line + 1
    if id(node) in outer:
        raise ConfigurationError(f"{file}, line {line}: the alias contains itself.", hint="Write it out.")
    inner = (*outer, id(node))
    if node.id == "sequence":
        values = [_located(loader, each, file, inner) for each in node.value]
        return LocatedList(values, {index: each.start_mark.line + 1 for index, each in enumerate(node.value)})
    if node.id != "mapping":
        return loader.construct_object(node, deep=True)
    own = [key_node.value for key_node, _ in node.value]
    loader.flatten_mapping(node)
    found: dict[str, Any] = {}
    lines: dict[str | int, int] = {}
    for key_node, value_node in node.value:
        key, line = loader.construct_object(key_node, deep=True), key_node.start_mark.line + 1
        if not isinstance(key, str):
            raise ConfigurationError(f"{file}, line {line}: the key {key!r} is not a text.", hint="Quote it.")
        if key in found and own.count(key) > 1:
            raise ConfigurationError(f"{file}, line {line}: {key!r} is there twice.", hint="Remove one of them.")
        found[key], lines[key] = _located(loader, value_node, file, inner), line
    return Located(found, lines)
