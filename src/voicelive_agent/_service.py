"""The only way to the service: one connection with one ending, over ``azure-ai-voicelive``.

The SDK does the URL, the authentication and the handshake. Of its reading only ``recv_bytes`` is used: its
iterator hides how a session ended, and its event classes cost ten times what decoding the message costs. What
the SDK does not give is looked up in its attributes, each time guarded: without it the connection still works
and knows less.

Two things are left as they are. The SDK logs whole messages (transcripts, audio) and the URL with its query at
level DEBUG of the logger ``azure.ai.voicelive.aio._patch``: keep that at INFO where it matters. And it makes its
own ``aiohttp.ClientSession`` without ``trust_env``, so ``HTTPS_PROXY`` is not honoured.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import traceback
from collections import deque
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Final, TypeVar, cast

import aiohttp
import anyio
from azure.ai.voicelive import __version__, aio
from azure.ai.voicelive.models import ClientEvent
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.core.pipeline.policies import UserAgentPolicy

from ._connection import ConnectionEnded
from ._endings import Attempt, LastError, error_in, failure_of, redirected, refusal, retry_after_s, verdict_of
from .config import AgentTarget, Settings
from .errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    ServiceUnavailableError,
    VoiceLiveError,
)
from .events import EndReason, Verdict

__all__ = ["AzureConnector", "ServiceConnection"]

CLOSE_LIMIT_S: Final = 2.0
"""The longest that closing may take, whatever the service does."""
_GOODBYE_LIMIT_S: Final = 1.0  # of which this long for the service's own close frame
_FLUSH_POLL_S: Final = 0.01
_LAST_WORDS_S: Final = 10.0
"""An ``error`` event this shortly before the end is the cause of it."""
_PEEK_BYTES: Final = 200  # an error event names its type early; no other message is parsed for it
_VERDICT_LIMIT_S: Final = 1.0
"""How long a failed send waits for the reader, which alone learns how the session ended."""
_KERNEL_UNSENT_BYTES: Final = 16 * 1024
"""What the kernel may take ahead of the network: a quarter of a second of audio, instead of megabytes."""
_AGENT_SCOPE: Final = "https://ai.azure.com/.default"
"""What the token is for with which the service calls a classic agent."""
_SDK_CLOSED: Final = "Connection closed"
"""The SDK's reason where no close frame came; it says code 1000 all the same."""

_log = logging.getLogger("voicelive_agent")
_AnyObject = TypeVar("_AnyObject")


class AzureConnector:
    """Opens sessions with Azure AI Voice Live, or with anything that speaks its protocol at a URL."""

    async def connect(self, settings: Settings) -> ServiceConnection:
        """A session on which the service has said its first words; ``receive`` has them next.

        Raises :class:`~voicelive_agent.errors.ConfigurationError` for settings that cannot work, and
        :class:`~voicelive_agent.errors.ConnectError` or a subclass when the handshake is refused or takes more
        than ``connect_timeout_s``, or nothing is said within ``first_event_timeout_s``. Neither these errors nor
        what is logged here hold a key, a token or a query string. Cancelling leaves nothing open.
        """
        settings.check()
        # A task of its own: a cancel scope around us cancels again and again, also what cleans up after the first.
        opening = asyncio.create_task(_open(settings, Attempt.of(settings)))
        try:
            await asyncio.wait({opening})
        except asyncio.CancelledError:
            with anyio.move_on_after(CLOSE_LIMIT_S, shield=True):
                await _undo(opening)
            raise
        return opening.result()


class ServiceConnection:
    """One open session. It ends once: ``receive`` and ``send`` then raise the same verdict, for ever.

    After that, too, :meth:`close` is due. Whoever reads should be cancelled before it: the SDK writes a warning
    to its own log when a session is closed under a reader.
    """

    def __init__(self, sdk: aio.VoiceLiveConnection, *, limit: int, ready_text: bool) -> None:
        self._sdk = sdk
        self._limit = limit
        self._ready = _ReadyEvent() if ready_text else None
        self._socket = _socket_of(sdk)
        self._layers = _layers_of(self._socket)
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
            raise ConnectionEnded(self._end(self._judge(closed))) from closed
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

    def _judge(self, closed: aio.ConnectionClosed) -> Verdict:
        """What the SDK says about the end, put right by what the socket knows."""
        error = self._recent_error()
        if closed.code != 1006 and closed.reason != _SDK_CLOSED:
            reasons = [str(frame.extra or "") for frame in _locals_of(closed, aiohttp.WSMessage)]
            return verdict_of(closed.code, last_error=error, text="".join(reasons) or closed.reason)
        known = self._socket.close_code if self._socket is not None else None
        code = known if known and known != 1000 else 1006
        text = closed.reason if closed.reason not in (_SDK_CLOSED, "None") else ""
        return verdict_of(code, by_service=False, last_error=error, text=text, limit=self._limit)

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


# --- opening -------------------------------------------------------------------------------------------------


async def _open(settings: Settings, attempt: Attempt) -> ServiceConnection:
    connection: ServiceConnection | None = None
    try:
        credential, is_ours = settings.open_credential()
        try:
            sdk = await _handshake(settings, credential, attempt)
            connection = ServiceConnection(
                sdk, limit=int(settings.max_message_bytes), ready_text=await _ready_text_passes()
            )
        finally:
            if is_ours:
                await credential.close()
        await connection.greeted(settings.first_event_timeout_s, attempt)
    except BaseException:
        if connection is not None:
            await connection.close()
        raise
    _log.debug("connected to %s", attempt.url)
    return connection


async def _undo(opening: asyncio.Task[ServiceConnection]) -> None:
    """Cancel what opens a connection, and close the connection if it was there already."""
    opening.cancel()
    await asyncio.wait({opening})
    if not opening.cancelled() and opening.exception() is None:
        await opening.result().close()


async def _handshake(settings: Settings, credential: Any, attempt: Attempt) -> aio.VoiceLiveConnection:
    if not isinstance(credential, AzureKeyCredential):
        credential = _LentCredential(credential)
    arguments = _connect_arguments(settings)
    failure: VoiceLiveError
    try:
        async with asyncio.timeout(settings.connect_timeout_s):
            if isinstance(credential, _LentCredential) and _is_classic(settings):
                token = await credential.get_token(_AGENT_SCOPE)
                arguments["query"].setdefault("agent-access-token", token.token)
            return await _enter(aio.connect(credential=credential, **arguments))
    except TimeoutError:
        failure = ServiceUnavailableError(
            f"There was no connection with {attempt.url} within {settings.connect_timeout_s:g} s.",
            hint="Check the network, and whether a proxy or firewall is in the way.",
        )
    except aio.ConnectionError as error:
        failure = _explain(error.__cause__, settings, attempt)
    raise failure  # outside of the handler: the SDK's own errors hold the URL with its query, and stay behind


def _is_classic(settings: Settings) -> bool:
    return isinstance(settings.target, AgentTarget) and settings.target.classic


async def _enter(manager: AbstractAsyncContextManager[aio.VoiceLiveConnection]) -> aio.VoiceLiveConnection:
    """Enter the SDK's manager; if that fails or is cancelled, close the HTTP session that it then leaves open."""
    try:
        return await manager.__aenter__()
    except BaseException as error:
        for session in _locals_of(error, aiohttp.ClientSession):
            await session.close()
        raise


def _connect_arguments(settings: Settings) -> dict[str, Any]:
    """What the SDK's ``connect`` is given.

    It ignores what it does not know (``handshake_timeout``, for one). ``autoclose`` is off because the answer to
    the service's close frame may fail, and then the code of that frame would be lost.
    """
    target = settings.target
    query = dict(settings.query)
    arguments: dict[str, Any] = {
        "endpoint": settings.endpoint,
        "api_version": settings.api_version,
        "query": query,
        "headers": _headers(settings),
        "connection_options": {
            "heartbeat": settings.heartbeat_s,
            "max_msg_size": int(settings.max_message_bytes),
            "compression": False,
            "autoclose": False,
            "close_timeout": _GOODBYE_LIMIT_S,
        },
    }
    if isinstance(target, AgentTarget) and target.classic:  # the SDK has no arguments for these
        query |= {"agent-id": target.agent, "agent-project-name": target.project}
    elif isinstance(target, AgentTarget):
        arguments |= {
            "agent_name": target.agent,
            "project_name": target.project,
            "agent_version": target.version,
            "conversation_id": target.conversation_id,
            "authentication_identity_client_id": target.authentication_identity_client_id,
            "foundry_resource_override": target.foundry_resource_override,
        }
    else:
        arguments["model"] = target.model
        if target.profile is not None:
            query.setdefault("profile", target.profile)
    return arguments


def _headers(settings: Settings) -> dict[str, str]:
    headers = dict(settings.headers)
    if settings.application_id and not any(name.lower() == "user-agent" for name in headers):
        policy = UserAgentPolicy(user_agent=settings.application_id, sdk_moniker=f"ai-voicelive/{__version__}")
        headers["User-Agent"] = policy.user_agent
    return headers


class _LentCredential:
    """Lends any object with an async ``get_token`` to the SDK, and tells in our errors why there is no token."""

    def __init__(self, credential: Any) -> None:
        self._credential = credential

    async def get_token(self, *scopes: str, **options: Any) -> Any:
        name = type(self._credential).__name__
        try:
            return await self._credential.get_token(*scopes, **options)
        except ClientAuthenticationError as error:
            raise AuthenticationError(
                f"{name} has no token for Voice Live.",
                hint="Sign in (for example with `az login`), or set an API key.",
            ) from error
        except AzureError as error:
            raise ServiceUnavailableError(
                f"{name} could not reach the token service.", hint="Check the network."
            ) from error
        except Exception as error:
            hint = "Its own error is shown above this one."
            raise AuthenticationError(f"{name} failed: {type(error).__name__}.", hint=hint) from error

    async def close(self) -> None:
        """Leave it open: it is somebody else's."""

    async def __aenter__(self) -> _LentCredential:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


# --- why it did not open -------------------------------------------------------------------------------------


def _explain(cause: BaseException | None, settings: Settings, attempt: Attempt) -> VoiceLiveError:
    """The error for what aiohttp raised during the handshake."""
    url = attempt.url
    match cause:
        case aiohttp.WSServerHandshakeError():
            return refusal(attempt, cause.status, wait_s=retry_after_s(cause.headers or {}))
        case aiohttp.ClientResponseError():
            return ConnectError(f"{url} does not answer in HTTP.", hint="Check host and port of the endpoint.")
        case aiohttp.ClientConnectorCertificateError():
            hint = "If a proxy here inspects traffic, let SSL_CERT_FILE name its certificate."
            return ConnectError(f"{url} shows a certificate that is not trusted.", hint=hint)
        case aiohttp.ClientSSLError():
            return ConnectError(f"{url} does not speak TLS.", hint="Check host and port of the endpoint.")
        case aiohttp.ClientConnectorDNSError():
            hint = "Check the name of the resource in the endpoint, and the network."
            return ServiceUnavailableError(f"{url}: the name {cause.host!r} is not known.", hint=hint)
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()) if settings.is_local:
            hint = "Start it with `voicelive-agent emulator`."
            return ServiceUnavailableError(f"Nothing listens at {url}.", hint=hint)
        case aiohttp.ClientConnectorError():
            reason = cause.os_error.strerror or type(cause.os_error).__name__
            return ServiceUnavailableError(f"{url} cannot be reached: {reason}.", hint="Check the network.")
        case aiohttp.ClientConnectionError():
            hint = "Connecting again usually helps; if not, look for a proxy or firewall in the way."
            return ServiceUnavailableError(f"{url} broke off the handshake.", hint=hint)
        case ValueError():
            hint = "Look for a line break at the end of the API key."
            return ConfigurationError(
                "The API key or a header has a character that HTTP does not allow.", hint=hint
            )
        case aiohttp.ClientError() if "redirect" in str(cause).lower():
            return redirected(attempt)
        case _:
            hint = "Set the logger azure.ai.voicelive to DEBUG to see more; it shows the whole URL."
            return ConnectError(f"{url}: the handshake failed ({type(cause).__name__}).", hint=hint)


# --- what the SDK does not give ------------------------------------------------------------------------------


class _ReadyEvent(ClientEvent):
    """A client event that is JSON text already: the SDK sends a ``str`` from ``as_dict`` as it is."""

    text = ""

    def __init__(self) -> None:
        super().__init__(type="ready")

    def as_dict(self, *, exclude_readonly: bool = False) -> str:  # type: ignore[override]  # see the class
        return self.text


class _Recorder:
    """Stands in for the socket and keeps what the SDK would send."""

    sent = ""

    async def send_str(self, data: str) -> None:
        self.sent = data


async def _ready_text_passes() -> bool:
    """Whether this version of the SDK sends ready-made text as it is; if not, a mapping will do, at a price."""
    recorder, probe = _Recorder(), _ReadyEvent()
    probe.text = '{"type":"probe"}'
    sdk = aio.VoiceLiveConnection(cast("Any", None), cast("Any", recorder))
    with suppress(aio.ConnectionError):
        await sdk.send(probe)
    return recorder.sent == probe.text


def _locals_of(error: BaseException, kind: type[_AnyObject]) -> list[_AnyObject]:
    """The objects of this kind in the frames that an error came through: what the SDK had in hand."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return [value for frame in frames for value in frame.f_locals.values() if isinstance(value, kind)]


def _socket_of(sdk: aio.VoiceLiveConnection) -> aiohttp.ClientWebSocketResponse | None:
    """The socket under a connection of the SDK, which alone knows the true close code."""
    found = getattr(sdk, "_connection", None)
    return found if isinstance(found, aiohttp.ClientWebSocketResponse) else None


def _layers_of(websocket: aiohttp.ClientWebSocketResponse | None) -> list[asyncio.WriteTransport]:
    """The transports under a socket, TCP last: bytes wait in each. Also keeps the kernel from taking too many."""
    layers: list[asyncio.WriteTransport] = []
    layer: Any = getattr(getattr(websocket, "_writer", None), "transport", None)
    while callable(getattr(layer, "get_write_buffer_size", None)):
        layers.append(layer)
        layer = getattr(getattr(layer, "_ssl_protocol", None), "_transport", None)
    tcp = websocket.get_extra_info("socket") if websocket is not None else None
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)  # Linux and macOS
    if tcp is not None and option is not None:
        with suppress(OSError):  # an older kernel: then it only takes more
            tcp.setsockopt(socket.IPPROTO_TCP, option, _KERNEL_UNSENT_BYTES)
    return layers
