"""Event loops whose time goes faster than the clock on the wall, and what runs on them."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack

import anyio

__all__ = ["FastLoop", "VirtualLoop", "run_fast", "run_virtual"]

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer instead of waiting for it.

    What happens outside of the loop takes its time: while a thread of ``run_in_executor`` works, a socket is open,
    or ``busy`` says so, the clock goes as fast as that on the wall.
    """

    def __init__(self, busy: Callable[[], bool] = lambda: False) -> None:
        self._now = 0.0
        self._threads = 0
        selector = selectors.SelectSelector()
        select = selector.select

        def jump(timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            ready = select(0)
            if ready or timeout == 0:
                return ready
            # One file is the loop's own, by which threads wake it.
            if timeout is None or self._threads or len(selector.get_map()) > 1 or busy():
                began = time.monotonic()
                ready = select(timeout)
                self._now += time.monotonic() - began
            else:
                self._now += timeout
            return ready

        selector.select = jump  # type: ignore[method-assign]
        super().__init__(selector)

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[_Ts]], _T], *args: *_Ts
    ) -> asyncio.Future[_T]:
        """As any loop does; time does not jump before the thread is done."""
        self._threads += 1
        try:
            future = super().run_in_executor(executor, func, *args)
        except BaseException:
            self._threads -= 1
            raise
        future.add_done_callback(self._thread_is_done)
        return future

    async def shutdown_default_executor(self, *arguments: Any) -> None:
        """As any loop does; the limit that Python 3.12 and later set is not jumped to while threads end."""
        self._threads += 1
        try:
            await super().shutdown_default_executor(*arguments)
        finally:
            self._threads -= 1

    def _thread_is_done(self, _: object) -> None:
        self._threads -= 1


def run_virtual(main: Callable[..., Awaitable[_T]], *args: Any) -> _T:
    """Run an asynchronous function with virtual time: sleeping takes no time, and nothing else passes it.

    Use ``anyio.current_time`` as the clock of sinks inside. While a socket is open or a thread of the loop's
    executor works, time passes as usual. Of other threads, as that of a tool that is a plain function, the loop
    does not know: time jumps while they work. In a :class:`~voicelive_agent.testing.Conversation` it does not.
    """
    return anyio.run(main, *args, backend_options={"loop_factory": VirtualLoop})


class FastLoop(asyncio.SelectorEventLoop):
    """An event loop whose seconds are shorter: ``speed`` of them in one."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._origin = time.monotonic()
        selector = selectors.DefaultSelector()
        select = selector.select
        # The loop counts in its own seconds, the operating system in real ones.
        selector.select = lambda timeout=None: select(timeout and timeout / speed)  # type: ignore[method-assign]
        super().__init__(selector)

    def time(self) -> float:
        """Seconds since the loop was made, in its own time."""
        return (time.monotonic() - self._origin) * self._speed


def run_fast(speed: float, main: Callable[..., Awaitable[_T]], *args: Any) -> _T:
    """Run an asynchronous function with time going ``speed`` times as fast: sleeping, timers and deadlines.

    Unlike :func:`run_virtual`, sockets and threads work as usual; they only have less time. Use
    ``anyio.current_time`` as the clock of sinks inside.
    """
    return anyio.run(main, *args, backend_options={"loop_factory": lambda: FastLoop(speed)})
