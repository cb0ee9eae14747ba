"""Daemon threads for plain functions: nothing they do may hold up the loop, or the end of the program."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator

import anyio
import anyio.lowlevel
import pytest

from voicelive_agent._tool_threads import ToolThreads

WAIT_S = 20.0  # how long a test waits for what must happen; reached only when it fails


class Gate:
    """A function that hangs until it is let through."""

    def __init__(self, outcome: Callable[[], object] = lambda: None) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.thread: threading.Thread | None = None
        self._outcome = outcome

    def __call__(self) -> object:
        self.thread = threading.current_thread()
        self.entered.set()
        assert self.opened.wait(WAIT_S)
        return self._outcome()

    def open(self) -> None:
        """Let it through, and wait until its thread is over."""
        self.opened.set()
        assert self.thread is not None
        self.thread.join(WAIT_S)
        assert not self.thread.is_alive()


@pytest.fixture
def threads() -> Iterator[ToolThreads]:
    with ToolThreads() as pool:
        yield pool


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(WAIT_S):
        while not condition():  # noqa: ASYNC110 - what it waits for happens in a thread
            await anyio.sleep(0.001)


async def hang(threads: ToolThreads, gate: Gate) -> asyncio.Task[object]:
    """Start a call, and return when its thread is inside the function."""
    task = asyncio.create_task(threads.run(gate))
    await until(gate.entered.is_set)
    return task


async def cancelled(task: asyncio.Task[object]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_result_and_arguments(threads: ToolThreads) -> None:
    def join(*words: str, end: str = "") -> str:
        return " ".join(words) + end

    assert await threads.run(join, "a", "b", end="!") == "a b!"


async def test_it_runs_in_a_daemon_thread(threads: ToolThreads) -> None:
    thread = await threads.run(threading.current_thread)
    assert thread is not threading.current_thread()
    assert thread.daemon


async def test_an_idle_thread_is_used_again(threads: ToolThreads) -> None:
    assert await threads.run(threading.get_ident) == await threads.run(threading.get_ident)


async def test_the_pool_grows_while_threads_are_busy(threads: ToolThreads) -> None:
    both = threading.Barrier(2, timeout=WAIT_S)
    async with anyio.create_task_group() as group:
        group.start_soon(threads.run, both.wait)  # neither returns before the other runs
        group.start_soon(threads.run, both.wait)
    assert both.broken is False


async def test_the_loop_goes_on_meanwhile(threads: ToolThreads) -> None:
    beats = 0
    gate = Gate(lambda: beats)
    task = await hang(threads, gate)
    for _ in range(100):  # the function is inside and waits: each of these is the loop running
        await anyio.lowlevel.checkpoint()
        beats += 1
    gate.opened.set()
    assert await task == 100


async def test_context_variables_are_copied_not_shared(threads: ToolThreads) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    variable.set("ours")

    def change() -> str:
        seen = variable.get()
        variable.set("theirs")
        return seen

    assert await threads.run(change) == "ours"
    assert variable.get() == "ours"
    assert await threads.run(variable.get) == "ours"


@pytest.mark.parametrize("error", [ValueError("bad"), ExceptionGroup("two", [OSError(), ValueError()])])
async def test_an_exception_is_carried_over(threads: ToolThreads, error: Exception) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        await threads.run(fail)
    assert caught.value is error


@pytest.mark.parametrize(
    "error",
    [StopIteration(1), KeyboardInterrupt(), SystemExit(3), GeneratorExit(), asyncio.CancelledError()],
    ids=repr,
)
async def test_what_is_no_ordinary_exception_becomes_one(threads: ToolThreads, error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(RuntimeError, match=type(error).__name__) as caught:
        await threads.run(fail)
    assert caught.value.__cause__ is error
    assert await threads.run(lambda: "the thread lives") == "the thread lives"


async def test_a_cancelled_call_is_abandoned_and_its_name_known(threads: ToolThreads) -> None:
    gate = Gate()

    def slow_search() -> object:
        return gate()

    task = asyncio.create_task(threads.run(slow_search))
    await until(gate.entered.is_set)
    assert threads.abandoned == []  # it runs, but somebody waits for it
    await cancelled(task)
    assert threads.abandoned == ["slow_search"]
    assert await threads.run(lambda: "another thread") == "another thread"
    gate.opened.set()
    await until(lambda: not threads.abandoned)


async def test_an_abandoned_thread_serves_again_once_it_is_free(threads: ToolThreads) -> None:
    gate = Gate()
    await cancelled(await hang(threads, gate))
    gate.opened.set()
    await until(lambda: threads._idle)
    assert await threads.run(threading.current_thread) is gate.thread


async def test_a_function_without_a_name_is_shown(threads: ToolThreads) -> None:
    gate = Gate()
    await cancelled(await hang(threads, gate))
    assert threads.abandoned == [repr(gate)]
    gate.opened.set()


async def test_what_an_abandoned_function_raises_is_logged(
    threads: ToolThreads, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ValueError("too late")

    gate = Gate(fail)
    await cancelled(await hang(threads, gate))
    with caplog.at_level(logging.WARNING, "voicelive_agent"):
        gate.opened.set()
        await until(lambda: not threads.abandoned)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "too late"


async def test_close_ends_idle_threads_and_refuses_more() -> None:
    threads = ToolThreads()
    thread = await threads.run(threading.current_thread)
    threads.close()
    threads.close()
    thread.join(WAIT_S)
    assert not thread.is_alive()
    with pytest.raises(RuntimeError, match="closed"):
        await threads.run(threading.current_thread)


async def test_close_ends_a_busy_thread_when_it_is_done() -> None:
    gate = Gate(lambda: "done")
    with ToolThreads() as threads:
        task = await hang(threads, gate)
    gate.opened.set()
    assert await task == "done"
    assert gate.thread is not None
    gate.thread.join(WAIT_S)
    assert not gate.thread.is_alive()


def test_a_thread_that_outlives_its_loop_ends_quietly() -> None:
    gate = Gate()
    threads = ToolThreads()

    async def abandon() -> None:
        await cancelled(await hang(threads, gate))

    asyncio.run(abandon())
    assert threads.abandoned == [repr(gate)]
    gate.open()
    assert threads.abandoned == []


async def test_an_idle_thread_keeps_nothing_alive(threads: ToolThreads) -> None:
    class Thing:
        pass

    thing = Thing()
    gone = weakref.ref(thing)
    assert await threads.run(lambda it: it is not None, thing)
    del thing
    await until(lambda: gone() is None)


HUNG = """
import asyncio, threading
from voicelive_agent._tool_threads import ToolThreads

def hung():
    threading.Event().wait()

async def main():
    with ToolThreads() as threads:
        try:
            async with asyncio.timeout(0.01):
                await threads.run(hung)
        except TimeoutError:
            print("abandoned", threads.abandoned, flush=True)

asyncio.run(main())
print("over", flush=True)
"""


def test_a_hung_function_does_not_keep_the_program_alive() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HUNG], capture_output=True, text=True, timeout=WAIT_S, check=False
    )
    assert done.stdout.split("\n") == ["abandoned ['hung']", "over", ""]
    assert (done.returncode, done.stderr) == (0, "")
