"""The example and the guide about recordings, run."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import anyio.to_thread
import pytest

from voicelive_agent.emulator import serve
from voicelive_agent.files import FileSource

pytestmark = pytest.mark.e2e  # programs, run as people run them: once is enough

ROOT = Path(__file__).parents[1]
RECORDING = ROOT / "tests" / "data" / "audio" / "cards_001.wav"
GUIDE = ROOT / "docs" / "how-to" / "audio-files.md"


def run(*command: str, folder: Path, endpoint: str = "") -> subprocess.CompletedProcess[str]:
    """A Python program in a folder of its own, without what would lead it to Azure."""
    ours = {
        name: value for name, value in os.environ.items() if "VOICELIVE" not in name and "VOICE_LIVE" not in name
    }
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=folder,
        env=ours | {"PYTHONIOENCODING": "utf-8", "AZURE_VOICELIVE_ENDPOINT": endpoint},
        timeout=50,
        check=False,
    )


async def example(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The example, while a scripted emulator is served."""
    program = str(ROOT / "examples" / "files.py")
    async with serve() as server:
        endpoint = server.url
        return await anyio.to_thread.run_sync(lambda: run(program, *arguments, folder=folder, endpoint=endpoint))


@pytest.mark.parametrize("kind", ["WAV", "MP3"])
async def test_any_recording_is_answered(tmp_path: Path, kind: str) -> None:
    question = tmp_path / f"question.{kind.lower()}"
    if kind == "WAV":
        question.write_bytes(RECORDING.read_bytes())
    else:
        soundfile = pytest.importorskip("soundfile")
        soundfile.write(str(question), *soundfile.read(str(RECORDING)), format=kind)
    done = await example(question.name, "answer.wav", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{question.name}: 1.10 s, pcm16 16000 Hz" in done.stdout
    assert "question: Hello." in done.stdout  # what scripted ears make of anything
    assert "answer:" in done.stdout
    assert FileSource(tmp_path / "answer.wav").duration_s > 1.1


async def test_what_is_no_recording_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "letter.wav").write_text("Dear John", encoding="utf-8")
    done = await example("letter.wav", "answer.wav", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("files.py: letter.wav: is not a recording known here")
    assert "Traceback" not in done.stderr


async def test_an_answer_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    done = await example(str(RECORDING), "nowhere/answer.wav", folder=tmp_path)
    assert done.returncode == 1
    assert "files.py: [Errno 2] No such file or directory: 'nowhere/answer.wav'" in done.stderr
    assert "Traceback" not in done.stderr


def test_how_it_is_called(tmp_path: Path) -> None:
    done = run(str(ROOT / "examples" / "files.py"), folder=tmp_path)
    assert (done.returncode, done.stderr) == (1, "usage: python examples/files.py QUESTION ANSWER.wav\n")


def test_the_guide_runs_from_beginning_to_end(tmp_path: Path) -> None:
    parts = GUIDE.read_text(encoding="utf-8").split("```")
    blocks = [part.removeprefix("python\n") for part in parts if part.startswith("python\n")]
    assert len(blocks) == 4
    done = run("-c", "\n".join(blocks), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    said = [line.partition("  # ")[2] for block in blocks for line in block.splitlines() if "  # " in line]
    assert lines[: len(said)] == said
    assert len(said) == 3
    assert lines[-1].startswith("recorded ")


def test_the_guide_is_right_about_what_is_installed() -> None:
    """The extra that it names is the one that brings soundfile."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'audio = ["soundfile' in project
    assert importlib.util.find_spec("voicelive_agent._soundfile")
