"""Replay: the same client gets the same events, another one gets a diff."""

from __future__ import annotations

import asyncio
import base64
import json
import math
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from azure.ai.voicelive import models

from voicelive_agent import Verdict
from voicelive_agent.emulator import EnergyEars, Options, ScriptedBrain, serve
from voicelive_agent.emulator.observers import ConnectionInfo
from voicelive_agent.emulator.recording import OtherFrame, Recorder, Recording, RecordingError, load_recording
from voicelive_agent.emulator.replay import (
    Replaying,
    ReplayMismatch,
    ReplayOptions,
    ReplaySession,
    replaying,
)
from voicelive_agent.errors import ConfigurationError
from voicelive_agent.events import AgentSpoke, UserSpoke

from ..agent_driver import Recorder as Caller
from ..agent_driver import silence as quiet
from ..agent_driver import sink, source, tone
from .driver import Event, audio_of, noise, silence, types
from .recorded import append, connected, converse, emulator, only_recording, say, timeless, until

TRACES = Path(__file__).parents[1] / "data" / "traces"
INFO = ConnectionInfo(1, "gpt-4.1", {}, 1_790_000_000.0)
FAST = ReplayOptions(speed=math.inf)
LENIENT = ReplayOptions(speed=math.inf, policy="lenient")


async def recorded(folder: Path, **how: Any) -> tuple[Recording, list[Event]]:
    async with emulator(Recorder(folder, **how)) as url:
        events = await converse(url)
    return only_recording(folder), events


class Tape:
    """A recording made by hand: what each side sent, and when."""

    def __init__(self, path: Path, **how: Any) -> None:
        self.path = path
        self.recorder = Recorder(path, **how)
        self.recorder.opened(INFO, 0.0)
        self.count = 0

    def client(self, at: float, type: str, **fields: Any) -> Tape:
        self.recorder.received(INFO, json.dumps({"type": type, **fields}), at)
        return self

    def append(self, at: float, pcm: bytes) -> Tape:
        return self.client(at, "input_audio_buffer.append", audio=base64.b64encode(pcm).decode())

    def service(self, at: float, type: str, **fields: Any) -> Tape:
        self.count += 1
        self.recorder.sent(INFO, {"event_id": f"event_{self.count}", "type": type, **fields}, at)
        return self

    def end(self, at: float = 99.0, code: int | None = 1000, reason: str = "", *, lost: bool = False) -> Recording:
        if lost:
            self.recorder.sent(INFO, OtherFrame("lost"), at)
        self.recorder.closed(INFO, code, reason, at)
        return load_recording(self.path)


@pytest.fixture
def tape(tmp_path: Path) -> Tape:
    return Tape(tmp_path / "call.jsonl")


class Client:
    """One replayed session in virtual time."""

    def __init__(self, recording: Recording, options: ReplayOptions = FAST, **start: Any) -> None:
        self.seen: list[ReplayMismatch] = []
        self.session: ReplaySession = replaying(recording, options, on_mismatch=self.seen.append)("", {})
        self.now = 1000.0
        self.session.start(self.now, **start)

    def send(self, type: str, **fields: Any) -> list[str]:
        return types(self.ask({"type": type, **fields}))

    def ask(self, message: Event | str | bytes) -> list[Event]:
        frame = message if isinstance(message, str | bytes) else json.dumps(message)
        self.session.receive(frame, self.now)
        return self.poll()

    def append(self, pcm: bytes) -> list[str]:
        return self.send("input_audio_buffer.append", audio=base64.b64encode(pcm).decode())

    def poll(self) -> list[Event]:
        return self.session.poll(self.now)

    def wait(self) -> tuple[float, list[str]]:
        """The seconds to the next events, and these."""
        deadline = self.session.deadline
        assert deadline is not None
        waited, self.now = deadline - self.now, deadline
        return round(waited, 3), types(self.poll())


# --- The SDK --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [FAST, ReplayOptions(speed=10.0)])
async def test_the_same_client_gets_the_same_events(tmp_path: Path, options: ReplayOptions) -> None:
    recording, events = await recorded(tmp_path)
    replay = replaying(recording, options)
    async with serve(make_session=replay) as server:
        again = await converse(server.url)
    assert timeless(again) == timeless(events)
    assert audio_of(again) == audio_of(events) != b""
    assert replay.mismatches == []
    assert [session.finished for session in replay.sessions] == [True]


async def test_the_pieces_of_the_audio_do_not_matter(tmp_path: Path) -> None:
    recording, events = await recorded(tmp_path)
    replay = replaying(recording, ReplayOptions(speed=math.inf, audio="exact"))
    async with serve(make_session=replay) as server:
        assert timeless(await converse(server.url, piece=1922)) == timeless(events)
    assert replay.mismatches == []


async def test_a_replay_can_be_recorded_and_replayed(tmp_path: Path) -> None:
    recording, events = await recorded(tmp_path / "one")
    async with emulator(Recorder(tmp_path / "two"), make_session=replaying(recording, FAST)) as url:
        await converse(url)
    async with serve(make_session=replaying(only_recording(tmp_path / "two"), FAST)) as server:
        assert timeless(await converse(server.url)) == timeless(events)


async def test_a_recording_without_audio_is_replayed_with_silence(tmp_path: Path) -> None:
    recording, events = await recorded(tmp_path, audio=False)
    async with serve(make_session=replaying(recording, ReplayOptions(speed=math.inf, audio="exact"))) as server:
        again = await converse(server.url)
    assert types(again) == types(events)
    assert audio_of(again) == bytes(len(audio_of(events)))


async def test_a_recording_without_texts_is_compared_by_their_lengths(tmp_path: Path) -> None:
    recording, events = await recorded(tmp_path, texts=False)
    replay = replaying(recording, LENIENT)
    async with serve(make_session=replay) as server:
        again = await converse(server.url, instructions="Be quick.", city="Oslo", output="Foggy")
    assert types(again) == types(events)
    assert [str(mismatch).splitlines()[1] for mismatch in replay.mismatches] == [
        '  item.output: expected "[6 characters]", got "[5 characters]"'
    ]


async def test_a_changed_client_gets_the_diff(tmp_path: Path) -> None:
    recording, _ = await recorded(tmp_path)
    replay = replaying(recording, FAST)
    async with serve(make_session=replay) as server, connected(server.url) as connection:
        turn = models.ServerVad(threshold=0.5, prefix_padding_ms=300, silence_duration_ms=700)
        tool = models.FunctionTool(name="get_weather", parameters={"type": "object", "properties": {}})
        session = models.RequestSession(instructions="Be long.", turn_detection=turn, tools=[tool])
        await connection.session.update(session=session)
        error = (await until(connection, "error"))[-1]["error"]
        with pytest.raises(Exception, match="1008"):
            await connection.recv()
    line = next(frame.line for frame in recording.frames if frame.sender == "client")
    assert error["code"] == "replay_mismatch"
    assert error["message"] == (
        f"{recording.path}:{line}: the client's session.update is not the recorded one:\n"
        '  session.instructions: expected "Be brief.", got "Be long."\n'
        "  session.turn_detection.silence_duration_ms: expected 500, got 700"
    )
    assert [str(mismatch) for mismatch in replay.mismatches] == [error["message"]]


async def test_a_lenient_replay_goes_on_and_tells(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recording, events = await recorded(tmp_path)
    replay = replaying(recording, LENIENT)
    async with serve(make_session=replay) as server:
        again = await converse(server.url, instructions="Be long.", output="Rain.")
    assert timeless(again) == timeless(events)
    paths = [difference.path for mismatch in replay.mismatches for difference in mismatch.differences]
    assert paths == ["session.instructions", "item.output"]
    assert caplog.messages == [str(mismatch) for mismatch in replay.mismatches]


async def test_what_is_ignored_is_not_compared(tmp_path: Path) -> None:
    recording, events = await recorded(tmp_path)
    options = ReplayOptions(speed=math.inf, ignore=("session.instructions", "item.*output", "item.content.0.text"))
    replay = replaying(recording, options)
    async with serve(make_session=replay) as server:
        again = await converse(server.url, instructions="Be long.", output="Rain.", city="Paris")
    assert timeless(again) == timeless(events)
    assert replay.mismatches == []


async def test_ids_that_the_client_makes_up_may_be_others(tmp_path: Path) -> None:
    async def talk(url: str, name: str) -> list[Event]:
        async with connected(url) as connection:
            events = await say(connection, "Hi", id=f"item_{name}")
            await connection.conversation.item.delete(item_id=f"item_{name}", event_id=f"event_{name}1")
            await connection.conversation.item.delete(item_id=f"item_{name}", event_id=f"event_{name}2")
            return events + await until(connection, "error")

    async with emulator(Recorder(tmp_path)) as url:
        events = await talk(url, "one")
    async with serve(make_session=replaying(only_recording(tmp_path), FAST)) as server:
        again = await talk(server.url, "two")
    assert timeless(again) == json.loads(
        json.dumps(timeless(events)).replace('"item_one"', '"item_two"').replace('"event_one2"', '"event_two2"')
    )
    assert again[-1]["error"]["event_id"] == "event_two2"


@pytest.mark.parametrize("path", sorted(TRACES.glob("*.jsonl")), ids=lambda path: path.stem)
async def test_the_given_traces_are_served(path: Path) -> None:
    """To a client that says the same over a socket; the SDK is at the other end of none of them."""
    recording = load_recording(path)
    replay = replaying(recording, FAST)
    expected = [dict(frame.event or {}) for frame in recording.frames if frame.sender == "service"]
    async with serve(make_session=replay) as server, connected(server.url) as connection:
        events: list[Event] = []
        async with asyncio.timeout(20):
            for frame in recording.frames:
                if frame.sender == "client":
                    await connection.send(dict(frame.event or {}))
                else:
                    events.append(json.loads(await connection.recv_bytes()))
    assert timeless(events) == timeless(expected)
    assert replay.mismatches == []
    assert replay.sessions[0].finished


# --- The agent ------------------------------------------------------------------------------------------------


async def call(url: str) -> tuple[Verdict, bytes, list[str]]:
    """A call of the project's own agent: a spoken turn. How it ended, what was heard, and who said what."""
    agent, speaker = Caller(url, "any key", target="gpt-4.1"), sink()
    verdict = await agent.run(source(quiet(300), tone(500), quiet(900), paced=False), speaker)
    spoken = [event.text for event in agent.seen if isinstance(event, AgentSpoke | UserSpoke)]
    return verdict, speaker.played, spoken


async def test_a_call_of_the_agent_is_replayed_to_it(tmp_path: Path) -> None:
    plugs = {"ears": EnergyEars(["hello there"]), "brain": ScriptedBrain([("hello", "Hi.")])}
    async with emulator(Recorder(tmp_path), **plugs) as url:
        before = await call(url)
    replay = replaying(only_recording(tmp_path), ReplayOptions(speed=10.0))
    async with serve(make_session=replay) as server:
        after = await call(server.url)
    assert replay.mismatches == []
    assert before == after
    assert before[2] == ["hello there", "Hi."]
    assert any(before[1])


# --- Time -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("speed", "delays"), [(1.0, [2.0, 0.5, 1.0]), (2.0, [1.0, 0.25, 0.5]), (math.inf, [0, 0, 0])]
)
def test_the_recorded_delays(tape: Tape, speed: float, delays: list[float]) -> None:
    tape.service(0.5, "session.created").client(3.0, "response.create").append(4.0, silence(0.1))
    tape.service(5.0, "response.created").service(5.5, "response.done").client(7.0, "response.create")
    recording = tape.service(8.0, "response.created").end()
    client = Client(recording, ReplayOptions(speed=speed))
    assert client.wait() == (0.5 / speed, ["session.created"])
    assert client.session.deadline is None
    found: list[float] = []
    client.now += 60.0
    client.session.receive('{"type": "response.create"}', client.now)
    while client.session.deadline is not None:
        waited, names = client.wait()
        found += [waited] + [0] * (len(names) - 1)
    client.now += 60.0
    client.session.receive('{"type": "response.create"}', client.now)
    waited, names = client.wait()
    assert names == ["response.created"]
    # The first answer came 1 s after the last thing before it, which was an append.
    assert [*found, waited] == [delays[0] / 2, *delays[1:]]


def test_events_wait_for_the_audio_that_caused_them(tape: Tape) -> None:
    tape.append(1.0, silence(1.0)).append(2.0, silence(1.0)).service(2.1, "input_audio_buffer.speech_started")
    tape.service(2.2, "response.created").append(3.0, silence(1.0)).service(3.1, "response.done")
    recording = tape.append(4.0, silence(2.0)).service(4.1, "error", error={}).end()
    client = Client(recording, ReplayOptions(speed=math.inf, tolerance_ms=100))
    assert client.append(silence(1.8)) == []
    assert client.append(silence(0.1)) == [
        "input_audio_buffer.speech_started",
        "response.created",
        "response.done",
    ]
    assert client.append(silence(3.0)) == ["error"]
    assert client.append(silence(60.0)) == []
    assert client.seen == []
    assert client.session.finished


@pytest.mark.parametrize(
    ("session", "bytes_per_s"),
    [
        ({}, 48_000),
        ({"input_audio_sampling_rate": 16_000}, 32_000),
        ({"input_audio_format": "g711_ulaw"}, 8_000),
    ],
)
def test_tolerance_is_time_in_the_format_of_the_session(tape: Tape, session: Event, bytes_per_s: int) -> None:
    tape.client(0.0, "session.update", session=session).append(1.0, bytes(bytes_per_s))
    recording = tape.client(2.0, "input_audio_buffer.commit").service(3.0, "input_audio_buffer.committed").end()
    for missing_ms, matches in ((90, True), (110, False), (-90, True), (-110, False)):
        client = Client(recording, ReplayOptions(speed=math.inf, tolerance_ms=100))
        client.send("session.update", session=session)
        client.append(bytes(bytes_per_s - bytes_per_s * missing_ms // 1000))
        assert ("input_audio_buffer.committed" in client.send("input_audio_buffer.commit")) is matches
        assert (not client.seen) is matches
        assert matches or '(audio before it): expected "1 s' in str(client.seen[0])


def test_what_is_missing_within_the_tolerance_does_not_add_up(tape: Tape) -> None:
    for turn in range(5):
        tape.append(turn, silence(1.0)).client(turn, "input_audio_buffer.commit")
    client = Client(tape.end(), ReplayOptions(tolerance_ms=100))
    for _ in range(5):
        client.append(silence(0.95))
        client.send("input_audio_buffer.commit")
    assert client.seen == []
    assert client.session.finished


def test_a_trace_counts_appends(tmp_path: Path) -> None:
    kinds = ["input_audio_buffer.append"] * 2 + ["input_audio_buffer.commit"]
    lines = [{"_source": "somewhere"}, *({"direction": "sent", "data": {"type": kind}} for kind in kinds)]
    (tmp_path / "trace.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    client = Client(load_recording(tmp_path / "trace.jsonl"))
    client.append(silence(10.0))
    client.send("input_audio_buffer.commit")
    assert str(client.seen[0].differences[0]) == '(audio before it): expected "2 appends", got "1 appends"'


def test_exact_audio(tape: Tape) -> None:
    pcm = noise(0.5)
    tape.append(1.0, pcm[:3000]).append(2.0, pcm[3000:8000])
    recording = tape.append(3.0, pcm[8000:]).end()
    client = Client(recording, ReplayOptions(audio="exact"))
    for at in range(0, len(pcm), 700):
        client.append(pcm[at : at + 700])
    assert client.seen == []
    client = Client(recording, ReplayOptions(audio="exact"))
    client.append(pcm[:3000])
    assert client.seen == []
    client.append(b"\0\0" + pcm[3002:])
    assert client.seen[0].line == 3
    assert client.seen[0].differences[0].path == "sha256 of the audio"
    assert client.session.closing == (1008, "The client departs from the recording at line 3.")
    client = Client(recording, ReplayOptions(audio="length"))
    client.append(b"\0\0" + pcm[2:])
    assert client.seen == []


@pytest.mark.parametrize(
    ("unix_time", "expires_at"), [(1_790_000_000.0, 1_790_003_600), (1_900_000_000.4, 1_900_003_600)]
)
def test_a_session_expires_as_far_ahead_as_it_did(tape: Tape, unix_time: float, expires_at: int) -> None:
    recording = tape.service(0.0, "session.created", session={"expires_at": 1_790_003_600}).end()
    [created] = Client(recording, unix_time=unix_time).poll()
    assert created["session"]["expires_at"] == expires_at
    [created] = Client(recording, ReplayOptions(shift_expiry=False), unix_time=unix_time).poll()
    assert created["session"]["expires_at"] == 1_790_003_600


def test_a_trace_without_times_expires_in_an_hour() -> None:
    [path, *_] = sorted(TRACES.glob("*.jsonl"))
    [created] = Client(load_recording(path), unix_time=1_900_000_000.0).poll()
    assert created["session"]["expires_at"] == 1_900_003_600


# --- Departures -----------------------------------------------------------------------------------------------


@pytest.fixture
def three(tape: Tape) -> Recording:
    """Three messages, each with its answer; the service's ids are used by the client."""
    tape.service(0.0, "session.created").client(1.0, "session.update", session={"instructions": "A", "tools": []})
    tape.service(1.1, "session.updated").client(2.0, "conversation.item.create", item={"id": "item_a", "n": True})
    tape.service(2.1, "conversation.item.created", item={"id": "item_a"}, previous_item_id="item_s")
    tape.client(3.0, "response.create", response={"metadata": {"k": "v"}, "input_items": [{"id": "item_s"}]})
    return tape.service(3.1, "response.created", response={"id": "resp_s"}).end()


SENT: list[Event] = [
    {"type": "session.update", "session": {"instructions": "A", "tools": []}},
    {"type": "conversation.item.create", "item": {"id": "item_a", "n": True}},
    {"type": "response.create", "response": {"metadata": {"k": "v"}, "input_items": [{"id": "item_s"}]}},
]


def test_the_recorded_messages_match(three: Recording) -> None:
    client = Client(three)
    assert [types(client.ask(message)) for message in SENT] == [
        ["session.created", "session.updated"],
        ["conversation.item.created"],
        ["response.created"],
    ]
    assert client.seen == []
    assert client.session.finished
    assert client.session.closing is None


@pytest.mark.parametrize(
    ("index", "change", "diff"),
    [
        (0, {"session": {"instructions": "B", "tools": []}}, 'session.instructions: expected "A", got "B"'),
        (0, {"session": {"tools": []}}, 'session.instructions: expected "A", got nothing'),
        (0, {"session": {"instructions": None, "tools": []}}, 'session.instructions: expected "A", got null'),
        (
            0,
            {"session": {"instructions": "A", "tools": [{"a": 1}]}},
            'session.tools.0: expected nothing, got {"a": 1}',
        ),
        (
            0,
            {"session": {"instructions": "A", "tools": [], "voice": None}},
            "session.voice: expected nothing, got null",
        ),
        (0, {"session": 7}, 'session: expected {"instructions": "A", "tools": []}, got 7'),
        (1, {"item": {"id": "item_b", "n": 1}}, "item.n: expected true, got 1"),
        (
            2,
            {"response": {"metadata": {"k": "w"}, "input_items": []}},
            'response.metadata.k: expected "v", got "w"',
        ),
        (
            2,
            {"response": {"metadata": {"k": "v"}, "input_items": [{"id": "item_x"}]}},
            'response.input_items.0.id: expected "item_s", got "item_x"',
        ),
    ],
)
def test_where_a_message_differs(three: Recording, index: int, change: Event, diff: str) -> None:
    client = Client(three)
    for message in SENT[:index]:
        client.ask(message)
    events = client.ask({**SENT[index], **change, "event_id": "mine"})
    error = events[-1]["error"]
    assert diff in error["message"].splitlines()[1]
    assert error["event_id"] == "mine"
    assert client.session.closing is not None
    assert client.session.closing[0] == 1008
    assert client.ask(SENT[0]) == []
    assert client.session.deadline is None


def test_a_message_that_is_left_out(three: Recording) -> None:
    client = Client(three)
    client.ask(SENT[0])
    [error] = client.ask(SENT[2])
    assert error["error"]["message"] == (
        f"{three.path}:5: the client did not send the recorded conversation.item.create:\n"
        '  type: expected "conversation.item.create", got "response.create"'
    )


def test_a_message_of_another_type(three: Recording) -> None:
    client = Client(three)
    [_, error] = client.ask({"type": "response.cancel"})
    assert 'type: expected "session.update", got "response.cancel"' in error["error"]["message"]


def test_a_message_after_the_end(three: Recording) -> None:
    client = Client(three)
    for message in SENT:
        client.ask(message)
    [error] = client.ask({"type": "response.cancel"})
    assert error["error"]["message"] == (
        f"{three.path}: the client sent a response.cancel that was not recorded:\n"
        '  type: expected nothing, got "response.cancel"'
    )


@pytest.mark.parametrize("frame", ["{nope", b"\xff", "[]", '{"no": "type"}'])
def test_what_is_no_event_is_a_departure(three: Recording, frame: str | bytes) -> None:
    client = Client(three)
    [_, error] = client.ask(frame)
    assert error["error"]["code"] == "replay_mismatch"


def test_what_was_no_event_then_is_no_departure_now(tape: Tape) -> None:
    tape.recorder.received(INFO, "{nope", 1.0)
    tape.recorder.received(INFO, b"\xff", 2.0)
    recording = tape.service(2.1, "error", error={}).end()
    client = Client(recording)
    assert client.ask("{nope") == []
    assert types(client.ask(b"\xff")) == ["error"]
    assert client.seen == []


def test_lenient_goes_on_after_a_message_that_is_left_out(three: Recording) -> None:
    client = Client(three, LENIENT)
    client.ask(SENT[0])
    assert types(client.ask(SENT[2])) == ["conversation.item.created", "response.created"]
    assert [(seen.fault, seen.line) for seen in client.seen] == [("not sent", 5)]
    assert [expected.line for expected in client.session.not_sent] == [5]


def test_lenient_takes_messages_in_another_order(three: Recording) -> None:
    client = Client(three, LENIENT)
    for message in (SENT[1], SENT[0], SENT[2]):
        client.ask(message)
    assert [(seen.fault, seen.line) for seen in client.seen] == [("not sent", 3)]
    assert client.session.finished


def test_lenient_passes_over_what_was_not_recorded(three: Recording) -> None:
    client = Client(three, LENIENT)
    assert client.send("response.cancel") == ["session.created"]
    for message in SENT:
        client.ask(message)
    assert [(seen.fault, seen.type) for seen in client.seen] == [("unexpected", "response.cancel")]
    assert client.session.finished


def test_lenient_takes_the_message_of_the_same_type(three: Recording) -> None:
    client = Client(three, LENIENT)
    client.ask({"type": "response.create", "response": {}})
    assert [(seen.fault, seen.line) for seen in client.seen] == [("differs", 7)]
    assert [expected.line for expected in client.session.not_sent] == [3, 5]


def test_an_id_of_its_own_may_be_left_to_the_service(three: Recording) -> None:
    client = Client(three)
    client.ask(SENT[0])
    assert client.send("conversation.item.create", item={"n": True}) == ["conversation.item.created"]
    assert client.seen == []


def test_an_item_of_a_list_can_be_ignored(three: Recording) -> None:
    client = Client(three, ReplayOptions(ignore=("response.input_items.*",)))
    for message in SENT[:2]:
        client.ask(message)
    client.send("response.create", response={"metadata": {"k": "v"}, "input_items": [7, 8]})
    assert client.seen == []


def test_an_id_stands_for_one_other_id(tape: Tape) -> None:
    tape.client(1.0, "conversation.item.create", item={"id": "a"}).client(
        2.0, "conversation.item.create", item={"id": "b"}
    )
    recording = tape.client(3.0, "conversation.item.delete", item_id="a").end()
    client = Client(recording)
    client.send("conversation.item.create", item={"id": "x"})
    client.send("conversation.item.create", item={"id": "y"})
    client.send("conversation.item.delete", item_id="y")
    assert 'item_id: expected "a", got "y"' in str(client.seen[0])


# --- The end --------------------------------------------------------------------------------------------------


def test_it_closes_as_the_service_did(tape: Tape) -> None:
    recording = tape.service(0.0, "session.created").end(2.0, 1001, "session_expired")
    client = Client(recording, ReplayOptions(speed=1.0))
    assert client.wait() == (0.0, ["session.created"])
    assert client.session.closing is None
    assert client.wait() == (2.0, [])
    assert client.session.closing == (1001, "session_expired")


def test_it_leaves_the_end_to_a_client_that_ended_it(tape: Tape) -> None:
    recording = tape.service(0.0, "session.created").end(2.0, 1000)
    client = Client(recording)
    client.poll()
    assert client.session.closing is None
    assert client.session.deadline is None


@pytest.mark.parametrize(
    ("code", "lost", "expected"), [(1011, False, 1011), (1000, False, 1000), (None, True, 1006)]
)
async def test_the_end_over_a_socket(tmp_path: Path, code: int | None, lost: bool, expected: int) -> None:
    tape = Tape(tmp_path / "call.jsonl").service(0.0, "session.created")
    if code == 1000:
        tape.recorder.sent(INFO, OtherFrame("close"), 1.0)
    recording = tape.end(1.0, code, "over" if code else "", lost=lost)
    async with serve(make_session=replaying(recording, FAST)) as server, aiohttp.ClientSession() as client:
        path = "/voice-live/realtime?api-version=2026-07-15&model=m"
        async with client.ws_connect(server.url + path, headers={"api-key": "k"}) as socket:
            assert (await socket.receive_json())["type"] == "session.created"
            end = await socket.receive()
            assert socket.close_code == expected
            assert end.extra == ("over" if code else None)


# --- What cannot be served ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"speed": 0}, "speed must be greater than 0, not 0"),
        ({"speed": math.nan}, "speed must be"),
        ({"tolerance_ms": -1}, "tolerance_ms must be at least 0"),
        ({"policy": "kind"}, "policy must be 'strict' or 'lenient', not 'kind'"),
        ({"audio": "loud"}, "audio must be 'length' or 'exact', not 'loud'"),
    ],
)
def test_bad_options(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        ReplayOptions(**settings)


def test_a_trace_has_no_exact_audio() -> None:
    [path, *_] = sorted(TRACES.glob("*.jsonl"))
    with pytest.raises(ConfigurationError, match="only the beginnings of the audio"):
        replaying(load_recording(path), ReplayOptions(audio="exact"))


def test_a_frame_of_the_service_that_is_no_event(tape: Tape) -> None:
    tape.recorder.sent(INFO, OtherFrame.of("{nope"), 1.0)
    with pytest.raises(ConfigurationError, match=r"call\.jsonl:2: what the service sent is no event"):
        replaying(tape.end())


@pytest.mark.parametrize("length", [-1, 10**12])
def test_no_audio_of_any_length_is_made_up(tape: Tape, length: int) -> None:
    recording = tape.service(0.0, "response.audio.delta", delta={"bytes": length, "sha256": ""}).end()
    with pytest.raises(RecordingError, match="is not a length of audio"):
        replaying(recording)


def test_each_connection_is_served_from_the_start(three: Recording) -> None:
    replay: Replaying = replaying(three, FAST)
    for _ in range(2):
        session = replay("", {})
        session.start(5.0)
        assert types(session.poll(5.0)) == ["session.created"]
    assert len(replay.sessions) == 2
    assert session.jobs() == []


def test_an_interrupted_answer_is_replayed(tape: Tape) -> None:
    """What a client does at a moment of its own has its moment in the replay."""
    tape.client(1.0, "response.create").service(1.1, "response.created")
    tape.client(2.0, "response.cancel").service(2.1, "response.done", response={"status": "cancelled"})
    client = Client(tape.end(), FAST)
    assert client.send("response.create") == ["response.created"]
    assert client.send("response.cancel") == ["response.done"]


async def test_a_barge_in_over_the_sdk_is_replayed(tmp_path: Path) -> None:
    async def talk(url: str) -> list[Event]:
        async with connected(url) as connection:
            await connection.response.create()
            events = await until(connection, "response.audio.delta")
            await append(connection, silence(0.3) + noise(0.5))
            return events + await until(connection, "response.done")

    brain = ScriptedBrain([("", "A long story. " * 20)])
    async with emulator(Recorder(tmp_path), brain=brain, options=Options(realtime_factor=1.0)) as url:
        events = await talk(url)
    async with serve(make_session=replaying(only_recording(tmp_path), ReplayOptions(speed=1.0))) as server:
        again = await talk(server.url)
    assert timeless(again) == timeless(events)
    assert again[-1]["response"]["status"] == "cancelled"
