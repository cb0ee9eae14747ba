"""What the live view knows of one session, gathered from its events: who said what, the tools, how it ended."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from ..event_log import describe, shortened
from ..observers import ConnectionInfo
from ._sound import Budget, Format, Track

__all__ = ["EVENTS", "LINES", "Entry", "Line", "Record"]

EVENTS: Final = 2_000
"""Events kept per session; those that carry audio are counted apart, so that they do not push out the others."""
LINES: Final = 500
"""Lines of a conversation kept per session."""
_MESSAGE: Final = "message"

Side = Literal["user", "agent", "system", "tool", "error"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One event. ``body`` is shortened; ``at_s`` counts from the opening of the session."""

    seq: int
    at_s: float
    who: Literal["client", "server"]
    type: str
    note: str
    audio: bool
    body: Any

    def to_line(self) -> dict[str, Any]:
        """What the list shows, without the body."""
        return {
            "seq": self.seq,
            "at": self.at_s,
            "who": self.who,
            "type": self.type,
            "note": self.note,
            "audio": self.audio,
        }


@dataclass(slots=True)
class Line:
    """One line of the conversation: what somebody said, a tool, or an error."""

    id: str
    side: Side
    at_s: float
    text: str = ""
    partial: bool = False
    note: str = ""
    output: str | None = None
    start_s: float | None = None
    """Where the user's audio of it begins in the user's stream; None if nothing of it was spoken."""
    end_s: float | None = None
    spoken: bool = False
    changed: int = field(default=0, repr=False)


class Record:
    """One session as the live view shows it. Fed with its events in order; ``seq`` grows with each of them."""

    def __init__(self, info: ConnectionInfo, now: float, budget: Budget) -> None:
        self.info = info
        self._opened = now
        self.seq: int = 0
        self.ended: tuple[float, int | None, str] | None = None
        """Seconds since the opening, close code and reason."""
        self._plain: deque[Entry] = deque(maxlen=EVENTS)
        self._audio: deque[Entry] = deque(maxlen=EVENTS)
        self._lines: dict[str, Line] = {}
        self.user: Track = Track(budget)
        self.agent: Track = Track(budget)
        self.cut: dict[str, float] = {"number": 0, "at": 0.0}
        self.model: str = info.model
        self._input, self._output, self._session_output = Format(), Format(), Format()
        self._interrupts = True
        self._speaking = False
        self._answering: set[str] = set()
        self._committed_s = 0.0

    # --- what it is fed with ----------------------------------------------------------------------------------

    def take(self, who: Literal["client", "server"], event: Mapping[str, Any], now: float) -> None:
        """One event, sent by the client or by the server."""
        self.seq += 1
        at_s = round(now - self._opened, 3)
        kind = str(event["type"])
        audio = kind in _AUDIO
        entry = Entry(self.seq, at_s, who, kind[:80], describe(event), audio, shortened(event))
        (self._audio if audio else self._plain).append(entry)
        handler = (_CLIENT if who == "client" else _SERVER).get(kind)
        if handler is not None:
            handler(self, event, at_s)

    def close(self, code: int | None, reason: str, now: float) -> None:
        """The socket is closed."""
        self.seq += 1
        self.ended = round(now - self._opened, 3), code, reason

    def forget(self) -> None:
        """Give back what its audio takes."""
        for track in (self.user, self.agent):
            while track.chunks:
                track.drop_oldest()

    # --- what it tells ----------------------------------------------------------------------------------------

    def events(self, after: int = 0) -> list[Entry]:
        """The events that are kept, in order, after a ``seq``."""
        kept = (_tail(self._plain, after), _tail(self._audio, after))
        return list(heapq.merge(*kept, key=lambda entry: entry.seq))

    def event(self, seq: int) -> Entry | None:
        """One event, if it is kept."""
        return next((entry for each in (self._plain, self._audio) for entry in each if entry.seq == seq), None)

    def lines(self, after: int = 0) -> list[dict[str, Any]]:
        """The lines of the conversation that changed after a ``seq``, in the order of the conversation."""
        return [asdict(line) for line in self._lines.values() if line.changed > after]

    def line(self, id: str) -> Line | None:
        """One line of the conversation."""
        return self._lines.get(id)

    @property
    def state(self) -> str:
        """closed, user speaking, answering, or idle."""
        if self.ended is not None:
            return "closed"
        if self._speaking:
            return "user speaking"
        return "answering" if self._answering else "idle"

    def summary(self) -> dict[str, Any]:
        """What the list of sessions shows."""
        lasted, code, reason = self.ended or (None, None, "")
        return {
            "number": self.info.number,
            "model": self.model,
            "opened": self.info.opened_at,
            "lasted": lasted,
            "state": self.state,
            "code": code,
            "reason": reason,
            "events": self.seq,
        }

    # --- the conversation -------------------------------------------------------------------------------------

    def _line(self, id: str, side: Side, at_s: float) -> Line:
        """The line of an item; a new one at the end, where there is none."""
        line = self._lines.get(id)
        if line is None:
            line = self._lines[id] = Line(id, side, at_s)
            if len(self._lines) > LINES:
                del self._lines[next(iter(self._lines))]
        line.changed = self.seq
        return line

    def _session(self, event: Mapping[str, Any], at_s: float) -> None:
        session = _object(event, "session")
        self._input = Format.of_input(session)
        self._session_output = self._output = Format.of_output(session.get("output_audio_format"))
        self._interrupts = _object(session, "turn_detection").get("interrupt_response") is not False
        self.model = str(session.get("model") or self.model)

    def _appended(self, event: Mapping[str, Any], at_s: float) -> None:
        if isinstance(audio := event.get("audio"), str):
            # A live client sends what was said just before; one that sends all at once is ahead of the clock.
            lasts = len(audio) * 3 / 4 / self._input.frame_bytes / self._input.rate
            self.user.add(audio, self._input, max(self.user.end_s, at_s - lasts))

    def _cleared(self, event: Mapping[str, Any], at_s: float) -> None:
        self._committed_s = self.user.position_s

    def _speech_started(self, event: Mapping[str, Any], at_s: float) -> None:
        self._speaking = True
        line = self._line(str(event["item_id"]), "user", at_s)
        line.partial, line.spoken = True, True
        line.start_s = event["audio_start_ms"] / 1000
        if self._interrupts and self.agent.end_s > at_s:
            self.agent.cut(at_s)
            self.cut = {"number": self.agent.count, "at": at_s}

    def _speech_stopped(self, event: Mapping[str, Any], at_s: float) -> None:
        self._speaking = False
        line = self._line(str(event["item_id"]), "user", at_s)
        line.end_s = event["audio_end_ms"] / 1000

    def _item_committed(self, event: Mapping[str, Any], at_s: float) -> None:
        line = self._line(str(event["item_id"]), "user", at_s)
        line.partial, line.spoken = not line.text, True
        if line.start_s is None:
            line.start_s = self._committed_s
        if line.end_s is None:
            line.end_s = self.user.position_s
        self._speaking = False
        self._committed_s = self.user.position_s

    def _transcribed(self, event: Mapping[str, Any], at_s: float) -> None:
        line = self._line(str(event["item_id"]), "user", at_s)
        line.text, line.partial = str(event["transcript"]), False
        line.note = "" if line.text else "no words were heard"

    def _transcribing(self, event: Mapping[str, Any], at_s: float) -> None:
        line = self._line(str(event["item_id"]), "user", at_s)
        line.text += str(event.get("delta") or "")

    def _not_transcribed(self, event: Mapping[str, Any], at_s: float) -> None:
        line = self._line(str(event["item_id"]), "user", at_s)
        line.partial, line.note = False, f"no transcript: {_object(event, 'error').get('message', '')}"

    def _item_created(self, event: Mapping[str, Any], at_s: float) -> None:
        item = _object(event, "item")
        if item.get("type") == "function_call_output":
            for line in self._lines.values():
                if line.side == "tool" and line.note == item.get("call_id"):
                    line.output, line.changed = str(item.get("output")), self.seq
            return
        side = _SIDES.get(str(item.get("role")))
        text = " ".join(
            str(part.get("text") or "") for part in item.get("content") or () if isinstance(part, dict)
        )
        if item.get("type") == _MESSAGE and side is not None and text.strip():
            line = self._line(str(item["id"]), side, at_s)
            line.text, line.partial = text, False

    def _truncated(self, event: Mapping[str, Any], at_s: float) -> None:
        line = self._line(str(event["item_id"]), "agent", at_s)
        line.note = f"heard up to {event['audio_end_ms'] / 1000:.1f} s"

    def _response_created(self, event: Mapping[str, Any], at_s: float) -> None:
        response = _object(event, "response")
        self._answering.add(str(response.get("id")))
        name = response.get("output_audio_format")
        self._output = Format.of_output(name) if name else self._session_output

    def _response_done(self, event: Mapping[str, Any], at_s: float) -> None:
        response = _object(event, "response")
        self._answering.discard(str(response.get("id")))
        status, details = response.get("status"), _object(response, "status_details")
        if status == "completed":
            return
        error = _object(details, "error")
        note = f"{status}: {error.get('message') or details.get('reason') or 'no reason given'}"
        output = [item for item in response.get("output") or () if isinstance(item, dict)]
        for item in output:
            if item.get("type") == _MESSAGE:
                line = self._line(str(item["id"]), "agent", at_s)
                line.note, line.partial = note, False
        if not output:
            self._line(str(response.get("id")), "error", at_s).text = f"response {note}"

    def _item_added(self, event: Mapping[str, Any], at_s: float) -> None:
        item = _object(event, "item")
        if item.get("type") == _MESSAGE:
            self._line(str(item["id"]), "agent", at_s).partial = True

    def _words(self, event: Mapping[str, Any], at_s: float) -> None:
        self._line(str(event["item_id"]), "agent", at_s).text += str(event["delta"])

    def _item_done(self, event: Mapping[str, Any], at_s: float) -> None:
        item = _object(event, "item")
        if item.get("type") == _MESSAGE:
            self._line(str(item["id"]), "agent", at_s).partial = False
        elif item.get("name"):
            line = self._line(str(item["id"]), "tool", at_s)
            line.text, line.note = f"{item['name']}({item.get('arguments') or ''})", str(item.get("call_id") or "")
            result = item.get("output") or item.get("error")
            line.output = line.output if result is None else str(result)

    def _spoke(self, event: Mapping[str, Any], at_s: float) -> None:
        item_id = str(event["item_id"])
        # It is played from when it arrives, and behind what arrived before.
        self.agent.add(str(event["delta"]), self._output, max(self.agent.end_s, at_s), item_id)
        line = self._lines.get(item_id)
        if line is not None and not line.spoken:
            line.spoken, line.changed = True, self.seq

    def _failed(self, event: Mapping[str, Any], at_s: float) -> None:
        error = _object(event, "error") or _object(event, "warning")
        line = self._line(f"event {self.seq}", "error", at_s)
        line.text = f"{error.get('code') or event['type']}: {error.get('message')}"


def _tail(entries: deque[Entry], after: int) -> Iterator[Entry]:
    """The entries after a ``seq``: of a long list only its end is looked at."""
    tail = []
    for entry in reversed(entries):
        if entry.seq <= after:
            break
        tail.append(entry)
    return reversed(tail)


def _object(event: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = event.get(name)
    return value if isinstance(value, dict) else {}


_Handler = Callable[[Record, Mapping[str, Any], float], None]
_SIDES: Final[Mapping[str, Side]] = {
    "user": "user",
    "assistant": "agent",
    "system": "system",
    "developer": "system",
}
_AUDIO: Final = frozenset({"input_audio_buffer.append", "input_audio.turn.append", "response.audio.delta"})
_CLIENT: Final[Mapping[str, _Handler]] = {
    "input_audio_buffer.append": Record._appended,
    "input_audio.turn.append": Record._appended,
}
_SERVER: Final[Mapping[str, _Handler]] = {
    "session.created": Record._session,
    "session.updated": Record._session,
    "input_audio_buffer.cleared": Record._cleared,
    "input_audio_buffer.speech_started": Record._speech_started,
    "input_audio_buffer.speech_stopped": Record._speech_stopped,
    "input_audio_buffer.committed": Record._item_committed,
    "conversation.item.input_audio_transcription.delta": Record._transcribing,
    "conversation.item.input_audio_transcription.completed": Record._transcribed,
    "conversation.item.input_audio_transcription.failed": Record._not_transcribed,
    "conversation.item.created": Record._item_created,
    "conversation.item.truncated": Record._truncated,
    "response.created": Record._response_created,
    "response.output_item.added": Record._item_added,
    "response.audio_transcript.delta": Record._words,
    "response.text.delta": Record._words,
    "response.audio.delta": Record._spoke,
    "response.output_item.done": Record._item_done,
    "response.done": Record._response_done,
    "error": Record._failed,
    "warning": Record._failed,
}
