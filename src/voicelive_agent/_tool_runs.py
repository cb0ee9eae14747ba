"""Runs the tools of one call and asks for the approvals; what is to run, the conversation decides."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import anyio
import anyio.lowlevel

from ._approval import ApprovalAnswer, ApprovalRequest
from ._conversation import Conversation
from ._outputs import CallTool, Output
from ._tool import ToolContext
from ._tool_invocation import run_tool, wrong_arguments
from ._tool_threads import ToolThreads

logger = logging.getLogger("voicelive_agent")

TOOL_TIMEOUT_S: Final = 60.0
"""The limit of a tool that names none."""

Told: TypeAlias = functools.partial[list[Output]]
"""What the conversation is told: one of its inputs, without the time."""


class ToolRuns:
    """The tools that run now.

    ``tell`` feeds the conversation. ``report`` takes what ``approve()`` raises; without it the conversation ends
    with that.
    """

    def __init__(
        self,
        conversation: Conversation,
        tell: Callable[[Told], None],
        *,
        approve: Callable[[ApprovalRequest], Awaitable[ApprovalAnswer]],
        report: Callable[[Exception], None] | None,
        threads: ToolThreads,
        agent: object,
    ) -> None:
        self._conversation = conversation
        self._tell = tell
        self._approve = approve
        self._report = report
        self._threads = threads
        self._agent = agent
        self._running: dict[str, anyio.CancelScope] = {}

    def begin(self, what: CallTool | ApprovalRequest) -> Callable[[], Awaitable[None]]:
        """What is to be awaited in a task; it may be cancelled before that starts."""
        scope = self._running[what.call_id] = anyio.CancelScope()
        work = self._call(what) if isinstance(what, CallTool) else self._decide(what)

        async def run() -> None:
            await self._run(what.call_id, scope, work)

        return run

    def cancel(self, call_id: str) -> None:
        """Stop this one, if it runs."""
        if (scope := self._running.get(call_id)) is not None:
            scope.cancel()

    async def _run(self, call_id: str, scope: anyio.CancelScope, work: Callable[[], Awaitable[Told]]) -> None:
        with scope:
            await anyio.lowlevel.checkpoint_if_cancelled()
            told = await work()
        if self._running.get(call_id) is scope:
            del self._running[call_id]  # before the next step: a tool that was approved has a scope of its own
        if not scope.cancelled_caught:
            self._tell(told)

    def _call(self, call: CallTool) -> Callable[[], Awaitable[Told]]:
        async def work() -> Told:
            loop = asyncio.get_running_loop()
            started = loop.time()
            context = ToolContext(self._agent, call.call_id, call.name)
            result = await run_tool(
                call.tool, call.arguments, context, threads=self._threads, timeout_s=TOOL_TIMEOUT_S
            )
            elapsed_ms = round((loop.time() - started) * 1000)
            finished = self._conversation.tool_finished
            return functools.partial(
                finished, call.call_id, result.output, error=result.error, elapsed_ms=elapsed_ms
            )

        return work

    def _decide(self, request: ApprovalRequest) -> Callable[[], Awaitable[Told]]:
        conversation, call_id = self._conversation, request.call_id

        async def work() -> Told:
            if request.server_label is None:
                wrong = wrong_arguments(request._tool, request.arguments)
                if wrong is not None:  # nobody has to think about what cannot be done anyway
                    return functools.partial(conversation.tool_finished, call_id, wrong.output, error=wrong.error)
            try:
                return functools.partial(conversation.approval_answered, call_id, await self._approve(request))
            except Exception as error:  # a hook's border: it is raised or reported
                if self._report is None:
                    raise
                logger.warning("approve() raised.", exc_info=True)
                self._report(error)
                return functools.partial(conversation.approval_answered, call_id, False, reason="failed")

        return work
