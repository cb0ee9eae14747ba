"""The shell: whatever happens at whatever moment, a call ends once, silent, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from voicelive_agent import (
    AudioFormat,
    EndReason,
    Interrupted,
    SessionLostError,
    SessionStarted,
    State,
    TurnEnded,
    Verdict,
    tool,
)
from voicelive_agent._connection import Connection, ConnectionEnded
from voicelive_agent._pump import STALL_S
from voicelive_agent.emulator import Call
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
from voicelive_agent.testing import MemorySink, MemorySource, run_virtual

from .agent_driver import (
    LONG,
    RATE,
    Line,
    Microphone,
    Recorder,
    calling,
    check_story,
    emulated,
    leftover_tasks,
    silence,
    sink,
    source,
    tone,
    virtual,
)

# --- cancelled at every moment -------------------------------------------------------------------------------


class Busy(Recorder):
    """Connects in 100 ms, greets, is interrupted at 0.5 s, calls a tool, says the result, is stopped at 5 s."""

    greeting = LONG

    def __init__(self) -> None:
        self.line = SlowLine(lambda: emulated((".*", Call("look_up", {})), says=["look it up"]))
        super().__init__(self.line)
        self.microphone = Microphone(silence(400), tone(500))
        self.speaker = sink()

    @tool
    async def look_up(self) -> str:
        """Look something up."""
        await anyio.sleep(1)
        return LONG

    async def hold(self) -> Verdict:
        return await self.run(self.microphone, self.speaker)

    async def on_tool_finished(self, event: ToolFinished) -> None:
        await anyio.sleep(0.5)


class SlowLine(Line):
    async def connect(self, settings: Any) -> Connection:
        await anyio.sleep(0.1)
        connection = await super().connect(settings)
        self.last.close_s = 0.1
        return connection


def check_over(agent: Busy) -> None:
    """The call has left nothing behind."""
    assert not leftover_tasks()
    assert agent.state is State.CLOSED
    assert agent.speaker.pending == 0
    assert [connection.closes for connection in agent.line.connections] in ([], [1])
    assert agent.microphone.closed == ("ready" in agent.states or "processing" in agent.states)


async def turns_of_the_loop(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def cancelled_at(moment_s: float, turns: int) -> bool:
    """Cancel the call at this moment, and so many turns of the loop later; whether it had not ended before."""
    agent = Busy()
    call = asyncio.ensure_future(agent.hold())
    asyncio.get_running_loop().call_later(5.0, agent.stop)
    await anyio.sleep(moment_s)
    await turns_of_the_loop(turns)
    cut = call.cancel()
    await asyncio.wait([call])
    assert call.cancelled() is cut
    check_over(agent)
    return cut


def test_the_story_that_is_cut_off() -> None:
    """What the sweeps below cut at every moment is a call in which everything happens."""

    async def whole() -> None:
        agent = Busy()
        asyncio.get_running_loop().call_later(5.0, agent.stop)
        assert await agent.hold() == Verdict(EndReason.STOPPED)
        check_over(agent)
        check_story(agent.seen)
        assert agent.states[:4] == ["processing", "speaking", "listening", "processing"]
        assert agent.states[-2:] == ["speaking", "closed"]
        assert len(agent.all(Interrupted)) == 2
        assert agent.all(ToolFinished)
        assert anyio.current_time() == pytest.approx(5.1)

    run_virtual(whole)


def test_cancelled_at_any_time_it_leaves_nothing_behind() -> None:
    async def sweep() -> None:
        cut = [await cancelled_at(at_ms / 1000, 0) for at_ms in range(0, 5200, 40)]
        assert cut.count(True) > 120
        assert cut[-1] is False
        gc.collect()

    run_virtual(sweep)


@pytest.mark.parametrize("moment_s", [0, 0.1, 0.52, 1.42, 2.42, 5.0, 5.1], ids=lambda moment_s: f"{moment_s}s")
def test_cancelled_at_any_turn_of_the_loop_it_leaves_nothing_behind(moment_s: float) -> None:
    """Start, connection, barge-in, tool, answer, stop and close, one turn of the event loop after the other."""

    async def sweep() -> None:
        for turns in range(40):
            await cancelled_at(moment_s, turns)
        gc.collect()

    run_virtual(sweep)


@pytest.mark.parametrize("turns", range(0, 30, 3))
@virtual
async def test_stopped_and_cancelled_it_ends_once(turns: int) -> None:
    agent = Busy()
    call = asyncio.ensure_future(agent.hold())
    await anyio.sleep(1)
    agent.stop()
    await turns_of_the_loop(turns)
    call.cancel()
    call.cancel()
    await asyncio.wait([call])
    assert call.cancelled()
    check_over(agent)


@virtual
async def test_cancelled_while_closing_it_closes_to_the_end() -> None:
    agent = Busy()
    call = asyncio.ensure_future(agent.hold())
    await anyio.sleep(1)
    agent.stop()
    for _ in range(3):
        await anyio.sleep(0.03)
        call.cancel()
    await asyncio.wait([call])
    assert call.cancelled()
    assert anyio.current_time() == pytest.approx(1.1)  # the close took its 100 ms
    check_over(agent)


@pytest.mark.parametrize("limit_s", [0.05, 0.11, 0.5, 1.5, 4.0])
@virtual
async def test_time_limits_around_a_call_are_kept(limit_s: float) -> None:
    for scope in (anyio.fail_after(limit_s), asyncio.timeout(limit_s)):
        agent, began = Busy(), anyio.current_time()
        with pytest.raises(TimeoutError):
            if isinstance(scope, asyncio.Timeout):
                async with scope:
                    await agent.hold()
            else:
                with anyio.fail_after(limit_s):
                    await agent.hold()
        assert anyio.current_time() - began == pytest.approx(limit_s + 0.1 * bool(agent.line.connections))
        check_over(agent)


@virtual
async def test_a_failing_neighbour_cancels_the_call_and_is_what_is_raised() -> None:
    agent = Busy()

    async def fail() -> None:
        await anyio.sleep(1)
        raise LookupError("the neighbour")

    with pytest.raises(ExceptionGroup) as caught:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(agent.hold)
            tasks.start_soon(fail)
    assert caught.group_contains(LookupError, depth=1)
    assert len(caught.value.exceptions) == 1
    check_over(agent)


@virtual
async def test_a_hook_may_cancel_its_own_call() -> None:
    class Suicidal(Busy):
        def on_interrupted(self, event: Interrupted) -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()

    agent = Suicidal()
    call = asyncio.ensure_future(agent.hold())
    await asyncio.wait([call])
    assert call.cancelled()
    check_over(agent)


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
    chunks = [kind(said[start:end]) for start, end in zip(cuts, cuts[1:], strict=False)]
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
    assert anyio.current_time() == pytest.approx(turn.heard_ms / 1000 + 0.7, abs=0.03)


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


# --- sinks ---------------------------------------------------------------------------------------------------


class Faulty(MemorySink):
    """Raises from its ``after``-th second on, wherever it is told."""

    def __init__(self, where: str, error: Exception, after_s: float = 0.0) -> None:
        super().__init__(clock=anyio.current_time)
        self.where, self.error, self.after_s = where, error, after_s

    def _maybe(self, where: str) -> None:
        if self.where in (where, "all") and anyio.current_time() >= self.after_s:
            raise self.error

    @property
    def pending(self) -> int:
        self._maybe("pending")
        return super().pending

    def write(self, pcm: bytes) -> None:
        self._maybe("write")
        super().write(pcm)

    def flush(self) -> None:
        self._maybe("flush")
        super().flush()


async def _leave(agent: Recorder) -> None:
    await agent.run(Microphone(silence(1500), tone(500)), agent.speaker)


class Listened(Recorder):
    greeting = LONG
    speaker: Faulty


@pytest.mark.parametrize("after_s", [0.0, 1.0, 1.6])
@pytest.mark.parametrize("where", ["pending", "write", "flush", "all"])
@virtual
async def test_what_a_sink_raises_comes_out_of_run(where: str, after_s: float) -> None:
    """Of the first answer, in its middle, and at the barge-in; ``flush`` is not needed before that."""
    line, error = Line(), OSError("no speaker")
    agent = Listened(line)
    agent.speaker = Faulty(where, error, after_s)
    if where == "write" and after_s == 1.6:
        agent.greeting = None  # the barge-in would be first; so it is the answer that cannot be written
    with pytest.raises(OSError, match="no speaker") as caught:
        await agent.run(Microphone(silence(1500), tone(500)), agent.speaker)
    assert caught.value is error
    assert agent.seen[-1] == SessionEnded(Verdict(EndReason.FAILED, "OSError: no speaker"))
    check_story(agent.seen)
    assert line.last.closes == 1


@pytest.mark.parametrize("ask", ["stop", "interrupt", "say", "leave"])
@virtual
async def test_a_sink_that_raises_ends_the_call_and_not_who_asked(ask: str) -> None:
    line, error = Line(), OSError("no speaker")
    agent, speaker = Recorder(line, greeting=LONG), Faulty("all", error, after_s=1.0)
    with pytest.raises(OSError, match="no speaker") as caught:
        async with agent.events(None, speaker) as events:
            while agent.state is not State.SPEAKING:
                await anext(events)
            await anyio.sleep(0.999)
            speech = agent.say("Still there?")
            speaker.after_s = 0.0
            if ask == "say":
                agent.say("Hello?")
            elif ask != "leave":
                getattr(agent, ask)()
            if ask != "leave":
                seen = [event async for event in events]
                assert [type(event) for event in seen].count(SessionEnded) == 1
    assert caught.value is error
    assert await speech in ("dropped", "interrupted")
    assert line.last.closes == 1
    assert [item.heard_ms for item in agent.history][:1] == [pytest.approx(1000, abs=50)]


@virtual
async def test_a_sink_with_an_impossible_rate_is_refused_before_connecting() -> None:
    line = Line()
    with pytest.raises(ValueError, match="1000000 Hz"):
        await Recorder(line).run(None, sink(rate=1_000_000))
    assert line.connections == []


class Stuck(MemorySink):
    """Plays nothing while it is stuck."""

    def __init__(self) -> None:
        self.now = 0.0
        self.stuck = False
        super().__init__(clock=self._clock)

    def _clock(self) -> float:
        if not self.stuck:
            self.now = anyio.current_time()
        return self.now


@virtual
async def test_a_sink_that_stalls_is_told_once_each_time() -> None:
    agent, speaker = Recorder(Line(), greeting=LONG), Stuck()
    async with calling(agent, None, speaker):
        for time in (1, 2):
            await anyio.sleep(1)
            speaker.stuck = True
            await anyio.sleep(10)
            assert len(agent.all(SinkStalled)) == time
            assert agent.state is State.SPEAKING
            speaker.stuck = False
            await anyio.sleep(0.5)
    for stalled in agent.all(SinkStalled):
        assert STALL_S * 1000 <= stalled.stalled_ms <= STALL_S * 1000 + 500
        assert 200 <= stalled.pending_ms <= 500


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

    with pytest.raises(LookupError, match="a bug"):
        async with calling(agent, None, sink()):
            await agent.reach(State.SPEAKING)
            assert agent._shell is not None
            monkeypatch.setattr(agent._shell.conversation, "tick", fail)
            await anyio.sleep(30)
    check_story(agent.seen)
