"""The fields of the transcription events: deltas, phrases with words and times, log probabilities."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from .._pcm import level_dbfs
from ._audio import EARS_RATE
from ._fillers import is_filler, without_fillers
from .protocols import FRAME, Transcript, Word

PHRASES = "item.input_audio_transcription.phrases"
LOGPROBS = "item.input_audio_transcription.logprobs"

_STREAMING = ("gpt-4o",)
_WHOLE = ("whisper",)
_LEAST_PROBABILITY = 1e-6
_QUIETEST_DB = 30.0
"""Below its loudest frame nothing of an utterance is taken for speech."""


def deltas(model: str, text: str) -> list[str]:
    """The text of each delta event.

    Whisper's is the whole text (recorded), a gpt-4o transcriber's a word at a time; no other model has any.
    """
    if not text:
        return []
    if model.startswith(_WHOLE):
        return [text]
    return re.findall(r"\s*\S+", text) if model.startswith(_STREAMING) else []


def cleaned(transcript: Transcript, language: str | None) -> Transcript:
    """The transcript without filler words."""
    words = [word for word in transcript.words if not is_filler(word.text, language)]
    return Transcript(without_fillers(transcript.text, language), transcript.language, words)


def timed(transcript: Transcript, pcm: bytes) -> Sequence[Word]:
    """The words with their times: the ears' own, else an estimate that gives each letter the same time."""
    if transcript.words:
        return transcript.words
    words = transcript.text.split()
    at, end = _spoken(pcm)
    letter_ms = (end - at) / max(1, sum(len(word) + 1 for word in words))
    estimated = []
    for word in words:
        estimated.append(Word(word, at, at + len(word) * letter_ms))
        at += (len(word) + 1) * letter_ms
    return estimated


def _spoken(pcm: bytes) -> tuple[float, float]:
    """From when to when (ms) there is something as loud as speech in the utterance."""
    size = 2 * FRAME
    levels = [level_dbfs(pcm[at : at + size]) for at in range(0, len(pcm), size)]
    loud = [index for index, level in enumerate(levels) if level >= max(levels) - _QUIETEST_DB]
    frame_ms = FRAME * 1000 / EARS_RATE
    return (loud[0] * frame_ms, (loud[-1] + 1) * frame_ms) if loud else (0.0, 0.0)


def phrases(words: Sequence[Word], locale: str) -> list[dict[str, Any]]:
    """A phrase for each sentence; offsets are milliseconds from the beginning of the item's audio."""
    return [_phrase(sentence, locale) for sentence in _sentences(words)]


def _sentences(words: Sequence[Word]) -> Iterator[list[Word]]:
    sentence: list[Word] = []
    for word in words:
        sentence.append(word)
        if word.text.rstrip("\"'”’)").endswith((".", "?", "!", "。", "？", "！")):
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _phrase(words: Sequence[Word], locale: str) -> dict[str, Any]:
    likely = (max(word.probability, _LEAST_PROBABILITY) for word in words)
    return {
        **_span(words[0], words[-1]),
        "text": " ".join(word.text.strip() for word in words),
        "words": [{"text": word.text.strip(), **_span(word, word)} for word in words],
        "locale": locale,
        "confidence": round(math.exp(sum(map(math.log, likely)) / len(words)), 3),
    }


def _span(first: Word, last: Word) -> dict[str, int]:
    start, end = round(first.start_ms), round(last.end_ms)
    return {"offset_milliseconds": start, "duration_milliseconds": max(0, end - start)}


def logprobs(words: Sequence[Word]) -> list[dict[str, Any]]:
    """A log probability for each word, as if each were a token."""
    tokens = [(" " if index else "") + word.text.strip() for index, word in enumerate(words)]
    return [
        {
            "token": token,
            "logprob": round(math.log(max(word.probability, _LEAST_PROBABILITY)), 4),
            "bytes": list(token.encode()),
        }
        for token, word in zip(tokens, words, strict=True)
    ]
