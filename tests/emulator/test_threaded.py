"""A server in a thread of its own: it comes, it goes, and Ctrl-C ends it whenever it comes."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest

from voicelive_agent.emulator.threaded import in_thread

SIGNALS = pytest.mark.skipif(os.name == "nt", reason="Windows has no signals to send to one thread")


def press_ctrl_c() -> None:
    """The main thread gets SIGINT, wherever it is."""
    ident = threading.main_thread().ident
    assert ident is not None
    signal.pthread_kill(ident, signal.SIGINT)


class Served:
    """Somebody who is served, and what happened to him."""

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.threads: set[threading.Thread] = set()

    @asynccontextmanager
    async def serving(self, *, interrupt: bool = False, fail: str = "") -> AsyncIterator[str]:
        self._note("begins")
        if interrupt:
            press_ctrl_c()
        await anyio.lowlevel.checkpoint()
        if fail == "entering":
            raise OSError("The port is taken.")
        try:
            yield "served"
        finally:
            self._note("ends")
            if fail == "leaving":
                raise OSError("It does not go.")

    def _note(self, what: str) -> None:
        self.happened.append(what)
        self.threads.add(threading.current_thread())


def test_it_runs_beside_the_block() -> None:
    served = Served()
    with in_thread(served.serving()) as what:
        assert what == "served"
        assert served.happened == ["begins"]
        (thread,) = served.threads
        assert thread is not threading.current_thread()
        assert thread.is_alive()
    assert served.happened == ["begins", "ends"]
    assert not thread.is_alive()


def test_it_ends_with_the_block_s_exception_as_it_is() -> None:
    served = Served()
    with pytest.raises(ZeroDivisionError), in_thread(served.serving()):
        raise ZeroDivisionError
    assert served.happened == ["begins", "ends"]


def test_what_keeps_it_from_beginning_is_raised() -> None:
    with pytest.raises(OSError, match="The port is taken"), in_thread(Served().serving(fail="entering")):
        pytest.fail("it is not there")


def test_what_keeps_it_from_ending_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda failure: told.append(failure.exc_value))
    with in_thread(Served().serving(fail="leaving")):
        pass
    assert [str(failure) for failure in told] == ["It does not go."]


@SIGNALS
@pytest.mark.parametrize("before_there_is_a_loop", [True, False])
def test_ctrl_c_while_it_starts_ends_it(before_there_is_a_loop: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    new_event_loop = asyncio.new_event_loop

    def interrupted() -> asyncio.AbstractEventLoop:
        press_ctrl_c()
        return new_event_loop()

    if before_there_is_a_loop:
        monkeypatch.setattr(asyncio.events, "new_event_loop", interrupted)
    served = Served()
    with pytest.raises(KeyboardInterrupt), in_thread(served.serving(interrupt=not before_there_is_a_loop)):
        threading.Event().wait(5)  # wherever the signal comes: it may have been before this
    assert served.happened == ["begins", "ends"]


def test_a_thread_that_cannot_be_started_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    served = Served()
    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="can't start new thread"), in_thread(served.serving()):
        pytest.fail("it is not there")
    assert not served.happened
