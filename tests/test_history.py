"""What was said and what was heard, per item and down to the word."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelive_agent.history import MAX_ITEMS, History, HistoryItem, Told

TEXT = "The library is open from nine to five."  # 38 characters


def spoken(
    text: str = TEXT,
    *,
    heard_ms: int,
    received_ms: int,
    complete: bool = True,
    words: list[tuple[str, float]] | None = None,
) -> History:
    history = History()
    history.mention("a", "assistant")
    history.say("a", text)
    for word, end_ms in words or []:
        history.time_word("a", word, end_ms)
    history.progress("a", heard_ms=heard_ms, received_ms=received_ms, complete=complete)
    return history


# --- the order ---------------------------------------------------------------------------------------------------


def test_items_are_in_the_order_in_which_they_were_first_mentioned() -> None:
    history = History()
    for item_id in ["u1", "a1", "u1", "u2", "a1"]:
        history.mention(item_id, "user" if item_id[0] == "u" else "assistant")
    history.say("u1", "a late transcript")
    assert [(item.item_id, item.role) for item in history] == [
        ("u1", "user"),
        ("a1", "assistant"),
        ("u2", "user"),
    ]
    assert len(history) == 3
    assert ("u1" in history, "u3" in history) == (True, False)


def test_a_place_is_kept_for_what_the_service_has_not_named_yet() -> None:
    history = History()
    history.reserve("commit_1", "user")
    history.mention("typed", "user")
    history.reserve("commit_2", "user")
    assert history.previous_on_service("typed") == "root"
    history.name("commit_1", "item_1")
    history.name("commit_1", "item_2")  # told twice
    history.name("nobody's", "item_3")
    assert [item.item_id for item in history] == ["item_1", "typed", "commit_2"]
    assert history.previous_on_service("typed") == "item_1"
    history.release("commit_2")
    history.release("commit_2")
    assert [item.item_id for item in history] == ["item_1", "typed"]


def test_a_named_item_keeps_its_first_place() -> None:
    history = History()
    history.mention("item_1", "user")
    history.reserve("commit_1", "user")
    history.name("commit_1", "item_1")
    history.release("commit_1")
    assert [item.item_id for item in history] == ["item_1"]


def test_the_first_role_of_an_item_stays() -> None:
    history = History()
    history.mention("x", "user")
    history.mention("x", "tool")
    assert history["x"].role == "user"


def test_a_history_is_bounded_and_forgets_its_oldest_items() -> None:
    history = History()
    for number in range(MAX_ITEMS + 3):
        history.mention(f"i{number}", "user")
    assert len(history) == MAX_ITEMS
    assert [item.item_id for item in history] == [f"i{number}" for number in range(3, MAX_ITEMS + 3)]
    with pytest.raises(KeyError):
        history["i2"]


def test_a_history_may_grow_while_it_is_read() -> None:
    history = History()
    history.mention("a", "user")
    seen = []
    for item in history:
        seen.append(item.item_id)
        history.mention("b", "user")
    assert seen == ["a"]
    assert len(history) == 2


def test_what_was_read_does_not_change_any_more() -> None:
    history = History()
    history.mention("a", "user")
    before = history["a"]
    with pytest.raises(AttributeError):
        before.text = "Hi"  # type: ignore[misc]
    history.say("a", "Hello")
    assert (before.text, history["a"].text) == ("", "Hello")


# --- the text ----------------------------------------------------------------------------------------------------


def test_text_grows_by_deltas_and_is_replaced_by_the_whole() -> None:
    history = History()
    history.mention("a", "assistant")
    assert history.say("a", "Hel", append=True) == "Hel"
    assert history.say("a", "lo", append=True) == "Hello"
    assert history.say("a", "Hello!") == "Hello!"
    assert history["a"].text == "Hello!"


@pytest.mark.parametrize("role", ["user", "tool", "assistant"])
def test_what_has_no_audio_of_ours_is_heard_as_it_is(role: str) -> None:
    history = History()
    history.mention("x", role)  # type: ignore[arg-type]
    history.say("x", "Hello")
    assert history["x"] == HistoryItem("x", role, text="Hello", heard_text="Hello")  # type: ignore[arg-type]


def test_nothing_is_written_about_an_item_that_nobody_mentioned() -> None:
    history = History()
    assert history.say("x", "Hello", append=True) == "Hello"
    history.time_word("x", "Hello", 100)
    history.progress("x", heard_ms=1, received_ms=2, complete=False)
    history.tell("x", "truncated")
    history.replace_on_service("x", None)
    assert list(history) == []
    with pytest.raises(KeyError):
        history.cut("x")


# --- the words heard ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heard_ms", "heard_text", "estimated"),
    [
        (0, "", True),
        (50, "", True),  # 1.9 of 38 characters: a part of a word is not heard
        (300, "The library", True),
        (1_000 * 26 // 38, "The library is open from", True),
        (999, "The library is open from nine to", True),
        (1_000, TEXT, False),
        (1_001, TEXT, False),
    ],
)
def test_words_are_placed_by_proportion(heard_ms: int, heard_text: str, estimated: bool) -> None:
    item = spoken(heard_ms=heard_ms, received_ms=1_000)["a"]
    assert (item.heard_text, item.estimated) == (heard_text, estimated)


def test_while_more_audio_is_to_come_the_speaking_rate_is_assumed() -> None:
    # 38 characters are about 2.5 s; of these 1 s has arrived and was heard.
    item = spoken(heard_ms=1_000, received_ms=1_000, complete=False)["a"]
    assert (item.heard_text, item.estimated) == ("The library is", True)


def test_audio_that_takes_longer_than_assumed_is_its_own_measure() -> None:
    item = spoken(heard_ms=4_000, received_ms=8_000, complete=False)["a"]
    assert item.heard_text == "The library is open"


def test_word_timestamps_are_exact() -> None:
    words = [("The", 200.0), ("library", 700.0), ("is", 800.5), ("open", 1_100.0)]
    item = spoken(heard_ms=801, received_ms=2_000, words=words)["a"]
    assert (item.heard_text, item.estimated) == ("The library is", False)
    assert spoken(heard_ms=800, received_ms=2_000, words=words)["a"].heard_text == "The library"
    assert spoken(heard_ms=700, received_ms=2_000, words=words)["a"].heard_text == "The library"
    assert spoken(heard_ms=699, received_ms=2_000, words=words)["a"].heard_text == "The"
    assert spoken(heard_ms=0, received_ms=2_000, words=words)["a"].heard_text == ""


def test_what_was_heard_to_its_end_is_all_of_the_text_whatever_the_timestamps_say() -> None:
    item = spoken(heard_ms=2_000, received_ms=2_000, words=[("The", 200.0)])["a"]
    assert (item.heard_text, item.estimated) == (TEXT, False)


@pytest.mark.parametrize(
    ("text", "heard_text"),
    [("你好,我是图书馆的", "你好,我"), ("こんにちは世界です", "こんにち"), ("これはtestです よ", "これは")],
)
def test_a_script_without_spaces_has_a_word_for_each_character(text: str, heard_text: str) -> None:
    assert spoken(text, heard_ms=480, received_ms=1_000)["a"].heard_text == heard_text


WORDS = st.lists(st.text(st.characters(categories=["L", "P"]), min_size=1, max_size=9), max_size=12)


@given(words=WORDS, gap=st.sampled_from([" ", "  ", "\n", ". "]), received_ms=st.integers(1, 20_000))
def test_the_heard_words_are_whole_and_grow_with_what_is_heard(
    words: list[str], gap: str, received_ms: int
) -> None:
    text = gap.join(words)
    heard = [
        spoken(text, heard_ms=received_ms * part // 16, received_ms=received_ms)["a"].heard_text
        for part in range(17)
    ]
    assert heard[-1] == text
    for part, (shorter, longer) in enumerate(pairwise(heard)):
        assert text.startswith(shorter)
        assert len(shorter) <= len(longer)
        assert len(shorter) <= len(text) * part / 16 + 1e-6
        assert shorter == shorter.rstrip()


@given(
    text=st.text(max_size=60),
    received_ms=st.integers(0, 9_000),
    heard_ms=st.integers(0, 9_000),
    complete=st.booleans(),
)
def test_any_text_can_be_heard_in_part(text: str, received_ms: int, heard_ms: int, complete: bool) -> None:
    item = spoken(text, heard_ms=min(heard_ms, received_ms), received_ms=received_ms, complete=complete)["a"]
    assert text.startswith(item.heard_text)
    assert (item.received_ms, item.heard_ms) == (received_ms, min(heard_ms, received_ms))


# --- interruptions -----------------------------------------------------------------------------------------------


def test_an_interruption_settles_what_was_heard() -> None:
    history = spoken(heard_ms=300, received_ms=1_000)
    item = history.cut("a")
    assert item == history["a"]
    assert (item.heard_text, item.interrupted, item.estimated) == ("The library", True, True)
    history.progress("a", heard_ms=1_000, received_ms=1_000, complete=True)
    history.say("a", TEXT + " Goodbye.")
    history.time_word("a", "The", 200)
    again = history.cut("a")
    assert (again.heard_text, again.heard_ms, again.estimated) == ("The library", 300, True)
    assert again.text == TEXT + " Goodbye."


def test_an_interruption_by_timestamps_is_exact() -> None:
    item = spoken(heard_ms=300, received_ms=1_000, words=[("The", 200.0)]).cut("a")
    assert (item.heard_text, item.estimated) == ("The", False)


def test_what_was_heard_to_its_end_when_it_was_interrupted_is_no_estimate() -> None:
    item = spoken(heard_ms=1_000, received_ms=1_000).cut("a")
    assert (item.heard_text, item.interrupted, item.estimated) == (TEXT, True, False)


def test_of_an_answer_that_was_cut_off_before_its_audio_came_nothing_was_heard() -> None:
    history = spoken(heard_ms=0, received_ms=0, complete=False)
    item = history.cut("a")
    assert (item.text, item.heard_text, item.interrupted, item.estimated) == (TEXT, "", True, False)
    assert history.cut("a") == item


@pytest.mark.parametrize("told", ["truncated", "rewritten", "deleted", "unknown"])
def test_it_is_known_how_the_service_was_told(told: Told) -> None:
    history = spoken(heard_ms=300, received_ms=1_000)
    assert history["a"].told == ""
    history.tell("a", told)
    assert history["a"].told == told


# --- where an item is on the service -----------------------------------------------------------------------------


def four_items() -> History:
    history = History()
    for item_id in "abcd":
        history.mention(item_id, "user")
    return history


def test_an_item_comes_after_the_one_before_it() -> None:
    history = four_items()
    assert [history.previous_on_service(item_id) for item_id in "abcd"] == ["root", "a", "b", "c"]


def test_what_is_not_known_comes_after_everything() -> None:
    assert four_items().previous_on_service("x") == "d"


def test_what_was_deleted_on_the_service_is_skipped() -> None:
    history = four_items()
    history.replace_on_service("c", None)
    history.replace_on_service("b", None)
    assert history.previous_on_service("d") == "a"
    history.replace_on_service("a", None)
    assert history.previous_on_service("d") == "root"
    assert len(history) == 4


def test_what_was_rewritten_has_its_new_id_on_the_service_and_its_own_here() -> None:
    history = four_items()
    history.replace_on_service("b", "b2")
    assert history.previous_on_service("c") == "b2"
    assert history["b"].item_id == "b"
    assert "b2" not in history


def test_what_is_spoken_is_heard_only_with_its_audio() -> None:
    history = History()
    history.mention("a", "assistant")
    history.say("a", "The library", append=True, spoken=True)
    assert history["a"].heard_text == ""
    history.mention("b", "assistant")
    history.say("b", "The library", append=True)
    assert history["b"].heard_text == "The library", "what is written is read"


def test_timed_words_are_found_in_the_text_as_it_is_written() -> None:
    history = History()
    history.mention("a", "assistant")
    history.say("a", "Well, 你好, go.", spoken=True)
    for end, word in enumerate(["Well", ",", "你", "好", "?", "go"], 1):
        history.time_word("a", word, end * 100)
    history.progress("a", heard_ms=520, received_ms=1_000, complete=True)
    assert history["a"].heard_text == "Well, 你好"
    history.progress("a", heard_ms=620, received_ms=1_000, complete=True)
    assert history["a"].heard_text == "Well, 你好, go"
