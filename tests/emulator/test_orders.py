"""The order of events against recorded sessions of the service."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from voicelive_agent.emulator import Call, Options, ScriptedBrain

from .compare_orders import (
    INTERLEAVED,
    SCENARIOS,
    Difference,
    Scenario,
    cascade_call,
    cascade_spoken_turn,
    differences,
    found,
    kinds,
    main,
    realtime_barge_in,
    scenario,
    trace,
)
from .driver import Driver, Event, collapsed, only, types

HERE = Path(__file__).parent
DOCUMENT = (HERE.parents[1] / "docs/reference/emulator-differences.md").read_text("utf-8")
Json = dict[str, Any]


def received(name: str) -> list[Json]:
    return trace(name, "received")


def sent(name: str) -> list[Json]:
    return trace(name, "sent")


def without_transcription(events: Iterable[Json]) -> list[Json]:
    return [event for event in events if ".input_audio_transcription." not in event["type"]]


DELTAS = ("response.audio_transcript.delta", "response.audio.delta")


def order(events: Iterable[Json]) -> list[str]:
    """Types in order; text and audio deltas, which interleave as they please, as one."""
    names = ["deltas" if event["type"] in DELTAS else event["type"] for event in events]
    return collapsed(names)


def shape(value: Any) -> Any:
    """The keys of an object all the way down."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    return [shape(each) for each in value] if isinstance(value, list) else None


def linked(events: list[Json]) -> list[tuple[str, str | None, str | None]]:
    """Who names whom as predecessor, with ids as the order in which they appeared."""
    names: dict[str | None, str | None] = {None: None, "": ""}
    links = []
    for event in events:
        item = event.get("item") or {}
        item_id = event.get("item_id") or item.get("id")
        names.setdefault(item_id, f"item {len(names)}")
        if "previous_item_id" in event:
            links.append((event["type"], names[item_id], names[event["previous_item_id"]]))
    return links


# --- All recordings ---------------------------------------------------------------------------------------


def documented() -> Counter[Difference]:
    """The table of the documentation."""
    section = DOCUMENT.split("## Order of events\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (service|emulator) \| (.+?) \| (.+?) \| (.+) \|$", section, re.M)
    assert all(why for *_, why in rows)
    told = ((name, side, event.replace("`", ""), after.replace("`", "")) for name, side, event, after, _ in rows)
    return Counter(Difference(*row) for row in told)


def test_the_documentation_names_every_difference_in_order_and_no_other() -> None:
    assert found() == documented()


def test_every_recording_is_compared() -> None:
    traces = {path.stem.removeprefix("voicelive__test_") for path in (HERE.parent / "data/traces").glob("*.jsonl")}
    shown = set(re.findall(r'"scenario": "(\w+)"', (HERE.parent / "data/orders.jsonl").read_text("utf-8")))
    assert set(SCENARIOS) == traces | shown


def test_the_script_prints_every_difference(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    printed = capsys.readouterr().out
    assert printed.count("  only the ") == found().total()
    assert all(name in printed for name in SCENARIOS)


def compared(theirs: list[Json], ours: list[Json], *, excerpt: bool = False) -> list[str]:
    given = Scenario(lambda: theirs, lambda: ours, excerpt)
    return [f"{each.side}: {each.event} after {each.after}" for each in differences("any", given)]


def test_what_is_missing_moved_or_of_another_kind_is_a_difference() -> None:
    a, b, c = ({"type": kind} for kind in "abc")
    assert compared([a, b, c], [a, b, c]) == []
    assert compared([a, b, c], [a, c]) == ["service: b after a"]
    assert compared([a, c], [a, b, c]) == ["emulator: b after a"]
    assert compared([a, b, c], [b, c, a]) == ["service: a after the start", "emulator: a after c"]
    done = {"type": "done", "response": {"status": "completed", "status_details": None}}
    failed = {"type": "done", "response": {"status": "failed", "status_details": {"reason": "x"}}}
    assert compared([done], [done]) == []
    assert compared([done], [failed]) == [
        "service: done (completed) after the start",
        "emulator: done (failed, x) after the start",
    ]
    assert compared([{"type": "done", "status": "failed"}], [failed]) == []


def test_of_an_excerpt_only_what_it_shows_is_compared() -> None:
    a, b, c = ({"type": kind} for kind in "abc")
    assert compared([a, c], [a, b, c], excerpt=True) == []
    assert compared([c, a], [a, b, c], excerpt=True) == ["service: c after the start"]


def test_deltas_count_once_and_once_more_where_they_alternate() -> None:
    created, text, audio = ({"type": f"response.{kind}"} for kind in ("created", "text.delta", "audio.delta"))
    assert kinds([created, text, text, audio, audio]) == kinds([created, text, audio])
    assert [str(kind) for kind in kinds([created, text, audio, text, audio, text])][3:] == [INTERLEAVED]
    assert len(kinds([created, text, created, text])) == 4
    words = [{"type": "conversation.item.input_audio_transcription.delta", "item_id": item} for item in "aba"]
    assert len(kinds(words)) == 2


# --- Realtime --------------------------------------------------------------------------------------------


def test_realtime_spoken_turn_has_the_recorded_order_and_fields() -> None:
    name = "test_audio_in_server_vad_turn"
    driver = Driver(model="gpt-realtime")
    driver.send(**sent(name)[0])
    driver.speak()
    recorded = received(name)
    ours = without_transcription(driver.events)
    assert order(ours) == order(without_transcription(recorded))
    assert linked(ours) == linked(without_transcription(recorded))
    transcription = [event["type"] for event in recorded if ".input_audio_transcription." in event["type"]]
    assert [each for each in types(driver.events) if ".input_audio_transcription." in each] == transcription
    for kind in {event["type"] for event in recorded}:
        theirs = next(event for event in recorded if event["type"] == kind)
        mine = next(event for event in driver.events if event["type"] == kind)
        assert shape(mine) == shape(theirs), kind


@pytest.mark.parametrize("name", ["test_text_in_audio_out_turn", "test_tool_call_round"])
def test_realtime_typed_turn_has_the_recorded_order_and_fields(name: str) -> None:
    assert {"conversation.item.create", "response.create"} <= set(types(sent(name)))  # the client's own messages
    brain = ScriptedBrain([(r"weather in (\w+)", Call("get_weather", {"city": r"\1"}))])
    driver = Driver(model="gpt-realtime", brain=brain)
    call_id = None
    for message in sent(name):
        item = message.get("item") or {}
        if item.get("type") == "function_call_output":
            item["call_id"] = call_id
        driver.send(**message)
        driver.settle()
        call_id = next((event["call_id"] for event in driver.events if "call_id" in event), None)
    recorded = received(name)
    assert order(driver.events) == order(recorded)
    assert linked(driver.events) == linked(recorded)
    for mine, theirs in zip(squeezed(driver.events), squeezed(recorded), strict=True):
        assert shape(mine) == shape(theirs), theirs["type"]
        assert status(mine) == status(theirs), theirs["type"]


def squeezed(events: list[Json]) -> list[Json]:
    return [event for event in events if not event["type"].endswith(".delta")]


def status(event: Json) -> Any:
    part = event.get("item") or event.get("response") or {}
    return part.get("status"), part.get("status_details"), part.get("object"), part.get("type")


def test_realtime_part_is_empty_at_its_end_though_the_item_has_the_text() -> None:
    events = Driver(model="gpt-realtime").say("Hi", modalities=["text"])
    assert only(events, "response.content_part.done")["part"] == {"type": "text", "text": ""}
    assert only(events, "response.text.done")["text"] == "I heard: Hi"
    item = only(events, "response.output_item.done")["item"]
    assert item["content"] == [{"type": "text", "text": "I heard: Hi"}]


def test_realtime_answer_cut_off_by_speech_has_the_recorded_order() -> None:
    recorded = scenario("realtime_azure_voice_response_cancelled_by_bargein")
    events = realtime_barge_in()
    ours = events[types(events).index("input_audio_buffer.speech_started") :]
    begin = types(recorded).index("input_audio_buffer.speech_started")
    until = types(ours).index("response.created") + 1
    # The transcript comes when it is ready; in the recording that was after response.created.
    expected = [kind for kind in types(recorded[begin:]) if ".input_audio_transcription." not in kind]
    assert types(without_transcription(ours[:until])) == expected
    done = next(event for event in ours if event["type"] == "response.done")["response"]
    theirs = next(event for event in recorded if event["type"] == "response.done")["response"]
    assert (done["status"], done["status_details"]) == (theirs["status"], theirs["status_details"])
    # All of the text was out, so the item counts as completed though its audio was cut.
    item = next(event for event in ours if event["type"] == "response.output_item.done")["item"]
    assert item["status"] == "completed"
    assert item["content"][0]["transcript"] == "Once upon a time there was a very long story indeed."
    assert done["usage"]["output_tokens"] > 0
    committed = next(event for event in ours if event["type"] == "input_audio_buffer.committed")
    assert committed["previous_item_id"] == item["id"]


# --- Cascade ---------------------------------------------------------------------------------------------


def test_cascade_spoken_turn_has_the_recorded_order() -> None:
    recorded = scenario("cascade_spoken_turn")
    events = cascade_spoken_turn()
    assert order(events) == order(recorded)
    assert linked(events) == linked(recorded)
    for kind in ("response.output_item.added", "response.output_item.done"):
        theirs = next(event for event in recorded if event["type"] == kind)["item"]["status"]
        assert only(events, kind)["item"]["status"] == theirs
    theirs = next(event for event in recorded if event["type"] == "response.done")
    done = only(events, "response.done")["response"]
    assert done["status"] == theirs["status"]
    assert shape(done["usage"]) == shape(theirs["usage"])
    assert only(events, "response.created")["response"]["conversation_id"] == ""


def test_cascade_call_has_the_recorded_order_and_predecessors() -> None:
    """Two turns talked over after their answers had been delivered, then a function call."""
    recorded = scenario("cascade_bargein_and_function_call")
    events = cascade_call()
    # The recording leaves out what an earlier turn had already shown; the whole first and last turns remain.
    last_turn = "input_audio_buffer.speech_started"
    assert order(tail(events, last_turn)) == order(tail(recorded, last_turn))
    users = [link for link in linked(events) if link[0] == "input_audio_buffer.committed"]
    assert [previous for _, _, previous in users] == [None, *[mine for _, mine, _ in users[:-1]]]
    theirs = [event for event in recorded if event["type"] == "input_audio_buffer.committed"]
    assert [event["previous_item_id"] for event in theirs] == [None, *[e["item_id"] for e in theirs[:-1]]]
    assert not [event for event in events if event["type"] == "conversation.item.truncated"]
    statuses = [event["response"]["status"] for event in events if event["type"] == "response.done"]
    assert statuses == ["completed"] * 4
    created = only(events[:1], "session.created")["session"]
    first = recorded[0]
    assert created["model"] == first["model"]
    assert created["expires_at"] - 1_800_000_000 == first["expires_in_s"]
    assert {key: created["turn_detection"][key] for key in first["turn_detection"]} == first["turn_detection"]
    usage = next(event["usage"] for event in recorded if "usage" in event)
    ours = next(event for event in events if event["type"] == "response.done")["response"]["usage"]
    assert shape(ours) == shape(usage)


def tail(events: list[Json], begins: str) -> list[Json]:
    at = len(events) - 1 - types(events)[::-1].index(begins)
    return events[at:]


def test_azure_voice_deltas_have_the_recorded_sizes() -> None:
    recorded = [event["b64"] for event in scenario("cascade_bargein_and_function_call") if "b64" in event]
    text = "A rather long sentence, so that several deltas of audio are needed to say it."
    events = Driver(brain=ScriptedBrain([("", text)])).say("Talk")
    sizes = [len(event["delta"]) for event in events if event["type"] == "response.audio.delta"]
    assert sizes[:-1] == recorded[: len(sizes) - 1]
    assert len(sizes) > 5


def test_service_latency_keeps_the_recorded_distances() -> None:
    recorded = {event["type"]: event["t"] for event in reversed(scenario("cascade_spoken_turn"))}
    driver = Driver(model="gpt-4.1", options=Options(latency="service"))
    driver.update(turn_detection={"type": "server_vad"})
    driver.speak()
    times = {event["type"]: at for at, event in reversed(driver.log)}

    def distance(of: dict[str, float], start: str, end: str) -> float:
        return of[end] - of[start]

    for start, end in (
        ("session.created", "session.updated"),
        ("input_audio_buffer.committed", "response.created"),
        ("response.created", "response.output_item.added"),
    ):
        assert distance(times, start, end) == pytest.approx(distance(recorded, start, end), abs=0.06)


def test_speed_divides_the_service_latency() -> None:
    def duration(speed: float) -> float:
        driver = Driver(options=Options(latency="service", speed=speed))
        driver.say("Hi")
        return driver.now - 100.0

    assert duration(1.0) == pytest.approx(10 * duration(10.0))
    assert duration(1.0) > 0.5


def test_every_turn_of_a_profile_is_the_same() -> None:
    """Nothing of an earlier turn leaks into the order of a later one."""
    for model in ("gpt-4.1", "gpt-realtime"):
        driver = Driver(model=model)
        driver.settle()
        first: list[Event] = driver.speak()
        assert order(driver.speak()) == order(first)
