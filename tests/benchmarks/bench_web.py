"""The web app as a person lives it: Chromium in front of the page, and the service behind the server.

    python -m tests.benchmarks.bench_web [--turns 30] [--starts 100] [--visitors 50]  # 0: none of that

Run it in the project's directory. The web app is a process of its own; the emulated service, and what drives the
browser, are another. Taps are put in before the page's scripts (tests/browser/taps.js): on every microphone track,
and on everything that is connected to an AudioContext's destination. Times are those at which a script could first
have a block of the microphone, those at which the audio thread rendered a block for the speaker, and those of the
messages at the service. Echo cancellation is off while it is measured.

Any other page can be measured in the same way, if its server talks to the endpoint that is printed:

    python -m tests.benchmarks.bench_web --url http://localhost:8000/ --start '#start' --stop '#stop' \\
        --ready "document.querySelector('#status').textContent.includes('ready')" --port 8999

Fifty visitors are protocol-level clients: as many browsers would measure the machine, not the server.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import math
import os
import statistics
import sys
import tempfile
import time
from array import array
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from numpy.typing import NDArray

from voicelive_agent import VoiceAgent
from voicelive_agent.emulator import EmulatorSession, EnergyEars, Options, ScriptedBrain, Server, serve
from voicelive_agent.web import WebLimits, create_app
from voicelive_agent.web.aiohttp_app import serving

from ..browser.chromium import chromium, recording, silence
from ..browser.site import PitchVoice
from ..browser.visitor import Sound, Visitor, visitor

RATE = 24_000
LOUD = 1_000
TALK_S, PAUSE_S = 0.6, 2.4
"""Of the person: every word is an interruption of the answer to the one before."""
LONG = "x" * 200  # an answer of 12 s
CHUNK_S, REPORT_S = 0.02, 0.05


# --- the page ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Adapter:
    """How to work a page: what to press, and what is true when it is ready."""

    url: str
    start: str = "#main"
    stop: str = "#main"
    ready: str = "document.body.dataset.state === 'ready'"

    async def open(self, person: Visitor) -> float:
        """Press Start and wait until it is ready; milliseconds."""
        script = """([start, ready]) => new Promise((resolve) => {
            const isReady = new Function(`return ${ready}`), began = performance.now();
            document.querySelector(start).click();
            const timer = setInterval(() => {
                if (!isReady()) return;
                clearInterval(timer);
                resolve(performance.now() - began);
            }, 1);
        })"""
        return float(await person.page.evaluate(script, [self.start, self.ready]))

    async def close(self, person: Visitor) -> None:
        await person.page.click(self.stop)


# --- the service -------------------------------------------------------------------------------------------------


@dataclass
class Spy:
    """What one session got and sent, with Unix times in seconds."""

    heard: list[tuple[float, bytes]] = field(default_factory=list)
    sent: list[tuple[float, str]] = field(default_factory=list)

    def times(self, kind: str) -> NDArray[np.float64]:
        return np.array([at for at, sent in self.sent if sent == kind])


class Service(EmulatorSession):
    """Notes when what was heard and sent; ``late`` deltas follow when the person interrupts an answer.

    ``deaf``: what it hears is thrown away, so that many sessions cost little here.
    """

    def __init__(self, spy: Spy, late: int, deaf: bool, **more: Any) -> None:
        super().__init__(**more)
        self._spy = spy
        self._late = late
        self._deaf = deaf
        self._delta: dict[str, Any] | None = None  # the latest of the open answer

    def receive(self, text: str | bytes, now: float) -> None:
        if self._deaf and '"input_audio_buffer.append"' in str(text):
            return
        message = json.loads(text)
        if message["type"] == "input_audio_buffer.append":
            self._spy.heard.append((time.time(), base64.b64decode(message["audio"])))
        super().receive(text, now)

    def poll(self, now: float) -> list[dict[str, Any]]:
        events = []
        for event in super().poll(now):
            kind = event["type"]
            events.append(event)
            self._spy.sent.append((time.time(), kind))
            if kind == "response.audio.delta":
                self._delta = event
            elif kind == "response.created":
                self._delta = None
            elif kind == "input_audio_buffer.speech_started" and self._delta is not None:
                events += [{**self._delta, "event_id": f"late_{i}"} for i in range(self._late)]
        return events


@asynccontextmanager
async def service(
    *, options: Options | None = None, late: int = 0, deaf: bool = False, port: int = 0
) -> AsyncIterator[tuple[Server, list[Spy]]]:
    """The emulated service, and a spy for each of its sessions."""
    spies: list[Spy] = []
    ears, voice = EnergyEars(), PitchVoice()
    brain = ScriptedBrain([(".", LONG)])

    def make(model: str, query: Any) -> EmulatorSession:
        spies.append(Spy())
        plugs = {"ears": ears, "brain": brain, "voice": voice}
        return Service(spies[-1], late, deaf, model=model, query=query, options=options, **plugs)

    async with serve(port=port, make_session=make) as server:
        yield server, spies


# --- our own page ------------------------------------------------------------------------------------------------


async def serve_page(endpoint: str, greet: bool) -> None:
    """The process that is measured. ``greet``: every agent tells a long story, in a pitch of its own."""
    number = 0

    def agent() -> VoiceAgent:
        nonlocal number
        number += 1
        return VoiceAgent(endpoint, "key", greeting=f"[{200 + 100 * number}]{LONG}" if greet else None)

    limits = WebLimits(sessions=200, sessions_per_address=200)
    async with serving(create_app(agent, limits=limits), "127.0.0.1", 0) as url:
        print(url, flush=True)
        await asyncio.Event().wait()


@asynccontextmanager
async def our_page(endpoint: str, *more: str) -> AsyncIterator[tuple[str, int]]:
    """The web app in a process of its own: its URL and its process id."""
    command = (sys.executable, "-m", "tests.benchmarks.bench_web", "--serve", endpoint, *more)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip(), process.pid
    finally:
        process.terminate()
        await process.wait()


# --- figures -----------------------------------------------------------------------------------------------------


def percentile(values: Sequence[float], part: float) -> float:
    return sorted(values)[max(0, math.ceil(len(values) * part) - 1)]


def report(name: str, values: Sequence[float], median: float, p95: float, unit: str = "ms") -> None:
    """One line: the figures, what they should be, and whether they are."""
    if not values:
        print(f"{name:58} nothing was measured: MISSED", flush=True)
        return
    got = statistics.median(values), percentile(values, 0.95)
    verdict = "ok" if got[0] <= median and got[1] <= p95 else "MISSED"
    figures = f"{got[0]:7.1f} / {got[1]:7.1f} {unit}"
    print(f"{name:58} {figures}   aim {median:g} / {p95:g}   n = {len(values):3}   {verdict}", flush=True)


def onsets(samples: NDArray[np.int16], rate: int) -> NDArray[np.intp]:
    """Where it becomes loud after 100 ms of quiet."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > LOUD)
    return loud[np.diff(loud, prepend=-rate) > rate // 10] if len(loud) else loud


def holes(sound: Sound) -> int:
    """How often an answer was silent for 2 to 100 ms."""
    loud = np.flatnonzero(np.abs(sound.samples.astype(np.int32)) > LOUD)
    gaps = np.diff(loud) * 1000 / sound.rate
    return int(np.count_nonzero((gaps > 2) & (gaps < 100)))


def arrivals(spy: Spy) -> NDArray[np.float64]:
    """When the beginning of each thing the person said came to the service."""
    samples = np.concatenate([np.frombuffer(pcm, "<i2") for _, pcm in spy.heard])
    ends = np.cumsum([len(pcm) // 2 for _, pcm in spy.heard])
    times = np.array([at for at, _ in spy.heard])
    return times[np.searchsorted(ends, onsets(samples, RATE), side="right")]


def after(causes: NDArray[np.float64], effects: NDArray[np.float64], within_s: float) -> list[float]:
    """Milliseconds from each cause to the first effect that follows it."""
    delays = []
    for cause in causes:
        later = effects[(effects >= cause - 0.005) & (effects < cause + within_s)]  # the page's clock counts ms
        delays += [float(later[0] - cause) * 1000] if len(later) else []
    return delays


# --- what is measured --------------------------------------------------------------------------------------------


async def talk(adapter: Adapter, turns: int) -> tuple[Sound, Sound]:
    """Somebody talks over every answer; what the microphone and the speaker had."""
    words = array("h", (round(9000 * math.sin(i / 3)) for i in range(round(16_000 * TALK_S)))).tobytes()
    said = b"".join(words + silence(PAUSE_S + 0.0137 * (turn % 7)) for turn in range(turns))
    with tempfile.TemporaryDirectory() as folder:
        wave = recording(Path(folder) / "person.wav", silence(1.5) + said + silence(120))
        async with chromium(wave) as browser, visitor(browser, adapter.url, ours=False) as person:
            await person.page.evaluate("taps.hearMicrophone = taps.unprocessed = true")
            await adapter.open(person)
            await asyncio.sleep(2 + turns * (TALK_S + PAUSE_S + 0.05))
            heard = await person.hears("microphone"), await person.hears("speaker")
            await adapter.close(person)
            return heard


async def conversation(turns: int, name: str, adapter: Adapter | None, **more: Any) -> None:
    """Microphone, first sound and barge-in."""
    async with contextlib.AsyncExitStack() as stack:
        server, spies = await stack.enter_async_context(service(**more))
        page = adapter or Adapter((await stack.enter_async_context(our_page(server.url)))[0])
        microphone, speaker = await talk(page, turns)
    spy = max(spies, key=lambda each: len(each.heard))
    spoken = microphone.times[onsets(microphone.samples, microphone.rate)]
    report(f"{name}: microphone -> service", after(spoken, arrivals(spy), 1.0), 30, 45)
    deltas, created = spy.times("response.audio.delta"), spy.times("response.created")
    firsts = np.array([deltas[deltas > at][0] for at in created if (deltas > at).any()])
    begins = speaker.times[onsets(speaker.samples, speaker.rate)]
    report(f"{name}: first delta sent -> sound", after(firsts, begins, 1.0), 15, 25)
    starts = spy.times("input_audio_buffer.speech_started")
    report(f"{name}: barge-in -> silence, late sound included", silences(speaker, starts, firsts), 8, 15)
    print(f"{name}: holes in {len(begins)} answers: {holes(speaker)}", flush=True)


def silences(speaker: Sound, starts: NDArray[np.float64], firsts: NDArray[np.float64]) -> list[float]:
    """Milliseconds from each interruption to the last sample of the answer that it cut off."""
    sounds = speaker.times[np.abs(speaker.samples.astype(np.int32)) > LOUD]
    delays = []
    for at in starts:
        following = firsts[firsts > at]
        until = following[0] - 0.05 if len(following) else at + PAUSE_S  # times of samples are not that exact
        if ((sounds > at - 0.1) & (sounds < at)).any():  # it was audible
            delays.append(max(0.0, float(sounds[sounds < until][-1] - at) * 1000))
    return delays


async def starting(count: int, adapter: Adapter | None, port: int) -> None:
    """From Start to ready, how much audio then comes per second, and how soon the session is over."""
    readies, rates, stops, closes = [], [], [], []
    async with contextlib.AsyncExitStack() as stack:
        server, spies = await stack.enter_async_context(service(port=port))
        page = adapter or Adapter((await stack.enter_async_context(our_page(server.url)))[0])
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        quiet = recording(Path(folder) / "quiet.wav", silence(1))
        browser = await stack.enter_async_context(chromium(quiet))
        for number in range(count):
            async with visitor(browser, page.url, tapped=False, ours=False) as person:
                await person.page.wait_for_load_state("networkidle")  # nobody is faster than that
                readies.append(await page.open(person))
                await asyncio.sleep(0.3)
                before = len(spies[-1].heard)
                await asyncio.sleep(1)
                heard = spies[-1].heard[before:]
                span = heard[-1][0] - heard[0][0]
                rates.append(sum(len(pcm) for _, pcm in heard[1:]) / 2 / RATE / span)
                leave, took = (person.page.close(), closes) if number % 2 else (page.close(person), stops)
                leaving = asyncio.ensure_future(leave)
                took.append(await ended(server))
                await leaving
    report("Start -> ready", readies, 250, math.inf)
    report("Stop pressed -> session over", stops, 200, 200)
    if closes:
        report("tab closed -> session over", closes, 1_000, 1_000)
    right = sum(abs(rate - 1) < 0.05 for rate in rates)
    print(
        f"seconds of audio per second: {min(rates):.3f} to {max(rates):.3f}; 1.0 (within 5 %)"
        f" in {right} of {count}   {'ok' if right == count else 'MISSED'}",
        flush=True,
    )


# --- many at once ------------------------------------------------------------------------------------------------


class Client:
    """One visitor of many: speaks silence, plays what comes, and counts what was missing."""

    def __init__(self) -> None:
        self.audio = bytearray()
        self.missing_ms = 0.0
        self._generation = 0

    async def visit(self, session: aiohttp.ClientSession, url: str, seconds: float) -> None:
        headers = {"Origin": url.rstrip("/")}
        async with session.post(f"{url}start", headers=headers) as response:
            ticket = (await response.json())["ticket"]
        async with session.ws_connect(f"{url}ws", headers=headers, compress=0) as socket:
            await socket.send_json({"type": "hello", "rate": RATE, "ticket": ticket})
            reading = asyncio.create_task(self._read(socket))
            await self._live(socket, seconds)
            reading.cancel()
            await asyncio.wait([reading])

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                self.audio += message.data
            elif (fields := json.loads(message.data))["type"] == "ping":
                await socket.send_json({"type": "pong", "id": fields["id"]})

    async def _live(self, socket: aiohttp.ClientWebSocketResponse, seconds: float) -> None:
        """Every 20 ms: a block of the microphone, and a block of the speaker."""
        clock = asyncio.get_running_loop().time
        played, reported, block = 0, 0.0, bytes(round(RATE * CHUNK_S) * 2)
        due = clock()
        end = due + seconds
        while clock() < end:
            due += CHUNK_S
            await asyncio.sleep(max(0.0, due - clock()))
            await socket.send_bytes(block)
            wanted = len(block) // 2 if played or self.audio else 0
            got = min(wanted, len(self.audio) // 2 - played)
            self.missing_ms += (wanted - got) * 1000 / RATE
            played += got
            reported += CHUNK_S
            if got and reported > REPORT_S:
                reported = 0.0
                await socket.send_json({"type": "played", "samples": played, "generation": 0})

    @property
    def pitches(self) -> set[int]:
        samples = np.frombuffer(bytes(self.audio), "<i2")
        return Sound(RATE, samples, np.zeros(0)).pitches


def cpu_s(pid: int) -> float:
    """Processor time of a process so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def ended(server: Server) -> float:
    """Milliseconds until the service has no session any more."""
    began = time.monotonic()
    while server.connections:  # noqa: ASYNC110  nothing tells
        await asyncio.sleep(0.002)
    return (time.monotonic() - began) * 1000


async def many(count: int) -> None:
    """So many visitors at once, each with an agent that talks all the time."""
    seconds = 10.0
    paced = Options(realtime_factor=4)  # all at once, the emulator's own bursts would be what is measured
    async with service(options=paced, deaf=True) as (server, _), our_page(server.url, "--greet") as (url, pid):
        if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
            os.sched_setaffinity(pid, {0})
            os.sched_setaffinity(0, set(range(1, os.cpu_count() or 2)))
        clients = [Client() for _ in range(count)]
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            visits = []
            for client in clients:
                visits.append(asyncio.create_task(client.visit(session, url, seconds)))
                await asyncio.sleep(0.1)
            await asyncio.sleep(seconds / 10)
            before, began = cpu_s(pid), time.monotonic()
            await asyncio.sleep(seconds / 4)
            used = (cpu_s(pid) - before) / (time.monotonic() - began)
            await asyncio.gather(*visits)
    silent = sum(not client.audio for client in clients)
    pitches = [client.pitches for client in clients]
    separate = all(len(each) == 1 for each in pitches) and len(set.union(*pitches)) == count
    for number, each in enumerate(pitches):
        if len(each) != 1:
            print(f"visitor {number} heard {sorted(each)} Hz")
    missing = [client.missing_ms for client in clients]
    verdict = "ok" if separate and not any(missing) else "MISSED"
    print(f"{count} visitors at once: {used:.2f} of one core, heard nothing: {silent}, separate: {separate}")
    print(
        f"{count} visitors at once: underruns in {sum(map(bool, missing))} of them,"
        f" at most {max(missing):.0f} ms of {seconds:.0f} s   {verdict}"
    )


# --- the command -------------------------------------------------------------------------------------------------


async def main(asked: argparse.Namespace) -> None:
    """The figures, one by one."""
    adapter = None
    if asked.url:
        adapter = Adapter(asked.url, asked.start, asked.stop, asked.ready)
        print(f"the page's server is to talk to http://127.0.0.1:{asked.port}")
    coming = Options(realtime_factor=1.2)
    if asked.turns:
        await conversation(asked.turns, "all delivered", adapter, port=asked.port)
        await conversation(asked.turns, "still coming, two late", adapter, options=coming, late=2, port=asked.port)
    if asked.starts:
        await starting(asked.starts, adapter, asked.port)
    if asked.visitors and adapter is None:
        await many(asked.visitors)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("turns", 30), ("starts", 100), ("visitors", 50), ("port", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    for name in ("url", "start", "stop", "ready"):
        parser.add_argument(f"--{name}", default=getattr(Adapter, name, ""))
    parser.add_argument("--serve", metavar="ENDPOINT", help=argparse.SUPPRESS)
    parser.add_argument("--greet", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    asyncio.run(serve_page(arguments.serve, arguments.greet) if arguments.serve else main(arguments))
