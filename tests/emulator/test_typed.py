"""Every event against the SDK: its typed class, and the fields that it requires."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from azure.ai.voicelive import models

from .scenarios import SCENARIOS

SERVER: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data/events.json").read_text("utf-8"))["server"]
UNTYPED = {"conversation.item.done"}
"""Leaks from the model behind; recorded, but the SDK has no class for it."""


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_event_is_what_the_sdk_expects(scenario: str) -> None:
    events = SCENARIOS[scenario]()
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


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_nested_models_of_the_sdk_can_be_read(scenario: str) -> None:
    for event in SCENARIOS[scenario]():
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
            avatar = typed.session.avatar
            assert avatar is None or isinstance(avatar, models.AvatarConfig)
        if event["type"] == "error":
            assert isinstance(typed.error, models.ServerEventErrorDetails)
        if event["type"] == "warning":
            assert isinstance(typed.warning, models.ServerEventWarningDetails)


def test_the_services_own_tools_tell_how_far_they_are() -> None:
    steps = [event["type"] for event in SCENARIOS["hosted tools"]() if "_search_call." in event["type"]]
    assert steps == [
        "response.web_search_call.in_progress",
        "response.web_search_call.searching",
        "response.web_search_call.completed",
        "response.file_search_call.in_progress",
        "response.file_search_call.searching",
        "response.file_search_call.completed",
    ]


def test_an_agent_is_the_sdks() -> None:
    typed: Any = models.ServerEvent._deserialize(SCENARIOS["agent"]()[0], [])
    assert isinstance(typed.session.agent, models.AgentConfig)
    assert typed.session.agent.name == "librarian"
