"""What one step of the conversation collects: the outputs, and what every rule may look at."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import _wire as wire
from ._outputs import MoveSpeech, Output, SpeechStatus, rank
from ._plan import Plan
from ._requests import Requests
from .events import Event


@dataclass(slots=True)
class Step:
    """The step being made. It lives as long as the conversation; ``take`` begins the next one."""

    plan: Plan
    requests: Requests = field(default_factory=Requests)
    now: float = 0.0
    out: list[Output] = field(default_factory=list)

    def ask(self, request: wire.Request) -> None:
        """Ask the service for something; an error that answers it will be recognised."""
        self.out.append(self.requests.add(request))

    def tell(self, event: Event) -> None:
        """Tell the user of the library."""
        self.out.append(event)

    def move(self, ticket: int | None, status: SpeechStatus, text: str = "") -> None:
        """Tell whoever waits for this ``say()`` or ``respond()`` how it goes."""
        if ticket is not None:
            self.out.append(MoveSpeech(ticket, status, text))

    def take(self) -> list[Output]:
        """The outputs so far, in the order that is the contract."""
        out, self.out = self.out, []
        if len(out) > 1:
            out.sort(key=rank)
        return out
