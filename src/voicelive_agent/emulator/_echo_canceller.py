"""Echo cancellation: what the client plays is subtracted from what its microphone hears.

A partitioned-block adaptive filter in the frequency domain whose step sizes come from a Kalman recursion (G.
Enzner and P. Vary, "Frequency-domain adaptive Kalman filter for acoustic echo control in hand-free telephones",
Signal Processing 86, 2006). Every partition and frequency has an uncertainty of its own: it learns fast what it
does not know, and hardly anything while somebody at the near end is talking. So it needs neither a detector of
double talk nor an estimate of the delay, as long as the delay and the room's reverberation fit into its length.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float64]

_BLOCK = 256
_PARTITIONS = 40
"""Of 16 ms: 640 ms of filter, for delays of up to 500 ms and reverberation after it."""
_TRANSITION = 0.9985
"""How much of the echo path is the same one block later."""
_FIRST_UNCERTAINTY = 0.01
_NEAR_SMOOTHING = 0.9
_TINY = 1e-10


class EchoCanceller:
    """Subtracts the echo of a reference from a microphone; both 16 kHz PCM16 mono, sample by sample in step.

    Whole blocks of 16 ms come out; the rest waits for the next call, so that the result does not depend on how the
    stream was cut.
    """

    def __init__(self) -> None:
        bins = _BLOCK + 1
        self._microphone = self._reference = b""
        self._last = np.zeros(_BLOCK)
        self._spectra = np.zeros((_PARTITIONS, bins), np.complex128)
        """Of the reference, the latest block first."""
        self._filter = np.zeros((_PARTITIONS, bins), np.complex128)
        self._uncertainty = np.full((_PARTITIONS, bins), _FIRST_UNCERTAINTY)
        self._near = np.zeros(bins)
        """Power of what is no echo: the near end, noise and what the filter missed."""

    def process(self, microphone: bytes, reference: bytes) -> bytes:
        """The microphone without the echo of the reference; both must be equally long."""
        self._microphone += microphone
        self._reference += reference
        size = 2 * _BLOCK
        whole = len(self._microphone) // size * size
        heard = np.frombuffer(self._microphone[:whole], "<i2").reshape(-1, _BLOCK) / 32768.0
        played = np.frombuffer(self._reference[:whole], "<i2").reshape(-1, _BLOCK) / 32768.0
        self._microphone, self._reference = self._microphone[whole:], self._reference[whole:]
        clean = [self._block(each, echo) for each, echo in zip(heard, played, strict=True)]
        return b"".join(np.rint(each * 32768.0).clip(-32768, 32767).astype("<i2").tobytes() for each in clean)

    def _block(self, heard: _Floats, played: _Floats) -> _Floats:
        self._spectra[1:] = self._spectra[:-1]
        self._spectra[0] = np.fft.rfft(np.concatenate((self._last, played)))
        self._last = played
        if not self._spectra.any():
            return heard
        echo = np.fft.irfft((self._spectra * self._filter).sum(axis=0))[_BLOCK:]
        clean = heard - echo
        self._learn(np.fft.rfft(np.concatenate((np.zeros(_BLOCK), clean))))
        return clean

    def _learn(self, error: npt.NDArray[np.complex128]) -> None:
        power = np.abs(self._spectra) ** 2
        self._near = _NEAR_SMOOTHING * self._near + (1 - _NEAR_SMOOTHING) * np.abs(error) ** 2
        # Half of a block's window is zeros, so half of the power is seen in the error.
        expected = 0.5 * (power * self._uncertainty).sum(axis=0) + self._near + _TINY
        gain = self._uncertainty / expected
        step = np.fft.irfft(gain * self._spectra.conj() * error)
        step[:, _BLOCK:] = 0.0  # the linear half of the circular convolution
        self._filter += np.fft.rfft(step)
        self._uncertainty *= 1 - 0.5 * gain * power
        self._uncertainty *= _TRANSITION**2
        self._uncertainty += (1 - _TRANSITION**2) * np.abs(self._filter) ** 2
