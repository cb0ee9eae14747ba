"""Resampling, G.711, mixing and levels."""

from __future__ import annotations

import importlib
import math
import warnings
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise, permutations
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicelive_agent._pcm import (
    Converter,
    Resampler,
    _kernel,
    _taps,
    alaw_to_pcm,
    interleave,
    level_dbfs,
    pcm_to_alaw,
    pcm_to_ulaw,
    split,
    to_mono,
    ulaw_to_pcm,
)
from voicelive_agent.audio import MAX_RATE, AudioFormat

Signal: TypeAlias = npt.NDArray[np.float64]

RATIOS = [
    *permutations((8_000, 16_000, 24_000, 44_100, 48_000), 2),
    (22_050, 24_000),
    (11_025, 16_000),
    (22_254, 24_000),  # no matrix: coefficients for each output
]
PASS_BAND_HZ = {
    8_000: 2_900,
    11_025: 4_200,
    16_000: 6_600,
    22_050: 9_300,
    22_254: 9_300,
    24_000: 10_200,
    44_100: 19_400,
}
"""By the lower rate; the stop band begins 0.5 kHz above its Nyquist frequency."""
SAMPLES = np.arange(65_536, dtype="<u2").tobytes()
CODES = bytes(range(256))


def to_pcm(signal: Signal) -> bytes:
    return np.rint(signal).clip(-32_768, 32_767).astype("<i2").tobytes()


def from_pcm(pcm: bytes) -> Signal:
    return np.frombuffer(pcm, "<i2").astype(np.float64)


def tone(hz: float, rate: int, seconds: float = 0.5) -> Signal:
    return 30_000 * np.sin(2 * math.pi * hz * np.arange(int(seconds * rate)) / rate + 0.3)


def noise(samples: int) -> bytes:
    return to_pcm(np.random.default_rng(samples).normal(0, 9_000, samples))


def cut(data: bytes, cuts: list[int], unit: int = 1) -> Iterator[bytes]:
    """The pieces of ``data``, cut after these numbers of units modulo its length."""
    units = len(data) // unit
    places = sorted(unit * place for place in (0, units, *(place % (units + 1) for place in cuts)))
    return (data[begin:end] for begin, end in pairwise(places))


def power(signal: Signal) -> float:
    return float(np.mean(signal**2))


def decibels(ratio: float) -> float:
    return 10 * math.log10(ratio)


class TestResampler:
    @settings(max_examples=30, deadline=None)
    @given(
        ratio=st.sampled_from(RATIOS),
        samples=st.integers(0, 5_000),
        cuts=st.lists(st.integers(0, 5_000), max_size=20),
    )
    def test_chunks_do_not_change_a_bit(self, ratio: tuple[int, int], samples: int, cuts: list[int]) -> None:
        pcm = noise(samples)
        whole = Resampler(*ratio)
        expected = whole.process(pcm) + whole.finish()
        resampler = Resampler(*ratio)
        pieces = [resampler.process(piece) for piece in cut(pcm, cuts, unit=2)]
        assert b"".join(pieces) + resampler.finish() == expected

    @pytest.mark.parametrize("ratio", RATIOS)
    def test_why_chunks_cannot_matter(self, ratio: tuple[int, int]) -> None:
        """No sum of products rounds, whatever its order: all are whole numbers that a float64 holds."""
        kernel = _kernel(*ratio)
        coefficients = _taps(kernel, np.arange(kernel.up))
        assert np.array_equal(coefficients, np.rint(coefficients))
        assert np.abs(coefficients).sum(axis=1).max() * 32_768 < 2**53
        assert set(coefficients.sum(axis=1)) == {2**30}

    @settings(max_examples=60, deadline=None)
    @given(rate_in=st.integers(4_000, 100_000), rate_out=st.integers(4_000, 100_000), samples=st.integers(0, 900))
    def test_any_ratio_gives_the_promised_length(self, rate_in: int, rate_out: int, samples: int) -> None:
        resampler = Resampler(rate_in, rate_out)
        ready = resampler.process(noise(samples))
        held = resampler.held
        tail = resampler.finish()
        assert len(tail) == 2 * held
        assert len(ready + tail) == 2 * math.ceil(samples * rate_out / rate_in)

    @pytest.mark.parametrize("ratio", RATIOS)
    def test_at_most_2_ms_are_held_back(self, ratio: tuple[int, int]) -> None:
        resampler = Resampler(*ratio)
        taken = given = 0
        for size in range(1, 100):
            given += len(resampler.process(noise(size))) // 2
            taken += size
            assert taken / ratio[0] - given / ratio[1] < 0.002 + 1e-9
            assert resampler.held == math.ceil(taken * ratio[1] / ratio[0]) - given

    @pytest.mark.parametrize("ratio", RATIOS)
    def test_speech_passes_unchanged(self, ratio: tuple[int, int]) -> None:
        rate_in, rate_out = ratio
        for hz in np.linspace(50, PASS_BAND_HZ[min(ratio)], 8):
            resampler = Resampler(rate_in, rate_out)
            output = from_pcm(resampler.process(to_pcm(tone(hz, rate_in))) + resampler.finish())
            expected = tone(hz, rate_out)[: len(output)]
            inner = slice(rate_out // 50, -rate_out // 50)  # without the edges of the tone
            error = (output - expected)[inner]
            assert decibels(power(expected[inner]) / power(error)) > 75, f"{hz:.0f} Hz"

    @pytest.mark.parametrize("ratio", [(high, low) for high, low in RATIOS if high > low])
    def test_what_is_too_high_does_not_come_back_lower(self, ratio: tuple[int, int]) -> None:
        rate_in, rate_out = ratio
        for hz in np.linspace(rate_out / 2 + 500, rate_in / 2 * 0.98, 8):
            resampler = Resampler(rate_in, rate_out)
            output = from_pcm(resampler.process(to_pcm(tone(hz, rate_in))))[rate_out // 50 :]
            assert decibels((power(output) + 1e-9) / power(tone(hz, rate_in))) < -95, f"{hz:.0f} Hz"

    @pytest.mark.parametrize("ratio", [(high, low) for high, low in RATIOS if high > low])
    def test_nothing_comes_back_within_the_pass_band(self, ratio: tuple[int, int]) -> None:
        """What the filter lets through beyond the Nyquist frequency falls between the pass band and there."""
        rate_in, rate_out = ratio
        band = PASS_BAND_HZ[rate_out]
        for hz in np.linspace(rate_out - band, min(rate_out + band, rate_in / 2 * 0.98), 8):
            resampler = Resampler(rate_in, rate_out)
            output = from_pcm(resampler.process(to_pcm(tone(hz, rate_in))))[rate_out // 50 :]
            assert decibels((power(output) + 1e-9) / power(tone(hz, rate_in))) < -95, f"{hz:.0f} Hz"

    @pytest.mark.parametrize("ratio", [(low, high) for low, high in RATIOS if high > low])
    def test_a_higher_rate_adds_no_images(self, ratio: tuple[int, int]) -> None:
        rate_in, rate_out = ratio
        for hz in np.linspace(50, PASS_BAND_HZ[rate_in], 8):
            resampler = Resampler(rate_in, rate_out)
            output = from_pcm(resampler.process(to_pcm(tone(hz, rate_in))))[rate_out // 50 :]
            spectrum = np.abs(np.fft.rfft(output * np.kaiser(len(output), 20))) ** 2
            above = spectrum[int((rate_in / 2 + 500) / rate_out * len(output)) :]
            assert len(above) > 100
            assert decibels(float(above.max() / spectrum.max())) < -95, f"{hz:.0f} Hz"

    @pytest.mark.parametrize("ratio", RATIOS)
    def test_a_constant_stays_exactly_that(self, ratio: tuple[int, int]) -> None:
        output = from_pcm(Resampler(*ratio).process(to_pcm(np.full(4_000, -32_768.0))))
        settled = output[ratio[1] // 250 :]
        assert settled.size
        assert set(settled) == {-32_768.0}

    def test_what_is_louder_than_full_scale_is_clipped(self) -> None:
        square = np.repeat(np.tile([32_767.0, -32_768.0], 50), 20)
        output = from_pcm(Resampler(24_000, 48_000).process(to_pcm(square)))
        assert (output.min(), output.max()) == (-32_768, 32_767)

    def test_long_input_in_one_piece_at_a_ratio_without_a_matrix(self) -> None:
        pcm = noise(12_000)
        resampler = Resampler(22_254, 24_000)
        pieces = [resampler.process(pcm[place : place + 442]) for place in range(0, len(pcm), 442)]
        assert b"".join(pieces) == Resampler(22_254, 24_000).process(pcm)

    @pytest.mark.parametrize("forget", [Resampler.reset, Resampler.finish])
    def test_a_new_stream_remembers_nothing(self, forget: Callable[[Resampler], object]) -> None:
        resampler = Resampler(24_000, 16_000)
        resampler.process(noise(1_001))
        forget(resampler)
        assert resampler.held == 0
        assert resampler.process(noise(500)) == Resampler(24_000, 16_000).process(noise(500))

    def test_equal_rates_change_and_hold_nothing(self) -> None:
        resampler = Resampler(16_000, 16_000)
        pcm = noise(100)
        assert resampler.process(pcm) is pcm
        assert resampler.held == 0
        assert resampler.finish() == b""

    @pytest.mark.parametrize("rate_out", [16_000, 24_000])
    def test_half_a_sample_is_refused(self, rate_out: int) -> None:
        with pytest.raises(ValueError, match="3 bytes are not a whole number of 16-bit samples"):
            Resampler(16_000, rate_out).process(b"abc")

    @pytest.mark.parametrize("rates", [(0, 8_000), (8_000, 0), (MAX_RATE + 1, 8_000)])
    def test_impossible_rates_are_refused(self, rates: tuple[int, int]) -> None:
        with pytest.raises(ValueError, match="use a sample rate from 1 to 384000 Hz"):
            Resampler(*rates)


class TestG711:
    @pytest.mark.parametrize(
        ("convert", "values", "crc"),
        [
            (ulaw_to_pcm, CODES, 0x0C847A9F),
            (alaw_to_pcm, CODES, 0x9D764657),
            (pcm_to_ulaw, SAMPLES, 0x0FA298CA),
            (pcm_to_alaw, SAMPLES, 0xAADA9009),
        ],
    )
    def test_every_value_is_the_standard_s(
        self, convert: Callable[[bytes], bytes], values: bytes, crc: int
    ) -> None:
        """The checksums are those of what audioop of Python 3.11 makes of all values."""
        assert zlib.crc32(convert(values)) == crc

    def test_every_value_is_audioop_s(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            try:
                audioop = importlib.import_module("audioop")
            except ModuleNotFoundError:
                pytest.skip("audioop is gone from Python 3.13 on")
        assert ulaw_to_pcm(CODES) == audioop.ulaw2lin(CODES, 2)
        assert alaw_to_pcm(CODES) == audioop.alaw2lin(CODES, 2)
        assert pcm_to_ulaw(SAMPLES) == audioop.lin2ulaw(SAMPLES, 2)
        assert pcm_to_alaw(SAMPLES) == audioop.lin2alaw(SAMPLES, 2)

    def test_known_values(self) -> None:
        assert pcm_to_ulaw(to_pcm(np.array([0.0, 32_767, -32_768]))) == b"\xff\x80\x00"
        assert pcm_to_alaw(to_pcm(np.array([0.0, 32_767, -32_768]))) == b"\xd5\xaa\x2a"
        assert ulaw_to_pcm(b"\xff\x7f") == bytes(4)
        assert list(from_pcm(alaw_to_pcm(b"\xd5\x55"))) == [8, -8]

    @pytest.mark.parametrize("encode", [pcm_to_ulaw, pcm_to_alaw])
    def test_half_a_sample_is_refused(self, encode: Callable[[bytes], bytes]) -> None:
        with pytest.raises(ValueError, match="multiple of element size"):
            encode(b"abc")


class TestMixing:
    def test_mono_is_the_mean_of_the_channels(self) -> None:
        stereo = to_pcm(np.array([100.0, 300, -32_768, -32_768, 1, 2, 3, 4]))
        assert list(from_pcm(to_mono(stereo, 2))) == [200, -32_768, 2, 4]  # halves go to the even neighbour
        assert list(from_pcm(to_mono(stereo, 4))) == [-16_284, 2]

    def test_mono_stays_as_it_is(self) -> None:
        pcm = noise(3)
        assert to_mono(pcm, 1) is pcm

    def test_nothing_is_nothing(self) -> None:
        assert to_mono(b"", 2) == b""

    def test_an_incomplete_frame_is_refused(self) -> None:
        with pytest.raises(ValueError, match="cannot reshape"):
            to_mono(noise(3), 2)


class TestLevel:
    @pytest.mark.parametrize(
        ("pcm", "level"),
        [
            (to_pcm(np.full(10, -32_768.0)), 0.0),
            (to_pcm(tone(1_000, 24_000) * 32_768 / 30_000), -3.01),
            (to_pcm(np.full(10, 3_276.8)), -20.0),
            (bytes(20), -120.0),
            (b"", -120.0),
            (to_pcm(np.eye(1, 100_000)[0]), -120.0),  # one smallest step in four seconds
        ],
        ids=["full", "sine", "tenth", "silence", "nothing", "almost silence"],
    )
    def test_level(self, pcm: bytes, level: float) -> None:
        assert level_dbfs(pcm) == pytest.approx(level, abs=0.01)


FORMATS = [
    AudioFormat(),
    AudioFormat(rate=16_000),
    AudioFormat(rate=44_100, channels=2),
    AudioFormat("g711_ulaw", 8_000),
    AudioFormat("g711_alaw", 8_000, channels=3),
]


class TestConverter:
    @settings(max_examples=60, deadline=None)
    @given(
        source=st.sampled_from(FORMATS),
        target=st.sampled_from(FORMATS),
        size=st.integers(0, 4_000),
        cuts=st.lists(st.integers(0, 4_000), max_size=20),
    )
    def test_chunks_do_not_change_a_bit(
        self, source: AudioFormat, target: AudioFormat, size: int, cuts: list[int]
    ) -> None:
        data = noise(size)[:size]
        whole = Converter(source, target)
        expected = whole.process(data) + whole.finish()
        converter = Converter(source, target)
        pieces = [converter.process(piece) for piece in cut(data, cuts)]
        held = converter.held
        tail = converter.finish()
        assert len(tail) == held * target.frame_bytes
        assert b"".join([*pieces, tail]) == expected
        if not converter.identity:
            frames = size // source.frame_bytes
            assert len(expected) == math.ceil(frames * target.rate / source.rate) * target.frame_bytes

    @pytest.mark.parametrize("same", FORMATS, ids=str)
    def test_identity_copies_nothing(self, same: AudioFormat) -> None:
        converter = Converter(same, same)
        data = b"abcde"
        assert converter.identity
        assert converter.process(data) is data
        assert (converter.held, converter.finish()) == (0, b"")

    def test_a_phone_s_way_to_a_stereo_speaker_and_its_level(self) -> None:
        phone, speaker = AudioFormat("g711_alaw", 8_000), AudioFormat(rate=48_000, channels=2)
        converter = Converter(phone, speaker)
        sound = tone(1_000, 8_000)
        output = from_pcm(converter.process(pcm_to_alaw(to_pcm(sound))) + converter.finish())
        left, right = output[0::2], output[1::2]
        assert np.array_equal(left, right)
        inner = slice(1_000, 23_000)
        error = (left - tone(1_000, 48_000))[inner]
        assert decibels(power(left[inner]) / power(error)) > 35  # as good as G.711 gets

    def test_stereo_to_mono_phone(self) -> None:
        converter = Converter(AudioFormat(rate=8_000, channels=2), AudioFormat("g711_ulaw", 8_000))
        assert converter.process(to_pcm(np.array([1_000.0, 3_000, 0, 0]))) == pcm_to_ulaw(
            to_pcm(np.array([2_000.0, 0]))
        )

    @pytest.mark.parametrize("rate", [16_000, 48_000])
    def test_as_many_channels_stay_apart(self, rate: int) -> None:
        left, right = noise(4_000)[:3_000], noise(3_000)[:3_000]
        converter = Converter(AudioFormat(rate=rate, channels=2), AudioFormat(channels=2))
        output = converter.process(interleave([left, right])) + converter.finish()
        mono = Converter(AudioFormat(rate=rate), AudioFormat())
        alone = [mono.process(channel) + mono.finish() for channel in (left, right)]
        assert split(output, 2) == alone
        converter.process(interleave([left, right]))
        converter.reset()
        assert converter.held == 0

    def test_reset_drops_the_held_and_the_incomplete(self) -> None:
        converter = Converter(AudioFormat(rate=16_000), AudioFormat())
        converter.process(noise(400) + b"x")
        converter.reset()
        assert converter.held == 0
        assert converter.process(noise(400)) == Converter(AudioFormat(rate=16_000), AudioFormat()).process(
            noise(400)
        )

    def test_finish_begins_anew(self) -> None:
        converter = Converter(AudioFormat(rate=16_000), AudioFormat("g711_ulaw", 8_000))
        first = converter.process(noise(401) + b"x") + converter.finish()
        assert converter.process(noise(401)) + converter.finish() == first


class TestChannels:
    @given(st.lists(st.integers(-32_768, 32_767), max_size=50), st.integers(1, 5))
    def test_what_is_split_can_be_interleaved(self, samples: list[int], channels: int) -> None:
        pcm = np.array(samples * channels, "<i2").tobytes()
        apart = split(pcm, channels)
        assert len(apart) == channels
        assert {len(channel) for channel in apart} == {len(samples) * 2}
        assert interleave(apart) == pcm

    def test_each_channel_has_every_other_sample(self) -> None:
        pcm = np.array([1, -1, 2, -2, 3, -3], "<i2").tobytes()
        left, right = (np.frombuffer(channel, "<i2").tolist() for channel in split(pcm, 2))
        assert (left, right) == ([1, 2, 3], [-1, -2, -3])
        with pytest.raises(ValueError, match="reshape"):
            split(pcm[:-2], 2)
