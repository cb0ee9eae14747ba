"""The agent, a real MCP server on loopback and the emulator between them: real sockets, and the real SDK."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from voicelive_agent import AgentSpoke, EndReason, SessionConfig, State, UserSpoke, WavSource
from voicelive_agent.config import MCPServer
from voicelive_agent.emulator import Call, EnergyEars, HttpMcpClient, ScriptedBrain, serve
from voicelive_agent.events import (
    McpCalled,
    McpFinished,
    McpListed,
    McpListingFailed,
    SessionEnded,
    ToolApprovalAnswered,
    ToolApprovalAsked,
)
from voicelive_agent.tools import ApprovalAnswer, ApprovalRequest

from .agent_driver import Recorder, calling, check_story
from .emulator.mcp_servers import Tools, serving

SPEECH = Path(__file__).parent / "data" / "audio" / "goforward.wav"
RULES: list[Any] = [
    ("both", [Call("find_book", {"title": "Emma"}), Call("borrow", {"title": "Emma"})]),
    (r"find (\w+)", Call("find_book", {"title": r"\1"})),
    (r"borrow (\w+)", Call("borrow", {"title": r"\1"})),
    (r"burn (\w+)", Call("burn", {"title": r"\1"})),
]


class Librarian(Recorder):
    """Approves as it was told, and notes what it was asked."""

    answer: ApprovalAnswer = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.asked: list[ApprovalRequest] = []

    async def approve(self, request: ApprovalRequest) -> ApprovalAnswer:
        self.asked.append(request)
        return self.answer

    @property
    def said(self) -> list[str]:
        return [event.text for event in self.all(AgentSpoke)]

    async def ask(self, text: str) -> str:
        """Type this; the next thing that is said."""
        answers = len(self.said)
        self.send_text(text)
        await self.until(lambda: len(self.said) > answers)
        return self.said[-1]


@pytest.fixture(scope="module")
def library() -> Iterator[Tools]:
    with serving(token="secret") as tools:
        yield tools


@pytest.fixture
def tools(library: Tools) -> Tools:
    library.calls.clear()
    library.headers.clear()
    return library


@asynccontextmanager
async def talking(tools: Tools, *, says: list[str] | None = None, **server: Any) -> AsyncIterator[Librarian]:
    """An agent with this server, whose call is not yet open."""
    options = {"server_label": "library", "server_url": tools.url, "authorization": "secret"} | server
    config = SessionConfig(tools=[MCPServer(**options)])
    client = HttpMcpClient(timeout_s=15)
    async with serve(ears=EnergyEars(says or []), brain=ScriptedBrain(RULES), mcp=client) as emulator:
        yield Librarian(emulator.url, "any key", config)


@asynccontextmanager
async def listed(tools: Tools, **server: Any) -> AsyncIterator[Librarian]:
    """The same in a call, once the server's tools are known."""
    async with talking(tools, **server) as agent:
        async with calling(agent):
            await agent.until(lambda: agent.all(McpListed))
            yield agent
        check_story(agent.seen)


async def test_never_asked(tools: Tools) -> None:
    async with listed(tools, require_approval="never", headers={"x-team": "a"}) as agent:
        assert agent.all(McpListed) == [McpListed("library", ("find_book", "borrow", "burn"))]
        assert await agent.ask("find Emma") == "Emma: shelf 7"
        await agent.reach(State.READY)
        assert agent.said == ["Emma: shelf 7"]
    assert agent.asked == []
    [called], [finished] = agent.all(McpCalled), agent.all(McpFinished)
    assert (called.server_label, called.name, called.arguments) == ("library", "find_book", '{"title": "Emma"}')
    assert (finished.call_id, finished.output, finished.error) == (called.call_id, "Emma: shelf 7", "")
    assert tools.calls == [("find_book", {"title": "Emma"})]
    assert tools.headers[-1]["authorization"] == "Bearer secret"
    assert tools.headers[-1]["x-team"] == "a"


async def test_always_asked_and_approved_once(tools: Tools) -> None:
    async with listed(tools) as agent:
        for title in ("Emma", "Ulysses"):
            assert await agent.ask(f"find {title}") == f"{title}: shelf 7"
    assert [(each.name, each.server_label) for each in agent.asked] == [("find_book", "library")] * 2
    assert len(agent.all(ToolApprovalAsked)) == 2
    assert len(tools.calls) == 2


async def test_approved_for_always(tools: Tools) -> None:
    async with listed(tools) as agent:
        agent.answer = "always"
        for title in ("Emma", "Ulysses"):
            assert await agent.ask(f"find {title}") == f"{title}: shelf 7"
    assert len(agent.asked) == 1
    assert [event.reason for event in agent.all(ToolApprovalAnswered)] == ["always", "always"]
    assert len(tools.calls) == 2


async def test_asked_by_tool_and_two_calls_at_once(tools: Tools) -> None:
    async with listed(tools, require_approval={"never": ["find_book"], "always": ["borrow"]}) as agent:
        answer = await agent.ask("both")
        await agent.reach(State.READY)
        assert agent.said == [answer]
    assert answer.startswith("Emma: shelf 7")
    assert '"days"' in answer
    assert [each.name for each in agent.asked] == ["borrow"]
    assert sorted(name for name, _ in tools.calls) == ["borrow", "find_book"]


async def test_refused(tools: Tools) -> None:
    async with listed(tools) as agent:
        agent.answer = False
        assert await agent.ask("borrow Emma") == "The user did not approve this call."
        await agent.reach(State.READY)
        assert agent.said == ["The user did not approve this call."]
    assert [event.error for event in agent.all(McpFinished)] == ["refused"]
    assert tools.calls == []


async def test_nobody_to_ask(tools: Tools) -> None:
    """An agent that does not override approve() approves nothing."""

    class Careless(Librarian):
        approve = Recorder.approve  # type: ignore[assignment]

    async with talking(tools) as agent:
        careless = Careless(settings=agent._settings)
        async with calling(careless):
            await careless.until(lambda: careless.all(McpListed))
            assert "not approve" in await careless.ask("find Emma")
    assert tools.calls == []


async def test_a_tool_that_fails(tools: Tools) -> None:
    async with listed(tools, require_approval="never") as agent:
        assert "Books do not burn here." in await agent.ask("burn Emma")
    [finished] = agent.all(McpFinished)
    assert finished.error == "tool_execution_error"
    assert "Books do not burn here." in finished.output


async def test_only_some_tools_are_allowed(tools: Tools) -> None:
    async with listed(tools, allowed_tools=["find_book"], require_approval="never") as agent:
        assert agent.all(McpListed) == [McpListed("library", ("find_book",))]
        assert await agent.ask("find Emma") == "Emma: shelf 7"


def nobody() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}/mcp"


@pytest.mark.parametrize(
    "wrong", [lambda: {"authorization": "wrong"}, lambda: {"server_url": nobody()}], ids=["refused", "nobody"]
)
async def test_a_listing_that_fails_is_not_the_end(tools: Tools, wrong: Callable[[], dict[str, Any]]) -> None:
    async with talking(tools, **wrong()) as agent, calling(agent):
        await agent.until(lambda: agent.all(McpListingFailed))
        assert agent.all(McpListingFailed)[0].server_label == "library"
        assert await agent.ask("Hello") == "I heard: Hello"
    assert agent.all(McpListed) == []


async def test_the_user_hangs_up_while_an_approval_is_waited_for(tools: Tools) -> None:
    class Thinking(Librarian):
        async def approve(self, request: ApprovalRequest) -> ApprovalAnswer:
            self.asked.append(request)
            self.stop()
            await self.until(lambda: False)
            raise AssertionError

    async with talking(tools) as agent:
        thinking = Thinking(settings=agent._settings)
        async with calling(thinking) as call:
            await thinking.until(lambda: thinking.all(McpListed))
            thinking.send_text("find Emma")
            assert (await call).reason is EndReason.STOPPED
    assert len(thinking.asked) == 1
    assert isinstance(thinking.seen[-1], SessionEnded)
    assert tools.calls == []


class Patient:
    """Somebody who waits with the question until the tools are known."""

    def __init__(self, agent: Librarian) -> None:
        self._agent = agent
        self._recording = WavSource(SPEECH, speed=None)
        self.format = self._recording.format

    async def __aiter__(self) -> AsyncIterator[bytes]:
        await self._agent.until(lambda: self._agent.all(McpListed))
        async for chunk in self._recording:
            yield chunk


async def test_a_recorded_human_asks(tools: Tools) -> None:
    async with talking(tools, says=["find Emma", "find Emma"], require_approval="never") as agent:
        await agent.run(Patient(agent), None)
    assert agent.all(UserSpoke)[0].text == "find Emma"
    assert "Emma: shelf 7" in agent.said
    assert tools.calls[0] == ("find_book", {"title": "Emma"})
    assert len(agent.all(McpCalled)) == len(agent.all(McpFinished))
