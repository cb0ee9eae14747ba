"""Service messages in, requests out: decoding never raises, encoding is the documented JSON."""

from __future__ import annotations

import base64
import copy
import json
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from azure.ai.voicelive import models as sdk
from hypothesis import example, given
from hypothesis import strategies as st

from voicelive_agent import _wire as wire

DATA = Path(__file__).parent / "data"
PROTOCOL: dict[str, Any] = json.loads((DATA / "events.json").read_text(encoding="utf-8"))
TYPED: tuple[Any, ...] = get_args(wire._Typed)

ERROR = {
    "message": "Audio content of 900ms is already shorter than 1500ms",
    "type": "invalid_request_error",
    "code": "invalid_value",
    "param": "audio_end_ms",
    "event_id": "vla_7",
}
MESSAGE_ITEM = {
    "id": "msg_6J6w",
    "object": "realtime.item",
    "type": "message",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "audio", "transcript": "Hello"}],
}
CALL_ITEM = {
    "id": "item_8kQ",
    "object": "realtime.item",
    "type": "function_call",
    "status": "completed",
    "name": "get_weather",
    "call_id": "call_abc",
    "arguments": '{"city":"Rome"}',
}
RESPONSE = {
    "object": "realtime.response",
    "id": "resp_3m5O",
    "status": "cancelled",
    "status_details": {"type": "cancelled", "reason": "turn_detected"},
    "output": [MESSAGE_ITEM, CALL_ITEM],
    "usage": {"total_tokens": 111, "input_tokens": 46, "output_tokens": 65},
    "conversation_id": "",
    "metadata": {"vla": "vla_3"},
}
SESSION = {"id": "sess_5SeD", "model": "gpt-4.1", "modalities": ["audio", "text"], "turn_detection": None}
PART = {"response_id": "resp_3m5O", "item_id": "msg_6J6w", "output_index": 0, "content_index": 0}

# One realistic message of every type that is read.
MESSAGES: dict[str, dict[str, Any]] = {
    "session.created": {"session": SESSION},
    "session.updated": {"session": SESSION},
    "error": {"error": ERROR},
    "warning": {"warning": {"message": "The voice is deprecated.", "code": "voice_deprecated", "param": None}},
    "input_audio_buffer.speech_started": {"audio_start_ms": 1568, "item_id": "item_5g0z"},
    "input_audio_buffer.speech_stopped": {"audio_end_ms": 4544, "item_id": "item_5g0z"},
    "input_audio_buffer.committed": {"previous_item_id": "item_4", "item_id": "item_5g0z"},
    "conversation.item.created": {"previous_item_id": "item_5g0z", "item": MESSAGE_ITEM},
    "conversation.item.deleted": {"item_id": "msg_6J6w"},
    "conversation.item.truncated": {"item_id": "msg_6J6w", "content_index": 0, "audio_end_ms": 1500},
    "conversation.item.input_audio_transcription.delta": {
        "item_id": "item_5g0z",
        "content_index": 0,
        "delta": "Hel",
    },
    "conversation.item.input_audio_transcription.completed": {
        "item_id": "item_5g0z",
        "content_index": 0,
        "transcript": "Hello",
        "language": "en-US",
    },
    "conversation.item.input_audio_transcription.failed": {
        "item_id": "item_5g0z",
        "content_index": 0,
        "error": {"type": "server_error", "code": "DeploymentNotFound", "message": "It failed.", "param": None},
    },
    "response.created": {"response": RESPONSE},
    "response.done": {"response": RESPONSE},
    "response.output_item.added": {"response_id": "resp_3m5O", "output_index": 0, "item": MESSAGE_ITEM},
    "response.output_item.done": {"response_id": "resp_3m5O", "output_index": 0, "item": CALL_ITEM},
    "response.function_call_arguments.done": {
        "response_id": "resp_3m5O",
        "item_id": "item_8kQ",
        "output_index": 0,
        "call_id": "call_abc",
        "name": "get_weather",
        "arguments": '{"city":"Rome"}',
    },
    "response.mcp_call_arguments.done": {
        "response_id": "resp_3m5O",
        "item_id": "mcp_1",
        "output_index": 0,
        "arguments": '{"title":"Emma"}',
    },
    "response.mcp_call.in_progress": {"item_id": "mcp_1", "output_index": 0},
    "response.mcp_call.completed": {"item_id": "mcp_1", "output_index": 0},
    "response.mcp_call.failed": {"item_id": "mcp_1", "output_index": 0},
    "mcp_list_tools.completed": {"item_id": "mcpl_1"},
    "mcp_list_tools.failed": {"item_id": "mcpl_1"},
    "response.text.delta": PART | {"delta": "Hi"},
    "response.text.done": PART | {"text": "Hi there"},
    "response.audio_transcript.delta": PART | {"delta": "Grüß"},
    "response.audio_transcript.done": PART | {"transcript": "Grüß Gott"},
    "response.audio_timestamp.delta": PART
    | {"audio_offset_ms": 50, "audio_duration_ms": 300.5, "text": "Hello", "timestamp_type": "word"},
    "response.audio.delta": PART | {"delta": "AAAA"},
    "response.audio.done": PART,
}
EVENT_ID = "event_5uLdTQIc7mth4zynF6TiiW"
WRONG = [None, True, 7, -1.5, "text", [], ["x"], {}, {"x": 1}]


def message_of(kind: str) -> dict[str, Any]:
    return {"event_id": EVENT_ID, "type": kind} | copy.deepcopy(MESSAGES[kind])


def text_of(message: object) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode()


def class_of(kind: str) -> Any:
    return next(cls for cls in TYPED if cls.__struct_config__.tag == kind)


def part_of(whole: Any, part: Any) -> bool:
    """Whether ``part`` says nothing that ``whole`` does not say, None being nothing."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(value is None or (key in whole and part_of(whole[key], value)) for key, value in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) == len(whole) and all(map(part_of, whole, part))
    return bool(whole == part)


# --- what is read -----------------------------------------------------------------------------------------------


def test_the_examples_are_of_every_type() -> None:
    assert {cls.__struct_config__.tag for cls in TYPED} == MESSAGES.keys()


@pytest.mark.parametrize("kind", MESSAGES)
def test_every_type_is_read_and_keeps_what_was_said(kind: str) -> None:
    source = message_of(kind)
    message = wire.decode(text_of(source))
    assert type(message) is class_of(kind)
    assert message.event_id == EVENT_ID
    said = msgspec.to_builtins(message)
    assert part_of(source, said)
    assert all(said[field.name] is not None for field in msgspec.structs.fields(message))
    assert wire.decode(msgspec.json.encode(message)) == message


@pytest.mark.parametrize("kind", MESSAGES)
def test_bytes_and_text_are_the_same(kind: str) -> None:
    text = text_of(message_of(kind))
    assert wire.decode(text) == wire.decode(text.decode())


@pytest.mark.parametrize("kind", MESSAGES)
def test_every_type_is_in_the_protocol_and_needs_only_what_the_protocol_requires(kind: str) -> None:
    specified = PROTOCOL["server"][kind]
    assert set(MESSAGES[kind]) - {"language"} <= set(specified["types"])  # the SDK does not know language yet
    needed = {field.name for field in msgspec.structs.fields(class_of(kind)) if field.required}
    assert needed <= set(specified["required"])


@pytest.mark.parametrize(
    ("kind", "field"),
    [(kind, name) for kind, fields in MESSAGES.items() for name in ("event_id", "type", *fields)],
)
def test_a_field_that_is_missing_is_either_not_needed_or_named(kind: str, field: str) -> None:
    message = message_of(kind)
    del message[field]
    decoded = wire.decode(text_of(message))
    needed = {spec.name for spec in msgspec.structs.fields(class_of(kind)) if spec.required}
    if field == "type":
        assert decoded == wire.Unreadable("a message without a type", len(text_of(message)), EVENT_ID)
    elif field in needed:
        assert type(decoded) is wire.Unreadable
        assert decoded.fault.startswith(kind)
        assert f"`{field}`" in decoded.fault
        assert (decoded.event_id, decoded.size) == (EVENT_ID, len(text_of(message)))
    else:
        assert type(decoded) is class_of(kind)


@pytest.mark.parametrize(
    ("kind", "field"),
    [(kind, name) for kind, fields in MESSAGES.items() for name in ("event_id", "type", *fields)],
)
def test_a_field_of_the_wrong_type_is_refused_by_name_or_was_not_looked_at(kind: str, field: str) -> None:
    for value in WRONG:
        message = message_of(kind) | {field: value}
        decoded = wire.decode(text_of(message))
        match decoded:
            case wire.Unreadable() if field == "type":
                assert decoded.fault == "a message without a type"
            case wire.Unknown():
                assert (field, value, decoded.data) == ("type", "text", message)
            case wire.Unreadable():
                assert decoded.fault.startswith(kind)
                assert f"$.{field}" in decoded.fault
                assert decoded.event_id == (EVENT_ID if field != "event_id" else None)
            case _:
                assert part_of(message, msgspec.to_builtins(decoded))


@pytest.mark.parametrize("kind", MESSAGES)
def test_what_is_left_out_is_none_or_nothing(kind: str) -> None:
    needed = {spec.name for spec in msgspec.structs.fields(class_of(kind)) if spec.required}
    message = {"type": kind} | {name: value for name, value in MESSAGES[kind].items() if name in needed}
    decoded = wire.decode(text_of(message))
    assert type(decoded) is class_of(kind)
    left_out = {spec.name for spec in msgspec.structs.fields(decoded)} - needed
    assert all(getattr(decoded, name) in (None, 0, "", wire.ItemInfo()) for name in left_out)


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_message_does_not_change(kind: str) -> None:
    decoded = wire.decode(text_of(message_of(kind)))
    for name in decoded.__struct_fields__:
        with pytest.raises(AttributeError, match="immutable"):
            setattr(decoded, name, None)


@pytest.mark.parametrize("kind", ["response.created", "response.done"])
def test_of_a_response_only_the_id_is_needed(kind: str) -> None:
    decoded = wire.decode(text_of({"type": kind, "response": {"id": "resp_1"}}))
    assert isinstance(decoded, wire.ResponseCreated | wire.ResponseDone)
    assert decoded.response == wire.ResponseInfo("resp_1")
    assert isinstance(wire.decode(text_of({"type": kind, "response": {"status": "failed"}})), wire.Unreadable)


def test_an_item_that_is_left_out_is_an_item_of_which_nothing_is_known() -> None:
    decoded = wire.decode(b'{"type":"response.output_item.added","response_id":"r"}')
    assert decoded == wire.OutputItemAdded(response_id="r", item=wire.ItemInfo())


def recorded() -> list[tuple[str, dict[str, Any]]]:
    lines = []
    for path in sorted((DATA / "traces").glob("*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            entry = json.loads(line)
            if entry.get("direction") == "received":  # the first line names the source
                lines.append((f"{path.stem}:{number}", entry["data"]))
    return lines


RECORDED = recorded()


@pytest.mark.parametrize(("where", "message"), RECORDED, ids=[where for where, _ in RECORDED])
def test_everything_the_service_was_seen_to_say_can_be_read(where: str, message: dict[str, Any]) -> None:
    decoded = wire.decode(text_of(message))
    assert not isinstance(decoded, wire.Unreadable), where
    assert decoded.event_id == message["event_id"]
    if isinstance(decoded, wire.Unknown):
        assert (decoded.type, decoded.data) == (message["type"], message)
        assert message["type"] not in MESSAGES
    else:
        assert part_of(message, msgspec.to_builtins(decoded))


# --- what is not ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"type":"x"}garbage', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"type":"\xff"}', "not JSON"),
        (b'{"type":"x","a":"\\ud800"}', "not JSON"),
        ('{"type":"\ud800"}', "not JSON"),
        (b"NaN", "not JSON"),
        (b"null", "a JSON NoneType, not an object"),
        (b"3", "a JSON int, not an object"),
        (b'"error"', "a JSON str, not an object"),
        (b'[{"type":"error"}]', "a JSON list, not an object"),
        (b"{}", "a message without a type"),
        (b'{"type":null}', "a message without a type"),
        (b'{"type":["error"]}', "a message without a type"),
        (b"[" * 100_000, "not JSON"),
        (b'{"type":"warning","warning":' + b'{"x":' * 100_000, "not JSON"),
        (b'{"type":"nothing.known","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not JSON"),
        (b'{"type":"session.created","session":' + b'{"x":' * 50_000 + b"1" + b"}" * 50_001, "not JSON"),
    ],
    ids=range(19),
)
def test_what_cannot_be_read_is_a_value_that_says_why(data: bytes | str, fault: str) -> None:
    decoded = wire.decode(data)
    assert isinstance(decoded, wire.Unreadable)
    assert decoded.fault.startswith(fault)
    assert (decoded.size, decoded.event_id) == (len(data), None)


@pytest.mark.parametrize(("event_id", "kept"), [("e1", "e1"), (None, None), (7, None), ({}, None)])
def test_a_message_of_an_unknown_type_stays_as_it_came(event_id: object, kept: str | None) -> None:
    source = {"type": "session.avatar.connecting", "event_id": event_id, "server_sdp": "eyJ0", "n": [1, 2.5]}
    assert wire.decode(text_of(source)) == wire.Unknown("session.avatar.connecting", source, kept)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = sorted({name for fields in MESSAGES.values() for name in fields} | {"event_id"})


@given(st.binary() | st.text(st.characters(), max_size=100))
def test_decoding_never_raises_whatever_comes(data: bytes | str) -> None:
    assert isinstance(wire.decode(data), wire.Unknown | wire.Unreadable)


@given(kind=st.sampled_from(sorted(MESSAGES)), fields=st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_decoding_never_raises_for_a_known_type_with_any_fields(kind: str, fields: dict[str, Any]) -> None:
    decoded = wire.decode(json.dumps(message_of(kind) | fields))
    assert isinstance(decoded, (class_of(kind), wire.Unreadable))


@given(kind=st.sampled_from(sorted(MESSAGES)), cut=st.integers(0), junk=st.binary(max_size=3))
def test_decoding_never_raises_for_a_damaged_message(kind: str, cut: int, junk: bytes) -> None:
    text = text_of(message_of(kind))
    cut %= len(text)
    assert isinstance(wire.decode(text[:cut]), wire.Unreadable)
    assert isinstance(wire.decode(text[:cut] + junk + text[cut + len(junk) :]), wire.Message)


# --- base64 -----------------------------------------------------------------------------------------------------


@given(st.binary(max_size=400))
def test_the_length_is_known_without_decoding(audio: bytes) -> None:
    text = base64.b64encode(audio).decode()
    assert wire.base64_bytes(text) == len(audio)
    assert wire.base64_decode(text) == audio


@given(st.text(alphabet="AQgw/+=z \n-_é", max_size=12))
@example("AA==BB==")
@example("AAB=")
@example("=")
def test_whatever_is_accepted_as_base64_has_the_length_foretold(text: str) -> None:
    assert wire.base64_bytes(text) >= 0
    try:
        audio = wire.base64_decode(text)
    except ValueError:
        return
    assert len(audio) == wire.base64_bytes(text)


@pytest.mark.parametrize("text", ["A", "AAA", "A===", "AAAA=", "AA A", "AAAA\n", "AA==AA==", "AA-_", "äöüß"])
def test_what_is_not_base64_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)base64|ASCII"):
        wire.base64_decode(text)


# --- what is said -----------------------------------------------------------------------------------------------

ITEM = {
    "id": "vla_2",
    "type": "message",
    "role": "user",
    "content": [{"type": "input_text", "text": "Grüß \U0001f600"}],
}
REQUESTS: list[tuple[wire.Request, dict[str, Any]]] = [
    (
        wire.UpdateSession(event_id="vla_1", session={"turn_detection": None, "modalities": ["text"]}),
        {"type": "session.update", "session": {"turn_detection": None, "modalities": ["text"]}},
    ),
    (
        wire.CreateItem(event_id="vla_1", item=ITEM),
        {"type": "conversation.item.create", "item": ITEM},
    ),
    (
        wire.CreateItem(event_id="vla_1", item=ITEM, previous_item_id="root"),
        {"type": "conversation.item.create", "item": ITEM, "previous_item_id": "root"},
    ),
    (
        wire.DeleteItem(event_id="vla_1", item_id="item_1"),
        {"type": "conversation.item.delete", "item_id": "item_1"},
    ),
    (
        wire.TruncateItem(event_id="vla_1", item_id="msg_1", content_index=0, audio_end_ms=1500),
        {"type": "conversation.item.truncate", "item_id": "msg_1", "content_index": 0, "audio_end_ms": 1500},
    ),
    (wire.CommitInput(event_id="vla_1"), {"type": "input_audio_buffer.commit"}),
    (
        wire.CreateResponse(event_id="vla_1", response={"metadata": {"vla": "vla_1"}}),
        {"type": "response.create", "response": {"metadata": {"vla": "vla_1"}}},
    ),
    (
        wire.CancelResponse(event_id="vla_1", response_id="resp_1"),
        {"type": "response.cancel", "response_id": "resp_1"},
    ),
]
REQUEST_IDS = [f"{type(request).__name__}-{number}" for number, (request, _) in enumerate(REQUESTS)]


def test_the_examples_are_of_every_request() -> None:
    assert {type(request) for request, _ in REQUESTS} == set(get_args(wire.Request))


@pytest.mark.parametrize(("request_", "documented"), REQUESTS, ids=REQUEST_IDS)
def test_a_request_is_the_documented_json(request_: wire.Request, documented: dict[str, Any]) -> None:
    sent = json.loads(wire.encode(request_))
    assert sent == documented | {"event_id": "vla_1"}
    with pytest.raises(AttributeError, match="immutable"):
        request_.event_id = "vla_2"  # type: ignore[misc]
    assert wire.request_type(request_) == documented["type"]


@pytest.mark.parametrize(("request_", "documented"), REQUESTS, ids=REQUEST_IDS)
def test_the_sdk_has_a_model_that_takes_it(request_: wire.Request, documented: dict[str, Any]) -> None:
    specified = PROTOCOL["client"][documented["type"]]
    sent = json.loads(wire.encode(request_))
    assert set(specified["required"]) <= sent.keys() <= {*specified["required"], *specified["optional"]}
    model = sdk.ClientEvent._deserialize(sent, [])  # type: ignore[no-untyped-call]
    assert type(model).__name__ == specified["sdk_class"]
    assert model.as_dict() == sent


@pytest.mark.parametrize(
    ("said", "sent"),
    [("half \ud83d a smile", "half ? a smile"), ("\udcff.txt", "?.txt"), ("\U0001f600", "\U0001f600")],
)
def test_half_of_a_surrogate_pair_does_not_break_the_connection(said: str, sent: str) -> None:
    item = {"type": "function_call_output", "call_id": "call_1", "output": said}
    text = wire.encode(wire.CreateItem(event_id="vla_1", item=item))
    assert json.loads(text.encode()) == {
        "type": "conversation.item.create",
        "event_id": "vla_1",
        "item": item | {"output": sent},
    }


@given(st.text(st.characters()))
def test_any_text_can_be_sent(text: str) -> None:
    wire.decode(wire.encode(wire.CreateItem(event_id="e", item={"text": text})).encode())


@given(st.binary(max_size=100))
def test_microphone_audio_is_sent_as_the_documented_json(audio: bytes) -> None:
    sent = json.loads(wire.append_audio(audio))
    assert sent == {"type": "input_audio_buffer.append", "audio": base64.b64encode(audio).decode()}


def test_the_sdk_has_a_model_for_microphone_audio() -> None:
    sent = json.loads(wire.append_audio(b"\x01\x00"))
    model = sdk.ClientEvent._deserialize(sent, [])  # type: ignore[no-untyped-call]
    assert type(model) is sdk.ClientEventInputAudioBufferAppend
    assert model.as_dict() == sent
