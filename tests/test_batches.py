"""The calls of one response are spoken about together, once all of them are over."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voicelive_agent._batches import ALWAYS, Batches


def begun(*calls: tuple[str, str]) -> Batches:
    batches = Batches()
    for call_id, batch in calls:
        batches.begin(call_id, batch)
    return batches


def test_nothing_is_due_before_the_last_call_of_the_batch_is_over() -> None:
    batches = begun(("a", "r"), ("b", "r"))
    batches.finish("a", turn=1)
    assert batches.open
    assert not batches.due(1)
    batches.finish("b", turn=1)
    assert not batches.open
    assert batches.due(1)


def test_batches_do_not_wait_for_each_other() -> None:
    batches = begun(("a", "r"), ("b", "s"))
    batches.finish("a", turn=1)
    assert batches.open
    assert batches.due(1)


def test_a_newer_turn_knows_of_it_anyway_unless_it_is_always_spoken_about() -> None:
    batches = begun(("a", "r"))
    batches.finish("a", turn=1)
    assert batches.due(0)  # the turn after it came to nothing
    assert batches.due(1)
    assert not batches.due(2)
    batches.begin("b", "r")
    batches.finish("b", turn=ALWAYS)
    assert batches.due(1_000)


def test_what_is_spoken_about_is_not_due_again() -> None:
    batches = begun(("a", "r"), ("b", "r"))
    batches.finish("a", turn=1)
    batches.spoken()
    assert not batches.due(1)
    batches.finish("b", turn=1)
    assert batches.due(1)
    batches.spoken()
    assert not batches.due(1)


def test_a_call_can_be_over_with_nothing_to_say() -> None:
    batches = begun(("a", "r"), ("b", "r"))
    batches.drop("a")
    assert not batches.due(1)
    batches.finish("b", turn=1)
    assert batches.due(1)


def test_a_call_can_move_to_another_batch() -> None:
    batches = begun(("a", "a"), ("a", "r"), ("b", "r"))
    batches.finish("a", turn=1)
    assert not batches.due(1)


def test_rounds_are_counted_along_the_results() -> None:
    batches = Batches()
    assert batches.rounds == 0
    batches.begin("a", "r", rounds=0)
    batches.begin("b", "s", rounds=3)
    batches.finish("a", turn=1)
    assert batches.rounds == 1
    batches.finish("b", turn=1)
    assert batches.rounds == 4
    batches.spoken()
    assert batches.rounds == 0


def test_what_is_asked_for_while_calls_run_is_deeper_than_they_are() -> None:
    batches = Batches()
    assert batches.depth == 0
    batches.begin("a", "r", rounds=0)
    batches.begin("b", "s", rounds=3)
    assert batches.depth == 4
    batches.finish("b", turn=1)
    assert batches.depth == 1
    batches.spoken()
    assert batches.depth == 1
    batches.drop("a")
    assert batches.depth == 0


def test_at_the_end_nothing_is_open_or_due() -> None:
    batches = begun(("a", "r"), ("b", "s"))
    batches.finish("a", turn=1)
    batches.clear()
    assert not batches.open
    assert not batches.due(0)
    assert batches.rounds == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2), st.booleans()), max_size=30))
def test_every_result_is_due_exactly_once(steps: list[tuple[int, int, bool]]) -> None:
    """Whenever something is due it is spoken about; in the end every batch with a result was, and none is left."""
    batches = Batches()
    running: dict[str, str] = {}
    unspoken: set[str] = set()
    for number, batch, says in steps:
        call_id, name = f"c{number}", f"r{batch}"
        if call_id not in running:
            running[call_id] = name
            batches.begin(call_id, name)
        else:
            of = running.pop(call_id)
            if says:
                unspoken.add(of)
                batches.finish(call_id, turn=1)
            else:
                batches.drop(call_id)
        complete = unspoken - set(running.values())
        assert batches.due(1) is bool(complete)
        if complete:
            batches.spoken()
            unspoken.clear()
    for call_id in running:
        batches.finish(call_id, turn=1)
    assert batches.due(1) is bool(running or unspoken)
