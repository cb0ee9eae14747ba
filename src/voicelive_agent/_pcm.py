"""Samples and arithmetic: resampling, G.711, mixing to mono and levels.

The only module of the library that imports numpy, and therefore itself imported on use. Everything takes and
returns ``bytes``: little-endian 16-bit PCM, or one byte per sample of G.711.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from .audio import MAX_RATE, AudioFormat, Encoding

__all__ = [
    "Converter",
    "Resampler",
    "SampleType",
    "alaw_to_pcm",
    "interleave",
    "level_dbfs",
    "pcm_to_alaw",
    "pcm_to_ulaw",
    "split",
    "to_mono",
    "to_pcm16",
    "ulaw_to_pcm",
]

_Floats: TypeAlias = npt.NDArray[np.float64]
_INT16: np.dtype[np.int16] = np.dtype("<i2")  # little-endian, whatever the machine
_UINT16: np.dtype[np.uint16] = np.dtype("<u2")

# --- Resampling -------------------------------------------------------------------------------------------
#
# A windowed sinc evaluated at the output instants (polyphase). Coefficients are whole multiples of 2**-30:
# products with 16-bit samples, and any sum of them, then fit the 53 bits of a float64 exactly. So the order
# in which BLAS adds cannot matter, and the output is bit-identical however the input was cut into chunks.

_UNIT = 2.0**30
_KAISER_BETA = 10.0  # side lobes below -97 dB
_CUTOFF = 0.92  # the -6 dB point, as a part of the lower Nyquist frequency
_HALF_S = 0.002  # the filter looks 2 ms ahead, which is what it holds back ...
_HALF_ZERO_CROSSINGS = 16  # ... or longer below 8 kHz, where 2 ms would be too short to filter
_MATRIX_LIMIT = 2**19  # entries, 4 MB: more than any two usual rates need
_PRODUCTS_AT_ONCE = 2**17  # from twice that on OpenBLAS starts threads, which cost 50 times more than they save
_TAPS_AT_ONCE = 2**18


class _Kernel(NamedTuple):
    """The filter of one ratio: output m is made of ``2 * half`` inputs, from ``m * down // up`` on."""

    up: int
    down: int
    half: int
    cutoff: float
    """As a part of the Nyquist frequency of the input."""
    step: int
    """Inputs from one block to the next."""
    block: int
    """Outputs of one block: a whole number of periods of ``up``."""
    matrix: _Floats | None
    """A stretch of input times this is a block of outputs; None where it would be too large."""


@lru_cache(maxsize=8)
def _kernel(rate_in: int, rate_out: int) -> _Kernel:
    divisor = math.gcd(rate_in, rate_out)
    up, down = rate_out // divisor, rate_in // divisor
    cutoff = _CUTOFF * min(1.0, rate_out / rate_in)
    half = max(int(_HALF_S * rate_in), _HALF_ZERO_CROSSINGS * max(rate_in, rate_out) // rate_out)
    periods = -(-2 * half // down)  # as long as the filter: longer costs multiplications, shorter costs copies
    kernel = _Kernel(up, down, half, cutoff, down * periods, up * periods, None)
    if (kernel.step + 2 * half) * kernel.block > _MATRIX_LIMIT:
        return kernel
    first, phase = np.divmod(np.arange(kernel.block) * down, up)
    matrix = np.zeros((kernel.step + 2 * half, kernel.block))
    for m, taps in enumerate(_taps(kernel, phase)):
        matrix[first[m] : first[m] + 2 * half, m] = taps
    return kernel._replace(matrix=matrix)


def _taps(kernel: _Kernel, phase: npt.NDArray[np.int64]) -> _Floats:
    """Windowed-sinc coefficients in units of 2**-30, one row per phase; every row sums to exactly 1."""
    time = np.arange(1 - kernel.half, kernel.half + 1)[None, :] - (phase / kernel.up)[:, None]
    window = np.i0(_KAISER_BETA * np.sqrt(np.maximum(0.0, 1.0 - (time / kernel.half) ** 2)))
    rows = np.sinc(kernel.cutoff * time) * window
    taps: _Floats = np.rint(rows / rows.sum(axis=1, keepdims=True) * _UNIT)
    taps[np.arange(len(taps)), taps.argmax(axis=1)] += _UNIT - taps.sum(axis=1)
    return taps


class Resampler:
    """A streaming resampler of 16-bit mono PCM from one sample rate to another.

    The output of a stream is bit-identical however its input is cut into chunks, and ``process`` calls plus
    one ``finish`` give exactly ``ceil(samples_in * rate_out / rate_in)`` samples, the first of them at the
    instant of the first input sample. At most 2 ms are held back (more only below 8 kHz). The pass band
    reaches 2.9 kHz if the lower rate is 8 kHz, 6.6 kHz for 16 kHz and 10.2 kHz for 24 kHz; nothing above
    -95 dB comes back of what is 0.5 kHz or more above the lower Nyquist frequency.
    """

    # The input from the first sample on that the current block of outputs needs, and how much of that block
    # is already out.
    _input: _Floats
    _done: int

    def __init__(self, rate_in: int, rate_out: int) -> None:
        for rate in (rate_in, rate_out):
            if not 1 <= rate <= MAX_RATE:
                raise ValueError(f"cannot resample {rate} Hz: use a sample rate from 1 to {MAX_RATE} Hz")
        self.rate_in = rate_in
        self.rate_out = rate_out
        self._kernel = _kernel(rate_in, rate_out)
        self.reset()

    @property
    def held(self) -> int:
        """Output samples that :meth:`finish` would return now."""
        if self.rate_in == self.rate_out:
            return 0
        return self._outputs_before(len(self._input) - self._kernel.half + 1) - self._done

    def process(self, pcm16: bytes) -> bytes:
        """Take samples and return those that have become ready. ValueError for an odd number of bytes."""
        if len(pcm16) % 2:
            raise ValueError(f"{len(pcm16)} bytes are not a whole number of 16-bit samples")
        if self.rate_in == self.rate_out:
            return pcm16
        kernel = self._kernel
        self._input = np.concatenate((self._input, np.frombuffer(pcm16, _INT16)), dtype=np.float64)
        ready = self._outputs_before(len(self._input) - 2 * kernel.half + 1)
        if ready <= self._done:
            return b""
        output = _filtered(kernel, self._input, self._done, ready)
        blocks, self._done = divmod(ready, kernel.block)
        self._input = self._input[blocks * kernel.step :]
        return _to_bytes(output / _UNIT)

    def finish(self) -> bytes:
        """Return what was held back, as if silence followed, and be ready for another stream."""
        tail = b"" if self.rate_in == self.rate_out else self.process(bytes(2 * self._kernel.half))
        self.reset()
        return tail

    def reset(self) -> None:
        """Forget the stream; the next sample is the first of another one."""
        # Silence precedes a stream, so that its first output is at the instant of its first sample.
        self._input = np.zeros(self._kernel.half - 1)
        self._done = 0

    def _outputs_before(self, inputs: int) -> int:
        """Outputs of the current block on whose window begins before input number ``inputs``."""
        return max(0, -(-inputs * self._kernel.up // self._kernel.down))


def _filtered(kernel: _Kernel, samples: _Floats, first: int, last: int) -> _Floats:
    """Outputs ``first`` to ``last`` of the block that begins with ``samples``, in units of 2**-30."""
    if kernel.matrix is None:
        rows = max(1, _TAPS_AT_ONCE // (2 * kernel.half))
        pieces = [
            _filtered_one_by_one(kernel, samples, start, min(start + rows, last))
            for start in range(first, last, rows)
        ]
        return np.concatenate(pieces)
    blocks, span = -(-last // kernel.block), len(kernel.matrix)
    # Zeros stand in for the input that only outputs after ``last`` need.
    missing = (blocks - 1) * kernel.step + span - len(samples)
    samples = np.concatenate((samples, np.zeros(missing)))
    windows = np.lib.stride_tricks.sliding_window_view(samples, span)[:: kernel.step][:blocks]
    output = np.empty((blocks, kernel.block))
    rows = max(1, _PRODUCTS_AT_ONCE // kernel.matrix.size)
    for start in range(0, blocks, rows):
        part = slice(start, start + rows)
        # BLAS takes no overlapping rows: without the copy numpy would multiply in a slow loop of its own.
        np.matmul(np.ascontiguousarray(windows[part]), kernel.matrix, out=output[part])
    return output.ravel()[first:last]


def _filtered_one_by_one(kernel: _Kernel, samples: _Floats, first: int, last: int) -> _Floats:
    """The same for ratios of large numbers: each output has coefficients of its own."""
    begin, phase = np.divmod(np.arange(first, last) * kernel.down, kernel.up)
    windows = np.lib.stride_tricks.sliding_window_view(samples, 2 * kernel.half)
    output: _Floats = np.einsum("ij,ij->i", windows[begin], _taps(kernel, phase))
    return output


def _to_bytes(samples: _Floats) -> bytes:
    return np.rint(samples).clip(-32768, 32767).astype(_INT16).tobytes()


# --- G.711 (ITU-T G.711; bit-identical to the standard library's audioop, gone in Python 3.13) -------------


def _ulaw_decoder() -> npt.NDArray[np.int16]:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = ((((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype(_INT16)


def _alaw_decoder() -> npt.NDArray[np.int16]:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment, mantissa = (code & 0x70) >> 4, (code & 0x0F) << 4
    magnitude = np.where(segment == 0, mantissa + 8, (mantissa + 0x108) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(_INT16)


def _every_sample() -> npt.NDArray[np.int32]:
    """All 16-bit values, in the order of their unsigned reading."""
    return np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)


def _ulaw_encoder() -> npt.NDArray[np.uint8]:
    sample = _every_sample() >> 2  # 14 bits
    magnitude = np.minimum(abs(sample), 8159) + 33
    segment = np.searchsorted([(0x40 << n) - 1 for n in range(8)], magnitude)
    code = np.minimum((segment << 4) | ((magnitude >> (segment + 1)) & 0x0F), 0x7F)
    return np.asarray(code ^ np.where(sample < 0, 0x7F, 0xFF), np.uint8)


def _alaw_encoder() -> npt.NDArray[np.uint8]:
    sample = _every_sample() >> 3  # 13 bits
    magnitude = np.where(sample < 0, ~sample, sample)
    segment = np.searchsorted([(0x20 << n) - 1 for n in range(8)], magnitude)
    code = (segment << 4) | ((magnitude >> np.maximum(segment, 1)) & 0x0F)
    return np.asarray(code ^ np.where(sample < 0, 0x55, 0xD5), np.uint8)


_ULAW_DECODER, _ALAW_DECODER = _ulaw_decoder(), _alaw_decoder()
_ULAW_ENCODER, _ALAW_ENCODER = _ulaw_encoder(), _alaw_encoder()


def ulaw_to_pcm(data: bytes) -> bytes:
    """Decode G.711 mu-law, one byte per sample, to 16-bit PCM."""
    return _ULAW_DECODER[np.frombuffer(data, np.uint8)].tobytes()


def alaw_to_pcm(data: bytes) -> bytes:
    """Decode G.711 A-law, one byte per sample, to 16-bit PCM."""
    return _ALAW_DECODER[np.frombuffer(data, np.uint8)].tobytes()


def pcm_to_ulaw(pcm: bytes) -> bytes:
    """Encode 16-bit PCM as G.711 mu-law. ValueError for an odd number of bytes."""
    return _ULAW_ENCODER[np.frombuffer(pcm, _UINT16)].tobytes()


def pcm_to_alaw(pcm: bytes) -> bytes:
    """Encode 16-bit PCM as G.711 A-law. ValueError for an odd number of bytes."""
    return _ALAW_ENCODER[np.frombuffer(pcm, _UINT16)].tobytes()


# --- Samples of other types -------------------------------------------------------------------------------

SampleType: TypeAlias = Literal["u8", "s24", "s32", "f32", "f64"]
"""How files store samples, little-endian: unsigned, signed or floating-point, and the bits of one."""


def _from_u8(data: bytes) -> _Floats:
    return (np.frombuffer(data, np.uint8).astype(np.float64) - 128.0) * 256.0


def _from_s24(data: bytes) -> _Floats:
    triples = np.frombuffer(data, np.uint8).reshape(-1, 3)
    wide = np.zeros((len(triples), 4), np.uint8)
    wide[:, 1:] = triples  # at the upper end of 32 bits
    return _from_s32(wide.tobytes())


def _from_s32(data: bytes) -> _Floats:
    return np.frombuffer(data, "<i4") / 65536.0


def _from_float(data: bytes, dtype: str) -> _Floats:
    with np.errstate(invalid="ignore"):  # some kinds of NaN complain about being moved
        samples: _Floats = np.frombuffer(data, dtype).astype(np.float64)
    samples[np.isnan(samples)] = 0.0
    return samples.clip(-1.0, 1.0) * 32768.0


_STEPS_OF_16_BITS: dict[SampleType, Callable[[bytes], _Floats]] = {
    "u8": _from_u8,
    "s24": _from_s24,
    "s32": _from_s32,
    "f32": lambda data: _from_float(data, "<f4"),
    "f64": lambda data: _from_float(data, "<f8"),
}


def to_pcm16(data: bytes, sample_type: SampleType) -> bytes:
    """Return samples of another type as 16-bit PCM.

    Each is rounded to the nearest step, halves to the even one, without dither; what is beyond full scale (1.0 of
    floating point) is clipped, and NaN is silence. ValueError unless the samples are whole.
    """
    return _to_bytes(_STEPS_OF_16_BITS[sample_type](data))


# --- Mixing and levels ------------------------------------------------------------------------------------

_SILENCE_DBFS = -120.0


def to_mono(pcm: bytes, channels: int) -> bytes:
    """Return the mean of interleaved channels. ValueError unless ``pcm`` is a whole number of frames."""
    if channels == 1:
        return pcm
    frames = np.frombuffer(pcm, _INT16).reshape(-1, channels)
    by_channel = np.ascontiguousarray(frames.T)  # numpy sums long rows four times faster than short ones
    return _to_bytes(by_channel.sum(axis=0, dtype=np.int32) / channels)


def split(pcm: bytes, channels: int) -> list[bytes]:
    """Return each of the interleaved channels. ValueError unless ``pcm`` is a whole number of frames."""
    if channels == 1:
        return [pcm]
    return [channel.tobytes() for channel in np.frombuffer(pcm, _INT16).reshape(-1, channels).T]


def interleave(channels: list[bytes]) -> bytes:
    """Return frames of these channels, which are of one length. The opposite of :func:`split`."""
    if len(channels) == 1:
        return channels[0]
    return np.stack([np.frombuffer(channel, _INT16) for channel in channels], axis=-1).tobytes()


def level_dbfs(pcm: bytes) -> float:
    """Return the RMS level in dB below full scale: 0 for a full square wave, -120 for silence or nothing."""
    samples = np.frombuffer(pcm, _INT16).astype(np.float64)
    energy = float(samples @ samples)
    return max(_SILENCE_DBFS, 10.0 * math.log10(energy / len(samples) / 32768.0**2)) if energy else _SILENCE_DBFS


# --- All of it together -----------------------------------------------------------------------------------


def _unchanged(pcm: bytes) -> bytes:
    return pcm


_DECODERS: dict[Encoding, Callable[[bytes], bytes]] = {
    "pcm16": _unchanged,
    "g711_ulaw": ulaw_to_pcm,
    "g711_alaw": alaw_to_pcm,
}
_ENCODERS: dict[Encoding, Callable[[bytes], bytes]] = {
    "pcm16": _unchanged,
    "g711_ulaw": pcm_to_ulaw,
    "g711_alaw": pcm_to_alaw,
}


class Converter:
    """A stream's way from one format to another: decode, mix to mono, resample, encode.

    Several target channels all carry the mono mix, unless the source has as many: then each keeps its own.
    Chunks may be cut anywhere, inside a sample too: an incomplete frame waits for the next call, and ``reset``
    and ``finish`` drop it. Where both formats are equal, ``identity`` is true and ``process`` returns its very
    argument.
    """

    def __init__(self, source: AudioFormat, target: AudioFormat) -> None:
        self.source = source
        self.target = target
        self.identity = source == target
        self._decode = _DECODERS[source.encoding]
        self._encode = _ENCODERS[target.encoding]
        self._mixed = source.channels != target.channels
        channels = 1 if self._mixed else source.channels
        self._resamplers = [Resampler(source.rate, target.rate) for _ in range(channels)]
        self._incomplete = b""

    @property
    def held(self) -> int:
        """Samples at the target's rate that :meth:`finish` would return now."""
        return self._resamplers[0].held

    def process(self, data: bytes) -> bytes:
        """Take bytes in the source's format and return what has become ready, in the target's."""
        if self.identity:
            return data
        data = self._incomplete + data
        whole = len(data) - len(data) % self.source.frame_bytes
        self._incomplete = data[whole:]
        pcm = self._decode(data[:whole])
        channels = [to_mono(pcm, self.source.channels)] if self._mixed else split(pcm, self.source.channels)
        return self._frames([each.process(mono) for each, mono in zip(self._resamplers, channels, strict=True)])

    def finish(self) -> bytes:
        """Return what was held back, and be ready for another stream."""
        self._incomplete = b""
        return self._frames([each.finish() for each in self._resamplers])

    def reset(self) -> None:
        """Forget the stream: what was held back was never heard."""
        self._incomplete = b""
        for each in self._resamplers:
            each.reset()

    def _frames(self, channels: list[bytes]) -> bytes:
        """Encode the PCM of each channel, or that of one for all, and interleave them."""
        if self._mixed:
            channels *= self.target.channels
        return self._encode(interleave(channels))
