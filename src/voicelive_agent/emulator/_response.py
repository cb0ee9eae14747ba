"""One response: the brain's actions become items, the voice's pieces become audio."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ._audio import OutputFormat
from ._config import check_output_format
from ._context import Context
from ._options import Job
from ._usage import read_tokens, text_of, tokens
from ._voicing import Voicing
from ._writer import Entry, Look, Writer
from .protocols import Action, Call, Say, Turn

_END = object()
_TOKENS_PER_DELTA = 3
"""How many pieces of text go with each audio delta where a realtime model mixes them."""


class Response:
    """From the request to the one response.done.

    ``automatic``: the service answers by itself, because a turn ended. A response waits until :meth:`begin`, and
    is in progress until its response.done was sent, which ``on_done`` tells.
    """

    def __init__(
        self,
        context: Context,
        request: Mapping[str, Any],
        *,
        automatic: bool,
        on_done: Callable[[Response], None],
    ) -> None:
        self.id = context.model_id("resp")
        self.automatic = automatic
        self.begun = self.cancelled = False
        self._context = context
        self._request = request
        self._ended = False  # no more is produced: cancelled, failed or complete
        self._cancelled_early: str | None = None
        self._thought = False
        self._started = False
        self._thoughts: Iterator[Action] | None = None
        self._actions: deque[Action] = deque()
        self._message: Entry | None = None
        self._voicing: Voicing | None = None
        self._unsent: deque[str] = deque()  # text that goes out beside the audio
        self._cut_short = False
        self.look = look_of(context, request, self.id)
        limit = self.look.described["max_output_tokens"]
        self._budget = limit if isinstance(limit, int) else float("inf")
        self._writer = Writer(context, self.look, lambda: on_done(self))

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
        self._turn = turn_of(self._context, self._request)
        self.look.input_text = read_tokens([self._turn.instructions, *map(text_of, self._turn.items)])
        self.look.input_audio_ms = sum(self._context.items.speech_ms.values())
        prepared = self._request.get("pre_generated_assistant_message")
        if prepared is None:
            self._context.work(Job("think", self._context.brain, self._run, self._then))
            return
        self._thought = True
        self._actions.append(Say(prepared["content"][0]["text"]))
        self._advance()

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
        self._end()
        message = f"{type(error).__name__}: {error}"
        details = {"type": "server_error", "code": "server_error", "message": message}
        self._writer.done("failed", {"type": "failed", "error": details})

    def _end(self) -> None:
        self._ended = True
        self._context.withdraw(self._then)
        if self._voicing:
            self._voicing.stop()

    # --- Thinking -----------------------------------------------------------------------------------------

    def _run(self) -> object:
        if self._thoughts is None:
            self._thoughts = iter(self._context.brain.answer(self._turn))
        return next(self._thoughts, _END)

    def _then(self, action: object) -> None:
        if self._ended:
            return
        match action:
            case Say(text=str()) | Call(name=str(), arguments=Mapping()):
                self._actions.append(action)
                self._context.work(Job("think", self._context.brain, self._run, self._then))
            case BaseException():
                self.fail(action)
            case _ if action is _END:
                self._thought = True
            case _:
                self.fail(TypeError(f"The brain must yield Say or Call, not {action!r:.60}."))
        self._advance()

    def _advance(self) -> None:
        """Turn actions into output as far as possible: a call waits until the message before it is spoken."""
        while not self._ended:
            match self._actions[0] if self._actions else None:
                case Say(text):
                    self._actions.popleft()
                    self._say(text)
                case Call() as call if self._close_message():
                    self._actions.popleft()
                    self._call(call)
                case None if self._thought and self._close_message():
                    self._complete()
                case _:
                    return

    def _complete(self) -> None:
        self._ended = True
        if self._cut_short:
            self._writer.done("incomplete", {"type": "incomplete", "reason": "max_output_tokens"})
        else:
            self._writer.done("completed")

    # --- Speaking and calling -----------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        if not text:
            return
        if self._message is None:
            self._message = self._writer.message()
        message = self._message
        if message.text and not message.text[-1].isspace() and not text[0].isspace():
            text = f" {text}"
        pieces = self._affordable(tokens(text))
        message.text += "".join(pieces)
        message.cut_short = self._cut_short
        self._unsent.extend(pieces)
        mixed = self._context.profile.realtime and not self.look.azure_voice
        self._send_text(_TOKENS_PER_DELTA if self.look.spoken and mixed else len(self._unsent))
        if self.look.spoken and pieces:
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
                self.look.format,
                azure_voice=self.look.azure_voice,
                on_chunk=self._send_audio,
                on_idle=self._advance,
                on_error=self.fail,
            )
        return self._voicing

    def _send_audio(self, chunk: bytes) -> None:
        assert self._message is not None
        self._send_text(_TOKENS_PER_DELTA)
        self._writer.audio(self._message, chunk)

    def _close_message(self) -> bool:
        """Whether no message is open any more; one that is still being spoken stays so."""
        if self._message is None:
            return True
        if self._voicing is not None:
            if not self._voicing.idle:
                self._message.final = self._thought and not self._actions
                return False
            self._voicing.finish()
        self._send_text(len(self._unsent))
        self._writer.close(self._message)
        self._message = self._voicing = None
        return True

    def _call(self, call: Call) -> None:
        try:
            arguments = json.dumps(dict(call.arguments), ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            self.fail(error)
        else:
            self._writer.call(call.name, arguments)


def look_of(context: Context, request: Mapping[str, Any], response_id: str) -> Look:
    """How the response to ``request`` describes itself; raises ClientError for an impossible audio format."""

    def get(name: str) -> Any:
        given = request.get(name)
        return context.config[name] if given is None else given

    realtime = context.profile.realtime
    voice = get("voice")
    if isinstance(voice, str):
        voice = {"name": voice, "type": "openai"}
    format = get("output_audio_format")
    check_output_format(format, voice, "response.output_audio_format")
    modalities = get("modalities")
    limit = request.get("max_output_tokens") or request.get("max_response_output_tokens")
    limit = limit or context.config["max_response_output_tokens"]
    kept = request.get("commit") is not False and request.get("conversation") != "none"
    shown = format if realtime or not context.config.first_version else None
    described = {
        "conversation_id": context.conversation_id if kept else None,
        "modalities": list(modalities),
        "voice": dict(voice),
        "output_audio_format": shown or ("pcm16" if realtime else None),
        "temperature": None if realtime else get("temperature"),
        "max_output_tokens": limit if realtime or limit != "inf" else None,
        "metadata": request.get("metadata"),
    }
    return Look(
        id=response_id,
        spoken="audio" in modalities,
        azure_voice=voice["type"] != "openai",
        format=OutputFormat.named(format),
        described=described,
        in_conversation=kept,
    )


def turn_of(context: Context, request: Mapping[str, Any]) -> Turn:
    """What the brain is shown."""
    items = context.items.for_brain()
    if request.get("input_items") is not None:
        items = [dict(item) for item in request["input_items"]]
    config = context.config
    tools = config["tools"] if request.get("tools") is None else request["tools"]
    instructions = request.get("instructions")
    return Turn(
        items=items,
        instructions=(config["instructions"] if instructions is None else instructions) or "",
        tools=[dict(tool) for tool in tools if tool["type"] == "function"],
        tool_choice=request.get("tool_choice") or config["tool_choice"],
        request=dict(request),
    )
