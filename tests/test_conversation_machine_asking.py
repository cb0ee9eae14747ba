"""The conversation machine once more, with all else that it has to cope with, and what must hold of that.

Besides answers out of band, undisturbed scopes and MCP calls in any order there are a service that makes MCP calls
as it should, a button to talk, and changes of the session. What must hold is known from messages and events alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule
from tests.conversation_driver import RATE, SERVER_VAD
from tests.test_conversation_machine import ConversationMachine

from voicelive_agent import _wire as wire
from voicelive_agent._batches import Batches
from voicelive_agent._mcp_calls import RUN_LIMIT_S, McpCalls
from voicelive_agent._outputs import CancelTool, FinishUpdate, Output
from voicelive_agent._plan import Plan
from voicelive_agent._responses import Responses
from voicelive_agent._turn_detection import turn_policy
from voicelive_agent._turns import Turns
from voicelive_agent.events import (
    McpCalled,
    McpFinished,
    State,
    ToolApprovalAnswered,
    ToolApprovalAsked,
    TurnTimedOut,
)

LIMIT_S = 5.0
"""How long the button may be held."""


def listening_by(detection: dict[str, Any] | None, plan: Plan) -> Plan:
    """The plan with another turn detection."""
    session = {**plan.session, "turn_detection": detection}
    return replace(plan, session=session, turns=turn_policy(session))


class AskingMachine(ConversationMachine):
    """What else may happen, in any order, between all that may happen anyway."""

    def begin(self) -> None:
        self.holds = 0
        self.by_hand = False  # the button is held
        self.speaking: str | None = None  # what the user says, as the service hears it
        self.updates: Counter[int] = Counter()  # by ticket: how often a change of the session was answered
        self.wanted: dict[int, Plan] = {}
        self.calls: Counter[str] = Counter()  # MCP calls that were told
        self.finished: Counter[str] = Counter()
        self.questions: dict[str, str] = {}  # open question of the service -> the call that it is about
        self.permitted: list[str] = []  # calls that wait to be run
        self.replies: Counter[str] = Counter()  # by question: answers sent to the service
        self.unspoken: set[str] = set()  # results that no response knows
        self.spoken_at = 0  # the step in which a response was asked for that speaks about results

    # --- what is known from outside ---

    def perform(self, output: Output) -> None:
        self.note(output)
        about = isinstance(output, ToolApprovalAsked | ToolApprovalAnswered | CancelTool)
        if not (about and output.call_id.startswith("q")):  # a server's tool is none of those that are watched
            super().perform(output)

    def note(self, output: Output) -> None:
        match output:
            case McpCalled(call_id):
                self.calls[call_id] += 1
            case McpFinished(call_id, error=error):
                assert self.calls[call_id] == 1, "over before it was told"
                self.finished[call_id] += 1
                if error != "not_run" and self.spoken_at != self.steps:  # events come after the requests
                    self.unspoken.add(call_id)
            case wire.CreateResponse() if output.response.keys() <= {"metadata", "tool_choice"}:
                self.spoken_at = self.steps
                self.unspoken.clear()
            case wire.CreateItem() if output.item["type"] == "mcp_approval_response":
                self.replies[str(output.item["approval_request_id"])] += 1
                call = self.questions.pop(str(output.item["approval_request_id"]), None)
                if call is not None and output.item["approve"]:
                    self.permitted.append(call)
            case TurnTimedOut():
                self.by_hand = False
            case FinishUpdate(ticket, granted):
                self.updates[ticket] += 1
                if granted is not None:
                    self.adopt(self.wanted[ticket])
            case _:
                pass

    def bury(self) -> None:
        super().bury()
        self.unspoken.clear()

    def adopt(self, plan: Plan) -> None:
        self.plan = plan
        if plan.turns.kind == "manual":
            self.speaking = None
        else:
            self.by_hand = False

    def learn(self, message: wire.Message) -> None:
        known, tag = self.told.open, {"vla": self.told.in_flight}
        super().learn(message)
        asked_for = isinstance(message, wire.ResponseCreated) and message.response.metadata == tag
        if self.told.open not in (None, known) and not asked_for:
            self.unspoken.clear()  # the service answers by itself, with all that it knows
        match message:
            case wire.SpeechBegan(item_id=item):
                self.speaking = item
            case wire.SpeechEnded():
                self.speaking = None
            case wire.InputCommitted(item_id=item) if item == self.speaking:
                self.speaking = None
            case wire.SessionUpdated() if self.plan.turns.kind == "manual":
                self.speaking = None
            case _:
                pass

    # --- answers that were asked for, and scopes ---

    @rule(silent=st.booleans(), own_words=st.booleans())
    def ask_for_a_response(self, silent: bool, own_words: bool) -> None:
        self.tickets += 1
        params = {"instructions": "x"} if own_words else {}
        self.step(self.core.respond, params, ticket=self.tickets, silent=silent)

    @rule()
    def hold(self) -> None:
        self.holds += 1
        self.step(self.core.hold, 1)

    @precondition(lambda self: self.holds > 0)
    @rule()
    def let_go(self) -> None:
        self.holds -= 1
        self.step(self.core.hold, -1)

    @precondition(lambda self: self.service_open is not None and not self.closed)
    @rule()
    def out_of_band_text(self) -> None:
        ids = {"response_id": self.service_open, "item_id": f"{self.service_open}a"}
        self.say("response.text.done", text="some words", **ids)

    # --- push-to-talk, and changes of the session ---

    @precondition(lambda self: not self.closed and self.plan.turns.kind == "manual")
    @rule(ms=st.sampled_from([0, 50, 500]))
    def button_is_pressed(self, ms: int) -> None:
        self.core.hear(bytes(ms * RATE // 1000 * 2))
        if not self.by_hand and not self.core.mutes_input:
            self.bury()
        self.by_hand = True
        self.step(self.core.begin_turn, limit_s=LIMIT_S)

    @precondition(lambda self: not self.closed and self.plan.turns.kind == "manual")
    @rule(ms=st.sampled_from([0, 50, 500]))
    def button_is_released(self, ms: int) -> None:
        self.core.hear(bytes(ms * RATE // 1000 * 2))
        self.by_hand = False
        self.step(self.core.end_turn)

    @precondition(lambda self: not self.closed)
    @rule(by_hand=st.booleans())
    def session_is_changed(self, by_hand: bool) -> None:
        ticket = len(self.wanted) + 1
        detection = None if by_hand else dict(SERVER_VAD)

        def change(plan: Plan) -> Plan:
            self.wanted[ticket] = listening_by(detection, plan)
            return self.wanted[ticket]

        self.wanted[ticket] = self.plan
        self.step(self.core.update_session, change, ticket=ticket)

    # --- MCP: a service that keeps to the rules ---

    @precondition(lambda self: self.service_open is None and not self.closed)
    @rule(
        asks=st.lists(st.booleans(), min_size=1, max_size=2),
        function=st.booleans(),
        interrupted=st.sampled_from([False, False, True]),
    )
    def service_calls_mcp(self, asks: list[bool], function: bool, interrupted: bool) -> None:
        """A response with one call or two, for which the service asks or not, and perhaps a function of ours."""
        self.make_response()
        calls = []
        for _ in asks:
            call = f"m{self.count}"
            calls.append(call)
            self.mcp_say("added", call, arguments="")
            self.say("conversation.item.created", item=self.mcp_call(call, arguments=""))
            self.say("response.mcp_call_arguments.done", item_id=call, arguments="{}", response_id="r")
        if function:
            self.response_calls("look")
        if interrupted:
            self.end_response("cancelled")
            return
        for call, ask in zip(calls, asks, strict=True):
            if not ask:
                self.server_runs(call, fails=False)
                continue
            question = f"q{self.count}"
            self.questions[question] = call
            item = {"type": "mcp_approval_request", "server_label": "l", "name": "f", "arguments": "{}"}
            self.say("conversation.item.created", item={"id": question, **item})
        if self.service_open is not None:
            self.end_response("completed")

    @precondition(lambda self: self.permitted and not self.closed)
    @rule(fails=st.booleans())
    def server_runs_what_was_approved(self, fails: bool) -> None:
        self.server_runs(self.permitted.pop(0), fails=fails)

    def server_runs(self, call: str, *, fails: bool) -> None:
        result = {"error": {"type": "e", "message": "no"}} if fails else {"output": "x"}
        self.say("response.mcp_call.in_progress", item_id=call)
        self.say(f"response.mcp_call.{'failed' if fails else 'completed'}", item_id=call)
        self.mcp_say("done", call, **result)

    def mcp_call(self, call: str, **more: Any) -> dict[str, Any]:
        return {"id": call, "type": "mcp_call", "server_label": "l", "name": "f", **more}

    def mcp_say(self, which: str, call: str, **more: Any) -> None:
        response = self.service_open or (self.responses[-1] if self.responses else "r0")
        self.say(f"response.output_item.{which}", response_id=response, item=self.mcp_call(call, **more))

    # --- MCP: one that does not ---

    @precondition(lambda self: not self.closed)
    @rule(number=st.integers(1, 3), kind=st.sampled_from(["added", "created", "done", "output", "incomplete"]))
    def mcp_item(self, number: int, kind: str) -> None:
        more = {"output": {"output": "x"}, "incomplete": {"status": "incomplete"}}.get(kind, {})
        if kind == "created":
            self.say("conversation.item.created", item=self.mcp_call(f"n{number}"))
        else:
            self.mcp_say("added" if kind == "added" else "done", f"n{number}", **more)

    @precondition(lambda self: not self.closed)
    @rule(
        number=st.integers(1, 3), kind=st.sampled_from(["in_progress", "completed", "failed", "_arguments.done"])
    )
    def mcp_progress(self, number: int, kind: str) -> None:
        dot = "" if kind.startswith("_") else "."
        self.say(f"response.mcp_call{dot}{kind}", item_id=f"n{number}")

    @precondition(lambda self: not self.closed)
    @rule(number=st.integers(1, 3), item=st.sampled_from(["", "n1", "n2"]))
    def mcp_question(self, number: int, item: str) -> None:
        question = {"id": f"qn{number}", "type": "mcp_approval_request", "server_label": "l", "name": "f"}
        self.say("conversation.item.created", item=question)
        if item:  # the call itself is made once it is asked about
            call = self.mcp_call(item, approval_request_id=f"qn{number}")
            self.say("conversation.item.created", item=call)

    @precondition(lambda self: self.questions)
    @rule(answer=st.sampled_from([True, True, False, "always"]))
    def question_is_answered(self, answer: Any) -> None:
        """The oldest one."""
        self.step(self.core.approval_answered, next(iter(self.questions)), answer)

    @rule(number=st.integers(1, 3), answer=st.sampled_from([True, False, "always"]))
    def mcp_answer(self, number: int, answer: Any) -> None:
        self.step(self.core.approval_answered, f"qn{number}", answer)

    # --- what must hold ---

    @invariant()
    def an_mcp_call_is_told_once_and_over_once(self) -> None:
        for told in (self.calls, self.finished, self.replies) if hasattr(self, "core") else ():
            assert all(count == 1 for count in told.values())

    @invariant()
    def the_state_follows_from_what_was_told(self) -> None:
        if not hasattr(self, "core") or self.closed:
            return
        speaks = self.speaking is not None or self.by_hand
        if self.state is not State.ERROR:
            assert speaks == (self.state is State.LISTENING), "the state is not whether the user speaks"
        if self.state is State.READY:
            assert self.told.in_flight is None
            assert self.batch == {}, "a tool runs"
            assert self.calls.keys() == self.finished.keys(), "a server's tool runs"
            assert self.core._answers.playback.pending == 0, "something is to be heard"

    def teardown(self) -> None:
        if getattr(self, "broken", True):
            return
        for _ in range(self.holds):
            self.step(self.core.hold, -1)
        if self.by_hand and not self.closed:
            self.button_is_released(500)
        hung_up = self.closed
        self.pass_time(round((RUN_LIMIT_S + 10) * RATE))  # a call of which nothing is heard is given up by then
        if self.state is State.READY:
            assert self.unspoken == set(), "a result that nobody spoke about"
        super().teardown()
        assert all(self.updates[ticket] == 1 for ticket in self.wanted), "a change without an answer"
        if not hung_up:
            assert self.calls == self.finished, "an MCP call without an end"


AskingMachine.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)
TestAskingMachine = AskingMachine.TestCase


# --- in a certain order ------------------------------------------------------------------------------------------

Step = tuple[str, dict[str, Any]]


def walked(steps: list[Step], *, detection: Mapping[str, Any] | None = SERVER_VAD) -> None:
    """A machine to which this has happened, one step after the other, and what it thinks of that."""
    machine = AskingMachine()
    machine.start({"profile": "realtime", "turn_detection": detection}, RATE)
    for name, arguments in steps:
        getattr(machine, name)(**arguments)
        machine.an_mcp_call_is_told_once_and_over_once()
        machine.the_state_follows_from_what_was_told()
    machine.teardown()


ASK: Step = ("ask_for_a_response", {"silent": False, "own_words": False})
SAY: Step = ("say_something", {"uninterruptible": False})
LOOK: Step = ("service_calls_tools", {"names": ["look"], "again": False})
ANSWERS: Step = ("service_answers", {"refuse": False, "named": True, "echo": True})
OWN: Step = ("service_answers", {"refuse": False, "named": True, "echo": False})
BEGIN: Step = ("user_begins", {"late": False})
INTERRUPT: Step = ("interrupt", {"unnoticed": 0})
PRESS: Step = ("button_is_pressed", {"ms": 500})
RELEASE: Step = ("button_is_released", {"ms": 500})
MCP: Step = ("service_calls_mcp", {"asks": [False], "function": False, "interrupted": False})
QUESTION: Step = ("service_calls_mcp", {"asks": [True], "function": False, "interrupted": False})
APPROVE: Step = ("question_is_answered", {"answer": True})


@pytest.mark.parametrize(
    "steps",
    [
        [ASK, BEGIN, LOOK, LOOK],
        [
            ANSWERS,
            ASK,
            ("say_something", {"uninterruptible": False}),
            LOOK,
            OWN,
            ("interrupt", {"unnoticed": 0}),
            ANSWERS,
        ],
    ],
    ids=["the service's own answer covers it", "it was interrupted before the service said that it is not ours"],
)
def test_whoever_asked_for_a_response_is_told_of_its_end_once(steps: list[Step]) -> None:
    walked(steps)


def test_an_answer_that_was_asked_for_before_the_button_was_pressed_has_an_end() -> None:
    walked([ANSWERS, ASK, PRESS, ANSWERS, RELEASE], detection=None)


def _never_spoken_about(self: Batches, call_id: str, *, turn: int) -> None:
    self.drop(call_id)


def _nobody_is_told(self: Responses) -> list[int]:
    covered(self)
    return []


def _no_limit(self: McpCalls) -> None:
    """Nothing is ever given up."""


def _never(self: Turns) -> bool:
    return False


covered = Responses.covered


@pytest.mark.parametrize(
    ("owner", "name", "bug", "steps", "noticed"),
    [
        (Batches, "finish", _never_spoken_about, [MCP], "a result that nobody spoke about"),
        (Responses, "covered", _nobody_is_told, [ASK, BEGIN, LOOK, LOOK], "a ticket without an end"),
        (McpCalls, "deadline", property(_no_limit), [QUESTION, APPROVE], "waits without end"),
        (Turns, "user_speaks", property(_never), [BEGIN], "whether the user speaks"),
    ],
    ids=["unspoken", "untold", "unlimited", "unheard"],
)
def test_the_machine_finds_a_planted_bug(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, bug: Any, steps: list[Step], noticed: str
) -> None:
    walked(steps)
    monkeypatch.setattr(owner, name, bug)
    with pytest.raises(AssertionError, match=noticed):
        walked(steps)
