"""What depends on the version of the API, and on who serves the model."""

from __future__ import annotations

from typing import Any

import pytest

from voicelive_agent.emulator import Options

from .asking import created, updated
from .driver import Driver, only, types

FIRST, SECOND, LATEST = "2025-10-01", "2026-04-10", "2026-07-15"
PREVIEW = "2026-01-01-preview"
CASCADE, REALTIME = "gpt-4.1", "gpt-realtime"


def at(version: str, model: str = CASCADE, **options: Any) -> Driver:
    return Driver(model=model, query={"api-version": version}, options=Options(**options))


def numbers(turn: dict[str, Any]) -> tuple[int | None, int | None]:
    return turn["prefix_padding_ms"], turn["silence_duration_ms"]


@pytest.mark.parametrize(
    ("version", "server", "semantic"),
    [
        (FIRST, (300, 200), (300, 500)),
        (PREVIEW, (300, 500), (300, 500)),
        (SECOND, (400, 500), (420, 500)),
        (LATEST, (400, 500), (420, 500)),
        ("v1", (400, 500), (420, 500)),
    ],
)
def test_newer_versions_wait_longer(version: str, server: Any, semantic: Any) -> None:
    assert numbers(created(at(version))["turn_detection"]) == server
    driver = at(version, REALTIME)
    assert numbers(created(driver)["turn_detection"]) == (300, 200), "as recorded, until the session is updated"
    assert numbers(updated(driver.update(turn_detection={"type": "server_vad"}))["turn_detection"]) == server
    turn = updated(driver.update(turn_detection={"type": "azure_semantic_vad"}))["turn_detection"]
    assert numbers(turn) == semantic
    driver = at(version)
    driver.update(turn_detection={"type": "azure_semantic_vad"})
    force = driver.session._context.config.turn
    assert force is not None
    assert (force.prefix_padding_ms, force.silence_duration_ms) == semantic


def test_a_cascade_echoes_null_for_what_an_update_left_out() -> None:
    for version in (FIRST, SECOND, LATEST):
        turn = updated(at(version).update(turn_detection={"type": "server_vad", "threshold": 0.7}))[
            "turn_detection"
        ]
        assert (turn["threshold"], *numbers(turn)) == (0.7, None, None)


def test_the_options_can_name_the_version() -> None:
    assert numbers(created(at(LATEST, api_version=FIRST))["turn_detection"]) == (300, 200)


def test_the_first_version_has_keys_of_its_own() -> None:
    change = {"turn_detection": {"type": "azure_semantic_vad_multilingual"}}
    first = updated(at(FIRST).update(**change))["turn_detection"]
    latest = updated(at(LATEST).update(**change))["turn_detection"]
    assert set(first) - set(latest) == {
        "end_of_utterance_detection",
        "threshold_assistant_speaking",
        "neg_threshold_assistant_speaking",
        "window_size_assistant_speaking",
        "distinct_ci_phones_assistant_speaking",
    }
    assert latest["require_vowel_assistant_speaking"] is None
    given = {"end_of_utterance_detection": {"model": "semantic_detection_v1", "timeout_ms": 800}}
    turn = updated(at(LATEST).update(turn_detection={"type": "server_vad", **given}))["turn_detection"]
    assert turn["end_of_utterance_detection"] == given["end_of_utterance_detection"]


def test_newer_cascades_echo_keys_that_the_sdk_does_not_know() -> None:
    for version, model, there in ((FIRST, CASCADE, False), (LATEST, CASCADE, True), (LATEST, REALTIME, False)):
        session = created(at(version, model))
        assert [name in session for name in ("greeting", "handoff")] == [there] * 2
        assert session["truncation_strategy"] is None
    greeting = {"text": "Hello"}
    assert updated(at(LATEST).update(greeting=greeting))["greeting"] == greeting


@pytest.mark.parametrize("version", [FIRST, LATEST])
def test_the_language_of_a_transcript_is_told_by_newer_cascades(version: str) -> None:
    kind = "conversation.item.input_audio_transcription.completed"
    assert ("language" in only(at(version).speak(), kind)) is (version == LATEST)
    driver = at(version, REALTIME)
    driver.update(input_audio_transcription={"model": "whisper-1"})
    assert "language" not in only(driver.speak(), kind)


def test_only_models_of_openai_tell_a_transcript_in_pieces() -> None:
    delta = "conversation.item.input_audio_transcription.delta"
    for model, turn, pieces in (("whisper-1", "server_vad", True), ("azure-speech", "azure_semantic_vad", False)):
        driver = at(LATEST, REALTIME)
        driver.update(input_audio_transcription={"model": model}, turn_detection={"type": turn})
        assert (delta in types(driver.speak())) is pieces


def test_a_cascade_cannot_do_without_transcription() -> None:
    transcription = {"model": "azure-speech", "language": "", "prompt": "", "custom_speech": None}
    for version in (FIRST, LATEST):
        echo = updated(at(version).update(input_audio_transcription=None))["input_audio_transcription"]
        assert echo == {**transcription, "phrase_list": None}
    assert (
        updated(at(LATEST, REALTIME).update(input_audio_transcription=None))["input_audio_transcription"] is None
    )


# --- Bring your own model --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "realtime"),
    [
        ("byom-azure-openai-realtime", True),
        ("byom-azure-openai-chat-completion", False),
        ("byom-foundry-anthropic-messages", False),
    ],
)
def test_the_profile_of_an_own_model_decides_what_serves_it(profile: str, realtime: bool) -> None:
    driver = Driver(model="my-deployment", query={"profile": profile})
    session = created(driver)
    assert (session["voice"]["type"] == "openai") is realtime
    assert session["model"] == "my-deployment"
    named_otherwise = Driver(model=CASCADE if realtime else REALTIME, query={"profile": profile})
    assert (created(named_otherwise)["voice"]["type"] == "openai") is realtime
    forced = Driver(query={"profile": profile}, options=Options(profile="cascade"))
    assert created(forced)["voice"]["type"] == "azure-standard"


def test_an_unknown_profile_opens_no_session() -> None:
    driver = Driver(query={"profile": "byom-mine"})
    driver.settle()
    assert [event["type"] for event in driver.events] == ["error"]
    error = driver.events[0]["error"]
    assert error["param"] == "profile"
    assert "byom-azure-openai-realtime" in error["message"]
    assert driver.session.closing == (1008, "bad_request")
    assert driver.ask("session.update", session={}) == []
