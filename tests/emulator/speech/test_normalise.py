"""The one form of what was said and heard, and the errors between them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelive_agent.emulator.speech.normalise import normalise, word_errors
from voicelive_agent.emulator.speech.numbers import number_words


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("Go Forward!", "go forward"),
        ("ill-disposed", "ill disposed"),
        ("Don't, it's ten o'clock.", "dont its 10 oclock"),
        ("Mr. Smith and Dr. Jones", "mister smith and doctor jones"),
        ("twenty-five", "25"),
        ("four two seven one nine", "42719"),
        ("1,250 points", "1250 points"),
        ("at 7:30", "at 730"),
        ("at seven thirty", "at 730"),
        ("5%", "5 percent"),
        ("one minus two", "1 -2"),
        ("", ""),
    ],
)
def test_forms(text: str, form: str) -> None:
    assert normalise(text) == form.split()


@given(st.integers(0, 999_999))
def test_words_and_digits_have_one_form(value: int) -> None:
    assert normalise(number_words(value)) == normalise(str(value)) == [str(value)]


@given(st.text(alphabet="abcdeMR .,-'?!%"))
def test_a_form_is_its_own_form(text: str) -> None:
    once = normalise(text)
    assert normalise(" ".join(once)) == once


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [
        ("go forward ten meters", "Go forward 10 meters.", 0),
        ("seven of clubs", "7 of close", 1),
        ("ten of clubs", "of clubs", 1),
        ("ten of clubs", "ten of the clubs", 1),
        ("", "you", 1),
        ("one word", "", 2),
        ("ill disposed", "old-sposed", 2),
    ],
)
def test_errors(said: str, heard: str, errors: int) -> None:
    assert word_errors(said, heard) == errors


@given(st.lists(st.sampled_from("abcd")), st.lists(st.sampled_from("abcd")))
def test_errors_are_a_distance(left: list[str], right: list[str]) -> None:
    errors = word_errors(" ".join(left), " ".join(right))
    assert errors == word_errors(" ".join(right), " ".join(left))
    assert abs(len(left) - len(right)) <= errors <= max(len(left), len(right))
    assert (errors == 0) == (left == right)
