"""The client's events, and what each must carry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._checks import Check, anything, integer, missing, null_or, struct, text
from ._errors import ClientError
from ._item_schema import item
from ._schema import response_params, session_params

_item_id: dict[str, Check] = {"item_id": text}
_turn: dict[str, Check] = {"turn_id": text}
# Whether the id is required depends on the version of the API.
_streamed: dict[str, Check] = {"id": null_or(text), "content_index": null_or(integer(0))}

CLIENT_EVENTS: Mapping[str, Check] = {
    "session.update": struct({"session": session_params}, required=("session",)),
    "session.avatar.connect": struct({"client_sdp": text}, required=("client_sdp",)),
    "input_audio_buffer.append": struct({"audio": text}, required=("audio",)),
    "input_audio_buffer.commit": anything,
    "input_audio_buffer.clear": anything,
    "conversation.item.create": struct({"item": item, "previous_item_id": null_or(text)}, required=("item",)),
    "conversation.item.retrieve": struct(_item_id, required=("item_id",)),
    "conversation.item.delete": struct(_item_id, required=("item_id",)),
    "conversation.item.truncate": struct(
        {**_item_id, "content_index": integer(0), "audio_end_ms": integer(0)},
        required=("item_id", "content_index", "audio_end_ms"),
    ),
    "response.create": struct({"response": null_or(response_params), "additional_instructions": null_or(text)}),
    "response.cancel": struct({"response_id": null_or(text)}),
    "output_audio_buffer.clear": anything,
    "input_text.delta": struct({**_streamed, "delta": text}, required=("delta",)),
    "input_text.done": struct(_streamed),
    "input_audio.turn.start": struct(_turn, required=("turn_id",)),
    "input_audio.turn.append": struct({**_turn, "audio": text}, required=("turn_id", "audio")),
    "input_audio.turn.end": struct(_turn, required=("turn_id",)),
    "input_audio.turn.cancel": struct(_turn, required=("turn_id",)),
    "input_audio.clear": anything,
}


def client_event(message: Mapping[str, Any]) -> str:
    """The type of a client's message; raises ClientError if it is not one, or not whole."""
    kind = message.get("type")
    if kind is None:
        raise missing("type")
    text(kind, "type")
    if kind == "mcp_approval_response":
        # The SDK lists it among the types of client events, but has no such event.
        raise ClientError(
            "'mcp_approval_response' is not an event: send it as the item of a conversation.item.create.",
            code="invalid_value",
            param="type",
        )
    if kind not in CLIENT_EVENTS:
        raise ClientError(
            f"Invalid value: '{kind}'. Supported values are: {', '.join(sorted(CLIENT_EVENTS))}.",
            code="invalid_value",
            param="type",
        )
    CLIENT_EVENTS[kind](message, "")
    return str(kind)
