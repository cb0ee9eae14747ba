"""The web app and the emulated service, in the test's own event loop, with a view into both."""

from __future__ import annotations

import math
from array import array
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio

from voicelive_agent import VoiceAgent, tool
from voicelive_agent.emulator import EmulatorSession, EnergyEars, Options, ScriptedBrain, Server, ToneVoice, serve
from voicelive_agent.emulator.protocols import Brain, Ears, Voice
from voicelive_agent.emulator.scripted import Rule
from voicelive_agent.events import Event
from voicelive_agent.web import WebApp, WebLimits, create_app
from voicelive_agent.web.aiohttp_app import APP, serving

__all__ = ["Librarian", "PitchVoice", "Site", "site", "until"]


class Librarian(VoiceAgent):
    """Writes down what happens to it."""

    instructions = "You are the receptionist of the city library."

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.happened: list[Event] = []

    @tool
    def opening_hours(self, day: str) -> str:
        """When the library is open on a day of the week."""
        if day == "never":
            raise LookupError("there is no such day")
        return "9 to 17"

    async def on_event(self, event: Event) -> None:
        self.happened.append(event)


class Service(EmulatorSession):
    """A session that can be made to say anything, and notes what it hears."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.sudden: list[dict[str, Any]] = []
        self.received: list[str] = []

    def receive(self, text: str | bytes, now: float) -> None:
        self.received.append(text if isinstance(text, str) else text.decode())
        super().receive(text, now)

    def poll(self, now: float) -> list[dict[str, Any]]:
        sudden, self.sudden = self.sudden, []
        return [*super().poll(now), *sudden]


class PitchVoice:
    """Speaks in a tone of 400 Hz; ``[900]`` before the text makes it one of 900 Hz (any multiple of 100)."""

    rate = 24_000

    def speak(self, text: str) -> Iterator[bytes]:
        pitch, words = "400", text
        if text.startswith("["):
            pitch, _, words = text[1:].partition("]")
        period = self.rate // 100
        step = 2 * math.pi * int(pitch) / self.rate
        cycle = array("h", (round(8000 * math.sin(i * step)) for i in range(period))).tobytes()
        yield cycle * (len(words) * 60 * self.rate // 1000 // period)


async def until(condition: Callable[[], object], timeout_s: float = 20) -> None:
    """Wait for a condition."""
    with anyio.fail_after(timeout_s):
        while not condition():  # noqa: ASYNC110 - of many things, none of which tells
            await anyio.sleep(0.005)


@dataclass
class Site:
    """A server with its visitors' agents and sessions, oldest first."""

    url: str
    app: WebApp
    emulator: Server
    agents: list[Librarian] = field(default_factory=list)
    services: list[Service] = field(default_factory=list)

    def events(self, kind: type[Event]) -> list[Any]:
        """The events of this kind of the latest agent."""
        return [event for event in self.agents[-1].happened if isinstance(event, kind)]


@asynccontextmanager
async def site(
    *rules: Rule,
    greetings: tuple[str, ...] = (),
    says: tuple[str, ...] = (),
    ears: Ears | None = None,
    brain: Brain | None = None,
    voice: Voice | None = None,
    options: Options | None = None,
    limits: WebLimits | None = None,
    service: type[Service] = Service,
    host: str = "127.0.0.1",
    **app: Any,
) -> AsyncIterator[Site]:
    """Serve the page; the n-th visitor's agent says the n-th greeting, and hears what ``says`` says."""
    made: list[Site] = []
    told = ears or EnergyEars(says)
    answers = brain or ScriptedBrain(rules)
    speaks = voice or ToneVoice()

    def make_session(model: str, query: Any) -> EmulatorSession:
        made[0].services.append(
            service(model=model, query=query, ears=told, brain=answers, voice=speaks, options=options)
        )
        return made[0].services[-1]

    async with serve(make_session=make_session) as emulator:

        def make_agent() -> Librarian:
            number = len(made[0].agents) if made else 0
            greeting = greetings[number] if number < len(greetings) else None
            agent = Librarian(emulator.url, "a-secret-key", greeting=greeting)
            if made:  # else the app only looks at it
                made[0].agents.append(agent)
            return agent

        application = create_app(make_agent, limits=limits, title="City library", **app)
        async with serving(application, host, 0) as url:
            made.append(Site(url, application[APP], emulator))
            yield made[0]
