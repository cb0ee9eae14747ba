"""What watches the emulator's connections: the live view, a recorder, a log, a test.

An observer is told everything that crosses a socket, in order, on the loop that serves it. It must not block and
cannot change anything; one that raises is reported once and told no more.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

__all__ = ["ConnectionInfo", "Observer", "Observers"]

_log = logging.getLogger("voicelive_agent.emulator")
_SECRET = ("api-key", "authorization", "agent-access-token")


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """Who is connected. ``query`` is that of the URL, without keys and tokens."""

    number: int
    """1 for the first connection of a server, then 2, 3 ..."""
    model: str
    query: Mapping[str, str] = field(default_factory=dict)
    opened_at: float = 0.0
    """Unix time in seconds."""

    @classmethod
    def of(cls, number: int, query: Mapping[str, str], opened_at: float) -> ConnectionInfo:
        """The description of a connection with this query string."""
        shown = {name: "***" if name.lower() in _SECRET else value for name, value in query.items()}
        return cls(number, query.get("model", ""), shown, opened_at)


class Observer(Protocol):
    """Is told what happens on every connection. ``now`` is the loop's clock in seconds."""

    def opened(self, connection: ConnectionInfo, now: float) -> None:
        """A client was let in; nothing was sent yet."""
        ...

    def received(self, connection: ConnectionInfo, message: str | bytes, now: float) -> None:
        """The client sent this frame."""
        ...

    def sent(self, connection: ConnectionInfo, event: Mapping[str, Any], now: float) -> None:
        """This event was written to the client."""
        ...

    def closed(self, connection: ConnectionInfo, code: int | None, reason: str, now: float) -> None:
        """The socket is closed; ``code`` is None where it ended without a close frame."""
        ...


class Observers:
    """Tells several observers; what one of them raises reaches the log and nobody else."""

    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        self._observers = list(observers)

    def opened(self, connection: ConnectionInfo, now: float) -> None:
        """Tell each that a client was let in."""
        self._tell("opened", connection, now)

    def received(self, connection: ConnectionInfo, message: str | bytes, now: float) -> None:
        """Tell each what the client sent."""
        self._tell("received", connection, message, now)

    def sent(self, connection: ConnectionInfo, event: Mapping[str, Any], now: float) -> None:
        """Tell each what was written."""
        self._tell("sent", connection, event, now)

    def closed(self, connection: ConnectionInfo, code: int | None, reason: str, now: float) -> None:
        """Tell each that the socket is closed."""
        self._tell("closed", connection, code, reason, now)

    def _tell(self, what: str, *arguments: Any) -> None:
        for observer in tuple(self._observers):
            try:
                getattr(observer, what)(*arguments)
            except Exception:  # noqa: BLE001  a plug-in: it is reported, and the session goes on
                _log.exception("%r raised in %s() and is told no more.", observer, what)
                self._observers.remove(observer)
