"""Who may talk to this server, and what its page may do: decided before anything is opened.

A browser sends cookies and connects to a WebSocket from any page, so the Origin must be ours (cross-site WebSocket
hijacking); and a name of the attacker's may point at this address, so the Host must be ours as well (DNS
rebinding). Nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from ..errors import ConfigurationError

__all__ = ["Guard", "Refused", "security_headers"]

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


class Refused(Exception):
    """This request is not for us. The text is for the server's log; the client is told 403 and nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Which origins and hosts are ours.

    ``origins`` are further pages that may connect (``https://shop.example``); the page of this server always may.
    ``hosts`` are the names this server goes by, with or without a port; None is every name, which is right only
    behind a proxy that checks it: the command line passes loopback's names when it listens there.
    ``require_origin=False`` lets in clients that are no browsers and send no Origin. ``proxies`` is how many
    proxies in front are trusted to append to X-Forwarded-For.
    """

    origins: frozenset[str] = frozenset()
    hosts: frozenset[str] | None = None
    require_origin: bool = True
    proxies: int = 0

    @classmethod
    def of(
        cls,
        origins: Iterable[str] = (),
        hosts: Iterable[str] | None = None,
        *,
        require_origin: bool = True,
        proxies: int = 0,
    ) -> Guard:
        """The same, from what people write. ConfigurationError for what is no origin and no host."""
        return cls(
            origins=frozenset(_origin(origin) for origin in origins),
            hosts=None if hosts is None else frozenset(_host(host) for host in hosts),
            require_origin=require_origin,
            proxies=proxies,
        )

    def check(self, headers: Mapping[str, str]) -> None:
        """:class:`Refused` unless the request was made for this server, by a page of ours.

        ``headers`` finds names in any case, as those of aiohttp and Starlette do.
        """
        host = headers.get("Host", "").lower()
        if not _is_plain_host(host):
            raise Refused(f"Host {host!r:.100} is no host")
        self.check_host(host)
        origin = headers.get("Origin", "").lower()
        if not origin:
            if self.require_origin:
                raise Refused("no Origin: not a page of ours")
        elif origin not in self.origins and urlsplit(origin).netloc != host:
            raise Refused(f"Origin {origin!r:.100} is not ours; Host is {host!r:.100}")

    def check_host(self, host: str) -> None:
        """:class:`Refused` unless this is a name of ours, whatever the port."""
        if self.hosts is not None and host.lower() not in self.hosts and _name(host) not in self.hosts:
            raise Refused(f"Host {host!r:.100} is not ours")

    def address(self, peer: str, headers: Mapping[str, str]) -> str:
        """Whose request it is: the peer, or whom the outermost trusted proxy saw."""
        if not self.proxies:
            return peer
        seen = [part.strip() for part in headers.get("X-Forwarded-For", "").split(",") if part.strip()]
        named = seen[-self.proxies] if len(seen) >= self.proxies else peer
        return _without_port(named) or peer


def security_headers(host: str) -> dict[str, str]:
    """What a browser is told about every answer: no script but ours, no frame, the microphone for us alone."""
    sockets = f" ws://{host} wss://{host}" if _is_plain_host(host) else ""
    policy = [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "media-src 'self'",
        "worker-src 'self'",
        f"connect-src 'self'{sockets}",  # older browsers do not count a WebSocket of the same host as 'self'
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    return {
        "Content-Security-Policy": "; ".join(policy),
        "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-cache",
    }


def _is_plain_host(host: str) -> bool:
    """Whether this can stand in a header: whatever a client sends as Host must not become a policy of its own."""
    return bool(host) and all(char.isalnum() or char in ".-:[]" for char in host) and host.isascii()


def _name(host: str) -> str:
    """A host without its port: ``[::1]:80`` -> ``[::1]``."""
    host = host.lower()
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() and (":" not in name or name.endswith("]")) else host


def _origin(text: str) -> str:
    parts = urlsplit(text.lower())
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path not in ("", "/") or parts.query:
        raise ConfigurationError(f"{text!r} is no origin.", hint="An origin is like https://shop.example:8443.")
    return f"{parts.scheme}://{parts.netloc}"


def _host(text: str) -> str:
    if not _is_plain_host(text):
        raise ConfigurationError(f"{text!r} is no host.", hint="A host is like talk.example or 127.0.0.1:8000.")
    return text.lower()


def _without_port(text: str) -> str:
    """An address as proxies write it, with or without a port; "" if it is none."""
    for candidate in (text, _name(text)):
        try:
            return str(ip_address(candidate.strip("[]")))
        except ValueError:
            continue
    return ""
