"""An agent that is interrupted: how soon it is silent, how that sounds, and whether it knows what was heard."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from .measure import flushes, interruptions, p95
from .program import running
from .pulse import Card
from .service import serving
from .signals import coded

pytestmark = [pytest.mark.audio, pytest.mark.linux]

TRIALS = 10


async def test_a_flush_is_silence_at_once_and_no_click(card: Card, tmp_path: Path) -> None:
    measured = await flushes(card, tmp_path, TRIALS)
    silent = [trial.silent_ms for trial in measured.trials]
    assert p95(silent) <= measured.allowed_ms, silent
    assert max(trial.clicks for trial in measured.trials) < 1.15
    assert max(trial.fades for trial in measured.trials) < 0.5
    # A flush stops all but what it says that it cannot, and the fade.
    assert p95([abs(trial.silent_ms - trial.in_flight_ms) for trial in measured.trials]) <= 15


async def test_an_interrupted_agent_is_silent_and_knows_what_was_heard(card: Card) -> None:
    cuts = await interruptions(card, TRIALS)
    assert len(cuts) == TRIALS
    assert p95([abs(cut.error_ms) for cut in cuts]) <= 30, [round(cut.error_ms, 1) for cut in cuts]
    assert p95([cut.silent_ms - cut.latency_ms for cut in cuts]) <= 20 + 10, cuts


async def test_a_person_who_talks_over_the_agent_silences_it(card: Card) -> None:
    """All the way: a voice in the room, the microphone, the service, the agent, the speaker, silence."""
    async with serving() as service:
        with card.record() as speaker, card.record("mic_in") as room:
            async with running(card, "talk.py", url=service.url) as agent:
                await agent.until("StateChanged", new="State.READY")
                await agent.tell(text="Tell me something.")
                await agent.until("StateChanged", new="State.SPEAKING")
                await asyncio.sleep(0.5)
                card.say(coded(0.6, 16_000, seed=5), 16_000)
                await agent.until("Interrupted")
                await agent.until("TurnEnded", status="interrupted")
                await asyncio.sleep(0.3)
                await agent.tell(stop=True)
                await agent.finish()
            said, heard = room.take(), speaker.take()
    began = said.time_of(said.stretches()[0][0])
    silent = heard.time_of(heard.stretches()[0][1])
    turn = next(line for line in agent.all("TurnEnded") if line["status"] == "interrupted")
    # The agent reckons from when the microphone's audio was sent; the room is as far away as a microphone is late.
    assert turn["barge_in_ms"] == pytest.approx((silent - began) * 1000, abs=80)
    assert silent - began < 0.5
    assert heard.stretches()[1:] == [] or heard.time_of(heard.stretches()[1][0]) > silent + 0.3
