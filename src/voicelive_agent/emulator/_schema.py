"""The parameters of a session and of a response, and what is allowed in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._checks import (
    Check,
    anything,
    array,
    boolean,
    either,
    integer,
    missing,
    null_or,
    number,
    one_of,
    struct,
    text,
    union,
    wrong_type,
)
from ._errors import ClientError

OPENAI_VOICES = ("alloy", "ash", "ballad", "cedar", "coral", "echo", "marin", "sage", "shimmer", "verse")
OUTPUT_FORMATS = ("pcm16", "pcm16_8000hz", "pcm16_16000hz", "g711_ulaw", "g711_alaw")
# Not documented, but accepted with Azure voices in the SDK's live tests.
AZURE_OUTPUT_FORMATS = ("pcm16_22050hz", "pcm16_24000hz", "pcm16_44100hz", "pcm16_48000hz")

_milliseconds = null_or(integer(0))
_TURN_FIELDS: dict[str, Check] = {
    "threshold": null_or(number(0, 1)),
    "prefix_padding_ms": _milliseconds,
    "silence_duration_ms": _milliseconds,
    "speech_duration_ms": _milliseconds,
    "idle_timeout_ms": _milliseconds,
    "end_of_utterance_detection": null_or(struct({"model": text}, required=("model",))),
    "languages": null_or(array(text)),
    "remove_filler_words": null_or(boolean),
    "auto_truncate": null_or(boolean),
    "create_response": null_or(boolean),
    "interrupt_response": null_or(boolean),
    "appended_text_after_truncation": null_or(text),
    "eagerness": one_of("low", "medium", "high", "auto"),
    "type": text,
}
SEMANTIC_VADS = ("azure_semantic_vad", "azure_semantic_vad_en", "azure_semantic_vad_multilingual")
_turn_detection = union(
    "type",
    dict.fromkeys(("server_vad", *SEMANTIC_VADS, "semantic_vad"), struct(_TURN_FIELDS)),
)


def _azure_voice(*required: str) -> Check:
    fields = {"name": text, "endpoint_id": text, "model": text, "temperature": null_or(number(0, 1))}
    return struct(fields, required=("name", *required))


_voice = either(
    one_of(*OPENAI_VOICES),
    union(
        "type",
        {
            "openai": struct({"name": one_of(*OPENAI_VOICES)}, required=("name",)),
            "azure-standard": _azure_voice(),
            "azure-custom": _azure_voice("endpoint_id"),
            "azure-personal": _azure_voice("model"),
            "avatar-voice-sync": struct({}),
            "azure-realtime-native": struct({"name": text}, required=("name",)),
        },
    ),
)
_modalities = array(one_of("text", "audio", "animation", "avatar"))
_tools = array(
    union(
        "type",
        {
            "function": struct(
                {"name": text, "description": null_or(text), "parameters": null_or(struct({}))},
                required=("name",),
            ),
            "mcp": struct({"server_label": text, "server_url": text}, required=("server_label", "server_url")),
        },
    )
)
_tool_choice = either(
    one_of("auto", "none", "required"),
    struct({"type": one_of("function"), "name": text}, required=("type",)),
)
_max_tokens = either(one_of("inf"), integer(1, 4096))
_effort = null_or(one_of("none", "minimal", "low", "medium", "high", "xhigh"))


def metadata(value: Any, path: str) -> None:
    """At most 16 pairs of strings, keys up to 64 and values up to 512 characters."""
    if not isinstance(value, dict):
        raise wrong_type(path, "an object", value)
    if len(value) > 16:
        raise ClientError(f"Invalid value for '{path}': at most 16 pairs are allowed.", param=path)
    for key, each in value.items():
        text(each, f"{path}.{key}")
        if len(key) > 64 or len(each) > 512:
            where = f"{path}.{key[:64]}"
            raise ClientError(f"Invalid value for '{where}': too long.", param=where)


SESSION_FIELDS: Mapping[str, Check] = {
    "model": text,
    "modalities": _modalities,
    "instructions": null_or(text),
    "voice": null_or(_voice),
    "input_audio_format": one_of("pcm16", "g711_ulaw", "g711_alaw"),
    "input_audio_sampling_rate": null_or(one_of(8000, 16000, 24000, 44100)),
    "output_audio_format": one_of(*OUTPUT_FORMATS, *AZURE_OUTPUT_FORMATS),
    "turn_detection": null_or(_turn_detection),
    "input_audio_noise_reduction": null_or(
        struct({"type": one_of("azure_deep_noise_suppression", "near_field", "far_field")}, required=("type",))
    ),
    "input_audio_echo_cancellation": null_or(
        struct(
            {
                "type": one_of("server_echo_cancellation"),
                "reference_source": null_or(one_of("server", "client")),
                "channels": null_or(one_of(1, 2)),
            },
            required=("type",),
        )
    ),
    "input_audio_transcription": null_or(
        struct(
            {
                "model": text,
                "language": null_or(text),
                "prompt": null_or(text),
                "custom_speech": null_or(struct({})),
                "phrase_list": null_or(array(text)),
            },
            required=("model",),
        )
    ),
    "output_audio_timestamp_types": null_or(array(one_of("word"))),
    "animation": null_or(struct({})),
    "avatar": null_or(struct({})),
    "tools": null_or(_tools),
    "tool_choice": null_or(_tool_choice),
    "parallel_tool_calls": null_or(boolean),
    "temperature": null_or(number(0, 2)),
    "max_response_output_tokens": null_or(_max_tokens),
    "reasoning_effort": _effort,
    "interim_response": null_or(struct({"type": text}, required=("type",))),
    "include": null_or(array(text)),
    "metadata": null_or(metadata),
    # Not in the SDK; the service echoes them.
    "truncation_strategy": anything,
    "greeting": anything,
    "handoff": anything,
}
session_params = struct(SESSION_FIELDS, closed=True)


_content = {
    "input_text": struct({"text": text}, required=("text",)),
    "input_audio": struct({"audio": null_or(text), "transcript": null_or(text)}),
    "input_image": struct({"image_url": null_or(text)}),
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
    },
)


def item(value: Any, path: str) -> None:
    """An item that a client may create."""
    _item(value, path)
    if value.get("id") is not None:
        text(value["id"], f"{path}.id")


def _pre_generated(value: Any, path: str) -> None:
    part = struct({"type": one_of("text", "output_text"), "text": text}, required=("type", "text"))
    fields = {"type": one_of("message"), "role": one_of("assistant"), "content": array(part)}
    struct(fields, required=("content",))(value, path)
    if len(value["content"]) != 1:
        raise ClientError(
            f"Invalid value for '{path}.content': exactly one text part is expected.", param=f"{path}.content"
        )


response_params = struct(
    {
        "commit": null_or(boolean),
        "cancel_previous": null_or(boolean),
        "append_input_items": null_or(array(item)),
        "input_items": null_or(array(item)),
        "modalities": null_or(_modalities),
        "instructions": null_or(text),
        "voice": null_or(_voice),
        "output_audio_format": null_or(one_of(*OUTPUT_FORMATS, *AZURE_OUTPUT_FORMATS)),
        "tools": null_or(_tools),
        "tool_choice": null_or(_tool_choice),
        "temperature": null_or(number(0, 2)),
        "max_output_tokens": null_or(_max_tokens),
        "max_response_output_tokens": null_or(_max_tokens),
        "reasoning_effort": _effort,
        "metadata": null_or(metadata),
        "pre_generated_assistant_message": null_or(_pre_generated),
        "interim_response": null_or(struct({"type": text}, required=("type",))),
        "invoke_input": null_or(struct({})),
        "conversation": null_or(one_of("auto", "none")),
    },
    closed=True,
)

_item_id: dict[str, Check] = {"item_id": text}
_turn: dict[str, Check] = {"turn_id": text}

CLIENT_EVENTS: Mapping[str, Check] = {
    "session.update": struct({"session": session_params}, required=("session",)),
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
    "response.create": struct({"response": null_or(response_params)}),
    "response.cancel": struct({"response_id": null_or(text)}),
    "output_audio_buffer.clear": anything,
    "input_text.delta": struct({"id": text, "delta": text}, required=("id", "delta")),
    "input_text.done": struct({"id": text}, required=("id",)),
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
    if kind not in CLIENT_EVENTS:
        raise ClientError(
            f"Invalid value: '{kind}'. Supported values are: {', '.join(sorted(CLIENT_EVENTS))}.",
            code="invalid_value",
            param="type",
        )
    CLIENT_EVENTS[kind](message, "")
    return str(kind)
