"""Every event against the SDK: its typed class, and the fields that it requires."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from azure.ai.voicelive import models

from voicelive_agent.emulator import Call, EnergyEars, Options, ScriptedBrain, Transcript

from .driver import Driver, Event, noise, silence

SERVER: dict[str, Any] = json.loads((Path(__file__).parent / "data/events.json").read_text("utf-8"))["server"]
UNTYPED = {"conversation.item.done"}
"""Leaks from the model behind; recorded, but the SDK has no class for it."""
NEVER = {
    "response.animation_blendshapes.delta",
    "response.animation_blendshapes.done",
    "response.animation_viseme.delta",
    "response.animation_viseme.done",
    "response.audio_timestamp.delta",
    "response.audio_timestamp.done",
    "response.audio_transcript.annotation.added",
    "response.file_search_call.completed",
    "response.file_search_call.in_progress",
    "response.file_search_call.searching",
    "response.invocation.delta",
    "response.mcp_call.completed",
    "response.mcp_call.failed",
    "response.mcp_call.in_progress",
    "response.mcp_call_arguments.delta",
    "response.mcp_call_arguments.done",
    "mcp_list_tools.completed",
    "response.video.delta",
    "response.web_search_call.completed",
    "response.web_search_call.in_progress",
    "response.web_search_call.searching",
    "session.avatar.connecting",
    "session.avatar.switch_to_idle",
    "session.avatar.switch_to_speaking",
    "warning",
}
"""Avatars, animation, timestamps and the service's own tools: the emulator has none of them."""


class SometimesDeaf(EnergyEars):
    def transcribe(self, pcm: bytes, *, language: str | None = None) -> Transcript:
        heard = super().transcribe(pcm, language=language)
        if heard.text == "deaf":
            raise RuntimeError("deaf")
        return heard


def everything(model: str) -> list[Event]:
    """A session that makes the emulator say all it can."""
    driver = Driver(
        model=model,
        ears=SometimesDeaf(["hello", "deaf", "call"]),
        brain=ScriptedBrain(
            [("call", ["One moment.", Call("look", {"a": 1}), Call("look", {})]), ("", "Yes. " * 9)]
        ),
        options=Options(realtime_factor=2.0, refuse_truncation=False),
    )
    driver.update(
        modalities=["text", "audio"],
        input_audio_transcription={"model": "whisper-1"},
        tools=[{"type": "mcp", "server_label": "x", "server_url": "https://example.com"}],
    )
    for _ in range(3):
        driver.speak()
    driver.say("Hi", modalities=["text"])
    driver.say("Hi", max_output_tokens=2)
    driver.send("response.create", response={"metadata": {"k": "v"}})
    driver.wait(0.2)
    driver.append(silence(0.2) + noise(0.4))
    driver.ask("input_audio_buffer.clear")
    driver.update(turn_detection=None)
    driver.append(noise(0.3))
    driver.ask("input_audio_buffer.commit")
    item = driver.ask(
        "conversation.item.create", item={"type": "function_call_output", "call_id": "c", "output": "o"}
    )
    for operation in ("retrieve", "delete"):
        driver.ask(f"conversation.item.{operation}", item_id=item[-1]["item"]["id"])
    spoken = next(event["item_id"] for event in driver.events if event["type"] == "response.audio.done")
    driver.ask("conversation.item.truncate", item_id=spoken, content_index=0, audio_end_ms=1)
    driver.ask("output_audio_buffer.clear")
    driver.ask("nonsense")
    return driver.events


@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-realtime"])
def test_every_event_is_what_the_sdk_expects(model: str) -> None:
    events = everything(model)
    assert len({event["event_id"] for event in events}) == len(events)
    for event in events:
        json.dumps(event, allow_nan=False)
        kind = event["type"]
        typed = models.ServerEvent._deserialize(event, [])
        assert typed.type == kind
        if kind in UNTYPED:
            continue
        assert type(typed).__name__ == SERVER[kind]["sdk_class"]
        missing = [name for name in SERVER[kind]["required"] if event.get(name) is None]
        assert not missing, f"{kind}: {missing}"
        for name in SERVER[kind]["required"] + SERVER[kind]["optional"]:
            getattr(typed, name)


def test_every_event_type_was_seen_or_is_known_not_to_be_emulated() -> None:
    seen = {event["type"] for model in ("gpt-4.1", "gpt-realtime") for event in everything(model)}
    assert set(SERVER) - seen == NEVER


@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-realtime"])
def test_nested_models_of_the_sdk_can_be_read(model: str) -> None:
    for event in everything(model):
        typed: Any = models.ServerEvent._deserialize(event, [])
        if event["type"] == "response.done":
            assert isinstance(typed.response.usage, models.TokenUsage)
            assert all(isinstance(item, models.ResponseItem) for item in typed.response.output)
        if event["type"] == "response.audio.delta":
            assert isinstance(typed.delta, bytes)
        if event["type"] in ("session.created", "session.updated"):
            assert typed.session.expires_at.year == 2027
            turn = typed.session.turn_detection
            assert turn is None or isinstance(turn, models.TurnDetection)
        if event["type"] == "error":
            assert isinstance(typed.error, models.ServerEventErrorDetails)
