"""The page of events: the orders that it shows are those of conversations, and it says when each event comes."""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator, Sequence
from itertools import groupby
from typing import Any

import anyio
import pytest
from tests.test_docs import DOCS, read

from voicelive_agent import SessionConfig, State, tool
from voicelive_agent.audio import AudioFormat
from voicelive_agent.emulator import Call
from voicelive_agent.events import EVENT_TYPES, Event, StateChanged, TurnEnded, UserSpoke
from voicelive_agent.tools import ApprovalRequest

from .agent_driver import LONG, RATE, Line, Recorder, calling, emulated, sink, tone, virtual

PAGE = DOCS / "reference" / "events-and-states.md"
BLOCK = RATE // 50 * 2


class Librarian(Recorder):
    greeting = "Hello!"

    @tool(approval=True)
    async def reserve(self) -> str:
        """Reserve a book."""
        return "reserved"

    def approve(self, request: ApprovalRequest) -> bool:
        return True

    async def settle(self, turns: int) -> None:
        await self.until(lambda: len(self.all(TurnEnded)) == turns and self.state is State.READY)


class Person:
    """A source that says what the test wants, when it wants it."""

    format = AudioFormat(rate=RATE)

    def __init__(self) -> None:
        self.says = bytearray()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        due = anyio.current_time()
        while True:
            due += 0.02
            await anyio.sleep_until(due)
            yield bytes(self.says[:BLOCK]).ljust(BLOCK, b"\0")
            del self.says[:BLOCK]


def called(*says: str, **more: Any) -> Librarian:
    return Librarian(Line(lambda: emulated(("reserve", Call("reserve", {})), ("story", LONG), says=says)), **more)


def written(row: str) -> list[str]:
    """The events of a row of the page."""
    (line,) = (line for line in read(PAGE).splitlines() if line.startswith(f"| {row} | "))
    return re.sub(r"\[`(\w+)`\]\(#\w+\)", r"\1", line).split(" | ")[1].removesuffix(" |").split(", ")


def told(events: Sequence[Event]) -> list[str]:
    """The same of a conversation, with partial words that follow each other once."""
    return [name for name, _ in groupby(map(_named, events))]


def _named(event: Event) -> str:
    kind = type(event).__name__
    match event:
        case StateChanged(_, new):
            return f"{kind} {new.value}"
        case TurnEnded(_, status):
            return f"{kind} {status}"
    return kind


def holds(row: str, events: Sequence[Event]) -> bool:
    """Whether the events of this row come in the conversation, and nothing between them."""
    wanted, there = written(row), told(events)
    return any(there[at : at + len(wanted)] == wanted for at in range(len(there)))


@virtual
async def test_the_order_of_a_conversation() -> None:
    agent, person = called("hello", "story", "stop", "reserve"), Person()
    async with calling(agent, person, sink()):
        await agent.settle(1)
        for turns, row in (
            (2, "The user says something, and a cascade model answers"),
            (4, "The user talks over an answer that has arrived"),
            (5, "A tool runs once it is approved, and is spoken about"),
        ):
            before = len(agent.seen)
            person.says += tone(500)
            if turns == 4:
                await agent.reach(State.SPEAKING)
                await anyio.sleep(2)
                person.says += tone(500)
            await agent.settle(turns)
            assert holds(row, agent.seen[before:]), told(agent.seen[before:])
        agent.send_text("story")
        await agent.reach(State.SPEAKING)
        await anyio.sleep(2)
    assert holds("A call begins and the agent greets", agent.seen), told(agent.seen)
    assert told(agent.seen)[-4:] == written("`stop()` while the agent speaks")


@virtual
async def test_the_order_of_push_to_talk() -> None:
    agent, person = called("hello", config=SessionConfig(turn_detection=None)), Person()
    async with calling(agent, person, sink()):
        await agent.settle(1)
        person.says += tone(2000)
        agent.begin_turn()
        await anyio.sleep(1)
        agent.end_turn()
        await agent.settle(2)
    assert agent.all(UserSpoke)
    assert holds("A turn of push-to-talk", agent.seen), told(agent.seen)


@pytest.mark.parametrize("event", EVENT_TYPES, ids=lambda event: event.__name__)
def test_it_is_said_when_an_event_comes(event: type[Event]) -> None:
    assert re.search(r"\bcomes?\b|\bfollows\b", inspect.getdoc(event) or "", re.IGNORECASE)
    assert f"### {event.__name__}\n" in read(PAGE)
