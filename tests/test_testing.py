"""The tools that an agent, a source or a sink is tested with."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest

from voicelive_agent import State, testing
from voicelive_agent._connection import ConnectionEnded
from voicelive_agent.config import Settings
from voicelive_agent.emulator import Options
from voicelive_agent.events import EndReason
from voicelive_agent.testing import (
    MemorySink,
    MemorySource,
    connect,
    run_fast,
    run_virtual,
)

from .agent_driver import Recorder, emulated, silence, source, tone, virtual

# --- memory sources and sinks --------------------------------------------------------------------------------


@virtual
async def test_a_memory_source_gives_each_chunk_after_the_time_it_lasts() -> None:
    start, times = anyio.current_time(), []
    async for _ in MemorySource(silence(20), silence(40), silence(20)):
        times.append(round((anyio.current_time() - start) * 1000))
    assert times == [20, 60, 80]


@virtual
async def test_an_unpaced_memory_source_gives_all_at_once_and_may_be_iterated_again() -> None:
    given = MemorySource(silence(20), silence(40), paced=False)
    for _ in range(2):
        assert [len(chunk) async for chunk in given] == [960, 1920]
    assert anyio.current_time() == 0


def test_everything_is_loaded_on_use() -> None:
    assert set(testing.__all__) <= set(dir(testing))
    assert all(getattr(testing, name) is not None for name in testing.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        testing.nothing  # noqa: B018


@virtual
async def test_a_memory_sink_hears_in_the_time_of_its_clock() -> None:
    listener = MemorySink(clock=anyio.current_time)
    listener.write(tone(100))
    assert (listener.pending, listener.played) == (2400, b"")
    await anyio.sleep(0.04)
    assert listener.pending == 1440
    assert listener.played == tone(40)
    listener.flush()
    assert (listener.pending, listener.flushes, listener.heard_ms) == (0, 1, 40)
    await anyio.sleep(1)
    listener.write(tone(20))
    await anyio.sleep(1)
    assert listener.played == tone(40) + tone(20)


# --- virtual and fast time -----------------------------------------------------------------------------------


def test_virtual_time_jumps_to_the_next_timer() -> None:
    async def half_an_hour() -> float:
        for _ in range(1800):
            await anyio.sleep(1)
        return anyio.current_time()

    assert run_virtual(half_an_hour) == pytest.approx(1800)


def test_virtual_time_stands_still_while_there_is_work() -> None:
    async def work() -> float:
        for _ in range(1000):
            await asyncio.sleep(0)
        return anyio.current_time()

    assert run_virtual(work) == 0


def test_virtual_time_keeps_the_order_of_timers_and_gives_arguments() -> None:
    async def order(*delays: float) -> list[float]:
        woken: list[float] = []

        async def one(delay: float) -> None:
            await anyio.sleep(delay)
            woken.append(delay)

        async with anyio.create_task_group() as tasks:
            for delay in delays:
                tasks.start_soon(one, delay)
        return woken

    assert run_virtual(order, 3.0, 1.0, 2.0) == [1.0, 2.0, 3.0]


def test_virtual_time_raises_what_is_raised() -> None:
    async def fail() -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        run_virtual(fail)


def test_without_a_timer_virtual_time_waits_for_threads() -> None:
    async def wait() -> str:
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(woken.set))
        thread.start()
        await woken.wait()
        thread.join()
        return "woken"

    assert run_virtual(wait) == "woken"


def test_virtual_time_does_not_jump_while_a_thread_of_the_executor_works() -> None:
    async def race() -> str:
        done = threading.Event()
        work = asyncio.ensure_future(asyncio.to_thread(done.wait, 30))
        timer = asyncio.ensure_future(asyncio.sleep(0.05))
        first, _ = await asyncio.wait([work, timer], return_when=asyncio.FIRST_COMPLETED)
        assert first == {timer}
        hour = asyncio.ensure_future(asyncio.sleep(3600))
        done.set()
        first, _ = await asyncio.wait([work, hour], return_when=asyncio.FIRST_COMPLETED)
        assert first == {work}
        await hour
        return "both"

    began = time.monotonic()
    assert run_virtual(race) == "both"
    assert time.monotonic() - began >= 0.05  # a sleep beside a thread is a real one


def test_virtual_time_does_not_jump_while_the_executor_ends() -> None:
    class Slow(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            time.sleep(0.2)
            super().shutdown(wait, cancel_futures=cancel_futures)

    async def leave_it_to_the_end() -> None:
        asyncio.get_running_loop().set_default_executor(Slow(1))
        await asyncio.to_thread(int)

    run_virtual(leave_it_to_the_end)  # from Python 3.12 on it warns after five minutes, which are an error here


def test_virtual_time_does_not_jump_while_a_socket_is_open() -> None:
    async def talk() -> bytes:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        threading.Timer(0.05, theirs.sendall, [b"hello"]).start()
        async with asyncio.timeout(20):
            received = await reader.readexactly(5)
        writer.close()
        await writer.wait_closed()
        theirs.close()
        await asyncio.sleep(3600)
        return received

    assert run_virtual(talk) == b"hello"


def test_an_executor_that_takes_nothing_more_leaves_time_to_jump() -> None:
    async def refused() -> None:
        pool = ThreadPoolExecutor(1)
        pool.shutdown()
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop().run_in_executor(pool, time.time)
        await asyncio.sleep(3600)

    run_virtual(refused)


def test_fast_time_is_that_much_faster() -> None:
    async def nap() -> float:
        began = anyio.current_time()
        await anyio.sleep(20)
        return anyio.current_time() - began

    began = time.monotonic()
    slept = run_fast(1000, nap)
    assert slept >= 20  # in its own seconds
    assert time.monotonic() - began < 10  # in ours: a generous bound


def test_fast_time_lets_threads_work() -> None:
    async def thread() -> int:
        return await asyncio.to_thread(sum, [1, 2])

    assert run_fast(8, thread) == 3


# --- in memory -----------------------------------------------------------------------------------------------


@virtual
async def test_an_agent_and_a_session_are_joined_and_what_was_sent_is_kept() -> None:
    connector = connect(emulated(("ping", "pong")))
    agent = Recorder(connector)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(agent.run, source(silence(100)))
        await agent.reach(State.READY)
        agent.send_text("ping")
        await agent.until(lambda: "pong" in str(agent.seen))
        agent.stop()
    kinds = [message["type"] for message in connector.sent]
    assert kinds == ["session.update", "conversation.item.create", "response.create"]


@virtual
async def test_both_ends_of_a_closed_line_raise_its_verdict() -> None:
    connection = await connect(emulated()).connect(Settings(endpoint="http://127.0.0.1:1"))
    assert connection.unsent == 0
    assert b"session.created" in await connection.receive()
    await connection.close()
    await connection.close()
    for use in (connection.receive, lambda: connection.send("{}")):
        with pytest.raises(ConnectionEnded) as ended:
            await use()
        assert ended.value.verdict.reason is EndReason.STOPPED


@virtual
async def test_the_end_of_the_session_reaches_the_agent() -> None:
    agent = Recorder(connect(emulated(options=Options(max_session_s=5))))
    async with agent.events() as events:
        last = [event async for event in events][-1]
    assert "1001" in str(last)
    assert anyio.current_time() == pytest.approx(5)


@virtual
async def test_a_brain_that_raises_is_the_sessions_affair() -> None:
    class Confused:
        def answer(self, turn: object) -> Any:
            raise ValueError("no idea")

    from voicelive_agent.emulator import EmulatorSession

    agent = Recorder(connect(EmulatorSession(brain=Confused())))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(agent.run)
        await agent.reach(State.READY)
        agent.send_text("hello")
        await agent.reach(State.ERROR)
        agent.stop()
    assert "no idea" in str(agent.seen)


@virtual
async def test_a_session_is_for_one_call() -> None:
    connector = connect(emulated())
    agent = Recorder(connector)
    async with agent.events():
        pass
    with pytest.raises(RuntimeError, match="another one"):
        await agent.run()
