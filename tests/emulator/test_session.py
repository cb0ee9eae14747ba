"""The session object, what it refuses, and the driving of a session."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from voicelive_agent.emulator import EmulatorSession, Options

from .asking import created, refusal, updated
from .driver import Driver, every, noise, only, types

ECHO_REFERENCE = {"type": "server_echo_cancellation", "reference_source": "client", "channels": 2}


# --- Driving ----------------------------------------------------------------------------------------------


def test_session_created_is_due_at_once_and_then_nothing() -> None:
    session = EmulatorSession()
    with pytest.raises(RuntimeError, match="start"):
        session.receive("{}", 0.0)
    session.start(5.0)
    assert session.deadline == 5.0
    assert types(session.poll(5.0)) == ["session.created"]
    assert session.deadline is None
    assert session.jobs() == []
    assert session.closing is None


def test_virtual_time_runs_an_hour_of_paced_turns_at_once() -> None:
    driver = Driver(options=Options(latency="service", realtime_factor=1.0))
    for _ in range(60):
        driver.say("A sentence of some length, to be said again at the pace of speech.")
        driver.wait(60)
    assert driver.now > 3600
    statuses = [event["response"]["status"] for event in every(driver.events, "response.done")]
    assert statuses == ["completed"] * 60
    times = [at for at, _ in driver.log]
    assert times == sorted(times)


def test_deltas_are_paced_by_the_realtime_factor() -> None:
    def paced(factor: float) -> float:
        driver = Driver(options=Options(realtime_factor=factor))
        driver.say("Hi")
        return driver.now - 100.0

    assert paced(1.0) == pytest.approx(len("I heard: Hi") * 0.06, rel=0.01)
    assert paced(10.0) == pytest.approx(len("I heard: Hi") * 0.006, rel=0.01)
    assert paced(float("inf")) == 0.0


def test_time_never_goes_back() -> None:
    driver = Driver(options=Options(latency="service"))
    driver.wait(1.0)
    driver.session.receive(json.dumps({"type": "session.update", "session": {}}), 3.0)
    assert driver.session.deadline == pytest.approx(101.085)


def test_a_seed_makes_ids_reproducible() -> None:
    assert Driver(seed=1).say("Hi") == Driver(seed=1).say("Hi")
    assert Driver(seed=1).say("Hi") != Driver(seed=2).say("Hi")


@pytest.mark.parametrize(("model", "length"), [("gpt-4.1", range(19, 23)), ("gpt-realtime", range(21, 22))])
def test_ids_look_like_the_service_made_them(model: str, length: range) -> None:
    driver = Driver(model=model)
    events = driver.say("Hi")
    response = only(events, "response.done")["response"]
    for name in (created(driver)["id"], response["id"], response["output"][0]["id"]):
        prefix, _, rest = name.partition("_")
        assert prefix in ("sess", "resp", "msg", "item")
        assert len(rest) in length
        assert re.fullmatch("[0-9A-Za-z]+", rest)
    assert response["output"][0]["id"].startswith("item_" if model == "gpt-realtime" else "msg_")
    assert all(re.fullmatch("event_[0-9A-Za-z]{19,22}", event["event_id"]) for event in driver.events)


def test_the_time_limit_ends_the_session_with_1001() -> None:
    driver = Driver(options=Options(max_session_s=1800, realtime_factor=1.0))
    assert created(driver)["expires_at"] == 1_800_001_800
    driver.wait(1800)
    assert only(driver.events, "error")["error"]["code"] == "session_expired"
    assert driver.session.closing == (1001, "session_expired")
    assert driver.session.deadline is None
    assert driver.ask("response.create") == []


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"speed": 0}, "speed"),
        ({"realtime_factor": -1}, "realtime_factor"),
        ({"max_session_s": float("nan")}, "max_session_s"),
        ({"latency": "slow"}, "latency"),
        ({"profile": "gpt"}, "profile"),
    ],
)
def test_options_are_checked(fields: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Options(**fields)


# --- The session object -----------------------------------------------------------------------------------


def test_the_voices_that_models_have_of_their_own() -> None:
    voices = {model: created(Driver(model=model))["voice"] for model in ("gpt-realtime", "azure-realtime")}
    assert voices == {
        "gpt-realtime": {"type": "openai", "name": "alloy"},
        "azure-realtime": {"type": "azure-realtime-native", "name": "ava"},
    }


@pytest.mark.parametrize(
    ("model", "realtime"),
    [
        ("gpt-4.1", False),
        ("gpt-5-mini", False),
        ("phi4-mini", False),
        ("gpt-realtime", True),
        ("gpt-realtime-2.1-mini", True),
        ("phi4-mm-realtime", True),
        ("azure-realtime", True),
    ],
)
def test_the_profile_follows_the_model(model: str, realtime: bool) -> None:
    session = created(Driver(model=model))
    assert (session["voice"]["type"] == "azure-standard") is not realtime
    assert ("temperature" in session) is not realtime
    assert session["turn_detection"]["type"] == "server_vad"
    assert session["object"] == "realtime.session"


def test_the_profile_can_be_chosen() -> None:
    driver = Driver(model="my-own", options=Options(profile="realtime"))
    assert created(driver)["voice"]["type"] == "openai"


def test_served_names_and_lifetimes() -> None:
    assert created(Driver(model="gpt-realtime-2"))["model"] == "gpt-realtime-2-global-standard"
    assert created(Driver(model="gpt-4.1-mini"))["model"] == "gpt-4.1-mini-2025-04-14"
    assert created(Driver(model="gpt-realtime"))["expires_at"] == 1_800_003_600
    assert created(Driver(model="gpt-4.1"))["expires_at"] == 1_800_007_200
    assert created(Driver(model="gpt-realtime-2"))["voice"]["name"] == "marin"
    assert created(Driver(model="gpt-5"))["reasoning_effort"] == "minimal"


def test_an_agent_session_names_its_agent() -> None:
    driver = Driver(model="", query={"agent-name": "librarian", "agent-project-name": "city"})
    assert created(driver)["agent"]["name"] == "librarian"


def test_an_update_keeps_what_it_leaves_out_but_replaces_nested_objects() -> None:
    driver = Driver()
    driver.update(instructions="Be brief.", turn_detection={"type": "server_vad", "threshold": 0.9})
    session = only(driver.update(turn_detection={"type": "server_vad"}), "session.updated")["session"]
    assert session["instructions"] == "Be brief."
    assert session["turn_detection"]["threshold"] is None  # a cascade echoes null for what was left out


def test_an_update_can_replace_everything() -> None:
    driver = Driver(options=Options(update="replace"))
    driver.update(instructions="Be brief.")
    session = only(driver.update(temperature=0.9), "session.updated")["session"]
    assert session["instructions"] == created(driver)["instructions"]


def test_a_realtime_session_echoes_the_numbers_in_force() -> None:
    driver = Driver(model="gpt-realtime")
    before = created(driver)["turn_detection"]
    assert (before["prefix_padding_ms"], before["silence_duration_ms"]) == (300, 200)
    after = only(driver.update(turn_detection={"type": "server_vad"}), "session.updated")["session"]
    assert after["turn_detection"]["prefix_padding_ms"] == 400
    assert after["turn_detection"]["silence_duration_ms"] == 500


def test_the_first_api_version_waits_less_long() -> None:
    turn = created(Driver(query={"api-version": "2025-10-01"}))["turn_detection"]
    assert (turn["prefix_padding_ms"], turn["silence_duration_ms"]) == (300, 200)


def test_the_first_api_version_describes_less_of_a_response() -> None:
    events = Driver(query={"api-version": "2025-10-01"}).say("Hi")
    assert only(events, "response.created")["response"]["output_audio_format"] is None
    assert "cache_write_tokens" not in only(events, "response.done")["response"]["usage"]["input_token_details"]
    events = Driver().say("Hi")
    assert only(events, "response.created")["response"]["output_audio_format"] == "pcm16"
    assert "cache_write_tokens" in only(events, "response.done")["response"]["usage"]["input_token_details"]


def test_echoes_of_a_cascade() -> None:
    session = only(
        Driver().update(
            turn_detection={"type": "azure_semantic_vad_multilingual", "languages": ["en"]},
            input_audio_transcription={"model": "azure-speech", "language": "en"},
            input_audio_echo_cancellation={"type": "server_echo_cancellation"},
            voice="alloy",
            model="something-else",
        ),
        "session.updated",
    )["session"]
    turn = session["turn_detection"]
    assert turn["languages"] == ["en"]
    assert turn["profile"] == "classic"
    assert turn["create_response"] is turn["interrupt_response"] is True
    assert session["input_audio_transcription"] == {
        "model": "azure-speech",
        "language": "en-US",
        "prompt": "",
        "custom_speech": None,
        "phrase_list": None,
    }
    assert session["input_audio_echo_cancellation"] == {
        "type": "server_echo_cancellation",
        "reference_source": "server",
        "channels": 1,
    }
    assert session["voice"] == {"name": "alloy", "type": "openai"}
    assert session["model"] == "gpt-4.1"


def test_turn_detection_can_be_switched_off_and_on() -> None:
    driver = Driver()
    assert only(driver.update(turn_detection=None), "session.updated")["session"]["turn_detection"] is None
    assert driver.speak() == []
    driver.update(turn_detection={"type": "server_vad"})
    assert "response.done" in types(driver.speak())


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"instructions": 5}, "session.instructions"),
        ({"modalities": "audio"}, "session.modalities"),
        ({"modalities": ["smell"]}, "session.modalities[0]"),
        ({"modalities": [["text"]]}, "session.modalities[0]"),
        ({"voice": {"type": "azure-custom", "name": "x"}}, "session.voice.endpoint_id"),
        ({"voice": {"name": "x"}}, "session.voice.type"),
        ({"voice": 3}, "session.voice"),
        ({"input_audio_format": "mp3"}, "session.input_audio_format"),
        ({"input_audio_sampling_rate": 11025}, "session.input_audio_sampling_rate"),
        ({"output_audio_format": None}, "session.output_audio_format"),
        ({"turn_detection": {"type": "psychic"}}, "session.turn_detection.type"),
        ({"turn_detection": {}}, "session.turn_detection.type"),
        ({"turn_detection": "server_vad"}, "session.turn_detection"),
        ({"turn_detection": {"type": "semantic_vad"}}, "session.turn_detection"),
        (
            {"turn_detection": {"type": "server_vad", "threshold": 2}},
            "session.turn_detection.threshold",
        ),
        (
            {"turn_detection": {"type": "server_vad", "threshold": True}},
            "session.turn_detection.threshold",
        ),
        (
            {"turn_detection": {"type": "server_vad", "silence_duration_ms": 0.5}},
            "session.turn_detection.silence_duration_ms",
        ),
        (
            {"turn_detection": {"type": "server_vad", "create_response": "no"}},
            "session.turn_detection.create_response",
        ),
        ({"tools": [{"type": "function"}]}, "session.tools[0].name"),
        ({"tools": {}}, "session.tools"),
        ({"tool_choice": "maybe"}, "session.tool_choice"),
        ({"tool_choice": {"type": "function"}}, "session.tool_choice.name"),
        ({"tool_choice": {"type": "function", "function": {}}}, "session.tool_choice.function.name"),
        ({"max_response_output_tokens": 5000}, "session.max_response_output_tokens"),
        ({"metadata": {"k": 1}}, "session.metadata.k"),
        ({"metadata": {"k": "v" * 600}}, "session.metadata.k"),
        ({"metadata": {str(i): "" for i in range(17)}}, "session.metadata"),
        ({"metadata": []}, "session.metadata"),
        ({"type": "realtime"}, "session.type"),
        ({"audio": {}}, "session.audio"),
        (
            {"modalities": ["text"], "input_audio_echo_cancellation": {"type": "server_echo_cancellation"}},
            "session.input_audio_echo_cancellation",
        ),
        (
            {"input_audio_echo_cancellation": {"type": "server_echo_cancellation", "channels": 2}},
            "session.input_audio_echo_cancellation.channels",
        ),
        (
            {"input_audio_echo_cancellation": ECHO_REFERENCE, "input_audio_format": "g711_ulaw"},
            "session.input_audio_echo_cancellation.channels",
        ),
    ],
)
def test_a_bad_update_is_refused_and_changes_nothing(change: dict[str, Any], param: str) -> None:
    driver = Driver()
    driver.update(instructions="Be brief.")
    error = refusal(driver.ask("session.update", session={"temperature": 0.7, **change}, event_id="mine"))
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert error["event_id"] == "mine"
    session = driver.update()[-1]["session"]
    assert (session["instructions"], session["temperature"]) == ("Be brief.", 0.8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"voice": "nobody"}, "Invalid value for 'session.voice': 'nobody'. Supported values are: 'alloy', "),
        ({"voice": 3}, "Invalid type for 'session.voice': expected an object, but got an integer instead."),
        ({"tool_choice": "maybe"}, "'maybe'. Supported values are: 'auto', 'none', 'required'."),
        ({"max_response_output_tokens": "many"}, "'many'. Supported values are: 'inf'."),
        ({"max_response_output_tokens": 0}, "0 is out of range."),
        ({"max_response_output_tokens": 1.5}, "expected an integer, but got a number instead."),
        ({"input_audio_format": None}, "expected one of 'pcm16', 'g711_ulaw', 'g711_alaw', but got null instead."),
    ],
)
def test_a_refusal_says_what_would_have_been_accepted(change: dict[str, Any], message: str) -> None:
    assert message in refusal(Driver().ask("session.update", session=change))["message"]


def test_azure_speech_on_a_realtime_model_needs_azures_turn_detection() -> None:
    driver = Driver(model="gpt-realtime")
    for turn in (None, {"type": "server_vad"}):
        error = refusal(driver.update(turn_detection=turn, input_audio_transcription={"model": "azure-speech"}))
        assert error["param"] == "session.turn_detection"
        assert error["code"] == "invalid_request_error"
    events = driver.update(
        turn_detection={"type": "azure_semantic_vad"}, input_audio_transcription={"model": "azure-speech"}
    )
    assert types(events) == ["session.updated"]


def test_the_voice_of_a_realtime_model_is_settled_by_its_first_audio() -> None:
    driver = Driver(model="gpt-realtime")
    assert types(driver.update(voice="echo")) == ["session.created", "session.updated"]
    driver.say("Hi")
    assert refusal(driver.update(voice="sage"))["code"] == "cannot_update_voice"
    assert types(driver.update(voice="echo")) == ["session.updated"]


def test_an_mcp_server_is_not_reached_and_the_session_goes_on() -> None:
    tool = {"type": "mcp", "server_label": "docs", "server_url": "https://example.com"}
    events = Driver().update(tools=[tool])
    assert types(events)[2:] == [
        "conversation.item.created",
        "mcp_list_tools.in_progress",
        "mcp_list_tools.failed",
    ]


def test_null_in_an_update_is_the_default() -> None:
    session = Driver().update(tools=None, tool_choice=None, voice=None)[-1]["session"]
    assert (session["tools"], session["tool_choice"]) == ([], "auto")
    assert session["voice"]["name"] == "en-US-AvaNeural"


def test_a_slow_update_holds_back_what_follows() -> None:
    driver = Driver(options=Options(latency="service"))
    driver.take()
    driver.send("session.update", session={"turn_detection": None})
    driver.append(noise(0.2))
    driver.send("input_audio_buffer.commit")
    assert types(driver.wait(0.08)) == []
    assert types(driver.wait(0.01)) == ["session.updated", "input_audio_buffer.committed"]


# --- What contradicts itself ---------------------------------------------------------------------------------

STEREO = {"type": "server_echo_cancellation", "reference_source": "client", "channels": 2}
SPEECH = "session.input_audio_transcription"
AZURE_TURNS = {"type": "azure_semantic_vad"}


@pytest.mark.parametrize(
    ("model", "change", "code", "param"),
    [
        ("gpt-4.1", {"input_audio_echo_cancellation": {**STEREO, "reference_source": "server"}},
         "invalid_ec_channels_requires_client", "session.input_audio_echo_cancellation.channels"),
        ("gpt-4.1", {"input_audio_echo_cancellation": {**STEREO, "channels": 1}},
         "invalid_ec_reference_channels", "session.input_audio_echo_cancellation.channels"),
        ("gpt-4.1", {"input_audio_echo_cancellation": STEREO, "input_audio_format": "g711_alaw"},
         "invalid_ec_channels_format", "session.input_audio_echo_cancellation.channels"),
        ("gpt-4.1", {"input_audio_echo_cancellation": STEREO, "modalities": ["text"]},
         "ec_not_supported", "session.input_audio_echo_cancellation"),
        ("gpt-4.1", {"input_audio_format": "g711_ulaw", "input_audio_sampling_rate": 24000},
         None, "session.input_audio_sampling_rate"),
        ("gpt-4.1", {"input_audio_transcription": {"model": "azure-speech", "prompt": "Names"}},
         None, f"{SPEECH}.prompt"),
        ("gpt-realtime", {"input_audio_transcription": {"model": "whisper-1", "phrase_list": ["Ada"]}},
         None, f"{SPEECH}.phrase_list"),
        ("gpt-realtime", {"input_audio_transcription": {"model": "whisper-1", "custom_speech": {"en-US": "x"}}},
         None, f"{SPEECH}.custom_speech"),
        ("gpt-4.1", {"input_audio_transcription": {"model": "azure-speech", "phrase_list": ["x"] * 500}},
         None, f"{SPEECH}.phrase_list"),
        ("gpt-4.1", {"input_audio_transcription": {"model": "gpt-4o-transcribe"}}, None, f"{SPEECH}.model"),
        ("gpt-4.1", {"input_audio_transcription": {"model": "whisper-1"}}, None, f"{SPEECH}.model"),
        ("gpt-realtime", {"modalities": ["audio"]}, None, "session.modalities"),
        ("gpt-realtime", {"temperature": 0.5}, None, "session.temperature"),
        ("gpt-realtime", {"temperature": 1.3}, None, "session.temperature"),
        ("gpt-4.1", {"temperature": 2.1}, None, "session.temperature"),
        ("gpt-4.1", {"voice": {"type": "azure-realtime-native", "name": "ava"}}, None, "session.voice"),
        ("gpt-4.1", {"voice": {"type": "azure-standard", "name": "x", "temperature": 2}},
         None, "session.voice.temperature"),
        ("gpt-4.1", {"voice": {"type": "avatar-voice-sync"}}, "missing_required_parameter", "session.voice.model"),
        ("gpt-4.1", {"voice": "alloy", "output_audio_format": "pcm16_16000hz"},
         None, "session.output_audio_format"),
        ("gpt-realtime", {"interim_response": {"type": "static_interim_response", "texts": ["Hm."]}},
         None, "session.interim_response"),
        ("gpt-4.1", {"interim_response": {"type": "static-interim-response"}},
         None, "session.interim_response.type"),
        ("gpt-4.1", {"avatar": {"character": "lisa"}}, "missing_required_parameter", "session.avatar.customized"),
        ("gpt-4.1", {"avatar": {"character": "anna", "customized": False, "type": "photo-avatar"}},
         "missing_required_parameter", "session.avatar.model"),
        ("gpt-4.1", {"include": ["everything"]}, None, "session.include[0]"),
        ("gpt-4.1", {"turn_detection": {"type": "server_vad", "end_of_utterance_detection": {"model": "x"}}},
         None, "session.turn_detection.end_of_utterance_detection.model"),
        ("gpt-4.1", {"tools": [{"type": "mcp", "server_label": "x", "server_url": "u", "require_approval": "no"}]},
         None, "session.tools[0].require_approval"),
    ],
)  # fmt: skip
def test_a_contradiction_is_refused_with_its_code_and_parameter(
    model: str, change: dict[str, Any], code: str | None, param: str
) -> None:
    driver = Driver(model=model)
    error = refusal(driver.ask("session.update", session=change, event_id="mine"))
    assert (error["code"], error["param"]) == (code or "invalid_request_error", param)
    assert (error["type"], error["event_id"]) == ("invalid_request_error", "mine")
    assert types(driver.update()) == ["session.updated"]


@pytest.mark.parametrize(
    ("model", "change"),
    [
        ("gpt-4.1", {"input_audio_format": "g711_ulaw", "input_audio_sampling_rate": 8000}),
        ("gpt-4.1", {"input_audio_transcription": {"model": "azure-speech", "phrase_list": ["x"] * 499}}),
        ("gpt-4.1", {"input_audio_transcription": {"model": "azure-speech", "prompt": ""}}),
        ("gpt-realtime", {"input_audio_transcription": {"model": "gpt-4o-mini-transcribe", "prompt": "Names"}}),
        ("gpt-4.1", {"input_audio_transcription": {"model": "mai-transcribe-2", "phrase_list": ["Ada"]}}),
        ("gpt-realtime", {"temperature": 0.6}),
        ("azure-realtime", {"voice": {"type": "azure-realtime-native", "name": "ava"}}),
        ("gpt-4.1", {"voice": {"type": "azure-standard", "name": "x", "temperature": None, "rate": "+20%"}}),
        ("gpt-4.1", {"interim_response": {"type": "llm_interim_response", "triggers": ["tool"]}}),
        ("gpt-4.1", {"animation": {"outputs": ["viseme_id"]}, "output_audio_timestamp_types": ["word"]}),
    ],
)
def test_what_goes_together_is_accepted(model: str, change: dict[str, Any]) -> None:
    assert types(Driver(model=model).update(**change)) == ["session.created", "session.updated"]


def test_g711_is_echoed_with_its_rate() -> None:
    assert updated(Driver().update(input_audio_format="g711_ulaw"))["input_audio_sampling_rate"] == 8000


def function(**parameters: Any) -> dict[str, Any]:
    return {"type": "function", "name": "f", "parameters": {"type": "object", "properties": parameters}}


def test_every_branch_of_a_choice_needs_a_type() -> None:
    nested = {"type": "array", "items": {"anyOf": [{"type": "string"}, {"enum": [1, 2]}]}}
    error = refusal(Driver().update(tools=[function(a={"type": "string"}), function(b=nested)]))
    assert (error["code"], error["param"]) == ("invalid_function_parameters", "session.tools[1].parameters")
    assert "properties.b.items.anyOf[1]" in error["message"]
    good = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/x"}, {"anyOf": [{"type": "null"}]}]}
    assert types(Driver().update(tools=[function(c=good)]))[-1] == "session.updated"


def test_the_channels_cannot_change_once_audio_came() -> None:
    driver = Driver()
    assert types(driver.update(input_audio_echo_cancellation=STEREO))[-1] == "session.updated"
    assert types(driver.update(input_audio_echo_cancellation=None)) == ["session.updated"]
    driver.append(noise(0.04))
    error = refusal(driver.update(input_audio_echo_cancellation=STEREO))
    assert error["code"] == "change_in_ec_channels_not_allowed"
    assert types(driver.update(input_audio_echo_cancellation={"type": "server_echo_cancellation"})) == [
        "session.updated"
    ]


def test_what_has_no_effect_is_warned_of_once() -> None:
    driver = Driver()
    events = driver.update(input_audio_noise_reduction={"type": "near_field"}, voice="alloy")
    assert types(events)[1:] == ["session.updated", "warning"]
    assert events[-1]["warning"]["param"] == "session.input_audio_noise_reduction"
    assert types(driver.update(instructions="Be brief.")) == ["session.updated"]
    events = driver.update(output_audio_timestamp_types=["word"])
    assert only(events, "warning")["warning"]["param"] == "session.output_audio_timestamp_types"
    assert "response.done" in types(driver.say("Hi"))


# --- What is told in different ways ----------------------------------------------------------------------------


def test_an_update_can_complete_nested_objects() -> None:
    driver = Driver(options=Options(update="deep"))
    driver.update(turn_detection={"type": "server_vad", "threshold": 0.9}, voice={"type": "openai", "name": "ash"})
    assert updated(driver.update(turn_detection={"type": "server_vad"}))["turn_detection"]["threshold"] == 0.9
    assert updated(driver.update(turn_detection=AZURE_TURNS))["turn_detection"]["threshold"] is None
    assert updated(driver.update(voice="echo"))["voice"] == {"type": "openai", "name": "echo"}


def test_a_model_in_an_update_can_be_an_error() -> None:
    assert updated(Driver().update(model="gpt-5"))["model"] == "gpt-4.1"
    error = refusal(Driver(options=Options(model_update="error")).update(model="gpt-5"))
    assert error["param"] == "session.model"


def test_the_update_can_have_to_come_first() -> None:
    driver = Driver(options=Options(update_first=True))
    assert refusal(driver.ask("response.create", event_id="mine"))["event_id"] == "mine"
    assert refusal(driver.update(temperature=9))["param"] == "session.temperature"
    assert refusal(driver.ask("input_audio_buffer.append", audio=""))["param"] == "type"
    driver.update()
    assert "response.done" in types(driver.say("Hi"))


def test_the_type_of_turn_detection_can_be_fixed() -> None:
    driver = Driver(options=Options(fixed_turn_detection=True))
    driver.update(turn_detection=AZURE_TURNS)
    assert types(driver.update(turn_detection={**AZURE_TURNS, "threshold": 0.7})) == ["session.updated"]
    for other in (None, {"type": "server_vad"}):
        assert refusal(driver.update(turn_detection=other))["param"] == "session.turn_detection.type"
    assert types(driver.update(instructions="x")) == ["session.updated"]
