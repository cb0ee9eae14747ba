"""What a brain may do besides speaking and calling: wait, fail, speak slowly, search, annotate, pass through."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from azure.ai.voicelive import models
from hypothesis import given, settings
from hypothesis import strategies as st

from voicelive_agent.emulator import Action, Call, Options, Say, Turn
from voicelive_agent.emulator.protocols import Annotate, Fail, Invocation, Search, Wait

from .driver import Driver, Event, every, noise, only, silence, types

SERVER: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data/events.json").read_text("utf-8"))["server"]
TRANSCRIPT = "response.audio_transcript.done"


class Does:
    """A brain that always does the same."""

    def __init__(self, *actions: Any) -> None:
        self.actions: Sequence[Any] = actions
        self.yielded = 0

    def answer(self, turn: Turn) -> Iterator[Action]:
        for action in self.actions:
            self.yielded += 1
            yield action


def done(events: list[Event]) -> dict[str, Any]:
    response: dict[str, Any] = only(events, "response.done")["response"]
    return response


def at(driver: Driver, type: str) -> list[float]:
    """Seconds from response.created to each event of this type."""
    (begin,) = (now for now, event in driver.log if event["type"] == "response.created")
    return [round(now - begin, 6) for now, event in driver.log if event["type"] == type]


# --- Waiting ----------------------------------------------------------------------------------------------


def test_a_wait_takes_the_time_of_the_session() -> None:
    driver = Driver(brain=Does(Wait(1500), Say("Now.")))
    driver.say("Hi")
    assert at(driver, "response.audio_transcript.delta") == [1.5, 1.5]
    assert done(driver.events)["status"] == "completed"


def test_waits_add_up_and_none_is_no_time() -> None:
    driver = Driver(brain=Does(Wait(250), Wait(0), Wait(500.5), Call("f", {})))
    driver.say("Hi")
    assert at(driver, "response.output_item.added") == [0.7505]


def test_what_was_said_before_is_delivered_meanwhile() -> None:
    driver = Driver(brain=Does(Say("One moment."), Wait(4000), Say("Here.")))
    events = driver.say("Hi")
    assert at(driver, "response.audio.delta") == [0.0, 0.0, 0.0, 4.0, 4.0]
    sizes = [len(event["delta"]) * 3 // 4 // 48 for event in every(events, "response.audio.delta")]
    assert sum(sizes[:3]) == pytest.approx(len("One moment.") * 60, abs=5)
    assert sum(sizes[3:]) == pytest.approx(len(" Here.") * 60, abs=5)
    assert only(events, TRANSCRIPT)["transcript"] == "One moment. Here."
    assert len(list(every(events, "response.output_item.added"))) == 1


def test_a_wait_after_a_call() -> None:
    driver = Driver(brain=Does(Call("a", {}), Wait(100), Call("b", {})))
    driver.say("Hi")
    assert at(driver, "response.output_item.done") == [0.0, 0.1]


def test_a_cancellation_cuts_a_wait() -> None:
    brain = Does(Say("Well."), Wait(60_000), Say("Never."))
    driver = Driver(brain=brain)
    driver.send("response.create")
    driver.wait(1.0)
    driver.ask("response.cancel")
    response = done(driver.events)
    assert response["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
    assert at(driver, "response.done") == [1.0]
    driver.wait(100)
    assert brain.yielded == 2
    assert types(driver.events)[-1] == "response.done"


def test_speech_cuts_a_wait() -> None:
    driver = Driver(brain=Does(Wait(60_000), Say("Never.")))
    driver.send("response.create")
    driver.wait(0.5)
    driver.append(silence(0.2) + noise(0.5))
    driver.wait(0.1)
    assert done(driver.events)["status_details"]["reason"] == "turn_detected"
    assert done(driver.events)["output"] == []


# --- Failing ----------------------------------------------------------------------------------------------


def test_a_failure_has_its_code_and_its_text() -> None:
    response = done(Driver(brain=Does(Fail("Quota exceeded.", "rate_limit_exceeded"))).say("Hi"))
    assert response["status"] == "failed"
    error = {"type": "server_error", "code": "rate_limit_exceeded", "message": "Quota exceeded."}
    assert response["status_details"] == {"type": "failed", "error": error}
    assert response["output"] == []
    assert response["usage"]["total_tokens"] == 0


def test_a_failure_comes_after_what_was_said() -> None:
    driver = Driver(brain=Does(Say("It is"), Fail("gone"), Say("never")), options=Options(realtime_factor=1.0))
    events = driver.say("Hi")
    assert only(events, TRANSCRIPT)["transcript"] == "It is"
    sent = sum(len(event["delta"]) for event in every(events, "response.audio.delta"))
    assert sent * 3 // 4 // 48 == pytest.approx(300, abs=5)
    response = done(events)
    assert response["status"] == "failed"
    assert [item["status"] for item in response["output"]] == ["incomplete"]
    assert driver.session.closing is None
    assert done(driver.say("Again"))["status"] == "failed"


def test_a_content_filter_makes_it_incomplete() -> None:
    response = done(Driver(brain=Does(Say("How to"), Fail("violence", "content_filter"))).say("Hi"))
    assert response["status"] == "incomplete"
    assert response["status_details"] == {"type": "incomplete", "reason": "content_filter"}
    assert [item["status"] for item in response["output"]] == ["incomplete"]
    assert response["output"][0]["content"] == [{"type": "audio", "transcript": "How to"}]


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (Wait(-1), "Wait.ms"),
        (Wait(float("nan")), "Wait.ms"),
        (Wait(float("inf")), "Wait.ms"),
        (Wait("1"), "must yield Say or Call"),  # type: ignore[arg-type]
        (Say("x", realtime_factor=0), "Say.realtime_factor"),
        (Say("x", realtime_factor="fast"), "must yield Say or Call"),  # type: ignore[arg-type]
        (Fail(None), "must yield Say or Call"),  # type: ignore[arg-type]
        (Search("sea"), "must yield Say or Call"),  # type: ignore[arg-type]
        (Search("file", results=[{"score": float("nan")}]), "Search.results cannot be written as JSON"),
        (Annotate({"x": object()}), "Annotate.annotation cannot be written as JSON"),
        (Annotate({}), "Annotate needs a message"),
        (Invocation({"x": {1, 2}}), "Invocation.delta cannot be written as JSON"),
        (Call("f", {"x": object()}), "Call.arguments cannot be written as JSON"),
        (None, "must yield Say or Call"),
    ],
)
def test_what_is_no_action_fails_the_response(action: Any, text: str) -> None:
    response = done(Driver(brain=Does(action)).say("Hi"))
    assert response["status"] == "failed"
    assert text in response["status_details"]["error"]["message"]


# --- Pace -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("session", [float("inf"), 1.0, 4.0])
def test_an_answer_may_have_its_own_pace(session: float) -> None:
    text = "These are twenty-five chr"
    driver = Driver(brain=Does(Say(text, realtime_factor=0.5)), options=Options(realtime_factor=session))
    driver.say("Hi")
    # 1.5 s of audio at half the speed: each delta waits for twice the length of the one before it.
    assert at(driver, "response.audio.delta") == [0.0, 0.4, 1.0, 2.0]
    assert at(driver, "response.done") == [3.0]
    driver.log.clear()
    driver.session._context.brain = Does(Say(text))  # the next answer has the session's pace again
    driver.say("Hi")
    assert at(driver, "response.done") == [pytest.approx(0.0 if session == float("inf") else 1.5 / session)]


def test_an_answer_may_be_delivered_at_once() -> None:
    driver = Driver(brain=Does(Say("A. " * 20, float("inf"))), options=Options(realtime_factor=1.0))
    driver.say("Hi")
    assert at(driver, "response.done") == [0.0]


# --- The service's own tools ------------------------------------------------------------------------------


def checked(events: list[Event]) -> list[Event]:
    for event in events:
        entry = SERVER[event["type"]]
        assert type(models.ServerEvent._deserialize(event, [])).__name__ == entry["sdk_class"]
        assert all(event.get(name) is not None for name in entry["required"])
    return events


@pytest.mark.parametrize("kind", ["web", "file"])
def test_a_search(kind: Any) -> None:
    events = checked(Driver(brain=Does(Say("Let me look."), Search(kind, ["q"]), Say("Found."))).say("Hi"))
    stages = [event for event in events if f"{kind}_search_call" in event["type"]]
    assert types(stages) == [
        f"response.{kind}_search_call.{stage}" for stage in ("in_progress", "searching", "completed")
    ]
    assert [event["sequence_number"] for event in stages] == [1, 2, 3]
    assert {event["output_index"] for event in stages} == {1}
    names = types(events)
    first, last = names.index(stages[0]["type"]), names.index(stages[-1]["type"])
    assert names[first - 2 : first] == ["response.output_item.added", "conversation.item.created"]
    assert names[last + 1] == "response.output_item.done"
    output = done(events)["output"]
    assert [item["type"] for item in output] == ["message", f"{kind}_search_call", "message"]
    assert output[1]["status"] == "completed"
    assert isinstance(models.ServerEvent._deserialize(events[-1], []).response.output[1], models.ResponseItem)


@pytest.mark.parametrize("include", [None, ["file_search_call.results"]])
def test_results_of_a_search_are_shown_where_they_were_asked_for(include: list[str] | None) -> None:
    result = {"file_id": "f1", "filename": "a.pdf", "score": 0.5, "text": "Opening hours"}
    driver = Driver(brain=Does(Search("file", ["hours"], [result])))
    driver.update(include=include)
    item = done(driver.say("Hi"))["output"][0]
    assert item["queries"] == ["hours"]
    assert item["results"] == ([result] if include else None)


def test_annotations_are_numbered() -> None:
    notes = [{"type": "url_citation", "url": f"https://example.com/{number}"} for number in range(2)]
    brain = Does(Say("One."), Annotate(notes[0]), Say("Two."), Annotate(notes[1]))
    for model in ("gpt-4.1", "gpt-realtime"):
        events = checked(Driver(model=model, brain=brain).say("Hi"))
        kind = "response.audio_transcript.annotation.added"
        found = [(event["annotation_index"], event["annotation"]) for event in every(events, kind)]
        assert found == list(enumerate(notes))
        names = types(events)
        assert names.index("response.audio_transcript.delta") < names.index(kind)
        assert names.index(kind) < names.index("response.audio_transcript.done")


def test_a_written_message_shows_no_annotation() -> None:
    events = Driver(brain=Does(Say("One."), Annotate({"a": 1}))).say("Hi", modalities=["text"])
    assert done(events)["status"] == "completed"
    assert not [name for name in types(events) if "annotation" in name]


def test_what_an_agent_emits_is_passed_through() -> None:
    events = checked(Driver(brain=Does(Invocation({"type": "custom", "n": 1}), Say("Hi."))).say("Hi"))
    passed = only(events, "response.invocation.delta")
    assert passed["delta"] == {"type": "custom", "n": 1}
    assert set(passed) == {"event_id", "type", "delta"}
    names = types(events)
    assert names.index("response.created") < names.index("response.invocation.delta")
    assert names.index("response.invocation.delta") < names.index("response.output_item.added")


# --- Whatever a brain does --------------------------------------------------------------------------------

actions = st.sampled_from(
    [
        Say("One two."),
        Say("Three?", realtime_factor=0.5),
        Say(""),
        Call("f", {"a": 1}),
        Wait(0),
        Wait(700),
        Search("web"),
        Search("file", ["q"]),
        Invocation({"x": 1}),
        Annotate({"y": 2}),
        Fail("no", "some_code"),
        Fail("no", "content_filter"),
    ]
)
DELTAS = {
    "response.audio_transcript.delta": "transcript",
    "response.text.delta": "text",
    "response.function_call_arguments.delta": "arguments",
}


@given(
    chosen=st.lists(actions, max_size=7),
    factor=st.sampled_from([1.0, 5.0, float("inf")]),
    model=st.sampled_from(["gpt-4.1", "gpt-realtime"]),
    session=st.sampled_from(
        [
            {"output_audio_timestamp_types": ["word"], "animation": {"outputs": ["viseme_id", "blendshapes"]}},
            {"modalities": ["text"]},
            {"interim_response": {"type": "llm_interim_response", "latency_threshold_ms": 300}},
            {
                "tool_choice": "required",
                "tools": [{"type": "function", "name": "f"}],
                "parallel_tool_calls": False,
            },
        ]
    ),
    cancel_after=st.none() | st.floats(0, 3),
)
@settings(max_examples=80, deadline=None)
def test_a_response_is_whole_whatever_a_brain_does(
    chosen: list[Action], factor: float, model: str, session: dict[str, Any], cancel_after: float | None
) -> None:
    driver = Driver(model=model, brain=Does(*chosen), options=Options(realtime_factor=factor))
    driver.update(**session)
    before = len(driver.log)
    driver.send("response.create")
    if cancel_after is not None:
        driver.wait(cancel_after)
        driver.send("response.cancel")
    driver.settle()
    events = [event for event in driver.events[before:] if event["type"] != "error"]
    assert types(events)[0] == "response.created"
    assert types(events)[-1] == "response.done"
    text: dict[str, str] = {}
    closed: list[dict[str, Any]] = []
    for event in checked(events):
        if event["type"] == "response.output_item.added":
            assert len(text) == len(closed), "two items at once"
            text[event["item"]["id"]] = ""
        elif event["type"] in DELTAS:
            text[event["item_id"]] += event["delta"]
        elif event["type"] == "response.output_item.done":
            closed.append(event["item"])
    assert [item["id"] for item in closed] == list(text)
    for item in closed:
        if item["type"] == "function_call":
            assert item["arguments"] == text[item["id"]]
        elif item["type"] == "message":
            (part,) = item["content"]
            assert part.get("transcript", part.get("text")) == text[item["id"]]
    response = events[-1]["response"]
    assert response["output"] == closed
    usage = response["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    if any(isinstance(action, Fail) for action in chosen):
        assert response["status"] != "completed"
