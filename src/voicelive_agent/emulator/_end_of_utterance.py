"""End of utterance: whether somebody who has fallen silent has finished the sentence.

The service asks a model that it does not describe. Here it is a rule on the words heard so far: what ends in a
word that wants another one, or in a number that is too short, is not finished. The rule is blind to intonation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ._fillers import is_filler, language_of

_OPEN = {
    # Articles, possessives, conjunctions, and such prepositions as hardly ever end a sentence.
    "en": "a an the my your our their and or but nor because if when while although unless whether than "
    "of to for from with at into between during about every i'm i'd i'll i've we're we'll let's gonna",
    "de": "ein eine einen einem einer der die das den dem des mein meine meinen dein deine unser und oder aber "
    "weil wenn dass ob als für von mit nach bei zu aus ich",
    "fr": "un une le la les des du de mon ma mes ton ta tes et ou mais parce que si quand pour avec sans dans sur "
    "je j'ai",
    "es": "un una unos unas el la los las mi mis tu tus y o pero porque si cuando que de para con sin en por",
    "it": "un una il lo la i gli le mio mia tuo tua e o ma perché se quando che di per con senza in da",
}
_OPEN_WORDS = {language: frozenset(words.split()) for language, words in _OPEN.items()}
_QUESTION = re.compile(r"^(what|which|who|whom|whose|where|when|how)\b", re.IGNORECASE)
_NUMBER_WANTED = re.compile(
    r"\b(number|code|pin|phone|telefon\w*|nummer|numéro|número|numero)\b[^\d]*(?P<digits>[\d\s,.-]+)$",
    re.IGNORECASE,
)
_FEWEST_DIGITS = 4
_COMPOUND = re.compile(r"\b(twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred and|point|double)$")

_FINISHED = {"low": 0.3, "medium": 0.5, "default": 0.5, "high": 0.7}
_EAGERNESS_TIMEOUT_MS = {"low": 8000, "medium": 4000, "auto": 4000, "high": 2000}
_TIMEOUT_MS = 1000


@dataclass(frozen=True, slots=True)
class EndOfUtterance:
    """How sure it must be that a sentence is finished, and how much longer to wait where it is not."""

    finished_at: float
    timeout_ms: int

    @classmethod
    def of(cls, turn_detection: Mapping[str, Any] | None) -> EndOfUtterance | None:
        """What a session's ``turn_detection`` asks for; None where silence alone ends a turn.

        ``threshold_level`` low, medium (the default) and high want more and more; ``timeout_ms`` is 1000 by
        default. OpenAI's ``semantic_vad`` waits up to 8, 4 or 2 s for an eagerness of low, medium (auto) or high,
        as OpenAI documents.
        """
        given = turn_detection or {}
        detection = given.get("end_of_utterance_detection")
        if detection is not None:
            level, timeout_ms = detection.get("threshold_level"), detection.get("timeout_ms")
            return cls(
                _FINISHED.get(level or "default", _FINISHED["default"]),
                _TIMEOUT_MS if timeout_ms is None else int(timeout_ms),
            )
        if given.get("type") == "semantic_vad":
            return cls(_FINISHED["default"], _EAGERNESS_TIMEOUT_MS[given.get("eagerness") or "auto"])
        return None

    def finished(self, text: str, language: str | None = None) -> bool:
        """Whether the words so far are a finished sentence; having no words is nothing to wait for."""
        return completeness(text, language) >= self.finished_at


def completeness(text: str, language: str | None = None) -> float:
    """How finished (0..1) a sentence looks.

    0.1: a filler word, a comma, a dash or three dots at the end. 0.2: a word at the end that wants another one
    ("the", "because", "with"); a question may end so ("Where are you from?"). 0.4: a number that was cut short.
    0.6: no full stop, question or exclamation mark. 1.0: anything else.
    """
    said = text.strip()
    if not said:
        return 1.0
    words = said.split()
    if is_filler(words[-1], language) or said.endswith((",", "-", "–", "—", "…", "...")):
        return 0.1
    bare = words[-1].strip("\"'“”.,;:!?").replace("’", "'").lower()
    asked = said.endswith("?") and _QUESTION.search(said) is not None
    if bare in _OPEN_WORDS.get(language_of(language), ()) and not asked:
        return 0.2
    if _number_cut_short(said.rstrip(".!?")):
        return 0.4
    return 1.0 if said[-1] in ".?!。？！" else 0.6


def _number_cut_short(said: str) -> bool:
    wanted = _NUMBER_WANTED.search(said)
    if wanted and sum(each.isdigit() for each in wanted["digits"]) < _FEWEST_DIGITS:
        return True
    return _COMPOUND.search(said.lower()) is not None
