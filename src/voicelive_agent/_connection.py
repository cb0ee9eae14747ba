"""What the shell needs of an open session: text out, bytes in, one ending.

Implemented by ``_service_connection`` over the SDK and by ``testing`` over an emulator in memory; neither is
imported here.
"""

from __future__ import annotations

from typing import Protocol

from .config import Settings
from .events import Verdict


class ConnectionEnded(Exception):
    """The connection is over; ``verdict`` says how. Raised by ``receive`` and ``send`` from then on."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.detail or verdict.reason.value)
        self.verdict = verdict


class Connection(Protocol):
    """One open session with the service."""

    async def receive(self) -> bytes:
        """The next message, as it came. Raises :class:`ConnectionEnded` when there are no more."""
        ...

    async def send(self, text: str) -> None:
        """Send one message of ready-made JSON. Raises :class:`ConnectionEnded` when nobody listens any more."""
        ...

    @property
    def unsent(self) -> int:
        """Bytes handed over and not yet taken by the network."""
        ...

    async def close(self) -> None:
        """Say goodbye (close code 1000) and free everything. Idempotent; takes at most 2 s."""
        ...


class Connector(Protocol):
    """Opens sessions: the default goes to Azure (or any URL) through the SDK."""

    async def connect(self, settings: Settings) -> Connection:
        """A session on which the service has already said ``session.created``; that message is received next.

        Raises :class:`~voicelive_agent.errors.ConnectError` (a subclass of it) when there is none to be had.
        """
        ...
