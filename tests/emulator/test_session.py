"""The session object, items, errors and the driving of a session."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest

from voicelive_agent._pcm import interleave
from voicelive_agent.emulator import EmulatorSession, Options
from voicelive_agent.emulator._audio import MAX_APPEND

from .driver import Driver, Event, every, noise, only, types

ECHO_REFERENCE = {"type": "server_echo_cancellation", "reference_source": "client", "channels": 2}


def user(text: str, **fields: Any) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}], **fields}


def created(driver: Driver) -> dict[str, Any]:
    driver.settle()
    session: dict[str, Any] = only(driver.events, "session.created")["session"]
    return session


def refusal(events: list[Event]) -> dict[str, Any]:
    assert types(events)[-1] == "error", types(events)
    error: dict[str, Any] = events[-1]["error"]
    return error


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
    assert (session["voice"]["type"] == "openai") is realtime
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


# --- Items ------------------------------------------------------------------------------------------------


def test_items_are_kept_echoed_retrieved_and_deleted() -> None:
    driver = Driver(model="gpt-realtime")
    item = driver.ask("conversation.item.create", item=user("One", id="mine"))[-1]["item"]
    assert item["id"] == "mine"
    assert item["status"] == "completed"
    assert driver.ask("conversation.item.retrieve", item_id="mine")[-1]["item"] == item
    assert driver.ask("conversation.item.delete", item_id="mine")[-1] | {"event_id": ""} == {
        "event_id": "",
        "type": "conversation.item.deleted",
        "item_id": "mine",
    }
    for operation in ("retrieve", "delete", "truncate"):
        where = {"content_index": 0, "audio_end_ms": 0} if operation == "truncate" else {}
        error = refusal(driver.ask(f"conversation.item.{operation}", item_id="mine", event_id="e", **where))
        assert error["code"] == f"item_{operation}_invalid_item_id"
        assert error["event_id"] == "e"


def test_items_can_be_put_anywhere() -> None:
    driver = Driver(model="gpt-realtime")
    driver.send("conversation.item.create", item=user("b", id="b"))
    events = driver.ask("conversation.item.create", item=user("a", id="a"), previous_item_id="root")
    assert events[-1]["previous_item_id"] is None
    events = driver.ask("conversation.item.create", item=user("a2", id="a2"), previous_item_id="a")
    assert events[-1]["previous_item_id"] == "a"
    events = driver.ask("conversation.item.create", item=user("c"))
    assert events[-1]["previous_item_id"] == "b"
    error = refusal(driver.ask("conversation.item.create", item=user("x"), previous_item_id="nowhere"))
    assert error["param"] == "previous_item_id"
    assert refusal(driver.ask("conversation.item.create", item=user("again", id="a")))["param"] == "item.id"


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"type": "poem"}, "item.type"),
        ({"role": "user"}, "item.type"),
        ("text", "item"),
        ({"type": "message", "role": "user"}, "item.content"),
        ({"type": "message", "role": "stranger", "content": []}, "item.role"),
        ({"type": "message", "role": "user", "content": [{"type": "text", "text": "x"}]}, "item.content[0].type"),
        (
            {"type": "message", "role": "assistant", "content": [{"type": "audio"}]},
            "item.content[0].type",
        ),
        ({"type": "function_call_output", "output": "x"}, "item.call_id"),
        ({"type": "function_call_output", "call_id": "x", "output": {}}, "item.output"),
        (user("x", id=5), "item.id"),
    ],
)
def test_bad_items_are_refused(item: Any, param: str) -> None:
    assert refusal(Driver().ask("conversation.item.create", item=item))["param"] == param


def test_null_in_an_update_is_the_default() -> None:
    session = Driver().update(tools=None, tool_choice=None, voice=None)[-1]["session"]
    assert (session["tools"], session["tool_choice"]) == ([], "auto")
    assert session["voice"]["name"] == "en-US-AvaNeural"


def test_a_history_can_be_told() -> None:
    """What a client re-creates after a reconnect: calls, their outputs, and speech whose words are known."""
    driver = Driver(model="gpt-realtime")
    call = {"type": "function_call", "name": "f", "call_id": "call_1", "arguments": "{}"}
    assert driver.ask("conversation.item.create", item=call)[-1]["item"]["name"] == "f"
    speech = [{"type": "input_audio", "audio": base64.b64encode(noise(0.2)).decode(), "transcript": "my words"}]
    item = {"type": "message", "role": "user", "content": speech}
    assert driver.ask("conversation.item.create", item=item)[-1]["item"]["content"] == [
        {"type": "input_audio", "transcript": "my words"}
    ]
    answer = only(driver.ask("response.create"), "response.audio_transcript.done")
    assert answer["transcript"] == "I heard: my words"


def test_an_assistants_output_text_is_text() -> None:
    content = [{"type": "output_text", "text": "Hello"}]
    item = {"type": "message", "role": "assistant", "content": content}
    events = Driver().ask("conversation.item.create", item=item)
    assert events[-1]["item"]["content"] == [{"type": "text", "text": "Hello"}]


def test_function_outputs_have_no_status_on_a_realtime_model() -> None:
    item = {"type": "function_call_output", "call_id": "call_1", "output": "done"}
    assert "status" not in Driver(model="gpt-realtime").ask("conversation.item.create", item=item)[-1]["item"]
    assert Driver().ask("conversation.item.create", item=item)[-1]["item"]["status"] == "completed"


def test_streamed_text_becomes_an_item() -> None:
    driver = Driver()
    driver.send("input_text.delta", id="t", delta="Hel")
    driver.send("input_text.delta", id="t", delta="lo")
    item = driver.ask("input_text.done", id="t")[-1]["item"]
    assert item["content"] == [{"type": "input_text", "text": "Hello"}]


def answer_id(driver: Driver) -> str:
    events = driver.say("Hi")
    item_id: str = only(events, "response.output_item.done")["item"]["id"]
    return item_id


def test_truncation_on_a_realtime_model() -> None:
    driver = Driver(model="gpt-realtime")
    item_id = answer_id(driver)
    where = {"item_id": item_id, "content_index": 0, "audio_end_ms": 300}
    event = driver.ask("conversation.item.truncate", **where)[-1]
    assert {key: event[key] for key in where} == where
    item = driver.ask("conversation.item.retrieve", item_id=item_id)[-1]["item"]
    assert item["content"][0]["transcript"] == ""
    error = refusal(driver.ask("conversation.item.truncate", **{**where, "audio_end_ms": 301}))
    assert error["code"] == "invalid_value"
    assert error["message"] == "Audio content of 300ms is already shorter than 301ms"


def test_only_spoken_answers_can_be_truncated() -> None:
    driver = Driver(model="gpt-realtime")
    driver.send("conversation.item.create", item=user("x", id="mine"))
    error = refusal(driver.ask("conversation.item.truncate", item_id="mine", content_index=0, audio_end_ms=0))
    assert error["code"] == "unsupported_content_type"
    assert error["message"] == "Only model output audio messages can be truncated"


@pytest.mark.parametrize(
    ("model", "refuse", "refused"),
    [
        ("gpt-4.1", None, True),
        ("gpt-realtime", None, False),
        ("gpt-4.1", False, False),
        ("gpt-realtime", True, True),
    ],
)
def test_truncation_can_be_refused(model: str, refuse: bool | None, refused: bool) -> None:
    driver = Driver(model=model, options=Options(refuse_truncation=refuse))
    item_id = answer_id(driver)
    event = driver.ask("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=100)[-1]
    assert event["type"] == ("error" if refused else "conversation.item.truncated")
    if refused:
        assert event["error"]["code"] == "unsupported_content_type"


# --- Messages that are wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    ["", "{", "[]", "5", '"x"', "null", b"\xff\xfe", "[" * 100_000, '{"a": NaN}', '{"a": ' + "9" * 5000 + "}"],
)
def test_malformed_messages_are_errors_and_the_session_goes_on(data: str | bytes) -> None:
    driver = Driver()
    driver.session.receive(data, driver.now)
    assert refusal(driver.settle())["type"] == "invalid_request_error"
    assert "response.done" in types(driver.say("Hi"))


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({}, "type"),
        ({"type": None}, "type"),
        ({"type": 5}, "type"),
        ({"type": "session.avatar.connect", "client_sdp": ""}, "type"),
        ({"type": "session.update"}, "session"),
        ({"type": "session.update", "session": []}, "session"),
        ({"type": "input_audio_buffer.append"}, "audio"),
        ({"type": "input_audio_buffer.append", "audio": 5}, "audio"),
        ({"type": "conversation.item.create"}, "item"),
        ({"type": "conversation.item.retrieve"}, "item_id"),
        ({"type": "response.create", "response": {"nonsense": 1}}, "response.nonsense"),
        ({"type": "response.cancel", "response_id": 1}, "response_id"),
    ],
)
def test_incomplete_messages_are_refused(message: dict[str, Any], param: str) -> None:
    driver = Driver()
    driver.session.receive(json.dumps({**message, "event_id": "mine"}), driver.now)
    error = refusal(driver.settle())
    assert error["param"] == param
    assert error["event_id"] == "mine"


@pytest.mark.parametrize("audio", ["A", "AAA", "====", "not base64", "ÄÄÄÄ", base64.b64encode(b"odd").decode()])
def test_bad_audio_is_refused_and_the_session_goes_on(audio: str) -> None:
    driver = Driver()
    error = refusal(driver.ask("input_audio_buffer.append", audio=audio, event_id="mine"))
    assert (error["param"], error["event_id"]) == ("audio", "mine")
    assert "response.done" in types(driver.speak())


def test_an_append_over_15_mib_is_refused() -> None:
    error = refusal(Driver().ask("input_audio_buffer.append", audio="A" * (MAX_APPEND + 4)))
    assert "15 MiB" in error["message"]


def test_of_two_channels_the_first_is_the_microphone() -> None:
    driver = Driver()
    session = driver.update(input_audio_echo_cancellation=ECHO_REFERENCE)[-1]["session"]
    assert session["input_audio_echo_cancellation"] == ECHO_REFERENCE
    loud = noise(0.6)
    silent = bytes(len(loud))
    assert driver.append(interleave([silent, loud])) == [], "the reference is nobody who speaks"
    driver.append(interleave([loud, silent]) + bytes(96_000))
    started = only(driver.events, "input_audio_buffer.speech_started")
    mono = Driver()
    mono.append(silent + loud + bytes(48_000))
    assert started["audio_start_ms"] == only(mono.events, "input_audio_buffer.speech_started")["audio_start_ms"]
    error = refusal(driver.ask("input_audio_buffer.append", audio=base64.b64encode(bytes(6)).decode()))
    assert "frames of 4 bytes" in error["message"]


def test_an_odd_number_of_g711_bytes_is_fine() -> None:
    driver = Driver()
    driver.update(input_audio_format="g711_ulaw")
    assert driver.append(b"\xff" * 801, piece=801) == []


def test_an_event_id_that_is_no_string_is_not_echoed() -> None:
    assert refusal(Driver().ask("nonsense", event_id=5))["event_id"] is None


def test_output_audio_buffer_clear_is_acknowledged() -> None:
    assert types(Driver().ask("output_audio_buffer.clear"))[-1] == "output_audio_buffer.cleared"


def test_a_slow_update_holds_back_what_follows() -> None:
    driver = Driver(options=Options(latency="service"))
    driver.take()
    driver.send("session.update", session={"turn_detection": None})
    driver.append(noise(0.2))
    driver.send("input_audio_buffer.commit")
    assert types(driver.wait(0.08)) == []
    assert types(driver.wait(0.01)) == ["session.updated", "input_audio_buffer.committed"]
