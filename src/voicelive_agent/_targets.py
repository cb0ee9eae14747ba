"""Who answers: a model, a model of one's own, or a Foundry agent; and what follows from that."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, TypeAlias

from ._combinations import Backend
from ._session_fields import refuse
from .errors import ConfigurationError

__all__ = [
    "PROFILES",
    "AgentTarget",
    "ModelTarget",
    "Profile",
    "Target",
    "as_target",
    "backend_of",
    "default_transcription",
    "profile_of",
]

OPENAI_TRANSCRIPTION = "whisper-1"

Profile: TypeAlias = Literal["cascade", "realtime"]
"""A chat model between speech to text and text to speech, or a model that hears and speaks by itself."""

CURRENT_ONLY = (
    "version",
    "conversation_id",
    "authentication_identity_client_id",
    "foundry_resource_override",
)
"""What only agents of the current Agent Service have."""
PROFILES = (
    "byom-azure-openai-realtime",
    "byom-azure-openai-chat-completion",
    "byom-foundry-anthropic-messages",
)
"""How models of one's own are reached (documented)."""


@dataclass(frozen=True, slots=True)
class ModelTarget:
    """A model answers.

    ``profile`` is for a model of your own, whose deployment ``model`` names, and says how it is reached:
    ``byom-azure-openai-realtime`` (it hears and speaks by itself), ``byom-azure-openai-chat-completion`` or
    ``byom-foundry-anthropic-messages``. It takes a Foundry resource; a Speech resource has no such models.
    """

    model: str
    profile: str | None = None

    def __post_init__(self) -> None:
        _check_names(self, required=("model",))
        if self.profile is not None and self.profile not in PROFILES:
            hint = "A newer one goes into Settings.query: {'profile': ...}."
            raise refuse("ModelTarget.profile", self.profile, f"one of {', '.join(PROFILES)}", hint=hint)


@dataclass(frozen=True, slots=True)
class AgentTarget:
    """A Foundry agent answers, with the model, the instructions and the tools that it has in Foundry.

    ``agent`` and ``project`` are names. ``version`` is the latest if left out; ``conversation_id`` continues an
    earlier conversation. ``authentication_identity_client_id`` is the client id of the managed identity with which
    the service calls the agent, ``foundry_resource_override`` the resource that has it if that is not the
    endpoint's (the service then wants both). ``classic``: an agent of the classic Agent Service, whose id
    (``asst_...``) is ``agent``; it has none of the other options.

    It takes a Foundry resource and a Microsoft Entra identity (with the roles Cognitive Services User and Foundry
    User); keys are refused, as are instructions and tools, which it takes from nobody.
    """

    agent: str
    project: str
    version: str | None = None
    conversation_id: str | None = None
    authentication_identity_client_id: str | None = None
    foundry_resource_override: str | None = None
    classic: bool = False

    def __post_init__(self) -> None:
        _check_names(self, required=("agent", "project"))
        if not isinstance(self.classic, bool):
            raise refuse("AgentTarget.classic", self.classic, "True or False")
        given = [name for name in CURRENT_ONLY if getattr(self, name) is not None]
        if self.classic and given:
            raise ConfigurationError(
                f"AgentTarget has classic=True and {given[0]}, which a classic agent does not have.",
                hint=f"Leave out {given[0]}, or name an agent of the current Agent Service.",
            )
        if self.foundry_resource_override is not None and self.authentication_identity_client_id is None:
            raise ConfigurationError(
                "AgentTarget has foundry_resource_override and no authentication_identity_client_id.",
                hint="Name the managed identity of the endpoint's resource: it calls the other one.",
            )


Target: TypeAlias = ModelTarget | AgentTarget


def as_target(target: str | Target) -> Target:
    """A target from the name of a model."""
    if isinstance(target, str):
        return ModelTarget(target)
    if isinstance(target, ModelTarget | AgentTarget):
        return target
    raise refuse("The target", target, "the name of a model, a ModelTarget(...) or an AgentTarget(...)")


def profile_of(target: Target) -> Profile:
    """How the target hears and speaks: agents are cascade, and so is a model without "realtime" in its name.

    A model of your own may have any name; the ``profile`` by which it is reached says what it is.
    """
    if isinstance(target, AgentTarget):
        return "cascade"
    return "realtime" if "realtime" in (target.profile or target.model).lower() else "cascade"


def backend_of(target: Target) -> Backend:
    """Who answers, as far as that limits what can be configured."""
    is_agent = isinstance(target, AgentTarget)
    model = "" if isinstance(target, AgentTarget) else target.model
    return Backend(model, realtime=profile_of(target) == "realtime", agent=is_agent)


def default_transcription(target: Target) -> str | None:
    """What is to transcribe the user where the session does not say; None leaves it to the service.

    Cascade models transcribe anyway. Realtime ones do not unless told to, and then nobody knows what was said;
    those of OpenAI have ``whisper-1`` (documented), of the others it is not known what they take.
    """
    if isinstance(target, AgentTarget) or profile_of(target) == "cascade":
        return None
    name = (target.profile or target.model).lower()
    return OPENAI_TRANSCRIPTION if "openai" in name or name.startswith("gpt-") else None


def _check_names(target: ModelTarget | AgentTarget, *, required: tuple[str, ...]) -> None:
    for name in (entry.name for entry in fields(target) if entry.name != "classic"):
        value = getattr(target, name)
        if value is None and name not in required:
            continue
        if not isinstance(value, str) or not value.strip():
            raise refuse(f"{type(target).__name__}.{name}", value, "text, not empty")
