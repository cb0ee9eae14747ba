"""One client of the server: a session, what is to go wrong with it, and the socket, on the loop's clock.

One task reads and one sends what is due; blocking work runs on the server's threads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Protocol

import anyio
from aiohttp import WSMsgType, web

from ._fault_actions import Close, FaultAction, Fin, HalfOpen, NoPong, Reset
from ._fault_connection import ConnectionFaults, Step
from ._fault_events import Frame
from ._fault_socket import abort, freeze, reset
from ._options import Job
from ._workers import Workers
from .observers import ConnectionInfo, Observers

__all__ = ["Connection", "Session"]

_MAX_BACKLOG = 32 * 1024 * 1024
"""Bytes that may wait to be handled: twice the longest message. Who sends more is not read until it is done."""
_MAX_REASON_BYTES = 123
_WITHOUT_FRAME = (1004, 1005, 1006, 1015)
_ENDS = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED)


class Session(Protocol):
    """What the server serves: :class:`EmulatorSession`, or anything else that is driven the same way."""

    def start(self, now: float, *, unix_time: float | None = None) -> None:
        """Begin; ``now`` is the loop's clock, ``unix_time`` the wall's."""
        ...

    def receive(self, data: str | bytes, now: float) -> None:
        """Take one frame of the client; it never raises because of what the frame says."""
        ...

    def poll(self, now: float) -> Iterable[Mapping[str, Any]]:
        """The events due by ``now``, in order."""
        ...

    @property
    def deadline(self) -> float | None:
        """When :meth:`poll` has something to do next; None if nothing is scheduled."""
        ...

    def jobs(self) -> list[Job]:
        """The blocking work that became ready since the last call."""
        ...

    def finish(self, job: Job, result_or_error: object, now: float) -> None:
        """Take what ``job.run()`` returned or raised."""
        ...

    @property
    def closing(self) -> tuple[int, str] | None:
        """The close code and reason once the session wants to close, after its last events."""
        ...


class Connection:
    """Drives one session until either side closes."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.BaseTransport,
        session: Session,
        workers: Workers,
        info: ConnectionInfo,
        observers: Observers,
        faults: ConnectionFaults,
    ) -> None:
        self.info = info
        self._socket = socket
        self._transport = transport
        self._session = session
        self._workers = workers
        self._observers = observers
        self._faults = faults
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._caught_up = asyncio.Event()
        self._ended = asyncio.Event()
        self._listening = anyio.CancelScope()
        self._deaf = asyncio.Event()
        self._backlog = 0
        self._open = True
        self._frozen = False
        self._answers_pings = True
        self._leaving = False
        self._parting = False
        self._code: int | None = None
        self._reason = ""

    async def run(self) -> None:
        """Until either side closes."""
        now = self._loop.time()
        self._observers.opened(self.info, now)
        self._faults.open(now)
        self._session.start(now, unix_time=time.time())
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._send())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._open = False
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._observers.closed(self.info, self._code, self._reason, self._loop.time())
        for task in tasks:
            if not task.cancelled():
                task.result()

    def act(self, action: FaultAction) -> None:
        """Let this go wrong now. Raises ValueError for an action of the handshake."""
        self._faults.do(action, self._loop.time())
        self._changed.set()

    async def close(self, code: int, reason: str) -> None:
        """Say good-bye; to a client that is not listened to any more, nothing is said."""
        try:
            if self._frozen:
                abort(self._transport)
            else:
                await self._part(code, reason)
        finally:
            self._ended.set()

    async def _part(self, code: int, reason: str) -> None:
        if self._code is None:  # else the client was first
            self._code, self._reason = code, reason
        self._parting = True
        # aiohttp waits for the client's answer only where nobody else reads; without it, the kernel answers what
        # the client still sends with a reset, which may cost it the reason and the last events.
        self._listening.cancel()
        await self._deaf.wait()
        await self._socket.close(code=code, message=reason.encode())

    # --- Reading ------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            with self._listening:
                await self._listen()
        finally:
            self._deaf.set()
        if self._frozen or self._parting:
            await self._ended.wait()  # whoever ends the connection is not cut short by the end of reading

    async def _listen(self) -> None:
        while (message := await self._socket.receive()).type not in _ENDS:
            if self._frozen:
                break
            if message.type is WSMsgType.PING:
                await self._pong(message.data)
            elif message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                await self._take(message.data)
        if message.type is WSMsgType.CLOSE and not self._parting:
            self._code, self._reason = message.data, message.extra or ""

    async def _pong(self, payload: bytes) -> None:
        if self._answers_pings:
            try:
                await self._socket.pong(payload)
            except ConnectionError:
                return  # the client is gone: the next read says so

    async def _take(self, data: str | bytes) -> None:
        now = self._loop.time()
        self._observers.received(self.info, data, now)
        self._faults.receive(data, now)
        self._deliver(now)
        self._changed.set()
        self._backlog += len(data)
        if self._backlog > _MAX_BACKLOG:
            self._caught_up.clear()
            await self._caught_up.wait()
        if (wait_s := self._faults.reads_at - self._loop.time()) > 0:
            await asyncio.sleep(wait_s)

    def _deliver(self, now: float) -> None:
        for data in self._faults.arrived(now):
            self._session.receive(data, now)

    # --- Sending ------------------------------------------------------------------------------------------

    async def _send(self) -> None:
        """Send what is due, hand out work, and sleep until there is more."""
        now = self._loop.time()
        while self._open:
            self._changed.clear()
            try:
                if not await self._let_speak(now):
                    return
            except ConnectionError:  # the client is gone, or the server says good-bye to it, which takes its time
                if self._parting:
                    await self._ended.wait()
                return
            for job in self._session.jobs():
                self._workers.submit(job, partial(self._finish, job), lambda: self._open)
            now = await self._sleep(self._deadline)

    async def _let_speak(self, now: float) -> bool:
        """Give the session what has arrived, and the faults what it says to that; whether it may go on.

        One event after the other: the beginning of a burst does not wait until all of it is written as JSON.
        """
        self._deliver(now)
        for event in self._session.poll(now):
            self._faults.send(event, now)
            if not await self._carry_out_all(now):
                return False
        if self._session.closing and not self._leaving:
            self._leaving = True
            self._faults.do(_farewell(*self._session.closing), now)
        return await self._carry_out_all(now)

    async def _carry_out_all(self, now: float) -> bool:
        """Do what the faults have left of it; whether there may be more."""
        for step in self._faults.poll(now):
            if not await self._carry_out(step):
                return False
        return True

    async def _carry_out(self, step: Step) -> bool:
        """Do one thing; whether there may be another."""
        match step:
            case Frame(data=data, event=event):
                await (self._socket.send_str(data) if isinstance(data, str) else self._socket.send_bytes(data))
                if event is not None:
                    self._observers.sent(self.info, event, self._loop.time())
                return True
            case NoPong():
                self._answers_pings = False
                return True
            case HalfOpen():
                self._frozen = True
                freeze(self._transport)
                return True
            case Close(code=code, reason=reason):
                await self._part(code, reason)
            case Fin() if isinstance(self._transport, asyncio.WriteTransport):
                self._transport.close()
            case Fin() | Reset():
                reset(self._transport)
        return False

    def _finish(self, job: Job, result: object) -> None:
        self._session.finish(job, result, self._loop.time())
        self._changed.set()

    @property
    def _deadline(self) -> float | None:
        session = None if self._leaving else self._session.deadline
        return min((due for due in (session, self._faults.deadline) if due is not None), default=None)

    async def _sleep(self, deadline: float | None) -> float:
        """Until the deadline, or until something changed; the time to poll at."""
        if deadline is not None and deadline <= self._loop.time():
            await asyncio.sleep(0)
            return self._loop.time()
        self._backlog = 0
        self._caught_up.set()
        try:
            async with asyncio.timeout_at(deadline):
                await self._changed.wait()
        except TimeoutError:
            # A coarse clock (15 ms on Windows) wakes a little early; what is due then is due now.
            return max(self._loop.time(), deadline or 0.0)
        return self._loop.time()


def _farewell(code: int, reason: str) -> Close | Fin:
    """How a session's own end looks on the wire."""
    if code in _WITHOUT_FRAME:
        return Fin()
    return Close(code=code, reason=reason.encode()[:_MAX_REASON_BYTES].decode("utf-8", "ignore"))
