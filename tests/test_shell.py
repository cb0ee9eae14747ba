"""The shell between a source, a connection and the conversation: what it sends, what it drops, when it ends."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from voicelive_agent import (
    AgentSpoke,
    AudioFormat,
    EndReason,
    SessionLostError,
    SessionStarted,
    State,
    TurnEnded,
    Verdict,
    tool,
)
from voicelive_agent._connection import Connection, ConnectionEnded
from voicelive_agent.events import (
    Event,
    MessageRejected,
    MicrophoneDropped,
    SessionEnded,
    SinkStalled,
    SpeechStarted,
    SpeechStopped,
    ToolFinished,
)
from voicelive_agent.testing import MemorySource
from voicelive_agent.testing._time import VirtualLoop

from .agent_driver import (
    LONG,
    RATE,
    Line,
    Microphone,
    Recorder,
    calling,
    check_story,
    emulated,
    silence,
    sink,
    source,
    tone,
    virtual,
)

# --- sources -------------------------------------------------------------------------------------------------


class Source:
    """Gives the chunks, an exception among them is raised."""

    def __init__(self, *chunks: Any, format: AudioFormat | None = None, every_s: float = 0.02) -> None:
        self.format = format or AudioFormat()
        self.chunks = chunks
        self.every_s = every_s

    async def __aiter__(self) -> AsyncIterator[Any]:
        for chunk in self.chunks:
            await anyio.sleep(self.every_s)
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk


@virtual
async def test_what_a_source_raises_comes_out_of_run_and_the_agent_is_silent() -> None:
    line, speaker, error = Line(), sink(), OSError("unplugged")
    agent = Recorder(line, greeting=LONG)
    with pytest.raises(OSError, match="unplugged") as caught:
        await agent.run(Source(*[silence(20)] * 50, error), speaker)
    assert caught.value is error
    assert agent.seen[-1] == SessionEnded(Verdict(EndReason.FAILED, "OSError: unplugged"))
    check_story(agent.seen)
    assert (speaker.flushes, speaker.pending, line.last.closes) == (1, 0, 1)
    [spoken] = agent.history
    assert 1000 <= spoken.heard_ms <= 1050


@virtual
async def test_a_source_that_is_cancelled_by_somebody_else_does_not_leave_a_deaf_call() -> None:
    class Broken(Source):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield silence(20)
            raise asyncio.CancelledError  # the task that fills its queue was cancelled, for example

    agent = Recorder(Line())
    with pytest.raises(RuntimeError, match=r"listen\(\) was cancelled, but not by this call"):
        await agent.run(Broken())
    check_story(agent.seen)


@pytest.mark.parametrize("rate", [24_000, 44_100])
@pytest.mark.parametrize("chunk", ["text", 5, None, [0, 1]], ids=lambda chunk: type(chunk).__name__)
@virtual
async def test_a_chunk_that_is_not_bytes_is_named(chunk: object, rate: int) -> None:
    agent = Recorder(Line())
    with pytest.raises(TypeError, match=f"Source gave a {type(chunk).__name__}: the chunks of a source are bytes"):
        await agent.run(Source(silence(20), chunk, format=AudioFormat(rate=rate)))
    check_story(agent.seen)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@virtual
async def test_chunks_may_be_cut_anywhere(kind: type[Any]) -> None:
    line, said = Line(), silence(100) + tone(900)
    cuts = [0, 1, 1, 4, 999, 1000, 7001, len(said)]
    chunks = [kind(said[start:end]) for start, end in itertools.pairwise(cuts)]
    await Recorder(line).run(Source(*chunks))
    assert bytes(line.last.audio).startswith(said)
    assert not any(line.last.audio[len(said) :])


@virtual
async def test_an_odd_byte_at_the_end_is_left_out() -> None:
    line = Line()
    await Recorder(line).run(Source(tone(100) + b"\x7f"))
    assert line.last.audio.startswith(tone(100))
    assert not any(line.last.audio[len(tone(100)) :])


@pytest.mark.parametrize(
    ("format", "said"),
    [
        (AudioFormat(rate=48_000, channels=2), bytes(48_000 * 4)),
        (AudioFormat(rate=11_025), bytes(11_025 * 2)),
        (AudioFormat("g711_ulaw", 8_000), b"\xff" * 8_000),
        (AudioFormat("g711_alaw", 16_000), b"\xd5" * 16_000),
    ],
    ids=str,
)
@virtual
async def test_a_second_of_any_format_is_a_second(format: AudioFormat, said: bytes) -> None:
    line = Line()
    agent = Recorder(line)
    await agent.run(MemorySource(said, format=format))
    sent = line.sent("session.update")[0]["session"]
    frame = 1 if sent["input_audio_format"].startswith("g711") else 2
    seconds = len(line.last.audio) / frame / sent["input_audio_sampling_rate"]
    assert seconds == pytest.approx(1.7, abs=0.021)  # and the silence until it was over
    assert anyio.current_time() == pytest.approx(1.7, abs=0.021)


@virtual
async def test_a_source_that_says_nothing_ends_the_call_after_a_moment() -> None:
    line = Line()
    verdict = await Recorder(line).run(MemorySource())
    assert verdict == Verdict(EndReason.SOURCE_FINISHED)
    assert anyio.current_time() == pytest.approx(0.7, abs=0.021)  # 500 ms of the turn detection and 200 ms more
    assert len(line.last.audio) == pytest.approx(0.7 * RATE * 2, abs=960 + 1)


@pytest.mark.parametrize("cut_ms", [0, 1, 480])
@virtual
async def test_a_source_that_ends_in_the_middle_of_a_word_is_answered_and_the_answer_heard(cut_ms: int) -> None:
    agent, speaker = Recorder(Line(lambda: emulated(("hello", "Good morning."), says=["hello"]))), sink()
    verdict = await agent.run(source(silence(200), tone(500), silence(cut_ms)), speaker)
    assert verdict == Verdict(EndReason.SOURCE_FINISHED)
    [turn] = agent.all(TurnEnded)
    assert turn.status == "completed"
    began = anyio.current_time() - 0.7 - turn.heard_ms / 1000
    assert began == pytest.approx(0.2 + 0.5 + 0.5, abs=0.08)  # as if nothing had been missing
    assert len(agent.all(SpeechStopped)) == 1


@virtual
async def test_a_source_that_ends_while_the_agent_speaks_waits_for_the_last_sample() -> None:
    agent, speaker = Recorder(Line(), greeting=LONG), sink()
    await agent.run(source(silence(100)), speaker)
    [turn] = agent.all(TurnEnded)
    assert turn.status == "completed"
    assert len(speaker.played) == turn.heard_ms * RATE // 1000 * 2
    assert 0.7 <= anyio.current_time() - turn.heard_ms / 1000 < 0.75


@virtual
async def test_a_machine_that_stands_still_at_the_end_of_a_source_cuts_no_answer_off() -> None:
    """Then an answer of the service still takes its time on the way."""
    stood_still = anyio.Event()

    class Distant(Line):
        async def connect(self, settings: Any) -> Connection:
            connection = await super().connect(settings)
            receive, send = connection.receive, connection.send

            async def late() -> bytes:
                message = await receive()
                if b"speech_started" in message:
                    await stood_still.wait()
                    await anyio.sleep(0.3)
                return message

            async def stand_still(text: str) -> None:
                await send(text)
                if len(self.last.audio) > 500 * RATE // 1000 * 2 and not stood_still.is_set():
                    stood_still.set()
                    loop = asyncio.get_running_loop()
                    assert isinstance(loop, VirtualLoop)
                    loop._now += 3

            connection.receive, connection.send = late, stand_still  # type: ignore[method-assign]
            return connection

    agent = Recorder(Distant(lambda: emulated(("hello", "Good morning."), says=["hello"])))
    await agent.run(source(tone(500), paced=False))
    assert [event.text for event in agent.all(AgentSpoke)] == ["Good morning."]


@virtual
async def test_a_source_is_not_asked_before_the_service_is_ready() -> None:
    asked: list[float] = []

    class Eager(Source):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            asked.append(anyio.current_time())
            yield silence(20)

    class Slow(Line):
        async def connect(self, settings: Any) -> Connection:
            await anyio.sleep(3)
            return await super().connect(settings)

    await Recorder(Slow()).run(Eager())
    assert asked == [pytest.approx(3)]


@virtual
async def test_a_source_that_is_interrupted_is_closed_before_run_returns() -> None:
    agent, microphone = Recorder(Line()), Microphone(tone(100))

    async with calling(agent, microphone):
        await agent.until(lambda: agent.all(SpeechStarted))
    assert microphone.closed == 1


@virtual
async def test_a_source_whose_cleanup_hangs_is_waited_for_two_seconds() -> None:
    class Clinging(Source):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            try:
                while True:
                    yield silence(20)
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(2.5)

    agent = Recorder(Line())
    async with calling(agent, Clinging()):
        await agent.reach(State.READY)
        began = anyio.current_time()
    assert anyio.current_time() - began < 3


# --- a slow network ------------------------------------------------------------------------------------------


@virtual
async def test_a_slow_network_drops_the_microphone_and_then_is_live_again() -> None:
    line, said = Line(), tone(4000)
    agent = Recorder(line)
    async with calling(agent, Microphone(said)):
        await agent.reach(State.READY)
        line.last.unsent = 200 * 64  # 200 ms of base64: still good
        await anyio.sleep(1.01)
        line.last.unsent += 1
        sent = len(line.last.audio)
        await anyio.sleep(1)
        assert len(line.last.audio) == sent
        assert not agent.all(MicrophoneDropped)
        line.last.unsent = 0
        await anyio.sleep(1)
        assert agent.all(MicrophoneDropped) == [MicrophoneDropped(1000)]
    assert bytes(line.last.audio) == said[:sent] + said[sent + RATE * 2 :][: len(line.last.audio) - sent]
    check_story(agent.seen)


@pytest.mark.parametrize("ends", [False, True], ids=["stopped", "source ends"])
@virtual
async def test_what_was_dropped_last_is_told_before_the_end(ends: bool) -> None:
    line = Line()
    agent = Recorder(line)
    given = source(silence(1000)) if ends else Microphone()

    async with calling(agent, given) as call:
        await agent.reach(State.READY)
        line.last.unsent = 10**6
        if ends:
            await call
        else:
            await anyio.sleep(1.001)
    assert agent.all(MicrophoneDropped) == [MicrophoneDropped(1000)]
    check_story(agent.seen)


# --- the connection ------------------------------------------------------------------------------------------


class Scripted:
    """A connection on which everything has arrived already: reading it never waits."""

    def __init__(self, *messages: str) -> None:
        self.messages = list(messages)
        self.closes = 0

    async def connect(self, settings: object) -> Scripted:
        return self

    @property
    def unsent(self) -> int:
        return 0

    async def send(self, text: str) -> None:
        raise ConnectionEnded(Verdict(EndReason.NETWORK, "gone"))

    async def receive(self) -> bytes:
        if self.messages:
            return self.messages.pop(0).encode()
        raise ConnectionEnded(Verdict(EndReason.NETWORK, "gone"))

    async def close(self) -> None:
        self.closes += 1


@virtual
async def test_a_connection_that_cannot_be_written_is_judged_by_who_reads_it() -> None:
    line = Scripted('{"type": "session.created", "session": {}}', '{"type": "session.updated", "session": {}}')
    agent = Recorder(line)
    with pytest.raises(SessionLostError, match="gone") as lost:
        await agent.run(Microphone())
    assert lost.value.verdict.reason is EndReason.NETWORK
    check_story(agent.seen)
    assert agent.all(SessionStarted)
    assert line.closes == 1


@virtual
async def test_a_microphone_that_finds_the_line_dead_waits_for_the_verdict() -> None:
    class Dying(Scripted):
        async def receive(self) -> bytes:
            if not self.messages:
                await anyio.sleep(1)
            return await super().receive()

    agent = Recorder(
        Dying('{"type": "session.created", "session": {}}', '{"type": "session.updated", "session": {}}')
    )
    with pytest.raises(SessionLostError, match="gone"):
        await agent.run(Microphone())
    assert anyio.current_time() == pytest.approx(1)
    check_story(agent.seen)


@virtual
async def test_a_service_that_never_accepts_the_session_is_given_up() -> None:
    class Mute(Line):
        async def connect(self, settings: Any) -> Connection:
            await super().connect(settings)
            return Waiting(self.last, ['{"type": "session.created", "session": {}}'])

    class Waiting(Scripted):
        def __init__(self, inner: Connection, messages: list[str]) -> None:
            super().__init__(*messages)
            self.inner = inner

        async def send(self, text: str) -> None:
            pass

        async def receive(self) -> bytes:
            if not self.messages:
                await anyio.sleep_forever()
            return await super().receive()

    agent = Recorder(Mute())
    with pytest.raises(SessionLostError, match=r"no session\.updated within 10 s"):
        await agent.run(Microphone())
    assert anyio.current_time() == pytest.approx(10)


@virtual
async def test_messages_that_cannot_be_read_are_told_and_then_too_many() -> None:
    line = Scripted('{"type": "session.created", "session": {}}', *["nonsense"] * 30)
    agent = Recorder(line)
    with pytest.raises(SessionLostError) as lost:
        await agent.run()
    assert lost.value.verdict.reason is EndReason.PROTOCOL
    assert len(agent.all(MessageRejected)) == 20
    check_story(agent.seen)


@virtual
async def test_a_tool_that_is_cancelled_before_it_began_does_not_begin() -> None:
    called: list[str] = []

    class Helpful(Recorder):
        @tool(cancel_on_interruption=True)
        def plain(self) -> str:
            """A plain function."""
            called.append("plain")
            return ""

        @tool(cancel_on_interruption=True)
        async def coroutine(self) -> str:
            """A coroutine function."""
            called.append("coroutine")
            return ""

    def call(name: str) -> str:
        item = f'{{"type": "function_call", "name": "{name}", "call_id": "{name}", "arguments": ""}}'
        return (
            f'{{"type": "response.output_item.done", "response_id": "r", "item": {item[:-1]}, "id": "{name}"}}}}'
        )

    line = Scripted(
        '{"type": "session.created", "session": {}}',
        '{"type": "session.updated", "session": {}}',
        '{"type": "response.created", "response": {"id": "r"}}',
        call("plain"),
        call("coroutine"),
        '{"type": "response.done", "response": {"id": "r", "status": "completed"}}',
        '{"type": "input_audio_buffer.speech_started", "item_id": "u"}',
    )
    agent = Helpful(line)
    with pytest.raises(SessionLostError):
        await agent.run()
    assert [(event.name, event.error) for event in agent.all(ToolFinished)] == [
        ("plain", "cancelled"),
        ("coroutine", "cancelled"),
    ]
    assert called == []


@virtual
async def test_a_fault_of_the_machine_itself_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = Recorder(Line(), greeting=LONG)

    def fail(**known: Any) -> list[Event]:
        raise LookupError("a bug")

    with pytest.raises(LookupError, match="a bug"):  # noqa: PT012
        async with calling(agent, None, sink()):
            await agent.reach(State.SPEAKING)
            assert agent._shell is not None
            monkeypatch.setattr(agent._shell.conversation, "tick", fail)
            await anyio.sleep(30)
    check_story(agent.seen)


@virtual
async def test_a_source_that_ends_over_a_sink_that_plays_nothing_ends_the_call() -> None:
    class Stuck:
        format = AudioFormat()
        pending = 0

        def write(self, pcm: bytes) -> None:
            self.pending += len(pcm) // 2

        def flush(self) -> None:
            self.pending = 0

    agent = Recorder(Line(), greeting=LONG)
    verdict = await agent.run(source(silence(100)), Stuck())
    assert verdict.reason is EndReason.SOURCE_FINISHED
    assert len(agent.all(SinkStalled)) == 1
    assert anyio.current_time() < 5
