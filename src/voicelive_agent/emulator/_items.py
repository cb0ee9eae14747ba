"""The conversation: its items in order, and what the service adds to them or refuses."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ._errors import ClientError, already_shorter, not_truncatable, unknown_item

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
        self._deliveries: dict[str, Delivery] = {}
        self.speech_ms: dict[str, float] = {}
        """Length of the user's speech items; for the token count."""

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
        return self._items[self.index(item_id, operation)]

    def add(self, item: Item, previous_item_id: str | None = None) -> str | None:
        """Put an item at the end, or after another (``"root"``: at the start); the id before it."""
        at = len(self._items)
        if previous_item_id == "root":
            at = 0
        elif previous_item_id:
            at = self._after(previous_item_id)
        self._items.insert(at, item)
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
        self._deliveries.pop(item_id, None)
        self.speech_ms.pop(item_id, None)

    @property
    def last_user_id(self) -> str | None:
        """The last item of the user: what a cascade session names as the predecessor of the user's speech."""
        users = (item["id"] for item in reversed(self._items) if item.get("role") == "user")
        return next(users, None)

    # --- What was said --------------------------------------------------------------------------------------

    def hear(self, item_id: str, text: str) -> None:
        """The words of a speech item, for the brain; whether the client sees them is another matter."""
        self._heard[item_id] = text

    def for_brain(self) -> list[Mapping[str, Any]]:
        """A copy of the items with the words of all speech, without its audio."""
        return [self._for_brain(item) for item in self._items]

    def _for_brain(self, item: Item) -> Item:
        if item["type"] != "message":
            return copy.deepcopy(item)
        parts = []
        for part in item["content"]:
            slim = {key: value for key, value in part.items() if key != "audio"}
            if part["type"] == "input_audio":
                slim["transcript"] = self._heard.get(item["id"], part.get("transcript") or "")
            parts.append(slim)
        return {**item, "content": parts}

    # --- What was delivered ---------------------------------------------------------------------------------

    def delivered(self, item_id: str, ms: float, now: float) -> None:
        """More audio of an answer was sent; one that was deleted meanwhile is not counted."""
        if item_id in self:
            self._deliveries.setdefault(item_id, Delivery(now)).ms += ms

    def playing(self, now: float) -> tuple[str, int] | None:
        """The answer still being heard if its playback began on delivery, and how many ms of it were."""
        if not self._deliveries:
            return None
        item_id, delivery = next(reversed(self._deliveries.items()))
        played = (now - delivery.first_at) * 1000
        return (item_id, int(played)) if played < delivery.ms else None

    def truncate(self, item_id: str, content_index: int, audio_end_ms: int) -> None:
        """Shorten an answer's audio and forget its transcript; raises ClientError where there is none."""
        item = self.get(item_id, "truncate")
        delivery = self._deliveries.get(item_id)
        if item.get("role") != "assistant" or delivery is None or content_index >= len(item["content"]):
            raise not_truncatable()
        if audio_end_ms > delivery.ms:
            raise already_shorter(int(delivery.ms), audio_end_ms)
        delivery.ms = audio_end_ms
        item["content"][content_index]["transcript"] = ""


def normalised(given: Mapping[str, Any], *, realtime: bool) -> Item:
    """A client's item as the service holds and echoes it (without an id where none was given)."""
    item: Item = {"id": given.get("id"), "object": "realtime.item", "type": given["type"]}
    if given["type"] == "function_call_output":
        if not realtime:
            item["status"] = "completed"
        return item | {"call_id": given["call_id"], "output": given["output"]}
    item["status"] = "completed"
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
