"""Devices that go away in the middle of a conversation, of which PortAudio says nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .measure import LOSSES, conversation, lose, position_of, unplug
from .program import running
from .pulse import Card
from .service import ANSWER_S, serving
from .signals import coded

pytestmark = [pytest.mark.audio, pytest.mark.linux]

LOSS_S = 1.0
"""The longest that a loss may go unnoticed."""
REOPENED_S = 3.0


@pytest.fixture
def own_card(tmp_path: Path) -> Iterator[Card]:
    """A card that may be broken."""
    with Card(tmp_path) as made:
        made.add_microphone("desk_mic")
        made.add_speaker("desk_speaker")
        yield made


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_loss_ends_the_call_with_a_word(tmp_path: Path, loss: str) -> None:
    lost = await lose(tmp_path, loss)
    assert lost.error == "DeviceLost"
    assert lost.noticed_s < LOSS_S
    assert lost.code == 1
    (sentence,) = lost.complaint.splitlines()
    assert "desk_" in sentence
    assert "the device is lost" in sentence


async def test_without_its_microphone_the_agent_takes_the_default_one(own_card: Card) -> None:
    async with conversation(own_card, "reopen") as (agent, service):
        at = time.monotonic()
        own_card.pactl("suspend-source", "desk_mic", "1")
        reopened = await agent.until("DeviceReopened")
        assert (reopened["direction"], reopened["lost"], reopened["device"]) == ("input", "desk_mic", "default")
        assert reopened["at"] - at < REOPENED_S
        assert reopened["gap_ms"] == pytest.approx((reopened["at"] - at) * 1000, abs=150)
        own_card.say(coded(0.6, 16_000, seed=5), 16_000, into="mic_in")
        await agent.until("SpeechStarted")  # it hears again, and goes on
        await agent.until("UserSpoke")
        await agent.tell(stop=True)
        await agent.finish()
    # The service counts audio: while there was no device it got silence, in real time.
    (warned,) = agent.all("Warned")
    times = [time for time, _ in service.audio if warned["at"] < time < reopened["at"] + 0.5]
    samples = len(service.between(times[0], times[-1]))
    assert samples / 24_000 == pytest.approx(times[-1] - times[0], abs=0.15)
    assert [update["type"] for update in service.sent].count("session.update") == 1  # the connection stayed


async def test_without_its_speaker_the_agent_takes_the_default_one(own_card: Card) -> None:
    async with conversation(own_card, "reopen") as (agent, _):
        own_card.pactl("suspend-sink", "desk_speaker", "1")
        reopened = await agent.until("DeviceReopened")
        assert (reopened["direction"], reopened["lost"], reopened["device"]) == (
            "output",
            "desk_speaker",
            "default",
        )
        with own_card.record() as recorder:
            await agent.tell(interrupt=True)
            await agent.until("Interrupted")
            await agent.tell(text="Again, please.")
            turn = await agent.until("TurnEnded", status="completed")
            recorder.wait_for(0.1)
            recording = recorder.take()
        await agent.tell(stop=True)
        await agent.finish()
    # All of it, to its last word; on a busy machine with a pause in it.
    begin, end = recording.stretches(pause_s=0.5)[-1]
    assert (end - begin) / recording.rate > ANSWER_S - 0.05
    answer, rest = coded(ANSWER_S, recording.rate), recording.rate // 100
    assert position_of(answer, recording, end - rest) == pytest.approx(
        len(answer) - rest, abs=recording.rate // 500
    )
    assert turn["heard_ms"] == pytest.approx(ANSWER_S * 1000, abs=5)


async def test_an_agent_waits_for_a_device_to_be_plugged_in(own_card: Card) -> None:
    async with conversation(own_card, "reopen") as (agent, _):
        unplug(own_card)
        await agent.until("Warned", code="device_lost")
        await agent.until("Warned", code="device_lost")
        await asyncio.sleep(1.0)
        assert not agent.all("DeviceReopened")
        own_card.add_speaker("headphones")
        own_card.add_microphone("headset")
        directions = {(await agent.until("DeviceReopened"))["direction"] for _ in range(2)}
        assert directions == {"input", "output"}
        own_card.say(coded(0.6, 16_000, seed=5), 16_000, into="headset_in")
        await agent.until("UserSpoke")
        await agent.tell(stop=True)
        await agent.finish()


async def test_unplugged_in_a_call_that_goes_on(own_card: Card) -> None:
    """The sound server may give a stream another device by itself, and then nobody has to do anything."""
    async with conversation(own_card, "reopen") as (agent, _):
        own_card.remove("desk_mic")
        own_card.remove("desk_speaker")
        await asyncio.sleep(LOSS_S)
        own_card.say(coded(0.6, 16_000, seed=5), 16_000, into="mic_in")
        await agent.until("SpeechStarted")
        await agent.until("Interrupted")
        await agent.tell(stop=True)
        await agent.finish()


async def test_a_microphone_that_was_moved_to_silence_is_a_loss_for_who_says_so(own_card: Card) -> None:
    microphone = {"device": "desk_mic", "on_loss": "raise", "lost_after_silence_s": 0.5}
    own_card.say(coded(60.0, 16_000, seed=5) // 40, 16_000, into="desk_mic_in")  # a room is never quite silent
    async with serving() as service:
        async with running(own_card, "talk.py", url=service.url, microphone=microphone) as agent:
            await agent.until("StateChanged", new="State.READY")
            await asyncio.sleep(0.5)
            own_card.remove("desk_mic")
            at = time.monotonic()
            failed = await agent.until("failed")
            assert await agent.end() == 1
    assert failed["error"] == "DeviceLost"
    assert failed["at"] - at < LOSS_S + 0.2
    assert "silence" in agent.errors
