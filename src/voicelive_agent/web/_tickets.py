"""Start tickets: whoever may open a call is given one, and the WebSocket's first message hands it in.

A ticket is good once, for a short time and from the same address. It travels in a message and not in the URL,
because URLs are written to logs (OWASP, WebSocket Security Cheat Sheet).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

__all__ = ["TicketRefused", "Tickets"]

BYTES: Final = 24
"""Of randomness in a ticket: 192 bits are not guessed."""


class TicketRefused(Exception):
    """This ticket opens nothing."""


class Tickets:
    """The tickets of one process. ``clock`` gives seconds and never goes back."""

    def __init__(self, clock: Callable[[], float], *, lifetime_s: float = 30.0, limit: int = 1_000) -> None:
        self._clock = clock
        self._lifetime_s = lifetime_s
        self._limit = limit
        self._issued: dict[str, tuple[str, float]] = {}  # the address, and until when; oldest first

    def issue(self, address: str) -> str:
        """A new ticket. Where too many wait to be used, the oldest is no longer good."""
        self._forget_the_old()
        while len(self._issued) >= self._limit:
            del self._issued[next(iter(self._issued))]
        ticket = secrets.token_urlsafe(BYTES)
        self._issued[ticket] = address, self._clock() + self._lifetime_s
        return ticket

    def redeem(self, ticket: object, address: str) -> None:
        """Take a ticket, whatever comes of it. :class:`TicketRefused` if it is not good."""
        self._forget_the_old()
        issued_to, _ = self._issued.pop(ticket, ("", 0.0)) if isinstance(ticket, str) else ("", 0.0)
        if not issued_to:
            raise TicketRefused("The ticket is unknown, used or too old: ask for another one.")
        if issued_to != address:
            raise TicketRefused("The ticket was given to another address.")

    def __len__(self) -> int:
        return len(self._issued)

    def _forget_the_old(self) -> None:
        now = self._clock()
        while self._issued and next(iter(self._issued.values()))[1] <= now:
            del self._issued[next(iter(self._issued))]
