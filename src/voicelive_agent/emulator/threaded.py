"""A server in a thread and an event loop of its own, for programs that are not asynchronous, or busy."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, contextmanager
from threading import Thread
from typing import TypeVar

__all__ = ["in_thread"]

T = TypeVar("T")


@contextmanager
def in_thread(serving: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Enter ``serving`` in a thread, and leave it there at the end; what it gives. Raises what entering raises.

    Ctrl-C may come at any moment, that of the start included: the thread then ends as soon as it has started.
    (anyio's ``start_blocking_portal`` is not told to stop if it comes there, and is waited for all the same.)
    """
    entered: Future[T] = Future()
    over: Future[None] = Future()

    async def serve() -> None:
        async with serving as served:
            entered.set_result(served)
            await asyncio.wrap_future(over)

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            if entered.done():
                raise  # nobody waits any more: threading.excepthook tells
            entered.set_exception(error)

    thread = Thread(target=run, name="voicelive-agent: emulator", daemon=True)
    try:
        thread.start()
        yield entered.result()
    finally:
        over.set_result(None)
        if thread.ident is not None:
            thread.join()
