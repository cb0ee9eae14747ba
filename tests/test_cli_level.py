"""How loud both sides are, and a microphone that can be muted: nothing else is changed on the way."""

from __future__ import annotations

import math
from array import array
from collections.abc import AsyncIterator

import pytest

from voicelive_agent._pcm import level_dbfs, pcm_to_alaw, pcm_to_ulaw
from voicelive_agent.audio import AudioFormat, Call
from voicelive_agent.cli._level import MeteredSink, MeteredSource
from voicelive_agent.errors import DeviceLost
from voicelive_agent.events import DtmfReceived, Event
from voicelive_agent.testing import MemorySink, MemorySource, check_sink, check_source

RATE = 24_000
QUIET, LOUD = 500, 16_000


def tone(peak: int, ms: int = 100, rate: int = RATE) -> bytes:
    return array("h", (round(peak * math.sin(i / 5)) for i in range(rate * ms // 1000))).tobytes()


def unpaced(*chunks: bytes, format: AudioFormat | None = None) -> MemorySource:
    return MemorySource(*chunks, format=format, paced=False)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Everything(MemorySink):
    """Source and sink in one, with everything that a transport may have."""

    echo_cancellation = "server"
    in_flight = 7
    estimated = True

    def __init__(self) -> None:
        super().__init__(AudioFormat())
        self.log: list[object] = []

    def join(self, call: Call) -> None:
        self.log.append(call)

    def observe(self, event: Event) -> None:
        self.log.append(event)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            yield tone(LOUD)
        finally:
            self.log.append("closed")


class NoCall:
    """A call to be joined."""

    def tell(self, event: Event) -> None: ...
    def fail(self, error: Exception) -> None: ...
    def hang_up(self, detail: str) -> None: ...
    def interrupt(self) -> None: ...
    def send_text(self, text: str) -> None: ...


# --- the source ------------------------------------------------------------------------------------------------


async def test_the_level_is_that_of_the_last_100_ms() -> None:
    source = MeteredSource(unpaced(tone(LOUD), tone(QUIET), tone(LOUD, 50)))
    levels = [source.level_dbfs]
    async for _ in source:
        levels.append(source.level_dbfs)
    assert levels[0] == -120
    assert levels[1] == pytest.approx(level_dbfs(tone(LOUD)), abs=0.1)
    assert levels[2] == pytest.approx(level_dbfs(tone(QUIET)), abs=0.1)
    assert levels[3] == pytest.approx(level_dbfs(tone(QUIET)[2400:] + tone(LOUD, 50)), abs=0.2)
    assert source.level_dbfs == -120  # nobody speaks any more


async def test_nothing_is_changed_unless_it_is_muted() -> None:
    said = [tone(LOUD), tone(QUIET), tone(LOUD)]
    source = MeteredSource(unpaced(*said))
    heard = []
    async for chunk in source:
        source.muted = len(heard) == 0  # only the second one
        heard.append(chunk)
    assert heard == [said[0], bytes(len(said[1])), said[2]]


async def test_while_it_is_muted_the_person_sees_that_the_microphone_works() -> None:
    source = MeteredSource(unpaced(tone(LOUD)))
    source.muted = True
    async for chunk in source:
        assert not any(chunk)
        assert source.level_dbfs > -15


@pytest.mark.parametrize(
    ("encoding", "encode", "silent"), [("g711_ulaw", pcm_to_ulaw, b"\xff"), ("g711_alaw", pcm_to_alaw, b"\xd5")]
)
async def test_a_telephone_has_a_level_and_a_silence_of_its_own(
    encoding: str, encode: object, silent: bytes
) -> None:
    assert callable(encode)
    line = AudioFormat(encoding, 8_000)  # type: ignore[arg-type]
    chunk = encode(tone(LOUD, rate=8_000))
    source = MeteredSource(unpaced(chunk, chunk, format=line))
    async for heard in source:
        assert heard in (chunk, silent * len(chunk))
        assert source.level_dbfs == pytest.approx(level_dbfs(tone(LOUD, rate=8_000)), abs=0.2)
        source.muted = True
    assert heard == silent * len(chunk)


async def test_with_an_echo_reference_the_level_is_that_of_the_microphone() -> None:
    frames = array("h", bytes(4 * RATE // 10))
    frames[0::2], frames[1::2] = array("h", tone(QUIET)), array("h", tone(LOUD))
    source = MeteredSource(unpaced(frames.tobytes(), format=AudioFormat(channels=2)))
    async for _ in source:
        assert source.level_dbfs == pytest.approx(level_dbfs(tone(QUIET)), abs=0.1)


async def test_a_source_that_is_left_early_is_closed() -> None:
    inner = Everything()
    chunks = aiter(MeteredSource(inner))
    await anext(chunks)
    await chunks.aclose()  # type: ignore[attr-defined]
    assert inner.log == ["closed"]


async def test_a_source_may_be_no_generator() -> None:
    class Counted:
        format = AudioFormat()

        def __init__(self) -> None:
            self.left = 2

        def __aiter__(self) -> Counted:
            return self

        async def __anext__(self) -> bytes:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return bytes(2)

    assert [chunk async for chunk in MeteredSource(Counted())] == [bytes(2)] * 2


# --- the sink --------------------------------------------------------------------------------------------------


def ignore(event: Event) -> None:
    """Nobody watches."""


def test_the_level_is_that_of_what_is_heard_now_and_not_of_what_is_written() -> None:
    clock = Clock()
    sink = MeteredSink(MemorySink(AudioFormat(), clock=clock), ignore)
    assert sink.level_dbfs == -120
    sink.write(tone(QUIET, 200))
    sink.write(tone(LOUD, 200))
    levels = {}
    for at_ms in (100, 200, 300, 399, 400, 1000):
        clock.now = at_ms / 1000
        levels[at_ms] = sink.level_dbfs
    assert levels[100] == pytest.approx(level_dbfs(tone(QUIET)), abs=0.2)
    assert levels[200] == pytest.approx(level_dbfs(tone(QUIET)), abs=0.2)
    assert levels[300] == pytest.approx(level_dbfs(tone(LOUD)), abs=0.2)
    assert levels[399] == pytest.approx(level_dbfs(tone(LOUD)), abs=0.2)
    assert levels[400] == levels[1000] == -120


def test_what_was_flushed_is_not_heard() -> None:
    clock = Clock()
    sink = MeteredSink(MemorySink(AudioFormat(), clock=clock), ignore)
    sink.write(tone(LOUD, 400))
    clock.now = 0.1
    sink.flush()
    assert sink.pending == 0
    assert sink.level_dbfs == -120
    sink.write(tone(QUIET, 400))
    clock.now = 0.2
    assert sink.level_dbfs == pytest.approx(level_dbfs(tone(QUIET)), abs=0.2)


def test_hours_of_speech_are_not_kept() -> None:
    clock = Clock()
    sink = MeteredSink(MemorySink(AudioFormat(), clock=clock), ignore)
    for second in range(100):
        clock.now = float(second)
        sink.write(tone(LOUD, 1000))
    assert len(sink._audio) <= (1000 + 100) * RATE // 1000 * 2


def test_a_sink_that_counts_more_than_it_was_given_is_no_error() -> None:
    class Late(MemorySink):
        pending = 10**6

    sink = MeteredSink(Late(AudioFormat()), ignore)
    sink.write(tone(LOUD))
    assert sink.level_dbfs == -120  # nothing of it was heard yet


# --- both ------------------------------------------------------------------------------------------------------


async def test_the_contracts_are_kept() -> None:
    clock = Clock()
    await check_source(MeteredSource(unpaced(tone(LOUD), tone(QUIET))))
    result = check_sink(MeteredSink(MemorySink(AudioFormat()), ignore))
    if result is not None:
        await result
    assert clock.now == 0


async def test_everything_else_that_a_transport_can_do_is_passed_on() -> None:
    inner, call, event, watched = Everything(), NoCall(), DtmfReceived("1"), list[Event]()
    source, sink = MeteredSource(inner), MeteredSink(inner, watched.append)
    assert source.format is inner.format
    assert source.echo_cancellation == "server"
    assert (sink.in_flight, sink.estimated) == (7, True)
    source.join(call)
    source.observe(event)
    sink.join(call)
    sink.observe(event)
    assert inner.log == [call, event, call, event]
    assert watched == [event]


async def test_a_transport_need_not_be_able_to_do_any_of_it() -> None:
    watched = list[Event]()
    source, sink = MeteredSource(unpaced()), MeteredSink(MemorySink(AudioFormat()), watched.append)
    assert source.echo_cancellation is None
    assert (sink.in_flight, sink.estimated) == (0, False)
    for side in (source, sink):
        side.join(NoCall())
        side.observe(DtmfReceived("1"))
    assert watched == [DtmfReceived("1")]


def test_a_lost_speaker_is_silent_to_who_looks_and_an_error_to_who_plays() -> None:
    class Lost(MemorySink):
        @property
        def pending(self) -> int:
            raise DeviceLost("USB Speaker", "no audio for 0.6 s.")

    sink = MeteredSink(Lost(AudioFormat()), lambda event: None)
    assert sink.level_dbfs == -120.0
    with pytest.raises(DeviceLost):
        _ = sink.pending
