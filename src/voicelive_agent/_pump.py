"""Feeds a sink just in time: what is not yet due waits here, still encoded.

An answer of 7 s arrives in half a second, and an interruption throws most of it away. So the sink gets at most
``LEAD_MS``, which bounds every transport at once, and the rest is neither decoded nor converted before it is due.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import anyio

from . import _wire as wire
from ._outputs import Play
from .audio import AudioFormat, AudioSink
from .events import AudioRejected, SinkStalled

if TYPE_CHECKING:
    from ._pcm import Converter

LEAD_MS: Final = 400
"""Audio that a sink holds at most (plus one piece): enough for any jitter, little enough to throw away."""
PIECE_MS: Final = 100
"""The service's deltas of up to 500 ms are written in pieces of this."""
STALL_S: Final = 2.0
"""A sink that plays nothing for so long is stalled."""
SILENCE: Final = {"pcm16": b"\x00", "g711_ulaw": b"\xff", "g711_alaw": b"\xd5"}


class Pump:
    """Between the conversation and a sink. Everything but :meth:`run` is synchronous."""

    def __init__(
        self,
        sink: AudioSink,
        wire_format: AudioFormat,
        converter: Converter,
        *,
        clock: Callable[[], float],
        tell: Callable[[AudioRejected | SinkStalled], None],
    ) -> None:
        self._sink = sink
        self._format = wire_format
        self._converter = converter
        self._clock = clock
        self._tell = tell
        self._queue: deque[Play | bytes | None] = deque()  # None: an item ends here
        self._backlog = 0  # samples in the queue, at the wire's rate
        self._half: tuple[str, bytes] = ("", b"")  # item and bytes of a sample that two messages share
        self._more = anyio.Event()
        self._written = 0  # samples that the sink took, at its own rate
        self._played: tuple[int, float] = (0, 0.0)  # how many of these it had played, and since when no more

    @property
    def pending(self) -> int:
        """Samples, at the wire's rate, that were played and not yet heard; rounded up: unheard is unheard."""
        return self._backlog - (-self._sink.pending * self._format.rate // self._sink.format.rate)

    @property
    def in_flight(self) -> int:
        """Samples of these, at the wire's rate, that a flush could no longer stop; rounded down."""
        return int(getattr(self._sink, "in_flight", 0)) * self._format.rate // self._sink.format.rate

    @property
    def stalled(self) -> bool:
        """Whether the sink has audio and does not play it."""
        return self._played[1] == math.inf

    def play(self, chunk: Play) -> None:
        """Queue a piece of audio."""
        self._queue.append(chunk)
        self._backlog += chunk.samples
        self._more.set()

    def finish(self) -> None:
        """The item is complete: what the converter holds back for a smooth continuation is to be heard too."""
        self._queue.append(None)
        self._more.set()

    def stop(self) -> None:
        """Silence: drop what is queued, and flush the sink."""
        self._queue.clear()
        self._backlog = 0
        self._half = "", b""
        self._converter.reset()
        self._sink.flush()

    def feed(self) -> float | None:
        """Write what is due. Seconds until there is more to do; None when nothing is queued."""
        lead = LEAD_MS * self._sink.format.rate // 1000
        self._watch()
        while self._queue and self._sink.pending < lead:
            self._write(self._queue.popleft())
        if self._queue:
            return max(0.02, (self._sink.pending - lead // 2) / self._sink.format.rate)
        return STALL_S if self._sink.pending else None

    async def run(self) -> None:
        """Feed the sink for ever. Raises what the sink raises."""
        while True:
            self._more = anyio.Event()
            delay = self.feed()
            with anyio.move_on_after(delay):
                await self._more.wait()

    def _write(self, entry: Play | bytes | None) -> None:
        if entry is None:
            self._give(self._converter.finish())
            return
        if isinstance(entry, Play):
            self._split(entry)
            return
        self._backlog -= len(entry) // self._format.frame_bytes
        self._give(self._converter.process(entry))

    def _give(self, audio: bytes) -> None:
        if audio:
            self._sink.write(audio)
            self._written += len(audio) // self._sink.format.frame_bytes

    def _split(self, chunk: Play) -> None:
        """Decode a chunk, and put it back as pieces that are small enough to be written."""
        last, half = self._half
        half = half if last == chunk.item_id else b""
        try:
            audio = half + chunk.decode()
        except ValueError as error:
            audio = SILENCE[self._format.encoding] * (len(half) + wire.base64_bytes(chunk.base64))
            self._tell(AudioRejected(chunk.item_id, chunk.samples, f"not base64: {error}"))
        whole = chunk.samples * self._format.frame_bytes
        audio, self._half = audio[:whole], (chunk.item_id, audio[whole:])
        step = PIECE_MS * self._format.rate // 1000 * self._format.frame_bytes
        self._queue.extendleft(reversed([audio[at : at + step] for at in range(0, len(audio), step)]))

    def _watch(self) -> None:
        """Notice a sink that has audio and does not play it."""
        pending, now = self._sink.pending, self._clock()
        played, since = self._played
        if self._written - pending != played or not pending:
            self._played = self._written - pending, now
        elif now - since >= STALL_S:
            self._played = played, math.inf  # once is enough, until it moves
            rate = self._sink.format.rate
            self._tell(SinkStalled(pending * 1000 // rate, round((now - since) * 1000)))
