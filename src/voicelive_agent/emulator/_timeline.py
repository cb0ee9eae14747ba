"""What the session sends and when: no clock of its own, time is always an argument."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeAlias

from ._ids import Ids

Act: TypeAlias = Callable[[], object]


class Timeline:
    """Acts in order of the time they are due, and the events they have sent."""

    def __init__(self, ids: Ids) -> None:
        self.now = 0.0
        self._ids = ids
        self._acts: list[tuple[float, int, Act]] = []
        self._sequence = count()
        self._sent: list[dict[str, Any]] = []

    def send(self, type: str, **fields: Any) -> None:
        """Send an event to the client now."""
        self._sent.append({"event_id": self._ids.service("event"), "type": type, **fields})

    def at(self, due: float, act: Act) -> None:
        """Do ``act`` at ``due``, after everything that was put there before for the same time."""
        heapq.heappush(self._acts, (max(due, self.now), next(self._sequence), act))

    def advance(self, now: float) -> None:
        """Do everything that is due. Time never goes back: an earlier ``now`` counts as the present."""
        self.now = max(self.now, now)
        while self._acts and self._acts[0][0] <= self.now:
            heapq.heappop(self._acts)[2]()

    def stop(self) -> None:
        """Do nothing more; what was sent can still be taken."""
        self._acts.clear()

    def take(self) -> list[dict[str, Any]]:
        """The events sent since the last call."""
        sent, self._sent = self._sent, []
        return sent

    @property
    def deadline(self) -> float | None:
        """When there is next something to do or to take."""
        if self._sent:
            return self.now
        return self._acts[0][0] if self._acts else None


@dataclass(slots=True)
class Step:
    """One act of a :class:`Stream`: not before ``gap`` after the one before it, nor before ``not_before``."""

    act: Act
    gap: float = 0.0
    not_before: float = 0.0
    late: bool = False
    """Whether this step may still happen after the stream was cut (audio that was already on its way)."""


class Stream:
    """Steps that happen strictly one after the other.

    Gaps count from when a step was due, not from when it happened: whoever polls a little late does so every time,
    and over a long answer that would add up.
    """

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._steps: deque[Step] = deque()
        self._added: deque[float] = deque()  # when each of them was
        self._due = 0.0  # the latest step that was armed
        self._armed = 0  # the wake-up that counts; those of an earlier number were overtaken by a cut

    def add(self, step: Step) -> None:
        """Put a step at the end."""
        self._steps.append(step)
        self._added.append(self._timeline.now)
        if len(self._steps) == 1:
            self._arm()

    def cut(self) -> list[Step]:
        """Take out all steps that have not happened yet."""
        steps = list(self._steps)
        self._steps.clear()
        self._added.clear()
        self._due = min(self._due, self._timeline.now)  # what was armed for later never happens
        self._armed += 1
        return steps

    def _arm(self) -> None:
        step, armed = self._steps[0], self._armed
        self._due = max(self._added.popleft(), self._due + step.gap, step.not_before)
        self._timeline.at(self._due, lambda: self._go(armed))

    def _go(self, armed: int) -> None:
        if armed != self._armed:
            return
        step = self._steps.popleft()
        if self._steps:
            self._arm()
        step.act()
