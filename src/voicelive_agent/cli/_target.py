"""What ``TARGET`` on a command line means: an agent in somebody's file or module.

``hello.py``, ``hello.py:Receptionist``, ``package.module`` and ``package.module:make_agent`` are targets. Without
a name it is what is called ``agent`` or ``make_agent``, or else the one VoiceAgent subclass that is defined there.
Everything that can be wrong is a ConfigurationError: a sentence and a hint, and for an exception of the user's own
code the lines of it that led there.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple, TypeAlias

from .._agent import VoiceAgent
from ..errors import ConfigurationError, VoiceLiveError

__all__ = ["Found", "Target", "explained", "find", "parse"]

CONVENTIONS: Final = ("agent", "make_agent")
"""Names that need not be told: they win over classes, since somebody chose them."""

Maker: TypeAlias = Callable[[], object]


class Target(NamedTuple):
    """A target, taken apart: a file or a module, and the name in it ("" if none was given)."""

    place: Path | str
    name: str

    @property
    def root(self) -> Path:
        """The folder that is put on ``sys.path``: the user's code is in it."""
        return self.place.resolve().parent if isinstance(self.place, Path) else Path.cwd()

    @property
    def files(self) -> list[Path]:
        """The file that is named, if one is."""
        return [self.place.resolve()] if isinstance(self.place, Path) else []

    def __str__(self) -> str:
        return f"{self.place}:{self.name}" if self.name else str(self.place)


@dataclass(frozen=True, slots=True)
class Found:
    """An agent that can be made, as often as wanted; ``name`` is what it is called there."""

    target: Target
    name: str
    maker: Maker

    def make(self) -> VoiceAgent:
        """The agent. ConfigurationError if its code raises, or makes something else."""
        with _blamed(f"{self.target.place}: {self.name}"):
            made = self.maker()
        if inspect.iscoroutine(made):
            made.close()
            raise ConfigurationError(
                f"{self.target.place}: {self.name} is async.",
                hint="Make it a plain function that returns the agent.",
            )
        if not isinstance(made, VoiceAgent):
            raise ConfigurationError(
                f"{self.target.place}: {self.name} gave a {type(made).__name__}, not a VoiceAgent.",
                hint="It has to be a subclass of VoiceAgent, an agent, or a function that returns one.",
            )
        return made


# --- reading it -----------------------------------------------------------------------------------------------


def parse(text: str) -> Target:
    """Take a target apart. ConfigurationError if it cannot be one."""
    place, _, name = text.rpartition(":")
    if not place or not all(part.isidentifier() for part in name.split(".")):
        place, name = text, ""  # no name in it; the colon may be that of a Windows drive
    if place.endswith(".py") or os.sep in place or "/" in place or Path(place).is_file():
        _read(Path(place))  # now: what is asked for may take long to get ready
        return Target(Path(place), name)
    if not all(part.isidentifier() for part in place.split(".")):
        raise ConfigurationError(f"{text!r} is no target.", hint="Write hello.py, hello.py:Name, or module:Name.")
    return Target(place, name)


def find(target: Target) -> Found:
    """Load the target and find the agent in it. ConfigurationError for anything that is wrong with it."""
    module = _load_file(target.place) if isinstance(target.place, Path) else _load_module(target.place)
    name = target.name or _only_agent(module, target)
    return Found(target, name, _maker(module, name, target))


# --- loading --------------------------------------------------------------------------------------------------


def _load_file(path: Path) -> ModuleType:
    """Run a file as a module of its own name, with its folder on ``sys.path`` as Python does."""
    source = _read(path)
    resolved = path.resolve()
    _put_on_path(resolved.parent)
    name = path.stem if path.stem not in sys.modules else f"_target_{path.stem}"  # it may be called queue.py
    loader = importlib.machinery.SourceFileLoader(name, str(resolved))
    spec = importlib.util.spec_from_file_location(name, resolved, loader=loader)
    assert spec is not None  # there is a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _blamed(str(path)):
            # Not exec_module(): it trusts cached bytecode, which knows the time of a change to the second only.
            exec(loader.source_to_code(source, str(resolved)), module.__dict__)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _read(path: Path) -> bytes:
    if path.is_dir():
        raise ConfigurationError(f"{path} is a folder.", hint="Name a file in it.")
    try:
        source = path.read_bytes()
    except FileNotFoundError:
        near = get_close_matches(path.name, [each.name for each in path.parent.glob("*.py")], n=1)
        hint = f"Did you mean {path.with_name(near[0])}?" if near else f"It was looked for in {Path.cwd()}."
        raise ConfigurationError(f"{path}: there is no such file.", hint=hint) from None
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror or error}.", hint="It must be a file that you may read."
        ) from error
    if b"\0" in source:  # Python's own words about it name no line
        raise ConfigurationError(
            f"{path} is no Python code.", hint="A recording that is to be the user is --source FILE."
        )
    return source


def _load_module(name: str) -> ModuleType:
    _put_on_path(Path.cwd())
    importlib.invalidate_caches()
    with _blamed(name):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as missing:
            if missing.name is None or not f"{name}.".startswith(f"{missing.name}."):
                raise  # it is there, and something that it imports is not
            where = f"It was looked for in {Path.cwd()} and among the installed packages; a file is NAME.py."
            raise ConfigurationError(f"There is no module {missing.name}.", hint=where) from None


def _put_on_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


# --- finding --------------------------------------------------------------------------------------------------


def _only_agent(module: ModuleType, target: Target) -> str:
    """The name of the one agent in a module."""
    classes = [name for name, value in vars(module).items() if _is_agent_class(value) and _is_of(module, value)]
    found = [name for name in CONVENTIONS if _makes_agents(getattr(module, name, None))] or classes
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigurationError(
            f"{target.place}: there is no agent in it.",
            hint="Define a subclass of VoiceAgent, or a function make_agent() that returns an agent.",
        )
    names = " or ".join(f"{target.place}:{name}" for name in found)
    raise ConfigurationError(f"{target.place}: there are several agents in it.", hint=f"Say which one: {names}.")


def _maker(module: ModuleType, name: str, target: Target) -> Maker:
    """What makes the agent of this name."""
    value: Any = module
    for part in name.split("."):
        try:
            value = getattr(value, part)
        except AttributeError:
            there = [each for each, other in vars(module).items() if _is_of(module, other) or each in CONVENTIONS]
            hint = f"There is: {', '.join(there)}." if there else "There is no agent in it."
            raise ConfigurationError(f"{target.place}: there is no {name} in it.", hint=hint) from None
    if isinstance(value, VoiceAgent):
        return lambda: value
    if _is_agent_class(value):
        return _class_maker(value, name, target)
    if isinstance(value, type) or not callable(value):
        what = f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"
        raise ConfigurationError(
            f"{target.place}: {name} is {what}.",
            hint="It has to be a subclass of VoiceAgent, an agent, or a function that returns one.",
        )
    return _factory(value, name, target)


def _class_maker(cls: type[VoiceAgent], name: str, target: Target) -> Maker:
    if getattr(cls.from_env, "__func__", None) is getattr(VoiceAgent.from_env, "__func__", None):
        try:
            inspect.signature(cls).bind(settings=None)
        except TypeError as error:
            raise ConfigurationError(
                f"{target.place}: {name}.from_env() cannot make one: {error}.",
                hint="Let its __init__ take **arguments and hand them on, or write a function make_agent().",
            ) from None
    return cls.from_env


def _factory(function: Callable[..., object], name: str, target: Target) -> Maker:
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise ConfigurationError(
            f"{target.place}: {name}() cannot be called without arguments: {error}.",
            hint="Give them defaults, or write a function make_agent() that knows them.",
        ) from None
    except ValueError:  # something built in that has no signature: the call will tell
        pass
    return function


def _is_agent_class(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, VoiceAgent) and value is not VoiceAgent


def _is_of(module: ModuleType, value: object) -> bool:
    """Whether this makes agents, and was defined in the module: not what it imports."""
    return _makes_agents(value) and getattr(value, "__module__", None) == module.__name__


def _makes_agents(value: object) -> bool:
    return isinstance(value, VoiceAgent) or _is_agent_class(value) or inspect.isroutine(value)


# --- whose fault it is ----------------------------------------------------------------------------------------


@contextmanager
def _blamed(what: str) -> Iterator[None]:
    """What the user's code raises is a sentence, and the lines of that code."""
    try:
        yield
    except VoiceLiveError:
        raise
    except SyntaxError as error:
        place = f"{_short(error.filename or what)}, line {error.lineno}"
        line = f": {error.text.strip()!r}" if error.text else ""
        raise ConfigurationError(f"{place}: {error.msg}{line}.") from error
    except SystemExit as error:
        raise ConfigurationError(
            f"{what} ended the program while it was loaded.",
            hint='Put what it does when it is run under `if __name__ == "__main__":`.',
        ) from error
    except Exception as error:
        raise ConfigurationError(f"{what} raised {explained(error)}") from error


def explained(error: BaseException) -> str:
    """An exception in a sentence, and the lines of the user's own code that led to it, innermost last.

    If there are none of these it was not the user's code, and all lines are shown.
    """
    summary = f"{type(error).__name__}: {error}".removesuffix(": ") + "."
    told = traceback.TracebackException.from_exception(error)
    lines = [frame for frame in told.stack if _is_users(frame.filename)] or list(told.stack)
    for frame in lines:
        frame.filename = _short(frame.filename)
    return "\n".join([summary, *"".join(traceback.format_list(lines)).rstrip().splitlines()])


def _is_users(filename: str) -> bool:
    """Whether code is neither ours nor Python's nor in an installed package."""
    if filename.startswith("<"):  # frozen into the interpreter, or generated
        return False
    path = Path(filename).resolve()
    if path.is_relative_to(Path(__file__).parents[1]):
        return False
    places = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return not any(path.is_relative_to(Path(place).resolve()) for place in places if place)


def _short(filename: str) -> str:
    """A file as a person would write it: from here, if it is below here."""
    path = Path(filename)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else filename
