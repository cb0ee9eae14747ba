"""When audio and events come, on the session's own clock: no test here looks at the wall's."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from itertools import pairwise

import anyio
import pytest

from voicelive_agent.config import Settings
from voicelive_agent.emulator import EmulatorSession, Options, ScriptedBrain
from voicelive_agent.emulator._profiles import Delays, delays_of, profile_of
from voicelive_agent.testing import connect, run_virtual

from .driver import Driver, every, noise, silence

ANSWER = "x" * 40
"""Which the scripted voice speaks in 2.4 seconds."""
BRAIN = ScriptedBrain([("", ANSWER)])
DELTA = "response.audio.delta"
SIZES_MS = [200, 300, 500, 500, 500, 400]
"""Of the answer with an Azure voice: those of the recordings, and the rest."""


def asked(options: Options | None = None) -> Driver:
    """An answer in an Azure voice, as a session with these options delivers it."""
    driver = Driver(brain=BRAIN, options=options)
    driver.say("Talk")
    return driver


def times(driver: Driver, kind: str) -> list[float]:
    """When events of a type came, in seconds from the first event."""
    return [at - driver.log[0][0] for at, event in driver.log if event["type"] == kind]


def only_time(driver: Driver, kind: str) -> float:
    (time,) = times(driver, kind)
    return time


def gaps(of: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(of)]


def lengths_ms(driver: Driver, bytes_per_s: int) -> list[float]:
    deltas = (base64.b64decode(event["delta"]) for event in every(driver.events, DELTA))
    return [len(delta) * 1000 / bytes_per_s for delta in deltas]


# --- The sizes of deltas ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "bytes_per_s"),
    [
        ("pcm16", 48_000),
        ("pcm16_8000hz", 16_000),
        ("pcm16_16000hz", 32_000),
        ("g711_ulaw", 8000),
        ("g711_alaw", 8000),
    ],
)
def test_deltas_of_an_azure_voice_last_200_300_then_500_ms(format: str, bytes_per_s: int) -> None:
    driver = Driver(brain=BRAIN)
    driver.update(output_audio_format=format)
    driver.say("Talk")
    found = lengths_ms(driver, bytes_per_s)
    assert found[:-1] == SIZES_MS[:-1]
    assert sum(found) == pytest.approx(2400, abs=1)  # what a resampler rounds


def test_deltas_of_an_openai_voice_last_250_ms() -> None:
    driver = Driver(model="gpt-realtime", brain=BRAIN)
    driver.say("Talk")
    assert lengths_ms(driver, 48_000) == [250] * 9 + [150]


def test_every_answer_begins_with_short_deltas_again() -> None:
    driver = asked()
    driver.say("Talk")
    assert lengths_ms(driver, 48_000) == SIZES_MS * 2


# --- The pace of audio ------------------------------------------------------------------------------------


def test_without_a_pace_an_answer_comes_at_once() -> None:
    driver = asked()
    assert {at for at, _ in driver.log} == {100.0}


@pytest.mark.parametrize("factor", [0.5, 1.0, 4.0])
def test_a_delta_comes_when_those_before_it_have_sounded(factor: float) -> None:
    driver = asked(Options(realtime_factor=factor))
    sounded_s = [sum(SIZES_MS[:before]) / 1000 for before in range(len(SIZES_MS))]
    assert times(driver, DELTA) == pytest.approx([at / factor for at in sounded_s])
    assert only_time(driver, "response.done") == pytest.approx(2.4 / factor)


def test_polling_late_does_not_add_up() -> None:
    """A timer wakes a little late, 15 ms on Windows: over an answer of a minute that would be seconds."""
    driver = Driver(brain=BRAIN, options=Options(realtime_factor=1.0))
    driver.send("conversation.item.create", item={"type": "message", "role": "user", "content": []})
    driver.send("response.create")
    while (deadline := driver.session.deadline) is not None:
        driver.now = max(driver.now, deadline) + 0.015
        driver.take()
    sounded_s = [sum(SIZES_MS[:before]) / 1000 for before in range(len(SIZES_MS))]
    late_s = [at - due for at, due in zip(times(driver, DELTA), sounded_s, strict=True)]
    assert max(late_s) - min(late_s) <= 0.016


def test_the_text_does_not_wait_for_the_audio() -> None:
    driver = asked(Options(realtime_factor=1.0))
    assert set(times(driver, "response.audio_transcript.delta")) == {0.0}


def test_a_written_answer_has_no_pace() -> None:
    driver = Driver(brain=BRAIN, options=Options(realtime_factor=1.0))
    driver.say("Talk", modalities=["text"])
    assert only_time(driver, "response.done") == 0


def test_as_fast_as_possible_nothing_is_left_to_interrupt_and_in_real_time_there_is() -> None:
    statuses = {}
    for factor in (math.inf, 1.0):
        driver = Driver(brain=BRAIN, options=Options(realtime_factor=factor))
        driver.send("conversation.item.create", item={"type": "message", "role": "user", "content": []})
        driver.send("response.create")
        driver.wait(1.0)
        driver.append(silence(0.3) + noise(0.5))
        driver.settle()
        statuses[factor] = [event["response"]["status"] for event in every(driver.events, "response.done")]
    assert statuses == {math.inf: ["completed"], 1.0: ["cancelled"]}


# --- The service's delays ---------------------------------------------------------------------------------


def measured(driver: Driver) -> Mapping[str, float]:
    """The service's delays as the events of a spoken turn show them, by their names in ``Delays``."""
    deltas = times(driver, DELTA)
    last_text = [at for at in times(driver, "response.audio_transcript.delta") if at <= deltas[0]][-1]
    words, committed = (
        only_time(driver, kind)
        for kind in ("conversation.item.input_audio_transcription.completed", "input_audio_buffer.committed")
    )
    created, output = only_time(driver, "response.created"), only_time(driver, "response.output_item.added")
    return {
        "update": only_time(driver, "session.updated") - only_time(driver, "session.created"),
        "transcript": words - committed,
        "output": output - created,
        "audio": deltas[0] - last_text,
        "delta": max(gaps(deltas)),
    }


def spoken_turn(model: str, options: Options | None = None) -> Driver:
    driver = Driver(model=model, brain=BRAIN, options=options)
    transcription = {"model": "whisper-1" if "realtime" in model else "azure-speech"}
    driver.update(input_audio_transcription=transcription)
    driver.speak()
    return driver


@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-realtime"])
@pytest.mark.parametrize("speed", [1.0, 5.0])
def test_the_services_delays_are_those_of_its_profile_divided_by_the_speed(model: str, speed: float) -> None:
    delays = profile_of(model, Options()).delays
    for name, value in measured(spoken_turn(model, Options(latency="service", speed=speed))).items():
        assert value == pytest.approx(getattr(delays, name) / speed), name


@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-realtime"])
def test_without_the_services_delays_there_are_none(model: str) -> None:
    assert delays_of(profile_of(model, Options()), Options()) == Delays()
    assert set(measured(spoken_turn(model)).values()) == {0.0}


def test_speech_events_come_late_but_tell_when_it_was() -> None:
    prompt, late = (spoken_turn("gpt-4.1", options) for options in (Options(), Options(latency="service")))
    for kind in ("input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped"):
        told = [next(every(driver.events, kind)) for driver in (prompt, late)]
        fields = [{name: event.get(name) for name in ("audio_start_ms", "audio_end_ms")} for event in told]
        assert fields[0] == fields[1]
        assert times(late, kind) > times(prompt, kind)


def test_the_services_delays_and_a_pace_go_together() -> None:
    """The pace is instead of the gaps between deltas; what comes before the first is as slow as ever."""
    driver = asked(Options(latency="service", realtime_factor=1.0))
    deltas = times(driver, DELTA)
    assert gaps(deltas) == pytest.approx([each / 1000 for each in SIZES_MS[:-1]])
    delays = profile_of("gpt-4.1", Options()).delays
    assert deltas[0] - only_time(driver, "response.created") == pytest.approx(delays.output + delays.audio)


@pytest.mark.parametrize(("work_s", "expected_s"), [(0.15, 0.2), (0.5, 0.5)])
def test_the_emulators_own_work_counts_towards_the_services_delays(work_s: float, expected_s: float) -> None:
    driver = Driver(options=Options(latency="service"))
    driver.working = False
    driver.append(silence(0.5) + noise(1.0) + silence(0.8))
    while not times(driver, "input_audio_buffer.committed"):
        driver.wait(0.01)
    until = 100 + only_time(driver, "input_audio_buffer.committed") + work_s
    driver.wait(until - driver.now)
    driver.working = True
    driver.settle()
    words = only_time(driver, "conversation.item.input_audio_transcription.completed")
    assert words - only_time(driver, "input_audio_buffer.committed") == pytest.approx(expected_s)


# --- Virtual time over the in-memory connection -----------------------------------------------------------


def delivered(options: Options) -> list[tuple[str, float]]:
    """An answer over the in-memory connection: what came, and when by the loop's clock."""

    async def call() -> list[tuple[str, float]]:
        session = EmulatorSession(brain=BRAIN, options=options)
        connection = await connect(session).connect(Settings(endpoint="http://127.0.0.1"))
        await connection.send('{"type": "response.create"}')
        came: list[tuple[str, float]] = []
        while not came or came[-1][0] != "response.done":
            event = json.loads(await connection.receive())
            came.append((event["type"], anyio.current_time()))
        await connection.close()
        return came

    return run_virtual(call)


@pytest.mark.parametrize(
    "options", [Options(), Options(realtime_factor=2.0), Options(latency="service", realtime_factor=1.0)]
)
def test_in_memory_the_loops_time_is_the_sessions(options: Options) -> None:
    """Which is what lets a paced conversation take no time in a test."""
    driver = Driver(brain=BRAIN, options=options)
    driver.ask("response.create")
    expected = [(event["type"], at - 100.0) for at, event in driver.log]
    came = delivered(options)
    assert [kind for kind, _ in came] == [kind for kind, _ in expected]
    assert [at for _, at in came] == pytest.approx([at for _, at in expected])
