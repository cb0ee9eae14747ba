"""How much was heard of each item, against a listener who counts every sample."""

from __future__ import annotations

import base64
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelive_agent._playback import GRACE_S, ItemAudio, Playback

RATE = 1_000  # a sample is a millisecond


def encoded(size: int) -> str:
    return base64.b64encode(bytes(size)).decode()


def playback(*chunks: tuple[str, int]) -> Playback:
    """G.711: a byte is a sample."""
    played = Playback(rate=RATE, sample_bytes=1)
    for item_id, size in chunks:
        played.play(item_id, encoded(size))
    return played


def heard(played: Playback, *item_ids: str) -> list[int]:
    return [played[item_id].heard for item_id in item_ids]


# --- heard = sent - pending ---------------------------------------------------------------------------------


def test_what_is_pending_is_the_newest() -> None:
    played = playback(("a", 100), ("b", 50))
    for pending, expected in [(150, [0, 0]), (120, [30, 0]), (50, [100, 0]), (10, [100, 40]), (0, [100, 50])]:
        played.advance(pending, 0.0)
        assert (heard(played, "a", "b"), played.pending) == (expected, pending)


def test_a_listener_may_hear_sample_by_sample() -> None:
    played = playback(("a", 3), ("b", 2))
    counts = []
    for pending in range(5, -1, -1):
        played.advance(pending, 0.0)
        counts.append((*heard(played, "a", "b"), played.pending))
    assert counts == [(0, 0, 5), (1, 0, 4), (2, 0, 3), (3, 0, 2), (3, 1, 1), (3, 2, 0)]


@pytest.mark.parametrize("pending", [100, 101, 5_000])
def test_what_was_heard_stays_heard(pending: int) -> None:
    played = playback(("a", 100))
    played.advance(60, 0.0)
    played.advance(pending, 0.0)
    assert (heard(played, "a"), played.pending) == ([40], 60)


def test_less_than_nothing_cannot_be_pending() -> None:
    played = playback(("a", 100))
    played.advance(-7, 0.0)
    assert (heard(played, "a"), played.pending) == ([100], 0)


def test_of_an_item_without_audio_nothing_is_expected() -> None:
    assert playback()["x"] == ItemAudio("x", received=0, heard=0, complete=True)


def test_a_forgotten_item_is_like_one_without_audio() -> None:
    played = playback(("a", 100))
    played.forget("a")
    played.forget("never seen")
    assert played["a"] == ItemAudio("a", complete=True)
    played.advance(0, 0.0)
    assert played.pending == 0


@given(
    chunks=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 7)), max_size=30),
    sample_bytes=st.sampled_from([1, 2]),
)
def test_bytes_of_a_cut_sample_are_carried_to_the_next_piece_of_the_item(
    chunks: list[tuple[str, int]], sample_bytes: int
) -> None:
    played = Playback(rate=RATE, sample_bytes=sample_bytes)
    item_now, size_now, received = "", 0, Counter[str]()
    for item_id, size in chunks:
        size_now = size_now % sample_bytes + size if item_id == item_now else size
        item_now = item_id
        text = encoded(size)
        play = played.play(item_id, text)
        assert (play.item_id, play.base64, play.samples) == (item_id, text, size_now // sample_bytes)
        assert play.decode() == bytes(size)
        received[item_id] += play.samples
    assert played.pending == received.total()
    assert all(played[item_id].received == samples for item_id, samples in received.items())


def test_a_cut_sample_does_not_survive_a_flush() -> None:
    played = Playback(rate=RATE, sample_bytes=2)
    assert played.play("a", encoded(3)).samples == 1
    played.flush()
    assert played.play("a", encoded(3)).samples == 1


STEP = st.one_of(
    st.tuples(st.just("play"), st.sampled_from("abcd"), st.integers(0, 40)),
    st.tuples(st.just("pending"), st.just(""), st.integers(-5, 200)),
    st.tuples(st.just("complete"), st.sampled_from("abcd"), st.just(0)),
    st.tuples(st.just("flush"), st.just(""), st.just(0)),
)


@given(st.lists(STEP, max_size=40))
def test_it_counts_like_a_listener(steps: list[tuple[str, str, int]]) -> None:
    played = playback()
    queue: list[str] = []  # whose samples are pending, one by one
    listened: Counter[str] = Counter()
    received: Counter[str] = Counter()
    complete: set[str] = set()
    now_playing: str | None = None
    for action, item_id, amount in steps:
        if action == "play":
            assert played.play(item_id, encoded(amount)).samples == amount
            queue += [item_id] * amount
            received[item_id] += amount
            now_playing = item_id
        elif action == "pending":
            played.advance(amount, 0.0)
            while len(queue) > max(0, amount):
                listened[queue.pop(0)] += 1
        elif action == "complete":
            news = item_id in received and item_id not in complete
            assert played.complete(item_id) is news
            if news:
                complete.add(item_id)
                now_playing = None if now_playing == item_id else now_playing
        else:
            to_come = {now_playing} - complete - {None}
            cut = played.flush()
            assert {item.item_id for item in cut} == set(queue) | to_come
            order = list(dict.fromkeys(queue)) + sorted(to_come - set(queue), key=str)
            assert [item.item_id for item in cut] == order[::-1]
            queue, now_playing = [], None
        assert played.pending == len(queue)
        for name in received:
            audio = played[name]
            assert (audio.received, audio.heard) == (received[name], listened[name])
            assert audio.complete is (name in complete)


# --- interruptions ------------------------------------------------------------------------------------------


def test_an_interruption_cuts_the_items_that_are_pending_newest_first() -> None:
    played = playback(("a", 100), ("b", 50), ("c", 50))
    for item_id in "abc":
        played.complete(item_id)
    played.advance(80, 0.0)
    assert [(item.item_id, item.heard) for item in played.flush()] == [("c", 0), ("b", 20)]
    assert (played.pending, played.flush()) == (0, [])


def test_an_item_of_which_more_was_to_come_is_cut_even_if_all_that_came_was_heard() -> None:
    played = playback(("a", 100))
    played.advance(0, 0.0)
    assert [item.item_id for item in played.flush()] == ["a"]


def test_an_item_that_was_heard_to_its_end_is_not_cut() -> None:
    played = playback(("a", 100))
    played.complete("a")
    played.advance(0, 0.0)
    assert played.flush() == []


def test_nothing_that_was_flushed_is_ever_heard() -> None:
    played = playback(("a", 100))
    played.advance(70, 0.0)
    played.flush()
    played.advance(0, 0.0)
    assert heard(played, "a") == [30]


def test_an_end_is_news_once() -> None:
    played = playback(("a", 1))
    assert [played.complete(item_id) for item_id in "aab"] == [True, False, False]


def test_the_end_of_an_earlier_item_is_not_the_end_of_this_one() -> None:
    played = playback(("a", 1), ("b", 1))
    assert played.complete("a")
    played.advance(0, 10.0)
    assert played.audible(10.0)


# --- durations ----------------------------------------------------------------------------------------------


@given(samples=st.integers(0, 10**7), rate=st.sampled_from([8_000, 16_000, 24_000]))
def test_milliseconds_are_rounded_down(samples: int, rate: int) -> None:
    played = Playback(rate=rate, sample_bytes=2)
    audio = ItemAudio("a", received=samples, heard=samples)
    assert played.heard_ms(audio) == played.received_ms(audio)
    assert played.heard_ms(audio) * rate <= samples * 1000 < (played.heard_ms(audio) + 1) * rate


# --- what can be heard now ----------------------------------------------------------------------------------


def test_nothing_is_audible_before_there_is_audio() -> None:
    played = playback()
    assert not played.audible(0.0)
    assert played.deadline(0.0) is None


def test_audio_is_audible_until_it_was_heard() -> None:
    played = playback(("a", 500))
    played.complete("a")
    assert played.audible(3.0)
    assert played.deadline(3.0) == 3.5
    played.advance(0, 3.5)
    assert not played.audible(3.5)
    assert played.deadline(3.5) is None


def test_a_short_pause_between_slow_deltas_is_still_speech() -> None:
    played = playback(("a", 500))
    played.advance(0, 3.5)
    assert played.audible(3.5 + GRACE_S - 0.001)
    assert played.deadline(3.6) == 3.5 + GRACE_S
    assert not played.audible(3.5 + GRACE_S)
    assert played.deadline(3.5 + GRACE_S) is None


def test_a_pause_is_counted_from_the_last_sample_not_from_the_last_look() -> None:
    played = playback(("a", 500))
    played.advance(0, 3.5)
    played.advance(0, 3.8)
    assert not played.audible(3.9)


def test_speech_goes_on_when_audio_comes_again() -> None:
    played = playback(("a", 500))
    played.advance(0, 3.5)
    played.play("a", encoded(100))
    assert played.audible(9.0)
    assert played.deadline(9.0) == 9.1


@pytest.mark.parametrize("now", [0.0, 0.1, 1e9])
def test_an_empty_piece_of_audio_is_not_audible_whatever_the_clock_says(now: float) -> None:
    played = playback(("a", 0))
    assert not played.audible(now)
    assert played.deadline(now) is None


def test_an_interruption_is_silence_at_once() -> None:
    played = playback(("a", 500))
    played.advance(400, 3.5)
    played.flush()
    assert not played.audible(3.5)
    assert played.deadline(3.5) is None


# --- what a flush can no longer stop ---


@pytest.mark.parametrize(("in_flight", "then_heard"), [(0, 100), (48, 148), (10_000, 1_000)])
def test_what_is_in_flight_counts_as_heard(in_flight: int, then_heard: int) -> None:
    played = playback(("a", 1_000))
    played.advance(900, 1.0)
    played.in_flight = in_flight
    assert played.unstoppable(2.0) == then_heard - 100
    assert (heard(played, "a"), played.pending, played.in_flight) == ([then_heard], 1_000 - then_heard, 0)
    played.flush()
    assert heard(played, "a") == [then_heard]
