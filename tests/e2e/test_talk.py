"""``talk`` as a person runs it, with real ears and a real voice: between files, and read back by ear."""

from __future__ import annotations

import re
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from voicelive_agent import WavSource
from voicelive_agent._pcm import Resampler
from voicelive_agent.emulator.speech import missing_packages
from voicelive_agent.emulator.speech.ears import WhisperEars

from ..standard_error import without_slow_hooks

ROOT = Path(__file__).parents[2]
HELLO = ROOT / "examples" / "hello.py"
CLIPS = ROOT / "src" / "voicelive_agent" / "cli" / "audio"

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.alone,
    pytest.mark.speech,
    pytest.mark.skipif(bool(missing_packages()), reason=f"not installed: {', '.join(missing_packages())}"),
]


def conversation(path: Path, *parts: str | float) -> Path:
    """A file in which somebody says these recordings and pauses for these seconds (16 kHz)."""
    pcm = b""
    for part in parts:
        if isinstance(part, str):
            with wave.open(str(CLIPS / part)) as clip:
                pcm += clip.readframes(clip.getnframes())
        else:
            pcm += bytes(round(part * 16_000) * 2)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(pcm)
    return path


def talk(target: Path, source: Path, sink: Path) -> list[str]:
    """What it prints."""
    command = [sys.executable, "-m", "voicelive_agent", "talk", str(target), "--emulator"]
    command += ["--source", str(source), "--sink", str(sink)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert without_slow_hooks(done.stderr) == ""
    return done.stdout.splitlines()


def line_of(label: str, lines: list[str]) -> list[str]:
    """The lines with this label, without their time."""
    found = (re.match(rf" +\d+\.\d\d s  {label}: +(.*)", line) for line in lines)
    return [match[1] for match in found if match]


def transcribed(path: Path) -> str:
    """What is said in a recording."""
    source = WavSource(path)
    with path.open("rb") as file:
        file.seek(-source.frames * 2, 2)
        pcm = file.read()
    resampler = Resampler(source.format.rate, 16_000)
    pcm = resampler.process(pcm) + resampler.finish()
    return WhisperEars().transcribe(pcm).text.lower()


def test_a_person_is_answered_in_words(tmp_path: Path) -> None:
    question = conversation(tmp_path / "question.wav", 3.0, "librivox_0880.wav")
    answer = tmp_path / "answer.wav"
    lines = talk(HELLO, question, answer)
    (said,) = line_of("you", lines)
    assert "young man" in said
    assert line_of("agent", lines) == ["City library, good morning!", f"I heard: {said}"]
    assert f"you: {said}" in lines  # the agent's own hook
    assert any("answered after" in turn for turn in line_of("turn", lines))
    heard = transcribed(answer)
    assert "good morning" in heard
    assert "young man" in heard


def test_what_was_not_heard_of_an_answer_is_marked(tmp_path: Path) -> None:
    target = tmp_path / "talkative.py"
    target.write_text(
        "from voicelive_agent import VoiceAgent\n"
        "class Talkative(VoiceAgent):\n"
        "    greeting = 'The first word is apple. The second word is banana. The third word is cherry. '\\\n"
        "        'The fourth word is elderberry. The fifth word is grapefruit.'\n",
        encoding="utf-8",
    )
    question = conversation(tmp_path / "question.wav", 4.0, "cards_001.wav")
    answer = tmp_path / "answer.wav"
    greeting = line_of("agent", talk(target, question, answer))[0]
    told = re.fullmatch(r"(.+) \[not heard: (.+)\]", greeting)
    assert told, greeting
    heard = transcribed(answer)
    assert "apple" in told[1]
    assert "apple" in heard
    assert "grapefruit" in told[2]
    assert "grapefruit" not in heard
