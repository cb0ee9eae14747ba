"""A WebSocket as somebody who speaks and listens: the tasks and the clock around a dialect."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar, assert_never, cast, overload

import anyio
import anyio.lowlevel

from ..audio import AudioFormat, Call
from ..errors import TransportError
from ..events import Event, SessionEnded
from ._adapters import WebSocketClosed, as_websocket, closing_reason
from ._inbox import Inbox
from ._limits import Budget, Limits, Stats, message_bytes
from ._outbox import Outbox
from ._position import Unsent
from .browser import Browser, Hello
from .dialect import (
    POLICY,
    TOO_BIG,
    Action,
    Audio,
    Dialect,
    Ignored,
    Interrupt,
    Left,
    Message,
    Played,
    Refused,
    Rejected,
    Reply,
    RoundTrip,
    Tell,
    Typed,
)

__all__ = ["WebSocketAudio"]

StartT = TypeVar("StartT")

logger = logging.getLogger("voicelive_agent")

EARLY_ACTS: Final = 32
"""What a far end may do before its call begins (keys, typed text)."""
DRAIN_S: Final = 3.0
"""The longest that leaving waits for what is still being heard."""
LAST_WORDS_S: Final = 1.0
"""The longest that leaving waits for what is still to be sent."""
CLOSE_S: Final = 1.0
"""The longest that it waits for the closing handshake."""
GOODBYE_S: Final = 1.0
"""Between a message that could not be sent and the reader's word why."""
NORMAL: Final = 1000
GOING_AWAY: Final = 1001
INTERNAL_ERROR: Final = 1011
BROKEN_RULES: Final = frozenset({1002, 1003, 1007, 1008, 1009, 1010})
"""Close codes by which one side says that the other one broke the rules."""


class WebSocketAudio(Generic[StartT]):
    """The far end of a WebSocket, as source and sink of a call.

        async with WebSocketAudio(websocket, Twilio()) as audio:
            await agent.run(audio, audio)

    ``websocket`` is open, and that of a library (:func:`as_websocket`) or any :class:`WebSocketLike`. ``dialect``
    (by default :class:`Browser`) is an object of its own for each socket. ``clock`` returns seconds.

    Entering waits for the far end to begin; then ``format`` is final and ``start`` says what it said. Leaving lets
    what is pending be heard, unless there was an exception, then says the last words and closes: with 1000, with
    1001 when cancelled, with 1011 for another exception.

    How a call ends by its far end:

    - it leaves (closes, says goodbye, or is no longer there: 1006, or nothing came for ``Limits.idle_s``), as it
      may: the reason is ``hung_up``. A caller's network is no failure of ours.
    - it breaks its dialect or the :class:`Limits`, or says that we did (1002, 1003, 1007 to 1010): the socket is
      closed with a code and a reason, and a :class:`~voicelive_agent.errors.TransportError` with this
      ``close_code`` comes out of ``run()``. Before the call it comes out of entering, as it does when the far end
      leaves without having begun.

    What makes no sense and does no harm is left out and counted in ``stats``; the first is a warning in the log.
    Once the far end has gone, ``pending`` is 0 and what is written is dropped.
    """

    _tasks: anyio.abc.TaskGroup

    @overload
    def __init__(
        self: WebSocketAudio[Hello],
        websocket: object,
        dialect: None = None,
        *,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None: ...

    @overload
    def __init__(
        self,
        websocket: object,
        dialect: Dialect[StartT],
        *,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None: ...

    def __init__(
        self,
        websocket: object,
        dialect: Dialect[Any] | None = None,
        *,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._websocket = as_websocket(websocket)
        self._dialect: Dialect[Any] = Browser() if dialect is None else dialect
        if self._dialect.start is not None:
            name = type(self._dialect).__name__
            raise RuntimeError(f"This {name} has spoken on another socket: make a new {name}() for each.")
        self._limits = limits or Limits()
        self._clock = clock
        self._outbox = Outbox(self._dialect)
        self.stats: Stats = Stats()
        # What the far end says.
        self._inbox = Inbox()
        self._news = anyio.Event()
        # What becomes of it.
        self._call: Call | None = None
        self._acts: deque[Callable[[Call], None]] = deque(maxlen=EARLY_ACTS)  # for the call that is to begin
        self._error: Exception | None = None
        self._gone = False  # nothing is heard any more
        # The tasks.
        self._entered = False
        self._parting = False  # we close
        self._begun = anyio.Event()  # or ended before it could
        self._more = anyio.Event()  # something is to be sent
        self._sending = anyio.CancelScope()
        self._written = anyio.Event()  # there is no writer any more
        self._over = anyio.Event()  # the socket is closed
        self._last_message = 0.0
        self._budget = Budget(self._limits.bytes_per_s, self._limits.burst_s, 0.0)

    # --- source and sink -----------------------------------------------------------------------------------------

    @property
    def format(self) -> AudioFormat:
        """What the far end says and hears; the dialect's default until it has begun."""
        return self._dialect.format

    @property
    def start(self) -> StartT:
        """What the far end said about itself when it began. RuntimeError before that."""
        if self._dialect.start is None:
            raise RuntimeError("The far end has not begun: use `async with WebSocketAudio(...) as audio`.")
        return cast(StartT, self._dialect.start)

    @property
    def estimated(self) -> bool:
        """Whether nothing confirms what the far end hears."""
        return not self._dialect.confirms

    @property
    def pending(self) -> int:
        """Samples written and not yet heard."""
        return 0 if self._gone else self._outbox.position.pending(self._clock())

    @property
    def in_flight(self) -> int:
        """Samples that the far end will have heard before a flush gets there."""
        return 0 if self._gone else self._outbox.position.in_flight(self._clock())

    def write(self, pcm: bytes) -> None:
        """Queue audio for the far end."""
        if not self._gone:
            self._outbox.write(pcm)
            self._more.set()

    def flush(self) -> None:
        """Silence the far end: what was not sent never is, and it drops what it was."""
        if not self._gone:
            self._outbox.flush()
            self._more.set()

    async def drain(self, timeout_s: float = DRAIN_S) -> bool:
        """Wait until all of it was heard; False if that took too long."""
        with anyio.move_on_after(timeout_s):
            while not self._all_heard:  # noqa: ASYNC110 - no event ends this: only the clock does
                await anyio.sleep(min(0.1, max(0.01, self.pending / self.format.rate)))
        return self._all_heard

    @property
    def _all_heard(self) -> bool:
        """Whether nothing is pending, as far as the far end has a say in it."""
        return self._gone or self._outbox.all_heard(self._clock())

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield what the far end says, from 200 ms ago on, until it leaves. For one listener at a time."""
        self._require_entered()
        self._inbox.listening = True
        try:
            while True:
                if (audio := self._inbox.take()) is not None:
                    yield audio
                elif self._gone:
                    break
                else:
                    self._news = anyio.Event()
                    await self._news.wait()
        finally:
            self._inbox.listening = False
        if self._error is not None and self._call is None:
            raise self._error

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Close the socket with this code and reason, because of what ``start`` says for one; a call hangs up."""
        self._require_entered()
        if not self._gone:
            self._ask(lambda call: call.hang_up(reason or f"closed from here with {code}"))
            self._part(code, reason)
        await self._over.wait()

    # --- the call ------------------------------------------------------------------------------------------------

    def join(self, call: Call) -> None:
        """A call begins. What the far end has done in the meantime is done now."""
        self._require_entered()
        self._call = call
        while self._acts:
            self._acts.popleft()(call)

    def observe(self, event: Event) -> None:
        """Tell the far end, if its dialect has words for it."""
        for text in self._dialect.describe(event):
            self._put(text)
        if isinstance(event, SessionEnded):
            self._call = None

    def _ask(self, act: Callable[[Call], None]) -> None:
        """Do something to the call, or to the one that is to begin."""
        if self._call is None:
            self._acts.append(act)
        else:
            act(self._call)

    def _require_entered(self) -> None:
        if not self._entered:
            raise RuntimeError("This socket is not being read: use `async with WebSocketAudio(...) as audio`.")

    # --- entering and leaving ------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Wait for the far end to begin. TransportError if it does not, or not as it should."""
        if self._entered:
            raise RuntimeError("A WebSocketAudio is entered once: it is one connection.")
        self._entered = True
        self._last_message = now = self._clock()
        self._budget = Budget(self._limits.bytes_per_s, self._limits.burst_s, now)
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        try:
            self._tasks.start_soon(self._guard, self._read)
            self._tasks.start_soon(self._guard, self._write)
            with anyio.move_on_after(self._limits.start_s):
                await self._begun.wait()
            if not self._begun.is_set():
                self._refuse(POLICY, f"nothing that begins a call came within {self._limits.start_s:g} s")
            if self._error is not None:
                raise self._error
            self._tasks.start_soon(self._guard, self._watch)
        except BaseException as error:
            await self._leave(error)
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let the far end hear the rest, if all went well, and close."""
        try:
            if exc is None:
                await self.drain()
        except BaseException as error:
            exc = error
            raise
        finally:
            await self._leave(exc)

    async def _leave(self, error: BaseException | None) -> None:
        """Close, and end the tasks, whatever happens."""
        if error is None:
            self._part(NORMAL, "")
        elif isinstance(error, Exception):
            self._part(INTERNAL_ERROR, "internal error")
        else:
            self._part(GOING_AWAY, "going away")
        try:
            with anyio.CancelScope(shield=True):
                await self._over.wait()
        finally:
            # None: what ends the block is not to be wrapped in a group.
            self._sending.cancel()
            self._tasks.cancel_scope.cancel()
            await self._tasks.__aexit__(None, None, None)

    def _part(self, code: int, reason: str) -> None:
        """Close the socket from here: the last words, then this code. Only the first one counts."""
        if not self._parting and not self._over.is_set():
            self._parting = True
            self._end_audio()
            self._tasks.start_soon(self._say_goodbye, code, reason)

    async def _say_goodbye(self, code: int, reason: str) -> None:
        try:
            # It shields itself: the group may be under a scope that is cancelled.
            with anyio.move_on_after(LAST_WORDS_S, shield=True):
                self._more.set()
                await self._written.wait()
                while (message := self._outbox.next(self._clock())) is not None:  # where the writer was cancelled
                    await self._send(message)
            self._sending.cancel()
            with anyio.move_on_after(CLOSE_S, shield=True):
                await self._websocket.close(code, closing_reason(reason))
        except WebSocketClosed:
            pass  # then it needs no closing
        except Exception:
            logger.exception("A WebSocket could not be closed.")  # which matters to nobody's call any more
        finally:
            self._over.set()

    def _end_audio(self) -> None:
        """Nothing is said or heard any more."""
        self._gone = True
        self._outbox.drop_audio()
        self._begun.set()
        self._news.set()

    # --- what ends the call --------------------------------------------------------------------------------------

    def _fail(self, error: Exception) -> None:
        """The call, or entering, ends with this exception."""
        self._error = self._error or error
        self._ask(lambda call: call.fail(error))

    def _refuse(self, code: int, reason: str) -> None:
        """The far end has broken a rule."""
        if not self._gone:
            self._fail(TransportError(f"The far end was shut out ({code}): {reason}.", close_code=code))
            self._part(code, reason)

    def _lose(self, code: int, detail: str) -> None:
        """The far end leaves, and the socket is closed with this code."""
        if self._gone:
            return
        if self._begun.is_set():
            self._ask(lambda call: call.hang_up(detail))
        else:
            self._fail(TransportError(f"The far end left without having begun: {detail}.", close_code=code))
        self._part(code, detail)

    def _closed(self, closed: WebSocketClosed) -> None:
        """The far end has closed the socket, or did what we asked for."""
        self._over.set()  # first: there is nobody to say goodbye to
        if not self._gone and closed.code in BROKEN_RULES:
            self._fail(TransportError(f"The far end {closed}.", close_code=closed.code))
        else:
            self._lose(closed.code, f"the far end {closed}")
        self._end_audio()

    # --- the tasks -----------------------------------------------------------------------------------------------

    async def _guard(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except WebSocketClosed as closed:
            self._closed(closed)
        except Exception as error:  # noqa: BLE001  (the border to somebody's WebSocket: it ends the call)
            self._fail(error)
            self._part(INTERNAL_ERROR, "internal error")

    async def _read(self) -> None:
        """Take what comes, whether anybody listens or not: the far end must always be able to interrupt."""
        while not self._gone:
            self._take(await self._websocket.receive())
            await anyio.lowlevel.checkpoint()  # of a flood, receive() gives one after the other without waiting

    async def _write(self) -> None:
        """Send what is due. At the end, what waits."""
        try:
            while True:
                self._more = anyio.Event()
                if (message := self._outbox.next(self._clock())) is not None:
                    with anyio.move_on_after(self._limits.idle_s, shield=True) as self._sending:
                        await self._send(message)
                    if self._sending.cancelled_caught:
                        self._refuse(POLICY, f"nothing was taken for {self._limits.idle_s:g} s")
                        return
                elif self._gone:
                    return
                else:
                    with anyio.move_on_after(self._outbox.due_in(self._clock())):
                        await self._more.wait()
        except WebSocketClosed:
            self._written.set()  # nobody need wait for us, while ...
            await anyio.sleep(GOODBYE_S)  # ... the reader, who knows better why, has the first word
            raise
        finally:
            self._written.set()

    async def _send(self, message: Message) -> None:
        self.stats.sent += 1
        if isinstance(message, str):
            await self._websocket.send_text(message)
        else:
            await self._websocket.send_bytes(message)

    async def _watch(self) -> None:
        """Notice what does not come, and ask for a sign of life."""
        limits, began = self._limits, self._clock()
        session_s = math.inf if limits.session_s is None else limits.session_s
        ping_s = math.inf if self._dialect.ping_s is None else self._dialect.ping_s
        ping_at = began if self._dialect.ping_s is not None else math.inf
        while not self._gone:
            now = self._clock()
            if now >= self._last_message + limits.idle_s:
                self._lose(POLICY, f"nothing came for {limits.idle_s:g} s")
            elif now >= began + session_s:
                self._lose(NORMAL, f"the time limit of {session_s:g} s is over")
            elif now >= ping_at:
                ping_at = now + ping_s
                if (ping := self._dialect.ping(now)) is not None:
                    self._put(ping)
            else:
                due = min(self._last_message + limits.idle_s, began + session_s, ping_at)
                await anyio.sleep(max(0.001, due - now))

    def _put(self, text: str) -> None:
        if not self._over.is_set():
            self._outbox.put(text)
            self._more.set()

    # --- what comes ----------------------------------------------------------------------------------------------

    def _take(self, message: Message) -> None:
        """One message of the far end."""
        now = self._last_message = self._clock()
        self.stats.received += 1
        size = message_bytes(message)
        if size > self._limits.max_message_bytes:
            self._refuse(TOO_BIG, f"a message of {size} bytes, where {self._limits.max_message_bytes} are allowed")
        elif not self._budget.spend(size, now):
            self._refuse(POLICY, f"more than {self._limits.bytes_per_s:g} bytes per second")
        else:
            actions = list(self._dialect.receive(message, now))
            if self._dialect.start is not None and not self._begun.is_set():
                self._outbox.position.rate = self._dialect.format.rate
                self._begun.set()
            for action in actions:
                self._do(action, now)

    def _do(self, action: Action, now: float) -> None:
        match action:
            case Audio(audio):
                self._inbox.put(audio, self.format)
                self.stats.skipped_ms = self._inbox.skipped_ms
                self._news.set()
            case Played(generation, samples):
                try:
                    self.stats.late += not self._outbox.position.confirm(generation, samples, now)
                except Unsent as error:
                    self._refuse(POLICY, str(error))
            case RoundTrip(seconds):
                self._outbox.position.round_trip(seconds)
            case Tell(event):
                self._ask(lambda call: call.tell(event))
            case Interrupt():
                self._ask(lambda call: call.interrupt())
            case Typed(text):
                self._ask(lambda call: call.send_text(text))
            case Reply(text):
                self._put(text)
            case Left(detail):
                self._lose(NORMAL, detail)
            case Ignored(kind):
                self.stats.ignored += 1
                logger.debug("ignored: %s", kind)
            case Rejected(fault):
                self.stats.rejected += 1  # One warning: what follows is the same fault, or fills somebody's disk.
                (logger.debug if self.stats.rejected > 1 else logger.warning)("left out: %s", fault)
            case Refused(code, reason):
                self._refuse(code, reason)
            case _:
                assert_never(action)
