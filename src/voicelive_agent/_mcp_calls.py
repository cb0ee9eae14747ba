"""The tools of MCP servers: the service lists and runs them; the agent approves them and has the results spoken.

A call is made by a response and may outlive it: an approval is given after the response is done, and nothing
cancels a call that runs, not even the user who talks over it. The service never continues by itself, so a call
that is over joins the results that a response has to speak about, whatever turn it is then. A call that is refused
is over at once: the service runs nothing and says nothing about it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from . import _wire as wire
from . import events
from ._approval import ApprovalRequest
from ._approvals import Approvals, Continuation, Decision
from ._batches import ALWAYS, Batches
from ._outputs import CancelTool, Output
from ._responses import Responses
from ._step import Step
from ._tool_items import called
from ._turns import Turns
from .history import History

RUN_LIMIT_S: Final = 120.0
"""How long a call may take of which nothing is heard; it cannot be cancelled, only given up."""
RESULT_LIMIT_S: Final = 2.0
"""How long the item with the result may come after the message that it is there."""
_MAX_KNOWN: Final = 1_000


class _Phase(enum.Enum):
    MADE = "its arguments are being written, or the service has not said what becomes of it"
    ASKED = "an approval is waited for"
    RUNNING = "the service runs it"
    OVER = "only its result is missing"


@dataclass(slots=True)
class _Call:
    """One call. ``id`` is what it is told by; the question's where the service asks before it makes the item."""

    id: str
    item_id: str
    batch: str  # the response that made it
    server_label: str
    name: str
    arguments: str
    at: float  # when something was last heard of it
    phase: _Phase = _Phase.MADE
    approval: str = ""  # id of the question
    started_at: float | None = None
    told: bool = False

    @property
    def until(self) -> float | None:
        """When to stop waiting for it. An approval has a limit of its own."""
        if self.phase is _Phase.ASKED:
            return None
        return self.at + (RESULT_LIMIT_S if self.phase is _Phase.OVER else RUN_LIMIT_S)


class McpCalls:
    """The MCP servers of one conversation: what they offer, and their open calls."""

    def __init__(
        self,
        step: Step,
        turns: Turns,
        responses: Responses,
        batches: Batches,
        approvals: Approvals,
        history: History,
    ) -> None:
        self._step = step
        self._history = history
        self._turns = turns
        self._responses = responses
        self._batches = batches
        self._approvals = approvals
        self._listings: dict[str, wire.ItemInfo] = {}
        self._open: dict[str, _Call] = {}
        self._known: dict[str, None] = {}  # every call and question is taken once, however often it is told

    # --- what is known ---

    @property
    def deadline(self) -> float | None:
        """When a call has to be given up."""
        return min((call.until for call in self._open.values() if call.until is not None), default=None)

    def holds(self, response_id: str) -> bool:
        """Whether this response is silent for a reason: it waits for a tool, or for somebody to approve it."""
        return any(call.batch == response_id and call.phase is not _Phase.MADE for call in self._open.values())

    # --- what the service says ---

    def on_item_created(self, item: wire.ItemInfo, item_id: str) -> None:
        """An item is in the conversation: perhaps a list of tools, a call, or a question."""
        if item.type == "mcp_list_tools":
            self._listings[item_id] = item
        elif item.type == "mcp_call":
            self._make(item, item_id)
            if (call := self._open.get(item_id)) is not None:
                self._record(call)
        elif item.type == "mcp_approval_request":
            self._ask(item, item_id)

    def on_output_item(self, message: wire.OutputItemAdded | wire.OutputItemDone) -> None:
        """A response has a call, or the call is over: then its result is here."""
        item = message.item
        if item.type == "mcp_approval_request" and item.id is not None:
            self._ask(item, item.id, batch=message.response_id)
        if item.type != "mcp_call" or item.id is None:
            return
        self._make(item, item.id, batch=message.response_id)
        if isinstance(message, wire.OutputItemDone) and (call := self._open.get(item.id)) is not None:
            if item.status == "incomplete":
                self._finish(call, "", "not_run")
            elif item.output is not None or item.error or call.phase in (_Phase.RUNNING, _Phase.OVER):
                self._finish(call, *_result(item))

    def on_arguments(self, message: wire.McpArgumentsDone) -> None:
        """The arguments of a call are complete."""
        if (call := self._open.get(message.item_id)) is not None and call.phase is _Phase.MADE:
            call.arguments, call.at = message.arguments or call.arguments, self._step.now
            self._record(call)
            self._tell(call)

    def on_started(self, message: wire.McpCallStarted) -> None:
        """The service runs the tool."""
        if (call := self._open.get(message.item_id)) is not None and call.phase is not _Phase.OVER:
            self._withdraw(call)
            call.phase, call.at = _Phase.RUNNING, self._step.now
            call.started_at = call.at
            self._tell(call)

    def on_ended(self, message: wire.McpCallCompleted | wire.McpCallFailed) -> None:
        """The tool has answered or failed; the item that says what is still to come."""
        call = self._open.get(message.item_id)
        if call is not None and call.phase in (_Phase.MADE, _Phase.RUNNING):
            call.phase, call.at = _Phase.OVER, self._step.now

    def on_listed(self, message: wire.McpToolsListed) -> None:
        """The tools of a server are known."""
        item = self._listings.pop(message.item_id, None) or wire.ItemInfo()
        tools = item.tools if isinstance(item.tools, list) else []
        names = tuple(str(tool.get("name", "")) for tool in tools if isinstance(tool, dict))
        self._step.tell(events.McpListed(item.server_label or "", names))

    def on_listing_failed(self, message: wire.McpListingFailed) -> None:
        """The tools of a server are not to be had: the session goes on without them."""
        item = self._listings.pop(message.item_id, None) or wire.ItemInfo()
        self._step.tell(events.McpListingFailed(item.server_label or "", _message(item.error)))

    def response_ended(self, info: wire.ResponseInfo) -> None:
        """A response is done. If it was cut off, what it had not called by then is never called."""
        for item in info.output or ():
            if item.type == "mcp_call" and (call := self._open.get(item.id or "")) and call.phase is _Phase.OVER:
                self._finish(call, *_result(item))
        if info.status != "completed":
            for call in self._of(info.id):
                if call.phase is _Phase.MADE:
                    self._finish(call, "", "not_run")

    def refused(self, request: wire.CreateItem) -> None:
        """The service takes no answer to a question (any more): nothing will come of that call."""
        question = request.item.get("approval_request_id")
        for call in list(self._open.values()):
            if question and call.approval == question:
                self._finish(call, "", "not_run")

    # --- limits and the end ---

    def check(self) -> None:
        """Give up calls of which nothing is heard."""
        for call in list(self._open.values()):
            if call.until is None or self._step.now < call.until:
                continue
            if call.phase is _Phase.OVER:  # it is over, and the model knows its result
                self._finish(call, "", "")
            else:
                waited_ms = round((self._step.now - call.at) * 1000)
                self._step.tell(events.Stalled("the result of an MCP server's tool", waited_ms))
                self._finish(call, "", "stalled")

    # --- calls ---

    def _of(self, response_id: str) -> list[_Call]:
        return [call for call in self._open.values() if call.batch == response_id]

    def _is_news(self, item_id: str) -> bool:
        if item_id in self._known or item_id in self._open:  # what is open may be older than what is known
            return False
        self._known[item_id] = None
        if len(self._known) > _MAX_KNOWN:
            del self._known[next(iter(self._known))]
        return True

    def _make(self, item: wire.ItemInfo, item_id: str, *, batch: str = "") -> None:
        """A call exists. One that was approved before its item was made goes on under the item's id."""
        if item_id not in self._open and self._is_news(item_id):
            asked = self._open.pop(item.approval_request_id or "", None)
            call = self._new(item, item_id, batch or item_id) if asked is None else asked
            call.item_id = item_id
            self._open[item_id] = call
            self._begin(call)
        elif batch and (known := self._open.get(item_id)) is not None and known.batch == item_id:
            known.batch = batch  # its creation was told before its response
            self._begin(known)

    def _begin(self, call: _Call) -> None:
        maker = self._responses.open
        want = maker.want if maker is not None and maker.id == call.batch else None
        self._batches.begin(call.id, call.batch, rounds=0 if want is None else want.rounds)

    def _new(self, item: wire.ItemInfo, call_id: str, batch: str) -> _Call:
        label, name = item.server_label or "", item.name or ""
        return _Call(call_id, call_id, batch, label, name, item.arguments or "", self._step.now)

    def _ask(self, item: wire.ItemInfo, question: str, *, batch: str = "") -> None:
        """The service asks whether a call may run."""
        if not self._is_news(question):
            return
        call = next((call for call in self._open.values() if _matches(call, item)), None)
        if call is None:  # the call itself is made when it is approved
            call = self._open[question] = self._new(item, question, batch or question)
            self._begin(call)
        call.phase, call.approval = _Phase.ASKED, question
        call.arguments = item.arguments or call.arguments
        self._tell(call)
        request = ApprovalRequest(question, call.name, call.arguments, call.server_label)
        then = self._continuation(call)
        self._step.out += self._approvals.ask(request, then, turn=self._turns.number, now=self._step.now)

    def _continuation(self, call: _Call) -> Continuation:
        """What follows from the answer to the question about this call."""

        def then(decision: Decision) -> list[Output]:
            call.phase, call.at = _Phase.MADE, self._step.now
            item_id = self._step.requests.new_id()
            item = {
                "id": item_id,
                "type": "mcp_approval_response",
                "approval_request_id": call.approval,
                "approve": decision.approved,
            }
            request = wire.CreateItem(event_id=self._step.requests.new_id(), item=item)
            out: list[Output] = [self._step.requests.add(request)]
            if not decision.approved:
                out.append(self._over(call, "", decision.reason))
            return out

        return then

    def _withdraw(self, call: _Call) -> None:
        """The service did not wait for the answer, if it asked: nobody needs to think about it any more."""
        if call.phase is _Phase.ASKED:
            self._step.out.append(CancelTool(call.approval))
            self._step.out += self._approvals.withdraw(call.approval, "ended")

    def _record(self, call: _Call, result: str = "") -> None:
        """Write into the history what is known of a call."""
        text = called(f"{call.server_label}.{call.name}", call.arguments, result)
        self._history.say(call.item_id, text)

    def _tell(self, call: _Call) -> None:
        if not call.told:
            call.told = True
            self._step.tell(events.McpCalled(call.id, call.server_label, call.name, call.arguments))

    def _finish(self, call: _Call, output: str, error: str) -> None:
        self._withdraw(call)
        if error != "not_run":
            self._tell(call)
        over = self._over(call, output, error)
        if call.told:
            self._step.tell(over)

    def _over(self, call: _Call, output: str, error: str) -> events.McpFinished:
        """A call is over, and is spoken about if there is anything to say."""
        del self._open[call.item_id]
        self._record(call, output or error)
        if error == "not_run" or not self._step.plan.continues_mcp:
            self._batches.drop(call.id)
        else:
            self._batches.finish(call.id, turn=ALWAYS)
        elapsed_ms = 0 if call.started_at is None else round((self._step.now - call.started_at) * 1000)
        return events.McpFinished(call.id, call.server_label, call.name, output, elapsed_ms, error)


MCP_HANDLERS: Final[dict[type[Any], Callable[[McpCalls, Any], None]]] = {
    wire.McpArgumentsDone: McpCalls.on_arguments,
    wire.McpCallStarted: McpCalls.on_started,
    wire.McpCallCompleted: McpCalls.on_ended,
    wire.McpCallFailed: McpCalls.on_ended,
    wire.McpToolsListed: McpCalls.on_listed,
    wire.McpListingFailed: McpCalls.on_listing_failed,
}
"""The messages that are about an MCP server and nothing else."""


def _matches(call: _Call, item: wire.ItemInfo) -> bool:
    """Whether a question is about this call; it does not name it, and the same may have been called twice."""
    return (
        call.phase is _Phase.MADE
        and not call.approval
        and (call.server_label, call.name) == (item.server_label or "", item.name or "")
        and (not call.arguments or not item.arguments or call.arguments == item.arguments)
    )


def _result(item: wire.ItemInfo) -> tuple[str, str]:
    """What the model was told by a call that is over, and the kind of failure."""
    if not item.error:
        return "" if item.output is None else str(item.output), ""
    kind = item.error.get("type") if isinstance(item.error, dict) else None
    return _message(item.error), str(kind or "failed")


def _message(error: Any) -> str:
    """The words of an error, which is an object or only words."""
    if isinstance(error, dict):
        return str(error.get("message") or "")
    return str(error or "")
