"""Drives an EmulatorSession in virtual time: jobs run inline, time jumps to the next deadline."""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Iterator
from random import Random
from typing import Any

from voicelive_agent.emulator import EmulatorSession, Job

Event = dict[str, Any]


class Driver:
    """One session and the client's side of it. ``log`` has every event with the time it came."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("seed", 7)
        self.session = EmulatorSession(**settings)
        self.now = 100.0
        self.log: list[tuple[float, Event]] = []
        self.working = True
        """Whether jobs are run at once; otherwise they are kept, as on a machine that is very slow."""
        self.kept: deque[Job] = deque()
        self.session.start(self.now, unix_time=1_800_000_000.0)

    @property
    def events(self) -> list[Event]:
        return [event for _, event in self.log]

    def send(self, type: str, **fields: Any) -> None:
        """One client message, handled but not waited for."""
        self.session.receive(json.dumps({"type": type, **fields}), self.now)
        self.take()

    def take(self) -> list[Event]:
        """What can happen without time passing."""
        taken: list[Event] = []
        while True:
            taken += self.session.poll(self.now)
            self.kept.extend(self.session.jobs())
            worked = self.working and self.work(len(self.kept))
            deadline = self.session.deadline
            if not worked and (deadline is None or deadline > self.now):
                break
        self.log += [(self.now, event) for event in taken]
        return taken

    def work(self, count: int = 1) -> bool:
        """Run some of the jobs that are there; whether there were any."""
        jobs = [self.kept.popleft() for _ in range(min(count, len(self.kept)))]
        for job in jobs:
            self.session.finish(job, outcome(job), self.now)
        return bool(jobs)

    def wait(self, seconds: float) -> list[Event]:
        """What happens in this time."""
        until, taken = self.now + seconds, self.take()
        while (deadline := self.session.deadline) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            taken += self.take()
        self.now = until
        return taken + self.take()

    def settle(self) -> list[Event]:
        """What happens until nothing is scheduled."""
        taken = self.take()
        while (deadline := self.session.deadline) is not None:
            self.now = max(self.now, deadline)
            taken += self.take()
        return taken

    def ask(self, type: str, **fields: Any) -> list[Event]:
        """What a client message leads to, until nothing more is scheduled."""
        before = len(self.log)
        self.send(type, **fields)
        self.settle()
        return self.events[before:]

    def update(self, **session: Any) -> list[Event]:
        return self.ask("session.update", session=session)

    def say(self, text: str, **response: Any) -> list[Event]:
        """A typed turn."""
        before = len(self.log)
        content = [{"type": "input_text", "text": text}]
        self.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
        self.send("response.create", **({"response": response} if response else {}))
        self.settle()
        return self.events[before:]

    def append(self, pcm: bytes, *, piece: int = 1920) -> list[Event]:
        """Audio in pieces of 40 ms (at 24 kHz); time does not pass."""
        before = len(self.log)
        for at in range(0, len(pcm), piece):
            self.send("input_audio_buffer.append", audio=base64.b64encode(pcm[at : at + piece]).decode())
        return self.events[before:]

    def speak(self, seconds: float = 1.0) -> list[Event]:
        """A spoken turn: silence, noise, silence; then until nothing more is scheduled."""
        before = len(self.log)
        self.append(silence(0.5) + noise(seconds) + silence(0.8))
        self.settle()
        return self.events[before:]


def outcome(job: Job) -> object:
    try:
        return job.run()
    except Exception as error:  # noqa: BLE001  what the session is to be told
        return error


def silence(seconds: float, rate: int = 24_000) -> bytes:
    return bytes(2 * int(seconds * rate))


def noise(seconds: float, rate: int = 24_000, level: int = 6000) -> bytes:
    random = Random(1)
    samples = (random.randint(-level, level) for _ in range(int(seconds * rate)))
    return b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)


def types(events: list[Event]) -> list[str]:
    return [event["type"] for event in events]


def collapsed(names: list[str]) -> list[str]:
    """The types with runs of the same delta as one."""
    return [name for index, name in enumerate(names) if index == 0 or name != names[index - 1]]


def only(events: list[Event], type: str) -> Event:
    found = [event for event in events if event["type"] == type]
    assert len(found) == 1, f"{len(found)} x {type} in {types(events)}"
    return found[0]


def audio_of(events: list[Event]) -> bytes:
    deltas = (event["delta"] for event in events if event["type"] == "response.audio.delta")
    return b"".join(base64.b64decode(delta) for delta in deltas)


def every(events: list[Event], type: str) -> Iterator[Event]:
    return (event for event in events if event["type"] == type)
