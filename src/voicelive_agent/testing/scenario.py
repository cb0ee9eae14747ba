r"""Conversations written down: scenarios in YAML (extra ``scenarios``), in the words of :class:`Conversation`.

::

    agent: ../receptionist.py                 # seen from this file
    answers:                                  # the rules of a script, or the path of one
      - when: {matches: 'open on (\w+)'}
        call: opening_hours
        arguments: {day: '\1'}
      - when: {output_of: opening_hours}
        say: 'On that day: \0.'
    scenarios:
      - name: Sundays
        steps:
          - user says: Are you open on Sunday?
          - expect tool: {name: opening_hours, arguments: {day: Sunday}}
          - expect says: closed

The steps are the methods of a conversation, with spaces for underscores; their parameters are the parameters.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..emulator._script_file import content_of
from ..emulator._script_yaml import Located, parse_yaml
from ..emulator._written import Where, near, only, positive, text_of
from ..emulator.script import Script
from ..errors import ConfigurationError, VoiceLiveError
from ..events import EndReason, State
from ._likeness import Like
from ._play import KEYS, MakesAgent
from ._story import ExpectationFailed
from .conversation import Conversation

if TYPE_CHECKING:
    from ..emulator import Options

__all__ = ["Outcome", "Scenario", "ScenarioStep", "load_scenarios"]

_COMMON = ("agent", "answers", "options", "model", "speech", "time", "within_s")
STEPS: Mapping[str, Mapping[str, inspect.Parameter]] = {
    method.replace("_", " "): dict(list(inspect.signature(function).parameters.items())[1:])
    for method, function in vars(Conversation).items()
    if method.startswith(("user_", "expect_"))
}
"""Every step and its parameters; a value that is no mapping is the first of them."""


@dataclass(frozen=True, slots=True)
class ScenarioStep:
    """One step: the line it is in, its words, and the method of a conversation with its arguments."""

    line: int
    words: str
    method: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a scenario came out. ``failure`` is "" if it passed; ``line`` is that of the step that failed."""

    scenario: Scenario
    elapsed_s: float
    story: str
    failure: str = ""
    line: int = 0

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return not self.failure

    @property
    def place(self) -> str:
        """The file, and the line of what failed or of the scenario."""
        return f"{self.scenario.file}:{self.line or self.scenario.line}"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One conversation. ``agent`` is what the file says about whose agent it is, None if it says nothing."""

    name: str
    file: Path
    line: int
    steps: Sequence[ScenarioStep]
    agent: str | None
    answers: Script | None
    setting: Mapping[str, Any]
    """The other arguments of a conversation."""

    def perform(self, agent: MakesAgent) -> Outcome:
        """Hold the conversation with this agent; what goes wrong in it is in the outcome."""
        began = time.perf_counter()
        call = Conversation(agent, self.answers or (), **self.setting)
        at, failure = self.line, ""
        try:
            with call:
                for step in self.steps:
                    at = step.line
                    getattr(call, step.method)(**step.arguments)
        except ExpectationFailed as error:
            failure = f"{_words_at(self.steps, at)}\nexpected: {error.expected}\nbut:      {error.found}"
        except VoiceLiveError as error:
            failure = f"{_words_at(self.steps, at)}\n{error}"
        except Exception as error:  # noqa: BLE001  the border to the agent's hooks: it is reported
            failure = f"{_words_at(self.steps, at)}\nthe agent raised {type(error).__name__}: {error}"
        try:
            story = call.story
        except RuntimeError:  # it did not even begin
            story = ""
        return Outcome(self, time.perf_counter() - began, story, failure, at if failure else 0)


def _words_at(steps: Sequence[ScenarioStep], line: int) -> str:
    return next((step.words for step in steps if step.line == line), "the call")


def load_scenarios(path: Path) -> list[Scenario]:
    """The scenarios of a file. ConfigurationError names the line of what is wrong in it, and the fix."""

    where = Where(str(path))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise where.wrong(f"cannot be read: {error}", "Name a YAML file in UTF-8.") from error
    data = parse_yaml(text, str(path))
    if not isinstance(data, Mapping):
        raise where.wrong("is no mapping", "Begin with `agent:`, `answers:` and `scenarios:`.")
    if "scenarios" not in data:
        only(data, (*_COMMON, "name", "steps"), where)
        return [_Reader(path, data, {}, where).scenario()]
    only(data, (*_COMMON, "scenarios"), where)
    listed, place = data["scenarios"], where.inside(data, "scenarios")
    if not isinstance(listed, list) or not listed:
        raise place.wrong("is no list of scenarios", "Begin each of them with `- name:`.")
    found = []
    for index, each in enumerate(listed):
        inside = place.inside(listed, index, f"scenario {index + 1}")
        if not isinstance(each, Mapping):
            raise inside.wrong("is no mapping", "Write `- name:` and `steps:`.")
        only(each, (*_COMMON, "name", "steps"), inside)
        found.append(_Reader(path, each, data, inside).scenario())
    return found


class _Reader:
    """Reads one scenario; what it leaves out, the whole file says."""

    def __init__(self, path: Path, own: Mapping[str, Any], common: Mapping[str, Any], where: Where) -> None:
        self._path = path
        self._own = own
        self._common = common
        self._where = where

    def scenario(self) -> Scenario:
        """The scenario; raises ConfigurationError."""

        name = self._own.get("name", self._path.stem)
        agent = self._get("agent")
        return Scenario(
            name=text_of(name, self._where.inside(self._own, "name")),
            file=self._path,
            line=self._where.line or 1,
            steps=list(self._steps()),
            agent=None if agent is None else text_of(agent, self._place("agent")),
            answers=self._answers(),
            setting=self._setting(),
        )

    def _holder(self, key: str) -> Mapping[str, Any]:
        return self._own if key in self._own else self._common

    def _get(self, key: str) -> Any:
        return self._holder(key).get(key)

    def _place(self, key: str) -> Where:
        return self._where.inside(self._holder(key), key)

    def _answers(self) -> Script | None:

        given = self._get("answers")
        if given is None:
            return None
        if isinstance(given, str):
            return Script.load(self._path.parent / given)
        line = self._place("answers").line or 1
        rules = content_of(Located({"rules": given}, {"rules": line}), self._place("answers"))
        return Script(rules.rules, name=f"{self._path.name}, answers")

    def _setting(self) -> dict[str, Any]:
        setting = {
            key: self._get(key) for key in ("model", "speech", "time", "within_s") if self._get(key) is not None
        }
        for key, kind in (("model", str), ("speech", bool)):
            if key in setting and not isinstance(setting[key], kind):
                raise self._place(key).wrong(
                    f"must be a {kind.__name__}, not {setting[key]!r}", "Correct the value."
                )
        if (options := self._get("options")) is not None:
            setting["options"] = self._options(options)
        if "time" in setting and setting["time"] not in ("virtual", "real"):
            setting["time"] = positive(setting["time"], self._place("time"))
        if "within_s" in setting:
            setting["within_s"] = positive(setting["within_s"], self._place("within_s"))
        return setting

    def _options(self, given: Any) -> Options:
        from ..emulator import Options

        place = self._place("options")
        if not isinstance(given, Mapping):
            raise place.wrong(f"must be a mapping, not {given!r}", "Write, for example, {latency: service}.")
        only(given, [field.name for field in fields(Options)], place)
        try:
            return Options(**given)
        except (TypeError, ValueError) as error:
            raise place.wrong(str(error).removesuffix("."), "Correct the value.") from error

    # --- the steps ---

    def _steps(self) -> Iterator[ScenarioStep]:
        steps = self._own.get("steps")
        place = self._where.inside(self._own, "steps")
        if not isinstance(steps, list) or not steps:
            raise place.wrong("is no list of steps", "Begin each step with `- user says:` or another one.")
        for index, step in enumerate(steps):
            yield self._step(step, place.inside(steps, index, f"step {index + 1}"))

    def _step(self, step: Any, where: Where) -> ScenarioStep:

        given = {step: None} if isinstance(step, str) else step
        if not isinstance(given, Mapping) or len(given) != 1:
            raise where.wrong("is not one step", f"Write one of: {', '.join(STEPS)}.")
        only(given, tuple(STEPS), where)
        [(name, value)] = given.items()
        takes = tuple(STEPS[name])
        if not takes and value is not None:
            raise where.wrong(f"{name!r} takes nothing", f"Write `- {name}`.")
        if value is not None and not isinstance(value, Mapping):
            value = {takes[0]: value}
        arguments = value or {}
        only(arguments, takes, where)
        for missing, parameter in STEPS[name].items():
            if parameter.default is inspect.Parameter.empty and missing not in arguments:
                raise where.wrong(f"{name!r} has no {missing!r}", f"It takes {', '.join(takes)}.")
        read = {key: self._value(key, each, where.inside(arguments, key)) for key, each in arguments.items()}
        if name in ("expect says", "expect heard as"):
            _checked(lambda: Like(**{key: each for key, each in read.items() if key != "within_s"}), where)
        return ScenarioStep(where.line or 1, _shown(name, value), name.replace(" ", "_"), read)

    def _value(self, key: str, value: Any, where: Where) -> Any:

        match key:
            case "ms" | "after_ms" | "at_least_ms" | "at_most_ms":
                return 0.0 if value == 0 and not isinstance(value, bool) else positive(value, where)
            case "within_s" | "score":
                return positive(value, where)
            case "arguments":
                if not isinstance(value, Mapping):
                    raise where.wrong(f"must be a mapping, not {value!r}", "Write {name: value}.")
                return value
            case "recording":
                return self._path.parent / text_of(value, where)
            case "keys":
                keys = (
                    str(value) if isinstance(value, int) and not isinstance(value, bool) else text_of(value, where)
                )
                if set(keys) - set(KEYS) or not keys:
                    raise where.wrong(f"{keys!r} are no keys of a telephone", f"Use {KEYS}.")
                return keys
            case "state":
                return _choice(value, [state.value for state in State], where)
            case "reason":
                return _choice(value, [reason.value for reason in EndReason], where)
            case _:
                return text_of(value, where)


def _choice(value: Any, known: list[str], where: Where) -> str:

    if value in known:
        return str(value)
    raise where.wrong(f"does not know {value!r}", f"Known here: {', '.join(known)}.{near(value, known)}")


def _checked(make: Callable[[], object], where: Where) -> None:
    try:
        make()
    except ConfigurationError as error:
        raise where.wrong(error.message.removesuffix("."), error.hint) from error


def _shown(name: str, value: Mapping[str, Any] | None) -> str:
    if not value:
        return name
    if len(value) == 1:
        return f"{name}: {next(iter(value.values()))}"
    return f"{name}: {', '.join(f'{key} {each}' for key, each in value.items())}"
