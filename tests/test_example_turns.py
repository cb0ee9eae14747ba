"""The examples about turns, run as their docstrings say, against emulators that need no speech packages."""

from __future__ import annotations

import wave
from pathlib import Path

import anyio
import pytest
from tests.test_examples import RECORDING, run
from tests.test_images import png

from voicelive_agent.emulator import ScriptedBrain, serve

pytestmark = pytest.mark.e2e


async def run_against(brain: ScriptedBrain, *command: str, words: str = "") -> list[str]:
    """The lines that an example prints with this brain behind the emulator."""
    async with serve(brain=brain) as server:
        endpoint = server.url
        out = await anyio.to_thread.run_sync(lambda: run(*command, words=words, AZURE_VOICELIVE_ENDPOINT=endpoint))
    return out.splitlines()


async def test_push_to_talk(tmp_path: Path) -> None:
    answer = tmp_path / "answer.wav"
    brain = ScriptedBrain([("hello", "Good morning.")])
    files = (str(RECORDING), str(answer))
    lines = await run_against(brain, "examples/push_to_talk.py", *files, words="\n")
    assert lines == [
        "Press Enter to talk, and Enter again when you have finished.",
        "(listening)",
        "you:   Hello.",
        "agent: Good morning.",
    ]
    assert answer.stat().st_size > 24_000


async def test_push_to_talk_with_a_nervous_finger(tmp_path: Path) -> None:
    """Enter twice at once is too short to be anything, and then the call ends with the recording.

    However late the second one comes: of 80 ms nobody can say more than is too short.
    """
    click = tmp_path / "click.wav"
    with wave.open(str(RECORDING)) as recording, wave.open(str(click), "wb") as short:
        short.setparams(recording.getparams())
        short.writeframes(recording.readframes(recording.getframerate() * 80 // 1000))
    files = (str(click), str(tmp_path / "answer.wav"))
    lines = await run_against(ScriptedBrain([]), "examples/push_to_talk.py", *files, words="\n\n")
    assert lines[1] == "(listening)"
    assert lines[2:] in [[f"(that was only {ms} ms)"] for ms in range(0, 100, 20)]


async def test_kiosk(tmp_path: Path) -> None:
    photo, letter = tmp_path / "photo.png", tmp_path / "letter.jpg"
    photo.write_bytes(png(640, 480))
    letter.write_bytes(b"%PDF-1.7")
    brain = ScriptedBrain([("640x480", "A portrait."), ("how old", "From 1650.")])
    questions = f"{letter}\n{tmp_path / 'none.png'} What?\n{photo} What is this?\nHow old is it?\n\n"
    lines = await run_against(brain, "examples/kiosk_text_and_image.py", words=questions)
    assert lines[0].startswith(f"visitor: kiosk:   {letter} is application/pdf. The service takes image/png")
    assert "none.png" in lines[1]
    assert lines[2:4] == ["visitor: guide:   A portrait.", "visitor: guide:   From 1650."]
