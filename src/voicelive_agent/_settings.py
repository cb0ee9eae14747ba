"""Where an agent connects to and as whom: all that one connection needs."""

from __future__ import annotations

import inspect
import ipaddress
import os
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from urllib.parse import SplitResult, parse_qsl, urlsplit

from ._combinations import check_combinations
from ._session_config import SessionConfig
from ._session_fields import refuse
from ._targets import PROFILES, AgentTarget, ModelTarget, Target, as_target, backend_of
from .errors import ConfigurationError

if TYPE_CHECKING:
    from ._connection import Connector

__all__ = [
    "API_VERSION",
    "DEFAULT_MODEL",
    "EMULATOR_PORT",
    "Credential",
    "KeyCredential",
    "Settings",
    "TokenCredential",
    "default_credential",
    "from_env",
]

API_VERSION = "2026-07-15"
"""The api-version that azure-ai-voicelive 1.3.1 speaks."""
DEFAULT_MODEL = "gpt-4.1"
"""The model where none is named: cascade, so that Azure voices and the user's transcript just work."""
EMULATOR_PORT = 8765
"""Where ``voicelive-agent emulator`` listens, and what the endpoint ``emulator`` means."""
EMULATOR_KEY = "emulator"
MAX_APPLICATION_ID = 24

# --- as whom -----------------------------------------------------------------------------------------------


class KeyCredential(Protocol):
    """An API key that can be renewed, such as ``azure.core.credentials.AzureKeyCredential``."""

    @property
    def key(self) -> str:
        """The key."""
        ...


class TokenCredential(Protocol):
    """An asynchronous Entra credential, such as ``azure.identity.aio.DefaultAzureCredential``."""

    def get_token(self, *scopes: str) -> Awaitable[Any]:
        """A token for the scopes."""
        ...


Credential: TypeAlias = str | KeyCredential | TokenCredential


def default_credential() -> TokenCredential:
    """A new ``azure.identity.aio.DefaultAzureCredential``; whoever asks for it closes it."""
    from azure.identity.aio import DefaultAzureCredential

    return DefaultAzureCredential()


def _key_of(credential: object) -> str | None:
    """The key, if it is one. No class of Azure is needed to see that."""
    key = credential if isinstance(credential, str) else getattr(credential, "key", None)
    return key if isinstance(key, str) else None


class _EmulatorToken:
    """An identity for emulated agents, which look at it as little as the emulator does."""

    async def get_token(self, *scopes: str, **options: Any) -> Any:
        from azure.core.credentials import AccessToken

        return AccessToken(EMULATOR_KEY, 0)


# --- all of it ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Settings:
    """What one connection needs. Its ``repr`` shows no credential, no header and no query value.

    Raises :class:`~voicelive_agent.errors.ConfigurationError` for values that can never be right;
    :meth:`check` says whether this endpoint may be used with this credential.
    """

    endpoint: str | Connector
    """URL of the Azure resource or of an emulator, or an object that connects by itself."""
    credential: Credential | None = None
    """An API key, a key credential, or an asynchronous Entra credential. ``None``:
    ``DefaultAzureCredential``, made when it is needed; on this machine over plain http (an emulator)
    nothing is needed."""
    target: Target = field(default_factory=lambda: ModelTarget(DEFAULT_MODEL))
    """The model or the agent that answers."""
    session: SessionConfig = field(default_factory=SessionConfig)
    """How it hears, thinks and speaks."""
    api_version: str = API_VERSION
    """Version of the service's protocol."""
    query: Mapping[str, str] = field(default_factory=dict)
    """More query parameters for the URL."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """More headers for the handshake."""
    connect_timeout_s: float = 10.0
    """How long the handshake may take, in seconds."""
    first_event_timeout_s: float = 10.0
    """How long the service may take to say ``session.created``, in seconds; 13 minutes were seen."""
    heartbeat_s: float = 5.0
    """Seconds between pings; a connection that does not answer is given up after one and a half."""
    max_message_bytes: int = 4 * 1024 * 1024
    """The longest message that is accepted, in bytes; a longer one ends the connection."""
    application_id: str = ""
    """Your application's name in the User-Agent header, at most 24 characters."""
    verbose: bool = False
    """Whether the command line shows debug messages."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "target", as_target(self.target))
        object.__setattr__(self, "session", SessionConfig.coerce(self.session))
        for name in ("query", "headers"):
            object.__setattr__(self, name, _text_pairs(getattr(self, name), f"Settings.{name}"))
        for name in ("connect_timeout_s", "first_event_timeout_s", "heartbeat_s", "max_message_bytes"):
            _check_positive(getattr(self, name), f"Settings.{name}")
        if not _is_user_agent(self.application_id):
            must = f"plain ASCII text of at most {MAX_APPLICATION_ID} characters"
            raise refuse("Settings.application_id", self.application_id, must)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """The same as :func:`from_env`."""
        return from_env(environ)

    @property
    def is_local(self) -> bool:
        """Whether the endpoint is this machine over plain http: an emulator, which needs no credential."""
        if not isinstance(self.endpoint, str):
            return False
        url = _split(self.endpoint)
        return url.scheme in ("http", "ws") and _is_loopback(url.hostname or "")

    def check(self) -> None:
        """Refuse what cannot work or would give a secret away.

        Raises :class:`~voicelive_agent.errors.ConfigurationError` with the reason and the fix.
        """
        if isinstance(self.endpoint, str):
            _check_url(self.endpoint)
            _check_credential(self)
        elif not inspect.iscoroutinefunction(getattr(self.endpoint, "connect", None)):
            raise refuse("The endpoint", self.endpoint, "a URL or an object with an async connect(settings)")
        _check_query(self)
        check_combinations(self.session.to_session(), backend_of(self.target))

    def open_credential(self) -> tuple[Any, bool]:
        """The credential for the SDK, and whether it was made here, so that the caller must close it.

        A key becomes an ``AzureKeyCredential``; ``None`` becomes a placeholder for an emulator on this machine (a
        key, or a token for an agent, which takes no key), and a new :func:`default_credential` anywhere else.
        """
        from azure.core.credentials import AzureKeyCredential

        if isinstance(self.credential, AzureKeyCredential):
            return self.credential, False
        if self.credential is None and self.is_local and isinstance(self.target, AgentTarget):
            return _EmulatorToken(), False
        key = EMULATOR_KEY if self.credential is None and self.is_local else _key_of(self.credential)
        if key is not None:
            return AzureKeyCredential(key), False
        if self.credential is None:
            return default_credential(), True
        return self.credential, False

    def __repr__(self) -> str:
        hidden = {
            "endpoint": _shown_endpoint(self.endpoint),
            "credential": "None" if self.credential is None else f"<{type(self.credential).__name__}>",
            "query": f"<{', '.join(self.query)}>",
            "headers": f"<{', '.join(self.headers)}>",
        }
        shown = (
            f"{entry.name}={hidden.get(entry.name) or repr(getattr(self, entry.name))}" for entry in fields(self)
        )
        return f"Settings({', '.join(shown)})"


# --- what must not be --------------------------------------------------------------------------------------


def _split(url: str) -> SplitResult:
    """The parts of a URL; raises :class:`ConfigurationError` if there is no sense in it."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # its text quotes the URL, and with it a password: neither shown nor chained
        shown = _shown_endpoint(url)
        raise ConfigurationError(f"The endpoint {shown} is not a URL: its host or port is wrong.") from None
    return parts


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _check_url(endpoint: str) -> None:
    example = "It looks like https://<name>.services.ai.azure.com, or 'emulator' in AZURE_VOICELIVE_ENDPOINT."
    url = _split(endpoint)
    shown = _shown_endpoint(endpoint)
    if url.scheme not in ("https", "wss", "http", "ws") or not url.hostname:
        raise ConfigurationError(f"The endpoint {shown} has no https:// and host.", hint=example)
    if any(char.isspace() or char in "<>{}" for char in endpoint):
        raise ConfigurationError(f"The endpoint {shown} has spaces or a placeholder in it.", hint=example)
    if url.username is not None or url.fragment:
        raise ConfigurationError(f"The endpoint {shown} may have no user name and no fragment (#).", hint=example)
    if url.path.rstrip("/").endswith("/realtime"):
        hint = "Leave out /voice-live/realtime; it is added."
        raise ConfigurationError(f"The endpoint {shown} has the path of the protocol in it.", hint=hint)
    if url.scheme in ("http", "ws") and not _is_loopback(url.hostname):
        hint = "Use https://; plain http is for an emulator on this machine (127.0.0.1, localhost, [::1])."
        raise ConfigurationError(
            f"The endpoint {shown} would send the credential and the voice unencrypted.", hint=hint
        )


def _check_credential(settings: Settings) -> None:
    credential = settings.credential
    if credential is None:
        return
    key = _key_of(credential)
    if key is not None:
        if not key.strip():
            raise ConfigurationError(
                "The API key is empty.", hint="Leave it out to use a Microsoft Entra identity."
            )
        if isinstance(settings.target, AgentTarget):
            hint = "Leave the key out to use DefaultAzureCredential, or give a credential of azure.identity.aio."
            raise ConfigurationError(
                "A Foundry agent accepts Microsoft Entra identities only, not an API key.", hint=hint
            )
        return
    get_token = getattr(credential, "get_token", None)
    if get_token is None:
        must = "an API key, an AzureKeyCredential or an asynchronous token credential"
        raise refuse("The credential", credential, must, secret=True)
    if not inspect.iscoroutinefunction(get_token):
        name = type(credential).__name__
        hint = f"Use the asynchronous one: from azure.identity.aio import {name}."
        raise ConfigurationError(f"The credential {name} is synchronous and would stop the audio.", hint=hint)


TARGET_PARAMETERS = ("model", "agent-name", "agent-project-name", "agent-id", "agent_id", "project_id")


def _check_query(settings: Settings) -> None:
    """Refuse a second target, of which nothing here would know.

    The one in the query would win over ``target``, and that over the one in the endpoint.
    """
    url = settings.endpoint if isinstance(settings.endpoint, str) else ""
    in_url = dict(parse_qsl(urlsplit(url).query))
    for where, query in (("Settings.query", settings.query), ("The endpoint", in_url)):
        if given := [name for name in TARGET_PARAMETERS if name in query]:
            hint = (
                "Use target=: a model's name, ModelTarget(...), or AgentTarget(..., classic=True) for an agent-id."
            )
            raise ConfigurationError(f"{where} has {given[0]!r}, which would be a second target.", hint=hint)
        profile = query.get("profile")
        if profile in PROFILES or (profile and getattr(settings.target, "profile", None)):
            hint = "Use target=ModelTarget(model, profile): it says how the model hears and speaks."
            raise ConfigurationError(f"{where} has the profile {profile!r:.80}.", hint=hint)
        if "api-version" in query:
            hint = "Use Settings(api_version=...)."
            raise ConfigurationError(f"{where} has 'api-version', which would be a second one.", hint=hint)


def _shown_endpoint(endpoint: object) -> str:
    """An endpoint without what may be secret in it: user name, password, query."""
    if not isinstance(endpoint, str):
        return f"<{type(endpoint).__name__}>"
    bare = endpoint.partition("?")[0].partition("#")[0]
    scheme, separator, rest = bare.rpartition("://")
    return repr(scheme + separator + rest.rpartition("@")[2])


def _text_pairs(pairs: Any, where: str) -> dict[str, str]:
    """A copy of query parameters or headers; a line break in one would be a header of its own."""
    if not isinstance(pairs, Mapping):
        raise refuse(where, pairs, "a mapping of text to text", secret=True)
    for key, value in pairs.items():
        if not all(isinstance(text, str) and not set(text) & set("\r\n\0") for text in (key, value)):
            raise refuse(f"{where}[{key!r}]", value, "text on one line", secret=True)
    return dict(pairs)


def _check_positive(value: Any, where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise refuse(where, value, "a number greater than 0")


def _is_user_agent(text: Any) -> bool:
    return isinstance(text, str) and len(text) <= MAX_APPLICATION_ID and text.isascii() and text.isprintable()


# --- the environment ---------------------------------------------------------------------------------------

_NAMES: Mapping[str, tuple[str, str]] = {
    "endpoint": ("AZURE_VOICELIVE_ENDPOINT", "AZURE_VOICE_LIVE_ENDPOINT"),
    "key": ("AZURE_VOICELIVE_API_KEY", "AZURE_VOICE_LIVE_API_KEY"),
    "model": ("AZURE_VOICELIVE_MODEL", "VOICE_LIVE_MODEL"),
    "voice": ("AZURE_VOICELIVE_VOICE", "VOICE_LIVE_VOICE"),
    "instructions": ("AZURE_VOICELIVE_INSTRUCTIONS", "VOICE_LIVE_INSTRUCTIONS"),
}
"""What is read, under the SDK samples' name and under the one of Microsoft's lab; the first wins."""
_FALLBACKS: Mapping[str, str] = {
    "key": "your Microsoft Entra identity",
    "model": DEFAULT_MODEL,
    "voice": "en-US-AvaNeural",
    "instructions": "the service's own",
}


def from_env(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings that environment variables describe; an empty variable counts as missing.

    ``AZURE_VOICELIVE_ENDPOINT``, ``_API_KEY``, ``_MODEL``, ``_VOICE`` and ``_INSTRUCTIONS`` are the names
    of the Azure SDK's samples and win; ``AZURE_VOICE_LIVE_ENDPOINT``, ``AZURE_VOICE_LIVE_API_KEY``,
    ``VOICE_LIVE_MODEL``, ``VOICE_LIVE_VOICE``, ``VOICE_LIVE_INSTRUCTIONS`` and ``VOICE_LIVE_VERBOSE`` are
    those of Microsoft's lab. Only the endpoint is required; ``emulator`` or ``emulator:PORT`` is the
    emulator on this machine, which is sent no key. Raises
    :class:`~voicelive_agent.errors.ConfigurationError`.
    """
    environ = os.environ if environ is None else environ
    found = {what: text for what, names in _NAMES.items() if (text := _first(environ, names))}
    if "endpoint" not in found:
        raise _no_endpoint(found)
    emulator = _emulator_url(found["endpoint"])
    session: dict[str, Any] = {what: found[what] for what in ("voice", "instructions") if what in found}
    settings = Settings(
        endpoint=emulator or found["endpoint"],
        credential=None if emulator else found.get("key"),
        target=ModelTarget(found.get("model", DEFAULT_MODEL)),
        session=SessionConfig(**session),
        verbose=_first(environ, ("VOICE_LIVE_VERBOSE",)).lower() not in ("", "0", "false", "no", "off"),
    )
    settings.check()
    return settings


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((text for name in names if (text := environ.get(name, "").strip())), "")


def _emulator_url(endpoint: str) -> str:
    """The emulator's URL for ``emulator`` and ``emulator:PORT``, nothing for any other endpoint."""
    word, _, port = endpoint.partition(":")
    if word.lower() != "emulator":
        return ""
    if port and not (port.isdecimal() and 0 < int(port) < 65_536):
        raise refuse("The port of the emulator", port, "a number from 1 to 65535")
    return f"http://127.0.0.1:{port or EMULATOR_PORT}"


def _no_endpoint(found: Mapping[str, str]) -> ConfigurationError:
    official, lab = _NAMES["endpoint"]
    rest = [f"{_NAMES[what][0]} ({instead})" for what, instead in _FALLBACKS.items() if what not in found]
    also = f" Not set either, with what is used instead: {', '.join(rest)}." if rest else ""
    hint = (
        "With no account: run `voicelive-agent demo`, or start `voicelive-agent emulator` and set "
        f"{official}=emulator."
    )
    return ConfigurationError(
        f"{official} (or {lab}) is not set: the URL of your Azure resource.{also}", hint=hint
    )
