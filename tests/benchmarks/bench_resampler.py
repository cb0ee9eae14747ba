"""What conversion costs and how good it is.   python tests/benchmarks/bench_resampler.py

CPU per 20 ms chunk: the median of 9 runs of 5 s of speech-like noise. Quality: full-scale tones of 16-bit PCM
through the whole converter, so that the rounding to 16 bits (-98 dB) is part of every figure.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from voicelive_agent._pcm import Converter, Resampler
from voicelive_agent.audio import AudioFormat

RATIOS = [
    (48_000, 24_000),
    (44_100, 24_000),
    (22_050, 24_000),
    (24_000, 16_000),
    (16_000, 24_000),
    (24_000, 8_000),
    (8_000, 24_000),
    (24_000, 48_000),
    (24_000, 44_100),
    (11_025, 16_000),
]


def cpu_us(make: Callable[[], Callable[[bytes], bytes]], chunks: list[bytes]) -> float:
    """CPU time per chunk of a new stream."""
    runs = []
    for _ in range(9):
        process = make()
        begin = time.process_time()
        for chunk in chunks:
            process(chunk)
        runs.append((time.process_time() - begin) / len(chunks) * 1e6)
    return statistics.median(runs)


def chunks_of(audio: AudioFormat, seconds: int = 5) -> list[bytes]:
    sound = np.random.default_rng(0).normal(0, 5_000, audio.rate * seconds).astype("<i2").tobytes()
    size = audio.rate // 50 * audio.frame_bytes
    return [sound[place : place + size] for place in range(0, len(sound) - size + 1, size)]


def tone(hz: float, rate: int) -> npt.NDArray[np.float64]:
    return 32_000 * np.sin(2 * math.pi * hz * np.arange(rate) / rate + 0.3)


def resampled(hz: float, rate_in: int, rate_out: int) -> npt.NDArray[np.float64]:
    resampler = Resampler(rate_in, rate_out)
    pcm = resampler.process(np.rint(tone(hz, rate_in)).astype("<i2").tobytes()) + resampler.finish()
    return np.frombuffer(pcm, "<i2").astype(np.float64)


def decibels(signal: npt.NDArray[np.float64], reference: npt.NDArray[np.float64]) -> float:
    inner = slice(len(signal) // 50, -len(signal) // 50)
    return 10 * math.log10((np.mean(signal[inner] ** 2) + 1e-9) / np.mean(reference[inner] ** 2))


def error_db(hz: float, rate_in: int, rate_out: int) -> float:
    expected = tone(hz, rate_out)
    return decibels(resampled(hz, rate_in, rate_out) - expected, expected)


def pass_edge(rate_in: int, rate_out: int) -> float:
    """The part of the lower Nyquist frequency up to which the error stays below -75 dB."""
    nyquist = min(rate_in, rate_out) / 2
    good = 0.5
    while good < 0.98 and error_db((good + 0.01) * nyquist, rate_in, rate_out) < -75:
        good += 0.01
    return good


def alias_db(above: float, rate_in: int, rate_out: int) -> float:
    """The loudest that comes back of tones from ``above`` (of the new Nyquist frequency) on."""
    top = rate_in / 2 * 0.99
    frequencies = np.linspace(min(above * rate_out / 2, top), top, 15)
    return max(decibels(resampled(hz, rate_in, rate_out), tone(hz, rate_out)) for hz in frequencies)


def main() -> None:
    print("                 us per   held   SNR dB   pass    alias dB from")
    print("ratio             20 ms     ms   to 0.7   band    1.0 / 1.06 / 1.15 of the Nyquist frequency")
    for rate_in, rate_out in RATIOS:
        resampler = Resampler(rate_in, rate_out)
        resampler.process(bytes(2 * rate_in))
        held = 1000 * resampler.held / rate_out
        cost = cpu_us(lambda a=rate_in, b=rate_out: Resampler(a, b).process, chunks_of(AudioFormat(rate=rate_in)))  # type: ignore[misc]
        nyquist = min(rate_in, rate_out) / 2
        snr = min(-error_db(hz, rate_in, rate_out) for hz in np.linspace(50, 0.7 * nyquist, 15))
        alias = [alias_db(above, rate_in, rate_out) for above in (1.0, 1.06, 1.15)] if rate_in > rate_out else []
        aliases = " / ".join(f"{level:.0f}" for level in alias) or "-"
        edge = pass_edge(rate_in, rate_out)
        print(f"{rate_in:6}->{rate_out:6} {cost:8.1f} {held:6.2f} {snr:8.1f} {edge:6.2f}    {aliases}")
    print("\nconverter, us per 20 ms")
    for source, target in [
        (AudioFormat("g711_ulaw", 8_000), AudioFormat(rate=8_000)),
        (AudioFormat(rate=8_000), AudioFormat("g711_alaw", 8_000)),
        (AudioFormat(rate=48_000, channels=2), AudioFormat()),
        (AudioFormat(), AudioFormat(rate=48_000, channels=2)),
        (AudioFormat(), AudioFormat("g711_ulaw", 8_000)),
        (AudioFormat(), AudioFormat()),
    ]:
        cost = cpu_us(lambda a=source, b=target: Converter(a, b).process, chunks_of(source))  # type: ignore[misc]
        print(f"{source!s:22} -> {target!s:22} {cost:7.2f}")


if __name__ == "__main__":
    main()
