"""The voices an agent can have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from ._session_fields import Fraction, Part, Text

__all__ = [
    "OPENAI_VOICES",
    "AzureAvatarVoiceSyncVoice",
    "AzureCustomVoice",
    "AzurePersonalVoice",
    "AzureRealtimeNativeVoice",
    "AzureStandardVoice",
    "OpenAIVoice",
    "Voice",
    "voice_named",
]

OPENAI_VOICES = frozenset(
    {"alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar"}
)
"""The plain names that mean an OpenAI voice; any other is an Azure voice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIVoice(Part):
    """A voice of the OpenAI models; spoken by the realtime audio models themselves."""

    TAG: ClassVar[str] = "type"
    type: ClassVar[str] = "openai"
    name: Text
    """alloy, ash, ballad, coral, echo, sage, shimmer, verse, marin or cedar; a newer name is sent as it
    is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureRealtimeNativeVoice(Part):
    """A voice of the ``azure-realtime`` model; no other model has it."""

    TAG: ClassVar[str] = "type"
    type: ClassVar[str] = "azure-realtime-native"
    name: Text
    """aarti, andrew, ava, denise, diya, elsa, florian, francisca, meera, xiaoxiao, yunxi, ximena; the list
    grows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureVoice(Part):
    """What all voices of Azure text to speech can be told about how to speak."""

    TAG: ClassVar[str] = "type"
    temperature: Fraction | None = None
    """How varied the delivery is, 0 to 1; only HD voices listen to it."""
    custom_lexicon_url: str | None = None
    """URL of a lexicon that says how to pronounce words."""
    custom_text_normalization_url: str | None = None
    """URL of a service that rewrites text before it is spoken."""
    prefer_locales: Sequence[str] | None = None
    """BCP-47 locales whose accent to prefer per language, such as ``["en-GB", "es-ES"]``."""
    locale: str | None = None
    """The only BCP-47 locale to speak; text in another language may be silent. Detected if not set."""
    style: str | None = None
    """Speaking style, such as ``cheerful``, of voices that have styles."""
    pitch: str | None = None
    """As in SSML prosody: ``low``, ``+10%``, ``-2st``, ``200Hz``."""
    rate: str | None = None
    """As in SSML prosody: ``slow``, ``+20%``, or a factor from ``0.5`` to ``1.5``, as text."""
    volume: str | None = None
    """As in SSML prosody: ``soft``, ``0`` to ``100``, ``+10``, ``-6dB``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureStandardVoice(AzureVoice):
    """A ready-made Azure voice, such as ``en-US-AvaNeural`` or ``en-US-Ava:DragonHDLatestNeural``."""

    type: ClassVar[str] = "azure-standard"
    name: Text
    """``<locale>-<Name>Neural``, ``...MultilingualNeural`` or ``<locale>-<Name>:DragonHD...Neural``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureCustomVoice(AzureVoice):
    """A professional voice that was trained for you and deployed to an endpoint."""

    type: ClassVar[str] = "azure-custom"
    name: Text
    """Name of the voice."""
    endpoint_id: Text
    """Id of the deployment that speaks it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AzurePersonalVoice(AzureVoice):
    """A personal voice: somebody's own voice from a short sample."""

    type: ClassVar[str] = "azure-personal"
    name: Text
    """Name (speaker profile) of the voice."""
    model: Text
    """DragonLatestNeural, PhoenixLatestNeural, PhoenixV2Neural, DragonHDOmniLatestNeural or MAI-Voice-1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureAvatarVoiceSyncVoice(AzureVoice):
    """The voice that belongs to the avatar's character."""

    type: ClassVar[str] = "avatar-voice-sync"
    model: Text
    """The underlying model, the same names as for :class:`AzurePersonalVoice`."""


Voice: TypeAlias = (
    OpenAIVoice
    | AzureStandardVoice
    | AzureCustomVoice
    | AzurePersonalVoice
    | AzureAvatarVoiceSyncVoice
    | AzureRealtimeNativeVoice
)


def voice_named(name: str) -> OpenAIVoice | AzureStandardVoice:
    """The voice that a plain name means: one of OpenAI's ten, or an Azure standard voice."""
    return OpenAIVoice(name=name) if name in OPENAI_VOICES else AzureStandardVoice(name=name)
