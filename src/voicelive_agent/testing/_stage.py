"""Where a conversation takes place: in an event loop of its own with a time of its own, or in the test's."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from typing import Any, Literal, Protocol, TypeAlias

import anyio.to_thread

from ..errors import ConfigurationError
from ._story import ExpectationFailed
from ._time import FastLoop, VirtualLoop

__all__ = ["Stage", "Step", "Time", "asynchronous", "synchronous"]

Time: TypeAlias = Literal["virtual", "real"] | float
"""How fast time passes: not at all while there is nothing to do, as usual, or so many times as fast."""
Step: TypeAlias = Callable[[], Coroutine[Any, Any, None]]


class Stage(Protocol):
    """Performs the steps of a conversation, one after the other."""

    def perform(self, step: Step) -> Awaitable[None]:
        """Perform a step, now or when the result is awaited."""
        ...

    def close(self) -> Awaitable[None]:
        """Nothing more is performed."""
        ...


def synchronous(time: Time, busy: Callable[[], bool]) -> Stage:
    """A stage for plain functions. RuntimeError where an event loop runs, in which they would block it."""
    if _running_loop() is not None:
        raise RuntimeError("An event loop runs here: write `async with conversation`, and await each step.")
    return _OwnLoop(time, busy)


def asynchronous(time: Time, busy: Callable[[], bool]) -> Stage:
    """A stage for coroutines: their own loop where its time is the right one, else one in another thread."""
    if time == "real" or isinstance(_running_loop(), VirtualLoop | FastLoop):
        return _Here()
    return _OtherThread(time, busy)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:  # none, or one of Trio
        return None


def _loop_of(time: Time, busy: Callable[[], bool]) -> Callable[[], asyncio.AbstractEventLoop]:
    if time == "virtual":
        return partial(VirtualLoop, busy)
    if time == "real":
        return asyncio.new_event_loop
    if type(time) in (int, float) and 0 < time < math.inf:
        return partial(FastLoop, time)
    raise ConfigurationError(
        f"time={time!r} is no time.", hint='It is "virtual", "real", or how many times as fast, such as 8.'
    )


class _OwnLoop:
    """A loop that turns during steps only: between them nothing happens in the conversation."""

    def __init__(self, time: Time, busy: Callable[[], bool]) -> None:
        self._runner = asyncio.Runner(loop_factory=_loop_of(time, busy))

    def perform(self, step: Step) -> Awaitable[None]:
        __tracebackhide__ = True
        self._run(step)
        return _Nothing()

    def _run(self, step: Step) -> None:
        __tracebackhide__ = True
        try:
            self._runner.run(step())
        except ExpectationFailed as failure:  # what led to it in here is no help to whoever reads it
            raise failure.with_traceback(None) from None

    def close(self) -> Awaitable[None]:
        self._runner.close()
        return _Nothing()


class _OtherThread(_OwnLoop):
    """The same while the test's own loop goes on."""

    async def perform(self, step: Step) -> None:
        __tracebackhide__ = True
        try:
            await anyio.to_thread.run_sync(self._run, step)
        except ExpectationFailed as failure:
            raise failure.with_traceback(None) from None

    async def close(self) -> None:
        await anyio.to_thread.run_sync(self._runner.close)


class _Here:
    """The loop of the test."""

    async def perform(self, step: Step) -> None:
        __tracebackhide__ = True
        try:
            await step()
        except ExpectationFailed as failure:
            raise failure.with_traceback(None) from None

    async def close(self) -> None:
        """The loop goes on."""


class _Nothing:
    """What is left to await of something that was done."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()
