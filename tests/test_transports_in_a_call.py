"""What a source or a sink may do to its call, what it is told, and what it says about itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from voicelive_agent import (
    AudioFormat,
    ConfigurationError,
    EndReason,
    Event,
    Interrupted,
    SessionConfig,
    SessionStarted,
    State,
    StateChanged,
    TurnEnded,
    UserSpoke,
    Verdict,
)
from voicelive_agent.audio import Call
from voicelive_agent.config import EchoCancellation, Settings
from voicelive_agent.errors import (
    AuthenticationError,
    NotFoundError,
    RateLimitedError,
    ServiceUnavailableError,
)
from voicelive_agent.events import DtmfReceived, SessionEnded
from voicelive_agent.testing import MemorySink, MemorySource

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

STEREO = AudioFormat(channels=2)
ECHO = "input_audio_echo_cancellation"


class Phone(MemorySink):
    """Source and sink in one, a member of its call and an observer of it."""

    def __init__(self, *parts: bytes) -> None:
        super().__init__(clock=anyio.current_time)
        self.microphone = Microphone(*parts)
        self.calls: list[Call] = []
        self.observed: list[Event] = []

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.microphone.__aiter__()

    def join(self, call: Call) -> None:
        self.calls.append(call)

    def observe(self, event: Event) -> None:
        self.observed.append(event)

    @property
    def call(self) -> Call:
        (call,) = self.calls
        return call


# --- taking part ---------------------------------------------------------------------------------------------


@virtual
async def test_a_transport_joins_once_and_observes_all_before_the_hooks() -> None:
    phone = Phone()
    order: list[str] = []

    class Agent(Recorder):
        def on_event(self, event: Event) -> None:
            super().on_event(event)
            order.append(f"{type(event).__name__} after {len(phone.observed)}")

    agent = Agent(Line(), greeting="Hello.")
    async with calling(agent, phone, phone):
        await agent.until(lambda: agent.all(TurnEnded))
    assert len(phone.calls) == 1
    assert phone.observed == agent.seen
    assert [int(entry.split()[-1]) >= number for number, entry in enumerate(order, 1)] == [True] * len(order)


@virtual
async def test_source_and_sink_of_their_own_both_take_part() -> None:
    one, other = Phone(), Phone()
    agent = Recorder(Line(), greeting="Hello.")
    async with calling(agent, one, other):
        await agent.until(lambda: agent.all(TurnEnded))
    assert one.observed == other.observed == agent.seen
    assert len(one.calls) == len(other.calls) == 1


@virtual
async def test_what_a_transport_tells_is_an_event_like_others() -> None:
    phone = Phone()
    agent = Recorder(Line())
    keys: list[str] = []
    agent.on(DtmfReceived, lambda event: keys.append(event.digit))
    async with calling(agent, phone, phone):
        phone.call.tell(DtmfReceived("5"))
        phone.call.tell(DtmfReceived("#"))
        await agent.until(lambda: len(keys) == 2)
    assert keys == ["5", "#"]
    assert [event for event in phone.observed if isinstance(event, DtmfReceived)] == agent.all(DtmfReceived)


@virtual
async def test_a_far_end_that_hangs_up_ends_the_call_well() -> None:
    line, phone = Line(), Phone()
    agent = Recorder(line, greeting=LONG)
    async with anyio.create_task_group() as tasks:

        async def hang_up() -> None:
            await agent.reach(State.SPEAKING)
            await anyio.sleep(1)
            phone.call.hang_up("the caller hung up")

        tasks.start_soon(hang_up)
        verdict = await agent.run(phone, phone)
    assert verdict == Verdict(EndReason.HUNG_UP, "the caller hung up")
    assert verdict.ok
    assert agent.all(TurnEnded)[-1].status == "interrupted"
    assert line.last.closes == 1
    check_story(agent.seen)
    phone.call.hang_up("again")
    assert len(agent.all(SessionEnded)) == 1


@virtual
async def test_what_a_transport_fails_with_comes_out_of_run() -> None:
    phone = Phone()
    agent = Recorder(Line())
    error = ConnectionResetError("by peer")

    def fail(event: SessionStarted) -> None:
        phone.call.fail(error)
        phone.call.fail(OSError("too late"))

    agent.on(SessionStarted, fail)
    with pytest.raises(ConnectionResetError) as caught:
        await agent.run(phone, phone)
    assert caught.value is error
    assert agent.seen[-1] == SessionEnded(Verdict(EndReason.FAILED, "ConnectionResetError: by peer"))


@virtual
async def test_a_transport_that_leaves_while_connecting_ends_the_attempt() -> None:
    class Gone(Phone):
        def join(self, call: Call) -> None:
            super().join(call)
            call.hang_up("gone already")

    phone = Gone()
    verdict = await Recorder(Line()).run(phone, phone)
    assert verdict == Verdict(EndReason.HUNG_UP, "gone already")


@virtual
async def test_a_transport_may_interrupt_and_type() -> None:
    phone = Phone()
    agent = Recorder(Line(says=[]), greeting=LONG)
    async with calling(agent, phone, phone):
        await agent.reach(State.SPEAKING)
        await anyio.sleep(0.5)
        phone.call.interrupt()
        await agent.until(lambda: agent.all(Interrupted))
        phone.call.send_text("Are you there?")
        await agent.until(lambda: len(agent.all(TurnEnded)) == 2)
    assert [item.text for item in agent.history if item.role == "user"] == ["Are you there?"]


@virtual
async def test_what_a_transport_asks_for_while_it_is_told_comes_after_that() -> None:
    class Impatient(Phone):
        def observe(self, event: Event) -> None:
            super().observe(event)
            if isinstance(event, StateChanged) and event.new is State.SPEAKING:
                self.call.interrupt()
            if isinstance(event, Interrupted):
                self.call.hang_up("heard enough")

    phone = Impatient()
    agent = Recorder(Line(), greeting=LONG)
    verdict = await agent.run(phone, phone)
    assert verdict.detail == "heard enough"
    check_story(agent.seen)
    assert phone.observed == agent.seen
    kinds = [type(event).__name__ for event in agent.seen]
    assert kinds.index("Interrupted") < kinds.index("SessionEnded")


@virtual
async def test_what_an_observer_raises_comes_out_of_run() -> None:
    class Broken(Phone):
        def observe(self, event: Event) -> None:
            if isinstance(event, SessionStarted):
                raise LookupError("a bug in the transport")
            super().observe(event)

    phone = Broken()
    agent = Recorder(Line())
    with pytest.raises(LookupError, match="a bug in the transport"):
        await agent.run(phone, phone)
    check_story(agent.seen)
    assert agent.all(SessionStarted), "the agent is told all the same"


# --- what is in flight, and what is estimated ----------------------------------------------------------------


@pytest.mark.parametrize("in_flight_ms", [0, 60])
def test_what_can_no_longer_be_stopped_counts_as_heard(in_flight_ms: int) -> None:
    class Driver(MemorySink):
        """Its last 60 ms are with a driver."""

        @property
        def in_flight(self) -> int:
            return min(self.pending, RATE * in_flight_ms // 1000)

    @virtual
    async def check() -> None:
        speaker = Driver(clock=anyio.current_time)
        agent = Recorder(Line(), greeting=LONG)
        async with calling(agent, Microphone(), speaker):
            await agent.reach(State.SPEAKING)
            await anyio.sleep(2)
            pending = speaker.pending
            agent.interrupt()
            await agent.until(lambda: agent.all(Interrupted))
        (cut,) = agent.all(Interrupted)
        heard_ms = len(speaker.played) * 1000 // (2 * RATE)
        assert pending
        assert cut.heard_ms == heard_ms + in_flight_ms
        assert agent.all(TurnEnded)[-1].heard_ms == cut.heard_ms

    check()


@virtual
async def test_a_barge_in_lasts_until_what_is_in_flight_is_over() -> None:
    class Driver(MemorySink):
        @property
        def in_flight(self) -> int:
            return min(self.pending, RATE * 50 // 1000)

    async def barge_in_ms(speaker: MemorySink) -> int:
        agent = Recorder(Line(), greeting=LONG)
        async with calling(agent, Microphone(silence(2_000), tone(600)), speaker):
            await agent.until(lambda: agent.all(Interrupted))
            await agent.until(lambda: agent.all(TurnEnded))
        latency = agent.all(TurnEnded)[0].barge_in_ms
        assert latency is not None
        return latency

    bare = await barge_in_ms(MemorySink(clock=anyio.current_time))
    assert await barge_in_ms(Driver(clock=anyio.current_time)) == bare + 50


@pytest.mark.parametrize("estimated", [True, False])
def test_figures_of_a_sink_that_estimates_say_so(estimated: bool) -> None:
    @virtual
    async def check() -> None:
        speaker = sink()
        speaker.estimated = estimated  # type: ignore[attr-defined]
        agent = Recorder(Line(), greeting=LONG)
        async with calling(agent, Microphone(), speaker):
            await agent.reach(State.SPEAKING)
            await anyio.sleep(1)
            agent.interrupt()
            await agent.until(lambda: agent.all(TurnEnded))
        assert [event.heard_estimated for event in agent.all(Interrupted)] == [estimated]
        assert [event.heard_estimated for event in agent.all(TurnEnded)] == [estimated]

    check()


# --- echo ----------------------------------------------------------------------------------------------------


class Room(MemorySource):
    """A microphone that hears the agent too, and says what is to be done about it."""

    def __init__(self, *parts: bytes, echo: str | None, format: AudioFormat | None = None) -> None:
        super().__init__(*parts, format=format)
        self.echo_cancellation = echo


async def session_with(source: Any, speaker: Any, **arguments: Any) -> tuple[dict[str, Any], Settings]:
    """The session that an agent asks for with this source, and the settings it connects with."""
    line, connected = Line(), []

    class Connector:
        async def connect(self, settings: Settings) -> Any:
            connected.append(settings)
            return await line.connect(settings)

    await Recorder(Connector(), **arguments).run(source, speaker)
    return line.sent("session.update")[0]["session"], connected[0]


@virtual
async def test_a_microphone_in_a_room_asks_for_echo_cancellation() -> None:
    session, settings = await session_with(Room(silence(100), echo="server"), sink())
    wanted = {"type": "server_echo_cancellation", "reference_source": "server", "channels": 1}
    assert session[ECHO] == wanted
    assert settings.query == {}
    session, _ = await session_with(Room(silence(100), echo=None), sink())
    assert ECHO not in session
    session, _ = await session_with(MemorySource(silence(100)), sink())
    assert ECHO not in session, "a file has no echo"
    session, _ = await session_with(Room(silence(100), echo="server"), None)
    assert ECHO not in session, "a text conversation has no voice"


@virtual
async def test_the_configuration_says_it_first() -> None:
    config = SessionConfig(input_audio_echo_cancellation=EchoCancellation())
    session, _ = await session_with(Room(silence(100), echo="server"), sink(), config=config)
    assert session[ECHO] == {"type": "server_echo_cancellation"}


@virtual
async def test_an_echo_reference_goes_to_the_service_as_the_second_channel() -> None:
    class Agent(Recorder):
        pass

    line = Line(says=["Hello there."])
    left, right = tone(600), silence(600)
    frames = b"".join(left[at : at + 2] + right[at : at + 2] for at in range(0, len(left), 2))
    blocks = [frames[at : at + 1920] for at in range(0, len(frames), 1920)]
    agent = Agent(line)
    await agent.run(Room(*blocks, echo="client", format=STEREO), sink())
    assert line.sent("session.update")[0]["session"][ECHO] == {
        "type": "server_echo_cancellation",
        "reference_source": "client",
        "channels": 2,
    }
    assert bytes(line.last.audio[: len(frames)]) == frames, "no sample was touched"
    assert [event.text for event in agent.all(UserSpoke)] == ["Hello there."]


@virtual
async def test_an_echo_reference_is_announced_in_the_url() -> None:
    _, settings = await session_with(Room(bytes(1920), echo="client", format=STEREO), sink())
    assert settings.query == {"features": "client_ec_reference:true"}


@virtual
async def test_an_echo_reference_at_another_rate_is_converted_channel_by_channel() -> None:
    line = Line()
    source = Room(bytes(480 * 8), echo="client", format=AudioFormat(rate=48_000, channels=2))
    await Recorder(line).run(source, sink())
    assert line.sent("session.update")[0]["session"]["input_audio_sampling_rate"] == 24_000
    assert len(line.last.audio) % 4 == 0


@pytest.mark.parametrize(
    ("source", "speaker", "config", "words"),
    [
        (Room(echo="client", format=STEREO), None, None, "the session takes none"),
        (
            Room(echo="client", format=STEREO),
            MemorySink(),
            SessionConfig(input_audio_echo_cancellation=EchoCancellation()),
            "the session takes none",
        ),
        (
            MemorySource(),
            MemorySink(),
            SessionConfig(input_audio_echo_cancellation=EchoCancellation(reference_source="client", channels=2)),
            "the source has pcm16 24000 Hz",
        ),
        (
            None,
            MemorySink(),
            SessionConfig(input_audio_echo_cancellation=EchoCancellation(reference_source="client", channels=2)),
            "there is no source",
        ),
        (Room(echo="client"), MemorySink(), None, "the source has pcm16 24000 Hz"),
    ],
)
async def test_half_an_echo_reference_is_refused(source: Any, speaker: Any, config: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        await Recorder(Line(), config=config).run(source, speaker)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (AuthenticationError("refused", hint="Check the key."), EndReason.AUTHENTICATION),
        (NotFoundError("no such model"), EndReason.NOT_FOUND),
        (RateLimitedError("too many"), EndReason.RATE_LIMITED),
        (ServiceUnavailableError("down"), EndReason.UNAVAILABLE),
        (ConfigurationError("no such endpoint"), EndReason.CONFIGURATION),
        (LookupError("a bug"), EndReason.FAILED),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_transport_learns_why_there_is_no_session(error: Exception, reason: EndReason) -> None:
    class Nowhere:
        async def connect(self, settings: Settings) -> Any:
            raise error

    @virtual
    async def check() -> None:
        phone = Phone()
        with pytest.raises(type(error)) as caught:
            await Recorder(Nowhere()).run(phone, phone)
        assert caught.value is error
        ended = phone.observed[-1]
        assert isinstance(ended, SessionEnded)
        assert (ended.verdict.reason, ended.verdict.hint) == (reason, getattr(error, "hint", ""))

    check()
