"""The bookkeeping of somebody who listens: what was written, what was heard, when.

Integers on a timeline of samples that begins with the queue and runs with the clock: no audio, no task and no
I/O. Every position is computed from the time anew, so nothing can drift.
"""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["PacedQueue"]


class PacedQueue:
    """A queue of samples, heard one after another at ``rate * speed`` samples per second of ``clock``.

    ``clock`` returns seconds and never goes back. ValueError for a rate or a speed that is not positive.
    """

    def __init__(self, rate: int, clock: Callable[[], float], speed: float = 1.0) -> None:
        if rate < 1:
            raise ValueError(f"the rate must be positive, not {rate} Hz")
        if not 0.0 < speed < math.inf:
            raise ValueError(f"the speed must be a positive number, not {speed}")
        self.rate = rate
        self.speed = speed
        self._clock = clock
        self._origin = clock()
        self._end = 0
        self._kept = 0  # samples written and not flushed

    @property
    def position(self) -> int:
        """The listener's clock: samples that have gone by since the queue was made, silence included."""
        return int((self._clock() - self._origin) * self.rate * self.speed)

    @property
    def end(self) -> int:
        """The position at which the last sample is, or was, heard."""
        return self._end

    @property
    def pending(self) -> int:
        """Samples written and not yet heard; only :meth:`write` raises it."""
        return max(0, self._end - self.position)

    @property
    def heard(self) -> int:
        """Samples heard so far, silence not included."""
        return self._kept - self.pending

    def write(self, samples: int) -> int:
        """Add samples behind what is pending; return the position from which on they are heard."""
        if samples < 0:
            raise ValueError(f"cannot write {samples} samples")
        start = max(self._end, self.position)
        self._end = start + samples
        self._kept += samples
        return start

    def flush(self) -> int:
        """Drop what is not yet heard; return how many samples that was."""
        dropped = self.pending
        self._end -= dropped
        self._kept -= dropped
        return dropped
