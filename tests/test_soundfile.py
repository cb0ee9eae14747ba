"""Recordings of other kinds: what soundfile reads for us, what is refused, and what comes of it."""

from __future__ import annotations

import builtins
import importlib.util
import struct
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from voicelive_agent._pcm import alaw_to_pcm, ulaw_to_pcm
from voicelive_agent._soundfile import kind_of
from voicelive_agent.audio import AudioFormat
from voicelive_agent.errors import AudioFileError
from voicelive_agent.files import FileSource, WavSource

from .riff import AUDIO, fmt, riff, saved

needs_soundfile = pytest.mark.skipif(
    importlib.util.find_spec("soundfile") is None, reason="not installed: soundfile (extra audio)"
)
RATE = 16_000
NAME = Path("in.wav")


def sound(frames: int = 8_000, channels: int = 2) -> npt.NDArray[np.float64]:
    """Noise up to a little beyond full scale, and every kind of half step; only such steps as all formats know."""
    noise = np.random.default_rng(frames).normal(0, 0.3, (frames, channels))
    noise[:4] = np.array([[1.0], [-1.0], [0.5 / 32_768], [1.5 / 32_768]])
    return noise.clip(-1.0, 1.0 - 2.0**-20)


def written(path: Path, container: str, subtype: str | None = None, **options: Any) -> Path:
    """A recording made by soundfile."""
    import soundfile

    data = options.pop("data", None)
    data = sound() if data is None else data
    soundfile.write(str(path), data, options.get("rate", RATE), format=container, subtype=subtype)
    return path


def as_soundfile_has_it(path: Path) -> npt.NDArray[np.int16]:
    """The whole file read at once, and rounded here."""
    import soundfile

    samples, _ = soundfile.read(str(path), dtype="float64", always_2d=True)
    rounded: npt.NDArray[np.int16] = np.rint(np.clip(samples * 32_768, -32_768, 32_767)).astype("<i2")
    return rounded


def pcm_of(path: Path, source_type: type[FileSource] = FileSource, block_ms: int = 20) -> bytes:
    source = source_type(path, speed=None, block_ms=block_ms)
    pcm = b"".join(source._blocks())
    if source.format.encoding == "pcm16":
        return pcm
    return ulaw_to_pcm(pcm) if source.format.encoding == "g711_ulaw" else alaw_to_pcm(pcm)


def steps(pcm: bytes) -> npt.NDArray[np.int32]:
    return np.frombuffer(pcm, "<i2").astype(np.int32)


@needs_soundfile
class TestWhatSoundfileWrites:
    @pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64"])
    @pytest.mark.parametrize(
        "subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"]
    )
    def test_we_read_to_the_last_bit(self, tmp_path: Path, container: str, subtype: str) -> None:
        path = written(tmp_path / "in.wav", container, subtype)
        assert pcm_of(path, WavSource) == as_soundfile_has_it(path).tobytes()
        source = FileSource(path)
        assert (source.format.rate, source.format.channels, source.frames) == (RATE, 2, 8_000)
        assert source.format.encoding == {"ULAW": "g711_ulaw", "ALAW": "g711_alaw"}.get(subtype, "pcm16")

    @pytest.mark.parametrize(
        ("container", "subtype"),
        [
            ("FLAC", "PCM_16"),
            ("FLAC", "PCM_24"),
            ("OGG", "VORBIS"),
            ("OGG", "OPUS"),
            ("MP3", "MPEG_LAYER_III"),
            ("AIFF", "PCM_24"),
            ("AIFF", "FLOAT"),
            ("CAF", "PCM_32"),
            ("AU", "ULAW"),
            ("W64", "PCM_16"),
            ("NIST", "PCM_16"),
            ("VOC", "PCM_16"),
            ("WAV", "IMA_ADPCM"),
            ("WAV", "MS_ADPCM"),
        ],
    )
    @pytest.mark.parametrize("block_ms", [20, 333])
    def test_it_decodes_for_us(self, tmp_path: Path, container: str, subtype: str, block_ms: int) -> None:
        path = written(tmp_path / "in.anything", container, subtype)
        expected = as_soundfile_has_it(path)
        source = FileSource(path)
        assert source.format == AudioFormat("pcm16", RATE, 2)
        error = np.abs(steps(pcm_of(path, block_ms=block_ms)) - steps(expected.tobytes())).max()
        assert error <= (1 if container == "MP3" else 0)  # its decoder is not always of the same opinion
        assert source.frames == len(expected)
        assert not source.truncated

    @pytest.mark.parametrize("subtype", ["GSM610", "G721_32", "NMS_ADPCM_32"])
    def test_other_codecs_in_wav_files(self, tmp_path: Path, subtype: str) -> None:
        path = written(tmp_path / "in.wav", "WAV", subtype, rate=8_000, data=sound(8_000, 1))
        assert pcm_of(path) == as_soundfile_has_it(path).tobytes()
        with pytest.raises(AudioFileError, match=r"which is not read here\. FileSource may read it"):
            WavSource(path)

    def test_mp3_in_a_wav_file(self, tmp_path: Path) -> None:
        mp3 = written(tmp_path / "in.mp3", "MP3")
        description = fmt(0x55, 2, RATE, bits=0, room=1) + struct.pack("<HHIHHH", 12, 1, 2, 576, 1, 1_393)
        path = saved(tmp_path / "in.wav", riff(description, mp3.read_bytes()))
        assert np.abs(steps(pcm_of(path)) - steps(pcm_of(mp3))).max() <= 1
        with pytest.raises(AudioFileError, match=r"is a WAV file of MP3, which is not read here\."):
            WavSource(path)

    def test_big_endian_wav(self, tmp_path: Path) -> None:
        import soundfile

        path = tmp_path / "in.wav"
        soundfile.write(str(path), sound(), RATE, format="WAV", subtype="PCM_16", endian="BIG")
        assert path.read_bytes()[:4] == b"RIFX"
        assert pcm_of(path) == as_soundfile_has_it(path).tobytes()
        with pytest.raises(AudioFileError, match="is not a WAV file: it begins with b'RIFX"):
            WavSource(path)

    def test_16_bits_come_back_as_they_were(self, tmp_path: Path) -> None:
        pcm = np.random.default_rng(1).integers(-32_768, 32_768, 5_000).astype("<i2")
        for container in ("WAV", "FLAC", "AIFF", "CAF"):
            assert pcm_of(written(tmp_path / "in", container, "PCM_16", data=pcm)) == pcm.tobytes()

    @pytest.mark.parametrize("name", ["talk.raw", "talk.wav", "talk", "größer als 1.mp3"])
    def test_the_name_does_not_matter(self, tmp_path: Path, name: str) -> None:
        path = written(tmp_path / "in.flac", "FLAC")
        assert pcm_of(saved(tmp_path / name, path.read_bytes())) == as_soundfile_has_it(path).tobytes()

    def test_an_mp3_without_a_tag_is_known_by_its_frame(self, tmp_path: Path) -> None:
        path = written(tmp_path / "in.mp3", "MP3")
        content = path.read_bytes()
        assert content[0] == 0xFF
        assert kind_of(content[:12], path) == "MP3"
        tag = b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)
        tagged = pcm_of(saved(tmp_path / "tagged.mp3", tag + content))
        assert np.abs(steps(tagged) - steps(pcm_of(path))).max() <= 1

    def test_a_long_recording_is_never_in_memory(self, tmp_path: Path) -> None:
        path = written(tmp_path / "in.flac", "FLAC", data=sound(60 * RATE, 2))
        source = FileSource(path, speed=None)
        tracemalloc.start()
        try:
            assert sum(map(len, source._blocks())) == 60 * RATE * 4
            assert tracemalloc.get_traced_memory()[1] < 500_000
        finally:
            tracemalloc.stop()


@needs_soundfile
class TestFaults:
    def test_a_damaged_flac_is_played_up_to_the_fault(self, tmp_path: Path) -> None:
        path = written(tmp_path / "in.flac", "FLAC", data=sound(64_000))
        whole, content = pcm_of(path), path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        blocks: list[bytes] = []
        with pytest.raises(
            AudioFileError, match=r"cannot be decoded from 1\.\d\d s on: flac decoder lost"
        ) as fault:
            blocks.extend(FileSource(path, speed=None)._blocks())
        played = b"".join(blocks)
        assert fault.value.hint.endswith("ffmpeg -i in.flac in-pcm16.wav")
        assert len(whole) / 4 < len(played) < len(whole)
        assert whole.startswith(played)

    @pytest.mark.parametrize(("container", "subtype"), [("OGG", "VORBIS"), ("AIFF", "PCM_16"), ("AU", "PCM_16")])
    def test_others_end_where_they_were_cut(self, tmp_path: Path, container: str, subtype: str) -> None:
        path = written(tmp_path / "in", container, subtype, data=sound(64_000))
        whole, content = pcm_of(path), path.read_bytes()
        played = pcm_of(saved(path, content[: len(content) // 2]))
        assert len(whole) / 4 < len(played) < len(whole)

    def test_a_cut_mp3_is_played_to_the_last_frame(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        path = written(tmp_path / "in.mp3", "MP3", data=sound(64_000))
        whole, content = pcm_of(path), path.read_bytes()
        played = pcm_of(saved(path, content[: len(content) // 2]))
        assert len(whole) / 3 < len(played) < len(whole)
        capfd.readouterr()  # its decoder warns on the standard error

    def test_a_flac_of_unknown_length(self, tmp_path: Path) -> None:
        path = written(tmp_path / "in.flac", "FLAC")
        content = bytearray(path.read_bytes())
        content[21] &= 0xF0
        content[22:26] = bytes(4)  # "unknown", as encoders leave it that write into a pipe
        with pytest.raises(
            AudioFileError, match=r"is FLAC, but it does not say how long it is\. Convert it: ffmpeg"
        ):
            FileSource(saved(path, bytes(content)))

    def test_nothing_in_it(self, tmp_path: Path) -> None:
        path = written(tmp_path / "in.aiff", "AIFF", data=np.zeros((0, 1)))
        with pytest.raises(AudioFileError, match="is AIFF, but it holds no audio"):
            FileSource(path)

    def test_a_rate_that_is_none(self, tmp_path: Path) -> None:
        path = written(tmp_path / "in.au", "AU", rate=400_000)
        with pytest.raises(AudioFileError, match="the header says 400000 samples per second"):
            FileSource(path)

    def test_only_a_beginning(self, tmp_path: Path) -> None:
        with pytest.raises(
            AudioFileError, match="is FLAC, but cannot be read: File contains data in an unimplemented"
        ):
            FileSource(saved(tmp_path / "in.flac", b"fLaC" + bytes(100)))

    def test_a_codec_that_nobody_reads(self, tmp_path: Path) -> None:
        with pytest.raises(AudioFileError, match=r"is a WAV file of G\.729, but cannot be read:"):
            FileSource(saved(tmp_path / "in.wav", riff(fmt(0x83), AUDIO)))


class TestWithoutSoundfile:
    @pytest.mark.parametrize(
        ("content", "kind"),
        [
            (b"fLaC" + bytes(100), "FLAC"),
            (riff(fmt(0x11, bits=4), AUDIO), "a WAV file of IMA ADPCM"),
        ],
    )
    def test_the_error_is_the_command_to_install_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, kind: str
    ) -> None:
        monkeypatch.setitem(sys.modules, "soundfile", None)
        path = saved(tmp_path / "in.wav", content)
        with pytest.raises(AudioFileError) as caught:
            FileSource(path)
        assert caught.value.fault == f"is {kind}, for which the package soundfile is needed."
        assert caught.value.hint == 'Install it: pip install "voicelive-agent[audio]"'

    def test_without_its_library(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real = builtins.__import__

        def imported(name: str, *args: Any, **options: Any) -> Any:
            if name == "soundfile":
                raise OSError("sndfile library not found")
            return real(name, *args, **options)

        monkeypatch.setattr(builtins, "__import__", imported)
        with pytest.raises(AudioFileError, match="does not find its library: sndfile library not found") as caught:
            FileSource(saved(tmp_path / "in.flac", b"fLaC" + bytes(100)))
        assert "apt install libsndfile1" in caught.value.hint

    def test_wav_files_need_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "soundfile", None)
        assert b"".join(FileSource(saved(tmp_path / "in.wav", riff(fmt(), AUDIO)), speed=None)._blocks()) == AUDIO


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"fLaC\0\0\0\x22\x10\0\x10\0", "FLAC"),
        (b"OggS\0\x02\0\0\0\0\0\0", "Ogg"),
        (b"ID3\x04\0\0\0\0\0\0\0\0", "MP3"),
        (b"\xff\xfb\x90\x44\0\0\0\0\0\0\0\0", "MP3"),
        (b"\xff\xf2\x50\x44\0\0\0\0\0\0\0\0", "MP3"),
        (b"FORM\0\0\0\0AIFC", "AIFF-C"),
        (b"RIFX\0\0\0\0WAVE", "RIFX (big-endian WAV)"),
        (b"Creative Voi", "VOC"),
    ],
)
def test_a_recording_is_known_by_how_it_begins(head: bytes, kind: str) -> None:
    assert kind_of(head, NAME) == kind


@pytest.mark.parametrize(
    ("head", "fault"),
    [
        (b"", "the file is empty"),
        (b"\0\0\0\x20ftypM4A ", "is MPEG-4 audio (m4a), which is not read here. Convert it: ffmpeg -i in.wav"),
        (b"RIFF\0\0\0\0AVI ", "is AVI video, which is not read here"),
        (b"\xff\xf1\x50\x80\0\0\0\0\0\0\0\0", "is AAC"),
        (b"\xff\xfb\xf0\0\0\0\0\0\0\0\0\0", "is not a recording known here"),  # no such bit rate
        (b"\xff\xfb\x9c\0\0\0\0\0\0\0\0\0", "is not a recording known here"),  # no such sample rate
        (b"\xff\xfeH\0e\0l\0l\0o\0", "is not a recording known here"),  # a text of Windows
        (b"\xff", "is not a recording known here: it begins with b'\\xff'"),
        (
            b"Dear John, I",
            "is not a recording known here: it begins with b'Dear John, I'. If it is audio, convert it",
        ),
    ],
)
def test_what_is_none_is_named(head: bytes, fault: str) -> None:
    with pytest.raises(AudioFileError) as caught:
        kind_of(head, NAME)
    assert str(caught.value).startswith(f"in.wav: {fault}")
    assert caught.value.hint
