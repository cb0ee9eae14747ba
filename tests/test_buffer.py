"""The buffer between a conversation and its consumer: never waits, never grows without bound, never lies."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelive_agent._buffer import LIMIT, EventBuffer
from voicelive_agent.events import (
    AgentSpeaking,
    EndReason,
    Event,
    EventsDropped,
    SessionEnded,
    SessionStarted,
    State,
    StateChanged,
    ToolCalled,
    ToolFinished,
    UserSpeaking,
    UserSpoke,
    Verdict,
    Warned,
)

ENDED = SessionEnded(Verdict(EndReason.STOPPED))
KEPT = (
    StateChanged(State.READY, State.LISTENING),
    SessionStarted("s", {}),
    ToolCalled("c", "f", "{}"),
    ToolFinished("c", "f", "1", 0),
)


def take(buffer: EventBuffer) -> Event:
    """The next event of a buffer that has one: this never waits."""
    step = buffer.__anext__()
    with pytest.raises(StopIteration) as taken:
        step.send(None)
    event: Event = taken.value.value
    return event


async def rest(buffer: EventBuffer) -> list[Event]:
    return [event async for event in buffer]


def filled(count: int, limit: int) -> EventBuffer:
    buffer = EventBuffer(limit)
    for number in range(count):
        buffer.put(Warned("w", str(number)))
    return buffer


async def test_events_come_in_their_order_and_end_with_the_session() -> None:
    buffer = filled(3, 10)
    buffer.put(ENDED)
    buffer.put(Warned("late", "to nobody"))
    assert await rest(buffer) == [Warned("w", "0"), Warned("w", "1"), Warned("w", "2"), ENDED]
    assert await rest(buffer) == []


async def test_a_consumer_that_waits_is_woken() -> None:
    buffer = EventBuffer()
    waiting = asyncio.ensure_future(buffer.__anext__())
    await asyncio.sleep(0)
    assert not waiting.done()
    buffer.put(KEPT[0])
    assert await waiting is KEPT[0]


@pytest.mark.parametrize("kind", [UserSpeaking, AgentSpeaking])
async def test_partial_transcripts_of_an_item_replace_each_other_while_they_wait(kind: type[Any]) -> None:
    buffer = EventBuffer()
    for event in (kind("a", "one"), kind("b", "x"), kind("a", "one two")):
        buffer.put(event)
    assert take(buffer) == kind("a", "one two")
    buffer.put(kind("a", "one two three"))  # the first was taken: this is a new one
    buffer.put(ENDED)
    assert await rest(buffer) == [kind("b", "x"), kind("a", "one two three"), ENDED]


async def test_partial_transcripts_of_user_and_agent_are_different() -> None:
    buffer = EventBuffer()
    buffer.put(UserSpeaking("a", "u"))
    buffer.put(AgentSpeaking("a", "g"))
    assert (take(buffer), take(buffer)) == (UserSpeaking("a", "u"), AgentSpeaking("a", "g"))


async def test_when_full_the_newest_are_dropped_and_counted_once() -> None:
    buffer = filled(5, 3)
    assert (take(buffer), take(buffer)) == (Warned("w", "0"), Warned("w", "1"))
    buffer.put(Warned("w", "after"))
    assert take(buffer) == Warned("w", "2")
    assert take(buffer) == EventsDropped(2)
    assert take(buffer) == Warned("w", "after")


async def test_what_was_dropped_is_told_before_the_end() -> None:
    buffer = filled(4, 2)
    buffer.put(ENDED)
    assert await rest(buffer) == [Warned("w", "0"), Warned("w", "1"), EventsDropped(2), ENDED]


@pytest.mark.parametrize("event", KEPT, ids=lambda event: type(event).__name__)
async def test_state_session_and_tool_events_are_never_dropped(event: Event) -> None:
    buffer = filled(9, 3)
    for _ in range(10):
        buffer.put(event)
    buffer.put(ENDED)
    assert (await rest(buffer))[3:] == [event] * 10 + [EventsDropped(6), ENDED]


async def test_a_dropped_partial_does_not_swallow_later_ones() -> None:
    buffer = filled(2, 2)
    buffer.put(UserSpeaking("a", "dropped"))
    assert [take(buffer), take(buffer)] == [Warned("w", "0"), Warned("w", "1")]
    buffer.put(UserSpeaking("a", "heard"))
    assert [take(buffer), take(buffer)] == [EventsDropped(1), UserSpeaking("a", "heard")]


async def test_a_consumer_that_never_reads_costs_a_bounded_memory() -> None:
    buffer = filled(20_000, LIMIT)
    for number in range(20_000):
        buffer.put(UserSpeaking(f"item_{number}", "words"))
    buffer.put(ENDED)
    events = await rest(buffer)
    assert len(events) == LIMIT + 2
    assert events[-2:] == [EventsDropped(40_000 - LIMIT), ENDED]


# --- against a model -----------------------------------------------------------------------------------------

_EVENTS = st.one_of(
    st.builds(Warned, st.just("w"), st.text(max_size=2)),
    st.builds(UserSpeaking, st.sampled_from("ab"), st.text(max_size=2)),
    st.builds(AgentSpeaking, st.sampled_from("ab"), st.text(max_size=2)),
    st.builds(UserSpoke, st.sampled_from("ab"), st.text(max_size=2)),
    st.sampled_from(KEPT),
)


class Model:
    """What a consumer is promised, as plainly as it can be said."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.waiting: deque[Event] = deque()
        self.lost = 0

    def put(self, event: Event) -> None:
        if isinstance(event, UserSpeaking | AgentSpeaking):
            for place, other in enumerate(self.waiting):
                if isinstance(other, type(event)) and other.item_id == event.item_id:
                    self.waiting[place] = event
                    return
        full = len(self.waiting) >= self.limit
        if full and not isinstance(event, (*map(type, KEPT), SessionEnded)):
            self.lost += 1
            return
        if self.lost and (len(self.waiting) + 1 < self.limit or event is ENDED):
            self.waiting.append(EventsDropped(self.lost))
            self.lost = 0
        self.waiting.append(event)


@given(st.integers(1, 5), st.lists(st.one_of(_EVENTS, st.none()), max_size=60))
def test_it_behaves_like_the_model(limit: int, actions: list[Event | None]) -> None:
    """Events are put; None is the consumer taking one."""
    buffer, model = EventBuffer(limit), Model(limit)
    for event in [*actions, ENDED]:
        if event is not None:
            buffer.put(event)
            model.put(event)
        elif model.waiting:
            assert take(buffer) == model.waiting.popleft()
    assert asyncio.run(rest(buffer)) == list(model.waiting)
    assert model.lost == 0
