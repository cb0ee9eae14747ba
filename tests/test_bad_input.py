"""Wrong files, damaged recordings, odd transports and impossible settings: what the user of an agent is told."""

from __future__ import annotations

import os
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from voicelive_agent import (
    AudioFileError,
    AudioFormat,
    ConfigurationError,
    EndReason,
    SessionEnded,
    State,
    Verdict,
    VoiceAgent,
    WavSink,
    WavSource,
)
from voicelive_agent._pump import STALL_S
from voicelive_agent.errors import VoiceLiveError
from voicelive_agent.events import RequestRefused, ServiceFailed, SinkStalled, StateChanged, TranscriptionFailed
from voicelive_agent.files import WavWriter
from voicelive_agent.testing import MemorySink, MemorySource

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

# --- recordings ----------------------------------------------------------------------------------------------


def wav(tag: int = 1, channels: int = 1, rate: int = RATE, bits: int = 16, data: bytes = bytes(960)) -> bytes:
    frame = channels * bits // 8
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, tag, channels, rate, rate * frame, frame, bits)
    return (
        b"RIFF"
        + struct.pack("<I", 36 + len(data))
        + b"WAVE"
        + fmt
        + struct.pack("<4sI", b"data", len(data))
        + data
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        (b"", "empty"),
        (b"RIFF", "not a WAV file"),
        (b"ID3\x03" + bytes(100), "not a WAV file"),
        (wav()[:30], "cut short"),
        (wav()[:44], "holds no audio"),
        (wav(tag=3, bits=16), "floating-point"),
        (wav(tag=0x11, bits=4), "IMA ADPCM"),
        (wav(bits=40), "40 bits"),
        (wav(rate=0), "0 samples per second"),
        (wav(channels=0), "no channels"),
    ],
    ids=["missing", "empty", "stub", "mp3", "header", "no audio", "float", "codec", "40-bit", "rate", "channels"],
)
@virtual
async def test_a_file_that_is_no_recording_is_named_before_any_call(
    content: bytes | None, words: str, tmp_path: Path
) -> None:
    line, path = Line(), tmp_path / "said.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AudioFileError, match=words) as caught:
        await Recorder(line).run(WavSource(path), sink())
    assert caught.value.path == str(path)
    assert caught.value.hint
    assert line.connections == []


@virtual
async def test_a_recording_that_vanishes_before_it_is_played_ends_the_call(tmp_path: Path) -> None:
    path, line = tmp_path / "said.wav", Line()
    path.write_bytes(wav())
    said = WavSource(path)
    path.unlink()
    agent = Recorder(line, greeting=LONG)
    with pytest.raises(AudioFileError, match="no such file"):
        await agent.run(said, sink())
    assert isinstance(agent.seen[-1], SessionEnded)
    assert agent.seen[-1].verdict.reason is EndReason.FAILED
    assert line.last.closes == 1
    check_story(agent.seen)


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 192_000])
@virtual
async def test_a_conversation_between_files_of_any_rate(rate: int, tmp_path: Path) -> None:
    with WavWriter(tmp_path / "said.wav", rate, 2) as writer:
        mono = silence(500, rate) + tone(500, rate)
        writer.write(b"".join(mono[at : at + 2] * 2 for at in range(0, len(mono), 2)))
    agent = Recorder(Line(lambda: emulated(("hi", "Yes."), says=["hi"])))
    async with WavSink(tmp_path / "heard.wav", rate=rate, clock=anyio.current_time) as heard:
        verdict = await agent.run(WavSource(tmp_path / "said.wav"), heard)
        assert verdict == Verdict(EndReason.SOURCE_FINISHED)
        assert heard.heard / rate == pytest.approx(5800 / RATE, abs=0.001)
    assert WavSource(tmp_path / "heard.wav").duration_s == pytest.approx(anyio.current_time(), abs=0.01)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no /dev/full")
@virtual
async def test_a_full_disk_ends_the_recording_and_not_the_call(tmp_path: Path) -> None:
    heard = WavSink(tmp_path / "heard.wav", clock=anyio.current_time)
    agent = Recorder(Line(), greeting="Hello. How are you?")
    with Path("/dev/full").open("wb", buffering=0) as full:  # noqa: ASYNC230
        good, heard._writer._file = heard._writer._file, full
        good.close()
        assert await agent.run(source(silence(100)), heard) == Verdict(EndReason.SOURCE_FINISHED)
        assert isinstance(heard.error, OSError)
        with pytest.raises(OSError, match="No space left"):
            heard.close()


@virtual
async def test_a_closed_recording_is_no_sink(tmp_path: Path) -> None:
    heard = WavSink(tmp_path / "heard.wav", clock=anyio.current_time)
    heard.close()
    agent = Recorder(Line(), greeting="Hello.")
    with pytest.raises(ValueError, match="the recording is closed"):
        await agent.run(Microphone(), heard)
    check_story(agent.seen)


# --- sources and sinks ---------------------------------------------------------------------------------------


@virtual
async def test_a_source_that_gives_nothing_for_ever_is_a_silent_user() -> None:
    class Dead:
        format = AudioFormat()

        async def __aiter__(self) -> AsyncIterator[bytes]:
            await anyio.sleep_forever()
            yield b""

    agent = Recorder(Line())
    async with calling(agent, Dead(), sink()):
        await anyio.sleep(60)
        assert agent.state is State.READY
    check_story(agent.seen)


@virtual
async def test_empty_chunks_are_nothing() -> None:
    line = Line()
    await Recorder(line).run(MemorySource(b"", tone(20), b"", b""))
    assert line.last.audio.startswith(tone(20))


@virtual
async def test_one_chunk_may_be_a_whole_minute() -> None:
    agent = Recorder(Line(lambda: emulated(("hi", "Yes."), says=["hi"])))
    said = silence(20_000) + tone(1_000) + silence(39_000)
    assert await agent.run(MemorySource(said, paced=False)) == Verdict(EndReason.SOURCE_FINISHED)
    assert [item.text for item in agent.history] == ["hi", "Yes."]


@virtual
async def test_a_source_may_be_an_object_that_is_its_own_iterator() -> None:
    class Own:
        format = AudioFormat()

        def __init__(self) -> None:
            self.left = 5

        def __aiter__(self) -> Own:
            return self

        async def __anext__(self) -> bytes:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            await anyio.sleep(0.02)
            return silence(20)

    assert await Recorder(Line()).run(Own()) == Verdict(EndReason.SOURCE_FINISHED)


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


class Listened(Recorder):
    greeting = LONG
    speaker: Faulty


@pytest.mark.parametrize("after_s", [0.0, 1.0, 1.53])
@pytest.mark.parametrize("where", ["pending", "write", "flush", "all"])
@virtual
async def test_what_a_sink_raises_comes_out_of_run(where: str, after_s: float) -> None:
    """In the first answer at once, in its middle, and at the barge-in or (write) in the second answer."""
    line, error = Line(), OSError("no speaker")
    agent = Listened(line)
    agent.speaker = Faulty(where, error, after_s)
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
    with pytest.raises(OSError, match="no speaker") as caught:  # noqa: PT012
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


# --- what the service refuses --------------------------------------------------------------------------------


@virtual
async def test_a_session_that_the_service_refuses_names_what_to_mend() -> None:
    agent = Recorder(Line(), config={"extra": {"temperature": "hot"}})
    with pytest.raises(VoiceLiveError, match="temperature") as lost:
        await agent.run()
    assert lost.value.hint
    assert isinstance(agent.seen[-1], SessionEnded)
    assert agent.seen[-1].verdict.reason is EndReason.CONFIGURATION
    assert agent.all(RequestRefused)[0].request == "session.update"
    check_story(agent.seen)


@virtual
async def test_ears_that_fail_are_an_event_and_the_next_turn_is_answered() -> None:
    heard = iter(["", "hello"])

    def words(pcm: bytes) -> str:
        if word := next(heard):
            return word
        raise OSError("deaf")

    agent = Recorder(Line(lambda: emulated(("hello", "Yes."), says=words)))  # type: ignore[arg-type]
    await agent.run(source(tone(500), silence(1500), tone(500)), sink())
    [failed] = agent.all(TranscriptionFailed)
    assert "deaf" in failed.message
    assert [item.text for item in agent.history] == ["", "hello", "Yes."]


@virtual
async def test_a_voice_that_fails_is_the_error_state_until_the_next_turn() -> None:
    class Hoarse:
        rate = 24_000

        def speak(self, text: str) -> Any:
            raise OSError("hoarse")

    agent = Recorder(Line(lambda: emulated(voice=Hoarse())))
    async with calling(agent, None, sink()):
        agent.send_text("hello")
        await agent.reach(State.ERROR)
        assert "hoarse" in agent.all(ServiceFailed)[0].message
        seen = len(agent.all(StateChanged))
        agent.send_text("hello?")
        await agent.until(lambda: len(agent.all(StateChanged)) > seen)
        assert agent.all(StateChanged)[seen].new is State.PROCESSING
    check_story(agent.seen)


# --- arguments -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: VoiceAgent("not a url"),
        lambda: VoiceAgent("http://example.com"),
        lambda: VoiceAgent("https://x.services.ai.azure.com", ""),
        lambda: VoiceAgent("emulator:99999"),
        lambda: VoiceAgent(object()),  # type: ignore[arg-type]
        lambda: VoiceAgent("emulator", target=5),  # type: ignore[arg-type]
        lambda: VoiceAgent("emulator", config={"nonsense": 1}),
        lambda: VoiceAgent("emulator", config=5),  # type: ignore[arg-type]
        lambda: VoiceAgent.from_env({}),
        lambda: VoiceAgent("emulator", tools=[5]),  # type: ignore[list-item]
    ],
    ids=[
        "no url",
        "plain http",
        "empty key",
        "port",
        "object",
        "target",
        "field",
        "config",
        "environment",
        "tool",
    ],
)
def test_an_argument_that_cannot_work_is_refused_with_the_fix(make: Callable[[], VoiceAgent]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert caught.value.hint or "must be" in str(caught.value)
