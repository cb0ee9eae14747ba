"""The function calls of a conversation: each is answered exactly once, and then spoken about once.

Calls are collected over a whole response and run when it is done. An interruption does not cancel them, unless a
tool opted in. The answer is always sent; it is *spoken about* only if no newer turn has begun, since that turn's
own answer already knows of it. A tool that needs an approval runs when it is given, and not at all without.

While a slow tool runs there is a filler, if it has one: after so much silence, once for all that runs, and only
as long as nothing newer is the matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from . import _wire as wire
from ._approval import ApprovalRequest
from ._approvals import Approvals, Decision
from ._batches import Batches
from ._outputs import CallTool, CancelTool, Output
from ._plan import ToolPolicy
from ._step import Step
from .events import ToolCalled, ToolFinished, ToolRoundsExceeded, ToolUnknown

_MAX_KNOWN: Final = 1_000
NOT_RUN: Final = '{"error": "not run: the user spoke before the call was complete"}'
CANCELLED: Final = '{"error": "cancelled: the user interrupted"}'
TOO_MANY: Final = '{"error": "not run: too many calls in a row. Answer the user with what you know."}'
GONE: Final = '{"error": "not run: this tool is no longer there"}'
UNKNOWN: Final = '{"error": "not run: there is no such tool"}'
REFUSED: Final[Mapping[str, str]] = {
    "refused": '{"error": "not run: it needs an approval, which was refused"}',
    "timeout": '{"error": "not run: it needs an approval, and nobody gave one in time"}',
    "failed": '{"error": "not run: it needs an approval, and asking for it failed"}',
}
"""What the model is told about a tool that was not approved, so that it can say why nothing was done."""


@dataclass(slots=True)
class _Call:
    name: str
    batch: str  # the response that made it
    turn: int
    policy: ToolPolicy
    running_since: float | None = None  # not before it was approved
    filled: bool = False  # nothing (more) is to be said to bridge the time that it takes


class ToolCalls:
    """The open calls, and whether their results still have to be spoken about."""

    def __init__(self, step: Step, batches: Batches | None = None, approvals: Approvals | None = None) -> None:
        self._step = step
        self._batches = batches if batches is not None else Batches()
        self._approvals = approvals if approvals is not None else Approvals(step.plan.approval_s)
        self._ever = set(step.plan.tools)  # tools that were ours once
        self._open: dict[str, _Call] = {}
        self._bridged = ""  # the response whose calls the last filler was said for
        self._known: dict[str, None] = {}  # every call is taken once, however often it is told

    @property
    def _tools(self) -> Mapping[str, ToolPolicy]:
        return self._step.plan.tools

    def waiting(self, turn: int) -> bool:
        """Whether a tool runs, or its result is to be spoken about in this turn."""
        return self._batches.open or self.result_due(turn)

    def result_due(self, turn: int) -> bool:
        """Whether a response is to be asked for, to speak about results."""
        return self._batches.due(turn)

    @property
    def rounds(self) -> int:
        """How many rounds of calls a response speaks about that is asked for now."""
        return self._batches.rounds

    @property
    def depth(self) -> int:
        """How many rounds of calls lead to what is asked for while these run."""
        return self._batches.depth

    @property
    def exhausted(self) -> bool:
        """Whether the response that is asked for now has to do without tools."""
        return self.rounds >= self._step.plan.max_tool_rounds

    def spoken(self) -> None:
        """A response was created: it knows all results sent so far."""
        self._batches.spoken()

    # --- calls ---

    def called(
        self,
        calls: Iterable[wire.ItemInfo],
        *,
        batch: str,
        turn: int,
        rounds: int = 0,
        filled: bool = False,
    ) -> list[Output]:
        """A response ended with these calls: run those that are ours, leave the others to their owner.

        ``rounds`` is how many rounds of calls it spoke about itself; ``filled`` whether the service itself has
        said something that bridges the time until there are results.
        """
        news = list(self._news(calls))
        self._ever |= self._tools.keys()
        if rounds >= self._step.plan.max_tool_rounds:  # it was told to answer without tools
            return self._refuse_more(news, rounds)
        out: list[Output] = []
        for call_id, name, arguments in news:
            if (policy := self._tools.get(name)) is None:
                out += self._unknown(call_id, name, arguments, batch=batch, turn=turn, rounds=rounds)
                continue
            self._open[call_id] = _Call(name, batch, turn, policy, filled=filled)
            self._batches.begin(call_id, batch, rounds=rounds)
            out.append(ToolCalled(call_id, name, arguments))
            if policy.approval:
                out += self._ask(call_id, arguments)
            else:
                out += self._run(call_id, arguments)
        return out

    def _run(self, call_id: str, arguments: str) -> list[Output]:
        call = self._open[call_id]
        call.running_since = self._step.now
        return [CallTool(call_id, call.name, arguments, call.policy.tool)]

    def _ask(self, call_id: str, arguments: str) -> list[Output]:
        call = self._open[call_id]

        def then(decision: Decision) -> list[Output]:
            if not decision.approved:
                return self.finished(call_id, REFUSED[decision.reason], error="refused", elapsed_ms=0)
            # Whoever was asked may have said yes aloud, which is a turn of its own: the result belongs to that.
            call.turn = max(call.turn, decision.turn)
            return self._run(call_id, arguments)

        request = ApprovalRequest(call_id, call.name, arguments, _tool=call.policy.tool)
        return self._approvals.ask(request, then, turn=call.turn, now=self._step.now)

    def _unknown(
        self, call_id: str, name: str, arguments: str, *, batch: str, turn: int, rounds: int
    ) -> list[Output]:
        """A function that is not ours: answered if it cannot be anybody else's, so that the model goes on."""
        gone = name in self._ever
        if self._step.plan.leaves_unknown_tools and not gone:
            return [ToolUnknown(call_id, name, arguments)]
        self._batches.begin(call_id, batch, rounds=rounds)
        self._batches.finish(call_id, turn=turn)
        told = ToolUnknown(call_id, name, arguments, answered=True)
        return [self._answer(call_id, GONE if gone else UNKNOWN), told]

    def _refuse_more(self, news: list[tuple[str, str, str]], rounds: int) -> list[Output]:
        ours = [(call_id, name) for call_id, name, _ in news if name in self._tools]
        if not ours:
            return []
        names = tuple(name for _, name in ours)
        return [*(self._answer(call_id, TOO_MANY) for call_id, _ in ours), ToolRoundsExceeded(rounds, names)]

    def not_run(self, calls: Iterable[wire.ItemInfo]) -> list[Output]:
        """A response was dropped with these calls in it: they are answered, so that none stays open."""
        return [self._answer(call_id, NOT_RUN) for call_id, name, _ in self._news(calls) if name in self._tools]

    def finished(self, call_id: str, output: str, *, error: str, elapsed_ms: int) -> list[Output]:
        """A tool has answered; nothing if its call was answered already."""
        if (call := self._open.pop(call_id, None)) is None:
            return []
        self._batches.finish(call_id, turn=call.turn)
        return [
            *self._approvals.withdraw(call_id, error),
            self._answer(call_id, output),
            ToolFinished(call_id, call.name, output, elapsed_ms, error),
        ]

    def interrupted(self) -> list[Output]:
        """The user spoke: cancel the tools that want it so."""
        return [
            output
            for call_id, call in list(self._open.items())
            if call.policy.cancel_on_interruption
            for output in [
                CancelTool(call_id),
                *self.finished(call_id, CANCELLED, error="cancelled", elapsed_ms=self._elapsed_ms(call)),
            ]
        ]

    def _elapsed_ms(self, call: _Call) -> int:
        return 0 if call.running_since is None else round((self._step.now - call.running_since) * 1000)

    def cancel_all(self) -> list[Output]:
        """The conversation is over: nobody takes results any more."""
        cancelled = [
            *self._approvals.withdraw_all(),
            *(CancelTool(call_id) for call_id, call in self._open.items() if call.running_since is not None),
        ]
        self._open.clear()
        self._batches.clear()
        return cancelled

    # --- fillers ---

    @property
    def filling(self) -> bool:
        """Whether what the last filler was said for is still to be waited for."""
        return any(call.batch == self._bridged for call in self._open.values())

    def filler_at(self, turn: int, quiet_since: float) -> float | None:
        """When there has been silence for so long that a filler is due; None if no tool has one to say."""
        return min((at for at, _ in self._fillers(turn, quiet_since)), default=None)

    def filler(self, turn: int, quiet_since: float) -> str:
        """The filler that is due, or ""; it stands for all that runs, so that no other one follows it."""
        for at, call in self._fillers(turn, quiet_since):
            if at <= self._step.now:
                self._bridged = call.batch
                self.hush()
                return call.policy.filler
        return ""

    def hush(self) -> None:
        """Say nothing more for what runs now."""
        for call in self._open.values():
            call.filled = True

    def _fillers(self, turn: int, quiet_since: float) -> list[tuple[float, _Call]]:
        return [
            (max(call.running_since, quiet_since) + call.policy.filler_after_s, call)
            for call in self._open.values()
            if call.policy.filler and not call.filled and call.running_since is not None and call.turn >= turn
        ]

    # --- answers ---

    def _answer(self, call_id: str, output: str) -> wire.CreateItem:
        requests = self._step.requests
        item_id = requests.new_id()  # of our own, so that its creation is known to confirm this
        item = {"id": item_id, "type": "function_call_output", "call_id": call_id, "output": output}
        return requests.add(wire.CreateItem(event_id=requests.new_id(), item=item))

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
