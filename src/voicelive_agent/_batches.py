"""The calls that one response made are one batch: once all of them are over, one response speaks about them.

Kept apart from who runs the calls: the agent's own tools and those of MCP servers may be in the same batch.
"""

from __future__ import annotations

import sys
from typing import Final

ALWAYS: Final = sys.maxsize
"""A turn later than every other: these results are spoken about even if a newer turn has begun meanwhile."""


class Batches:
    """Which calls are open, and which results a response has still to speak about."""

    def __init__(self) -> None:
        self._open: dict[str, str] = {}  # call -> the response that made it
        self._unspoken: dict[str, int] = {}  # response with results nobody spoke about yet -> its turn
        self._rounds: dict[str, int] = {}  # response -> how many before it called tools, one because of the other

    @property
    def open(self) -> bool:
        """Whether any call is not over."""
        return bool(self._open)

    def begin(self, call_id: str, batch: str, *, rounds: int = 0) -> None:
        """A call was made by the response ``batch``, which spoke about the results of so many rounds of calls."""
        self._open[call_id] = batch
        self._rounds[batch] = rounds

    def finish(self, call_id: str, *, turn: int) -> None:
        """A call has a result, which concerns this turn."""
        batch = self._open.pop(call_id)
        self._unspoken[batch] = max(turn, self._unspoken.get(batch, 0))

    def drop(self, call_id: str) -> None:
        """A call is over, and there is nothing to say about it."""
        del self._open[call_id]

    def due(self, turn: int) -> bool:
        """Whether a response is to be asked for: a batch is complete, and its turn is not over."""
        unfinished = set(self._open.values())
        # Greater: a later turn came to nothing.
        return any(of >= turn for batch, of in self._unspoken.items() if batch not in unfinished)

    @property
    def rounds(self) -> int:
        """How many rounds of calls a response speaks about that is asked for now."""
        return 1 + max((self._rounds.get(batch, 0) for batch in self._unspoken), default=-1)

    @property
    def depth(self) -> int:
        """How many rounds of calls lead to what is asked for now: perhaps by a tool that still runs."""
        return 1 + max((self._rounds[batch] for batch in self._open.values()), default=-1)

    def spoken(self) -> None:
        """A response was created: it knows all results so far."""
        self._unspoken.clear()
        self._rounds = {batch: rounds for batch, rounds in self._rounds.items() if batch in self._open.values()}

    def clear(self) -> None:
        """The conversation is over."""
        self._open.clear()
        self._unspoken.clear()
        self._rounds.clear()
