"""The agent, a real MCP server on loopback and the emulator between them: real sockets, and the real SDK."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from voicelive_agent import AgentSpoke, EndReason, SessionConfig, State, UserSpoke, WavSource, tool
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
    ToolFinished,
)
from voicelive_agent.tools import ApprovalAnswer, ApprovalRequest

from .agent_driver import Recorder, calling, check_story
from .emulator.mcp_servers import Tools, serving

SPEECH = Path(__file__).parent / "data" / "audio" / "goforward.wav"
RULES: list[Any] = [
    ("mixed", [Call("find_book", {"title": "Emma"}), Call("look", {})]),
    ("count", Call("count_books", {})),
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


async def test_nobody_answers_the_question_in_time(tools: Tools) -> None:
    class Absent(Librarian):
        approval_timeout_s = 0.5

        async def approve(self, request: ApprovalRequest) -> ApprovalAnswer:
            self.asked.append(request)
            await self.until(lambda: False)
            raise AssertionError

    async with talking(tools) as agent:
        absent = Absent(settings=agent._settings)
        async with calling(absent):
            await absent.until(lambda: absent.all(McpListed))
            assert "not approve" in await absent.ask("find Emma")
            await absent.reach(State.READY)
            assert len(absent.said) == 1
    assert [event.reason for event in absent.all(ToolApprovalAnswered)] == ["timeout"]
    assert [event.error for event in absent.all(McpFinished)] == ["timeout"]
    assert tools.calls == []


async def test_a_function_of_the_agents_own_beside_it(tools: Tools) -> None:
    class Looking(Librarian):
        @tool
        async def look(self) -> str:
            """Look around."""
            return "dust"

    async with talking(tools, require_approval="never") as agent:
        looking = Looking(settings=agent._settings)
        async with calling(looking):
            await looking.until(lambda: looking.all(McpListed))
            answer = await looking.ask("mixed")
            await looking.reach(State.READY)
            assert looking.said == [answer], "one answer about both"
    check_story(looking.seen)
    assert [event.output for event in looking.all(ToolFinished)] == ["dust"]
    texts = [item.text for item in looking.history if item.role == "tool"]
    assert texts == ['library.find_book({"title": "Emma"}) -> Emma: shelf 7', "look({})", "dust"]


async def test_of_two_servers_one_cannot_be_reached(tools: Tools) -> None:
    async with talking(tools, require_approval="never") as agent:
        [server] = agent._settings.session.tools or ()
        other = MCPServer(server_label="archive", server_url=nobody())
        both = Librarian(settings=agent._settings, config=SessionConfig(tools=[other, server]))
        async with calling(both):
            await both.until(lambda: both.all(McpListed) and both.all(McpListingFailed))
            assert await both.ask("find Emma") == "Emma: shelf 7"
    assert [event.server_label for event in both.all(McpListed)] == ["library"]
    assert [event.server_label for event in both.all(McpListingFailed)] == ["archive"]


class Counting(Tools):
    """A library that counts its books until it is told to stop."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.enough = threading.Event(), threading.Event()

    async def begins(self) -> None:
        """Wait until it counts."""
        assert await anyio.to_thread.run_sync(self.begun.wait, 10)

    def server(self) -> Any:
        server = super().server()

        @server.tool()
        async def count_books() -> str:
            """Count all books."""
            self.calls.append(("count_books", {}))
            self.begun.set()
            await anyio.to_thread.run_sync(self.enough.wait, 20)
            return "forty thousand"

        return server


@pytest.fixture
def counting() -> Iterator[Counting]:
    with serving(token="secret", tools=Counting()) as tools:
        assert isinstance(tools, Counting)
        yield tools
        tools.enough.set()


async def test_the_user_goes_on_while_it_runs_and_hears_of_it_afterwards(counting: Counting) -> None:
    async with listed(counting, require_approval="never") as agent:
        agent.send_text("count")
        await counting.begins()
        assert agent.state is State.PROCESSING
        agent.interrupt()
        assert await agent.ask("Hello") == "I heard: Hello"
        counting.enough.set()
        await agent.until(lambda: agent.said[1:])
        await agent.reach(State.READY)
        # What this model says then is an answer to the last words of the user; a cleverer one tells the number.
        assert len(agent.said) == 2
    assert [(event.output, event.error) for event in agent.all(McpFinished)] == [("forty thousand", "")]


async def test_the_user_hangs_up_while_it_runs(counting: Counting) -> None:
    async with talking(counting, require_approval="never") as agent:
        async with calling(agent) as call:
            await agent.until(lambda: agent.all(McpListed))
            agent.send_text("count")
            await counting.begins()
            await agent.until(lambda: agent.all(McpCalled))  # the service tells it on a socket of its own
            agent.stop()
            assert (await call).reason is EndReason.STOPPED
        counting.enough.set()
    assert len(agent.all(McpCalled)) == 1
    assert agent.all(McpFinished) == []
    assert isinstance(agent.seen[-1], SessionEnded)


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
