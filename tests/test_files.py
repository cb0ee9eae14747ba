"""WAV files as sources and sinks, sound and odd."""

from __future__ import annotations

import errno
import struct
import subprocess
import sys
import time
import wave
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voicelive_agent.audio import AudioFormat, AudioSink, AudioSource
from voicelive_agent.errors import AudioFileError
from voicelive_agent.files import WavSink, WavSource, WavWriter

RATE = 8_000


class Clock:
    """Time that passes only when somebody says so, or sleeps."""

    def __init__(self) -> None:
        self.now = 500.0
        self.overshoot = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, delay: float) -> None:
        self.now += delay + self.overshoot


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(anyio, "sleep", clock.sleep)
    return clock


def fmt(tag: int = 1, channels: int = 1, rate: int = RATE, bits: int = 16) -> bytes:
    frame = channels * bits // 8
    return struct.pack("<HHIIHH", tag, channels, rate, rate * frame & 0xFFFFFFFF, frame, bits)


def riff(
    description: bytes, data: bytes, *, size: int | None = None, before: bytes = b"", after: bytes = b""
) -> bytes:
    chunks = b"fmt " + struct.pack("<I", len(description)) + description
    chunks += before + b"data" + struct.pack("<I", len(data) if size is None else size) + data + after
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def saved(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def ramp(samples: int, first: int = 1) -> bytes:
    """Samples that tell where they come from; never zero."""
    return struct.pack(f"<{samples}h", *((first + n) % 30_000 + 1 for n in range(samples)))


def in_file(path: Path) -> bytes:
    """The samples of a file, read by the standard library."""
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        pcm = file.readframes(file.getnframes())
        assert len(pcm) == 2 * file.getnframes()
        return pcm


async def played(source: AsyncIterator[bytes] | WavSource) -> bytes:
    return b"".join([block async for block in source])


EXTENSIBLE = fmt(0xFFFE) + struct.pack("<HHIH14s", 22, 16, 3, 1, bytes.fromhex("000000001000800000aa00389b71"))
AUDIO = ramp(800)
LIST_CHUNK = b"LIST" + struct.pack("<I", 5) + b"INFOx\0"


class TestReading:
    @pytest.mark.parametrize(
        ("content", "expected", "truncated"),
        [
            (riff(fmt(), AUDIO), AUDIO, False),
            (riff(fmt() + b"\0\0", AUDIO), AUDIO, False),
            (riff(fmt(), AUDIO, before=LIST_CHUNK), AUDIO, False),
            (riff(fmt(), AUDIO, after=LIST_CHUNK), AUDIO, False),
            (riff(fmt(channels=2), AUDIO), AUDIO, False),
            (riff(fmt(channels=5), AUDIO), AUDIO, False),
            (riff(fmt(channels=7), AUDIO), AUDIO[: 114 * 14], False),
            (riff(fmt(), AUDIO, size=0xFFFFFFFF), AUDIO, False),
            (riff(fmt(), AUDIO, size=0), AUDIO, False),
            (riff(fmt(), AUDIO, size=4_800), AUDIO, True),
            (riff(fmt(), AUDIO + b"x"), AUDIO, False),
            (riff(fmt(), AUDIO)[:-1], AUDIO[:-2], True),
            (riff(fmt()[:12] + bytes(2) + fmt()[14:], AUDIO), AUDIO, False),
        ],
        ids=[
            "plain",
            "long fmt",
            "LIST before",
            "LIST after",
            "stereo",
            "five channels",
            "incomplete frame",
            "streamed",
            "streamed, size 0",
            "cut short",
            "odd byte",
            "cut in a sample",
            "block align 0",
        ],
    )
    async def test_what_is_there_is_played(
        self, tmp_path: Path, content: bytes, expected: bytes, truncated: bool
    ) -> None:
        source = WavSource(saved(tmp_path / "in.wav", content), speed=None)
        assert await played(source) == expected
        assert source.truncated is truncated
        assert source.frames == len(expected) // source.format.frame_bytes
        assert source.duration_s == source.frames / RATE

    @pytest.mark.parametrize(
        ("content", "fault"),
        [
            (b"", "the file is empty"),
            (b"RIFF", "is not a WAV file: it begins with b'RIFF'"),
            (b"ID3" + AUDIO, "is not a WAV file: it begins with b'ID3"),
            (b"RIFX" + riff(fmt(), AUDIO)[4:], "is not a WAV file: it begins with b'RIFX"),
            (b"RF64" + riff(fmt(), AUDIO)[4:], "is not a WAV file: it begins with b'RF64"),
            (b"RIFF\0\0\0\0AVI " + AUDIO, "is not a WAV file"),
            (riff(fmt(), AUDIO)[:12], "the header is cut short: there is no description of a format"),
            (riff(fmt(), AUDIO)[:30], "the header is cut short"),
            (riff(fmt(), AUDIO)[:36], "the header is cut short: there is no audio"),
            (riff(fmt(), AUDIO)[:40], "the header is cut short: there is no audio"),
            (riff(fmt()[:14], AUDIO), "has 24932-bit samples"),
            (riff(fmt(), AUDIO, before=b"junk\0\0\0\0" * 1_000), "the header is cut short: there is no audio"),
            (riff(fmt(), b""), "holds no audio"),
            (riff(fmt(), b"x"), "holds no audio"),
            (riff(fmt(bits=8), AUDIO), "has 8-bit samples, not supported yet here"),
            (riff(fmt(bits=24), AUDIO), "has 24-bit samples, not supported yet here"),
            (riff(fmt(bits=32), AUDIO), "has 32-bit samples, not supported yet here"),
            (riff(fmt(tag=3, bits=32), AUDIO), "has floating-point samples, not supported yet here"),
            (riff(fmt(tag=6, bits=8), AUDIO), "has A-law samples, not supported yet here"),
            (riff(fmt(tag=7, bits=8), AUDIO), "has mu-law samples, not supported yet here"),
            (riff(EXTENSIBLE, AUDIO), "has a WAVE_FORMAT_EXTENSIBLE header, not supported yet here"),
            (riff(fmt(tag=0x55), AUDIO), "has samples of unknown encoding 0x0055"),
            (riff(fmt(channels=0), AUDIO), "the header says that it has no channels"),
            (riff(fmt(rate=0), AUDIO), "the header says 0 samples per second"),
            (riff(fmt(rate=4_000_000_000), AUDIO), "the header says 4000000000 samples per second"),
        ],
    )
    def test_what_is_not_such_a_file_is_named(self, tmp_path: Path, content: bytes, fault: str) -> None:
        path = saved(tmp_path / "in.wav", content)
        with pytest.raises(AudioFileError) as caught:
            WavSource(path)
        assert str(caught.value).startswith(f"{path}: {fault}")
        assert caught.value.path == str(path)
        assert caught.value.hint

    def test_the_fix_is_a_command(self, tmp_path: Path) -> None:
        with pytest.raises(AudioFileError, match=r"sox talk\.wav -b 16 -e signed-integer talk-pcm16\.wav"):
            WavSource(saved(tmp_path / "talk.wav", riff(fmt(bits=24), AUDIO)))

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(AudioFileError, match="there is no such file") as caught:
            WavSource(tmp_path / "missing.wav")
        assert isinstance(caught.value.__cause__, FileNotFoundError)

    def test_a_directory(self, tmp_path: Path) -> None:
        with pytest.raises(AudioFileError, match="cannot be opened") as caught:
            WavSource(tmp_path)
        assert isinstance(caught.value.__cause__, OSError)

    async def test_a_file_that_vanishes_after_it_was_examined(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "in.wav", riff(fmt(), AUDIO))
        source = WavSource(path)
        path.unlink()
        with pytest.raises(AudioFileError, match="there is no such file"):
            await played(source)

    @settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_damaged_files_raise_nothing_else(self, tmp_path: Path, data: st.DataObject) -> None:
        content = bytearray(riff(fmt(), AUDIO[:20], before=LIST_CHUNK))
        for _ in range(data.draw(st.integers(1, 6))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path = saved(tmp_path / "in.wav", bytes(content[: data.draw(st.integers(0, len(content)))]))
        try:
            source = WavSource(path, speed=None)
        except AudioFileError:
            return
        pcm = b"".join(source._blocks())
        assert pcm
        assert len(pcm) == source.frames * source.format.frame_bytes


class TestSource:
    def test_it_is_a_source_of_the_file_s_format(self, tmp_path: Path) -> None:
        source = WavSource(saved(tmp_path / "in.wav", riff(fmt(channels=2, rate=44_100), AUDIO)))
        assert isinstance(source, AudioSource)
        assert source.format == AudioFormat("pcm16", 44_100, 2)

    @pytest.mark.parametrize(
        ("speed", "block_ms", "block_s"), [(1.0, 20, 0.02), (8.0, 20, 0.0025), (0.5, 30, 0.06)]
    )
    async def test_a_block_comes_when_it_was_recorded_and_nothing_drifts(
        self, tmp_path: Path, clock: Clock, speed: float, block_ms: int, block_s: float
    ) -> None:
        clock.overshoot = block_s / 3  # every sleep is late
        path = saved(tmp_path / "in.wav", riff(fmt(), ramp(RATE + 80)))
        begin, frames = clock.now, 0
        async for block in WavSource(path, speed=speed, block_ms=block_ms, clock=clock):
            frames += len(block) // 2
            assert clock.now == pytest.approx(begin + frames / RATE / speed + clock.overshoot, abs=1e-6, rel=0)
        assert frames == RATE + 80

    async def test_a_late_reader_gets_at_once_what_it_missed(self, tmp_path: Path, clock: Clock) -> None:
        source = WavSource(saved(tmp_path / "in.wav", riff(fmt(), ramp(RATE))), clock=clock)
        arrivals: list[float] = []
        async for _ in source:
            if not arrivals:
                clock.now += 0.2
            arrivals.append(round(clock.now - 500.0, 6))
        assert arrivals[:13] == [0.22] * 11 + [0.24, 0.26]
        assert arrivals[-1] == 1.0

    async def test_as_fast_as_asked_still_lets_others_run(self, tmp_path: Path) -> None:
        source = WavSource(saved(tmp_path / "in.wav", riff(fmt(), ramp(RATE * 4))), speed=None)
        with anyio.CancelScope() as scope:
            async for _ in source:
                scope.cancel()
        assert scope.cancelled_caught

    async def test_each_iteration_begins_anew(self, tmp_path: Path) -> None:
        source = WavSource(saved(tmp_path / "in.wav", riff(fmt(), AUDIO)), speed=None)
        first = source.__aiter__()
        assert await anext(first) == AUDIO[:320]
        assert await played(source) == AUDIO
        assert AUDIO[:320] + await played(first) == AUDIO

    async def test_real_time_is_the_event_loop_s(self, tmp_path: Path) -> None:
        source = WavSource(saved(tmp_path / "in.wav", riff(fmt(), ramp(400))))
        begin = anyio.current_time()
        assert await played(source) == ramp(400)
        assert anyio.current_time() - begin >= 0.05

    @pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
    def test_a_speed_is_positive(self, tmp_path: Path, speed: float) -> None:
        with pytest.raises(ValueError, match="None for as fast as possible"):
            WavSource(tmp_path / "in.wav", speed=speed)

    def test_a_block_is_not_empty(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="block_ms must be at least 1, not 0"):
            WavSource(tmp_path / "in.wav", block_ms=0)

    async def test_a_block_shorter_than_a_sample_is_one_sample(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "in.wav", riff(fmt(rate=100), ramp(3)))
        assert [block async for block in WavSource(path, speed=None, block_ms=1)] == [
            ramp(1),
            ramp(1, 2),
            ramp(1, 3),
        ]


class TestWriter:
    def test_the_file_is_whole_after_every_write(self, tmp_path: Path) -> None:
        writer = WavWriter(tmp_path / "out.wav", RATE)
        assert in_file(writer.path) == b""
        writer.write(ramp(100))
        assert in_file(writer.path) == ramp(100)
        writer.write_silence(50)
        assert in_file(writer.path) == ramp(100)
        writer.write(memoryview(ramp(10)))
        assert in_file(writer.path) == ramp(100) + bytes(100) + ramp(10)
        writer.write_silence(30)
        writer.close()
        writer.close()
        assert in_file(writer.path) == ramp(100) + bytes(100) + ramp(10) + bytes(60)
        assert writer.frames == 190

    def test_stereo(self, tmp_path: Path) -> None:
        with WavWriter(tmp_path / "out.wav", 16_000, 2) as writer:
            writer.write(ramp(8))
            with pytest.raises(ValueError, match="6 bytes are not whole frames of 4 bytes"):
                writer.write(ramp(3))
        with wave.open(str(writer.path), "rb") as file:
            assert (file.getnchannels(), file.getframerate(), file.readframes(10)) == (2, 16_000, ramp(8))

    def test_what_it_writes_is_a_source(self, tmp_path: Path) -> None:
        with WavWriter(tmp_path / "out.wav", 22_050, 2) as writer:
            writer.write(ramp(8))
        source = WavSource(writer.path)
        assert (source.format, source.frames, source.truncated) == (writer.format, 4, False)

    def test_an_old_file_is_replaced(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "out.wav", riff(fmt(), AUDIO))
        WavWriter(path, RATE).close()
        assert in_file(path) == b""

    def test_silence_is_not_negative(self, tmp_path: Path) -> None:
        with WavWriter(tmp_path / "out.wav", RATE) as writer:
            with pytest.raises(ValueError, match="cannot append -1 frames"):
                writer.write_silence(-1)

    def test_a_directory_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            WavWriter(tmp_path / "missing" / "out.wav", RATE)

    def test_4_gib_are_the_end(self, tmp_path: Path) -> None:
        with WavWriter(tmp_path / "out.wav", RATE) as writer:
            writer.write(ramp(10))
            with pytest.raises(OSError, match="cannot be larger than 4 GiB") as caught:
                writer.write_silence(2**31)
            assert caught.value.errno == errno.EFBIG
        assert in_file(writer.path) == ramp(10)

    @pytest.mark.linux
    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a device that is always full")
    def test_no_space_for_the_header(self) -> None:
        with pytest.raises(OSError, match="No space left"):
            WavWriter("/dev/full", RATE)


class SmallDisk:
    """A file on a disk that is full after some bytes; it writes a part first, as disks do."""

    def __init__(self, file: Any, capacity: int) -> None:
        self.file = file
        self.capacity = capacity

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> None:
        self.file.__enter__()

    def __exit__(self, *exc_info: object) -> None:
        self.file.__exit__(*exc_info)

    def write(self, data: memoryview) -> int:
        room = self.capacity - self.file.tell()
        if room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written: int = self.file.write(data[:room])
        return written


class TestSink:
    @pytest.fixture
    def open_sink(self, tmp_path: Path, clock: Clock) -> Callable[..., WavSink]:
        return lambda **options: WavSink(tmp_path / "out.wav", rate=RATE, clock=clock, **options)

    async def test_it_is_a_sink(self, open_sink: Callable[..., WavSink]) -> None:
        async with open_sink() as sink:
            assert isinstance(sink, AudioSink)
            assert sink.format == AudioFormat("pcm16", RATE)

    async def test_the_file_is_what_a_recorder_beside_the_listener_has(
        self, open_sink: Callable[..., WavSink], clock: Clock
    ) -> None:
        async with open_sink() as sink:
            clock.now += 0.5  # 4,000 samples of silence
            sink.write(ramp(1_000))
            sink.write(ramp(1_000, 1_001))
            clock.now += 0.125  # all of the first and nothing of the second ...
            assert (sink.pending, sink.heard) == (1_000, 1_000)
            clock.now += 0.0625  # ... and half of the second
            sink.flush()
            assert (sink.pending, sink.heard) == (0, 1_500)
            assert in_file(sink.path) == bytes(8_000) + ramp(1_500)
            clock.now += 0.25
            sink.write(ramp(100))
            clock.now += 1.0
        silence = bytes(2 * 2_000)
        assert in_file(sink.path) == bytes(8_000) + ramp(1_500) + silence + ramp(100) + bytes(2 * 7_900)

    async def test_closing_waits_for_nothing(self, open_sink: Callable[..., WavSink], clock: Clock) -> None:
        sink = open_sink()
        sink.write(ramp(1_000))
        clock.now += 0.0625
        sink.close()
        sink.close()
        assert sink.pending == 0
        assert in_file(sink.path) == ramp(500)
        with pytest.raises(ValueError, match="the recording is closed"):
            sink.write(ramp(1))

    async def test_drain_waits_until_all_was_heard(self, open_sink: Callable[..., WavSink], clock: Clock) -> None:
        async with open_sink(speed=4.0) as sink:
            sink.write(ramp(8_000))
            await sink.drain()
            assert sink.pending == 0
            assert clock.now - 500.0 == pytest.approx(0.25, abs=0.001)
        assert in_file(sink.path)[:16_000] == ramp(8_000)

    async def test_half_a_sample_waits_for_its_other_half(
        self, open_sink: Callable[..., WavSink], clock: Clock
    ) -> None:
        async with open_sink() as sink:
            pcm = ramp(3)
            sink.write(pcm[:1])
            assert sink.pending == 0
            sink.write(pcm[1:5])
            assert sink.pending == 2
            sink.write(pcm[5:])
            assert sink.pending == 3
            clock.now += 3 / RATE + 1e-9
            sink.write(b"x")
            sink.flush()
            sink.write(ramp(1, 77))
            clock.now += 1 / RATE
        assert in_file(sink.path) == pcm + ramp(1, 77)

    @settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
    @given(
        steps=st.lists(st.tuples(st.sampled_from(["write", "wait", "flush"]), st.integers(0, 300)), max_size=30)
    )
    def test_it_records_sample_by_sample(self, tmp_path: Path, steps: list[tuple[str, int]]) -> None:
        clock = Clock()
        sink = WavSink(tmp_path / "out.wav", rate=RATE, clock=clock)
        queue, recorded, written, ticks = b"", b"", 0, 0
        for action, amount in steps:
            if action == "write":
                pcm = ramp(amount, written)
                written += amount
                sink.write(pcm)
                queue += pcm
            elif action == "wait":
                ticks += amount
                clock.now = 500.0 + (ticks + 0.01) / RATE
                recorded += queue[: 2 * amount] + bytes(max(0, 2 * amount - len(queue)))
                queue = queue[2 * amount :]
            else:
                sink.flush()
                queue = b""
            assert sink.pending == len(queue) // 2
        sink.close()
        assert in_file(sink.path) == recorded

    async def test_a_full_disk_ends_the_recording_and_not_the_call(
        self, open_sink: Callable[..., WavSink], clock: Clock
    ) -> None:
        sink = open_sink()
        sink._writer._file = SmallDisk(sink._writer._file, 44 + 2 * 250)  # type: ignore[assignment]
        for n in range(3):
            sink.write(ramp(100, 1 + 100 * n))
            assert sink.pending == 100
            clock.now += 100 / RATE + 1e-9
        assert sink.error is None
        sink.write(ramp(100))  # now the third is in the file, but not all of it
        failure = sink.error
        assert isinstance(failure, OSError)
        assert sink.pending == 100
        clock.now += 50 / RATE + 1e-9
        assert sink.pending == 50
        sink.flush()
        assert (sink.pending, sink.heard) == (0, 350)
        with pytest.raises(OSError, match="No space left") as caught:
            sink.close()
        assert caught.value is sink.error is failure
        sink.close()
        assert in_file(sink.path) == ramp(200)

    async def test_leaving_the_block_raises_what_closing_raises(
        self, open_sink: Callable[..., WavSink], clock: Clock
    ) -> None:
        sink = await self.on_a_full_disk(open_sink(), clock).__aenter__()
        with pytest.raises(OSError, match="No space left"):
            await sink.__aexit__(None, None, None)

    async def test_what_ended_the_block_is_not_hidden_by_a_full_disk(
        self, open_sink: Callable[..., WavSink], clock: Clock
    ) -> None:
        sink = await self.on_a_full_disk(open_sink(), clock).__aenter__()
        await sink.__aexit__(KeyError, KeyError("the fault"), None)
        assert isinstance(sink.error, OSError)

    @staticmethod
    def on_a_full_disk(sink: WavSink, clock: Clock) -> WavSink:
        sink._writer._file = SmallDisk(sink._writer._file, 44)  # type: ignore[assignment]
        sink.write(ramp(100))
        clock.now += 1.0
        return sink

    async def test_a_recording_of_a_day_ends_at_4_gib(
        self, open_sink: Callable[..., WavSink], clock: Clock
    ) -> None:
        sink = open_sink()
        sink.write(ramp(10))
        clock.now += 4 * 86_400
        sink.write(ramp(10))
        clock.now += 1.0
        with pytest.raises(OSError, match="4 GiB"):
            sink.close()
        assert in_file(sink.path) == ramp(10)

    async def test_real_time_by_default(self, tmp_path: Path) -> None:
        begin = time.monotonic()
        async with WavSink(tmp_path / "out.wav", rate=RATE) as sink:
            sink.write(ramp(240))
            await sink.drain()
        assert time.monotonic() - begin >= 0.03
        assert ramp(240) in in_file(sink.path)


def test_files_and_interfaces_load_no_numpy() -> None:
    code = "import sys, voicelive_agent.files, voicelive_agent.audio; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
