"""The visitors of the Flask example: what each is told, and how many there may be."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from voicelive_agent.errors import SessionLostError
from voicelive_agent.events import EndReason, Verdict


def load() -> ModuleType:
    path = Path(__file__).parents[2] / "examples" / "lab_flask_app" / "visitors.py"
    spec = importlib.util.spec_from_file_location("visitors", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


visitors = load()
AUDIO = {"type": "audio", "audio": "AAA="}
STOP = {"type": "control", "action": "stop_playback"}
LOG = {"type": "log", "level": "info", "msg": "…"}


class Assistant:
    """Stands for the lab's class: does what a test says."""

    def __init__(self, tell: Callable[[str, str], object], broadcast: Callable[[dict[str, Any]], object]) -> None:
        self.tell, self.broadcast = tell, broadcast
        self.connection: object = None
        self.stopping = False
        self.error: Exception | None = None
        self._end = threading.Event()

    async def start(self) -> None:
        await asyncio.to_thread(self._end.wait)
        if self.error:
            raise self.error
        self.tell("stopped", "Session ended.")

    def request_stop(self) -> None:
        self.stopping = True

    def end(self) -> None:
        self._end.set()


def read(stream: Any) -> list[Any]:
    """All that waits on a stream, which is closed for that."""
    stream.close()
    return [json.loads(each[6:]) for each in stream.sent(0.01) if each.startswith("data: ")]


def started(visitor: Any) -> Assistant:
    made: list[Assistant] = []

    def make(*callbacks: Any) -> Assistant:
        made.append(Assistant(*callbacks))
        return made[0]

    assert visitor.start(make)
    return made[0]


@pytest.fixture
def visitor() -> Any:
    return visitors.Visitor(visitors.Background())


# --- a stream ------------------------------------------------------------------------------------------------


def test_a_stop_overtakes_the_audio_that_was_not_sent_and_nothing_else() -> None:
    stream = visitors.Stream()
    for message in (AUDIO, LOG, AUDIO, STOP, AUDIO):
        stream.put(message)
    assert read(stream) == [LOG, STOP, AUDIO]


def test_a_stream_nobody_reads_ends_and_keeps_nothing() -> None:
    stream = visitors.Stream()
    for _ in range(visitors.MOST_UNREAD + 1):
        assert not stream.closed
        stream.put(AUDIO)
    assert stream.closed
    assert read(stream) == []


def test_a_stream_with_nothing_to_say_says_that() -> None:
    sent = visitors.Stream().sent(0.01)
    assert [next(sent) for _ in range(3)] == ["retry: 250\n\n", ": nothing new\n\n", ": nothing new\n\n"]


# --- a visitor -----------------------------------------------------------------------------------------------


def test_an_earlier_session_does_not_speak_for_the_new_one(visitor: Any) -> None:
    with visitor.stream() as stream:
        first = started(visitor)
        first.tell("error", "Error: the answer failed")
        second = started(visitor)
        assert first.stopping
        first.tell("stopped", "Session ended.")
        first.broadcast(AUDIO)
        second.broadcast(LOG)
        told = [each.get("state") or each["type"] for each in read(stream)]
    assert told == ["idle", "starting", "error", "starting", "log"]
    assert visitor.status["last_error"] is None
    for each in (first, second):
        each.end()
    for done in visitor.running:
        done.result(10)


def test_a_session_that_was_stopped_is_not_ready_again(visitor: Any) -> None:
    assistant = started(visitor)
    assert visitor.stop()
    assistant.tell("ready", "Session ready.")
    assert visitor.status["state"] == "stopped"
    assistant.end()
    for done in visitor.running:
        done.result(10)
    assert visitor.status["message"] == "Session ended."
    assert visitor.assistant is None
    assert not visitor.stop()


@pytest.mark.parametrize(
    ("error", "level"),
    [(SessionLostError(Verdict(EndReason.NETWORK)), "WARNING"), (LookupError("a fault of ours"), "ERROR")],
)
def test_what_ends_a_session_is_in_the_log(
    visitor: Any, error: Exception, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    assistant = started(visitor)
    assistant.error = error
    running = visitor.running
    assistant.end()
    for done in running:
        done.result(10)
    assert [record.levelname for record in caplog.records] == [level]


def test_a_maker_that_raises_leaves_no_session(visitor: Any) -> None:
    def make(*callbacks: object) -> None:
        raise LookupError("no")

    with pytest.raises(LookupError):
        visitor.start(make)
    assert visitor.assistant is None
    assert not visitor.running


def test_sockets_are_bounded(visitor: Any) -> None:
    with ExitStack() as stack:
        for _ in range(visitors.MOST_STREAMS):
            stack.enter_context(visitor.socket())
        assert visitor.here
        with pytest.raises(visitors.Full), visitor.socket():
            pass
    assert not visitor.here


# --- all of them ---------------------------------------------------------------------------------------------


def test_who_was_away_for_longest_is_forgotten_for_a_new_one() -> None:
    everyone = visitors.Visitors(1)
    cookies = [everyone.admit()[0] for _ in range(visitors.VISITORS_PER_SESSION)]
    assert len(set(cookies)) == len(cookies)
    everyone.find(cookies[0])  # was here again
    everyone.admit()
    assert everyone.find(cookies[1]) is None
    assert everyone.find(cookies[0]) is not None
    assert everyone.find(None) is everyone.find("") is everyone.find("guessed") is None


def test_nobody_who_is_here_is_forgotten() -> None:
    everyone = visitors.Visitors(1)
    streams = [everyone.admit()[1].stream() for _ in range(visitors.VISITORS_PER_SESSION)]
    for stream in streams:
        stream.__enter__()
    with pytest.raises(visitors.Full, match="Too many people"):
        everyone.admit()
    streams[0].__exit__(None, None, None)
    everyone.admit()


def test_nobody_begins_while_the_server_ends() -> None:
    everyone = visitors.Visitors(1)
    _, one = everyone.admit()
    assistant = started(one)
    assistant.end()
    everyone.drain(10)
    assert not one.running
    with pytest.raises(visitors.Full, match="restarted"):
        everyone.start(one, Assistant)


def test_a_session_that_does_not_end_is_named(caplog: pytest.LogCaptureFixture) -> None:
    everyone = visitors.Visitors(1)
    _, one = everyone.admit()
    assistant = started(one)
    everyone.drain(0.05)
    assert "did not end in time" in caplog.text
    assistant.end()
