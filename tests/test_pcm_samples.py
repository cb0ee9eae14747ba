"""Samples of other types as 16-bit PCM."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from voicelive_agent._pcm import SampleType, to_pcm16


def values(pcm: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(pcm) // 2}h", pcm))


def nearest(value: Fraction) -> int:
    """Python rounds halves to the even neighbour, as promised."""
    return max(-32_768, min(32_767, round(value)))


def as_s24(sample: int) -> bytes:
    return sample.to_bytes(3, "little", signed=True)


def as_s32(sample: int) -> bytes:
    return sample.to_bytes(4, "little", signed=True)


def test_8_bits_are_unsigned() -> None:
    assert values(to_pcm16(bytes(range(256)), "u8")) == [(n - 128) * 256 for n in range(256)]


def test_all_neighbours_of_16_bits_in_24() -> None:
    samples = [
        min(2**23 - 1, max(-(2**23), 256 * step + more))
        for step in range(-32_768, 32_768, 3)
        for more in (0, 127, 128, 129)
    ]
    pcm = to_pcm16(b"".join(map(as_s24, samples)), "s24")
    assert values(pcm) == [nearest(Fraction(sample, 256)) for sample in samples]


@pytest.mark.parametrize(("sample_type", "pack", "bits"), [("s24", as_s24, 24), ("s32", as_s32, 32)])
def test_16_bits_in_more_are_themselves(sample_type: SampleType, pack: Callable[[int], bytes], bits: int) -> None:
    samples = range(-32_768, 32_768)
    assert values(to_pcm16(b"".join(pack(n << bits - 16) for n in samples), sample_type)) == list(samples)


@given(samples=st.lists(st.integers(-(2**31), 2**31 - 1)))
@example([-(2**31), 2**31 - 1, 32_768, -32_768, 98_304])
def test_32_bits_are_rounded(samples: list[int]) -> None:
    assert values(to_pcm16(b"".join(map(as_s32, samples)), "s32")) == [
        nearest(Fraction(sample, 65_536)) for sample in samples
    ]


def expected_of_float(sample: float) -> int:
    if math.isnan(sample):
        return 0
    return nearest(Fraction(max(-1.0, min(1.0, sample))) * 32_768)


@given(samples=st.lists(st.floats(width=32) | st.floats(-1.25, 1.25, width=32)))
@example([1.0, -1.0, math.inf, -math.inf, math.nan, 3e38, 0.5 / 32_768, 1.5 / 32_768, -0.0, 1e-45])
def test_float32(samples: list[float]) -> None:
    pcm = to_pcm16(struct.pack(f"<{len(samples)}f", *samples), "f32")
    packed = struct.unpack(f"<{len(samples)}f", struct.pack(f"<{len(samples)}f", *samples))
    assert values(pcm) == [expected_of_float(sample) for sample in packed]


@given(samples=st.lists(st.floats() | st.floats(-1.25, 1.25)))
@example([1.0, -1.0, math.inf, -math.inf, math.nan, 1.7e308, 0.5 / 32_768, 1.5 / 32_768, 5e-324])
def test_float64(samples: list[float]) -> None:
    pcm = to_pcm16(struct.pack(f"<{len(samples)}d", *samples), "f64")
    assert values(pcm) == [expected_of_float(sample) for sample in samples]


@pytest.mark.parametrize(("sample_type", "form"), [("f32", "<f"), ("f64", "<d")])
def test_16_bits_as_floats_are_themselves(sample_type: SampleType, form: str) -> None:
    samples = range(-32_768, 32_768)
    assert values(to_pcm16(b"".join(struct.pack(form, n / 32_768) for n in samples), sample_type)) == list(samples)


@pytest.mark.parametrize(
    ("data", "sample_type"),
    [(b"\x01\x00\x80\x7f", "f32"), (b"\xff\xff\xff\xff", "f32"), (b"\x01\0\0\0\0\0\xf0\x7f", "f64")],
)
def test_every_kind_of_nan_is_silence(data: bytes, sample_type: SampleType) -> None:
    assert to_pcm16(data, sample_type) == b"\0\0"


@pytest.mark.parametrize("sample_type", ["u8", "s24", "s32", "f32", "f64"])
def test_nothing_is_nothing(sample_type: SampleType) -> None:
    assert to_pcm16(b"", sample_type) == b""


@pytest.mark.parametrize("sample_type", ["s24", "s32", "f32", "f64"])
def test_a_part_of_a_sample_is_refused(sample_type: SampleType) -> None:
    with pytest.raises(ValueError, match=r"cannot reshape|multiple of element size"):
        to_pcm16(bytes(13), sample_type)
