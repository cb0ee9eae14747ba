"""The emulator as these tests need it: with a voice whose words tell their position, and with a memory."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import numpy as np

from voicelive_agent.emulator import EmulatorSession, EnergyEars, ScriptedBrain, serve
from voicelive_agent.emulator.protocols import Brain, Ears, Voice

from .recording import Samples
from .signals import CODED_RATE, coded

ANSWER_S: Final = 2.5
"""How long the coded voice speaks, whatever the words."""
LOUD: Final = 6_000


class CodedVoice:
    """Says every text as the same noise, in which any 50 ms can be found again."""

    rate = CODED_RATE

    def __init__(self, seconds: float = ANSWER_S) -> None:
        self._seconds = seconds

    def speak(self, text: str) -> Iterator[bytes]:
        yield coded(self._seconds).tobytes()


@dataclass
class Heard:
    """What the service got: ``sent`` is all but audio, ``audio`` each piece of that and when it came."""

    url: str = ""
    sent: list[dict[str, Any]] = field(default_factory=list)
    audio: list[tuple[float, bytes]] = field(default_factory=list)

    @property
    def session(self) -> dict[str, Any]:
        """The session that the agent asked for."""
        updates = [message["session"] for message in self.sent if message["type"] == "session.update"]
        assert updates, self.sent
        asked: dict[str, Any] = updates[0]
        return asked

    def between(self, begin: float, end: float) -> Samples:
        """The samples of the audio that came between two times, every channel of it."""
        return np.frombuffer(b"".join(audio for at, audio in self.audio if begin <= at <= end), "<i2")

    def loud(self) -> list[float]:
        """When audio came that is loud after a piece that was not."""
        levels = [(at, int(np.abs(np.frombuffer(audio, "<i2").astype(int)).max())) for at, audio in self.audio]
        return [at for (_, before), (at, now) in pairwise(levels) if before < LOUD <= now]


class SpiedSession(EmulatorSession):
    """A session that remembers what it got, and when."""

    def __init__(self, heard: Heard, **settings: Any) -> None:
        super().__init__(**settings)
        self._heard = heard

    def receive(self, text: str | bytes, now: float) -> None:
        message = json.loads(text)
        if message["type"] == "input_audio_buffer.append":
            self._heard.audio.append((now, base64.b64decode(message["audio"])))
        else:
            self._heard.sent.append(message)
        super().receive(text, now)


@asynccontextmanager
async def serving(
    *, ears: Ears | None = None, brain: Brain | None = None, voice: Voice | None = None
) -> AsyncIterator[Heard]:
    """The service on a socket of this machine, and what it hears. Its clock is ``time.monotonic()``."""
    heard = Heard()
    plugs = {"ears": ears or EnergyEars(), "brain": brain or ScriptedBrain(), "voice": voice or CodedVoice()}

    def make(model: str, query: Mapping[str, str]) -> EmulatorSession:
        return SpiedSession(heard, model=model, query=query, **plugs)

    async with serve(make_session=make) as server:
        heard.url = server.url
        yield heard
