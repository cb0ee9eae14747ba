"""A conversation with everything around it, and what anybody who listens or reads along would know of it.

The base of the tests that let anything happen in any order: every output is checked as it is performed. Each
sample carries the number of its response in both of its bytes, so that the listener knows whose sound it is,
wherever a message cut a sample.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize
from tests.conversation_driver import RATE, SERVER_VAD, plan

from voicelive_agent import _wire as wire
from voicelive_agent._conversation import Conversation
from voicelive_agent._outputs import (
    CallTool,
    CancelTool,
    End,
    FinishPlayback,
    MoveSpeech,
    Output,
    Play,
    StopPlayback,
)
from voicelive_agent._pcm import Converter
from voicelive_agent._pump import Pump
from voicelive_agent.audio import AudioFormat
from voicelive_agent.events import (
    SessionEnded,
    Stalled,
    State,
    StateChanged,
    ToolApprovalAnswered,
    ToolApprovalAsked,
    ToolCalled,
    ToolFinished,
    TurnEnded,
)

FILLER = "One moment."
FINAL = ("heard", "interrupted", "dropped")
POLICIES: list[dict[str, Any]] = [
    {"profile": "realtime"},
    {"profile": "cascade"},
    {
        "profile": "realtime",
        "turn_detection": {**SERVER_VAD, "interrupt_response": False},
        "client_barge_in": True,
    },
    {"profile": "cascade", "turn_detection": {**SERVER_VAD, "interrupt_response": False}},
    {"profile": "realtime", "turn_detection": {**SERVER_VAD, "auto_truncate": True}},
    {"profile": "cascade", "turn_detection": None},
]


class Listener:
    """A sink whose listener hears in the time of the test: whole samples, and whose they are."""

    def __init__(self, rate: int) -> None:
        self.format = AudioFormat(rate=rate)
        self.heard: Counter[int] = Counter()  # samples by response
        self.written: set[int] = set()
        self._queue = bytearray()

    @property
    def pending(self) -> int:
        return len(self._queue) // 2

    def write(self, pcm: bytes) -> None:
        self.written |= set(pcm)
        self._queue += pcm

    def flush(self) -> None:
        self._queue.clear()

    def listen(self, samples: int) -> None:
        heard = bytes(self._queue[: samples * 2 : 2])
        self.heard.update(heard)
        del self._queue[: samples * 2]


class Told:
    """What the service has told so far, and what follows from it: which response is open, and which are over."""

    def __init__(self) -> None:
        self.open: str | None = None
        self.over: set[str] = set()
        self.in_flight: str | None = None  # event_id of the response.create that is not yet answered

    def mentions(self, response: str, tag: str | None = None, *, created: bool = False) -> None:
        if response in self.over or response == self.open or (self.open is not None and not created):
            return
        if self.open is not None:
            self.over.add(self.open)
        self.open = response
        if tag in (None, self.in_flight):
            self.in_flight = None

    def ends(self, response: str) -> None:
        self.mentions(response)
        if response == self.open:
            self.open = None
            self.over.add(response)

    def stalled(self, what: str) -> None:
        if what == "the rest of a response" and self.open is not None:
            self.ends(self.open)
        elif what == "the response that was asked for":
            self.in_flight = None

    def learn(self, message: wire.Message) -> None:
        """The service says this."""
        match message:
            case wire.ResponseCreated(response=info):
                self.mentions(info.id, (info.metadata or {}).get("vla"), created=True)
            case wire.ResponseDone(response=info):
                self.ends(info.id)
            case (
                wire.AudioDelta(response_id=response)
                | wire.TranscriptDelta(response_id=response)
                | wire.OutputItemAdded(response_id=response)
                | wire.OutputItemDone(response_id=response)
                | wire.TextDelta(response_id=response)
                | wire.CallArgumentsDone(response_id=response)
            ):
                self.mentions(response)
            case wire.ErrorReceived(error=error):
                refused = error.event_id == self.in_flight
                unnamed = error.event_id is None and error.code == "conversation_already_has_active_response"
                if refused or unnamed:
                    self.in_flight = None
            case _:
                pass


class Conversing(RuleBasedStateMachine):
    """One conversation, the pump and a listener, joined by the smallest shell there is."""

    @initialize(policy=st.sampled_from(POLICIES), sink_rate=st.sampled_from([RATE, RATE, 48_000, 16_000]))
    def start(self, policy: dict[str, Any], sink_rate: int) -> None:
        self.plan = plan(
            tools=["look"],
            cancelled_tools=["book"],
            approved_tools=["pay"],
            filled_tools={"find": FILLER},
            approval_s=3.0,
            max_tool_rounds=2,
            **policy,
        )
        self.core = Conversation(self.plan)
        self.listener = Listener(sink_rate)
        self.exact = sink_rate == RATE
        wire_format = AudioFormat(rate=RATE)
        converter = Converter(wire_format, self.listener.format)
        self.pump = Pump(
            self.listener,
            wire_format,
            converter,
            clock=lambda: self.now,
            tell=lambda event: self.odd.add(event.item_id),  # type: ignore[union-attr]
        )
        self.now = 1_000.0
        self.told = Told()
        self.said: list[str] = []  # raw messages, to be repeated
        self.count = 0
        self.responses: list[str] = []
        self.service_open: str | None = None
        self.inbox: list[wire.Request] = []  # requests that the service has not looked at
        self.user_item: str | None = None
        self.stopped_item: str | None = None
        self.running: list[str] = []
        self.called: list[str] = []
        self.asked: list[str] = []  # calls that an approval was asked for
        self.approved: Counter[str] = Counter()  # by call: how often it was decided
        self.may_run: set[str] = set()  # calls that need no approval, or have it
        self.slow: set[str] = set()  # calls of the tool with a filler, that run
        self.batch: dict[str, int] = {}  # open calls, and the step in which they were made
        self.bridged: set[int] = set()  # what the last filler was said for
        self.steps = 0
        self.filler: str | None = None  # event_id of the filler that was asked for last
        self.turns: set[str] = set()  # the responses whose turn has ended
        self.odd: set[str] = set()  # items whose audio was not base64
        self.tickets = 0
        self.final: Counter[int] = Counter()
        self.answers: Counter[str] = Counter()
        self.state = State.CONNECTING
        self.closed = False
        self.dead: set[int] = set()  # responses that must never be heard (again)
        self.begin()
        self.say("session.created", session={"id": "s"})
        self.say("session.updated", session={"id": "s"})

    def begin(self) -> None:
        """What a machine that knows more begins with."""

    # --- the smallest shell ---

    def step(self, act: Any, *args: Any, **kwargs: Any) -> None:
        self.broken = True  # until this step has kept all its promises: no further ones are looked at then
        self.steps += 1
        outputs: list[Output] = act(*args, pending=self.pump.pending, now=self.now, **kwargs)
        assert isinstance(outputs, list)
        if self.closed:
            assert outputs == [] or all(isinstance(output, MoveSpeech) for output in outputs)
        for output in outputs:
            if isinstance(output, Stalled):  # told after the requests that follow from it
                self.told.stalled(output.waited_for)
        for output in outputs:
            self.perform(output)
        self.pump.feed()
        self.broken = False

    def perform(self, output: Output) -> None:
        match output:
            case Play():
                self.pump.play(output)
            case FinishPlayback():
                self.pump.finish()
            case StopPlayback():
                self.pump.stop()
                self.listener.written.clear()
            case wire.CreateResponse():
                self.check_filler(output)
                assert self.told.open is None, f"{output} while {self.told.open} is open"
                assert self.told.in_flight is None, f"two open creates: {output}"
                self.told.in_flight = output.event_id
                self.inbox.append(output)
            case wire.CreateItem() if output.item["type"] == "function_call_output":
                self.answers[str(output.item["call_id"])] += 1
                self.inbox.append(output)
            case (
                wire.CreateItem()
                | wire.DeleteItem()
                | wire.TruncateItem()
                | wire.CancelResponse()
                | wire.CommitInput()
                | wire.UpdateSession()
            ):
                self.inbox.append(output)
            case ToolCalled(call_id, name):
                if name != "pay":
                    self.may_run.add(call_id)
                if name == "find":
                    self.slow.add(call_id)
                self.batch[call_id] = self.steps
            case ToolFinished(call_id):
                self.slow.discard(call_id)
                del self.batch[call_id]
            case ToolApprovalAsked(call_id):
                assert call_id not in self.asked, "an approval is asked for once"
                self.asked.append(call_id)
            case ToolApprovalAnswered(call_id, _, approved):
                self.approved[call_id] += 1
                if approved:
                    self.may_run.add(call_id)
            case CallTool(call_id):
                assert call_id not in self.called, "a call is run once"
                assert call_id in self.may_run, "a call ran that nobody approved"
                self.called.append(call_id)
                self.running.append(call_id)
            case CancelTool(call_id):
                assert call_id in self.called or call_id in self.asked
            case MoveSpeech(ticket, status):
                assert not self.final[ticket], "a ticket moved after its end"
                self.final[ticket] += status in FINAL
            case StateChanged(old, new):
                assert old is self.state
                assert old is not new
                self.state = new
            case TurnEnded():
                self.check_turn(output)
            case SessionEnded():
                assert self.state is State.CLOSED
            case End():
                self.closed = True
            case _:
                pass

    def check_filler(self, request: wire.CreateResponse) -> None:
        if FILLER not in str(request.response):
            return
        assert self.slow, "a filler though nothing runs"
        assert self.core._answers.playback.pending == 0, "a filler while something is being said"
        self.filler = request.event_id
        self.bridged = {self.batch[call_id] for call_id in self.slow}

    def check_turn(self, turn: TurnEnded) -> None:
        assert turn.response_id not in self.turns, "a turn ends once"
        self.turns.add(turn.response_id)
        number = self.number(turn.response_id)
        if self.exact and number is not None and not self.odd:
            assert turn.heard_ms == self.listener.heard[number] * 1000 // RATE

    @staticmethod
    def number(response: str) -> int | None:
        return int(response[1:]) if response[1:].isdigit() else None

    def say(self, kind: str, **fields: Any) -> None:
        """The service says something, with an event id that it never used before."""
        self.count += 1
        message = {"type": kind, "event_id": f"e{self.count}", **fields}
        self.hear(json.dumps(message))

    def hear(self, text: str, *, again: bool = False) -> None:
        message = wire.decode(text)
        if not again:
            if not isinstance(message, wire.Unreadable):
                self.said.append(text)
            self.learn(message)
        self.step(self.core.receive, message)

    def learn(self, message: wire.Message) -> None:
        """What is known before the machine hears it."""
        self.told.learn(message)
        interrupts = self.plan.turns.interrupts_response or self.plan.client_barge_in
        if isinstance(message, wire.SpeechBegan) and interrupts and not self.core.mutes_input:
            self.bury()

    def bury(self) -> None:
        """The user interrupts: what is open or over now must not be heard any more."""
        if self.closed:  # nobody is there to flush: what is queued is heard
            return
        known = self.told.over | ({self.told.open} if self.told.open is not None else set())
        self.dead |= {number for response in known if (number := self.number(response)) is not None}
        self.listener.written.clear()
