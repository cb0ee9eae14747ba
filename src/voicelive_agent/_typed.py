"""What the user gives the agent without a microphone: text and images, each an item of the conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import _wire as wire
from ._responses import Responses
from ._step import Step
from ._turns import Turns
from .history import History


class TypedItems:
    """The typed items of one conversation. Those that come before the session is configured wait for that."""

    def __init__(self, step: Step, turns: Turns, responses: Responses, history: History) -> None:
        self._step = step
        self._turns = turns
        self._responses = responses
        self._history = history
        self._early: list[wire.Request] | None = []

    def add(self, content: Sequence[Mapping[str, Any]], text: str, *, respond: bool) -> None:
        """The user gave this; ``text`` is how the history shows it. Without ``respond`` it is no turn."""
        requests = self._step.requests
        item_id, event_id = requests.new_id(), requests.new_id()
        item = {"id": item_id, "type": "message", "role": "user", "content": list(content)}
        request = wire.CreateItem(event_id=event_id, item=item)
        if self._early is None:
            self._step.ask(request)
        else:
            self._early.append(request)
        self._history.mention(item_id, "user")
        self._history.say(item_id, text)
        if respond:
            self._turns.typed()
            self._responses.want_answer()

    def started(self) -> None:
        """The session is configured: the service may know what was given before."""
        for request in self._early or ():
            self._step.ask(request)
        self._early = None
