"""What is measured on the virtual card, by the tests with few trials and by the benchmark with many."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .program import Line, Program, running
from .pulse import Card
from .recording import Recording, Samples, biggest_step, find, level
from .service import ANSWER_S, Heard, serving
from .signals import click, coded, tone

WINDOWS_S = (0.05, 0.03, 0.015)
"""What is looked for: less where an underrun has torn the last words apart."""
LOOKS_ALIKE = 0.8
ECHO_TRIES = 3
TONE_HZ = 441.7  # so that the service's deltas do not end where it is silent


def p95(values: Sequence[float]) -> float:
    """The value that 95 of 100 do not exceed; of ten, the largest."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]


# --- from a flush to silence ---


@dataclass(frozen=True)
class Flush:
    """One silencing of a tone: ``silent_ms`` after the flush, and the samples around the end.

    ``told_ms`` is what is said to have been heard, what cannot be stopped included; ``heard_ms`` is the truth.
    """

    silent_ms: float
    in_flight_ms: float
    told_ms: float
    heard_ms: float
    tone: Samples  # an undisturbed piece of it
    end: Samples  # the last 20 ms of sound, and 1 ms of the silence after it

    @property
    def clicks(self) -> float:
        """The biggest step at the end, in terms of the tone's own."""
        return biggest_step(self.end) / biggest_step(self.tone)

    @property
    def fades(self) -> float:
        """The level of the last 2 ms of sound, in terms of the tone's own."""
        ms = len(self.end) // 21
        return level(self.end[-3 * ms : -ms]) / level(self.tone)


@dataclass(frozen=True)
class Flushes:
    """``allowed_ms`` is what the stream says about itself, a block, and 10 ms."""

    trials: list[Flush]
    latency_ms: float
    block_ms: float
    underruns: int

    @property
    def allowed_ms(self) -> float:
        return self.latency_ms + self.block_ms + 10


async def flushes(
    card: Card, folder: Path, trials: int, *, program: str = "flush.py", rate: int = 48_000
) -> Flushes:
    """Silence a tone so many times, each at another moment of a block and of the tone."""
    path = folder / "tone.raw"
    path.write_bytes(tone(TONE_HZ, 1.0, rate).tobytes())
    with card.record() as recorder:
        async with running(card, program, path=str(path), trials=trials, seed=1, rate=rate) as player:
            await player.finish(limit_s=20 + 2 * trials)
        recorder.wait_for(0.1)
        recording = recorder.take()
    opened = player.all("opened")[0]
    ends = [_flush(recording, said) for said in player.all("flush")]
    assert len(ends) == trials
    return Flushes(ends, opened["latency_ms"], opened["block_ms"], player.all("closing")[0]["underruns"])


def _flush(recording: Recording, said: Line) -> Flush:
    at = recording.sample_at(said["at"])
    begin, end = next(part for part in recording.stretches() if part[1] > at - recording.rate // 20)
    ms = recording.rate // 1000
    return Flush(
        silent_ms=(recording.time_of(end) - said["at"]) * 1000,
        in_flight_ms=said.get("in_flight_ms", 0.0),
        told_ms=said["told_ms"],
        heard_ms=(end - begin) * 1000 / recording.rate,
        tone=tone(TONE_HZ, 0.1, recording.rate),
        end=recording.samples[end - 20 * ms : end + ms],
    )


# --- what was heard of an answer ---


@dataclass(frozen=True)
class Interruption:
    """One answer that was cut off: what the agent says was heard of it, and what was."""

    told_ms: float
    heard_ms: float
    silent_ms: float  # after the flush
    latency_ms: float

    @property
    def error_ms(self) -> float:
        """Positive where the agent thinks that more was heard than was."""
        return self.told_ms - self.heard_ms


async def interruptions(card: Card, trials: int, seed: int = 1, **talk: Any) -> list[Interruption]:
    """Let an agent answer and interrupt it so many times, each at another moment."""
    chance = random.Random(seed)
    async with serving() as service:
        with card.record() as recorder:
            async with running(card, "talk.py", url=service.url, **talk) as agent:
                opened = await agent.until("opened")
                await agent.until("StateChanged", new="State.READY")
                for _ in range(trials):
                    await agent.tell(text="Tell me something.")
                    await agent.until("StateChanged", new="State.SPEAKING")
                    await asyncio.sleep(chance.uniform(0.2, 0.6))
                    await agent.tell(interrupt=True)
                    await agent.until("Interrupted")
                    await asyncio.sleep(0.15)
                await agent.tell(stop=True)
                await agent.finish()
            recorder.wait_for(0.1)
            recording = recorder.take()
    return read_interruptions(recording, agent, opened["latency_ms"])


def read_interruptions(recording: Recording, agent: Program, latency_ms: float) -> list[Interruption]:
    """What the recording says of each cut that the agent told."""
    reference = coded(ANSWER_S, recording.rate)
    cuts, silenced = agent.all("Interrupted"), agent.all("flush")
    parts = recording.stretches(pause_s=0.1)
    results = []
    for cut in cuts:
        flush = [said for said in silenced if said["at"] <= cut["at"]][-1]
        at = recording.sample_at(flush["at"])
        _, end = next(part for part in parts if part[1] > at - recording.rate // 20)
        position = position_of(reference, recording, end)
        silent_ms = (recording.time_of(end) - flush["at"]) * 1000
        results.append(Interruption(cut["heard_ms"], position * 1000 / recording.rate, silent_ms, latency_ms))
    return results


def position_of(reference: Samples, recording: Recording, end: int) -> int:
    """How far the answer had got at the end of this sound: by its words, not by how long it took."""
    likeness = 0.0
    for window_s in WINDOWS_S:
        window = round(window_s * recording.rate)
        at, likeness = find(reference, recording.samples[end - window : end])
        if likeness > LOOKS_ALIKE:
            return at + window
    raise AssertionError(f"this is not the answer (alike by {likeness:.2f})")


# --- from the microphone to the wire ---


@dataclass(frozen=True)
class Sent:
    """A click in the room: until the callback had it, from there until the socket had it, and the service."""

    room_ms: float
    wire_ms: float
    service_ms: float


async def sendings(card: Card, trials: int, *, block_ms: int = 20) -> list[Sent]:
    """Click into the microphone of an agent so many times."""
    async with serving() as service:
        with card.record("mic_in") as recorder:
            async with running(card, "talk.py", url=service.url, microphone={"block_ms": block_ms}) as agent:
                await agent.until("StateChanged", new="State.READY")
                await asyncio.sleep(0.3)
                clicks = np.concatenate([click(48_000, 0.207)] * trials)  # each at another moment of a block
                clicking = card.say(clicks, 48_000)
                while clicking.poll() is None:  # noqa: ASYNC110  (a process that asyncio did not start)
                    await asyncio.sleep(0.05)
                await asyncio.sleep(0.2)
                await agent.tell(stop=True)
                await agent.finish()
            recording = recorder.take()
    rooms = [recording.time_of(begin) for begin, _ in recording.stretches()]
    captured, sent = ([said["at"] for said in agent.all(kind)] for kind in ("captured", "sent"))
    received = service.loud()
    assert len(rooms) == len(captured) == len(sent) == len(received) == trials
    return [
        Sent((block - room) * 1000, (wire - block) * 1000, (got - block) * 1000)
        for room, block, wire, got in zip(rooms, captured, sent, received, strict=True)
    ]


# --- a device that goes away ---


@asynccontextmanager
async def conversation(card: Card, on_loss: str) -> AsyncIterator[tuple[Program, Heard]]:
    """An agent that has begun to speak, on the microphone and the speaker of the desk."""
    microphone = {"device": "desk_mic", "on_loss": on_loss}
    speaker = {"device": "desk_speaker", "on_loss": on_loss}
    async with serving() as service:
        async with running(card, "talk.py", url=service.url, microphone=microphone, speaker=speaker) as agent:
            await agent.until("StateChanged", new="State.READY")
            await agent.tell(text="Tell me something.")
            await agent.until("StateChanged", new="State.SPEAKING")
            await asyncio.sleep(0.3)
            yield agent, service


def unplug(card: Card) -> None:
    """Pull out a headset that is all this machine has."""
    for device in ("desk_mic", "mic", "desk_speaker", "speaker"):
        card.remove(device)


LOSSES: dict[str, Callable[[Card], object]] = {
    "microphone suspended": lambda card: card.pactl("suspend-source", "desk_mic", "1"),
    "speaker suspended": lambda card: card.pactl("suspend-sink", "desk_speaker", "1"),
    "all unplugged": unplug,
    "sound server killed": lambda card: card.kill(),
}
"""What may happen, to a card with a ``desk_mic`` and a ``desk_speaker``."""


@dataclass(frozen=True)
class Loss:
    """How a program ended that lost its device: how long after it, with which exit code and which words."""

    noticed_s: float
    error: str
    code: int
    complaint: str


async def lose(folder: Path, loss: str) -> Loss:
    """Let something happen to the card of a talking agent whose policy is to raise."""
    with Card(folder) as card:
        card.add_microphone("desk_mic")
        card.add_speaker("desk_speaker")
        async with conversation(card, "raise") as (agent, _):
            LOSSES[loss](card)
            at = time.monotonic()  # to take a device away is several programs, one after the other
            failed = await agent.until("failed")
            code = await agent.end()
    return Loss(failed["at"] - at, failed["error"], code, agent.errors)


# --- the echo reference ---


@dataclass(frozen=True)
class Echo:
    """What both channels of a microphone heard, with nothing in the room but the speaker, at ``rate``.

    A null sink hands out what it renders one period before it is heard: ``period_ms``.
    """

    microphone: Samples
    reference: Samples
    period_ms: float
    rate: int

    def lags_ms(self, begin: int, end: int) -> list[float]:
        """How much later than the reference the echo comes, in each quarter of a second by itself."""
        size, lags = self.rate // 4, []
        for at in range(begin, end - size, size):
            there, likeness = find(self.microphone, self.reference[at : at + size])
            assert likeness > LOOKS_ALIKE, "the microphone does not hear the speaker"
            lags.append((there - at) * 1000 / self.rate + self.period_ms)
        return lags


async def echo(card: Card, folder: Path, played: Samples, rate: int) -> Echo:
    """Play through a sound card whose microphone hears its speaker."""
    path, heard = folder / "played.raw", folder / "heard.raw"
    path.write_bytes(played.tobytes())
    settings: dict[str, Any] = {
        "path": str(path),
        "heard": str(heard),
        "input": "echo",
        "rate": rate,
        "echo_reference": True,
    }
    card.add_monitor("echo", "speaker")
    try:
        for _ in range(ECHO_TRIES):
            with card.record() as recorder:
                async with running(card, "loop.py", **settings) as program:
                    code = await program.end()
                period_ms = recorder.take().piece_s * 1000
            # A machine that is too busy stops PortAudio's stream, or interrupts it: nothing can be in step then.
            if code == 0 and not program.lines[-1]["underruns"]:
                break
        else:
            raise AssertionError(f"this machine is too busy: {program.errors}")
    finally:
        card.remove("echo")
    channels = np.frombuffer(heard.read_bytes(), "<i2").reshape(-1, 2)
    return Echo(channels[:, 0], channels[:, 1], period_ms, rate)
