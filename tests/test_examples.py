"""Every example, run as its docstring says, against emulators that need no speech packages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from voicelive_agent.emulator import Call, ScriptedBrain, serve

pytestmark = pytest.mark.e2e  # programs, run as people run them: once is enough

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
RECORDING = ROOT / "tests" / "data" / "audio" / "cards_001.wav"
RULES = [(r"open on (\w+)", Call("opening_hours", {"day": r"\1"}))]


def environment(**more: str) -> dict[str, str]:
    """Ours without what would lead an example to Azure."""
    ours = {
        name: value for name, value in os.environ.items() if "VOICELIVE" not in name and "VOICE_LIVE" not in name
    }
    return ours | {"PYTHONIOENCODING": "utf-8"} | more


def run(*command: str, words: str = "", **environ: str) -> str:
    """What an example prints, given these words to read."""
    done = subprocess.run(
        [sys.executable, *command],
        input=words,
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=ROOT,
        env=environment(**environ),
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def run_served(*command: str, words: str = "") -> str:
    """The same while a scripted emulator is served, whose endpoint is in the environment."""
    async with serve(brain=ScriptedBrain(RULES)) as server:
        endpoint = server.url
        return await anyio.to_thread.run_sync(
            lambda: run(*command, words=words, AZURE_VOICELIVE_ENDPOINT=endpoint)
        )


def test_every_example_is_tested() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    examples = [path.name for path in EXAMPLES.glob("*.py")]
    assert len(examples) >= 5
    assert [name for name in examples if f'"{name}"' not in tests and f'"examples/{name}"' not in tests] == []


async def test_first_agent() -> None:
    # It names the emulator's usual port, which may be taken here.
    program = (EXAMPLES / "first_agent.py").read_text(encoding="utf-8")
    async with serve(brain=ScriptedBrain(RULES)) as server:
        assert program.count('Receptionist("emulator")') == 1
        code = program.replace('Receptionist("emulator")', f'Receptionist("{server.url}")')
        out = await anyio.to_thread.run_sync(lambda: run("-c", code, words="Are you open on Sunday?\n\n"))
    assert [line for line in out.splitlines() if line] == [
        "agent: City library, good morning!",
        "you:   agent: closed",
        "you:   ",
    ]


def test_hello(tmp_path: Path) -> None:
    answer = tmp_path / "answer.wav"
    files = ("--source", str(RECORDING), "--sink", str(answer))
    out = run("-m", "voicelive_agent", "talk", "examples/hello.py", "--emulator", *files)
    assert "Receptionist of examples/hello.py, on the emulator." in out.replace("\\", "/")
    assert "good morning!" in out
    assert "\nyou: " in out  # its own hook
    assert answer.stat().st_size > 48_000


def test_hello_without_an_endpoint_says_what_to_do() -> None:
    done = subprocess.run(
        [sys.executable, "examples/hello.py"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=ROOT,
        env=environment(),
        check=False,
    )
    assert done.returncode == 1
    assert "voicelive-agent emulator" in done.stderr.splitlines()[-1]


def test_wav_conversation(tmp_path: Path) -> None:
    answer = tmp_path / "answer.wav"
    out = run("examples/wav_conversation.py", str(RECORDING), str(answer))
    assert [line.partition(":")[0] for line in out.splitlines() if ":" in line] == [
        "question",
        "answer",
        "recorded",
    ]
    assert "ms from the end of the question" in out
    assert answer.stat().st_size > 48_000


def test_barge_in_policy() -> None:
    lines = run("examples/barge_in_policy.py").splitlines()
    policies = {line[:33].strip(): line[33:].split() for line in lines}
    assert {policy: words[0] for policy, words in policies.items()} == {
        "the service interrupts (default)": "interrupted",
        "nobody interrupts": "completed",
        "the client interrupts": "interrupted",
        "uninterruptible speech": "completed",
    }
    whole = float(policies["nobody interrupts"][1])
    assert float(policies["uninterruptible speech"][1]) == pytest.approx(whole)
    assert 1.5 < float(policies["the client interrupts"][1]) < whole / 2


def test_scripted_test() -> None:
    assert "2 passed" in run("-m", "pytest", "-p", "no:cacheprovider", "examples/scripted_test.py")
