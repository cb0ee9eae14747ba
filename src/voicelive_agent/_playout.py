"""The queue between the agent and a sound card's callback, and the ledger of what was heard.

Pure: no clock, no task and no I/O; bytes go in, blocks come out, and times are arguments. It is shared by two
threads. The event loop writes, flushes and asks; the audio thread only calls :meth:`Playout.take`, and never
waits for the loop. That needs no lock, since each thing has one writer and is published whole, by binding one
attribute:

- a flush binds a new queue, and touches nothing of the old one. A callback that is running works on, with the
  queue that it saw first, and what it hands over of it is what could not be stopped; the next one sees the new
  queue;
- what the callback took and handed over is one immutable :class:`_Progress`, bound at its end. So a sample is
  counted as queued until it is counted as handed over, never as neither, and ``pending`` cannot dip and rise
  again.
"""

from __future__ import annotations

import math
import threading
from array import array
from collections import deque
from typing import Final, NamedTuple

from .audio import AudioFormat

__all__ = ["FADE_MS", "Playout"]

FADE_MS: Final = 5
"""What is flushed goes silent within this: a step to zero would be heard as a click."""
MAX_LATENCY_S: Final = 2.0
"""No sound card hears its audio later than this; a driver that says so is wrong, and bounds nothing."""


class _Handed(NamedTuple):
    """Samples that the card has, the first of which is heard at ``at``."""

    at: float
    frames: int

    def unheard(self, now: float, rate: int) -> int:
        return min(self.frames, max(0, math.ceil(self.frames - (now - self.at) * rate)))


class _Progress(NamedTuple):
    taken: int = 0
    handed: tuple[_Handed, ...] = ()


class _Queue:
    """What was written since a flush. ``chunks`` is filled by the loop and emptied by the callback."""

    __slots__ = ("chunks", "progress", "rest", "written")

    def __init__(self) -> None:
        self.chunks: deque[memoryview] = deque()
        self.written = 0  # frames; the loop's
        self.progress = _Progress()  # the callback's
        self.rest = memoryview(b"")  # of a chunk that is taken in pieces; the callback's

    def pull(self, size: int) -> bytes:
        """The next bytes, ``size`` of them if there are as many."""
        pieces = []
        while size:
            if not self.rest:
                try:
                    self.rest = self.chunks.popleft()
                except IndexError:
                    break
            pieces.append(self.rest[:size])
            self.rest = self.rest[size:]
            size -= len(pieces[-1])
        return b"".join(pieces)


class Playout:
    """Audio on its way to a sound card that plays ``format``, which is PCM.

    Times are seconds of any clock that never goes back.
    """

    def __init__(self, format: AudioFormat) -> None:
        self.format: Final = format
        self._queue = _Queue()
        self._half = b""  # of a frame
        # The callback's:
        self._turn = threading.Lock()
        self._playing = self._queue
        self._fade = b""  # what is left of a fade
        self._sounding = False  # whether the last frame handed over was of the queue
        self._silent_at = -math.inf

    # --- the event loop's side ---

    def write(self, pcm: bytes) -> None:
        """Queue audio; half a frame waits for its other half."""
        frame = self.format.frame_bytes
        pcm = self._half + bytes(pcm)
        frames = len(pcm) // frame
        self._half = pcm[frames * frame :]
        if frames:
            self._queue.written += frames
            self._queue.chunks.append(memoryview(pcm)[: frames * frame])

    def flush(self) -> None:
        """Drop what was not handed over. The next block begins with a fade of what would have come."""
        self._queue = _Queue()
        self._half = b""

    def pending(self, now: float) -> int:
        """Samples written and not yet heard."""
        progress = self._queue.progress
        return self._queue.written - progress.taken + self._unheard(progress, now)

    @property
    def queued(self) -> int:
        """The samples pending that the card has not: a flush drops them."""
        return self._queue.written - self._queue.progress.taken

    def in_flight(self, now: float) -> int:
        """The samples pending that the card has: a flush does not stop them."""
        return self._unheard(self._queue.progress, now)

    @property
    def fading(self) -> bool:
        """Whether a flush still waits for the callback."""
        return self._playing is not self._queue or bool(self._fade)

    @property
    def silent_at(self) -> float:
        """When the last sample handed over is, or was, heard."""
        return self._silent_at

    def _unheard(self, progress: _Progress, now: float) -> int:
        return sum(block.unheard(now, self.format.rate) for block in progress.handed)

    # --- the audio thread's side ---

    def take(self, frames: int, *, heard_at: float, now: float) -> bytes:
        """The next block of exactly ``frames``, the first of which will be heard at ``heard_at``.

        What the queue has not is silence. Never waits: of two calls at once, from a stream that is being given up
        and its successor, the later gets silence.
        """
        size = frames * self.format.frame_bytes
        if not self._turn.acquire(blocking=False):
            return bytes(size)
        try:
            return self._take(size, min(heard_at, now + MAX_LATENCY_S), now)
        finally:
            self._turn.release()

    def _take(self, size: int, heard_at: float, now: float) -> bytes:
        queue, frame, rate = self._queue, self.format.frame_bytes, self.format.rate
        if queue is not self._playing:
            if self._sounding:
                self._fade = self._faded(self._playing)
            self._playing = queue
        fade, self._fade = self._fade[:size], self._fade[size:]
        audio = queue.pull(size - len(fade))
        sound = fade + audio
        self._sounding = bool(audio) and len(sound) == size
        if sound:
            self._silent_at = heard_at + len(sound) / frame / rate
        if audio:
            block = _Handed(heard_at + len(fade) / frame / rate, len(audio) // frame)
            taken, handed = queue.progress
            waiting = (earlier for earlier in handed if earlier.unheard(now, rate))
            queue.progress = _Progress(taken + block.frames, (*waiting, block))
        return sound + bytes(size - len(sound))

    def _faded(self, queue: _Queue) -> bytes:
        """What would have come next, going to nothing."""
        channels = self.format.channels
        samples = array("h", queue.pull(self.format.rate * FADE_MS // 1000 * self.format.frame_bytes))
        frames = len(samples) // channels
        for i, sample in enumerate(samples):
            samples[i] = sample * (frames - i // channels) // (frames + 1)
        return samples.tobytes()
