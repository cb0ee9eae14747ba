"""What is allowed in an item that a client creates."""

from __future__ import annotations

from typing import Any

from ._checks import Check, array, boolean, null_or, one_of, struct, text, union
from ._images import image_note


def _image(value: Any, path: str) -> None:
    text(value, path)
    image_note(value, path)


_content: dict[str, Check] = {
    "input_text": struct({"text": text}, required=("text",)),
    "input_audio": struct({"audio": null_or(text), "transcript": null_or(text)}),
    "input_image": struct(
        {"image_url": _image, "detail": null_or(one_of("auto", "low", "high"))}, required=("image_url",)
    ),
    "text": struct({"text": text}, required=("text",)),
    "output_text": struct({"text": text}, required=("text",)),
}
_ALLOWED_CONTENT = {
    "system": ("input_text", "text"),
    "user": ("input_text", "input_audio", "input_image"),
    "assistant": ("text", "output_text"),
}


def _message(value: Any, path: str) -> None:
    struct({"role": one_of(*_ALLOWED_CONTENT)}, required=("role", "content"))(value, path)
    allowed = _ALLOWED_CONTENT[value["role"]]
    array(union("type", {kind: _content[kind] for kind in allowed}))(value["content"], f"{path}.content")


_item = union(
    "type",
    {
        "message": _message,
        "function_call": struct(
            {"call_id": text, "name": text, "arguments": text}, required=("call_id", "name", "arguments")
        ),
        "function_call_output": struct({"call_id": text, "output": text}, required=("call_id", "output")),
        "mcp_approval_response": struct(
            {"approval_request_id": text, "approve": boolean}, required=("approval_request_id", "approve")
        ),
    },
)


def item(value: Any, path: str) -> None:
    """An item that a client may create."""
    _item(value, path)
    if value.get("id") is not None:
        text(value["id"], f"{path}.id")
    if value.get("status") is not None:
        one_of("completed", "incomplete")(value["status"], f"{path}.status")
