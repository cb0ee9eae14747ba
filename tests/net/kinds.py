"""The three kinds of far end, and for each the dialect that is to be spoken with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from voicelive_agent._pcm import pcm_to_ulaw
from voicelive_agent.websocket import AzureCommunicationServices, Browser, Dialect, Twilio

from ..agent_driver import silence, tone
from .far import FarEnd
from .far_acs import FarAcs
from .far_browser import FarBrowser
from .far_twilio import FarTwilio

__all__ = ["KINDS", "Kind"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of far end: ``far(url)`` calls, and ``dialect()`` is what to answer it in."""

    name: str
    rate: int
    far: Callable[[str], FarEnd]
    dialect: Callable[[], Dialect[Any]]
    encode: Callable[[bytes], bytes] = bytes

    def speech(self, ms: int) -> bytes:
        """Somebody speaks, to ears that hear loudness; a short silence before and after."""
        return self.encode(silence(100, self.rate) + tone(ms, self.rate) + silence(100, self.rate))


KINDS = {
    kind.name: kind
    for kind in (
        Kind("browser", 24_000, FarBrowser, Browser),
        Kind("twilio", 8_000, FarTwilio, Twilio, pcm_to_ulaw),
        Kind("acs", 16_000, FarAcs, AzureCommunicationServices),
    )
}
