"""``voicelive-agent demo``: recorded people talk to an agent, on this machine alone, and you can read along.

The agent, the connection (the Azure SDK over a real socket) and the service's protocol are the real ones; the
service is the local emulator, the people are recordings, and what the listener heard is written to a file.
"""

from __future__ import annotations

import sys
import time
from array import array
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import anyio

from .. import events as happened
from .._agent import VoiceAgent
from .._pcm import Resampler
from ..audio import AudioFormat
from ..emulator.protocols import Brain, Ears, Voice
from ..emulator.server import serve
from ..emulator.speech import load_speech, missing_packages
from ..errors import ConfigurationError
from ..events import Event, State
from ..files import WavSink, WavSource, WavWriter
from ..testing import run_fast
from ..tools import tool

CLIPS: Final = Path(__file__).parent / "audio"
FAST: Final = 8
RATE: Final = 24_000
CLIP_RATE: Final = 16_000
INTERRUPT_AFTER_MS: Final = 3_400
"""Into the third answer; the emulator needs some 0.4 s to be sure that somebody speaks."""
PATIENCE_S: Final = 25.0


class _Rover(VoiceAgent):
    """The agent of the demo."""

    instructions = "You steer a little rover and answer whoever talks to you. Be brief."

    @tool
    def move(self, direction: Literal["forward", "backward", "left", "right"], meters: float) -> str:
        """Move the rover so many meters in a direction."""
        return f"The rover went {direction} {meters:g} meters."


def demo(out: str, *, fast: bool) -> int:
    """Play the scenes; 0 if they came out right."""
    if missing := missing_packages():
        raise ConfigurationError(
            f"The demo needs the emulator's speech packages (not installed: {', '.join(missing)}).",
            hint='pip install "voicelive-agent[emulator]"',
        )
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"Cannot write to {folder}: {error.strerror}.", hint="Choose a folder with --out."
        ) from error
    started = time.perf_counter()
    print("Loading ears, brain and voice ...", flush=True)
    speech = load_speech()
    print(
        f"Ready after {time.perf_counter() - started:.1f} s. Everything below happens on this machine.\n",
        flush=True,
    )
    play = _Play(folder)
    try:
        faults = run_fast(FAST, play.perform, *speech) if fast else anyio.run(play.perform, *speech)
    except OSError as error:
        raise ConfigurationError(
            f"Cannot write to {folder}: {error.strerror}.", hint="Choose a folder with --out."
        ) from error
    for fault in faults:
        print(f"NOT as it should be: {fault}", file=sys.stderr)
    return 1 if faults else 0


# --- the person ---


class _Person:
    """Somebody who says recordings and is silent in between: a source without an end."""

    format = AudioFormat(rate=CLIP_RATE)

    def __init__(self) -> None:
        self.said = bytearray()
        self.began: float | None = None
        self._lines: deque[bytes] = deque()
        self._silent = anyio.Event()

    async def say(self, clip: str) -> None:
        """Say a recording; returns when it is said."""
        block_bytes = CLIP_RATE * 20 // 1000 * 2
        async for block in WavSource(CLIPS / clip, speed=None):
            self._lines.append(block.ljust(block_bytes, bytes(1)))
        self._silent = anyio.Event()
        await self._silent.wait()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        silence = bytes(CLIP_RATE * 20 // 1000 * 2)
        due = self.began = anyio.current_time()
        while True:
            due += 0.020
            await anyio.sleep_until(due)
            block = self._lines.popleft() if self._lines else silence
            if not self._lines:
                self._silent.set()
            self.said += block
            yield block


# --- what is told ---


@dataclass
class _Timeline:
    """Prints what happens, as it happens, and remembers what the checks need."""

    clock: Callable[[], float]
    said: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    calls: list[happened.ToolCalled] = field(default_factory=list)
    results: list[happened.ToolFinished] = field(default_factory=list)
    cuts: list[happened.Interrupted] = field(default_factory=list)
    turns: list[happened.TurnEnded] = field(default_factory=list)
    state: State = State.CONNECTING
    failures: list[str] = field(default_factory=list)
    _changed: anyio.Event = field(default_factory=anyio.Event)

    def __post_init__(self) -> None:
        self._began = self.clock()

    def scene(self, number: int, title: str) -> None:
        """A headline."""
        print(f"\n--- scene {number}: {title} ---", flush=True)

    def note(self, event: Event) -> None:
        """Something happened."""
        match event:
            case happened.StateChanged(_, new):
                self.state = new
                self._print(f"[{new.value}]")
            case happened.UserSpoke(_, text):
                self.said.append(text)
                self._print(f"    person: {text}")
            case happened.AgentSpoke(_, text):
                self.answered.append(text)
                self._print(f"    agent:  {text}")
            case happened.ToolCalled(_, name, arguments):
                self.calls.append(event)
                self._print(f"    tool:   {name} {arguments}")
            case happened.ToolFinished():
                self.results.append(event)
                self._print(f"    tool:   -> {event.output}")
            case happened.Interrupted():
                self.cuts.append(event)
                self._print(f"    CUT OFF after {event.heard_ms} ms were heard (of {event.received_ms} ms)")
                self._print(f"    heard:  {event.heard_text} ...")
            case happened.TurnEnded():
                self.turns.append(event)
                self._print(f"    {_latencies(event)}")
            case (
                happened.ServiceFailed()
                | happened.RequestRefused()
                | happened.Stalled()
                | happened.MessageRejected()
                | happened.AudioRejected()
                | happened.TranscriptionFailed()
                | happened.SinkStalled()
                | happened.MicrophoneDropped()
            ):
                self.failures.append(str(event))
                self._print(f"    {event}")
            case _:
                pass
        self._changed.set()

    async def until(self, holds: Callable[[], bool]) -> bool:
        """Wait until this holds; whether it came to that in time."""
        with anyio.move_on_after(PATIENCE_S):
            while not holds():
                self._changed = anyio.Event()
                await self._changed.wait()
        return holds()

    def _print(self, text: str) -> None:
        print(f"{self.clock() - self._began:7.2f} s  {text}", flush=True)


def _latencies(turn: happened.TurnEnded) -> str:
    parts = [f"{turn.heard_ms / 1000:.1f} s heard"]
    if turn.response_ms is not None and turn.endpoint_ms is not None:
        parts.append(
            f"end of speech -> first audio {turn.response_ms} ms (of these, until the end was noticed: "
            f"{turn.endpoint_ms} ms)"
        )
    if turn.barge_in_ms is not None:
        parts.append(f"onset of speech -> silence {turn.barge_in_ms} ms")
    return f"({turn.status}; {'; '.join(parts)})"


# --- the play ---


class _Play:
    """Three scenes, and a recording of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._faults: list[str] = []

    async def perform(self, ears: Ears, brain: Brain, voice: Voice) -> list[str]:
        """All scenes in one call; what did not come out right."""
        person = _Person()
        heard = self._folder / "agent-as-heard.wav"
        async with serve(ears=ears, brain=brain, voice=voice) as server:
            agent = _Rover(server.url, "emulator", target="gpt-4.1")
            async with WavSink(heard, rate=RATE, clock=anyio.current_time) as speaker:
                speaker_began = anyio.current_time()
                timeline = _Timeline(anyio.current_time)
                print(
                    f"The emulator serves {server.url}; the agent connects to it with the Azure SDK.", flush=True
                )
                async with agent.events(person, speaker) as events, anyio.create_task_group() as tasks:
                    tasks.start_soon(self._direct, agent, person, speaker, timeline)
                    async for event in events:
                        timeline.note(event)
        self._faults += timeline.failures
        recording = self._folder / "demo.wav"
        _write_stereo(recording, heard, bytes(person.said), (person.began or speaker_began) - speaker_began)
        heard.unlink()
        print(f"\nWhat was heard (left: the person, right: the agent as heard): {recording.resolve()}", flush=True)
        return self._faults

    async def _direct(self, agent: VoiceAgent, person: _Person, speaker: WavSink, timeline: _Timeline) -> None:
        await timeline.until(lambda: timeline.state is State.READY)
        await self._answer(person, timeline)
        await self._call(person, timeline)
        await self._barge_in(person, speaker, timeline)
        agent.stop()

    async def _expect(self, timeline: _Timeline, holds: Callable[[], bool], what: str) -> None:
        if not await timeline.until(holds):
            self._faults.append(f"{what} within {PATIENCE_S:g} s")

    async def _answer(self, person: _Person, timeline: _Timeline) -> None:
        timeline.scene(1, "somebody says something, and is answered (librivox_0880.wav)")
        await person.say("librivox_0880.wav")
        await self._expect(timeline, lambda: _heard(timeline, 1), "no answer was heard to its end")

    async def _call(self, person: _Person, timeline: _Timeline) -> None:
        timeline.scene(2, "a command calls a tool, and its result is spoken (goforward.wav)")
        await person.say("goforward.wav")
        await self._expect(timeline, lambda: _heard(timeline, 2), "no result was heard to its end")
        wanted = '{"direction": "forward", "meters": 10}'
        if [call.name for call in timeline.calls] != ["move"] or timeline.calls[0].arguments != wanted:
            self._faults.append(f"not the one call of move{wanted}: {timeline.calls}")

    async def _barge_in(self, person: _Person, speaker: WavSink, timeline: _Timeline) -> None:
        timeline.scene(3, "a long answer is interrupted (librivox_0870.wav, then cards_001.wav)")
        before = speaker.heard
        await person.say("librivox_0870.wav")
        await self._expect(timeline, lambda: timeline.state is State.SPEAKING, "no long answer began")
        while (missing := before + INTERRUPT_AFTER_MS * RATE // 1000 - speaker.heard) > 0:  # noqa: ASYNC110
            await anyio.sleep(missing / RATE)  # longer if the voice paused: what counts is what was heard
        await person.say("cards_001.wav")
        await self._expect(timeline, lambda: bool(timeline.cuts), "no interruption")
        await self._expect(timeline, lambda: _heard(timeline, 3), "no answer after the interruption was heard")
        if timeline.cuts and not (3_000 <= timeline.cuts[0].heard_ms <= 5_000 <= timeline.cuts[0].received_ms / 2):
            self._faults.append(f"not between 3 and 5 s into an answer of at least 10 s: {timeline.cuts[0]}")


def _heard(timeline: _Timeline, answers: int) -> bool:
    """Whether so many answers were heard to their end, and nothing else is going on."""
    return [turn.status for turn in timeline.turns].count("completed") >= answers and timeline.state is State.READY


def _write_stereo(path: Path, right_file: Path, left_16k: bytes, left_begins_s: float) -> None:
    """Both sides on one timeline, which begins when the listener does."""
    resampler = Resampler(CLIP_RATE, RATE)
    left = array("h", bytes(2 * max(0, round(left_begins_s * RATE))))
    left.frombytes(resampler.process(left_16k) + resampler.finish())
    right = array("h", right_file.read_bytes()[-WavSource(right_file).frames * 2 :])
    length = max(len(left), len(right))
    for side in (left, right):
        side.extend([0] * (length - len(side)))
    both = array("h", bytes(4 * length))
    both[0::2], both[1::2] = left, right
    with WavWriter(path, RATE, channels=2) as writer:
        writer.write(both.tobytes())
