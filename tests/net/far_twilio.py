"""A telephone call as Twilio Media Streams brings it, from Twilio's documentation of a bidirectional stream.

https://www.twilio.com/docs/voice/media-streams/websocket-messages: ``connected`` comes first, then ``start`` once,
then ``media`` of 20 ms each; numbers are written as strings; ``sequenceNumber`` counts all messages after
``connected``, ``chunk`` the media messages, from 1. The server sends ``media`` (mu-law at 8 kHz, buffered and
played in order), ``mark`` (sent back when the audio before it has been played) and ``clear`` (the buffer is
emptied, and all marks in it are sent back).
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from .far import FRAME_MS, FarEnd, Malformed
from .line import Line

__all__ = ["FarTwilio"]

RATE = 8_000
SILENCE = b"\xff"
MAX_BUFFERED_S = 600
"""Beyond ten minutes Twilio throws media away, and warns (error 31931)."""


class FarTwilio(FarEnd):
    """One call. ``marks`` has, in order, the marks sent back and how many bytes had been played by then.

    ``packet_ms=20`` plays whole packets, as the telephone network does: one that has begun is heard to its end.
    ``loses(name)``: this mark never comes back. ``clears_late_s``: what ``clear`` sends back comes so much later.
    """

    def __init__(
        self,
        url: str,
        *,
        custom: Mapping[str, str] | None = None,
        packet_ms: int | None = None,
        loses: Callable[[str], bool] = lambda name: False,
        clears_late_s: float = 0.0,
    ) -> None:
        quantum = 1 if packet_ms is None else RATE * packet_ms // 1000
        super().__init__(url, Line(RATE, 1, quantum), silence=SILENCE * (RATE * FRAME_MS // 1000))
        self.stream_sid = f"MZ{secrets.token_hex(16)}"
        self.call_sid = f"CA{secrets.token_hex(16)}"
        self.account_sid = f"AC{secrets.token_hex(16)}"
        self.marks: list[tuple[str, int]] = []
        self._custom = dict(custom or {})
        self._loses = loses
        self._late_s = clears_late_s
        self._waiting: deque[tuple[str, int]] = deque()  # marks and the position at which they are reached
        self._cleared: deque[tuple[str, float]] = (
            deque()
        )  # marks to send back though they were not reached, and when
        self._sequence = 0
        self._chunk = 0

    async def begin(self) -> None:
        await self.send({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        start = {
            "accountSid": self.account_sid,
            "streamSid": self.stream_sid,
            "callSid": self.call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": RATE, "channels": 1},
            "customParameters": self._custom,
        }
        await self._event("start", start=start)

    async def send_audio(self, frame: bytes) -> None:
        self._chunk += 1
        media = {
            "track": "inbound",
            "chunk": str(self._chunk),
            "timestamp": str((self._chunk - 1) * FRAME_MS),
            "payload": base64.b64encode(frame).decode(),
        }
        await self._event("media", media=media)

    async def press(self, digit: str) -> None:
        """Press a key."""
        await self._event("dtmf", dtmf={"track": "inbound_track", "digit": digit})

    async def goodbye(self) -> None:
        await self._event("stop", stop={"accountSid": self.account_sid, "callSid": self.call_sid})

    async def return_mark(self, name: str) -> None:
        """Send a mark back."""
        self.marks.append((name, self.line.advance()))
        await self._event("mark", mark={"name": name})

    async def _event(self, event: str, **content: Any) -> None:
        self._sequence += 1
        number = {"sequenceNumber": str(self._sequence)}
        await self.send({"event": event, **number, **content, "streamSid": self.stream_sid})

    def receive(self, message: dict[str, Any]) -> None:
        if message["streamSid"] != self.stream_sid:
            raise Malformed("not this stream")
        match message["event"]:
            case "media":
                audio = base64.b64decode(message["media"]["payload"], validate=True)
                if self.line.waiting + len(audio) > MAX_BUFFERED_S * RATE:
                    raise Malformed("more than ten minutes are buffered")
                self.hear(audio)
            case "mark":
                name = message["mark"]["name"]
                if not isinstance(name, str):
                    raise Malformed("the name of a mark is a string")
                self._waiting.append((name, self.line.put(b"")))
            case "clear":
                self.cut()
                now = time.monotonic()
                self._cleared.extend((name, now + self._late_s) for name, _ in self._waiting)
                self._waiting.clear()
            case other:
                raise Malformed(f"there is no event {other!r}")

    async def report(self) -> float | None:
        """Send back the marks that are due. Those of a cleared buffer do not wait for audio."""
        while self._cleared and self._cleared[0][1] <= time.monotonic():
            await self._send_back(self._cleared.popleft()[0])
        while self._waiting and self._waiting[0][1] <= self.line.finished:
            await self._send_back(self._waiting.popleft()[0])
        times = [due - time.monotonic() for _, due in list(self._cleared)[:1]]
        times += [self.line.seconds_until(position) for _, position in list(self._waiting)[:1]]
        return max(0.0, min(times)) if times else None

    async def _send_back(self, name: str) -> None:
        if not self._loses(name):
            await self.return_mark(name)

    async def all_marks(self) -> None:
        """Wait until no mark is to be sent back any more."""
        while self._waiting or self._cleared:  # noqa: ASYNC110  a clock tells, and no event
            await asyncio.sleep(0.005)
