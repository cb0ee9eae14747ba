"""What cannot go together is refused here, and by the emulated service too; what we let pass, it accepts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from voicelive_agent import SessionConfig
from voicelive_agent._combinations import (
    COMBINATIONS,
    Backend,
    Facts,
    check_combinations,
    check_tool_choice,
    check_tool_names,
)
from voicelive_agent._targets import backend_of
from voicelive_agent.config import AgentTarget, ModelTarget, Settings, Target
from voicelive_agent.emulator import EmulatorSession, Options
from voicelive_agent.errors import ConfigurationError

CASCADE, REALTIME, AGENT = ModelTarget("gpt-4.1"), ModelTarget("gpt-realtime"), AgentTarget("clerk", "library")
AVA = {"type": "azure-standard", "name": "en-US-AvaNeural"}
ALLOY = {"type": "openai", "name": "alloy"}
ECHO = {"type": "server_echo_cancellation"}
STEREO = ECHO | {"reference_source": "client", "channels": 2}
SEMANTIC = {"type": "azure_semantic_vad"}
STATIC = {"type": "static_interim_response", "texts": ["One moment."]}


def function(branch: Mapping[str, Any]) -> list[Any]:
    parameters = {"type": "object", "properties": {"day": {"anyOf": [{"type": "null"}, branch]}}}
    return [{"type": "mcp", "server_label": "a", "server_url": "https://a"}, named("f", parameters)]


def named(name: str, parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"type": "function", "name": name, "parameters": parameters}


def servers(*labels: str) -> list[Any]:
    return [{"type": "mcp", "server_label": label, "server_url": "https://a"} for label in labels]


def heard(model: str, **more: Any) -> dict[str, Any]:
    return {"input_audio_transcription": {"model": model} | more}


class Case(NamedTuple):
    """A session that is refused, what the error says, and the smallest change after which it is accepted."""

    bad: Mapping[str, Any]
    said: str
    mended: Mapping[str, Any]
    target: Target = CASCADE
    mended_target: Target | None = None


STRICTER = ("tools: a Foundry agent has tools of its own", "tools: two MCP servers have the same server_label")
"""What the emulated service takes all the same: nobody has said what the real one does."""

CASES = [
    Case({"model": "gpt-4o"}, "model='gpt-4o': a session cannot change its model", {"model": None}),
    Case({"type": "realtime"}, "type='realtime': Voice Live speaks the flat session", {}),
    Case({"audio": {"input": {}}}, "audio: Voice Live speaks the flat session", {}),
    Case(
        {"input_audio_format": "g711_ulaw", "input_audio_sampling_rate": 16_000},
        "input_audio_sampling_rate=16000 with input_audio_format='g711_ulaw': G.711 has 8000",
        {"input_audio_format": "g711_ulaw", "input_audio_sampling_rate": 8_000},
    ),
    Case(
        {"input_audio_echo_cancellation": ECHO, "modalities": ["text"]},
        "with modalities: there is no echo",
        {"input_audio_echo_cancellation": ECHO, "modalities": ["text", "audio"]},
    ),
    Case({"modalities": ["audio"]}, "modalities: audio does not come without", {"modalities": ["audio", "text"]}),
    Case(
        {"input_audio_echo_cancellation": ECHO | {"channels": 2}},
        "reference_source=None with input_audio_echo_cancellation.channels=2",
        {"input_audio_echo_cancellation": STEREO},
    ),
    Case(
        {"input_audio_echo_cancellation": ECHO | {"reference_source": "client"}},
        "channels=None with input_audio_echo_cancellation.reference_source='client'",
        {"input_audio_echo_cancellation": STEREO},
    ),
    Case(
        {"input_audio_echo_cancellation": STEREO, "input_audio_format": "g711_alaw"},
        "input_audio_format='g711_alaw' with input_audio_echo_cancellation.channels=2: G.711 has one channel",
        {"input_audio_echo_cancellation": STEREO, "input_audio_format": "pcm16"},
    ),
    Case(
        heard("whisper-1", phrase_list=["Ada"]),
        "phrase_list with input_audio_transcription.model='whisper-1': only azure-speech and mai-transcribe",
        heard("mai-transcribe-2", phrase_list=["Ada"]),
        REALTIME,
    ),
    Case(
        heard("gpt-4o-transcribe", phrase_list=["Ada"]),
        "phrase_list with input_audio_transcription.model='gpt-4o-transcribe': only azure-speech",
        heard("azure-speech", phrase_list=["Ada"]),
    ),
    Case(
        heard("whisper-1", custom_speech={"en-US": "id"}) | {"turn_detection": SEMANTIC},
        "custom_speech with",
        heard("azure-speech", custom_speech={"en-US": "id"}) | {"turn_detection": SEMANTIC},
        REALTIME,
    ),
    Case(
        heard("azure-speech", prompt="Names of books."),
        "prompt='Names of books.' with input_audio_transcription.model='azure-speech'",
        heard("gpt-4o-transcribe", prompt="Names of books."),
        mended_target=REALTIME,
    ),
    Case({"tools": function({"enum": ["a"]})}, "tools: a branch", {"tools": function({"type": "string"})}),
    Case(
        {"output_audio_format": "pcm16_16000hz", "voice": ALLOY},
        "output_audio_format='pcm16_16000hz' with voice='openai': the voices of OpenAI",
        {"output_audio_format": "pcm16_16000hz", "voice": AVA},
    ),
    Case({"output_audio_format": "pcm16_8000hz"}, "'pcm16_8000hz': the voices", {}, REALTIME),
    Case(
        {"output_audio_timestamp_types": ["word"], "voice": "alloy"},
        "output_audio_timestamp_types with voice='alloy'",
        {"output_audio_timestamp_types": ["word"], "voice": AVA},
    ),
    Case(
        {"animation": {"outputs": ["viseme_id"]}},
        "animation: it comes from Azure's text to speech",
        {"animation": {"outputs": ["viseme_id"]}},
        REALTIME,
        CASCADE,
    ),
    Case(
        {"voice": {"type": "azure-realtime-native", "name": "ava"}},
        "voice='azure-realtime-native': only the model azure-realtime",
        {"voice": {"type": "azure-realtime-native", "name": "ava"}},
        REALTIME,
        ModelTarget("azure-realtime"),
    ),
    Case({"voice": ALLOY}, "voice='openai': a Foundry agent speaks with an Azure voice", {"voice": AVA}, AGENT),
    Case(
        {"interim_response": STATIC, "voice": AVA},
        "interim_response='static_interim_response' with voice='azure-standard': only the service",
        {"interim_response": STATIC, "voice": AVA},
        REALTIME,
        CASCADE,
    ),
    Case(
        {"interim_response": STATIC, "voice": ALLOY},
        "with voice='openai': only the service",
        {"interim_response": STATIC, "voice": AVA},
    ),
    Case(
        heard("azure-speech") | {"turn_detection": None},
        "turn_detection=None with input_audio_transcription='azure-speech': a realtime model transcribes",
        heard("azure-speech") | {"turn_detection": SEMANTIC},
        REALTIME,
    ),
    Case(
        {"turn_detection": {"type": "semantic_vad"}},
        "turn_detection='semantic_vad': only realtime audio models",
        {"turn_detection": {"type": "semantic_vad"}},
        CASCADE,
        REALTIME,
    ),
    Case(
        heard("gpt-4o-mini-transcribe"),
        "input_audio_transcription.model='gpt-4o-mini-transcribe': only realtime audio models",
        heard("gpt-4o-mini-transcribe"),
        CASCADE,
        REALTIME,
    ),
    Case(
        heard("whisper-1"),
        "input_audio_transcription.model='whisper-1': only realtime audio models",
        heard("mai-transcribe"),
        AGENT,
    ),
    Case({"temperature": 0.5}, "temperature=0.5: realtime audio models", {"temperature": 0.6}, REALTIME),
    Case({"temperature": 1.3}, "temperature=1.3: realtime", {"temperature": 1.3}, REALTIME, CASCADE),
    Case({"instructions": "Be brief."}, "instructions='Be brief.': a Foundry agent", {}, AGENT),
    Case({"tools": servers("a", "b", "a")}, STRICTER[1], {"tools": servers("a", "b")}),
    Case({"tools": [named("f", None)]}, STRICTER[0], {"tools": []}, AGENT),
]


def answers(session: Mapping[str, Any], target: Target) -> Iterator[str]:
    """The types of what the emulated service says to this ``session.update``."""
    options = Options(model_update="error")
    if isinstance(target, AgentTarget):
        query = {"agent-name": target.agent, "agent-project-name": target.project}
        emulated = EmulatorSession(query=query, options=options)
    else:
        emulated = EmulatorSession(model=target.model, options=options)
    emulated.start(0.0)
    emulated.receive(json.dumps({"type": "session.update", "session": dict(session)}), 0.0)
    return (event["type"] for event in emulated.poll(1.0)[1:])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.said[:40])
def test_what_is_refused_is_refused_by_the_service_or_without_effect(case: Case) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_combinations(case.bad, backend_of(case.target))
    assert case.said in str(caught.value)
    assert caught.value.hint.endswith(".")
    (said, *more) = answers(case.bad, case.target)
    if case.said in STRICTER:
        assert (said, more) == ("session.updated", [])
    else:
        assert said == "error" or more == ["warning"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.said[:40])
def test_what_is_mended_is_accepted_by_both(case: Case) -> None:
    target = case.mended_target or case.target
    check_combinations(case.mended, backend_of(target))
    assert list(answers(case.mended, target)) == ["session.updated"]


def test_every_rule_has_a_case_and_says_where_it_is_from() -> None:
    broken = {
        next(rule for rule in COMBINATIONS if rule.broken(Facts(case.bad, backend_of(case.target))))
        for case in CASES
    }
    assert broken == set(COMBINATIONS)
    for rule in COMBINATIONS:
        assert rule.source
        assert (rule.why[-1] == ".", rule.fix[-1]) == (False, ".")


def test_without_a_target_only_the_session_itself_is_judged() -> None:
    for case in CASES:
        if case.said[:5] != "type=" and ("realtime" in case.said or "Foundry" in case.said):
            check_combinations(case.bad)
    with pytest.raises(ConfigurationError, match=r"G\.711"):
        SessionConfig(input_audio_format="g711_ulaw", input_audio_sampling_rate=24_000)
    with pytest.raises(ConfigurationError, match="anyOf"):
        SessionConfig(tools=function({"description": "no type"}))


def test_a_contradiction_in_extra_is_found_as_well() -> None:
    with pytest.raises(ConfigurationError, match=r"audio: Voice Live speaks the flat session"):
        SessionConfig(extra={"audio": {"input": {}}})
    with pytest.raises(ConfigurationError, match="echo_cancellation"):
        SessionConfig(modalities=["text"], extra={"input_audio_echo_cancellation": ECHO})


def test_odd_shapes_in_extra_are_left_to_the_service() -> None:
    odd = {"voice": 3, "turn_detection": "on", "input_audio_transcription": [], "temperature": "hot"}
    odd |= {"tools": [3, {"type": "function", "parameters": {"anyOf": [3, {"type": ["a"]}], "oneOf": "x"}}]}
    check_combinations(odd | {"input_audio_echo_cancellation": "yes"}, Backend("m", realtime=True, agent=False))
    check_combinations({"tools": "none"})


@pytest.mark.parametrize("format", ["pcm16_8000hz", "pcm16_16000hz"])
def test_without_a_voice_the_models_own_speaks(format: str) -> None:
    session = {"output_audio_format": format}
    with pytest.raises(ConfigurationError, match="the voices of OpenAI speak"):
        check_combinations(session, backend_of(REALTIME))
    assert list(answers(session, REALTIME)) == ["error"]
    for target in (CASCADE, ModelTarget("azure-realtime")):
        check_combinations(session, backend_of(target))
        assert list(answers(session, target)) == ["session.updated"]


LOOK, SERVER = named("look", None), {"type": "mcp", "server_label": "books", "server_url": "https://a"}


@pytest.mark.parametrize(
    ("tools", "choice", "said"),
    [
        ([], "required", "tool_choice='required': there is no tool to call"),
        (None, "required", "there is no tool"),
        ([LOOK], {"type": "function", "name": "find"}, "tool_choice names 'find', and no tool is called so"),
        ([], {"type": "function", "name": "look"}, "no tool is called so"),
        ([LOOK], "required", ""),
        ([LOOK], {"type": "function", "name": "look"}, ""),
        ([LOOK, SERVER], {"type": "function", "name": "find"}, ""),
        ([], "auto", ""),
        ([], "none", ""),
        (None, None, ""),
    ],
)
def test_the_choice_of_a_tool_needs_one(tools: Any, choice: Any, said: str) -> None:
    session = {"tools": tools, "tool_choice": choice}
    check_tool_choice(session, backend_of(AGENT))  # it has others
    if not said:
        check_tool_choice(session, backend_of(CASCADE))
        return
    with pytest.raises(ConfigurationError, match=said):
        check_tool_choice(session, backend_of(CASCADE))


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        (
            [LOOK, named("find", None), LOOK],
            "tools: two functions are called 'look', described as '' and ''. Rename",
        ),
        ([LOOK | {"description": "Look it up."}, LOOK], "'look', described as 'Look it up.' and ''."),
        ([LOOK, LOOK | {"name": "Look"}], ""),
        ([LOOK, SERVER | {"server_label": "look", "allowed_tools": ["look"]}], ""),  # never called by that alone
        ([{"type": "function"}, {"type": "function"}, 5], ""),  # odd shapes are left to the service
        (None, ""),
    ],
)
def test_functions_have_names_of_their_own(tools: Any, said: str) -> None:
    if not said:
        check_tool_names({"tools": tools})
        return
    with pytest.raises(ConfigurationError) as caught:
        check_tool_names({"tools": tools})
    assert said in str(caught.value)
    with pytest.raises(ConfigurationError, match="two functions are called 'look'"):
        SessionConfig(tools=tools)


def test_settings_are_checked_against_their_target() -> None:
    hot = SessionConfig(temperature=2.0)
    Settings(endpoint="https://a", target=CASCADE, session=hot).check()
    with pytest.raises(ConfigurationError, match="temperature=2"):
        Settings(endpoint="https://a", target=REALTIME, session=hot).check()


def test_long_values_are_shown_short() -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_combinations({"instructions": "word " * 1_000}, backend_of(AGENT))
    assert len(str(caught.value)) < 250


def test_every_rule_is_documented() -> None:
    page = (Path(__file__).parents[1] / "docs" / "how-to" / "session.md").read_text(encoding="utf-8")
    for rule in COMBINATIONS:
        fields = ", ".join(f"`{path}`" for path in rule.fields)
        why = rule.why[0].upper() + rule.why[1:]
        assert f"| {fields} | {why}. {rule.fix} *({rule.source})* |" in page
