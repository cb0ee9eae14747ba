"""Tools through the whole agent: what the model is told, how often, and what is said about it."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from voicelive_agent import AgentSpoke, State, ToolCalled, ToolContext, ToolError, ToolFinished, UserSpoke, tool
from voicelive_agent._plan import ToolPolicy
from voicelive_agent._tool_runs import TOOL_TIMEOUT_S
from voicelive_agent._toolcalls import UNKNOWN
from voicelive_agent.config import AgentTarget
from voicelive_agent.emulator import Call
from voicelive_agent.events import SpeechStopped, ToolUnknown, TurnEnded

from .agent_driver import (
    Line,
    Microphone,
    Recorder,
    calling,
    check_story,
    emulated,
    eventually,
    silence,
    sink,
    tone,
    virtual,
)

TIMED_OUT = "took too long"


class Toolbox(Recorder):
    """The tools are coroutines: virtual time does not wait for threads."""

    @tool
    async def add(self, a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @tool
    async def refuse(self) -> str:
        """Say no."""
        raise ToolError("We are closed.")

    @tool
    async def crash(self) -> str:
        """Do not work."""
        raise ZeroDivisionError("by zero")

    @tool
    async def hang(self) -> str:
        """Never come back."""
        await anyio.sleep_forever()
        return ""

    @tool(timeout_s=2)
    async def hang_less(self) -> str:
        """Never come back, but within 2 s."""
        await anyio.sleep_forever()
        return ""

    @tool
    async def huge(self) -> str:
        """Return too much."""
        return "x" * 1_000_000

    @tool
    async def strange(self) -> Any:
        """Return what is no JSON."""
        return threading.Lock()

    @tool
    async def nothing(self) -> None:
        """Return nothing."""

    @tool
    async def cancel_itself(self) -> str:
        """Be cancelled by nobody."""
        raise asyncio.CancelledError


def asked(*actions: Call) -> Line:
    """A service whose model answers "go" with these calls."""
    return Line(lambda: emulated(("go", list(actions))))


def outputs(line: Line) -> list[tuple[str, str]]:
    items = [message["item"] for message in line.sent("conversation.item.create")]
    return [(item["call_id"], item["output"]) for item in items if item["type"] == "function_call_output"]


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (Call("add", {"a": 1, "b": "2"}), "", "3"),
        (Call("add", {"a": 1}), "arguments", "missing required field `b`"),
        (Call("add", {"a": 1, "b": 2, "c": 3}), "arguments", "unknown field `c`"),
        (Call("refuse", {}), "raised", "We are closed."),
        (Call("crash", {}), "raised", "ZeroDivisionError: by zero"),
        (Call("hang", {}), "timeout", TIMED_OUT),
        (Call("hang_less", {}), "timeout", TIMED_OUT),
        (Call("huge", {}), "", "this was 1000000 characters long"),
        (Call("strange", {}), "", "no JSON form"),
        (Call("nothing", {}), "", "ok"),
        (Call("cancel_itself", {}), "cancelled", "was cancelled before"),
    ],
    ids=lambda value: value.name if isinstance(value, Call) else "",
)
@virtual
async def test_the_model_is_told_once_and_speaks_about_it(call: Call, error: str, says: str) -> None:
    line = asked(call)
    agent = Toolbox(line)
    async with calling(agent):
        began = anyio.current_time()
        agent.send_text("go")
        await agent.until(lambda: agent.all(AgentSpoke))
        await agent.reach(State.READY)
        elapsed = anyio.current_time() - began
    [called], [finished] = agent.all(ToolCalled), agent.all(ToolFinished)
    assert (called.name, called.call_id, finished.error) == (call.name, finished.call_id, error)
    assert outputs(line) == [(called.call_id, finished.output)]
    assert says in finished.output
    assert len(finished.output) <= 32_000
    assert len(line.sent("response.create")) == 2  # the question, and the result
    limit = {"hang": TOOL_TIMEOUT_S, "hang_less": 2}.get(call.name, 0)
    assert elapsed == pytest.approx(limit)
    assert finished.elapsed_ms == limit * 1000
    check_story(agent.seen)


AGENT = AgentTarget("librarian", "library")
LISTED = {"tools": [{"type": "function", "name": "nobody", "parameters": {"type": "object", "properties": {}}}]}


@pytest.mark.parametrize("whose", ["agent", "listed"])
@virtual
async def test_a_function_of_somebody_else_is_left_alone(whose: str) -> None:
    line = asked(Call("nobody", {"x": 1}))
    agent = Recorder(line, target=AGENT) if whose == "agent" else Toolbox(line, config=LISTED)
    async with calling(agent):
        agent.send_text("go")
        await agent.until(lambda: agent.all(ToolUnknown))
        await agent.reach(State.READY)
    [unknown] = agent.all(ToolUnknown)
    assert (unknown.name, json.loads(unknown.arguments)) == ("nobody", {"x": 1})
    assert not unknown.answered
    assert outputs(line) == []
    assert len(line.sent("response.create")) == 1


@virtual
async def test_a_function_that_a_model_invents_is_answered() -> None:
    line = asked(Call("nobody", {"x": 1}))
    agent = Toolbox(line)
    async with calling(agent):
        agent.send_text("go")
        await agent.until(lambda: agent.all(AgentSpoke))
        await agent.reach(State.READY)
    [unknown] = agent.all(ToolUnknown)
    assert unknown.answered
    assert outputs(line) == [(unknown.call_id, UNKNOWN)]
    assert len(line.sent("response.create")) == 2


@virtual
async def test_two_calls_at_once_are_two_outputs_and_one_answer() -> None:
    line = asked(Call("add", {"a": 1, "b": 2}), Call("hang_less", {}))
    agent = Toolbox(line)
    async with calling(agent):
        agent.send_text("go")
        await agent.until(lambda: len(agent.all(AgentSpoke)) == 1)
        await agent.reach(State.READY)
        assert anyio.current_time() == pytest.approx(2)
    assert [finished.name for finished in agent.all(ToolFinished)] == ["add", "hang_less"]
    assert len(outputs(line)) == 2
    assert len(line.sent("response.create")) == 2
    [answer] = agent.all(AgentSpoke)
    assert answer.text.startswith("3 ")


# --- interrupted ---------------------------------------------------------------------------------------------


class Bookings(Recorder):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ends: list[str] = []
        self.contexts: list[ToolContext] = []

    async def _work(self, context: ToolContext) -> str:
        self.contexts.append(context)
        try:
            await anyio.sleep(5)
        except asyncio.CancelledError:
            self.ends.append("cancelled")
            raise
        self.ends.append("done")
        return "booked"

    @tool
    async def book(self, context: ToolContext) -> str:
        """Book a room; not to be done by half."""
        return await self._work(context)

    @tool(cancel_on_interruption=True)
    async def search(self, context: ToolContext) -> str:
        """Search something; not needed when the user goes on."""
        return await self._work(context)


def talking(name: str) -> tuple[Line, Microphone]:
    """The first thing said makes the model call this tool, the next thing is said 2 s into it."""
    line = Line(lambda: emulated(("go", Call(name, {})), ("thanks", "Welcome."), says=["go", "thanks"]))
    return line, Microphone(tone(500), silence(2500), tone(500))


@virtual
async def test_an_interruption_leaves_a_tool_running_and_its_late_result_is_not_spoken_about() -> None:
    line, microphone = talking("book")
    agent = Bookings(line)
    async with calling(agent, microphone, sink()):
        await agent.until(lambda: agent.all(ToolFinished))
        await anyio.sleep(5)
        assert agent.state is State.READY
    assert agent.ends == ["done"]
    assert not agent.contexts[0].cancelled.is_set()
    assert (agent.contexts[0].agent, agent.contexts[0].name) == (agent, "book")
    assert [output for _, output in outputs(line)] == ["booked"]
    assert line.sent("response.create") == []  # the service answered both turns by itself
    assert [event.text for event in agent.all(UserSpoke)] == ["go", "thanks"]
    assert [event.text for event in agent.all(AgentSpoke)] == ["Welcome."]


@virtual
async def test_an_interruption_cancels_the_tool_that_asks_for_it() -> None:
    line, microphone = talking("search")
    agent = Bookings(line)
    async with calling(agent, microphone, sink()):
        await agent.until(lambda: agent.all(AgentSpoke))
        await agent.reach(State.READY)
    assert agent.ends == ["cancelled"]
    assert agent.contexts[0].cancelled.is_set()
    [finished] = agent.all(ToolFinished)
    assert finished.error == "cancelled"
    assert [output for _, output in outputs(line)] == [finished.output]
    assert "interrupted" in finished.output
    assert len(agent.all(SpeechStopped)) == 2


@pytest.mark.parametrize("name", ["book", "search"])
@virtual
async def test_a_tool_that_runs_at_the_end_is_cancelled(name: str) -> None:
    line, microphone = talking(name)
    agent = Bookings(line)
    async with calling(agent, microphone, sink()):
        await agent.until(lambda: agent.all(ToolCalled))
        await anyio.sleep(1)
    assert agent.ends == ["cancelled"]
    assert agent.contexts[0].cancelled.is_set()
    told = ["cancelled"] if name == "search" else []  # an end is an interruption too
    assert [finished.error for finished in agent.all(ToolFinished)] == told
    assert len(outputs(line)) == len(told)
    check_story(agent.seen)


@virtual
async def test_a_tool_may_speak_and_stop_the_call() -> None:
    class Polite(Recorder):
        @tool
        async def hang_up(self, context: ToolContext) -> str:
            """End the call."""
            assert await context.agent.say("Good bye.") == "heard"
            context.agent.stop()
            return "ok"

    line = asked(Call("hang_up", {}))
    agent, speaker = Polite(line), sink()
    async with calling(agent, None, speaker) as call:
        agent.send_text("go")
        await call
    assert [event.text for event in agent.all(AgentSpoke)] == ["Good bye."]
    assert agent.all(TurnEnded)[-1].status == "completed"


# --- plain functions, in threads: these tests take real time ---------------------------------------------------


class Threaded(Recorder):
    """Its tool takes as long as the test wants."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.go = threading.Event()
        self.thread: threading.Thread | None = None
        self.context: ToolContext | None = None

    @tool
    def work(self, context: ToolContext) -> str:
        """Work."""
        self.context, self.thread = context, threading.current_thread()
        assert self.go.wait(30)
        return "worked"


async def test_while_a_plain_function_works_the_audio_goes_on() -> None:
    line = asked(Call("work", {}))
    agent = Threaded(line)
    async with calling(agent, Microphone()):
        agent.send_text("go")
        await agent.until(lambda: agent.all(ToolCalled))
        sent = len(line.last.audio)
        await eventually(lambda: len(line.last.audio) >= sent + 5 * 960)
        assert not agent.all(ToolFinished)
        agent.go.set()
        await agent.until(lambda: agent.all(AgentSpoke))
    assert agent.thread is not None
    assert agent.thread.daemon
    assert agent.thread is not threading.main_thread()
    assert [output for _, output in outputs(line)] == ["worked"]


@pytest.mark.usefixtures("unhurried_hooks")
async def test_a_plain_function_that_runs_at_the_end_is_named_and_left_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    line = asked(Call("work", {}))
    agent = Threaded(line)
    with caplog.at_level(logging.WARNING, "voicelive_agent"):
        async with calling(agent):
            agent.send_text("go")
            await eventually(lambda: agent.thread)
    assert [record.getMessage() for record in caplog.records] == [
        "Tools still running at the end, now abandoned: work."
    ]
    assert agent.context is not None
    assert agent.context.cancelled.is_set()
    assert outputs(line) == []
    agent.go.set()
    assert agent.thread is not None
    thread = agent.thread
    await eventually(lambda: not thread.is_alive())


async def test_the_library_of_the_first_page_works_as_it_is_written() -> None:
    """Plain functions, class attributes, no virtual time."""

    class Receptionist(Recorder):
        instructions = "You are the receptionist of the city library. Be brief."
        greeting = "City library, good morning!"

        @tool
        def opening_hours(self, day: str) -> str:
            """When the library is open on a day of the week."""
            return "closed" if day == "Sunday" else "9 to 17"

    agent = Receptionist(Line(lambda: emulated(("open on (.*)", Call("opening_hours", {"day": r"\1"})))))
    async with calling(agent):
        agent.send_text("open on Sunday")
        await agent.until(lambda: len(agent.all(AgentSpoke)) == 2)
    assert [event.text for event in agent.all(AgentSpoke)] == ["City library, good morning!", "closed"]


def test_tools_can_be_given_to_any_agent() -> None:
    def shout(text: str) -> str:
        """Say it louder."""
        return text.upper()

    given: list[Callable[..., object]] = [shout]
    agent = Recorder(Line(), tools=given)
    plan, _, _ = agent._plan(None, None)
    assert plan.tools == {"shout": ToolPolicy()}
    assert [tool["name"] for tool in plan.session["tools"]] == ["shout"]
