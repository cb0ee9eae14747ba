"""How fast the emulator is, and how many sessions it serves in time.

    python tests/benchmarks/bench_emulator.py [--seconds 30] [--idle 100] [--talking 10] [--rounds 200]
        [--starts 5]  # --talking, --rounds, --starts 0: none of that

The server is a process of its own, the clients are another: with two cores, one each. Of the sessions that talk,
each sends its microphone in real time, 20 ms at once, and speaks for a second again and again; the answers come in
real time as well. An audio delta is due when those before it have sounded, counted from the earliest moment that
any delta of the answer allows; more than 20 ms after that it is late. That is taken where the server has sent it,
and again where the client has it. What hears, thinks and speaks is scripted: no speech packages are measured,
except in how long the command takes to load them.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import statistics
import subprocess
import sys
import time
from array import array
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from voicelive_agent.emulator import Options, ScriptedBrain, serve
from voicelive_agent.emulator.observers import ConnectionInfo
from voicelive_agent.emulator.speech import missing_packages

RATE = 24_000
LATE_MS = 20.0
ANSWER = "x" * 80
"""Which the scripted voice speaks in 4.8 seconds."""
DELTA = "response.audio.delta"
PATH = "/voice-live/realtime?api-version=2026-07-15&model=gpt-4.1"


def silence(seconds: float) -> bytes:
    return bytes(2 * int(seconds * RATE))


def speech(seconds: float) -> bytes:
    """Speech, to ears that hear loudness."""
    source = random.Random(1)
    return array("h", (source.randint(-6000, 6000) for _ in range(int(seconds * RATE)))).tobytes()


def sounds_s(delta: str) -> float:
    return len(delta) * 3 // 4 / 2 / RATE


def percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


# --- lateness -----------------------------------------------------------------------------------------------


@dataclass
class Answers:
    """When the deltas of each answer came, and how much had sounded by then if they had all been in time."""

    answers: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    _sounded: dict[str, float] = field(default_factory=dict)

    def came(self, event: Mapping[str, Any], now: float) -> None:
        """Take an event that has been sent, or received."""
        if event["type"] == DELTA:
            answer = event["response_id"]
            due = self._sounded.get(answer, 0.0)
            self.answers.setdefault(answer, []).append((now, due))
            self._sounded[answer] = due + sounds_s(event["delta"])

    def lateness_ms(self) -> Iterator[float]:
        """Of every delta."""
        for deltas in self.answers.values():
            begun = min(came - due for came, due in deltas)
            yield from ((came - due - begun) * 1000 for came, due in deltas)


def described(lateness_ms: Sequence[float]) -> str:
    if len(lateness_ms) < 2:
        return "too few deltas: more --seconds are needed"
    late = sum(each > LATE_MS for each in lateness_ms)
    worst, p99 = max(lateness_ms), percentile(lateness_ms, 99)
    return f"{late} of {len(lateness_ms)} deltas late, p99 {p99:.1f} ms, worst {worst:.1f} ms"


# --- the server's process -----------------------------------------------------------------------------------


class Watch:
    """Notes when the deltas were sent."""

    def __init__(self) -> None:
        self.answers = Answers()

    def opened(self, connection: ConnectionInfo, now: float) -> None:
        """Nothing to note."""

    def received(self, connection: ConnectionInfo, message: str | bytes, now: float) -> None:
        """Nothing to note."""

    def sent(self, connection: ConnectionInfo, event: Mapping[str, Any], now: float) -> None:
        """A delta may be among it."""
        self.answers.came(event, now)

    def closed(self, connection: ConnectionInfo, code: int | None, reason: str, now: float) -> None:
        """Nothing to note."""


async def serving(factor: float) -> None:
    """Serve until standard input ends. The URL is the first line said, the second one what was measured."""
    watch = Watch()
    options = Options(realtime_factor=factor)
    async with serve(brain=ScriptedBrain([("", ANSWER)]), options=options, observers=[watch]) as server:
        began, used = time.perf_counter(), time.process_time()
        print(json.dumps(server.url), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        cpu = (time.process_time() - used) / (time.perf_counter() - began)
        print(json.dumps({"cpu": cpu, "lateness_ms": list(watch.answers.lateness_ms())}), flush=True)


@dataclass
class Process:
    """A server in a process of its own; ``measured`` is what it says at its end."""

    url: str
    measured: dict[str, Any] = field(default_factory=dict)


@contextmanager
def server(factor: float) -> Iterator[Process]:
    command = [sys.executable, __file__, "--serve", str(factor)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        served = Process(json.loads(process.stdout.readline()))
        try:
            yield served
        finally:
            process.stdin.close()
            served.measured.update(json.loads(process.stdout.readline()))


# --- clients ------------------------------------------------------------------------------------------------


class Client:
    """A client of few words."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send(self, type: str, **fields: Any) -> None:
        await self._socket.send_str(json.dumps({"type": type, **fields}))

    async def append(self, pcm: bytes) -> None:
        await self.send("input_audio_buffer.append", audio=base64.b64encode(pcm).decode())

    async def receive(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(await self._socket.receive_str())
        return event

    async def until(self, kind: str) -> None:
        while (await self.receive())["type"] != kind:
            pass


@asynccontextmanager
async def connected(http: aiohttp.ClientSession, url: str) -> AsyncIterator[Client]:
    async with http.ws_connect(url + PATH, headers={"api-key": "any"}) as socket:
        client = Client(socket)
        await client.until("session.created")
        yield client


async def idle(http: aiohttp.ClientSession, url: str, ended: asyncio.Event) -> None:
    """Connected, and nothing more."""
    async with connected(http, url):
        await ended.wait()


async def talking(http: aiohttp.ClientSession, url: str, ended: asyncio.Event, answers: Answers) -> None:
    """Speak, listen to the answer, and speak again."""
    async with connected(http, url) as client:
        microphone = asyncio.create_task(_speak(client))
        listener = asyncio.create_task(_listen(client, answers))
        await ended.wait()
        for task in (microphone, listener):
            task.cancel()
        failed = await asyncio.gather(microphone, listener, return_exceptions=True)
        for each in failed:
            if not isinstance(each, asyncio.CancelledError) and isinstance(each, BaseException):
                raise each


async def _speak(client: Client) -> None:
    said = speech(1.0) + silence(0.8 + 5.2)
    size, loop = RATE // 50 * 2, asyncio.get_running_loop()
    due = loop.time()
    while True:
        for at in range(0, len(said), size):
            await client.append(said[at : at + size])
            due += 0.02
            await asyncio.sleep(due - loop.time())


async def _listen(client: Client, answers: Answers) -> None:
    loop = asyncio.get_running_loop()
    while True:
        event = await client.receive()
        answers.came(event, loop.time())


# --- what is measured ---------------------------------------------------------------------------------------


async def load(idlers: int, talkers: int, seconds: float) -> None:
    """Many sessions at once."""
    answers, ended = Answers(), asyncio.Event()
    with server(1.0) as process:
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
            asyncio.TaskGroup() as tasks,
        ):
            for _ in range(idlers):
                tasks.create_task(idle(http, process.url, ended))
            for _ in range(talkers):
                tasks.create_task(talking(http, process.url, ended, answers))
                await asyncio.sleep(seconds / 10 / talkers)  # people do not all speak at once
            await asyncio.sleep(seconds)
            ended.set()
    measured = process.measured
    print(f"{idlers} idle and {talkers} talking sessions, {seconds:.0f} s: {measured['cpu']:.0%} of a core")
    print(f"  as sent:     {described(measured['lateness_ms'])}")
    print(f"  as received: {described(list(answers.lateness_ms()))}")


async def latencies(rounds: int) -> None:
    """One session without a pace."""
    updates, turns = [], []
    with server(float("inf")) as process:
        async with aiohttp.ClientSession() as http, connected(http, process.url) as client:
            for _ in range(rounds):
                began = time.perf_counter()
                await client.send("session.update", session={"instructions": "Be brief."})
                await client.until("session.updated")
                updates.append((time.perf_counter() - began) * 1000)
            for _ in range(max(5, rounds // 10)):
                await client.append(silence(0.3) + speech(1.0))
                await client.until("input_audio_buffer.speech_started")
                await asyncio.sleep(0.05)  # until all of the speech was heard
                began = time.perf_counter()
                await client.append(silence(0.7))
                await client.until("response.done")
                turns.append((time.perf_counter() - began) * 1000)
    p50, p95 = (percentile(updates, percent) for percent in (50, 95))
    print(f"session.update to session.updated, {len(updates)} times: p50 {p50:.2f} ms, p95 {p95:.2f} ms")
    print(f"end of speech to response.done, {len(turns)} times: p50 {statistics.median(turns):.1f} ms")


def start_s(*options: str) -> float:
    """From the start of the command to the line that says where it listens."""
    command = [sys.executable, "-m", "voicelive_agent", "emulator", "--port", "0", *options]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith("Voice Live emulator at "):
                    return time.perf_counter() - began
        finally:
            process.terminate()
    raise RuntimeError(f"{' '.join(command)} ended without listening.")


def starts(count: int) -> None:
    """The command, with and without speech."""
    ways: dict[str, tuple[str, ...]] = {"scripted": ("--scripted",)}
    if missing_packages():
        print(f"start with speech: not measured, {', '.join(missing_packages())} not installed")
    else:
        ways["with speech"] = ()
    for name, options in ways.items():
        times = [start_s(*options) for _ in range(count)]
        print(f"start, {name}: median {statistics.median(times):.2f} s, worst {max(times):.2f} s")


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--idle", type=int, default=100)
    parser.add_argument("--talking", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--starts", type=int, default=5)
    given = parser.parse_args()
    if given.serve is not None:
        asyncio.run(serving(given.serve))
        return
    if given.talking:
        asyncio.run(load(given.idle, given.talking, given.seconds))
    if given.rounds:
        asyncio.run(latencies(given.rounds))
    if given.starts:
        starts(given.starts)


if __name__ == "__main__":
    main()
