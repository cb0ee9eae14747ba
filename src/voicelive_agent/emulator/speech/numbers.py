"""Numbers as people say them: words to a value and back. Pure; the brain and the word error rate both use it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from .vocabulary import vocabulary

__all__ = ["LARGEST", "number_at", "number_words"]

LARGEST = 999_999
"""The largest whole number that is read from words or written as words."""

_Parser: TypeAlias = Callable[[Sequence[str], int], tuple[int, int] | None]

_ONES = vocabulary(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
_TENS = vocabulary("twenty thirty forty fifty sixty seventy eighty ninety")

_VALUE = {word: value for value, word in enumerate(_ONES)}
_TENS_VALUE = {word: 10 * (2 + index) for index, word in enumerate(_TENS)}
_DIGITS = re.compile(r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")


def number_words(value: int) -> str:
    """``value`` (0 to 999,999) in English words: ``"two hundred and five"``.

    Raises ``ValueError`` for a number outside that range.
    """
    if not 0 <= value <= LARGEST:
        raise ValueError(f"{value} is not between 0 and {LARGEST}")
    if value < 20:
        return _ONES[value]
    if value < 100:
        tens, ones = divmod(value, 10)
        return f"{_TENS[tens - 2]} {_ONES[ones]}" if ones else _TENS[tens - 2]
    unit, name = (1000, "thousand") if value >= 1000 else (100, "hundred")
    many, rest = divmod(value, unit)
    head = f"{number_words(many)} {name}"
    if not rest:
        return head
    return f"{head} and {number_words(rest)}" if rest < 100 else f"{head} {number_words(rest)}"


def number_at(words: Sequence[str], start: int = 0) -> tuple[float, int] | None:
    """The number that begins at ``words[start]`` and the index behind it; None where none begins there.

    ``words`` are lower-case and without hyphens. Understands digits (``"1,250"``, ``"3.5"``), words
    (``"a hundred and five"``), ``"point"`` and a leading ``"minus"``. A whole number comes back as an ``int``.
    """
    if start < len(words) and words[start] in ("minus", "negative"):
        positive = _unsigned_at(words, start + 1)
        return (-positive[0], positive[1]) if positive else None
    return _unsigned_at(words, start)


def _unsigned_at(words: Sequence[str], start: int) -> tuple[float, int] | None:
    if start < len(words) and _DIGITS.fullmatch(words[start]):
        text = words[start].replace(",", "")
        return (float(text) if "." in text else int(text)), start + 1
    whole = _below_a_million(words, start)
    if whole is None:
        return None
    value, end = whole
    decimals, after = "", end + 1
    if end < len(words) and words[end] == "point":
        while after < len(words) and _VALUE.get(words[after], 10) < 10:
            decimals += str(_VALUE[words[after]])
            after += 1
    return (float(f"{value}.{decimals}"), after) if decimals else (value, end)


def _below_a_million(words: Sequence[str], start: int) -> tuple[int, int] | None:
    return _scaled(words, start, "thousand", 1000, _below_a_thousand)


def _below_a_thousand(words: Sequence[str], start: int) -> tuple[int, int] | None:
    return _scaled(words, start, "hundred", 100, _below_a_hundred)


def _scaled(words: Sequence[str], start: int, name: str, unit: int, below: _Parser) -> tuple[int, int] | None:
    """``<below> [name [and] [<below>]]``; "a" counts as one in front of ``name``."""
    if start + 1 < len(words) and words[start] == "a" and words[start + 1] == name:
        many: tuple[int, int] | None = (1, start + 1)
    else:
        many = below(words, start)
    if many is None or many[0] == 0 or many[1] >= len(words) or words[many[1]] != name:
        return many
    value, end = many[0] * unit, many[1] + 1
    joined = end + 1 if end < len(words) and words[end] == "and" else end
    rest = below(words, joined)
    return (value + rest[0], rest[1]) if rest and rest[0] else (value, end)


def _below_a_hundred(words: Sequence[str], start: int) -> tuple[int, int] | None:
    if start >= len(words):
        return None
    word = words[start]
    if word in _VALUE:
        return _VALUE[word], start + 1
    if word not in _TENS_VALUE:
        return None
    ones = _VALUE.get(words[start + 1], 0) if start + 1 < len(words) else 0
    return (_TENS_VALUE[word] + ones, start + 2) if 0 < ones < 10 else (_TENS_VALUE[word], start + 1)
