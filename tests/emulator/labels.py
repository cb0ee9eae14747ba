"""Where somebody speaks in a clean recording, by a rule that knows nothing of the emulator's turn detection.

The classic two thresholds on the level (Rabiner and Sambur, 1975), in steps of 10 ms, averaged over 50 ms: speech
is what is at most 20 dB below the loud parts (the 95th percentile) for 60 ms or longer, and what is beside it
without a gap, down to 9 dB above the quiet parts (the 5th percentile), though at most 32 dB below the loud ones.
"""

from __future__ import annotations

import numpy as np

_STEP = 160


def labelled_ms(pcm: bytes) -> tuple[int, int]:
    """Beginning and end of the speech in a 16 kHz recording, in milliseconds."""
    samples = np.frombuffer(pcm, "<i2").astype(float) / 32768
    steps = len(samples) // _STEP
    power = np.mean(samples[: steps * _STEP].reshape(-1, _STEP) ** 2, axis=1)
    level = 10 * np.log10(np.convolve(power, np.ones(5) / 5, "same") + 1e-12)
    loud, quiet = np.percentile(level, 95), np.percentile(level, 5)
    changes = np.flatnonzero(np.diff(np.concatenate(([0], (level > loud - 20).astype(int), [0]))))
    long = [(begin, end) for begin, end in changes.reshape(-1, 2) if end - begin >= 6]
    begin, end = long[0][0], long[-1][1]
    faint = max(quiet + 9, loud - 32)
    while begin > 0 and level[begin - 1] > faint:
        begin -= 1
    while end < steps and level[end] > faint:
        end += 1
    return int(begin) * 10, int(end) * 10
