"""Anything a client sends: to the session, and over a real socket; the server survives it and nothing leaks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voicelive_agent.emulator import EmulatorSession, serve
from voicelive_agent.emulator.faults import FaultScript, named_rows
from voicelive_agent.errors import ConfigurationError

from ..fuzz.emulator_trial import CLIENT_EVENTS, EVENTS, RAW, Choices, trial

pytestmark = pytest.mark.usefixtures("patient_server")

PATH = "/voice-live/realtime?api-version=2026-07-15&model=gpt-4.1&api-key=x"
# What ends or stops a connection by itself is tested one by one; here the connection is to live on.
LASTING = [name for name, row in named_rows().items() if row["client"].get("then") == "goes on"]


@given(st.binary(max_size=120))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_session_comes_to_rest_and_keeps_the_rules(data: bytes) -> None:
    assert trial(data).types[0] == "session.created"


def test_the_frames_that_are_changed_are_all_that_there_are() -> None:
    assert {event["type"] for event in CLIENT_EVENTS} == EVENTS["client"].keys()


def test_choices_never_run_out() -> None:
    choices = Choices(bytes([5, 2, 7, 8]))
    assert [choices.below(3), choices.bytes(), choices.below(9), choices.bytes()] == [2, b"\x07\x08", 0, b""]
    assert not choices


def unknown_field(poll: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, now: [{**event, "nobody": 1} for event in poll(self, now)]


def no_session(poll: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, now: [{key: event[key] for key in ("event_id", "type")} for event in poll(self, now)]


def twice(poll: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, now: [event for event in poll(self, now) for _ in range(2)]


def endless(poll: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, now: [
        {"event_id": f"{self!r}{now}", "type": "warning", "warning": "x" * 5_000_000} for _ in poll(self, now)[:1]
    ]


@pytest.mark.parametrize("wrong", [unknown_field, no_session, twice, endless])
def test_a_session_that_breaks_the_rules_is_found(wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EmulatorSession, "poll", wrong(EmulatorSession.poll))
    with pytest.raises(AssertionError):
        trial(b"")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("deadline", property(lambda self: 0.0), "come to rest"), ("receive", lambda *_: None, "answers nothing")],
)
def test_a_session_that_is_stuck_is_found(
    name: str, value: Any, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EmulatorSession, name, value)
    with pytest.raises(AssertionError, match=words):
        trial(b"")


# --- A real socket ------------------------------------------------------------------------------------------

frames = st.one_of(
    st.sampled_from(RAW),
    st.binary(max_size=40),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.sampled_from(CLIENT_EVENTS),
)


async def talk(client: aiohttp.ClientSession, url: str, sent: list[Any], fault: str | None, end: str) -> None:
    headers = {"x-voicelive-faults": fault} if fault else {}
    async with client.ws_connect(url + PATH, headers=headers, max_msg_size=0) as socket:
        try:
            for frame in sent:
                match frame:
                    case str():
                        await socket.send_str(frame)
                    case bytes():
                        await socket.send_bytes(frame)
                    case _:
                        await socket.send_json(frame)
            if end == "abort":
                assert socket._response.connection is not None
                transport = socket._response.connection.transport
                assert transport is not None
                transport.abort()
            elif end == "read":
                await socket.receive()
        except ConnectionError:
            return  # the emulator may close a connection; then with a reason, which the session's tests look at


@given(
    st.lists(frames, max_size=8), st.none() | st.sampled_from(LASTING), st.sampled_from(["abort", "read", "close"])
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_server_survives_any_client(sent: list[Any], fault: str | None, end: str) -> None:
    async def run() -> None:
        problems: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        before, threads = asyncio.all_tasks(), set(threading.enumerate())
        async with asyncio.timeout(20), aiohttp.ClientSession() as client, serve() as server:
            await talk(client, server.url, sent, fault, end)
            async with client.ws_connect(server.url + PATH) as socket:
                assert (await socket.receive_json())["type"] == "session.created"
                await socket.send_json({"type": "input_audio_buffer.clear"})
                assert (await socket.receive_json())["type"] == "input_audio_buffer.cleared"
        assert asyncio.all_tasks() == before
        assert set(threading.enumerate()) <= threads
        assert problems == []

    asyncio.run(run())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["open", "sent", "close", "*"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["when", "at", "action", "do", "code", "event", "text"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@given(st.lists(st.fixed_dictionaries({"when": json_values, "action": json_values}), max_size=2))
def test_any_script_is_one_or_is_refused_by_name(given: list[Any]) -> None:
    refused = ""
    try:
        script = FaultScript.of(given)
    except ConfigurationError as error:
        refused = str(error)
    assert refused.startswith("faults[") or FaultScript.of(script.to_json()) == script
