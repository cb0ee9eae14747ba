"""Signals that can be recognised when they come back: tones, and noise of which every part is different."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np

from .recording import Floats, Samples

CODED_RATE: Final = 24_000
_BAND = (200.0, 6_000.0)
_LEVEL = 5_000.0


def tone(frequency: float, seconds: float, rate: int, amplitude: float = 12_000) -> Samples:
    """A sine that begins and ends with silence in between its samples, that is at zero."""
    return np.round(amplitude * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(
        "<i2"
    )


def click(rate: int, seconds: float = 0.2) -> Samples:
    """Silence with 1 ms of loud in its middle."""
    samples = np.zeros(round(seconds * rate), "<i2")
    middle = len(samples) // 2
    samples[middle : middle + rate // 1000] = 20_000
    return samples


@cache
def coded(seconds: float, rate: int = CODED_RATE, seed: int = 1) -> Samples:
    """Noise (0.2 to 6 kHz) in which 50 ms are found again anywhere, after any resampling."""
    count = round(seconds * CODED_RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    frequencies = np.fft.rfftfreq(count, 1 / CODED_RATE)
    spectrum[(frequencies < _BAND[0]) | (frequencies > _BAND[1])] = 0
    return np.clip(np.round(_resampled(spectrum, count, rate)), -32_767, 32_767).astype("<i2")


def _resampled(spectrum: np.typing.NDArray[np.complex128], count: int, rate: int) -> Floats:
    """The same signal at another rate, exactly: a band-limited one has one spectrum."""
    audio = np.fft.irfft(spectrum, count)
    wanted = round(count * rate / CODED_RATE)
    padded = np.zeros(wanted // 2 + 1, complex)
    keep = min(len(padded), len(spectrum))
    padded[:keep] = spectrum[:keep]
    scaled: Floats = np.fft.irfft(padded, wanted) * (wanted / count) * (_LEVEL / audio.std())
    return scaled
