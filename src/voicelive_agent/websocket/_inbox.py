"""What a far end says, until somebody listens: never more of it than is still worth hearing."""

from __future__ import annotations

from collections import deque
from typing import Final

from ..audio import AudioFormat

__all__ = ["Inbox"]

EARLY_MS: Final = 200
"""What was said before anybody listened, at most: older speech is not live any more."""
LATE_MS: Final = 5_000
"""What a slow listener may have waiting."""


class Inbox:
    """A queue of audio that forgets its oldest. ``listening``: somebody takes what comes."""

    def __init__(self) -> None:
        self.listening = False
        self.skipped_ms = 0
        self._queue: deque[bytes] = deque()
        self._size = 0  # bytes
        self._skipped = 0  # bytes

    def put(self, audio: bytes, format: AudioFormat) -> None:
        """Add audio; what is too old now is skipped."""
        self._queue.append(audio)
        self._size += len(audio)
        bytes_per_s = format.rate * format.frame_bytes
        limit = (LATE_MS if self.listening else EARLY_MS) * bytes_per_s // 1000
        while self._size > limit and len(self._queue) > 1:
            self._skipped += len(self.take() or b"")
            self.skipped_ms = self._skipped * 1000 // bytes_per_s

    def take(self) -> bytes | None:
        """The oldest audio, or None if there is none."""
        if not self._queue:
            return None
        audio = self._queue.popleft()
        self._size -= len(audio)
        return audio
