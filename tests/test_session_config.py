"""The session: complete against the service's schema and the SDK, and exactly what was asked for."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from azure.ai.voicelive import _unions, models
from azure.ai.voicelive._utils.model_base import _deserialize  # the SDK's own reading of the wire
from hypothesis import given, settings
from hypothesis import strategies as st

from voicelive_agent import config
from voicelive_agent._session_fields import Part, Rule
from voicelive_agent._turn_detection import turn_policy
from voicelive_agent.config import (
    AzureSemanticVad,
    AzureStandardVoice,
    DefaultTurnDetection,
    EchoCancellation,
    FunctionTool,
    OpenAIVoice,
    ServerVad,
    SessionConfig,
    ToolChoice,
)
from voicelive_agent.errors import ConfigurationError

SCHEMA: Mapping[str, Any] = json.loads((Path(__file__).parent / "data" / "events.json").read_text("utf-8"))
MODELS: Mapping[str, Any] = SCHEMA["models"]

OTHER_NAMES = {
    "RequestSession": "SessionConfig",
    "AudioEchoCancellation": "EchoCancellation",
    "AudioInputTranscriptionOptions": "Transcription",
    "AudioNoiseReduction": "NoiseReduction",
    "AzureSemanticDetection": "EndOfUtteranceDetection",
    "AzureSemanticDetectionEn": "EndOfUtteranceDetection",
    "AzureSemanticDetectionMultilingual": "EndOfUtteranceDetection",
    "LlmInterimResponseConfig": "LlmInterimResponse",
    "StaticInterimResponseConfig": "StaticInterimResponse",
    "ToolChoiceFunctionSelection": "ToolChoice",
}
"""Where our name for an object is not the SDK's."""
OPEN_ENUMS = {"OpenAIVoiceName", "AzureRealtimeNativeVoiceName", "PersonalVoiceModels"}
"""Names that the service adds to without a new SDK; any text is sent."""
BELONGS_TO_THE_TARGET = {("RequestSession", "model")}


def ours(sdk_name: str) -> type[Part]:
    kind: type[Part] = getattr(config, OTHER_NAMES.get(sdk_name, sdk_name))
    return kind


@cache
def hints_of(kind: type[Part]) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def names_in(annotation: str) -> set[str]:
    """The models and enums that a type in the schema refers to; the SDK's unions are looked up in the SDK."""
    words = set(re.findall(r"[A-Za-z_]\w*", annotation))
    for union in re.findall(r"_unions\.(\w+)", annotation):
        for arm in get_args(getattr(_unions, union)):
            words.add(getattr(arm, "__forward_arg__", "").rpartition(".")[2])
    return words & (set(MODELS) | set(SCHEMA["enums"]))


def reachable() -> list[str]:
    """Every concrete model that ``RequestSession`` can contain."""
    found: list[str] = []
    queue = ["RequestSession"]
    while queue:
        name = queue.pop()
        if name in found or name not in MODELS:
            continue
        found.append(name)
        queue += [other for other, model in MODELS.items() if model.get("base") == name]
        for annotation in MODELS[name]["types"].values():
            queue += names_in(annotation)
    bases = {model.get("base") for model in MODELS.values()}
    return sorted(name for name in found if name not in bases)


REACHABLE = reachable()


def constants(kind: type[Part]) -> dict[str, str]:
    return {kind.TAG: getattr(kind, kind.TAG)} if kind.TAG else {}


def literals(hint: Any) -> set[str]:
    if get_origin(hint) is Literal:
        return set(get_args(hint))
    return {value for arm in get_args(hint) for value in literals(arm)}


# --- complete ----------------------------------------------------------------------------------------------


def test_the_walk_reaches_what_it_should() -> None:
    assert len(REACHABLE) == 30
    assert {"AzureSemanticDetectionEn", "AvatarConfig", "VideoCrop", "IceServer", "OpenAIVoice"} <= set(REACHABLE)


@pytest.mark.parametrize("name", REACHABLE)
def test_every_field_of_the_schema_is_here(name: str) -> None:
    kind = ours(name)
    fields = {entry.name for entry in dataclasses.fields(kind)} | set(constants(kind))
    wanted = {entry for entry in MODELS[name]["types"] if (name, entry) not in BELONGS_TO_THE_TARGET}
    assert wanted <= fields


@pytest.mark.parametrize("name", REACHABLE)
def test_every_field_of_the_installed_sdk_is_here(name: str) -> None:
    kind, sdk = ours(name), getattr(models, name)
    sdk({})  # the SDK fills the table of its fields when the first one is made
    wanted = {rest._rest_name for rest in sdk._attr_to_rest_field.values()}
    fields = {entry.name for entry in dataclasses.fields(kind)} | set(constants(kind))
    assert {entry for entry in wanted if (name, entry) not in BELONGS_TO_THE_TARGET} <= fields


@pytest.mark.parametrize("name", REACHABLE)
def test_what_the_schema_requires_is_required_or_always_sent(name: str) -> None:
    kind = ours(name)
    always = {
        entry.name for entry in dataclasses.fields(kind) if type(None) not in get_args(hints_of(kind)[entry.name])
    }
    assert set(MODELS[name]["required"]) <= always | set(constants(kind))


@pytest.mark.parametrize("name", REACHABLE)
def test_every_choice_of_the_schema_can_be_made(name: str) -> None:
    hints = hints_of(ours(name))
    for field, annotation in MODELS[name]["types"].items():
        for enum in names_in(annotation) - set(MODELS) - OPEN_ENUMS:
            if field in constants(ours(name)):
                continue
            assert set(SCHEMA["enums"][enum]) == literals(hints[field]), f"{name}.{field}"
            assert set(SCHEMA["enums"][enum]) == {member.value for member in getattr(models, enum)}


@pytest.mark.parametrize("name", REACHABLE)
def test_the_kinds_have_the_services_type(name: str) -> None:
    if "type_value" in MODELS[name] and name != "AudioNoiseReduction":
        assert constants(ours(name)) == {"type": MODELS[name]["type_value"]}


# --- any session -------------------------------------------------------------------------------------------

TEXTS = st.text(min_size=1, max_size=8).filter(str.strip)
JSON_OBJECTS = st.dictionaries(TEXTS, st.recursive(st.none() | st.booleans() | st.integers() | TEXTS, st.lists))


NUMBERS: Mapping[Any, Sequence[float]] = {
    int: (-1, 0, 1, 2, 300, 4_096, 8_000, 16_000, 24_000),
    float: (-3.14, -1.0, -0.5, 0.0, 0.25, 1.0, 1.5, 2.0),
}


def holds(rules: Sequence[Rule], value: Any) -> bool:
    return all(rule.holds(value) for rule in rules)


@cache  # hypothesis looks at a strategy once, and not at every draw
def values_for(hint: Any) -> st.SearchStrategy[Any]:
    """Values for an annotation, its rules included: the tests know no field by name."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        if args[0] in NUMBERS:
            return st.sampled_from([number for number in NUMBERS[args[0]] if holds(args[1:], number)])
        if get_origin(args[0]) is Sequence:  # two items satisfy every rule about a length
            return st.lists(values_for(*get_args(args[0])), min_size=2, max_size=2).map(tuple)
        return values_for(args[0]).filter(lambda value: holds(args[1:], value))
    if origin in (Union, UnionType):
        return st.one_of([values_for(arm) for arm in args if arm != Mapping[str, Any]] or [JSON_OBJECTS])
    if origin is Literal:
        return st.sampled_from(args)
    if origin is Sequence:
        return st.lists(values_for(args[0]), max_size=3).map(tuple)
    if origin is Mapping:
        return JSON_OBJECTS if args[1] is Any else st.dictionaries(TEXTS, values_for(args[1]), max_size=3)
    if isinstance(hint, type) and issubclass(hint, Part):
        return parts(hint)
    return SCALARS[hint] if hint in SCALARS else st.builds(hint)


SCALARS: Mapping[Any, st.SearchStrategy[Any]] = {
    float: st.floats(0, 2),
    int: st.integers(0, 9),
    bool: st.booleans(),
    str: TEXTS,
    type(None): st.none(),
}


COMPATIBLE: Mapping[type[Part], dict[str, Any]] = {
    config.Background: {"image_url": None},
    config.AvatarConfig: {"model": "vasa-1"},
    config.MCPServer: {"require_approval": None, "headers": None},
    SessionConfig: {
        "tools": None,
        "input_audio_sampling_rate": None,
        "input_audio_echo_cancellation": None,
        "input_audio_transcription": None,
        "voice": None,
    },
}
"""What to change, one after the other, where one field excluded another; all other mixtures are allowed."""


@st.composite
def parts(draw: st.DrawFn, /, kind: type[Part], **fixed: st.SearchStrategy[Any]) -> Part:
    hints = hints_of(kind)
    if kind is config.MCPServer:
        fixed = {"server_url": st.just("https://a.example/mcp")} | fixed
    names = [entry.name for entry in dataclasses.fields(kind)]
    fields = {name: draw(fixed[name] if name in fixed else values_for(hints[name])) for name in names}
    for name, value in COMPATIBLE.get(kind, {}).items():
        try:
            return kind(**fields)
        except ConfigurationError:
            fields[name] = value
    return kind(**fields)


SESSIONS = parts(SessionConfig, extra=st.just({}))


@settings(max_examples=60, deadline=None)
@given(SESSIONS)
def test_a_session_comes_back_from_its_json(session: SessionConfig) -> None:
    sent = session.to_session()
    assert json.loads(json.dumps(sent)) == sent
    assert SessionConfig.coerce(sent) == session
    assert SessionConfig.coerce(models.RequestSession(sent)) == session


def test_parts_in_tests_are_wide_enough() -> None:
    """The strategy reaches every field: nothing is ``None`` for ever."""
    seen: set[str] = set()

    @settings(max_examples=150, deadline=None, database=None, derandomize=True)
    @given(SESSIONS)
    def look(session: SessionConfig) -> None:
        seen.update(session.to_session())

    look()
    assert seen == {entry.name for entry in dataclasses.fields(SessionConfig)} - {"extra"}


# --- the SDK understands it --------------------------------------------------------------------------------

SDK_CLASSES: Mapping[str, Any] = {name: getattr(models, name) for name in REACHABLE if name != "RequestSession"}


@pytest.mark.parametrize("name", sorted(SDK_CLASSES))
def test_the_sdk_reads_every_part_with_typed_values(name: str) -> None:
    sdk, kind = SDK_CLASSES[name], ours(name)
    fixed = {"model": st.just(MODELS[name]["types"]["model"][8:-1])} if "SemanticDetection" in name else {}

    @settings(max_examples=10, deadline=None, database=None, derandomize=True)
    @given(parts(kind, **fixed))
    def read(part: Part) -> None:
        sent = part.to_dict()
        understood = _deserialize(polymorphic(sdk), sent)
        assert isinstance(understood, sdk)
        assert understood.as_dict() == sent
        for attribute, rest in sdk._attr_to_rest_field.items():
            assert on_the_wire(getattr(understood, attribute)) == sent.get(rest._rest_name)

    sdk({})
    read()


def polymorphic(sdk: Any) -> Any:
    """The base class, from which the SDK must find the right one by its tag."""
    base = sdk.__mro__[1]
    return base if base.__name__ in MODELS else sdk


def on_the_wire(value: Any) -> Any:
    """What an attribute of an SDK model is in JSON, whatever model it was read into."""
    if isinstance(value, list):
        return [on_the_wire(item) for item in value]
    return value.as_dict() if hasattr(value, "as_dict") else value


def test_the_sdk_reads_a_whole_session_with_typed_values() -> None:
    sent = SessionConfig(
        turn_detection=AzureSemanticVad(end_of_utterance_detection={"model": "semantic_detection_v1_en"}),
        tools=[FunctionTool(name="f")],
        input_audio_echo_cancellation=EchoCancellation(),
        modalities=["text", "audio"],
    ).to_session()
    session = _deserialize(models.RequestSession, sent)
    assert type(session.turn_detection) is models.AzureSemanticVad
    assert type(session.turn_detection.end_of_utterance_detection) is models.AzureSemanticDetectionEn
    assert type(session.tools[0]) is models.FunctionTool
    assert type(session.input_audio_echo_cancellation) is models.AudioEchoCancellation
    assert session.modalities == [models.Modality.TEXT, models.Modality.AUDIO]
    assert models.RequestSession(sent).as_dict() == sent


# --- what is sent ------------------------------------------------------------------------------------------


def test_the_default_session_is_the_labs() -> None:
    assert SessionConfig().to_session() == {
        "modalities": ["text", "audio"],
        "voice": {"type": "azure-standard", "name": "en-US-AvaNeural"},
        "input_audio_format": "pcm16",
        "output_audio_format": "pcm16",
        "turn_detection": {
            "type": "server_vad",
            "threshold": 0.5,
            "prefix_padding_ms": 300,
            "silence_duration_ms": 500,
            "auto_truncate": False,
        },
    }


def test_manual_turns_are_null_and_the_services_own_are_not_sent() -> None:
    manual = SessionConfig(turn_detection=None)
    assert manual.to_session()["turn_detection"] is None
    assert turn_policy(manual.to_session()).kind == "manual"
    default = SessionConfig(turn_detection=DefaultTurnDetection())
    assert "turn_detection" not in default.to_session()
    assert turn_policy(default.to_session()).kind == "server"
    assert SessionConfig.coerce(manual.to_session()) == manual
    assert SessionConfig.coerce(default.to_session()) == default


def test_a_voice_may_be_a_name() -> None:
    assert SessionConfig(voice="marin").voice == OpenAIVoice(name="marin")
    assert SessionConfig(voice="en-US-JennyNeural").voice == AzureStandardVoice(name="en-US-JennyNeural")
    assert SessionConfig(voice=models.OpenAIVoiceName.ALLOY).voice == OpenAIVoice(name="alloy")
    assert "voice" not in SessionConfig(voice=None).to_session()


def test_sdk_models_and_mappings_do_wherever_an_object_is_expected() -> None:
    session = SessionConfig(
        modalities=[models.Modality.TEXT],  # type: ignore[list-item]
        voice=models.AzureStandardVoice(name="en-GB-RyanNeural", rate="1.2"),
        turn_detection=models.AzureSemanticVad(
            threshold=0.3, end_of_utterance_detection=models.AzureSemanticDetectionEn(timeout_ms=900)
        ),
        tools=[models.FunctionTool(name="f", parameters={"type": "object"}), {"type": "function", "name": "g"}],
        tool_choice=models.ToolChoiceFunctionSelection(name="f"),
        avatar=models.AvatarConfig(character="lisa", customized=False, avatar_type="video-avatar"),
    )
    assert session.modalities == ("text",)
    assert session.voice == AzureStandardVoice(name="en-GB-RyanNeural", rate="1.2")
    assert isinstance(session.turn_detection, AzureSemanticVad)
    assert session.turn_detection.end_of_utterance_detection == config.EndOfUtteranceDetection(
        model="semantic_detection_v1_en", timeout_ms=900
    )
    assert session.tools == (FunctionTool(name="f", parameters={"type": "object"}), FunctionTool(name="g"))
    assert session.tool_choice == ToolChoice(name="f")
    assert isinstance(session.avatar, config.AvatarConfig)
    assert session.avatar.type == "video-avatar"


def test_extra_is_merged_last() -> None:
    session = SessionConfig(
        instructions="a",
        extra={
            "instructions": "b",
            "greeting": {"text": "hi"},
            "turn_detection": {"idle_timeout_ms": 5000, "silence_duration_ms": 700},
            "voice": {"type": "azure-next", "id": 1},
        },
    )
    sent = session.to_session()
    assert sent["instructions"] == "b"
    assert sent["greeting"] == {"text": "hi"}
    assert sent["turn_detection"]["idle_timeout_ms"] == 5000
    assert sent["turn_detection"]["threshold"] == 0.5
    assert sent["voice"] == {"type": "azure-next", "id": 1}
    assert turn_policy(sent).silence_ms == 700
    assert "extra" not in sent
    assert "azure-next" not in repr(session)
    sent["turn_detection"].clear()
    assert session.to_session()["turn_detection"]["threshold"] == 0.5


def test_extra_may_say_manual_turns() -> None:
    assert turn_policy(SessionConfig(extra={"turn_detection": None}).to_session()).kind == "manual"


# --- coerce ------------------------------------------------------------------------------------------------


def test_coerce_keeps_a_session_and_takes_a_mapping_as_complete() -> None:
    session = SessionConfig(instructions="x")
    assert SessionConfig.coerce(session) is session
    sparse = SessionConfig.coerce({"instructions": "x", "model": None})
    assert sparse.to_session() == {
        "modalities": ["text", "audio"],
        "instructions": "x",
        "input_audio_format": "pcm16",
        "output_audio_format": "pcm16",
    }


def test_coerce_keeps_the_nulls_of_the_sdk() -> None:
    manual = SessionConfig.coerce(models.RequestSession(turn_detection=None, voice="alloy"))
    assert manual.turn_detection is None
    assert manual.voice == OpenAIVoice(name="alloy")
    partial = SessionConfig.coerce(models.RequestSession(turn_detection=models.ServerVad(threshold=0.4)))
    assert partial.turn_detection == ServerVad(threshold=0.4)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"instruction": "x"}, "SessionConfig has no field 'instruction'"),
        ({"model": "gpt-4.1"}, "A session cannot change its model ('gpt-4.1'). It belongs to the connection"),
        ("gpt-4.1", "The session is 'gpt-4.1'; it must be a SessionConfig, a mapping or a RequestSession"),
        (None, "The session is None"),
        ({"input_audio_format": None}, "SessionConfig.input_audio_format is None; it must be one of 'pcm16'"),
    ],
)
def test_coerce_refuses(value: Any, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SessionConfig.coerce(value)
    assert message in str(caught.value)


# --- what one field demands of another ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"modalities": []}, "with at least one of them"),
        ({"modalities": ["audio", "video"]}, "SessionConfig.modalities[1] is 'video'; it must be one of 'text'"),
        ({"input_audio_sampling_rate": 44100}, "is 44100; it must be a whole number 8000, 16000 or 24000 Hz"),
        ({"input_audio_format": "g711_ulaw", "input_audio_sampling_rate": 24000}, "8000 (or left out)"),
        ({"output_audio_format": "pcm16_8khz"}, "Did you mean 'pcm16_8000hz'?"),
        ({"turn_detection": {"type": "server_vda"}}, "Did you mean 'server_vad'?"),
        ({"turn_detection": OpenAIVoice(name="alloy")}, "SessionConfig.turn_detection is of type OpenAIVoice"),
        ({"tools": {"type": "function", "name": "f"}}, "SessionConfig.tools is of type dict; it must be a list"),
        ({"tool_choice": "autp"}, "Did you mean 'auto'?"),
        ({"max_response_output_tokens": 0}, "a whole number between 1 and 4096"),
        ({"max_response_output_tokens": "infinite"}, "between 1 and 4096 or 'inf' or None"),
        ({"temperature": 2.1}, "between 0 and 2"),
        ({"metadata": {str(key): "" for key in range(17)}}, "of at most 16 pairs"),
        ({"metadata": {"k" * 65: ""}}, "keys of at most 64"),
        ({"metadata": {"k": "v" * 513}}, "values of at most 512"),
        ({"extra": {"a": object()}}, "SessionConfig.extra.a is of type object; it must be JSON"),
        (
            {"input_audio_echo_cancellation": {"channels": 2}},
            "EchoCancellation.reference_source must be 'client' with channels=2",
        ),
        (
            {
                "input_audio_echo_cancellation": {"channels": 2, "reference_source": "client"},
                "input_audio_format": "g711_alaw",
            },
            "It must be 'pcm16' with an echo reference",
        ),
    ],
)
def test_refuses(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SessionConfig(**fields)
    assert message in str(caught.value)


ALLOWED: Sequence[dict[str, Any]] = [
    {"input_audio_format": "g711_ulaw", "input_audio_sampling_rate": 8000},
    {"input_audio_format": "g711_alaw"},
    {"input_audio_sampling_rate": 16000},
    {"input_audio_echo_cancellation": {"channels": 2, "reference_source": "client"}},
    {"metadata": {"k" * 64: "v" * 512, **{str(key): "" for key in range(15)}}},
    {"max_response_output_tokens": "inf"},
    {"max_response_output_tokens": 4096},
]


@pytest.mark.parametrize("fields", ALLOWED)
def test_takes_what_is_just_allowed(fields: dict[str, Any]) -> None:
    assert fields.keys() <= SessionConfig(**fields).to_session().keys()


def test_a_changed_copy_is_checked_again() -> None:
    assert dataclasses.replace(SessionConfig(), instructions="x").instructions == "x"
    with pytest.raises(ConfigurationError):
        dataclasses.replace(SessionConfig(), temperature=3)
