"""The asyncio shell: does what the conversation decides, and has no opinions of its own.

A core call and the performing of its outputs are one synchronous step on the event loop: no await, no lock. So two
output lists can never interleave, and the reader never waits for a socket, a sink or a consumer. Helpers do the
waiting: the pump writes to the sink, the control writer to the socket, and consumers read from a buffer.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio

from . import _wire as wire
from ._buffer import EventBuffer
from ._connection import Connection, ConnectionEnded
from ._conversation import Conversation
from ._outputs import CallTool, CancelTool, End, FinishPlayback, MoveSpeech, Output, Play, StopPlayback
from ._plan import Plan
from ._pump import SILENCE, Pump
from ._speech import Speech
from .audio import AudioSink, AudioSource, WireFormats
from .events import EndReason, MicrophoneDropped, SessionStarted, State, Verdict
from .tools import Tool, ToolContext, ToolThreads, run_tool

logger = logging.getLogger("voicelive_agent")

UNSENT_LIMIT_MS: Final = 200
"""Microphone audio that may wait for the network; what comes beyond it is dropped, since old speech is useless."""
BLOCK_MS: Final = 20
"""The pieces of silence that follow the end of a source."""
SETTLE_MS: Final = 200
"""Quiet, beyond the silence that ends a turn, after which the end of a source is the end of the call."""
TOOL_TIMEOUT_S: Final = 60.0
"""The limit of a tool that names none."""


class Shell:
    """One call: one connection, one source, one sink, one conversation."""

    def __init__(
        self,
        plan: Plan,
        connection: Connection,
        *,
        source: AudioSource | None,
        sink: AudioSink | None,
        formats: WireFormats,
        tools: dict[str, Tool],
        agent: object,
    ) -> None:
        self.conversation = Conversation(plan)
        self.events = EventBuffer()
        self.error: Exception | None = None
        self._plan = plan
        self._connection = connection
        self._source = source
        self._formats = formats
        self._tools = tools
        self._agent = agent
        self._loop = asyncio.get_running_loop()
        self._pump = self._make_pump(sink) if sink is not None else None
        self._requests, self._to_send = anyio.create_memory_object_stream[str](math.inf)
        self._timer: asyncio.TimerHandle | None = None
        self._started = anyio.Event()
        self._over = anyio.Event()
        self._tasks: anyio.abc.TaskGroup | None = None
        self._threads = ToolThreads()
        self._running_tools: dict[str, anyio.CancelScope] = {}
        self._speeches: dict[int, Speech] = {}

    def _make_pump(self, sink: AudioSink) -> Pump:
        from ._pcm import Converter

        converter = Converter(self._formats.output, sink.format)
        return Pump(sink, self._formats.output, converter, clock=self._loop.time, tell=self.events.put)

    # --- the step ---

    def step(self, act: Callable[..., list[Output]], *args: Any, **kwargs: Any) -> None:
        """Feed the conversation and do what it says, all at once."""
        pending = self._pump.pending if self._pump is not None else 0
        for output in act(*args, pending=pending, now=self._loop.time(), **kwargs):
            self._perform(output)
        self._arm_timer()

    def post(self, act: Callable[..., list[Output]], *args: Any, **kwargs: Any) -> None:
        """The same from any thread. Raises RuntimeError when the call's loop is gone."""
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self.step(act, *args, **kwargs)
        else:
            self._loop.call_soon_threadsafe(lambda: self.step(act, *args, **kwargs))

    def say(self, ticket: int, speech: Speech, *, uninterruptible: bool) -> None:
        """Queue something to be said."""
        self._speeches[ticket] = speech
        self.post(self.conversation.say, speech.text, ticket=ticket, uninterruptible=uninterruptible)

    def close(self, verdict: Verdict) -> None:
        """End the call, for this reason unless it has ended already."""
        self.step(self.conversation.close, verdict)

    def _perform(self, output: Output) -> None:
        match output:
            case Play():
                if self._pump is not None:
                    self._pump.play(output)
            case FinishPlayback():
                if self._pump is not None:
                    self._pump.finish()
            case StopPlayback():
                if self._pump is not None:
                    self._pump.stop()
            case (
                wire.UpdateSession()
                | wire.CreateItem()
                | wire.DeleteItem()
                | wire.TruncateItem()
                | wire.CreateResponse()
                | wire.CancelResponse()
            ):
                logger.debug("> %s", wire.request_type(output))
                self._requests.send_nowait(wire.encode(output))
            case CallTool():
                if self._tasks is not None:
                    self._tasks.start_soon(self._guard, self._call_tool, output)
            case CancelTool(call_id):
                if (scope := self._running_tools.get(call_id)) is not None:
                    scope.cancel()
            case MoveSpeech(ticket, status):
                self._speeches[ticket]._move(status)
                if status not in ("queued", "speaking"):
                    del self._speeches[ticket]
            case End():
                self.events.close()
                self._over.set()
            case _:
                if isinstance(output, SessionStarted):
                    self._started.set()
                self.events.put(output)

    def _arm_timer(self) -> None:
        """Exactly one timer. An earlier one is left: it finds nothing to do and is armed anew."""
        deadline = self.conversation.deadline
        if self._timer is not None:
            if deadline is not None and self._timer.when() <= deadline:
                return
            self._timer.cancel()
        self._timer = None if deadline is None else self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        try:
            self.step(self.conversation.tick)
        except Exception as error:  # noqa: BLE001  (the sink's border: the call ends with it)
            self._fail(error)

    # --- the tasks ---

    async def run(self) -> None:
        """Hold the call until it ends. What a source or a sink raised is in ``error`` then."""
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                tasks.start_soon(self._guard, self._read)
                tasks.start_soon(self._guard, self._write)
                if self._source is not None:
                    tasks.start_soon(self._guard, self._listen, self._source)
                if self._pump is not None:
                    tasks.start_soon(self._guard, self._pump.run)
                await self._over.wait()
                tasks.cancel_scope.cancel()
        finally:
            self.close(Verdict(EndReason.STOPPED))
            if self._timer is not None:
                self._timer.cancel()
            self._requests.close()
            self._to_send.close()
            with anyio.CancelScope(shield=True):
                await self._connection.close()
            if abandoned := self._threads.abandoned:
                logger.warning("Tools still running at the end, now abandoned: %s.", ", ".join(sorted(abandoned)))
            self._threads.close()

    async def _guard(self, work: Callable[..., Awaitable[None]], *args: Any) -> None:
        try:
            await work(*args)
        except Exception as error:  # noqa: BLE001  (the border to sources and sinks: it comes out of run())
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if self.error is None:
            self.error = error
            self._pump = None  # it may be what failed
            self.close(Verdict(EndReason.FAILED, f"{type(error).__name__}: {error}"))

    async def _read(self) -> None:
        receive = self._connection.receive
        try:
            while True:
                message = wire.decode(await receive())
                logger.debug("< %s", type(message).__name__)
                self.step(self.conversation.receive, message)
        except ConnectionEnded as ended:
            self.close(ended.verdict)

    async def _write(self) -> None:
        try:
            async for text in self._to_send:
                await self._connection.send(text)
        except ConnectionEnded:
            pass  # the reader learns it too, and tells the conversation

    async def _call_tool(self, call: CallTool) -> None:
        started = self._loop.time()
        context = ToolContext(self._agent, call.call_id, call.name)
        with anyio.CancelScope() as scope:
            self._running_tools[call.call_id] = scope
            tool = self._tools[call.name]
            result = await run_tool(tool, call.arguments, context, threads=self._threads, timeout_s=TOOL_TIMEOUT_S)
            elapsed_ms = round((self._loop.time() - started) * 1000)
            self.step(
                self.conversation.tool_finished,
                call.call_id,
                result.output,
                error=result.error,
                elapsed_ms=elapsed_ms,
            )
        self._running_tools.pop(call.call_id, None)

    # --- the microphone ---

    async def _listen(self, source: AudioSource) -> None:
        """Send what the source says, from the moment the service is ready for it, and end when it ends."""
        from ._pcm import Converter

        await self._started.wait()
        converter = Converter(source.format, self._formats.input)
        frame, rest, dropped = self._formats.input.frame_bytes, b"", 0
        try:
            async for chunk in source:
                audio = rest + converter.process(chunk)
                whole = len(audio) - len(audio) % frame
                audio, rest = audio[:whole], audio[whole:]
                if self._connection.unsent > self._unsent_limit:
                    dropped += len(audio) // frame
                    continue
                if dropped:
                    self._tell_dropped(dropped)
                    dropped = 0
                await self._send_audio(audio)
            await self._send_audio(converter.finish())
            await self._finish_source()
        except ConnectionEnded:
            pass  # the reader learns it too, and tells the conversation
        finally:
            if dropped:
                self._tell_dropped(dropped)

    @property
    def _unsent_limit(self) -> int:
        """Bytes of base64 that stand for ``UNSENT_LIMIT_MS``."""
        wire_format = self._formats.input
        return wire_format.rate * wire_format.frame_bytes * UNSENT_LIMIT_MS // 1000 * 4 // 3

    def _tell_dropped(self, samples: int) -> None:
        self.events.put(MicrophoneDropped(samples * 1000 // self._formats.input.rate))

    async def _send_audio(self, audio: bytes) -> None:
        if not audio:
            return
        if self.conversation.mutes_input:
            audio = SILENCE[self._formats.input.encoding] * len(audio)
        await self._connection.send(wire.append_audio(audio))
        self.conversation.audio_sent(len(audio) // self._formats.input.frame_bytes, self._loop.time())

    async def _finish_source(self) -> None:
        """Send silence, in real time, until all is answered and heard: only then it is over."""
        wire_format = self._formats.input
        block = SILENCE[wire_format.encoding] * (wire_format.rate * BLOCK_MS // 1000 * wire_format.frame_bytes)
        quiet_for_s = (self._plan.turns.silence_ms + SETTLE_MS) / 1000
        due = quiet_since = self._loop.time()
        while due - quiet_since < quiet_for_s:
            await self._send_audio(block)
            due += BLOCK_MS / 1000
            await anyio.sleep_until(due)
            if self.conversation.state not in (State.READY, State.ERROR):
                quiet_since = due
        self.close(Verdict(EndReason.SOURCE_FINISHED))
