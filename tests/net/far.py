"""What all far ends have in common: a WebSocket client that speaks in real time and listens.

The far ends are written from the vendors' documentation and stand for them in the tests. They are strict: what the
real one would not understand is a fault, and a far end that saw faults raises them when it is left.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import aiohttp

from .line import Line

__all__ = ["Cut", "FarEnd", "Malformed"]

FRAME_MS = 20
"""Every one of them sends its audio in frames of this."""


class Malformed(Exception):
    """The server sent what the vendor does not document."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The server silenced a far end: how many bytes had come, how many of them were heard, how long it took."""

    received: int
    heard: int
    after_s: float  # since the first audio came


class Network:
    """One way of a network: delivers what is put into it, in order, after ``far.delay_s``."""

    def __init__(self, far: FarEnd, deliver: Callable[[str | bytes], Awaitable[None]]) -> None:
        self._far = far
        self._deliver = deliver
        self._queue: asyncio.Queue[tuple[float, str | bytes]] = asyncio.Queue()

    def put(self, data: str | bytes) -> None:
        """Send this."""
        self._queue.put_nowait((time.monotonic() + self._far.delay_s, data))

    async def run(self) -> None:
        """Deliver for ever."""
        while True:
            due, data = await self._queue.get()
            if (early := due - time.monotonic()) > 0:
                await asyncio.sleep(early)
            await self._deliver(data)
            self._queue.task_done()

    async def empty(self) -> None:
        """Wait until all was delivered."""
        await self._queue.join()


class FarEnd:
    """Connects while the ``async with`` lasts, says silence unless it is told to say something, and hears.

    ``line`` is what its listener hears, ``sent`` the audio it has said, ``log`` every message of the server
    (JSON as dictionaries, audio as bytes). ``cuts`` are the times it was silenced, ``close_code`` how the
    connection ended, None while it has not. Set ``delay_s`` first for a network that takes so long, each way, and
    ``catches_up`` for somebody whose late frames are not sent at once, but make all that follow late.
    """

    delay_s = 0.0
    catches_up = True

    def __init__(self, url: str, line: Line, *, silence: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.url = url
        self.line = line
        self.sent = bytearray()
        self.log: list[dict[str, Any] | bytes] = []
        self.cuts: list[Cut] = []
        self.received = 0  # bytes of audio
        self.first_at = 0.0  # when the first came
        self.faults: list[str] = []
        self.close_code: int | None = None
        self.closed = asyncio.Event()
        self._silence = silence  # one frame
        self._speech = bytearray()
        self._said = asyncio.Event()
        self._news = asyncio.Event()
        self._headers = headers or {}
        self._leaving = False
        self._inbound = Network(self, self._take)
        self._outbound = Network(self, self._post)
        self._tasks: list[asyncio.Task[None]] = []

    def hear(self, audio: bytes) -> None:
        """Audio of the server came: play it after what came before."""
        if not self.received:
            self.first_at = time.monotonic()
        self.received += len(audio)
        self.play(audio)

    def cut(self) -> None:
        """The server wants silence at once."""
        heard = self.line.clear()
        self.cuts.append(Cut(self.received, heard, time.monotonic() - self.first_at))

    def ms(self, size: int) -> float:
        """How long so many bytes sound."""
        return size * 1000 / self.line.rate / self.line.sample_bytes

    # --- what a vendor defines ---

    async def begin(self) -> None:
        """Say what comes before all audio."""

    async def send_audio(self, frame: bytes) -> None:
        """Send 20 ms of audio."""
        raise NotImplementedError

    def receive(self, message: dict[str, Any]) -> None:
        """Take a JSON message. Raises :class:`Malformed`, KeyError, TypeError or ValueError for a bad one."""
        raise NotImplementedError

    def play(self, audio: bytes) -> None:
        """Play audio after what came before."""
        self.line.put(audio)

    def receive_audio(self, audio: bytes) -> None:
        """Take a binary message."""
        raise Malformed(f"a binary message of {len(audio)} bytes")

    async def report(self) -> float | None:
        """Tell the server what was heard, if it is time to; seconds until it is time again."""
        return None

    async def goodbye(self) -> None:
        """Say what comes before the end of the connection."""

    # --- the connection ---

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        try:
            self._ws = await self._session.ws_connect(
                self.url, headers=self._headers, max_msg_size=0, autoclose=True, compress=0
            )
        except BaseException:
            await self._session.close()
            raise
        self._start(self._listen())
        self._start(self._inbound.run())
        self._start(self._outbound.run())
        await self.begin()
        self._start(self._speak())
        self._start(self._report())
        return self

    async def __aexit__(self, *error: object) -> None:
        if not self.closed.is_set():
            await self.hang_up()
        for task in self._tasks:
            task.cancel()
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()
        failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        if failures and error[0] is None:
            raise failures[0]
        if error[0] is None:
            assert not self.faults, "\n".join(self.faults)

    async def hang_up(self) -> None:
        """Say goodbye as the vendor does, and close."""
        self._leaving = True
        await self.goodbye()
        await self._outbound.empty()
        await self._ws.close()
        await self.closed.wait()

    def vanish(self) -> None:
        """Be gone without a word: the socket is reset."""
        response = self._ws._response
        assert response.connection is not None
        transport = response.connection.transport
        assert transport is not None
        transport.abort()

    async def send(self, message: Mapping[str, Any] | bytes) -> None:
        """Send JSON, or binary, through the network."""
        self._outbound.put(message if isinstance(message, bytes) else json.dumps(message))

    async def _post(self, data: str | bytes) -> None:
        sending = self._ws.send_bytes(data) if isinstance(data, bytes) else self._ws.send_str(data)
        with suppress(ConnectionError, aiohttp.ClientError):  # the listening task learns it
            await sending

    # --- what a person does ---

    async def say(self, audio: bytes) -> None:
        """Say this, in real time; returns when it was said."""
        self._speech += audio
        self._said.clear()
        await self._said.wait()

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until this holds after something was received. AssertionError if the server closes before."""
        while not holds():
            assert not self.closed.is_set(), f"closed ({self.close_code}) before it came to that"
            await self._news.wait()

    async def heard(self, ms: float) -> None:
        """Wait until so many milliseconds of audio were heard in all."""
        while self.line.heard_ms < ms:
            assert not self.closed.is_set(), f"closed ({self.close_code}) after {self.line.heard_ms:.0f} ms"
            await asyncio.sleep(max(0.001, (ms - self.line.heard_ms) / 2000))

    # --- the tasks ---

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    async def _speak(self) -> None:
        """A frame every 20 ms, mostly with late ones at once: a telephone's clock does not wait."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not (self._leaving or self.closed.is_set()):
            size = len(self._silence)
            frame = bytes(self._speech[:size])
            del self._speech[:size]
            if not self._speech:
                self._said.set()
            frame += self._silence[len(frame) :]
            self.sent += frame
            await self.send_audio(frame)
            due = (due if self.catches_up else loop.time()) + FRAME_MS / 1000
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def _listen(self) -> None:
        async for message in self._ws:
            if message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT):
                self._inbound.put(message.data)
        await self._inbound.empty()
        self.line.clear()  # with the connection goes what it had buffered
        self.close_code = self._ws.close_code
        self.closed.set()
        self._said.set()
        self._tell()

    async def _take(self, data: str | bytes) -> None:
        try:
            if isinstance(data, bytes):
                self.log.append(data)
                self.receive_audio(data)
            else:
                content = json.loads(data)
                if not isinstance(content, dict):
                    raise Malformed("JSON that is no object")
                self.log.append(content)
                self.receive(content)
        except (Malformed, KeyError, TypeError, ValueError) as error:
            self.faults.append(f"{type(error).__name__}: {error} in {data[:200]!r}")
        self._tell()

    async def _report(self) -> None:
        """Report whenever it is time, or something new came."""
        while not self.closed.is_set():
            news = self._news
            pause = await self.report()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await news.wait()

    def _tell(self) -> None:
        """Wake up all who wait for news."""
        news, self._news = self._news, asyncio.Event()
        news.set()
