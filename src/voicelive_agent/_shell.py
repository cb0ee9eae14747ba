"""The asyncio shell: does what the conversation decides, and has no opinions of its own.

A core call and the performing of its outputs are one synchronous step on the event loop: no await, no lock. So two
output lists can never interleave, and the reader never waits for a socket, a sink or a consumer. Helpers do the
waiting: the pump writes to the sink, the control writer to the socket, and consumers read from a buffer.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import anyio
import anyio.lowlevel

from . import _wire as wire
from ._approval import ApprovalAnswer, ApprovalRequest
from ._awaited import AwaitedUpdates
from ._buffer import EventBuffer
from ._connection import Connection, ConnectionEnded, Connector
from ._conversation import Conversation
from ._outputs import (
    CallTool,
    CancelTool,
    End,
    FinishPlayback,
    FinishUpdate,
    MoveSpeech,
    Output,
    Play,
    StopPlayback,
)
from ._plan import Plan
from ._pump import SILENCE, Pump
from ._speech import Reply, Speech
from ._tool_runs import ToolRuns
from ._tool_threads import ToolThreads
from ._updates import Change
from .audio import AudioSink, AudioSource, CallMember, CallObserver, WireFormats
from .config import Settings
from .errors import SessionLostError
from .events import (
    EndReason,
    Event,
    HookFailed,
    MicrophoneDropped,
    SessionEnded,
    SessionStarted,
    SettingNotGranted,
    State,
    Verdict,
)

logger = logging.getLogger("voicelive_agent")

UNSENT_LIMIT_MS: Final = 200
"""Microphone audio that may wait for the network; what comes beyond it is dropped, since old speech is useless."""
BLOCK_MS: Final = 20
"""The pieces of silence that follow the end of a source."""
SETTLE_MS: Final = 200
"""Quiet, beyond the silence that ends a turn, after which the end of a source is the end of the call."""
CLEANUP_S: Final = 2.0
"""The longest that a source's own cleanup is waited for."""
CLOSE_LIMIT_S: Final = 3.0
"""The longest that closing a connection is waited for; the service's own keeps to 2 s."""
HOOK_GRACE_S: Final = 10.0
"""How long a hook that was being awaited when the call ended may still take."""


class Shell:
    """One call: one connection, one source, one sink, one conversation."""

    _connection: Connection

    def __init__(
        self,
        plan: Plan,
        *,
        source: AudioSource | None,
        sink: AudioSink | None,
        formats: WireFormats,
        approve: Callable[[ApprovalRequest], Awaitable[ApprovalAnswer]],
        report: bool,
        agent: object,
    ) -> None:
        self.conversation = Conversation(plan)
        self.events = EventBuffer()
        self.error: Exception | None = None
        self.verdict: Verdict | None = None
        self.hook: anyio.CancelScope | None = None  # around the hook that is being awaited
        self._plan = plan
        self._source = source
        self._formats = formats
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._pump = self._make_pump(sink) if sink is not None else None
        self._requests: asyncio.Queue[str] = asyncio.Queue()
        self._timer: asyncio.TimerHandle | None = None
        self._connecting = anyio.CancelScope()
        self._started = anyio.Event()
        self._over = anyio.Event()
        self._tasks: anyio.abc.TaskGroup | None = None
        self._threads = ToolThreads()
        self.tool_runs = ToolRuns(
            self.conversation,
            self.step,
            approve=approve,
            report=(lambda error: self.tell(HookFailed("approve", error))) if report else None,
            threads=self._threads,
            agent=agent,
        )
        self._speeches: dict[int, Speech | Reply] = {}
        self._updates = AwaitedUpdates()
        self._dropped = 0  # samples of the microphone, not yet told
        self._stepping = False
        both: list[object] = [source, sink]
        # Who is source and sink in one takes part once.
        self._transports = both[:1] if both[0] is both[1] else both
        self._observers = [each for each in self._transports if isinstance(each, CallObserver)]

    def _make_pump(self, sink: AudioSink) -> Pump:
        from ._pcm import Converter

        converter = Converter(self._formats.output, sink.format)
        return Pump(sink, self._formats.output, converter, clock=self._loop.time, tell=self.tell)

    # --- what a source or a sink may do, see audio.Call ---

    def begin(self) -> None:
        """Let the source and the sink know that their call begins."""
        for member in self._transports:
            if isinstance(member, CallMember):
                member.join(self)

    def tell(self, event: Event) -> None:
        """An event for those who take part, at once, and for the consumer in its turn."""
        for observer in self._observers:
            try:
                observer.observe(event)
            except Exception as error:  # noqa: BLE001  (the border to sources and sinks: it comes out of run())
                self.fail(error)
        self.events.put(event)

    def fail(self, error: Exception) -> None:
        """End the call with this exception."""
        self.error = self.error or error
        self.close(Verdict(EndReason.FAILED, f"{type(error).__name__}: {error}"))

    def hang_up(self, detail: str) -> None:
        """The far end has left."""
        self.close(Verdict(EndReason.HUNG_UP, detail))

    def interrupt(self) -> None:
        """Stop talking, at once."""
        self.post(self.conversation.interrupt)

    def send_text(self, text: str) -> None:
        """Let the user have typed this."""
        self.post(self.conversation.send_text, text)

    # --- the step ---

    def step(self, act: Callable[..., list[Output]], *args: Any, **kwargs: Any) -> None:
        """Feed the conversation and do what it says, all at once. What the sink raises ends the call.

        What a source or a sink asks for while it is told something comes after that.
        """
        if self._stepping:
            self._loop.call_soon(functools.partial(self.step, act, *args, **kwargs))
            return
        self._stepping = True
        try:
            self._do(act, args, kwargs)
        finally:
            self._stepping = False
        if self.error is not None and not self._over.is_set():
            self.fail(self.error)

    def _do(self, act: Callable[..., list[Output]], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        pending = 0
        if self._pump is not None:
            pending = sys.maxsize  # a sink that cannot tell has been heard no further
            with self._sink_border():
                pending, self.conversation.in_flight = self._pump.pending, self._pump.in_flight
        for output in act(*args, pending=pending, now=self._loop.time(), **kwargs):
            self._perform(output)
        self._arm_timer()

    def refresh(self) -> None:
        """Let the conversation know what was heard until now, if this is its thread; else it is as of late."""
        if self._is_here and not self.over:
            self.step(self.conversation.tick)

    @property
    def _is_here(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def post(self, act: Callable[..., list[Output]], *args: Any, **kwargs: Any) -> None:
        """The same from any thread. Raises RuntimeError when the call's loop is gone."""
        if self._is_here:
            self.step(act, *args, **kwargs)
        else:
            # In the call's own context, in which a sink's clock may look for the loop.
            step = functools.partial(self.step, act, *args, **kwargs)
            self._loop.call_soon_threadsafe(step, context=self._context)

    def say(self, ticket: int, speech: Speech, *, uninterruptible: bool) -> None:
        """Queue something to be said."""
        self._speeches[ticket] = speech
        self.post(self.conversation.say, speech.text, ticket=ticket, uninterruptible=uninterruptible)

    def respond(self, ticket: int, asked: Speech | Reply, params: Mapping[str, Any]) -> None:
        """Queue a response of the model's own words."""
        self._speeches[ticket] = asked
        self.post(self.conversation.respond, params, ticket=ticket, silent=isinstance(asked, Reply))

    @property
    def is_audible(self) -> bool:
        """Whether the agent has something to speak through."""
        return self._pump is not None

    async def update(self, change: Change) -> Mapping[str, Any]:
        """Change the session, and return it as it was granted; raises the refusal, or how the call ended."""
        if not self._is_here:
            raise RuntimeError("The session is changed in the event loop of the call: await it there.")
        if self.verdict is not None:
            raise SessionLostError(self.verdict)
        ticket, answer = self._updates.expect()
        self.step(self.conversation.update_session, change, ticket=ticket)
        return await answer

    @property
    def over(self) -> bool:
        """Whether the call has ended."""
        return self._over.is_set()

    def close(self, verdict: Verdict) -> None:
        """End the call, for this reason unless it has ended already."""
        self.step(self.conversation.close, verdict)

    @contextmanager
    def _sink_border(self) -> Iterator[None]:
        """What the sink raises comes out of run(), not of ``say()`` or ``stop()``, and cuts no step short."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  (the call ends with it, after this step)
            self.error = self.error or error

    def _perform(self, output: Output) -> None:
        if isinstance(output, wire.Request):
            logger.debug("> %s", wire.request_type(output))
            self._requests.put_nowait(wire.encode(output))
            return
        match output:
            case Play():
                if self._pump is not None:
                    self._pump.play(output)
            case FinishPlayback():
                if self._pump is not None:
                    self._pump.finish()
            case StopPlayback():
                if self._pump is not None:
                    with self._sink_border():
                        self._pump.stop()
            case CallTool() | ApprovalRequest():
                if self._tasks is not None:
                    self._tasks.start_soon(self._guard, self.tool_runs.begin(output))
            case CancelTool(call_id):
                self.tool_runs.cancel(call_id)
            case MoveSpeech(ticket, status, text):
                self._speeches[ticket]._move(status, text)
                if status not in ("queued", "speaking"):
                    del self._speeches[ticket]
            case FinishUpdate():
                self._updates.finish(output)
            case End(verdict):
                self.verdict = verdict
                self._over.set()
                self._connecting.cancel()
                if self.hook is not None:
                    self.hook.deadline = self._loop.time() + HOOK_GRACE_S
            case _:
                if isinstance(output, SessionStarted):
                    self._started.set()
                elif isinstance(output, SessionEnded):
                    self._tell_dropped()
                elif isinstance(output, SettingNotGranted):
                    asked, granted = f"{output.asked!r:.80}", f"{output.granted!r:.80}"
                    logger.warning("%s was asked for as %s and granted as %s.", output.path, asked, granted)
                self.tell(output)

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
        except Exception as error:  # noqa: BLE001  (nobody waits for a timer: the call ends with it)
            self.fail(error)

    # --- the tasks ---

    async def connect(self, connector: Connector, settings: Settings) -> Connection | None:
        """Open the connection; None if the call was ended first. Raises what the connector raises."""
        with self._connecting:
            return await connector.connect(settings)
        return None

    async def run(self, connection: Connection) -> None:
        """Hold the call until it ends. What a source or a sink raised is in ``error`` then."""
        self._connection = connection
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
            with anyio.move_on_after(CLOSE_LIMIT_S, shield=True):
                await self._connection.close()
            if abandoned := self._threads.abandoned:
                logger.warning("Tools still running at the end, now abandoned: %s.", ", ".join(sorted(abandoned)))
            self._threads.close()

    async def _guard(self, work: Callable[..., Awaitable[None]], *args: Any) -> None:
        try:
            await work(*args)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Something it waited for was cancelled. Unless it fails, the call would go on deaf or mute.
            self.fail(RuntimeError(f"{work.__name__.strip('_')}() was cancelled, but not by this call."))
        except Exception as error:  # noqa: BLE001  (the border to sources and sinks: it comes out of run())
            self.fail(error)

    async def _read(self) -> None:
        receive = self._connection.receive
        try:
            while True:
                message = wire.decode(await receive())
                logger.debug("< %s", type(message).__name__)
                self.step(self.conversation.receive, message)
                if isinstance(message, wire.AudioDelta):
                    # It comes in bursts, and their beginning has to sound before the rest is read.
                    await asyncio.sleep(0)
        except ConnectionEnded as ended:
            self.close(ended.verdict)

    async def _write(self) -> None:
        try:
            while True:
                await self._connection.send(await self._requests.get())
                self._requests.task_done()
        except ConnectionEnded:
            pass  # the reader learns it too, and tells the conversation

    # --- the microphone ---

    async def _listen(self, source: AudioSource) -> None:
        """Send what the source says, from the moment the service is ready for it, and end when it ends."""
        from ._pcm import Converter

        await self._started.wait()
        converter = Converter(source.format, self._formats.input)
        frame, rest = self._formats.input.frame_bytes, b""
        try:
            async with _iterated(source) as chunks:
                async for chunk in chunks:
                    if not isinstance(chunk, bytes | bytearray | memoryview):
                        given = f"{type(source).__name__} gave a {type(chunk).__name__}"
                        raise TypeError(f"{given}: the chunks of a source are bytes, here of {source.format}.")
                    audio = rest + converter.process(bytes(chunk))
                    whole = len(audio) - len(audio) % frame
                    audio, rest = audio[:whole], audio[whole:]
                    if self._connection.unsent > self._unsent_limit:
                        self._dropped += len(audio) // frame
                        continue
                    self._tell_dropped()
                    await self._send_audio(audio)
            self._tell_dropped()
            await self._send_audio(converter.finish())
            await self._finish_source()
        except ConnectionEnded:
            pass  # the reader learns it too, and tells the conversation

    @property
    def _unsent_limit(self) -> int:
        """Bytes of base64 that stand for ``UNSENT_LIMIT_MS``."""
        wire_format = self._formats.input
        return wire_format.rate * wire_format.frame_bytes * UNSENT_LIMIT_MS // 1000 * 4 // 3

    def _tell_dropped(self) -> None:
        if self._dropped:
            self.tell(MicrophoneDropped(self._dropped * 1000 // self._formats.input.rate))
            self._dropped = 0

    async def _send_audio(self, audio: bytes) -> None:
        if self.conversation.turns_by_hand:
            await self._requests.join()  # the commit of the last turn keeps its place before this audio
            audio = self.conversation.hear(audio)
        elif self.conversation.mutes_input:
            audio = SILENCE[self._formats.input.encoding] * len(audio)
        if not audio:
            return
        await self._connection.send(wire.append_audio(audio))
        self.conversation.audio_sent(len(audio) // self._formats.input.frame_bytes, self._loop.time())

    async def _finish_source(self) -> None:
        """Send silence, in real time, until all is answered and heard: only then it is over."""
        self.step(self.conversation.end_turn)  # of push-to-talk: nobody is there any more to say so
        wire_format = self._formats.input
        block = SILENCE[wire_format.encoding] * (wire_format.rate * BLOCK_MS // 1000 * wire_format.frame_bytes)
        quiet_for_ms = self._plan.turns.silence_ms + SETTLE_MS + BLOCK_MS  # it began within a block
        quiet_ms = 0
        while quiet_ms < quiet_for_ms and not self.over:
            await self._send_audio(block)
            # Time that was lost is not made up for: the service is to have its time after each of them.
            await anyio.sleep(BLOCK_MS / 1000)
            quiet_ms = quiet_ms + BLOCK_MS if self._is_quiet else 0
        self.close(Verdict(EndReason.SOURCE_FINISHED))

    @property
    def _is_quiet(self) -> bool:
        """Whether nothing is being said or done; what a stalled sink holds will never be heard."""
        stalled = self._pump is not None and self._pump.stalled
        return stalled or self.conversation.state in (State.READY, State.ERROR)


@asynccontextmanager
async def _iterated(source: AudioSource) -> AsyncGenerator[AsyncIterator[bytes]]:
    """Iterate a source, and end that at the end: a generator's own cleanup must not wait for the collector."""
    chunks = aiter(source)
    try:
        yield chunks
    finally:
        if (aclose := getattr(chunks, "aclose", None)) is not None:
            with anyio.move_on_after(CLEANUP_S, shield=True):
                await aclose()
