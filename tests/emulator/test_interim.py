"""Interim responses: what is said while the answer is not there yet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from voicelive_agent.emulator import Action, Call, Options, Say, ScriptedBrain, Turn
from voicelive_agent.emulator.protocols import Wait

from .driver import Driver, Event, every, noise, only, silence, types

STATIC: dict[str, Any] = {"type": "static_interim_response", "texts": ["Hm, let me see."]}
TRANSCRIPT = "response.audio_transcript.done"


def slow(ms: float, *actions: Action) -> ScriptedBrain:
    return ScriptedBrain([("", [Wait(ms), *(actions or (Say("Here it is."),))])])


def asked(brain: ScriptedBrain, interim: dict[str, Any], **settings: Any) -> list[Event]:
    driver = Driver(brain=brain, **settings)
    driver.update(interim_response=interim)
    return driver.say("Hi")


def begin(driver: Driver) -> None:
    """A typed turn that is not waited for."""
    content = [{"type": "input_text", "text": "Hi"}]
    driver.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
    driver.send("response.create")


def transcript(events: list[Event]) -> str:
    return str(only(events, TRANSCRIPT)["transcript"])


def test_a_slow_answer_is_bridged() -> None:
    assert transcript(asked(slow(3000), STATIC)) == "Hm, let me see. Here it is."


def test_it_comes_at_the_threshold_as_part_of_the_same_message() -> None:
    driver = Driver(brain=slow(3000))
    driver.update(interim_response={**STATIC, "latency_threshold_ms": 700})
    driver.now = 200.0
    begin(driver)
    driver.settle()
    times = {event["type"]: now for now, event in reversed(driver.log) if now >= 200.0}
    assert times["response.created"] == 200.0
    assert times["response.audio_transcript.delta"] == pytest.approx(200.7)
    assert times["response.audio.delta"] == pytest.approx(200.7)
    assert times["response.done"] == pytest.approx(203.0)
    assert only(driver.events, "response.done")["response"]["output"][0]["status"] == "completed"


def test_all_of_its_audio_is_out_before_the_answer_is_there() -> None:
    driver = Driver(brain=slow(5000))
    driver.update(interim_response=STATIC)
    begin(driver)
    driver.wait(4.0)
    audio = sum(len(event["delta"]) for event in every(driver.events, "response.audio.delta"))
    assert audio * 3 / 4 / 48 == pytest.approx(len("Hm, let me see.") * 60, abs=5)


@pytest.mark.parametrize(
    ("ms", "interim"),
    [
        (1999, STATIC),
        (2999, {**STATIC, "latency_threshold_ms": 3000}),
        (9000, {**STATIC, "triggers": ["tool"]}),
        (9000, {**STATIC, "texts": []}),
        (9000, {"type": "static_interim_response"}),
    ],
)
def test_it_stays_away(ms: float, interim: dict[str, Any]) -> None:
    assert transcript(asked(slow(ms), interim)) == "Here it is."


def test_a_blocked_brain_is_bridged_as_well() -> None:
    """The time is the session's, not the brain's: a job that does not come back is slow, too."""
    driver = Driver()
    driver.update(interim_response=STATIC)
    driver.session.receive(json.dumps({"type": "response.create"}), driver.now)
    driver.session.poll(driver.now)
    (thinking,) = driver.session.jobs()
    driver.wait(2.5)
    assert "response.audio.delta" in types(driver.events)
    driver.session.finish(thinking, Say("Done."), driver.now)
    driver.settle()
    assert transcript(driver.events).startswith("Hm, let me see. Done.")


def test_an_answer_that_was_begun_is_not_interrupted() -> None:
    brain = ScriptedBrain([("", ["Well.", Wait(5000), "Here it is."])])
    assert transcript(asked(brain, STATIC)) == "Well. Here it is."


def test_a_tool_is_announced_once() -> None:
    brain = ScriptedBrain([("", [Call("a", {}), Call("b", {})])])
    events = asked(brain, {**STATIC, "triggers": ["tool"]})
    items = [event["item"]["type"] for event in every(events, "response.output_item.done")]
    assert items == ["message", "function_call", "function_call"]
    assert transcript(events) == "Hm, let me see."


def test_latency_alone_is_the_default() -> None:
    assert "response.audio.delta" not in types(asked(ScriptedBrain([("", [Call("a", {})])]), STATIC))


def test_a_tool_after_words_is_not_announced() -> None:
    brain = ScriptedBrain([("", ["One moment.", Call("a", {})])])
    assert transcript(asked(brain, {**STATIC, "triggers": ["latency", "tool"]})) == "One moment."


def test_latency_and_tool_together_speak_once() -> None:
    events = asked(slow(4000, Call("a", {})), {**STATIC, "triggers": ["latency", "tool"]})
    assert transcript(events) == "Hm, let me see."


def test_the_request_goes_before_the_session() -> None:
    driver = Driver(brain=slow(2500))
    driver.update(interim_response=STATIC)
    events = driver.say("Hi", interim_response={"type": "static_interim_response", "texts": ["Wait."]})
    assert transcript(events) == "Wait. Here it is."


@pytest.mark.parametrize(
    ("interim", "text"),
    [
        ({"instructions": 'Be kind. Say exactly: "A second, dear."'}, "A second, dear. Here it is."),
        ({"instructions": 'Say exactly: "One two three four"', "max_completion_tokens": 2}, "One two Here it is."),
    ],
)
def test_a_generated_one_obeys_its_instructions(interim: dict[str, Any], text: str) -> None:
    assert transcript(asked(slow(2500), {"type": "llm_interim_response", **interim})) == text


def test_one_text_of_several_is_taken_and_a_seed_repeats_it() -> None:
    texts = [f"Text {number}." for number in range(9)]

    def said(seed: int, **more: Any) -> str:
        return transcript(asked(slow(2500), {**STATIC, "texts": texts, **more}, seed=seed))

    assert said(1) == said(1)
    assert len({said(seed) for seed in range(12)}) > 3
    generated = {said(seed, type="llm_interim_response", texts=None) for seed in range(12)}
    assert len(generated) > 1
    assert all(text.endswith("Here it is.") for text in generated)


@pytest.mark.parametrize(
    ("settings", "session"),
    [
        ({"model": "gpt-realtime"}, {}),
        ({"model": "gpt-realtime"}, {"voice": {"type": "azure-standard", "name": "en-US-AvaNeural"}}),
        ({}, {"voice": "alloy"}),
        ({}, {"modalities": ["text"]}),
    ],
)
def test_only_a_cascade_that_speaks_with_an_azure_voice_has_it(
    settings: dict[str, Any], session: dict[str, Any]
) -> None:
    driver = Driver(brain=slow(5000), **settings)
    driver.update(interim_response=STATIC, **session)
    events = driver.say("Hi")
    item = only(events, "response.output_item.done")["item"]
    assert [part.get("text") or part.get("transcript") for part in item["content"]] == ["Here it is."]


def test_a_prepared_message_needs_none() -> None:
    driver = Driver(options=Options(latency="service"))
    driver.update(interim_response={**STATIC, "latency_threshold_ms": 0})
    message = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Good morning!"}]}
    events = driver.ask("response.create", response={"pre_generated_assistant_message": message})
    assert transcript(events) == "Good morning!"


def test_the_token_limit_does_not_count_it() -> None:
    driver = Driver(brain=slow(2500))
    driver.update(interim_response=STATIC)
    events = driver.say("Hi", max_output_tokens=2)
    assert transcript(events) == "Hm, let me see. Here it"
    assert only(events, "response.done")["response"]["status"] == "incomplete"


@pytest.mark.parametrize("after", [1.0, 2.2])
def test_speech_ends_it_like_any_answer(after: float) -> None:
    driver = Driver(brain=slow(60_000), options=Options(realtime_factor=1.0))
    driver.update(interim_response=STATIC)
    begin(driver)
    driver.wait(after)
    driver.append(silence(0.2) + noise(0.4))
    driver.settle()
    response = only(driver.events, "response.done")["response"]
    assert response["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert len(response["output"]) == (1 if after > 2 else 0)


def test_a_brain_that_says_nothing_at_all() -> None:
    class Mute(ScriptedBrain):
        def answer(self, turn: Turn) -> Iterator[Action]:
            yield Wait(3000)

    events = asked(Mute(), STATIC)
    assert transcript(events) == "Hm, let me see."
    assert only(events, "response.done")["response"]["status"] == "completed"
