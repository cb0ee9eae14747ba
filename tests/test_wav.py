"""Reading WAV files: what is odd and can be played, what is damaged, and that memory and time are bounded."""

from __future__ import annotations

import io
import struct
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicelive_agent._pcm import SampleType, to_pcm16
from voicelive_agent._wav import MAX_CHANNELS, OtherCodec, WavFile, checked_format, conversion, is_wav, read_wav
from voicelive_agent.audio import MAX_RATE, AudioFormat
from voicelive_agent.errors import AudioFileError

from .riff import ALAW, AUDIO, FLOAT, LIST_CHUNK, PCM, RATE, ULAW, chunk, ds64, extensible, fmt, ramp, rf64, riff

NAME = Path("in.wav")
U8 = bytes(range(1, 256))
S24 = b"".join(n.to_bytes(3, "little", signed=True) for n in range(-(2**23), 2**23, 70_001))
S32 = struct.pack("<240i", *range(-(2**31), 2**31, 17_970_000))
F32 = struct.pack("<5f", 0.5, -0.5, 2.0, float("nan"), float("-inf"))
F64 = struct.pack("<4d", 1e308, -1.0, float("nan"), 0.25)


def wav(content: bytes) -> WavFile:
    return read_wav(io.BytesIO(content), NAME)


def played(content: bytes, frames: int = 160) -> bytes:
    file = io.BytesIO(content)
    return b"".join(read_wav(file, NAME).blocks(file, frames))


@pytest.mark.parametrize(
    ("content", "expected", "truncated"),
    [
        (riff(fmt(), AUDIO), AUDIO, False),
        (riff(fmt() + b"\0\0", AUDIO), AUDIO, False),
        (
            riff(fmt(), AUDIO, before=LIST_CHUNK + chunk(b"bext", bytes(602)) + chunk(b"JUNK", bytes(28))),
            AUDIO,
            False,
        ),
        (riff(fmt(), AUDIO, before=chunk(b"fmt ", fmt(rate=1))), AUDIO, False),
        (riff(fmt(), AUDIO, after=LIST_CHUNK), AUDIO, False),
        (riff(fmt(), AUDIO, after=b"junk that nobody described"), AUDIO, False),
        (riff(fmt(channels=2), AUDIO), AUDIO, False),
        (riff(fmt(channels=5), AUDIO), AUDIO, False),
        (riff(fmt(channels=7), AUDIO), AUDIO[: 114 * 14], False),
        (riff(fmt(), AUDIO, size=0xFFFFFFFF, riff_size=0xFFFFFFFF), AUDIO, False),
        (riff(fmt(), AUDIO, size=0, riff_size=0), AUDIO, False),
        (riff(fmt(), AUDIO, size=0x7FFFF000), AUDIO, False),
        (riff(fmt(), AUDIO, size=0x80000000), AUDIO, False),
        (riff(fmt(), AUDIO, size=4_800), AUDIO, True),
        (riff(fmt(), AUDIO, riff_size=12), AUDIO, False),
        (riff(fmt(), AUDIO + b"x"), AUDIO, False),
        (riff(fmt(), AUDIO)[:-1], AUDIO[:-2], True),
        (riff(fmt(room=0), AUDIO), AUDIO, False),
        (rf64(AUDIO), AUDIO, False),
        (rf64(AUDIO, name=b"BW64"), AUDIO, False),
        (rf64(AUDIO, data_size=400), AUDIO[:400], False),
        (rf64(AUDIO, data_size=2**40), AUDIO, True),
        (rf64(AUDIO, data_size=0), AUDIO, False),
        (rf64(AUDIO, data_size=2**64 - 1), AUDIO, False),
        (riff(fmt(), AUDIO, size=0xFFFFFFFF, name=b"RF64"), AUDIO, False),
        (riff(fmt(), AUDIO, size=0xFFFFFFFF, name=b"RF64", before=chunk(b"ds64", b"short")), AUDIO, False),
        (riff(fmt(), AUDIO, size=400, name=b"RF64", before=ds64(99)), AUDIO[:400], False),
        (riff(fmt(), AUDIO, size=0xFFFFFFFF, name=b"RF64", before=ds64(1_600, bytes(24))), AUDIO, False),
        (riff(extensible(), AUDIO), AUDIO, False),
        (riff(extensible(bits=16, valid=0), AUDIO), AUDIO, False),
        (riff(fmt(bits=12, room=2), AUDIO), AUDIO, False),
        (riff(fmt(bits=8), U8), to_pcm16(U8, "u8"), False),
        (riff(fmt(bits=24), S24), to_pcm16(S24, "s24"), False),
        (riff(fmt(bits=32), S32), to_pcm16(S32, "s32"), False),
        (riff(fmt(bits=24, room=4), S32), to_pcm16(S32, "s32"), False),
        (riff(extensible(bits=24, valid=20), S24), to_pcm16(S24, "s24"), False),
        (riff(fmt(FLOAT, bits=32), F32), struct.pack("<5h", 16_384, -16_384, 32_767, 0, -32_768), False),
        (riff(fmt(FLOAT, bits=64), F64), struct.pack("<4h", 32_767, -32_768, 0, 8_192), False),
        (riff(extensible(FLOAT, bits=32, valid=32), F32), to_pcm16(F32, "f32"), False),
    ],
    ids=[
        "plain",
        "long fmt",
        "LIST, bext and JUNK before",
        "two descriptions",
        "LIST after",
        "junk after",
        "stereo",
        "five channels",
        "incomplete frame",
        "streamed",
        "streamed, size 0",
        "streamed by sox",
        "streamed by arecord",
        "cut short",
        "RIFF size wrong",
        "odd byte",
        "cut in a sample",
        "frame size left out",
        "RF64",
        "BW64",
        "RF64 with an end",
        "RF64, cut short",
        "RF64, streamed",
        "RF64, streamed, all ones",
        "RF64 without ds64",
        "RF64, short ds64",
        "RF64, size in 32 bits",
        "RF64 with a table",
        "extensible",
        "extensible, valid bits left out",
        "12 bits",
        "8 bits",
        "24 bits",
        "32 bits",
        "24 bits in 4 bytes",
        "20 valid bits in 24",
        "float32",
        "float64",
        "extensible float",
    ],
)
@pytest.mark.parametrize("frames", [160, 7, 1_000_000])
def test_what_is_there_is_played_whatever_the_block(
    content: bytes, expected: bytes, truncated: bool, frames: int
) -> None:
    recording = wav(content)
    assert played(content, frames) == expected
    assert recording.truncated is truncated
    assert recording.frames == len(expected) // recording.format.frame_bytes
    assert recording.format.rate == RATE


@pytest.mark.parametrize(
    ("description", "format"),
    [
        (fmt(ALAW, bits=8), AudioFormat("g711_alaw", RATE)),
        (fmt(ULAW, bits=8), AudioFormat("g711_ulaw", RATE)),
        (fmt(ULAW, bits=16, room=1), AudioFormat("g711_ulaw", RATE)),
        (fmt(ULAW, channels=2, rate=16_000, bits=8), AudioFormat("g711_ulaw", 16_000, 2)),
        (extensible(ALAW, bits=8, valid=8), AudioFormat("g711_alaw", RATE)),
    ],
    ids=["A-law", "mu-law", "wrong bits", "stereo 16 kHz", "extensible"],
)
def test_g711_stays_as_it_is(description: bytes, format: AudioFormat) -> None:
    content = riff(description, bytes(range(256)))
    assert wav(content).format == format
    assert played(content, 50) == bytes(range(256))


@pytest.mark.parametrize("rate", [1, 11_025, 44_100, MAX_RATE])
@pytest.mark.parametrize("channels", [1, 3, MAX_CHANNELS])
def test_any_rate_and_number_of_channels(rate: int, channels: int) -> None:
    frame = ramp(channels)
    content = riff(fmt(rate=rate, channels=channels), 3 * frame)
    assert wav(content).format == AudioFormat("pcm16", rate, channels)
    assert played(content, 2) == 3 * frame


def test_a_block_has_so_many_frames() -> None:
    file = io.BytesIO(riff(fmt(channels=2, bits=24), bytes(600)))
    assert [len(block) for block in read_wav(file, NAME).blocks(file, 30)] == [120, 120, 120, 40]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "the file is empty"),
        (b"RIFF", "is not a WAV file: it begins with b'RIFF'"),
        (b"ID3" + AUDIO, "is not a WAV file: it begins with b'ID3"),
        (b"Dear John, I wrote", "is not a WAV file: it begins with b'Dear John, I'"),
        (b"RIFX" + riff(fmt(), AUDIO)[4:], "is not a WAV file: it begins with b'RIFX"),
        (b"RIFF\0\0\0\0AVI " + AUDIO, "is not a WAV file"),
        (riff(fmt(), AUDIO)[:12], "the header is cut short: there is no description of a format"),
        (riff(fmt(), AUDIO)[:30], "the header is cut short"),
        (riff(fmt(), AUDIO)[:36], "the header is cut short: there is no audio"),
        (riff(fmt(), AUDIO)[:40], "the header is cut short: there is no audio"),
        (riff(fmt()[:14], AUDIO), "the header is cut short"),
        (riff(extensible()[:38], AUDIO), "the header is cut short"),
        (riff(fmt(), AUDIO, before=b"junk\0\0\0\0" * 1_000), "the header is cut short: there is no description"),
        (riff(fmt(), b"", before=chunk(b"data", AUDIO)), "the audio comes before the description of its format"),
        (riff(fmt(), AUDIO, before=chunk(b"ds64", bytes(28), 0xFFFFFFFE)), "the header is cut short: there is no"),
        (riff(fmt(), b""), "holds no audio, only a header"),
        (riff(fmt(), b"x"), "holds no audio"),
        (riff(fmt(), b"", size=4_800), "holds no audio"),
        (riff(fmt(bits=0, room=2), AUDIO), "has samples of 0 bits"),
        (riff(fmt(bits=40), AUDIO), "has samples of 40 bits"),
        (riff(fmt(bits=64), AUDIO), "has samples of 64 bits"),
        (riff(fmt(FLOAT, bits=16), AUDIO), "has floating-point samples of 16 bits"),
        (riff(fmt(room=1), AUDIO), "the header contradicts itself: 1 x 16 bits in frames of 1 bytes"),
        (riff(fmt(channels=2, room=5), AUDIO), "the header contradicts itself: 2 x 16 bits in frames of 5 bytes"),
        (riff(fmt(room=5), AUDIO), "the header contradicts itself"),
        (riff(fmt(FLOAT, bits=32, room=6), AUDIO), "the header contradicts itself"),
        (riff(fmt(ULAW, bits=8, room=2), AUDIO), "the header contradicts itself"),
        (riff(fmt(channels=0), AUDIO), "the header says that it has no channels"),
        (riff(fmt(channels=257), AUDIO), "the header says that it has 257 channels"),
        (riff(fmt(rate=0), AUDIO), "the header says 0 samples per second"),
        (riff(fmt(rate=4_000_000_000), AUDIO), "the header says 4000000000 samples per second"),
    ],
)
def test_what_is_not_such_a_file_is_named(content: bytes, fault: str) -> None:
    with pytest.raises(AudioFileError) as caught:
        wav(content)
    assert str(caught.value).startswith(f"in.wav: {fault}")
    assert caught.value.path == "in.wav"
    assert caught.value.hint
    assert not isinstance(caught.value, OtherCodec)


@pytest.mark.parametrize(
    ("description", "codec"),
    [
        (fmt(2, bits=4), "Microsoft ADPCM"),
        (fmt(0x11, bits=4), "IMA ADPCM"),
        (fmt(0x31, bits=0), "GSM 6.10"),
        (fmt(0x55, bits=0), "MP3"),
        (fmt(0x1234), "the unknown codec 0x1234"),
        (extensible(0x11), "IMA ADPCM"),
        (extensible()[:-1] + b"x", "the unknown codec 0100000000001000800000aa00389b78"),
    ],
)
def test_other_codecs_are_named(description: bytes, codec: str) -> None:
    with pytest.raises(OtherCodec) as caught:
        wav(riff(description, AUDIO))
    assert caught.value.codec == codec
    assert str(caught.value).startswith(f"in.wav: is a WAV file of {codec}, which is not read here. FileSource")


def test_the_fix_is_a_command_that_a_shell_takes() -> None:
    assert conversion(Path("dir/talk.mp3")) == "ffmpeg -i talk.mp3 talk-pcm16.wav"
    assert conversion(Path("my talk.wav")) == "ffmpeg -i 'my talk.wav' 'my talk-pcm16.wav'"


def test_what_begins_like_a_wav_file() -> None:
    assert is_wav(b"RF64\xff\xff\xff\xffWAVE")
    assert not is_wav(b"RIFF\0\0\0\0")


def test_a_format_has_its_encoding() -> None:
    assert checked_format(NAME, 8_000, 2, "g711_alaw") == AudioFormat("g711_alaw", 8_000, 2)


def test_a_file_that_was_cut_after_it_was_examined_ends_with_a_whole_frame() -> None:
    content = riff(fmt(channels=2), AUDIO)
    recording = wav(content)
    assert b"".join(recording.blocks(io.BytesIO(content[:-101]), 160)) == AUDIO[:-104]
    assert list(recording.blocks(io.BytesIO(content[:45]), 160)) == []


@pytest.mark.linux
@pytest.mark.skipif(sys.platform != "linux", reason="needs a file system that knows holes")
def test_a_file_of_10_gb_is_opened_at_once_and_played_block_by_block(tmp_path: Path) -> None:
    path, size = tmp_path / "in.wav", 10 * 10**9
    pcm = ramp(48_000)
    header = rf64(pcm, data_size=size)
    with path.open("wb") as out:
        out.write(header)
        out.truncate(len(header) - len(pcm) + size)
    tracemalloc.start()
    try:
        with path.open("rb") as file:
            recording = read_wav(file, path)
            blocks = recording.blocks(file, 960)
            assert all(next(blocks) == pcm[at : at + 1_920] for at in range(0, len(pcm), 1_920))
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    assert (recording.frames, recording.truncated) == (size // 2, False)


BYTES_AND_TYPE: list[tuple[bytes, int, SampleType]] = [
    (fmt(PCM, 2, bits=24), 3, "s24"),
    (fmt(PCM, 2, bits=32), 4, "s32"),
    (fmt(FLOAT, 2, bits=32), 4, "f32"),
    (fmt(FLOAT, 2, bits=64), 8, "f64"),
]


@settings(deadline=None)
@given(kind=st.sampled_from(BYTES_AND_TYPE), frames=st.integers(1, 200), block=st.integers(1, 201), data=st.data())
def test_the_block_changes_nothing(
    kind: tuple[bytes, int, SampleType], frames: int, block: int, data: st.DataObject
) -> None:
    description, sample_bytes, sample_type = kind
    stored = data.draw(st.binary(min_size=2 * frames * sample_bytes, max_size=2 * frames * sample_bytes))
    assert played(riff(description, stored), block) == to_pcm16(stored, sample_type)


SOUND = [
    riff(fmt(), AUDIO[:40], before=LIST_CHUNK),
    riff(extensible(FLOAT, 2, bits=32, valid=32), F32 + bytes(20)),
    rf64(AUDIO[:40]),
    riff(fmt(ULAW, bits=8), U8[:20]),
]


@settings(deadline=None, max_examples=300)
@given(content=st.sampled_from(SOUND), data=st.data())
def test_damaged_files_raise_nothing_else(content: bytes, data: st.DataObject) -> None:
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    file = io.BytesIO(damaged[: data.draw(st.integers(0, len(damaged)))])
    try:
        recording = read_wav(file, NAME)
    except AudioFileError:
        return
    pcm = b"".join(recording.blocks(file, 16))
    assert pcm
    assert len(pcm) == recording.frames * recording.format.frame_bytes
