"""Turns in the stream of appended audio. The clock is the audio itself: what was never sent never happened.

Where only the words can tell how to go on, hearing stops at that very frame until :meth:`InputAudio.decide`. So
the same audio always gives the same turns, however long the ears take.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from math import ceil
from typing import TypeAlias

from .._pcm import level_dbfs
from ._audio import EARS_RATE, InputDecoder
from ._config import TurnSettings
from ._end_of_utterance import EndOfUtterance
from ._fillers import only_fillers
from .protocols import FRAME, Listener

FRAME_MS = FRAME * 1000 // EARS_RATE
_FRAME_BYTES = FRAME * 2
_HYSTERESIS = 0.15
"""Speech goes on down to this much below the threshold (the habit of Silero's own detector)."""

# A detector such as Silero finds speech, but blurs its edges by 100 ms or more; the level is sharper.
_REACH = 6
"""Frames (about 200 ms) by which the level may move an edge outwards."""
_LOUDNESS_RANGE_DB = 24.0
"""What is this much below the loudest frame of an utterance is a pause, whatever the detector says."""
_FAINTER_DB = 20.0
"""What is not fainter than this belongs to the speech beside it, ..."""
_ABOVE_BACKGROUND_DB = 12.0
"""... if it stands out of the background by this much."""
_BACKGROUND_SHARE = 0.05
"""Of each frame without speech in the average that counts as background."""
_SILENCE_DBFS = -70.0

_FIRST_LOOK_MS, _NEXT_LOOK_MS = 640, 480
"""Of speech, until the ears are asked whether there is a word in it: earlier they would hear half of one."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Speech was found; ``audio_start_ms`` is its onset less the prefix padding."""

    audio_start_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The silence was long enough; ``pcm`` is the whole turn at 16 kHz."""

    audio_end_ms: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class SpeechIgnored:
    """What is over now had no word in it; the client never heard of it. ``pcm`` is all of it at 16 kHz."""

    pcm: bytes


TurnEvent: TypeAlias = SpeechStarted | SpeechStopped | SpeechIgnored


@dataclass(frozen=True, slots=True)
class TurnPolicy:
    """How turns are found: the numbers of turn detection, and what the words have a say in."""

    turn: TurnSettings
    end_of_utterance: EndOfUtterance | None = None
    """Wait longer where the sentence is not finished."""
    ignore_fillers: bool = False
    """An utterance of nothing but filler words never happened: speech is told only once a word was heard."""
    language: str | None = None
    """Of the words: a tag."""


@dataclass(slots=True)
class _Speech:
    """An utterance under way; all counts are frames."""

    start: int
    """Position of its first sample, the prefix padding included."""
    told: bool
    """Whether SpeechStarted was given out."""
    loudest: float
    """The level of its loudest frame in dBFS."""
    patience_ms: int
    """The silence that ends it, or that raises the question whether it has ended."""
    frames: int = 0
    unheard: int = 0
    """Since the detector heard speech."""
    silent: int = 0
    asked: bool = False
    """Whether the words were looked at in the present silence."""
    next_look_ms: int = _FIRST_LOOK_MS
    """How long it is when the words are looked at the next time, while it is not told."""

    @property
    def silent_enough(self) -> bool:
        return self.silent >= max(1, ceil(self.patience_ms / FRAME_MS))


class InputAudio:
    """The input audio buffer and its turn detection.

    With turn detection on, what precedes speech is forgotten but for the prefix padding. Positions are samples at
    16 kHz since the first append; they run on across turns and are not reset by a commit or a clear.
    """

    def __init__(self, listener: Listener, decoder: InputDecoder, policy: TurnPolicy | None) -> None:
        self._listener = listener
        self.decoder = decoder
        self.policy = policy
        self._position = 0
        self._buffer = bytearray()
        self._unheard = b""
        self._pending_bytes = 0
        self._background = _SILENCE_DBFS
        self._levels: list[float] = []  # of the latest frames, while there is no speech
        self._forget_speech()

    def configure(self, decoder: InputDecoder, policy: TurnPolicy | None) -> None:
        """Use another format or other turn detection from the next append on."""
        old = self.decoder
        if (decoder.format, decoder.rate, decoder.channels) != (old.format, old.rate, old.channels):
            self.decoder = decoder
        if (policy is None) != (self.policy is None):
            self._forget_speech()
        self.policy = policy

    @property
    def speaking(self) -> bool:
        """Whether the client knows of an open turn."""
        return self._speech is not None and self._speech.told

    @property
    def undecided(self) -> bytes | None:
        """The utterance so far (16 kHz PCM16) whose words are needed before any more is heard."""
        return bytes(self._buffer) if self._asking else None

    @property
    def buffered_ms(self) -> float:
        """How much audio was appended since the last commit or clear."""
        return self._pending_bytes * 1000 / self.decoder.bytes_per_s

    def feed(self, raw: bytes) -> list[TurnEvent]:
        """Append audio; what turn detection made of it."""
        self._pending_bytes += len(raw)
        self._unheard += self.decoder.decode(raw)
        return list(self._hear())

    def decide(self, text: str | None) -> list[TurnEvent]:
        """Take the words of the ``undecided`` utterance; None where the ears failed, and silence decides.

        The audio after it, if there is any, is heard by the next :meth:`feed`.
        """
        self._asking = False
        return list(self._decided(text))

    def take(self) -> bytes:
        """Everything in the buffer, which is empty afterwards; an open turn is over."""
        rest, self._unheard = self._unheard, b""
        self._position += len(rest) // 2
        return self._end_turn() + rest

    def _end_turn(self) -> bytes:
        pcm = bytes(self._buffer)
        self._buffer.clear()
        self._pending_bytes = 0
        self._forget_speech()
        return pcm

    def _forget_speech(self) -> None:
        self._speech: _Speech | None = None
        self._voiced = 0
        self._asking = False
        self._levels.clear()

    def _hear(self) -> Iterator[TurnEvent]:
        """Look at every whole frame, until there are no more or the words are needed."""
        at = 0
        while not self._asking and len(self._unheard) - at >= _FRAME_BYTES:
            frame = self._unheard[at : at + _FRAME_BYTES]
            at += _FRAME_BYTES
            self._buffer += frame
            self._position += FRAME
            if self.policy is not None:
                yield from self._frame(self._listener.probability(frame), level_dbfs(frame), self.policy)
        self._unheard = self._unheard[at:]

    def _frame(self, probability: float, level: float, policy: TurnPolicy) -> Iterator[TurnEvent]:
        if self._speech is not None:
            yield from self._while_speaking(self._speech, probability, level, policy)
            return
        turn = policy.turn
        if probability < turn.threshold:
            self._background += _BACKGROUND_SHARE * (max(level, _SILENCE_DBFS) - self._background)
        self._levels.append(level)
        self._voiced = self._voiced + 1 if probability >= turn.threshold else 0
        needed = max(1, ceil(turn.speech_duration_ms / FRAME_MS))
        if self._voiced >= needed:
            yield from self._start(policy)
            return
        before = needed + _REACH
        del self._levels[:-before]
        keep = (ceil(turn.prefix_padding_ms / FRAME_MS) + before) * _FRAME_BYTES
        del self._buffer[: max(0, len(self._buffer) - keep)]

    def _start(self, policy: TurnPolicy) -> Iterator[SpeechStarted]:
        turn = policy.turn
        loudest = max(self._levels[-self._voiced :])
        edge = self._quietest(loudest)
        earlier = takewhile(lambda level: level >= edge, reversed(self._levels[: -self._voiced][-_REACH:]))
        frames = self._voiced + len(list(earlier))
        onset = self._position - frames * FRAME
        wanted = onset - turn.prefix_padding_ms * EARS_RATE // 1000
        start = max(wanted // FRAME * FRAME, self._position - len(self._buffer) // 2, 0)
        del self._buffer[: len(self._buffer) - (self._position - start) * 2]
        told = not policy.ignore_fillers
        self._speech = _Speech(start, told, loudest, turn.silence_duration_ms, frames)
        if told:
            yield SpeechStarted(_on_grid(start))

    def _quietest(self, loudest: float) -> float:
        """The level from which a frame beside speech is part of it."""
        return max(loudest - _FAINTER_DB, self._background + _ABOVE_BACKGROUND_DB)

    def _voices(self, speech: _Speech, heard: bool, level: float) -> bool:
        """Whether speech goes on in this frame."""
        speech.loudest = max(speech.loudest, level)
        speech.unheard = 0 if heard else speech.unheard + 1
        if heard:
            return level >= speech.loudest - _LOUDNESS_RANGE_DB
        return speech.unheard <= _REACH and level >= self._quietest(speech.loudest)

    def _while_speaking(
        self, speech: _Speech, probability: float, level: float, policy: TurnPolicy
    ) -> Iterator[TurnEvent]:
        turn = policy.turn
        speech.frames += 1
        if self._voices(speech, probability >= max(turn.threshold - _HYSTERESIS, 0.01), level):
            speech.silent, speech.asked, speech.patience_ms = 0, False, turn.silence_duration_ms
        else:
            speech.silent += 1
        if speech.silent_enough:
            if speech.asked or (speech.told and policy.end_of_utterance is None):
                yield self._stop()
            else:
                self._asking = speech.asked = True
        elif not speech.told and speech.silent == 0 and speech.frames * FRAME_MS >= speech.next_look_ms:
            speech.next_look_ms += _NEXT_LOOK_MS
            self._asking = True

    def _decided(self, text: str | None) -> Iterator[TurnEvent]:
        speech, policy = self._speech, self.policy
        assert speech is not None
        assert policy is not None
        if not speech.told:
            if text is not None and only_fillers(text, policy.language):
                if speech.silent_enough:
                    yield SpeechIgnored(self._end_turn())
                return
            speech.told = True
            yield SpeechStarted(_on_grid(speech.start))
        if not speech.silent_enough:
            return
        waits_for = policy.end_of_utterance
        if waits_for is not None and text is not None and not waits_for.finished(text, policy.language):
            speech.patience_ms += waits_for.timeout_ms
        if speech.silent_enough:
            yield self._stop()

    def _stop(self) -> SpeechStopped:
        return SpeechStopped(_on_grid(self._position), self._end_turn())


def _on_grid(position: int) -> int:
    """Milliseconds of a position: always a multiple of 32, as in every recorded session."""
    return position // FRAME * FRAME_MS
