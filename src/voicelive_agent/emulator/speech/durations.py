"""How long hibari's model makes each phoneme, and so when it says each word.

The model works out the durations but does not give them: they are an inner value of its graph, and here they are
made one of its outputs. Protocol buffers merge what is appended to them: that takes a few bytes behind the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .._timing import words_in
from .._visemes import SILENCE, viseme_of_sound
from ..protocols import SpokenWord

_DURATIONS = "/Round_output_0"
"""The inner value: 25 ms steps per phoneme, with one pad at either end."""
_MS_PER_FRAME = 12.5
_EARLY_STEPS = 3
"""A phoneme is heard so many steps before its place in the sum of durations. Kokoro, whose voice this is, takes as
many off its own timestamps."""
_PAUSES = frozenset(' .,;:!?…—–-"“”()')

_Sound = tuple[str, float, float]
"""A phoneme, when it begins and how long it is, in milliseconds."""


class _Session(Protocol):
    """What hibari asks of its inference session."""

    def run(self, names: Sequence[str] | None, inputs: Mapping[str, Any]) -> list[NDArray[Any]]: ...


class Durations:
    """Watches what a ``Hibari`` synthesises: after a text, it knows when the words of it were said.

    ``hibari`` is made by :func:`model_with_durations`.
    """

    def __init__(self, hibari: Any) -> None:
        self._g2p = hibari.g2p
        self._symbols = {number: symbol for symbol, number in hibari.vocab.items()}
        self._session: _Session = hibari.sess
        self._sounds: list[_Sound] = []
        self._ended_ms = 0.0
        hibari.sess = self

    def forget(self) -> None:
        """Another text begins."""
        self._sounds.clear()
        self._ended_ms = 0.0

    def run(self, names: Sequence[str] | None, inputs: Mapping[str, Any]) -> list[NDArray[Any]]:
        """In place of the session's: the outputs that hibari knows."""
        *outputs, durations = self._session.run(names, inputs)
        frames = outputs[-1].shape[-1]
        steps = durations.reshape(-1)
        step_ms = frames * _MS_PER_FRAME / float(steps.sum() or 1)
        ends = self._ended_ms + (np.cumsum(steps) - _EARLY_STEPS) * step_ms
        for number, end, length in zip(inputs["ids"][0], ends, steps * step_ms, strict=True):
            self._sounds.append((self._symbols.get(int(number), " "), float(end - length), float(length)))
        self._ended_ms += frames * _MS_PER_FRAME
        return outputs

    def words(self, text: str) -> list[SpokenWord]:
        """The words of ``text``, which is all that was synthesised since :meth:`forget`, in the time of its audio.

        A word that is read as several ("$9.99") is one with all their time.
        """
        spoken = list(_spoken_words(self._sounds))
        words = [(shown[0], word) for word in text.split() if (shown := words_in(word))]
        counts = [len(self._g2p(word).split()) or 1 for _, word in words]
        edges = np.concatenate(([0], np.cumsum(counts)))
        if counts and edges[-1] != len(spoken):  # the sentence is read otherwise than its words alone
            edges = np.round(edges * (len(spoken) / edges[-1])).astype(int)
        return [
            _word(shown, [sound for group in spoken[first:last] for sound in group])
            for (shown, _), first, last in zip(words, edges[:-1], edges[1:], strict=True)
            if first < last
        ]


def _spoken_words(sounds: Sequence[_Sound]) -> Iterator[list[_Sound]]:
    """The sounds between pauses; the pad at the end is one."""
    word: list[_Sound] = []
    for sound in sounds:
        if sound[0] not in _PAUSES:
            word.append(sound)
        elif word:
            yield word
            word = []


def _word(text: str, sounds: Sequence[_Sound]) -> SpokenWord:
    begin, (_, last, length) = sounds[0][1], sounds[-1]
    visemes = [(at - begin, viseme_of_sound(sound)) for sound, at, _ in sounds]
    shown = [(at, viseme) for at, viseme in visemes if viseme is not None]
    return SpokenWord(text, begin, last + length - begin, shown or [(0.0, SILENCE)])


def model_with_durations(model: bytes) -> bytes:
    """Hibari's ONNX model with the durations as its last output."""
    value = _field(1, _DURATIONS.encode())  # ValueInfoProto.name
    graph = _field(12, value)  # GraphProto.output
    return model + _field(7, graph)  # ModelProto.graph


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field of a protocol buffer; each of these is shorter than 128 bytes."""
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content
