"""What an import costs: nothing heavy is loaded before it is used, and every promised name is there."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import subprocess
import sys

import pytest

import voicelive_agent

HEAVY = ["aiohttp", "azure", "numpy", "sounddevice"]
LIGHT = ["audio", "config", "errors", "events", "history", "_conversation", "_wire"]
"""Modules that can be used alone: in a tool, a test, a type annotation."""

REPORT = "import sys, json; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after running ``code``."""
    done = subprocess.run([sys.executable, "-c", f"{code}\n{REPORT}"], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def heavy_in(loaded: set[str]) -> list[str]:
    return [name for name in HEAVY if name in loaded]


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = loaded_by("import voicelive_agent; dir(voicelive_agent); voicelive_agent.__all__")
    assert "voicelive_agent" in loaded
    assert heavy_in(loaded) == []
    assert "msgspec" not in loaded


def test_a_star_import_loads_nothing_heavy() -> None:
    assert heavy_in(loaded_by("from voicelive_agent import *")) == []


def test_light_modules_load_nothing_heavy() -> None:
    imports = "; ".join(f"import voicelive_agent.{name}" for name in LIGHT)
    assert heavy_in(loaded_by(imports)) == []


@pytest.mark.parametrize("name", ["numpy", "aiohttp"])
def test_what_is_heavy_would_be_noticed(name: str) -> None:
    assert heavy_in(loaded_by(f"import {name}")) == [name]


def test_the_public_names_are_few_and_sorted() -> None:
    names = voicelive_agent.__all__
    assert names == sorted(names)
    assert len(names) == len(set(names))
    assert 1 <= len(names) <= 40
    assert not any(name.startswith("_") for name in names)
    assert set(names) <= set(dir(voicelive_agent))


@pytest.mark.parametrize("name", voicelive_agent.__all__)
def test_every_public_name_is_what_its_module_calls_so(name: str) -> None:
    value = getattr(voicelive_agent, name)
    origin = getattr(value, "__module__", "voicelive_agent")
    if origin.startswith("voicelive_agent."):  # a class or a function; others are aliases of types
        assert getattr(importlib.import_module(origin), name) is value
    assert getattr(voicelive_agent, name) is value


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"voicelive_agent.*Assistant"):
        _ = voicelive_agent.Assistant
    assert not hasattr(voicelive_agent, "_no_such_thing")


def test_type_checkers_see_the_same_names_as_the_interpreter() -> None:
    """The names are written twice, for both of them; ``__all__`` is the third place."""
    tree = ast.parse(inspect.getsource(voicelive_agent))
    for_checkers = {
        alias.asname or alias.name
        for block in tree.body
        if isinstance(block, ast.If)
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert for_checkers == set(voicelive_agent.__all__)
