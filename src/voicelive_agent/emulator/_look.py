"""What a response.create and the session together ask for: how the response looks, and what the brain is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ._audio import OutputFormat
from ._config import check_output_format
from ._context import Context
from .protocols import Turn


@dataclass(slots=True, kw_only=True)
class Look:
    """How a response describes itself, and where its items go."""

    id: str
    spoken: bool
    azure_voice: bool
    format: OutputFormat
    described: dict[str, Any]
    """The fields of ``response`` that do not change."""
    in_conversation: bool
    cues: frozenset[str]
    """What goes with the audio: any of ``word``, ``viseme_id`` and ``blendshapes``."""


def look_of(context: Context, request: Mapping[str, Any], response_id: str) -> Look:
    """How the response to ``request`` describes itself; raises ClientError for an impossible audio format."""

    def get(name: str) -> Any:
        given = request.get(name)
        return context.config[name] if given is None else given

    realtime = context.profile.realtime
    voice = get("voice")
    if isinstance(voice, str):
        voice = {"name": voice, "type": "openai"}
    azure_voice = voice["type"] != "openai"
    format = get("output_audio_format")
    check_output_format(format, voice, "response.output_audio_format")
    modalities = get("modalities")
    limit = request.get("max_output_tokens") or request.get("max_response_output_tokens")
    limit = limit or context.config["max_response_output_tokens"]
    kept = request.get("commit") is not False and request.get("conversation") != "none"
    shown = format if realtime or not context.config.first_version else None
    described = {
        "conversation_id": context.conversation_id if kept else None,
        "modalities": list(modalities),
        "voice": dict(voice),
        "output_audio_format": shown or ("pcm16" if realtime else None),
        "temperature": request.get("temperature") if realtime else get("temperature"),
        "max_output_tokens": limit if realtime or limit != "inf" else None,
        "metadata": request.get("metadata"),
    }
    if request.get("reasoning_effort") is not None:
        # Not a field of the SDK's response; shown where it was asked for, so that a client can see it arrived.
        described["reasoning_effort"] = request["reasoning_effort"]
    spoken = "audio" in modalities
    return Look(
        id=response_id,
        spoken=spoken,
        azure_voice=azure_voice,
        format=OutputFormat.named(format),
        described=described,
        in_conversation=kept,
        cues=_cues(context) if spoken and azure_voice else frozenset(),
    )


def _cues(context: Context) -> frozenset[str]:
    """Only Azure voices have them."""
    animation = context.config["animation"] or {}
    timestamps = context.config["output_audio_timestamp_types"] or ()
    return frozenset(timestamps) | frozenset(animation.get("outputs") or ())


def turn_of(context: Context, request: Mapping[str, Any], silence_ms: float = 0.0) -> Turn:
    """What the brain is shown; ``silence_ms``: that it is asked because the user says nothing."""
    given = request.get("input_items")
    config = context.config
    instructions = request.get("instructions")
    return Turn(
        items=context.items.for_brain() if given is None else [dict(item) for item in given],
        instructions=(config["instructions"] if instructions is None else instructions) or "",
        tools=context.mcp.functions(tools_of(context, request)),
        tool_choice=request.get("tool_choice") or config["tool_choice"],
        request=dict(request),
        silence_ms=silence_ms,
        answered=frozenset(context.items.answered) if given is None else None,
    )


def tools_of(context: Context, request: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The tools in force, functions and MCP servers, as the client described them."""
    tools: Sequence[Mapping[str, Any]] = (
        context.config["tools"] if request.get("tools") is None else request["tools"]
    )
    return tools
