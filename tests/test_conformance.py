"""The checks of the contracts: what keeps one passes, and every sentence is missed where it is broken."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest

from voicelive_agent import AudioFormat, VoiceLiveError
from voicelive_agent._paced import PacedQueue
from voicelive_agent.audio import AudioSink, AudioSource
from voicelive_agent.testing import MemorySink, MemorySource, check_sink, check_source, run_virtual

from .agent_driver import Microphone, leftover_tasks, silence, virtual

ULAW = AudioFormat("g711_ulaw", 8_000)
STEREO = AudioFormat(rate=48_000, channels=2)

# --- a good sink, and every way to spoil it -------------------------------------------------------------------


class Listener:
    """Keeps the contract to the letter."""

    format: Any = AudioFormat()

    def __init__(self) -> None:
        self.queue = PacedQueue(self.format.rate, anyio.current_time)

    @property
    def pending(self) -> int:
        return self.queue.pending

    def write(self, pcm: bytes) -> Any:
        self.queue.write(len(pcm) // self.format.frame_bytes)

    def flush(self) -> Any:
        self.queue.flush()


class Polite(Listener):
    """With all that a sink may have."""

    estimated = True

    @property
    def in_flight(self) -> int:
        return min(self.pending, 480)

    def join(self, call: object) -> None: ...

    def observe(self, event: object) -> None: ...


class Late(Listener):
    """The first sound is heard 300 ms after its write, as on a bad line."""

    written = 0

    @property
    def pending(self) -> int:
        return min(self.written, self.queue.pending)

    def write(self, pcm: bytes) -> None:
        if pcm and not self.queue.pending:
            self.written = 0
            self.queue.write(7_200)
        super().write(pcm)
        self.written += len(pcm) // 2


class Early(Listener):
    """Hands over blocks of 20 ms when they begin, and cannot say what is heard of one."""

    written_at = 0.0

    @property
    def pending(self) -> int:
        return max(0, self.queue.pending - 480 * (anyio.current_time() > self.written_at))

    def write(self, pcm: bytes) -> None:
        if not self.pending:
            self.queue.flush()  # the rest of a block that counts as heard
        super().write(pcm)
        self.written_at = anyio.current_time()


class Unformatted(Listener):
    format = "pcm16"

    def __init__(self) -> None:
        self.queue = PacedQueue(24_000, anyio.current_time)


class ChangesFormat(Listener):
    def flush(self) -> None:
        self.format = AudioFormat(rate=8_000)
        super().flush()


class CountsBytes(Listener):
    def write(self, pcm: bytes) -> None:
        self.queue.write(len(pcm))


class CountsMilliseconds(Listener):
    @property
    def pending(self) -> Any:
        return self.queue.pending / 24


class CountsTwice(Listener):
    def write(self, pcm: bytes) -> None:
        super().write(pcm)
        super().write(pcm)


class CountsNothing(Listener):
    def write(self, pcm: bytes) -> None:
        pass


class CountsSilence(Listener):
    def write(self, pcm: bytes) -> None:
        super().write(pcm or b"\0\0")


class BelowZero(Listener):
    @property
    def pending(self) -> int:
        return self.queue.end - self.queue.position


class DropsTails(Listener):
    """Plays whole blocks only, and forgets the rest."""

    def write(self, pcm: bytes) -> None:
        super().write(pcm[: len(pcm) // 960 * 960])


class KeepsTails(Listener):
    """Counts a tail, and waits for more of it before it is played."""

    tail = 0

    @property
    def pending(self) -> int:
        return self.queue.pending + self.tail

    def write(self, pcm: bytes) -> None:
        blocks, self.tail = divmod(self.tail + len(pcm) // 2, 480)
        self.queue.write(blocks * 480)

    def flush(self) -> None:
        self.tail = 0
        super().flush()


class Bounded(Listener):
    """Takes half a second at most."""

    def write(self, pcm: bytes) -> None:
        self.queue.write(min(len(pcm) // 2, 12_000 - self.queue.pending))


class Blocking(Listener):
    def write(self, pcm: bytes) -> None:
        super().write(pcm)
        if len(pcm) > 48_000:
            time.sleep(1.1)


class BlockingALittle(Listener):
    """Every write takes longer than what it says."""

    def write(self, pcm: bytes) -> None:
        time.sleep(0.02)
        super().write(pcm)


class WaitsInFlush(Listener):
    def flush(self) -> None:
        time.sleep(1.1)
        super().flush()


class PendingIsAsked(Listener):
    def pending(self) -> int:  # type: ignore[override]
        return 0


class Asynchronous(Listener):
    async def write(self, pcm: bytes) -> None:
        super().write(pcm)


class FlushedSometime(Listener):
    async def flush(self) -> None:
        super().flush()


class TellsHowMuch(Listener):
    def write(self, pcm: bytes) -> int:
        super().write(pcm)
        return len(pcm)


class NeverHeard(Listener):
    def __init__(self) -> None:
        self.pending_samples = 0

    @property
    def pending(self) -> int:
        return self.pending_samples

    def write(self, pcm: bytes) -> None:
        self.pending_samples += len(pcm) // 2

    def flush(self) -> None:
        self.pending_samples = 0


class TooFast(Listener):
    def __init__(self) -> None:
        self.queue = PacedQueue(24_000, anyio.current_time, 1.5)


class TooSlow(Listener):
    def __init__(self) -> None:
        self.queue = PacedQueue(24_000, anyio.current_time, 0.2)


class AllAtOnce(Listener):
    """Learns at the end only that all was played."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    @property
    def pending(self) -> int:
        if not self.queue.pending:
            self.count = 0
        return self.count

    def write(self, pcm: bytes) -> None:
        super().write(pcm)
        self.count += len(pcm) // 2

    def flush(self) -> None:
        super().flush()
        self.count = 0


class GuessesWrong(Listener):
    """Thinks more was heard than was, and takes it back."""

    @property
    def pending(self) -> int:
        return max(0, self.queue.pending - 1_000 * (int(anyio.current_time() * 20) % 2))


class NotFlushed(Listener):
    def flush(self) -> None:
        pass


class FlushesTheRest(Listener):
    """What is with the driver goes on being pending."""

    def flush(self) -> None:
        kept = min(480, self.queue.pending)
        self.queue.flush()
        self.queue.write(kept)


class FlushedOnce(Listener):
    """A flush of nothing makes something."""

    def flush(self) -> None:
        if not self.queue.flush():
            self.queue.write(1)


class ComesBack(Listener):
    """A late report about what was cleared is believed."""

    report = float("inf")

    @property
    def pending(self) -> int:
        return self.queue.pending + (100 if anyio.current_time() > self.report else 0)

    def flush(self) -> None:
        if self.queue.pending:
            self.report = anyio.current_time() + 0.03
        super().flush()


class DeafAfterFlush(Listener):
    """Takes nothing more once it was silenced in the middle."""

    deaf = False

    def write(self, pcm: bytes) -> None:
        if not self.deaf:
            super().write(pcm)

    def flush(self) -> None:
        self.deaf = self.deaf or 0 < self.queue.pending < 24_000
        super().flush()


class MoreInFlightThanPending(Listener):
    in_flight = 480


class HalfInFlight(Listener):
    @property
    def in_flight(self) -> float:
        return self.pending / 2


class EstimatedInWords(Listener):
    estimated = "no"


class JoinsLater(Listener):
    async def join(self, call: object) -> None: ...


class ObservesNothing(Listener):
    observe = None


SPOILED_SINKS: list[tuple[type[Listener], str]] = [
    (Unformatted, "format must be an AudioFormat"),
    (ChangesFormat, "format must not change"),
    (CountsBytes, "must count samples, once"),
    (CountsMilliseconds, "must be a property that is an int"),
    (CountsTwice, "must count samples, once"),
    (CountsNothing, "must rise with a write"),
    (CountsSilence, "must count samples, once: it rose from 0 to 1 with a write of 0"),
    (BelowZero, "never be negative"),
    (DropsTails, "must rise with a write"),
    (KeepsTails, "an odd tail be played too"),
    (Bounded, "all that was written"),
    (Blocking, "must not block"),
    (BlockingALittle, r"write\(\) must not block"),
    (WaitsInFlush, r"flush\(\) must not block: .* took 1\.1 s"),
    (PendingIsAsked, "must be a property that is an int"),
    (Asynchronous, r"write\(\) must be a plain function"),
    (FlushedSometime, r"flush\(\) must be a plain function"),
    (TellsHowMuch, "returns nothing, and returned"),
    (NeverHeard, "must fall to 0"),
    (TooFast, "cannot have been heard"),
    (TooSlow, "must fall to 0"),
    (AllAtOnce, "jumped from"),
    (GuessesWrong, r"only write\(\) may raise pending, and it rose"),
    (NotFlushed, r"when flush\(\) returns, right after a write"),
    (FlushesTheRest, r"when flush\(\) returns"),
    (FlushedOnce, r"when flush\(\) returns, though nothing was written"),
    (ComesBack, r"only write\(\) may raise pending"),
    (DeafAfterFlush, "again after a flush"),
    (MoreInFlightThanPending, r"in_flight must be a part of pending \(0\), and is 480"),
    (HalfInFlight, "in_flight must be a part of pending"),
    (EstimatedInWords, "estimated must be a bool"),
    (JoinsLater, "join must be a plain function"),
    (ObservesNothing, "observe must be a plain function"),
]


@pytest.mark.parametrize(("make", "words"), SPOILED_SINKS, ids=lambda each: getattr(each, "__name__", ""))
def test_a_sink_that_breaks_its_contract_is_found_out(make: Callable[[], AudioSink], words: str) -> None:
    async def check() -> None:
        await check_sink(make())

    with pytest.raises(AssertionError, match=words):
        run_virtual(check)


async def test_what_is_missing_is_named() -> None:
    class Mute:
        format = AudioFormat()
        pending = 0

    class Shapeless:
        pass

    wrong: Any
    for check, wrong, words in (
        (check_sink, Mute(), "Mute must have write and flush"),
        (check_source, Shapeless(), "Shapeless must have format"),
    ):
        with pytest.raises(AssertionError, match=words):
            await check(wrong)


@virtual
async def test_what_a_sink_raises_is_told_with_what_it_was_given() -> None:
    class WholeBlocks(Listener):
        def write(self, pcm: bytes) -> None:
            raise ValueError("no whole block")

    class NothingToFlush(Listener):
        def flush(self) -> None:
            raise RuntimeError("nothing to flush")

    told: list[tuple[AudioSink, type[Exception], str]] = [
        (WholeBlocks(), ValueError, "write() must not raise: it was given 0 samples."),
        (NothingToFlush(), RuntimeError, "flush() must not raise: it was called, though nothing was written."),
    ]
    for wrong, error, note in told:
        with pytest.raises(error) as caught:
            await check_sink(wrong)
        assert caught.value.__notes__ == [note]


@pytest.mark.parametrize("make", [Listener, Polite, Late, Early])
def test_a_good_sink_passes(make: Callable[[], AudioSink]) -> None:
    async def check() -> None:
        sink = make()
        await check_sink(sink)
        await check_sink(sink)  # and is as good as new afterwards

    run_virtual(check)


@virtual
async def test_the_sink_in_memory_passes_in_any_format() -> None:
    for format in (AudioFormat(), ULAW, AudioFormat("g711_alaw", 8_000), STEREO):
        sink = MemorySink(format, clock=anyio.current_time)
        await check_sink(sink)
        assert 0.8 < len(sink.played) / format.frame_bytes / format.rate < 0.9


async def test_the_sink_in_memory_passes_in_real_time_too() -> None:
    await check_sink(MemorySink())


@virtual
async def test_a_faster_listener_is_told_of() -> None:
    class Fast(Listener):
        def __init__(self) -> None:
            self.queue = PacedQueue(24_000, anyio.current_time, 8.0)

    await check_sink(Fast(), speed=8.0)
    assert anyio.current_time() < 0.3
    with pytest.raises(AssertionError, match="cannot have been heard"):
        await check_sink(Fast())


@virtual
async def test_a_slow_line_may_be_allowed_for() -> None:
    with pytest.raises(AssertionError, match="must fall to 0"):
        await check_sink(Late(), latency_ms=200)
    await check_sink(Late(), latency_ms=400)


# --- a good source, and every way to spoil it -----------------------------------------------------------------


class Speaker:
    """Says the given chunks at once, as often as it is asked."""

    def __init__(self, *chunks: Any, format: Any = None) -> None:
        self.format = format or AudioFormat()
        self.chunks = chunks
        self.begun = self.closed = 0

    async def __aiter__(self) -> AsyncIterator[Any]:
        self.begun += 1
        try:
            for chunk in self.chunks:
                yield chunk
        finally:
            self.closed += 1


def with_members(**members: object) -> Speaker:
    source = Speaker(silence(20))
    for name, value in members.items():
        setattr(source, name, value)
    return source


async def later(call: object) -> None: ...


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (Speaker(format="pcm16"), "format must be an AudioFormat"),
        (Speaker("text"), "must be bytes, not str"),
        (Speaker(None), "must be bytes, not NoneType"),
        (Speaker(b"\0\0", bytearray(2)), "must be bytes, not bytearray"),
        (Speaker(b"\0\0\0"), "whole number of frames, not 3 bytes"),
        (Speaker(b"\0\0", format=AudioFormat(channels=2)), "whole number of frames"),
        (with_members(echo_cancellation="yes"), "echo_cancellation must be None"),
        (
            with_members(echo_cancellation="client"),
            "second of two channels of pcm16, and the format is pcm16 24000",
        ),
        (with_members(join=later), "join must be a plain function"),
        (with_members(observe="what"), "observe must be a plain function"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
async def test_a_source_that_breaks_its_contract_is_found_out(wrong: Any, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        await check_source(wrong)


async def test_what_cannot_be_iterated_is_no_source() -> None:
    class Deaf:
        format = AudioFormat()

    class Plain:
        format = AudioFormat()

        def __aiter__(self) -> Any:
            return iter([b""])

    class Awaited:
        format = AudioFormat()

        async def __aiter__(self) -> Any:
            return Speaker().__aiter__()

    wrong: Any
    for wrong in (Deaf(), Plain(), Awaited()):
        with pytest.raises(AssertionError, match="async for"):
            await check_source(wrong)


class Iterator:
    """An iterator that is no generator: the base of those that go wrong."""

    format: Any = AudioFormat()

    def __init__(self) -> None:
        self.left = 2

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> bytes:
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        return silence(20)


class SaysNothing(Iterator):
    async def __anext__(self) -> bytes:
        await anyio.sleep_forever()
        return b""


class SaysNothingAgain(Iterator):
    """Ends once; whoever asks again waits for ever."""

    ended = False

    async def __anext__(self) -> bytes:
        if self.ended:
            await anyio.sleep_forever()
        self.ended = True
        raise StopAsyncIteration


class GoesOn(Iterator):
    """Its end is none."""

    async def __anext__(self) -> bytes:
        self.left -= 1
        if not self.left:
            raise StopAsyncIteration
        return silence(20)


class WillNotBeLeft(Iterator):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            try:
                yield silence(20)
            except GeneratorExit:
                yield silence(20)
                return


class LeavesLate(Iterator):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield silence(20)
        finally:
            await anyio.sleep_forever()


class LeftInVain(Iterator):
    def __init__(self) -> None:
        self.left = 100

    async def aclose(self) -> None: ...


class OnceOnly(Iterator):
    """A second iteration fails by accident, and as ``error`` says."""

    error: Exception = AttributeError("'NoneType' object has no attribute 'read'")

    def __init__(self) -> None:
        self.used = False

    def __aiter__(self) -> Any:
        if self.used:
            raise self.error
        self.used = True
        return Speaker(silence(20)).__aiter__()


class Wordless(OnceOnly):
    error = RuntimeError()


class WrongAgain(OnceOnly):
    """The second call's audio is not even bytes."""

    def __aiter__(self) -> Any:
        used, self.used = self.used, True
        return Speaker("text" if used else silence(20)).__aiter__()


class ChangesItsFormat(Iterator):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield silence(20)
        self.format = ULAW


SPOILED_SOURCES: list[tuple[Callable[[], AudioSource], str]] = [
    (SaysNothing, "this one gave nothing for 5 s"),
    (SaysNothingAgain, "this one gave nothing"),
    (GoesOn, "that has ended must not go on"),
    (WillNotBeLeft, "let itself be left: async generator ignored GeneratorExit"),
    (LeavesLate, "let itself be left, within 5 s"),
    (LeftInVain, "that was left must not go on"),
    (OnceOnly, "say in words why not: AttributeError"),
    (Wordless, "say in words why not: RuntimeError"),
    (WrongAgain, "must be bytes, not str"),
    (ChangesItsFormat, "format must not change"),
]


@pytest.mark.parametrize(("make", "words"), SPOILED_SOURCES, ids=lambda each: getattr(each, "__name__", ""))
def test_a_source_that_goes_wrong_in_time_is_found_out(make: Callable[[], AudioSource], words: str) -> None:
    async def check() -> None:
        await check_source(make())

    with pytest.raises(AssertionError, match=words):
        run_virtual(check)


@virtual
async def test_a_live_source_keeps_time() -> None:
    for good in (Microphone(), MemorySource(*[silence(20)] * 50)):
        await check_source(good, live=True)
    spoiled: list[tuple[AudioSource, str]] = [
        (Speaker(*[silence(20)] * 100), "must keep time: 500 ms of audio took 0 ms"),
        (Slow(), "must keep time: 500 ms of audio took 5000 ms"),
        (MemorySource(*[silence(20)] * 10), "must not end by itself"),
    ]
    for wrong, words in spoiled:
        with pytest.raises(AssertionError, match=words):
            await check_source(wrong, live=True)


@virtual
async def test_a_live_source_lets_others_run() -> None:
    loop: Any = asyncio.get_running_loop()

    class Recording:
        """Waits for its device as a thread would."""

        format = AudioFormat()

        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                loop._now += 0.02  # time passes, and nobody else has a turn: this is what is wrong with it
                yield silence(20)

    with pytest.raises(AssertionError, match="must wait by await"):
        await check_source(Recording(), live=True)


class Slow(Iterator):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await anyio.sleep(0.2)
            yield silence(20)


async def test_a_good_source_passes_and_is_left_properly() -> None:
    endless = Speaker(*[silence(20)] * 100)
    await check_source(endless, chunks=3)
    assert (endless.begun, endless.closed) == (2, 2)
    await check_source(MemorySource(paced=False))  # one that says nothing is a source too
    await check_source(MemorySource(b"\xff" * 8, format=ULAW, paced=False))
    await check_source(Iterator())  # one that is no generator, and is over when it is over
    stereo = Speaker(bytes(8), format=STEREO)
    for reference in (None, "server", "client"):
        stereo.echo_cancellation = reference  # type: ignore[attr-defined]
        await check_source(stereo)
    assert not leftover_tasks()


@pytest.mark.parametrize(
    "error", [RuntimeError("it is used up"), ValueError("closed"), OSError("gone"), VoiceLiveError("no")]
)
async def test_a_source_may_refuse_a_second_call_in_words(error: Exception) -> None:
    source = OnceOnly()
    source.error = error
    await check_source(source)
