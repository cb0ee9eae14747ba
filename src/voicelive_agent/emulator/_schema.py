"""The parameters of a session and of a response, and what is allowed in them."""

from __future__ import annotations

import math
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
from ._item_schema import item

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
    "end_of_utterance_detection": null_or(
        struct(
            {
                "model": one_of(
                    "semantic_detection_v1",
                    "semantic_detection_v1_en",
                    "semantic_detection_v1_multilingual",
                    "smart_end_of_turn_detection",
                ),
                "threshold_level": null_or(one_of("low", "medium", "high", "default")),
                "timeout_ms": null_or(integer(0)),
            },
            required=("model",),
        )
    ),
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
    names = ("custom_lexicon_url", "custom_text_normalization_url", "locale", "style", "pitch", "rate", "volume")
    fields: dict[str, Check] = {
        **dict.fromkeys(names, null_or(text)),
        **dict.fromkeys(("name", "endpoint_id", "model"), text),
        "prefer_locales": null_or(array(text)),
        "temperature": null_or(number(0, 1)),
    }
    return struct(fields, required=required)


_voice = either(
    one_of(*OPENAI_VOICES),
    union(
        "type",
        {
            "openai": struct({"name": one_of(*OPENAI_VOICES)}, required=("name",)),
            "azure-standard": _azure_voice("name"),
            "azure-custom": _azure_voice("name", "endpoint_id"),
            "azure-personal": _azure_voice("name", "model"),
            "avatar-voice-sync": _azure_voice("model"),
            "azure-realtime-native": struct({"name": text}, required=("name",)),
        },
    ),
)
_modalities = array(one_of("text", "audio", "animation", "avatar"))


def _texts(value: Any, path: str) -> None:
    struct(dict.fromkeys(value, text) if isinstance(value, dict) else {})(value, path)


def parameters(value: Any, path: str) -> None:
    """The JSON schema of a function; every branch of an ``anyOf`` needs a ``type``, or a ``$ref`` to one."""
    struct({})(value, path)
    waiting: list[tuple[Any, str]] = [(value, path)]
    while waiting:
        schema, where = waiting.pop()
        if isinstance(schema, dict):
            branches = schema.get("anyOf")
            for index, branch in enumerate(branches if isinstance(branches, list) else ()):
                if isinstance(branch, dict) and not {"type", "$ref", "anyOf"} & branch.keys():
                    at = f"{where}.anyOf[{index}]"
                    raise ClientError(
                        f"Invalid schema for '{at}': schema must have a 'type' key.",
                        code="invalid_function_parameters",
                        param=path,
                    )
            waiting += [(each, f"{where}.{key}") for key, each in schema.items()]
        elif isinstance(schema, list):
            waiting += [(each, f"{where}[{index}]") for index, each in enumerate(schema)]


_APPROVALS: dict[str, Check] = dict.fromkeys(("never", "always"), null_or(array(text)))
_tools = array(
    union(
        "type",
        {
            "function": struct(
                {"name": text, "description": null_or(text), "parameters": null_or(parameters)},
                required=("name",),
            ),
            "mcp": struct(
                {
                    "server_label": text,
                    "server_url": text,
                    "authorization": null_or(text),
                    "headers": null_or(_texts),
                    "allowed_tools": null_or(array(text)),
                    "require_approval": null_or(either(one_of("never", "always"), struct(_APPROVALS))),
                },
                required=("server_label", "server_url"),
            ),
        },
    )
)


def _function_choice(value: Any, path: str) -> None:
    """A function by its name, which the SDK requires; its prose has the name inside ``function``."""
    inner = struct({"name": text}, required=("name",))
    struct({"type": one_of("function"), "name": text, "function": inner}, required=("type",))(value, path)
    if not {"name", "function"} & value.keys():
        raise missing(f"{path}.name")


_tool_choice = either(one_of("auto", "none", "required"), _function_choice)
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


def _phrases(value: Any, path: str) -> None:
    array(text)(value, path)
    if len(value) >= MAX_PHRASES:
        raise ClientError(
            f"Invalid value for '{path}': {len(value)} phrases, where fewer than {MAX_PHRASES} are allowed.",
            param=path,
        )


MAX_PHRASES = 500
"""The documented limit of a phrase list: fewer than this."""
_INTERIM: dict[str, Check] = {
    "triggers": null_or(array(one_of("latency", "tool"))),
    "latency_threshold_ms": null_or(integer(0)),
}
_interim_response = union(
    "type",
    {
        "static_interim_response": struct({**_INTERIM, "texts": null_or(array(text))}),
        "llm_interim_response": struct(
            {
                **_INTERIM,
                "model": null_or(text),
                "instructions": null_or(text),
                "max_completion_tokens": null_or(integer(1)),
            }
        ),
    },
)
_size = null_or(struct({"width": integer(1), "height": integer(1)}, required=("width", "height")))
_corner = array(integer(0))
_scene_numbers = ("zoom", "position_x", "position_y", "rotation_x", "rotation_y", "rotation_z", "amplitude")
_avatar = struct(
    {
        "type": null_or(one_of("video-avatar", "photo-avatar")),
        "ice_servers": null_or(
            array(
                struct(
                    {"urls": array(text), "username": null_or(text), "credential": null_or(text)},
                    required=("urls",),
                )
            )
        ),
        "character": text,
        "style": null_or(text),
        "model": null_or(one_of("vasa-1")),
        "customized": boolean,
        "video": null_or(
            struct(
                {
                    "bitrate": null_or(integer(1)),
                    "codec": null_or(one_of("h264")),
                    "crop": null_or(struct({"top_left": _corner, "bottom_right": _corner})),
                    "resolution": _size,
                    "background": null_or(struct({"color": null_or(text), "image_url": null_or(text)})),
                    "gop_size": null_or(integer(1)),
                }
            )
        ),
        "scene": null_or(struct(dict.fromkeys(_scene_numbers, null_or(number(-math.inf))))),
        "output_protocol": null_or(one_of("webrtc", "websocket")),
        "output_audit_audio": null_or(boolean),
    },
    required=("character", "customized"),
)

SESSION_FIELDS: Mapping[str, Check] = {
    "model": null_or(text),
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
                "custom_speech": null_or(_texts),
                "phrase_list": null_or(_phrases),
            },
            required=("model",),
        )
    ),
    "output_audio_timestamp_types": null_or(array(one_of("word"))),
    "animation": null_or(
        struct({"model_name": null_or(text), "outputs": null_or(array(one_of("blendshapes", "viseme_id")))})
    ),
    "avatar": null_or(_avatar),
    "tools": null_or(_tools),
    "tool_choice": null_or(_tool_choice),
    "parallel_tool_calls": null_or(boolean),
    "temperature": null_or(number(0, 2)),
    "max_response_output_tokens": null_or(_max_tokens),
    "reasoning_effort": _effort,
    "interim_response": null_or(_interim_response),
    "include": null_or(
        array(
            one_of(
                "item.input_audio_transcription.logprobs",
                "item.input_audio_transcription.phrases",
                "file_search_call.results",
            )
        )
    ),
    "metadata": null_or(metadata),
    # Not in the SDK; the service echoes them.
    "truncation_strategy": anything,
    "greeting": anything,
    "handoff": anything,
}
session_params = struct(SESSION_FIELDS, closed=True)


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
        "interim_response": null_or(_interim_response),
        "invoke_input": null_or(struct({})),
        "conversation": null_or(one_of("auto", "none")),
    },
    closed=True,
)
