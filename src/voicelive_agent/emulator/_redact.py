"""What of an event may be kept in a file: never a secret, and on request neither audio nor words."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

__all__ = ["Redactor", "audio_bytes", "is_left_out", "left_out"]

HIDDEN = "***"
_SECRET = {
    "access-token",
    "agent-access-token",
    "api-key",
    "apikey",
    "authorization",
    "client-secret",
    "credential",  # of a TURN server
    "ocp-apim-subscription-key",
    "password",
    "x-api-key",
}
_IN_TEXT = re.compile(
    r"""(?P<lead>\bBearer(?:\s|%20)+|\b(?:api[-_]?key|authorization|access[-_]token)\b\\?["']?\s*[:=]\s*\\?["']?)
        (?:Bearer(?:\s|%20)+)? [^\s"'&,;\\}]+
      | \beyJ[\w-]+\.[\w-]+\.[\w-]+    # a JSON web token
    """,
    re.IGNORECASE | re.VERBOSE,
)
_MEDIA_DELTAS = ("response.audio.delta", "response.video.delta")
_WORDS = {
    "additional_instructions",
    "arguments",
    "custom_speech",
    "delta",
    "image_url",
    "instructions",
    "logprobs",
    "output",
    "phrase_list",
    "prompt",
    "text",
    "texts",
    "transcript",
}
_SCHEMAS = ("parameters", "input_schema")
_SHORTEST_KNOWN = 8
"""Shorter secrets are not looked for in other texts: they would be found in words."""


class Redactor:
    """Redacts the events of one connection. A secret seen once is hidden wherever it comes up again."""

    def __init__(self, *, audio: bool = True, texts: bool = True) -> None:
        self._audio = audio
        self._texts = texts
        self._known: set[str] = set()

    def event(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """A copy without secrets, and without audio or texts where these are not wanted."""
        media = ("audio", "delta") if event.get("type") in _MEDIA_DELTAS else ("audio",)
        self._learn(event)
        return self._mapping(event, media, self._texts)

    def text(self, text: str) -> str:
        """A text in which nothing that looks like a secret, or is known to be one, is left."""
        for secret in self._known:
            text = text.replace(secret, HIDDEN)
        return _IN_TEXT.sub(lambda match: f"{match['lead'] or ''}{HIDDEN}", text)

    def query(self, query: Mapping[str, str]) -> dict[str, str]:
        """The parameters of a URL."""
        return {name: HIDDEN if _is_secret(name) else self.text(value) for name, value in query.items()}

    def _learn(self, value: Any) -> None:
        """Remember the secrets in an event before any text of it is written."""
        if isinstance(value, Mapping):
            for key, each in value.items():
                below = each.values() if _is_headers(key) and isinstance(each, Mapping) else (each,)
                if _is_secret(key) or _is_headers(key):
                    self._known |= {one for one in below if isinstance(one, str) and len(one) >= _SHORTEST_KNOWN}
                self._learn(each)
        elif isinstance(value, list):
            for each in value:
                self._learn(each)

    def _mapping(self, value: Mapping[str, Any], media: tuple[str, ...], texts: bool) -> dict[str, Any]:
        return {key: self._field(key, each, media, texts) for key, each in value.items()}

    def _field(self, key: str, value: Any, media: tuple[str, ...], texts: bool) -> Any:
        if _is_secret(key) and isinstance(value, str):
            return HIDDEN
        if _is_headers(key) and isinstance(value, Mapping):
            return {name: HIDDEN if isinstance(each, str) else each for name, each in value.items()}
        if key in media and isinstance(value, str):
            return value if self._audio else left_out(value)
        if key in _SCHEMAS:
            return self._value(value, media, texts=True)
        if key in _WORDS and not texts and not _is_list_of_items(value):
            return _blank(value)
        if key.endswith("url") and isinstance(value, str) and value.startswith(("http:", "https:")):
            return self.text(_bare_url(value))
        return self._value(value, media, texts)

    def _value(self, value: Any, media: tuple[str, ...], texts: bool) -> Any:
        if isinstance(value, Mapping):
            return self._mapping(value, media, texts)
        if isinstance(value, list):
            return [self._value(each, media, texts) for each in value]
        return self.text(value) if isinstance(value, str) else value


def audio_bytes(audio: str) -> bytes:
    """The audio in base64; of what is no base64 its characters, so that it has a length and a hash as well."""
    try:
        return base64.b64decode(audio, validate=True)
    except ValueError:
        return audio.encode("utf-8", "surrogatepass")


def left_out(audio: str) -> dict[str, Any]:
    """What stands for base64 audio that is not kept: its length and its hash."""
    data = audio_bytes(audio)
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def is_left_out(value: object) -> bool:
    """Whether this stands for audio that was not kept."""
    return isinstance(value, Mapping) and value.keys() == {"bytes", "sha256"} and isinstance(value["bytes"], int)


def _is_secret(key: str) -> bool:
    return key.lower().replace("_", "-") in _SECRET


def _is_headers(key: str) -> bool:
    return key.lower() == "headers"


def _is_list_of_items(value: object) -> bool:
    """``response.output`` has the name of a function's output, and holds items."""
    return isinstance(value, list) and any(isinstance(each, Mapping) and "type" in each for each in value)


def _blank(value: Any) -> Any:
    if isinstance(value, str):
        return f"[{len(value)} characters]"
    if isinstance(value, Mapping):
        return {key: _blank(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_blank(each) for each in value]
    return value


def _bare_url(url: str) -> str:
    """A URL without user, password and the values of its query: a signature or a key may be any of them."""
    try:
        parts = urlsplit(url)
        names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    except ValueError:
        return HIDDEN
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "&".join(f"{name}={HIDDEN}" for name in names), ""))
