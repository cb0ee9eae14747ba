"""Drives a conversation machine one step at a time, with a listener who plays in real time.

The driver is the smallest shell there is: it performs what the machine returns (audio becomes ``pending``, a
StopPlayback makes it 0), lets time pass when told so, and keeps everything in order for the assertions.
"""

from __future__ import annotations

import base64
import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar

from voicelive_agent import _wire as wire
from voicelive_agent._approval import ApprovalAnswer
from voicelive_agent._conversation import Conversation
from voicelive_agent._outputs import MoveSpeech, Output, Play, StopPlayback
from voicelive_agent._plan import Plan, ToolPolicy
from voicelive_agent._turn_detection import turn_policy
from voicelive_agent.events import EVENT_TYPES, EndReason, State, StateChanged, Verdict

RATE = 24_000
SERVER_VAD: Mapping[str, Any] = {"type": "server_vad", "prefix_padding_ms": 300, "silence_duration_ms": 500}
STOPPED = Verdict(EndReason.STOPPED)
LOST = Verdict(EndReason.NETWORK, "the connection broke")

OutputT = TypeVar("OutputT")


def plan(
    *,
    turn_detection: Mapping[str, Any] | None = SERVER_VAD,
    profile: Literal["cascade", "realtime"] = "realtime",
    tools: Iterable[str] = (),
    cancelled_tools: Iterable[str] = (),
    approved_tools: Iterable[str] = (),
    filled_tools: Mapping[str, str] = {},
    **changes: Any,
) -> Plan:
    """A plan whose policy is read from the session that is sent."""
    session = {"instructions": "Be brief.", "turn_detection": turn_detection}
    return Plan(
        session=session,
        turns=turn_policy(session),
        profile=profile,
        tools=dict.fromkeys(tools, ToolPolicy())
        | dict.fromkeys(cancelled_tools, ToolPolicy(cancel_on_interruption=True))
        | dict.fromkeys(approved_tools, ToolPolicy(approval=True))
        | {name: ToolPolicy(filler=filler) for name, filler in filled_tools.items()},
        **changes,
    )


def silence(ms: int, *, rate: int = RATE) -> str:
    """This much PCM16 silence in base64."""
    return base64.b64encode(bytes(rate * ms // 1000 * 2)).decode()


class Driver:
    """One conversation, what it answered so far, and how much the listener has still to hear."""

    def __init__(self, the_plan: Plan | None = None, **changes: Any) -> None:
        self.plan = the_plan if the_plan is not None else plan(**changes)
        self.core = Conversation(self.plan)
        self.now = 100.0
        self.log: list[Output] = []
        self.last: list[Output] = []
        self._pending = 0.0  # samples; fractions of one are left over when time passes
        self._ids = itertools.count(1)

    # --- what is known ---

    def state(self) -> State:
        """A method, so that no type checker believes that it stays."""
        return self.core.state

    @property
    def pending(self) -> int:
        """Samples that the listener has not yet heard, rounded up."""
        return math.ceil(self._pending - 1e-6)

    def all(self, kind: type[OutputT]) -> list[OutputT]:
        """Every output of this kind so far."""
        return [output for output in self.log if isinstance(output, kind)]

    def one(self, kind: type[OutputT]) -> OutputT:
        """The only output of this kind in the last step."""
        (found,) = (output for output in self.last if isinstance(output, kind))
        return found

    def names(self) -> list[str]:
        """The last step as names of classes, in order."""
        return [type(output).__name__ for output in self.last]

    def asked(self, *, last: bool = False) -> list[str]:
        """The types of all requests so far (or of the last step)."""
        outputs = self.last if last else self.log
        return [wire.request_type(output) for output in outputs if isinstance(output, wire.Request)]

    def states(self) -> list[State]:
        """The states that were reported, one after another."""
        return [event.new for event in self.all(StateChanged)]

    def speech(self, ticket: int) -> list[str]:
        """How the ``say()`` of this ticket went."""
        return [move.status for move in self.all(MoveSpeech) if move.ticket == ticket]

    def told(self) -> list[str]:
        """The events of the last step as names, without the changes of state."""
        return [type(o).__name__ for o in self.last if isinstance(o, EVENT_TYPES) and type(o) is not StateChanged]

    # --- steps ---

    def feed(self, act: Callable[..., list[Output]], *args: Any, **kwargs: Any) -> list[Output]:
        """One step of the machine, performed."""
        self.last = act(*args, pending=self.pending, now=self.now, **kwargs)
        for output in self.last:
            if isinstance(output, StopPlayback):
                self._pending = 0
            elif isinstance(output, Play):
                self._pending += output.samples
        self.log += self.last
        return self.last

    def hear(self, kind: str, **fields: Any) -> list[Output]:
        """The service says this."""
        message: dict[str, Any] = {"type": kind, "event_id": f"event_{next(self._ids)}"}
        return self.hear_raw(json.dumps(message | fields))

    def hear_raw(self, text: str) -> list[Output]:
        return self.feed(self.core.receive, wire.decode(text))

    def tick(self) -> list[Output]:
        return self.feed(self.core.tick)

    def wait(self, seconds: float) -> list[Output]:
        """Let time pass: the listener hears what is pending, and ticks come when they were asked for."""
        end = self.now + seconds
        collected: list[Output] = []
        while (deadline := self.core.deadline) is not None and deadline <= end:
            assert deadline > self.now - 1e-9, "a deadline in the past"
            self._pass(max(deadline, self.now) - self.now)
            collected += self.tick()
        self._pass(end - self.now)
        self.last = collected
        return collected

    def skip(self, seconds: float) -> None:
        """Let time pass without a tick: the next step learns of it."""
        self._pass(seconds)

    def _pass(self, seconds: float) -> None:
        self.now += seconds
        self._pending = max(0.0, self._pending - seconds * self.plan.output_rate)

    def say(self, text: str, ticket: int | None = None, *, uninterruptible: bool = False) -> list[Output]:
        return self.feed(self.core.say, text, ticket=ticket, uninterruptible=uninterruptible)

    def type(self, text: str) -> list[Output]:
        return self.feed(self.core.send_text, text)

    def interrupt(self) -> list[Output]:
        return self.feed(self.core.interrupt)

    def finish_tool(self, call_id: str, output: str = "{}", *, error: str = "") -> list[Output]:
        return self.feed(self.core.tool_finished, call_id, output, error=error, elapsed_ms=5)

    def respond(self, params: Mapping[str, Any], ticket: int = 1, *, silent: bool = False) -> list[Output]:
        return self.feed(self.core.respond, params, ticket=ticket, silent=silent)

    def hold(self, change: int) -> list[Output]:
        return self.feed(self.core.hold, change)

    def approve(self, call_id: str, answer: ApprovalAnswer = True, *, reason: str = "refused") -> list[Output]:
        return self.feed(self.core.approval_answered, call_id, answer, reason=reason)

    def close(self, verdict: Verdict = STOPPED) -> list[Output]:
        return self.feed(self.core.close, verdict)

    # --- what services usually say ---

    def start(self) -> Driver:
        """The session is created, configured and accepted."""
        self.hear("session.created", session={"id": "sess_1"})
        self.hear("session.updated", session={"id": "sess_1"})
        return self

    def user_begins(self, item: str = "user_1", *, at_ms: int = 0) -> list[Output]:
        return self.hear("input_audio_buffer.speech_started", item_id=item, audio_start_ms=at_ms)

    def user_ends(self, item: str = "user_1", *, at_ms: int = 1_000) -> list[Output]:
        """The user has spoken, and a response of the service is due."""
        stopped = self.hear("input_audio_buffer.speech_stopped", item_id=item, audio_end_ms=at_ms)
        self.hear("input_audio_buffer.committed", item_id=item)
        self.last = stopped
        return stopped

    def transcript(self, text: str, item: str = "user_1") -> list[Output]:
        kind = "conversation.item.input_audio_transcription.completed"
        return self.hear(kind, item_id=item, content_index=0, transcript=text)

    def user_speaks(self, text: str = "hello", item: str = "user_1") -> None:
        """A whole turn of the user, up to the moment at which the answer is due."""
        self.user_begins(item)
        self.user_ends(item)
        self.transcript(text, item)

    def created(self, response: str = "resp_1", *, metadata: Mapping[str, Any] | None = None) -> list[Output]:
        return self.hear(
            "response.created", response={"id": response, "status": "in_progress", "metadata": metadata}
        )

    def granted(self, response: str = "resp_1") -> list[Output]:
        """The response that the machine asked for last is created, with its metadata echoed."""
        request = self.all(wire.CreateResponse)[-1]
        return self.created(response, metadata=request.response["metadata"])

    def item(self, item: str = "msg_1", response: str = "resp_1") -> list[Output]:
        message = {"id": item, "type": "message", "role": "assistant", "status": "in_progress"}
        return self.hear("response.output_item.added", response_id=response, output_index=0, item=message)

    def words(self, text: str = "some words", item: str = "msg_1", response: str = "resp_1") -> list[Output]:
        return self.hear("response.audio_transcript.delta", response_id=response, item_id=item, delta=text)

    def audio(self, ms: int = 1_000, item: str = "msg_1", response: str = "resp_1") -> list[Output]:
        delta = silence(ms, rate=self.plan.output_rate)
        return self.hear("response.audio.delta", response_id=response, item_id=item, delta=delta)

    def audio_done(self, item: str = "msg_1", response: str = "resp_1") -> list[Output]:
        return self.hear("response.audio.done", response_id=response, item_id=item)

    def done(self, response: str = "resp_1", status: str = "completed", **fields: Any) -> list[Output]:
        return self.hear("response.done", response={"id": response, "status": status, "output": []} | fields)

    def answer(self, ms: int = 1_000, item: str = "msg_1", response: str = "resp_1") -> None:
        """A whole answer of the service, delivered at once."""
        self.created(response)
        self.item(item, response)
        self.words("one two three four five six", item, response)
        self.audio(ms, item, response)
        self.audio_done(item, response)
        self.done(response)

    def call(self, call_id: str = "call_1", name: str = "look", response: str = "resp_1") -> list[Output]:
        """A complete function call of an open response."""
        item = {
            "id": f"item_{call_id}",
            "type": "function_call",
            "status": "completed",
            "name": name,
            "call_id": call_id,
            "arguments": '{"a": 1}',
        }
        return self.hear("response.output_item.done", response_id=response, output_index=0, item=item)

    def error(self, code: str, *, event_id: str | None = None, message: str = "no", **fields: Any) -> list[Output]:
        body = {"type": "invalid_request_error", "code": code, "message": message, "event_id": event_id}
        return self.hear("error", error=body | fields)
