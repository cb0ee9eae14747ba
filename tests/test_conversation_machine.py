"""The conversation machine, the real pump and a listener, against a service that says anything in any order.

Hypothesis draws what happens: a service that keeps to the rules, one that does not, a user, tools, time. After
every step the promises are checked that must hold whatever was said.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule
from tests.conversation_driver import LOST, RATE, STOPPED
from tests.conversation_model import POLICIES, Conversing

from voicelive_agent import _wire as wire
from voicelive_agent._answers import Answers
from voicelive_agent._conversation import MIN_TICK_S
from voicelive_agent._outputs import Output
from voicelive_agent._responses import Response
from voicelive_agent._toolcalls import ToolCalls
from voicelive_agent.events import State

# Bytes of one delta; some end in half a sample.
SIZES = st.sampled_from([9_600, 48_000, 48_000, 4_801, 4_801, 3, 0])
TOOLS = ("look", "book", "pay", "find")


class ConversationMachine(Conversing):
    """What may happen, in any order."""

    # --- a service that keeps to the rules ---

    @precondition(lambda self: self.inbox and not self.closed)
    @rule(
        refuse=st.sampled_from([False, False, False, True]),
        named=st.booleans(),
        echo=st.sampled_from([True, True, False]),
    )
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
            case wire.CommitInput():
                self.say("input_audio_buffer.committed", item_id=f"u{self.count}")
            case wire.UpdateSession() if refuse:
                self.refuse("invalid_value", request.event_id)
            case wire.UpdateSession():
                self.say("session.updated", session={"id": "s"})

    def refuse(self, code: str, event_id: str | None) -> None:
        self.say(
            "error", error={"type": "invalid_request_error", "code": code, "message": "no", "event_id": event_id}
        )

    def make_response(self, metadata: Any = None) -> None:
        response = f"r{len(self.responses) + 1}"
        self.responses.append(response)
        self.service_open = response
        self.say("response.created", response={"id": response, "status": "in_progress", "metadata": metadata})

    def end_response(self, status: str) -> None:
        response, self.service_open = self.service_open, None
        details = {"error": {"code": "server_error", "message": "m"}} if status == "failed" else None
        self.say("response.done", response={"id": response, "status": status, "status_details": details})

    @precondition(lambda self: not self.closed)
    @rule(sizes=st.lists(SIZES, max_size=3), status=st.sampled_from(["", "completed", "completed", "failed"]))
    def service_catches_up(self, sizes: list[int], status: str) -> None:
        """All requests are granted, and there is an answer: some of it or all of it."""
        while self.inbox and self.service_open is None:
            self.service_answers(refuse=False, named=True, echo=True)
        if self.service_open is None and self.user_item is None:
            self.make_response()
        if self.service_open is not None:
            for size in sizes:
                self.response_sounds(size, "a")
        if self.service_open is not None and status:
            self.end_response(status)

    @precondition(lambda self: self.service_open is None and not self.closed)
    @rule(names=st.lists(st.sampled_from([*TOOLS, "unknown"]), min_size=1, max_size=2), again=st.booleans())
    def service_calls_tools(self, names: list[str], again: bool) -> None:
        self.make_response()
        if again and self.called:
            self.call(self.called[-1], "look")
        for name in names:
            self.response_calls(name)
        self.end_response("completed")

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
    @rule(size=SIZES, item=st.sampled_from("ab"))
    def response_sounds(self, size: int, item: str) -> None:
        assert self.service_open is not None
        self.delta(self.service_open, size, item)

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
        self.call(f"c{self.count}", name)

    def call(self, call_id: str, name: str) -> None:
        call = {"id": f"i{self.count}", "type": "function_call", "name": name, "call_id": call_id}
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
                self.say(
                    "response.audio_transcript.delta", response_id=response, item_id=f"{response}a", delta="x"
                )
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
            [
                "server_error",
                "conversation_already_has_active_response",
                "response_cancel_not_active",
                "insufficient_quota",
            ]
        ),
        text=st.sampled_from(
            ["", "[", "[]", "{}", '{"type":"new"}', '{"type":"response.done"}', '{"type":"error"}', "\ud800"]
        ),
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

    @rule(unnoticed=st.sampled_from([0, 240, 4_800]))
    def interrupt(self, unnoticed: int) -> None:
        """By hand, and perhaps a moment after the last step: what was heard since then has to be seen first."""
        self.listener.listen(unnoticed)
        self.now += unnoticed / self.listener.format.rate
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
        self.finish(data.draw(st.sampled_from(self.called)))

    def finish(self, call: str) -> None:
        if call in self.running:
            self.running.remove(call)
        self.learn_result(call)
        self.step(self.core.tool_finished, call, "{}", error="", elapsed_ms=1)

    def learn_result(self, call: str) -> None:
        """With the last result of a response the time is over in which a filler may begin to be heard."""
        left = {batch for open_call, batch in self.batch.items() if open_call != call}
        if call not in self.batch or left & self.bridged or self.closed:
            return
        response = self.core._answers.responses.open
        if response is not None and response.want is not None and response.want.event_id == self.filler:
            number = self.number(response.id)
            if number is not None and not self.core._answers._said(response):
                self.dead.add(number)

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), answer=st.sampled_from([True, True, False, "always"]))
    def approval_is_answered(self, data: st.DataObject, answer: Any) -> None:
        self.step(self.core.approval_answered, data.draw(st.sampled_from(self.asked)), answer)

    @precondition(lambda self: self.service_open is None and self.user_item is None and not self.closed)
    @rule(late=st.booleans(), interrupts=st.booleans())
    def filler_meets_the_result(self, late: bool, interrupts: bool) -> None:
        """A slow tool, a filler that is asked for, and a result just before or after that is created."""
        while self.inbox and self.service_open is None:
            self.service_answers(refuse=False, named=True, echo=True)
        if self.service_open is not None:
            return
        call_id = f"c{self.count}"
        self.make_response()
        self.call(call_id, "find")
        self.end_response("completed")
        self.pass_time(2 * RATE)
        if not late:
            self.finish(call_id)
        self.service_catches_up([], "")
        if late:
            self.finish(call_id)
        if interrupts:
            self.interrupt(0)
        self.service_catches_up([9_600], "completed")

    @precondition(lambda self: self.count > 30)
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
    def every_approval_is_decided_at_most_once(self) -> None:
        assert all(count == 1 for call, count in getattr(self, "approved", {}).items() if call in self.asked)

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
        self.pass_time(4 * RATE)  # an approval that does not come by then is refused
        for call in self.running:
            self.step(self.core.tool_finished, call, "{}", error="", elapsed_ms=1)
        for _ in range(200):
            if self.state not in (State.PROCESSING, State.SPEAKING):
                break
            self.pass_time(10 * RATE)
        assert self.state not in (State.PROCESSING, State.SPEAKING), "waits without end"
        self.nothing_of_an_interrupted_response_is_played()
        if not self.closed:
            assert all(self.answers[call] == 1 for call in [*self.called, *self.asked])
            self.step(self.core.close, STOPPED)
        assert all(self.final[ticket] == 1 for ticket in range(1, self.tickets + 1)), "a ticket without an end"
        assert self.core.deadline is None
        assert all(self.approved[call] == 1 for call in self.asked), "an approval without an answer"
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


def _keep_the_filler(self: Answers) -> None:
    """Say it though the result is there."""


def _approve_all(self: ToolCalls, call_id: str, arguments: str) -> list[Output]:
    return self._run(call_id, arguments)


BARGE_IN = [("service_catches_up", {"sizes": [48_000], "status": ""}), ("user_begins", {"late": True})]
FILLED = [("filler_meets_the_result", {"late": True, "interrupts": False})]
UNAPPROVED = [("service_calls_tools", {"names": ["pay"], "again": False})]


def walked(steps: list[tuple[str, dict[str, Any]]]) -> None:
    """A machine to which this has happened, one step after the other, and what it thinks of that."""
    machine = ConversationMachine()
    machine.start(POLICIES[0], RATE)
    for name, arguments in steps:
        getattr(machine, name)(**arguments)
        machine.nothing_of_an_interrupted_response_is_played()
    machine.teardown()


@pytest.mark.parametrize(
    ("owner", "name", "bug", "steps", "noticed"),
    [
        (
            Answers,
            "_audible",
            _find_and_forget_that_it_was_dropped,
            BARGE_IN,
            "of an interrupted response was played",
        ),
        (Answers, "_drop_filler", _keep_the_filler, FILLED, "interrupted response was played"),
        (ToolCalls, "_ask", _approve_all, UNAPPROVED, "a call ran that nobody approved"),
    ],
    ids=["late audio", "late filler", "no approval"],
)
def test_the_machine_finds_a_planted_bug(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, bug: Any, steps: Any, noticed: str
) -> None:
    """What must not happen is made to happen: the machine has to notice, or it proves nothing.

    The steps are those of its rules, so that it comes this way by chance as well; and without the bug all is well.
    """
    walked(steps)
    monkeypatch.setattr(owner, name, bug)
    with pytest.raises(AssertionError, match=noticed):
        walked(steps)
