"""Cancelled, stopped or killed at any moment: a call ends once, silent, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from voicelive_agent import EndReason, Interrupted, State, ToolFinished, Verdict, WavSource, tool
from voicelive_agent._connection import Connection
from voicelive_agent.emulator import Call, serve
from voicelive_agent.testing import run_virtual

from .agent_driver import (
    LONG,
    Line,
    Microphone,
    Recorder,
    check_story,
    emulated,
    eventually,
    leftover_tasks,
    silence,
    sink,
    tone,
    virtual,
)
from .faultserver import CREATED, FaultServer, Peer

PROGRAMS = Path(__file__).parent / "lifecycle_programs"
END_S = 10.0
"""When a program that was told to end hangs. It takes half a second, but its machine may have other work."""
START_S = 30.0
SIGNALS = pytest.mark.skipif(os.name == "nt", reason="Windows has no signals to send to one process")


@asynccontextmanager
async def program(*arguments: str | Path) -> AsyncIterator[Process]:
    """A Python program, which is over at the end."""
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=PIPE, stderr=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line_with(process: Process, word: str) -> str:
    """The next line of its output that has this word."""
    assert process.stdout is not None
    async with asyncio.timeout(START_S):
        while text := (await process.stdout.readline()).decode():
            if word in text:
                return text.strip()
    raise AssertionError(f"the program ended without saying {word!r}")


async def ended(process: Process) -> tuple[int, str, str]:
    """Exit code, output and errors of a program that ends by itself now."""
    out, errors = await asyncio.wait_for(process.communicate(), END_S)
    assert process.returncode is not None
    return process.returncode, out.decode(), errors.decode()


# --- whole programs ------------------------------------------------------------------------------------------


@SIGNALS
async def test_ctrl_c_while_the_agent_speaks(tmp_path: Path) -> None:
    heard = tmp_path / "heard.wav"
    async with serve() as server:
        async with program(PROGRAMS / "speak_until_signalled.py", server.url, heard) as process:
            await line_with(process, "SPEAKING")
            process.send_signal(signal.SIGINT)
            code, out, errors = await ended(process)
        await eventually(lambda: not server.connections)
    assert code in (130, -signal.SIGINT)
    assert out.split() == ["PENDING", "0"]  # what was not heard was dropped
    assert errors.strip().endswith("KeyboardInterrupt")
    assert "never" not in errors  # awaited, retrieved
    assert 0.2 < WavSource(heard).duration_s < 15  # of 30 s of speech


@SIGNALS
async def test_ctrl_c_says_goodbye_to_the_service() -> None:
    codes: list[int | None] = []

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.text(CREATED)
        await peer.read_text()
        await peer.text({"type": "session.updated", "session": {}})
        await peer.text({"type": "response.created", "response": {"id": "r"}})
        await peer.text(
            {"type": "response.audio.delta", "response_id": "r", "item_id": "i", "delta": "AAAA" * 100_000}
        )
        codes.append(await peer.closing())
        await peer.close(1000)

    async with FaultServer(script) as server:
        async with program(PROGRAMS / "speak_until_signalled.py", server.url, os.devnull) as process:
            await line_with(process, "SPEAKING")
            process.send_signal(signal.SIGINT)
            code, _, _ = await ended(process)
        await server.finished()
    assert code in (130, -signal.SIGINT)
    assert codes == [1000]


async def test_a_tool_that_hangs_does_not_keep_the_program_alive() -> None:
    async with program(PROGRAMS / "hanging_tool.py") as process:
        await line_with(process, "stopped")  # run() has returned
        code, _, errors = await ended(process)
    assert code == 0
    assert "Tools still running at the end, now abandoned: hang." in errors


# --- cancelled at every moment -------------------------------------------------------------------------------


class Busy(Recorder):
    """Connects in 100 ms, greets, is interrupted at 0.5 s, calls a tool, says the result, is stopped at 5 s."""

    greeting = LONG

    def __init__(self) -> None:
        self.line = SlowLine(lambda: emulated((".*", Call("look_up", {})), says=["look it up"]))
        super().__init__(self.line)
        self.microphone = Microphone(silence(400), tone(500))
        self.speaker = sink()

    @tool
    async def look_up(self) -> str:
        """Look something up."""
        await anyio.sleep(1)
        return LONG

    async def hold(self) -> Verdict:
        return await self.run(self.microphone, self.speaker)

    async def on_tool_finished(self, event: ToolFinished) -> None:
        await anyio.sleep(0.5)


class SlowLine(Line):
    async def connect(self, settings: Any) -> Connection:
        await anyio.sleep(0.1)
        connection = await super().connect(settings)
        self.last.close_s = 0.1
        return connection


def check_over(agent: Busy) -> None:
    """The call has left nothing behind."""
    assert not leftover_tasks()
    assert agent.state is State.CLOSED
    assert agent.speaker.pending == 0
    assert [connection.closes for connection in agent.line.connections] in ([], [1])
    assert agent.microphone.closed == agent.microphone.begun


async def turns_of_the_loop(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def cancelled_at(moment_s: float, turns: int) -> bool:
    """Cancel the call at this moment, and so many turns of the loop later; whether it had not ended before."""
    agent = Busy()
    call = asyncio.ensure_future(agent.hold())
    asyncio.get_running_loop().call_later(5.0, agent.stop)
    await anyio.sleep(moment_s)
    await turns_of_the_loop(turns)
    cut = call.cancel()
    await asyncio.wait([call])
    assert call.cancelled() is cut
    check_over(agent)
    return cut


def test_the_story_that_is_cut_off() -> None:
    """What the sweeps below cut at every moment is a call in which everything happens."""

    async def whole() -> None:
        agent = Busy()
        asyncio.get_running_loop().call_later(5.0, agent.stop)
        assert await agent.hold() == Verdict(EndReason.STOPPED)
        check_over(agent)
        check_story(agent.seen)
        assert agent.states[:4] == ["processing", "speaking", "listening", "processing"]
        assert agent.states[-2:] == ["speaking", "closed"]
        assert len(agent.all(Interrupted)) == 2
        assert agent.all(ToolFinished)
        assert anyio.current_time() == pytest.approx(5.1)

    run_virtual(whole)


def test_cancelled_at_any_time_it_leaves_nothing_behind() -> None:
    async def sweep() -> None:
        cut = [await cancelled_at(at_ms / 1000, 0) for at_ms in range(0, 5200, 97)]
        assert cut.count(True) > 50
        assert cut[-1] is False
        gc.collect()

    run_virtual(sweep)


@pytest.mark.parametrize("moment_s", [0, 0.1, 0.52, 1.42, 2.42, 5.0, 5.1], ids=str)
def test_cancelled_at_any_turn_of_the_loop_it_leaves_nothing_behind(moment_s: float) -> None:
    """Start, connection, barge-in, tool, answer, stop and close, one turn of the event loop after the other."""

    async def sweep() -> None:
        for turns in range(0, 40, 1 + int(moment_s)):
            await cancelled_at(moment_s, turns)
        gc.collect()

    run_virtual(sweep)


@pytest.mark.parametrize("moment_s", [0.05, 1.0])
@pytest.mark.parametrize("turns", range(0, 30, 3))
@virtual
async def test_stopped_and_cancelled_it_ends_once(turns: int, moment_s: float) -> None:
    agent = Busy()
    call = asyncio.ensure_future(agent.hold())
    await anyio.sleep(moment_s)
    agent.stop()
    await turns_of_the_loop(turns)
    cut = call.cancel()
    call.cancel()
    await asyncio.wait([call])
    assert call.cancelled() is cut
    assert cut or moment_s < 0.1  # there is nothing to close yet: it may be over already
    check_over(agent)


@virtual
async def test_cancelled_while_closing_it_closes_to_the_end() -> None:
    agent = Busy()
    call = asyncio.ensure_future(agent.hold())
    await anyio.sleep(1)
    agent.stop()
    for _ in range(3):
        await anyio.sleep(0.03)
        call.cancel()
    await asyncio.wait([call])
    assert call.cancelled()
    assert anyio.current_time() == pytest.approx(1.1)  # the close took its 100 ms
    check_over(agent)


@pytest.mark.parametrize("limit_s", [0.05, 0.11, 0.5, 1.5, 4.0])
@virtual
async def test_time_limits_around_a_call_are_kept(limit_s: float) -> None:
    async def anyios(agent: Busy) -> None:
        with anyio.fail_after(limit_s):
            await agent.hold()

    async def asyncios(agent: Busy) -> None:
        async with asyncio.timeout(limit_s):
            await agent.hold()

    for limited in (anyios, asyncios):
        agent, began = Busy(), anyio.current_time()
        with pytest.raises(TimeoutError):
            await limited(agent)
        assert anyio.current_time() - began == pytest.approx(limit_s + 0.1 * bool(agent.line.connections))
        check_over(agent)


@virtual
async def test_a_failing_neighbour_cancels_the_call_and_is_what_is_raised() -> None:
    agent = Busy()

    async def fail() -> None:
        await anyio.sleep(1)
        raise LookupError("the neighbour")

    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(agent.hold)
            tasks.start_soon(fail)
    assert caught.group_contains(LookupError, depth=1)
    assert len(caught.value.exceptions) == 1
    check_over(agent)


@virtual
async def test_a_hook_may_cancel_its_own_call() -> None:
    class Suicidal(Busy):
        def on_interrupted(self, event: Interrupted) -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()

    agent = Suicidal()
    call = asyncio.ensure_future(agent.hold())
    await asyncio.wait([call])
    assert call.cancelled()
    check_over(agent)
