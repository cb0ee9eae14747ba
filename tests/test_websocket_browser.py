"""The browser dialect: every message of its two tables, and what a page may not say."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelive_agent import events
from voicelive_agent.audio import AudioFormat
from voicelive_agent.events import EndReason, State, Verdict
from voicelive_agent.websocket import Browser, Hello, browser
from voicelive_agent.websocket._position import Position
from voicelive_agent.websocket.dialect import (
    Action,
    Audio,
    Ignored,
    Interrupt,
    Left,
    Played,
    Refused,
    Rejected,
    Reply,
    RoundTrip,
    Typed,
)

READY = Reply('{"type":"ready","rate":24000,"generation":0}')


def said(dialect: Browser, *messages: Any, now: float = 0.0) -> list[Action]:
    """What the dialect makes of these messages."""
    actions: list[Action] = []
    for message in messages:
        given = message if isinstance(message, str | bytes) else json.dumps(message)
        actions += dialect.receive(given, now)
    return actions


def begun() -> Browser:
    dialect = Browser()
    assert said(dialect, {"type": "hello"}) == [READY]
    return dialect


# --- beginning -----------------------------------------------------------------------------------------------


def test_hello_says_the_rate_of_the_page() -> None:
    dialect = Browser()
    assert dialect.start is None
    (ready,) = said(dialect, {"type": "hello", "rate": 48_000, "ticket": "abc"})
    assert ready == Reply('{"type":"ready","rate":48000,"generation":0}')
    assert dialect.start == Hello(48_000, "abc")
    assert dialect.format == AudioFormat(rate=48_000)


@pytest.mark.parametrize("first", [bytes(4), '{"type":"ping"}', '{"type":"text","text":"hi"}'])
def test_a_page_may_begin_without_hello(first: Any) -> None:
    dialect = Browser(16_000)
    actions = said(dialect, first)
    assert actions[0] == Reply('{"type":"ready","rate":16000,"generation":0}')
    assert len(actions) == 2
    assert dialect.start == Hello(16_000)


def test_hello_comes_first() -> None:
    assert said(begun(), {"type": "hello"}) == [Refused(1008, "hello comes first")]


def test_an_unknown_message_begins_nothing() -> None:
    dialect = Browser()
    assert said(dialect, {"type": "session.update"}, {}) == [Ignored("'session.update'"), Ignored("None")]
    assert dialect.start is None


@pytest.mark.parametrize("rate", [7_999, 48_001, 0])
def test_a_rate_must_be_one_of_a_sound_card(rate: int) -> None:
    with pytest.raises(ValueError, match=f"the rate must be 8,000 to 48,000 Hz, not {rate}"):
        Browser(rate)


# --- what the page says --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "action"),
    [
        (b"\x01\x02", Audio(b"\x01\x02")),
        (b"", Rejected("audio of no samples")),
        ({"type": "played", "samples": 7, "generation": 2}, Played(2, 7)),
        ({"type": "interrupt"}, Interrupt()),
        ({"type": "text", "text": "Grüße €"}, Typed("Grüße €")),
        ({"type": "ping"}, Reply('{"type":"pong"}')),
        ({"type": "ping", "id": 4}, Reply('{"type":"pong","id":4}')),
        ({"type": "bye"}, Left("the page said goodbye")),
        ({"type": "video"}, Ignored("'video'")),
        ({"type": ["hello"]}, Ignored("a list")),
    ],
)
def test_messages_of_the_page(message: Any, action: Action) -> None:
    assert said(begun(), message) == [action]


def test_the_round_trip_is_measured_with_the_latest_ping_once() -> None:
    dialect = begun()
    assert said(dialect, {"type": "pong", "id": 0}) == []
    first = json.loads(dialect.ping(1.0))
    second = json.loads(dialect.ping(2.0))
    assert (first, second) == ({"type": "ping", "id": 1}, {"type": "ping", "id": 2})
    assert said(dialect, {"type": "pong", "id": 1}, now=2.5) == []
    assert said(dialect, {"type": "pong", "id": 2}, now=2.25)[0] == RoundTrip(0.25)
    assert said(dialect, {"type": "pong", "id": 2}, now=3.0) == []


def test_the_round_trip_is_measured_several_times_at_the_beginning() -> None:
    dialect = begun()
    dialect.ping(0.0)
    for number, now, took in ((1, 0.25, 0.25), (2, 0.375, 0.125), (3, 0.5, 0.125)):
        again = Reply(f'{{"type":"ping","id":{number + 1}}}')
        assert said(dialect, {"type": "pong", "id": number}, now=now) == [RoundTrip(took), again]
    assert said(dialect, {"type": "pong", "id": 4}, now=0.625) == [RoundTrip(0.125)]


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        (b"abc", 1007, "3 bytes are no 16-bit samples"),
        ("what?", 1007, "not JSON"),
        ("[]", 1007, "JSON, but no object"),
        ({"type": "hello", "instructions": "x"}, 1008, "hello has no field 'instructions'"),
        ({"type": "text", "text": "a", "session": {}}, 1008, "text has no field 'session'"),
        ({"type": "bye", "tools": []}, 1008, "bye has no field 'tools'"),
        ({"type": "played", "samples": 1}, 1008, "played needs generation"),
        ({"type": "played"}, 1008, "played needs samples and generation"),
        ({"type": "played", "samples": -1, "generation": 0}, 1008, "played: samples cannot be -1"),
        ({"type": "played", "samples": True, "generation": 0}, 1008, "played: samples cannot be True"),
        ({"type": "played", "samples": 1.5, "generation": 0}, 1008, "played: samples cannot be 1.5"),
        ('{"type":"played","samples":1e999,"generation":0}', 1008, "played: samples cannot be inf"),
        ({"type": "played", "samples": 1, "generation": "0"}, 1008, "played: generation cannot be '0'"),
        ({"type": "hello", "rate": 96_000}, 1008, "hello: rate cannot be 96000"),
        ({"type": "hello", "rate": True}, 1008, "hello: rate cannot be True"),
        ({"type": "hello", "ticket": ""}, 1008, "hello: ticket cannot be ''"),
        ({"type": "hello", "ticket": [[[]]]}, 1008, "hello: ticket cannot be a list"),
        ({"type": "text", "text": "a" * 4_001}, 1008, "text: text cannot be 'aaa"),
        ({"type": "text", "text": ""}, 1008, "text: text cannot be ''"),
        ({"type": "text", "text": "a\ud800"}, 1008, "text: text cannot be 'a"),
        ({"type": "text"}, 1008, "text needs text"),
        ({"type": "pong"}, 1008, "pong needs id"),
        ({"type": "ping", "id": None}, 1008, "ping: id cannot be None"),
    ],
)
def test_what_a_page_may_not_say(message: Any, code: int, reason: str) -> None:
    (action,) = [action for action in said(Browser(), message) if action != READY]
    assert isinstance(action, Refused)
    assert action.code == code
    assert action.reason.startswith(reason)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=5,
)


@given(
    st.sampled_from(["hello", "played", "interrupt", "text", "ping", "pong", "bye"]),
    st.dictionaries(st.sampled_from(["rate", "ticket", "samples", "generation", "text", "id", "x"]), json_values),
)
def test_no_message_is_worse_than_refused(kind: str, fields: dict[str, Any]) -> None:
    for action in Browser().receive(json.dumps({"type": kind, **fields}), 0.0):
        match action:
            case Played(generation, samples):
                assert generation >= 0
                assert samples >= 0
            case Typed(text):
                assert text.encode()
            case Refused(code, _):
                assert code in (1007, 1008)
            case _:
                assert isinstance(action, Reply | Interrupt | Left)


# --- what the page is told -----------------------------------------------------------------------------------


def test_audio_is_binary() -> None:
    dialect = begun()
    assert list(dialect.encode(bytes(8), Position(24_000, run_on_s=None), last=True, now=0.0)) == [(bytes(8), 4)]
    assert json.loads(dialect.flush(3)) == {"type": "flush", "generation": 3}


EVENTS: list[tuple[events.Event, dict[str, Any] | None]] = [
    (events.StateChanged(State.READY, State.LISTENING), {"type": "state", "state": "listening"}),
    (
        events.SpeechStarted("i1", 300),
        {"type": "transcript", "who": "user", "item_id": "i1", "text": "", "final": False},
    ),
    (
        events.UserSpeaking("i1", "Are"),
        {"type": "transcript", "who": "user", "item_id": "i1", "text": "Are", "final": False},
    ),
    (
        events.UserSpoke("i1", "Are you?", "en"),
        {"type": "transcript", "who": "user", "item_id": "i1", "text": "Are you?", "final": True},
    ),
    (
        events.AgentSpeaking("i2", "We"),
        {"type": "transcript", "who": "agent", "item_id": "i2", "text": "We", "final": False},
    ),
    (
        events.AgentSpoke("i2", "We are."),
        {"type": "transcript", "who": "agent", "item_id": "i2", "text": "We are.", "final": True},
    ),
    (
        events.Interrupted("i2", 120, 900, "We"),
        {"type": "interrupted", "item_id": "i2", "heard_ms": 120, "heard_text": "We"},
    ),
    (
        events.ToolCalled("c1", "opening_hours", '{"secret": 1}'),
        {"type": "tool", "call_id": "c1", "name": "opening_hours", "status": "called"},
    ),
    (
        events.ToolFinished("c1", "opening_hours", "secret", 12, "timeout"),
        {
            "type": "tool",
            "call_id": "c1",
            "name": "opening_hours",
            "status": "finished",
            "elapsed_ms": 12,
            "error": "timeout",
        },
    ),
    (
        events.TurnEnded("r1", "completed", 900, response_ms=700, endpoint_ms=500),
        {
            "type": "turn",
            "response_id": "r1",
            "status": "completed",
            "heard_ms": 900,
            "response_ms": 700,
            "endpoint_ms": 500,
            "barge_in_ms": None,
        },
    ),
    (
        events.ServiceFailed("rate_limit", "Slow down.", fatal=True),
        {"type": "error", "code": "rate_limit", "message": "Slow down.", "fatal": True},
    ),
    (
        events.SessionEnded(Verdict(EndReason.EXPIRED, "60 minutes")),
        {"type": "end", "reason": "expired", "detail": "60 minutes"},
    ),
    (events.DtmfReceived("1"), None),
]


@pytest.mark.parametrize(("event", "message"), EVENTS)
def test_what_the_page_is_told_of_an_event(event: events.Event, message: dict[str, Any] | None) -> None:
    assert [json.loads(text) for text in Browser().describe(event)] == ([] if message is None else [message])


def test_the_tables_are_complete() -> None:
    """The documentation names every message of the server with exactly its fields, and every one of the page."""
    rows = re.findall(r"^\| ``(\w+)`` \| ([^|]*)\|", browser.__doc__ or "", re.MULTILINE)
    tables = dict(rows)
    from_page = {kind: set(fields.replace("?", "").replace(",", "").split()) for kind, fields in rows[:7]}
    assert from_page == {kind: set(fields) for kind, fields in browser._SCHEMA.items()}
    dialect = begun()
    sent = [message for _, message in EVENTS if message is not None]
    sent += [json.loads(READY.message), json.loads(dialect.flush(1)), json.loads(dialect.ping(0.0))]
    for message in sent:
        fields = tables[message["type"]].replace(",", "").split()
        required = {field for field in fields if not field.endswith("?")}
        assert required <= message.keys() - {"type"} <= {field.rstrip("?") for field in fields}
    assert {message["type"] for message in sent} | {"pong"} == {kind for kind, _ in rows[7:]}
