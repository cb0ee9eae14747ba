"""Turns in the stream of appended audio. The clock is the audio itself: what was never sent never happened."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from ._audio import EARS_RATE, InputDecoder
from ._config import TurnSettings
from .protocols import FRAME, Listener

FRAME_MS = FRAME * 1000 // EARS_RATE
_FRAME_BYTES = FRAME * 2
_HYSTERESIS = 0.15
"""Speech goes on down to this much below the threshold (the habit of Silero's own detector)."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Speech was found; ``audio_start_ms`` is its onset less the prefix padding."""

    audio_start_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The silence was long enough; ``pcm`` is the whole turn at 16 kHz."""

    audio_end_ms: int
    pcm: bytes


class InputAudio:
    """The input audio buffer and its turn detection.

    With turn detection on, what precedes speech is forgotten but for the prefix padding. Positions are samples at
    16 kHz since the first append; they run on across turns and are not reset by a commit or a clear.
    """

    def __init__(self, listener: Listener, decoder: InputDecoder, turn: TurnSettings | None) -> None:
        self._listener = listener
        self.decoder = decoder
        self.turn = turn
        self._position = 0
        self._buffer = bytearray()
        self._partial = b""
        self._pending_bytes = 0
        self._forget_speech()

    def configure(self, decoder: InputDecoder, turn: TurnSettings | None) -> None:
        """Use another format or other turn detection from the next append on."""
        old = self.decoder
        if (decoder.format, decoder.rate, decoder.channels) != (old.format, old.rate, old.channels):
            self.decoder = decoder
        if (turn is None) != (self.turn is None):
            self._forget_speech()
        self.turn = turn

    @property
    def speaking(self) -> bool:
        """Whether a turn is open."""
        return self._speaking

    @property
    def buffered_ms(self) -> float:
        """How much audio was appended since the last commit or clear."""
        return self._pending_bytes * 1000 / self.decoder.bytes_per_s

    def feed(self, raw: bytes) -> list[SpeechStarted | SpeechStopped]:
        """Append audio; what turn detection made of it."""
        self._pending_bytes += len(raw)
        pcm = self._partial + self.decoder.decode(raw)
        whole = len(pcm) - len(pcm) % _FRAME_BYTES
        self._partial = pcm[whole:]
        if self.turn is None:
            self._buffer += pcm[:whole]
            self._position += whole // 2
            return []
        events = (self._frame(pcm[at : at + _FRAME_BYTES], self.turn) for at in range(0, whole, _FRAME_BYTES))
        return [event for event in events if event is not None]

    def take(self) -> bytes:
        """Everything in the buffer, which is empty afterwards; an open turn is over."""
        pcm = bytes(self._buffer) + self._partial
        self._position += len(self._partial) // 2
        self._partial = b""
        self._buffer.clear()
        self._pending_bytes = 0
        self._forget_speech()
        return pcm

    def _forget_speech(self) -> None:
        self._speaking = False
        self._voiced = self._silent = 0

    def _frame(self, frame: bytes, turn: TurnSettings) -> SpeechStarted | SpeechStopped | None:
        probability = self._listener.probability(frame)
        self._buffer += frame
        self._position += FRAME
        if self._speaking:
            return self._while_speaking(probability, turn)
        self._voiced = self._voiced + 1 if probability >= turn.threshold else 0
        needed = max(1, ceil(turn.speech_duration_ms / FRAME_MS))
        if self._voiced < needed:
            keep = (ceil(turn.prefix_padding_ms / FRAME_MS) + needed) * _FRAME_BYTES
            del self._buffer[: max(0, len(self._buffer) - keep)]
            return None
        return self._start(turn)

    def _start(self, turn: TurnSettings) -> SpeechStarted:
        self._speaking, self._silent = True, 0
        onset = self._position - self._voiced * FRAME
        wanted = onset - turn.prefix_padding_ms * EARS_RATE // 1000
        start = max(wanted // FRAME * FRAME, self._position - len(self._buffer) // 2, 0)
        del self._buffer[: len(self._buffer) - (self._position - start) * 2]
        return SpeechStarted(_on_grid(start))

    def _while_speaking(self, probability: float, turn: TurnSettings) -> SpeechStopped | None:
        self._silent = self._silent + 1 if probability < max(turn.threshold - _HYSTERESIS, 0.01) else 0
        if self._silent < max(1, ceil(turn.silence_duration_ms / FRAME_MS)):
            return None
        pcm = bytes(self._buffer)
        self._buffer.clear()
        self._pending_bytes = 0
        self._forget_speech()
        return SpeechStopped(_on_grid(self._position), pcm)


def _on_grid(position: int) -> int:
    """Milliseconds of a position: always a multiple of 32, as in every recorded session."""
    return position // FRAME * FRAME_MS
