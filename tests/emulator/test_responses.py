"""Responses: what is produced, interrupted, refused and failed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from voicelive_agent.emulator import Action, Call, EnergyEars, Options, Say, ScriptedBrain, ToneVoice, Turn

from .driver import Driver, Event, audio_of, every, noise, only, silence, types

LONG = "This is the first sentence. This is the second one. And here comes the third."
PACED = Options(realtime_factor=1.0)
STARTED = "input_audio_buffer.speech_started"


def storyteller(**settings: Any) -> Driver:
    settings.setdefault("options", PACED)
    return Driver(brain=ScriptedBrain([("", LONG)]), **settings)


def begin_speech(driver: Driver) -> list[Event]:
    before = len(driver.log)
    driver.append(silence(0.4) + noise(0.5))
    return driver.events[before:]


def interrupted(driver: Driver, after: float) -> list[Event]:
    """What comes of speech ``after`` seconds into a typed turn's answer."""
    driver.send("conversation.item.create", item=user("Tell me"))
    driver.send("response.create")
    driver.wait(after)
    before = len(driver.log)
    begin_speech(driver)
    driver.wait(1.0)
    return driver.events[before:]


def user(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def done(events: list[Event]) -> dict[str, Any]:
    response: dict[str, Any] = only(events, "response.done")["response"]
    return response


# --- Content ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-realtime"])
def test_text_and_transcript_agree_everywhere(model: str) -> None:
    events = Driver(model=model, brain=ScriptedBrain([("", ["One.", "Two."])])).say(
        "Hi", modalities=["text", "audio"]
    )
    text = "".join(event["delta"] for event in every(events, "response.audio_transcript.delta"))
    item = only(events, "response.output_item.done")["item"]
    assert text == "One. Two."
    assert only(events, "response.audio_transcript.done")["transcript"] == text
    assert only(events, "response.content_part.done")["part"] == {"type": "audio", "transcript": text}
    assert item["content"] == [{"type": "audio", "transcript": text}]
    assert done(events)["output"] == [item]


def test_text_comes_before_audio() -> None:
    names = types(Driver().say("Hi"))
    assert names.index("response.audio_transcript.delta") < names.index("response.audio.delta")


@pytest.mark.parametrize(
    ("format", "bytes_per_ms"),
    [
        ("pcm16", 48),
        ("pcm16_16000hz", 32),
        ("pcm16_8000hz", 16),
        ("g711_ulaw", 8),
        ("g711_alaw", 8),
        ("pcm16_48000hz", 96),
    ],
)
def test_audio_has_the_format_asked_for(format: str, bytes_per_ms: int) -> None:
    driver = Driver()
    driver.update(output_audio_format=format)
    events = driver.say("Hi")
    deltas = [base64.b64decode(event["delta"]) for event in every(events, "response.audio.delta")]
    assert [len(each) for each in deltas[:2]] == [200 * bytes_per_ms, 300 * bytes_per_ms]
    length_ms = len("I heard: Hi") * ToneVoice._MS_PER_CHARACTER
    assert len(audio_of(events)) == pytest.approx(length_ms * bytes_per_ms, rel=0.02)
    created = only(events, "response.created")["response"]
    assert created["output_audio_format"] == format


def test_openai_voices_have_no_other_rates() -> None:
    driver = Driver(model="gpt-realtime")
    error = only(driver.update(output_audio_format="pcm16_8000hz"), "error")["error"]
    assert error["param"] == "session.output_audio_format"
    error = only(driver.ask("response.create", response={"output_audio_format": "pcm16_16000hz"}), "error")[
        "error"
    ]
    assert error["param"] == "response.output_audio_format"


def test_response_parameters_go_before_the_session() -> None:
    class Curious(ScriptedBrain):
        seen: Turn

        def answer(self, turn: Turn) -> Iterator[Action]:
            self.seen = turn
            return super().answer(turn)

    brain = Curious()
    driver = Driver(brain=brain)
    driver.update(instructions="Be brief.", tools=[{"type": "function", "name": "a"}])
    driver.say("Hi")
    assert brain.seen.instructions == "Be brief."
    assert [tool["name"] for tool in brain.seen.tools] == ["a"]
    request = {
        "instructions": "Be long.",
        "tools": [{"type": "function", "name": "b"}],
        "tool_choice": "none",
        "metadata": {"k": "v"},
        "temperature": 0.7,
        "voice": "alloy",
        "max_output_tokens": 100,
    }
    events = driver.say("Hi", **request)
    assert brain.seen.instructions == "Be long."
    assert [tool["name"] for tool in brain.seen.tools] == ["b"]
    assert brain.seen.tool_choice == "none"
    assert brain.seen.request["metadata"] == {"k": "v"}
    for response in (only(events, "response.created")["response"], done(events)):
        assert response["metadata"] == {"k": "v"}
        assert response["temperature"] == 0.7
        assert response["voice"] == {"name": "alloy", "type": "openai"}
        assert response["max_output_tokens"] == 100


def test_say_exactly_and_prepared_messages_are_said() -> None:
    driver = Driver()
    events = driver.ask("response.create", response={"instructions": 'Say exactly: "City library!"'})
    assert only(events, "response.audio_transcript.done")["transcript"] == "City library!"
    message = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Good morning!"}]}
    events = driver.ask("response.create", response={"pre_generated_assistant_message": message})
    assert only(events, "response.audio_transcript.done")["transcript"] == "Good morning!"
    message["content"] = []
    error = only(driver.ask("response.create", response={"pre_generated_assistant_message": message}), "error")
    assert error["error"]["param"] == "response.pre_generated_assistant_message.content"


def test_the_token_limit_ends_a_response_as_incomplete() -> None:
    events = Driver(brain=ScriptedBrain([("", [LONG, Call("never", {})])])).say("Hi", max_output_tokens=4)
    response = done(events)
    assert response["status"] == "incomplete"
    assert response["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}
    assert response["output"][0]["status"] == "incomplete"
    assert response["output"][0]["content"][0]["transcript"] == "This is the first"


@pytest.mark.parametrize("actions", [[], [""]])
def test_a_brain_that_says_nothing_completes(actions: list[str]) -> None:
    assert done(Driver(brain=ScriptedBrain([("", actions)])).say("Hi"))["output"] == []


def test_usage_adds_up() -> None:
    driver = Driver()
    usage = done(driver.speak())["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["input_token_details"]["audio_tokens"] > 0
    out = usage["output_token_details"]
    assert out["audio_tokens"] == pytest.approx(len("I heard: Hello.") * 60 / 50, abs=1)
    assert usage["output_tokens"] == out["text_tokens"] + out["audio_tokens"]


# --- Function calls ---------------------------------------------------------------------------------------


def test_parallel_calls_and_their_outputs() -> None:
    brain = ScriptedBrain([("weather", [Call("weather", {"city": "Rome"}), Call("weather", {"city": "Oslo"})])])
    driver = Driver(brain=brain)
    events = driver.say("The weather?")
    calls = list(every(events, "response.function_call_arguments.done"))
    assert [(call["name"], json.loads(call["arguments"])["city"]) for call in calls] == [
        ("weather", "Rome"),
        ("weather", "Oslo"),
    ]
    assert [event["output_index"] for event in every(events, "response.output_item.added")] == [0, 1]
    assert calls[0]["call_id"] != calls[1]["call_id"]
    for call in calls:
        streamed = (
            e["delta"] for e in events if e["type"].endswith("arguments.delta") and e["item_id"] == call["item_id"]
        )
        assert "".join(streamed) == call["arguments"]
    assert [item["status"] for item in done(events)["output"]] == ["completed"] * 2
    for call, output in zip(calls, ["sunny", "snow"], strict=True):
        item = {"type": "function_call_output", "call_id": call["call_id"], "output": output}
        assert types(driver.ask("conversation.item.create", item=item)) == ["conversation.item.created"]
    # The service never goes on by itself.
    assert driver.wait(60) == []
    answer = driver.ask("response.create")
    assert only(answer, "response.audio_transcript.done")["transcript"] == "sunny snow"


def test_a_call_waits_for_the_message_before_it() -> None:
    driver = Driver(brain=ScriptedBrain([("", ["Let me see.", Call("look", {})])]), options=PACED)
    events = driver.say("Hi")
    names = types(events)
    assert [event["output_index"] for event in every(events, "response.output_item.done")] == [0, 1]
    assert names.index("response.function_call_arguments.delta") > names.index("response.audio.done")


def test_call_ids_have_the_length_of_their_profile() -> None:
    for model, length in (("gpt-4.1", 24), ("gpt-realtime", 16)):
        events = Driver(model=model, brain=ScriptedBrain([("", Call("x", {}))])).say("Hi")
        call_id = only(events, "response.function_call_arguments.done")["call_id"]
        assert len(call_id) == len("call_") + length


# --- Interruptions ----------------------------------------------------------------------------------------


def test_speech_over_a_delivered_answer_cancels_nothing() -> None:
    driver = Driver()
    driver.say("Hi")
    events = driver.speak()
    assert "conversation.item.truncated" not in types(events)
    assert done(events)["status"] == "completed"


def test_speech_over_an_answer_in_progress_cancels_it() -> None:
    events = interrupted(storyteller(), after=0.3)
    assert types(events) == [
        STARTED,
        "response.audio.delta",  # it was on its way
        "response.audio.done",
        "response.audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.done",
    ]
    response = done(events)
    assert response["status"] == "cancelled"
    assert response["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert response["usage"]["output_tokens"] > 0


def test_speech_before_any_output_cancels_with_a_bare_done() -> None:
    driver = Driver()  # whose brain is never asked: its job is not run
    driver.session.receive(json.dumps({"type": "response.create"}), driver.now)
    sound = base64.b64encode(silence(0.2) + noise(0.3)).decode()
    driver.session.receive(json.dumps({"type": "input_audio_buffer.append", "audio": sound}), driver.now)
    found = [event for _ in range(9) for event in driver.session.poll(driver.now)]
    assert types(found)[1:] == ["response.created", STARTED, "response.done"]
    response = done(found)
    assert response["status"] == "cancelled"
    assert response["output"] == []
    assert response["usage"]["total_tokens"] == 0


def test_an_item_whose_text_was_cut_is_incomplete() -> None:
    """A realtime model mixes text and audio: an interruption cuts both."""
    events = interrupted(storyteller(model="gpt-realtime"), after=0.3)
    item = only(events, "response.output_item.done")["item"]
    assert item["status"] == "incomplete"
    transcript = item["content"][0]["transcript"]
    assert LONG.startswith(transcript)
    assert 0 < len(transcript) < len(LONG)


def test_interrupt_response_false_lets_the_answer_go_on() -> None:
    driver = storyteller()
    driver.update(turn_detection={"type": "server_vad", "interrupt_response": False})
    driver.send("conversation.item.create", item=user("Tell me"))
    driver.send("response.create")
    driver.wait(0.3)
    driver.append(silence(0.4) + noise(0.5) + silence(0.8))
    events = driver.settle()
    statuses = [event["response"]["status"] for event in every(driver.events, "response.done")]
    assert statuses == ["completed"]
    assert len(list(every(driver.events, "input_audio_buffer.committed"))) == 1
    assert "response.audio.delta" in types(events)


def test_speech_that_goes_on_makes_the_answer_tentative() -> None:
    """The user pauses long enough for a turn and goes on before its words are known."""
    driver = Driver(options=Options(latency="service"), ears=EnergyEars(["I would like", "a coffee"]))
    driver.update(turn_detection={"type": "server_vad", "silence_duration_ms": 200})
    start = len(driver.log)
    # All at once: the second start is told 0.3 s later, the first words are known after 0.5 s.
    driver.append(silence(0.3) + noise(0.5) + silence(0.3) + noise(0.5))
    driver.wait(0.6)
    driver.append(silence(0.5))
    driver.settle()
    responses = [event["response"] for event in every(driver.events[start:], "response.done")]
    assert [response["status"] for response in responses] == ["cancelled", "completed"]
    assert responses[0]["output"] == []
    assert len(list(every(driver.events, "response.created"))) == 2


def test_auto_truncate_says_where_a_listener_would_have_been() -> None:
    driver = Driver()
    driver.update(turn_detection={"type": "server_vad", "auto_truncate": True})
    driver.say("Tell me a story that takes some time")
    driver.wait(0.7)
    events = begin_speech(driver)
    assert types(events) == [STARTED, "conversation.item.truncated"]
    assert events[1]["audio_end_ms"] == pytest.approx(700, abs=1)
    driver.append(silence(0.8))
    driver.settle()
    driver.wait(60)
    assert types(begin_speech(driver)) == [STARTED]


def test_auto_truncate_with_nothing_said_yet() -> None:
    driver = Driver()
    driver.update(turn_detection={"type": "server_vad", "auto_truncate": True})
    assert types(begin_speech(driver)) == [STARTED]


def test_auto_truncate_of_an_answer_in_progress() -> None:
    driver = storyteller()
    driver.update(turn_detection={"type": "azure_semantic_vad", "auto_truncate": True})
    events = interrupted(driver, after=0.3)
    assert types(events)[:2] == [STARTED, "conversation.item.truncated"]
    assert types(events)[-1] == "response.done"


def test_client_cancel() -> None:
    driver = storyteller()
    driver.send("conversation.item.create", item=user("Tell me"))
    driver.send("response.create")
    driver.wait(0.3)
    events = driver.ask("response.cancel")
    assert types(events) == [
        "response.audio.done",
        "response.audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.done",
    ]
    assert done(events)["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
    error = only(driver.ask("response.cancel", event_id="again"), "error")["error"]
    assert (error["code"], error["event_id"]) == ("response_cancel_not_active", "again")


def test_cancel_of_another_response_is_refused() -> None:
    driver = storyteller()
    driver.send("response.create")
    driver.wait(0.3)
    driver.send("response.cancel", response_id="resp_other")
    assert only(driver.events, "error")["error"]["code"] == "response_cancel_not_active"
    driver.send("response.cancel", response_id=only(driver.events, "response.created")["response"]["id"])
    driver.settle()
    assert done(driver.events)["status"] == "cancelled"


def test_a_response_cancelled_before_it_began_still_begins_and_ends() -> None:
    driver = Driver(options=Options(latency="service"))
    driver.update(turn_detection=None)
    driver.append(noise(0.5))
    start = len(driver.log)
    driver.send("input_audio_buffer.commit")
    driver.send("response.create")
    driver.send("response.cancel")
    driver.settle()
    names = types(driver.events[start:])
    assert names[-2:] == ["response.created", "response.done"]
    assert done(driver.events)["output"] == []


def test_a_second_response_is_refused_while_one_is_in_progress() -> None:
    driver = storyteller()
    driver.send("response.create")
    active = only(driver.events, "response.created")["response"]["id"]
    driver.send("response.create", event_id="second")
    error = only(driver.events, "error")["error"]
    assert error["code"] == "conversation_already_has_active_response"
    assert active in error["message"]
    assert error["event_id"] == "second"
    driver.settle()
    assert done(driver.events)["status"] == "completed"


def test_a_second_response_can_cancel_the_first() -> None:
    driver = storyteller(options=Options(realtime_factor=1.0, second_create="cancel"))
    driver.send("response.create")
    driver.wait(0.3)
    driver.send("response.create")
    driver.settle()
    statuses = [event["response"]["status"] for event in every(driver.events, "response.done")]
    assert statuses == ["cancelled", "completed"]
    driver.send("response.create")
    driver.send("response.create", response={"cancel_previous": False})
    assert only(driver.events, "error")["error"]["code"] == "conversation_already_has_active_response"


# --- Failures ---------------------------------------------------------------------------------------------


def failing_brain(turn: Turn) -> Iterator[Action]:
    yield Say("Well,")
    raise RuntimeError("a thought too many")


class Forgetful(ScriptedBrain):
    def answer(self, turn: Turn) -> Iterator[Action]:
        return failing_brain(turn)


class Hoarse(ToneVoice):
    def speak(self, text: str) -> Iterator[bytes]:
        yield from super().speak("Some of it.")
        raise RuntimeError("no voice left")


class Odd(ToneVoice):
    def speak(self, text: str) -> Iterator[bytes]:
        yield b"\0"


class Wordless(ScriptedBrain):
    def answer(self, turn: Turn) -> Iterator[Action]:
        yield "just a string"  # type: ignore[misc]


class Unspeakable(ScriptedBrain):
    def answer(self, turn: Turn) -> Iterator[Action]:
        yield Call("f", {"x": object()})


class Numeric(ScriptedBrain):
    def answer(self, turn: Turn) -> Iterator[Action]:
        yield Say(5)  # type: ignore[arg-type]


class Rateless(ToneVoice):
    rate = 0


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"brain": Forgetful()}, "RuntimeError: a thought too many"),
        ({"voice": Hoarse()}, "RuntimeError: no voice left"),
        ({"voice": Odd()}, "whole 16-bit samples"),
        ({"brain": Wordless()}, "must yield Say or Call"),
        ({"brain": Unspeakable()}, "not JSON serializable"),
        ({"brain": Numeric()}, "must yield Say or Call"),
        ({"voice": Rateless()}, "cannot resample 0 Hz"),
    ],
)
def test_a_failing_plug_in_fails_the_response_and_nothing_else(settings: dict[str, Any], text: str) -> None:
    driver = Driver(**settings)
    response = done(driver.say("Hi"))
    assert response["status"] == "failed"
    assert response["status_details"]["type"] == "failed"
    assert text in response["status_details"]["error"]["message"]
    assert all(item["status"] == "incomplete" for item in response["output"])
    assert done(driver.say("Hi again"))["status"] == "failed"
    assert driver.session.closing is None


def test_no_more_is_asked_of_a_voice_that_was_interrupted() -> None:
    class Counting(ToneVoice):
        pieces = 0

        def speak(self, text: str) -> Iterator[bytes]:
            for piece in super().speak(text):
                self.pieces += 1
                yield piece

    voice = Counting()
    driver = Driver(voice=voice, brain=ScriptedBrain([("", "A. " * 50)]))
    driver.send("conversation.item.create", item=user("Tell me"))
    driver.session.receive(json.dumps({"type": "response.create"}), driver.now)
    for _ in range(4):
        for job in driver.session.jobs():
            driver.session.finish(job, job.run(), driver.now)
    driver.send("response.cancel")
    driver.settle()
    assert done(driver.events)["status"] == "cancelled"
    assert 1 <= voice.pieces <= 4


def test_a_result_that_comes_too_late_is_ignored() -> None:
    driver = Driver()
    driver.settle()
    driver.session.receive(json.dumps({"type": "response.create"}), driver.now)
    (job,) = driver.session.jobs()
    driver.send("response.cancel")
    driver.session.finish(job, job.run(), driver.now)
    assert driver.settle() == []
    assert done(driver.events)["output"] == []
