"""What a listener really hears: a line that plays bytes in real time, and knows the truth about it.

This is the oracle of all far ends. It shares nothing with the library's own bookkeeping: it counts bytes that
left a buffer, quantum by quantum, as an audio thread does, instead of computing a position.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Line", "digest"]


def digest(audio: bytes) -> str:
    """The fingerprint by which audio is compared."""
    return hashlib.sha256(audio).hexdigest()


@dataclass(slots=True)
class Line:
    """Plays what is put on it, ``quantum`` samples at a time; where there is nothing it plays silence.

    A quantum that has begun cannot be taken back: it counts as played. ``sounds`` has, for every stretch without a
    gap, the time at which it began to sound and how many bytes had been played before.
    """

    rate: int
    sample_bytes: int
    quantum: int = 1
    clock: Callable[[], float] = time.monotonic
    sounds: list[tuple[float, int]] = field(default_factory=list)
    dropped: int = 0  # bytes thrown away unheard
    _buffer: bytearray = field(default_factory=bytearray)
    _played: bytearray = field(default_factory=bytearray)
    _origin: float = field(init=False)
    _quanta: int = 0  # rendered, silent ones included
    _sounding: int = 0  # bytes of the quantum that has begun last

    def __post_init__(self) -> None:
        self._origin = self.clock()

    def put(self, audio: bytes) -> int:
        """Add audio behind what waits; the number of bytes played once it will have been heard."""
        heard = self.advance()
        self._buffer += audio
        return heard + len(self._buffer)

    def clear(self) -> int:
        """Throw away what waits; how many bytes were played."""
        heard = self.advance()
        self.dropped += len(self._buffer)
        self._buffer.clear()
        return heard

    def advance(self) -> int:
        """Play the quanta whose time has come; how many bytes were played so far."""
        size = self.quantum * self.sample_bytes
        due = int((self.clock() - self._origin) * self.rate / self.quantum) - self._quanta
        part = bytes(self._buffer[: due * size])
        if part and self._sounding < size:
            self.sounds.append((self._origin + self._quanta * self.quantum / self.rate, len(self._played)))
        del self._buffer[: len(part)]
        self._played += part
        self._quanta += due
        if due:
            self._sounding = max(0, len(part) - (due - 1) * size)
        return len(self._played)

    @property
    def finished(self) -> int:
        """Bytes that have sounded to their end: all that were played but those of the quantum that sounds now."""
        return self.advance() - self._sounding

    def seconds_until(self, position: int) -> float:
        """How long until this many bytes will have finished, if nothing is cleared; 0 or less if they have."""
        ahead = -(-(position - self.advance()) // (self.quantum * self.sample_bytes))
        if ahead <= 0 and position <= self.finished:
            return 0.0
        return self._origin + (self._quanta + max(0, ahead) + 1) * self.quantum / self.rate - self.clock()

    @property
    def played(self) -> bytes:
        """What was heard so far, without the silence in between."""
        self.advance()
        return bytes(self._played)

    @property
    def waiting(self) -> int:
        """Bytes that will be heard."""
        self.advance()
        return len(self._buffer)

    @property
    def heard_ms(self) -> float:
        """Milliseconds of audio heard so far, silence not included."""
        return self.advance() * 1000 / self.rate / self.sample_bytes
