"""Sessions that together make the emulator say all it can. Used wherever every event has to be looked at."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from voicelive_agent.emulator import Action, Call, EnergyEars, Options, Say, ScriptedBrain, Transcript, Turn
from voicelive_agent.emulator._mcp import McpError, McpResult, McpServer, McpTool
from voicelive_agent.emulator.protocols import Annotate, Fail, Invocation, Search

from .driver import Driver, Event, noise, silence

OFFER = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n"
AVATAR = {"character": "lisa", "customized": False}


class SometimesDeaf(EnergyEars):
    """Ears that fail at one word."""

    def transcribe(self, pcm: bytes, *, language: str | None = None) -> Transcript:
        heard = super().transcribe(pcm, language=language)
        if heard.text == "deaf":
            raise RuntimeError("deaf")
        return heard


class Hosted:
    """A brain with the service's own tools, which says where it read what; it fails at the word "fail"."""

    def answer(self, turn: Turn) -> Iterator[Action]:
        if turn.instructions == "fail":
            yield Fail("The model is not available.")
        yield Search("web", ["tides"])
        yield Search("file", ["tides"])
        yield Say("High water is at noon.")
        yield Annotate({"type": "url_citation", "url": "https://example.com"})
        yield Invocation({"type": "custom"})


def conversation(model: str) -> list[Event]:
    """Spoken, typed and manual turns, calls, interruptions, items, and what is refused."""
    driver = Driver(
        model=model,
        ears=SometimesDeaf(["hello", "deaf", "call"]),
        brain=ScriptedBrain(
            [("call", ["One moment.", Call("look", {"a": 1}), Call("look", {})]), ("", "Yes. " * 9)]
        ),
        options=Options(realtime_factor=2.0, refuse_truncation=False, unknown_call="accept"),
    )
    hearing = {"model": "whisper-1" if "realtime" in model else "azure-speech"}
    driver.update(modalities=["text", "audio"], input_audio_transcription=hearing)
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


def hosted_tools() -> list[Event]:
    """The service's own tools, an annotation, an invocation, and a failed response."""
    driver = Driver(brain=Hosted())
    driver.say("When is high water?")
    driver.say("And now?", instructions="fail")
    return driver.events


def face() -> list[Event]:
    """Word timestamps, visemes and blendshapes."""
    driver = Driver()
    driver.update(output_audio_timestamp_types=["word"], animation={"outputs": ["viseme_id", "blendshapes"]})
    driver.say("Hello")
    return driver.events


def avatar(protocol: str) -> list[Event]:
    """An avatar that is connected (or has its video on the WebSocket) and speaks."""
    driver = Driver()
    driver.update(avatar={**AVATAR, "output_protocol": protocol})
    offer = json.dumps({"type": "offer", "sdp": OFFER}).encode()
    driver.ask("session.avatar.connect", client_sdp=base64.b64encode(offer).decode())
    driver.say("Hello")
    return driver.events


def agent() -> list[Event]:
    """A Foundry agent."""
    driver = Driver(model="", query={"agent-name": "librarian", "agent-project-name": "city"})
    driver.say("Hello")
    return driver.events


class Tools:
    """An MCP server with one tool, which works once."""

    def __init__(self) -> None:
        self._worked = False

    def list_tools(self, server: McpServer) -> Sequence[McpTool]:
        if server.label == "gone":
            raise McpError("connection refused")
        return [McpTool("look")]

    def call(self, server: McpServer, name: str, arguments: Mapping[str, Any]) -> McpResult:
        self._worked, failed = True, self._worked
        return McpResult("nothing there", failed=failed)


def mcp() -> list[Event]:
    """Two MCP servers, of which one cannot be reached, and a tool that works once."""
    driver = Driver(brain=ScriptedBrain([("look", Call("look", {"a": 1}))]), mcp=Tools())
    url = "https://example.com"
    tools = [
        {"type": "mcp", "server_label": label, "server_url": url, "require_approval": "never"}
        for label in ("there", "gone")
    ]
    driver.update(tools=tools)
    for _ in range(2):
        driver.say("Please look")
    return driver.events


def without_effect() -> list[Event]:
    """Noise reduction that azure-speech does not use."""
    return Driver().update(input_audio_noise_reduction={"type": "far_field"})


SCENARIOS: Mapping[str, Callable[[], list[Event]]] = {
    "conversation, cascade": partial(conversation, "gpt-4.1"),
    "conversation, realtime": partial(conversation, "gpt-realtime"),
    "hosted tools": hosted_tools,
    "face": face,
    "avatar, webrtc": partial(avatar, "webrtc"),
    "avatar, websocket": partial(avatar, "websocket"),
    "agent": agent,
    "mcp": mcp,
    "without effect": without_effect,
}
