"""Who answers: models, models of one's own and Foundry agents, and what follows from which it is."""

from __future__ import annotations

from typing import Any

import pytest

from voicelive_agent._combinations import Backend
from voicelive_agent._settings import Settings
from voicelive_agent._targets import (
    AgentTarget,
    ModelTarget,
    as_target,
    backend_of,
    default_transcription,
    profile_of,
)
from voicelive_agent.errors import ConfigurationError

AZURE = "https://contoso.services.ai.azure.com"


def test_a_target_may_be_the_name_of_a_model() -> None:
    agent = AgentTarget("clerk", "library")
    assert as_target("gpt-4.1") == ModelTarget("gpt-4.1")
    assert as_target(agent) is agent
    assert Settings(endpoint=AZURE, target="gpt-5").target == ModelTarget("gpt-5")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: as_target(3),  # type: ignore[arg-type]
            "The target is 3; it must be the name of a model",
        ),
        (lambda: ModelTarget(""), "ModelTarget.model is ''; it must be text, not empty"),
        (lambda: ModelTarget("m", profile=" "), "ModelTarget.profile is ' '"),
        (lambda: AgentTarget("clerk", ""), "AgentTarget.project is ''"),
        (
            lambda: AgentTarget("clerk", "library", version=3),  # type: ignore[arg-type]
            "AgentTarget.version is 3",
        ),
    ],
)
def test_a_target_needs_its_names(make: Any, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("target", "profile"),
    [
        *[(ModelTarget(name), "realtime") for name in ("gpt-realtime", "gpt-realtime-2.1-mini", "GPT-Realtime")],
        *[
            (ModelTarget(name), "realtime")
            for name in ("phi4-mm-realtime", "azure-realtime", "gpt-realtime-datazone")
        ],
        *[(ModelTarget(name), "cascade") for name in ("gpt-4.1", "gpt-4o-mini", "gpt-5", "phi4-mini")],
        (ModelTarget("mine", profile="byom-azure-openai-realtime"), "realtime"),
        (ModelTarget("my-realtime", profile="byom-azure-openai-chat-completion"), "cascade"),
        (AgentTarget("realtime", "realtime"), "cascade"),
    ],
)
def test_profiles(target: ModelTarget | AgentTarget, profile: str) -> None:
    assert profile_of(target) == profile


@pytest.mark.parametrize("name", ["version", "conversation_id", "foundry_resource_override"])
def test_a_classic_agent_has_no_newer_options(name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"classic=True and {name}, which a classic agent does not have"):
        AgentTarget("asst_1", "library", classic=True, **{name: "1"})


def test_models_of_ones_own_are_reached_in_one_of_three_ways() -> None:
    assert profile_of(ModelTarget("own", "byom-azure-openai-realtime")) == "realtime"
    assert profile_of(ModelTarget("own-realtime", "byom-azure-openai-chat-completion")) == "cascade"
    with pytest.raises(ConfigurationError, match=r"ModelTarget\.profile is 'byom'; it must be one of byom-azure"):
        ModelTarget("own", "byom")


def test_what_can_be_configured_depends_on_who_answers() -> None:
    assert backend_of(ModelTarget("gpt-4.1")) == Backend("gpt-4.1", realtime=False, agent=False)
    assert backend_of(ModelTarget("own", "byom-azure-openai-realtime")) == Backend(
        "own", realtime=True, agent=False
    )
    assert backend_of(AgentTarget("gpt-realtime", "library")) == Backend("", realtime=False, agent=True)


def test_another_resource_is_reached_by_a_named_identity() -> None:
    with pytest.raises(ConfigurationError, match="no authentication_identity_client_id"):
        AgentTarget("clerk", "library", foundry_resource_override="elsewhere")
    AgentTarget("clerk", "library", foundry_resource_override="elsewhere", authentication_identity_client_id="id")
    AgentTarget("clerk", "library", authentication_identity_client_id="id")
    with pytest.raises(ConfigurationError, match=r"AgentTarget\.classic is 'no'; it must be True or False"):
        AgentTarget("clerk", "library", classic="no")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "transcriber"),
    [
        (ModelTarget("gpt-realtime"), "whisper-1"),
        (ModelTarget("gpt-4o-realtime-preview"), "whisper-1"),
        (ModelTarget("own", "byom-azure-openai-realtime"), "whisper-1"),
        (ModelTarget("azure-realtime"), None),
        (ModelTarget("phi4-mm-realtime"), None),
        (ModelTarget("gpt-4.1"), None),
        (AgentTarget("gpt-realtime", "library"), None),
    ],
)
def test_only_realtime_models_of_openai_are_given_a_transcriber(
    target: ModelTarget | AgentTarget, transcriber: str | None
) -> None:
    assert default_transcription(target) == transcriber
