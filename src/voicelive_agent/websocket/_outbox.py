"""What is to be sent to a far end, in order; and what of it is not yet heard.

Audio and messages wait in one queue. Audio is turned into messages only when it is its turn, so a flush takes back
all that was not sent, as if it had never been written. No socket, no clock and no task.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from ._position import Position
from .dialect import Dialect, Message

__all__ = ["RUN_ON_S", "Outbox"]

RUN_ON_S: Final = 0.5
"""Without a word from a far end that should confirm, the clock alone is believed no longer than this."""
UNTOLD_S: Final = 0.2
"""How much later than reckoned a far end that confirms nothing may hear the last word: its way is not known."""


class Outbox:
    """The outgoing queue of one socket."""

    def __init__(self, dialect: Dialect[Any]) -> None:
        self._dialect = dialect
        self.position = Position(dialect.format.rate, run_on_s=RUN_ON_S if dialect.confirms else None)
        self._queue: deque[str | bytes] = deque()  # text to be sent, and audio
        self._ready: deque[tuple[Message, int]] = deque()  # what a piece of audio became, and the samples in it
        self._half = b""

    # --- what goes in ---

    def put(self, text: str) -> None:
        """A message, behind what waits."""
        self._queue.append(text)

    def write(self, audio: bytes) -> None:
        """Audio, behind what waits. Part of a sample waits for the rest of it."""
        frame_bytes = self._dialect.format.frame_bytes
        audio = self._half + audio
        whole = len(audio) - len(audio) % frame_bytes
        self._half = audio[whole:]
        if whole:
            self._queue.append(audio[:whole])
            self.position.write(whole // frame_bytes)

    def flush(self) -> None:
        """Take back the audio that waits, and have the far end told first of all if it has any."""
        self.drop_audio()
        if self.position.flush():
            self._queue.appendleft(self._dialect.flush(self.position.generation))

    def drop_audio(self) -> None:
        """Take back the audio that waits."""
        self._queue = deque(entry for entry in self._queue if isinstance(entry, str))
        self._ready.clear()
        self._half = b""

    # --- what comes out ---

    def __bool__(self) -> bool:
        """Whether anything waits, due or not."""
        return bool(self._ready or self._queue)

    def next(self, now: float) -> Message | None:
        """The next message that is due; what is in it counts as sent."""
        if not self._ready and self._queue and not self.due_in(now):
            entry = self._queue.popleft()
            if isinstance(entry, str):
                return entry
            audio = self._piece(entry)
            self._ready.extend(self._dialect.encode(audio, self.position, last=not self._has_audio(), now=now))
        if not self._ready:
            return None
        message, samples = self._ready.popleft()
        if samples:
            self.position.send(samples, now)
        return message

    def due_in(self, now: float) -> float | None:
        """Seconds until something is due; None if nothing waits."""
        if not self:
            return None
        if self._ready or isinstance(self._queue[0], str) or self._dialect.lead_ms is None:
            return 0.0
        lead = self._dialect.lead_ms * self.position.rate // 1000
        return max(0, self.position.ahead(now) - lead) / self.position.rate

    def all_heard(self, now: float) -> bool:
        """Whether nothing is pending, and the far end says so too; one that says nothing is given time."""
        if self._dialect.confirms:
            return self.position.is_confirmed and not self.position.pending(now)
        return not self.position.pending(now - UNTOLD_S)

    def _piece(self, audio: bytes) -> bytes:
        """So much audio, from here on, as a message has."""
        limit = self._dialect.piece_ms * self.position.rate // 1000 * self._dialect.format.frame_bytes
        while len(audio) < limit and self._queue and isinstance(more := self._queue[0], bytes):
            self._queue.popleft()
            audio += more
        if len(audio) > limit:
            self._queue.appendleft(audio[limit:])
        return audio[:limit]

    def _has_audio(self) -> bool:
        return any(isinstance(entry, bytes) for entry in self._queue)
