"""Threads for tools that are plain functions: these hold up neither the event loop nor the end of the program.

A tool may hang for ever, and Python cannot end a thread. The threads of ``asyncio.to_thread`` and
``anyio.to_thread`` are waited for when the loop or the interpreter ends, so one hung tool would keep the program
alive. These are daemon threads: one that does not come back is abandoned, and another takes its place.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar

__all__ = ["ToolThreads"]

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger("voicelive_agent")


class ToolThreads:
    """A pool of daemon threads that grows by one whenever none is idle, and is used from one event loop.

    Used as a context manager, or ended with ``close()``: idle threads end at once, busy ones when their function
    returns. The pool's lists are only touched on the loop; threads answer through ``call_soon_threadsafe``.
    """

    def __init__(self) -> None:
        self._idle: list[_Inbox] = []
        self._jobs: list[_Job[Any]] = []
        self._closed = False

    def __enter__(self) -> ToolThreads:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def run(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function in a thread, with a copy of this task's context variables, and await its result.

        What it raises is raised here; what would end a thread or an iteration instead of being an error
        (KeyboardInterrupt, SystemExit, StopIteration ...) becomes a RuntimeError with the original as its cause.
        When the waiting is cancelled, the function goes on, and is listed in ``abandoned`` until it ends.
        """
        if self._closed:
            raise RuntimeError("These tool threads were closed.")
        loop = asyncio.get_running_loop()
        call = functools.partial(contextvars.copy_context().run, func, *args, **kwargs)
        inbox = self._idle.pop() if self._idle else _start_thread()
        future: asyncio.Future[R] = loop.create_future()
        job = _Job(getattr(func, "__name__", repr(func)), call, loop, future, self._done, inbox)
        self._jobs.append(job)
        inbox.put(job)
        return await future

    @property
    def abandoned(self) -> list[str]:
        """The names of the functions that nobody waits for any more and that still run."""
        return [job.name for job in self._jobs if job.running and job.future.cancelled()]

    def close(self) -> None:
        """End the idle threads, and the others as soon as they are done. Doing it twice is doing it once."""
        self._closed = True
        while self._idle:
            self._idle.pop().put(None)

    def _done(self, job: _Job[Any]) -> None:
        self._jobs.remove(job)
        if self._closed:
            job.inbox.put(None)
        else:
            self._idle.append(job.inbox)


@dataclass(eq=False, slots=True)
class _Job(Generic[R]):
    """One call: performed in a thread, settled on the loop."""

    name: str
    call: Callable[[], R]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[R]
    done: Callable[[_Job[R]], None]
    inbox: _Inbox
    running: bool = True

    def perform(self) -> bool:
        """Call the function and report its outcome; False if the loop is gone, and nobody needs the thread."""
        settle: Callable[[], None]
        try:
            settle = functools.partial(self.future.set_result, self.call())
        except BaseException as error:  # whatever it is, it belongs to the caller, not to this thread
            if self.future.cancelled():
                logger.warning("Tool %s, which had been given up, raised.", self.name, exc_info=error)
            settle = functools.partial(self.future.set_exception, _portable(error))
        self.running = False
        try:
            self.loop.call_soon_threadsafe(self._settle, settle)
        except RuntimeError:  # the loop was closed: nobody waits for anything any more
            return False
        return True

    def _settle(self, settle: Callable[[], None]) -> None:
        if not self.future.done():
            settle()
        self.done(self)


_Inbox: TypeAlias = "SimpleQueue[_Job[Any] | None]"


def _portable(error: BaseException) -> Exception:
    """The error itself if a future and a coroutine can carry it without taking it for something else."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    carried = RuntimeError(f"the function raised {error!r}")
    carried.__cause__ = error
    return carried


def _start_thread() -> _Inbox:
    inbox: _Inbox = SimpleQueue()
    threading.Thread(target=_work, args=(inbox,), name="voicelive-tool", daemon=True).start()
    return inbox


def _work(inbox: _Inbox) -> None:
    while (job := inbox.get()) is not None and job.perform():
        del job  # an idle thread must not keep the last call's arguments and result alive
