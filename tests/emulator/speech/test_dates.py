"""Days and times in an utterance."""

from __future__ import annotations

from datetime import date

import pytest

from voicelive_agent.emulator.speech.dates import iso_date, when_span
from voicelive_agent.emulator.speech.words import words_of

FRIDAY = date(2026, 3, 6)


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("are you open on Sunday", "Sunday"),
        ("book it for next Friday at seven thirty please", "next Friday at seven thirty"),
        ("a table for four at 7:30 pm", "7:30 pm"),
        ("tomorrow morning", "tomorrow morning"),
        ("on March the twelfth", "March the twelfth"),
        ("on the 12th of March", "12th of March"),
        ("on twelve March", "twelve March"),
        ("at noon", "noon"),
        ("at ten", "ten"),
        ("we march on", None),
        ("may I go", None),
        ("May 5", "May 5"),
        ("table for two", None),
        ("at home", None),
        ("", None),
    ],
)
def test_when(text: str, when: str | None) -> None:
    words = words_of(text)
    span = when_span(words)
    assert (text[words[span[0]].start : words[span[1] - 1].end] if span else None) == when


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("today", "2026-03-06"),
        ("tonight", "2026-03-06"),
        ("tomorrow", "2026-03-07"),
        ("yesterday", "2026-03-05"),
        ("Friday", "2026-03-06"),
        ("next Friday", "2026-03-13"),
        ("Thursday", "2026-03-12"),
        ("March the twelfth", "2026-03-12"),
        ("March 5", "2027-03-05"),
        ("the 22nd of March", "2026-03-22"),
        ("31 December", "2026-12-31"),
        ("February 30", None),
        ("at noon", None),
        ("March", None),
    ],
)
def test_iso(text: str, iso: str | None) -> None:
    assert iso_date(words_of(text), FRIDAY) == iso
