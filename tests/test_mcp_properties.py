"""Whatever the order: each batch of MCP calls is spoken about once, by a response that knows all its results."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conversation_driver import LOST
from tests.test_mcp_calls import Library

from voicelive_agent import _wire as wire
from voicelive_agent._approval import ApprovalRequest
from voicelive_agent._batches import Batches
from voicelive_agent._outputs import CallTool, Output
from voicelive_agent.events import McpCalled, McpFinished, State, ToolCalled, ToolFinished

STEPS = ("call", "approve", "refuse", "run", "end", "fail", "function", "user", "answer", "wait", "interrupt")


class Model:
    """A service that keeps to the rules, a user, and what has still to be spoken about."""

    def __init__(self, seed: int, profile: Any) -> None:
        self.random = random.Random(seed)
        self.driver = Library(tools=["look"], profile=profile)
        self.count = 0
        self.open: str | None = None  # the service's response
        self.made: list[tuple[str, str]] = []  # (call, response) that no approval is asked for, not yet running
        self.running: list[tuple[str, str]] = []
        self.questions: list[tuple[str, str, str]] = []  # (question, call, response)
        self.functions: list[tuple[str, str]] = []
        self.unfinished: dict[str, set[str]] = {}  # response -> its calls that are not over
        self.results: set[str] = set()  # responses with results that no response knows
        self.creates = 0
        self.driver.start()

    def id(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    @property
    def due(self) -> set[str]:
        return {response for response in self.results if not self.unfinished[response]}

    def perform(self, outputs: list[Output]) -> None:
        """What the conversation wants is granted at once; the reasons for it are checked."""
        for output in outputs:
            match output:
                case wire.CreateResponse():
                    assert self.due, "asked for without a reason, or twice"
                    assert self.open is None
                    self.creates += 1
                    self.begin(output.response["metadata"])
                case CallTool(call_id):
                    assert call_id in {call for call, _ in self.functions}
                case _:
                    pass

    def over(self, call: str, response: str) -> None:
        self.unfinished[response].discard(call)
        self.results.add(response)

    def begin(self, metadata: Any = None) -> None:
        self.results.clear()  # it knows all of them
        self.open = self.id("resp_")
        self.unfinished[self.open] = set()
        self.perform(self.driver.created(self.open, metadata=metadata))

    def finish_response(self) -> None:
        response, self.open = self.open, None
        assert response is not None
        self.perform(self.driver.done(response))

    # --- what may happen ---

    def user(self) -> None:
        """A whole turn of the user; the service answers, if its last response is over."""
        item = self.id("user_")
        self.perform(self.driver.user_begins(item))
        if self.open is not None:
            response, self.open = self.open, None
            gone = [call for call, of in self.made if of == response]
            self.made = [(call, of) for call, of in self.made if of != response]
            self.unfinished[response] -= set(gone)
            functions = {call for call, of in self.functions if of == response}
            if functions:  # answered without having been run, and nobody waits for that
                self.functions = [(call, of) for call, of in self.functions if call not in functions]
                self.unfinished[response] -= functions
            self.perform(self.driver.done(response, "cancelled"))
        self.perform(self.driver.user_ends(item))
        self.perform(self.driver.transcript("hello", item))
        self.begin()
        self.finish_response()

    def call(self) -> None:
        if self.open is None:
            self.driver.user_speaks("do it", self.id("user_"))
            self.begin()
        assert self.open is not None
        call, response = self.id("mcp_"), self.open
        self.driver.makes(call, response, args=f'"{call}"')
        self.unfinished[response].add(call)
        if self.random.random() < 0.5:
            question = self.id("mcpr_")
            self.questions.append((question, call, response))
            self.perform(self.driver.asks(question, args=f'"{call}"'))
        else:
            self.made.append((call, response))

    def function(self) -> None:
        if self.open is not None:
            call = self.id("call_")
            self.functions.append((call, self.open))
            self.unfinished[self.open].add(call)
            self.perform(self.driver.call(call, response=self.open))

    def answer(self) -> None:
        """The open response ends; one with calls that run waits for them, one with questions does not."""
        response = self.open
        if response is not None and not any(of == response for _, of in [*self.made, *self.running]):
            self.finish_response()

    def approve(self) -> None:
        if self.questions:
            question, call, response = self.take(self.questions)
            self.made.append((call, response))
            self.perform(self.driver.approve(question))

    def refuse(self) -> None:
        if self.questions:
            question, call, response = self.take(self.questions)
            self.over(call, response)
            self.perform(self.driver.approve(question, False))

    def run(self) -> None:
        if self.made:
            call, response = self.take(self.made)
            self.running.append((call, response))
            self.perform(self.driver.starts(call))

    def end(self, **result: Any) -> None:
        if self.running:
            call, response = self.take(self.running)
            self.over(call, response)
            result = result or {"output": "shelf 7"}
            state = "failed" if "error" in result else "completed"
            self.driver.hear(f"response.mcp_call.{state}", item_id=call, output_index=0)
            self.perform(self.driver.result(call, response, **result))

    def fail(self) -> None:
        self.end(error={"type": "http_error", "message": "503"})

    def tool(self) -> None:
        called = [each for each in self.functions if each[1] != self.open]
        if called:
            call, response = self.random.choice(called)
            self.functions.remove((call, response))
            self.over(call, response)
            self.perform(self.driver.finish_tool(call))

    def interrupt(self) -> None:
        """By hand: what was to be spoken about is not any more; what comes later is."""
        if self.open is None:
            self.results.clear()
            self.perform(self.driver.interrupt())

    def wait(self) -> None:
        self.perform(self.driver.wait(0.5))

    def take(self, things: list[Any]) -> Any:
        return things.pop(self.random.randrange(len(things)))

    def step(self, name: str) -> None:
        getattr(self, name)()

    def settle(self) -> None:
        """All that is open comes to its end, in any order."""
        for _ in range(200):
            busy = {
                "approve": bool(self.questions),
                "run": bool(self.made),
                "end": bool(self.running),
                "answer": self.open is not None,
                "tool": bool(self.functions),
            }
            steps = [name for name, is_busy in busy.items() if is_busy]
            if not steps:
                return
            self.step(self.random.choice(steps))
        raise AssertionError("it does not come to an end")


PROFILES = st.sampled_from(["cascade", "realtime"])
WALKS = st.lists(st.sampled_from([*STEPS, "call", "call", "run", "end", "tool"]), max_size=30)
FEW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def walked(steps: list[str], seed: int, profile: Any) -> Model:
    model = Model(seed, profile)
    for name in steps:
        model.step(name)
    return model


@FEW
@given(WALKS, st.integers(0, 1_000), PROFILES)
def test_every_batch_is_spoken_about_exactly_once(steps: list[str], seed: int, profile: Any) -> None:
    model = walked(steps, seed, profile)
    model.settle()
    assert model.results == set(), "a result that nobody spoke about"
    assert model.driver.creates() == model.creates
    driver = model.driver
    assert len(driver.all(McpCalled)) >= len(driver.all(McpFinished))
    assert {event.call_id for event in driver.all(McpCalled)} == {
        event.call_id for event in driver.all(McpFinished)
    }
    assert len(driver.all(ToolCalled)) == len(driver.all(ToolFinished))
    assert driver.state() in (State.READY, State.SPEAKING)


@FEW
@given(WALKS, st.integers(0, 1_000), PROFILES)
def test_whoever_hangs_up_is_asked_nothing_any_more(steps: list[str], seed: int, profile: Any) -> None:
    driver = walked(steps, seed, profile).driver
    asked = driver.creates()
    driver.close(LOST)
    for request in driver.all(ApprovalRequest):
        assert driver.approve(request.call_id) == []
    for call in driver.all(McpCalled):
        assert driver.ends(call.call_id) == []
    assert driver.creates() == asked
    assert driver.core.deadline is None


def test_the_model_finds_a_planted_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results stay to be spoken about although a response knows them: then one is asked for twice."""
    monkeypatch.setattr(Batches, "spoken", lambda self: None)
    model = Model(1, "cascade")
    for name in ("call", "approve", "run", "end"):
        model.step(name)
    with pytest.raises(AssertionError, match="without a reason, or twice"):
        model.settle()
