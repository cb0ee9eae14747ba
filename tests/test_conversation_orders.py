"""What services really said, in the order and at the times recorded, with a listener who plays in real time.

The recordings leave out words and audio: both are made up here, in the sizes that were recorded. Asserted is what
a user would expect: the states one after another, what was interrupted where, and what the service is asked for.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conversation_driver import SERVER_VAD, Driver

from voicelive_agent import _wire as wire
from voicelive_agent import events
from voicelive_agent._outputs import CallTool, StopPlayback
from voicelive_agent.events import State

DATA = Path(__file__).parent / "data"
READY, LISTENING, PROCESSING, SPEAKING = State.READY, State.LISTENING, State.PROCESSING, State.SPEAKING
TURN = [LISTENING, PROCESSING, SPEAKING]
SENTENCE = " ".join(["word"] * 28)
DELTA_CHARS = 16_000  # of base64: 250 ms; where the size of a delta was not recorded


def scenario(name: str) -> list[dict[str, Any]]:
    lines = (DATA / "orders.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    return [entry for entry in entries if entry["scenario"] == name and "type" in entry]


class Recording:
    """A scenario made whole again: the ids and payloads that it leaves out follow from what came before."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._response = "resp_A"
        self._item = "item_B"
        self._call = ""
        self._responses = 0

    def __iter__(self) -> Iterator[tuple[float, dict[str, Any]]]:
        entries = [entry for entry in scenario(self.name) if entry["d"] == "s"]
        if entries[0]["type"] != "session.created":  # it begins in the middle
            yield 0.0, {"type": "session.created", "session": {}}
            yield 0.0, {"type": "session.updated", "session": {}}
            yield 0.0, {"type": "response.created", "response": {"id": "resp_A"}}
        for entry in entries:
            yield entry["t"], self._whole(entry)

    def _whole(self, entry: dict[str, Any]) -> dict[str, Any]:
        own = {key: value for key, value in entry.items() if key not in ("scenario", "t", "d", "note", "b64")}
        kind = str(entry["type"])
        item = dict(own.get("item", {}))
        if kind == "response.created":
            self._responses += 1
            self._response = own.get("response", {}).get("id", f"resp_{self._responses}")
        elif kind == "response.output_item.added":
            self._item = item.setdefault("id", f"msg_{self._responses}")
            item.setdefault("type", "message")
            self._call = item.get("call_id", "")
        ids = {"response_id": self._response, "item_id": self._item}
        match kind:
            case "session.created" | "session.updated":
                return own | {"session": {}}
            case "response.created":
                return own | {"response": own.get("response", {}) | {"id": self._response}}
            case "response.done":
                response = own.get("response", {}) | {key: own[key] for key in ("status", "usage") if key in own}
                return own | {"response": response | {"id": self._response}}
            case "response.output_item.added":
                return own | ids | {"item": item}
            case "response.output_item.done":
                return own | ids | {"item": {"type": "message", "id": self._item, "arguments": "{}"} | item}
            case "response.audio.delta":
                chars = int(entry.get("b64", DELTA_CHARS))
                return own | ids | {"delta": base64.b64encode(bytes(chars * 3 // 4)).decode()}
            case "response.audio_transcript.delta":
                text = SENTENCE if "note" in entry else "word "  # a note: "so many deltas until ..."
                return ids | own | {"delta": text}
            case "response.audio_transcript.done":
                return own | ids | {"transcript": SENTENCE}
            case "response.function_call_arguments.done":
                return own | ids | {"arguments": "{}", "call_id": self._call}
            case "conversation.item.created":
                return own | {"item": {"type": "message"} | item}
            case "conversation.item.input_audio_transcription.completed":
                return own | {"item_id": own.get("item_id", "item_C"), "transcript": "what was said"}
            case _ if kind.startswith("response."):
                return own | ids
            case _:
                return own


def play(name: str, *, lasts_s: float = 0.0, **plan: Any) -> Driver:
    """Let a recording happen in its own time, and then listen on."""
    driver = Driver(**plan)
    begin = driver.now
    for at, message in Recording(name):
        driver.wait(max(0.0, begin + at - driver.now))
        driver.hear(message.pop("type"), **message)
    driver.wait(lasts_s)
    return driver


def test_a_spoken_turn_of_the_cascade() -> None:
    driver = play("cascade_spoken_turn", profile="cascade", lasts_s=3.0)
    assert driver.states() == [READY, *TURN, READY]
    (turn,) = driver.all(events.TurnEnded)
    assert (turn.response_id, turn.status, turn.heard_ms) == ("resp_B", "completed", 7 * 250)
    assert turn.usage is not None
    assert turn.response_ms is not None
    assert 600 <= turn.response_ms <= 660, "speech ended at 0.568, the first sample came at 1.198"
    assert driver.asked() == ["session.update"]
    assert [(item.item_id, item.role) for item in driver.core.history] == [
        ("item_A", "user"),
        ("msg_C", "assistant"),
    ]
    assert not driver.all(StopPlayback)
    assert driver.state() is READY


@pytest.fixture(scope="module")
def interrupted_cascade() -> Driver:
    return play("cascade_bargein_and_function_call", profile="cascade", tools=["end_call"], lasts_s=1.0)


def test_the_cascade_is_interrupted_over_its_playback(interrupted_cascade: Driver) -> None:
    """The answer is here as a whole, seven seconds of it, and only plays: nothing is there to be cancelled."""
    driver = interrupted_cascade
    (cut, later) = driver.all(events.Interrupted)
    assert cut.item_id == "msg_F"
    assert 1_300 <= cut.heard_ms <= 1_500, "from 8.68 to 10.16 s"
    assert cut.received_ms == 7_387
    assert cut.heard_text
    assert (later.received_ms, 800 <= later.heard_ms <= 910) == (3_062, True)
    turns = [(turn.response_id, turn.status) for turn in driver.all(events.TurnEnded)]
    assert ("resp_E", "interrupted") in turns
    assert "response.cancel" not in driver.asked()
    assert len(driver.all(StopPlayback)) == 2


def test_the_cascade_is_told_the_words_that_were_heard(interrupted_cascade: Driver) -> None:
    driver = interrupted_cascade
    deleted = [request.item_id for request in driver.all(wire.DeleteItem)]
    created = [request for request in driver.all(wire.CreateItem) if request.item["type"] == "message"]
    assert deleted[0] == "msg_F"
    assert created[0].item["role"] == "assistant"
    assert created[0].previous_item_id == "item_D", "where it was: after what it answered"


def test_the_function_call_of_the_cascade_is_run_when_its_response_is_done(interrupted_cascade: Driver) -> None:
    driver = interrupted_cascade
    (call,) = driver.all(CallTool)
    assert (call.call_id, call.name, call.arguments) == ("call_J", "end_call", "{}")
    assert driver.state() is PROCESSING, "the tool runs"


def test_the_states_of_the_interrupted_cascade(interrupted_cascade: Driver) -> None:
    states = interrupted_cascade.states()
    assert states == [READY, LISTENING, PROCESSING, READY, *TURN, *TURN, LISTENING, PROCESSING], (
        "the recording leaves out the audio of the first answer, so that the agent was never speaking"
    )


@pytest.mark.parametrize("profile", ["realtime", "cascade"])
def test_an_open_response_is_cancelled_by_the_speech_of_the_user(profile: Any) -> None:
    driver = play("realtime_azure_voice_response_cancelled_by_bargein", profile=profile)
    assert driver.states() == [READY, PROCESSING, SPEAKING, LISTENING, PROCESSING]
    (cut,) = driver.all(events.Interrupted)
    assert cut.item_id == "item_B"
    assert 910 <= cut.heard_ms <= 925, "from 0.9049 to 1.8295 s"
    assert cut.received_ms == 200 + 300 + 22 * 500, "the delta that came after the speech began counts for nothing"
    (turn,) = driver.all(events.TurnEnded)
    assert (turn.response_id, turn.status, turn.heard_ms) == ("resp_A", "interrupted", cut.heard_ms)
    assert turn.usage is not None
    assert turn.usage["total_tokens"] == 1987
    record = {
        "realtime": ["conversation.item.truncate"],
        "cascade": ["conversation.item.delete", "conversation.item.create"],
    }
    assert driver.asked() == ["session.update", *record[profile]], "the service has cancelled it: we do not"
    assert driver.pending == 0


def trace(name: str) -> list[dict[str, Any]]:
    lines = (DATA / "traces" / f"voicelive__test_{name}.jsonl").read_text(encoding="utf-8").splitlines()
    messages = [json.loads(line) for line in lines if '"direction"' in line]
    return [message["data"] for message in messages if message["direction"] == "received"]


def test_a_recorded_spoken_turn_of_a_realtime_model() -> None:
    driver = Driver(profile="realtime")
    for message in trace("audio_in_server_vad_turn"):
        driver.hear_raw(json.dumps(message))
    driver.wait(1.0)
    assert driver.states() == [READY, *TURN, READY]
    assert [(item.role, item.text) for item in driver.core.history] == [
        ("user", "Cześć, nazywam się Marcelo."),
        ("assistant", "Hi Marcelo, nice to meet you! How can I help you today?"),
    ]
    (turn,) = driver.all(events.TurnEnded)
    assert turn.status == "completed"
    assert driver.all(events.MessageReceived) == [], "everything in a plain turn is understood"


def test_a_recorded_typed_turn() -> None:
    driver = Driver(profile="realtime")
    messages = trace("text_in_audio_out_turn")
    for message in messages[:2]:
        driver.hear_raw(json.dumps(message))
    driver.type("Say hello in Spanish.")
    for message in messages[2:]:
        driver.hear_raw(json.dumps(message))
    driver.wait(1.0)
    assert driver.states() == [READY, PROCESSING, SPEAKING, READY]
    assert driver.one(events.TurnEnded).status == "completed"
    assert driver.asked() == ["session.update", "conversation.item.create", "response.create"]


def test_a_recorded_round_of_a_tool() -> None:
    driver = Driver(profile="realtime", tools=["get_weather"])
    messages = trace("tool_call_round")
    done = next(place for place, message in enumerate(messages) if message["type"] == "response.done")
    for message in messages[:2]:
        driver.hear_raw(json.dumps(message))
    driver.type("What is the weather in London?")
    for message in messages[2 : done + 1]:
        driver.hear_raw(json.dumps(message))
    (call,) = driver.all(CallTool)
    assert json.loads(call.arguments) == {"city": "London"}
    assert driver.state() is PROCESSING
    driver.finish_tool(call.call_id, '{"weather": "foggy"}')
    assert driver.asked(last=True) == ["conversation.item.create", "response.create"]
    for message in messages[done + 1 :]:
        driver.hear_raw(json.dumps(message))
    assert driver.states() == [READY, PROCESSING, READY], "written: there is nothing to hear"
    assert [spoken.text for spoken in driver.all(events.AgentSpoke)] == [
        "It's foggy and 12 degrees in London right now."
    ]
    assert driver.one(events.TurnEnded).status == "completed"


def test_the_recordings_need_no_special_turn_detection() -> None:
    """The same order where the client interrupts: only who cancels is different."""
    detection = {**SERVER_VAD, "interrupt_response": False}
    name = "realtime_azure_voice_response_cancelled_by_bargein"
    driver = play(name, turn_detection=detection, client_barge_in=True)
    assert driver.asked() == ["session.update", "conversation.item.truncate", "response.cancel"]
    assert driver.states() == [READY, PROCESSING, SPEAKING, LISTENING, PROCESSING]
