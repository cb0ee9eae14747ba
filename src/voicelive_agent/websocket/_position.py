"""What a far end has heard: confirmed now and then, and run on with the clock in between.

Samples, a clock's seconds as an argument, and no I/O. All counts begin anew with every flush, which begins a new
*generation*: what a far end says about an old one comes too late to matter.

A position is what is known *here*: what was said at the far end reaches us half a round trip later. So it lags
behind the far end by that, and what a flush would still let through is a whole round trip (:meth:`in_flight`).
"""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["Position", "Unsent"]

ROUND_TRIPS: Final = 8
"""Measurements of which the smallest is believed: what is above it is somebody's hesitation."""


class Unsent(ValueError):
    """A far end confirms what it was never sent."""


class Position:
    """How far a listener is. ``run_on_s`` is how long the clock alone is believed; None for ever.

    That bound is what stops the sending when a far end no longer plays, or no longer reads: it is owed a word.
    """

    def __init__(self, rate: int, *, run_on_s: float | None) -> None:
        self.rate = rate
        self.generation: int = 0
        self._run_on_s = run_on_s
        self._round_trips: deque[float] = deque(maxlen=ROUND_TRIPS)
        self._restart()

    def _restart(self) -> None:
        self.written: int = 0
        self.sent: int = 0
        self.confirmed: int = 0
        self._floor = 0  # a position is never taken back
        self._line = 0, 0.0  # a position, and when it was reached: from there it runs with the clock
        self._audible_at = 0.0  # when the latest stretch without a gap begins to be heard

    # --- what happens ---

    def write(self, samples: int) -> None:
        """So much is to be heard."""
        self.written += samples

    def send(self, samples: int, now: float) -> None:
        """So much of what was written is on its way. ValueError if it was not written."""
        if self.sent + samples > self.written:
            raise ValueError(f"cannot send {samples} samples: {self.written - self.sent} are unsent")
        self._floor = self.heard(now)
        if self._floor == self.sent:  # the listener waits: this is heard when it gets there
            self._audible_at = now + self.round_trip_s
            self._line = self.sent, self._audible_at
        self.sent += samples

    def confirm(self, generation: int, samples: int, now: float) -> bool:
        """The far end has played so many samples of a generation. False if this is old news.

        :class:`Unsent` if it cannot be true.
        """
        if generation > self.generation or (generation == self.generation and samples > self.sent):
            raise Unsent(f"{samples} samples of generation {generation} are confirmed, and were not sent")
        if generation < self.generation or samples < self.confirmed:
            return False
        self._floor = self.heard(now)
        self.confirmed = samples
        # What was on its way is not heard sooner for a word about what came before it.
        self._line = samples, max(now, self._audible_at)
        return True

    def round_trip(self, seconds: float) -> None:
        """So long took a message there and back."""
        self._round_trips.append(max(0.0, seconds))

    def flush(self) -> bool:
        """Forget what is pending. Whether the far end has any of it, and is to be told of a new generation."""
        has_some = self.sent > 0
        self.generation += has_some
        self._restart()
        return has_some

    # --- what follows ---

    @property
    def round_trip_s(self) -> float:
        """How long it takes a message there and back; 0 as long as nobody knows."""
        return min(self._round_trips, default=0.0)

    @property
    def is_confirmed(self) -> bool:
        """Whether the far end is known to have nothing left to play."""
        return self.confirmed == self.sent

    def heard(self, now: float) -> int:
        """Samples of this generation that were heard, as far as can be known here."""
        samples, since = self._line
        run = samples + max(0, int((now - since) * self.rate))
        most = self.sent
        if self._run_on_s is not None:
            most = min(most, self.confirmed + int(self._run_on_s * self.rate))
        return max(self._floor, min(run, most))

    def pending(self, now: float) -> int:
        """Samples written and not yet heard."""
        return self.written - self.heard(now)

    def ahead(self, now: float) -> int:
        """Samples sent and not yet heard."""
        return self.sent - self.heard(now)

    def in_flight(self, now: float) -> int:
        """Samples that will be heard before a flush gets there."""
        return self.heard(now + self.round_trip_s) - self.heard(now)
