"""What a conversation costs: CPU per second of full duplex, above a floor measured beside it.

    python tests/benchmarks/bench_conversation.py [SECONDS] [ROUNDS]

A server sends 100 ms of audio every 100 ms; each client sends 20 ms of microphone audio every 20 ms. The floor
only receives, decodes and appends (aiohttp, msgspec, pybase64). The SDK client is written as its samples are. The
agent is this whole library: state machine, ledger, pump, sink, events and hooks. Each client is a process that
holds 20 such sessions, since waking up a process for one of them costs more than the work; figures are for one
session. Clients take turns; medians. Then: behind 100 queued deltas, how long it takes to read all and silence
the sink.
"""

from __future__ import annotations

import asyncio
import base64
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import aiohttp
import anyio
import msgspec
import pybase64
from aiohttp import web

DELTA = base64.b64encode(bytes(4800)).decode()
BLOCK = bytes(960)
CLIENTS = ("floor", "sdk", "agent")
SESSIONS = 20
EVENT = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}


async def serve_session(request: web.Request) -> web.WebSocketResponse:
    """Talk without end, as one response."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.send_json({"type": "session.created", "event_id": "a", "session": {"id": "s"}})

    async def talk() -> None:
        await socket.send_json({"type": "response.created", "event_id": "b", "response": {"id": "r"}})
        due, number = asyncio.get_running_loop().time(), 0
        while not socket.closed:
            number += 1
            delta = {"type": "response.audio.delta", "event_id": f"e{number}", **EVENT, "delta": DELTA}
            await socket.send_json(delta)
            due += 0.1
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))

    talking: asyncio.Task[None] | None = None
    async for message in socket:
        if talking is None and '"session.update"' in message.data:
            await socket.send_json({"type": "session.updated", "event_id": "c", "session": {"id": "s"}})
            talking = asyncio.create_task(talk())
    if talking is not None:
        talking.cancel()
    return socket


# --- the clients ---


async def microphone(send: object, seconds: float) -> None:
    due = asyncio.get_running_loop().time()
    for _ in range(round(seconds * 50)):
        await send(BLOCK)  # type: ignore[operator]
        due += 0.02
        await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))


class Delta(msgspec.Struct):
    type: str
    delta: str = ""


async def floor(url: str, seconds: float) -> None:
    decode = msgspec.json.Decoder(Delta).decode
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{url}/voice-live/realtime") as socket:
        await socket.send_json({"type": "session.update", "session": {}})

        async def receive() -> None:
            async for message in socket:
                if (event := decode(message.data)).delta:
                    pybase64.b64decode(event.delta)

        async def send(block: bytes) -> None:
            text = pybase64.b64encode(block).decode()
            await socket.send_str('{"type":"input_audio_buffer.append","audio":"' + text + '"}')

        receiving = asyncio.create_task(receive())
        await microphone(send, seconds)
        receiving.cancel()


async def sdk(url: str, seconds: float) -> None:
    from azure.ai.voicelive.aio import connect
    from azure.core.credentials import AzureKeyCredential

    async with connect(endpoint=url, credential=AzureKeyCredential("k"), model="m") as connection:
        await connection.session.update(session={})  # type: ignore[arg-type]

        async def receive() -> None:
            async for event in connection:
                if event.type == "response.audio.delta":
                    event.delta  # noqa: B018

        async def send(block: bytes) -> None:
            await connection.input_audio_buffer.append(audio=base64.b64encode(block).decode())

        receiving = asyncio.create_task(receive())
        await microphone(send, seconds)
        receiving.cancel()


async def agent(url: str, seconds: float) -> None:
    from voicelive_agent import VoiceAgent
    from voicelive_agent.testing import MemorySink, MemorySource

    source = MemorySource(*[BLOCK] * round((seconds + 5) * 50))
    speaker = VoiceAgent(url, "k")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(speaker.run, source, MemorySink())
        await asyncio.sleep(seconds)
        speaker.stop()


async def many(client: Callable[[str, float], Awaitable[None]], url: str, seconds: float) -> None:
    """Hold the sessions, and print what one of them costs while all of them run."""
    async with anyio.create_task_group() as tasks:
        for _ in range(SESSIONS):
            tasks.start_soon(client, url, seconds + 2.5)
            await asyncio.sleep(0.02 / SESSIONS)  # their microphones are not in step
        await asyncio.sleep(1.5)
        before = cpu()
        await asyncio.sleep(seconds)
        print(f"{(cpu() - before) * 1000 / seconds / SESSIONS:.3f}")


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


# --- barge-in behind queued deltas, without a network: the step that the shell makes ---


def barge_in(trials: int) -> list[float]:
    from voicelive_agent import _wire as wire
    from voicelive_agent._conversation import Conversation
    from voicelive_agent._outputs import Play, StopPlayback
    from voicelive_agent._pcm import Converter
    from voicelive_agent._plan import Plan
    from voicelive_agent._pump import Pump
    from voicelive_agent._turn_detection import turn_policy
    from voicelive_agent.audio import AudioFormat
    from voicelive_agent.testing import MemorySink

    def say(kind: str, **fields: object) -> bytes:
        return json.dumps({"type": kind, **fields}).encode()

    took = []
    for _ in range(trials):
        conversation = Conversation(Plan(session={}, turns=turn_policy({})))
        sink = MemorySink()
        pump = Pump(sink, AudioFormat(), Converter(AudioFormat(), AudioFormat()), clock=time.monotonic, tell=print)
        begin = [say("session.updated", session={}), say("response.created", response={"id": "r"})]
        deltas = [say("response.audio.delta", **EVENT, delta=DELTA, event_id=str(n)) for n in range(100)]
        for data in begin:
            conversation.receive(wire.decode(data), pending=0, now=0.0)
        stop = say("input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)
        began = time.perf_counter()
        for data in [*deltas, stop]:  # all of it has arrived, and the loop reads it in one go
            for output in conversation.receive(wire.decode(data), pending=pump.pending, now=0.0):
                if isinstance(output, Play):
                    pump.play(output)
                elif isinstance(output, StopPlayback):
                    pump.stop()
        took.append((time.perf_counter() - began) * 1000)
        assert sink.flushes == 1
    return sorted(took)


# --- all of it ---


async def compare(seconds: float, rounds: int) -> None:
    app = web.Application()
    app.router.add_get("/voice-live/realtime", serve_session)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    results: dict[str, list[float]] = {client: [] for client in CLIENTS}
    for _ in range(rounds):
        for client in CLIENTS:
            process = await asyncio.create_subprocess_exec(
                sys.executable, __file__, "client", client, url, str(seconds), stdout=subprocess.PIPE
            )
            output, _ = await process.communicate()
            results[client].append(float(output.split()[0]))
    await runner.cleanup()
    base = statistics.median(results["floor"])
    for client, times in results.items():
        cost = statistics.median(times)
        print(f"{client:6} {cost:6.2f} ms CPU per second of conversation, {cost - base:+.2f} above the floor")


def main() -> None:
    if sys.argv[1:2] == ["client"]:
        client = {"floor": floor, "sdk": sdk, "agent": agent}[sys.argv[2]]
        asyncio.run(many(client, sys.argv[3], float(sys.argv[4])))
        return
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    asyncio.run(compare(seconds, int(sys.argv[2]) if len(sys.argv) > 2 else 3))
    took = barge_in(1_000)
    print(
        f"barge-in behind 100 deltas: p50 {took[500]:.2f} ms, p99 {took[990]:.2f} ms to a flushed sink, n = 1000"
    )


if __name__ == "__main__":
    main()
