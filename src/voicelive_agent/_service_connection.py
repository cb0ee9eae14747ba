"""One open session with the service: its messages in both directions, and its one ending.

Of the SDK's reading only ``recv_bytes`` is used: its iterator hides how a session ended, and its event classes
cost ten times what decoding the message costs.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from typing import Any, Final, cast

import anyio
from azure.ai.voicelive import aio
from azure.ai.voicelive.models import ClientEvent

from ._connection import ConnectionEnded
from ._endings import Attempt, LastError, error_in, failure_of, verdict_of
from ._service_errors import end_of
from ._service_sdk import ReadyEvent, layers_of, socket_of
from .errors import ServiceUnavailableError
from .events import EndReason, Verdict

__all__ = ["CLOSE_LIMIT_S", "ServiceConnection"]

CLOSE_LIMIT_S: Final = 2.0
"""The longest that closing may take, whatever the service does."""
_FLUSH_POLL_S: Final = 0.01
_LAST_WORDS_S: Final = 10.0
"""An ``error`` event this shortly before the end is the cause of it."""
_PEEK_BYTES: Final = 200  # an error event names its type early; no other message is parsed for it
_VERDICT_LIMIT_S: Final = 1.0
"""How long a failed send waits for the reader, which alone learns how the session ended."""

_log = logging.getLogger("voicelive_agent")


class ServiceConnection:
    """One open session. It ends once: ``receive`` and ``send`` then raise the same verdict, for ever.

    After that, too, :meth:`close` is due. Whoever reads should be cancelled before it: the SDK writes a warning
    to its own log when a session is closed under a reader.
    """

    def __init__(self, sdk: aio.VoiceLiveConnection, *, limit: int, ready_text: bool) -> None:
        self._sdk = sdk
        self._limit = limit
        self._ready = ReadyEvent() if ready_text else None
        self._socket = socket_of(sdk)
        self._layers = layers_of(self._socket)
        self._kept: deque[bytes] = deque()  # read before anyone asked
        self._last_error: tuple[LastError, float] | None = None  # with the time at which it came
        self._verdict: Verdict | None = None
        self._ended = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None

    # --- in ---

    async def receive(self) -> bytes:
        """The next message, as it came; an empty or binary one, too.

        Raises :class:`~voicelive_agent._connection.ConnectionEnded` when there are no more.
        """
        if self._kept and self._verdict is None:
            return self._kept.popleft()
        return await self._read()

    async def _read(self) -> bytes:
        if self._verdict is not None:
            raise ConnectionEnded(self._verdict)
        try:
            message = await self._sdk.recv_bytes()
        except aio.ConnectionClosed as closed:
            raise ConnectionEnded(self._end(self._meaning(closed))) from closed
        except Exception as error:
            detail = f"reading failed: {type(error).__name__}: {error}"
            raise ConnectionEnded(self._end(Verdict(EndReason.PROTOCOL, detail))) from error
        if self._verdict is not None:  # closed meanwhile, which the SDK reports as an empty message
            raise ConnectionEnded(self._verdict)
        if message.find(b"error", 0, _PEEK_BYTES) >= 0 and (said := error_in(message)) is not None:
            self._last_error = said, asyncio.get_running_loop().time()
        return message

    async def greeted(self, within_s: float, attempt: Attempt) -> None:
        """Wait for the service's first words and keep them.

        After an error only the next words, or the end, show whether there is a session.
        """
        try:
            async with asyncio.timeout(within_s):
                while True:
                    self._kept.append(await self._read())
                    if error_in(self._kept[-1]) is None:
                        return
        except TimeoutError:
            if not self._kept:
                raise ServiceUnavailableError(
                    f"{attempt.url} accepted the connection and said nothing for {within_s:g} s.",
                    hint="Connecting again usually helps.",
                ) from None
        except ConnectionEnded as ended:
            raise failure_of(attempt, ended.verdict) from None

    # --- out ---

    async def send(self, text: str) -> None:
        """Send one message of ready-made JSON; waits while the network is slow (see :attr:`unsent`).

        Raises :class:`~voicelive_agent._connection.ConnectionEnded` when nobody listens any more.
        """
        if self._verdict is not None:
            raise ConnectionEnded(self._verdict)
        failure: Exception | None = None
        if not (self._layers and self._layers[-1].is_closing()):  # the SDK would log an error for each attempt
            try:
                await self._sdk.send(self._outgoing(text))
            except (aio.ConnectionError, OSError) as error:  # the second where it was waiting for the network
                if isinstance(error.__cause__, TypeError | ValueError):
                    raise error.__cause__ from None  # it is the text that cannot be sent
                failure = error
            else:
                return
        raise ConnectionEnded(await self._learn_verdict()) from failure

    def _outgoing(self, text: str) -> ClientEvent | dict[str, Any]:
        if self._ready is None:
            return cast("dict[str, Any]", json.loads(text))
        self._ready.text = text
        return self._ready

    async def _learn_verdict(self) -> Verdict:
        """Sending failed; how the session ended stands at the end of what was received."""
        with anyio.move_on_after(_VERDICT_LIMIT_S):
            await self._ended.wait()
        return self._end(verdict_of(1006, by_service=False, last_error=self._recent_error()))

    @property
    def unsent(self) -> int:
        """Bytes handed over and not yet taken by the network; 0 where the transport does not tell."""
        return sum(layer.get_write_buffer_size() for layer in self._layers)

    # --- the end ---

    def _end(self, verdict: Verdict) -> Verdict:
        """Settle on a verdict: the first one stays."""
        if self._verdict is None:
            self._verdict = verdict
            self._ended.set()
            _log.debug("session ended: %s", verdict)
        return self._verdict

    def _meaning(self, closed: aio.ConnectionClosed) -> Verdict:
        return end_of(closed, self._socket, last_error=self._recent_error(), limit=self._limit)

    def _recent_error(self) -> LastError | None:
        if self._last_error is None:
            return None
        error, came_at = self._last_error
        return error if asyncio.get_running_loop().time() - came_at <= _LAST_WORDS_S else None

    async def close(self) -> None:
        """Say goodbye (close code 1000) and free everything, also when cancelled; takes at most 2 s."""
        if self._closing is None:
            self._end(verdict_of(1000, asked=True))
            self._layers = self._layers[-1:]  # a TLS transport forgets its buffer when it closes
            self._closing = asyncio.create_task(self._shut())
        with anyio.CancelScope(shield=True):
            await _wait_through(self._closing)

    async def _shut(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await self._sdk.close(code=1000)
                while self.unsent:  # noqa: ASYNC110  # a transport has no event for "all sent"
                    await asyncio.sleep(_FLUSH_POLL_S)
        except TimeoutError:
            await self._sdk.close()  # the socket is given up by now; this frees the HTTP session
        finally:
            for layer in self._layers:  # a close() waits for a peer that does not read, and TLS for its goodbye
                layer.abort()


async def _wait_through(task: asyncio.Task[None]) -> None:
    """Wait for ``task`` to its end, also when cancelled meanwhile."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    task.result()
