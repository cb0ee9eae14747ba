"""The events of one response, in the service's order, and what of it has really gone out.

What is produced becomes steps of a stream; only when a step happens is the event sent. So whatever cuts the
response off finds out here what the client has seen, and closes exactly that.
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ._audio import OutputFormat
from ._context import Context
from ._timeline import Step, Stream
from ._usage import count, tokens, usage


@dataclass(slots=True, eq=False)
class Entry:
    """One output item: what was produced of it, and what of that was sent."""

    item: dict[str, Any]
    index: int
    text: str = ""
    """Text of a message or arguments of a call, as far as produced."""
    final: bool = False
    """Whether ``text`` is all there will be."""
    sent: str = ""
    spoken: bool = False
    """Whether audio of it was produced."""
    cut_short: bool = False
    """Whether the token limit ended it."""

    @property
    def complete(self) -> bool:
        """Whether the client has all of the text."""
        return self.final and self.sent == self.text and not self.cut_short


@dataclass(slots=True, kw_only=True)
class Look:
    """How a response describes itself, and where its items go."""

    id: str
    spoken: bool
    azure_voice: bool
    format: OutputFormat
    described: dict[str, Any]
    """The fields of ``response`` that do not change."""
    in_conversation: bool
    input_text: int = 0
    input_audio_ms: float = 0.0


@dataclass(slots=True)
class _Produced:
    text: int = 0
    audio_ms: float = 0.0
    entries: list[Entry] = field(default_factory=list)


class Writer:
    """Writes one response."""

    def __init__(self, context: Context, look: Look, on_done: Callable[[], None]) -> None:
        self._context = context
        self._look = look
        self._on_done = on_done
        self._stream = Stream(context.timeline)
        self._sent: list[Entry] = []
        self._open: Entry | None = None
        self._produced = _Produced()
        self._first_output_at = 0.0
        self._gap = 0.0  # before the next audio delta, with the text that goes with it

    # --- The response -------------------------------------------------------------------------------------

    def created(self) -> None:
        """Send response.created."""
        self._first_output_at = self._context.timeline.now + self._context.delays.output
        self._context.timeline.send("response.created", response=self._response("in_progress", None, None))

    def done(self, status: str, details: dict[str, Any] | None = None) -> None:
        """Close what is open and send response.done, after all that was produced."""
        self._add(lambda: self._close_open(whole=status != "failed"))
        self._add(lambda: self._send_done(status, details))

    def cut(self, details: dict[str, Any], *, late_audio: bool) -> None:
        """End the response as cancelled; what was not sent never is, but for one delta that is on its way."""
        context = self._context
        pending = self._stream.cut()
        until = context.timeline.now + context.delays.late if self._sent else 0.0
        late = next((step for step in pending if step.late), None) if late_audio and self._open else None
        if late is not None:
            self._stream.add(Step(late.act, not_before=until))
        self._stream.add(Step(self._close_open, not_before=until))
        self._stream.add(Step(lambda: self._send_done("cancelled", details)))

    def _send_done(self, status: str, details: dict[str, Any] | None) -> None:
        produced, look = self._produced, self._look
        config, realtime = self._context.config, self._context.profile.realtime
        cache_writes = not realtime and not config.first_version
        numbers: dict[str, Any] = {}
        if self._sent or status == "completed":
            numbers = {
                "input_text": look.input_text,
                "input_audio_ms": look.input_audio_ms,
                "output_text": produced.text,
                "output_audio_ms": produced.audio_ms,
            }
        response = self._response(status, details, usage(**numbers, cache_writes=cache_writes))
        self._context.timeline.send("response.done", response=response)
        self._on_done()

    def _response(self, status: str, details: Any, used: dict[str, Any] | None) -> dict[str, Any]:
        return {
            "object": "realtime.response",
            "id": self._look.id,
            "status": status,
            "status_details": details,
            "output": [copy.deepcopy(entry.item) for entry in self._sent],
            "usage": used,
            **self._look.described,
        }

    # --- Messages -----------------------------------------------------------------------------------------

    def message(self) -> Entry:
        """Begin a message item."""
        profile = self._context.profile
        item = {
            "id": self._context.model_id("item" if profile.realtime else "msg"),
            "object": "realtime.item",
            "type": "message",
            "status": profile.new_item_status,
            "role": "assistant",
            "content": [],
        }
        entry = self._begin(item)
        part = {"type": "audio", "transcript": ""} if self._look.spoken else {"type": "text", "text": ""}

        def act() -> None:
            self._send_part("added", entry, part)
            entry.item["content"] = [part]

        self._add(act)
        return entry

    def text(self, entry: Entry, token: str) -> None:
        """Send a piece of the message's text (its transcript, where it is spoken)."""
        self._produced.text += count(token)
        kind = "response.audio_transcript.delta" if self._look.spoken else "response.text.delta"

        def act() -> None:
            entry.sent += token
            self._send(kind, entry, delta=token)

        self._add(act, gap=self._take_gap())

    def audio(self, entry: Entry, chunk: bytes) -> None:
        """Send a delta of the message's audio."""
        context, ms = self._context, self._look.format.ms(len(chunk))
        self._produced.audio_ms += ms

        def act() -> None:
            context.items.delivered(entry.item["id"], ms, context.timeline.now)
            context.config.audio_was_sent()
            self._send("response.audio.delta", entry, delta=base64.b64encode(chunk).decode("ascii"))

        first = not entry.spoken
        entry.spoken = True
        gap = self._take_gap()
        self._add(act, gap=context.delays.audio if first else gap, late=True)
        factor = context.options.realtime_factor
        self._gap = context.delays.delta if factor == float("inf") else ms / 1000 / factor

    def close(self, entry: Entry) -> None:
        """End the message: all of its text and audio was produced."""
        entry.final = True
        paced = self._context.options.realtime_factor != float("inf")
        gap = self._take_gap()
        self._add(self._close_open, gap=gap if paced else 0.0)

    def _take_gap(self) -> float:
        gap, self._gap = self._gap, 0.0
        return gap

    def _close_message(self, entry: Entry) -> None:
        text = entry.sent
        if self._look.spoken:
            part = {"type": "audio", "transcript": text}
            self._send("response.audio.done", entry)
            self._send("response.audio_transcript.done", entry, transcript=text)
            self._send_part("done", entry, part)
        else:
            part = {"type": "text", "text": text}
            self._send("response.text.done", entry, text=text)
            # A realtime model's part is empty here though the item has the text.
            self._send_part("done", entry, {**part, "text": ""} if self._context.profile.realtime else part)
        entry.item["content"] = [part]

    # --- Function calls -----------------------------------------------------------------------------------

    def call(self, name: str, arguments: str) -> None:
        """Send a whole function call."""
        item = {
            "id": self._context.model_id("item"),
            "object": "realtime.item",
            "type": "function_call",
            "status": "in_progress",
            "name": name,
            "call_id": self._context.ids.call(self._context.profile.call_id_length),
            "arguments": "",
        }
        entry = self._begin(item)
        entry.text, entry.final = arguments, True
        self._produced.text += count(arguments)
        for token in tokens(arguments):
            self._add(partial(self._send_arguments, entry, token))
        self._add(self._close_open)

    def _send_arguments(self, entry: Entry, token: str) -> None:
        entry.sent += token
        self._send_call("response.function_call_arguments.delta", entry, delta=token)

    def _close_call(self, entry: Entry) -> None:
        item = entry.item
        item["arguments"] = entry.sent
        self._send_call("response.function_call_arguments.done", entry, name=item["name"], arguments=entry.sent)

    # --- Both ---------------------------------------------------------------------------------------------

    def _begin(self, item: dict[str, Any]) -> Entry:
        entry = Entry(item, len(self._produced.entries))
        self._produced.entries.append(entry)

        def act() -> None:
            self._sent.append(entry)
            self._open = entry
            self._send_item("added", entry)
            if self._look.in_conversation:
                previous = self._context.items.add(item)
                self._context.timeline.send(
                    "conversation.item.created", previous_item_id=previous, item=copy.deepcopy(item)
                )

        self._add(act, not_before=self._first_output_at)
        return entry

    def _close_open(self, *, whole: bool = True) -> None:
        entry, self._open = self._open, None
        if entry is None:
            return
        if entry.item["type"] == "message":
            self._close_message(entry)
        else:
            self._close_call(entry)
        entry.item["status"] = "completed" if whole and entry.complete else "incomplete"
        self._send_item("done", entry)

    def _add(self, act: Callable[[], None], *, gap: float = 0, not_before: float = 0, late: bool = False) -> None:
        self._stream.add(Step(act, gap, not_before, late))

    def _send(self, type: str, entry: Entry, **fields: Any) -> None:
        self._context.timeline.send(
            type,
            response_id=self._look.id,
            item_id=entry.item["id"],
            output_index=entry.index,
            content_index=0,
            **fields,
        )

    def _send_part(self, what: str, entry: Entry, part: dict[str, Any]) -> None:
        self._send(f"response.content_part.{what}", entry, part=dict(part))

    def _send_item(self, what: str, entry: Entry) -> None:
        self._context.timeline.send(
            f"response.output_item.{what}",
            response_id=self._look.id,
            output_index=entry.index,
            item=copy.deepcopy(entry.item),
        )

    def _send_call(self, type: str, entry: Entry, **fields: Any) -> None:
        self._context.timeline.send(
            type,
            response_id=self._look.id,
            item_id=entry.item["id"],
            output_index=entry.index,
            call_id=entry.item["call_id"],
            **fields,
        )
