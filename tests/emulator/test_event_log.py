"""The log: one line per event, what matters in it, and nothing that could forge or flood it."""

from __future__ import annotations

import base64
import io
import json
import re
from typing import Any

import aiohttp
import pytest

from voicelive_agent.emulator import serve
from voicelive_agent.emulator.event_log import EventLog, describe, parsed, shortened
from voicelive_agent.emulator.observers import ConnectionInfo

INFO = ConnectionInfo.of(3, {"model": "gpt-4.1", "api-key": "sesame"}, 0.0)
AUDIO = base64.b64encode(bytes(1920)).decode()


@pytest.mark.parametrize(
    ("event", "line"),
    [
        ({"type": "input_audio_buffer.append", "audio": AUDIO}, "1,920 bytes"),
        ({"type": "response.audio.delta", "item_id": "m", "delta": AUDIO}, "1,920 bytes item_id=m"),
        ({"type": "input_audio_buffer.append", "audio": 7}, "audio=7"),
        (
            {"type": "response.audio_transcript.delta", "event_id": "e", "item_id": "m", "delta": "Hel lo"},
            'delta="Hel lo" item_id=m',
        ),
        ({"type": "error", "error": {"code": "c", "message": "No.", "param": None}}, "code=c message=No."),
        (
            {"type": "session.update", "session": {"model": "m", "tools": [{"type": "function"}] * 2}},
            "model=m tools=(2)",
        ),
        (
            {
                "type": "response.done",
                "response": {"id": "r", "status_details": {"type": "cancelled", "reason": "x"}},
            },
            "status_details=cancelled/x id=r",
        ),
        ({"type": "x", "text": "a" * 500}, f"text={'a' * 80}…"),
        ({"type": "x", "text": "two\nlines\x1b[2J"}, r'text="two\nlines\u001b[2J"'),
        ({"type": "x", "odd": {"a": 1}, "more": [1, 2]}, 'odd="{\\"a\\": 1}" more=(2)'),
    ],
)
def test_what_is_told_of_an_event(event: dict[str, Any], line: str) -> None:
    assert describe(event) == line


def test_a_line_for_everything_that_happens() -> None:
    file = io.StringIO()
    log = EventLog(file)
    log.opened(INFO, 0.0)
    log.received(INFO, json.dumps({"type": "response.cancel", "response_id": "r1"}), 0.1)
    log.received(INFO, b"\xff\xfe", 0.2)
    log.received(INFO, '{"type": "evil\\nline"}', 0.2)
    log.sent(INFO, {"type": "input_audio_buffer.cleared"}, 0.3)
    log.closed(INFO, 1000, "", 0.4)
    log.closed(INFO, None, "", 0.4)
    log.closed(INFO, 1001, "going\naway", 0.4)
    lines = file.getvalue().splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d\.\d{3} #3 \S", line) for line in lines)
    assert [line[16:] for line in lines] == [
        "open   model=gpt-4.1 api-key=***",
        "client response.cancel response_id=r1",
        r"""client "(no event)" frame=b'\xff\xfe'""",
        'client "evil\\nline"',
        "server input_audio_buffer.cleared",
        "close  1000",
        "close  without a close frame",
        'close  1001 "going\\naway"',
    ]


@pytest.mark.parametrize("message", ["", "[]", "7", '{"type": 7}', "[" * 100_000, b"\x00"])
def test_what_is_no_event_is_quoted(message: str | bytes) -> None:
    assert parsed(message)["type"] == "(no event)"


def test_shortened_for_the_eye() -> None:
    event = {
        "audio": AUDIO,
        "instructions": "Be brief. " * 100,
        "long": "word " * 2_000,
        "tools": [{"type": "mcp", "authorization": "Bearer x", "headers": {"x": "secret"}, "server_url": "u"}],
        "number": 7,
    }
    seen = shortened(event)
    assert seen["audio"] == f"{AUDIO[:120]}… (2,560 characters)"
    assert seen["instructions"] == event["instructions"]
    assert len(seen["long"]) < 1_100
    assert seen["tools"] == [{"type": "mcp", "authorization": "***", "headers": "***", "server_url": "u"}]
    assert seen["number"] == 7


async def test_it_observes_a_server_until_its_file_breaks() -> None:
    file = io.StringIO()
    path = "/voice-live/realtime?api-version=2026-07-15&model=gpt-4.1&api-key=sesame"
    async with serve(observers=[EventLog(file)]) as server, aiohttp.ClientSession() as http:
        async with http.ws_connect(server.url + path) as socket:
            assert (await socket.receive_json())["type"] == "session.created"
            await socket.send_str('{"type": "input_audio_buffer.clear"}')
            assert (await socket.receive_json())["type"] == "input_audio_buffer.cleared"
            seen = file.getvalue()
            file.close()
            await socket.send_str('{"type": "input_audio_buffer.clear"}')
            assert (await socket.receive_json())["type"] == "input_audio_buffer.cleared"
    words = [line.split()[2:4] for line in seen.splitlines()]
    assert words[1:] == [
        ["server", "session.created"],
        ["client", "input_audio_buffer.clear"],
        ["server", "input_audio_buffer.cleared"],
    ]
    assert "sesame" not in seen
