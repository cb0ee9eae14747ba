"""A microphone, a listener and a service in memory: nothing of them leaves the process."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import msgspec

from .._connection import Connection, ConnectionEnded
from .._endings import verdict_of
from .._paced import PacedQueue
from ..audio import AudioFormat
from ..events import EndReason, Verdict

if TYPE_CHECKING:
    from ..config import Settings
    from ..emulator.session import EmulatorSession

__all__ = ["MemoryConnector", "MemorySink", "MemorySource", "connect"]


class MemorySource:
    """A source of the given chunks, each after the time it lasts: a microphone that says what you give it.

    ``paced=False`` gives them at once.
    """

    def __init__(self, *chunks: bytes, format: AudioFormat | None = None, paced: bool = True) -> None:
        self._chunks = chunks
        self._format = format or AudioFormat()
        self._paced = paced

    @property
    def format(self) -> AudioFormat:
        """What the chunks are."""
        return self._format

    async def __aiter__(self) -> AsyncIterator[bytes]:
        due = anyio.current_time()
        for chunk in self._chunks:
            due += len(chunk) / self._format.frame_bytes / self._format.rate
            if self._paced:
                await anyio.sleep_until(due)
            yield chunk


class MemorySink:
    """A sink whose listener hears in real time (of ``clock``), and that remembers what was heard.

    ``played`` is the audio heard so far, ``flushes`` how often it was silenced.
    """

    def __init__(self, format: AudioFormat | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._format = format or AudioFormat()
        self._queue = PacedQueue(self._format.rate, clock)
        self._audio = bytearray()
        self.flushes: int = 0

    @property
    def format(self) -> AudioFormat:
        """What :meth:`write` takes."""
        return self._format

    @property
    def pending(self) -> int:
        """Samples written and not yet heard."""
        return self._queue.pending

    def write(self, pcm: bytes) -> None:
        """Queue audio."""
        self._audio += pcm
        self._queue.write(len(pcm) // self._format.frame_bytes)

    def flush(self) -> None:
        """Drop what was not heard."""
        self._queue.flush()
        del self._audio[self._queue.heard * self._format.frame_bytes :]
        self.flushes += 1

    @property
    def heard_ms(self) -> int:
        """How much the listener heard so far, silence not included."""
        return self._queue.heard * 1000 // self._format.rate

    @property
    def played(self) -> bytes:
        """What the listener heard so far, without the silence in between."""
        return bytes(self._audio[: self._queue.heard * self._format.frame_bytes])


# --- an agent and an emulated session, in memory ---


def connect(session: EmulatorSession) -> MemoryConnector:
    """Something to use as ``endpoint``: the agent talks to this emulated session, with nothing in between.

    The session's jobs (hearing, thinking, speaking) run inline, so use it with the scripted ears, brain and voice.
    """
    return MemoryConnector(session)


class MemoryConnector:
    """Joins one agent to one emulated session, once."""

    def __init__(self, session: EmulatorSession) -> None:
        self.session = session
        self.sent: list[dict[str, Any]] = []
        """All messages of the agent, except microphone audio."""
        self._used = False

    async def connect(self, settings: Settings) -> Connection:
        """The session's connection. The settings are the emulator's affair. RuntimeError at the second time."""
        if self._used:
            raise RuntimeError("This emulated session had its call: connect() another one.")
        self._used = True
        self.session.start(anyio.current_time(), unix_time=time.time())
        return _MemoryConnection(self.session, self.sent)


class _MemoryConnection:
    def __init__(self, session: EmulatorSession, sent: list[dict[str, Any]]) -> None:
        self._session = session
        self._sent = sent
        self._inbox: deque[bytes] = deque()
        self._changed = anyio.Event()
        self._verdict: Verdict | None = None

    @property
    def unsent(self) -> int:
        return 0

    async def send(self, text: str) -> None:
        if self._verdict is not None:
            raise ConnectionEnded(self._verdict)
        if '"input_audio_buffer.append"' not in text[:64]:
            self._sent.append(msgspec.json.decode(text))
        self._session.receive(text, anyio.current_time())
        self._changed.set()
        await anyio.lowlevel.checkpoint()

    async def receive(self) -> bytes:
        while not self._inbox:
            if self._verdict is not None:
                raise ConnectionEnded(self._verdict)
            self._changed = anyio.Event()
            self._drive()
            if self._inbox:
                break
            if (closing := self._session.closing) is not None:
                self._verdict = verdict_of(closing[0], text=closing[1])
                continue
            deadline = self._session.deadline
            with anyio.move_on_after(None if deadline is None else max(0.0, deadline - anyio.current_time())):
                await self._changed.wait()
        await anyio.lowlevel.checkpoint()
        return self._inbox.popleft()

    def _drive(self) -> None:
        """Let the session do what it can do now."""
        while True:
            now = anyio.current_time()
            self._inbox.extend(msgspec.json.encode(message) for message in self._session.poll(now))
            jobs = self._session.jobs()
            if not jobs and not (self._session.deadline is not None and self._session.deadline <= now):
                return
            for job in jobs:
                self._session.finish(job, _outcome(job.run), now)

    async def close(self) -> None:
        self._verdict = self._verdict or Verdict(EndReason.STOPPED)
        self._changed.set()


def _outcome(run: Callable[[], object]) -> object:
    try:
        return run()
    except Exception as error:  # noqa: BLE001  (the border to ears, brain and voice: the session reports it)
        return error
