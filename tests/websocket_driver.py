"""Far ends of a WebSocket in memory, for virtual time: what arrives is written down, and some of them listen."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import deque
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel

from voicelive_agent._paced import PacedQueue
from voicelive_agent.websocket import WebSocketClosed

__all__ = ["AcsLine", "FarEnd", "Page", "Phone"]


class FarEnd:
    """A WebSocketLike whose other end is the test's. Messages take ``delay_s`` in each direction."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.log: list[dict[str, Any] | bytes] = []
        self.closed: tuple[int, str] | None = None  # how the server closed it
        self.stuck = False  # it takes nothing
        self.send_error: Exception | None = None
        self.close_error: Exception | None = None
        self._to_server: deque[str | bytes | Exception] = deque()  # on its way
        self._to_far_end: deque[str | bytes] = deque()
        self._inbox: deque[str | bytes | Exception] = deque()
        self._news = asyncio.Event()

    # --- the test's end ---

    def say(self, *messages: dict[str, Any] | str | bytes | Exception) -> None:
        """Send these; an exception is what the server's ``receive()`` raises."""
        for message in messages:
            self._to_server.append(json.dumps(message) if isinstance(message, dict) else message)
            self._later(self._deliver)

    def leave(self, code: int = 1000, reason: str = "") -> None:
        """Close."""
        self.say(WebSocketClosed(code, reason))

    def all(self, kind: str) -> list[dict[str, Any]]:
        """The JSON messages of this kind so far."""
        names = ("type", "event", "Kind")
        return [each for each in self.log if isinstance(each, dict) and kind in map(each.get, names)]

    def take(self, message: dict[str, Any] | bytes) -> None:
        """Something has arrived."""

    def _deliver(self) -> None:
        self._inbox.append(self._to_server.popleft())
        self._news.set()

    def _arrive(self) -> None:
        message = self._to_far_end.popleft()
        content = json.loads(message) if isinstance(message, str) else message
        self.log.append(content)
        self.take(content)

    def _later(self, act: Callable[[], None]) -> None:
        """After the delay. What is to be done then must not depend on the order of timers that are due at once."""
        if self.delay_s:
            asyncio.get_running_loop().call_later(self.delay_s, act)
        else:
            act()

    # --- the server's end ---

    async def receive(self) -> str | bytes:
        while not self._inbox:
            self._news.clear()
            await self._news.wait()
        if isinstance(message := self._inbox[0], Exception):
            raise message
        self._inbox.popleft()
        await anyio.lowlevel.checkpoint()
        return message

    async def send_text(self, text: str) -> None:
        await self._send(text)

    async def send_bytes(self, data: bytes) -> None:
        await self._send(data)

    async def _send(self, message: str | bytes) -> None:
        await anyio.lowlevel.checkpoint()
        if self.send_error is not None:
            raise self.send_error
        if self.closed is not None:
            raise WebSocketClosed(*self.closed)
        if self.stuck:
            await anyio.sleep_forever()
        self._to_far_end.append(message)
        self._later(self._arrive)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await anyio.lowlevel.checkpoint()
        assert self.closed is None, "closed twice"
        self.closed = code, reason
        self._inbox.append(WebSocketClosed(code, reason))
        self._news.set()
        if self.close_error is not None:
            raise self.close_error


class Listener(FarEnd):
    """Somebody who plays what arrives, in the loop's time. ``cuts``: samples heard at each flush."""

    def __init__(self, rate: int, delay_s: float = 0.0) -> None:
        super().__init__(delay_s)
        self.rate = rate
        self.queue = PacedQueue(rate, anyio.current_time)
        self.heard_before = 0  # samples, in earlier generations
        self.cuts: list[int] = []

    @property
    def heard(self) -> int:
        """Samples heard in all."""
        return self.queue.heard

    @property
    def heard_now(self) -> int:
        """Samples of this generation."""
        return self.queue.heard - self.heard_before

    def cut(self) -> None:
        """Drop what was not heard."""
        self.cuts.append(self.heard_now)
        self.queue.flush()
        self.heard_before = self.queue.heard


class Page(Listener):
    """An ideal page: it reports every 50 ms while it plays, and answers pings."""

    def __init__(self, rate: int = 24_000, delay_s: float = 0.0, report_s: float = 0.05) -> None:
        super().__init__(rate, delay_s)
        self.report_s = report_s
        self.reports = True
        self.pongs = True
        self.generation = 0
        self._reporting = False

    def take(self, message: dict[str, Any] | bytes) -> None:
        if isinstance(message, bytes):
            self.queue.write(len(message) // 2)
            self._report_soon()
        elif message["type"] == "flush":
            assert message["generation"] == self.generation + 1
            self.generation += 1
            self.cut()
        elif message["type"] == "ping" and self.pongs:
            self.say({"type": "pong", "id": message["id"]})

    def _report_soon(self) -> None:
        if self.reports and not self._reporting:
            self._reporting = True
            asyncio.get_running_loop().call_later(self.report_s, self._report)

    def _report(self) -> None:
        self._reporting = False
        self.say({"type": "played", "samples": self.heard_now, "generation": self.generation})
        if self.queue.pending:
            self._report_soon()


class Phone(Listener):
    """An ideal telephone call over Twilio."""

    def __init__(self, delay_s: float = 0.0) -> None:
        super().__init__(8_000, delay_s)
        self._number = 0
        self._marks: deque[tuple[str, asyncio.TimerHandle]] = deque()
        self.event("connected", protocol="Call", version="1.0.0")
        start = {"streamSid": "MZ1", "callSid": "CA1", "accountSid": "AC1", "customParameters": {"who": "me"}}
        self.event("start", start=start)

    def event(self, kind: str, **content: Any) -> None:
        """Say something as Twilio does."""
        self._number += 1
        self.say({"event": kind, "sequenceNumber": str(self._number), "streamSid": "MZ1", **content})

    def speak(self, audio: bytes) -> None:
        """Say this."""
        self.event("media", media={"track": "inbound", "payload": base64.b64encode(audio).decode()})

    def take(self, message: dict[str, Any] | bytes) -> None:
        assert isinstance(message, dict)
        assert message["streamSid"] == "MZ1"
        match message["event"]:
            case "media":
                self.queue.write(len(base64.b64decode(message["media"]["payload"])))
            case "mark":
                name, after = message["mark"]["name"], self.queue.pending / self.rate
                timer = asyncio.get_running_loop().call_later(after, self._return_mark)
                self._marks.append((name, timer))
            case "clear":
                self.cut()
                while self._marks:
                    self._marks[0][1].cancel()
                    self._return_mark()

    def _return_mark(self) -> None:
        self.event("mark", mark={"name": self._marks.popleft()[0]})


class AcsLine(Listener):
    """An ideal call over Azure Communication Services."""

    def __init__(self, rate: int = 16_000, delay_s: float = 0.0) -> None:
        super().__init__(rate, delay_s)
        metadata = {"subscriptionId": "s1", "encoding": "PCM", "sampleRate": rate, "channels": 1, "length": 640}
        self.say({"kind": "AudioMetadata", "audioMetadata": metadata})

    def speak(self, audio: bytes) -> None:
        """Say this."""
        self.say({"kind": "AudioData", "audioData": {"data": base64.b64encode(audio).decode(), "silent": False}})

    def take(self, message: dict[str, Any] | bytes) -> None:
        assert isinstance(message, dict)
        if message["Kind"] == "StopAudio":
            self.cut()
        else:
            self.queue.write(len(base64.b64decode(message["AudioData"]["Data"])) // 2)
