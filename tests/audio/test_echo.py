"""What an agent does about its own voice in its microphone."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .measure import echo
from .program import running
from .pulse import Card
from .recording import find, level
from .service import serving
from .signals import coded, tone

pytestmark = [pytest.mark.audio, pytest.mark.linux]

RATE = 48_000


async def test_the_reference_is_what_was_played_and_in_time_with_the_echo(card: Card, tmp_path: Path) -> None:
    played = coded(1.2, RATE)
    heard = await echo(card, tmp_path, played, RATE)
    begin, likeness = find(heard.reference, played)
    end = begin + len(played)
    assert likeness > 0.999
    assert np.array_equal(heard.reference[begin:end], played), "it must be bit by bit what was played"
    assert not heard.reference[:begin].any()
    assert not heard.reference[end:].any()
    lags = heard.lags_ms(begin, end)
    assert max(lags) - min(lags) < 1, lags
    assert min(lags) > -1, "the reference must not come after its echo"
    assert max(lags) < 20, lags


@pytest.mark.parametrize(
    "settings", [{"duplex": {"half_duplex": True, "on_loss": "reopen"}}, {"half_duplex": True}]
)
async def test_half_duplex_hears_nothing_while_it_speaks(card: Card, settings: dict[str, Any]) -> None:
    async with serving() as service:
        async with running(card, "talk.py", url=service.url, **settings) as agent:
            await agent.until("StateChanged", new="State.READY")
            await agent.tell(say="Wait a moment.")
            speaking = await agent.until("StateChanged", new="State.SPEAKING")
            humming = card.say(tone(300, 30.0, 16_000), 16_000)
            await asyncio.sleep(1.0)
            await agent.tell(interrupt=True)
            silenced = await agent.until("Interrupted")
            await agent.until("SpeechStarted")
            await asyncio.sleep(0.5)
            await agent.tell(stop=True)
            await agent.finish()
            humming.kill()
    during = service.between(speaking["at"] + 0.1, silenced["at"])
    assert len(during) > 16_000
    assert not during.any()
    assert level(service.between(silenced["at"] + 0.4, math.inf)) > 1_000


async def test_the_service_is_asked_to_cancel_the_echo(card: Card) -> None:
    sessions = await asyncio.gather(
        session_of(card),
        session_of(card, microphone={"echo_cancellation": None}),
        session_of(card, duplex={"on_loss": "reopen"}),
        session_of(card, duplex={"echo_reference": True, "on_loss": "reopen"}),
    )
    server = {"type": "server_echo_cancellation", "reference_source": "server", "channels": 1}
    client = {"type": "server_echo_cancellation", "reference_source": "client", "channels": 2}
    asked = [session.get("input_audio_echo_cancellation") for session in sessions]
    assert asked == [server, None, server, client]


async def session_of(card: Card, **settings: Any) -> dict[str, Any]:
    """The session that an agent on this card asks for."""
    async with serving() as service:
        async with running(card, "talk.py", url=service.url, **settings) as agent:
            await agent.until("StateChanged", new="State.READY")
            await asyncio.sleep(0.2)
            await agent.tell(stop=True)
            await agent.finish()
    assert service.audio
    return service.session
