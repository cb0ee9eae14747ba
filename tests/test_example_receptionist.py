"""The receptionist, run as its docstring says, in real time with recorded speech."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
import pytest
from anyio.streams.text import TextReceiveStream
from tests.test_examples import RECORDING, ROOT, environment

from voicelive_agent.emulator import serve
from voicelive_agent.emulator.script import Script

pytestmark = pytest.mark.e2e

END = "the end of what is typed"
SCRIPT = ROOT / "examples" / "emulator_script" / "library.py"


async def answered(early: str, answer: str, *command: str, **environ: str) -> str:
    """What the program prints to somebody who types something at once, and an answer when asked."""
    out = ""
    async with await anyio.open_process(
        [sys.executable, *command], cwd=ROOT, env=environment(**environ)
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        await program.stdin.send(early.encode())
        async for text in TextReceiveStream(program.stdout):
            out += text
            if answer and "[y/n/always, in 20 s]" in out:
                await (program.stdin.aclose() if answer == END else program.stdin.send(answer.encode()))
                answer = ""
    assert program.returncode == 0
    return out


@pytest.mark.parametrize(
    ("early", "typed", "told"),
    [
        ("", "y\n", "Emma is at the north desk until December 31."),
        ("y\n", "n\n", "I am sorry, I did not do it."),  # what was typed before the question is no answer
        ("", END, "I am sorry, I did not do it."),
    ],
    ids=["approved", "refused", "nobody there"],
)
async def test_receptionist(tmp_path: Path, early: str, typed: str, told: str) -> None:
    answer = tmp_path / "answer.wav"
    files = (str(RECORDING), str(answer))
    async with serve(brain=Script.load(SCRIPT)) as server:
        out = await answered(early, typed, "examples/receptionist.py", *files, AZURE_VOICELIVE_ENDPOINT=server.url)
    assert out.splitlines() == [
        "you:   Hello.",
        "agent: One moment, I am looking.",
        'May I reserve {"title": "Emma", "until": "2030-12-31"}? [y/n/always, in 20 s]',
        f"agent: {told}",
    ]
    assert answer.stat().st_size > 48_000
