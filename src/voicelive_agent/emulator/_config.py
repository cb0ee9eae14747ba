"""The session object: its defaults, and what a session.update does to it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ._agents import Agent
from ._contradictions import Backend, Notice, check_agent_update, check_output_format, check_session, notices
from ._errors import ClientError
from ._options import Options
from ._profiles import Profile, served_name
from ._schema import SEMANTIC_VADS
from ._session_echo import echo_session

__all__ = ["DEFAULT_API_VERSION", "Config", "TurnSettings", "check_output_format"]

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

    def __init__(
        self, model: str, query: Mapping[str, str], profile: Profile, options: Options, agent: Agent | None = None
    ) -> None:
        self.api_version = options.api_version or query.get("api-version", DEFAULT_API_VERSION)
        self.first_version = self.api_version.startswith("2025-")
        """Whether this is 2025-10-01 or older, which differs in a few fields."""
        self._profile = profile
        self._options = options
        self._model = served_name(model) or None
        self._agent = agent
        self._backend = Backend(model, profile.realtime, agent is not None)
        self._defaults = self._first_values(model)
        self._values = copy.deepcopy(self._defaults)
        self.updated = False
        """Whether the client has configured the session."""
        self._audio_sent = False
        self._audio_received = False

    def _first_values(self, model: str) -> dict[str, Any]:
        realtime = self._profile.realtime
        own_voice = {"name": "marin" if model.startswith("gpt-realtime-2") else "alloy", "type": "openai"}
        if model.startswith("azure-realtime"):
            own_voice = {"name": "ava", "type": "azure-realtime-native"}  # documented
        persona = _REALTIME_PERSONA if realtime else _CASCADE_PERSONA
        values: dict[str, Any] = {
            "modalities": ["audio"] if realtime else ["audio", "text"],
            "instructions": None if self._agent else persona,
            "voice": own_voice if realtime else {"name": "en-US-AvaNeural", "type": "azure-standard"},
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

    def update(self, change: Mapping[str, Any]) -> list[Notice]:
        """Take over a checked session.update; what of it has no effect.

        Raises ClientError and changes nothing where it is contradictory.
        """
        self._check_change(change)
        values = self._merged(change)
        if "voice" in change and values["voice"] != self._values["voice"]:
            self._check_voice_change()
        check_session(values, self._backend)
        if self._audio_received and _channels(values) != self.input_channels:
            raise ClientError(
                "The number of input channels cannot change once audio was sent.",
                code="change_in_ec_channels_not_allowed",
                param="session.input_audio_echo_cancellation.channels",
            )
        known = set(notices(self._values))
        self._values = values
        self.updated = True
        return [notice for notice in notices(values) if notice not in known]

    def _merged(self, change: Mapping[str, Any]) -> dict[str, Any]:
        base = self._defaults if self._options.update == "replace" else self._values
        values = {**base, **{key: copy.deepcopy(each) for key, each in change.items() if key != "model"}}
        if self._options.update == "deep":
            values |= {
                key: {**base[key], **values[key]} for key in change if _same_kind(base.get(key), values[key])
            }
        if isinstance(values["voice"], str):
            values["voice"] = {"name": values["voice"], "type": "openai"}
        for name in _NEVER_NULL:
            if values[name] is None:
                values[name] = self._defaults[name]
        if values["input_audio_transcription"] is None:  # a cascade cannot do without
            values["input_audio_transcription"] = self._defaults["input_audio_transcription"]
        return values

    def _check_change(self, change: Mapping[str, Any]) -> None:
        """What depends on what the client said just now, or before."""
        if self._agent:
            check_agent_update(change)
        if self._options.model_update == "error" and change.get("model") is not None:
            raise ClientError("The model of a session cannot change.", param="session.model")
        if change.get("modalities") == ["audio"]:  # documented, though realtime models begin with it
            raise ClientError("'audio' cannot be the only modality.", param="session.modalities")
        if change.get("input_audio_format", self._values["input_audio_format"]) != "pcm16":
            rate = change.get("input_audio_sampling_rate")
            if rate not in (None, 8000):
                raise ClientError(
                    f"G.711 has 8000 samples per second, not {rate}.", param="session.input_audio_sampling_rate"
                )
        if self._options.fixed_turn_detection and self.updated and "turn_detection" in change:
            before, after = self._values["turn_detection"], change["turn_detection"]
            if (before and before["type"]) != (after and after["type"]):
                raise ClientError(
                    "The type of turn detection cannot change during a session.",
                    param="session.turn_detection.type",
                )

    def _check_voice_change(self) -> None:
        if self._profile.realtime and self._audio_sent and self.voice["type"] == "openai":
            raise ClientError(
                "Cannot update a conversation's voice if assistant audio is present.",
                code="cannot_update_voice",
                param="session.voice",
            )

    def audio_was_sent(self) -> None:
        """The voice can no longer change (realtime models with their own voices)."""
        self._audio_sent = True

    def audio_was_received(self) -> None:
        """The number of channels can no longer change."""
        self._audio_received = True

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
        return _channels(self._values)

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

    @property
    def appended_text(self) -> str:
        """What stands in place of the words that ``auto_truncate`` cut off."""
        return (self._values["turn_detection"] or {}).get("appended_text_after_truncation") or ""

    def _numbers(self, type: str) -> dict[str, Any]:
        """The service's numbers: newer versions pad and wait longer than the first one."""
        semantic = type in SEMANTIC_VADS
        # A realtime model's session.created still shows the first version's numbers.
        first = self.first_version or (self._profile.realtime and not self.updated)
        longer = not first and self.api_version >= "2026-04-10"
        return {
            "threshold": 0.5,
            "prefix_padding_ms": (420 if semantic else 400) if longer else 300,
            "silence_duration_ms": 200 if first and not semantic else 500,
            "speech_duration_ms": 80 if semantic else 64,
        }

    def echo(self, session_id: str, expires_at: int) -> dict[str, Any]:
        """The session object as session.created and session.updated carry it."""
        realtime, turn = self._profile.realtime, self._values["turn_detection"]
        numbers = self._numbers(turn["type"]) if turn else {}
        if self.updated and not realtime:
            numbers = dict.fromkeys(numbers)
        session = {
            "id": session_id,
            "model": self._model,
            **echo_session(self._values, realtime=realtime, first_version=self.first_version, numbers=numbers),
            "expires_at": expires_at,
            "object": "realtime.session",
        }
        if self._agent:
            session["agent"] = self._agent.described()
        return session


_NEVER_NULL = (
    "modalities",
    "input_audio_format",
    "tools",
    "tool_choice",
    "max_response_output_tokens",
    "input_audio_sampling_rate",
    "voice",
)


def _channels(values: Mapping[str, Any]) -> int:
    return int((values.get("input_audio_echo_cancellation") or {}).get("channels") or 1)


def _same_kind(before: object, after: object) -> bool:
    """Whether both are objects of the same type (where they have one), so that one can complete the other."""
    return isinstance(before, dict) and isinstance(after, dict) and before.get("type") == after.get("type")
