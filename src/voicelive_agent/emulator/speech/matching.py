"""Which function was meant: points for every word of the utterance that the function's declaration knows.

    said                                                 points
    a word of the name (stop words aside)                2 each; on, off, up, down, in, out 1 each
    a value of an enum                                   2 for each property
    a word of a property's name                          1 each
    a number, where a property takes one                 1
    a word of a description                              1 each, at most 2

Words are compared by their stems, and each counts once, at its best. A function is meant from 2 points on; a
sentence of more than a dozen words, in which a word or two match by chance, needs 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .schema import Schema, properties_of
from .words import DIRECTIONS, STOP, Word, name_words, numbers_in, phrase, stem, words_of

__all__ = ["LONG", "Match", "enum_spans", "is_meant", "match"]

LONG = 12
"""A sentence with more words than this is long."""
_ENOUGH, _ENOUGH_WHEN_LONG = 2, 4
_MOST_FROM_DESCRIPTIONS = 2


@dataclass(frozen=True, slots=True)
class Match:
    """How well an utterance fits a function: its points and what they were given for."""

    tool: Mapping[str, Any]
    points: int
    why: tuple[str, ...]


def match(tool: Mapping[str, Any], words: Sequence[Word]) -> Match:
    """The points of ``tool`` (a function declaration) for what was said."""
    said = {word.stem for word in words}
    why: dict[str, int] = {}
    for known, points in _known(tool, words):
        for one in sorted(known & said):
            why.setdefault(one, points)
    if numbers_in(words) and any(one.kind in ("number", "integer") for one in properties_of(tool).values()):
        why["a number"] = 1
    from_descriptions = sorted((_description_stems(tool) & said) - why.keys())
    why |= dict.fromkeys(from_descriptions[:_MOST_FROM_DESCRIPTIONS], 1)
    return Match(tool, sum(why.values()), tuple(why))


def is_meant(found: Match, words: Sequence[Word]) -> bool:
    """Whether so many points are enough for an utterance of this length."""
    return found.points >= (_ENOUGH_WHEN_LONG if len(words) > LONG else _ENOUGH)


def enum_spans(schema: Schema, words: Sequence[Word]) -> list[tuple[int, int, Any]]:
    """Where values of an enum were said, as ``(start, end, value)``, in order; the longer of two that overlap."""
    spans: list[tuple[int, int, Any]] = []
    for value in schema.enum:
        parts = name_words(str(value)) or [str(value)]
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            spans += [(one.start, one.end, value) for one in numbers_in(words) if one.value == value]
        elif place := phrase(words, [stem(part) for part in parts]) or phrase(words, [stem("".join(parts))]):
            spans.append((*place, value))
    spans.sort(key=lambda span: span[0] - span[1])
    kept: list[tuple[int, int, Any]] = []
    for span in spans:
        if all(span[1] <= other[0] or span[0] >= other[1] for other in kept):
            kept.append(span)
    return sorted(kept, key=lambda span: span[0])


def _known(tool: Mapping[str, Any], words: Sequence[Word]) -> Iterator[tuple[set[str], int]]:
    """Sets of stems and their points, the most valuable first."""
    name = name_words(str(tool.get("name", "")))
    telling = [word for word in name if word not in STOP] or name
    yield {stem(word) for word in telling}, 2
    properties = properties_of(tool)
    for schema in properties.values():
        for start, _, _ in enum_spans(schema, words)[:1]:
            yield {words[start].stem}, 2
    yield {stem(word) for word in name if word in DIRECTIONS}, 1
    yield {stem(word) for key in properties for word in name_words(key) if word not in STOP}, 1


def _description_stems(tool: Mapping[str, Any]) -> set[str]:
    texts = [str(tool.get("description") or ""), *(one.description for one in properties_of(tool).values())]
    return {word.stem for text in texts for word in words_of(text) if not word.says_little}
