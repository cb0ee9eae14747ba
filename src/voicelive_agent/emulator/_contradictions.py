"""What in a session contradicts itself or its model: refused; what has no effect: a warning."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ._checks import missing
from ._errors import ClientError
from ._schema import AZURE_OUTPUT_FORMATS, OUTPUT_FORMATS, SEMANTIC_VADS

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Backend:
    """What serves a session, as far as it limits what may be configured."""

    model: str
    realtime: bool
    agent: bool


@dataclass(frozen=True, slots=True)
class Notice:
    """The content of a ``warning`` event: nothing was refused."""

    message: str
    code: str
    param: str


def check_session(values: Values, backend: Backend) -> None:
    """Raise ClientError, with the parameter to blame, for a session that could not work."""
    for check in _CHECKS:
        check(values, backend)


def check_agent_update(change: Values) -> None:
    """An agent has its own model and instructions (documented)."""
    for name in ("instructions", "model"):
        if change.get(name) is not None:
            raise ClientError(f"'{name}' cannot be set in an agent's session.", param=f"session.{name}")


def check_output_format(format: str | None, voice: Values | str, path: str) -> None:
    """OpenAI voices only have pcm16 and G.711; other rates need an Azure voice."""
    openai = isinstance(voice, str) or voice["type"] == "openai"
    if openai and format in (*OUTPUT_FORMATS[1:3], *AZURE_OUTPUT_FORMATS):
        raise ClientError(f"Output format '{format}' needs an Azure voice.", param=path)


def _turn_detection(values: Values, backend: Backend) -> None:
    turn, transcription = values["turn_detection"], values["input_audio_transcription"]
    azure_speech = backend.realtime and transcription and transcription["model"] == "azure-speech"
    if azure_speech and (turn is None or turn["type"] not in SEMANTIC_VADS):
        raise ClientError(
            "When using azure-speech as InputAudioTranscription, turn_detection must be of type "
            "AzureSemanticVAD or AzureMultilingualSemanticVAD.",
            param="session.turn_detection",
        )
    if turn and turn["type"] == "semantic_vad" and not backend.realtime:
        raise ClientError(
            "Turn detection of type 'semantic_vad' needs a realtime model.", param="session.turn_detection"
        )


def _transcription(values: Values, backend: Backend) -> None:
    """Which option goes with which model is documented; that a cascade has no transcriber of OpenAI as well."""
    given = values["input_audio_transcription"] or {}
    model, where = given.get("model", ""), "session.input_audio_transcription"
    openai = model.startswith(_OPENAI_TRANSCRIPTION)
    if given.get("phrase_list") and not model.startswith(("azure-speech", "mai-transcribe")):
        message = "'phrase_list' needs the transcription model azure-speech or mai-transcribe."
        raise ClientError(message, param=f"{where}.phrase_list")
    if given.get("custom_speech") and model != "azure-speech":
        message = "'custom_speech' needs the transcription model azure-speech."
        raise ClientError(message, param=f"{where}.custom_speech")
    if given.get("prompt") and not openai:
        raise ClientError("'prompt' needs a transcription model of OpenAI.", param=f"{where}.prompt")
    if openai and not backend.realtime:
        raise ClientError(f"Transcription model '{model}' needs a realtime model.", param=f"{where}.model")


_OPENAI_TRANSCRIPTION = ("whisper", "gpt-4o")


def _voice(values: Values, backend: Backend) -> None:
    kind = values["voice"]["type"]
    if kind == "azure-realtime-native" and not backend.model.startswith("azure-realtime"):
        raise ClientError("Voices of type 'azure-realtime-native' need the model azure-realtime.", param=_VOICE)
    if kind == "openai" and backend.agent:
        raise ClientError("An agent speaks with an Azure voice.", param=_VOICE)
    check_output_format(values["output_audio_format"], values["voice"], "session.output_audio_format")


_VOICE = "session.voice"


def _temperature(values: Values, backend: Backend) -> None:
    """0.6 to 1.2 with realtime models (documented)."""
    given = values.get("temperature")
    if backend.realtime and given is not None and not 0.6 <= given <= 1.2:
        raise ClientError(
            f"Invalid value for 'session.temperature': {given} is not within 0.6 and 1.2.",
            param="session.temperature",
        )


def _interim_response(values: Values, backend: Backend) -> None:
    """Only where the service itself makes the speech (documented)."""
    if values.get("interim_response") and (backend.realtime or values["voice"]["type"] == "openai"):
        raise ClientError(
            "Interim responses need a model of the cascade, or an agent, and an Azure voice.",
            param="session.interim_response",
        )


def _avatar(values: Values, backend: Backend) -> None:
    avatar = values.get("avatar") or {}
    if avatar.get("type") == "photo-avatar" and avatar.get("model") is None:
        raise missing("session.avatar.model")


def _echo_cancellation(values: Values, backend: Backend) -> None:
    where = "session.input_audio_echo_cancellation"
    echo = values.get("input_audio_echo_cancellation")
    if not echo:
        return
    two, client = echo.get("channels") == 2, echo.get("reference_source") == "client"
    if "audio" not in values["modalities"]:
        raise ClientError("Echo cancellation needs the modality 'audio'.", code="ec_not_supported", param=where)
    if two and not client:
        message = "Echo cancellation with 2 channels needs reference_source 'client'."
        raise ClientError(message, code="invalid_ec_channels_requires_client", param=f"{where}.channels")
    if client and not two:
        message = "Echo cancellation with reference_source 'client' needs 2 channels."
        raise ClientError(message, code="invalid_ec_reference_channels", param=f"{where}.channels")
    if two and values["input_audio_format"] != "pcm16":
        message = "Echo cancellation with 2 channels needs input_audio_format 'pcm16'."
        raise ClientError(message, code="invalid_ec_channels_format", param=f"{where}.channels")


_CHECKS: tuple[Callable[[Values, Backend], None], ...] = (
    _turn_detection,
    _transcription,
    _voice,
    _temperature,
    _interim_response,
    _avatar,
    _echo_cancellation,
)


def notices(values: Values) -> Iterator[Notice]:
    """What has no effect. That the service warns of just this is a guess: no ``warning`` was recorded."""
    noise = (values.get("input_audio_noise_reduction") or {}).get("type")
    speech = (values["input_audio_transcription"] or {}).get("model")
    if noise in ("near_field", "far_field") and speech == "azure-speech":
        yield Notice(
            f"Noise reduction of type '{noise}' has no effect on azure-speech.",
            "noise_reduction_without_effect",
            "session.input_audio_noise_reduction",
        )
    for name in ("output_audio_timestamp_types", "animation"):
        if values.get(name) and values["voice"]["type"] == "openai":
            yield Notice(f"'{name}' needs an Azure voice.", f"{name}_without_effect", f"session.{name}")
