"""The whole session surface of Voice Live, typed: what ``session.update`` can say, except the model.

Source: ``RequestSession`` of azure-ai-voicelive 1.3.1 and everything it refers to, with the service's own
names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias

from ._combinations import check_combinations
from ._session_fields import JsonObject, Part, Rule, between, mapping_of, part_of, refuse
from ._session_parts import (
    Animation,
    AvatarConfig,
    EchoCancellation,
    FunctionTool,
    LlmInterimResponse,
    MCPServer,
    NoiseReduction,
    StaticInterimResponse,
    ToolChoice,
    Transcription,
)
from ._turn_detection import (
    AzureSemanticVad,
    AzureSemanticVadEn,
    AzureSemanticVadMultilingual,
    DefaultTurnDetection,
    SemanticVad,
    ServerVad,
)
from ._voices import (
    AzureAvatarVoiceSyncVoice,
    AzureCustomVoice,
    AzurePersonalVoice,
    AzureRealtimeNativeVoice,
    AzureStandardVoice,
    OpenAIVoice,
    voice_named,
)
from .errors import ConfigurationError

__all__ = ["InputAudioFormat", "Modality", "OutputAudioFormat", "SessionConfig"]

Modality: TypeAlias = Literal["text", "audio", "animation", "avatar"]
InputAudioFormat: TypeAlias = Literal["pcm16", "g711_ulaw", "g711_alaw"]
OutputAudioFormat: TypeAlias = Literal["pcm16", "pcm16_8000hz", "pcm16_16000hz", "g711_ulaw", "g711_alaw"]

SAMPLING_RATES = (8_000, 16_000, 24_000)
MAX_METADATA = 16
MAX_METADATA_KEY = 64
MAX_METADATA_VALUE = 512


def _metadata_fits(metadata: Mapping[str, str]) -> bool:
    small = all(len(key) <= MAX_METADATA_KEY and len(text) <= MAX_METADATA_VALUE for key, text in metadata.items())
    return small and len(metadata) <= MAX_METADATA


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionConfig(Part):
    """How the agent hears, thinks and speaks: one complete session, checked when it is made.

    ``None`` leaves a field to the service and is not sent; only ``turn_detection=None`` says something:
    manual turns. Wherever an object is expected, a plain mapping with the service's names or a model of
    the Azure SDK will do. Raises :class:`~voicelive_agent.errors.ConfigurationError` for what the service
    would not understand.
    """

    modalities: Annotated[Sequence[Modality], Rule("with at least one of them", bool)] = ("text", "audio")
    """What answers consist of; ``["text"]`` for a silent agent."""
    instructions: str | None = None
    """Who the agent is and how it behaves (the system prompt). The service has a persona of its own; ""
    clears it."""
    voice: (
        str
        | OpenAIVoice
        | AzureStandardVoice
        | AzureCustomVoice
        | AzurePersonalVoice
        | AzureAvatarVoiceSyncVoice
        | AzureRealtimeNativeVoice
        | JsonObject
        | None
    ) = field(default_factory=lambda: AzureStandardVoice(name="en-US-AvaNeural"))
    """Whose voice answers. A plain name: OpenAI's ten (alloy, marin ...), or an Azure voice."""
    input_audio_format: InputAudioFormat = "pcm16"
    """Encoding of the user's audio: 16-bit little-endian mono, or one byte of G.711 a sample."""
    input_audio_sampling_rate: (
        Annotated[int, Rule("8000, 16000 or 24000 Hz", SAMPLING_RATES.__contains__)] | None
    ) = None
    """Rate of the user's audio in Hz. The service takes 24000 for pcm16 and 8000, the only one, for G.711."""
    output_audio_format: OutputAudioFormat = "pcm16"
    """Encoding and rate of the agent's audio: 24 kHz unless the name says 8 or 16; G.711 is 8 kHz."""
    turn_detection: (
        ServerVad
        | AzureSemanticVad
        | AzureSemanticVadEn
        | AzureSemanticVadMultilingual
        | SemanticVad
        | DefaultTurnDetection
        | JsonObject
        | None
    ) = field(default_factory=lambda: ServerVad(threshold=0.5, prefix_padding_ms=300, silence_duration_ms=500))
    """Who decides when the user has finished. ``None``: only you do (push to talk)."""
    input_audio_noise_reduction: NoiseReduction | JsonObject | None = None
    """Noise reduction; the service's default is none."""
    input_audio_echo_cancellation: EchoCancellation | JsonObject | None = None
    """Echo cancellation on the service's side; the service's default is none."""
    input_audio_transcription: Transcription | JsonObject | None = None
    """How the user's speech becomes text. Cascade models use azure-speech anyway, realtime ones nothing."""
    output_audio_timestamp_types: Sequence[Literal["word"]] | None = None
    """``["word"]`` asks when each word is spoken, which makes the record of what was heard exact. Azure
    voices only."""
    animation: Animation | JsonObject | None = None
    """Data for a face of your own."""
    avatar: AvatarConfig | JsonObject | None = None
    """A video of somebody who speaks."""
    tools: Sequence[FunctionTool | MCPServer | JsonObject] | None = None
    """What the model may call, besides the agent's own tools."""
    tool_choice: Literal["auto", "none", "required"] | ToolChoice | JsonObject | None = None
    """Whether it may call, must not, must, or must call one by name. The service's default is auto."""
    parallel_tool_calls: bool | None = None
    """Whether it may call several at once. The service's default is true."""
    temperature: Annotated[float, between(0, 2)] | None = None
    """How varied answers are. Realtime audio models take 0.6 to 1.2; the service's default is 0.8."""
    max_response_output_tokens: Annotated[int, between(1, 4096)] | Literal["inf"] | None = None
    """How long an answer may get, in tokens (audio is about 20 a second). No limit by default."""
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    """How much a reasoning model thinks first; more thinking, later answers."""
    interim_response: StaticInterimResponse | LlmInterimResponse | JsonObject | None = None
    """Something to say while an answer takes long."""
    include: (
        Sequence[
            Literal[
                "item.input_audio_transcription.logprobs",
                "item.input_audio_transcription.phrases",
                "file_search_call.results",
            ]
        ]
        | None
    ) = None
    """Extra details in the service's messages."""
    metadata: (
        Annotated[
            Mapping[str, str],
            Rule("of at most 16 pairs, keys of at most 64 and values of at most 512 characters", _metadata_fits),
        ]
        | None
    ) = None
    """Your own labels; the service writes them to the resource's log."""
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Fields this version does not know, sent as they are and last. An object is merged into the one of
    the same name, unless it names its own ``type``: then it replaces it."""

    def __post_init__(self) -> None:
        if isinstance(self.voice, str):
            object.__setattr__(self, "voice", voice_named(self.voice))
        Part.__post_init__(self)
        check_combinations(self.to_session())

    @classmethod
    def coerce(cls, value: SessionConfig | Mapping[str, Any]) -> SessionConfig:
        """A session from a session, a mapping with the service's names, or the SDK's ``RequestSession``.

        A mapping is a *complete* session: the voice and the turn detection that it does not mention are
        left to the service, so ``coerce(config.to_session())`` is ``config``.
        """
        if isinstance(value, SessionConfig):
            return value
        if not isinstance(value, Mapping):
            raise refuse("The session", value, "a SessionConfig, a mapping or a RequestSession of the Azure SDK")
        session = mapping_of(value)
        if session.get("model") is not None:
            hint = "It belongs to the connection: VoiceAgent(target=...) or AZURE_VOICELIVE_MODEL."
            raise ConfigurationError(f"A session cannot change its model ({session['model']!r}).", hint=hint)
        known = {key: given for key, given in session.items() if key != "model"}
        return part_of(cls, known, voice=None, turn_detection=DefaultTurnDetection())

    def to_session(self) -> dict[str, Any]:
        """The complete ``session`` object for ``session.update``, as new plain JSON."""
        session = self.to_dict()
        extra = session.pop("extra")
        if self.turn_detection is None:
            session["turn_detection"] = None
        elif isinstance(self.turn_detection, DefaultTurnDetection):
            del session["turn_detection"]
        return _merged(session, extra)


def _merged(base: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in extra.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping) and "type" not in value:
            value = _merged(old, value)
        merged[key] = value
    return merged
