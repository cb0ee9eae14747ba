"""How the session object is echoed: what is filled in, and what is null."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from ._schema import SEMANTIC_VADS

Values = Mapping[str, Any]

# A client in a browser gathers its candidates from these; nobody listens there, as no media flows.
_ICE_SERVERS = [{"urls": ["turn:127.0.0.1:3478?transport=udp"], "username": "emulator", "credential": "emulator"}]
_NULL_KEYS = ("animation", "output_audio_timestamp_types", "truncation_strategy", "include")
_NEWER_CASCADE_NULL_KEYS = ("greeting", "handoff", "interim_response")
_MULTILINGUAL_KEYS = ("neg_threshold", "window_size", "distinct_ci_phones", "require_vowel")


def echo_session(values: Values, *, realtime: bool, first_version: bool, numbers: Values) -> dict[str, Any]:
    """The configurable part of session.created and session.updated.

    ``numbers`` are those of turn detection that are shown where the client gave none: null in a cascade session
    once it was updated, else the numbers in force (recorded).
    """
    session = copy.deepcopy(dict(values))
    for name in (*_NULL_KEYS, *(() if realtime or first_version else _NEWER_CASCADE_NULL_KEYS)):
        session.setdefault(name, None)
    if values["input_audio_format"] != "pcm16":
        session["input_audio_sampling_rate"] = 8000
    turn = values["turn_detection"]
    return session | {
        "turn_detection": turn and _turn(turn, numbers, realtime=realtime, first_version=first_version),
        "input_audio_transcription": _transcription(values["input_audio_transcription"], realtime=realtime),
        "input_audio_noise_reduction": values.get("input_audio_noise_reduction"),
        "input_audio_echo_cancellation": _echo_cancellation(values.get("input_audio_echo_cancellation")),
        "avatar": _avatar(values.get("avatar")),
    }


def _turn(given: Values, numbers: Values, *, realtime: bool, first_version: bool) -> dict[str, Any]:
    echo: dict[str, Any] = {
        "type": given["type"],
        **{name: number for name, number in numbers.items() if name != "speech_duration_ms"},
        "create_response": True,
        "interrupt_response": True,
        "idle_timeout_ms": None,
        "speech_duration_ms": None,
        "auto_truncate": False,
        "appended_text_after_truncation": None,
    }
    if realtime or first_version:
        echo["end_of_utterance_detection"] = None
    if given["type"] in SEMANTIC_VADS:
        echo |= {"languages": None, "remove_filler_words": False}
    if given["type"] == "azure_semantic_vad_multilingual":
        keys = [*_MULTILINGUAL_KEYS, "require_vowel_assistant_speaking"]
        if first_version:
            # Recorded is the ending; which of the numbers have one is a guess.
            keys += [f"{name}_assistant_speaking" for name in ("threshold", *_MULTILINGUAL_KEYS[:3])]
        echo |= {"profile": "classic", **dict.fromkeys(keys)}
    return echo | {name: each for name, each in given.items() if each is not None}


def _transcription(given: Values | None, *, realtime: bool) -> dict[str, Any] | None:
    if given is None:
        return None
    echo = {name: given.get(name) for name in ("model", "language", "prompt", "custom_speech", "phrase_list")}
    if realtime:
        return echo
    if echo["language"] == "en":
        echo["language"] = "en-US"
    return echo | {name: "" for name in ("language", "prompt") if echo[name] is None}


def _echo_cancellation(given: Values | None) -> dict[str, Any] | None:
    if given is None:
        return None
    return {"reference_source": "server", "channels": 1, **{k: v for k, v in given.items() if v is not None}}


def _avatar(given: Values | None) -> dict[str, Any] | None:
    """With the service's relays, where the client named none and its video comes over WebRTC (documented)."""
    if given is None:
        return None
    echo: dict[str, Any] = {"type": "video-avatar", "output_protocol": "webrtc"}
    echo |= {name: copy.deepcopy(each) for name, each in given.items() if each is not None}
    if echo["output_protocol"] == "webrtc" and not echo.get("ice_servers"):
        echo["ice_servers"] = copy.deepcopy(_ICE_SERVERS)
    return echo
