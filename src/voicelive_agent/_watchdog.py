"""Notices what PortAudio never reports: that an open device is gone.

An unplugged, suspended or taken device, and a sound server that died, all look alike: the stream says that it is
active, and its callback is not called any more. Some systems move a stream to another device instead, which may
have nothing to say: then the samples are exact zeros, which no microphone with an analogue part ever gives.
Neither does a muted one, and nothing tells the two apart; so silence is a loss only for those who say that
nobody mutes.

Pure: no clock is read here, and the time is an argument.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

__all__ = ["CHECK_S", "Signs", "Watchdog"]

CHECK_S: Final = 0.1
"""How often to look."""
LATE_S: Final = 0.25
"""A look that comes later than planned by more than this says that it was the process that stood still."""
STALL_S: Final = 0.5
"""A device whose callback was not called for so long is gone."""
STALL_BLOCKS: Final = 4
"""The same in blocks, where these are long."""
START_S: Final = 3.0
"""The time that a device may take to begin: Bluetooth wakes slowly."""
STEADY_CALLS: Final = 10
"""A stream begins with some blocks in advance, at once; after so many it runs."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What a stream shows of itself. Times are seconds of one clock, the same as for :meth:`Watchdog.check`.

    ``called_at`` is the time of its callback's last call, or of its start; ``sound_at`` that of the last block
    which was not exactly zero, None if there was none. ``active`` is what PortAudio says.
    """

    active: bool
    calls: int
    called_at: float
    sound_at: float | None = None


class Watchdog:
    """Watches one stream of blocks of ``block_s``; ``silence_s`` of exact zeros after sound count as its loss."""

    def __init__(self, now: float, *, block_s: float, silence_s: float | None = None) -> None:
        self._stall_s = max(STALL_S, STALL_BLOCKS * block_s)
        self._silence_s = math.inf if silence_s is None else silence_s
        self._looked = now
        self._awake_since = now

    def check(self, now: float, signs: Signs) -> str | None:
        """Look at it every ``CHECK_S``; return what is wrong, or None."""
        if now - self._looked > CHECK_S + LATE_S:
            # The process was suspended, or its loop blocked: the stream's last call is old for the same reason.
            self._awake_since = now
        self._looked = now
        if not signs.active:
            return "its stream has stopped"
        age = now - max(signs.called_at, self._awake_since)
        if age > (self._stall_s if signs.calls >= STEADY_CALLS else max(START_S, self._stall_s)):
            return f"no audio for {age:.1f} s" if signs.calls else f"no audio in {age:.1f} s since it was opened"
        if self.silence(signs) > self._silence_s:
            return f"only exact silence for {self.silence(signs):.1f} s: moved to another device, or muted"
        return None

    def silence(self, signs: Signs) -> float:
        """Seconds of exact zeros after there was sound."""
        return 0.0 if signs.sound_at is None else self.quiet(signs)

    def quiet(self, signs: Signs) -> float:
        """Seconds of exact zeros, also where there never was sound: whoever may not listen gets nothing else."""
        sound_at = -math.inf if signs.sound_at is None else signs.sound_at
        return signs.called_at - max(sound_at, self._awake_since)
