"""An emulator on a real socket for one test, and what crosses it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ..config import Settings
from ._person import speech
from ._play import Answers, brain_of

if TYPE_CHECKING:
    from ..emulator import Options, Server
    from ..emulator.faults import FaultSource
    from ..emulator.observers import ConnectionInfo

__all__ = ["Crossed", "ServedEmulator", "served"]

KEY = "emulator"


@dataclass(frozen=True, slots=True)
class Crossed:
    """A message that crossed the socket. ``at_s`` is the emulator's clock, ``connection`` counts from 1."""

    connection: int
    sender: Literal["client", "service"]
    message: Mapping[str, Any]
    at_s: float


@dataclass(slots=True)
class ServedEmulator:
    """A running emulator: where it is, and what crossed its socket so far."""

    url: str = ""
    crossed: list[Crossed] = field(default_factory=list)
    closed: list[tuple[int, int | None, str]] = field(default_factory=list)
    """Of each connection that is over: its number, the close code (None without a close frame), the reason."""
    _server: Server | None = field(default=None, repr=False)

    @property
    def endpoint(self) -> Settings:
        """Settings for an agent that is to connect to it: ``VoiceAgent(settings=emulator.endpoint)``."""
        return Settings(endpoint=self.url, credential=KEY)

    @property
    def environ(self) -> dict[str, str]:
        """The environment variables that lead a program to it."""
        return {"AZURE_VOICELIVE_ENDPOINT": self.url, "AZURE_VOICELIVE_API_KEY": KEY}

    @property
    def connections(self) -> int:
        """How many sessions are open."""
        return 0 if self._server is None else self._server.connections

    def received(self, type: str | None = None) -> list[Mapping[str, Any]]:
        """What clients sent, of this type or of any."""
        return self._messages("client", type)

    def sent(self, type: str | None = None) -> list[Mapping[str, Any]]:
        """What the service sent, of this type or of any."""
        return self._messages("service", type)

    def _messages(self, sender: Literal["client", "service"], type: str | None) -> list[Mapping[str, Any]]:
        return [
            each.message
            for each in tuple(self.crossed)
            if each.sender == sender and type in (None, each.message.get("type"))
        ]


class _Watch:
    """Writes down what the server's observers are told."""

    def __init__(self, emulator: ServedEmulator) -> None:
        self._emulator = emulator

    def opened(self, connection: ConnectionInfo, now: float) -> None:
        """A client was let in."""

    def received(self, connection: ConnectionInfo, message: str | bytes, now: float) -> None:
        """The client sent this frame; one that is no event has the type ``(no event)``."""
        from ..emulator.event_log import parsed

        self._emulator.crossed.append(Crossed(connection.number, "client", parsed(message), now))

    def sent(self, connection: ConnectionInfo, event: Mapping[str, Any], now: float) -> None:
        """The service sent this event."""
        self._emulator.crossed.append(Crossed(connection.number, "service", dict(event), now))

    def closed(self, connection: ConnectionInfo, code: int | None, reason: str, now: float) -> None:
        """The socket is closed."""
        self._emulator.closed.append((connection.number, code, reason))


@contextmanager
def served(
    answers: Answers = (),
    *,
    options: Options | None = None,
    faults: FaultSource = (),
    speech_packages: bool = False,
) -> Iterator[ServedEmulator]:
    """Serve an emulator on a free port, in a thread and an event loop of its own: any kind of test can use it.

    ``answers`` and ``options`` are those of a Conversation, ``faults`` those of the server.
    """
    from ..emulator.script import Script
    from ..emulator.server import serve
    from ..emulator.session import EmulatorSession
    from ..emulator.threaded import in_thread

    emulator = ServedEmulator()
    real, _, voice = speech() if speech_packages else (None, None, None)
    brain = brain_of(answers)

    def make_session(model: str, query: Mapping[str, str]) -> EmulatorSession:
        scripted = brain.ears() if isinstance(brain, Script) else None
        return EmulatorSession(
            model=model, query=query, ears=real or scripted, brain=brain, voice=voice, options=options
        )

    serving = serve(make_session=make_session, observers=[_Watch(emulator)], faults=faults)
    with in_thread(serving) as server:
        emulator.url = server.url
        emulator._server = server
        yield emulator
