"""Arguments for a function from the words that were said, by its JSON schema alone.

    the schema asks for          taken from the words
    enum                         the value that was said
    number, integer              the number beside the property's name ("ten meters"), else the next free one
    boolean                      on, yes / off, no, without; true where the property is named
    format date, time; a name    the day or time that was said ("next Friday", "7:30 pm"); ISO for format date
      like day, when, date
    string                       what follows the property's name or a preposition that suits it ("in Paris"),
                                 else what nothing else has used
    array of enum or numbers     every one that was said

What was used for one argument is not used again. An argument that is not required is left out when unsure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from .dates import DAYS, MONTHS, iso_date, when_span
from .matching import enum_spans
from .schema import Schema, properties_of
from .vocabulary import vocabulary
from .words import ARTICLES, PREPOSITIONS, STOP, Number, Word, name_words, numbers_in, stem, words_of

__all__ = ["fill", "missing"]

_WHEN = frozenset(vocabulary("date day time when datetime weekday start end hour until"))
_SUITS: tuple[tuple[frozenset[str], tuple[str, ...]], ...] = (
    (
        frozenset(vocabulary("city location place town country region area address station")),
        ("in", "at", "for", "to"),
    ),
    (frozenset(vocabulary("from origin source departure")), ("from",)),
    (frozenset(vocabulary("to destination target arrival")), ("to", "for")),
    (
        frozenset(vocabulary("name person who guest customer recipient contact user")),
        ("named", "called", "for", "to", "with"),
    ),
    (frozenset(vocabulary("title label")), ("named", "called")),
)
_FREE_TEXT = frozenset(vocabulary("text message query question topic subject note content body search reason"))
_OPENS_TEXT = ("about", "for", "saying", "that", "into")
_TRUE, _FALSE = (
    frozenset(vocabulary("on yes true enable with")),
    frozenset(vocabulary("off no false disable without not")),
)
_NAMED_DIGITS = frozenset(vocabulary("number id code phone zip pin"))


@dataclass(slots=True)
class _Utterance:
    text: str
    words: Sequence[Word]
    today: date
    numbers: list[Number] = field(init=False)
    used: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.numbers = numbers_in(self.words)

    def take(self, start: int, end: int) -> str:
        """Use the words from ``start`` to ``end``, and give them as they were written."""
        self.used.update(range(start, end))
        return self.text[self.words[start].start : self.words[end - 1].end]

    def ends_before(self, index: int) -> bool:
        """Whether a sentence or a clause ends between this word and the one before it."""
        between = self.text[self.words[index - 1].end : self.words[index].start]
        return any(mark in between for mark in ".!?;,:")


def fill(tool: Mapping[str, Any], text: str, today: date) -> dict[str, Any]:
    """What ``text`` says about the arguments of ``tool``; those that it does not tell are left out.

    A required argument that may be null is None where it was not said.
    """
    said = _Utterance(text, words_of(text), today)
    properties = properties_of(tool)
    found: dict[str, Any] = {}
    # The surest first: what they use is no longer there for the vaguer ones.
    for wanted in (_enumerated, _when, _number, _boolean, _array):
        for name, schema in properties.items():
            if name not in found and (value := wanted(said, name, schema)) is not None:
                found[name] = value
    known = {stem(word) for word in name_words(str(tool.get("name", "")))}
    said.used |= {index for index, word in enumerate(said.words) if word.stem in known}
    for name, schema in properties.items():
        if name in found or schema.kind != "string" or schema.enum or schema.format == "date":
            continue
        if (phrase := _string(said, name, required=schema.required)) is not None:
            found[name] = phrase
    for name, schema in properties.items():
        if schema.required and schema.nullable:
            found.setdefault(name, None)
    return {name: found[name] for name in properties if name in found}


def missing(tool: Mapping[str, Any], arguments: Mapping[str, Any]) -> list[str]:
    """The required arguments of ``tool`` that are not among ``arguments``, in the order of the declaration."""
    return [name for name, schema in properties_of(tool).items() if schema.required and name not in arguments]


def _enumerated(said: _Utterance, name: str, schema: Schema) -> Any:
    if schema.kind == "array":
        return None
    for start, end, value in enum_spans(schema, said.words):
        if said.used.isdisjoint(range(start, end)):
            said.take(start, end)
            return value
    return None


def _when(said: _Utterance, name: str, schema: Schema) -> str | None:
    asked = schema.format in ("date", "date-time", "time") or bool(_WHEN & set(name_words(name)))
    span = when_span(said.words) if asked and schema.kind == "string" and not schema.enum else None
    if span is None or not said.used.isdisjoint(range(*span)):
        return None
    words = said.words[span[0] : span[1]]
    if schema.format == "date":
        iso = iso_date(words, said.today)
        if iso:
            said.take(*span)
        return iso
    return " ".join(
        word.capitalize() if word.lower() in (*DAYS, *MONTHS) else word for word in said.take(*span).split(" ")
    )


def _number(said: _Utterance, name: str, schema: Schema) -> float | str | None:
    if schema.enum:
        return None
    digits = schema.kind == "string" and bool(_NAMED_DIGITS & set(name_words(name)))
    if schema.kind not in ("number", "integer") and not digits:
        return None
    named = {stem(word) for word in name_words(name)}
    free = [
        one
        for one in said.numbers
        if said.used.isdisjoint(range(one.start, one.end))
        and schema.minimum <= one.value <= schema.maximum
        and (schema.kind == "number" or one.value % 1 == 0)
    ]

    def distance(one: Number) -> int:
        beside = [*said.words[max(0, one.start - 2) : one.start], *said.words[one.end : one.end + 1]]
        return 0 if any(word.stem in named for word in beside) else 1

    if not free:
        return _one_unit(said, named, schema)
    best = min(free, key=distance)
    said.take(best.start, best.end)
    if digits:
        return best.digits
    return best.value if schema.kind == "number" else int(best.value)


def _one_unit(said: _Utterance, named: set[str], schema: Schema) -> int | None:
    """``a meter`` is 1 where the property is called ``meters``."""
    for index, word in enumerate(said.words[1:], 1):
        article = said.words[index - 1]
        if article.plain in ("a", "an") and word.stem in named and schema.kind != "string":
            return 1 if schema.minimum <= 1 <= schema.maximum else None
    return None


def _boolean(said: _Utterance, name: str, schema: Schema) -> bool | None:
    if schema.kind != "boolean":
        return None
    named = {stem(word) for word in name_words(name) if word not in STOP}
    places = [index for index, word in enumerate(said.words) if word.stem in named]
    plain = [word.plain for word in said.words]
    around = (
        set(plain[max(0, places[0] - 2) : places[0] + 3]) if places else set(plain) if schema.required else set()
    )
    if around & _FALSE:
        return False
    return True if places or around & _TRUE else None


def _array(said: _Utterance, name: str, schema: Schema) -> list[Any] | None:
    if schema.kind != "array" or schema.items is None:
        return None
    spans = enum_spans(schema.items, said.words)
    if not schema.items.enum and schema.items.kind in ("number", "integer"):
        whole = schema.items.kind == "integer"
        spans = [(one.start, one.end, one.value) for one in said.numbers if not whole or one.value % 1 == 0]
    free = [span for span in spans if said.used.isdisjoint(range(span[0], span[1]))]
    for start, end, _ in free:
        said.take(start, end)
    return [value for _, _, value in free] or None


def _string(said: _Utterance, name: str, *, required: bool) -> str | None:
    parts = set(name_words(name))
    words = said.words
    if parts & _FREE_TEXT:
        return _free_text(said) if required or _after(said, _OPENS_TEXT) is not None else None
    suits = next((prepositions for names, prepositions in _SUITS if parts & names), None)
    place = _after(said, suits) if suits else None
    if place is None:
        named = {stem(word) for word in parts}
        place = next(
            (index + 1 for index, word in enumerate(words) if word.stem in named and _runs(said, index + 1)), None
        )
    if place is None and (required or not suits):
        said_prepositions = [word.plain for word in words if word.plain in PREPOSITIONS]
        place = _after(said, said_prepositions)
    if place is None and required:
        place = _longest_rest(said)
    if place is None:
        return None
    run = _runs(said, place)
    return said.take(*run) if run else None


def _after(said: _Utterance, prepositions: Sequence[str]) -> int | None:
    """Behind the first of ``prepositions`` (the best first) that something unused follows."""
    for wanted in prepositions:
        for index, word in enumerate(said.words):
            if word.plain == wanted and index not in said.used and _runs(said, index + 1):
                return index + 1
    return None


def _runs(said: _Utterance, start: int) -> tuple[int, int] | None:
    """The unused words from ``start`` (articles aside) up to a preposition, "and" or the end of a clause."""
    words = said.words
    while start < len(words) and words[start].plain in (*ARTICLES, "is"):
        start += 1
    end = start
    while end < len(words) and end not in said.used and words[end].plain not in (*PREPOSITIONS, "and", "please"):
        if end > start and said.ends_before(end):
            break
        end += 1
    return (start, end) if any(not word.says_little for word in words[start:end]) else None


def _free_text(said: _Utterance) -> str | None:
    start = _after(said, _OPENS_TEXT)
    if start is None:
        start = max((index + 1 for index in said.used), default=0)
    if start >= len(said.words):
        return None
    return said.take(start, len(said.words))


def _longest_rest(said: _Utterance) -> int | None:
    """Where the longest run of unused words begins that says anything."""
    starts = [index for index, word in enumerate(said.words) if not word.says_little]
    runs = [run for index in starts if (run := _runs(said, index)) is not None]
    return max(runs, key=lambda run: run[1] - run[0])[0] if runs else None
