"""How configuration is written, as type checkers see it. Checked, never run."""

from __future__ import annotations

import dataclasses
from typing import assert_type

from azure.ai.voicelive import models
from azure.core.credentials import AzureKeyCredential
from azure.identity import DefaultAzureCredential as SyncDefaultAzureCredential
from azure.identity.aio import DefaultAzureCredential

from voicelive_agent.config import (
    AgentTarget,
    AvatarConfig,
    AzureSemanticVad,
    AzureStandardVoice,
    DefaultTurnDetection,
    EndOfUtteranceDetection,
    FunctionTool,
    InputAudioFormat,
    MCPServer,
    ServerVad,
    SessionConfig,
    Settings,
    StaticInterimResponse,
    Transcription,
    VideoParams,
    VideoResolution,
    from_env,
)

typed = SessionConfig(
    modalities=["text", "audio"],
    instructions="Be brief.",
    voice=AzureStandardVoice(name="en-US-AvaNeural", rate="1.2"),
    input_audio_format="pcm16",
    input_audio_sampling_rate=16_000,
    turn_detection=AzureSemanticVad(
        threshold=0.4, languages=["en"], end_of_utterance_detection=EndOfUtteranceDetection(threshold_level="high")
    ),
    input_audio_transcription=Transcription(model="azure-speech", language="en"),
    tools=[FunctionTool(name="f"), MCPServer(server_label="docs", server_url="https://a/mcp")],
    tool_choice="auto",
    max_response_output_tokens="inf",
    interim_response=StaticInterimResponse(texts=["One moment."], triggers=["tool"]),
    avatar=AvatarConfig(
        character="lisa",
        customized=False,
        video=VideoParams(codec="h264", resolution=VideoResolution(width=640, height=480)),
    ),
    metadata={"tenant": "library"},
)
plain = SessionConfig(
    voice="marin",
    turn_detection={"type": "server_vad"},
    tools=[{"type": "function", "name": "f"}],
    extra={"new": 1},
)
of_the_sdk = SessionConfig(
    voice=models.OpenAIVoice(name="alloy"),
    turn_detection=models.ServerVad(threshold=0.4),
    tools=[models.FunctionTool(name="f")],
    tool_choice=models.ToolChoiceFunctionSelection(name="f"),
)
push_to_talk = SessionConfig(turn_detection=None)
left_to_the_agent = SessionConfig(turn_detection=DefaultTurnDetection(), voice=None)

assert_type(SessionConfig.coerce({"instructions": "x"}), SessionConfig)
assert_type(SessionConfig.coerce(models.RequestSession(instructions="x")), SessionConfig)
assert_type(typed.input_audio_format, InputAudioFormat)
assert_type(dataclasses.replace(typed, instructions="y"), SessionConfig)

if isinstance(typed.turn_detection, ServerVad):
    assert_type(typed.turn_detection.silence_duration_ms, int | None)

assert_type(from_env(), Settings)
assert_type(Settings.from_env({}), Settings)
with_key = Settings(endpoint="https://a", credential="key", session=typed)
with_azure_key = Settings(endpoint="https://a", credential=AzureKeyCredential("key"))
with_identity = Settings(
    endpoint="https://a", credential=DefaultAzureCredential(), target=AgentTarget("clerk", "library")
)

SessionConfig(modalities=["txt"])  # type: ignore[list-item]
SessionConfig(input_audio_format="mp3")  # type: ignore[arg-type]
SessionConfig(turn_detection="server_vad")  # type: ignore[arg-type]
ServerVad(threshold="high")  # type: ignore[arg-type]
AzureStandardVoice()  # type: ignore[call-arg]
Settings(endpoint="https://a", credential=SyncDefaultAzureCredential())  # type: ignore[arg-type]
typed.instructions = "z"  # type: ignore[misc]
