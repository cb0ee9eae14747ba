"""Asked versus granted: what the service only says in its own way is no difference, and all else is told."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from voicelive_agent import SessionConfig
from voicelive_agent._granted import not_granted
from voicelive_agent.config import ModelTarget, Settings
from voicelive_agent.emulator import EmulatorSession, Options
from voicelive_agent.errors import ConfigurationError
from voicelive_agent.events import SettingNotGranted

VERSIONS = ["2025-10-01", "2026-04-10", "2026-07-15"]
MODELS = ["gpt-4.1", "gpt-realtime"]
DAY = {"type": "object", "properties": {"day": {"type": "string"}}}


def told(asked: Mapping[str, Any], granted: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return [(event.path, event.asked, event.granted) for event in not_granted(asked, granted)]


# --- the emulated service ----------------------------------------------------------------------------------

_flags = st.sampled_from([None, True, False])
_ms = st.sampled_from([None, 0, 300, 500])
_vad = {
    "threshold": st.sampled_from([None, 0.0, 0.3, 1]),
    "prefix_padding_ms": _ms,
    "silence_duration_ms": _ms,
    "create_response": _flags,
    "interrupt_response": _flags,
    "auto_truncate": st.booleans(),
}
_azure_vad = _vad | {"speech_duration_ms": _ms, "remove_filler_words": _flags}
_languages = {"languages": st.sampled_from([None, ["en"], ["en-US", "de"]])}


def tagged(type: str, fields: Mapping[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"type": st.just(type)}, optional=dict(fields))


_function = {"type": "function", "name": "look", "description": "Looks.", "parameters": DAY}
_server = {"type": "mcp", "server_label": "books", "server_url": "https://a/mcp", "headers": {"x-key": "s3cret"}}
SESSIONS = st.fixed_dictionaries(
    {},
    optional={
        "modalities": st.sampled_from([["text"], ["text", "audio"], ["audio", "text"]]),
        "instructions": st.sampled_from([None, "", "Be brief."]),
        "voice": st.sampled_from(
            [
                None,
                "alloy",
                "en-US-AvaNeural",
                {"type": "azure-custom", "name": "own", "endpoint_id": "id", "locale": "en"},
                {"type": "azure-standard", "name": "en-US-AvaNeural", "prefer_locales": ["en-GB", "de-DE"]},
            ]
        ),
        "turn_detection": st.none()
        | tagged("server_vad", _vad)
        | tagged("azure_semantic_vad", _azure_vad | _languages)
        | tagged("azure_semantic_vad_en", _azure_vad)
        | tagged("azure_semantic_vad_multilingual", _azure_vad | _languages)
        | tagged("semantic_vad", {"eagerness": st.sampled_from([None, "low"]), "create_response": _flags}),
        "input_audio_transcription": st.fixed_dictionaries(
            {"model": st.sampled_from(["azure-speech", "whisper-1"])},
            optional={"language": st.sampled_from([None, "", "en", "en-US", "de"])},
        ),
        "input_audio_noise_reduction": st.sampled_from([None, {"type": "azure_deep_noise_suppression"}]),
        "input_audio_echo_cancellation": st.sampled_from(
            [None, {}, {"reference_source": "client", "channels": 2}]
        ),
        "input_audio_format": st.sampled_from(["pcm16", "g711_ulaw"]),
        "output_audio_format": st.sampled_from(["pcm16", "g711_alaw"]),
        "tools": st.sampled_from([None, [], [_function], [_function, _server]]),
        "tool_choice": st.sampled_from([None, "auto", "required", {"name": "look"}]),
        "parallel_tool_calls": _flags,
        "temperature": st.sampled_from([None, 0.6, 0.8, 1]),
        "max_response_output_tokens": st.sampled_from([None, 1, 4096, "inf"]),
        "reasoning_effort": st.sampled_from([None, "low"]),
        "metadata": st.sampled_from([None, {}, {"call": "7"}]),
        "interim_response": st.sampled_from([None, {"type": "static_interim_response", "texts": ["b", "a"]}]),
        "avatar": st.sampled_from([None, {"character": "lisa", "customized": False}]),
        "animation": st.sampled_from([None, {"outputs": ["viseme_id", "blendshapes"]}]),
        "output_audio_timestamp_types": st.sampled_from([None, [], ["word"]]),
    },
)


def granted_by_the_emulator(session: SessionConfig, model: str, version: str) -> Mapping[str, Any]:
    """The session that the emulated service answers with; a test only sends what it accepts."""
    emulated = EmulatorSession(model=model, options=Options(api_version=version))
    emulated.start(0.0)
    emulated.receive(json.dumps({"type": "session.update", "session": session.to_session()}), 0.0)
    created, updated, *_ = emulated.poll(1.0)
    assert (created["type"], updated["type"]) == ("session.created", "session.updated"), updated
    granted: Mapping[str, Any] = updated["session"]
    return granted


def accepted(fields: Mapping[str, Any], model: str) -> SessionConfig:
    try:
        session = SessionConfig(**fields)
        Settings(endpoint="https://a", target=ModelTarget(model), session=session).check()
    except ConfigurationError:
        assume(False)
        raise
    return session


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("model", MODELS)
def test_what_was_not_changed_is_not_told(model: str, version: str) -> None:
    @settings(max_examples=60, deadline=None)
    @given(SESSIONS)
    def check(fields: Mapping[str, Any]) -> None:
        session = accepted(fields, model)
        assert told(session.to_session(), granted_by_the_emulator(session, model, version)) == []

    check()


CHANGED: Mapping[str, Any] = {
    "modalities": ["text"],
    "instructions": "Be long.",
    "voice": {"type": "azure-standard", "name": "en-US-JennyNeural"},
    "turn_detection": {"type": "azure_semantic_vad_en"},
    "input_audio_transcription": {"model": "mai-transcribe-2"},
    "input_audio_noise_reduction": None,
    "tools": [],
    "tool_choice": "none",
    "parallel_tool_calls": True,
    "temperature": 1.1,
    "max_response_output_tokens": 7,
    "reasoning_effort": None,
    "metadata": None,
}
FULL = SessionConfig(
    modalities=["audio", "text"],
    instructions="Be brief.",
    voice="alloy",
    input_audio_noise_reduction={"type": "near_field"},
    input_audio_transcription={"model": "mai-transcribe"},
    tools=[_function],
    tool_choice="required",
    parallel_tool_calls=False,
    temperature=0.7,
    max_response_output_tokens=100,
    reasoning_effort="low",
    metadata={"call": "7"},
)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", CHANGED)
def test_one_changed_setting_is_told_and_nothing_else(name: str, model: str, version: str) -> None:
    granted = {**granted_by_the_emulator(FULL, model, version), name: CHANGED[name]}
    paths = {path for path, *_ in told(FULL.to_session(), granted)}
    assert paths
    assert {path.partition(".")[0] for path in paths} == {name}


# --- rule by rule ------------------------------------------------------------------------------------------

SAME: list[tuple[str, Any, Any]] = [
    ("temperature", 0.8, 0.800000011920929),
    ("threshold", 1, 1.0),
    ("instructions", "", None),
    ("tools", [], None),
    ("turn_detection", {"auto_truncate": False}, {"auto_truncate": None}),
    ("modalities", ["text", "audio"], ["audio", "text"]),
    ("voice", "alloy", {"type": "openai", "name": "alloy"}),
    ("voice", {"type": "openai", "name": "alloy"}, "alloy"),
    ("voice", {"name": "a"}, {"name": "a", "type": "azure-standard", "style": None}),
    ("voice", None, {"type": "openai", "name": "alloy"}),
    ("input_audio_transcription", {"language": "en"}, {"language": "en-US", "prompt": ""}),
    ("input_audio_transcription", {"language": "en,zh"}, {"language": "zh-CN,en-US"}),
    ("turn_detection", {"languages": ["en", "de"]}, {"languages": ["de-DE", "en-US"]}),
    ("turn_detection", None, None),
    ("temperature", None, 0.8),
    ("tools", [{"name": "a"}, {"name": "b"}], [{"name": "b", "strict": None}, {"name": "a"}]),
    ("tools", [{"server_label": "a", "headers": {"k": "s3cret"}}], [{"server_label": "a", "headers": "***"}]),
    ("avatar", {"ice_servers": [{"credential": "s3cret"}]}, {"ice_servers": [{"credential": "..."}]}),
]


@pytest.mark.parametrize(("name", "asked", "granted"), SAME)
def test_no_difference(name: str, asked: Any, granted: Any) -> None:
    assert told({name: asked}, {name: granted}) == []


def test_what_the_echo_does_not_mention_is_unknown() -> None:
    assert told({"temperature": 0.7, "turn_detection": {"threshold": 0.1}}, {"turn_detection": {}}) == []


DIFFERENT: list[tuple[str, Any, Any, list[tuple[str, Any, Any]]]] = [
    ("temperature", 0.0, None, [("temperature", 0.0, None)]),
    ("temperature", 0.8, 1.0, [("temperature", 0.8, 1.0)]),
    ("parallel_tool_calls", False, True, [("parallel_tool_calls", False, True)]),
    ("parallel_tool_calls", False, None, [("parallel_tool_calls", False, None)]),
    (
        "turn_detection",
        {"create_response": False, "interrupt_response": False},
        {"create_response": None, "interrupt_response": None},
        [("turn_detection.create_response", False, None), ("turn_detection.interrupt_response", False, None)],
    ),
    ("instructions", "", "You are helpful.", [("instructions", "", "You are helpful.")]),
    ("turn_detection", None, {"type": "server_vad"}, [("turn_detection", None, {"type": "server_vad"})]),
    ("voice", "alloy", {"name": "ash"}, [("voice", "alloy", {"name": "ash"})]),
    ("model_name", "gpt-4o", "gpt-4o-mini", [("model_name", "gpt-4o", "gpt-4o-mini")]),
    (
        "turn_detection",
        {"type": "server_vad", "silence_duration_ms": 300, "threshold": 0.4},
        {"type": "server_vad", "silence_duration_ms": 500, "threshold": 0.5},
        [("turn_detection.silence_duration_ms", 300, 500), ("turn_detection.threshold", 0.4, 0.5)],
    ),
    (
        "input_audio_transcription",
        {"language": "de"},
        {"language": "en-US"},
        [("input_audio_transcription.language", "de", "en-US")],
    ),
    (
        "input_audio_transcription",
        {"language": "en,de"},
        {"language": "en-US"},
        [("input_audio_transcription.language", "en,de", "en-US")],
    ),
    ("tools", [{"name": "a"}, {"name": "b"}], [{"name": "a"}], [("tools", ["a", "b"], ["a"])]),
    (
        "tools",
        [{"name": "a", "description": "Looks."}],
        [{"name": "a", "description": None}],
        [("tools[a].description", "Looks.", None)],
    ),
    ("include", ["a", "b"], ["a"], [("include", ["a", "b"], ["a"])]),
    (
        "avatar",
        {"ice_servers": [{"urls": ["stun:a"], "username": "me", "credential": ""}]},
        {"ice_servers": None},
        [("avatar.ice_servers", ["0"], None)],
    ),
    (
        "interim_response",
        None,
        {"type": "x", "authorization": "s3cret", "headers": {}},
        [("interim_response", None, {"type": "x", "authorization": "...", "headers": {}})],
    ),
]


@pytest.mark.parametrize(("name", "asked", "granted", "expected"), DIFFERENT)
def test_difference(name: str, asked: Any, granted: Any, expected: list[tuple[str, Any, Any]]) -> None:
    before = copy.deepcopy((asked, granted))
    assert told({name: asked}, {name: granted}) == expected
    assert (asked, granted) == before


def test_it_is_an_event() -> None:
    assert list(not_granted({"voice": "a"}, {"voice": "b"})) == [SettingNotGranted("voice", "a", "b")]
