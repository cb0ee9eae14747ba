"""The objects inside a session: hearing, tools, animation, avatar and interim responses."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, TypeAlias

from ._session_fields import JsonObject, Milliseconds, Part, PositiveInt, Rule, Text, between
from .errors import ConfigurationError

__all__ = [
    "Animation",
    "AvatarConfig",
    "Background",
    "EchoCancellation",
    "FunctionTool",
    "IceServer",
    "InterimResponse",
    "LlmInterimResponse",
    "MCPServer",
    "NoiseReduction",
    "Scene",
    "StaticInterimResponse",
    "Tool",
    "ToolChoice",
    "Transcription",
    "VideoCrop",
    "VideoParams",
    "VideoResolution",
]

Corner: TypeAlias = Annotated[
    Sequence[Annotated[int, Rule("0 or more", lambda value: value >= 0)]],
    Rule("of exactly two numbers, x and y", lambda value: len(value) == 2),
]
Offset: TypeAlias = Annotated[float, between(-1, 1)]
Angle: TypeAlias = Annotated[float, between(-math.pi, math.pi)]
WebAddress: TypeAlias = Annotated[
    str,
    Rule(
        "that begins with http:// or https:// and a host",
        lambda value: bool(re.fullmatch(r"https?://[^/\s]\S*", value)),
    ),
]
HeaderValue: TypeAlias = Annotated[
    str,
    Rule(
        "not empty and on one line, with no space around it",  # as of a token that was read from a file
        lambda value: value == value.strip() != "" and value.isprintable(),
    ),
]

# --- what the service hears --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcription(Part):
    """How the user's speech becomes text. Cascade models always transcribe, realtime ones if asked to."""

    model: Text
    """azure-speech, mai-transcribe, mai-transcribe-2, whisper-1, gpt-4o-transcribe, gpt-4o-mini-transcribe,
    gpt-4o-transcribe-diarize; OpenAI's models need a realtime audio model."""
    language: str | None = None
    """``en``, ``en-US``, or several to choose from, ``en,zh`` (azure-speech)."""
    prompt: str | None = None
    """Guidance for OpenAI's models. Not in SDK 1.3.1."""
    custom_speech: Mapping[str, str] | None = None
    """Id of your custom speech model per locale (azure-speech)."""
    phrase_list: (
        Annotated[Sequence[str], Rule("of fewer than 500 phrases", lambda value: len(value) < 500)] | None
    ) = None
    """Words to expect, such as names (azure-speech, mai-transcribe)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseReduction(Part):
    """Noise reduction before detection and transcription."""

    type: Literal["azure_deep_noise_suppression", "near_field", "far_field"]
    """Azure's own, or OpenAI's for a headset or for a room, which cascade models are reported to accept and not to
    heed. Deep suppression can cost whole utterances."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoCancellation(Part):
    """Takes the agent's own voice out of what the microphone hears."""

    TAG: ClassVar[str] = "type"
    type: ClassVar[str] = "server_echo_cancellation"
    reference_source: Literal["server", "client"] | None = None
    """What is subtracted: what the service sent (assuming playback at once), or your second channel."""
    channels: Annotated[int, between(1, 2)] | None = None
    """Channels of the input: 1, or 2 with the microphone left and the reference right."""


# --- tools -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionTool(Part):
    """A function the model may call and the agent runs."""

    TAG: ClassVar[str] = "type"
    type: ClassVar[str] = "function"
    name: Text
    """Name the model uses."""
    description: str | None = None
    """What it does and when to use it, for the model."""
    parameters: JsonObject | None = None
    """JSON schema of its arguments. Every branch of an ``anyOf`` needs a ``type``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MCPServer(Part):
    """A Model Context Protocol server whose tools the *service* calls."""

    TAG: ClassVar[str] = "type"
    type: ClassVar[str] = "mcp"
    server_label: Text
    """Name of the server in events."""
    server_url: WebAddress
    """Its URL; the service must be able to reach it."""
    authorization: HeaderValue | None = field(default=None, repr=False)
    """Value of the Authorization header that the service sends to it."""
    headers: Mapping[str, HeaderValue] | None = field(default=None, repr=False)
    """More headers to send to it."""
    allowed_tools: Annotated[Sequence[Text], Rule("with at least one", bool)] | None = None
    """Names of the tools that may be used; all of them if not set."""
    require_approval: Literal["never", "always"] | Mapping[str, Sequence[str]] | None = None
    """Whether ``VoiceAgent.approve()`` is asked first (the service's default is always), or names of tools under
    "never" and "always"; a tool under neither is always asked for."""

    def __post_init__(self) -> None:
        Part.__post_init__(self)
        if self.authorization is not None and any(name.lower() == "authorization" for name in self.headers or ()):
            hint = "Give it as authorization=, and leave it out of headers=."
            raise ConfigurationError("MCPServer has two values of the header Authorization.", hint=hint)
        approval = self.require_approval
        if not isinstance(approval, Mapping):
            return
        if unknown := [key for key in approval if key not in ("never", "always")]:
            hint = 'It takes names of tools under "never" and "always".'
            raise ConfigurationError(f"MCPServer.require_approval has {unknown[0]!r:.80}.", hint=hint)
        if both := set(approval.get("never", ())) & set(approval.get("always", ())):
            raise ConfigurationError(f'MCPServer.require_approval has {min(both)!r} under "never" and "always".')
        named = {*approval.get("never", ()), *approval.get("always", ())}
        if self.allowed_tools is not None and (gone := named - set(self.allowed_tools)):
            hint = "Add it to allowed_tools, or leave it out of require_approval."
            raise ConfigurationError(f"MCPServer.allowed_tools does not have {min(gone)!r}.", hint=hint)


Tool: TypeAlias = FunctionTool | MCPServer


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolChoice(Part):
    """Makes the model call one function by name. Several realtime models do not honour it."""

    TAG: ClassVar[str] = "type"
    type: ClassVar[str] = "function"
    name: Text
    """Name of the function."""


# --- animation and avatar ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Animation(Part):
    """Data for a face of your own. Azure voices only; needs the modality ``animation``."""

    model_name: str | None = None
    """Name of the animation model."""
    outputs: Sequence[Literal["blendshapes", "viseme_id"]] | None = None
    """Mouth positions (visemes 0 to 21) or 55 facial weights per frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IceServer(Part):
    """A STUN or TURN server for the avatar's WebRTC connection."""

    urls: Sequence[str]
    """Its ``stun:`` and ``turn:`` URLs."""
    username: str | None = None
    """Name to log in with."""
    credential: str | None = field(default=None, repr=False)
    """Password or token to log in with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoCrop(Part):
    """The part of the picture to send; corners as ``[x, y]`` in pixels."""

    top_left: Corner
    """The corner nearest to ``[0, 0]``."""
    bottom_right: Corner
    """The opposite corner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoResolution(Part):
    """Size of the picture in pixels."""

    width: PositiveInt
    """Pixels from left to right."""
    height: PositiveInt
    """Pixels from top to bottom."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Background(Part):
    """What is behind the avatar: a colour or a picture, not both."""

    color: str | None = None
    """Colour as ``#RRGGBBAA``."""
    image_url: str | None = None
    """URL of a picture."""

    def __post_init__(self) -> None:
        Part.__post_init__(self)
        if self.color is not None and self.image_url is not None:
            raise ConfigurationError("Background has both color and image_url; give one of them.")


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoParams(Part):
    """How the avatar's video is encoded."""

    bitrate: PositiveInt | None = None
    """Bits per second, such as 2000000."""
    codec: Literal["h264"] | None = None
    """The only codec there is."""
    crop: VideoCrop | JsonObject | None = None
    """Send only a part of the picture."""
    resolution: VideoResolution | JsonObject | None = None
    """Size of the picture."""
    background: Background | JsonObject | None = None
    """What is behind the avatar."""
    gop_size: PositiveInt | None = None
    """Frames from one key frame to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene(Part):
    """Where a photo avatar is in the picture and how much it moves."""

    zoom: Annotated[float, Rule("more than 0", lambda value: value > 0)] | None = None
    """Less than 1 zooms out, more than 1 zooms in."""
    position_x: Offset | None = None
    """-1 (left) to 1 (right), in widths of the frame."""
    position_y: Offset | None = None
    """-1 (up) to 1 (down), in heights of the frame."""
    rotation_x: Angle | None = None
    """Nodding, in radians from -pi (up) to pi (down)."""
    rotation_y: Angle | None = None
    """Turning, in radians from -pi (left) to pi (right)."""
    rotation_z: Angle | None = None
    """Tilting, in radians from -pi (anticlockwise) to pi (clockwise)."""
    amplitude: Annotated[float, Rule("more than 0 and at most 1", lambda value: 0 < value <= 1)] | None = None
    """How much it moves: 1 is all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AvatarConfig(Part):
    """A video of somebody who speaks. Azure voices only; needs the modality ``avatar``."""

    type: Literal["video-avatar", "photo-avatar"] | None = None
    """A filmed character, or one made from a photo."""
    ice_servers: Sequence[IceServer | JsonObject] | None = None
    """Servers for WebRTC; the service names its own if there are none."""
    character: Text
    """Name or id of the character, such as ``lisa``."""
    style: str | None = None
    """Style of the character, such as ``casual-sitting``."""
    model: Literal["vasa-1"] | None = None
    """The base model, which a photo avatar needs."""
    customized: bool
    """Whether the character is one of your own."""
    video: VideoParams | JsonObject | None = None
    """How the video is encoded."""
    scene: Scene | JsonObject | None = None
    """Where the avatar is in the picture."""
    output_protocol: Literal["webrtc", "websocket"] | None = None
    """How the video comes: its own WebRTC connection (the service's default), or as events."""
    output_audit_audio: bool | None = None
    """Whether audio comes as events too although WebRTC carries it."""

    def __post_init__(self) -> None:
        Part.__post_init__(self)
        if self.type == "photo-avatar" and self.model is None:
            raise ConfigurationError("AvatarConfig of type 'photo-avatar' needs model='vasa-1'.")


# --- interim responses -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyInterimResponse(Part):
    """Something to say while the answer takes long. Cascade models and agents with an Azure voice only."""

    TAG: ClassVar[str] = "type"
    triggers: Annotated[Sequence[Literal["latency", "tool"]], Rule("with at least one", bool)] | None = None
    """What makes it speak: a slow answer, a tool that runs; either one suffices. The service's default is latency
    alone."""
    latency_threshold_ms: Milliseconds | None = None
    """How slow is slow, in ms. The service's default is 2000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticInterimResponse(AnyInterimResponse):
    """Says one of your sentences, chosen at random."""

    type: ClassVar[str] = "static_interim_response"
    texts: Annotated[Sequence[Text], Rule("with at least one", bool)]
    """The sentences."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmInterimResponse(AnyInterimResponse):
    """Lets a small model find something fitting to say."""

    type: ClassVar[str] = "llm_interim_response"
    model: str | None = None
    """Name of the model. The service's default is gpt-4.1-mini."""
    instructions: str | None = None
    """What it should say; the service has a prompt of its own."""
    max_completion_tokens: PositiveInt | None = None
    """How long it may get, in tokens. The service's default is 50."""


InterimResponse: TypeAlias = StaticInterimResponse | LlmInterimResponse
