"""A conversation as it is performed: what the user does, and what is waited for. All of it on one event loop."""

from __future__ import annotations

import asyncio
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias, TypeVar, cast

from .._agent import VoiceAgent
from ..config import DEFAULT_MODEL, AgentTarget, ModelTarget, Settings
from ..errors import ConfigurationError, SessionLostError
from ..events import (
    EVENT_TYPES,
    AgentSpoke,
    DtmfReceived,
    EndReason,
    Event,
    Interrupted,
    SessionEnded,
    State,
    StateChanged,
    ToolCalled,
    TurnEnded,
    UserSpoke,
    Verdict,
)
from ._likeness import Like
from ._memory import MemoryConnector, MemorySink
from ._person import RATE, Ear, Person, recorded, speech, spoken, toned
from ._story import ExpectationFailed, Story, is_fault

if TYPE_CHECKING:
    from .._connection import Connection
    from ..emulator import Brain, EmulatorSession, Options
    from ..emulator.scripted import Rule

__all__ = ["Answers", "MakesAgent", "Play", "Setting", "as_if_served", "brain_of"]

MakesAgent: TypeAlias = "VoiceAgent | type[VoiceAgent] | Callable[[], VoiceAgent]"
Answers: TypeAlias = "Brain | Iterable[Rule] | str | os.PathLike[str]"

KEYS: Final = "0123456789*#ABCD"
KEY_MS: Final = 100
HOOKS_S: Final = 0.1
"""How long of the conversation's time the agent's hooks are waited for, once what was expected is there."""
END_S: Final = 10.0

_YOURS: Final = (State.READY, State.ERROR)
"""States in which it is the user's turn."""
_E = TypeVar("_E", bound=Event)


@dataclass(frozen=True, slots=True)
class Setting:
    """What a conversation is about: who talks with whom, and with what in between."""

    agent: MakesAgent
    answers: Answers
    model: str | None
    options: Options | None
    speech: bool
    within_s: float


class Play:
    """One call. Needs a running asyncio loop."""

    def __init__(self, setting: Setting) -> None:
        loop = asyncio.get_running_loop()
        self._setting = setting
        self._changed = asyncio.Event()
        self._since = 0  # index of the first event after the user last did something
        self._state = State.CONNECTING
        self._spoke_at_ms = 0
        self._handled = 0
        self._told = False  # whether the end of the call was expected
        self.events: list[Event] = []
        self.story = Story(loop.time)
        self.person = Person(loop.time, self._observe, on_silent=self._changed.set)
        self.listener = MemorySink(clock=loop.time)
        self.connector = _Line(self._session)
        self.agent = _pointed(setting, self.connector)
        self._undo = [self.agent.on(kind, self._count) for kind in EVENT_TYPES]
        self._call: asyncio.Task[Verdict] = loop.create_task(self.agent.run(self.person, self.listener))
        self._call.add_done_callback(lambda _: self._changed.set())

    def _session(self, settings: Settings) -> EmulatorSession:
        from ..emulator import EmulatorSession

        target, query = settings.target, dict(settings.query)
        if isinstance(target, AgentTarget):
            query |= {"agent-name": target.agent, "agent-project-name": target.project}
        model = DEFAULT_MODEL if isinstance(target, AgentTarget) else target.model
        real, _, voice = speech() if self._setting.speech else (None, None, None)
        return EmulatorSession(
            model=model,
            query=query,
            ears=Ear(self.person, real),
            brain=brain_of(self._setting.answers),
            voice=voice,
            options=self._setting.options,
        )

    def _observe(self, event: Event) -> None:
        self.events.append(event)
        self.story.note(event)
        if isinstance(event, StateChanged):
            self._state = event.new
            if event.new is State.SPEAKING:
                self._spoke_at_ms = self.listener.heard_ms
        self._changed.set()

    def _count(self, _: Event) -> None:
        self._handled += 1
        self._changed.set()

    @property
    def busy(self) -> bool:
        """Whether a tool that is a plain function works in its thread, which takes real time."""
        shell = self.agent._shell
        return shell is not None and any(not job.future.done() for job in shell._threads._jobs)

    # --- beginning and ending ---

    async def begin(self) -> None:
        """Until the agent is ready for its user, or greets."""
        if not await self._until(lambda: self._state is not State.CONNECTING, self._setting.within_s):
            self._fail("the call to begin", self._standing)

    async def end(self) -> None:
        """Hang up if nobody has, and let the agent finish; raises what its hooks raised."""
        self.agent.stop()
        async with asyncio.timeout(END_S):
            await asyncio.wait([self._call])
        for undo in self._undo:
            undo()
        try:
            self._raise_failure()
        except SessionLostError:
            if not self._told:
                raise

    def explain(self, error: BaseException) -> None:
        """Add the conversation to what an error says, once."""
        if not hasattr(error, "__notes__"):
            error.add_note(str(self.story))

    def _raise_failure(self) -> None:
        """Raise what came out of the agent's call."""
        if self._call.done() and not self._call.cancelled() and (error := self._call.exception()) is not None:
            self.explain(error)
            raise error

    # --- waiting ---

    async def _until(self, holds: Callable[[], bool], within_s: float) -> bool:
        """Wait until this holds, the call is over, or the time is; whether it holds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not holds() and not self._call.done():
                    self._changed.clear()
                    await self._changed.wait()
        with suppress(SessionLostError):
            self._raise_failure()
        return holds()

    async def _expect(
        self, expected: str, holds: Callable[[], bool], found: Callable[[], str], within_s: float | None
    ) -> None:
        """Fail unless this holds in time; the agent's hooks have seen it then."""
        limit = self._setting.within_s if within_s is None else within_s
        if not await self._until(holds, limit):
            self._fail(expected, f"{found()} ({self._standing}, after {limit:g} s)")
        seen = len(self.events)
        await self._until(lambda: self._handled >= seen, HOOKS_S)

    def _fail(self, expected: str, found: str) -> NoReturn:
        raise ExpectationFailed(expected, found, str(self.story))

    @property
    def _standing(self) -> str:
        if self._call.done():
            return "the call is over"
        return f"the agent is {self._state.value}"

    def _recent(self, kind: type[_E]) -> list[_E]:
        """The events of a kind since the user last did something."""
        return [event for event in self.events[self._since :] if isinstance(event, kind)]

    @property
    def _settled(self) -> bool:
        return self._state in _YOURS or self._call.done()

    # --- what the user does ---

    def _act(self, what: str) -> None:
        """The user does something: what follows is about that."""
        self._since = len(self.events)
        self.story.tell(f"user:   {what}")

    async def _wait_for_turn(self) -> None:
        await self._until(lambda: self._state in _YOURS, self._setting.within_s)
        if self._call.done() or self._state not in _YOURS:
            self._fail("the user's turn", self._standing)

    async def _speak(self, pcm: bytes, words: str | None, told: str) -> None:
        self._act(told)
        self.person.say(pcm, words)
        await self._until(lambda: self.person.silent, len(pcm) / 2 / RATE + self._setting.within_s)

    def _audio(self, text: str) -> bytes:
        return spoken(text) if self._setting.speech else toned(text)

    async def user_says(self, text: str) -> None:
        await self._wait_for_turn()
        await self._speak(self._audio(text), text, f"says {text!r}")

    async def user_plays(self, recording: Path, transcript: str | None) -> None:
        pcm = await recorded(recording)
        if transcript is None:
            speech()  # ConfigurationError before anything is said
        await self._wait_for_turn()
        await self._speak(pcm, transcript, f"plays {recording.name}")

    async def user_interrupts(self, text: str, after_ms: float) -> None:
        limit = self._setting.within_s
        await self._until(lambda: self._state is State.SPEAKING, limit)

        def missing_ms() -> float:
            return self._spoke_at_ms + after_ms - self.listener.heard_ms

        while self._state is State.SPEAKING and not self._call.done() and missing_ms() > 0:
            await self._until(lambda: self._state is not State.SPEAKING, missing_ms() / 1000)
        if self._state is not State.SPEAKING:
            heard = self.listener.heard_ms - self._spoke_at_ms
            self._fail(
                f"the agent to speak for more than {after_ms:g} ms, to be interrupted",
                f"{heard} ms of it were heard; {self._standing}",
            )
        await self._speak(self._audio(text), text, f"interrupts after {after_ms:g} ms: {text!r}")

    async def user_waits(self, ms: float) -> None:
        self.story.tell(f"user:   waits {ms:g} ms")
        await self._until(lambda: False, ms / 1000)

    async def user_types(self, text: str) -> None:
        await self._wait_for_turn()
        self._act(f"types {text!r}")
        assert self.person.call is not None
        self.person.call.send_text(text)

    async def user_presses(self, keys: str) -> None:
        if wrong := sorted(set(keys) - set(KEYS)):
            raise ConfigurationError(f"A telephone has no key {wrong[0]!r}.", hint=f"Its keys are {KEYS}.")
        self._act(f"presses {keys}")
        for key in keys:
            assert self.person.call is not None
            self.person.call.tell(DtmfReceived(key))
            await self._until(lambda: False, KEY_MS / 1000)

    async def user_hangs_up(self) -> None:
        self._act("hangs up")
        assert self.person.call is not None
        self.person.call.hang_up("the user hung up")
        await self._until(self._call.done, END_S)

    # --- what is expected ---

    async def expect_says(self, like: Like, within_s: float | None) -> None:
        await self._expect_text(AgentSpoke, f"the agent to say {like}", "the agent said", like, within_s)

    async def expect_heard_as(self, like: Like, within_s: float | None) -> None:
        await self._expect_text(
            UserSpoke, f"the user to be heard as {like}", "the user was heard as", like, within_s
        )

    async def _expect_text(
        self,
        kind: type[AgentSpoke] | type[UserSpoke],
        expected: str,
        verb: str,
        like: Like,
        within_s: float | None,
    ) -> None:
        def texts() -> list[str]:
            return [event.text for event in self._recent(kind)]

        def found() -> str:
            return f"{verb} {', then '.join(map(like.judged, texts())) or 'nothing'}"

        await self._expect(expected, lambda: any(map(like.holds, texts())), found, within_s)

    async def expect_tool(self, name: str, arguments: Mapping[str, Any], within_s: float | None) -> None:
        def holds() -> bool:
            calls = self._recent(ToolCalled)
            return any(call.name == name and _contains(_parsed(call.arguments), arguments) for call in calls)

        given = f" with {json.dumps(arguments, ensure_ascii=False, default=str)}" if arguments else ""
        await self._expect(f"a call of {name}{given}", holds, self._calls, within_s)

    async def expect_no_tool(self, name: str | None, within_s: float | None) -> None:
        limit = self._setting.within_s if within_s is None else within_s
        await self._until(lambda: self._settled, limit)
        if any(name in (None, call.name) for call in self._recent(ToolCalled)):
            self._fail(f"no call of {name or 'any tool'}", self._calls())

    def _calls(self) -> str:
        calls = [f"{call.name} {call.arguments}" for call in self._recent(ToolCalled)]
        return f"the calls were {'; '.join(calls)}" if calls else "no tool was called"

    async def expect_heard(self, at_least_ms: float, at_most_ms: float, within_s: float | None) -> None:
        def heard() -> list[int]:
            return [turn.heard_ms for turn in self._recent(TurnEnded)]

        await self._expect(
            f"{_range(at_least_ms, at_most_ms)} of an answer to be heard",
            lambda: any(at_least_ms <= ms <= at_most_ms for ms in heard()),
            lambda: f"of the answers were heard: {', '.join(f'{ms} ms' for ms in heard()) or 'none'}",
            within_s,
        )

    async def expect_interrupted(self, at_least_ms: float, at_most_ms: float, within_s: float | None) -> None:
        def cuts() -> list[int]:
            return [cut.heard_ms for cut in self._recent(Interrupted)]

        limits = (at_least_ms, at_most_ms) != (0, math.inf)
        await self._expect(
            "an interruption" + (f" after {_range(at_least_ms, at_most_ms)} were heard" if limits else ""),
            lambda: any(at_least_ms <= ms <= at_most_ms for ms in cuts()),
            lambda: f"cut off after {', '.join(f'{ms} ms' for ms in cuts())}" if cuts() else "nothing was cut off",
            within_s,
        )

    async def expect_state(self, state: State, within_s: float | None) -> None:
        await self._expect(
            f"the agent to be {state.value}",
            lambda: self._state is state,
            lambda: "it did not come to that",
            within_s,
        )

    async def expect_ended(self, reason: EndReason | None, within_s: float | None) -> None:
        def verdicts() -> list[Verdict]:
            return [event.verdict for event in self.events if isinstance(event, SessionEnded)]

        self._told = True
        await self._expect(
            "the call to end" + (f" with the reason {reason.value}" if reason else ""),
            lambda: any(reason in (None, verdict.reason) for verdict in verdicts()),
            lambda: (
                ", ".join(f"it ended with {each.reason.value}: {each.detail}" for each in verdicts())
                or "it did not end"
            ),
            within_s,
        )

    async def expect_no_errors(self) -> None:
        await self._until(lambda: self._settled, self._setting.within_s)
        if faults := [event for event in self.events if is_fault(event)]:
            self._fail("no errors", "; ".join(map(str, faults)))


class _Line:
    """Joins the agent to a new emulated session, made when its settings are known."""

    def __init__(self, make_session: Callable[[Settings], EmulatorSession]) -> None:
        self._make_session = make_session
        self._connectors: list[MemoryConnector] = []

    async def connect(self, settings: Settings) -> Connection:
        self._connectors.append(MemoryConnector(self._make_session(settings)))
        return await self._connectors[-1].connect(settings)

    @property
    def sent(self) -> list[dict[str, Any]]:
        return [message for connector in self._connectors for message in connector.sent]


def brain_of(answers: Answers) -> Brain:
    """The brain that answers like this: one that is given, rules, or a script's file."""
    from ..emulator.scripted import ScriptedBrain

    if isinstance(answers, str | os.PathLike):
        from ..emulator.script import Script

        return Script.load(answers)
    if hasattr(answers, "answer"):
        return cast("Brain", answers)
    return ScriptedBrain(answers)


def _pointed(setting: Setting, connector: _Line) -> VoiceAgent:
    """The agent, joined to the emulated session, though it may have been made for another endpoint."""
    agent = setting.agent
    with as_if_served():
        made: object = agent
        if isinstance(agent, type):
            made = agent.from_env() if issubclass(agent, VoiceAgent) else None
        elif not isinstance(agent, VoiceAgent) and callable(agent):
            made = agent()
    if not isinstance(made, VoiceAgent):
        raise ConfigurationError(
            f"{agent!r:.80} is no agent.",
            hint="Give a VoiceAgent, a subclass of it, or a function without arguments that returns one.",
        )
    target = made._settings.target if setting.model is None else ModelTarget(setting.model)
    made._settings = replace(made._settings, endpoint=connector, credential=None, target=target)
    return made


@contextmanager
def as_if_served() -> Iterator[None]:
    """An endpoint in the environment, for agents that want one to be made."""
    name = "AZURE_VOICELIVE_ENDPOINT"
    before = os.environ.get(name)
    os.environ[name] = before or "emulator"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _parsed(arguments: str) -> object:
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments


def _contains(given: object, wanted: object) -> bool:
    """Whether all that is wanted is there: of objects some of their fields, of the rest everything."""
    if isinstance(wanted, Mapping):
        return isinstance(given, Mapping) and all(
            name in given and _contains(given[name], value) for name, value in wanted.items()
        )
    return given == wanted


def _range(at_least_ms: float, at_most_ms: float) -> str:
    if at_most_ms == math.inf:
        return f"at least {at_least_ms:g} ms"
    return f"{at_least_ms:g} to {at_most_ms:g} ms"
