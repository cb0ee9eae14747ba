"""Numbers as people say them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelive_agent.emulator.speech.numbers import LARGEST, number_at, number_words


@given(st.integers(0, LARGEST))
def test_words_and_back(value: int) -> None:
    words = number_words(value).split()
    assert number_at(words) == (value, len(words))


@given(st.integers(0, LARGEST))
def test_the_and_may_be_left_out(value: int) -> None:
    words = number_words(value).replace(" and ", " ").split()
    assert number_at(words) == (value, len(words))


@given(st.integers(0, LARGEST))
def test_digits_with_and_without_commas(value: int) -> None:
    assert number_at([str(value)]) == number_at([f"{value:,}"]) == (value, 1)


@pytest.mark.parametrize(
    ("text", "value", "used"),
    [
        ("ten", 10, 1),
        ("twenty five", 25, 2),
        ("a hundred", 100, 2),
        ("a thousand and one", 1001, 4),
        ("one hundred twenty three thousand four hundred fifty six", 123_456, 9),
        ("nineteen hundred", 1900, 2),
        ("three point one four", 3.14, 4),
        ("3.5", 3.5, 1),
        ("minus five degrees", -5, 2),
        ("negative 2.5", -2.5, 2),
        ("twenty and five", 20, 1),
        ("twenty ten", 20, 1),
        ("ten point", 10, 1),
        ("a hundred and go", 100, 2),
        ("zero hundred", 0, 1),
    ],
)
def test_what_begins_a_number(text: str, value: float, used: int) -> None:
    assert number_at(text.split()) == (value, used)


@pytest.mark.parametrize(
    "text", ["", "a", "and five", "hundred", "point five", "minus", "a ten", "tenfold", "7:30"]
)
def test_what_does_not(text: str) -> None:
    assert number_at(text.split()) is None


def test_in_the_middle_of_a_sentence() -> None:
    assert number_at(["go", "forward", "ten", "meters"], 2) == (10, 3)


@pytest.mark.parametrize("value", [-1, LARGEST + 1])
def test_no_words_outside_the_range(value: int) -> None:
    with pytest.raises(ValueError, match=str(value)):
        number_words(value)
