"""Eight hours of a call whose microphone and whose speaker have clocks of their own, 200 ppm fast and slow.

Time is virtual. The agent, the session that it talks to and what goes between them are whole: every sample of the
microphone is sent, decoded and listened to. Only the microphone's rate is a headset's, and its blocks are larger
than a sound card's while nobody speaks, 1 s instead of 20 ms, for that is quicker; around speech they are 20 ms.
"""

from __future__ import annotations

import gc
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import anyio
import pytest

from voicelive_agent import AudioFormat, Interrupted, TurnEnded
from voicelive_agent._paced import PacedQueue
from voicelive_agent._pump import LEAD_MS, PIECE_MS
from voicelive_agent.emulator import EmulatorSession, ScriptedBrain
from voicelive_agent.emulator.protocols import Transcript
from voicelive_agent.events import AudioRejected, EventsDropped, MicrophoneDropped, SinkStalled
from voicelive_agent.testing import connect, run_virtual

from .agent_driver import LONG, RATE, Recorder, spoken_samples, tone

PPM = 200e-6
HOURS = 8
TALK = (1, 2, 7, 8)
"""The hours in which somebody talks, four times each; in those between there is silence."""
MIC_RATE = 16_000
BLOCK = MIC_RATE // 50
PERIOD_S = 900
STORY_AT_S, WAIT_AT_S, QUIET_AT_S = 20, 24, 28
"""In a period of talk somebody asks for a story, talks over it, and listens to the answer."""
SILENT_FRAME = bytes(1024)
SPOKEN = {STORY_AT_S: tone(900, MIC_RATE), WAIT_AT_S: tone(600, MIC_RATE)}


class DriftingMicrophone:
    """A source whose second is not ours."""

    format = AudioFormat(rate=MIC_RATE)

    def __init__(self, off: float) -> None:
        self._rate = MIC_RATE * (1 + off)
        self.frames = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        begun = anyio.current_time()
        for block in self._blocks():
            self.frames += len(block) // 2
            await anyio.sleep_until(begun + self.frames / self._rate)
            yield block

    def _blocks(self) -> Iterator[bytes]:
        second = bytes(2 * MIC_RATE)
        for period in range(2 * HOURS * 3600 // PERIOD_S):
            talks = 1 + period * PERIOD_S // 3600 in TALK
            at = 0
            while at < PERIOD_S:
                if not talks or not STORY_AT_S <= at < QUIET_AT_S:
                    yield second
                    at += 1
                    continue
                until = QUIET_AT_S if at >= WAIT_AT_S else WAIT_AT_S
                speech = SPOKEN[at].ljust((until - at) * len(second), b"\0")
                yield from (speech[start : start + 2 * BLOCK] for start in range(0, len(speech), 2 * BLOCK))
                at = until


class DriftingSpeaker:
    """A sink whose listener's second is not ours; knows how much of an answer he heard when he was cut off."""

    format = AudioFormat(rate=RATE)

    def __init__(self, off: float) -> None:
        self._queue = PacedQueue(RATE, anyio.current_time, 1 + off)
        self._before = 0  # heard before this answer
        self.most = 0
        self.cut_ms: list[int] = []

    @property
    def pending(self) -> int:
        return self._queue.pending

    def write(self, pcm: bytes) -> None:
        if not self.pending:
            self._before = self._queue.heard
        self._queue.write(len(pcm) // 2)
        self.most = max(self.most, self.pending)

    def flush(self) -> None:
        if self.pending:
            self.cut_ms.append((self._queue.heard - self._before) * 1000 // RATE)
        self._queue.flush()


class Ears:
    """Hears whatever is not silence, at no cost."""

    def __init__(self) -> None:
        self._turns = 0

    def listener(self) -> Ears:
        return self

    def probability(self, frame: bytes) -> float:
        return float(frame != SILENT_FRAME)

    def transcribe(self, pcm: bytes, *, language: str | None = None) -> Transcript:
        self._turns += 1
        return Transcript("Tell me a story." if self._turns % 2 else "Wait!")


# --- what is kept ---------------------------------------------------------------------------------------------


def lengths(root: object) -> Counter[str]:
    """How much is in every container that can be reached through our objects, by the attributes on the way."""
    found: Counter[str] = Counter()
    seen: set[int] = set()

    def visit(thing: Any, path: str) -> None:
        if id(thing) in seen or isinstance(thing, EmulatorSession):
            return
        seen.add(id(thing))
        match thing:
            case bytes() | bytearray() | memoryview():
                found[path] += len(thing)
            case dict():
                found[path] += len(thing)
                for value in thing.values():
                    visit(value, path)
            case list() | tuple() | deque() | set() | frozenset():
                found[path] += len(thing)
                for value in thing:
                    visit(value, path)
            case _ if type(thing).__module__.startswith(("voicelive_agent", "asyncio.queues")):
                names = [*getattr(thing, "__dict__", ()), *getattr(type(thing), "__slots__", ())]
                for name in names:
                    if name != "_connection":  # the service's side
                        visit(getattr(thing, name, None), f"{path}.{name}")

    visit(root, "")
    return found


@dataclass
class Day:
    """A call of eight hours, and what was seen at the end of each."""

    agent: Recorder
    microphone: DriftingMicrophone
    speaker: DriftingSpeaker
    lengths: list[Counter[str]] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.agent.run, self.microphone, self.speaker)
            for hour in range(HOURS):
                await anyio.sleep_until(3600 * (hour + 1))
                gc.collect()
                self.lengths.append(lengths(self.agent._shell))
                self.blocks.append(sys.getallocatedblocks())
            self.agent.stop()


async def hold(microphone_off: float, speaker_off: float) -> Day:
    brain = ScriptedBrain([("story", LONG), ("wait", "Yes?")])
    agent = Recorder(connect(EmulatorSession(ears=Ears(), brain=brain)))
    day = Day(agent, DriftingMicrophone(microphone_off), DriftingSpeaker(speaker_off))
    await day.run()
    return day


pytestmark = [
    pytest.mark.once,
    pytest.mark.timeout(300),  # of a day: it is minutes where the machine has other things to do
    pytest.mark.no_cover,  # other tests run these lines; to trace them for eight hours takes far longer
]


@pytest.fixture(scope="module", params=[(PPM, -PPM), (-PPM, PPM)], ids=["fast to slow", "slow to fast"])
def the_day(request: pytest.FixtureRequest) -> Callable[[], Day]:
    """One day each with the faster and the slower microphone, and the speaker the other way round.

    It begins in the first test that asks, not here: of a fixture every line would be traced.
    """
    return cache(lambda: run_virtual(hold, *request.param))


def test_nothing_grows(the_day: Callable[[], Day]) -> None:
    day = the_day()
    first, last = TALK[1] - 1, TALK[2] - 2
    silent = day.lengths[first : last + 1]
    assert [kept - silent[0] for kept in silent] == [Counter()] * len(silent)
    assert day.blocks[last] - day.blocks[first + 1] < 500  # of Python's memory, of which our own notes take some
    # What talking leaves behind is the record of what was said, and the ids of what is over; both have a limit.
    grown = {path for path, length in (day.lengths[-1] - day.lengths[first]).items() if length}
    assert grown == {
        ".conversation._history._records",
        ".conversation._history._records.cut",
        ".conversation._answers.responses._gone",
    }


def test_the_measure_sees_what_grows(the_day: Callable[[], Day]) -> None:
    day = the_day()
    shell = day.agent._shell
    assert shell is not None
    before = lengths(shell)
    shell.events._waiting.append([])
    assert lengths(shell) - before == {".events._waiting": 1}
    shell.events._waiting.pop()


def test_nothing_is_dropped_and_no_more_than_the_lead_is_written_ahead(the_day: Callable[[], Day]) -> None:
    day = the_day()
    drift_s = day.microphone.frames / MIC_RATE - HOURS * 3600
    assert abs(abs(drift_s) - PPM * HOURS * 3600) <= 1  # a block
    assert not {type(event) for event in day.agent.seen} & {
        AudioRejected,
        EventsDropped,
        MicrophoneDropped,
        SinkStalled,
    }
    assert day.speaker.most <= (LEAD_MS + PIECE_MS) * RATE // 1000


def test_the_last_answer_is_as_right_as_the_first(the_day: Callable[[], Day]) -> None:
    day = the_day()
    turns = day.agent.all(TurnEnded)
    stories, answers = turns[::2], turns[1::2]
    assert len(stories) == len(answers) == len(TALK) * 3600 // PERIOD_S
    assert {story.status for story in stories} == {"interrupted"}
    assert {(answer.status, answer.heard_ms) for answer in answers} == {
        ("completed", spoken_samples("Yes?") * 1000 // RATE)
    }
    cuts = day.agent.all(Interrupted)
    assert [cut.heard_ms for cut in cuts] == [story.heard_ms for story in stories] == day.speaker.cut_ms
    assert all(2_400 < cut.heard_ms < 2_800 and LONG.startswith(cut.heard_text) for cut in cuts)
    for name in ("response_ms", "endpoint_ms", "barge_in_ms"):
        measured = [getattr(turn, name) for turn in turns if getattr(turn, name) is not None]
        assert len(measured) >= len(stories)
        # A block of the microphone and a frame of the detector, whose phases wander; not the seconds of the drift.
        assert max(measured) - min(measured) <= 20 + 32
