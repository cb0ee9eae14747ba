"""The examples that read a terminal end when their reader or the service wants it: nobody has to press Enter."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream
from tests.test_examples import EXAMPLES, ROOT, environment

from voicelive_agent.emulator import ScriptedBrain, Server, serve

from .standard_error import without_slow_hooks

pytestmark = pytest.mark.e2e

PROGRAMS = [
    (["first_agent.py"], "you:   "),
    (["kiosk_text_and_image.py"], "visitor: "),
    (["mcp_agent.py", "http://127.0.0.1:9/mcp"], "you:   "),  # nothing listens there
]


@asynccontextmanager
async def prompted(server: Server, program: list[str], prompt: str) -> AsyncIterator[Process]:
    """The program, as soon as it waits for somebody to type."""
    name, *arguments = program
    # One of them names the emulator's usual port, which may be taken here.
    code = (EXAMPLES / name).read_text(encoding="utf-8").replace('("emulator")', f'("{server.url}")')
    command = [sys.executable, "-c", code, *arguments]
    environ = environment(AZURE_VOICELIVE_ENDPOINT=server.url)
    async with await anyio.open_process(command, cwd=ROOT, env=environ, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        out = ""
        with anyio.fail_after(50):
            async for text in TextReceiveStream(process.stdout):
                out += text
                if out.endswith(prompt):
                    break
            yield process


async def errors(process: Process) -> str:
    """What it prints to standard error until it ends."""
    assert process.stderr is not None
    told = "".join([text async for text in TextReceiveStream(process.stderr)])
    await process.wait()
    return without_slow_hooks(told).strip()


@pytest.mark.skipif(sys.platform == "win32", reason="a signal cannot be sent to a single program there")
@pytest.mark.parametrize(("program", "prompt"), PROGRAMS)
async def test_ctrl_c_at_the_prompt(program: list[str], prompt: str) -> None:
    async with serve(brain=ScriptedBrain([])) as server, prompted(server, program, prompt) as process:
        process.send_signal(signal.SIGINT)
        assert await errors(process) == ""


@pytest.mark.parametrize(("program", "prompt"), PROGRAMS)
async def test_the_end_of_what_is_typed_hangs_up(program: list[str], prompt: str) -> None:
    async with serve(brain=ScriptedBrain([])) as server, prompted(server, program, prompt) as process:
        assert process.stdin is not None
        await process.stdin.aclose()
        assert await errors(process) == ""
        assert process.returncode == 0


@pytest.mark.parametrize(("program", "prompt"), PROGRAMS)
async def test_a_service_that_goes_is_told_in_one_line_at_once(program: list[str], prompt: str) -> None:
    async with serve(brain=ScriptedBrain([])) as server, prompted(server, program, prompt) as process:
        await server.close()
        told = await errors(process)
    assert process.returncode == 1
    assert "The session ended: the service went away (a time limit, or a restart): " in told
    assert len(told.splitlines()) == 1
