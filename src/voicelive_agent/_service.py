"""The only way to the service: sessions opened over ``azure-ai-voicelive``.

The SDK does the URL, the authentication and the handshake; what comes after that is ``_service_connection``. What
the SDK does not give is looked up in ``_service_sdk``, and what its errors mean in ``_service_errors``.

Two things are left as they are. The SDK logs whole messages (transcripts, audio) and the URL with its query at
level DEBUG of the logger ``azure.ai.voicelive.aio._patch``: keep that at INFO where it matters. And it makes its
own ``aiohttp.ClientSession`` without ``trust_env``, so ``HTTPS_PROXY`` is not honoured.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import aiohttp
import anyio
from azure.ai.voicelive import __version__, aio
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.core.pipeline.policies import UserAgentPolicy

from ._endings import Attempt
from ._service_connection import CLOSE_LIMIT_S, ServiceConnection
from ._service_errors import failure_from
from ._service_sdk import locals_of, ready_text_passes
from .config import AgentTarget, Settings
from .errors import AuthenticationError, ServiceUnavailableError, VoiceLiveError

__all__ = ["AzureConnector"]

_GOODBYE_LIMIT_S: Final = 1.0  # of what closing may take, this long for the service's own close frame
_AGENT_SCOPE: Final = "https://ai.azure.com/.default"
"""What the token is for with which the service calls a classic agent."""

_log = logging.getLogger("voicelive_agent")


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


async def _open(settings: Settings, attempt: Attempt) -> ServiceConnection:
    connection: ServiceConnection | None = None
    try:
        credential, is_ours = settings.open_credential()
        try:
            sdk = await _handshake(settings, credential, attempt)
            connection = ServiceConnection(
                sdk, limit=int(settings.max_message_bytes), ready_text=await ready_text_passes()
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
        failure = failure_from(error.__cause__, settings, attempt)
    raise failure  # outside of the handler: the SDK's own errors hold the URL with its query, and stay behind


def _is_classic(settings: Settings) -> bool:
    return isinstance(settings.target, AgentTarget) and settings.target.classic


async def _enter(manager: AbstractAsyncContextManager[aio.VoiceLiveConnection]) -> aio.VoiceLiveConnection:
    """Enter the SDK's manager; if that fails or is cancelled, close the HTTP session that it then leaves open."""
    try:
        return await manager.__aenter__()
    except BaseException as error:
        for session in locals_of(error, aiohttp.ClientSession):
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
