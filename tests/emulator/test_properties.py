"""Whatever a client sends, in whatever order and at whatever time: the rules of the protocol hold."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voicelive_agent.emulator import Call, EnergyEars, Options, ScriptedBrain
from voicelive_agent.emulator._client_events import CLIENT_EVENTS

from .driver import Driver, Event, noise, silence

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("session", "item", "item_id", "audio", "response", "response_id", "event_id", "id", "delta", "turn_id")
random_messages = st.builds(
    lambda kind, fields: {"type": kind, **fields},
    st.sampled_from(sorted(CLIENT_EVENTS)) | st.text(max_size=8),
    st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=4),
)


def base64_of(pcm: bytes) -> str:
    return base64.b64encode(pcm).decode()


NOISE, SILENCE = base64_of(noise(0.4)), base64_of(silence(0.7))
MESSAGE = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
sensible_messages = st.sampled_from(
    [
        {"type": "input_audio_buffer.append", "audio": NOISE},
        {"type": "input_audio_buffer.append", "audio": SILENCE},
        {"type": "input_audio_buffer.commit"},
        {"type": "input_audio_buffer.clear"},
        {"type": "conversation.item.create", "item": MESSAGE},
        {
            "type": "conversation.item.create",
            "item": {"type": "function_call_output", "call_id": "c", "output": "o"},
        },
        {"type": "response.create"},
        {"type": "response.create", "response": {"modalities": ["text"]}},
        {"type": "response.create", "response": {"max_output_tokens": 1, "conversation": "none"}},
        {"type": "response.cancel"},
        {"type": "session.update", "session": {"turn_detection": None}},
        {"type": "session.update", "session": {"turn_detection": {"type": "server_vad"}}},
        {
            "type": "session.update",
            "session": {"turn_detection": {"type": "azure_semantic_vad", "auto_truncate": True}},
        },
        {
            "type": "session.update",
            "session": {"turn_detection": {"type": "server_vad", "interrupt_response": False}},
        },
        {"type": "session.update", "session": {"input_audio_format": "g711_ulaw"}},
        {"type": "session.update", "session": {"avatar": {"character": "lisa", "customized": False}}},
        {
            "type": "session.update",
            "session": {"avatar": {"character": "x", "customized": True, "output_protocol": "websocket"}},
        },
        {"type": "session.update", "session": {"avatar": None, "voice": "alloy"}},
        {"type": "session.avatar.connect", "client_sdp": base64.b64encode(b"{}").decode()},
        {"type": "output_audio_buffer.clear"},
        {"type": "input_text.delta", "id": "t", "delta": "hi"},
        {"type": "input_text.done", "id": "t"},
        {"type": "input_audio.turn.start", "turn_id": "u"},
        {"type": "input_audio.turn.append", "turn_id": "u", "audio": NOISE},
        {"type": "input_audio.turn.end", "turn_id": "u"},
        {"type": "input_audio.turn.cancel", "turn_id": "u"},
        {"type": "input_audio.clear"},
    ]
)
waits = st.sampled_from([0.0, 0.01, 0.1, 0.25, 1.0, 5.0])
item_operations = st.sampled_from(["retrieve", "delete", "truncate"])
workings = st.sampled_from([False, True, 1, 2])
"""Stop working, work again, or do one or two jobs of those that waited."""
steps = st.one_of(sensible_messages, sensible_messages, waits, item_operations, workings, random_messages)
options = st.builds(
    Options,
    latency=st.sampled_from(["none", "service"]),
    realtime_factor=st.sampled_from([float("inf"), 1.0, 3.0]),
    second_create=st.sampled_from(["error", "cancel"]),
    refuse_truncation=st.sampled_from([None, False]),
    update=st.sampled_from(["merge", "replace", "deep"]),
    update_first=st.sampled_from([False, False, True]),
    unknown_call=st.sampled_from([None, "accept", "error"]),
)


def brain() -> ScriptedBrain:
    return ScriptedBrain([("call", ["Wait.", Call("f", {"a": "b"}), Call("g", {})]), ("", "One. Two. Three.")])


def check(events: list[Event]) -> None:
    """What a client may rely on."""
    assert len({event["event_id"] for event in events}) == len(events)
    active, created, finished = None, set(), set()
    avatar_speaks_for = None
    speaking = False
    open_items: dict[str, str] = {}
    for event in events:
        kind = event["type"]
        if kind == "response.created":
            assert active is None, "two responses at once"
            active = event["response"]["id"]
            assert active not in created
            created.add(active)
        elif kind == "response.done":
            assert event["response"]["id"] == active
            assert not open_items, "an item was left open"
            assert event["response"]["status"] in ("completed", "cancelled", "incomplete")
            finished.add(active)
            active = None
        elif kind == "response.video.delta":
            assert active is not None
        elif kind == "session.avatar.switch_to_speaking":
            assert avatar_speaks_for is None
            avatar_speaks_for = event["turn_id"]
            assert avatar_speaks_for == active
        elif kind == "session.avatar.switch_to_idle":
            assert event["turn_id"] == avatar_speaks_for
            avatar_speaks_for = None
        elif kind.startswith("response."):
            assert event["response_id"] == active
            if kind == "response.output_item.added":
                assert not open_items
                open_items[event["item"]["id"]] = ""
            elif kind == "response.output_item.done":
                streamed = open_items.pop(event["item"]["id"])
                assert streamed == text_of(event["item"])
                assert event["item"]["status"] in ("completed", "incomplete")
            elif kind in TEXT_DELTAS:
                open_items[event["item_id"]] += event["delta"]
        elif kind == "input_audio_buffer.speech_started":
            assert not speaking
            speaking = True
        elif kind in SPEECH_ENDS:
            speaking = False
    assert active is None
    assert avatar_speaks_for is None
    assert created == finished


TEXT_DELTAS = (
    "response.text.delta",
    "response.audio_transcript.delta",
    "response.function_call_arguments.delta",
)
SPEECH_ENDS = (
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "input_audio_buffer.cleared",
    "session.updated",
)


def text_of(item: dict[str, Any]) -> str:
    if item["type"] == "function_call":
        return str(item["arguments"])
    return "".join(part.get("text") or part.get("transcript") or "" for part in item["content"])


@given(
    model=st.sampled_from(["gpt-4.1", "gpt-realtime"]),
    options=options,
    script=st.lists(st.sampled_from(["", "call", "hello"]), max_size=4),
    steps=st.lists(steps, max_size=14),
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_rules_hold_for_any_client(
    model: str, options: Options, script: list[str], steps: list[dict[str, Any] | bool | float | str]
) -> None:
    driver = Driver(model=model, options=options, ears=EnergyEars(script), brain=brain())
    for step in steps:
        if isinstance(step, bool):
            driver.working = step
        elif isinstance(step, int):
            driver.work(step)
            driver.take()
        elif isinstance(step, float):
            driver.wait(step)
        elif isinstance(step, str):
            ids = [event["item"]["id"] for event in driver.events if event["type"] == "conversation.item.created"]
            where = {"content_index": 0, "audio_end_ms": 50} if step == "truncate" else {}
            driver.send(f"conversation.item.{step}", item_id=ids[-1] if ids else "none", **where)
        else:
            driver.send(**step)
    driver.working = True
    driver.settle()
    check(driver.events)


@given(st.lists(st.text(max_size=30) | st.binary(max_size=30) | json_values.map(json.dumps), max_size=5))
@settings(max_examples=150, deadline=None)
def test_any_data_is_answered_and_survived(messages: list[str | bytes]) -> None:
    driver = Driver()
    driver.settle()
    for message in messages:
        driver.session.receive(message, driver.now)
        assert [event["type"] for event in driver.settle()] == ["error"]
    check(driver.say("still there?"))


@given(st.lists(random_messages, max_size=6))
@settings(max_examples=150, deadline=None)
def test_any_fields_are_answered_and_survived(messages: list[dict[str, Any]]) -> None:
    driver = Driver()
    for message in messages:
        driver.session.receive(json.dumps(message), driver.now)
    driver.settle()
    check(driver.events)
