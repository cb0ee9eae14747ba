"""Days and times of day in an utterance, as they were said and as ISO dates. Pure: the day is passed in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from .numbers import number_at
from .vocabulary import vocabulary
from .words import Word

__all__ = ["DAYS", "MONTHS", "iso_date", "when_span"]

DAYS = vocabulary("monday tuesday wednesday thursday friday saturday sunday")
MONTHS = vocabulary("january february march april may june july august september october november december")
_DAY_WORDS = frozenset([*DAYS, "today", "tomorrow", "tonight", "yesterday", "weekend"])
_TIME_WORDS = frozenset(
    vocabulary("morning afternoon evening night noon midnight am pm o'clock half quarter past")
)
_LEADS = frozenset(vocabulary("next this last"))
_JOINS = frozenset(vocabulary("at in the of to"))
_ORDINALS = vocabulary(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
)


def when_span(words: Sequence[Word]) -> tuple[int, int] | None:
    """The words that name a day or a time, as a range: ``next Friday at seven``, ``7:30 pm``."""
    plain = [word.plain for word in words]
    certain = [index for index in range(len(plain)) if _is_when(plain, index)]
    if not certain:
        return None
    start, end = certain[0], certain[0] + 1
    while start and (_belongs(plain, start - 1) or plain[start - 1] in _LEADS):
        start -= 1
    while end < len(plain) and (
        _belongs(plain, end) or (plain[end] in _JOINS and end + 1 < len(plain) and _belongs(plain, end + 1))
    ):
        end += 1
    return start, end


def iso_date(words: Sequence[Word], today: date) -> str | None:
    """The day that ``words`` name, from ``today`` on, as ``YYYY-MM-DD``; None where they name none."""
    plain = [word.plain for word in words]
    for index, word in enumerate(plain):
        if word in ("today", "tonight", "tomorrow", "yesterday"):
            offset = {"tomorrow": 1, "yesterday": -1}.get(word, 0)
            return (today + timedelta(days=offset)).isoformat()
        if word in DAYS:
            ahead = (DAYS.index(word) - today.weekday()) % 7
            if ahead == 0 and plain[:index][-1:] == ["next"]:
                ahead = 7
            return (today + timedelta(days=ahead)).isoformat()
    month = next((index for index, word in enumerate(plain) if word in MONTHS), None)
    day = next((one for index in range(len(plain)) if (one := _day_of_month(plain, index))), None)
    if month is None or day is None:
        return None
    number = MONTHS.index(plain[month]) + 1
    year = today.year + ((number, day) < (today.month, today.day))
    try:
        return date(year, number, day).isoformat()
    except ValueError:  # the 31st of a month that has 30 days
        return None


def _is_when(plain: Sequence[str], index: int) -> bool:
    """Whether the word alone tells a day or a time; a number does after "at", and beside a month."""
    word = plain[index]
    if word in _DAY_WORDS or word in _TIME_WORDS or ":" in word:
        return True
    beside = {*plain[max(0, index - 2) : index], *plain[index + 1 : index + 4]}
    if word in MONTHS:
        return word not in ("may", "march") or any(
            _day_of_month(plain, near) for near in range(index - 3, index + 3) if 0 <= near < len(plain)
        )
    after_at = index > 0 and plain[index - 1] == "at" and number_at(plain, index) is not None
    return after_at or (bool(beside & set(MONTHS)) and _day_of_month(plain, index) is not None)


def _belongs(plain: Sequence[str], index: int) -> bool:
    return _is_when(plain, index) or number_at(plain, index) is not None or plain[index] in _ORDINALS


def _day_of_month(plain: Sequence[str], index: int) -> int | None:
    if plain[index] in _ORDINALS:
        return _ORDINALS.index(plain[index]) + 1
    number = number_at([plain[index].rstrip("dhnrst")]) or number_at(plain, index)
    return int(number[0]) if number and 1 <= number[0] <= 31 and number[0] == int(number[0]) else None
