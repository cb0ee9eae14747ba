"""The objects inside a session: what they refuse beyond the type of a single field, and what they keep quiet."""

from __future__ import annotations

from typing import Any

import pytest

from voicelive_agent._session_fields import Part
from voicelive_agent._session_parts import (
    AvatarConfig,
    Background,
    EchoCancellation,
    IceServer,
    LlmInterimResponse,
    MCPServer,
    NoiseReduction,
    Scene,
    StaticInterimResponse,
    Transcription,
    VideoCrop,
    VideoParams,
    VideoResolution,
)
from voicelive_agent._voices import OPENAI_VOICES, AzureStandardVoice, OpenAIVoice, voice_named
from voicelive_agent.errors import ConfigurationError

SERVER: dict[str, Any] = {"server_label": "a", "server_url": "https://a.example/mcp"}


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (
            Background,
            {"color": "#00ff00ff", "image_url": "https://a/b.png"},
            "Background has both color and image_url",
        ),
        (AvatarConfig, {"character": "a", "customized": False, "type": "photo-avatar"}, "needs model='vasa-1'"),
        (
            AvatarConfig,
            {"character": "", "customized": False},
            "AvatarConfig.character is ''; it must be text not empty",
        ),
        (VideoCrop, {"top_left": [0], "bottom_right": [1, 1]}, "exactly two numbers, x and y"),
        (VideoCrop, {"top_left": [0, -1], "bottom_right": [1, 1]}, "VideoCrop.top_left[1] is -1"),
        (
            VideoResolution,
            {"width": 0, "height": 1},
            "VideoResolution.width is 0; it must be a whole number 1 or more",
        ),
        (VideoParams, {"codec": "h265"}, "it must be 'h264' or None"),
        (Scene, {"zoom": 0}, "Scene.zoom is 0; it must be a number more than 0"),
        (Scene, {"position_x": 1.1}, "between -1 and 1"),
        (Scene, {"rotation_z": 3.2}, "between -3.14159 and 3.14159"),
        (Scene, {"amplitude": 0}, "more than 0 and at most 1"),
        (EchoCancellation, {"channels": 3}, "between 1 and 2"),
        (EchoCancellation, {"reference_source": "cliend"}, "Did you mean 'client'?"),
        (NoiseReduction, {"type": "deep"}, "one of 'azure_deep_noise_suppression', 'near_field', 'far_field'"),
        (Transcription, {"model": "azure-speech", "phrase_list": ["a"] * 500}, "of fewer than 500 phrases"),
        (MCPServer, {**SERVER, "require_approval": "ever"}, "Did you mean 'never'?"),
        (
            MCPServer,
            {**SERVER, "server_url": "a.example/mcp"},
            "it must be text that begins with http:// or https:// and a host",
        ),
        (MCPServer, {**SERVER, "server_url": "https:///mcp"}, "it must be text that begins with http"),
        (MCPServer, {**SERVER, "server_url": "https://a/mcp\n"}, "it must be text that begins with http"),
        (MCPServer, {**SERVER, "allowed_tools": []}, "with at least one"),
        (MCPServer, {**SERVER, "authorization": "token\n"}, "MCPServer.authorization is of type str; it must"),
        (MCPServer, {**SERVER, "headers": {"x-key": "a\r\nb: c"}}, "MCPServer.headers['x-key'] is of type str"),
        (MCPServer, {**SERVER, "authorization": "a", "headers": {"Authorization": "b"}}, "has two values of"),
        (MCPServer, {**SERVER, "require_approval": {"ever": ["x"]}}, "MCPServer.require_approval has 'ever'"),
        (MCPServer, {**SERVER, "require_approval": {"never": ["x"], "always": ["x"]}}, "has 'x' under"),
        (
            MCPServer,
            {**SERVER, "allowed_tools": ["a"], "require_approval": {"never": ["x"]}},
            "MCPServer.allowed_tools does not have 'x'",
        ),
        (StaticInterimResponse, {"texts": []}, "StaticInterimResponse.texts"),
        (StaticInterimResponse, {"texts": [" "]}, "StaticInterimResponse.texts[0] is ' '"),
        (StaticInterimResponse, {"texts": ["Hm."], "triggers": []}, "with at least one"),
        (StaticInterimResponse, {"texts": ["Hm."], "triggers": ["boredom"]}, "one of 'latency', 'tool'"),
        (LlmInterimResponse, {"latency_threshold_ms": -1}, "0 ms or more"),
        (LlmInterimResponse, {"max_completion_tokens": 0}, "1 or more"),
    ],
)
def test_refuses(kind: type[Part], fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        kind(**fields)
    assert message in str(caught.value)


def test_takes_what_is_just_allowed() -> None:
    assert Background(color="#00ff00ff").to_dict() == {"color": "#00ff00ff"}
    assert Background(image_url="https://a/b.png").to_dict() == {"image_url": "https://a/b.png"}
    photo = AvatarConfig(character="anika", customized=False, type="photo-avatar", model="vasa-1")
    assert photo.to_dict()["model"] == "vasa-1"
    assert VideoCrop(top_left=[0, 0], bottom_right=[640, 480]).to_dict()["bottom_right"] == [640, 480]
    assert Scene(zoom=0.01, position_x=-1, rotation_x=3.14, amplitude=1).amplitude == 1
    tools = MCPServer(**SERVER, allowed_tools=["x"], require_approval={"never": ["x"]})
    assert tools.to_dict()["require_approval"] == {"never": ["x"]}


def test_secrets_are_sent_but_not_shown() -> None:
    server = MCPServer(**SERVER, authorization="s3cret", headers={"x-key": "s3cret"})
    ice = IceServer(urls=["turn:a"], username="u", credential="s3cret")
    for part in (server, ice):
        assert "s3cret" in str(part.to_dict())
        assert "s3cret" not in repr(part)


@pytest.mark.parametrize("name", sorted(OPENAI_VOICES))
def test_openais_names_mean_openai(name: str) -> None:
    assert voice_named(name) == OpenAIVoice(name=name)


@pytest.mark.parametrize("name", ["en-US-AvaNeural", "en-US-Ava:DragonHDLatestNeural", "Alloy"])
def test_every_other_name_means_azure(name: str) -> None:
    assert voice_named(name) == AzureStandardVoice(name=name)
