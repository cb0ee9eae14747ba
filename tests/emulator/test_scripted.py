"""The ears, brain and voice that need no packages."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from voicelive_agent.emulator import Call, EnergyEars, Say, ScriptedBrain, ToneVoice, Turn

from .driver import noise, silence

FRAME = 1024


def probabilities(pcm: bytes, ears: EnergyEars | None = None) -> list[float]:
    listener = (ears or EnergyEars()).listener()
    return [listener.probability(pcm[at : at + FRAME]) for at in range(0, len(pcm), FRAME)]


def test_energy_tells_speech_from_silence_and_from_a_steady_background() -> None:
    assert max(probabilities(silence(1, 16_000))) < 0.01
    assert min(probabilities(noise(1, 16_000))) > 0.9
    hum = noise(60, 16_000, level=400)
    assert max(probabilities(hum)[-30:]) < 0.5
    assert min(probabilities(hum + noise(0.5, 16_000))[-10:]) > 0.9


def test_each_utterance_takes_the_next_words() -> None:
    ears, sound = EnergyEars(["one", "two"], default="more"), noise(0.3, 16_000)
    heard = [ears.transcribe(pcm).text for pcm in (sound, silence(0.3, 16_000), b"", sound, sound, sound)]
    assert heard == ["one", "", "", "two", "more", "more"]


def test_words_can_be_one_text_or_computed() -> None:
    sound = noise(0.5, 16_000)
    assert EnergyEars("just this").transcribe(sound).text == "just this"
    assert EnergyEars(lambda pcm: f"{len(pcm)} bytes").transcribe(sound).text == "16000 bytes"
    assert EnergyEars().transcribe(sound, language="de-DE").language == "de-DE"


def message(role: str, text: str) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}


def output(text: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": "c", "output": text}


RULES: list[Any] = [
    (r"weather in (\w+)", [r"Looking up \1.", Call("weather", {"city": r"\1", "days": 2})]),
    ("bye", "Good bye!"),
    ("hang up", Say("Hanging up.")),
]


@pytest.mark.parametrize(
    ("items", "fields", "expected"),
    [
        ([], {}, [Say("Hello! How can I help you?")]),
        ([message("user", "Hi")], {}, [Say("I heard: Hi")]),
        ([message("user", "")], {}, [Say("Sorry, I did not hear any words.")]),
        (
            [message("user", "The WEATHER in Rome?")],
            {},
            [Say("Looking up Rome."), Call("weather", {"city": "Rome", "days": 2})],
        ),
        ([message("user", "weather in Rome")], {"tool_choice": "none"}, [Say("Looking up Rome.")]),
        ([message("user", "bye"), message("assistant", "weather in Rome")], {}, [Say("Good bye!")]),
        ([message("user", "hang up")], {}, [Say("Hanging up.")]),
        ([message("user", "x"), output("sunny"), output('"warm"')], {}, [Say("sunny"), Say("warm")]),
        ([message("user", "x"), output('{"a": 1}')], {}, [Say('{"a": 1}')]),
        ([output("sunny"), message("user", "bye")], {}, [Say("Good bye!")]),
        ([message("user", "x")], {"tool_choice": {"type": "function", "name": "f"}}, [Call("f", {})]),
        (
            [message("user", "x")],
            {"tool_choice": {"type": "function", "function": {"name": "f"}}},
            [Call("f", {})],
        ),
        ([message("user", "x")], {"request": {"instructions": 'Say exactly: "Yes!"'}}, [Say("Yes!")]),
    ],
)
def test_rules(items: list[dict[str, Any]], fields: dict[str, Any], expected: list[object]) -> None:
    assert list(ScriptedBrain(RULES).answer(Turn(items, **fields))) == expected


def test_the_tone_fits_the_text() -> None:
    voice = ToneVoice()
    pieces = list(voice.speak("One sentence. Another one!"))
    assert len(pieces) == 2
    seconds = sum(map(len, pieces)) / 2 / voice.rate
    assert seconds == pytest.approx(26 * 0.06, rel=0.01)
    assert pieces == list(voice.speak("One sentence. Another one!"))
    assert any(pieces[0])
    assert [any(piece) for piece in voice.speak("")] == [False]
    assert [any(piece) for piece in voice.speak("   ")] == [False]


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, voicelive_agent.emulator as e; e.Options(); "
        "print([m for m in ('aiohttp', 'numpy', 'azure', 'sounddevice', 'msgspec') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_session_needs_neither_aiohttp_nor_the_agent() -> None:
    code = (
        "import sys; from voicelive_agent.emulator import EmulatorSession; EmulatorSession(); "
        "print([m for m in sys.modules if m in ('aiohttp', 'asyncio', 'azure', 'msgspec')"
        " or m.startswith('voicelive_agent._') and m != 'voicelive_agent._pcm'])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_public_names_exist() -> None:
    import voicelive_agent.emulator as emulator

    assert sorted(emulator.__all__) == emulator.__all__
    for name in emulator.__all__:
        assert getattr(emulator, name)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = emulator.nonsense
