"""Mouth positions: the 22 visemes of Azure speech, and the sounds and letters that they belong to.

The numbers are those of Microsoft's table of viseme ids (speech service, "Get facial position with viseme").
"""

from __future__ import annotations

import re

SILENCE = 0

_SOUNDS = {
    1: "æəʌᵊɐa",
    2: "ɑɒ",
    3: "ɔ",
    4: "ɛʊeA",
    5: "ɜɝɚ",
    6: "jiɪᵻ",
    7: "wu",
    8: "oOQ",
    9: "W",
    10: "Y",
    11: "I",
    12: "h",
    13: "ɹr",
    14: "l",
    15: "sz",
    16: "ʃʧʤʒ",
    17: "ð",
    18: "fv",
    19: "dtnθTɾʔ",
    20: "kɡgŋ",
    21: "pbm",
}
_BY_SOUND = {sound: viseme for viseme, sounds in _SOUNDS.items() for sound in sounds}

_SPELLINGS = {
    "igh": 11,
    "tch": 16,
    "th": 19,
    "sh": 16,
    "ch": 16,
    "ph": 18,
    "ng": 20,
    "ck": 20,
    "qu": 20,
    "wh": 7,
    "oo": 7,
    "ew": 7,
    "ee": 6,
    "ea": 6,
    "ie": 6,
    "ou": 9,
    "ow": 9,
    "oy": 10,
    "oi": 10,
    "ai": 4,
    "ay": 4,
    "er": 5,
    "ir": 5,
    "ur": 5,
    "aw": 3,
    "au": 3,
    **dict.fromkeys("a", 1),
    **dict.fromkeys("e", 4),
    **dict.fromkeys("iy", 6),
    **dict.fromkeys("o", 8),
    **dict.fromkeys("u", 1),
    **dict.fromkeys("w", 7),
    **dict.fromkeys("h", 12),
    **dict.fromkeys("r", 13),
    **dict.fromkeys("l", 14),
    **dict.fromkeys("szcx", 15),
    **dict.fromkeys("j", 16),
    **dict.fromkeys("fv", 18),
    **dict.fromkeys("dtn", 19),
    **dict.fromkeys("kgq", 20),
    **dict.fromkeys("pbm", 21),
}
_SPELLING = re.compile("|".join(sorted(_SPELLINGS, key=len, reverse=True)))
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_OTHER_LETTER = 1


def viseme_of_sound(sound: str) -> int | None:
    """The viseme of one IPA symbol (with A, I, O, Q, W, Y for diphthongs); None for stress marks and the like."""
    return _BY_SOUND.get(sound)


def visemes_of_spelling(word: str) -> list[int]:
    """The visemes of a word, guessed from its letters. A word in another script opens the mouth once."""
    letters = "".join(_DIGITS[int(each)] if each in "0123456789" else each for each in word.lower())
    found = [_SPELLINGS[match[0]] for match in _SPELLING.finditer(letters)]
    return found or [_OTHER_LETTER]
