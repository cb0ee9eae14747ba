"""What the turn detection of a session means for the agent."""

from __future__ import annotations

from typing import Any

import pytest

from voicelive_agent._turn_detection import (
    AzureSemanticVad,
    AzureSemanticVadEn,
    AzureSemanticVadMultilingual,
    EndOfUtteranceDetection,
    SemanticVad,
    ServerVad,
    TurnPolicy,
    turn_policy,
)
from voicelive_agent.errors import ConfigurationError

SERVER = TurnPolicy(
    kind="server",
    creates_response=True,
    interrupts_response=True,
    auto_truncates=False,
    prefix_padding_ms=300,
    silence_ms=500,
)
SEMANTIC = TurnPolicy(
    kind="semantic",
    creates_response=True,
    interrupts_response=True,
    auto_truncates=False,
    prefix_padding_ms=300,
    silence_ms=500,
)


@pytest.mark.parametrize(
    ("session", "policy"),
    [
        ({}, SERVER),
        ({"turn_detection": {}}, SERVER),
        ({"turn_detection": ServerVad().to_dict()}, SERVER),
        ({"turn_detection": {"type": "server_vad", "create_response": None, "silence_duration_ms": None}}, SERVER),
        ({"turn_detection": AzureSemanticVad().to_dict()}, SEMANTIC),
        ({"turn_detection": AzureSemanticVadEn().to_dict()}, SEMANTIC),
        ({"turn_detection": AzureSemanticVadMultilingual().to_dict()}, SEMANTIC),
        ({"turn_detection": SemanticVad(eagerness="low").to_dict()}, SEMANTIC),
    ],
)
def test_defaults_are_the_services(session: dict[str, Any], policy: TurnPolicy) -> None:
    assert turn_policy(session) == policy


def test_what_was_sent_counts() -> None:
    vad = AzureSemanticVad(
        create_response=False,
        interrupt_response=False,
        auto_truncate=True,
        prefix_padding_ms=0,
        silence_duration_ms=0,
    )
    assert turn_policy({"turn_detection": vad.to_dict()}) == TurnPolicy(
        kind="semantic",
        creates_response=False,
        interrupts_response=False,
        auto_truncates=True,
        prefix_padding_ms=0,
        silence_ms=0,
    )


def test_null_means_manual_turns_in_which_the_service_decides_nothing() -> None:
    policy = turn_policy({"turn_detection": None})
    assert policy.kind == "manual"
    assert (policy.creates_response, policy.interrupts_response, policy.auto_truncates) == (False, False, False)


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="turn_detection of the session is 'server_vad'"):
        turn_policy({"turn_detection": "server_vad"})


def test_auto_truncate_is_sent_as_false_and_everything_else_left_to_the_service() -> None:
    assert ServerVad().to_dict() == {"type": "server_vad", "auto_truncate": False}
    assert AzureSemanticVadEn(end_of_utterance_detection=EndOfUtteranceDetection(timeout_ms=700)).to_dict() == {
        "type": "azure_semantic_vad_en",
        "auto_truncate": False,
        "end_of_utterance_detection": {"model": "semantic_detection_v1", "timeout_ms": 700},
    }


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"threshold": -0.1}, "ServerVad.threshold is -0.1; it must be a number between 0 and 1"),
        (
            {"silence_duration_ms": -1},
            "ServerVad.silence_duration_ms is -1; it must be a whole number 0 ms or more",
        ),
        ({"prefix_padding_ms": 0.5}, "ServerVad.prefix_padding_ms is 0.5"),
        (
            {"end_of_utterance_detection": {"model": "semantic_detection_v2"}},
            "Did you mean 'semantic_detection_v1'?",
        ),
    ],
)
def test_refuses_what_the_service_would(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ServerVad(**fields)
    assert message in str(caught.value)
