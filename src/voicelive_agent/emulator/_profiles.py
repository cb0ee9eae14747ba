"""The two back ends behind the one protocol, as data: what each writes differently, and how long it takes.

Cascade: azure-speech, then a chat model, then an Azure voice; the service writes all events. Realtime: an audio
model whose events are mostly passed through. The delays are those of recorded sessions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from ._options import Options, ProfileName

_REALTIME_MODELS = ("gpt-realtime", "phi4-mm-realtime", "azure-realtime")
_SERVED_NAMES = {"gpt-4.1-mini": "gpt-4.1-mini-2025-04-14"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """The service's own delays in seconds; what the emulator's work takes is part of them, not added."""

    update: float = 0.0
    """session.update to session.updated."""
    started: float = 0.0
    """The frame that decides on speech to speech_started."""
    stopped: float = 0.0
    """The frame that decides on silence to speech_stopped and committed."""
    transcript: float = 0.0
    """committed to transcription.completed."""
    item: float = 0.0
    """transcription.completed to item.created of a manual turn (cascade)."""
    output: float = 0.0
    """response.created to the first output item."""
    audio: float = 0.0
    """The last text before it to the first audio."""
    delta: float = 0.0
    """Between two audio deltas, where they are not paced."""
    late: float = 0.0
    """speech_started to the end of the response it cancels."""

    def divided(self, speed: float) -> Delays:
        """The same delays, ``speed`` times as short."""
        return Delays(**{each.name: getattr(self, each.name) / speed for each in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one back end does differently."""

    name: ProfileName
    realtime: bool
    new_item_status: str
    """The status of an answer that has just begun."""
    call_id_length: int
    lifetime_s: int
    """From the connection to ``expires_at``."""
    delays: Delays


_CASCADE = Profile(
    name="cascade",
    realtime=False,
    new_item_status="incomplete",
    call_id_length=24,
    lifetime_s=7200,
    delays=Delays(
        update=0.085,
        started=0.3,
        stopped=0.15,
        transcript=0.2,
        item=0.065,
        output=0.25,
        audio=0.3,
        delta=0.04,
        late=0.125,
    ),
)
_REALTIME = Profile(
    name="realtime",
    realtime=True,
    new_item_status="in_progress",
    call_id_length=16,
    lifetime_s=3600,
    delays=Delays(
        update=0.085,
        started=0.3,
        stopped=0.15,
        transcript=0.19,
        output=1.2,
        audio=0.13,
        delta=0.04,
        late=0.125,
    ),
)


def is_realtime_model(model: str) -> bool:
    """Whether ``model`` is an audio model rather than a chat model between ears and a voice."""
    return model.startswith(_REALTIME_MODELS)


BYOM_PROFILES: Mapping[str, ProfileName] = {
    "byom-azure-openai-realtime": "realtime",
    "byom-azure-openai-chat-completion": "cascade",
    "byom-foundry-anthropic-messages": "cascade",
}
"""The values of the URL's ``profile`` (bring your own model), and what serves them."""


def profile_of(model: str, options: Options, own_model: str | None = None) -> Profile:
    """The profile that serves ``model``; ``own_model`` is the URL's ``profile``."""
    name = options.profile or BYOM_PROFILES.get(own_model or "")
    if name is None:
        name = "realtime" if is_realtime_model(model) else "cascade"
    return _REALTIME if name == "realtime" else _CASCADE


def delays_of(profile: Profile, options: Options) -> Delays:
    """The delays in force."""
    return profile.delays.divided(options.speed) if options.latency == "service" else Delays()


def served_name(model: str) -> str:
    """The name that the service echoes for the model it was asked for."""
    if model.startswith("gpt-realtime"):
        return f"{model}-global-standard"
    return _SERVED_NAMES.get(model, model)
