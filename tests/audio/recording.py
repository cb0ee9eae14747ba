"""What was heard, when: a recording with the time of each sample, and how to read it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.int16]
Floats: TypeAlias = NDArray[np.float64]

QUIET: Final = 16
"""The loudest sample (of 32,768) of silence: what dithering and a resampler's ringing leave."""
_WINDOW_S = 1.0


@dataclass(frozen=True)
class Recording:
    """Mono PCM16; ``arrivals[i]``, of ``time.monotonic()``, is when all samples before ``ends[i]`` had come."""

    samples: Samples
    rate: int
    arrivals: Floats
    ends: NDArray[np.int64]

    @cached_property
    def _origins(self) -> tuple[Floats, Floats]:
        """Sample positions, and the time at which the recording began as it looks from there.

        One for each second, since a sound card's second is not quite one of this clock.
        """
        origins = self.arrivals - self.ends / self.rate
        windows = (self.ends // (_WINDOW_S * self.rate)).astype(int)
        windows = np.minimum(windows, max(0, windows[-1] - 1))  # the last one is no fraction of a second
        best = [
            np.flatnonzero(windows == window)[np.argmin(origins[windows == window])] for window in set(windows)
        ]
        best.sort()
        return self.ends[best].astype(float), origins[best]

    @cached_property
    def piece_s(self) -> float:
        """The length of the pieces in which the card rendered: each arrived so long before it was heard."""
        return float(np.median(np.diff(self.ends))) / self.rate

    def time_of(self, sample: float) -> float:
        """When a sample was heard."""
        return float(np.interp(sample, *self._origins)) + sample / self.rate + self.piece_s

    def sample_at(self, time: float) -> int:
        """The sample that was heard at a time."""
        positions, origins = self._origins
        guess = (time - self.piece_s - origins[0]) * self.rate
        return round((time - self.piece_s - float(np.interp(guess, positions, origins))) * self.rate)

    def between(self, begin: float, end: float) -> Samples:
        """What was heard between two times."""
        return self.samples[max(0, self.sample_at(begin)) : max(0, self.sample_at(end))]

    def stretches(self, pause_s: float = 0.05) -> list[tuple[int, int]]:
        """Where there is sound, as (first, last + 1) sample; shorter pauses are part of it."""
        return stretches(self.samples, round(pause_s * self.rate))


def stretches(samples: Samples, pause: int, quiet: int = QUIET) -> list[tuple[int, int]]:
    """Where there is sound, as (first, last + 1); pauses shorter than ``pause`` samples are part of it."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > quiet)
    if not len(loud):
        return []
    breaks = np.flatnonzero(np.diff(loud) > pause)
    starts, ends = [loud[0], *loud[breaks + 1]], [*loud[breaks], loud[-1]]
    return [(int(start), int(end) + 1) for start, end in zip(starts, ends, strict=True)]


def level(samples: Samples) -> float:
    """The root mean square."""
    return float(np.sqrt(np.mean(samples.astype(float) ** 2))) if len(samples) else 0.0


def tone_of(samples: Samples, rate: int) -> tuple[float, float]:
    """Frequency in Hz of a tone, and how far everything else is below it, in dB."""
    spectrum = np.abs(np.fft.rfft(samples * np.kaiser(len(samples), 14))) ** 2
    peak = int(spectrum.argmax())
    a, b, c = np.log(spectrum[peak - 1 : peak + 2])
    offset = 0.5 * (a - c) / (a - 2 * b + c)  # a parabola through the logarithms finds what lies between two bins
    near = slice(max(0, peak - 8), peak + 9)
    rest = spectrum.sum() - spectrum[near].sum()
    return (peak + offset) * rate / len(samples), float(10 * np.log10(spectrum[near].sum() / max(rest, 1e-9)))


def find(reference: Floats | Samples, part: Samples) -> tuple[int, float]:
    """Where in ``reference`` a part of it begins, and how alike they are there (0..1)."""
    reference, wanted = reference.astype(float), part.astype(float)
    size = 1 << (len(reference) + len(wanted)).bit_length()
    match = np.fft.irfft(np.fft.rfft(reference, size) * np.conj(np.fft.rfft(wanted, size)), size)
    match = match[: max(1, len(reference) - len(wanted) + 1)]
    at = int(match.argmax())
    there = reference[at : at + len(wanted)]
    energy = float(np.sqrt((there**2).sum() * (wanted**2).sum()))
    return at, float(match[at]) / energy if energy else 0.0


def biggest_step(samples: Samples) -> int:
    """The largest difference between neighbouring samples: where it exceeds the signal's own, there is a click."""
    return int(np.abs(np.diff(samples.astype(np.int32))).max()) if len(samples) > 1 else 0
