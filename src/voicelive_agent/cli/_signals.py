"""Signals as a stream, on every system."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager

import anyio

__all__ = ["received"]


@contextmanager
def received(*numbers: signal.Signals) -> Iterator[AsyncIterator[signal.Signals]]:
    """These signals as they come, from here on. On Windows, whose loops know none, Ctrl-C interrupts by itself."""
    with ExitStack() as stack:
        try:
            signals = stack.enter_context(anyio.open_signal_receiver(*numbers))
        except NotImplementedError:
            signals = _none()
        yield signals


async def _none() -> AsyncIterator[signal.Signals]:
    await anyio.sleep_forever()
    yield signal.SIGINT
