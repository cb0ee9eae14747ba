"""What a fault does to one message, and the order and time in which messages then come out."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Generic, TypeVar

from ._fault_actions import Corrupt, Drop, Duplicate, DuplicateTranscript

__all__ = ["Frame", "Lane", "altered", "kind_of", "resolved"]

_DEEP = "[" * 100_000 + "]" * 100_000
_TRANSCRIPT = "conversation.item.input_audio_transcription.completed"
_ITEM = "conversation.item.created"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Frame:
    """A text (``str``) or binary frame; ``event`` is what it says, None where it is no event any more."""

    data: str | bytes
    event: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Frame:
        """The frame of an event."""
        return cls(json.dumps(event, separators=(",", ":")), event)


def kind_of(event: Mapping[str, Any] | None) -> str:
    """The type of an event; empty for what is none."""
    return str(event.get("type", "")) if event is not None else ""


def altered(
    action: Drop | Duplicate | DuplicateTranscript | Corrupt, frame: Frame, new_id: Callable[[], str]
) -> list[Frame]:
    """What is sent instead of a frame."""
    match action:
        case Drop():
            return []
        case Duplicate() if frame.event is not None:
            fresh = {"event_id": new_id()} if action.new_id else {}
            return [frame, Frame.of({**frame.event, **fresh, **(action.changes or {})})]
        case Duplicate():
            return [frame, frame]
        case DuplicateTranscript():
            return _heard_twice(action, frame, new_id)
        case Corrupt():
            return [_corrupted(action, frame)]


def _heard_twice(action: DuplicateTranscript, frame: Frame, new_id: Callable[[], str]) -> list[Frame]:
    event = frame.event
    if event is None:
        return [frame]
    again = {**event, "event_id": new_id()}
    if event.get("type") == _TRANSCRIPT:
        empty = Frame.of({**again, "transcript": ""})
        return [empty, frame] if action.empty == "first" else [frame, empty]
    item = event.get("item")
    if event.get("type") == _ITEM and isinstance(item, Mapping) and _is_audio(item):
        return [frame, Frame.of({**again, "previous_item_id": item.get("id")})]
    return [frame]


def _is_audio(item: Mapping[str, Any]) -> bool:
    return any(
        isinstance(part, Mapping) and part.get("type") == "input_audio" for part in item.get("content") or ()
    )


def _corrupted(action: Corrupt, frame: Frame) -> Frame:
    text = frame.data if isinstance(frame.data, str) else frame.data.decode("utf-8", "replace")
    event = dict(frame.event or {})
    match action.how:
        case "bad_json":
            return Frame("{nope")
        case "truncated":
            return Frame(text[: len(text) // 2])
        case "not_object":
            return Frame(json.dumps(action.value))
        case "empty":
            return Frame("")
        case "binary":
            return Frame(b"\xff\xfe\x00\x80")
        case "deep":
            return Frame(_DEEP)
        case "unknown_type":
            event["type"] = "session.unheard_of"
        case "missing_field":
            event.pop(action.field, None)
        case "wrong_type":
            event[action.field] = action.value
        case "bad_base64":
            event[_audio_field(event)] = "@@@not base64@@@"
        case "odd_bytes":
            name = _audio_field(event)
            event[name] = base64.b64encode(_audio(event.get(name))[:-1] or b"\0").decode()
        case "oversized":
            _pad(event, action.size + 4 - len(text))
    return Frame.of(event)


def _audio_field(event: Mapping[str, Any]) -> str:
    return "audio" if "audio" in event else "delta"


def _audio(value: object) -> bytes:
    try:
        return base64.b64decode(value if isinstance(value, str) else "")
    except binascii.Error:
        return b""


def _pad(event: dict[str, Any], missing: int) -> None:
    """Silence behind the audio, or a field that nobody knows."""
    if kind_of(event) in ("response.audio.delta", "input_audio_buffer.append"):
        name = _audio_field(event)
        audio = _audio(event.get(name))
        event[name] = base64.b64encode(audio + bytes(max(missing, 0) // 4 * 3 // 2 * 2 + 6)).decode()
    else:
        event["padding"] = "x" * max(missing, 0)


def resolved(value: Any, cause: Mapping[str, Any]) -> Any:
    """``value`` with each string ``"$x.y"`` replaced by what is there in ``cause``; null where nothing is."""
    if isinstance(value, str) and value.startswith("$"):
        found: Any = cause
        for name in value[1:].split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
        return found
    if isinstance(value, Mapping):
        return {name: resolved(inner, cause) for name, inner in value.items()}
    if isinstance(value, list):
        return [resolved(inner, cause) for inner in value]
    return value


class Lane(Generic[T]):
    """One direction of a connection: things come out in the order they went in, none before its time."""

    def __init__(self) -> None:
        self.bytes_per_s = math.inf
        self.free_at = 0.0
        """When the last thing that went in comes out."""
        self._queue: deque[tuple[float, T]] = deque()
        self._held: list[tuple[str, list[Frame]]] = []

    def push(self, thing: T, now: float, *, size: int = 0, delay_s: float = 0.0) -> None:
        """Put a thing of so many bytes at the end; what follows it waits for it."""
        self.free_at = max(now, self.free_at) + delay_s + size / self.bytes_per_s
        self._queue.append((self.free_at, thing))

    def pause(self, now: float, for_s: float) -> None:
        """Let nothing more out for so long."""
        until = now + for_s
        self.free_at = max(self.free_at, until)
        self._queue = deque((max(due, until), thing) for due, thing in self._queue)

    def hold(self, behind: str, frames: list[Frame]) -> None:
        """Keep frames back until an event of this type has passed."""
        self._held.append((behind, frames))

    def released(self, kind: str) -> list[Frame]:
        """The frames that come behind an event of this type, now that it has passed."""
        free = [frames for behind, frames in self._held if fnmatchcase(kind, behind)]
        self._held = [held for held in self._held if not fnmatchcase(kind, held[0])]
        return [frame for frames in free for frame in frames]

    def take(self, now: float) -> list[T]:
        """What is due."""
        taken = []
        while self._queue and self._queue[0][0] <= now:
            taken.append(self._queue.popleft()[1])
        return taken

    @property
    def deadline(self) -> float | None:
        """When there is something to take next."""
        return self._queue[0][0] if self._queue else None
