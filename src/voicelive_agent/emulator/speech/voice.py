"""A voice: hibari, an American English voice at 24 kHz that speaks a hundred times faster than it talks.

Text is spoken in pieces, so that the first is heard early and an interruption wastes at most one:

    a sentence            one piece; its intonation needs the whole of it
    a long sentence       its clauses, at commas, semicolons, colons and dashes
    a very long clause    parts of at most 200 characters, at a space where there is one
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigurationError
from ..protocols import SpokenPiece, SpokenWord
from .durations import Durations, model_with_durations
from .packages import require

__all__ = ["HibariVoice", "pieces"]

_RATE = 24_000
_GAIN = 2.0
"""Hibari speaks at -27 dBFS RMS; twice as loud is the level of other voices."""
_PEAK = 0.97
_QUIET = 0.003
_LEAD_MS, _TAIL_MS, _SENTENCE_PAUSE_MS = 20, 120, 260
_SILENCE_MS = 100

_LONG_SENTENCE, _SHORT_CLAUSE, _LONGEST = 90, 8, 200
"""Characters: 90 are about 5 s of speech and 50 ms of work."""

_UNSPEAKABLE = re.compile(r"[^\t\n -~\u00a0-\u024f\u2010-\u2027\u20a0-\u20bf]+")
_SPEAKABLE = re.compile(r"[A-Za-z0-9\u00c0-\u024f]")
_MANY_DIGITS = re.compile(r"\d[\d,]{8,}\d")
_GROUPED = re.compile(r"\d{1,3}(,\d{3}){2,4}")
_CLAUSE_END = re.compile(r"(?<=[,;:\u2013\u2014])\s+")


class HibariVoice:
    """Speaks English text with hibari's bundled voice; ``speed`` is 0.5 (slow) to 2.0 (fast).

    The same text gives the same bytes. No network is ever used. Raises
    :class:`~voicelive_agent.ConfigurationError` where the package is missing or ``speed`` is out of range.
    """

    def __init__(self, speed: float = 1.0) -> None:
        if not 0.5 <= speed <= 2.0:
            raise ConfigurationError(f"speed is {speed}.", hint="Choose a speed from 0.5 (slow) to 2.0 (fast).")
        require("hibari")
        from hibari import Hibari
        from hibari.voices import DEFAULT, voice_path

        self._hibari = Hibari(model=model_with_durations(Path(voice_path(DEFAULT)).read_bytes()))
        self._durations = Durations(self._hibari)
        self._speed = speed

    @property
    def rate(self) -> int:
        """24,000 samples per second."""
        return _RATE

    def speak(self, text: str) -> Iterator[bytes]:
        """The audio of ``text`` (PCM16 mono), piece by piece, each made when it is asked for.

        Text with nothing to say in it (empty, emoji, another script) yields 100 ms of silence.
        """
        yield from (piece.pcm for piece in self._speak(text, timed=False))

    def speak_timed(self, text: str) -> Iterator[SpokenPiece]:
        """The same, with the words as they are read ("1 2 3" of a card number) and the model's own times.

        The mouth positions are those of the phonemes.
        """
        yield from self._speak(text, timed=True)

    def _speak(self, text: str, *, timed: bool) -> Iterator[SpokenPiece]:
        spoken = False
        for piece, tail_ms in pieces(text):
            # One seed for every piece: what a piece sounds like does not depend on those before it.
            self._durations.forget()
            audio = self._hibari(piece, speed=self._speed, seed=0)
            if pcm := _level(audio, tail_ms):
                spoken = True
                yield SpokenPiece(pcm, self._words(piece, audio) if timed else ())
        if not spoken:
            yield SpokenPiece(bytes(2 * _samples(_SILENCE_MS)))

    def _words(self, piece: str, audio: NDArray[np.float32]) -> list[SpokenWord]:
        # _level puts the first loud sample at _LEAD_MS; what is quieter before or after the others is cut off.
        loud = np.flatnonzero(np.abs(audio) > _QUIET) * 1000 / _RATE
        shift_ms, end_ms = _LEAD_MS - loud[0], _LEAD_MS + loud[-1] - loud[0]
        words = []
        for word in self._durations.words(piece):
            start_ms = min(max(0.0, word.offset_ms + shift_ms), end_ms)
            length_ms = min(word.offset_ms + shift_ms + word.duration_ms, end_ms) - start_ms
            visemes = [(at_ms, viseme) for at_ms, viseme in word.visemes if at_ms < length_ms]
            words.append(SpokenWord(word.text, start_ms, max(0.0, length_ms), visemes))
        return words


def pieces(text: str) -> list[tuple[str, int]]:
    """What to speak in one go, and how many milliseconds of silence to leave after each."""
    from hibari import Hibari

    # Compatibility forms first: hibari fails on "²", and reads "1/2" but not "½".
    plain = unicodedata.normalize("NFKC", text).replace("\u2044", "/")
    speakable = _MANY_DIGITS.sub(_one_by_one, _UNSPEAKABLE.sub(" ", plain))
    found = [
        (part, _TAIL_MS if index + 1 < len(parts) else _SENTENCE_PAUSE_MS)
        for sentence in Hibari.split_sentences(speakable)
        for parts in [_parts(sentence)]
        for index, part in enumerate(parts)
    ]
    return [*found[:-1], (found[-1][0], _TAIL_MS)] if found else []


def _one_by_one(match: re.Match[str]) -> str:
    """A phone or card number digit by digit; hibari cannot read whole numbers of any length."""
    return match[0] if _GROUPED.fullmatch(match[0]) else " ".join(match[0].replace(",", ""))


def _parts(sentence: str) -> list[str]:
    clauses = _CLAUSE_END.split(sentence) if len(sentence) > _LONG_SENTENCE else [sentence]
    parts: list[str] = []
    for clause in clauses:
        if parts and len(parts[-1]) < _SHORT_CLAUSE:
            parts[-1] += f" {clause}"
        else:
            parts.append(clause)
    return [bit for part in parts for bit in _bits(part) if _SPEAKABLE.search(bit)]


def _bits(part: str) -> Iterator[str]:
    while len(part) > _LONGEST:
        cut = part.rfind(" ", 1, _LONGEST)
        cut = cut if cut > 0 else _LONGEST
        yield part[:cut]
        part = part[cut:].strip()
    yield part


def _level(audio: NDArray[np.float32], tail_ms: int) -> bytes:
    """Louder, never clipped, with ``_LEAD_MS`` of silence before it and ``tail_ms`` after; PCM16."""
    loud = np.flatnonzero(np.abs(audio) > _QUIET)
    if not len(loud):
        return b""
    lead, tail = _samples(_LEAD_MS), _samples(tail_ms)
    first, last = int(loud[0]), int(loud[-1]) + 1
    kept = np.pad(audio, (lead, tail))[first : last + lead + tail]
    gain = min(_GAIN, _PEAK / float(np.abs(kept).max()))
    return (kept * gain * 32767).astype("<i2").tobytes()


def _samples(ms: int) -> int:
    return _RATE * ms // 1000
