"""One response: the brain's actions become items, the voice's pieces become audio."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from ._actions import checked
from ._context import Context
from ._interim import Interim, interim_of
from ._look import look_of, tools_of, turn_of
from ._mcp_output import mcp_call
from ._options import Job
from ._output_items import function_call, search
from ._timing import Cues
from ._tool_choice import ToolChoice
from ._usage import Input, tokens
from ._voicing import Voicing
from ._writer import Entry, Writer
from .protocols import Action, Annotate, Call, Fail, Invocation, Say, Search, Wait

_END = object()
_TOKENS_PER_DELTA = 3
"""How many pieces of text go with each audio delta where a realtime model mixes them."""


@dataclass(frozen=True, slots=True)
class _Aside:
    """The text of an interim response. The token limit does not count it: another model makes it."""

    text: str


_Output: TypeAlias = Action | _Aside


class Response:
    """From the request to the one response.done.

    ``automatic``: the service answers by itself, because a turn ended, or after ``silence_ms`` without one. A
    response waits until :meth:`begin`, and is in progress until its response.done was sent, which ``on_done``
    tells.
    """

    def __init__(
        self,
        context: Context,
        request: Mapping[str, Any],
        *,
        automatic: bool,
        on_done: Callable[[Response], None],
        silence_ms: float = 0.0,
    ) -> None:
        self.id = context.model_id("resp")
        self.automatic = automatic
        self.begun = self.cancelled = False
        self._context = context
        self._request = request
        self._silence_ms = silence_ms
        self._ended = False  # no more is produced: cancelled, failed or complete
        self._cancelled_early: str | None = None
        self._thought = False
        self._started = False
        self._thoughts: Iterator[Action] | None = None
        self._actions: deque[_Output] = deque()
        self._message: Entry | None = None
        self._voicing: Voicing | None = None
        self._unsent: deque[str] = deque()  # text that goes out beside the audio
        self._cut_short = False
        self._calling = 0  # MCP servers that are still working
        self._silent = True  # nothing was said or called yet
        self._pausing = False  # what was said so far goes out whole: nothing may follow for a while
        self._look = look_of(context, request, self.id)
        self._interim = interim_of(context, request, self._look)
        limit = self._look.described["max_output_tokens"]
        self._budget = limit if isinstance(limit, int) else float("inf")
        self._writer = Writer(context, self._look, lambda: on_done(self))

    # --- Life ---------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Send response.created."""
        self.begun = True
        self._writer.created()
        if self._cancelled_early is not None:
            self.cancel(self._cancelled_early)

    def think(self) -> None:
        """Start producing: all that the user said before is known now."""
        if self._started or self._ended:
            return
        self._started = True
        context = self._context
        self._turn = turn_of(context, self._request, self._silence_ms)
        self._choice = ToolChoice(self._turn, parallel=context.config["parallel_tool_calls"] is not False)
        prepared = self._request.get("pre_generated_assistant_message")
        if prepared is not None:
            self._thought = True
            self._actions.append(Say(prepared["content"][0]["text"]))
            self._advance()
            return
        self._writer.results = context.items.results
        self._writer.input = Input.of(self._turn.instructions, self._turn.items, context.items.speech_ms)
        self._think_on()
        if self._interim and "latency" in self._interim.triggers:
            context.timeline.at(context.timeline.now + self._interim.threshold_s, self._bridge_and_go_on)

    def cancel(self, reason: str) -> None:
        """End it as cancelled (``turn_detected`` or ``client_cancelled``); a waiting one is, when it has begun."""
        self.cancelled = True
        if not self.begun:
            self._cancelled_early = reason
            return
        self._end()
        self._writer.cut({"type": "cancelled", "reason": reason}, late_audio=reason == "turn_detected")

    def fail(self, error: BaseException) -> None:
        """End it as failed, with the error's text; what was produced before is still sent."""
        self._fail(Fail(f"{type(error).__name__}: {error}"))

    def _fail(self, failure: Fail) -> None:
        self._end()
        if failure.code == "content_filter":
            self._writer.done("incomplete", {"type": "incomplete", "reason": "content_filter"})
            return
        error = {"type": "server_error", "code": failure.code, "message": failure.message}
        self._writer.done("failed", {"type": "failed", "error": error})

    def _end(self) -> None:
        self._ended = True
        self._context.withdraw(self._then)
        if self._voicing:
            self._voicing.stop()

    # --- Thinking -----------------------------------------------------------------------------------------

    def _think_on(self) -> None:
        if not self._ended and not self._thought:
            self._context.work(Job("think", self._context.brain, self._run, self._then))

    def _run(self) -> object:
        if self._thoughts is None:
            self._thoughts = iter(self._context.brain.answer(self._turn))
        thought: object = next(self._thoughts, _END)
        if thought is _END:
            return self._choice.owed() or _END
        return checked(thought)

    def _then(self, thought: Any) -> None:
        if self._ended or self._cut_short:
            return
        match thought:
            case BaseException():
                self.fail(thought)
            case _ if thought is _END:
                self._thought = True
            case Wait(ms):
                self._pausing = True
                timeline = self._context.timeline
                timeline.at(timeline.now + ms / 1000, self._think_on)
            case Fail():
                self._thought = True
                self._actions.append(thought)
            case _:
                self._take(thought)
                self._think_on()
        self._advance()

    def _take(self, action: Action) -> None:
        if isinstance(action, Call):
            if not self._choice.takes(action):
                return
            if self._interim and "tool" in self._interim.triggers:
                self._bridge(self._interim)
        if isinstance(action, Say | Call | Search):
            self._silent = False
        self._actions.append(action)

    def _bridge_and_go_on(self) -> None:
        if self._interim and not self._ended:
            self._bridge(self._interim)
            self._advance()

    def _bridge(self, interim: Interim) -> None:
        """Say something before the answer, if nothing was said or called yet."""
        if self._silent:
            self._silent = False
            self._pausing = True
            self._actions.append(_Aside(interim.text))

    def _advance(self) -> None:
        """Turn actions into output as far as possible; what is no text waits until that before it is spoken."""
        while not self._ended:
            match self._actions[0] if self._actions else None:
                case Say(text, factor):
                    self._actions.popleft()
                    self._say(self._affordable(tokens(self._joined(text))), factor)
                case _Aside(text):
                    self._actions.popleft()
                    self._say(tokens(self._joined(text)), None)
                case Annotate(annotation):
                    self._actions.popleft()
                    self._annotate(annotation)
                case Invocation(delta):
                    self._actions.popleft()
                    self._writer.invocation(delta)
                case Fail() as failure if self._spoken_out():
                    self._fail(failure)
                case Call() as call if self._close_message():
                    self._actions.popleft()
                    self._call(call)
                case Search() as what if self._close_message():
                    self._actions.popleft()
                    search(self._writer, what)
                case None if self._thought and self._close_message() and not self._calling:
                    self._complete()
                case _:
                    if self._pausing:
                        self._spoken_out()
                    return

    def _complete(self) -> None:
        self._ended = True
        if self._cut_short:
            self._writer.done("incomplete", {"type": "incomplete", "reason": "max_output_tokens"})
        else:
            self._writer.done("completed")

    # --- Speaking and calling -----------------------------------------------------------------------------

    def _joined(self, text: str) -> str:
        """The text with a space before it where the message so far needs one."""
        before = self._message.text if self._message else ""
        return f" {text}" if before and text and not before[-1].isspace() and not text[0].isspace() else text

    def _say(self, pieces: list[str], realtime_factor: float | None) -> None:
        if not pieces:
            return
        if self._message is None:
            self._message = self._writer.message()
        message = self._message
        if realtime_factor is not None:
            message.realtime_factor = realtime_factor
        message.text += "".join(pieces)
        message.cut_short = self._cut_short
        self._unsent.extend(pieces)
        mixed = self._context.profile.realtime and not self._look.azure_voice
        self._send_text(_TOKENS_PER_DELTA if self._look.spoken and mixed else len(self._unsent))
        if self._look.spoken:
            self._speech().say("".join(pieces))

    def _affordable(self, pieces: list[str]) -> list[str]:
        """As many of ``pieces`` as the token limit allows; where it is reached, the response ends with them."""
        if len(pieces) > self._budget:
            pieces = pieces[: int(self._budget)]
            self._cut_short = self._thought = True
            self._actions.clear()
            self._context.withdraw(self._then)
        self._budget -= len(pieces)
        return pieces

    def _send_text(self, limit: int) -> None:
        assert self._message is not None
        for _ in range(min(limit, len(self._unsent))):
            self._writer.text(self._message, self._unsent.popleft())

    def _speech(self) -> Voicing:
        if self._voicing is None:
            self._voicing = Voicing(
                self._context,
                self._look,
                on_chunk=self._send_audio,
                on_idle=self._advance,
                on_error=self.fail,
            )
        return self._voicing

    def _send_audio(self, chunk: bytes, cues: Cues) -> None:
        assert self._message is not None
        self._send_text(_TOKENS_PER_DELTA)
        self._writer.audio(self._message, chunk, cues)

    def _spoken_out(self) -> bool:
        """Whether all that was said is out, as text and as audio; what fills no whole delta is sent as it is."""
        if self._voicing is not None:
            if not self._voicing.idle:
                return False
            self._voicing.finish()
        if self._message is not None:
            self._send_text(len(self._unsent))
        self._pausing = False
        return True

    def _close_message(self) -> bool:
        """Whether no message is open any more; one that is still being spoken stays so."""
        if self._message is None:
            return True
        if not self._spoken_out():
            self._message.final = self._thought and not self._actions
            return False
        self._writer.close(self._message)
        self._message = self._voicing = None
        return True

    def _annotate(self, annotation: Mapping[str, Any]) -> None:
        if self._message is None:
            self.fail(ValueError("Annotate needs a message to annotate: yield Say before it."))
            return
        self._send_text(len(self._unsent))
        self._writer.annotate(self._message, annotation)

    def _call(self, call: Call) -> None:
        """Every call leaves here: to the client, or to the MCP server that has a tool of this name."""
        arguments = self._affordable(tokens(json.dumps(call.arguments, ensure_ascii=False)))
        server = self._context.mcp.server_of(call.name, tools_of(self._context, self._request))
        if server is None or self._cut_short:
            function_call(self._writer, call.name, arguments, cut_short=self._cut_short)
            return
        self._calling += 1
        mcp_call(self._writer, server, call.name, arguments, response_id=self.id, on_done=self._called)

    def _called(self) -> None:
        self._calling -= 1
        self._advance()
