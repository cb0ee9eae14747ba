"""Clients that others wrote, in whole conversations: Microsoft's SDK, and OpenAI's package where it agrees."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args

import pytest
from azure.ai.voicelive import models
from azure.ai.voicelive.aio import VoiceLiveConnection, connect
from azure.core.credentials import AzureKeyCredential
from openai import AsyncOpenAI
from openai.resources.beta.realtime.realtime import AsyncRealtimeConnection as BetaConnection
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from pydantic import BaseModel, ValidationError
from websockets.exceptions import InvalidStatus

from voicelive_agent.emulator import Call, EnergyEars, Options, ScriptedBrain, Server, serve

from .driver import noise, silence

SERVER_EVENTS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data/events.json").read_text("utf-8"))[
    "server"
]
DOCUMENT = (Path(__file__).parents[2] / "docs/reference/emulator-differences.md").read_text("utf-8")
UNTYPED = {"conversation.item.done"}
"""Recorded with realtime models, and without a class in either package's flat protocol."""
VERSION = "2026-07-15"
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
BRAIN = ScriptedBrain(
    [(r"weather in (\w+)", Call("get_weather", {"city": r"\1"})), ("story", "Once upon a time. " * 20)]
)
WORDS = ["what is the weather in Rome", "thank you", "this is one turn"]
SPOKEN = silence(0.5) + noise(1.0) + silence(0.8)
LIMIT_S = 30


def pieces(pcm: bytes) -> list[str]:
    """Audio as it is sent: base64, 100 ms each."""
    return [base64.b64encode(pcm[at : at + 4800]).decode() for at in range(0, len(pcm), 4800)]


# --- azure-ai-voicelive ------------------------------------------------------------------------------------


class Caller:
    """A person at the SDK. Every event is looked at: its class, and the fields that the SDK requires."""

    def __init__(self, connection: VoiceLiveConnection) -> None:
        self.connection = connection

    async def until(self, *kinds: str) -> list[models.ServerEvent]:
        """The events up to the next one of these types."""
        events: list[models.ServerEvent] = []
        async with asyncio.timeout(LIMIT_S):
            while not events or events[-1].type not in kinds:
                events.append(await self.connection.recv())
                check_typed(events[-1])
        return events

    async def next(self, kind: str) -> Any:
        return (await self.until(kind))[-1]

    async def hear(self, pcm: bytes) -> None:
        for audio in pieces(pcm):
            await self.connection.input_audio_buffer.append(audio=audio)

    async def ask(self, text: str, **response: Any) -> list[models.ServerEvent]:
        """A typed turn."""
        await self.type(text)
        await self.connection.response.create(**response)
        return await self.until("response.done")

    async def type(self, text: str) -> None:
        content: list[models.MessageContentPart] = [models.InputTextContentPart(text=text)]
        await self.connection.conversation.item.create(item=models.UserMessageItem(content=content))


def check_typed(event: models.ServerEvent) -> None:
    """The SDK knows the event, and can read all that it says an event of this type has."""
    if event.type in UNTYPED:
        return
    known = SERVER_EVENTS[event.type]
    assert type(event).__name__ == known["sdk_class"]
    missing = [name for name in known["required"] if event.get(name) is None]
    assert not missing, f"{event.type}: {missing}"
    for name in known["required"] + known["optional"]:
        getattr(event, name)


def one(events: list[models.ServerEvent], kind: str) -> Any:
    found = [event for event in events if event.type == kind]
    assert len(found) == 1, f"{len(found)} x {kind} in {[event.type for event in events]}"
    return found[0]


@asynccontextmanager
async def calling(server: Server, model: str) -> AsyncIterator[Caller]:
    async with connect(endpoint=server.url, credential=AzureKeyCredential("any"), model=model) as connection:
        caller = Caller(connection)
        await caller.next("session.created")
        yield caller


@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-realtime"])
async def test_a_whole_conversation_with_the_sdk(model: str) -> None:
    options = Options(realtime_factor=1.0)  # so that there is an answer to interrupt
    async with (
        serve(ears=EnergyEars(WORDS), brain=BRAIN, options=options) as server,
        calling(server, model) as caller,
    ):
        await configured(caller, transcriber_of(model))
        await a_spoken_turn_calls_a_function(caller)
        await a_story_is_interrupted_and_truncated(caller, refused=model == "gpt-4.1")
        await a_turn_is_written(caller)
        await a_turn_is_committed_by_hand(caller)
        await mistakes_are_answered(caller)


def transcriber_of(model: str) -> str:
    return "whisper-1" if "realtime" in model else "azure-speech"


async def configured(caller: Caller, transcriber: str) -> None:
    session = models.RequestSession(
        instructions="Be brief.",
        modalities=[models.Modality.TEXT, models.Modality.AUDIO],
        turn_detection=models.ServerVad(threshold=0.5, prefix_padding_ms=300, silence_duration_ms=500),
        input_audio_transcription=models.AudioInputTranscriptionOptions(model=transcriber),
        tools=[models.FunctionTool(name="get_weather", parameters=WEATHER)],
    )
    await caller.connection.session.update(session=session)
    updated = await caller.next("session.updated")
    assert updated.session.instructions == "Be brief."
    assert isinstance(updated.session.turn_detection, models.ServerVad)
    assert [tool.name for tool in updated.session.tools] == ["get_weather"]


async def a_spoken_turn_calls_a_function(caller: Caller) -> None:
    await caller.hear(SPOKEN)
    events = await caller.until("response.done")
    begun = one(events, "input_audio_buffer.speech_started")
    assert one(events, "input_audio_buffer.committed").item_id == begun.item_id
    call = one(events, "response.function_call_arguments.done")
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Rome"})
    output = models.FunctionCallOutputItem(call_id=call.call_id, output="Sunny.")
    await caller.connection.conversation.item.create(item=output)
    await caller.connection.response.create()
    events = await caller.until("response.done")
    assert one(events, "response.audio_transcript.done").transcript == "Sunny."
    assert all(event.delta for event in events if isinstance(event, models.ServerEventResponseAudioDelta))
    done = one(events, "response.done").response
    assert (done.status, done.usage.output_tokens > 0) == (models.ResponseStatus.COMPLETED, True)


async def a_story_is_interrupted_and_truncated(caller: Caller, *, refused: bool) -> None:
    await caller.type("Tell me a story")
    await caller.connection.response.create()
    delta = await caller.next("response.audio.delta")
    await caller.hear(SPOKEN)
    events = await caller.until("response.done")
    assert one(events, "input_audio_buffer.speech_started")
    done = one(events, "response.done").response
    assert done.status == models.ResponseStatus.CANCELLED
    assert done.status_details.reason == "turn_detected"
    await caller.until("response.done")  # the answer to what was said instead
    truncate = caller.connection.conversation.item.truncate
    await truncate(item_id=delta.item_id, content_index=0, audio_end_ms=100)
    if refused:
        assert (await caller.next("error")).error.type == "invalid_request_error"
    else:
        assert (await caller.next("conversation.item.truncated")).audio_end_ms == 100


async def a_turn_is_written(caller: Caller) -> None:
    wanted = models.ResponseCreateParams(modalities=[models.Modality.TEXT], metadata={"turn": "written"})
    events = await caller.ask("Good bye", response=wanted)
    assert one(events, "response.text.done").text == "I heard: Good bye"
    assert not [event for event in events if event.type.startswith("response.audio")]
    assert one(events, "response.done").response.metadata == {"turn": "written"}


async def a_turn_is_committed_by_hand(caller: Caller) -> None:
    session = models.RequestSession(modalities=[models.Modality.TEXT])
    session["turn_detection"] = None
    await caller.connection.session.update(session=session)
    assert (await caller.next("session.updated")).session.turn_detection is None
    await caller.hear(noise(0.5))
    await caller.connection.input_audio_buffer.clear()
    await caller.next("input_audio_buffer.cleared")
    await caller.hear(noise(0.5))
    await caller.connection.input_audio_buffer.commit()
    committed = await caller.next("input_audio_buffer.committed")
    completed = await caller.next("conversation.item.input_audio_transcription.completed")
    assert (completed.item_id, completed.transcript) == (committed.item_id, "this is one turn")
    await caller.connection.response.create()
    events = await caller.until("response.done")
    assert one(events, "response.text.done").text == "I heard: this is one turn"


async def mistakes_are_answered(caller: Caller) -> None:
    """Each with an error event of its own, and the conversation goes on."""
    connection = caller.connection
    await connection.input_audio_buffer.commit(event_id="mine")
    error = (await caller.next("error")).error
    assert (error.code, error.event_id) == ("input_audio_buffer_commit_empty", "mine")
    await connection.response.cancel()
    assert (await caller.next("error")).error.code == "response_cancel_not_active"
    await connection.conversation.item.retrieve(item_id="nowhere")
    assert (await caller.next("error")).error.code == "item_retrieve_invalid_item_id"
    await connection.send({"type": "nonsense"})
    assert (await caller.next("error")).error.param == "type"
    assert one(await caller.ask("Still there?"), "response.text.done").text == "I heard: Still there?"


# --- openai: the flat ("beta") protocol --------------------------------------------------------------------

FLAT_DISAGREES = {
    ("conversation.item.input_audio_transcription.completed", "usage"),
    ("response.created", "voice"),
    ("response.done", "voice"),
    ("session.created", "model"),
    ("session.created", "voice"),
    ("session.updated", "model"),
    ("session.updated", "voice"),
}
"""Fields that are not what OpenAI's own models require: recordings of the service have them so."""


def test_the_documentation_has_these_fields() -> None:
    section = DOCUMENT.split("## Clients of OpenAI's Realtime API\n")[1]
    assert set(re.findall(r"^\| `([\w.]+)` \| `(\w+)` \| .+ \|$", section, re.M)) == FLAT_DISAGREES


class OpenAICaller:
    """A person at OpenAI's package; ``disagreements`` are fields that its models do not allow."""

    def __init__(self, connection: BetaConnection | AsyncRealtimeConnection) -> None:
        self.connection = connection
        self.disagreements: set[tuple[str, str]] = set()
        self.unknown: set[str] = set()

    async def until(self, *kinds: str) -> list[Any]:
        """The events up to the next one of these types; only those the package knows are looked at."""
        events: list[Any] = []
        async with asyncio.timeout(LIMIT_S):
            while not events or events[-1].type not in kinds:
                raw = await self.connection.recv_bytes()
                events.append(self.connection.parse_event(raw))
                self._check(events[-1], raw)
        return events

    def _check(self, event: BaseModel, raw: bytes) -> None:
        kind = json.loads(raw)["type"]
        if get_args(type(event).model_fields["type"].annotation) != (kind,):
            self.unknown.add(kind)
            return
        try:
            type(event).model_validate_json(raw)
        except ValidationError as error:
            self.disagreements |= {(kind, field_of(each["loc"])) for each in error.errors()}

    async def ask(self, text: str, **response: Any) -> list[Any]:
        await self.connection.send(typed(text))
        message: Any = {"type": "response.create", **({"response": response} if response else {})}
        await self.connection.send(message)
        return await self.until("response.done", "error")


def field_of(location: tuple[int | str, ...]) -> str:
    """The name of the field; what else is in a location are the classes that were tried."""
    return next((str(name) for name in location if str(name) not in ("session", "response")), "")


def typed(text: str) -> Any:
    content = [{"type": "input_text", "text": text}]
    return {"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": content}}


@asynccontextmanager
async def openai_client(server: Server) -> AsyncIterator[AsyncOpenAI]:
    """OpenAI's client, of which only the base URL is not as usual; it adds ``/realtime`` to that."""
    base = server.url.replace("http", "ws", 1) + "/voice-live"
    async with AsyncOpenAI(api_key="any", websocket_base_url=base) as client:
        yield client


@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-realtime"])
async def test_a_whole_conversation_with_openais_flat_client(model: str) -> None:
    async with serve(ears=EnergyEars(WORDS), brain=BRAIN) as server, openai_client(server) as client:
        async with client.beta.realtime.connect(model=model, extra_query={"api-version": VERSION}) as connection:
            caller = OpenAICaller(connection)
            await caller.until("session.created")
            await connection.session.update(
                session={
                    "instructions": "Be brief.",
                    "modalities": ["text", "audio"],
                    "turn_detection": {"type": "server_vad", "silence_duration_ms": 500},
                    "input_audio_transcription": {"model": transcriber_of(model)},
                    "tools": [{"type": "function", "name": "get_weather", "parameters": WEATHER}],
                }
            )
            updated = (await caller.until("session.updated"))[-1].session
            assert (updated.instructions, updated.turn_detection.silence_duration_ms) == ("Be brief.", 500)
            await flat_turns(caller, connection)
            assert caller.unknown <= UNTYPED
            assert caller.disagreements == FLAT_DISAGREES


async def flat_turns(caller: OpenAICaller, connection: BetaConnection) -> None:
    """A spoken turn that calls a function, its answer aloud, a written turn, and a mistake."""
    for audio in pieces(SPOKEN):
        await connection.input_audio_buffer.append(audio=audio)
    events = await caller.until("response.done")
    call = next(event for event in events if event.type == "response.function_call_arguments.done")
    assert json.loads(call.arguments) == {"city": "Rome"}
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny."}
    await connection.conversation.item.create(item=output)
    await connection.response.create()
    events = await caller.until("response.done")
    spoken = "".join(event.delta for event in events if event.type == "response.audio_transcript.delta")
    assert spoken == "Sunny."
    assert b"".join(base64.b64decode(event.delta) for event in events if event.type == "response.audio.delta")
    events = await caller.ask("Good bye", modalities=["text"])
    assert next(event for event in events if event.type == "response.text.done").text == "I heard: Good bye"
    assert events[-1].response.status == "completed"
    await connection.response.cancel()
    assert (await caller.until("error"))[-1].error.code == "response_cancel_not_active"


# --- openai: the nested ("GA") protocol, which Voice Live does not speak ------------------------------------

NESTED_UNKNOWN = {
    "response.audio.delta",
    "response.audio.done",
    "response.audio_transcript.delta",
    "response.audio_transcript.done",
    "response.text.delta",
    "response.text.done",
}
"""What OpenAI's nested protocol calls ``response.output_audio.delta`` and so on."""


@asynccontextmanager
async def nested(server: Server) -> AsyncIterator[tuple[OpenAICaller, AsyncRealtimeConnection]]:
    async with openai_client(server) as client:
        query: Mapping[str, str] = {"api-version": VERSION}
        async with client.realtime.connect(model="gpt-realtime", extra_query=dict(query)) as connection:
            caller = OpenAICaller(connection)
            await caller.until("session.created")
            yield caller, connection


async def test_openais_nested_session_is_refused_by_name() -> None:
    async with serve() as server, nested(server) as (caller, connection):
        await connection.session.update(session={"type": "realtime", "instructions": "Be brief."})
        assert (await caller.until("error"))[-1].error.param == "session.type"
        await connection.response.create(response={"output_modalities": ["text"]})
        assert (await caller.until("error"))[-1].error.param == "response.output_modalities"


async def test_openais_nested_client_gets_the_flat_names() -> None:
    async with serve() as server, nested(server) as (caller, connection):
        flat: Any = {"type": "session.update", "session": {"instructions": "Be brief."}}
        await connection.send(flat)
        assert (await caller.until("session.updated"))[-1].session.instructions == "Be brief."
        await connection.conversation.item.create(item=typed("Hello")["item"])
        await connection.response.create()
        assert (await caller.until("response.done"))[-1].response.status == "completed"
        await caller.ask("Good bye", modalities=["text"])
        assert caller.unknown == NESTED_UNKNOWN


async def test_openais_client_cannot_leave_the_api_version_out() -> None:
    async with serve() as server, openai_client(server) as client:
        with pytest.raises(InvalidStatus, match="400"):
            async with client.beta.realtime.connect(model="gpt-4.1"):
                pass
