"""When a block is heard and when it was recorded, from what PortAudio says about it.

Pure: the times are arguments.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

from ._device_portaudio import Direction, Times

__all__ = ["StreamClock"]

MAX_LATE_S: Final = 0.1
"""No callback is believed to be later than this: beyond it, one of the two clocks was set."""


class StreamClock:
    """Converts one stream's times to seconds of our clock. Not every host API has them; then its latency serves.

    ``latency_s`` is known when the first block comes.
    """

    def __init__(self, latency_s: Mapping[Direction, float]) -> None:
        self._latency_s = latency_s
        self._offsets: deque[float] = deque(maxlen=50)

    def heard_at(self, now: float, times: Times) -> float:
        """When the block's first sample is heard. ``now`` was read when the callback began.

        PortAudio's ``currentTime`` is older than that by what the thread had to wait for the interpreter. Being
        late only ever adds, so the smallest difference of the two clocks is the true one.
        """
        current, heard = times.currentTime, times.outputBufferDacTime
        if not current or not heard:
            return now + self._latency_s["output"]
        self._offsets.append(now - current)
        called_at = max(current + min(self._offsets), now - MAX_LATE_S)
        return called_at + max(0.0, heard - current)

    def round_trip(self, times: Times) -> float:
        """Seconds from the recording of the block's first sample to the hearing of what is played in its place."""
        if not times.inputBufferAdcTime or not times.outputBufferDacTime:
            return sum(self._latency_s.values())
        return times.outputBufferDacTime - times.inputBufferAdcTime
