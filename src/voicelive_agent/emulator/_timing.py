"""When the words of a message sound: from the voice where it knows, else estimated from its audio.

The estimate takes one sentence at a time: its words share the part of the audio that is not silent, each as much
as it has letters.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ._animation import Face, visemes_between
from .protocols import SpokenPiece, SpokenWord, TimedVoice, Voice

_SENTENCE = re.compile(r".+?(?:[.!?]+(?:\s+|\Z)|\Z)", re.DOTALL)
_WORD_ENDS = re.compile(r"^\W+|\W+$")
_WINDOWS_PER_S = 100
_WINDOW_MS = 1000 / _WINDOWS_PER_S
_QUIET = 0.05
"""Of the loudest window: what is quieter is a pause."""


def words_in(text: str) -> list[str]:
    """The words of ``text`` without the punctuation around them."""
    bare = (_WORD_ENDS.sub("", word) for word in text.split())
    return [word for word in bare if word]


def timed_pieces(voice: Voice, text: str) -> Iterator[SpokenPiece]:
    """The audio of ``text`` with the times of its words."""
    if isinstance(voice, TimedVoice):
        yield from voice.speak_timed(text)
        return
    for sentence in _SENTENCE.findall(text) or [text]:
        pcm = b"".join(voice.speak(sentence))
        yield SpokenPiece(pcm, estimated(sentence, pcm, voice.rate))


def estimated(text: str, pcm: bytes, rate: int) -> list[SpokenWord]:
    """Where the words of ``text`` are in its audio (PCM16 mono), roughly."""
    words = words_in(text)
    size = rate // _WINDOWS_PER_S
    samples = np.frombuffer(pcm, "<i2", count=len(pcm) // 2).astype(float)
    count = len(samples) // size if size else 0
    if not words or not count:
        return [SpokenWord(word, 0.0, 0.0) for word in words]
    levels = np.sqrt(np.mean(samples[: count * size].reshape(count, size) ** 2, axis=1))
    voiced = np.cumsum(levels >= _QUIET * levels.max())
    weights = np.cumsum([len(word) + 1 for word in words])
    ends = voiced[-1] * weights / weights[-1]
    firsts = np.searchsorted(voiced, np.concatenate(([0.0], ends[:-1])), side="right")
    lasts = np.searchsorted(voiced, ends, side="left") + 1
    # Two words may share a window; the first of them ends where the next one begins.
    lasts[:-1] = np.minimum(lasts[:-1], firsts[1:])
    return [
        SpokenWord(word, float(first) * _WINDOW_MS, float(last - first) * _WINDOW_MS)
        for word, first, last in zip(words, firsts, lasts, strict=True)
    ]


@dataclass(slots=True)
class Cues:
    """What goes out with one delta of audio. Times are milliseconds from the start of the item's audio."""

    words: list[SpokenWord] = field(default_factory=list)
    visemes: list[tuple[float, int]] = field(default_factory=list)
    frames: list[list[float]] = field(default_factory=list)
    frame_index: int = 0
    """How many frames there were before these."""


class Track:
    """The cues of one message that go with audio that was not handed out yet.

    ``wanted`` has any of ``word``, ``viseme_id`` and ``blendshapes``.
    """

    def __init__(self, wanted: frozenset[str]) -> None:
        self._wanted = wanted
        self._words: deque[SpokenWord] = deque()
        self._visemes: deque[tuple[float, int]] = deque()
        self._last_viseme: int | None = None
        self._face = Face()

    def add(self, words: Sequence[SpokenWord], start_ms: float, length_ms: float) -> None:
        """The words of a piece of audio that begins at ``start_ms``."""
        inside = [_within(word, length_ms) for word in words]
        if "word" in self._wanted:
            self._words.extend(replace(word, offset_ms=start_ms + word.offset_ms) for word in inside)
        for at_ms, viseme in visemes_between(inside, length_ms):
            if viseme != self._last_viseme:
                self._visemes.append((start_ms + at_ms, viseme))
                self._face.follow(start_ms + at_ms, viseme)
                self._last_viseme = viseme

    def take(self, until_ms: float) -> Cues:
        """The cues before ``until_ms``, where the next delta ends."""
        cues = Cues(frame_index=self._face.frames_made)
        while self._words and self._words[0].offset_ms < until_ms:
            cues.words.append(self._words.popleft())
        while self._visemes and self._visemes[0][0] < until_ms:
            at_viseme = self._visemes.popleft()
            if "viseme_id" in self._wanted:
                cues.visemes.append(at_viseme)
        if "blendshapes" in self._wanted:
            cues.frames = self._face.frames(until_ms)
        return cues


def _within(word: SpokenWord, length_ms: float) -> SpokenWord:
    """The word as far as it is within the audio."""
    offset_ms = min(max(word.offset_ms, 0.0), max(length_ms - 1.0, 0.0))
    return replace(word, offset_ms=offset_ms, duration_ms=max(0.0, min(word.duration_ms, length_ms - offset_ms)))
