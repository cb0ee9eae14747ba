"""The function calls of a conversation: each is answered exactly once, and then spoken about once.

Calls are collected over a whole response and run when it is done. An interruption does not cancel them, unless a
tool opted in. The answer is always sent; it is *spoken about* only if no newer turn has begun, since that turn's
own answer already knows of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from . import _wire as wire
from ._outputs import CallTool, CancelTool, Output
from ._requests import Requests
from .events import ToolCalled, ToolFinished, ToolUnknown

_MAX_KNOWN: Final = 1_000
NOT_RUN: Final = '{"error": "not run: the user spoke before the call was complete"}'
CANCELLED: Final = '{"error": "cancelled: the user interrupted"}'


@dataclass(frozen=True, slots=True)
class _Call:
    name: str
    batch: str  # the response that made it
    turn: int


class ToolCalls:
    """The open calls, and whether their results still have to be spoken about."""

    def __init__(self, tools: Mapping[str, bool], requests: Requests) -> None:
        self._tools = tools
        self._requests = requests
        self._open: dict[str, _Call] = {}
        self._known: dict[str, None] = {}  # every call is taken once, however often it is told
        self._unspoken: int | None = None  # the turn whose results were sent and not yet spoken about

    def waiting(self, turn: int) -> bool:
        """Whether a tool runs, or its result is to be spoken about in this turn."""
        return bool(self._open) or self.result_due(turn)

    def result_due(self, turn: int) -> bool:
        """Whether a response is to be asked for, to speak about results."""
        return self._unspoken is not None and self._unspoken >= turn  # greater: a later turn came to nothing

    def spoken(self) -> None:
        """A response was created: it knows all results sent so far."""
        self._unspoken = None

    def called(self, calls: Iterable[wire.ItemInfo], *, batch: str, turn: int) -> list[Output]:
        """A response ended with these calls: run those that are ours, leave the others to their owner."""
        out: list[Output] = []
        for call_id, name, arguments in self._news(calls):
            if name in self._tools:
                self._open[call_id] = _Call(name, batch, turn)
                out += [ToolCalled(call_id, name, arguments), CallTool(call_id, name, arguments)]
            else:
                out.append(ToolUnknown(call_id, name, arguments))
        return out

    def not_run(self, calls: Iterable[wire.ItemInfo]) -> list[Output]:
        """A response was dropped with these calls in it: they are answered, so that none stays open."""
        return [self._answer(call_id, NOT_RUN) for call_id, name, _ in self._news(calls) if name in self._tools]

    def finished(self, call_id: str, output: str, *, error: str, elapsed_ms: int) -> list[Output]:
        """A tool has answered; nothing if its call was answered already."""
        if (call := self._open.pop(call_id, None)) is None:
            return []
        if not any(other.batch == call.batch for other in self._open.values()):
            self._unspoken = max(call.turn, self._unspoken or 0)
        return [self._answer(call_id, output), ToolFinished(call_id, call.name, output, elapsed_ms, error)]

    def interrupted(self) -> list[Output]:
        """The user spoke: cancel the tools that want it so."""
        return [
            output
            for call_id, call in list(self._open.items())
            if self._tools[call.name]
            for output in [
                CancelTool(call_id),
                *self.finished(call_id, CANCELLED, error="cancelled", elapsed_ms=0),
            ]
        ]

    def cancel_all(self) -> list[Output]:
        """The conversation is over: nobody takes results any more."""
        cancelled: list[Output] = [CancelTool(call_id) for call_id in self._open]
        self._open.clear()
        return cancelled

    def _answer(self, call_id: str, output: str) -> wire.CreateItem:
        item_id = self._requests.new_id()  # of our own, so that its creation is known to confirm this
        item = {"id": item_id, "type": "function_call_output", "call_id": call_id, "output": output}
        return self._requests.add(wire.CreateItem(event_id=self._requests.new_id(), item=item))

    def _news(self, calls: Iterable[wire.ItemInfo]) -> list[tuple[str, str, str]]:
        """The calls not seen before, as (call_id, name, arguments)."""
        news = []
        for call in calls:
            if call.call_id and call.call_id not in self._known:
                self._known[call.call_id] = None
                if len(self._known) > _MAX_KNOWN:
                    del self._known[next(iter(self._known))]
                news.append((call.call_id, call.name or "", call.arguments or ""))
        return news
