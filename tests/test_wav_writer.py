"""WAV files while they are written: whole at any instant, whatever ends the writing, and beyond 4 GiB."""

from __future__ import annotations

import errno
import io
import os
import struct
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from voicelive_agent._wav import WavFile, read_wav
from voicelive_agent._wav_writer import WavWriter
from voicelive_agent.errors import AudioFileError

from .riff import AUDIO, RATE, fmt, ramp, riff, saved, small_disk

HOLES = pytest.mark.skipif(sys.platform != "linux", reason="needs a file system that knows holes")
HEADER_BYTES = 80
LAST_OF_RIFF = (0xFFFF_FFFE - 72) // 2
"""Frames of mono with which the size of the file minus 8, which is even, is the largest that fits into 32 bits."""


def in_file(path: Path, rate: int = RATE, channels: int = 1) -> bytes:
    """The samples of a file, read by the standard library."""
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (channels, 2, rate)
        pcm = file.readframes(file.getnframes())
        assert len(pcm) == 2 * channels * file.getnframes()
        return pcm


def examined(path: Path) -> WavFile:
    with path.open("rb") as file:
        return read_wav(file, path)


def audio_at(path: Path, frame: int, frames: int) -> bytes:
    """Some samples of a mono file, however large it is."""
    recording = examined(path)
    assert frame + frames <= recording.frames
    with path.open("rb") as file:
        file.seek(recording.data_at + 2 * frame)
        return file.read(2 * frames)


class Watched:
    """A file that calls back after everything that was done to it."""

    def __init__(self, file: Any, look: Callable[[], None]) -> None:
        self.file = file
        self.look = look

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> None:
        self.file.__enter__()

    def __exit__(self, *exc_info: object) -> None:
        self.file.__exit__(*exc_info)

    def write(self, data: memoryview) -> int:
        """As much as it likes, as files may."""
        written: int = self.file.write(data[: max(1, len(data) // 2)] if len(data) > HEADER_BYTES else data)
        self.look()
        return written

    def truncate(self, size: int) -> None:
        self.file.truncate(size)
        self.look()


def watch(writer: WavWriter, look: Callable[[], None]) -> None:
    writer._file = Watched(writer._file, look)  # type: ignore[assignment]


class TestGrowing:
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
        assert writer.path.stat().st_size == HEADER_BYTES + 380

    def test_stereo(self, tmp_path: Path) -> None:
        with WavWriter(tmp_path / "out.wav", 16_000, 2) as writer:
            writer.write(ramp(8))
            with pytest.raises(ValueError, match="6 bytes are not whole frames of 4 bytes"):
                writer.write(ramp(3))
        assert in_file(writer.path, 16_000, 2) == ramp(8)

    def test_what_it_writes_is_what_is_read(self, tmp_path: Path) -> None:
        with WavWriter(tmp_path / "out.wav", 22_050, 2) as writer:
            writer.write(ramp(8))
        recording = examined(writer.path)
        assert (recording.format, recording.frames, recording.truncated) == (writer.format, 4, False)

    def test_an_old_file_is_replaced(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "out.wav", riff(fmt(), AUDIO))
        WavWriter(path, RATE).close()
        assert in_file(path) == b""

    def test_no_sound_brings_no_silence_into_the_file(self, tmp_path: Path) -> None:
        with WavWriter(tmp_path / "out.wav", RATE) as writer:
            writer.write_silence(5)
            writer.write(b"")
            assert in_file(writer.path) == b""
        assert in_file(writer.path) == bytes(10)

    def test_silence_is_not_negative(self, tmp_path: Path) -> None:
        with WavWriter(tmp_path / "out.wav", RATE) as writer:
            with pytest.raises(ValueError, match="cannot append -1 frames"):
                writer.write_silence(-1)

    @pytest.mark.parametrize("name", ["answer.mp3", "answer.FLAC", "answer.ogg"])
    def test_a_name_of_another_kind_of_audio(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(AudioFileError, match=r"only WAV files can be written\. Name it .*answer\.wav,"):
            WavWriter(tmp_path / name, RATE)
        assert not (tmp_path / name).exists()

    def test_a_directory_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            WavWriter(tmp_path / "missing" / "out.wav", RATE)

    @settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
    @example(channels=1, steps=[(False, 1), (True, 0)], rate=8_000)
    @given(
        channels=st.integers(1, 3),
        steps=st.lists(st.tuples(st.booleans(), st.integers(0, 200)), max_size=8),
        rate=st.sampled_from([8_000, 44_100]),
    )
    def test_at_every_instant_it_holds_the_whole_writes_until_then(
        self, tmp_path: Path, channels: int, steps: list[tuple[bool, int]], rate: int
    ) -> None:
        allowed: list[bytes] = [b""]

        def look() -> None:
            assert in_file(writer.path, rate, channels) in allowed

        with WavWriter(tmp_path / "out.wav", rate, channels) as writer:
            watch(writer, look)
            silence = b""
            for sound, frames in steps:
                if sound and not frames:
                    writer.write(b"")  # brings no silence along
                    assert in_file(writer.path, rate, channels) == allowed[-1]
                elif sound:
                    pcm = ramp(frames * channels, len(allowed[-1]))
                    allowed = [allowed[-1], allowed[-1] + silence + pcm]
                    silence = b""
                    writer.write(pcm)
                    assert in_file(writer.path, rate, channels) == allowed[-1]
                else:
                    writer.write_silence(frames)
                    silence += bytes(2 * channels * frames)
            allowed = [allowed[-1], allowed[-1] + silence]
        assert in_file(writer.path, rate, channels) == allowed[-1]

    @settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
    @given(rate=st.integers(1, 384_000), channels=st.integers(1, 8), frames=st.integers(0, 300))
    def test_soundfile_reads_what_it_writes(self, tmp_path: Path, rate: int, channels: int, frames: int) -> None:
        soundfile = pytest.importorskip("soundfile")
        pcm = ramp(frames * channels)
        with WavWriter(tmp_path / "out.wav", rate, channels) as writer:
            writer.write(pcm)
        with soundfile.SoundFile(str(writer.path)) as file:
            assert (file.samplerate, file.channels, file.frames) == (rate, channels, frames)
            assert (file.format, file.subtype) == ("WAV", "PCM_16")
            assert bytes(file.buffer_read(dtype="int16")) == pcm


class TestEndings:
    WRITES = """
import sys
from voicelive_agent._wav_writer import WavWriter
writer = WavWriter(sys.argv[1], 8_000)
for n in range(1, 30_000):
    writer.write(n.to_bytes(2, "little") * 160)
    print(n, flush=True)
"""

    @pytest.mark.parametrize("blocks", [1, 20, 300])
    def test_a_killed_process_leaves_all_that_was_written(self, tmp_path: Path, blocks: int) -> None:
        path = tmp_path / "out.wav"
        with subprocess.Popen(
            [sys.executable, "-c", self.WRITES, str(path)], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            for _ in range(blocks):
                assert child.stdout.readline()
            child.kill()  # while it goes on writing
            last = int([str(blocks), *child.stdout.read().split()][-1])
        assert child.returncode
        pcm = in_file(path)
        whole, rest = divmod(len(pcm), 320)
        assert (whole in (last, last + 1), rest) == (True, 0)
        assert pcm == b"".join(n.to_bytes(2, "little") * 160 for n in range(1, whole + 1))
        assert examined(path).frames == 160 * whole
        assert not examined(path).truncated

    @pytest.mark.linux
    def test_a_full_disk_leaves_all_that_was_written(self, tmp_path: Path) -> None:
        with small_disk(tmp_path) as folder:
            writer, written, failure, named = WavWriter(folder / "out.wav", RATE), b"", 0, ""
            while not failure and len(written) < 100_000:
                pcm = ramp(400, 1 + len(written))
                try:
                    writer.write(pcm)
                    written += pcm
                except OSError as full:
                    failure, named = full.errno or -1, full.filename
                assert in_file(writer.path) == written
            assert (failure, named) == (errno.ENOSPC, str(writer.path))
            assert 60_000 < len(written) < 65_536
            assert in_file(writer.path) == written
            assert not examined(writer.path).truncated
            writer.close()
            assert in_file(writer.path) == written
            assert writer.path.stat().st_size == HEADER_BYTES + len(written)

    @pytest.mark.linux
    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a device that is always full")
    def test_no_space_for_the_header(self) -> None:
        with pytest.raises(OSError, match="No space left"):
            WavWriter("/dev/full", RATE)


@pytest.mark.linux
@HOLES
class TestBeyond4GiB:
    def test_the_last_of_riff_and_the_first_of_rf64(self, tmp_path: Path) -> None:
        with WavWriter(tmp_path / "out.wav", RATE) as writer:
            writer.write_silence(LAST_OF_RIFF - 10)
            writer.write(ramp(10))
            assert self.head(writer.path)[:16] == b"RIFF\xfe\xff\xff\xffWAVEJUNK"
            assert examined(writer.path).frames == LAST_OF_RIFF
            assert audio_at(writer.path, LAST_OF_RIFF - 10, 10) == ramp(10)
            with wave.open(str(writer.path), "rb") as file:
                assert file.getnframes() == LAST_OF_RIFF
            writer.write(ramp(1, 77))
            assert self.head(writer.path)[:16] == b"RF64\xff\xff\xff\xffWAVEds64"
            assert audio_at(writer.path, LAST_OF_RIFF, 1) == ramp(1, 77)
            assert examined(writer.path).frames == LAST_OF_RIFF + 1

    def test_the_sizes_are_those_of_the_standard(self, tmp_path: Path) -> None:
        with WavWriter(tmp_path / "out.wav", RATE, 2) as writer:
            writer.write_silence(2**31)
        head = self.head(writer.path)
        data = 4 * 2**31
        assert writer.path.stat().st_size == data + HEADER_BYTES
        assert head[12:48] == struct.pack("<4sIQQQI", b"ds64", 28, data + 72, data, 2**31, 0)
        assert head[48:72] == riff(fmt(channels=2), b"")[12:36]
        assert head[72:] == b"data\xff\xff\xff\xff"

    def test_at_every_instant_of_the_turn_it_can_be_read(self, tmp_path: Path) -> None:
        soundfile = pytest.importorskip("soundfile")
        seen: list[tuple[bytes, int]] = []

        def look() -> None:
            recording = examined(writer.path)
            seen.append((self.head(writer.path)[:4], recording.frames))
            assert not recording.truncated
            assert audio_at(writer.path, 0, 100) == ramp(100)
            with soundfile.SoundFile(str(writer.path)) as file:
                assert (file.samplerate, file.channels) == (RATE, 1)
                assert file.frames in (100, beyond + 30, beyond + 60)
                assert bytes(file.buffer_read(100, dtype="int16")) == ramp(100)

        beyond = 2**31 + 1_000
        with WavWriter(tmp_path / "out.wav", RATE) as writer:
            writer.write(ramp(100))
            writer.write_silence(beyond - 100)
            watch(writer, look)
            writer.write(ramp(30, 500))
            turned = len(seen)
            writer.write(ramp(30, 700))
        names = [name for name, _ in seen]
        assert set(names[: names.index(b"RF64")]) == {b"RIFF"}
        assert set(names[names.index(b"RF64") :]) == {b"RF64"}
        assert names.index(b"RF64") < turned
        # Before the last step of the turn what is read is what there was before it, then all of it.
        assert {frames for _, frames in seen[: turned - 1]} == {100}
        assert seen[turned - 1][1] == beyond + 30
        assert seen[-1][1] == beyond + 60
        assert audio_at(writer.path, beyond - 1, 31) == bytes(2) + ramp(30, 500)
        assert audio_at(writer.path, beyond + 30, 30) == ramp(30, 700)
        with soundfile.SoundFile(str(writer.path)) as file:
            assert (file.format, file.frames) == ("RF64", beyond + 60)
            file.seek(beyond)
            assert bytes(file.buffer_read(dtype="int16")) == ramp(30, 500) + ramp(30, 700)

    @staticmethod
    def head(path: Path) -> bytes:
        with path.open("rb") as file:
            return file.read(HEADER_BYTES)


def test_a_header_alone_is_no_recording(tmp_path: Path) -> None:
    WavWriter(tmp_path / "out.wav", RATE).close()
    with pytest.raises(AudioFileError, match="holds no audio, only a header"):
        examined(tmp_path / "out.wav")


def test_what_was_written_before_the_first_header_said_so_is_read(tmp_path: Path) -> None:
    """The instant between the first samples and their header: their size is still 0, as in a stream."""
    content = saved(tmp_path / "out.wav", b"")
    WavWriter(content, RATE).close()
    file = io.BytesIO(content.read_bytes() + ramp(100))
    assert b"".join(read_wav(file, Path("out.wav")).blocks(file, 100)) == ramp(100)


def test_a_silent_end_is_a_hole(tmp_path: Path) -> None:
    with WavWriter(tmp_path / "out.wav", RATE) as writer:
        writer.write_silence(RATE)
    assert os.path.getsize(writer.path) == HEADER_BYTES + 2 * RATE
    assert in_file(writer.path) == bytes(2 * RATE)


def test_what_is_written_to_nowhere_is_closed_in_peace() -> None:
    with WavWriter(os.devnull, RATE) as writer:
        writer.write(bytes(2 * RATE))
        writer.write_silence(RATE)
    assert writer.frames == 2 * RATE
