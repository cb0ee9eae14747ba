"""What response.create and the session may ask of a response: tools, context, limits, modalities, usage."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelive_agent.emulator import Action, Call, Options, Say, ScriptedBrain, Turn
from voicelive_agent.emulator._tool_choice import demanded_call, smallest

from .driver import Driver, Event, every, only, types

TRANSCRIPT = "response.audio_transcript.done"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
        "required": ["city", "days"],
    },
}
TIME = {"type": "function", "name": "get_time"}


class Watching(ScriptedBrain):
    """Answers by rules and keeps what it was shown."""

    def answer(self, turn: Turn) -> Iterator[Action]:
        self.turn = turn
        return super().answer(turn)


class Chatty:
    """Knows no tool choice: it always says and calls the same."""

    def __init__(self, *actions: Action) -> None:
        self.actions = actions

    def answer(self, turn: Turn) -> Iterator[Action]:
        return iter(self.actions)


def done(events: list[Event]) -> dict[str, Any]:
    response: dict[str, Any] = only(events, "response.done")["response"]
    return response


def calls(events: list[Event]) -> list[tuple[str, Any]]:
    kind = "response.function_call_arguments.done"
    return [(event["name"], json.loads(event["arguments"])) for event in every(events, kind)]


def message(role: str, text: str, kind: str) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def created(events: list[Event]) -> dict[str, Any]:
    response: dict[str, Any] = only(events, "response.created")["response"]
    return response


# --- Tools ------------------------------------------------------------------------------------------------

CALLS = (Call("get_weather", {"city": "Rome"}), Call("get_time", {}))


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("auto", ["get_weather", "get_time"]),
        ("none", []),
        ("required", ["get_weather", "get_time"]),
        ({"type": "function", "name": "get_time"}, ["get_time"]),
        ({"type": "function", "function": {"name": "get_time"}}, ["get_time"]),
    ],
)
@pytest.mark.parametrize("of_session", [False, True])
def test_tool_choice_decides_which_calls_leave(choice: Any, names: list[str], of_session: bool) -> None:
    driver = Driver(brain=Chatty(Say("So."), *CALLS))
    driver.update(tools=[WEATHER, TIME], tool_choice=choice if of_session else "auto")
    events = driver.say("Hi", **({} if of_session else {"tool_choice": choice}))
    assert [name for name, _ in calls(events)] == names
    assert only(events, TRANSCRIPT)["transcript"] == "So."


@pytest.mark.parametrize(
    ("choice", "demanded"),
    [
        ("auto", []),
        ("none", []),
        ("required", [("get_weather", {"city": "", "days": 1})]),
        ({"type": "function", "name": "get_time"}, [("get_time", {})]),
        ({"type": "function", "name": "unknown"}, [("unknown", {})]),
    ],
)
@pytest.mark.parametrize("brain", [Chatty(Say("Hm.")), Chatty()])
def test_a_demanded_call_is_made_though_the_brain_makes_none(brain: Chatty, choice: Any, demanded: Any) -> None:
    driver = Driver(brain=brain)
    driver.update(tools=[WEATHER, TIME])
    events = driver.say("Hi", tool_choice=choice)
    assert calls(events) == demanded
    assert done(events)["status"] == "completed"


def test_nothing_can_be_demanded_without_tools() -> None:
    events = Driver().say("Hi", tool_choice="required")
    assert calls(events) == []
    assert done(events)["status"] == "completed"


def test_the_scripted_brain_calls_instead_of_speaking_where_it_must() -> None:
    driver = Driver(brain=ScriptedBrain([("weather", Call("get_weather", {"city": "Rome"}))]))
    driver.update(tools=[WEATHER])
    assert calls(driver.say("The weather", tool_choice="required")) == [("get_weather", {"city": "Rome"})]
    events = driver.say("Hello", tool_choice="required")
    assert [item["type"] for item in done(events)["output"]] == ["function_call"]


@pytest.mark.parametrize(("parallel", "count"), [(True, 2), (False, 1)])
def test_parallel_tool_calls(parallel: bool, count: int) -> None:
    driver = Driver(brain=Chatty(*CALLS))
    driver.update(parallel_tool_calls=parallel)
    events = driver.say("Hi")
    assert len(calls(events)) == count
    assert [event["output_index"] for event in every(events, "response.output_item.added")] == list(range(count))


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({}, {}),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, {}),
        ({"required": ["a"], "properties": {"a": {"type": "string", "minLength": 3}}}, {"a": "xxx"}),
        ({"required": ["a"], "properties": {"a": {"enum": ["b", "c"]}}}, {"a": "b"}),
        ({"required": ["a"], "properties": {"a": {"const": 5}}}, {"a": 5}),
        ({"required": ["a"], "properties": {"a": {"type": "number", "default": 2.5}}}, {"a": 2.5}),
        ({"required": ["a"], "properties": {"a": {"type": "integer", "exclusiveMinimum": 4}}}, {"a": 5}),
        ({"required": ["a"], "properties": {"a": {"type": "integer", "maximum": -4}}}, {"a": -4}),
        ({"required": ["a"], "properties": {"a": {"type": "integer", "minimum": 7, "multipleOf": 5}}}, {"a": 10}),
        ({"required": ["a"], "properties": {"a": {"type": "number", "exclusiveMaximum": 0}}}, {"a": -1}),
        ({"required": ["a"], "properties": {"a": {"type": "boolean"}}}, {"a": False}),
        ({"required": ["a"], "properties": {"a": {"type": ["string", "null"]}}}, {"a": ""}),
        ({"required": ["a"], "properties": {"a": {"type": "string", "format": "date"}}}, {"a": "2026-01-01"}),
        ({"required": ["a"], "properties": {"a": {"type": "array", "items": {"type": "integer"}}}}, {"a": []}),
        (
            {"required": ["a"], "properties": {"a": {"type": "array", "minItems": 2, "items": {"type": "null"}}}},
            {"a": [None, None]},
        ),
        ({"required": ["a"], "properties": {"a": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}}, {"a": 0}),
        (
            {
                "required": ["a"],
                "properties": {"a": {"$ref": "#/$defs/Place"}},
                "$defs": {"Place": {"type": "object", "required": ["b"], "properties": {"b": {"type": "string"}}}},
            },
            {"a": {"b": ""}},
        ),
        (
            {
                "allOf": [
                    {"$ref": "#/$defs/A"},
                    {"required": ["b"], "properties": {"b": {"type": "boolean"}}, "additionalProperties": False},
                ],
                "$defs": {"A": {"required": ["a"], "properties": {"a": {"type": "integer"}}}},
            },
            {"a": 0, "b": False},
        ),
    ],
)
def test_the_smallest_arguments(schema: dict[str, Any], value: Any) -> None:
    assert smallest(schema) == value


def test_a_schema_that_contains_itself_ends() -> None:
    schema = {"required": ["next"], "properties": {"next": {"$ref": "#"}}}
    assert json.dumps(smallest(schema)).endswith("null" + "}" * json.dumps(smallest(schema)).count("{"))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["type", "properties", "required", "enum", "items", "$ref", "anyOf", "allOf", "minimum"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=8,
    )
)
def test_a_schema_that_is_nonsense_fails_one_response_at_most(schema: Any) -> None:
    driver = Driver(brain=Chatty())
    tool = {"type": "function", "name": "f", "parameters": schema if isinstance(schema, dict) else {}}
    driver.update(tools=[tool])
    assert done(driver.say("Hi", tool_choice="required"))["status"] in ("completed", "failed")
    assert driver.session.closing is None


def test_demands_name_functions() -> None:
    assert demanded_call(Turn([], tool_choice="auto", tools=[WEATHER])) is None
    assert demanded_call(Turn([], tool_choice={"type": "function"}, tools=[WEATHER])) is None


# --- Context ----------------------------------------------------------------------------------------------


def test_a_prepared_message_asks_no_brain() -> None:
    class Offended:
        def answer(self, turn: Turn) -> Iterator[Action]:
            raise AssertionError("nobody should ask")

    prepared = message("assistant", "Good morning!", "text")
    driver = Driver(brain=Offended())
    events = driver.ask("response.create", response={"pre_generated_assistant_message": prepared})
    assert only(events, TRANSCRIPT)["transcript"] == "Good morning!"
    response = done(events)
    assert response["status"] == "completed"
    assert response["usage"]["input_tokens"] == 0
    item_id = response["output"][0]["id"]
    item = only(driver.ask("conversation.item.retrieve", item_id=item_id), "conversation.item.retrieved")["item"]
    assert item["content"] == [{"type": "audio", "transcript": "Good morning!"}]


@pytest.mark.parametrize("outside", [{"conversation": "none"}, {"commit": False}])
def test_an_answer_out_of_band_is_not_remembered(outside: dict[str, Any]) -> None:
    brain = Watching()
    driver = Driver(brain=brain)
    events = driver.say("Classify this", metadata={"topic": "x"}, **outside)
    assert created(events)["conversation_id"] is None
    assert done(events)["metadata"] == {"topic": "x"}
    assert len(list(every(events, "conversation.item.created"))) == 1
    item_id = done(events)["output"][0]["id"]
    assert only(driver.ask("conversation.item.retrieve", item_id=item_id), "error")
    driver.say("Go on")
    assert [item["role"] for item in brain.turn.items] == ["user", "user"]


def test_input_items_replace_the_context_and_may_be_none_at_all() -> None:
    brain = Watching()
    driver = Driver(brain=brain)
    driver.say("Before")
    driver.say("Now", input_items=[message("user", "Instead", "input_text")])
    assert [item["content"][0]["text"] for item in brain.turn.items] == ["Instead"]
    events = driver.say("Now", input_items=[])
    assert list(brain.turn.items) == []
    instructions = -(-len(brain.turn.instructions) // 4)
    assert done(events)["usage"]["input_tokens"] == instructions
    driver.say("After")
    assert sum(item["role"] == "user" for item in brain.turn.items) == 4


def test_appended_items_stay() -> None:
    brain = Watching()
    driver = Driver(brain=brain)
    driver.settle()
    appended = [message("system", "Be brief.", "input_text"), message("user", "Added", "input_text")]
    events = driver.ask("response.create", response={"append_input_items": appended})
    assert types(events)[:3] == ["conversation.item.created", "conversation.item.created", "response.created"]
    assert only(events, TRANSCRIPT)["transcript"] == "I heard: Added"
    driver.say("Next")
    assert [item["role"] for item in brain.turn.items] == ["system", "user", "assistant", "user"]


# --- Echo -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    [
        {"metadata": {"client_event_id": "7"}},
        {"temperature": 0.7},
        {"reasoning_effort": "low"},
        {"modalities": ["text"]},
        {"max_output_tokens": 100},
        {"output_audio_format": "g711_ulaw"},
        {"voice": {"type": "azure-standard", "name": "en-US-GuyNeural"}},
    ],
)
@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-realtime"])
def test_what_was_asked_for_is_echoed(asked: dict[str, Any], model: str) -> None:
    events = Driver(model=model).say("Hi", **asked)
    for response in (created(events), done(events)):
        assert {name: response[name] for name in asked} == asked


def test_what_was_not_asked_for_is_not() -> None:
    response = created(Driver().say("Hi"))
    assert response["metadata"] is None
    assert "reasoning_effort" not in response


# --- Limits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["max_output_tokens", "max_response_output_tokens"])
def test_the_limit_counts_the_arguments_of_calls(name: str) -> None:
    events = Driver(brain=Chatty(Call("f", {"text": "one two three four"}), Say("never"))).say("Hi", **{name: 4})
    response = done(events)
    assert response["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}
    (item,) = response["output"]
    assert item["status"] == "incomplete"
    assert json.dumps({"text": "one two three four"}).startswith(item["arguments"])
    assert 0 < len(item["arguments"]) < 20
    assert only(events, "response.function_call_arguments.done")["arguments"] == item["arguments"]


def test_a_limit_of_the_session_and_one_that_is_not_reached() -> None:
    driver = Driver()
    driver.update(max_response_output_tokens=2)
    assert done(driver.say("Hi"))["status"] == "incomplete"
    assert done(driver.say("Hi", max_output_tokens="inf"))["status"] == "completed"
    assert done(driver.say("Hi", max_output_tokens=400))["status"] == "completed"


def test_a_demanded_call_is_not_made_beyond_the_limit() -> None:
    driver = Driver(brain=Chatty(Say("One two three.")))
    driver.update(tools=[TIME])
    events = driver.say("Hi", max_output_tokens=2, tool_choice="required")
    assert done(events)["status"] == "incomplete"
    assert calls(events) == []


# --- Modalities and audio ---------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-realtime"])
@pytest.mark.parametrize("modalities", [["text"], ["audio"], ["text", "audio"], ["audio", "text"]])
def test_modalities(model: str, modalities: list[str]) -> None:
    events = Driver(model=model).say("Hi", modalities=modalities)
    names = set(types(events))
    spoken = "audio" in modalities
    assert ("response.audio.delta" in names, "response.text.delta" in names) == (spoken, not spoken)
    part = done(events)["output"][0]["content"][0]
    assert part["type"] == ("audio" if spoken else "text")
    assert part["transcript" if spoken else "text"] == "I heard: Hi"


@pytest.mark.parametrize(
    ("model", "sizes_ms"), [("gpt-4.1", [200, 300, 500, 500]), ("gpt-realtime", [250, 250, 250, 250])]
)
@pytest.mark.parametrize(("format", "bytes_per_ms"), [("pcm16", 48), ("g711_alaw", 8)])
def test_deltas_have_the_sizes_of_the_service(
    model: str, sizes_ms: list[int], format: str, bytes_per_ms: int
) -> None:
    driver = Driver(model=model, brain=Chatty(Say("A sentence of some length. And another one.")))
    events = driver.say("Hi", output_audio_format=format)
    sizes = [len(base64.b64decode(event["delta"])) for event in every(events, "response.audio.delta")]
    assert [size / bytes_per_ms for size in sizes[:4]] == sizes_ms
    assert all(size / bytes_per_ms == sizes_ms[-1] for size in sizes[4:-1])
    assert 0 < sizes[-1] <= sizes_ms[-1] * bytes_per_ms


def test_deltas_come_far_faster_than_they_sound() -> None:
    driver = Driver(brain=Chatty(Say("A sentence. " * 20)), options=Options(latency="service"))
    driver.say("Hi")
    deltas = [(now, event) for now, event in driver.log if event["type"] == "response.audio.delta"]
    sounds_s = sum(len(base64.b64decode(event["delta"])) for _, event in deltas) / 48_000
    assert 0 < deltas[-1][0] - deltas[0][0] < sounds_s / 5


# --- Usage ------------------------------------------------------------------------------------------------


def test_images_are_counted_and_everything_adds_up() -> None:
    picture = "data:image/png;base64," + base64.b64encode(
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00"
    ).decode("ascii")
    driver = Driver(brain=Chatty(Say("I see."), Call("zoom", {"factor": 2})))
    content = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": picture},
        {"type": "input_image", "image_url": picture, "detail": "low"},
    ]
    driver.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
    usage = done(driver.ask("response.create"))["usage"]
    given, made = usage["input_token_details"], usage["output_token_details"]
    assert given["image_tokens"] == 765 + 85
    assert usage["input_tokens"] == given["text_tokens"] + given["audio_tokens"] + given["image_tokens"]
    assert usage["output_tokens"] == made["text_tokens"] + made["audio_tokens"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert made["audio_tokens"] == pytest.approx(len("I see.") * 60 / 50, abs=1)


def test_speech_outside_the_context_is_not_counted() -> None:
    driver = Driver()
    assert done(driver.speak())["usage"]["input_token_details"]["audio_tokens"] > 0
    events = driver.say("Hi", input_items=[])
    assert done(events)["usage"]["input_token_details"]["audio_tokens"] == 0
