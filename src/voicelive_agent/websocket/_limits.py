"""What a far end may cost (sizes, rates, times), and what it did."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Final

__all__ = ["Budget", "Limits", "Stats", "message_bytes"]

MESSAGE_COST: Final = 256
"""Bytes that a message costs besides its own: without it, a flood of empty messages would be free."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a far end may do before it is shut out. ValueError for a limit that is not positive.

    ``max_message_bytes`` bounds one message (close code 1009). ``bytes_per_s`` bounds all of them, with 256 bytes
    added for each message; whoever was stalled may catch up with what he has not sent in the last ``burst_s``
    seconds (1008). ``start_s`` is how long the first message may take (1008). A far end that says nothing for
    ``idle_s``, heartbeats included, has left; one that *takes* nothing for so long is shut out (1008). After
    ``session_s`` the call is hung up.

    A WebSocket library reads a whole message before it can be judged here, so give it the same limit where it has
    one: ``max_msg_size`` (aiohttp), ``max_size`` (websockets), ``ws_max_size`` (uvicorn).
    """

    max_message_bytes: int = 65_536
    bytes_per_s: float = 250_000
    burst_s: float = 4.0
    idle_s: float = 15.0
    start_s: float = 10.0
    session_s: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{field.name} must be a positive number, not {value!r}")


@dataclass(slots=True)
class Stats:
    """What went over a socket so far, in messages.

    Of those received, ``ignored`` were of a kind that is none of our business, ``rejected`` made no sense, and
    ``late`` confirmed what had been flushed. ``skipped_ms`` of what the far end said had nobody to listen.
    """

    received: int = 0
    sent: int = 0
    ignored: int = 0
    rejected: int = 0
    late: int = 0
    skipped_ms: int = 0


class Budget:
    """Bytes that may come: they accrue with time, up to a burst."""

    def __init__(self, bytes_per_s: float, burst_s: float, now: float) -> None:
        self._rate = bytes_per_s
        self._most = bytes_per_s * burst_s
        self._left = self._most
        self._since = now

    def spend(self, message_bytes: int, now: float) -> bool:
        """Pay for a message; False if there is not enough left for it."""
        self._left = min(self._most, self._left + (now - self._since) * self._rate)
        self._since = now
        self._left -= message_bytes + MESSAGE_COST
        return self._left >= 0


def message_bytes(message: str | bytes) -> int:
    """Bytes of a message on the wire."""
    if isinstance(message, bytes) or message.isascii():
        return len(message)
    return len(message.encode("utf-8", "surrogatepass"))
