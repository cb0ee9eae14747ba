"""A page with a microphone and a speaker, as the reference of the browser dialect describes it.

Binary messages are 16-bit PCM. The page renders quanta of 128 frames, as Web Audio does, says every 50 ms how many
samples of the current generation were heard, obeys ``flush`` before the next quantum, and answers ``ping``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from .far import FRAME_MS, FarEnd, Malformed
from .line import Line

__all__ = ["FarBrowser"]

QUANTUM = 128
REPORT_S = 0.05
STATES = {"connecting", "ready", "listening", "processing", "speaking", "error", "closed"}
FIELDS = {
    "ready": {"rate", "generation"},
    "flush": {"generation"},
    "state": {"state"},
    "transcript": {"who", "item_id", "text", "final"},
    "interrupted": {"item_id", "heard_ms", "heard_text"},
    "tool": {"call_id", "name", "status", "elapsed_ms", "error"},
    "turn": {"response_id", "status", "heard_ms", "response_ms", "endpoint_ms", "barge_in_ms"},
    "error": {"code", "message", "fatal"},
    "ping": {"id"},
    "pong": {"id"},
    "end": {"reason", "detail"},
}
OPTIONAL = {"elapsed_ms", "error"}


class FarBrowser(FarEnd):
    """One page. ``hello={}``: it says no hello. ``reports=False``: it never says what it played.

    ``buffer_ms``: it begins to play only when it has so much, or has waited so long, as those do that fear a bad
    network.
    """

    def __init__(
        self,
        url: str,
        *,
        rate: int = 24_000,
        hello: Mapping[str, Any] | None = None,
        buffer_ms: int = 0,
        reports: bool = True,
    ) -> None:
        super().__init__(url, Line(rate, 2, QUANTUM), silence=bytes(rate * FRAME_MS // 1000 * 2))
        self.generation = 0
        self.pings = 0
        self._hello = {"rate": rate} if hello is None else dict(hello)
        self._reports = reports
        self._buffer_ms = buffer_ms
        self._hoard = bytearray()  # of a page that does not play yet
        self._hoarding_since = 0.0
        self._base = 0  # bytes heard before this generation
        self._reported = 0
        self._report_at = 0.0
        self._pongs: asyncio.Queue[int] = asyncio.Queue()

    def all(self, kind: str) -> list[dict[str, Any]]:
        """The server's messages of a type."""
        return [message for message in self.log if isinstance(message, dict) and message["type"] == kind]

    async def begin(self) -> None:
        if self._hello:
            await self.send({"type": "hello", **self._hello})

    async def send_audio(self, frame: bytes) -> None:
        await self.send(frame)

    async def type(self, text: str) -> None:
        """Type this."""
        await self.send({"type": "text", "text": text})

    async def press_stop(self) -> None:
        """Silence the agent by a button."""
        await self.send({"type": "interrupt"})

    async def goodbye(self) -> None:
        await self.send({"type": "bye"})

    def receive_audio(self, audio: bytes) -> None:
        if not audio or len(audio) % 2:
            raise Malformed(f"{len(audio)} bytes are no 16-bit samples")
        self.hear(audio)

    def play(self, audio: bytes) -> None:
        if not self._hoard:
            self._hoarding_since = time.monotonic()
        self._hoard += audio
        if self.line.waiting or len(self._hoard) >= self.line.rate * self._buffer_ms // 1000 * 2:
            self._play_hoard()

    def _play_hoard(self) -> None:
        self.line.put(bytes(self._hoard))
        self._hoard.clear()

    def receive(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        fields = set(message) - {"type"}
        if not FIELDS[kind] - OPTIONAL <= fields <= FIELDS[kind]:
            raise Malformed(f"a {kind} with the fields {sorted(fields)}")
        match kind:
            case "ready":
                if message["rate"] != self.line.rate:
                    raise Malformed(f"the page has {self.line.rate} Hz")
            case "flush":
                if message["generation"] != self.generation + 1:
                    raise Malformed(f"after generation {self.generation}")
                self.generation += 1
                self._hoard.clear()
                self.cut()
                self._base = self.cuts[-1].heard
                self._reported = 0
            case "state":
                if message["state"] not in STATES:
                    raise Malformed("there is no such state")
            case "ping":
                self.pings += 1
                self._pongs.put_nowait(message["id"])

    async def report(self) -> float | None:
        """Answer a ping at once, and say every 50 ms what was heard, if it has become more."""
        while not self._pongs.empty():
            await self.send({"type": "pong", "id": self._pongs.get_nowait()})
        now = time.monotonic()
        hoarding_s = self._hoarding_since + self._buffer_ms / 1000 - now
        if self._hoard and hoarding_s <= 0:
            self._play_hoard()
        samples = max(0, self.line.finished - self._base) // 2
        if self._reports and samples > self._reported and now >= self._report_at:
            self._reported, self._report_at = samples, now + REPORT_S
            await self.send({"type": "played", "samples": samples, "generation": self.generation})
        if self.line.waiting or self.line.finished - self._base > 2 * self._reported:
            return max(0.001, self._report_at - now)
        return max(0.001, hoarding_s) if self._hoard else None
