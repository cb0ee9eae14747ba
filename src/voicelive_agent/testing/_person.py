"""The person at the other end: a microphone that is never silent for good, and ears that know what was said."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio

from ..audio import AudioFormat, Call
from ..events import Event

if TYPE_CHECKING:
    from ..emulator.protocols import Brain, Ears, Listener, Transcript, Voice

__all__ = ["RATE", "Ear", "Person", "recorded", "speech", "spoken", "toned"]

RATE: Final = 24_000
BLOCK_MS: Final = 20
_BLOCK_BYTES: Final = RATE * BLOCK_MS // 1000 * 2
_SHORTEST: Final = 10
"""Characters of the shortest utterance: 0.6 s, so that every turn detection takes it for speech."""


@dataclass(slots=True)
class _Line:
    """Something to say."""

    blocks: deque[bytes]
    words: str | None
    """What the service will have heard; None leaves that to real ears."""
    begun: bool = field(default=False, init=False)


class Person:
    """A source of audio without an end: says what it is told to, and is silent in between.

    ``clock`` returns the loop's seconds; ``observe`` is told of every event of the call, at once,
    and ``on_silent`` is called when everything was said.
    """

    format = AudioFormat(rate=RATE)

    def __init__(
        self, clock: Callable[[], float], observe: Callable[[Event], None], on_silent: Callable[[], None]
    ) -> None:
        self._clock = clock
        self._observe = observe
        self._on_silent = on_silent
        self._lines: deque[_Line] = deque()
        self._unheard: list[_Line] = []
        self.call: Call | None = None

    def join(self, call: Call) -> None:
        """The call begins."""
        self.call = call

    def observe(self, event: Event) -> None:
        """Something happened in the call."""
        self._observe(event)

    def say(self, pcm: bytes, words: str | None) -> None:
        """Say this (PCM16 at :data:`RATE`), after what is being said."""
        blocks = deque(pcm[at : at + _BLOCK_BYTES] for at in range(0, len(pcm), _BLOCK_BYTES))
        line = _Line(blocks, words)
        self._lines.append(line)
        self._unheard.append(line)

    @property
    def silent(self) -> bool:
        """Whether everything is said."""
        return not self._lines

    async def __aiter__(self) -> AsyncIterator[bytes]:
        due = self._clock()
        while True:
            due += BLOCK_MS / 1000
            await anyio.sleep(max(0.0, due - self._clock()))
            block = b""
            if self._lines:
                line = self._lines[0]
                line.begun = True
                block = line.blocks.popleft() if line.blocks else b""
                if not line.blocks:
                    self._lines.popleft()
                if self.silent:
                    self._on_silent()
            yield block.ljust(_BLOCK_BYTES, b"\0")

    def heard(self) -> list[str | None]:
        """The words of all that was begun and not yet heard: they are what the service hears at the end of a turn.

        Two sentences without enough silence between them are one turn, and are heard as one.
        """
        words = [line.words for line in self._unheard if line.begun]
        self._unheard = [line for line in self._unheard if not line.begun]
        return words


class Ear:
    """Ears that hear the very words a person says. Only what was said without words is left to real ones."""

    def __init__(self, person: Person, real: Ears | None) -> None:
        from ..emulator.scripted import EnergyEars

        self._person = person
        self._real = real
        self._loudness: Ears = real or EnergyEars()

    def listener(self) -> Listener:
        """The voice activity detector of the real ears, or one of loudness."""
        return self._loudness.listener()

    def transcribe(self, pcm: bytes, *, language: str | None = None) -> Transcript:
        """The words of the person; nothing if they said nothing, and something made a noise."""
        from ..emulator.protocols import Transcript

        words = self._person.heard()
        if None in words:
            real = self._real or speech()[0]
            return real.transcribe(pcm, language=language)
        return Transcript(" ".join(each for each in words if each), language or "en-US")


@cache
def speech() -> tuple[Ears, Brain, Voice]:
    """Real ears, brain and voice, loaded once. ConfigurationError without the extra ``emulator``."""
    from ..emulator.speech import load_speech

    return load_speech()


def toned(text: str) -> bytes:
    """The audio of a text as a tone of 60 ms per character (PCM16 at :data:`RATE`)."""
    from ..emulator.scripted import ToneVoice

    voice = ToneVoice()
    assert voice.rate == RATE
    return b"".join(voice.speak(text.ljust(_SHORTEST, "-")))


def spoken(text: str) -> bytes:
    """The audio of a text in the emulator's real voice (PCM16 at :data:`RATE`)."""
    from .._pcm import Resampler

    voice = speech()[2]
    resampler = Resampler(voice.rate, RATE)
    return resampler.process(b"".join(voice.speak(text))) + resampler.finish()


async def recorded(path: Path) -> bytes:
    """The audio of a recording (PCM16 at :data:`RATE`, mono). AudioFileError for what is none."""
    from .._pcm import Converter
    from ..files import FileSource

    source = FileSource(path, speed=None)
    converter = Converter(source.format, AudioFormat(rate=RATE))
    return b"".join([converter.process(chunk) async for chunk in source]) + converter.finish()
