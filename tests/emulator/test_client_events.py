"""Every client event: what it leads to, and what it is refused for."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from azure.ai.voicelive import models

from voicelive_agent._pcm import interleave
from voicelive_agent.emulator import Options, Turn
from voicelive_agent.emulator._audio import MAX_APPEND
from voicelive_agent.emulator._client_events import CLIENT_EVENTS

from .asking import refusal, user
from .driver import Driver, noise, only, silence, types

CLIENT: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data/events.json").read_text("utf-8"))["client"]
ECHO_REFERENCE = {"type": "server_echo_cancellation", "reference_source": "client", "channels": 2}
AUDIO = base64.b64encode(noise(0.5)).decode()


def test_every_client_event_of_the_sdk_is_known_with_its_required_fields() -> None:
    assert set(CLIENT_EVENTS) == set(CLIENT)
    for kind, event in CLIENT.items():
        for name in set(event["required"]) - {"type"}:
            whole = {each: _EXAMPLES[each] for each in event["required"] if each not in ("type", name)}
            assert refusal(Driver().ask(kind, **whole))["param"] == name


_EXAMPLES: dict[str, Any] = {
    "session": {},
    "audio": "",
    "item_id": "item_1",
    "content_index": 0,
    "audio_end_ms": 0,
    "client_sdp": "",
    "turn_id": "u",
    "id": "t",
    "delta": "x",
}


@pytest.mark.parametrize("kind", sorted(CLIENT))
def test_what_the_sdk_itself_writes_is_understood(kind: str) -> None:
    """The SDK's own class, serialised as its connection does it."""
    event = CLIENT[kind]
    fields = {name: _EXAMPLES[name] for name in event["required"] if name != "type"}
    typed = getattr(models, event["sdk_class"])(event_id="mine", **fields)
    driver = Driver()
    driver.session.receive(json.dumps(typed.as_dict()), driver.now)
    errors = [each["error"] for each in driver.settle() if each["type"] == "error"]
    assert [error["param"] for error in errors if error["param"] == "type"] == []
    assert {error["event_id"] for error in errors} <= {"mine"}


@pytest.mark.parametrize(("kind", "part"), [("mcp_approval_response", "conversation.item.create"), ("x", "'x'")])
def test_an_event_that_is_none_is_refused_by_name_and_the_session_goes_on(kind: str, part: str) -> None:
    driver = Driver()
    error = refusal(driver.ask(kind, approve=True, event_id="mine"))
    assert (error["type"], error["param"], error["event_id"]) == ("invalid_request_error", "type", "mine")
    assert part in error["message"]
    assert "response.done" in types(driver.say("Hi"))


def test_errors_can_leave_out_the_id_of_the_event() -> None:
    driver = Driver(options=Options(error_event_ids=False))
    assert refusal(driver.ask("nonsense", event_id="mine"))["event_id"] is None


def test_additional_instructions_are_added_to_those_of_the_session_or_response() -> None:
    seen: list[str] = []

    class Notes:
        def answer(self, turn: Turn) -> Any:
            seen.append(turn.instructions)
            return iter(())

    driver = Driver(brain=Notes())
    driver.update(instructions="Be brief.")
    driver.ask("response.create", additional_instructions="Be kind.")
    driver.ask("response.create", response={"instructions": "Sing."}, additional_instructions="Be kind.")
    driver.ask("response.create", response={"instructions": ""}, additional_instructions="Be kind.")
    assert seen == ["Be brief.\nBe kind.", "Sing.\nBe kind.", "Be kind."]


# --- Turns and texts that the client marks itself ----------------------------------------------------------


def manual(**settings: Any) -> Driver:
    driver = Driver(**settings)
    driver.update(turn_detection=None)
    return driver


def test_a_turn_of_the_client_is_committed_at_its_end_and_dropped_when_cancelled() -> None:
    driver = manual()
    assert driver.ask("input_audio.turn.start", turn_id="u1") == []
    assert driver.ask("input_audio.turn.append", turn_id="u1", audio=AUDIO) == []
    events = driver.ask("input_audio.turn.end", turn_id="u1")
    assert types(events) == [
        "input_audio_buffer.committed",
        "conversation.item.input_audio_transcription.completed",
        "conversation.item.created",
    ]
    driver.send("input_audio.turn.start", turn_id="u2")
    driver.send("input_audio.turn.append", turn_id="u2", audio=AUDIO)
    assert types(driver.ask("input_audio.turn.cancel", turn_id="u2")) == ["input_audio_buffer.cleared"]
    error = refusal(driver.ask("input_audio_buffer.commit"))
    assert error["code"] == "input_audio_buffer_commit_empty", "the cancelled audio is gone"


@pytest.mark.parametrize("operation", ["append", "end", "cancel"])
def test_a_turn_that_is_not_open_is_refused(operation: str) -> None:
    driver = manual()
    driver.send("input_audio.turn.start", turn_id="u1")
    fields = {"audio": AUDIO} if operation == "append" else {}
    error = refusal(driver.ask(f"input_audio.turn.{operation}", turn_id="u2", **fields))
    assert (error["code"], error["param"]) == ("invalid_value", "turn_id")
    assert "'u2'" in error["message"]


def test_one_turn_is_open_at_a_time() -> None:
    driver = manual()
    driver.send("input_audio.turn.start", turn_id="u1")
    assert "'u1'" in refusal(driver.ask("input_audio.turn.start", turn_id="u2"))["message"]
    assert types(driver.ask("input_audio.clear")) == ["input_audio_buffer.cleared"]
    assert driver.ask("input_audio.turn.start", turn_id="u2") == []


def test_an_empty_turn_is_over_and_refused() -> None:
    driver = manual()
    driver.send("input_audio.turn.start", turn_id="u1")
    assert refusal(driver.ask("input_audio.turn.end", turn_id="u1"))["code"] == "input_audio_buffer_commit_empty"
    assert refusal(driver.ask("input_audio.turn.end", turn_id="u1"))["param"] == "turn_id"


def test_streamed_text_becomes_the_item_it_names() -> None:
    driver = Driver()
    for index, piece in ((0, "Hel"), (1, "Bye"), (0, "lo")):
        driver.send("input_text.delta", id="t", content_index=index, delta=piece)
    driver.send("input_text.delta", id="other", delta="x")
    item = driver.ask("input_text.done", id="t")[-1]["item"]
    assert (item["id"], item["role"]) == ("t", "user")
    assert item["content"] == [{"type": "input_text", "text": "Hello"}, {"type": "input_text", "text": "Bye"}]
    assert refusal(driver.ask("input_text.done", id="t"))["param"] == "id"


def test_streamed_text_needs_an_id_since_2026_07_15() -> None:
    assert refusal(Driver().ask("input_text.delta", delta="x"))["param"] == "id"
    driver = Driver(query={"api-version": "2026-06-01-preview"})
    driver.send("input_text.delta", delta="Hel")
    driver.send("input_text.delta", delta="lo")
    item = driver.ask("input_text.done")[-1]["item"]
    assert item["id"].startswith("item_")
    assert item["content"] == [{"type": "input_text", "text": "Hello"}]
    assert "'input_text.done'" in refusal(driver.ask("input_text.done"))["message"]


# --- Images -------------------------------------------------------------------------------------------------


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes((width + 1) * height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


JPEG = b"\xff\xd8\xff\xe0\x00\x04\x00\x00\xff\xff\xd0\xff\xc0\x00\x0b\x08\x01\xe0\x02\x80\x03"
GIF = b"GIF89a\x80\x02\xe0\x01"
WEBP = {
    "lossy": b"VP8 " + bytes(10) + struct.pack("<HH", 640, 480),
    "lossless": b"VP8L" + bytes(5) + struct.pack("<I", 639 | 479 << 14),
    "extended": b"VP8X" + bytes(8) + struct.pack("<HBHB", 639, 0, 479, 0),
}


def picture(kind: str, data: bytes) -> dict[str, Any]:
    url = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    content = [{"type": "input_text", "text": "What is this?"}, {"type": "input_image", "image_url": url}]
    return {"type": "message", "role": "user", "content": content}


@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-realtime"])
def test_the_brain_is_told_what_kind_of_image_it_was(model: str) -> None:
    driver = Driver(model=model)
    sent = picture("image/png", png(64, 48))
    item = driver.ask("conversation.item.create", item=sent)[-1]["item"]
    assert item["content"] == sent["content"]
    answer = only(driver.ask("response.create"), "response.audio_transcript.done")["transcript"]
    assert answer == f"I heard: What is this? [image/png, {len(png(64, 48))} bytes, 64x48]"
    assert driver.ask("conversation.item.delete", item_id=item["id"])[-1]["type"] == "conversation.item.deleted"


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("image/jpeg", JPEG),
        ("image/gif", GIF),
        *(("image/webp", b"RIFF\x00\x00\x00\x00WEBP" + data) for data in WEBP.values()),
    ],
    ids=["jpeg", "gif", *WEBP],
)
def test_the_size_of_an_image_is_read_from_its_header(kind: str, data: bytes) -> None:
    driver = Driver()
    driver.send("conversation.item.create", item=picture(kind, data))
    answer = only(driver.ask("response.create"), "response.audio_transcript.done")["transcript"]
    assert answer.endswith(f"[{kind}, {len(data)} bytes, 640x480]")


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/cat.png",
        "data:text/plain;base64,QQ==",
        "data:image/png;base64,A",
        "data:image/png;base64,QQ==",
        f"data:image/png;base64,{base64.b64encode(png(1, 1)[:20]).decode()}",
        f"data:image/png;base64,{base64.b64encode(JPEG).decode()}",
        f"data:image/jpeg;base64,{base64.b64encode(JPEG[:12]).decode()}",
        f"data:image/jpeg;base64,{base64.b64encode(JPEG[:2] + b'xxxx').decode()}",
        f"data:image/jpeg;base64,{base64.b64encode(GIF).decode()}",
        f"data:image/webp;base64,{base64.b64encode(GIF).decode()}",
        f"data:image/gif;base64,{base64.b64encode(JPEG).decode()}",
        "data:image/png;base64," + "A" * (15 * 1024 * 1024),
    ],
    ids=lambda url: url[:40],
)
def test_an_image_that_is_none_is_refused(url: str) -> None:
    item = picture("image/png", b"")
    item["content"][1]["image_url"] = url
    error = refusal(Driver().ask("conversation.item.create", item=item))
    assert (error["code"], error["param"]) == ("invalid_value", "item.content[1].image_url")


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
    call = {"type": "function_call", "name": "f", "call_id": "call_1", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "call_1", "output": "done"}
    for model, status in (("gpt-realtime", None), ("gpt-4.1", "completed")):
        driver = Driver(model=model)
        driver.send("conversation.item.create", item=call)
        item = driver.ask("conversation.item.create", item=output)[-1]["item"]
        assert item.get("status") == status
        assert ("status" in item) is (status is not None)


@pytest.mark.parametrize(
    ("model", "option", "refused"),
    [
        ("gpt-realtime", None, True),
        ("gpt-4.1", None, False),
        ("gpt-realtime", "accept", False),
        ("gpt-4.1", "error", True),
    ],
)
def test_the_output_of_an_unknown_call(model: str, option: Any, refused: bool) -> None:
    driver = Driver(model=model, options=Options(unknown_call=option))
    output = {"type": "function_call_output", "call_id": "call_1", "output": "done"}
    events = driver.ask("conversation.item.create", item=output)
    if refused:
        error = refusal(events)
        assert (error["code"], error["param"]) == ("invalid_tool_call_id", "item.call_id")
    else:
        assert types(events)[-1] == "conversation.item.created"


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


def test_text_can_stand_where_an_interrupted_answer_was_cut() -> None:
    driver = Driver(options=Options(realtime_factor=1.0))
    turn = {"type": "server_vad", "auto_truncate": True, "appended_text_after_truncation": "(cut off)"}
    driver.update(turn_detection=turn)
    driver.send("response.create")
    driver.wait(0.3)
    driver.append(silence(0.2) + noise(0.5))
    driver.settle()
    cut = only(driver.events, "conversation.item.truncated")
    item = driver.ask("conversation.item.retrieve", item_id=cut["item_id"])[-1]["item"]
    assert item["content"][0]["transcript"] == "(cut off)"
    said = only(driver.events, "response.audio_transcript.done")["transcript"]
    assert said == "Hello! How can I help you?", "the response tells all that it said, as recorded"


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
        ({"type": "session.avatar.connect"}, "client_sdp"),
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


def test_an_odd_number_of_g711_bytes_is_fine() -> None:
    driver = Driver()
    driver.update(input_audio_format="g711_ulaw")
    assert driver.append(b"\xff" * 801, piece=801) == []


def test_an_event_id_that_is_no_string_is_not_echoed() -> None:
    assert refusal(Driver().ask("nonsense", event_id=5))["event_id"] is None


def test_output_audio_buffer_clear_is_acknowledged() -> None:
    assert types(Driver().ask("output_audio_buffer.clear"))[-1] == "output_audio_buffer.cleared"


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
