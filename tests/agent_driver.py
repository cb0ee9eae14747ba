"""Agents and an emulated service for tests: in memory, mostly under virtual time, with everything written down."""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import math
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
import pytest

from voicelive_agent import State, VoiceAgent
from voicelive_agent._connection import Connection
from voicelive_agent.audio import AudioFormat, AudioSink, AudioSource
from voicelive_agent.config import Settings
from voicelive_agent.emulator import EmulatorSession, EnergyEars, Options, ScriptedBrain
from voicelive_agent.emulator.scripted import Rule
from voicelive_agent.events import Event, SessionEnded, StateChanged, Verdict
from voicelive_agent.testing import MemorySink, MemorySource, connect, run_virtual

RATE = 24_000
BLOCK_MS = 20
PROFILES = pytest.mark.parametrize("model", ["gpt-4.1", "gpt-realtime"])
"""Once with each kind of model: for a cascade, and for one that hears and speaks by itself."""
_EventT = TypeVar("_EventT")

# --- audio -------------------------------------------------------------------------------------------------


def tone(ms: int, rate: int = RATE) -> bytes:
    """Speech, to ears that hear loudness."""
    return array("h", (round(8000 * math.sin(i / 5)) for i in range(rate * ms // 1000))).tobytes()


def silence(ms: int, rate: int = RATE) -> bytes:
    return bytes(rate * ms // 1000 * 2)


def source(*parts: bytes, rate: int = RATE, paced: bool = True) -> MemorySource:
    """Somebody who says this, in blocks of 20 ms."""
    pcm, size = b"".join(parts), rate * BLOCK_MS // 1000 * 2
    blocks = [pcm[at : at + size] for at in range(0, len(pcm), size)]
    return MemorySource(*blocks, format=AudioFormat(rate=rate), paced=paced)


def sink(rate: int = RATE) -> MemorySink:
    """A listener who hears in the loop's time."""
    return MemorySink(AudioFormat(rate=rate), clock=anyio.current_time)


class Microphone:
    """A source without an end: says the given audio, and then nothing unless it is told to."""

    format = AudioFormat(rate=RATE)

    def __init__(self, *parts: bytes) -> None:
        self._says = bytearray(b"".join(parts))
        self._taken_ms = 0
        self.begun = self.closed = 0

    def say(self, pcm: bytes) -> None:
        """Say this too."""
        self._says += pcm

    async def goes_on(self, ms: int) -> None:
        """Wait until so much more was taken; on a busy machine that is not the time that passes."""
        end_ms = self._taken_ms + ms
        await eventually(lambda: self._taken_ms >= end_ms)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = RATE * BLOCK_MS // 1000 * 2
        due = anyio.current_time()
        self.begun += 1
        try:
            while True:
                due += BLOCK_MS / 1000
                await anyio.sleep_until(due)
                yield bytes(self._says[:size]).ljust(size, b"\0")
                del self._says[:size]
                self._taken_ms += BLOCK_MS
        finally:
            self.closed += 1


# --- the service -------------------------------------------------------------------------------------------


class Line:
    """A connector to a new emulated session for every call; writes down what goes over it."""

    def __init__(self, make_session: Callable[[], EmulatorSession] | None = None, **session: Any) -> None:
        self._make = make_session or (lambda: emulated(**session))
        self.connections: list[SpiedConnection] = []

    async def connect(self, settings: Settings) -> Connection:
        await anyio.lowlevel.checkpoint()
        self.connections.append(SpiedConnection(await connect(self._make()).connect(settings)))
        return self.connections[-1]

    @property
    def last(self) -> SpiedConnection:
        return self.connections[-1]

    def sent(self, kind: str) -> list[dict[str, Any]]:
        """The messages of this type in the last call."""
        return [message for message in self.last.sent if message["type"] == kind]


class SpiedConnection:
    """A connection that counts, and whose network can be slow."""

    def __init__(self, inner: Connection) -> None:
        self._inner = inner
        self.sent: list[dict[str, Any]] = []  # all but audio
        self.audio = bytearray()
        self.closes = 0
        self.close_s = 0.0
        self.unsent = 0

    async def receive(self) -> bytes:
        return await self._inner.receive()

    async def send(self, text: str) -> None:
        message = json.loads(text)
        if message["type"] == "input_audio_buffer.append":
            self.audio += base64.b64decode(message["audio"])
        else:
            self.sent.append(message)
        await self._inner.send(text)

    async def close(self) -> None:
        self.closes += 1
        await anyio.sleep(self.close_s)
        await self._inner.close()


def emulated(
    *rules: Rule, says: Iterable[str] = (), model: str = "gpt-4.1", options: Options | None = None, **more: Any
) -> EmulatorSession:
    """A session that hears the given utterances and answers by rules."""
    return EmulatorSession(model=model, ears=EnergyEars(says), brain=ScriptedBrain(rules), options=options, **more)


def spoken_samples(text: str) -> int:
    """How long the emulator's voice takes to say one sentence: 60 ms per character, in whole periods."""
    return -(-len(text) * RATE * 60 // 1000 // 100) * 100


LONG = "One two three four five six seven eight nine ten. " * 4
"""An answer of about 12 s in the voice of the emulator (60 ms per character)."""


# --- the agent ---------------------------------------------------------------------------------------------


class Recorder(VoiceAgent):
    """Writes down every event, and lets a test wait for one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seen: list[Event] = []
        self._news = asyncio.Event()

    def on_event(self, event: Event) -> None:
        self.seen.append(event)
        self._news.set()

    def all(self, kind: type[_EventT]) -> list[_EventT]:
        return [event for event in self.seen if isinstance(event, kind)]

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait (100 s at most) until this holds after an event."""
        with anyio.fail_after(100):
            while not holds():
                self._news.clear()
                await self._news.wait()

    async def reach(self, state: State) -> None:
        await self.until(lambda: self.state is state)

    @property
    def states(self) -> list[str]:
        return [event.new.value for event in self.all(StateChanged)]


def check_story(events: list[Event]) -> None:
    """What holds for the events of every call: one end, which is last, and no gap between states."""
    assert [type(event) for event in events].count(SessionEnded) == 1
    assert isinstance(events[-1], SessionEnded)
    state = State.CONNECTING
    for event in events:
        if isinstance(event, StateChanged):
            assert event.old is state
            assert event.new is not state
            state = event.new
    assert state is State.CLOSED


# --- running -----------------------------------------------------------------------------------------------


async def eventually(holds: Callable[[], object]) -> None:
    """Wait for what no event tells: until this holds. The test's own time limit is the limit."""
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


@asynccontextmanager
async def calling(
    agent: VoiceAgent, source: AudioSource | None = None, sink: AudioSink | None = None
) -> AsyncIterator[asyncio.Task[Verdict]]:
    """``agent.run()`` in a task of its own, ready to talk; it is stopped at the end. Raises what it raises."""
    call = asyncio.ensure_future(agent.run(source, sink))
    try:
        while agent.state in (State.CLOSED, State.CONNECTING) and not call.done():  # noqa: ASYNC110
            await asyncio.sleep(0)  # virtual time is not to pass
        yield call
    finally:
        agent.stop()
        await call


def leftover_tasks() -> list[asyncio.Task[Any]]:
    """Tasks other than this one and the test runner's."""
    here = asyncio.current_task()
    return [task for task in asyncio.all_tasks() if task is not here and "TestRunner" not in repr(task)]


def virtual(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an asynchronous test under virtual time; it must leave no task behind."""

    async def checked(**fixtures: Any) -> None:
        await test(**fixtures)
        assert not leftover_tasks()

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        run_virtual(functools.partial(checked, **fixtures))

    return run
