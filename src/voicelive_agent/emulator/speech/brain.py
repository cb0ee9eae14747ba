"""A brain of rules: deterministic, done in a moment, and enough to drive every part of a voice agent.

The first rule that holds answers.

    rule           holds when                                          answer
    dictated       instructions say: Say exactly: "..."                that text
    results        functions have answered since the last message      the results, or an apology
    greeting       the user has said nothing yet                       a short hello
    forced         tool_choice is required or names a function         the call, with what could be filled
    repeat         "say X", "repeat after me X", "say that again"      X; the last answer
    never mind     that, after a question of ours                      all right
    functions      a function matches (see ``matching``)               the call, or what is still needed for it
    clock          "what time is it", "what day is it"                 the time, the date
    count          "count to twenty", "count down from ten"            the numbers
    small talk     nothing but hello, thanks, goodbye                  the same
    reading        more than a dozen words                             the words twice, the second time slowly
    echo           anything else                                       I heard: ...

It knows no subject of its own: what it can do beyond this are the functions that the session registers.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..protocols import Action, Call, Say, Turn
from .arguments import fill, missing
from .matching import LONG, is_meant, match
from .numbers import number_at, number_words
from .results import pending_outputs, spoken_results
from .words import spoken_name, words_of

__all__ = ["RulesBrain"]

_HELLO = "Hello! How can I help you?"
_MORE = "Is there anything else I can do?"
_DROPPED = "All right."
_AGAIN = "I did not catch that. Could you say it again?"
_ASK = "Please tell me the "

_DICTATED = re.compile(
    r"(?:^|[.!?\n])\s*(?:please\s+)?say exactly\b[:,]?\s*(?:[\"“](?P<quoted>.+?)[\"”]|(?P<bare>[^\n]+))",
    re.IGNORECASE | re.DOTALL,
)
_POLITE = r"^\W*(?:(?:please|can you|could you|would you|now)\W+)*"
_REPEAT = re.compile(
    _POLITE + r"(?:repeat after me|repeat|say)\b[:,]?\s+(?P<text>\S.*)$", re.IGNORECASE | re.DOTALL
)
_ONCE_MORE = re.compile(
    _POLITE + r"(?:(?:say|repeat)\s+(?:that|it)(?:\s+again)?|say again|repeat)\W*(?:please)?\W*$", re.IGNORECASE
)
_NEVER_MIND = re.compile(r"^\W*(?:never ?mind|forget (?:it|that)|cancel|stop|nothing)\W*$", re.IGNORECASE)
_TIME = re.compile(r"\bwhat(?:'s| is)? the (?:current )?time\b|\bwhat time (?:is it|it is)\b", re.IGNORECASE)
_DATE = re.compile(
    r"\bwhat(?:'s| is)? (?:the date|today's date|today)\b|\b(?:what|which) (?:day|date) (?:is|it)\b", re.IGNORECASE
)
_COUNT = re.compile(
    r"\bcount(?: out loud| aloud)?(?P<down> down| backwards)?\b(?P<rest>.*)", re.IGNORECASE | re.DOTALL
)
_MOST_COUNTED = 1_000
_SMALL_TALK = (
    (re.compile(r"^\W*(?:hello|hi|hey|good (?:morning|afternoon|evening))(?: there)?\W*$", re.IGNORECASE), _HELLO),
    (
        re.compile(r"^\W*(?:thanks|thank you)(?: very much| so much| a lot)?\W*$", re.IGNORECASE),
        "You are welcome.",
    ),
    (re.compile(r"^\W*(?:good ?bye|bye|bye bye|good night|see you(?: later)?)\W*$", re.IGNORECASE), "Goodbye!"),
)
_CLAUSE = re.compile(r"[,;]?\s+(?:and then|then|and)\s+|[.;!?]\s+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Plan:
    """A call that was understood, and the required arguments that were not."""

    tool: Mapping[str, Any]
    arguments: Mapping[str, Any]
    missing: Sequence[str]

    @property
    def call(self) -> Call:
        return Call(str(self.tool["name"]), self.arguments)


class RulesBrain:
    """Answers by the rules above. ``clock`` tells the local time, for those who ask and for dates in arguments."""

    def __init__(self, clock: Callable[[], datetime] = datetime.now) -> None:
        self._clock = clock

    def answer(self, turn: Turn) -> Iterator[Action]:
        """The actions of one response: what to say, or which functions to call."""
        text = _said(turn.items)
        if dictated := _dictated(turn):
            yield Say(dictated)
        elif pending_outputs(turn.items):
            yield Say(spoken_results(turn.items))
        elif forced := self._forced(turn, text or ""):
            yield forced
        elif text is None:
            yield Say(_MORE if any(map(_is_answer, turn.items)) else _HELLO)
        elif not text:
            yield Say(_AGAIN)
        else:
            yield from self._answer_words(turn, text)

    def _answer_words(self, turn: Turn, text: str) -> Iterator[Action]:
        if _ONCE_MORE.match(text):
            yield Say(_last_answer(turn.items) or "There is nothing to repeat yet.")
        elif repeated := _REPEAT.match(text):
            yield Say(repeated["text"].strip().strip('"“”'))
        elif _NEVER_MIND.match(text) and _last_answer(turn.items).startswith(_ASK):
            yield Say(_DROPPED)
        elif actions := self._calls(_with_question(turn.items, text), _offered(turn)):
            yield from actions
        else:
            yield Say(self._spoken_time(text) or _counted(text) or _small_talk(text) or _read_back(text))

    def _calls(self, text: str, tools: Sequence[Mapping[str, Any]]) -> list[Action]:
        """The calls that ``text`` asks for: one, or one for each of its clauses where each is complete."""
        clauses = [clause for clause in _CLAUSE.split(text) if clause]
        plans = [plan for clause in clauses if (plan := self._plan(clause, tools))]
        if 1 < len(plans) == len(clauses) and not any(plan.missing for plan in plans):
            return [plan.call for plan in plans]
        plan = self._plan(text, tools)
        if plan is None:
            return []
        if plan.missing:
            return [Say(_ASK + " and the ".join(spoken_name(name) for name in plan.missing) + ".")]
        return [plan.call]

    def _plan(self, text: str, tools: Sequence[Mapping[str, Any]], *, forced: bool = False) -> _Plan | None:
        """The function that fits best, and of equals the one with the fewest gaps; None where none is meant."""
        words = words_of(text)
        matches = [match(tool, words) for tool in tools]
        meant = [one for one in matches if forced or is_meant(one, words)]
        if not meant:
            return None
        most = max(one.points for one in meant)
        plans = []
        for one in meant:
            if one.points == most:
                arguments = fill(one.tool, text, self._clock().date())
                plans.append(_Plan(one.tool, arguments, missing(one.tool, arguments)))
        return min(plans, key=lambda plan: len(plan.missing))

    def _forced(self, turn: Turn, text: str) -> Call | None:
        """The call that ``tool_choice`` demands. It is made even with gaps, as a model would make it."""
        choice = turn.tool_choice
        name = (
            choice.get("name") or choice.get("function", {}).get("name") if isinstance(choice, Mapping) else None
        )
        if name is None and choice != "required":
            return None
        tools = [tool for tool in turn.tools if name is None or tool.get("name") == name]
        plan = self._plan(_with_question(turn.items, text), tools, forced=True)
        return plan.call if plan else None

    def _spoken_time(self, text: str) -> str:
        now = self._clock()
        if _TIME.search(text):
            return f"It is {now.hour % 12 or 12}:{now.minute:02} {'AM' if now.hour < 12 else 'PM'}."
        if _DATE.search(text):
            weekday, month = calendar.day_name[now.weekday()], calendar.month_name[now.month]
            return f"Today is {weekday}, {month} {now.day}, {now.year}."
        return ""


def _offered(turn: Turn) -> Sequence[Mapping[str, Any]]:
    return () if turn.tool_choice == "none" else turn.tools


def _is_message(item: Mapping[str, Any], role: str) -> bool:
    return item.get("type") == "message" and item.get("role") == role


def _is_answer(item: Mapping[str, Any]) -> bool:
    return item.get("type") == "function_call" or _is_message(item, "assistant")


def _text(item: Mapping[str, Any]) -> str:
    parts = item.get("content") or ()
    return " ".join(str(part.get("text") or part.get("transcript") or "") for part in parts).strip()


def _said(items: Sequence[Mapping[str, Any]]) -> str | None:
    """What the user said since the last answer; None where that is nothing at all."""
    said: list[str] | None = None
    for item in items:
        if _is_message(item, "user"):
            said = [*(said or []), _text(item)]
        elif _is_answer(item):
            said = None
    return None if said is None else " ".join(one for one in said if one)


def _last_answer(items: Sequence[Mapping[str, Any]]) -> str:
    answers = [_text(item) for item in items if _is_message(item, "assistant")]
    return answers[-1] if answers else ""


def _since_the_last_call(items: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    calls = [index for index, item in enumerate(items) if item.get("type") == "function_call"]
    return items[calls[-1] + 1 :] if calls else items


def _with_question(items: Sequence[Mapping[str, Any]], text: str) -> str:
    """``text``, led by the words it completes where the answers before it asked for the rest of a call."""
    asked_by: list[str] = []
    messages = [item for item in _since_the_last_call(items) if item.get("role") in ("user", "assistant")]
    while messages and _is_message(messages[-1], "user"):
        messages.pop()
    while messages and _text(messages[-1]).startswith(_ASK):
        messages.pop()
        while messages and _is_message(messages[-1], "user"):
            asked_by.insert(0, _text(messages.pop()))
    return " ".join([*asked_by, text]).strip()


def _dictated(turn: Turn) -> str:
    """What the instructions of the request, or else of the session, tell to say word for word."""
    for instructions in (turn.request.get("instructions"), turn.instructions):
        if found := _DICTATED.search(str(instructions or "")):
            return (found["quoted"] or found["bare"]).strip()
    return ""


def _counted(text: str) -> str:
    if not (asked := _COUNT.search(text)):
        return ""
    plain = [word.plain for word in words_of(asked["rest"])]
    numbers, index = [], 0
    while index < len(plain):
        number = number_at(plain, index)
        if number:
            numbers.append(int(number[0]))
        index = number[1] if number else index + 1
    if not numbers:
        return ""
    first, last = (numbers[0], numbers[1]) if len(numbers) > 1 else (1, numbers[0])
    if asked["down"] and first < last:
        first, last = last, first
    if abs(first - last) >= _MOST_COUNTED or min(first, last) < 0:
        return f"I only count {number_words(_MOST_COUNTED)} numbers at a time."
    step = 1 if first <= last else -1
    return ", ".join(number_words(value) for value in range(first, last + step, step)) + "."


def _small_talk(text: str) -> str:
    return next((answer for asked, answer in _SMALL_TALK if asked.match(text)), "")


def _read_back(text: str) -> str:
    words = words_of(text)
    if len(words) <= LONG:
        return f"I heard: {text}"
    ended = text if text[-1] in ".!?" else f"{text}."
    slowly = ", ".join(text[word.start : word.end] for word in words)
    return f"You said: {ended} Once more, slowly: {slowly}."
