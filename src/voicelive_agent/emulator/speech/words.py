"""Words of an utterance, and of the names that programmers give: what the rules compare. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .numbers import number_at
from .vocabulary import vocabulary

__all__ = [
    "ARTICLES",
    "DIRECTIONS",
    "PREPOSITIONS",
    "STOP",
    "Number",
    "Word",
    "name_words",
    "numbers_in",
    "phrase",
    "spoken_name",
    "stem",
    "words_of",
]

PREPOSITIONS = frozenset(vocabulary("in at for to from of about on with near by named called into saying"))
ARTICLES = frozenset(vocabulary("a an the my your our his her their some this that"))
DIRECTIONS = frozenset(vocabulary("on off up down in out"))
"""Stop words that make a difference in a name: ``turn_on``, ``turn_off``."""
STOP = (
    PREPOSITIONS
    | ARTICLES
    | DIRECTIONS
    | frozenset(
        vocabulary(
            "i you he she it we they me him us them is are was were be been am do does did has have had "
            "will would can could should shall may might must and or but not no if then there here what "
            "which who when where why how much many please let's get give tell show set make want like "
            "need going go as so just now than thank thanks okay ok hello hi"
        )
    )
)

_WORD = re.compile(r"\d+(?:st|nd|rd|th)\b|\d+(?::\d+)+|\d+(?:,\d{3})*(?:\.\d+)?|[^\W\d_]+(?:['’][^\W\d_]+)?")
_NAME_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it was written, in the form that is compared, and where it stands (``text[start:end]``)."""

    plain: str
    stem: str
    start: int
    end: int

    @property
    def says_little(self) -> bool:
        """Whether it is a stop word, contractions (``what's``, ``don't``) included."""
        return self.plain.removesuffix("n't").partition("'")[0] in STOP


@dataclass(frozen=True, slots=True)
class Number:
    """A number that was said: ``words[start:end]``. ``digits`` keeps the leading zeros that ``value`` loses."""

    value: float
    start: int
    end: int
    digits: str


def words_of(text: str) -> list[Word]:
    """The words of ``text`` in order; hyphens separate, other punctuation goes."""
    found = []
    for match in _WORD.finditer(text):
        plain = match[0].lower().replace("’", "'")
        found.append(Word(plain, stem(plain), match.start(), match.end()))
    return found


def name_words(name: str) -> list[str]:
    """The words of an identifier: ``getOpening_hours`` is get, opening, hours."""
    return [part.lower() for part in _NAME_PART.findall(name)]


def spoken_name(name: str) -> str:
    """An identifier as a person would say it."""
    return " ".join(name_words(name)) or name


def stem(word: str) -> str:
    """What the forms of a word have in common: ``meters, moving, cities`` -> ``meter, mov, city``."""
    word = word.removesuffix("'s")
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        word = word[:-1]
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            if word[-1] == word[-2] and word[-1] not in "ls":
                word = word[:-1]
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def phrase(words: Sequence[Word], wanted: Sequence[str], start: int = 0) -> tuple[int, int] | None:
    """Where the stems ``wanted`` stand side by side in ``words``, as a range of indices."""
    size = len(wanted)
    for index in range(start, len(words) - size + 1):
        if size and all(words[index + offset].stem == wanted[offset] for offset in range(size)):
            return index, index + size
    return None


def numbers_in(words: Sequence[Word]) -> list[Number]:
    """The numbers that were said, in order; digits said one after the other are one number."""
    plain = [word.plain for word in words]
    found: list[Number] = []
    index = 0
    while index < len(plain):
        number = number_at(plain, index)
        if number is None:
            index += 1
            continue
        value, end = number
        last = found[-1] if found else None
        digits = plain[index] if plain[index].isdecimal() else f"{value:.12g}"
        if last and value in range(10) and last.end == index and _are_digits(words, last):
            found[-1] = Number(last.value * 10 + value, last.start, end, last.digits + digits)
        else:
            found.append(Number(value, index, end, digits))
        index = end
    return found


def _are_digits(words: Sequence[Word], number: Number) -> bool:
    """Whether every word of ``number`` is one digit (``four two``), and not a number by itself (``forty two``)."""
    spoken = [number_at([word.plain]) for word in words[number.start : number.end]]
    return all(one is not None and one[0] in range(10) for one in spoken)
