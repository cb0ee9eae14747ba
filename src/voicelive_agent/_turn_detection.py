"""Who decides when the user has finished: the ways of turn detection, and what they mean for the agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

from ._session_fields import Fraction, JsonObject, Milliseconds, Part, refuse

__all__ = [
    "AzureSemanticVad",
    "AzureSemanticVadEn",
    "AzureSemanticVadMultilingual",
    "DefaultTurnDetection",
    "EndOfUtteranceDetection",
    "SemanticVad",
    "ServerVad",
    "TurnDetection",
    "TurnPolicy",
    "turn_policy",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndOfUtteranceDetection(Part):
    """A model that listens to *what* was said, so that a pause for thought does not end the turn."""

    model: Literal[
        "semantic_detection_v1",
        "semantic_detection_v1_en",
        "semantic_detection_v1_multilingual",
        "smart_end_of_turn_detection",
    ] = "semantic_detection_v1"
    """Any language, English, many languages, or the preview that also listens to the intonation."""
    threshold_level: Literal["low", "medium", "high", "default"] | None = None
    """How sure the model must be that the turn is over."""
    timeout_ms: Milliseconds | None = None
    """How long to wait at most for the rest of a sentence, in ms. The service's default is 1000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyVad(Part):
    """What all voice activity detection of the service has in common."""

    TAG: ClassVar[str] = "type"
    threshold: Fraction | None = None
    """How sure the detector must be that it is speech, 0 to 1. The service's default is 0.5."""
    prefix_padding_ms: Milliseconds | None = None
    """Audio kept from before the speech, in ms. The service's default is 300, newer versions 400."""
    silence_duration_ms: Milliseconds | None = None
    """Silence that ends the turn, in ms. The service's default is 500, older versions 200."""
    end_of_utterance_detection: EndOfUtteranceDetection | JsonObject | None = None
    """A second opinion about the end of the turn."""
    auto_truncate: bool = False
    """Whether the service shortens an interrupted answer in its own record. It assumes that audio is heard
    the moment it is sent, which is wrong for every player with a queue; the agent knows better and does
    it itself."""
    create_response: bool | None = None
    """Whether the service answers by itself when the turn ends. The service's default is true."""
    interrupt_response: bool | None = None
    """Whether the user's speech stops an answer. The service's default is true."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerVad(AnyVad):
    """The turn ends with silence."""

    type: ClassVar[str] = "server_vad"
    speech_duration_ms: Milliseconds | None = None
    """Speech that begins a turn, in ms. The service's default is 200. Not in SDK 1.3.1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyAzureSemanticVad(AnyVad):
    """What Azure's semantic detection adds: speech is told from other sounds."""

    speech_duration_ms: Milliseconds | None = None
    """Speech that begins a turn, in ms. The service's default is 80."""
    remove_filler_words: bool | None = None
    """Whether "um" and "uh" count as nothing: alone they do not even begin a turn. The default is false."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureSemanticVad(AnyAzureSemanticVad):
    """Azure's semantic detection, the default variant."""

    type: ClassVar[str] = "azure_semantic_vad"
    languages: Sequence[str] | None = None
    """BCP-47 codes of the languages that are spoken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureSemanticVadEn(AnyAzureSemanticVad):
    """Azure's semantic detection for English."""

    type: ClassVar[str] = "azure_semantic_vad_en"


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureSemanticVadMultilingual(AnyAzureSemanticVad):
    """Azure's semantic detection for many languages."""

    type: ClassVar[str] = "azure_semantic_vad_multilingual"
    languages: Sequence[str] | None = None
    """BCP-47 codes of the languages that are spoken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticVad(Part):
    """OpenAI's semantic detection; only realtime audio models have it, and the Azure SDK does not know it."""

    TAG: ClassVar[str] = "type"
    type: ClassVar[str] = "semantic_vad"
    eagerness: Literal["low", "medium", "high", "auto"] | None = None
    """How soon to answer: low waits for the user, high takes the word."""
    create_response: bool | None = None
    """Whether the service answers by itself when the turn ends. The service's default is true."""
    interrupt_response: bool | None = None
    """Whether the user's speech stops an answer. The service's default is true."""


@dataclass(frozen=True, slots=True)
class DefaultTurnDetection:
    """Leaves turn detection to the service, or to the Foundry agent's own configuration: nothing is sent."""


TurnDetection: TypeAlias = (
    ServerVad | AzureSemanticVad | AzureSemanticVadEn | AzureSemanticVadMultilingual | SemanticVad
)


# --- what it means -----------------------------------------------------------------------------------------

DEFAULT_PREFIX_PADDING_MS = 300
DEFAULT_SILENCE_MS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnPolicy:
    """Who begins and who interrupts an answer, read from the session as it was sent."""

    kind: Literal["server", "semantic", "manual"]
    """Silence ends a turn, meaning ends it, or only we do."""
    creates_response: bool
    """The service answers by itself when a turn ends."""
    interrupts_response: bool
    """The service stops an answer by itself when the user speaks."""
    auto_truncates: bool
    """The service corrects its record of an interrupted answer by itself."""
    prefix_padding_ms: int
    """Audio kept from before the speech, in ms."""
    silence_ms: int
    """Silence that ends a turn, in ms."""


def turn_policy(session: Mapping[str, Any]) -> TurnPolicy:
    """What the turn detection in a session means. ``session`` is what was *sent*: cascade models echo nulls.

    A session that does not mention it has the service's own: ``server_vad``, with everything at its default.
    Raises :class:`~voicelive_agent.errors.ConfigurationError` if it is no object.
    """
    detection = session.get("turn_detection", {"type": ServerVad.type})
    if detection is None:
        return TurnPolicy(
            kind="manual",
            creates_response=False,
            interrupts_response=False,
            auto_truncates=False,
            prefix_padding_ms=DEFAULT_PREFIX_PADDING_MS,
            silence_ms=DEFAULT_SILENCE_MS,
        )
    if not isinstance(detection, Mapping):
        raise refuse("The turn_detection of the session", detection, "a JSON object or null")

    def said(key: str, default: Any) -> Any:
        value = detection.get(key)
        return default if value is None else value

    return TurnPolicy(
        kind="semantic" if "semantic" in said("type", "") else "server",
        creates_response=said("create_response", True),
        interrupts_response=said("interrupt_response", True),
        auto_truncates=said("auto_truncate", False),
        prefix_padding_ms=said("prefix_padding_ms", DEFAULT_PREFIX_PADDING_MS),
        silence_ms=said("silence_duration_ms", DEFAULT_SILENCE_MS),
    )
