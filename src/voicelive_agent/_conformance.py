"""The contracts of sources and sinks as checks that anybody's transport can be put through.

What is checked is what :mod:`voicelive_agent.audio` says, sentence by sentence, and nothing else: an
AssertionError names the sentence that does not hold. A listener is compared with an ideal one, who hears from the
moment of the first write at exactly the speed of speech.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

import anyio

from ._paced import PacedQueue
from ._pump import SILENCE
from .audio import AudioFormat, AudioSink, AudioSource
from .errors import VoiceLiveError

__all__ = ["check_sink", "check_source"]

ODD: Final = 37
"""Samples of an odd tail: no divisor of any block that is usual."""
EARLY_MS: Final = 100
"""A sink may run ahead of the ideal listener by a block or two, if it cannot say better what was heard."""
JUMP_MS: Final = 250
"""And what it knows may be that old, between two reports of a far end."""
BLOCKED_S: Final = 1.0
"""Whoever takes so long for writes of 2.3 s, or for a flush, has waited for the listener."""
LATE_MS: Final = 1_000
"""A live source may be that late with half a second, on a busy machine or a bad line."""
STEP_S: Final = 0.01
_END: Final = object()


def _require(holds: bool, words: str) -> None:
    if not holds:
        raise AssertionError(words)


# --- sinks -------------------------------------------------------------------------------------------------------


async def check_sink(sink: AudioSink, *, speed: float = 1.0, latency_ms: int = 1_000) -> None:
    """Check that something keeps the contract of :class:`AudioSink`; AssertionError says what it breaks.

    Plays about 0.8 s of silence to it, and drops some more. Whatever its listener needs must be there: a far end
    that reports what it played, or a task that sends. ``speed`` is how many seconds the listener hears in a second
    of the event loop, and ``latency_ms`` how much later than an ideal listener he may have heard the last sample.
    """
    await _SinkCheck(sink, speed, latency_ms / 1000).run()


class _SinkCheck:
    """One sink, and the ideal listener to whom the same is written at the same time."""

    def __init__(self, sink: AudioSink, speed: float, latency_s: float) -> None:
        _require_members(sink, "format", "pending", "write", "flush")
        _require(isinstance(sink.format, AudioFormat), "format must be an AudioFormat")
        self._sink = sink
        self._format = sink.format
        self._speed = speed
        self._latency_s = latency_s
        self._ideal = PacedQueue(sink.format.rate, anyio.current_time, speed)

    async def run(self) -> None:
        """All sentences, the cheap ones first."""
        _check_methods(self._sink)
        estimated = getattr(self._sink, "estimated", False)
        _require(isinstance(estimated, bool), f"estimated must be a bool, and is {estimated!r}")
        self._flush("though nothing was written")
        await self._check_counting()
        await self._check_falling()
        await self._check_flush_while_heard()
        _require(self._sink.format == self._format, "format must not change")

    # --- the sentences ---

    async def _check_counting(self) -> None:
        self._write(0)
        _require(self._read() == 0, "writing nothing must be nothing pending")
        self._write(ODD)
        _require(
            self._read() > 0 or self._ideal.pending < ODD // 2,
            "pending must rise with a write, of any size, and not fall before it is heard",
        )
        began = time.perf_counter()
        for _ in range(self._samples(300) // ODD):
            self._write(ODD)
        self._write(self._samples(2_000) + ODD)
        _require(time.perf_counter() - began < BLOCKED_S, "write() must not block: it takes everything at once")
        self._flush("right after a write")
        await self._stays_silent()

    async def _check_falling(self) -> None:
        self._write(self._samples(600) + ODD)  # longer than a clock alone should be believed
        await self._hear_all()

    async def _check_flush_while_heard(self) -> None:
        self._write(self._samples(300))
        await self._watch(anyio.current_time() + 0.1 / self._speed)
        self._flush("while it is heard")
        await self._stays_silent()
        self._write(self._samples(100))
        _require(self._read() > 0 or self._ideal.pending == 0, "a sink must take audio again after a flush")
        await self._hear_all()

    # --- what they are made of ---

    def _samples(self, ms: float) -> int:
        return int(self._format.rate * ms / 1000)

    def _read(self) -> int:
        """``pending``, compared with what the ideal listener has left."""
        pending = self._sink.pending
        _require(type(pending) is int, f"pending must be a property that is an int, not {pending!r}")
        _require(pending >= 0, f"pending must never be negative, and is {pending}")
        # In this order, for time goes on: what was in flight a moment later was pending a moment ago.
        in_flight = getattr(self._sink, "in_flight", 0)
        _require(
            type(in_flight) is int and 0 <= in_flight <= pending,
            f"in_flight must be a part of pending ({pending}), and is {in_flight!r}",
        )
        _require(
            pending >= self._ideal.pending - self._samples(EARLY_MS * self._speed),
            "pending must be all that was written and not yet heard, and fall with the listener's clock: "
            f"it is {pending} where {self._ideal.pending} samples cannot have been heard",
        )
        return pending

    def _write(self, samples: int) -> None:
        before = self._read()
        self._ideal.write(samples)
        pcm = SILENCE[self._format.encoding] * (samples * self._format.frame_bytes)
        _require_synchronous("write", f"given {samples} samples", lambda: self._sink.write(pcm))
        after = self._read()
        _require(
            after <= before + samples,
            f"pending must count samples, once: it rose from {before} to {after} with a write of {samples}",
        )

    def _flush(self, when: str) -> None:
        for again in ("", " a second time"):
            self._ideal.flush()
            began = time.perf_counter()
            _require_synchronous("flush", f"called{again}, {when}", self._sink.flush)
            took_s = time.perf_counter() - began
            _require(
                took_s < BLOCKED_S, f"flush() must not block: it drops what is not heard, and took {took_s:.1f} s"
            )
            pending = self._read()
            _require(pending == 0, f"pending must be 0 when flush() returns{again}, {when}, and is {pending}")

    async def _stays_silent(self) -> None:
        await self._watch(anyio.current_time() + 0.05)
        _require(self._read() == 0, "only write() may raise pending, and after a flush there was none")

    async def _hear_all(self) -> None:
        """Wait for the listener, but not longer than an ideal one with this latency would take."""
        late = self._ideal.pending / self._format.rate / self._speed + self._latency_s
        deadline = anyio.current_time() + late
        await self._watch(deadline, until_heard=True)
        left = self._read()
        _require(
            left == 0,
            "pending must fall to 0 with the listener's clock, and an odd tail be played too: "
            f"{left} samples are left that must have been heard",
        )

    async def _watch(self, deadline: float, *, until_heard: bool = False) -> None:
        """See pending fall, until then; or until it is 0."""
        since, last = anyio.current_time(), self._read()
        while since < deadline and not (until_heard and not last):
            await anyio.sleep(STEP_S)
            # Read between two looks at the clock: this process may be held up at any place.
            before, pending, after = anyio.current_time(), self._read(), anyio.current_time()
            _require(pending <= last, f"only write() may raise pending, and it rose from {last} to {pending}")
            _require(
                last - pending <= self._samples((1000 * (after - since) + JUMP_MS) * self._speed),
                f"pending must fall with the listener's clock, and jumped from {last} to {pending}",
            )
            last, since = pending, before


# --- sources -----------------------------------------------------------------------------------------------------


async def check_source(source: AudioSource, *, chunks: int = 5, live: bool = False, wait_s: float = 5.0) -> None:
    """Check that something keeps the contract of :class:`AudioSource`; AssertionError says what it breaks.

    Takes ``chunks`` chunks of it and leaves in the middle, if it has not ended by then; then begins anew. It is
    ``live`` if it is somebody's microphone or line, whose audio comes in the time that it lasts. A source that
    gives nothing for ``wait_s`` seconds has broken the contract too: who is silent sends silence.
    """
    _require_members(source, "format")
    _require(isinstance(source.format, AudioFormat), "format must be an AudioFormat")
    _check_methods(source)
    _check_echo_cancellation(source)
    check = _SourceCheck(source, wait_s)
    iterator = check.iterate()
    for _ in range(chunks):
        if not await check.next_chunk(iterator):
            break
    if live:
        await check.keeps_time(iterator)
    await check.leave(iterator)
    await check.begins_anew()
    _require(source.format == check.format, "format must not change")


class _SourceCheck:
    """One source, and how long it may keep us waiting."""

    def __init__(self, source: AudioSource, wait_s: float) -> None:
        self.format = source.format
        self._source = source
        self._wait_s = wait_s
        self._frames = 0

    def iterate(self) -> AsyncIterator[bytes]:
        """Begin, as an ``async for`` does."""
        make: Callable[[], object] | None = getattr(self._source, "__aiter__", None)
        iterator = make() if make is not None else None
        if inspect.iscoroutine(iterator):
            iterator.close()
        if not isinstance(iterator, AsyncIterator):
            raise AssertionError("a source must be usable in an async for (with a plain __aiter__)")
        return iterator

    async def next_chunk(self, iterator: AsyncIterator[bytes]) -> bool:
        """Take one chunk, and judge it. False at the end, which is an end for good."""
        if (chunk := await self._next(iterator)) is _END:
            _require(await self._next(iterator) is _END, "a source that has ended must not go on")
            return False
        if not isinstance(chunk, bytes):
            raise AssertionError(f"a chunk must be bytes, not {type(chunk).__name__}")
        frames, rest = divmod(len(chunk), self.format.frame_bytes)
        _require(not rest, f"a chunk must be a whole number of frames, not {len(chunk)} bytes of {self.format}")
        self._frames += frames
        return True

    async def _next(self, iterator: AsyncIterator[object]) -> object:
        with anyio.move_on_after(self._wait_s):
            return await anext(iterator, _END)
        raise AssertionError(f"a source must go on or end, and this one gave nothing for {self._wait_s:g} s")

    async def keeps_time(self, iterator: AsyncIterator[bytes]) -> None:
        """Half a second of it takes half a second, whatever it had kept from before."""
        began, before = anyio.current_time(), self._frames
        others = asyncio.Event()  # had their turn
        asyncio.get_running_loop().call_soon(others.set)
        while self._frames - before < self.format.rate // 2:
            _require(await self.next_chunk(iterator), "a live source must not end by itself")
        took_ms = (anyio.current_time() - began) * 1000
        lasts_ms = (self._frames - before) * 1000 / self.format.rate
        _require(
            lasts_ms - 2 * EARLY_MS <= took_ms <= lasts_ms + LATE_MS,
            f"a live source must keep time: {lasts_ms:.0f} ms of audio took {took_ms:.0f} ms",
        )
        _require(others.is_set(), "a live source must wait by await: it kept the event loop from everybody else")

    async def leave(self, iterator: AsyncIterator[bytes]) -> None:
        """Stop in the middle, as the agent does at the end of a call."""
        if (aclose := getattr(iterator, "aclose", None)) is None:
            return
        with anyio.move_on_after(self._wait_s) as limit:
            try:
                await aclose()
            except RuntimeError as error:  # "async generator ignored GeneratorExit"
                raise AssertionError(f"a source must let itself be left: {error}") from error
        _require(not limit.cancelled_caught, f"a source must let itself be left, within {self._wait_s:g} s")
        _require(await self._next(iterator) is _END, "a source that was left must not go on")

    async def begins_anew(self) -> None:
        """A second call gets audio, or the end, or is told why not."""
        try:
            iterator = self.iterate()
            await self.next_chunk(iterator)
            await self.leave(iterator)
        except AssertionError:
            raise
        except Exception as error:  # noqa: BLE001  (the border to somebody's source)
            _require(
                isinstance(error, VoiceLiveError | RuntimeError | ValueError | OSError) and bool(str(error)),
                f"a source must be iterable again, or say in words why not: {error!r}",
            )


def _check_echo_cancellation(source: AudioSource) -> None:
    reference = getattr(source, "echo_cancellation", None)
    _require(
        reference in (None, "server", "client"),
        f'echo_cancellation must be None, "server" or "client", and is {reference!r}',
    )
    _require(
        reference != "client" or (source.format.channels, source.format.encoding) == (2, "pcm16"),
        f"an echo reference is the second of two channels of pcm16, and the format is {source.format}",
    )


# --- both --------------------------------------------------------------------------------------------------------


def _check_methods(transport: AudioSource | AudioSink) -> None:
    """What it may have to take part in the call, if it has it."""
    for name in ("join", "observe"):
        method = getattr(transport, name, _check_methods)
        _require(callable(method) and not inspect.iscoroutinefunction(method), f"{name} must be a plain function")


def _require_members(transport: object, *names: str) -> None:
    lacking = [name for name in names if getattr(transport, name, None) is None]
    _require(not lacking, f"{type(transport).__name__} must have {' and '.join(lacking)}")


def _require_synchronous(name: str, how: str, call: Callable[[], object]) -> None:
    try:
        result = call()
    except Exception as error:
        error.add_note(f"{name}() must not raise: it was {how}.")
        raise
    if inspect.iscoroutine(result):
        result.close()
    _require(result is None, f"{name}() must be a plain function that returns nothing, and returned {result!r}")
