r"""The rules of a script as data: what has to happen, and what is done then.

Nothing is remembered between answers. How often something has happened is counted in the conversation itself, so
one script serves any number of sessions, and an answer that was interrupted is simply asked for again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, Literal, TypeAlias

from .protocols import Action, Call, Say, Turn

__all__ = ["Happening", "Kind", "Rule", "When", "groups_in", "happenings", "pending", "user_words"]

Kind: TypeAlias = Literal["start", "said", "output", "silence", "answer", "call"]

_GROUP = re.compile(r"\\(\d+)|\\g<(\w+)>")


@dataclass(frozen=True, slots=True)
class Happening:
    """Something in the conversation; a rule can be about any of it but answers and calls."""

    kind: Kind
    text: str = ""
    """The user's words, or the output of a function."""
    name: str = ""
    """The function whose output it is."""
    turn: int = 0
    """How often the user has spoken by then."""
    silence_ms: float = 0.0
    at: int = 0
    """Its place among all that happened."""
    item_id: str | None = None
    """The item with the output."""


@dataclass(frozen=True, slots=True)
class When:
    """What has to happen for a rule to apply."""

    kind: Kind
    pattern: re.Pattern[str] = re.compile(r".*", re.DOTALL)
    whole: bool = False
    """Whether the pattern is for the whole text; otherwise it is searched."""
    name: str | None = None
    turn: int | None = None
    silence_ms: float = 0.0

    def match(self, happening: Happening) -> re.Match[str] | None:
        """How ``happening`` fulfils this; None if it does not."""
        about = (
            happening.kind == self.kind
            and self.name in (None, happening.name)
            and self.turn in (None, happening.turn)
            and self.silence_ms == happening.silence_ms
        )
        if not about:
            return None
        find = self.pattern.fullmatch if self.whole else self.pattern.search
        return find(happening.text)


@dataclass(frozen=True, slots=True)
class Rule:
    """What to do when something happens: one of ``alternatives``, in turn."""

    when: When
    alternatives: Sequence[Sequence[Action]]

    def actions(self, match: re.Match[str], times_before: int) -> Iterator[Action]:
        """The actions after ``times_before`` earlier times, with the groups of the match filled in."""
        for action in self.alternatives[times_before % len(self.alternatives)]:
            yield _filled(action, match)


def groups_in(text: str) -> Iterator[str]:
    r"""The groups that a text refers to, as ``\1`` or ``\g<city>``."""
    for number, name in _GROUP.findall(text):
        yield number or name


def _filled(action: Action, match: re.Match[str]) -> Action:
    if isinstance(action, Say):
        return replace(action, text=_expanded(action.text, match))
    if isinstance(action, Call):
        return Call(action.name, _expanded(action.arguments, match))
    return action


def _expanded(value: Any, match: re.Match[str]) -> Any:
    """The value with the groups in all of its strings; a backslash that names no group stays as it is."""
    if isinstance(value, str):
        return _GROUP.sub(lambda group: match[int(group[1]) if group[1] else group[2]] or "", value)
    if isinstance(value, Mapping):
        return {key: _expanded(each, match) for key, each in value.items()}
    if isinstance(value, list):
        return [_expanded(each, match) for each in value]
    return value


# --- The conversation -------------------------------------------------------------------------------------


def user_words(item: Mapping[str, Any]) -> str:
    """What the user said or typed in an item, in words."""
    parts = (part.get("text") or part.get("transcript") or "" for part in item["content"])
    return " ".join(part for part in parts if part)


def happenings(items: Sequence[Mapping[str, Any]]) -> list[Happening]:
    """What the user, the functions and the model have said, in order."""
    found: list[Happening] = []
    names: dict[str, str] = {}
    turn = 0
    for item in items:
        match item["type"], item.get("role"):
            case "message", "user":
                turn += 1
                found.append(Happening("said", user_words(item), turn=turn, at=len(found)))
            case "message", "assistant":
                found.append(Happening("answer", turn=turn, at=len(found)))
            case "function_call", _:
                names[item["call_id"]] = item["name"]
                found.append(Happening("call", name=item["name"], turn=turn, at=len(found)))
            case "function_call_output", _:
                found.append(_output(item, names.get(item["call_id"], ""), turn, len(found)))
            case "mcp_call", _ if item.get("output") is not None or item.get("error"):
                found.append(_output(item, item["name"], turn, len(found)))
            case _:
                pass
    return found


def _output(item: Mapping[str, Any], name: str, turn: int, at: int) -> Happening:
    text = item["error"]["message"] if item.get("error") else item["output"]
    return Happening("output", text, name, turn, at=at, item_id=item.get("id"))


def pending(turn: Turn) -> list[Happening]:
    """What there is to answer: a silence, the latest outputs, the user's last words, or the start."""
    past = happenings(turn.items)
    spoken = past[-1].turn if past else 0
    if turn.silence_ms:
        return [Happening("silence", turn=spoken, silence_ms=turn.silence_ms)]
    # Where it is not known what was answered, a function call ends what there is: it is an answer, too.
    kinds, answered = (("output",), ()) if turn.answered is None else (("output", "call"), turn.answered)
    latest = takewhile(lambda each: each.kind in kinds, reversed(past))
    outputs = [each for each in latest if each.kind == "output" and each.item_id not in answered]
    said = [each for each in past if each.kind == "said"]
    return outputs[::-1] or said[-1:] or [Happening("start")]
