"""Recordings: what is in the file, what never is, and what is left after a crash or on a full disk."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import stat
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from azure.ai.voicelive import models

from voicelive_agent.emulator._redact import Redactor
from voicelive_agent.emulator.observers import ConnectionInfo
from voicelive_agent.emulator.recording import (
    Closed,
    OtherFrame,
    Recorder,
    RecordingError,
    load_recording,
)
from voicelive_agent.errors import ConfigurationError

from .driver import Event, audio_of, types
from .recorded import KEY, connected, converse, emulator, only_recording, until

TRACES = Path(__file__).parents[1] / "data" / "traces"
INFO = ConnectionInfo(1, "gpt-4.1", {"model": "gpt-4.1", "api-version": "2026-07-15"}, 1_790_000_000.0)
APPEND = {"type": "input_audio_buffer.append", "audio": base64.b64encode(b"\1\2" * 600).decode()}
HEADER = {
    "voicelive_recording": 1,
    "model": "m",
    "query": {},
    "started": "2026-09-01T10:00:00+00:00",
    "source": "emulator",
    "user_agent": "",
    "audio": True,
    "texts": True,
}


def record(path: Path, *frames: Event | str | bytes, end: tuple[int | None, str] = (1000, ""), **how: Any) -> Path:
    """Record client frames (odd ones of the service are :class:`OtherFrame`), without a server."""
    recorder = Recorder(path, **how)
    recorder.opened(INFO, 50.0)
    for number, frame in enumerate(frames):
        now = 50.0 + number / 10
        if isinstance(frame, OtherFrame) or (isinstance(frame, dict) and "event_id" in frame):
            recorder.sent(INFO, frame, now)
        else:
            recorder.received(INFO, frame if isinstance(frame, str | bytes) else json.dumps(frame), now)
    recorder.closed(INFO, *end, 60.0)
    return path


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def content(folder: Path) -> bytes:
    """Of the only file in a folder."""
    [path] = folder.iterdir()
    return path.read_bytes()


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


# --- What is recorded -----------------------------------------------------------------------------------------


async def test_a_conversation_over_the_sdk_is_recorded_whole(tmp_path: Path) -> None:
    async with emulator(Recorder(tmp_path)) as url:
        events = await converse(url)
    recording = only_recording(tmp_path)
    assert [frame.event for frame in recording.frames if frame.sender == "service"] == events
    assert audio_of([dict(f.event or {}) for f in recording.frames if f.sender == "service"]) == audio_of(events)
    sent = [str((frame.event or {}).get("type")) for frame in recording.frames if frame.sender == "client"]
    assert [name for name in sent if name != "input_audio_buffer.append"] == [
        "session.update",
        "conversation.item.create",
        "response.create",
        "conversation.item.create",
        "response.create",
    ]
    assert recording.model == "gpt-4.1"
    assert recording.source == "emulator"
    assert recording.user_agent.startswith("azsdk-python-ai-voicelive/")
    assert recording.query["api-version"] == "2026-07-15"
    assert recording.started is not None
    assert abs(recording.started.timestamp() - datetime.now(UTC).timestamp()) < 60
    times = [frame.t_ms for frame in recording.frames]
    assert times == sorted(times)
    assert recording.closed is not None
    assert (recording.closed.sender, recording.closed.code) == ("client", 1000)


def test_the_lines_of_a_file(tmp_path: Path) -> None:
    created = {"type": "session.created", "event_id": "event_1"}
    path = record(
        tmp_path / "call.jsonl", created, "{nope", b"\xff\x00", b'{"type": "response.create"}', end=(None, "")
    )
    header, *frames = lines(path)
    assert header == {
        "voicelive_recording": 1,
        "model": "gpt-4.1",
        "query": {"model": "gpt-4.1", "api-version": "2026-07-15"},
        "started": "2026-09-21T14:13:20.000+00:00",
        "source": "emulator",
        "user_agent": "",
        "audio": True,
        "texts": True,
    }
    assert frames == [
        {"t_ms": 0.0, "from": "service", "event": created},
        {"t_ms": 100.0, "from": "client", "text": "{nope"},
        {"t_ms": 200.0, "from": "client", "binary": "/wA="},
        {"t_ms": 300.0, "from": "client", "event": {"type": "response.create"}},
        {"t_ms": 10000.0, "from": "client", "closed": {"code": None, "reason": ""}},
    ]
    recording = load_recording(path)
    assert recording.frames[1].text == "{nope"
    assert recording.frames[2].binary == b"\xff\x00"
    assert [frame.line for frame in recording.frames] == [2, 3, 4, 5]
    assert recording.closed == Closed(10000.0, "client", None, "")


@pytest.mark.parametrize(
    ("frames", "end", "sender"),
    [
        ((), (1000, ""), "client"),
        ((), (1000, "bye"), "client"),
        ((), (1001, ""), "client"),
        ((), (4001, "mine"), "client"),
        ((), (1006, ""), "client"),
        ((), (None, ""), "client"),
        ((), (1001, "session_expired"), "service"),
        ((), (1011, ""), "service"),
        ((OtherFrame("close"),), (1000, ""), "service"),
        ((OtherFrame("lost"),), (None, ""), "service"),
    ],
)
def test_who_ended_it(tmp_path: Path, frames: tuple[Event, ...], end: tuple[int | None, str], sender: str) -> None:
    closed = load_recording(record(tmp_path / "call.jsonl", *frames, end=end)).closed
    assert closed == Closed(10000.0, "client" if sender == "client" else "service", *end)


def test_what_a_service_sends_that_is_no_event(tmp_path: Path) -> None:
    path = record(tmp_path / "call.jsonl", OtherFrame.of("{nope"), OtherFrame.of(b"\0"))
    first, second = load_recording(path).frames
    assert (first.sender, first.text) == ("service", "{nope")
    assert (second.sender, second.binary) == ("service", b"\0")


def test_what_python_takes_for_json_and_others_do_not(tmp_path: Path) -> None:
    [frame] = load_recording(record(tmp_path / "call.jsonl", '{"type": "x", "a": NaN}')).frames
    assert frame.text == '{"type": "x", "a": NaN}'


@pytest.mark.parametrize("text", ["ä 語 🙂", "\ud800 alone", "line\u2028separator\nnewline"])
def test_any_text_comes_back(tmp_path: Path, text: str) -> None:
    event = {"type": "response.create", "response": {"instructions": text}}
    [frame] = load_recording(record(tmp_path / "call.jsonl", event)).frames
    assert frame.event == event


def test_an_event_nested_as_deep_as_json_allows_does_not_stop_the_recording(tmp_path: Path) -> None:
    depth = sys.getrecursionlimit() - 200
    deep = '{"type":"x","a":' * depth + "1" + "}" * depth
    first, second = load_recording(record(tmp_path / "call.jsonl", deep, {"type": "response.create"})).frames
    assert first.text is not None or first.event is not None
    assert second.event == {"type": "response.create"}


# --- Files ----------------------------------------------------------------------------------------------------


async def test_each_connection_has_a_file_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    async with emulator(Recorder(folder)) as url:
        async with connected(url, model="gpt-4.1") as one, connected(url, model="../../etc/passwd") as two:
            await until(one, "session.created")
            await until(two, "session.created")
    names = names_in(folder)
    assert [name.partition("-")[2] for name in names] == ["1-gpt-4_1.jsonl", "2-______etc_passwd.jsonl"]
    assert names_in(tmp_path) == ["new"]


def test_a_given_file_is_the_first_connection_and_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "call.jsonl"
    recorder = Recorder(path)
    second = ConnectionInfo(2, "gpt-realtime", {}, 1_790_000_000.0)
    recorder.opened(INFO, 0.0)
    recorder.opened(second, 0.0)
    recorder.closed(INFO, 1000, "", 1.0)
    recorder.closed(second, 1000, "", 1.0)
    assert load_recording(path).model == "gpt-4.1"
    assert load_recording(tmp_path / "call-2.jsonl").model == "gpt-realtime"
    with pytest.raises(ConfigurationError, match="exists already"):
        Recorder(path)


def test_two_recorders_in_one_folder_are_not_in_each_others_way(tmp_path: Path) -> None:
    for _ in range(3):
        record(tmp_path)
    assert names_in(tmp_path) == [f"20260921T141320-1-gpt-4_1{end}.jsonl" for end in ("-2", "-3", "")]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_a_recording_is_for_its_owner_only(tmp_path: Path) -> None:
    path = record(tmp_path / "call.jsonl")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_folder_that_cannot_be_made_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        Recorder(tmp_path / "file" / "folder")


def test_it_can_be_read_at_any_instant(tmp_path: Path) -> None:
    path = tmp_path / "call.jsonl"
    recorder = Recorder(path)
    recorder.opened(INFO, 0.0)
    for count in range(4):
        assert len(load_recording(path).frames) == count
        assert load_recording(path).closed is None
        recorder.received(INFO, '{"type": "response.create"}', 1.0)
    recorder.closed(INFO, 1000, "", 2.0)


def test_it_can_be_read_wherever_it_breaks_off(tmp_path: Path) -> None:
    whole = record(tmp_path / "call.jsonl", {"type": "response.create"}, {"type": "response.cancel"}).read_bytes()
    header = whole.index(b"\n")
    broken = tmp_path / "broken.jsonl"
    counts = []
    for size in range(header, len(whole) + 1):
        broken.write_bytes(whole[:size])
        counts.append(len(load_recording(broken).frames))
    assert counts == sorted(counts)
    assert set(counts) == {0, 1, 2}


@pytest.mark.linux
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
async def test_a_full_disk_ends_the_recording_and_not_the_session(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_open = os.open

    def full(path: Any, flags: int, mode: int = 0o777) -> int:
        if str(path).startswith(str(tmp_path)):
            return really_open("/dev/full", os.O_WRONLY)
        return really_open(path, flags, mode)

    monkeypatch.setattr(os, "open", full)
    with caplog.at_level(logging.WARNING):
        async with emulator(Recorder(tmp_path)) as url:
            events = await converse(url)
    assert types(events)[-1] == "response.done"
    [message] = caplog.messages
    assert "ends here: [Errno 28] No space left on device" in message


async def test_a_folder_that_disappears_ends_the_recording_and_not_the_session(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder(tmp_path / "folder")
    (tmp_path / "folder").rmdir()
    async with emulator(recorder) as url:
        events = await converse(url)
    assert types(events)[-1] == "response.done"
    [message] = caplog.messages
    assert "The session goes on" in message


# --- What is left out -----------------------------------------------------------------------------------------

MCP_TOKEN = "mcp-token-77aa88bb99cc"
MCP_HEADER = "mcp-header-11dd22ee33ff"
SIGNATURE = "sig-44cc55dd66ee"


async def test_no_secret_is_in_the_file(tmp_path: Path) -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
    async with emulator(Recorder(tmp_path)) as url:
        query = {"api-key": KEY, "Authorization": f"Bearer {token}", "agent-access-token": "agent-token-123456"}
        async with connected(url, query=query) as connection:
            tool = models.MCPServer(
                server_label="docs",
                server_url=f"http://user:{KEY}@127.0.0.1:1/mcp?code={SIGNATURE}",
                authorization=MCP_TOKEN,
                headers={"X-Functions-Key": MCP_HEADER},
            )
            await connection.session.update(session=models.RequestSession(tools=[tool]))
            await until(connection, "session.updated")
            for text in (
                MCP_TOKEN,
                f"Authorization: Bearer {token}",
                f'{{"api_key": "{KEY}"}}',
                f"is {token} good?",
            ):
                await connection.response.create(response=models.ResponseCreateParams(instructions=text))
            await connection.send({"type": "response.create", "response": {"metadata": {"api-key": KEY}}})
            await until(connection, "response.done")
    data = content(tmp_path)
    for secret in (KEY, token, MCP_TOKEN, MCP_HEADER, SIGNATURE, "agent-token-123456"):
        assert secret.encode() not in data
    assert b"X-Functions-Key" in data  # the names of headers help, and tell nothing
    assert b"127.0.0.1:1/mcp?code=***" in data


@pytest.mark.parametrize("broken", [f'{{"authorization": "{MCP_TOKEN}", ', f"api-key: {MCP_TOKEN}"])
@pytest.mark.parametrize("encode", [str, str.encode])
def test_no_secret_of_a_frame_that_is_no_json(tmp_path: Path, broken: str, encode: Any) -> None:
    path = record(tmp_path / "call.jsonl", encode(broken))
    [frame] = load_recording(path).frames
    assert MCP_TOKEN not in f"{frame.text}{frame.binary!r}"
    assert "***" in f"{frame.text}{frame.binary!r}"


def test_no_secret_in_the_reason_of_a_close(tmp_path: Path) -> None:
    path = record(tmp_path / "call.jsonl", end=(1008, f"Bearer {MCP_TOKEN} is not valid"))
    assert load_recording(path).closed == Closed(10000.0, "service", 1008, "Bearer *** is not valid")


def test_what_only_looks_like_a_secret_stays() -> None:
    tool = {"type": "function", "name": "f", "parameters": {"properties": {"authorization": {"type": "string"}}}}
    usage = {"total_tokens": 12, "input_token_details": {"cached_tokens": 0}}
    event = {"type": "x", "tools": [tool], "usage": usage, "text": "My token of thanks. eyJust kidding."}
    assert Redactor().event(event) == event


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://a:b@host:8/p?x=1&y=&z#f", "https://host:8/p?x=***&y=***&z=***"),
        ("https://host/p", "https://host/p"),
        ("https://[bad", "***"),
    ],
)
def test_urls_are_kept_without_what_may_be_secret(url: str, kept: str) -> None:
    event = {"type": "x", "server_url": url, "image_url": "data:image/png;base64,AAAA"}
    assert Redactor().event(event) == event | {"server_url": kept}


def test_whatever_a_delta_is_made_of_is_left_out_with_the_texts() -> None:
    event = {"type": "response.invocation.delta", "delta": {"words": ["four", "five5"], "number": 1}}
    delta = {"words": ["[4 characters]", "[5 characters]"], "number": 1}
    assert Redactor(texts=False).event(event) == event | {"delta": delta}


def test_audio_can_be_left_out(tmp_path: Path) -> None:
    delta = {"type": "response.audio.delta", "event_id": "event_1", "delta": APPEND["audio"]}
    words = {"type": "response.text.delta", "event_id": "event_2", "delta": "Hello"}
    part = {"type": "input_audio", "audio": APPEND["audio"]}
    item = {"type": "conversation.item.create", "item": {"content": [part]}}
    bad = {"type": "input_audio_buffer.append", "audio": "@@"}
    path = record(tmp_path / "call.jsonl", APPEND, delta, words, item, bad, audio=False)
    recording = load_recording(path)
    kept = {"bytes": 1200, "sha256": hashlib.sha256(b"\1\2" * 600).hexdigest()}
    events = [dict(frame.event or {}) for frame in recording.frames]
    assert events[0]["audio"] == kept
    assert events[1]["delta"] == kept
    assert events[2] == words
    assert events[3]["item"]["content"][0]["audio"] == kept
    assert events[4]["audio"] == {"bytes": 2, "sha256": hashlib.sha256(b"@@").hexdigest()}
    assert recording.audio == "left out"
    assert str(APPEND["audio"]).encode() not in path.read_bytes()


async def test_texts_can_be_left_out(tmp_path: Path) -> None:
    async with emulator(Recorder(tmp_path, audio=False, texts=False)) as url:
        events = await converse(url, instructions="Secret persona.", city="Lisbon", output="Thunder.")
    data = content(tmp_path).decode()
    for words in ("persona", "Lisbon", "Thunder", "what time is it", "I heard"):
        assert words not in data
    recording = only_recording(tmp_path)
    assert not recording.texts
    assert [(f.event or {})["type"] for f in recording.frames if f.sender == "service"] == types(events)
    done = [f.event for f in recording.frames if (f.event or {}).get("type") == "response.done"]
    assert done[0] is not None
    assert done[0]["response"]["output"][0]["content"][0]["transcript"] == "[24 characters]"
    assert done[0]["response"]["usage"]["total_tokens"] > 0
    assert "get_weather" in data


# --- Reading --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(TRACES.glob("*.jsonl")), ids=lambda path: path.stem)
def test_the_given_traces_can_be_read(path: Path) -> None:
    recording = load_recording(path)
    assert recording.audio == "cut"
    assert recording.model == "gpt-realtime-global-standard"
    assert "pydantic-ai" in recording.source
    data = [value for value in lines(path) if "data" in value]
    assert [frame.event for frame in recording.frames] == [value["data"] for value in data]
    assert [frame.sender == "client" for frame in recording.frames] == [v["direction"] == "sent" for v in data]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        ("RIFF....WAVE", ":1: this line is not a JSON object"),
        ("[1]\n{}", ":1: this line is not a JSON object"),
        ("{}", "the file is not a recording"),
        ('{"voicelive_recording": 2}', "in format 2, which this version does not know"),
        ('{"voicelive_recording": 1}', ":1: this line is not a header: KeyError"),
        (json.dumps(HEADER | {"started": "noon"}), ":1: this line is not a header"),
        (json.dumps(HEADER) + "\nnonsense\n{}", ":2: this line is not a JSON object"),
        (json.dumps(HEADER) + "\n{}", ":2: this line is not a frame"),
        (json.dumps(HEADER) + '\n{"t_ms":-1,"from":"client","text":""}', "t_ms is -1"),
        (json.dumps(HEADER) + '\n{"t_ms":1,"from":"me","text":""}', "from is 'me'"),
        (json.dumps(HEADER) + '\n{"t_ms":1,"from":"client","text":"","event":{}}', "an event, a text or a binary"),
        (json.dumps(HEADER) + '\n{"t_ms":1,"from":"client","binary":"@"}', ":2: this line is not a frame"),
        (json.dumps(HEADER) + '\n{"t_ms":1,"from":"client","closed":1}', ":2: this line is not a frame"),
        ('{"_source": "x"}\n{"direction": "up", "data": {}}', ":2: this line is not a message of a trace"),
        ('{"_source": "x"}\n{"direction": "sent", "data": 1}', ":2: this line is not a message of a trace"),
    ],
)
def test_what_is_no_recording(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    with pytest.raises(RecordingError) as raised:
        load_recording(path)
    assert str(path) in str(raised.value)
    assert fault in str(raised.value)
