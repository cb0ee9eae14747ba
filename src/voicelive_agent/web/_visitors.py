"""How many people may talk at once: in this process, and from one address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..errors import ConfigurationError

__all__ = ["Full", "Visitors", "WebLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WebLimits:
    """What one process bears. ConfigurationError for a limit that is not positive."""

    sessions: int = 50
    """Calls at once in this process."""
    sessions_per_address: int = 4
    """Calls at once from one address. Behind a proxy it is the proxy's, unless it is trusted to name another."""
    session_s: float = 3_600.0
    """The longest call, in seconds; the service's own limit is an hour."""
    idle_s: float = 15.0
    """A page that sends nothing for so long is gone; an open one sends its microphone or a ping."""
    start_s: float = 5.0
    """How long a new connection may take to hand in its ticket."""
    bytes_per_s: int = 128_000
    """What a page may send; its microphone takes 48,000 at 24 kHz."""
    message_bytes: int = 65_536
    """The longest message of a page."""
    ticket_s: float = 30.0
    """How long a ticket is good."""
    drain_s: float = 10.0
    """How long running calls may go on after SIGTERM."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise ConfigurationError(f"WebLimits.{name} is {value!r}.", hint="It must be a positive number.")


class Full(Exception):
    """No further call now. ``code`` is "draining", "server_full" or "address_full"."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Visitors:
    """Who is talking. Counted, not listed: nothing of a visitor is kept but the address while it talks."""

    def __init__(self, limits: WebLimits) -> None:
        self._limits = limits
        self._by_address: Counter[str] = Counter()
        self.draining = False

    def __len__(self) -> int:
        return self._by_address.total()

    def check(self, address: str) -> None:
        """:class:`Full` if this address could not begin a call now."""
        if self.draining:
            raise Full("draining", "The server is being restarted. Try again in a minute.")
        if len(self) >= self._limits.sessions:
            raise Full("server_full", f"All {self._limits.sessions} places are taken. Try again in a few minutes.")
        if self._by_address[address] >= self._limits.sessions_per_address:
            calls = self._limits.sessions_per_address
            raise Full("address_full", f"From your address there are {calls} calls already. Close one first.")

    @contextmanager
    def admit(self, address: str) -> Iterator[None]:
        """A place for the duration of a call. :class:`Full` if there is none."""
        self.check(address)
        self._by_address[address] += 1
        try:
            yield
        finally:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]
