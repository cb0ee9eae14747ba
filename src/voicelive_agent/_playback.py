"""How much of what was sent has been heard, item by item.

The shell says how many samples are still unheard; everything else follows: ``heard = sent - pending``, and the
newest audio is heard last. Counts are samples of the session's output format.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from . import _wire as wire
from ._outputs import Play

GRACE_S: Final = 0.4
"""Nothing pending for this long, though more audio is due, is a pause and no longer speech: slow deltas must
not make the state flap."""


@dataclass(slots=True)
class ItemAudio:
    """Samples of one item: what arrived, and what was heard of it."""

    item_id: str
    received: int = 0
    heard: int = 0
    complete: bool = False


class Playback:
    """The ledger of one conversation's playback."""

    def __init__(self, *, rate: int, sample_bytes: int) -> None:
        self._rate = rate
        self._sample_bytes = sample_bytes
        self._queue: deque[tuple[ItemAudio, int]] = deque()  # what is pending, oldest first
        self._items: dict[str, ItemAudio] = {}
        self._open: ItemAudio | None = None  # more of this item is to come
        self._half: tuple[str, int] = ("", 0)  # item and bytes of a sample that a message boundary cut in two
        self.pending = 0
        self.silent_since = float("-inf")
        self.in_flight = 0  # of these, what a flush can no longer stop

    # What happened.

    def play(self, item_id: str, base64: str) -> Play:
        """A piece of audio arrived and is to be played."""
        item = self._items.get(item_id)
        if item is None:
            item = self._items[item_id] = ItemAudio(item_id)
        last, half = self._half
        samples, half = divmod(wire.base64_bytes(base64) + (half if last == item_id else 0), self._sample_bytes)
        self._half = item_id, half
        item.received += samples
        self._queue.append((item, samples))
        self.pending += samples
        self._open = item
        return Play(item_id, samples, base64)

    def complete(self, item_id: str) -> bool:
        """All of an item's audio has arrived. Whether there was any, and this was not known before."""
        item = self._items.get(item_id)
        if item is None or item.complete:
            return False
        item.complete = True
        if self._open is item:
            self._open = None
        return True

    def advance(self, pending: int, now: float) -> None:
        """So many samples are still unheard. The sink cannot take back what was heard."""
        newly_heard = self.pending - max(0, pending)
        if newly_heard > 0:
            self.pending -= newly_heard
            if not self.pending:
                self.silent_since = now
        while newly_heard > 0:
            item, samples = self._queue.popleft()
            part = min(samples, newly_heard)
            item.heard += part
            newly_heard -= part
            if part < samples:
                self._queue.appendleft((item, samples - part))

    def unstoppable(self, now: float) -> int:
        """Silence is asked for: what is on its way counts as heard. How many milliseconds that is."""
        samples = min(self.in_flight, self.pending)
        self.advance(self.pending - samples, now)
        self.in_flight = 0
        return samples * 1000 // self._rate

    def flush(self) -> list[ItemAudio]:
        """What is pending will not be heard. The items this cuts short, newest first."""
        unheard = {item.item_id: item for item, samples in self._queue if samples}
        if (last := self._open) is not None and not last.complete:
            unheard.setdefault(last.item_id, last)
        self._queue.clear()
        self._half = "", 0
        self.pending = 0
        self._open = None
        return list(reversed(unheard.values()))

    def forget(self, item_id: str) -> None:
        """Nobody will ask for this item again."""
        self._items.pop(item_id, None)

    # What follows from it.

    def __getitem__(self, item_id: str) -> ItemAudio:
        return self._items.get(item_id) or ItemAudio(item_id, complete=True)

    def heard_ms(self, item: ItemAudio) -> int:
        """Milliseconds heard of an item, rounded down: a truncation must not reach into the unheard."""
        return item.heard * 1000 // self._rate

    def received_ms(self, item: ItemAudio) -> int:
        """Milliseconds that arrived of an item."""
        return item.received * 1000 // self._rate

    def audible(self, now: float) -> bool:
        """Whether the listener hears the agent, short pauses between slow deltas included."""
        return self.pending > 0 or (self._open is not None and now < self.silent_since + GRACE_S)

    def deadline(self, now: float) -> float | None:
        """When this may look different though nothing is said: all heard, or the pause is too long."""
        if self.pending:
            return now + self.pending / self._rate
        if self._open is not None and now < self.silent_since + GRACE_S:
            return self.silent_since + GRACE_S
        return None
