"""A session of the emulator that is told anything: what a fuzzer's bytes mean, and what has to hold then.

Bytes are read as decisions, so that an input of any length is a session: real client events with something
changed, JSON of all kinds, bytes, in any order and at any time, with work that is done at once, later, or never.
"""

from __future__ import annotations

import base64
import copy
import json
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from voicelive_agent.emulator import Call, EmulatorSession, EnergyEars, Job, Options, ScriptedBrain
from voicelive_agent.emulator.mcp import McpError, McpResult, McpServer, McpTool

EVENTS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "data" / "events.json").read_text(encoding="utf-8")
)
UNTYPED = {"conversation.item.done"}
"""On the wire, but in no version of the SDK."""
MAX_FRAMES = 40
MAX_STEPS = 20_000
"""Of one session: what takes more is stuck."""
MAX_BYTES = 4_000_000
"""Sent in all, and once more for each frame of the client."""

LOUD = base64.b64encode(b"\x00\x40\x00\xc0" * 2400).decode()
QUIET = base64.b64encode(bytes(2 * 12_000)).decode()
TURN = {"type": "azure_semantic_vad", "threshold": 0.5, "silence_duration_ms": 300, "auto_truncate": True}
SESSION = {
    "modalities": ["text", "audio"],
    "instructions": "Be brief.",
    "voice": {"type": "azure-standard", "name": "en-US-AvaNeural", "rate": "1.2"},
    "input_audio_format": "pcm16",
    "input_audio_sampling_rate": 16_000,
    "output_audio_format": "g711_ulaw",
    "turn_detection": TURN,
    "input_audio_transcription": {"model": "azure-speech", "language": "en", "phrase_list": ["x"]},
    "input_audio_echo_cancellation": {
        "type": "server_echo_cancellation",
        "reference_source": "client",
        "channels": 2,
    },
    "output_audio_timestamp_types": ["word"],
    "animation": {"outputs": ["viseme_id", "blendshapes"]},
    "interim_response": {"type": "static_interim_response", "texts": ["Hm."], "triggers": ["latency", "tool"]},
    "tools": [
        {
            "type": "function",
            "name": "f",
            "parameters": {"type": "object", "properties": {"a": {"type": "string"}}},
        },
        {"type": "mcp", "server_label": "m", "server_url": "http://127.0.0.1:1/mcp", "require_approval": "always"},
    ],
    "tool_choice": {"type": "function", "name": "f"},
    "temperature": 0.8,
    "max_response_output_tokens": 40,
}
RESPONSE = {
    "modalities": ["text", "audio"],
    "instructions": "Say it.",
    "metadata": {"k": "v"},
    "conversation": "none",
    "input_items": [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "call"}]},
        {"type": "function_call_output", "call_id": "c", "output": "o"},
    ],
    "append_input_items": [
        {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "x"}]}
    ],
    "max_output_tokens": 5,
    "cancel_previous": True,
    "commit": True,
    "tool_choice": "required",
}
GREETING = {
    "pre_generated_assistant_message": {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": "Welcome."}],
    }
}
ITEMS: tuple[dict[str, Any], ...] = (
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "call me"}]},
    {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": LOUD}]},
    {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}],
    },
    {"type": "message", "role": "assistant", "id": "item_1", "content": [{"type": "text", "text": "Yes."}]},
    {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c", "output": "{}"},
    {"type": "mcp_approval_response", "approval_request_id": "item_1", "approve": True},
)
CLIENT_EVENTS: tuple[dict[str, Any], ...] = (
    *({"type": kind} for kind in EVENTS["client"]),
    {"type": "session.update", "session": SESSION},
    *({"type": "session.update", "session": {name: value}} for name, value in SESSION.items()),
    {"type": "session.update", "session": {"turn_detection": None}},
    {"type": "session.update", "session": {"avatar": {"character": "lisa", "customized": False}}},
    *({"type": "input_audio_buffer.append", "audio": audio} for audio in (LOUD, QUIET, LOUD, QUIET, "AAA=")),
    *({"type": "conversation.item.create", "previous_item_id": "root", "item": item} for item in ITEMS),
    {"type": "conversation.item.retrieve", "item_id": "$item"},
    {"type": "conversation.item.delete", "item_id": "$item"},
    {"type": "conversation.item.truncate", "item_id": "$item", "content_index": 0, "audio_end_ms": 20},
    {"type": "response.create", "response": RESPONSE},
    {"type": "response.create", "response": GREETING},
    *({"type": "response.create", "response": {name: value}} for name, value in RESPONSE.items()),
    {"type": "response.create", "additional_instructions": "more"},
    {"type": "response.cancel", "response_id": "$response"},
    {"type": "session.avatar.connect", "client_sdp": base64.b64encode(b'{"type":"offer","sdp":"v=0"}').decode()},
    {"type": "input_text.delta", "id": "t", "delta": "Hel"},
    {"type": "input_text.done", "id": "t"},
    {"type": "input_audio.turn.start", "turn_id": "u"},
    {"type": "input_audio.turn.append", "turn_id": "u", "audio": LOUD},
    {"type": "input_audio.turn.end", "turn_id": "u"},
)
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**63, 1e308, 0.5, "", "x", "é\u0000\ud800", "item_1", "inf", "pcm16", "auto", [],
    {}, [None], [[]], {"type": "x"}, {"": {}}, "A" * 300, [0] * 50,
)  # fmt: skip
RAW: tuple[str | bytes, ...] = (
    "", "{", "[]", "null", "NaN", '{"type": NaN}', '{"type": 1}', "[" * 100_000,
    '{"type":"x","type":"response.cancel"}',
    b"\xff\xfe", b"\x00", '{"type": "\\ud800"}', "1" * 5000, '{"event_id": 5, "type": "response.cancel"}',
)  # fmt: skip
WAITS = (0.0, 0.001, 0.02, 0.1, 0.3, 1.0, 5.0, -1.0)


class Choices:
    """Bytes as decisions; when they are used up, every decision is the first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def below(self, count: int) -> int:
        """A number from 0 to ``count`` - 1."""
        byte = self._data[self._at] if self else 0
        self._at += 1
        return byte % count

    def of(self, values: Sequence[Any]) -> Any:
        """One of these."""
        return values[self.below(len(values))]

    def bytes(self) -> bytes:
        """Up to 15 bytes as they are."""
        size = self.below(16)
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken


class Tools:
    """An MCP server without a network."""

    def list_tools(self, server: McpServer) -> Sequence[McpTool]:
        if server.label == "x":
            raise McpError("There is no such server.")
        return [McpTool("look")]

    def call(self, server: McpServer, name: str, arguments: Mapping[str, Any]) -> McpResult:
        return McpResult("seen")


class Trial:
    """One session, and the rules that hold for any client. ``AssertionError`` says which one does not."""

    def __init__(self, choices: Choices) -> None:
        self._choices = choices
        options = Options(
            latency=choices.of(("none", "service")),
            realtime_factor=choices.of((float("inf"), 1.0)),
            second_create=choices.of(("error", "cancel")),
            update=choices.of(("merge", "replace")),
            refuse_truncation=choices.of((None, False)),
            max_session_s=choices.of((None, None, None, 30.0)),
        )
        self._session = EmulatorSession(
            model=choices.of(("gpt-4.1", "gpt-realtime", "azure-realtime", "?")),
            query={"api-version": choices.of(("2026-07-15", "2025-10-01", "x"))},
            ears=EnergyEars(["hello", "", "call"]),
            brain=ScriptedBrain([("call", ["Wait.", Call("f", {"a": "b"}), Call("look", {})]), ("", "One. Two.")]),
            options=options,
            mcp=Tools(),
            seed=1,
        )
        self._now = 100.0
        self._jobs: deque[Job] = deque()
        self._ids: set[str] = set()
        self._names = {"$item": "item_1", "$response": "resp_1"}
        self._frames = 0
        self._bytes = 0
        self.types: list[str] = []
        self._session.start(self._now, unix_time=1_800_000_000.0)

    def run(self) -> None:
        """Whatever the bytes say; then the session must come to rest, and still answer."""
        while self._choices and self._frames < MAX_FRAMES:
            match self._choices.below(16):
                case 0:
                    self._now += self._choices.of(WAITS)
                case 1:
                    self._work(self._choices.below(4))
                case 2:
                    self._say(self._choices.of(RAW))
                case 3:
                    self._say(self._choices.bytes())
                case 4:
                    self._say(json.dumps(self._choices.of(ODD)))
                case 5 | 6:
                    for audio in (QUIET, LOUD, LOUD, QUIET, QUIET, QUIET):
                        self._say(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
                case 7:
                    self._rest()
                case _:
                    self._say(json.dumps(self._event()))
            self._look()
        self._rest()
        if self._session.closing is None:
            self._say('{"type": "input_audio_buffer.clear"}')
            before = len(self.types)
            self._rest()
            assert "input_audio_buffer.cleared" in self.types[before:], "the session answers nothing any more"

    def _event(self) -> Any:
        """A client event with up to three things changed."""
        event = copy.deepcopy(self._choices.of(CLIENT_EVENTS))
        for name, value in event.items():
            if isinstance(value, str) and value in self._names:
                event[name] = self._names[value]
        for _ in range(self._choices.of((0, 0, 0, 0, 0, 1, 2, 3))):
            self._change(event)
        return event

    def _change(self, value: Any) -> None:
        while isinstance(value, dict | list) and value:
            names = list(value) if isinstance(value, dict) else list(range(len(value)))
            name = self._choices.of(names)
            match self._choices.below(4):
                case 0:
                    value[name] = copy.deepcopy(self._choices.of(ODD))
                    return
                case 1:
                    del value[name]
                    return
                case 2 if isinstance(value, dict):
                    value[self._choices.of(("type", "x", "item", "audio", "id"))] = copy.deepcopy(
                        self._choices.of(ODD)
                    )
                    return
                case _:
                    value = value[name]

    def _say(self, data: str | bytes) -> None:
        self._frames += 1
        self._session.receive(data, self._now)

    def _work(self, count: int) -> None:
        for _ in range(min(count, len(self._jobs))):
            job = self._jobs.popleft()
            try:
                result: object = job.run()
            except Exception as error:  # noqa: BLE001  as a server does: the session is told
                result = error
            self._session.finish(job, result, self._now)

    def _look(self) -> None:
        """Everything that can be seen from outside, once."""
        for event in self._session.poll(self._now):
            self._check(event)
        self._jobs.extend(self._session.jobs())
        assert self._bytes <= MAX_BYTES * (self._frames + 1), "there is no end to what it says"

    def _rest(self) -> None:
        for _ in range(MAX_STEPS):
            self._look()
            deadline = self._session.deadline
            if self._jobs:
                self._work(len(self._jobs))
            elif deadline is None or (deadline > self._now + 1000):
                return
            else:
                self._now = max(self._now, deadline)
        raise AssertionError("the session does not come to rest")

    def _check(self, event: Any) -> None:
        self._bytes += len(json.dumps(event, allow_nan=False))
        kind = event["type"]
        self.types.append(kind)
        assert event["event_id"] not in self._ids, "an event_id twice"
        self._ids.add(event["event_id"])
        if kind not in UNTYPED:
            missing = [name for name in EVENTS["server"][kind]["required"] if event.get(name) is None]
            assert not missing, f"{kind} without {missing}"
            unknown = event.keys() - {"type", "event_id", *EVENTS["server"][kind]["types"]}
            assert not unknown - KNOWN_EXTRAS, f"{kind} with {unknown}"
        if isinstance(event.get("item"), dict):
            self._names["$item"] = event["item"]["id"]
        if isinstance(event.get("response"), dict):
            self._names["$response"] = event["response"]["id"]


KNOWN_EXTRAS = {"previous_item_id", "obfuscation", "language", "part", "content_index", "item", "annotation"}
"""Recorded on the wire where the SDK names no such field."""


def trial(data: bytes) -> Trial:
    """Run the session that these bytes describe."""
    tried = Trial(Choices(data))
    tried.run()
    return tried
