"""When a text is what was expected: these words, this pattern, or something similar."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher

from ..errors import ConfigurationError

__all__ = ["Like"]

_WORD = re.compile(r"\w+(?:['’]\w+)*")


@dataclass(frozen=True, slots=True)
class Like:
    """What a text has to be like, in exactly one way.

    ``words`` are contained in it one after the other, whatever their case and the punctuation between them;
    ``matching`` is a regular expression found in it, in any case; ``similar`` is a text of which it has so many
    words in the same order that the similarity (0 to 1) is at least ``score``. ConfigurationError for none or
    several.
    """

    words: str | None = None
    matching: str | None = None
    similar: str | None = None
    score: float = 0.8

    def __post_init__(self) -> None:
        given = [each for each in (self.words, self.matching, self.similar) if each is not None]
        if len(given) != 1 or not str(given[0]).strip():
            raise ConfigurationError(
                "What is said is compared with one text.", hint="Give words, or matching=..., or similar=...."
            )
        if not 0 < self.score <= 1:
            raise ConfigurationError(
                f"A score of {self.score!r} is no similarity.", hint="It is more than 0, and at most 1 (the same)."
            )
        if self.words is not None and not _words(self.words):
            raise ConfigurationError(f"There are no words in {self.words!r}.", hint="Use matching=... for signs.")
        try:
            re.compile(self.matching or "")
        except re.error as error:
            raise ConfigurationError(
                f"{self.matching!r} is no regular expression: {error}.",
                hint="Put a \\ before a sign that is meant.",
            ) from error

    def holds(self, text: str) -> bool:
        """Whether ``text`` is like this."""
        if self.words is not None:
            return f" {' '.join(_words(self.words))} " in f" {' '.join(_words(text))} "
        if self.matching is not None:
            return re.search(self.matching, text, re.IGNORECASE) is not None
        return self.similarity(text) >= self.score

    def similarity(self, text: str) -> float:
        """How similar ``text`` is to ``similar``: 1 where all words are the same, 0 where none is."""
        return SequenceMatcher(None, _words(self.similar or ""), _words(text), autojunk=False).ratio()

    def judged(self, text: str) -> str:
        """A text as a failure shows it: with its score, where there is one."""
        return f"{text!r}" if self.similar is None else f"{text!r} (similarity {self.similarity(text):.2f})"

    def __str__(self) -> str:
        if self.words is not None:
            return f"the words {self.words!r}"
        if self.matching is not None:
            return f"a match of {self.matching!r}"
        return f"something similar to {self.similar!r} (at least {self.score:.2f})"


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
