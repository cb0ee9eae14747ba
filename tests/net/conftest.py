"""What asynchronous tests here are checked for: that nothing of a call is left when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from ..agent_driver import leftover_tasks


@pytest.fixture
async def nothing_left() -> AsyncIterator[None]:
    """No task is left, and nothing was reported to the event loop for want of somebody to tell."""
    loop, complaints = asyncio.get_running_loop(), list[str]()
    loop.set_exception_handler(lambda _, context: complaints.append(f"{context['message']}: {context}"))
    yield
    loop.set_exception_handler(None)
    for _ in range(200):  # transports take a few turns of the loop to close, and a busy machine its time
        if not leftover_tasks():
            break
        await asyncio.sleep(0.05)
    assert not leftover_tasks()
    assert not complaints
