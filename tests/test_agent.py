"""The agent as its user sees it: a class, its hooks, its events, and what it can be asked for."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import anyio
import pytest

from voicelive_agent import (
    AgentSpoke,
    ConfigurationError,
    EndReason,
    Interrupted,
    ModelTarget,
    SessionConfig,
    SessionEnded,
    SessionLostError,
    SessionStarted,
    State,
    StateChanged,
    TurnEnded,
    UserSpoke,
    Verdict,
    VoiceAgent,
    tool,
)
from voicelive_agent.emulator import Call, Options
from voicelive_agent.errors import ConnectError
from voicelive_agent.events import Event

from .agent_driver import (
    LONG,
    PROFILES,
    Line,
    Microphone,
    Recorder,
    calling,
    check_story,
    emulated,
    silence,
    sink,
    source,
    spoken_samples,
    tone,
    virtual,
)


class Receptionist(Recorder):
    instructions = "You are the receptionist of the city library. Be brief."
    greeting = "City library, good morning!"

    @tool
    async def opening_hours(self, day: str) -> str:
        """When the library is open on a day of the week."""
        return "closed" if day == "Sunday" else "9 to 17"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lines: list[str] = []

    async def on_user_spoke(self, event: UserSpoke) -> None:
        self.lines.append(f"you: {event.text}")

    def on_agent_spoke(self, event: AgentSpoke) -> None:
        self.lines.append(f"agent: {event.text}")

    async def on_interrupted(self, event: Interrupted) -> None:
        self.lines.append(f"(cut off after {event.heard_text!r})")


HOURS = ("open on (.*)", Call("opening_hours", {"day": r"\1"}))


# --- whole conversations -------------------------------------------------------------------------------------


@PROFILES
@virtual
async def test_a_spoken_conversation(model: str) -> None:
    line = Line(lambda: emulated(HOURS, says=["are you open on Sunday"], model=model))
    agent, speaker = Receptionist(line, target=model), sink()
    said = source(silence(2500), tone(1000), silence(500))
    verdict = await agent.run(said, speaker)
    assert verdict == Verdict(EndReason.SOURCE_FINISHED)
    check_story(agent.seen)
    assert agent.lines == ["agent: City library, good morning!", "you: are you open on Sunday", "agent: closed"]
    heard = spoken_samples(Receptionist.greeting) + spoken_samples("closed")
    assert len(speaker.played) == heard * 2  # all of it
    assert line.sent("session.update")[0]["session"]["instructions"] == Receptionist.instructions
    assert line.last.closes == 1


@PROFILES
@virtual
async def test_a_written_conversation(model: str) -> None:
    agent = Receptionist(Line(lambda: emulated(HOURS, ("bye", "Good bye."), model=model)), target=model)
    async with calling(agent) as call:
        await agent.until(lambda: len(agent.all(AgentSpoke)) == 1)  # the greeting
        agent.send_text("open on Monday?")
        await agent.until(lambda: len(agent.all(AgentSpoke)) == 2)
        agent.send_text("bye")
        await agent.until(lambda: len(agent.all(AgentSpoke)) == 3)
    assert call.result() == Verdict(EndReason.STOPPED)
    assert agent.lines == ["agent: City library, good morning!", "agent: 9 to 17", "agent: Good bye."]
    assert [(item.role, item.text) for item in agent.history if item.role != "tool"] == [
        ("assistant", "City library, good morning!"),
        ("user", "open on Monday?"),
        ("assistant", "9 to 17"),
        ("user", "bye"),
        ("assistant", "Good bye."),
    ]


@PROFILES
@virtual
async def test_the_user_interrupts(model: str) -> None:
    line = Line(model=model)
    agent, speaker = Receptionist(line, target=model, greeting=LONG), sink()
    await agent.run(source(silence(3000), tone(1000), silence(500)), speaker)
    check_story(agent.seen)
    [cut] = agent.all(Interrupted)
    assert 3000 <= cut.heard_ms <= 3200
    assert LONG.startswith(cut.heard_text)
    assert speaker.flushes == 1
    assert "listening" in agent.states
    assert agent.all(TurnEnded)[0].status == "interrupted"


@virtual
async def test_text_typed_while_the_agent_speaks_is_answered_after_it() -> None:
    agent, speaker = Receptionist(Line(lambda: emulated(("bye", "Good bye.")))), sink()
    async with calling(agent, None, speaker):
        await agent.reach(State.SPEAKING)
        agent.send_text("bye")
        await agent.until(lambda: len(agent.all(TurnEnded)) == 2)
    assert agent.lines == ["agent: City library, good morning!", "agent: Good bye."]
    assert not agent.all(Interrupted)


# --- run() and events() --------------------------------------------------------------------------------------


class Nowhere:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    async def connect(self, settings: object) -> Any:
        raise self.error


@virtual
async def test_a_session_that_cannot_be_opened_is_the_connectors_own_error() -> None:
    error = ConnectError("no", hint="yes")
    agent = Recorder(Nowhere(error))
    for _ in range(2):
        with pytest.raises(ConnectError) as caught:
            await agent.run()
        assert caught.value is error
        assert caught.value.__context__ is None
        assert agent.state is State.CLOSED
    assert agent.seen == []


@virtual
async def test_a_session_that_ends_by_itself_is_lost_for_run_and_an_event_for_events() -> None:
    line = Line(options=Options(max_session_s=2))
    agent = Recorder(line)
    with pytest.raises(SessionLostError) as lost:
        await agent.run()
    check_story(agent.seen)
    assert agent.seen[-1] == SessionEnded(lost.value.verdict)
    async with agent.events() as events:
        last = [event async for event in events][-1]
    assert last == SessionEnded(lost.value.verdict)
    assert [connection.closes for connection in line.connections] == [1, 1]


@virtual
async def test_an_agent_holds_one_call_at_a_time_and_then_another() -> None:
    line = Line()
    agent = Recorder(line)
    async with calling(agent):
        with pytest.raises(RuntimeError, match="in a call already"):
            await agent.run()
        with pytest.raises(RuntimeError, match="in a call already"):
            async with agent.events():
                pass
        assert agent.state is State.READY
    async with calling(agent):
        agent.send_text("still there?")
        await agent.until(lambda: agent.all(AgentSpoke))
    assert [connection.closes for connection in line.connections] == [1, 1]
    assert [item.text for item in agent.history] == ["still there?", "I heard: still there?"]


@virtual
async def test_leaving_the_loop_goes_on_and_leaving_the_block_ends_the_call() -> None:
    line = Line()
    agent = VoiceAgent(line)
    async with agent.events() as events:
        async for event in events:
            if isinstance(event, SessionStarted):
                break
        await anyio.sleep(5)
        assert (agent.state, line.last.closes) == (State.READY, 0)
        agent.stop()
        rest = [event async for event in events]
    assert isinstance(rest[-1], SessionEnded)
    assert (agent.state, line.last.closes) == (State.CLOSED, 1)


@virtual
async def test_events_calls_no_hook() -> None:
    agent = Recorder(Line())
    async with agent.events() as events:
        assert isinstance(await anext(events), SessionStarted)
    assert agent.seen == []


@virtual
async def test_what_the_consumer_of_events_raises_comes_out_as_it_is() -> None:
    line = Line()
    agent = VoiceAgent(line, greeting=LONG)
    error, speaker = LookupError("mine"), sink()
    with pytest.raises(LookupError) as caught:  # noqa: PT012
        async with agent.events(None, speaker) as events:
            async for event in events:
                if isinstance(event, StateChanged) and event.new is State.SPEAKING:
                    raise error
    assert caught.value is error
    assert (speaker.flushes, speaker.pending, line.last.closes) == (1, 0, 1)


@virtual
async def test_state_and_history_before_during_and_after_a_call() -> None:
    states: list[State] = []

    class Watched(Line):
        async def connect(self, settings: Any) -> Any:
            states.append(agent.state)
            return await super().connect(settings)

    agent = Recorder(Watched(), greeting="Hi.")
    assert (agent.state, len(agent.history)) == (State.CLOSED, 0)
    for _ in range(2):
        async with calling(agent):
            await agent.until(lambda: agent.all(AgentSpoke))
        assert (agent.state, [item.text for item in agent.history]) == (State.CLOSED, ["Hi."])
        agent.seen.clear()
    assert states == [State.CONNECTING] * 2


# --- hooks ---------------------------------------------------------------------------------------------------


@virtual
async def test_the_hook_of_all_events_comes_first_and_callbacks_last() -> None:
    order: list[str] = []

    class Ordered(VoiceAgent):
        async def on_event(self, event: Event) -> None:
            await asyncio.sleep(0)
            if isinstance(event, SessionStarted):
                order.append("on_event")

        def on_session_started(self, event: SessionStarted) -> None:
            order.append("hook")

    async def callback(event: SessionStarted) -> None:
        order.append("callback")

    agent = Ordered(Line())
    agent.on(SessionStarted, callback)
    agent.on(SessionStarted, lambda event: agent.stop())
    undo = agent.on(SessionStarted, lambda event: order.append("undone"))
    undo()
    undo()
    await agent.run()
    assert order == ["on_event", "hook", "callback"]


@pytest.mark.parametrize("kind", [State, int, "UserSpoke", Event], ids=str)
def test_a_callback_for_what_is_no_event_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match="is no event"):
        VoiceAgent(Line()).on(kind, print)


@virtual
async def test_a_callback_may_undo_itself() -> None:
    seen: list[State] = []

    def once(event: StateChanged) -> None:
        seen.append(event.new)
        undo()

    agent = Recorder(Line())
    undo = agent.on(StateChanged, once)
    async with calling(agent):
        await agent.reach(State.READY)
    assert len(seen) == 1


# --- stop ----------------------------------------------------------------------------------------------------


@virtual
async def test_stop_before_and_after_a_call_is_nothing() -> None:
    agent = Recorder(Line())
    agent.stop()
    async with calling(agent):
        await agent.reach(State.READY)
        agent.stop()
        agent.stop()
    agent.stop()
    check_story(agent.seen)


@virtual
async def test_stop_from_a_hook_is_silent_at_once() -> None:
    class Shy(Recorder):
        def on_state_changed(self, event: StateChanged) -> None:
            if event.new is State.SPEAKING:
                self.stop()
                assert speaker.pending == 0

    agent, speaker = Shy(Line(), greeting=LONG), sink()
    assert await agent.run(Microphone(), speaker) == Verdict(EndReason.STOPPED)
    check_story(agent.seen)


@virtual
async def test_stop_while_connecting_ends_the_attempt() -> None:
    class Slow(Line):
        cancelled = False

        async def connect(self, settings: Any) -> Any:
            try:
                await anyio.sleep(10)
            except asyncio.CancelledError:
                self.cancelled = True
                raise

    line = Slow()
    agent = Recorder(line)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(agent.run)
        await anyio.sleep(1)
        assert agent.state is State.CONNECTING
        speech = agent.say("never")
        agent.stop()
        assert await speech == "dropped"
    assert line.cancelled
    assert anyio.current_time() == pytest.approx(1)
    check_story(agent.seen)


@virtual
async def test_what_was_asked_for_while_connecting_is_done_then() -> None:
    class Slow(Line):
        async def connect(self, settings: Any) -> Any:
            await anyio.sleep(3)
            return await super().connect(settings)

    agent = Recorder(Slow())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(agent.run)
        await anyio.sleep(1)
        speech = agent.say("Hello.")
        assert await speech == "heard"
        agent.stop()
    assert [event.text for event in agent.all(AgentSpoke)] == ["Hello."]


# --- how it is made ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"barge_in": "never"}, "barge_in"),
        ({"on_hook_error": "ignore"}, "on_hook_error"),
        ({"target": ""}, "model"),
        ({"tools": [print]}, "tool"),
    ],
)
def test_an_agent_that_cannot_work_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        VoiceAgent(Line(), **arguments)


@pytest.mark.parametrize(
    "transport", ["hello.wav", 5, object(), sink], ids=["path", "number", "object", "function"]
)
@virtual
async def test_what_is_no_source_or_sink_is_refused_before_connecting(transport: Any) -> None:
    line = Line()
    for given in ((transport, None), (None, transport)):
        with pytest.raises(ConfigurationError, match=r"FileSource|WavSink"):
            await VoiceAgent(line).run(*given)
    assert line.connections == []


@virtual
async def test_a_source_is_no_sink_and_a_sink_is_no_source() -> None:
    for given in ((sink(), None), (None, source())):
        with pytest.raises(ConfigurationError):
            await VoiceAgent(Line()).run(*given)


def test_the_class_and_the_environment_give_the_defaults() -> None:
    environment = {"AZURE_VOICELIVE_ENDPOINT": "emulator", "AZURE_VOICELIVE_INSTRUCTIONS": "Be kind."}
    agent = Receptionist.from_env(environment, greeting="Hi.")
    plan, _, settings = agent._plan(None, None)
    assert isinstance(agent, Receptionist)
    assert settings.endpoint == "http://127.0.0.1:8765"
    assert plan.session["instructions"] == "Be kind."
    assert plan.greeting == "Hi."
    assert [tool["name"] for tool in plan.session["tools"]] == ["opening_hours"]


@pytest.mark.parametrize("greeting", [5, ["Hello."], b"Hello."])
def test_a_greeting_is_text(greeting: Any) -> None:
    class Greeter(VoiceAgent):
        pass

    Greeter.greeting = greeting
    with pytest.raises(ConfigurationError, match="It is the text to say"):
        VoiceAgent(Line(), greeting=greeting)
    with pytest.raises(ConfigurationError, match="It is the text to say"):
        Greeter(Line())


def test_the_environment_changes_what_it_names_and_nothing_else() -> None:
    """A voice in the environment must not give an agent with a button an open microphone."""

    class Walkie(VoiceAgent):
        instructions = "Answer in one sentence."
        config = SessionConfig(turn_detection=None, temperature=0.7, voice="de-DE-KatjaNeural")

    environment = {"AZURE_VOICELIVE_ENDPOINT": "emulator"}
    voice = {"AZURE_VOICELIVE_VOICE": "en-US-AriaNeural"}
    for environ, name in ((environment, "de-DE-KatjaNeural"), (environment | voice, "en-US-AriaNeural")):
        session = Walkie.from_env(environ)._settings.session.to_session()
        assert (session["turn_detection"], session["temperature"]) == (None, 0.7)
        assert session["voice"]["name"] == name
        assert session["instructions"] == "Answer in one sentence."


def test_class_attributes_are_the_defaults_under_the_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    class German(VoiceAgent):
        target = "gpt-realtime"
        voice = "de-DE-KatjaNeural"
        config: ClassVar[Any] = {"temperature": 0.7}

    monkeypatch.setenv("AZURE_VOICELIVE_ENDPOINT", "https://x.services.ai.azure.com")
    agent = German(credential="key")
    assert (agent._settings.credential, agent._settings.target) == ("key", ModelTarget("gpt-realtime"))
    assert "de-DE-KatjaNeural" in str(agent._settings.session.to_session())
    assert agent._settings.session.temperature == 0.7
    other = German(target="gpt-4.1-mini", config={"voice": "en-US-AriaNeural"})
    assert other._settings.target == ModelTarget("gpt-4.1-mini")
    assert other._settings.credential is None
    assert "Aria" in str(other._settings.session.to_session())
    assert other._settings.session.temperature is None
