"""A person who talks to your agent: what the user does, and what is expected of the agent, in words of that.

::

    with Conversation(Receptionist, [("open on Sunday", "We are closed on Sunday.")]) as call:
        call.user_says("Are you open on Sunday?")
        call.expect_says("closed on Sunday")
        call.user_interrupts("Never mind.", after_ms=500)
        call.expect_interrupted(400, 1_000)

The agent is the real one; the service is emulated, in memory. By default time is virtual: nothing is waited for.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from .._agent import VoiceAgent
from ..errors import ConfigurationError
from ..events import EndReason, Event, State
from ._likeness import Like
from ._play import Answers, MakesAgent, Play, Setting
from ._stage import Stage, Step, Time, asynchronous, synchronous
from ._story import ExpectationFailed

if TYPE_CHECKING:
    import os

    from ..emulator import Options

__all__ = ["Conversation"]

_EnumT = TypeVar("_EnumT", bound=enum.Enum)


class Conversation:
    """One call with an agent, while the ``with`` or the ``async with`` lasts.

    ``agent`` is a subclass of VoiceAgent, a function that returns an agent, or an agent; whatever endpoint it was
    made for, it is joined to an emulated session. ``answers`` say what the model does: rules as those of
    :class:`~voicelive_agent.emulator.ScriptedBrain`, the path of a script, or any brain. ``model`` is the
    agent's own unless given, ``options`` are those of the emulated session.

    ``time`` is ``"virtual"`` (it passes only while something outside of the event loop works), ``"real"``, or how
    many times as fast, such as 8. With ``speech`` the user's voice, the agent's and the turn detection are real
    ones (extra ``emulator``); without it they are tones and their loudness. Either way the words of the user are
    heard as they were given; only a recording without a transcript is understood by real ears.

    In plain functions (``with``) each step is done when it returns; in coroutines (``async with``) await it. The
    agent lives in an event loop of its own then, and in a thread of its own, unless ``time`` is ``"real"`` or the
    running loop is one of :func:`~voicelive_agent.testing.run_virtual`.

    A user waits for their turn before they speak, unless they interrupt. What is expected has to happen after the
    user last did something, within ``within_s`` seconds of the conversation's time; otherwise
    :class:`~voicelive_agent.testing.ExpectationFailed` (an AssertionError) tells what happened instead. What a
    hook of the agent raises comes out of the step during which it did.
    """

    def __init__(
        self,
        agent: MakesAgent,
        answers: Answers = (),
        *,
        model: str | None = None,
        options: Options | None = None,
        time: Time = "virtual",
        speech: bool = False,
        within_s: float = 30.0,
    ) -> None:
        if not within_s > 0:
            raise ConfigurationError(f"within_s={within_s!r} is no time to wait.", hint="It is more than 0.")
        self._setting = Setting(agent, answers, model, options, speech, within_s)
        self._time: Time = time
        self._stage: Stage | None = None
        self._play: Play | None = None

    # --- looking at it ---

    @property
    def agent(self) -> VoiceAgent:
        """The agent."""
        return self._now.agent

    @property
    def events(self) -> list[Event]:
        """Everything that happened so far."""
        return list(self._now.events)

    @property
    def heard(self) -> bytes:
        """What the user heard so far (PCM16, 24 kHz, mono), without the silence in between."""
        return self._now.listener.played

    @property
    def sent(self) -> list[dict[str, Any]]:
        """All messages of the agent to the service, except microphone audio."""
        return self._now.connector.sent

    @property
    def story(self) -> str:
        """The last lines of the conversation, with their times: what a failure shows."""
        return str(self._now.story)

    @property
    def _now(self) -> Play:
        if self._play is None:
            raise RuntimeError("The conversation has not begun: use `with conversation as call`.")
        return self._play

    # --- what the user does ---

    def user_says(self, text: str) -> Awaitable[None]:
        """The user says this, when it is their turn; done when it was said. The service hears these very words."""
        __tracebackhide__ = True
        return self._do(Play.user_says, _text(text))

    def user_plays(self, recording: str | os.PathLike[str], *, transcript: str | None = None) -> Awaitable[None]:
        """The user says a recording (WAV, or what else FileSource reads), when it is their turn.

        The service hears ``transcript``; without it, what real ears hear (extra ``emulator``).
        """
        __tracebackhide__ = True
        return self._do(Play.user_plays, Path(recording), transcript)

    def user_waits(self, ms: float) -> Awaitable[None]:
        """The user does nothing for so long."""
        __tracebackhide__ = True
        return self._do(Play.user_waits, ms)

    def user_types(self, text: str) -> Awaitable[None]:
        """The user types this instead of speaking, when it is their turn."""
        __tracebackhide__ = True
        return self._do(Play.user_types, _text(text))

    def user_presses(self, keys: str) -> Awaitable[None]:
        """The user presses keys of a telephone: ``0`` to ``9``, ``*``, ``#`` or ``A`` to ``D``."""
        __tracebackhide__ = True
        return self._do(Play.user_presses, keys)

    def user_interrupts(self, text: str, *, after_ms: float = 0) -> Awaitable[None]:
        """The user says this while the agent speaks, when they have heard ``after_ms`` of it."""
        __tracebackhide__ = True
        return self._do(Play.user_interrupts, _text(text), after_ms)

    def user_hangs_up(self) -> Awaitable[None]:
        """The user leaves, and the call ends with the reason ``hung_up``."""
        __tracebackhide__ = True
        return self._do(Play.user_hangs_up)

    # --- what is expected ---

    def expect_says(
        self,
        words: str | None = None,
        *,
        matching: str | None = None,
        similar: str | None = None,
        score: float = 0.8,
        within_s: float | None = None,
    ) -> Awaitable[None]:
        """The agent says something like this; see :class:`~voicelive_agent.testing.Like`."""
        __tracebackhide__ = True
        return self._do(Play.expect_says, Like(words, matching, similar, score), within_s)

    def expect_heard_as(
        self,
        words: str | None = None,
        *,
        matching: str | None = None,
        similar: str | None = None,
        score: float = 0.8,
        within_s: float | None = None,
    ) -> Awaitable[None]:
        """The user was understood to have said something like this."""
        __tracebackhide__ = True
        return self._do(Play.expect_heard_as, Like(words, matching, similar, score), within_s)

    def expect_tool(
        self, name: str, arguments: Mapping[str, Any] | None = None, *, within_s: float | None = None
    ) -> Awaitable[None]:
        """The model calls this tool, with these arguments among its arguments."""
        __tracebackhide__ = True
        return self._do(Play.expect_tool, name, arguments or {}, within_s)

    def expect_no_tool(self, name: str | None = None, *, within_s: float | None = None) -> Awaitable[None]:
        """Until it is the user's turn again, this tool was not called; without a name, none was."""
        __tracebackhide__ = True
        return self._do(Play.expect_no_tool, name, within_s)

    def expect_heard(
        self, at_least_ms: float, at_most_ms: float = math.inf, *, within_s: float | None = None
    ) -> Awaitable[None]:
        """An answer is over, of which so much was heard."""
        __tracebackhide__ = True
        return self._do(Play.expect_heard, at_least_ms, at_most_ms, within_s)

    def expect_interrupted(
        self, at_least_ms: float = 0, at_most_ms: float = math.inf, *, within_s: float | None = None
    ) -> Awaitable[None]:
        """An answer was cut off, after so much of it was heard."""
        __tracebackhide__ = True
        return self._do(Play.expect_interrupted, at_least_ms, at_most_ms, within_s)

    def expect_state(self, state: State | str, *, within_s: float | None = None) -> Awaitable[None]:
        """The agent comes to be in this state."""
        __tracebackhide__ = True
        return self._do(Play.expect_state, _member(State, state), within_s)

    def expect_ended(
        self, reason: EndReason | str | None = None, *, within_s: float | None = None
    ) -> Awaitable[None]:
        """The call ends, for this reason. An ending that nobody asked for is an error unless it is expected."""
        __tracebackhide__ = True
        return self._do(Play.expect_ended, None if reason is None else _member(EndReason, reason), within_s)

    def expect_no_errors(self) -> Awaitable[None]:
        """Until it is the user's turn again, nothing went wrong in the whole conversation."""
        __tracebackhide__ = True
        return self._do(Play.expect_no_errors)

    # --- beginning and ending ---

    def __enter__(self) -> Self:
        __tracebackhide__ = True
        self._check_new()
        self._stage = synchronous(self._time, self._busy)
        try:
            self._perform(self._begin)
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        try:
            self._perform(partial(self._end, error))
        finally:
            self._close()

    async def __aenter__(self) -> Self:
        __tracebackhide__ = True
        self._check_new()
        self._stage = asynchronous(self._time, self._busy)
        try:
            await self._perform(self._begin)
        except BaseException as error:
            await self.__aexit__(type(error), error, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        try:
            await self._perform(partial(self._end, error))
        finally:
            await self._close()

    def _check_new(self) -> None:
        if self._play is not None:
            raise RuntimeError("This conversation is over: make another one.")

    async def _begin(self) -> None:
        self._play = Play(self._setting)
        await self._play.begin()

    async def _end(self, error: BaseException | None) -> None:
        """Hang up. ``error`` is what the test failed with: it is told with the conversation, and never hidden."""
        if self._play is None:
            return
        if isinstance(error, Exception) and not isinstance(error, ExpectationFailed):
            self._play.explain(error)
        try:
            await self._play.end()
        except Exception:
            if error is None:
                raise

    def _close(self) -> Awaitable[None]:
        stage, self._stage = self._stage, None
        assert stage is not None
        return stage.close()

    @property
    def _busy(self) -> Callable[[], bool]:
        return lambda: self._play is not None and self._play.busy

    def _do(self, act: Callable[..., Any], *arguments: Any) -> Awaitable[None]:
        """Perform a step: now in a plain function, when it is awaited in a coroutine."""
        __tracebackhide__ = True
        play = self._now
        return self._perform(lambda: act(play, *arguments))

    def _perform(self, step: Step) -> Awaitable[None]:
        __tracebackhide__ = True
        if self._stage is None:
            raise RuntimeError("The conversation is over.")
        return self._stage.perform(step)


def _text(text: str) -> str:
    if not str(text).strip():
        raise ConfigurationError(f"{text!r} is nothing that can be said.", hint="Give some words.")
    return text


def _member(kind: type[_EnumT], value: _EnumT | str) -> _EnumT:
    """A member of an enumeration, or the one of this name or value."""
    if isinstance(value, kind):
        return value
    named = {each.value: each for each in kind}
    try:
        return named[str(value).casefold()]
    except KeyError:
        raise ConfigurationError(
            f"{value!r} is no {kind.__name__}.", hint=f"There are {', '.join(named)}."
        ) from None
