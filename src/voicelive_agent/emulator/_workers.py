"""The threads on which a server runs what its sessions' plug-ins do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ._options import Job

__all__ = ["Workers"]

_WORKERS = 2
_WAITING = 16
"""Calls of MCP servers at the same time, of all sessions."""
_log = logging.getLogger("voicelive_agent.emulator")


class Workers:
    """Two threads; the code of one plug-in runs on one of them at a time. MCP servers have others."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="voicelive-emulator")
        # MCP servers are waited for, they cost no work here: they have threads of their own.
        self._waiting = ThreadPoolExecutor(_WAITING, thread_name_prefix="voicelive-emulator-mcp")
        self._tasks: set[asyncio.Task[None]] = set()
        self._locks: dict[int, _CountedLock] = {}

    def submit(self, job: Job, deliver: Callable[[object], None], wanted: Callable[[], bool]) -> None:
        """Run a job when its plug-in is free, unless it is not ``wanted`` any more by then."""
        # A task of the server, not of the connection: a plug-in stays locked until its thread is done.
        task = asyncio.create_task(self._perform(job, deliver, wanted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _perform(self, job: Job, deliver: Callable[[object], None], wanted: Callable[[], bool]) -> None:
        key, pool = id(job.owner), self._waiting if job.kind == "mcp" else self._pool
        counted = self._locks.setdefault(key, _CountedLock())
        counted.users += 1
        try:
            async with counted.lock:
                if not wanted():
                    return
                result = await asyncio.get_running_loop().run_in_executor(pool, _outcome, job)
        finally:
            counted.users -= 1
            if not counted.users:
                del self._locks[key]
        if wanted():
            deliver(result)

    async def close(self, timeout_s: float) -> None:
        """Wait for the threads without holding up the loop; one that hangs is named and left behind."""
        running = set(self._tasks)
        hanging = (await asyncio.wait(running, timeout=timeout_s))[1] if running else set()
        if hanging:
            _log.warning("%d job(s) of the emulator's plug-ins still run; they are abandoned.", len(hanging))
        for pool in (self._pool, self._waiting):
            pool.shutdown(wait=not hanging, cancel_futures=True)


class _CountedLock:
    """A lock that is forgotten when nobody uses it."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0


def _outcome(job: Job) -> object:
    try:
        return job.run()
    except Exception as error:  # noqa: BLE001  plug-in code: the session tells the client
        return error
