"""A page that shows the emulator at work: its sessions, their events, who said what, and how it sounded.

``LiveView`` is an observer and an extension of :func:`~voicelive_agent.emulator.serve`, and needs nothing else:

    view = LiveView()
    async with serve(observers=[view], extensions=[view.extend]) as server: ...

The page is at ``server.url``. It is for whoever sits at this computer: other machines, and pages of other sites,
are refused, whatever the emulator itself allows. Memory is bounded: 20 closed sessions, and per session 2,000
events (and as many that carry audio), 500 lines and 10 minutes of audio of each side, but 128 MiB of audio in all.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..event_log import parsed
from ..observers import ConnectionInfo
from ._record import Record
from ._sound import Budget

if TYPE_CHECKING:
    from aiohttp import web

    from ..server import Server

__all__ = ["CLOSED_SESSIONS", "LiveView"]

CLOSED_SESSIONS: Final = 20
"""How many sessions are kept after their end."""
_SLICE_S: Final = 0.002
_EVERY_S: Final = 0.02
_MOST_WAITING: Final = 500
_MOST_BYTES: Final = 4 * 1024 * 1024
_log = logging.getLogger("voicelive_agent.emulator")


class LiveView:
    """Watches the connections of a server, and serves the page that shows them.

    Being told of an event takes no longer than putting it aside: it is looked at a little later, 2 ms at a time,
    so that a session does not wait for the view.
    """

    def __init__(self) -> None:
        self._records: dict[int, Record] = {}
        self._budget = Budget()
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()
        self._waiting_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self.version: int = 0
        """Grows whenever anything has changed."""

    # --- the observer -----------------------------------------------------------------------------------------

    def opened(self, connection: ConnectionInfo, now: float) -> None:
        """A client was let in."""
        self._later(partial(self._open, connection, now))

    def received(self, connection: ConnectionInfo, message: str | bytes, now: float) -> None:
        """The client sent this frame."""
        self._later(partial(self._received, connection, message, now), len(message))

    def sent(self, connection: ConnectionInfo, event: Mapping[str, Any], now: float) -> None:
        """This event was written to the client."""
        self._later(partial(self._sent, connection, event, now))

    def closed(self, connection: ConnectionInfo, code: int | None, reason: str, now: float) -> None:
        """The socket is closed."""
        self._later(partial(self._close, connection, code, reason, now))

    def _later(self, note: Callable[[], None], size: int = 0) -> None:
        self._waiting.append((size, note))
        self._waiting_bytes += size
        if len(self._waiting) > _MOST_WAITING or self._waiting_bytes > _MOST_BYTES:
            self._look_at_one()  # more comes in than slices can take: memory is worth more than time
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_EVERY_S, self._slice)

    def _slice(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + _SLICE_S
        while self._waiting and loop.time() < until:
            self._look_at_one()
        self._timer = loop.call_later(_EVERY_S, self._slice) if self._waiting else None

    def catch_up(self) -> None:
        """Look at everything that was put aside."""
        while self._waiting:
            self._look_at_one()

    def _look_at_one(self) -> None:
        size, note = self._waiting.popleft()
        self._waiting_bytes -= size
        self.version += 1
        try:
            note()
        except Exception:  # noqa: BLE001  events that a proxy passes on or a fault has bent may have any shape
            _log.debug("The live view cannot show an event.", exc_info=True)

    def _open(self, connection: ConnectionInfo, now: float) -> None:
        self._records[connection.number] = Record(connection, now, self._budget)

    def _received(self, connection: ConnectionInfo, message: str | bytes, now: float) -> None:
        self._records[connection.number].take("client", parsed(message), now)

    def _sent(self, connection: ConnectionInfo, event: Mapping[str, Any], now: float) -> None:
        self._records[connection.number].take("server", event, now)

    def _close(self, connection: ConnectionInfo, code: int | None, reason: str, now: float) -> None:
        self._records[connection.number].close(code, reason, now)
        closed = [number for number, record in self._records.items() if record.ended is not None]
        for number in closed[:-CLOSED_SESSIONS]:
            self._records.pop(number).forget()

    # --- the page ---------------------------------------------------------------------------------------------

    def record(self, number: int) -> Record | None:
        """One session, if it is kept."""
        return self._records.get(number)

    def summaries(self) -> list[dict[str, Any]]:
        """All sessions that are kept, the newest first."""
        return [record.summary() for record in reversed(self._records.values())]

    def extend(self, app: web.Application, server: Server) -> None:
        """Add the page to a server."""
        from ._routes import add_routes

        add_routes(app, self)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve the page on a free port of 127.0.0.1, for connections that another server watches; its URL."""
        from ._routes import serving

        async with serving(self) as url:
            yield url
