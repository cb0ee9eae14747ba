"""The hooks of an agent: one for each kind of event, and what happens when they are slow, block, raise or hang."""

from __future__ import annotations

import asyncio
import inspect
import typing
from typing import Any

import anyio
import pytest

from voicelive_agent import State, VoiceAgent, events
from voicelive_agent._hooks import HOOKS, Hooks, hook_name
from voicelive_agent.events import EVENT_TYPES, Event
from voicelive_agent.testing import MemorySink

from .agent_driver import (
    LONG,
    RATE,
    Line,
    Microphone,
    Recorder,
    calling,
    check_story,
    silence,
    sink,
    tone,
    virtual,
)

METHODS = {name: method for name, method in vars(Hooks).items() if inspect.isfunction(method)}


def test_there_is_one_hook_for_each_kind_of_event_and_one_for_all() -> None:
    assert set(METHODS) == {"on_event", *HOOKS.values()}
    assert tuple(HOOKS) == EVENT_TYPES
    assert len(set(HOOKS.values())) == len(EVENT_TYPES)


def test_they_stand_in_the_order_of_the_events() -> None:
    assert list(METHODS) == ["on_event", *HOOKS.values()]


def test_every_event_class_is_an_event() -> None:
    others = {events.State, events.EndReason, events.Verdict}
    classes = {getattr(events, name) for name in events.__all__ if inspect.isclass(getattr(events, name))}
    assert classes - others == set(EVENT_TYPES)


@pytest.mark.parametrize("kind", EVENT_TYPES, ids=lambda kind: kind.__name__)
def test_a_hook_takes_its_event_and_nothing_else(kind: type[Event]) -> None:
    hook = METHODS[HOOKS[kind]]
    hints = typing.get_type_hints(hook)
    assert list(inspect.signature(hook).parameters) == ["self", "event"]
    assert hints["event"] is kind
    assert hook.__doc__


def test_the_hook_of_all_takes_every_event() -> None:
    assert typing.get_type_hints(METHODS["on_event"])["event"] == Event


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (events.UserSpoke, "on_user_spoke"),
        (events.SessionStarted, "on_session_started"),
        (events.Interrupted, "on_interrupted"),
        (events.Warned, "on_warned"),
    ],
)
def test_a_hook_is_named_after_its_event(kind: type[Event], name: str) -> None:
    assert hook_name(kind) == HOOKS[kind] == name


def test_an_agent_has_all_hooks_and_they_do_nothing() -> None:
    agent = VoiceAgent("http://127.0.0.1:1")
    for name in METHODS:
        assert getattr(agent, name)(events.Warned("code", "text")) is None


# --- what a hook may do, and what it cannot ------------------------------------------------------------------


class TimedSink(MemorySink):
    """Knows when it was silenced."""

    def __init__(self) -> None:
        super().__init__(clock=anyio.current_time)
        self.flushed_at: list[float] = []

    def flush(self) -> None:
        super().flush()
        self.flushed_at.append(anyio.current_time())


@virtual
async def test_a_slow_hook_delays_neither_a_flush_nor_the_audio() -> None:
    class Slow(Recorder):
        greeting = LONG

        async def on_session_started(self, event: events.SessionStarted) -> None:
            await anyio.sleep(10)

    line, speaker = Line(), TimedSink()
    agent = Slow(line)
    async with calling(agent, Microphone(silence(3000), tone(1000)), speaker):
        await anyio.sleep(9)
        assert len(agent.seen) == 1  # the hook still sleeps
        assert speaker.flushed_at == [pytest.approx(3.1, abs=0.05)]
        assert len(line.last.audio) == pytest.approx(9 * RATE * 2, abs=RATE * 2 * 0.04)
        assert tone(1000) in line.last.audio
        await agent.until(lambda: agent.all(events.TurnEnded))
        assert anyio.current_time() == pytest.approx(10)
    check_story(agent.seen)


@virtual
async def test_a_hook_that_blocks_is_named_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0

    class Blocking(Recorder):
        def on_state_changed(self, event: events.StateChanged) -> None:
            nonlocal now
            now += 0.051

        def on_session_started(self, event: events.SessionStarted) -> None:
            nonlocal now
            now += 0.049

    monkeypatch.setattr("voicelive_agent._agent.time.perf_counter", lambda: now)
    agent = Blocking(Line(), greeting="Hello.")
    for _ in range(2):
        async with calling(agent):
            await agent.until(lambda: agent.all(events.AgentSpoke))
    [warning] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "Hook on_state_changed held the event loop for 51 ms" in warning.getMessage()


class Special(BaseException):
    """What ``except Exception`` does not catch."""


class Raising(Recorder):
    """Raises what it is given, in the way it is told, as soon as the agent is audible."""

    greeting = LONG

    def __init__(self, error: BaseException, where: str, **options: Any) -> None:
        self.line = Line()
        super().__init__(self.line, **options)
        self.error, self.where = error, where
        self.on(events.StateChanged, self._callback)

    def on_event(self, event: Event) -> None:
        super().on_event(event)
        self._maybe("on_event", event)

    async def on_state_changed(self, event: events.StateChanged) -> None:
        await asyncio.sleep(0)
        self._maybe("on_state_changed", event)

    def _callback(self, event: events.StateChanged) -> None:
        self._maybe("Raising._callback", event)

    def _maybe(self, where: str, event: Event) -> None:
        if self.where == where and isinstance(event, events.StateChanged) and event.new is State.SPEAKING:
            raise self.error


WHERE = pytest.mark.parametrize("where", ["on_event", "on_state_changed", "Raising._callback"])


@WHERE
@pytest.mark.parametrize(
    "error",
    [
        LookupError("mine"),
        ExceptionGroup("mine", [ValueError("1"), ValueError("2")]),
        BaseExceptionGroup("mine", [Special()]),
        Special("mine"),
        asyncio.CancelledError("mine"),
    ],
    ids=lambda error: type(error).__name__,
)
@virtual
async def test_what_a_hook_raises_comes_out_of_run_as_it_is(error: BaseException, where: str) -> None:
    agent, speaker = Raising(error, where), sink()
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        await agent.run(Microphone(), speaker)
    assert caught.value is error
    assert (speaker.flushes, speaker.pending) == (1, 0)
    assert agent.line.last.closes == 1
    assert agent.state is State.CLOSED
    error.__traceback__ = None  # it lives as long as the parameters of this test


@WHERE
@virtual
async def test_with_report_a_hook_that_raises_is_an_event_and_the_call_goes_on(
    where: str, caplog: pytest.LogCaptureFixture
) -> None:
    error = LookupError("mine")
    agent, speaker = Raising(error, where, on_hook_error="report"), sink()
    async with calling(agent, None, speaker):
        await agent.reach(State.READY)
    assert agent.all(events.HookFailed) == [events.HookFailed(where, error)]
    assert agent.all(events.TurnEnded)[0].status == "completed"
    check_story(agent.seen)
    assert f"Hook {where} raised." in caplog.text
    error.__traceback__ = None


@virtual
async def test_a_hook_that_fails_at_everything_is_reported_for_each_and_ends() -> None:
    class Hopeless(Recorder):
        def on_event(self, event: Event) -> None:
            super().on_event(event)
            raise LookupError(type(event).__name__)

    agent = Hopeless(Line(), on_hook_error="report")
    async with calling(agent):
        await agent.reach(State.READY)
        await anyio.sleep(1)
    others = [type(event).__name__ for event in agent.seen if not isinstance(event, events.HookFailed)]
    assert [str(event.error) for event in agent.all(events.HookFailed)] == others[:-1]  # of the end, the log tells
    check_story(agent.seen)


@virtual
async def test_a_hook_that_hangs_holds_up_neither_the_end_of_the_session_nor_a_cancellation() -> None:
    class Hanging(Recorder):
        greeting = LONG

        async def on_state_changed(self, event: events.StateChanged) -> None:
            if event.new is State.SPEAKING:
                await anyio.sleep_forever()

    line, speaker = Line(), sink()
    agent = Hanging(line)
    call = asyncio.ensure_future(agent.run(None, speaker))
    await agent.until(lambda: "speaking" in agent.states)
    await anyio.sleep(1)
    agent.stop()
    assert speaker.pending == 0
    await anyio.sleep(1)
    assert line.last.closes == 1
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


@virtual
async def test_a_hook_may_run_tasks_of_its_own() -> None:
    class Busy(Recorder):
        async def on_session_started(self, event: events.SessionStarted) -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.sleep, 1)
                tasks.start_soon(self._fail)

        async def _fail(self) -> None:
            raise LookupError("mine")

    line = Line()
    with pytest.raises(ExceptionGroup) as caught:
        await Busy(line).run()
    assert caught.group_contains(LookupError, match="mine", depth=1)
    assert line.last.closes == 1


def test_a_misspelt_hook_is_named() -> None:
    with pytest.warns(UserWarning, match=r"Typo\.on_user_spoken is not a hook .*on_user_spoke is"):

        class Typo(VoiceAgent):
            def on_user_spoken(self, event: events.UserSpoke) -> None: ...
            def on_hold(self) -> None: ...  # a method of its own


@virtual
async def test_a_hook_that_hangs_does_not_keep_the_end_from_being_told(caplog: pytest.LogCaptureFixture) -> None:
    class Hanging(Recorder):
        async def on_agent_spoke(self, event: events.AgentSpoke) -> None:
            await anyio.sleep_forever()

    agent = Hanging(Line(), greeting="Hello.")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(agent.run, None, MemorySink(clock=anyio.current_time))
        await anyio.sleep(5)
        agent.stop()
        stopped = anyio.current_time()
    assert anyio.current_time() - stopped == pytest.approx(10, abs=0.1)
    assert isinstance(agent.seen[-1], events.SessionEnded)
    assert "Hook on_agent_spoke still ran long after the end" in caplog.text
