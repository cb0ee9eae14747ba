"""Words, stems and identifiers."""

from __future__ import annotations

import pytest

from voicelive_agent.emulator.speech.words import name_words, numbers_in, phrase, spoken_name, stem, words_of


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("meter", "meters"),
        ("move", "moving"),
        ("book", "booked"),
        ("stop", "stopping"),
        ("city", "cities"),
        ("hour", "hours"),
        ("open", "opening"),
        ("Paris's".lower(), "paris"),
    ],
)
def test_forms_of_a_word_share_a_stem(left: str, right: str) -> None:
    assert stem(left) == stem(right)


@pytest.mark.parametrize(("left", "right"), [("left", "light"), ("time", "timer"), ("bus", "bu"), ("this", "the")])
def test_other_words_do_not(left: str, right: str) -> None:
    assert stem(left) != stem(right)


@pytest.mark.parametrize(
    ("name", "spoken"),
    [
        ("get_weather", "get weather"),
        ("openingHours", "opening hours"),
        ("HTTPStatus", "http status"),
        ("room2", "room 2"),
        ("__", "__"),
    ],
)
def test_identifiers(name: str, spoken: str) -> None:
    assert spoken_name(name) == spoken


def test_words_know_where_they_stand() -> None:
    text = "It's cold-hearted, 7:30 or 1,250.5!"
    words = words_of(text)
    assert [word.plain for word in words] == ["it's", "cold", "hearted", "7:30", "or", "1,250.5"]
    assert [text[word.start : word.end].lower() for word in words] == [word.plain for word in words]


def test_contractions_say_little() -> None:
    assert [word.says_little for word in words_of("what's don't I'm Paris's")] == [True, True, True, False]


def test_numbers_and_digits() -> None:
    words = words_of("order four two seven, then forty two five of them, 3.5 and ten")
    assert [one.value for one in numbers_in(words)] == [427, 42, 5, 3.5, 10]


def test_a_phrase_is_found_as_a_whole() -> None:
    words = words_of("the light in the living room")
    assert phrase(words, [stem(part) for part in name_words("living_room")]) == (4, 6)
    assert phrase(words, ["light", "room"]) is None
    assert phrase(words, []) is None
