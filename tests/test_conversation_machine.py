"""The conversation machine, the real pump and a listener, against a service that says anything in any order.

Hypothesis draws what happens: a service that keeps to the rules, one that does not, a user, tools, time. After
every step the promises are checked that must hold whatever was said. Each sample carries the number of its
response in both of its bytes, so that the listener knows whose sound it is, wherever a message cut a sample.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from tests.conversation_driver import LOST, RATE, SERVER_VAD, STOPPED, plan
from voicelive_agent import _wire as wire
from voicelive_agent._answers import Answers
from voicelive_agent._conversation import MIN_TICK_S, Conversation
from voicelive_agent._outputs import CallTool, CancelTool, End, FinishPlayback, MoveSpeech, Output, Play, StopPlayback
from voicelive_agent._pcm import Converter
from voicelive_agent._pump import Pump
from voicelive_agent._responses import Response
from voicelive_agent.audio import AudioFormat
from voicelive_agent.events import SessionEnded, Stalled, State, StateChanged, TurnEnded

FINAL = ("heard", "interrupted", "dropped")
TOOLS = ("look", "book")
POLICIES: list[dict[str, Any]] = [
    {"profile": "realtime"},
    {"profile": "cascade"},
    {"profile": "realtime", "turn_detection": {**SERVER_VAD, "interrupt_response": False}, "client_barge_in": True},
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


class ConversationMachine(RuleBasedStateMachine):
    """One conversation."""

    @initialize(policy=st.sampled_from(POLICIES), sink_rate=st.sampled_from([RATE, RATE, 48_000, 16_000]))
    def start(self, policy: dict[str, Any], sink_rate: int) -> None:
        self.plan = plan(tools=["look"], cancelled_tools=["book"], **policy)
        self.core = Conversation(self.plan)
        self.listener = Listener(sink_rate)
        self.exact = sink_rate == RATE
        wire_format = AudioFormat(rate=RATE)
        converter = Converter(wire_format, self.listener.format)
        self.pump = Pump(
            self.listener, wire_format, converter, clock=lambda: self.now, tell=lambda event: self.odd.add(event.item_id)  # type: ignore[union-attr]
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
        self.turns: set[str] = set()  # the responses whose turn has ended
        self.odd: set[str] = set()  # items whose audio was not base64
        self.tickets = 0
        self.final: Counter[int] = Counter()
        self.answers: Counter[str] = Counter()
        self.state = State.CONNECTING
        self.closed = False
        self.dead: set[int] = set()  # responses that must never be heard (again)
        self.alive_until = 0
        self.say("session.created", session={"id": "s"})
        self.say("session.updated", session={"id": "s"})

    # --- the smallest shell ---

    def step(self, act: Any, *args: Any, **kwargs: Any) -> None:
        self.broken = True  # until this step has kept all its promises: no further ones are looked at then
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
                assert self.told.open is None, f"{output} while {self.told.open} is open"
                assert self.told.in_flight is None, f"two open creates: {output}"
                self.told.in_flight = output.event_id
                self.inbox.append(output)
            case wire.CreateItem() if output.item["type"] == "function_call_output":
                self.answers[str(output.item["call_id"])] += 1
                self.inbox.append(output)
            case (
                wire.CreateItem() | wire.DeleteItem() | wire.TruncateItem() | wire.CancelResponse() | wire.UpdateSession()
            ):
                self.inbox.append(output)
            case CallTool(call_id):
                assert call_id not in self.called, "a call is run once"
                self.called.append(call_id)
                self.running.append(call_id)
            case CancelTool(call_id):
                assert call_id in self.called
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
        """What anybody who listens to the service would know, before the machine hears it."""
        told = self.told
        match message:
            case wire.ResponseCreated(response=info):
                told.mentions(info.id, (info.metadata or {}).get("vla"), created=True)
            case wire.ResponseDone(response=info):
                told.ends(info.id)
            case (
                wire.AudioDelta(response_id=response)
                | wire.TranscriptDelta(response_id=response)
                | wire.OutputItemAdded(response_id=response)
                | wire.OutputItemDone(response_id=response)
                | wire.TextDelta(response_id=response)
                | wire.CallArgumentsDone(response_id=response)
            ):
                told.mentions(response)
            case wire.ErrorReceived(error=error):
                refused = error.event_id == told.in_flight
                unnamed = error.event_id is None and error.code == "conversation_already_has_active_response"
                if refused or unnamed:
                    told.in_flight = None
            case wire.SpeechBegan():
                interrupts = self.plan.turns.interrupts_response or self.plan.client_barge_in
                if interrupts and not self.core.mutes_input:
                    self.bury()
            case _:
                pass

    def bury(self) -> None:
        """The user interrupts: what is open or over now must not be heard any more."""
        known = self.told.over | ({self.told.open} if self.told.open is not None else set())
        self.dead |= {number for response in known if (number := self.number(response)) is not None}
        self.listener.written.clear()

    # --- a service that keeps to the rules ---

    @precondition(lambda self: self.inbox and not self.closed)
    @rule(refuse=st.sampled_from([False, False, False, True]), named=st.booleans(), echo=st.sampled_from([True, True, False]))
    def service_answers(self, refuse: bool, named: bool, echo: bool) -> None:
        request = self.inbox.pop(0)
        name = request.event_id if named else None
        match request:
            case wire.CreateResponse() if self.service_open is not None:
                self.refuse("conversation_already_has_active_response", name)
            case wire.CreateResponse() if refuse:
                self.refuse("invalid_request_error", request.event_id)
            case wire.CreateResponse():
                self.make_response(request.response["metadata"] if echo else None)
            case wire.CancelResponse() if self.service_open == request.response_id:
                self.end_response("cancelled")
            case wire.CancelResponse():
                self.refuse("response_cancel_not_active", name)
            case wire.TruncateItem() if refuse:
                self.refuse("unsupported_content_type", name)
            case wire.TruncateItem():
                self.say("conversation.item.truncated", item_id=request.item_id, audio_end_ms=request.audio_end_ms)
            case wire.DeleteItem() if refuse:
                self.refuse("item_delete_invalid_item_id", name)
            case wire.DeleteItem():
                self.say("conversation.item.deleted", item_id=request.item_id)
            case wire.CreateItem() if refuse:
                self.refuse("invalid_value", request.event_id)
            case wire.CreateItem():
                self.say("conversation.item.created", item={"id": f"i{self.count}", **request.item})
            case wire.UpdateSession():
                self.say("session.updated", session={"id": "s"})

    def refuse(self, code: str, event_id: str | None) -> None:
        self.say("error", error={"type": "invalid_request_error", "code": code, "message": "no", "event_id": event_id})

    def make_response(self, metadata: Any = None) -> None:
        response = f"r{len(self.responses) + 1}"
        self.responses.append(response)
        self.service_open = response
        self.say("response.created", response={"id": response, "status": "in_progress", "metadata": metadata})

    def end_response(self, status: str) -> None:
        response, self.service_open = self.service_open, None
        details = {"error": {"code": "server_error", "message": "m"}} if status == "failed" else None
        self.say("response.done", response={"id": response, "status": status, "status_details": details})

    @precondition(lambda self: self.user_item is None and not self.closed and self.plan.turns.kind != "manual")
    @rule(late=st.booleans())
    def user_begins(self, late: bool) -> None:
        self.user_item = f"u{self.count}"
        self.say("input_audio_buffer.speech_started", item_id=self.user_item, audio_start_ms=0)
        if self.service_open is not None and self.plan.turns.interrupts_response:
            if late:
                self.delta(self.service_open, 4_800)
            self.end_response("cancelled")

    @precondition(lambda self: self.user_item is not None and not self.closed)
    @rule()
    def user_ends(self) -> None:
        self.stopped_item, self.user_item = self.user_item, None
        self.say("input_audio_buffer.speech_stopped", item_id=self.stopped_item, audio_end_ms=1_000)
        self.say("input_audio_buffer.committed", item_id=self.stopped_item)

    @precondition(lambda self: self.stopped_item is not None and not self.closed)
    @rule(text=st.sampled_from(["hello", "hello", ""]), fails=st.sampled_from([False, False, True]))
    def user_is_understood(self, text: str, fails: bool) -> None:
        item, self.stopped_item = self.stopped_item, None
        kind = "conversation.item.input_audio_transcription."
        if fails:
            self.say(kind + "failed", item_id=item, error={"code": "c", "message": "m"})
        else:
            self.say(kind + "completed", item_id=item, transcript=text)
        if text and self.service_open is None and self.plan.turns.creates_response:
            self.make_response()

    @precondition(lambda self: self.service_open is not None and not self.closed)
    @rule(bytes_of_audio=st.sampled_from([9_600, 48_000, 48_000, 4_801, 3, 1, 0]), item=st.sampled_from("ab"))
    def response_sounds(self, bytes_of_audio: int, item: str) -> None:
        assert self.service_open is not None
        self.delta(self.service_open, bytes_of_audio, item)

    def delta(self, response: str, size: int, item: str = "a") -> None:
        number = self.number(response)
        audio = base64.b64encode(bytes([number or 0]) * size).decode()
        self.say("response.audio.delta", response_id=response, item_id=f"{response}{item}", delta=audio)

    @precondition(lambda self: self.service_open is not None and not self.closed)
    @rule(kind=st.sampled_from(["item", "words", "text", "audio.done", "bad"]))
    def response_goes_on(self, kind: str) -> None:
        response = self.service_open
        ids = {"response_id": response, "item_id": f"{response}a"}
        match kind:
            case "item":
                item = {"id": f"{response}a", "type": "message", "role": "assistant"}
                self.say("response.output_item.added", response_id=response, item=item)
            case "words":
                self.say("response.audio_transcript.delta", delta="some words ", **ids)
            case "text":
                self.say("response.text.delta", delta="some words ", **ids)
            case "audio.done":
                self.say("response.audio.done", **ids)
            case _:
                self.odd.add(f"{response}a")
                self.say("response.audio.delta", delta="%%%%" * 4_000, **ids)

    @precondition(lambda self: self.service_open is not None and not self.closed)
    @rule(name=st.sampled_from([*TOOLS, "unknown"]))
    def response_calls(self, name: str) -> None:
        call = {"id": f"i{self.count}", "type": "function_call", "name": name, "call_id": f"c{self.count}"}
        message = {"response_id": self.service_open, "item": {**call, "status": "completed", "arguments": "{}"}}
        self.say("response.output_item.done", **message)

    @precondition(lambda self: self.service_open is not None and not self.closed)
    @rule(status=st.sampled_from(["completed", "completed", "completed", "failed", "incomplete", "cancelled"]))
    def response_ends(self, status: str) -> None:
        self.end_response(status)

    # --- a service that does not ---

    @precondition(lambda self: self.said)
    @rule(data=st.data(), renamed=st.booleans())
    def service_repeats_itself(self, data: st.DataObject, renamed: bool) -> None:
        message = json.loads(data.draw(st.sampled_from(self.said[-12:])))
        if renamed:
            self.count += 1
            message["event_id"] = f"e{self.count}"
        self.hear(json.dumps(message), again=not renamed)

    @rule(data=st.data(), kind=st.sampled_from(["audio", "done", "created", "words", "call"]))
    def service_speaks_of_any_response(self, data: st.DataObject, kind: str) -> None:
        response = data.draw(st.sampled_from([*self.responses, f"r{len(self.responses) + 1}"]))
        if response not in self.responses:
            self.responses.append(response)
        match kind:
            case "audio":
                self.delta(response, 9_600)
            case "done":
                self.say("response.done", response={"id": response, "status": "completed"})
            case "created":
                self.say("response.created", response={"id": response, "status": "in_progress"})
            case "words":
                self.say("response.audio_transcript.delta", response_id=response, item_id=f"{response}a", delta="x")
            case _:
                self.say(
                    "response.function_call_arguments.done",
                    response_id=response,
                    call_id=f"c{self.count}",
                    name="look",
                    arguments="{}",
                )

    @rule(
        code=st.sampled_from(
            ["server_error", "conversation_already_has_active_response", "response_cancel_not_active", "insufficient_quota"]
        ),
        text=st.sampled_from(["", "[", "[]", "{}", '{"type":"new"}', '{"type":"response.done"}', '{"type":"error"}', "\ud800"]),
    )
    def service_says_something_else(self, code: str, text: str) -> None:
        if text:
            self.hear(text)
        else:
            self.refuse(code, None)

    # --- time, the user, tools, the end ---

    @rule(samples=st.sampled_from([1, 240, 4_800, 24_000, 24_000, 120_000, 31 * RATE]))
    def time_passes(self, samples: int) -> None:
        self.pass_time(samples)

    def pass_time(self, samples: int) -> None:
        """The listener listens, and ticks come when they were asked for."""
        end = self.now + samples / RATE
        while self.now < end:
            deadline = self.core.deadline
            until = end if deadline is None else min(end, max(deadline, self.now + 0.001))
            while self.now < until - 1e-9:  # the pump writes at least every 100 ms while there is something
                slice_s = min(0.1, until - self.now) if self.pump.pending else until - self.now
                self.listener.listen(round(slice_s * self.listener.format.rate))
                self.now += slice_s
                self.pump.feed()
            self.now = max(self.now, until)
            if deadline is not None and deadline <= end:
                self.step(self.core.tick)

    @rule()
    def tick(self) -> None:
        self.step(self.core.tick)

    @rule()
    def interrupt(self) -> None:
        self.bury()
        self.step(self.core.interrupt)

    @rule(uninterruptible=st.booleans())
    def say_something(self, uninterruptible: bool) -> None:
        self.tickets += 1
        self.step(self.core.say, "x", ticket=self.tickets, uninterruptible=uninterruptible)

    @rule()
    def type_something(self) -> None:
        self.step(self.core.send_text, "x")

    @precondition(lambda self: self.called)
    @rule(data=st.data())
    def tool_finishes(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from(self.called))
        if call in self.running:
            self.running.remove(call)
        self.step(self.core.tool_finished, call, "{}", error="", elapsed_ms=1)

    @precondition(lambda self: self.count > 15)
    @rule(verdict=st.sampled_from([LOST, STOPPED]))
    def end(self, verdict: Any) -> None:
        self.step(self.core.close, verdict)
        assert self.closed

    # --- the promises ---

    @invariant()
    def nothing_of_an_interrupted_response_is_played(self) -> None:
        if getattr(self, "exact", False):
            assert not self.listener.written & self.dead - {0}, "audio of an interrupted response was played"

    @invariant()
    def the_state_is_what_was_reported(self) -> None:
        if hasattr(self, "core"):
            assert self.core.state is self.state

    @invariant()
    def every_call_is_answered_at_most_once(self) -> None:
        assert all(count == 1 for count in getattr(self, "answers", {}).values())

    @invariant()
    def the_deadline_is_not_too_near(self) -> None:
        if hasattr(self, "core") and (deadline := self.core.deadline) is not None:
            assert deadline >= self.core._step.now + MIN_TICK_S

    @invariant()
    def what_is_heard_is_what_was_sent_and_is_not_pending(self) -> None:
        if not hasattr(self, "core"):
            return
        playback = self.core._answers.playback
        assert playback.pending == sum(samples for _, samples in playback._queue)
        assert all(0 <= item.heard <= item.received for item in playback._items.values())
        if self.exact:
            assert playback.pending >= self.pump.pending, "the listener has more to hear than was sent"

    def teardown(self) -> None:
        """Whatever happened: when nothing more is said, nothing is waited for without end."""
        if getattr(self, "broken", True):
            return
        if self.user_item is not None and not self.closed:
            self.user_ends()
        for call in self.running:
            self.step(self.core.tool_finished, call, "{}", error="", elapsed_ms=1)
        for _ in range(200):
            if self.state not in (State.PROCESSING, State.SPEAKING):
                break
            self.pass_time(10 * RATE)
        assert self.state not in (State.PROCESSING, State.SPEAKING), "waits without end"
        self.nothing_of_an_interrupted_response_is_played()
        if not self.closed:
            assert all(self.answers[call] == 1 for call in self.called)
            self.step(self.core.close, STOPPED)
        assert all(self.final[ticket] == 1 for ticket in range(1, self.tickets + 1)), "a ticket without an end"
        assert self.core.deadline is None
        self.step(self.core.receive, wire.decode('{"type":"session.created","session":{}}'))
        self.step(self.core.tick)
        self.step(self.core.interrupt)


SETTINGS = settings(
    max_examples=200,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)
ConversationMachine.TestCase.settings = SETTINGS
TestConversationMachine = ConversationMachine.TestCase


def _find_and_forget_that_it_was_dropped(self: Answers, response_id: str) -> Response | None:
    return self._lookup(response_id)


def test_the_machine_finds_a_planted_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """Late audio of an interrupted response is played: the machine has to notice, or it proves nothing."""
    monkeypatch.setattr(Answers, "_find", _find_and_forget_that_it_was_dropped)
    found = settings(SETTINGS, max_examples=500, derandomize=True, database=None, phases=(Phase.generate,))
    with pytest.raises(AssertionError, match="audio of an interrupted response was played"):
        run_state_machine_as_test(ConversationMachine, settings=found)  # type: ignore[no-untyped-call]
