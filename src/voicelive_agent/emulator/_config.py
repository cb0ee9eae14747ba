"""The session object: its defaults, what a session.update does to it, and how it is echoed."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ._errors import ClientError
from ._options import Options
from ._profiles import Profile, served_name
from ._schema import AZURE_OUTPUT_FORMATS, OUTPUT_FORMATS, SEMANTIC_VADS

DEFAULT_API_VERSION = "2026-07-15"

_REALTIME_PERSONA = "You are a helpful, witty, and friendly AI. Your voice and personality should be warm."
_CASCADE_PERSONA = "You are a helpful assistant. Answer briefly, in a natural and friendly way."


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """The turn detection in force, with every number filled in."""

    type: str
    threshold: float
    prefix_padding_ms: int
    silence_duration_ms: int
    speech_duration_ms: int
    create_response: bool
    interrupt_response: bool
    auto_truncate: bool


class Config:
    """The session object of one session."""

    def __init__(self, model: str, query: Mapping[str, str], profile: Profile, options: Options) -> None:
        self.api_version = query.get("api-version", DEFAULT_API_VERSION)
        self.first_version = self.api_version.startswith("2025-")
        """Whether this is 2025-10-01 or older, which differs in a few fields."""
        self._profile = profile
        self._replace = options.update == "replace"
        self._model = served_name(model)
        self._agent = _agent(query)
        self._defaults = self._first_values(model)
        self._values = copy.deepcopy(self._defaults)
        self._updated = False
        self._audio_sent = False

    def _first_values(self, model: str) -> dict[str, Any]:
        realtime = self._profile.realtime
        openai_voice = "marin" if model.startswith("gpt-realtime-2") else "alloy"
        values: dict[str, Any] = {
            "modalities": ["audio"] if realtime else ["audio", "text"],
            "instructions": _REALTIME_PERSONA if realtime else _CASCADE_PERSONA,
            "voice": {"name": openai_voice, "type": "openai"}
            if realtime
            else {"name": "en-US-AvaNeural", "type": "azure-standard"},
            "input_audio_format": "pcm16",
            "output_audio_format": None if realtime else "pcm16",
            "input_audio_transcription": None if realtime else {"model": "azure-speech"},
            "turn_detection": {"type": "server_vad"},
            "tools": [],
            "tool_choice": "auto",
            "max_response_output_tokens": "inf",
            "input_audio_sampling_rate": 24000,
        }
        if not realtime:
            values |= {"temperature": 1.0 if model.startswith("gpt-5") else 0.8, "parallel_tool_calls": True}
        if model.startswith("gpt-5"):
            values["reasoning_effort"] = "minimal"
        return values

    # --- Changes ------------------------------------------------------------------------------------------

    def update(self, change: Mapping[str, Any]) -> None:
        """Take over a checked session.update; raises ClientError and changes nothing where it is contradictory."""
        base = self._defaults if self._replace else self._values
        values = {**base, **{key: copy.deepcopy(each) for key, each in change.items() if key != "model"}}
        if isinstance(values["voice"], str):
            values["voice"] = {"name": values["voice"], "type": "openai"}
        for name in ("tools", "tool_choice", "max_response_output_tokens", "input_audio_sampling_rate", "voice"):
            if values[name] is None:
                values[name] = self._defaults[name]
        if "voice" in change and values["voice"] != self._values["voice"]:
            self._check_voice_change()
        self._check_whole(values)
        self._values = values
        self._updated = True

    def _check_voice_change(self) -> None:
        if self._profile.realtime and self._audio_sent and self.voice["type"] == "openai":
            raise ClientError(
                "Cannot update a conversation's voice if assistant audio is present.",
                code="cannot_update_voice",
                param="session.voice",
            )

    def _check_whole(self, values: Mapping[str, Any]) -> None:
        turn, transcription = values["turn_detection"], values["input_audio_transcription"]
        azure_speech = self._profile.realtime and transcription and transcription["model"] == "azure-speech"
        if azure_speech and (turn is None or turn["type"] not in SEMANTIC_VADS):
            raise ClientError(
                "When using azure-speech as InputAudioTranscription, turn_detection must be of type "
                "AzureSemanticVAD or AzureMultilingualSemanticVAD.",
                param="session.turn_detection",
            )
        if turn and turn["type"] == "semantic_vad" and not self._profile.realtime:
            raise ClientError(
                "Turn detection of type 'semantic_vad' needs a realtime model.", param="session.turn_detection"
            )
        check_output_format(values["output_audio_format"], values["voice"], "session.output_audio_format")
        self._check_echo_cancellation(values)

    def _check_echo_cancellation(self, values: Mapping[str, Any]) -> None:
        where = "session.input_audio_echo_cancellation"
        echo = values.get("input_audio_echo_cancellation")
        if echo and "audio" not in values["modalities"]:
            raise ClientError(
                "Echo cancellation needs the modality 'audio'.", code="ec_not_supported", param=where
            )
        if echo and echo.get("channels") == 2:
            if echo.get("reference_source") != "client":
                message = "Echo cancellation with 2 channels needs reference_source 'client'."
                raise ClientError(message, code="invalid_ec_channels_requires_client", param=f"{where}.channels")
            if values["input_audio_format"] != "pcm16":
                message = "Echo cancellation with 2 channels needs input_audio_format 'pcm16'."
                raise ClientError(message, code="invalid_ec_channels_format", param=f"{where}.channels")

    def audio_was_sent(self) -> None:
        """The voice can no longer change (realtime models with their own voices)."""
        self._audio_sent = True

    # --- Reading ------------------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Any:
        return self._values.get(name)

    @property
    def voice(self) -> dict[str, Any]:
        """The voice object."""
        voice: dict[str, Any] = self._values["voice"]
        return voice

    @property
    def input_rate(self) -> int:
        """Samples per second of appended audio; G.711 has 8,000."""
        if self._values["input_audio_format"] != "pcm16":
            return 8000
        return int(self._values["input_audio_sampling_rate"])

    @property
    def input_channels(self) -> int:
        """Channels of appended audio: 2 where the second is the client's echo reference."""
        return int((self._values.get("input_audio_echo_cancellation") or {}).get("channels") or 1)

    @property
    def turn(self) -> TurnSettings | None:
        """The turn detection in force; None where the client ends turns."""
        given = self._values["turn_detection"]
        if given is None:
            return None
        numbers = self._numbers(given["type"])
        values = {name: numbers[name] if given.get(name) is None else given[name] for name in numbers}
        return TurnSettings(
            type=given["type"],
            **values,
            create_response=given.get("create_response") is not False,
            interrupt_response=given.get("interrupt_response") is not False,
            auto_truncate=given.get("auto_truncate") is True,
        )

    def _numbers(self, type: str) -> dict[str, Any]:
        """The service's numbers: newer versions pad and wait longer than the first one."""
        semantic = type in SEMANTIC_VADS
        newer = not self.first_version
        # A realtime model's session.created still shows the first version's numbers.
        if self._profile.realtime and not self._updated:
            newer = False
        return {
            "threshold": 0.5,
            "prefix_padding_ms": (420 if semantic else 400) if newer else 300,
            "silence_duration_ms": 500 if newer or semantic else 200,
            "speech_duration_ms": 80 if semantic else 64,
        }

    # --- Echo ---------------------------------------------------------------------------------------------

    def echo(self, session_id: str, expires_at: int) -> dict[str, Any]:
        """The session object as session.created and session.updated carry it."""
        values = copy.deepcopy(self._values)
        session = {
            "id": session_id,
            "model": self._model,
            **values,
            "turn_detection": self._echo_turn(values["turn_detection"]),
            "input_audio_transcription": self._echo_transcription(values["input_audio_transcription"]),
            "input_audio_noise_reduction": values.get("input_audio_noise_reduction"),
            "input_audio_echo_cancellation": _echo_cancellation(values.get("input_audio_echo_cancellation")),
            "expires_at": expires_at,
            "object": "realtime.session",
        }
        for name in _NULL_KEYS:
            session.setdefault(name, None)
        if self._agent:
            session["agent"] = self._agent
        return session

    def _echo_turn(self, given: dict[str, Any] | None) -> dict[str, Any] | None:
        if given is None:
            return None
        echo: dict[str, Any] = {"type": given["type"]}
        for name, number in self._numbers(given["type"]).items():
            if name != "speech_duration_ms":
                # A cascade session echoes null for a number that the update left out.
                shown = number if self._profile.realtime or not self._updated else None
                echo[name] = shown if given.get(name) is None else given[name]
        echo |= {
            "create_response": True,
            "interrupt_response": True,
            "idle_timeout_ms": None,
            "speech_duration_ms": None,
            "end_of_utterance_detection": None,
            "auto_truncate": False,
            "appended_text_after_truncation": None,
        }
        if given["type"] in SEMANTIC_VADS:
            echo |= {"languages": None, "remove_filler_words": False}
        if given["type"] == "azure_semantic_vad_multilingual":
            echo |= {"profile": "classic", **dict.fromkeys(_MULTILINGUAL_KEYS)}
        return echo | {name: each for name, each in given.items() if each is not None}

    def _echo_transcription(self, given: dict[str, Any] | None) -> dict[str, Any] | str | None:
        unset = None if self._profile.realtime else ""
        if given is None:
            return None
        echo = {name: given.get(name) for name in ("model", "language", "prompt", "custom_speech", "phrase_list")}
        if self._profile.realtime:
            return echo
        if echo["language"] == "en":
            echo["language"] = "en-US"
        return echo | {name: unset for name in ("language", "prompt") if echo[name] is None}


_NULL_KEYS = (
    "animation",
    "avatar",
    "output_audio_timestamp_types",
    "truncation_strategy",
    "include",
)
_MULTILINGUAL_KEYS = (
    "neg_threshold",
    "window_size",
    "distinct_ci_phones",
    "require_vowel",
    "require_vowel_assistant_speaking",
)


def _echo_cancellation(given: dict[str, Any] | None) -> dict[str, Any] | None:
    if given is None:
        return None
    return {"reference_source": "server", "channels": 1, **{k: v for k, v in given.items() if v is not None}}


def _agent(query: Mapping[str, str]) -> dict[str, Any] | None:
    name = query.get("agent-name") or query.get("agent-id") or query.get("agent_id")
    if not name:
        return None
    return {"type": "agent", "name": name, "description": None, "agent_id": name, "thread_id": None}


def check_output_format(format: str | None, voice: Mapping[str, Any] | str, path: str) -> None:
    """OpenAI voices only have pcm16 and G.711; other rates need an Azure voice."""
    openai = isinstance(voice, str) or voice["type"] == "openai"
    if openai and format in (*OUTPUT_FORMATS[1:3], *AZURE_OUTPUT_FORMATS):
        raise ClientError(f"Output format '{format}' needs an Azure voice.", param=path)
