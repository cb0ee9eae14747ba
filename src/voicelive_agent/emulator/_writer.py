"""The events of one response, in the service's order, and what of it has really gone out.

What is produced becomes steps of a stream; only when a step happens is the event sent. So whatever cuts the
response off finds out here what the client has seen, and closes exactly that.
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ._context import Context
from ._look import Look
from ._timeline import Step, Stream
from ._timing import Cues
from ._usage import Input, count, usage


@dataclass(slots=True, eq=False)
class Entry:
    """One output item: what was produced of it, and what of that was sent."""

    item: dict[str, Any]
    index: int
    close: Callable[[Entry], None] = field(repr=False)
    """Sends what comes before output_item.done, and completes ``item``."""
    text: str = ""
    """Text of a message or arguments of a call, as far as produced."""
    final: bool = False
    """Whether ``text`` is all there will be."""
    sent: str = ""
    spoken: bool = False
    """Whether audio of it was produced."""
    realtime_factor: float | None = None
    """How fast its audio is delivered, where that is not the session's pace."""
    annotations: int = 0
    """How many were produced."""
    cut_short: bool = False
    """Whether the token limit ended it."""

    @property
    def complete(self) -> bool:
        """Whether the client has all of the text."""
        return self.final and self.sent == self.text and not self.cut_short


@dataclass(slots=True)
class _Produced:
    text: int = 0
    audio_ms: float = 0.0
    entries: int = 0


class Writer:
    """Writes one response: messages here, other kinds of items by :mod:`._output_items` through :meth:`begin`."""

    def __init__(self, context: Context, look: Look, on_done: Callable[[], None]) -> None:
        self.context = context
        self._look = look
        self._on_done = on_done
        self._stream = Stream(context.timeline)
        self._sent: list[Entry] = []
        self._open: Entry | None = None
        self._produced = _Produced()
        self._first_output_at = 0.0
        self._gap = 0.0  # before the next audio delta, with the text that goes with it
        self.input = Input()
        """What the brain was shown, for the usage."""
        self.results: frozenset[str] = frozenset()
        """What functions and MCP tools had answered by then: the first item answers it."""

    # --- The response -------------------------------------------------------------------------------------

    def created(self) -> None:
        """Send response.created."""
        self._first_output_at = self.context.timeline.now + self.context.delays.output
        self.context.timeline.send("response.created", response=self._response("in_progress", None, None))

    def done(self, status: str, details: dict[str, Any] | None = None) -> None:
        """Close what is open and send response.done, after all that was produced."""
        self.add(lambda: self.close_open(whole=status != "failed"))
        self.add(lambda: self._send_done(status, details))

    def cut(self, details: dict[str, Any], *, late_audio: bool) -> None:
        """End the response as cancelled; what was not sent never is, but for one delta that is on its way."""
        context = self.context
        pending = self._stream.cut()
        until = context.timeline.now + context.delays.late if self._sent else 0.0
        late = next((step for step in pending if step.late), None) if late_audio and self._open else None
        if late is not None:
            self._stream.add(Step(late.act, not_before=until))
        self._stream.add(Step(self.close_open, not_before=until))
        self._stream.add(Step(lambda: self._send_done("cancelled", details)))

    def _send_done(self, status: str, details: dict[str, Any] | None) -> None:
        produced = self._produced
        cache_writes = not self.context.profile.realtime and not self.context.config.first_version
        if self._sent or status == "completed":
            used = usage(self.input, produced.text, produced.audio_ms, cache_writes=cache_writes)
        else:
            used = usage(Input(), 0, 0.0, cache_writes=cache_writes)
        self.context.timeline.send("response.done", response=self._response(status, details, used))
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

    def invocation(self, delta: Mapping[str, Any]) -> None:
        """Pass an event of a hosted agent through; it belongs to no item and carries no ids."""
        self.add(lambda: self.context.timeline.send("response.invocation.delta", delta=delta))

    # --- Messages -----------------------------------------------------------------------------------------

    def message(self) -> Entry:
        """Begin a message item."""
        profile = self.context.profile
        item = {
            "id": self.context.model_id("item" if profile.realtime else "msg"),
            "object": "realtime.item",
            "type": "message",
            "status": profile.new_item_status,
            "role": "assistant",
            "content": [],
        }
        entry = self.begin(item, self._close_message)
        part = {"type": "audio", "transcript": ""} if self._look.spoken else {"type": "text", "text": ""}

        def act() -> None:
            self._send_part("added", entry, part)
            entry.item["content"] = [part]

        self.add(act)
        return entry

    def text(self, entry: Entry, token: str) -> None:
        """Send a piece of the message's text (its transcript, where it is spoken)."""
        self.count(token)
        kind = "response.audio_transcript.delta" if self._look.spoken else "response.text.delta"

        def act() -> None:
            entry.sent += token
            self._send_content(kind, entry, delta=token)

        self.add(act, gap=self._take_gap())

    def annotate(self, entry: Entry, annotation: Mapping[str, Any]) -> None:
        """Send a note on the message; there is no event for one on a message that is only written."""
        if not self._look.spoken:
            return
        index, entry.annotations = entry.annotations, entry.annotations + 1
        kind = "response.audio_transcript.annotation.added"
        self.add(lambda: self._send_content(kind, entry, annotation_index=index, annotation=annotation))

    def audio(self, entry: Entry, chunk: bytes, cues: Cues) -> None:
        """Send a delta of the message's audio, and before it the cues that go with it."""
        context, ms = self.context, self._look.format.ms(len(chunk))
        self._produced.audio_ms += ms

        def act() -> None:
            context.items.delivered(entry.item["id"], ms, context.timeline.now)
            context.config.audio_was_sent()
            self._send_cues(entry, cues)
            delta = base64.b64encode(chunk).decode("ascii")
            if context.avatar.speak(self._look.id, entry.index):
                self._send_content("response.audio.delta", entry, delta=delta)

        first = not entry.spoken
        entry.spoken = True
        gap = self._take_gap()
        self.add(act, gap=context.delays.audio if first else gap, late=True)
        factor = self._factor(entry)
        self._gap = context.delays.delta if factor == float("inf") else ms / 1000 / factor

    def close(self, entry: Entry) -> None:
        """End the message: all of its text and audio was produced."""
        entry.final = True
        gap = self._take_gap()
        self.add(self.close_open, gap=0.0 if self._factor(entry) == float("inf") else gap)

    def _factor(self, entry: Entry) -> float:
        given = entry.realtime_factor
        return self.context.options.realtime_factor if given is None else given

    def _take_gap(self) -> float:
        gap, self._gap = self._gap, 0.0
        return gap

    def _send_cues(self, entry: Entry, cues: Cues) -> None:
        for word in cues.words:
            start_ms = int(word.offset_ms)
            self._send_content(
                "response.audio_timestamp.delta",
                entry,
                audio_offset_ms=start_ms,
                audio_duration_ms=int(word.offset_ms + word.duration_ms) - start_ms,
                text=word.text,
                timestamp_type="word",
            )
        for at_ms, viseme in cues.visemes:
            kind = "response.animation_viseme.delta"
            self._send_content(kind, entry, audio_offset_ms=int(at_ms), viseme_id=viseme)
        if cues.frames:
            kind = "response.animation_blendshapes.delta"
            self._send_content(kind, entry, frames=cues.frames, frame_index=cues.frame_index)

    def _end_cues(self, entry: Entry) -> None:
        if "word" in self._look.cues:
            self._send_content("response.audio_timestamp.done", entry)
        if "viseme_id" in self._look.cues:
            self._send_content("response.animation_viseme.done", entry)
        if "blendshapes" in self._look.cues:
            self.send("response.animation_blendshapes.done", entry)

    def _close_message(self, entry: Entry) -> None:
        text = entry.sent
        if self._look.spoken:
            part = {"type": "audio", "transcript": text}
            self._end_cues(entry)
            self._send_content("response.audio.done", entry)
            self._send_content("response.audio_transcript.done", entry, transcript=text)
            self._send_part("done", entry, part)
        else:
            part = {"type": "text", "text": text}
            self._send_content("response.text.done", entry, text=text)
            # A realtime model's part is empty here though the item has the text.
            self._send_part("done", entry, {**part, "text": ""} if self.context.profile.realtime else part)
        entry.item["content"] = [part]

    def _send_part(self, what: str, entry: Entry, part: dict[str, Any]) -> None:
        self._send_content(f"response.content_part.{what}", entry, part=dict(part))

    def _send_content(self, type: str, entry: Entry, **fields: Any) -> None:
        self.send(type, entry, content_index=0, **fields)

    # --- Any item -----------------------------------------------------------------------------------------

    def begin(self, item: dict[str, Any], close: Callable[[Entry], None]) -> Entry:
        """Begin an item: output_item.added, and item.created where it belongs to the conversation.

        ``close`` is called before its output_item.done, whether it is complete or was cut off.
        """
        entry = Entry(item, self._produced.entries, close)
        self._produced.entries += 1

        def act() -> None:
            self._sent.append(entry)
            self._open = entry
            self._send_item("added", entry)
            if self._look.in_conversation:
                self.context.items.answered |= self.results
                previous = self.context.items.add(item)
                self.context.timeline.send(
                    "conversation.item.created", previous_item_id=previous, item=copy.deepcopy(item)
                )

        self.add(act, not_before=self._first_output_at)
        return entry

    def count(self, text: str) -> None:
        """Count output for the usage."""
        self._produced.text += count(text)

    def close_open(self, *, whole: bool = True) -> None:
        """The step that ends the open item, if there is one."""
        entry, self._open = self._open, None
        if entry is None:
            return
        entry.close(entry)
        entry.item["status"] = "completed" if whole and entry.complete else "incomplete"
        self._send_item("done", entry)

    def let_go(self) -> None:
        """The open item is not ended with the response: an MCP server works on it."""
        self._open = None

    def add(self, act: Callable[[], None], *, gap: float = 0, not_before: float = 0, late: bool = False) -> None:
        """Do this after all that was produced before, unless the response is cut off first."""
        self._stream.add(Step(act, gap, not_before, late))

    def send(self, type: str, entry: Entry, **fields: Any) -> None:
        """Send an event about an item, now."""
        self.context.timeline.send(
            type, response_id=self._look.id, item_id=entry.item["id"], output_index=entry.index, **fields
        )

    def _send_item(self, what: str, entry: Entry) -> None:
        self.context.timeline.send(
            f"response.output_item.{what}",
            response_id=self._look.id,
            output_index=entry.index,
            item=copy.deepcopy(entry.item),
        )
