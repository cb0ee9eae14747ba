"""Who is on the page, what each of them is told, and the session that each of them may hold.

A visitor is a cookie. Sessions run on one event loop in the background, requests on threads of their own, so
everything here is used by several threads.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from voicelive_agent.errors import VoiceLiveError
from voicelive_agent.lab import Broadcast, StateCallback, VoiceLiveAssistant

Make: TypeAlias = Callable[[StateCallback, Broadcast], VoiceLiveAssistant]
"""``make(state_callback, broadcast)`` makes the assistant of a session."""

logger = logging.getLogger("lab_flask_app")

HELD: Final = frozenset({"starting", "ready", "listening", "processing", "assistant_speaking"})
IDLE: Final = ("idle", "Select 'Start Session' to begin a voice session.")
MOST_UNREAD: Final = 256
"""Messages that wait for one stream; about 20 s of audio. A page that is further behind begins anew."""
MOST_STREAMS: Final = 4
"""Streams and sockets of one visitor, each: a browser opens no more of either to one server."""
GRACE_S: Final = 0.4
"""How long a visitor without a stream is still there: a page that is loaded again opens a new one."""
VISITORS_PER_SESSION: Final = 10


class Full(Exception):
    """There is no place for this now."""


class Background:
    """The event loop that all sessions of this process run on, in a thread that begins when it is needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, work: Coroutine[Any, Any, None]) -> Future[None]:
        """Have this done on the loop."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="voice sessions", daemon=True).start()
            return asyncio.run_coroutine_threadsafe(work, self._loop)


class Stream:
    """What one open ``/events`` is still to be sent."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._messages: deque[dict[str, Any]] = deque()
        self.closed = False

    def put(self, message: dict[str, Any]) -> None:
        """Add a message. What waits for too long is dropped, and the stream is ended."""
        with self._changed:
            if message["type"] == "control":  # what was not sent yet is not to be played first
                self._messages = deque(each for each in self._messages if each["type"] != "audio")
            self._messages.append(message)
            if len(self._messages) > MOST_UNREAD:
                self._messages.clear()
                self.closed = True
            self._changed.notify()

    def close(self) -> None:
        """End the stream, after what was told."""
        with self._changed:
            self.closed = True
            self._changed.notify()

    def sent(self, heartbeat_s: float) -> Iterator[str]:
        """The stream as server-sent events. Comments where nothing happens: only writing shows who has left."""
        yield "retry: 250\n\n"
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._messages or self.closed, heartbeat_s)
                message = self._messages.popleft() if self._messages else None
                if message is None and self.closed:
                    return
            yield f"data: {json.dumps(message)}\n\n" if message else ": nothing new\n\n"


class Visitor:
    """One browser: its state, its streams, its session."""

    def __init__(self, background: Background) -> None:
        self.origin = ""
        """The page that started the session."""
        self._background = background
        self._lock = threading.RLock()
        self._state, self._message = IDLE
        self._last_error: str | None = None
        self._assistant: VoiceLiveAssistant | None = None
        self._running: set[Future[None]] = set()  # the session's, and those of earlier ones that are ending
        self._streams: list[Stream] = []
        self._sockets = 0

    # --- what is known ---

    @property
    def assistant(self) -> VoiceLiveAssistant | None:
        """The session, if there is one that was not stopped."""
        with self._lock:
            return self._assistant

    @property
    def running(self) -> set[Future[None]]:
        """Sessions that are not over yet."""
        with self._lock:
            return {each for each in self._running if not each.done()}

    @property
    def here(self) -> bool:
        """Whether something of the page is open."""
        with self._lock:
            return bool(self._streams or self._sockets)

    @property
    def status(self) -> dict[str, Any]:
        """The state, as the page knows it."""
        with self._lock:
            assistant = self._assistant
            return {
                "state": self._state,
                "message": self._message,
                "last_error": self._last_error,
                "connected": assistant is not None and assistant.connection is not None,
            }

    # --- the session ---

    def start(self, make: Make) -> bool:
        """Begin a session; False if there is one, unless it is in an error. Raises what ``make`` raises."""
        with self._lock:
            if self._assistant is not None and self._state in HELD:
                return False
            if self._assistant is not None:
                self._assistant.request_stop()
            assistant: VoiceLiveAssistant = make(
                lambda state, message: self._told(assistant, state, message),
                lambda message: self._broadcast(assistant, message),
            )
            self._assistant, self._last_error = assistant, None
            self._set("starting", "Starting voice session…")
            done = self._background.run(self._hold(assistant))
            self._running = self.running | {done}
        return True

    async def _hold(self, assistant: VoiceLiveAssistant) -> None:
        try:
            await assistant.start()
        except VoiceLiveError as error:  # the page was told
            logger.warning("A session failed: %s", error)
        except Exception:
            logger.exception("A session crashed.")
        with self._lock:
            if self._assistant is assistant:
                self._assistant = None

    def stop(self, message: str = "Stopping session…") -> bool:
        """End the session; False if there is none."""
        with self._lock:
            if self._assistant is None:
                return False
            self._assistant.request_stop()
            self._set("stopped", message)
        return True

    def fail(self, message: str) -> None:
        """No session can be had, for this reason."""
        with self._lock:
            self._set("error", message)

    def _told(self, assistant: VoiceLiveAssistant, state: str, message: str) -> None:
        with self._lock:
            if self._assistant is assistant and (not assistant.stopping or state not in HELD):
                self._set(state, message)

    def _broadcast(self, assistant: VoiceLiveAssistant, message: dict[str, Any]) -> None:
        with self._lock:
            if self._assistant is assistant:
                self.tell(message)

    def _set(self, state: str, message: str) -> None:
        if (state, message) == (self._state, self._message):
            return  # the page knows
        self._state, self._message = state, message
        if state == "error":
            self._last_error = message
        self.tell({"type": "status", **self.status})

    def tell(self, message: dict[str, Any]) -> None:
        """Send something to every open page of this visitor."""
        with self._lock:
            for stream in self._streams:
                stream.put(message)

    # --- what is open ---

    @contextmanager
    def stream(self) -> Iterator[Stream]:
        """A stream of messages, the state first. :class:`Full` if there are too many."""
        stream = Stream()
        with self._lock:
            if len(self._streams) >= MOST_STREAMS:
                raise Full("Too many streams are open.")
            stream.put({"type": "status", **self.status})
            self._streams.append(stream)
        try:
            yield stream
        finally:
            with self._lock:
                self._streams.remove(stream)
            self._left()

    @contextmanager
    def socket(self) -> Iterator[None]:
        """A place for the microphone's WebSocket. :class:`Full` if there are too many."""
        with self._lock:
            if self._sockets >= MOST_STREAMS:
                raise Full("Too many sockets are open.")
            self._sockets += 1
        try:
            yield
        finally:
            with self._lock:
                self._sockets -= 1
            self._left()

    def close(self) -> None:
        """End what is open."""
        with self._lock:
            for stream in self._streams:
                stream.close()

    def _left(self) -> None:
        """Something was closed: end the session soon if the visitor does not come back."""
        if not self.here and self.running:
            timer = threading.Timer(GRACE_S, self._end_if_gone)
            timer.daemon = True
            timer.start()

    def _end_if_gone(self) -> None:
        if not self.here:
            self.stop("You have left.")


class Visitors:
    """All visitors of this process, by their cookies. A cookie that was not given out here is nobody's."""

    def __init__(self, sessions: int) -> None:
        self._sessions = sessions
        self._background = Background()
        self._lock = threading.Lock()
        self._visitors: dict[str, Visitor] = {}  # who came last is last
        self._draining = False

    def find(self, cookie: str | None) -> Visitor | None:
        """Whose cookie this is."""
        with self._lock:
            visitor = self._visitors.pop(cookie or "", None)
            if visitor is not None:
                self._visitors[cookie or ""] = visitor
            return visitor

    def admit(self) -> tuple[str, Visitor]:
        """A new visitor and the cookie for it; who was away for longest is forgotten for that. :class:`Full`."""
        with self._lock:
            if len(self._visitors) >= self._sessions * VISITORS_PER_SESSION:
                away = (name for name, each in self._visitors.items() if not each.here and not each.running)
                if (oldest := next(away, None)) is None:
                    raise Full("Too many people are on this page. Try again in a few minutes.")
                del self._visitors[oldest]
            cookie, visitor = secrets.token_urlsafe(32), Visitor(self._background)
            self._visitors[cookie] = visitor
            return cookie, visitor

    def start(self, visitor: Visitor, make: Make) -> bool:
        """Begin a session of this visitor, see :meth:`Visitor.start`. :class:`Full` if there are too many."""
        with self._lock:
            if self._draining:
                raise Full("The server is being restarted. Try again in a minute.")
            others = sum(bool(each.running) for each in self._visitors.values() if each is not visitor)
            if others >= self._sessions:
                raise Full(f"All {self._sessions} places are taken. Try again in a few minutes.")
            return visitor.start(make)

    def drain(self, limit_s: float) -> None:
        """End all sessions, and let nobody begin another."""
        with self._lock:
            self._draining = True
            visitors = list(self._visitors.values())
        ending = [done for each in visitors for done in each.running]
        for visitor in visitors:
            visitor.stop("The server is being stopped.")
        for done in ending:
            try:
                done.result(limit_s)
            except TimeoutError:
                logger.warning("A session did not end in time.")
        for visitor in visitors:
            visitor.close()
