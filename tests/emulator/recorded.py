"""A client program on the official SDK, to be recorded, replayed and proxied."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from azure.ai.voicelive import models
from azure.ai.voicelive.aio import VoiceLiveConnection, connect
from azure.core.credentials import AzureKeyCredential

from voicelive_agent.emulator import Call, EnergyEars, ScriptedBrain, serve
from voicelive_agent.emulator.observers import Observer
from voicelive_agent.emulator.recording import Recording, load_recording

from .driver import Event, noise, silence

KEY = "key-9f8e7d6c5b4a39281706f5e4d3c2b1a0"
RULES = [(r"weather in (\w+)", Call("get_weather", {"city": r"\1"}))]


@asynccontextmanager
async def connected(url: str, *, model: str = "gpt-4.1", **settings: Any) -> AsyncIterator[VoiceLiveConnection]:
    async with connect(endpoint=url, credential=AzureKeyCredential(KEY), model=model, **settings) as connection:
        yield connection


async def until(connection: VoiceLiveConnection, kind: str) -> list[Event]:
    """The events up to the next one of this type, as the SDK received them."""
    events: list[Event] = []
    async with asyncio.timeout(20):
        while not events or events[-1]["type"] != kind:
            events.append(json.loads(await connection.recv_bytes()))
    return events


async def append(connection: VoiceLiveConnection, pcm: bytes, *, piece: int = 4800) -> None:
    for at in range(0, len(pcm), piece):
        await connection.input_audio_buffer.append(audio=base64.b64encode(pcm[at : at + piece]).decode())


async def say(connection: VoiceLiveConnection, text: str, **item: Any) -> list[Event]:
    content: list[models.MessageContentPart] = [models.InputTextContentPart(text=text)]
    await connection.conversation.item.create(item=models.UserMessageItem(content=content, **item))
    await connection.response.create()
    return await until(connection, "response.done")


async def converse(
    url: str, *, instructions: str = "Be brief.", piece: int = 4800, city: str = "Rome", output: str = "Sunny."
) -> list[Event]:
    """A spoken turn, then a typed one that calls a function. Every event that came."""
    async with connected(url) as connection:
        events = await until(connection, "session.created")
        turn = models.ServerVad(threshold=0.5, prefix_padding_ms=300, silence_duration_ms=500)
        tool = models.FunctionTool(name="get_weather", parameters={"type": "object", "properties": {}})
        session = models.RequestSession(instructions=instructions, turn_detection=turn, tools=[tool])
        await connection.session.update(session=session)
        events += await until(connection, "session.updated")
        await append(connection, silence(0.5) + noise(0.7) + silence(0.8), piece=piece)
        events += await until(connection, "response.done")
        events += await say(connection, f"The weather in {city}?")
        calls = [event for event in events if event["type"] == "response.function_call_arguments.done"]
        for call in calls:
            item = models.FunctionCallOutputItem(call_id=call["call_id"], output=output)
            await connection.conversation.item.create(item=item)
        await connection.response.create()
        return events + await until(connection, "response.done")


@asynccontextmanager
async def emulator(*observers: Observer, **settings: Any) -> AsyncIterator[str]:
    """The endpoint of an emulator for :func:`converse`."""
    plugs = {"ears": EnergyEars(["what time is it"]), "brain": ScriptedBrain(RULES)}
    async with serve(observers=observers, **{**plugs, **settings}) as server:
        yield server.url
        async with asyncio.timeout(20):
            while server.connections:  # noqa: ASYNC110  the clients' good-byes are to be seen before the server's
                await asyncio.sleep(0.001)


def only_recording(folder: Path) -> Recording:
    [path] = folder.glob("*.jsonl")
    return load_recording(path)


def timeless(events: list[Event]) -> list[Event]:
    """Without the one thing that a replay changes: when the session expires."""
    kept = json.loads(json.dumps(events))
    for event in kept:
        event.get("session", {}).pop("expires_at", None)
    return list(kept)
