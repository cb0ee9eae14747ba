"""What a client does with the conversation's items."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from ._context import Context
from ._errors import ClientError, not_truncatable, unknown_call
from ._hearing import Hearing
from ._items import Item, normalised, take_audio
from ._turn_input import TextStreams

Message = Mapping[str, Any]


class Conversation:
    """The item events of one session. Each method takes a client's message, or raises ClientError."""

    def __init__(self, context: Context, hearing: Hearing) -> None:
        self._context = context
        self._hearing = hearing
        self._texts = TextStreams(context.config.api_version)

    def create(self, message: Message) -> Item:
        """Add the item of a conversation.item.create."""
        return self.add(message["item"], message.get("previous_item_id"))

    def add(self, given: Mapping[str, Any], previous_item_id: str | None = None) -> Item:
        """Add a client's item, which keeps the id it has; audio in it is heard."""
        context = self._context
        item = normalised(given, realtime=context.profile.realtime)
        if item.get("id") is None:
            item["id"] = context.ids.service("item")
        if item["id"] in context.items:
            raise ClientError(
                f"An item with id '{item['id']}' already exists.", code="invalid_value", param="item.id"
            )
        if item["type"] == "function_call_output" and not self._knows(item["call_id"]):
            raise unknown_call(item["call_id"])
        if item["type"] == "mcp_approval_response":
            context.mcp.check_approval(item)
        audio = self._hearing.item_decoder.unpack(take_audio(item))
        previous = context.items.add(item, previous_item_id)
        shown = previous if context.profile.realtime else previous_item_id or ""
        context.timeline.send("conversation.item.created", previous_item_id=shown, item=copy.deepcopy(item))
        if audio:
            self._hearing.listen_to_item(item, audio)
        if item["type"] == "mcp_approval_response":
            context.mcp.approve(item)
        return item

    def _knows(self, call_id: str) -> bool:
        wanted = self._context.options.unknown_call or ("error" if self._context.profile.realtime else "accept")
        return wanted == "accept" or self._context.items.has_call(call_id)

    def retrieve(self, message: Message) -> None:
        """Show an item."""
        item = self._context.items.get(message["item_id"], "retrieve")
        self._context.timeline.send("conversation.item.retrieved", item=copy.deepcopy(item))

    def delete(self, message: Message) -> None:
        """Delete an item."""
        self._context.items.remove(message["item_id"])
        self._context.timeline.send("conversation.item.deleted", item_id=message["item_id"])

    def truncate(self, message: Message) -> None:
        """Shorten an answer."""
        where = {name: message[name] for name in ("item_id", "content_index", "audio_end_ms")}
        refuse = self._context.options.refuse_truncation
        if refuse is None:
            refuse = not self._context.profile.realtime
        if refuse:
            self._context.items.get(where["item_id"], "truncate")
            raise not_truncatable()
        self._context.items.truncate(**where)
        self._context.timeline.send("conversation.item.truncated", **where)

    def text_delta(self, message: Message) -> None:
        """Take a piece of a streamed text."""
        self._texts.add(message)

    def text_done(self, message: Message) -> None:
        """Make a streamed text an item of the user."""
        self.add(self._texts.finish(message))
