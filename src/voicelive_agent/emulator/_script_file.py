"""Reads a script: YAML or a Python file to rules, or an error that names the place and the fix."""

from __future__ import annotations

import json
import re
import runpy
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._script_rules import Kind, Rule, When, groups_in
from ._script_yaml import Located, parse_yaml
from ._written import Where, near, only, positive, shown, text_of, whole
from .protocols import Action, Call, Fail, Say, Turn, Wait

__all__ = ["ScriptContent", "content_of", "read_script"]

_STEPS = {"say": ("realtime_factor",), "call": ("arguments",), "wait_ms": (), "fail": ("code",)}
"""What can be done, and what may be said about it beside it."""
_SEVERAL = ("do", "in_turn")
_WORDS = {"start": "start", "anything": "said", "nothing": "said", "output": "output"}
_CONDITIONS = ("says", "matches", "output_of", "silence_ms", "turn")


@dataclass(frozen=True, slots=True)
class ScriptContent:
    """What a script file contains: rules or a function, and words for the ears."""

    rules: Sequence[Rule] = ()
    transcripts: Sequence[str] = ()
    answer: Callable[[Turn], Iterator[Action]] | None = None


def read_script(path: Path) -> ScriptContent:
    """The content of a script file; raises ConfigurationError."""
    where = Where(str(path))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise where.wrong(f"cannot be read: {error}", "Name a YAML or Python file in UTF-8.") from error
    if path.suffix == ".py":
        return _python(path, where)
    data = parse_yaml(text, str(path))
    if not isinstance(data, Mapping):
        raise where.wrong("is not a mapping", "Begin with 'rules:' and a list of rules.")
    return content_of(data, where)


def _python(path: Path, where: Where) -> ScriptContent:
    try:
        names = runpy.run_path(str(path))
    except SyntaxError as error:
        raise where.at(error.lineno).wrong(f"is not Python: {error.msg}", "Correct the line.") from error
    except Exception as error:  # the user's own code: reported with its line
        lines = [each.lineno for each in traceback.extract_tb(error.__traceback__) if each.filename == str(path)]
        fault = f"raises {type(error).__name__}: {error}"
        raise where.at(lines[-1] if lines else None).wrong(fault, "Correct the file.") from error
    given: dict[str, Any] = {name: names[name] for name in ("rules", "transcripts", "answer") if name in names}
    answer = given.pop("answer", None)
    if answer is None:
        return content_of(given, where)
    if not callable(answer) or "rules" in given:
        fault = "has 'rules' as well as 'answer'" if "rules" in given else "has an 'answer' that is no function"
        raise where.wrong(fault, "Define answer(turn), which yields actions, or a list of rules.")
    return ScriptContent((), _transcripts(given, where), answer)


def content_of(data: Mapping[str, Any], where: Where) -> ScriptContent:
    """The rules and transcripts of a mapping that has been read; raises ConfigurationError."""
    only(data, ("rules", "transcripts"), where)
    if "rules" not in data:
        raise where.wrong("has no 'rules'", "Add 'rules:' with a list of rules.")
    rules = data["rules"]
    if not isinstance(rules, list):
        raise where.inside(data, "rules").wrong(f"must be a list, not {shown(rules)}", "Begin each rule with '-'.")
    numbered = ((rule, where.inside(rules, index, f"rule {index + 1}")) for index, rule in enumerate(rules))
    return ScriptContent([_rule(rule, place) for rule, place in numbered], _transcripts(data, where))


def _transcripts(data: Mapping[str, Any], where: Where) -> list[str]:
    given = data.get("transcripts", [])
    place = where.inside(data, "transcripts")
    if not isinstance(given, list | tuple):
        raise place.wrong(f"must be a list, not {shown(given)}", "Write one text for each utterance.")
    return [text_of(each, place.inside(given, index)) for index, each in enumerate(given)]


# --- Rules ------------------------------------------------------------------------------------------------


def _rule(rule: Any, where: Where) -> Rule:
    if not isinstance(rule, Mapping):
        raise where.wrong(f"must be a mapping, not {shown(rule)}", "Write 'when:' and what to do.")
    steps = [name for name in (*_STEPS, *_SEVERAL) if name in rule]
    beside = [name for names in _STEPS.values() for name in names]
    only(rule, ("when", *_STEPS, *_SEVERAL, *beside), where)
    if "when" not in rule:
        raise where.wrong("has no 'when'", "Say what has to happen, for example 'when: anything'.")
    if len(steps) != 1:
        found = f"has {' and '.join(map(repr, steps))}" if steps else "does nothing"
        raise where.wrong(found, f"Give it one of {', '.join((*_STEPS, *_SEVERAL))}; several go into 'do'.")
    when = _when(rule["when"], where.inside(rule, "when"))
    if steps[0] in _SEVERAL:
        only(rule, ("when", *steps), where)
        alternatives = _several(rule[steps[0]], where.inside(rule, steps[0]), in_turn=steps[0] == "in_turn")
    else:
        step = Located({name: value for name, value in rule.items() if name != "when"}, where.lines(rule))
        alternatives = [[_step(step, where)]]
    _check_groups(when, alternatives, where)
    return Rule(when, alternatives)


def _when(given: Any, where: Where) -> When:
    if isinstance(given, str):
        if given not in _WORDS:
            fix = f"Use {', '.join(_WORDS)}, or a mapping with {', '.join(_CONDITIONS)}.{near(given, _WORDS)}"
            raise where.wrong(f"does not know {given!r}", fix)
        return When("said", re.compile(""), whole=True) if given == "nothing" else When(_kind(_WORDS[given]))
    if not isinstance(given, Mapping) or not given:
        raise where.wrong(f"must be a word or a mapping, not {shown(given)}", f"Use {', '.join(_WORDS)}.")
    only(given, _CONDITIONS, where)
    if "says" in given and "matches" in given:
        raise where.wrong("has 'says' as well as 'matches'", "Keep one of them.")
    turn = whole(given["turn"], where.inside(given, "turn")) if "turn" in given else None
    if "silence_ms" in given:
        if set(given) & {"says", "matches", "output_of"}:
            raise where.wrong("has 'silence_ms' beside words", "A silence has none: make it two rules.")
        return When(
            "silence", silence_ms=positive(given["silence_ms"], where.inside(given, "silence_ms")), turn=turn
        )
    kind: Kind = "output" if "output_of" in given else "said"
    name = text_of(given["output_of"], where.inside(given, "output_of")) if kind == "output" else None
    if "says" in given:
        return When(kind, _exact(given["says"], where.inside(given, "says")), whole=True, name=name, turn=turn)
    if "matches" in given:
        return When(kind, _pattern(given["matches"], where.inside(given, "matches")), name=name, turn=turn)
    return When(kind, name=name, turn=turn)


def _kind(word: str) -> Kind:
    kinds: dict[str, Kind] = {"start": "start", "said": "said", "output": "output"}
    return kinds[word]


def _exact(given: Any, where: Where) -> re.Pattern[str]:
    """Exactly these words (or those, of a list), in any case and with any punctuation."""
    sentences = given if isinstance(given, list) else [given]
    if not sentences:
        raise where.wrong("is empty", "Write what the user says.")
    words = [re.findall(r"\w+", text_of(each, where)) for each in sentences]
    if not all(words):
        raise where.wrong("has no words", "Write what the user says, or 'when: nothing'.")
    either = "|".join(r"\W+".join(map(re.escape, each)) for each in words)
    return re.compile(rf"\W*(?:{either})\W*", re.IGNORECASE)


def _pattern(given: Any, where: Where) -> re.Pattern[str]:
    try:
        return re.compile(text_of(given, where), re.IGNORECASE)
    except re.error as error:
        fix = "Correct it; in YAML write it in single quotes."
        raise where.wrong(f"is not a regular expression: {error}", fix) from error


# --- What is done -----------------------------------------------------------------------------------------


def _several(given: Any, where: Where, *, in_turn: bool) -> list[list[Action]]:
    if not isinstance(given, list) or not given:
        raise where.wrong(f"must be a list, not {shown(given)}", "Begin each step with '-'.")
    places = [where.inside(given, index, f"step {index + 1}") for index in range(len(given))]
    if not in_turn:
        return [[_step(step, place) for step, place in zip(given, places, strict=True)]]
    return [
        _several(each, place, in_turn=False)[0] if isinstance(each, list) else [_step(each, place)]
        for each, place in zip(given, places, strict=True)
    ]


def _step(step: Any, where: Where) -> Action:
    if isinstance(step, str):
        return Say(step)
    if not isinstance(step, Mapping):
        raise where.wrong(f"must be a text or a mapping, not {shown(step)}", f"Use {', '.join(_STEPS)}.")
    names = [name for name in _STEPS if name in step]
    if len(names) != 1:
        only(step, tuple(_STEPS), where)
        found = f"has {' and '.join(map(repr, names))}" if names else "does nothing"
        raise where.wrong(found, f"Give it one of {', '.join(_STEPS)}.")
    [name] = names
    only(step, (name, *_STEPS[name]), where)
    place = where.inside(step, name)
    match name:
        case "say":
            return Say(text_of(step[name], place), _factor(step, where))
        case "call":
            return Call(text_of(step[name], place), _arguments(step, where))
        case "wait_ms":
            return Wait(positive(step[name], place))
        case _:
            code = text_of(step["code"], where.inside(step, "code")) if "code" in step else "server_error"
            return Fail(text_of(step[name], place), code)


def _factor(step: Mapping[str, Any], where: Where) -> float | None:
    given = step.get("realtime_factor")
    return None if given is None else positive(given, where.inside(step, "realtime_factor"))


def _arguments(step: Mapping[str, Any], where: Where) -> Mapping[str, Any]:
    given = step.get("arguments", {})
    if not isinstance(given, Mapping):
        fault = f"must be a mapping, not {shown(given)}"
        raise where.inside(step, "arguments").wrong(fault, "Write 'name: value' for each argument.")
    try:
        json.dumps(given, allow_nan=False)
    except (TypeError, ValueError) as error:
        place = where.inside(step, "arguments")
        raise place.wrong(f"is not JSON: {error}", "Put dates and the like into quotes.") from error
    return given


def _check_groups(when: When, alternatives: Sequence[Sequence[Action]], where: Where) -> None:
    """What a text refers to must be in the pattern, or it would fail in the middle of a conversation."""
    known = {*map(str, range(when.pattern.groups + 1)), *when.pattern.groupindex}
    for action in (action for actions in alternatives for action in actions):
        unknown = sorted({name for text in _texts(action) for name in groups_in(text)} - known)
        if unknown:
            named = ", ".join(sorted(known - {"0"})) or "none"
            raise where.wrong(
                f"refers to the group {unknown[0]!r}, which 'when' does not have",
                f"Its groups are: {named}; \\0 is the whole text.",
            )


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Say(text):
            yield text
        case Call(_, arguments):
            yield from _texts(arguments)
        case Mapping():
            yield from _texts(list(value.values()))
        case list():
            for each in value:
                yield from _texts(each)
        case _:
            pass
