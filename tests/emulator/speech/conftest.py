"""The recordings, and the real ears and voice, loaded once."""

from __future__ import annotations

import json
import wave
from dataclasses import dataclass
from pathlib import Path

import pytest

from voicelive_agent.emulator.protocols import FRAME, Listener
from voicelive_agent.emulator.speech import load_speech, missing_packages
from voicelive_agent.emulator.speech.brain import RulesBrain
from voicelive_agent.emulator.speech.ears import WhisperEars
from voicelive_agent.emulator.speech.voice import HibariVoice

AUDIO = Path(__file__).parents[2] / "data" / "audio"
RATE = 16_000


@dataclass(frozen=True, slots=True)
class Clip:
    """Somebody saying ``transcript``; PCM16 mono at 16 kHz."""

    name: str
    transcript: str
    pcm: bytes


def read_clips() -> list[Clip]:
    clips = []
    for entry in json.loads((AUDIO / "manifest.json").read_text(encoding="utf-8")):
        with wave.open(str(AUDIO / entry["file"]), "rb") as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
            clips.append(Clip(entry["file"], entry["transcript"], file.readframes(file.getnframes())))
    return clips


def utterances(listener: Listener, pcm: bytes, *, prefix_ms: int = 300, silence_ms: int = 500) -> list[bytes]:
    """What voice activity detection cuts out of a stream: from the prefix before the first frame of speech to the
    silence that ends the utterance."""
    size, frame_ms = 2 * FRAME, 32
    found: list[bytes] = []
    first: int | None = None
    last = 0
    for index in range(len(pcm) // size):
        if listener.probability(pcm[index * size : (index + 1) * size]) >= 0.5:
            first = index if first is None else first
            last = index
        elif first is not None and (index - last) * frame_ms >= silence_ms:
            begin = max(0, first * size - 2 * RATE * prefix_ms // 1000)
            found.append(pcm[begin : (index + 1) * size])
            first = None
    return found


@pytest.fixture(scope="session")
def clips() -> list[Clip]:
    return read_clips()


@pytest.fixture(scope="session")
def _speech() -> tuple[WhisperEars, HibariVoice]:
    if missing := missing_packages():
        pytest.skip(f"not installed: {missing}")
    ears, brain, voice = load_speech()
    assert isinstance(ears, WhisperEars)
    assert isinstance(brain, RulesBrain)
    assert isinstance(voice, HibariVoice)
    return ears, voice


@pytest.fixture(scope="session")
def ears(_speech: tuple[WhisperEars, HibariVoice]) -> WhisperEars:
    return _speech[0]


@pytest.fixture(scope="session")
def voice(_speech: tuple[WhisperEars, HibariVoice]) -> HibariVoice:
    return _speech[1]


@pytest.fixture(scope="session")
def cut(clips: list[Clip], ears: WhisperEars) -> dict[str, list[bytes]]:
    """The utterances found in each recording, when a second of silence is around it."""
    around = bytes(2 * RATE)
    return {clip.name: utterances(ears.listener(), around + clip.pcm + around) for clip in clips}
