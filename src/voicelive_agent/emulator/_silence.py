"""Asks a brain that wants to speak when the user says nothing.

The service never does this by itself; it is for scripts that play a service whose prompt says so.
"""

from __future__ import annotations

from collections.abc import Callable

from ._context import Context
from .protocols import Prompting


class Silences:
    """Counts from the end of what was last heard: each of the brain's silences once, until the user speaks.

    ``ask`` makes the brain answer to a silence of so many milliseconds; ``busy``: somebody speaks, or will.
    """

    def __init__(self, context: Context, ask: Callable[[float], None], busy: Callable[[], bool]) -> None:
        self._context = context
        self._ask = ask
        self._busy = busy
        brain = context.brain
        self._silences = tuple(brain.silences_ms) if isinstance(brain, Prompting) else ()
        self._left = self._silences
        self._counting = 0  # the count that holds; an earlier one was overtaken

    def broken(self) -> None:
        """The user has said something."""
        self._left = self._silences
        self._counting += 1

    def begin(self) -> None:
        """Nobody says anything any more, once the last answer was heard to its end."""
        self._counting += 1
        if self._left:
            timeline, counting = self._context.timeline, self._counting
            heard = self._context.items.heard_until(timeline.now)
            timeline.at(heard + self._left[0] / 1000, lambda: self._due(counting))

    def _due(self, counting: int) -> None:
        if counting == self._counting and not self._busy():
            silence_ms, *rest = self._left
            self._left = tuple(rest)
            self._ask(silence_ms)
