"""The same as flush.py, done the usual way: a callback that takes whole deltas from a queue.

An interruption empties the queue; what the callback has in its hands plays on, and what was heard is taken to be
what the callback took. Deltas have the service's lengths.
"""

from __future__ import annotations

import queue
import random
import time
from typing import Any

import sounddevice
from child import options, read, say

BLOCK_MS = 50
DELTAS_MS = (200, 300, 500)
PAUSE_S = 0.7


class Player:
    def __init__(self, rate: int) -> None:
        self._ms = rate * 2 // 1000  # bytes
        self._queue: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._rest = b""
        self.taken = 0
        self.underruns = 0
        self.stream = sounddevice.RawOutputStream(
            samplerate=rate,
            channels=1,
            dtype="int16",
            blocksize=rate * BLOCK_MS // 1000,
            latency="low",
            callback=self._callback,
        )

    def write(self, audio: bytes) -> None:
        for length in (*DELTAS_MS, *[DELTAS_MS[-1]] * 10):
            delta, audio = audio[: length * self._ms], audio[length * self._ms :]
            if delta:
                self._queue.put(delta)

    def flush(self) -> None:
        while not self._queue.empty():
            self._queue.get()

    def _callback(self, out: Any, frames: int, times: Any, status: Any) -> None:
        self.underruns += status.output_underflow
        size = frames * 2
        while len(self._rest) < size and not self._queue.empty():
            self._rest += self._queue.get()
        block, self._rest = self._rest[:size], self._rest[size:]
        self.taken += len(block) // 2
        out[:] = block.ljust(size, b"\0")


def main(path: str, trials: int, seed: int, rate: int) -> None:
    chance = random.Random(seed)
    tone = read(path)
    player = Player(rate)
    with player.stream:
        say("opened", rate=rate, latency_ms=player.stream.latency * 1000, block_ms=BLOCK_MS)
        time.sleep(PAUSE_S)
        for _ in range(trials):
            before = player.taken
            player.write(tone)
            time.sleep(chance.uniform(0.15, 0.3))
            say("flush", at=time.monotonic(), told_ms=(player.taken - before) * 1000 / rate)
            player.flush()
            time.sleep(PAUSE_S)
    say("closing", underruns=player.underruns)


if __name__ == "__main__":
    main(**options())
