"""Keeps the service's record true: after an interruption the model must know what was heard, and no more.

Three ways, the first that works: truncate the item's audio; where that is refused (cascade models), delete the
item and put the words that were heard in its place; where nothing was heard, delete it. The last two wait until
the item's response is done, since the service is still writing to it before.
"""

from __future__ import annotations

from . import _wire as wire
from ._requests import Requests
from .history import History, HistoryItem


class Corrections:
    """The corrections of one conversation: which are due, and how they went."""

    def __init__(self, history: History, requests: Requests, *, enabled: bool, truncates: bool) -> None:
        self._history = history
        self._requests = requests
        self.enabled = enabled
        self._truncates = truncates  # until the service refuses it once
        self._response_of: dict[str, str] = {}  # item cut -> its response, until the correction is sent for good
        self._waiting: list[str] = []  # items to be replaced once their response is done
        self._stands_for: dict[str, str] = {}  # item made of the words heard -> the item it replaces

    def cut(
        self, item_id: str, response_id: str, *, response_open: bool
    ) -> tuple[HistoryItem, list[wire.Request]]:
        """An item was cut off now: what was heard of it, and what to tell the service."""
        self._history.mention(item_id, "assistant")
        known = self._history[item_id].interrupted
        item = self._history.cut(item_id)
        if known:
            return item, []
        self._history.tell(item_id, "unknown")  # until the service confirms
        if not self.enabled:  # the service truncates by itself, from its own guess of what was played
            return item, []
        self._response_of[item_id] = response_id
        if item.heard_ms and self._truncates:
            request = wire.TruncateItem(
                event_id=self._requests.new_id(), item_id=item_id, content_index=0, audio_end_ms=item.heard_ms
            )
            return item, [self._requests.add(request)]
        return item, self._replace(item_id, response_open=response_open)

    def response_ended(self, response_id: str) -> list[wire.Request]:
        """A response is done: its items can be replaced now."""
        due = [item_id for item_id in self._waiting if self._response_of.get(item_id) == response_id]
        self._waiting = [item_id for item_id in self._waiting if item_id not in due]
        return [request for item_id in due for request in self._replace(item_id, response_open=False)]

    def refused(self, request: wire.Request, *, open_response: str | None) -> list[wire.Request] | None:
        """The service refused one of these requests: what to do instead. None if it is not one of these."""
        match request:
            case wire.TruncateItem() if (response_id := self._response_of.get(request.item_id)) is not None:
                self._truncates = False
                return self._replace(request.item_id, response_open=response_id == open_response)
            case wire.TruncateItem() | wire.DeleteItem():
                return []
            case wire.CreateItem() if str(request.item.get("id")) in self._stands_for:
                self._history.replace_on_service(self._stands_for.pop(str(request.item["id"])), None)
                return []
            case _:
                return None

    def truncated(self, item_id: str) -> None:
        """The service confirms that the item ends where it was cut."""
        self._response_of.pop(item_id, None)
        self._history.tell(item_id, "truncated")

    def deleted(self, item_id: str) -> None:
        """The service confirms that an item is gone; one that is being replaced is not settled by that."""
        if item_id not in self._stands_for.values():
            self._history.tell(item_id, "deleted")

    def created(self, item_id: str) -> bool:
        """Whether an item that the service confirms was made here, in place of another."""
        if (original := self._stands_for.pop(item_id, None)) is None:
            return False
        self._history.tell(original, "rewritten")
        return True

    def _replace(self, item_id: str, *, response_open: bool) -> list[wire.Request]:
        if response_open:
            self._waiting.append(item_id)
            return []
        self._response_of.pop(item_id, None)
        if item_id not in self._history:  # forgotten: so long ago that nobody will ask
            return []
        previous = self._history.previous_on_service(item_id)
        heard = self._history[item_id].heard_text
        delete = self._requests.add(wire.DeleteItem(event_id=self._requests.new_id(), item_id=item_id))
        if not heard:
            self._history.replace_on_service(item_id, None)
            return [delete]
        new_id = self._requests.new_id()
        self._stands_for[new_id] = item_id
        self._history.replace_on_service(item_id, new_id)
        create = wire.CreateItem(
            event_id=self._requests.new_id(), item=_spoken(new_id, heard), previous_item_id=previous
        )
        return [delete, self._requests.add(create)]


def _spoken(item_id: str, text: str) -> dict[str, object]:
    """An assistant message of these words. Assistant audio cannot be created, so it is text."""
    content = [{"type": "text", "text": text}]
    return {"id": item_id, "type": "message", "role": "assistant", "content": content}
