"""The pump: audio reaches the sink just in time, whole, and not at all once it was stopped."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterable

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelive_agent import _wire as wire
from voicelive_agent._outputs import Play
from voicelive_agent._pcm import Converter
from voicelive_agent._playback import Playback
from voicelive_agent._pump import LEAD_MS, PIECE_MS, SILENCE, STALL_S, Pump
from voicelive_agent.audio import AudioFormat, Encoding
from voicelive_agent.events import AudioRejected, SinkStalled
from voicelive_agent.testing import MemorySink, run_virtual

PCM = AudioFormat("pcm16", 24_000)
ULAW = AudioFormat("g711_ulaw", 8_000)
ALAW = AudioFormat("g711_alaw", 8_000)


class Sink:
    """A listener who hears when the test says so."""

    def __init__(self, format: AudioFormat) -> None:
        self.format = format
        self.pending = 0
        self.audio = b""
        self.flushes = 0
        self.most = 0  # that was ever pending
        self.writes: list[int] = []

    def write(self, pcm: bytes) -> None:
        self.writes.append(len(pcm))
        assert pcm
        assert len(pcm) % self.format.frame_bytes == 0
        self.audio += pcm
        self.pending += len(pcm) // self.format.frame_bytes
        self.most = max(self.most, self.pending)

    def flush(self) -> None:
        self.pending = 0
        self.flushes += 1

    def listen(self, samples: int) -> None:
        self.pending = max(0, self.pending - samples)


class Chunk(Play):
    """Audio that knows whether it was decoded."""

    decoded: list[str] = []  # noqa: RUF012

    def decode(self) -> bytes:
        self.decoded.append(self.base64)
        return super().decode()


class Bench:
    """A pump with a sink, a clock and a ledger that only the test moves."""

    def __init__(self, wire_format: AudioFormat = PCM, sink_format: AudioFormat | None = None) -> None:
        self.format = wire_format
        self.sink = Sink(sink_format or wire_format)
        self.now = 100.0
        self.told: list[AudioRejected | SinkStalled] = []
        self.pump = Pump(
            self.sink,
            wire_format,
            Converter(wire_format, self.sink.format),
            clock=lambda: self.now,
            tell=self.told.append,
        )
        self.ledger = Playback(rate=wire_format.rate, sample_bytes=wire_format.frame_bytes)
        Chunk.decoded.clear()

    def play(self, *pieces: bytes, item_id: str = "a") -> None:
        for piece in pieces:
            self.play_text(base64.b64encode(piece).decode(), item_id=item_id)

    def play_text(self, text: str, *, item_id: str = "a") -> None:
        chunk = self.ledger.play(item_id, text)
        self.pump.play(Chunk(chunk.item_id, chunk.samples, chunk.base64))

    def drain(self) -> None:
        """Listen to the end, 20 ms at a time."""
        while self.pump.feed() is not None:
            self.sink.listen(self.sink.format.rate // 50)
            self.now += 0.02

    @property
    def bound(self) -> int:
        """The most that may wait in the sink."""
        return (LEAD_MS + PIECE_MS) * self.sink.format.rate // 1000


def noise(samples: int, format: AudioFormat = PCM, *, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(samples * format.frame_bytes)


def cut(audio: bytes, sizes: Iterable[int]) -> list[bytes]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(audio[at : at + size])
        at += size
    return [*pieces, audio[at:]]


def converted(audio: bytes, source: AudioFormat, target: AudioFormat) -> bytes:
    converter = Converter(source, target)
    return converter.process(audio) + converter.finish()


# --- what is written ----------------------------------------------------------------------------------------


@given(
    seconds=st.floats(0.0, 2.0),
    sizes=st.lists(st.integers(0, 12_001), max_size=12),
    format=st.sampled_from([PCM, ULAW, ALAW, AudioFormat("pcm16", 8_000)]),
    steps=st.lists(st.integers(0, 9_000), max_size=20),
)
def test_whatever_the_pieces_the_sink_gets_the_audio_and_never_too_much_at_once(
    seconds: float, sizes: list[int], format: AudioFormat, steps: list[int]
) -> None:
    bench = Bench(format)
    audio = noise(round(seconds * format.rate), format)
    for number, piece in enumerate(cut(audio, sizes)):
        bench.play(piece)
        if number < len(steps):
            bench.pump.feed()
            bench.sink.listen(steps[number])
    bench.drain()
    assert bench.sink.audio == audio
    assert bench.sink.most <= bench.bound
    assert bench.pump.pending == 0
    assert bench.told == []


@given(
    sizes=st.lists(st.integers(0, 9_601), max_size=8),
    target=st.sampled_from([AudioFormat("pcm16", 48_000, 2), AudioFormat("pcm16", 16_000), ULAW]),
    source=st.sampled_from([PCM, ALAW]),
)
def test_conversion_does_not_depend_on_the_pieces(
    sizes: list[int], source: AudioFormat, target: AudioFormat
) -> None:
    bench = Bench(source, target)
    audio = noise(source.rate, source)
    bench.play(*cut(audio, sizes))
    bench.pump.finish()
    bench.drain()
    assert bench.sink.audio == converted(audio, source, target)
    assert bench.sink.most <= bench.bound + target.rate // 100
    assert bench.pump.pending == 0


def test_what_the_converter_holds_back_is_heard_when_the_item_is_complete() -> None:
    bench = Bench(PCM, AudioFormat("pcm16", 48_000))
    audio = noise(2_400)
    bench.play(audio)
    bench.drain()
    held_back = len(bench.sink.audio)
    bench.pump.finish()
    bench.drain()
    assert held_back < len(bench.sink.audio)
    assert bench.sink.audio == converted(audio, PCM, bench.sink.format)


def test_the_end_of_an_item_waits_its_turn() -> None:
    bench = Bench(PCM, AudioFormat("pcm16", 16_000))
    first, second = noise(24_000), noise(24_000, seed=1)
    bench.play(first)
    bench.pump.finish()
    bench.play(second, item_id="b")
    bench.pump.finish()
    bench.drain()
    target = bench.sink.format
    assert bench.sink.audio == converted(first, PCM, target) + converted(second, PCM, target)


def test_the_end_of_an_item_without_audio_is_nothing() -> None:
    bench = Bench(PCM, ULAW)
    bench.pump.finish()
    assert bench.pump.feed() is None
    assert bench.sink.audio == b""


def test_half_a_sample_belongs_to_its_item() -> None:
    bench = Bench()
    first, second = noise(100), noise(100, seed=1)
    bench.play(first + b"\x7f")
    bench.play(second, item_id="b")
    bench.drain()
    assert bench.sink.audio == first + second
    assert bench.pump.pending == 0


@pytest.mark.parametrize("between", ["finish", "stop"])
@pytest.mark.parametrize("size", [3, 4, 5])
def test_the_count_and_the_audio_agree_after_an_end_or_a_stop_within_a_sample(between: str, size: int) -> None:
    bench = Bench()
    bench.play(b"\x01\x02\x03")
    bench.pump.feed()
    if between == "finish":
        bench.pump.finish()
    else:
        bench.ledger.flush()
        bench.pump.stop()
    bench.play(noise(size, ULAW))
    bench.drain()
    assert bench.pump.pending == 0


# --- just in time -------------------------------------------------------------------------------------------


def test_audio_is_decoded_when_it_is_due() -> None:
    bench = Bench()
    bench.play(*[noise(12_000, seed=n) for n in range(10)])  # 5 s in deltas of 500 ms
    assert Chunk.decoded == []
    bench.pump.feed()
    assert len(Chunk.decoded) == 1
    bench.pump.feed()
    assert len(Chunk.decoded) == 1
    bench.sink.listen(2_400)
    bench.pump.feed()
    assert len(Chunk.decoded) == 1
    bench.sink.listen(2_400)
    bench.pump.feed()
    assert len(Chunk.decoded) == 2


def test_what_is_thrown_away_was_never_decoded() -> None:
    bench = Bench()
    bench.play(*[noise(12_000, seed=n) for n in range(10)])
    bench.pump.feed()
    bench.pump.stop()
    assert bench.pump.feed() is None
    assert len(Chunk.decoded) == 1


def test_the_sink_is_fed_up_to_the_lead_and_half_of_it_is_slept_through() -> None:
    bench = Bench()
    bench.play(noise(24_000))
    assert bench.pump.feed() == pytest.approx(LEAD_MS / 2 / 1000)
    assert bench.sink.pending == LEAD_MS * 24
    assert bench.sink.writes == [PIECE_MS * 48] * 4
    bench.sink.listen(LEAD_MS * 12)
    assert bench.pump.feed() == pytest.approx(LEAD_MS / 2 / 1000)
    assert bench.sink.pending == LEAD_MS * 24


def test_a_sink_that_plays_at_once_gets_everything_at_once() -> None:
    bench = Bench()

    class Greedy(Sink):
        def write(self, pcm: bytes) -> None:
            self.audio += pcm

    sink = Greedy(PCM)
    pump = Pump(sink, PCM, Converter(PCM, PCM), clock=lambda: 0.0, tell=bench.told.append)
    audio = noise(48_000)
    pump.play(Play("a", 48_000, base64.b64encode(audio).decode()))
    assert pump.pending == 48_000
    assert pump.feed() is None
    assert (sink.audio, pump.pending) == (audio, 0)


# --- what is pending ----------------------------------------------------------------------------------------


def test_pending_is_what_waits_here_and_what_waits_in_the_sink() -> None:
    bench = Bench()
    bench.play(noise(24_000))
    assert bench.pump.pending == 24_000
    bench.pump.feed()
    assert bench.pump.pending == 24_000
    bench.sink.listen(5_000)
    assert bench.pump.pending == 19_000
    bench.pump.feed()
    assert bench.pump.pending == 19_000


@given(pending=st.integers(0, 100_000), rate=st.sampled_from([8_000, 16_000, 24_000, 44_100, 48_000]))
def test_what_the_sink_holds_is_counted_at_the_wires_rate_and_rounded_up(pending: int, rate: int) -> None:
    bench = Bench(PCM, AudioFormat("pcm16", rate))
    bench.sink.pending = pending
    assert (bench.pump.pending - 1) * rate < pending * 24_000 <= bench.pump.pending * rate


# --- silence ------------------------------------------------------------------------------------------------


@given(
    sizes=st.lists(st.integers(0, 9_601), max_size=8),
    fed=st.integers(0, 5),
    sink_format=st.sampled_from([PCM, AudioFormat("pcm16", 48_000), ULAW]),
)
def test_after_a_stop_nothing_of_the_stopped_item_is_heard(
    sizes: list[int], fed: int, sink_format: AudioFormat
) -> None:
    bench = Bench(PCM, sink_format)
    bench.play(*cut(noise(48_000), sizes))
    for _ in range(fed):
        bench.pump.feed()
        bench.sink.listen(sink_format.rate // 10)
    bench.ledger.flush()
    bench.pump.stop()
    assert (bench.pump.pending, bench.sink.pending, bench.sink.flushes) == (0, 0, 1)
    assert bench.pump.feed() is None
    before, news = len(bench.sink.audio), noise(4_800, seed=1)
    bench.play(news, item_id="b")
    bench.pump.finish()
    bench.drain()
    assert bench.sink.audio[before:] == converted(news, PCM, sink_format)


# --- bad audio ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("in_flight", "rate", "at_the_wire"), [(0, 48_000, 0), (961, 48_000, 480), (7, 8_000, 21)]
)
def test_what_is_in_flight_is_counted_at_the_wires_rate_and_rounded_down(
    in_flight: int, rate: int, at_the_wire: int
) -> None:
    speaker = MemorySink(AudioFormat(rate=rate))
    pump = Pump(speaker, PCM, Converter(PCM, speaker.format), clock=lambda: 0.0, tell=lambda event: None)
    assert pump.in_flight == 0, "a sink need not say it"
    speaker.in_flight = in_flight  # type: ignore[attr-defined]
    assert pump.in_flight == at_the_wire


@pytest.mark.parametrize("encoding", ["pcm16", "g711_ulaw", "g711_alaw"])
def test_what_is_not_base64_is_silence_of_its_length_and_one_event(encoding: Encoding) -> None:
    format = AudioFormat(encoding, 8_000)
    bench = Bench(format)
    before, after = noise(100, format), noise(100, format, seed=1)
    bench.play(before)
    text = "!" * 4_000  # would be 3000 bytes
    bench.play_text(text)
    bench.play(after)
    bench.drain()
    samples = 3_000 // format.frame_bytes
    assert bench.sink.audio == before + SILENCE[encoding] * 3_000 + after
    (rejected,) = bench.told
    assert isinstance(rejected, AudioRejected)
    assert (rejected.item_id, rejected.samples) == ("a", samples)
    assert rejected.message.startswith("not base64: ")
    assert bench.pump.pending == 0


@given(
    chunks=st.lists(st.one_of(st.binary(max_size=9), st.text("A=!é", max_size=9)), max_size=12),
    format=st.sampled_from([PCM, ULAW]),
)
def test_whatever_comes_all_that_is_counted_is_played(chunks: list[bytes | str], format: AudioFormat) -> None:
    bench = Bench(format)
    for chunk in chunks:
        bench.play_text(chunk if isinstance(chunk, str) else base64.b64encode(chunk).decode())
    counted = bench.pump.pending
    bench.drain()
    assert len(bench.sink.audio) == counted * format.frame_bytes
    assert bench.pump.pending == 0
    texts = [chunk for chunk in chunks if isinstance(chunk, str)]
    assert len(bench.told) == sum(not decodable(text) for text in texts)


def decodable(text: str) -> bool:
    try:
        wire.base64_decode(text)
    except ValueError:
        return False
    return True


# --- a sink that plays nothing ------------------------------------------------------------------------------


def test_a_sink_that_plays_nothing_is_told_of_once_until_it_moves() -> None:
    bench = Bench()
    bench.play(noise(24_000))
    for _ in range(50):
        bench.pump.feed()
        bench.now += 0.2
    assert bench.told == [SinkStalled(LEAD_MS, round(STALL_S * 1000))]
    bench.sink.listen(4_800)
    for _ in range(50):
        bench.pump.feed()
        bench.now += 0.2
    assert len(bench.told) == 2


@pytest.mark.parametrize("silence_s", [0.0, 1.0, 60.0])
def test_a_sink_had_nothing_to_play_before_it_got_something(silence_s: float) -> None:
    bench = Bench()
    bench.pump.feed()
    bench.now += silence_s
    bench.play(noise(2_400))
    assert bench.pump.feed() == STALL_S
    bench.now += STALL_S - 0.01
    bench.pump.feed()
    assert bench.told == []
    bench.now += 0.01
    bench.pump.feed()
    assert bench.told == [SinkStalled(100, round(STALL_S * 1000))]


def test_a_sink_that_is_always_filled_to_the_same_mark_plays() -> None:
    bench = Bench()
    bench.play(*[noise(24_000, seed=n) for n in range(10)])
    for _ in range(40):
        bench.pump.feed()
        assert bench.sink.pending == LEAD_MS * 24
        bench.sink.listen(4_800)
        bench.now += 0.2
    assert bench.told == []


def test_a_sink_that_was_flushed_begins_anew() -> None:
    bench = Bench()
    for _ in range(3):
        bench.play(noise(24_000))
        bench.pump.feed()
        bench.now += STALL_S - 0.1
        bench.pump.feed()
        bench.pump.stop()
    assert bench.told == []


# --- in time ------------------------------------------------------------------------------------------------


def test_a_running_pump_plays_answers_as_they_come_without_a_gap() -> None:
    async def main() -> None:
        sink, told = MemorySink(PCM, clock=anyio.current_time), list[AudioRejected | SinkStalled]()
        pump = Pump(sink, PCM, Converter(PCM, PCM), clock=anyio.current_time, tell=told.append)
        ledger, audio = Playback(rate=PCM.rate, sample_bytes=PCM.frame_bytes), noise(72_000)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pump.run)
            for answer in range(3):
                await anyio.sleep(10)  # longer than any stall: the sink has nothing to play
                began = anyio.current_time()
                for piece in cut(audio, [9_600, 14_401, 48_000]):
                    pump.play(ledger.play(f"answer {answer}", base64.b64encode(piece).decode()))
                pump.finish()
                while pump.pending:
                    await anyio.sleep(0.05)
                    assert sink.pending <= (LEAD_MS + PIECE_MS) * 24
                assert anyio.current_time() - began < 3.1
                assert sink.played == audio * (answer + 1)
            tasks.cancel_scope.cancel()
        assert told == []

    run_virtual(main)


def test_a_running_pump_notices_a_sink_that_plays_nothing() -> None:
    async def main() -> None:
        sink, told = Sink(PCM), list[AudioRejected | SinkStalled]()
        pump = Pump(sink, PCM, Converter(PCM, PCM), clock=anyio.current_time, tell=told.append)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pump.run)
            await anyio.sleep(5)
            pump.play(Play("a", 2_400, base64.b64encode(noise(2_400)).decode()))
            await anyio.sleep(STALL_S - 0.1)
            assert told == []
            assert not pump.stalled
            await anyio.sleep(30)
            assert pump.stalled
            tasks.cancel_scope.cancel()
        (stalled,) = told
        assert isinstance(stalled, SinkStalled)
        assert stalled.pending_ms == 100
        assert 2_000 <= stalled.stalled_ms <= 2_100

    run_virtual(main)


async def test_what_the_sink_raises_comes_out() -> None:
    class Unplugged(Sink):
        def write(self, pcm: bytes) -> None:
            raise OSError("unplugged")

    pump = Pump(Unplugged(PCM), PCM, Converter(PCM, PCM), clock=anyio.current_time, tell=lambda _: None)
    pump.play(Play("a", 1, "AAA="))
    with pytest.raises(OSError, match="unplugged"):
        await pump.run()


async def test_a_pump_that_sleeps_is_woken_by_audio() -> None:
    heard = anyio.Event()

    class Listener(Sink):
        def write(self, pcm: bytes) -> None:
            super().write(pcm)
            heard.set()

    sink = Listener(PCM)
    pump = Pump(sink, PCM, Converter(PCM, PCM), clock=anyio.current_time, tell=lambda _: None)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pump.run)
        await anyio.wait_all_tasks_blocked()
        pump.play(Play("a", 1, "AAA="))
        await heard.wait()
        tasks.cancel_scope.cancel()
    assert sink.audio == b"\x00\x00"
