"""From a microphone's callback to whoever reads it, at once; and the echo reference beside it.

Pure but for the event loop that it wakes: no clock, no device.
"""

from __future__ import annotations

import asyncio
import contextlib
from array import array
from collections import deque
from typing import Final

from .audio import AudioFormat

__all__ = ["KEEP_MS", "Capture", "ReferenceLine"]

KEEP_MS: Final = 200
"""What a microphone keeps for a reader who is late, or has not begun: older speech is of no use to a
conversation."""


class Capture:
    """Blocks from the audio thread to one reader on the event loop.

    :meth:`put` is called on the audio thread; everything else is the loop's.
    """

    def __init__(self, format: AudioFormat, *, block_frames: int, loop: asyncio.AbstractEventLoop) -> None:
        self.format: Final = format
        self.dropped = 0
        """Frames that nobody read in time, since somebody first did."""
        kept = max(1, format.rate * KEEP_MS // 1000 // block_frames)
        self._blocks: deque[tuple[int, bytes]] = deque(maxlen=kept)  # each with its place; the oldest falls out
        self._loop = loop
        self._put = 0  # frames; the audio thread's
        self._next: int | None = None  # the place of the block that is due; None: nobody reads yet
        self._waking = False
        self._arrived = asyncio.Event()
        self._end: Exception | None = None
        self._ended = False

    def put(self, pcm: bytes) -> None:
        """Hand over a block. Never blocks, and keeps no more than ``KEEP_MS``."""
        self._blocks.append((self._put, pcm))
        self._put += len(pcm) // self.format.frame_bytes
        if not self._waking:  # else the loop is told already, and looks after that
            self._waking = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody reads any more
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._waking = False  # before the reader looks: what comes from now on wakes it again
        self._arrived.set()

    def end(self, error: Exception | None = None) -> None:
        """No more will come: the reader gets the error, or the end, once it has read what there is."""
        if not self._ended:
            self._ended, self._end = True, error
            self._arrived.set()

    def begin(self) -> None:
        """Somebody begins to read; what was never asked for was not dropped."""
        self._next = None

    async def get(self) -> bytes | None:
        """The next block, None at the end. Raises what :meth:`end` was given."""
        while not self._blocks:
            if self._ended:
                if self._end is not None:
                    raise self._end
                return None
            self._arrived = asyncio.Event()
            await self._arrived.wait()
        place, pcm = self._blocks.popleft()
        if self._next is not None:
            self.dropped += place - self._next
        self._next = place + len(pcm) // self.format.frame_bytes
        return pcm


class ReferenceLine:
    """Puts beside each microphone sample the one that was heard from the speaker at the same instant.

    Microphone and speaker share one stream, so of both every block has the same number. But the block that the
    callback gets was recorded before, and the one that it gives is heard later; the distance of the two instants
    is constant, and so far back lies what was heard when the microphone recorded. All of it runs on the audio
    thread.
    """

    MAX_DELAY_S: Final = 2.0
    LEAD_S: Final = 0.003
    """The reported times err, and an echo is never sought before its reference: so that comes a little early."""
    REPORTS: Final = 25
    """The delay is the median of so many reports, and moves with it until there are as many and it is silent."""
    TOLERANCE_S: Final = 0.015
    """Then it stays, for a canceller learns it anew each time, until the reports say something else altogether."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._played = array("h", bytes(2 * round(self.MAX_DELAY_S * rate)))
        self._reported: deque[float] = deque(maxlen=self.REPORTS)
        self._delay: int | None = None
        self._settled = False

    @property
    def delay(self) -> int:
        """Frames between a sample's handing over and the recording of the instant at which it is heard."""
        return self._delay or 0

    def process(
        self, recorded: bytes, channels: int, played: bytes, played_channels: int, delay_s: float
    ) -> bytes:
        """Two channels: the microphone's first, and of what the speaker plays the first, ``delay_s`` ago."""
        microphone = array("h", recorded)[::channels]
        frames = len(microphone)
        self._played.extend(array("h", played)[::played_channels])
        self._learn(delay_s, frames)
        begin = len(self._played) - frames - self.delay
        both = array("h", bytes(4 * frames))
        both[0::2] = microphone
        both[1::2] = self._played[begin : begin + frames]
        del self._played[:frames]
        return both.tobytes()

    def _learn(self, delay_s: float, frames: int) -> None:
        self._reported.append(delay_s)
        median = sorted(self._reported)[len(self._reported) // 2]
        usual = round(min(max(0.0, median - self.LEAD_S), self.MAX_DELAY_S) * self._rate)
        wrong = self._delay is None or abs(usual - self._delay) > self.TOLERANCE_S * self._rate
        if wrong or not (self._settled or any(self._played[-frames - max(usual, self.delay) :])):
            self._delay = usual
            self._settled = len(self._reported) == self.REPORTS
