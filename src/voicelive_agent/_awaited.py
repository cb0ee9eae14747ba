"""Who waits for the service's answer to a change of the session."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from typing import Any, TypeAlias

from ._outputs import FinishUpdate

Answer: TypeAlias = "asyncio.Future[Mapping[str, Any]]"


class AwaitedUpdates:
    """The answers that are awaited, by ticket."""

    def __init__(self) -> None:
        self._tickets = itertools.count(1)
        self._answers: dict[int, Answer] = {}

    def expect(self) -> tuple[int, Answer]:
        """A new ticket, and what is to be awaited for it."""
        ticket, answer = next(self._tickets), asyncio.get_running_loop().create_future()
        self._answers[ticket] = answer
        return ticket, answer

    def finish(self, output: FinishUpdate) -> None:
        """The answer has come, unless its waiter is gone."""
        answer = self._answers.pop(output.ticket)
        if answer.done():  # cancelled
            return
        if output.error is not None:
            answer.set_exception(output.error)
        else:
            answer.set_result(output.granted or {})
