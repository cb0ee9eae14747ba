"""The conversation machine, with no I/O in it.

Feed it what the service said and how much audio is still unheard; it answers with what to do, in order. It never
waits, never reads a clock and never starts a task, so a test can drive it one step at a time. The state is
computed from facts, never assigned: there is no way to forget a transition.

``pending`` (samples of the session's output format sent to playback and not yet heard) is the clock of what the
listener knows; ``now`` (seconds of any monotonic clock) only limits waiting and measures latencies.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from . import _wire as wire
from . import events
from ._answers import Answers
from ._approval import ApprovalAnswer
from ._approvals import Approvals
from ._asking import Asking, saying
from ._batches import Batches
from ._incoming import Incoming
from ._manual_turns import ManualTurns
from ._mcp_calls import MCP_HANDLERS, McpCalls
from ._outputs import End, Output
from ._plan import Plan, ToolPolicy
from ._responses import Want
from ._step import Step
from ._tool_items import NOT_SHOWN, text_of
from ._toolcalls import ToolCalls
from ._turns import Turns
from ._typed import TypedItems
from ._updates import Change, Updates
from ._user_speech import SPEECH_HANDLERS, UserSpeech
from ._waiting import Waiting
from .events import EndReason, State, Verdict
from .history import History, Role

__all__ = ["Conversation"]

MIN_TICK_S: Final = 0.010
"""No deadline is nearer than this: a sink that reports in blocks must not make a busy loop."""
FIRST_HEARD_TICK_S: Final = 0.020
"""How often to look whether the first sample of an answer was heard."""

FATAL_CODES: Final = frozenset(
    {
        "session_expired",
        "agent_initialization_failed",
        "insufficient_quota",
        "invalid_api_key",
        "token_expired",
    }
)
"""Service errors after which the service hangs up."""

_ROLES: Final[dict[str, Role]] = {"user": "user", "assistant": "assistant"}


class Conversation:
    """One conversation with the service, as pure bookkeeping. Every input returns what to do, in order."""

    def __init__(self, plan: Plan) -> None:
        self._step = Step(plan)
        self._history = History()
        self._turns = Turns(plan)
        self._approvals = Approvals(plan.approval_s)
        batches = Batches()
        self._tools = ToolCalls(self._step, batches, self._approvals)
        self._answers = Answers(self._step, self._turns, self._tools, self._history)
        self._asking = Asking(self._step, self._turns, self._tools, self._answers)
        self._mcp = McpCalls(
            self._step, self._turns, self._answers.responses, batches, self._approvals, self._history
        )
        self._waiting = Waiting(self._step, self._turns, self._answers, self._mcp)
        self._speech = UserSpeech(self._step, self._turns, self._answers, self._history)
        self._manual = ManualTurns(self._step, self._turns, self._answers, self._history)
        self._typed = TypedItems(self._step, self._turns, self._answers.responses, self._history)
        self._updates = Updates(self._step, self._turns, self._answers)
        self._incoming = Incoming(self._step)
        self._reported = State.CONNECTING
        self._start_by: float | None = None  # the service has to accept the configuration until then
        self._started = False
        self._ended = False

    # --- what is known ---

    @property
    def state(self) -> State:
        """Where the conversation stands: the first rule that holds."""
        if self._ended:
            return State.CLOSED
        if not self._started:
            return State.CONNECTING
        if self._turns.failed:
            return State.ERROR
        if self._turns.user_speaks:
            return State.LISTENING
        if self._answers.playback.audible(self._step.now):
            return State.SPEAKING
        if (
            self._turns.due_item is not None
            or self._answers.responses.coming
            or self._tools.waiting(self._turns.number)
        ):
            return State.PROCESSING
        return State.READY

    @property
    def _plan(self) -> Plan:
        return self._step.plan

    @property
    def tools(self) -> Mapping[str, ToolPolicy]:
        """The agent's own tools that are in force."""
        return self._plan.tools

    @property
    def history(self) -> History:
        """What was said and heard so far."""
        for response in self._answers.live():
            self._answers.record_progress(response)
        return self._history

    @property
    def mutes_input(self) -> bool:
        """Whether silence is to be sent instead of the microphone: something uninterruptible is being said."""
        return self._answers.responses.uninterruptible

    @property
    def turns_by_hand(self) -> bool:
        """Whether nobody but the user says when a turn begins and ends (push-to-talk)."""
        return self._plan.turns.kind == "manual"

    @property
    def deadline(self) -> float | None:
        """When to call :meth:`tick`, unless something else is fed before. None: nothing to wait for."""
        if self._ended:
            return None
        now, playback = self._step.now, self._answers.playback
        limits = [self._start_by, self._manual.deadline, playback.deadline(now), self._waiting.deadline]
        limits += [self._approvals.deadline, self._asking.deadline, self._updates.deadline]
        if playback.pending and any(not response.heard for response in self._answers.live()):
            limits.append(now + FIRST_HEARD_TICK_S)
        nearest = min((limit for limit in limits if limit is not None), default=None)
        return None if nearest is None else max(nearest, now + MIN_TICK_S)

    # --- inputs ---

    def receive(self, message: wire.Message, *, pending: int, now: float) -> list[Output]:
        """The service said something."""
        self._begin(pending, now)
        if not self._ended and self._incoming.is_news(message):
            _HANDLERS[type(message)](self, message)
        return self._end()

    def tick(self, *, pending: int, now: float) -> list[Output]:
        """Nothing was said, but more was heard, or a limit ran out."""
        self._begin(pending, now)
        if not self._ended:
            self._check_limits()
        return self._end()

    def audio_sent(self, samples: int, now: float) -> None:
        """So many samples of microphone audio were handed to the connection."""
        self._turns.clock.sent(samples, now)

    def interrupt(self, *, pending: int, now: float) -> list[Output]:
        """Stop the agent at once: what it is saying, and what it was asked to say."""
        self._begin(pending, now)
        if not self._ended:
            self._answers.drop_wants()
            self._answers.interrupt(cancel=True)
            self._tools.spoken()
            self._tools.hush()
        return self._end()

    def say(
        self, text: str, *, ticket: int | None = None, uninterruptible: bool = False, pending: int, now: float
    ) -> list[Output]:
        """Let the agent say exactly this, as soon as nothing else is being said."""
        return self._want(Want(saying(self._plan, text), ticket, uninterruptible), pending, now)

    def respond(
        self, params: Mapping[str, Any], *, ticket: int | None, silent: bool, pending: int, now: float
    ) -> list[Output]:
        """Let the model answer with these parameters; ``silent``: nobody is to notice, its text is given back."""
        return self._want(Want(params, ticket, silent=silent, depth=self._tools.depth), pending, now)

    def _want(self, want: Want, pending: int, now: float) -> list[Output]:
        self._begin(pending, now)
        if self._ended:
            self._step.move(want.ticket, "dropped", "the conversation has ended")
        else:
            self._answers.responses.wants.append(want)
        return self._end()

    def hold(self, change: int, *, pending: int, now: float) -> list[Output]:
        """A scope in which nothing is to be interrupted begins (+1) or ends (-1)."""
        return self._act(pending, now, lambda: self._answers.responses.hold(change))

    def send_text(self, text: str, *, respond: bool = True, pending: int, now: float) -> list[Output]:
        """The user typed something; an answer is asked for, unless it is only for the model to know."""
        content = [{"type": "input_text", "text": text}]
        return self.send_content(content, text, respond=respond, pending=pending, now=now)

    def send_content(
        self, content: Sequence[Mapping[str, Any]], text: str, *, respond: bool = True, pending: int, now: float
    ) -> list[Output]:
        """The user gave something with these parts (text, images), which the history shows as ``text``."""
        return self._act(pending, now, lambda: self._typed.add(content, text, respond=respond))

    def update_session(self, change: Change, *, ticket: int, pending: int, now: float) -> list[Output]:
        """Change the session, once the service has answered all changes before this one."""
        return self._act(pending, now, lambda: self._updates.want(ticket, change))

    def begin_turn(self, *, pre_roll_ms: int = 0, limit_s: float = 60.0, pending: int, now: float) -> list[Output]:
        """The user takes the word by push-to-talk."""
        return self._act(pending, now, lambda: self._manual.begin(pre_roll_ms=pre_roll_ms, limit_s=limit_s))

    def end_turn(self, *, pending: int, now: float) -> list[Output]:
        """The user has finished by push-to-talk."""
        return self._act(pending, now, self._manual.end)

    def hear(self, audio: bytes) -> bytes:
        """The microphone of a conversation with turns by hand has heard this: what is to be sent now."""
        return self._manual.hear(audio)

    def tool_finished(
        self, call_id: str, output: str, *, error: str = "", elapsed_ms: int = 0, pending: int, now: float
    ) -> list[Output]:
        """A tool has answered. Only the first answer to a call counts."""
        finish = functools.partial(self._tools.finished, call_id, output, error=error, elapsed_ms=elapsed_ms)
        return self._act(pending, now, lambda: self._step.out.extend(finish()))

    def approval_answered(
        self, call_id: str, answer: ApprovalAnswer, *, reason: str = "refused", pending: int, now: float
    ) -> list[Output]:
        """``approve()`` has answered. Only the first answer counts; ``reason`` is why it is a refusal."""
        decide = functools.partial(self._approvals.answer, call_id, answer, reason, now=now)
        return self._act(pending, now, lambda: self._step.out.extend(decide(turn=self._turns.number)))

    def close(self, verdict: Verdict, *, pending: int, now: float) -> list[Output]:
        """It is over: asked for, or lost. What is queued is silenced only if somebody asked to stop."""
        return self._act(pending, now, lambda: self._finish(verdict))

    # --- one step ---

    @property
    def in_flight(self) -> int:
        """Samples of ``pending`` that silence would come too late for; whoever knows sets it before a step."""
        return self._answers.playback.in_flight

    @in_flight.setter
    def in_flight(self, samples: int) -> None:
        self._answers.playback.in_flight = samples

    def _act(self, pending: int, now: float, act: Callable[[], None]) -> list[Output]:
        """One step in which somebody here wants something."""
        self._begin(pending, now)
        if not self._ended:
            act()
        return self._end()

    def _begin(self, pending: int, now: float) -> None:
        self._step.now = now
        self._answers.playback.advance(pending, now)

    def _end(self) -> list[Output]:
        if not self._ended:
            self._answers.settle()
            if self._started:
                self._updates.next()
                self._asking.next()
        if (state := self.state) is not self._reported:
            self._step.tell(events.StateChanged(self._reported, state))
            self._reported = state
        return self._step.take()

    # --- the session ---

    def _on_session_created(self, message: wire.SessionCreated) -> None:
        if self._start_by is None and not self._started:
            self._start_by = self._step.now + self._plan.start_s
            event_id = self._step.requests.new_id()
            self._step.ask(wire.UpdateSession(event_id=event_id, session=dict(self._plan.session)))

    def _on_session_updated(self, message: wire.SessionUpdated) -> None:
        request = self._step.requests.confirmed(wire.UpdateSession)
        if not self._started:
            self._start(message)
        if request is not None:
            self._updates.granted(request, message.session)
        self._manual.follow()

    def _start(self, message: wire.SessionUpdated) -> None:
        self._started, self._start_by = True, None
        self._step.tell(events.SessionStarted(str(message.session.get("id", "")), message.session))
        self._typed.started()
        if self._plan.turns.auto_truncates:
            text = "auto_truncate is on: the service cuts its record at its own guess of what was played"
            self._step.tell(events.Warned("auto_truncate", text))
        if self._plan.greeting:
            self._answers.responses.wants.appendleft(Want(saying(self._plan, self._plan.greeting)))

    def _on_error(self, message: wire.ErrorReceived) -> None:
        error = message.error
        code, text = error.code or "", error.message or ""
        request = self._step.requests.refused(error)
        if isinstance(request, wire.UpdateSession) and not self._started:
            self._step.tell(events.RequestRefused("session.update", code, text, error.param))
            hint = f"Mend {error.param} in the configuration." if error.param else "Mend the configuration."
            self._finish(Verdict(EndReason.CONFIGURATION, f"the service refused the session: {text}", hint))
        elif request is not None:
            self._on_refused(request, error)
        elif code != "response_cancel_not_active":
            fatal = code in FATAL_CODES
            self._turns.failed = self._turns.failed or fatal
            self._step.tell(events.ServiceFailed(code, text, error.type or "", error.param, fatal))

    def _on_refused(self, request: wire.Request, error: wire.ErrorInfo) -> None:
        """An own request was refused: its rule applies, and the state is what the facts say."""
        code, text = error.code or "", error.message or ""
        responses = self._answers.responses
        open_response = responses.open.id if responses.open is not None else None
        instead = self._answers.corrections.refused(request, open_response=open_response)
        if instead is not None:
            self._step.out += instead
        elif self._updates.refused(request, error):
            pass  # whoever wanted it is told
        elif isinstance(request, wire.CancelResponse) and code == "response_cancel_not_active":
            pass  # it ended by itself just before: the usual race
        elif isinstance(request, wire.CreateResponse) and code == "conversation_already_has_active_response":
            self._answers.postpone(error.event_id or None)
        else:
            if isinstance(request, wire.CreateItem):
                self._mcp.refused(request)
            self._manual.refused(request)
            if responses.in_flight is not None and responses.in_flight.event_id == request.event_id:
                self._step.move(responses.give_up(), "dropped", text)
            self._step.tell(events.RequestRefused(wire.request_type(request), code, text, error.param))

    def _on_warning(self, message: wire.WarningReceived) -> None:
        self._step.tell(events.Warned(message.warning.code or "", message.warning.message or ""))

    def _finish(self, verdict: Verdict) -> None:
        """The last step: silence if it was asked for, and whoever waits for something is told."""
        if verdict.reason in (EndReason.STOPPED, EndReason.FAILED):
            self._answers.interrupt(cancel=False)
        self._answers.drop_all()
        self._updates.drop_all(verdict)
        self._step.out += self._tools.cancel_all()
        self._ended = True
        self._step.tell(events.StateChanged(self._reported, State.CLOSED))
        self._step.tell(events.SessionEnded(verdict))
        self._step.out.append(End(verdict))
        self._reported = State.CLOSED

    # --- the record ---

    def _on_item_created(self, message: wire.ItemCreated) -> None:
        item = message.item
        if item.id is None:
            return
        self._step.requests.confirmed(wire.CreateItem, item.id)
        if not self._answers.corrections.created(item.id) and item.type not in NOT_SHOWN:
            self._history.mention(item.id, _ROLES.get(item.role or "", "tool"))
        self._record_tool(item)
        self._mcp.on_item_created(item, item.id)

    def _on_output_item(self, message: wire.OutputItemAdded | wire.OutputItemDone) -> None:
        self._answers.on_output_item(message)
        self._record_tool(message.item)
        self._mcp.on_output_item(message)

    def _record_tool(self, item: wire.ItemInfo) -> None:
        if item.id is not None and (text := text_of(item)):
            self._history.say(item.id, text)

    def _on_response_done(self, message: wire.ResponseDone) -> None:
        self._answers.on_response_done(message)
        self._mcp.response_ended(message.response)

    def _on_item_deleted(self, message: wire.ItemDeleted) -> None:
        self._step.requests.confirmed(wire.DeleteItem, message.item_id)
        self._answers.corrections.deleted(message.item_id)

    def _on_item_truncated(self, message: wire.ItemTruncated) -> None:
        self._step.requests.confirmed(wire.TruncateItem, message.item_id)
        self._answers.corrections.truncated(message.item_id)

    # --- limits ---

    def _check_limits(self) -> None:
        if self._start_by is not None and self._step.now >= self._start_by:
            detail = f"no session.updated within {self._plan.start_s:g} s"
            self._finish(Verdict(EndReason.UNAVAILABLE, detail, "Try again; if it persists, try another region."))
            return
        self._manual.check()
        self._step.out += self._approvals.give_up(turn=self._turns.number, now=self._step.now)
        self._waiting.check()
        self._updates.check()

    def _on_unreadable(self, message: wire.Unreadable) -> None:
        if (verdict := self._incoming.on_unreadable(message)) is not None:
            self._finish(verdict)


def _part(name: str, handler: Callable[[Any, Any], None]) -> Callable[[Conversation, Any], None]:
    """A message that is about one part of the conversation and nothing else goes straight to it."""
    return lambda conversation, message: handler(getattr(conversation, name), message)


_HANDLERS: Final[dict[type[Any], Callable[[Conversation, Any], None]]] = {
    wire.SessionCreated: Conversation._on_session_created,
    wire.SessionUpdated: Conversation._on_session_updated,
    wire.ErrorReceived: Conversation._on_error,
    wire.WarningReceived: Conversation._on_warning,
    **{kind: _part("_speech", handler) for kind, handler in SPEECH_HANDLERS.items()},
    wire.ItemCreated: Conversation._on_item_created,
    wire.ItemDeleted: Conversation._on_item_deleted,
    wire.ItemTruncated: Conversation._on_item_truncated,
    wire.ResponseCreated: _part("_answers", Answers.on_response_created),
    wire.ResponseDone: Conversation._on_response_done,
    wire.OutputItemAdded: Conversation._on_output_item,
    wire.OutputItemDone: Conversation._on_output_item,
    wire.CallArgumentsDone: _part("_answers", Answers.on_call_arguments),
    **{kind: _part("_mcp", handler) for kind, handler in MCP_HANDLERS.items()},
    wire.TextDelta: _part("_answers", Answers.on_agent_delta),
    wire.TextDone: _part("_answers", Answers.on_agent_text),
    wire.TranscriptDelta: _part("_answers", Answers.on_agent_delta),
    wire.TranscriptDone: _part("_answers", Answers.on_agent_text),
    wire.WordTimestamp: _part("_answers", Answers.on_word),
    wire.AudioDelta: _part("_answers", Answers.on_audio),
    wire.AudioDone: _part("_answers", Answers.on_audio_done),
    wire.Unknown: _part("_incoming", Incoming.on_unknown),
    wire.Unreadable: Conversation._on_unreadable,
}
