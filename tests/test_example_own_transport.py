"""The example of a transport of one's own, over real sockets: its contract, a conversation, and broken lines."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import sys
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from voicelive_agent import _conformance
from voicelive_agent.emulator import EnergyEars, ScriptedBrain, serve
from voicelive_agent.testing import MemorySink, check_sink, check_source

from .agent_driver import eventually, silence, tone, virtual

ROOT = Path(__file__).parents[1]
PATH = ROOT / "examples" / "own_transport.py"
RATE = 16_000
BLOCK = 640
GREETING = "Good morning! Whom are you visiting?"
RULES = [("visiting", "Third floor, on the left.")]


def example() -> Any:
    spec = importlib.util.spec_from_file_location("own_transport", PATH)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture(scope="module")
def intercom() -> Any:
    return example().Intercom


@asynccontextmanager
async def line(intercom: Any) -> AsyncIterator[tuple[Any, asyncio.StreamReader, asyncio.StreamWriter]]:
    """An intercom that sends, and the two ends of its visitor."""
    rung: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Future()
    server = await asyncio.start_server(lambda *ends: rung.set_result(ends), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    near = await rung
    ours = intercom(*near)
    sending = asyncio.create_task(ours.send_in_time())
    try:
        yield ours, reader, writer
    finally:
        sending.cancel()
        for each in (writer, near[1]):
            each.close()
        server.close()
        await asyncio.gather(sending, return_exceptions=True)
        await server.wait_closed()


async def say(writer: asyncio.StreamWriter, pcm: bytes) -> None:
    """Speak, as a microphone does; never faster, though it may have been late."""
    for at in range(0, len(pcm), BLOCK):
        writer.write(pcm[at : at + BLOCK])
        await asyncio.sleep(0.02)


# --- the transport ---


async def test_the_sink_keeps_its_contract(intercom: Any) -> None:
    async with line(intercom) as (ours, reader, _):
        hearing = asyncio.create_task(reader.read())
        await check_sink(ours, latency_ms=10_000)
        ours._writer.close()
        heard = await hearing
        # What it plays to the end, and a part of what it silences.
        assert 0.7 < len(heard) / 2 / RATE < 1.1


async def test_the_source_keeps_its_contract(intercom: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_conformance, "LATE_MS", 10_000)  # it is this process that may be late
    async with line(intercom) as (ours, _, writer):
        saying = asyncio.create_task(say(writer, silence(60_000, RATE)))
        await check_source(ours, live=True)
        saying.cancel()


async def test_the_end_of_the_line_is_the_end_of_the_source(intercom: Any) -> None:
    async with line(intercom) as (ours, _, writer):
        writer.write(bytes(BLOCK + 7))
        writer.write_eof()
        assert [len(chunk) async for chunk in ours] == [BLOCK, 6]
        assert [chunk async for chunk in ours] == [b""]


async def test_what_nobody_takes_is_not_heard(intercom: Any) -> None:
    async with line(intercom) as (ours, reader, _):
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        ours._writer.write(bytes(20_000_000))  # more than the operating system keeps
        ours.write(tone(300, RATE))
        whole = ours.pending
        await eventually(lambda: ours.pending < whole)  # what the sender has in its hands
        held = ours.pending
        await asyncio.sleep(0.1)
        assert ours.pending == held > 0
        ours.flush()
        assert ours.pending == 0


# --- the guide ---


def blocks() -> list[str]:
    """The code of the guide."""
    page = (ROOT / "docs" / "how-to" / "own-transport.md").read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def test_the_guide_shows_the_example() -> None:
    constants, _, code = blocks()[0].partition("\n\n\n")
    shown = PATH.read_text(encoding="utf-8")
    assert code in shown
    assert constants.partition("RATE")[2] in shown


@virtual
async def test_the_reporting_line_of_the_guide_keeps_its_contract() -> None:
    namespace: dict[str, Any] = {}
    exec("\n".join(blocks()), namespace)
    listener = MemorySink(namespace["ReportingLine"].format, clock=anyio.current_time)
    played = 0  # before this generation

    def clear(generation: int) -> None:
        nonlocal played
        listener.flush()
        played = len(listener.played)
        late.append((generation - 1, 1_000))

    ours = namespace["ReportingLine"](lambda pcm, generation: listener.write(pcm), clear)
    late: list[tuple[int, int]] = []

    async def report() -> None:
        while True:
            await anyio.sleep(0.1)
            ours.played(len(listener.played) - played, ours._generation)
            for generation, samples in late:
                ours.played(samples, generation)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(report)
        await check_sink(ours)
        tasks.cancel_scope.cancel()


# --- the program ---


def environment(endpoint: str) -> dict[str, str]:
    ours = {key: value for key, value in os.environ.items() if "VOICELIVE" not in key and "VOICE_LIVE" not in key}
    return ours | {"PYTHONIOENCODING": "utf-8", "AZURE_VOICELIVE_ENDPOINT": endpoint}


@asynccontextmanager
async def running(endpoint: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """The example as a program, and its port."""
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        str(PATH),
        "0",
        env=environment(endpoint),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert program.stdout is not None
    try:
        yield program, int((await program.stdout.readline()).split()[-1])
    finally:
        program.terminate()
        await program.communicate()


@pytest.mark.e2e
async def test_a_visitor_rings_and_is_told_where_to_go() -> None:
    ears = EnergyEars(["I am visiting Mrs Smith."])
    async with serve(ears=ears, brain=ScriptedBrain(RULES)) as server, running(server.url) as (program, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        listening = asyncio.create_task(say(writer, silence(60_000, RATE)))
        greeted = await reader.readexactly(round((0.06 * len(GREETING) - 0.02) * RATE) * 2)
        listening.cancel()
        hearing = asyncio.create_task(reader.read())
        await say(writer, tone(600, RATE) + silence(100, RATE))
        writer.write_eof()  # the rest is the agent's affair
        heard = array("h", greeted + await hearing)
        writer.close()
        assert program.stdout is not None
        told = [(await program.stdout.readline()).decode().split(maxsplit=1) for _ in range(4)]
    assert [(who, words.strip()) for who, words in told] == [
        ("porter:", GREETING),
        ("visitor:", "I am visiting Mrs Smith."),
        ("porter:", "Third floor, on the left."),
        ("over:", "source_finished"),
    ]
    # All of both sentences at 60 ms a character, and nothing in between.
    spoken_s = 0.06 * sum(len(words.strip()) for who, words in told if who == "porter:")
    assert len(heard) / RATE == pytest.approx(spoken_s, abs=0.1)
    assert max(heard) > 3_000


async def test_a_line_that_breaks_ends_its_call_and_no_other() -> None:
    async with serve() as server, running(server.url) as (program, port):
        _, broken = await asyncio.open_connection("127.0.0.1", port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        broken.transport.abort()
        writer.write_eof()
        greeting = await reader.read()
        writer.close()
        assert program.stderr is not None
        assert (await program.stderr.readline()).startswith(b"failed: ")
    assert len(greeting) / 2 / RATE == pytest.approx(0.06 * len(GREETING), abs=0.1)
