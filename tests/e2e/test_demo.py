"""The demo as a person runs it: what it prints, and whether the recording holds what it printed."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from voicelive_agent._pcm import Resampler
from voicelive_agent.emulator.speech import missing_packages
from voicelive_agent.emulator.speech.ears import WhisperEars
from voicelive_agent.emulator.speech.normalise import normalise

from ..standard_error import without_slow_hooks

RATE = 24_000
BLOCK_MS = 20
QUIET = 20  # of 32,768: digital silence, and the noise that a voice leaves in its pauses

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.alone,
    pytest.mark.speech,
    pytest.mark.skipif(bool(missing_packages()), reason=f"not installed: {', '.join(missing_packages())}"),
]


@dataclass
class Demo:
    """One run of the demo."""

    text: str
    left: np.ndarray  # the person
    right: np.ndarray  # the agent as heard


def run_demo(out: Path, *options: str) -> Demo:
    command = [sys.executable, "-m", "voicelive_agent", "demo", "--out", str(out), *options]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=150, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert without_slow_hooks(done.stderr) == ""
    data = (out / "demo.wav").read_bytes()
    assert data[:4] == b"RIFF"
    assert sorted(path.name for path in out.iterdir()) == ["demo.wav"]
    samples = np.frombuffer(data[data.index(b"data") + 8 :], "<i2").reshape(-1, 2)
    return Demo(done.stdout, samples[:, 0], samples[:, 1])


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return run_demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def ears() -> WhisperEars:
    return WhisperEars()


def stretches(samples: np.ndarray, pause_s: float = 0.9) -> list[tuple[int, int]]:
    """Where there is sound: (first, last + 1) sample, pauses shorter than ``pause_s`` included."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > QUIET)
    breaks = np.flatnonzero(np.diff(loud) > pause_s * RATE)
    starts, ends = [loud[0], *loud[breaks + 1]], [*loud[breaks], loud[-1]]
    return [(int(start), int(end) + 1) for start, end in zip(starts, ends, strict=True)]


def words(ears: WhisperEars, samples: np.ndarray) -> str:
    """What is said in these samples, normalised."""
    resampler = Resampler(RATE, 16_000)
    pcm = resampler.process(samples.astype("<i2").tobytes()) + resampler.finish()
    padding = bytes(16_000 // 2 * 2)
    return " ".join(normalise(ears.transcribe(padding + pcm + padding).text))


def test_the_three_scenes_are_told_in_order(demo: Demo) -> None:
    marks = ["scene 1", "agent:  I heard:", "scene 2", "move", "scene 3", "CUT OFF", "What was heard"]
    assert [demo.text.find(mark) for mark in marks] == sorted(demo.text.find(mark) for mark in marks)
    assert -1 not in [demo.text.find(mark) for mark in marks]
    assert 'tool:   move {"direction": "forward", "meters": 10}' in demo.text
    assert "NOT as it should be" not in demo.text


def test_the_interruption_is_where_it_should_be(demo: Demo) -> None:
    heard_ms, received_ms = interruption(demo)
    assert 3_000 <= heard_ms <= 5_000
    assert received_ms >= 10_000


def test_each_person_is_on_the_left_and_each_answer_on_the_right(demo: Demo, ears: WhisperEars) -> None:
    right = [words(ears, demo.right[start:end]) for start, end in stretches(demo.right)]
    assert len(right) == 4, right
    assert right[0].startswith("i heard")
    assert "young man" in right[0]
    assert "forward 10 meters" in right[1]
    assert right[2].startswith("you said")
    assert "prudently" not in right[2]  # it was never heard
    assert right[3].startswith("i heard")
    left = words(ears, demo.left[: stretches(demo.right)[0][0]])
    assert "young man" in left


def test_what_was_cut_off_is_silent_at_once(demo: Demo) -> None:
    heard_ms, _ = interruption(demo)
    start, end = stretches(demo.right)[2]
    sounded_ms = (end - start) * 1000 / RATE
    # The answer begins with up to 30 ms of silence, and may have been in a pause when it was cut.
    # heard_ms is read right before the step that silences the sink, and the listener hears on while that is made:
    # a moment, in which the emulator's threads (here in the same process) may want the interpreter too.
    assert heard_ms - 500 <= sounded_ms < heard_ms + BLOCK_MS
    following = stretches(demo.right)[3][0]
    assert not demo.right[start + (heard_ms + BLOCK_MS) * RATE // 1000 : following - RATE // 10].any()


def test_the_person_talks_over_the_agent_only_at_the_interruption(demo: Demo) -> None:
    talking = [stretch for stretch in stretches(demo.left, pause_s=1.2) if stretch[1] - stretch[0] > RATE // 2]
    overlaps = [
        (answer, speech)
        for answer in stretches(demo.right)
        for speech in talking
        if answer[0] < speech[1] and speech[0] < answer[1]
    ]
    assert len(overlaps) == 1
    assert overlaps[0][0] == stretches(demo.right)[2]


def test_fast_tells_the_same_story(tmp_path: Path) -> None:
    fast = run_demo(tmp_path, "--fast")
    assert 'tool:   move {"direction": "forward", "meters": 10}' in fast.text
    heard_ms, received_ms = interruption(fast)
    assert 3_000 <= heard_ms <= 5_000
    assert received_ms >= 10_000


def interruption(demo: Demo) -> tuple[int, int]:
    """Heard and received milliseconds of the answer that was cut off."""
    cuts = re.findall(r"CUT OFF after (\d+) ms were heard \(of (\d+) ms\)", demo.text)
    assert len(cuts) == 1
    return int(cuts[0][0]), int(cuts[0][1])
