"""The conversation: its items in order, and what the service adds to them or refuses."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ._errors import ClientError, already_shorter, not_truncatable, unknown_item
from ._images import image_note

Item = dict[str, Any]


@dataclass(slots=True)
class Delivery:
    """The audio of one answer as it was delivered."""

    first_at: float
    """When the first of it was sent."""
    ms: float = 0.0


class Items:
    """The items of one conversation, in order."""

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._heard: dict[str, str] = {}
        self._image_notes: dict[str, list[str]] = {}
        self._deliveries: dict[str, Delivery] = {}
        self._cut: dict[str, dict[int, str]] = {}
        """What stands in place of the words of truncated parts."""
        self.speech_ms: dict[str, float] = {}
        """Length of the user's speech items; for the token count."""
        self.answered: set[str] = set()
        """The results that a response has answered."""
        self._came_after: dict[str, str] = {}
        """Calls of MCP tools whose result came when more had been said, and the last item by then."""

    def __contains__(self, item_id: str) -> bool:
        return any(item["id"] == item_id for item in self._items)

    def index(self, item_id: str, operation: str) -> int:
        """Where an item is; raises ClientError in the name of ``operation`` where it is not."""
        for index, item in enumerate(self._items):
            if item["id"] == item_id:
                return index
        raise unknown_item(operation, item_id)

    def get(self, item_id: str, operation: str) -> Item:
        """An item by its id."""
        return self._as_heard(self._items[self.index(item_id, operation)])

    def add(self, item: Item, previous_item_id: str | None = None) -> str | None:
        """Put an item at the end, or after another (``"root"``: at the start); the id before it."""
        at = len(self._items)
        if previous_item_id == "root":
            at = 0
        elif previous_item_id:
            at = self._after(previous_item_id)
        self._items.insert(at, item)
        images = [part["image_url"] for part in item.get("content", ()) if part["type"] == "input_image"]
        if images:
            self._image_notes[item["id"]] = [image_note(uri, "image_url") for uri in images]
        return self._items[at - 1]["id"] if at else None

    def _after(self, previous_item_id: str) -> int:
        for index, item in enumerate(self._items):
            if item["id"] == previous_item_id:
                return index + 1
        raise ClientError(
            f"The item with id '{previous_item_id}' does not exist.",
            code="item_create_invalid_previous_item_id",
            param="previous_item_id",
        )

    def remove(self, item_id: str) -> None:
        """Delete an item."""
        del self._items[self.index(item_id, "delete")]
        self._heard.pop(item_id, None)
        self._image_notes.pop(item_id, None)
        self._cut.pop(item_id, None)
        self._deliveries.pop(item_id, None)
        self.speech_ms.pop(item_id, None)
        self.answered.discard(item_id)
        self._came_after.pop(item_id, None)

    def has_call(self, call_id: str) -> bool:
        """Whether a function call of this id was made."""
        return any(item["type"] == "function_call" and item["call_id"] == call_id for item in self._items)

    @property
    def results(self) -> frozenset[str]:
        """The ids of what functions and the tools of MCP servers have answered so far."""
        return frozenset(item["id"] for item in self._items if _is_result(item))

    @property
    def last_user_id(self) -> str | None:
        """The last item of the user: what a cascade session names as the predecessor of the user's speech."""
        users = (item["id"] for item in reversed(self._items) if item.get("role") == "user")
        return next(users, None)

    # --- What was said --------------------------------------------------------------------------------------

    def hear(self, item_id: str, text: str) -> None:
        """The words of a speech item, for the brain; whether the client sees them is another matter."""
        self._heard[item_id] = text

    def result_came(self, item_id: str) -> None:
        """A call of an MCP tool has its result, perhaps long after the call: where somebody had to approve it."""
        if item_id in self:
            since = self._items[self.index(item_id, "retrieve") :]
            if any(item["type"] == "message" for item in since):
                self._came_after[item_id] = since[-1]["id"]

    def for_brain(self) -> list[Mapping[str, Any]]:
        """A copy of the items with the words of all speech, without its audio, and a note of what an image is.

        A call whose result came late stands where the result came: what was said meanwhile is no answer to it.
        """
        items = list(self._items)
        for call_id, last_id in reversed(self._came_after.items()):
            if last_id in self:
                call = items.pop(next(at for at, item in enumerate(items) if item["id"] == call_id))
                items.insert(next(at for at, item in enumerate(items) if item["id"] == last_id) + 1, call)
        return [self._for_brain(self._as_heard(item)) for item in items]

    def _for_brain(self, item: Item) -> Item:
        if item["type"] != "message":
            return copy.deepcopy(item)
        parts = []
        notes = iter(self._image_notes.get(item["id"], ()))
        for part in item["content"]:
            slim = {key: value for key, value in part.items() if key != "audio"}
            if part["type"] == "input_audio":
                slim["transcript"] = self._heard.get(item["id"], part.get("transcript") or "")
            elif part["type"] == "input_image":
                slim["text"] = next(notes)
            parts.append(slim)
        return {**item, "content": parts}

    # --- What was delivered ---------------------------------------------------------------------------------

    def delivered(self, item_id: str, ms: float, now: float) -> None:
        """More audio of an answer was sent; one that was deleted meanwhile is not counted."""
        if item_id in self:
            self._deliveries.setdefault(item_id, Delivery(now)).ms += ms

    def heard_until(self, now: float) -> float:
        """When the last answer is heard to its end if its playback began on delivery; not before ``now``."""
        last = next(reversed(self._deliveries.values()), None)
        return now if last is None else max(now, last.first_at + last.ms / 1000)

    def playing(self, now: float) -> tuple[str, int] | None:
        """The answer still being heard if its playback began on delivery, and how many ms of it were."""
        if not self._deliveries:
            return None
        item_id, delivery = next(reversed(self._deliveries.items()))
        played = (now - delivery.first_at) * 1000
        return (item_id, int(played)) if played < delivery.ms else None

    def truncate(self, item_id: str, content_index: int, audio_end_ms: int, *, appended: str = "") -> None:
        """Shorten an answer's audio; ``appended`` stands where its transcript was.

        Raises ClientError where there is no audio, or less.
        """
        item = self.get(item_id, "truncate")
        delivery = self._deliveries.get(item_id)
        if item.get("role") != "assistant" or delivery is None or content_index >= len(item["content"]):
            raise not_truncatable()
        if audio_end_ms > delivery.ms:
            raise already_shorter(int(delivery.ms), audio_end_ms)
        delivery.ms = audio_end_ms
        self._cut.setdefault(item_id, {})[content_index] = appended

    def _as_heard(self, item: Item) -> Item:
        """The item without the words that truncation took from it, also where its answer is not complete yet."""
        cut = self._cut.get(item["id"])
        if cut is None:
            return item
        parts = enumerate(item["content"])
        content = [{**part, "transcript": cut[index]} if index in cut else part for index, part in parts]
        return {**item, "content": content}


def _is_result(item: Item) -> bool:
    """Whether a function has answered here, or an MCP server: its call gets the output or the error."""
    return item["type"] == "function_call_output" or (
        item["type"] == "mcp_call" and (item.get("output") is not None or "error" in item)
    )


def normalised(given: Mapping[str, Any], *, realtime: bool) -> Item:
    """A client's item as the service holds and echoes it (without an id where none was given)."""
    item: Item = {"id": given.get("id"), "object": "realtime.item", "type": given["type"]}
    if given["type"] == "mcp_approval_response":
        return item | {name: given[name] for name in ("approval_request_id", "approve")}
    if given["type"] == "function_call_output":
        if not realtime:
            item["status"] = "completed"
        return item | {"call_id": given["call_id"], "output": given["output"]}
    item["status"] = given.get("status") or "completed"
    if given["type"] == "function_call":
        return item | {name: given[name] for name in ("name", "call_id", "arguments")}
    content = [
        {**copy.deepcopy(part), "type": "text"} if part["type"] == "output_text" else copy.deepcopy(part)
        for part in given["content"]
    ]
    return item | {"role": given["role"], "content": content}


def take_audio(item: Item) -> str:
    """The audio in a client's message (base64), which is not echoed; empty where its words are known."""
    audio = ""
    for part in item.get("content", ()):
        if part["type"] == "input_audio":
            sent = part.pop("audio", None)
            if sent and not part.setdefault("transcript", None):
                audio += sent
    return audio
