"""An agent's tools change while it talks: other ones, and the choice between them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import anyio.lowlevel
import pytest

from voicelive_agent import AgentSpoke, State, ToolCalled, ToolFinished, tool
from voicelive_agent.config import FunctionTool, ToolChoice
from voicelive_agent.emulator import Action, Call, EmulatorSession, Say, Turn
from voicelive_agent.errors import ConfigurationError, SessionRefusedError
from voicelive_agent.events import ToolUnknown

from .agent_driver import PROFILES, Line, Recorder, calling, emulated, eventually, virtual
from .test_agent_tool_use import spoken
from .test_agent_tools import outputs


class Desk(Recorder):
    """Begins with one tool, and gets others."""

    @tool
    async def look(self) -> str:
        """Look."""
        return "seen"


async def sing(song: str) -> str:
    """Sing."""
    return song.upper()


def names(line: Line) -> list[str]:
    return [each["name"] for each in line.sent("session.update")[-1]["session"]["tools"]]


@PROFILES
@virtual
async def test_the_agent_can_be_given_other_tools(model: str) -> None:
    rules = [("look", Call("look", {})), ("sing", Call("sing", {"song": "la"}))]
    line = Line(lambda: emulated(*rules, model=model))
    agent = Desk(line, target=model)
    async with calling(agent):
        granted = await agent.set_tools([sing], tool_choice="auto")
        assert [each["name"] for each in granted["tools"]] == names(line) == ["sing"]
        agent.send_text("sing")
        await agent.until(lambda: spoken(agent) == ["LA"])
        agent.send_text("look")
        await agent.until(lambda: agent.all(ToolUnknown))
        await agent.reach(State.READY)
        assert "no longer there" in outputs(line)[-1][1]
        await agent.set_tools([agent.look, sing])
        agent.send_text("look")
        await agent.until(lambda: spoken(agent)[-1] == "seen")
    assert names(line) == ["look", "sing"]
    async with calling(agent):  # the next call begins as the first one did
        assert names(line) == ["look"]


@virtual
async def test_one_response_may_have_those_that_are_in_force_by_name() -> None:
    line = Line(lambda: emulated())
    agent = Desk(line)
    async with calling(agent):
        await agent.set_tools([sing])
        agent.respond("Sing.", tools=["sing"])
        with pytest.raises(ConfigurationError, match=r"The agent has no tool 'look'\. It has: sing"):
            agent.respond("Look.", tools=["look"])
        await agent.until(lambda: agent.all(AgentSpoke))
    [request] = line.sent("response.create")
    assert [each["name"] for each in request["response"]["tools"]] == ["sing"]


@virtual
async def test_a_choice_is_made_with_them_or_alone() -> None:
    line = Line(lambda: emulated(("go", [Call("look", {}), Say("No.")])))
    agent = Desk(line)
    async with calling(agent):
        await agent.set_tools([sing, agent.look], tool_choice=ToolChoice(name="look"))
        assert line.sent("session.update")[-1]["session"]["tool_choice"] == {"type": "function", "name": "look"}
        await agent.update_session(tool_choice="none")
        agent.send_text("go")
        await agent.until(lambda: agent.all(AgentSpoke))
    assert agent.all(ToolCalled) == []
    assert names(line) == ["sing", "look"]


class Obedient:
    """A brain that always calls where it has to."""

    def answer(self, turn: Turn) -> Iterator[Action]:
        yield Call("look", {}) if turn.tool_choice == "required" else Say("Seen.")


@PROFILES
@virtual
async def test_a_call_that_is_required_is_made_once(model: str) -> None:
    agent = Desk(Line(lambda: EmulatorSession(model=model, brain=Obedient())), target=model)
    async with calling(agent):
        await agent.set_tools([agent.look], tool_choice="required")
        agent.send_text("go")
        await agent.until(lambda: agent.all(AgentSpoke))
        await agent.reach(State.READY)
    assert len(agent.all(ToolFinished)) == 1
    assert spoken(agent) == ["Seen."]


@virtual
async def test_tools_are_in_force_though_nobody_waits_for_them_any_more() -> None:
    line = Line(lambda: emulated(("sing", Call("sing", {"song": "la"}))))
    agent = Desk(line)
    async with calling(agent):
        change = asyncio.ensure_future(agent.set_tools([sing]))
        await anyio.lowlevel.checkpoint()
        change.cancel()
        await eventually(lambda: len(line.sent("session.update")) == 2)
        agent.send_text("sing")
        await agent.until(lambda: agent.all(AgentSpoke))
    assert spoken(agent) == ["LA"]


@virtual
async def test_a_change_that_is_refused_takes_no_tools_from_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look() -> str:
        """Look elsewhere."""
        return "other"

    async def lose_the_first(text: str) -> None:
        if "elsewhere" not in text:
            await send(text)

    line = Line(lambda: emulated(("sing", Call("sing", {"song": "la"})), ("look", Call("look", {}))))
    agent = Desk(line)
    async with calling(agent):
        send = line.last.send
        monkeypatch.setattr(line.last, "send", lose_the_first)
        agent.send_text("Hello.", respond=False)  # the writer holds the method that it had for its next message
        refused, granted = await asyncio.gather(
            agent.set_tools([look]), agent.set_tools([sing, agent.look]), return_exceptions=True
        )
        assert isinstance(refused, SessionRefusedError)
        assert not isinstance(granted, BaseException)
        agent.send_text("sing")
        await agent.until(lambda: spoken(agent) == ["LA"])
        agent.send_text("look")
        await agent.until(lambda: spoken(agent) == ["LA", "seen"])


@virtual
async def test_tools_of_others_stay() -> None:
    others = {
        "tools": [{"type": "function", "name": "theirs", "parameters": {"type": "object", "properties": {}}}]
    }
    line = Line(lambda: emulated())
    agent = Desk(line, config=others)
    async with calling(agent):
        await agent.set_tools([sing])
        assert names(line) == ["theirs", "sing"]
        await agent.update_session(tools=[])
        assert names(line) == ["sing"]
        await agent.set_tools([])
        assert names(line) == []


@virtual
async def test_what_cannot_be_a_tool_is_refused_before_anything_is_asked_for() -> None:
    line = Line(lambda: emulated())
    agent = Desk(line)
    async with calling(agent):
        with pytest.raises(ConfigurationError, match="cannot be a tool"):
            await agent.set_tools([sing, sing])
        assert len(line.sent("session.update")) == 1
    with pytest.raises(RuntimeError, match="No call is running"):
        await agent.set_tools([sing])


@virtual
async def test_two_tools_of_one_name_are_refused_wherever_they_come_from() -> None:
    class Deputy(Desk):
        @tool
        async def look(self) -> str:
            """Look twice."""
            return "seen twice"

    theirs = {"tools": [FunctionTool(name="sing", description="Sing along.")]}
    line = Line(lambda: emulated())
    with pytest.raises(ConfigurationError, match=r"are called 'sing', described as 'Sing along\.' and 'Sing\.'"):
        Desk(line, tools=[sing], config=theirs)
    agent = Deputy(line, config=theirs)
    async with calling(agent):
        before = names(line)
        assert before == ["sing", "look"]  # overriding is no second tool
        with pytest.raises(ConfigurationError, match="two functions are called 'sing'"):
            await agent.set_tools([agent.look, sing])
        with pytest.raises(ConfigurationError, match="two functions are called 'look'"):
            await agent.update_session(tools=[FunctionTool(name="look")])
        assert names(line) == before
        assert len(line.sent("session.update")) == 1


@virtual
async def test_tools_that_the_service_does_not_take_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The function of that name is still the one that was there before."""

    async def look() -> str:
        """Look elsewhere."""
        return "other"

    async def lose_updates(text: str) -> None:
        if '"session.update"' not in text:
            await send(text)

    line = Line(lambda: emulated(("go", Call("look", {}))))
    agent = Desk(line)
    async with calling(agent):
        send = line.last.send
        monkeypatch.setattr(line.last, "send", lose_updates)
        agent.send_text("Hello.", respond=False)  # the writer holds the method that it had for its next message
        with pytest.raises(SessionRefusedError, match="no answer"):
            await agent.set_tools([look])
        agent.send_text("go")
        await agent.until(lambda: spoken(agent))
    assert spoken(agent) == ["seen"]
