"""Fillers, approvals and limits of tools, through the whole agent against the emulated service."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from voicelive_agent import AgentSpoke, Interrupted, State, ToolCalled, ToolFinished, TurnEnded, tool
from voicelive_agent._agent_tools import service_fills
from voicelive_agent._connection import Connection
from voicelive_agent._toolcalls import REFUSED
from voicelive_agent.config import SessionConfig, Settings, StaticInterimResponse
from voicelive_agent.emulator import Action, Call, EmulatorSession, Say, Turn
from voicelive_agent.errors import ConfigurationError
from voicelive_agent.events import (
    HookFailed,
    ToolApprovalAnswered,
    ToolApprovalAsked,
    ToolRoundsExceeded,
)
from voicelive_agent.tools import ApprovalAnswer, ApprovalRequest

from .agent_driver import (
    PROFILES,
    Line,
    Microphone,
    Recorder,
    calling,
    check_story,
    emulated,
    silence,
    sink,
    tone,
    virtual,
)
from .test_agent_tools import asked, outputs

FILLER = "One moment, please."


class Slow(Recorder):
    @tool(filler=FILLER, filler_after_ms=1_000)
    async def search(self) -> str:
        """Take ten seconds."""
        await anyio.sleep(10)
        return "found"

    @tool(filler="Well.", filler_after_ms=1_200)
    async def fetch(self) -> str:
        """Take longer."""
        await anyio.sleep(15)
        return "fetched"

    @tool(filler=FILLER, filler_after_ms=1_000)
    async def look(self) -> str:
        """Take no time."""
        return "seen"


def spoken(agent: Recorder) -> list[str]:
    return [event.text for event in agent.all(AgentSpoke)]


@PROFILES
@virtual
async def test_a_filler_is_said_while_a_slow_tool_runs(model: str) -> None:
    line = Line(lambda: emulated(("go", [Call("search", {}), Call("fetch", {})]), model=model))
    agent = Slow(line, target=model)
    async with calling(agent, None, sink()):
        agent.send_text("go")
        await agent.until(lambda: agent.all(ToolCalled))
        began = anyio.current_time()
        await agent.until(lambda: spoken(agent))
        assert anyio.current_time() - began == pytest.approx(1, abs=0.1)
        await agent.until(lambda: len(agent.all(TurnEnded)) == 2)
        await agent.reach(State.READY)
    assert spoken(agent)[0] == FILLER
    assert len(spoken(agent)) == 2
    assert [turn.status for turn in agent.all(TurnEnded)] == ["completed", "completed"]
    check_story(agent.seen)


@virtual
async def test_a_quick_tool_needs_none() -> None:
    agent = Slow(asked(Call("look", {})))
    async with calling(agent, None, sink()):
        agent.send_text("go")
        await agent.until(lambda: agent.all(TurnEnded))
    assert spoken(agent) == ["seen"]


@virtual
async def test_the_user_can_talk_over_a_filler() -> None:
    line = Line(lambda: emulated(("go", Call("search", {})), ("thanks", "Welcome."), says=["go", "thanks"]))
    agent = Slow(line)
    async with calling(agent, Microphone(tone(500), silence(2_000), tone(500)), sink()):
        await agent.until(lambda: agent.all(ToolFinished))
        await agent.reach(State.READY)
    [cut] = agent.all(Interrupted)
    assert FILLER.startswith(cut.heard_text)
    assert spoken(agent) == [FILLER, "Welcome."]


@virtual
async def test_the_services_own_interim_response_stands_for_it() -> None:
    config = SessionConfig(interim_response=StaticInterimResponse(texts=["Hold on."], triggers=["tool"]))
    agent = Slow(asked(Call("search", {})), config=config)
    async with calling(agent, None, sink()):
        agent.send_text("go")
        await agent.until(lambda: len(agent.all(TurnEnded)) == 2)
    assert spoken(agent) == ["Hold on.", "found"]


# --- approvals ------------------------------------------------------------------------------------------------


class Bank(Recorder):
    """Pays when it may."""

    approval_timeout_s = 5

    def __init__(self, *args: Any, answer: Any = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.answer = answer
        self.requests: list[ApprovalRequest] = []
        self.paid: list[int] = []

    async def approve(self, request: ApprovalRequest) -> ApprovalAnswer:
        self.requests.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer == "never comes":
            await anyio.sleep_forever()
        answer: ApprovalAnswer = self.answer
        return answer

    @tool(approval=True)
    async def pay(self, amount: int) -> str:
        """Pay."""
        self.paid.append(amount)
        return "paid"


PAY = Call("pay", {"amount": 3})


@pytest.mark.parametrize(
    ("answer", "approved", "reason", "output"),
    [
        (True, True, "", "paid"),
        ("always", True, "always", "paid"),
        (False, False, "refused", REFUSED["refused"]),
        ("never comes", False, "timeout", REFUSED["timeout"]),
    ],
)
@virtual
async def test_a_marked_tool_runs_only_when_it_was_approved(
    answer: object, approved: bool, reason: str, output: str
) -> None:
    line = asked(PAY)
    agent = Bank(line, answer=answer)
    async with calling(agent):
        for count in (1, 2):
            agent.send_text("go")
            await agent.until(lambda count=count: len(agent.all(AgentSpoke)) == count)
            await agent.reach(State.READY)
    asked_for, told = agent.all(ToolApprovalAsked), agent.all(ToolApprovalAnswered)
    assert len(asked_for) == len(agent.requests) == (1 if answer == "always" else 2)
    assert agent.requests[0] == ApprovalRequest(asked_for[0].call_id, "pay", asked_for[0].arguments)
    assert [(event.approved, event.reason) for event in told] == [(approved, reason)] * 2
    assert [text for _, text in outputs(line)] == [output] * 2
    assert agent.paid == [3, 3] * approved
    check_story(agent.seen)


@virtual
async def test_by_default_nothing_is_approved() -> None:
    class Careless(Recorder):
        @tool(approval=True)
        async def pay(self, amount: int) -> str:
            """Pay."""
            raise AssertionError

    line = asked(PAY)
    agent = Careless(line)
    async with calling(agent):
        agent.send_text("go")
        await agent.until(lambda: agent.all(AgentSpoke))
    assert [text for _, text in outputs(line)] == [REFUSED["refused"]]


@virtual
async def test_a_plain_function_may_approve() -> None:
    class Strict(Bank):
        def approve(self, request: ApprovalRequest) -> ApprovalAnswer:  # type: ignore[override]
            return json.loads(request.arguments) == {"amount": 3}

    agent = Strict(asked(PAY, Call("pay", {"amount": 4})))
    async with calling(agent):
        agent.send_text("go")
        await agent.until(lambda: agent.all(AgentSpoke))
    assert agent.paid == [3]


@virtual
async def test_nobody_is_asked_about_arguments_that_are_wrong() -> None:
    line = asked(Call("pay", {"amount": "much"}))
    agent = Bank(line)
    async with calling(agent):
        agent.send_text("go")
        await agent.until(lambda: agent.all(AgentSpoke))
    assert agent.requests == agent.paid == []
    [answered], [finished] = agent.all(ToolApprovalAnswered), agent.all(ToolFinished)
    assert (answered.approved, answered.reason, finished.error) == (False, "arguments", "arguments")
    assert "amount" in outputs(line)[0][1]


@pytest.mark.parametrize(("answer", "error"), [(OSError("no desk"), OSError), (None, TypeError), (1, TypeError)])
@virtual
async def test_an_approval_that_fails_ends_the_call(answer: object, error: type[Exception]) -> None:
    agent = Bank(asked(PAY), answer=answer)

    async def pay() -> None:
        async with calling(agent) as call:
            agent.send_text("go")
            await call

    with pytest.raises(error, match=r"no desk|approve\(\) returned"):
        await pay()
    assert agent.paid == []


@virtual
async def test_or_is_reported_and_a_refusal() -> None:
    line = asked(PAY)
    agent = Bank(line, answer=OSError("no desk"), on_hook_error="report")
    async with calling(agent):
        agent.send_text("go")
        await agent.until(lambda: agent.all(AgentSpoke))
    [failed] = agent.all(HookFailed)
    assert (failed.hook, str(failed.error)) == ("approve", "no desk")
    assert [text for _, text in outputs(line)] == [REFUSED["failed"]]


@virtual
async def test_who_hangs_up_needs_no_approval_any_more() -> None:
    ended = asyncio.Event()

    class Waiting(Bank):
        async def approve(self, request: ApprovalRequest) -> ApprovalAnswer:
            try:
                await anyio.sleep_forever()
            finally:
                ended.set()

    line = asked(PAY)
    agent = Waiting(line)
    async with calling(agent):
        agent.send_text("go")
        await agent.until(lambda: agent.all(ToolApprovalAsked))
        await anyio.sleep(1)
    assert ended.is_set()
    assert [event.reason for event in agent.all(ToolApprovalAnswered)] == ["ended"]
    assert outputs(line) == []
    check_story(agent.seen)


@virtual
async def test_hooks_are_called_while_an_approval_is_waited_for() -> None:
    """So that what approves may wait for a word of the user, or for a button."""

    class Asking(Bank):
        async def approve(self, request: ApprovalRequest) -> ApprovalAnswer:
            await self.say("Shall I pay?")
            await self.until(lambda: "yes" in self.heard)
            return True

        heard = ""

        def on_user_spoke(self, event: Any) -> None:
            self.heard = event.text

    line = Line(lambda: emulated(("go", PAY), ("yes", "Fine."), says=["yes"]))
    agent = Asking(line)
    async with calling(agent, Microphone(silence(2_000), tone(500)), sink()):
        agent.send_text("go")
        await agent.until(lambda: len(agent.all(AgentSpoke)) == 3)
    assert agent.paid == [3]
    assert sorted(spoken(agent)) == ["Fine.", "Shall I pay?", "paid"]  # what was approved is spoken about


@virtual
async def test_a_plain_approve_that_blocks_is_named(caplog: pytest.LogCaptureFixture) -> None:
    class Blocking(Bank):
        def approve(self, request: ApprovalRequest) -> ApprovalAnswer:  # type: ignore[override]
            time.sleep(0.06)
            return True

    agent = Blocking(asked(PAY, PAY))
    async with calling(agent):
        agent.send_text("go")
        await agent.until(lambda: agent.all(AgentSpoke))
    assert agent.paid == [3, 3]
    [warning] = [record.message for record in caplog.records if "approve" in record.message]
    assert "make it async" in warning


class Garbled(Line):
    """Loses the end of what the model writes."""

    async def connect(self, settings: Settings) -> Connection:
        connection = await super().connect(settings)
        receive = connection.receive

        async def garble() -> bytes:
            return (await receive()).replace(rb"{\"amount\": 3}", rb"{\"amount\": ")

        connection.receive = garble  # type: ignore[method-assign]
        return connection


@virtual
async def test_arguments_that_are_no_json_are_told_to_the_model() -> None:
    line = Garbled(lambda: emulated(("go", PAY)))
    agent = Bank(line)
    async with calling(agent):
        agent.send_text("go")
        await agent.until(lambda: agent.all(AgentSpoke))
    [finished] = agent.all(ToolFinished)
    assert finished.error == "arguments"
    assert "truncated" in finished.output
    assert "Call it again" in finished.output
    assert agent.paid == []


# --- limits ---------------------------------------------------------------------------------------------------


class Restless:
    """A brain that calls as long as it may."""

    def answer(self, turn: Turn) -> Iterator[Action]:
        yield Say("I give up.") if turn.tool_choice == "none" else Call("look", {})


@PROFILES
@virtual
async def test_a_model_that_calls_for_ever_has_to_answer(model: str) -> None:
    class Curious(Slow):
        max_tool_rounds = 3

    line = Line(lambda: EmulatorSession(model=model, brain=Restless()))
    agent = Curious(line, target=model)
    async with calling(agent):
        agent.send_text("go")
        await agent.until(lambda: agent.all(AgentSpoke))
        await agent.reach(State.READY)
    assert spoken(agent) == ["I give up."]
    assert len(agent.all(ToolFinished)) == 3
    assert [event.rounds for event in agent.all(ToolRoundsExceeded)] == [3]
    choices = [message["response"].get("tool_choice") for message in line.sent("response.create")]
    assert choices == [None, None, None, "none"]


@PROFILES
@virtual
async def test_a_tool_that_lets_itself_be_called_comes_to_an_end(model: str) -> None:
    class Recursive(Recorder):
        max_tool_rounds = 3

        @tool
        async def look(self) -> str:
            """Look, and look again."""
            return f"seen: {await self.respond()}"

    line = Line(lambda: EmulatorSession(model=model, brain=Restless()))
    agent = Recursive(line, target=model)
    async with calling(agent):
        agent.send_text("go")
        await agent.until(lambda: agent.all(AgentSpoke))
        await agent.reach(State.READY)
    assert set(spoken(agent)) == {"I give up."}
    # Each call may lead to two: by its respond(), and by the response about its result.
    assert 3 <= len(agent.all(ToolFinished)) < 2**3
    assert {event.output for event in agent.all(ToolFinished)} == {"seen: dropped"}
    assert ToolRoundsExceeded(3, ("look",)) in agent.all(ToolRoundsExceeded)


@pytest.mark.parametrize(
    "settings",
    [
        {"max_tool_rounds": 0},
        {"max_tool_rounds": 2.5},
        {"approval_timeout_s": 0},
        {"approval_timeout_s": "5"},
        {"approval_timeout_s": float("inf")},
    ],
)
def test_limits_that_are_none_are_refused_when_the_agent_is_made(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        type("Odd", (Recorder,), settings)(Line())


# --- results --------------------------------------------------------------------------------------------------


class Odd(Recorder):
    @tool
    async def huge(self) -> list[str]:
        """Return 5 MB."""
        return ["x" * 1_000] * 5_000

    @tool
    async def endless(self) -> list[Any]:
        """Return what contains itself."""
        result: list[Any] = []
        result.append(result)
        return result

    @tool
    async def recurse(self) -> int:
        """Call itself."""
        return 1 + await self.recurse()


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("huge", "", "characters long]"),
        ("endless", "", "has no JSON form: [[...]]"),
        ("recurse", "raised", "RecursionError"),
    ],
)
@virtual
async def test_a_result_that_cannot_be_sent_is_described(name: str, error: str, says: str) -> None:
    line = asked(Call(name, {}))
    agent = Odd(line)
    async with calling(agent):
        agent.send_text("go")
        await agent.until(lambda: agent.all(AgentSpoke))
    [finished] = agent.all(ToolFinished)
    assert finished.error == error
    assert says in finished.output
    assert len(finished.output) <= 32_000
    assert outputs(line) == [(finished.call_id, finished.output)]


# --- what the service does by itself --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interim", "pregenerated", "fills"),
    [
        (None, True, False),
        ({"type": "static_interim_response", "triggers": ["tool"]}, True, True),
        ({"type": "static_interim_response", "triggers": ["latency"]}, True, False),
        ({"type": "llm_interim_response"}, True, False),
        ({"type": "llm_interim_response", "triggers": ["tool"]}, False, False),
    ],
)
def test_when_the_service_fills_the_time_of_a_tool(interim: Any, pregenerated: bool, fills: bool) -> None:
    assert service_fills({"interim_response": interim}, pregenerated=pregenerated) is fills
