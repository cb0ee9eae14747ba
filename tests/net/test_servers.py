"""Every adapter with its real server, each holding three calls at once: a page, and two telephones."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from voicelive_agent import AgentSpoke, EndReason, State, ToolFinished, UserSpoke, tool
from voicelive_agent.emulator import Call, EnergyEars, ScriptedBrain, serve
from voicelive_agent.events import DtmfReceived

from ..agent_driver import Recorder, check_story
from .desk import Desk
from .far import FarEnd
from .far_acs import FarAcs
from .far_twilio import FarTwilio
from .kinds import KINDS
from .servers import SERVERS

pytestmark = [pytest.mark.usefixtures("nothing_left"), pytest.mark.e2e, pytest.mark.alone]

RULES = [(r"open on (\w+)", Call("opening_hours", {"day": r"\1"}))]
ANSWER = "closed on Sunday"


class Receptionist(Recorder):
    """One agent class for all: it does not know who calls."""

    instructions = "You are the receptionist of the city library. Be brief."

    @tool
    def opening_hours(self, day: str) -> str:
        """When the library is open on a day of the week."""
        return f"closed on {day}"


async def ask(url: str, name: str) -> FarEnd:
    """Call, ask, hear the answer to its end, and hang up."""
    async with KINDS[name].far(url + name) as far:
        await far.say(KINDS[name].speech(600))
        await far.heard(len(ANSWER) * 60 - 5)
        if isinstance(far, FarTwilio | FarAcs):
            await far.press("5")
        await asyncio.sleep(0.1)  # nothing more is to come
    return far


@pytest.mark.parametrize("server", SERVERS)
async def test_one_agent_class_answers_pages_and_telephones(server: str) -> None:
    async with serve(ears=EnergyEars(default="Are you open on Sunday?"), brain=ScriptedBrain(RULES)) as emulator:
        desk = Desk(lambda: Receptionist(emulator.url))
        async with SERVERS[server](desk.answer) as url, asyncio.timeout(30):
            fars = dict(zip(KINDS, await asyncio.gather(*(ask(url, name) for name in KINDS)), strict=True))
            for name in KINDS:
                await desk.ended(name)
    for name, far in fars.items():
        agent = desk.calls[name].agent
        if not (server == "quart" and isinstance(desk.calls[name].error, asyncio.CancelledError)):
            # Quart cancels its handler when the far end leaves; the others leave the ending to us.
            check_story(agent.seen)
            assert desk.verdict(name).reason is EndReason.HUNG_UP, name
        assert agent.state is State.CLOSED
        assert [event.text for event in agent.all(UserSpoke)] == ["Are you open on Sunday?"], name
        assert [event.output for event in agent.all(ToolFinished)] == [ANSWER], name
        assert [event.text for event in agent.all(AgentSpoke)] == [ANSWER], name
        assert far.ms(len(far.line.played)) == pytest.approx(len(ANSWER) * 60, abs=5), name
        digits: list[Any] = [event.digit for event in agent.all(DtmfReceived)]
        assert digits == ([] if name == "browser" else ["5"]), name
