"""One form for what was said and what was heard, so that a word error rate counts words and not spelling.

lower case                   "Go Forward"            go forward
a hyphen separates           "ill-disposed"          ill disposed
an apostrophe joins          "don't", "o'clock"      dont oclock
other punctuation goes       "Yes, please."          yes please
titles are written out       "Mr.", "Mrs.", "Dr."    mister missus doctor
numbers become digits        "twenty five"           25
neighbouring digits join     "four two", "7:30"      42, 730
percent is a word            "5 %"                   5 percent
"""

from __future__ import annotations

import re

from .numbers import number_at

__all__ = ["normalise", "word_errors"]

_TITLES = {"mr": "mister", "mrs": "missus", "dr": "doctor"}
_WORD = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?|[^\W\d_]+")


def normalise(text: str) -> list[str]:
    """The words of ``text`` in the one form of the table above."""
    plain = text.lower().replace("'", "").replace("’", "").replace("%", " percent ")
    words = [_TITLES.get(word, word) for word in _WORD.findall(plain)]
    forms: list[str] = []
    index, after_number = 0, False
    while index < len(words):
        number = number_at(words, index)
        digits = f"{number[0]:.12g}" if number else ""
        if digits and after_number and digits[0] != "-":
            forms[-1] += digits
        else:
            forms.append(digits or words[index])
        after_number = number is not None
        index = number[1] if number else index + 1
    return forms


def word_errors(said: str, heard: str) -> int:
    """Substituted, missing and extra words of ``heard`` against ``said``, after :func:`normalise`."""
    wanted, got = normalise(said), normalise(heard)
    row = list(range(len(got) + 1))
    for done, word in enumerate(wanted, 1):
        diagonal, row[0] = row[0], done
        for column, other in enumerate(got, 1):
            diagonal, row[column] = (
                row[column],
                min(diagonal + (word != other), row[column] + 1, row[column - 1] + 1),
            )
    return row[-1]
