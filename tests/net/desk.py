"""Where calls come in: an agent for each of them, and how each went."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from voicelive_agent import Verdict
from voicelive_agent.websocket import Limits, WebSocketAudio, WebSocketLike

from ..agent_driver import Recorder
from .kinds import KINDS

__all__ = ["Desk", "Held"]


@dataclass(slots=True)
class Held:
    """One call: the agent that has it, the transport, and in the end a verdict or an error."""

    agent: Recorder
    audio: WebSocketAudio[Any]
    verdict: Verdict | None = None
    error: BaseException | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Desk:
    """Answers every call with an agent of its own. The name of a call is its kind, and what follows a hyphen."""

    def __init__(self, make_agent: Callable[[], Recorder], *, limits: Limits | None = None) -> None:
        self._make_agent = make_agent
        self._limits = limits
        self.calls: dict[str, Held] = {}

    async def answer(self, ws: WebSocketLike, name: str) -> None:
        """Hold this call."""
        agent = self._make_agent()
        audio = WebSocketAudio(ws, KINDS[name.partition("-")[0]].dialect(), limits=self._limits)
        call = self.calls[name] = Held(agent, audio)
        try:
            async with audio:
                call.verdict = await agent.run(audio, audio)
        except BaseException as error:
            call.error = error  # the test looks at it
            if not isinstance(error, Exception):
                raise
        finally:
            call.ended.set()

    async def ended(self, name: str) -> Held:
        """Wait for the end of a call."""
        while name not in self.calls:  # noqa: ASYNC110  (it is about to come in)
            await asyncio.sleep(0.005)
        await self.calls[name].ended.wait()
        return self.calls[name]

    def verdict(self, name: str) -> Any:
        """How a call ended that nothing went wrong with."""
        call = self.calls[name]
        assert call.error is None, call.error
        assert call.verdict is not None
        return call.verdict
