"""Clicks through PortAudio alone, and when it said that each would be heard: to compare the recorder with."""

from __future__ import annotations

import time
from typing import Any

import sounddevice
from child import options, say

EVERY = 10  # blocks


def main(seconds: float, rate: int, block_ms: int) -> None:
    times: list[float] = []
    blocks = 0

    def callback(out: Any, frames: int, when: Any, status: Any) -> None:
        nonlocal blocks
        block = bytearray(frames * 2)
        blocks += 1
        if blocks % EVERY == 0:
            block[:2] = (20_000).to_bytes(2, "little")
            times.append(when.outputBufferDacTime - when.currentTime + time.monotonic())
        out[:] = bytes(block)

    stream = sounddevice.RawOutputStream(
        samplerate=rate,
        channels=1,
        dtype="int16",
        blocksize=rate * block_ms // 1000,
        latency="low",
        callback=callback,
    )
    with stream:
        time.sleep(seconds)
    say("clicks", times=times)


if __name__ == "__main__":
    main(**options())
