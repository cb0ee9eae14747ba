"""A face that follows the voice: visemes within the words, and blendshapes that move from one to the next.

A frame has 55 numbers, in the order of Microsoft's documentation: the 52 facial positions of ARKit, then the roll
of the head and of both eyes. Only the mouth moves here; a real model moves everything.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from ._visemes import SILENCE, visemes_of_spelling
from .protocols import SpokenWord

FRAMES_PER_S = 60
_POSITIONS = 55
_PAUSE_MS = 40
"""A shorter gap between words does not close the mouth."""
_APPROACH = 0.4
"""How far towards the new position each frame goes."""

_JAW_OPEN, _MOUTH_CLOSE, _FUNNEL, _PUCKER = 17, 18, 19, 20
_SMILE, _STRETCH, _ROLL, _PRESS = (23, 24), (29, 30), (31, 32), (35, 36)
_LOWER_DOWN, _UPPER_UP, _TONGUE_OUT = (37, 38), (39, 40), (51,)

_SHAPES: dict[int, tuple[tuple[float, Sequence[int]], ...]] = {
    0: (),
    1: ((0.4, (_JAW_OPEN,)), (0.2, _LOWER_DOWN)),
    2: ((0.6, (_JAW_OPEN,)), (0.3, _LOWER_DOWN)),
    3: ((0.5, (_JAW_OPEN,)), (0.4, (_FUNNEL,))),
    4: ((0.35, (_JAW_OPEN,)), (0.2, _STRETCH)),
    5: ((0.25, (_JAW_OPEN,)), (0.3, (_FUNNEL,))),
    6: ((0.15, (_JAW_OPEN,)), (0.4, _SMILE), (0.2, _STRETCH)),
    7: ((0.15, (_JAW_OPEN,)), (0.7, (_PUCKER,))),
    8: ((0.35, (_JAW_OPEN,)), (0.5, (_FUNNEL,)), (0.3, (_PUCKER,))),
    9: ((0.55, (_JAW_OPEN,)), (0.3, (_FUNNEL,))),
    10: ((0.4, (_JAW_OPEN,)), (0.4, (_FUNNEL,))),
    11: ((0.55, (_JAW_OPEN,)), (0.2, _SMILE)),
    12: ((0.25, (_JAW_OPEN,)),),
    13: ((0.2, (_JAW_OPEN,)), (0.4, (_PUCKER,))),
    14: ((0.25, (_JAW_OPEN,)), (0.2, _TONGUE_OUT)),
    15: ((0.08, (_JAW_OPEN,)), (0.3, _STRETCH)),
    16: ((0.12, (_JAW_OPEN,)), (0.5, (_FUNNEL,))),
    17: ((0.15, (_JAW_OPEN,)), (0.4, _TONGUE_OUT)),
    18: ((0.08, (_JAW_OPEN,)), (0.5, _ROLL[:1]), (0.2, _UPPER_UP)),
    19: ((0.15, (_JAW_OPEN,)), (0.1, _TONGUE_OUT)),
    20: ((0.25, (_JAW_OPEN,)),),
    21: ((0.6, (_MOUTH_CLOSE,)), (0.3, _PRESS), (0.2, _ROLL)),
}


def visemes_between(words: Sequence[SpokenWord], length_ms: float) -> Iterator[tuple[float, int]]:
    """The times and visemes of a piece of audio; the mouth is closed before, after and between its words."""
    ended = 0.0
    for index, word in enumerate(words):
        if word.offset_ms - ended > _PAUSE_MS or (index == 0 and word.offset_ms > 0):
            yield ended, SILENCE
        ended = word.offset_ms + word.duration_ms
        guessed = visemes_of_spelling(word.text)
        each_ms = word.duration_ms / len(guessed)
        known = word.visemes or [(place * each_ms, viseme) for place, viseme in enumerate(guessed)]
        yield from ((word.offset_ms + at, viseme) for at, viseme in known)
    if length_ms - ended > _PAUSE_MS or not words:
        yield ended, SILENCE


class Face:
    """The blendshapes of one message, frame by frame."""

    def __init__(self) -> None:
        self.frames_made = 0
        self._coming: deque[tuple[float, int]] = deque()
        self._target: list[float] = [0.0] * _POSITIONS
        self._shown: list[float] = [0.0] * _POSITIONS

    def follow(self, at_ms: float, viseme: int) -> None:
        """What the mouth does from then on."""
        self._coming.append((at_ms, viseme))

    def frames(self, until_ms: float) -> list[list[float]]:
        """The frames before ``until_ms`` that were not taken yet."""
        made = []
        while self.frames_made * 1000 / FRAMES_PER_S < until_ms:
            now = self.frames_made * 1000 / FRAMES_PER_S
            while self._coming and self._coming[0][0] <= now:
                self._target = _shape(self._coming.popleft()[1])
            pairs = zip(self._shown, self._target, strict=True)
            self._shown = [shown + (target - shown) * _APPROACH for shown, target in pairs]
            made.append([round(each, 3) for each in self._shown])
            self.frames_made += 1
        return made


def _shape(viseme: int) -> list[float]:
    positions = [0.0] * _POSITIONS
    for weight, places in _SHAPES[viseme]:
        for place in places:
            positions[place] = weight
    return positions
