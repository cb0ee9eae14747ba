"""WAV files as sources and sinks, sound and odd."""

from __future__ import annotations

import errno
import io
import os
import struct
import subprocess
import sys
import time
import wave
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NoReturn

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voicelive_agent._wav import read_wav
from voicelive_agent.audio import AudioFormat, AudioSink, AudioSource, negotiate
from voicelive_agent.errors import AudioFileError
from voicelive_agent.files import FileSource, WavSink, WavSource

from .riff import AUDIO, LIST_CHUNK, RATE, ULAW, fmt, ramp, riff, saved, small_disk

HEADER_BYTES = 80


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


def in_file(path: Path) -> bytes:
    """The samples of a file, read by the standard library."""
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        pcm = file.readframes(file.getnframes())
        assert len(pcm) == 2 * file.getnframes()
        return pcm


async def played(source: AsyncIterator[bytes] | FileSource) -> bytes:
    return b"".join([block async for block in source])


class TestFile:
    @pytest.mark.parametrize("source_type", [FileSource, WavSource])
    async def test_a_wav_file_is_read_by_both(self, tmp_path: Path, source_type: type[FileSource]) -> None:
        content = riff(fmt(channels=2), AUDIO, before=LIST_CHUNK, size=2 * len(AUDIO))
        source = source_type(saved(tmp_path / "in.flac", content), speed=None)
        assert await played(source) == AUDIO
        assert (source.frames, source.duration_s, source.truncated) == (400, 400 / RATE, True)

    @pytest.mark.parametrize("source_type", [FileSource, WavSource])
    def test_a_file_of_nothing(self, tmp_path: Path, source_type: type[FileSource]) -> None:
        with pytest.raises(AudioFileError, match="the file is empty"):
            source_type(saved(tmp_path / "in.wav", b""))

    async def test_what_is_no_wav_file_is_decoded(self, tmp_path: Path) -> None:
        soundfile = pytest.importorskip("soundfile")
        path = saved(tmp_path / "talk.wav", b"")
        with path.open("wb") as file:
            soundfile.write(file, [[0.5, -0.5]] * 500, 44_100, format="FLAC", subtype="PCM_16")
        source = FileSource(path, speed=None)
        assert source.format == AudioFormat("pcm16", 44_100, 2)
        assert await played(source) == 500 * struct.pack("<hh", 16_384, -16_384)
        with pytest.raises(AudioFileError, match="is not a WAV file: it begins with b'fLaC"):
            WavSource(path)

    def test_what_is_no_recording_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(AudioFileError, match="is not a recording known here: it begins with b'Dear"):
            FileSource(saved(tmp_path / "in.wav", b"Dear John, I wrote a letter."))

    def test_another_codec_in_a_wav_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "soundfile", None)
        path = saved(tmp_path / "in.wav", riff(fmt(0x11, bits=4), AUDIO))
        with pytest.raises(AudioFileError, match=r"is a WAV file of IMA ADPCM, which is not read here\."):
            WavSource(path)
        with pytest.raises(AudioFileError, match=r"is a WAV file of IMA ADPCM, for which the package soundfile"):
            FileSource(path)

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(AudioFileError, match="there is no such file") as caught:
            WavSource(tmp_path / "missing.wav")
        assert isinstance(caught.value.__cause__, FileNotFoundError)
        assert str(Path.cwd()) in caught.value.hint

    def test_a_directory(self, tmp_path: Path) -> None:
        with pytest.raises(AudioFileError, match=r"is a directory, not a file\. Give the path of a recording\."):
            FileSource(tmp_path)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "in.wav")
        with pytest.raises(AudioFileError, match="is a pipe or a device, not a file"):
            FileSource(tmp_path / "in.wav")

    def test_a_file_that_may_not_be_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refused(*args: object) -> NoReturn:
            raise PermissionError(errno.EACCES, "Permission denied")

        path = saved(tmp_path / "in.wav", riff(fmt(), AUDIO))
        monkeypatch.setattr(Path, "open", refused)
        with pytest.raises(
            AudioFileError, match=r"cannot be read: Permission denied\. It must be a file"
        ) as caught:
            FileSource(path)
        assert isinstance(caught.value.__cause__, PermissionError)

    async def test_a_disk_that_fails_while_it_is_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Worn(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                if self.tell() > 500:
                    raise OSError(errno.EIO, "Input/output error")
                return super().read(size)

        content = riff(fmt(), AUDIO)
        source = WavSource(saved(tmp_path / "in.wav", content), speed=None)
        monkeypatch.setattr(Path, "open", lambda *_: Worn(content))
        with pytest.raises(AudioFileError, match="cannot be read: Input/output error"):
            await played(source)

    async def test_a_file_that_vanishes_after_it_was_examined(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "in.wav", riff(fmt(), AUDIO))
        source = WavSource(path)
        path.unlink()
        with pytest.raises(AudioFileError, match="there is no such file"):
            await played(source)

    async def test_a_recorded_telephone_needs_no_transcoding(self, tmp_path: Path) -> None:
        source = FileSource(saved(tmp_path / "in.wav", riff(fmt(ULAW, bits=8), bytes(range(256)))), speed=None)
        wire = negotiate(source.format, source.format, openai_voice=False)
        assert wire.input == wire.output == source.format == AudioFormat("g711_ulaw", 8_000)
        assert await played(source) == bytes(range(256))


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
        sink._writer._file = SmallDisk(sink._writer._file, HEADER_BYTES + 2 * 250)  # type: ignore[assignment]
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
        sink._writer._file = SmallDisk(sink._writer._file, HEADER_BYTES)  # type: ignore[assignment]
        sink.write(ramp(100))
        clock.now += 1.0
        return sink

    @pytest.mark.linux
    async def test_a_really_full_disk(self, tmp_path: Path, clock: Clock) -> None:
        with small_disk(tmp_path) as folder:
            sink = WavSink(folder / "out.wav", rate=RATE, clock=clock)
            for n in range(100):
                sink.write(ramp(400, 1 + 400 * n))
                assert sink.pending == 400
                clock.now += 400 / RATE + 1e-9
            assert sink.heard == 40_000
            with pytest.raises(OSError, match="No space left"):
                sink.close()
            recorded = in_file(sink.path)
            assert 60_000 < len(recorded) < 65_536
            assert recorded == ramp(len(recorded) // 2)

    @pytest.mark.linux
    @pytest.mark.skipif(sys.platform != "linux", reason="needs a file system that knows holes")
    async def test_a_recording_of_days_goes_on_beyond_4_gib(
        self, open_sink: Callable[..., WavSink], clock: Clock
    ) -> None:
        async with open_sink() as sink:
            sink.write(ramp(10))
            clock.now += 4 * 86_400
            sink.write(ramp(10, 70))
            clock.now += 1.0
        with sink.path.open("rb") as file:
            recording = read_wav(file, sink.path)
            file.seek(recording.data_at + 2 * 4 * 86_400 * RATE)
            assert file.read(20) == ramp(10, 70)
        assert recording.frames == (4 * 86_400 + 1) * RATE

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
