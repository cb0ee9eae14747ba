"""When the user really began and stopped speaking, on our clock.

The service reports speech as milliseconds of microphone audio received. Knowing when each of these milliseconds
was sent gives the moment on our clock, whatever the detector and the network needed to notice it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import Final

_MARKS: Final = 2_048  # of 20 ms: 40 s, longer than any detector looks back


class TurnClock:
    """Maps milliseconds of sent microphone audio to moments (seconds) of the caller's clock."""

    def __init__(self, *, rate: int) -> None:
        self._rate = rate
        self._samples = 0
        self._marks: deque[tuple[float, float]] = deque(maxlen=_MARKS)  # (ms sent in all, when), rising

    def sent(self, samples: int, now: float) -> None:
        """So many more samples of microphone audio were handed to the connection."""
        self._samples += samples
        self._marks.append((self._samples * 1000 / self._rate, now))

    def when(self, ms: float) -> float | None:
        """The moment at which this millisecond of microphone audio was sent; None where that is not known."""
        index = bisect_left(self._marks, (ms, float("-inf")))
        forgotten = index == 0 and len(self._marks) == _MARKS
        return self._marks[index][1] if index < len(self._marks) and not forgotten else None
