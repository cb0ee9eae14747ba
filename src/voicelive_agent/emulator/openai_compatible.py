"""A brain behind any chat completions endpoint: Ollama, llama.cpp, vLLM, LM Studio, OpenAI, Azure OpenAI.

Needs the extra ``llm`` (``pip install "voicelive-agent[llm]"``). The endpoint is called from a worker thread; its
text is spoken sentence by sentence while the rest is still being written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, TypeAlias

from ..errors import ConfigurationError
from ._chat_messages import chat_choice, chat_messages, chat_tools
from .protocols import Action, Call, Fail, Say, Turn

__all__ = ["OpenAIBrain"]

_SENTENCE = re.compile(r"(?<=[.!?…。！？])[\"')\]]?\s+|\n+")
_Errors: TypeAlias = "tuple[type[Exception], ...]"
_HTTP = ("httpx", "httpx2")
"""What openai calls with: before its version 3, and since."""
_NO_KEY = "none"
"""Local servers want no key, but the client wants one."""


class OpenAIBrain:
    """Answers with a model behind ``base_url``, the part before ``/chat/completions``.

    ``base_url`` is for example ``http://127.0.0.1:11434/v1`` (Ollama) or
    ``https://NAME.openai.azure.com/openai/v1``. ``timeout_s`` is how long the endpoint may be silent, before the
    first word and between two. ``headers`` go with every request; ``parameters`` are more fields of its body
    (``{"temperature": 0.2}``). Nothing is retried: what the endpoint refuses fails the response, in its words.

    Raises :class:`~voicelive_agent.ConfigurationError` where the package is missing or ``base_url`` is no URL.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str | None = None,
        *,
        timeout_s: float = 30.0,
        headers: Mapping[str, str] = MappingProxyType({}),
        parameters: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        if find_spec("openai") is None:
            raise ConfigurationError(
                "OpenAIBrain needs the package openai, which is not installed.",
                hint='pip install "voicelive-agent[llm]"',
            )
        if not re.match(r"https?://[^/]", base_url):
            raise ConfigurationError(
                f"base_url is {base_url!r}, not an http URL.",
                hint="Give the part before /chat/completions, for example http://127.0.0.1:11434/v1.",
            )
        if not timeout_s > 0:
            raise ConfigurationError(f"timeout_s is {timeout_s}.", hint="Give seconds, for example 30.")
        from openai import OpenAI

        self._client = OpenAI(
            base_url=base_url.removesuffix("/").removesuffix("/chat/completions"),
            api_key=api_key or _NO_KEY,
            timeout=timeout_s,
            max_retries=0,
            default_headers=dict(headers),
        )
        self._model = model
        self._timeout_s = timeout_s
        self._parameters = dict(parameters)

    def answer(self, turn: Turn) -> Iterator[Action]:
        """The model's sentences as they come, then its calls; a Fail where the endpoint fails."""
        import openai

        calls: dict[int, _PartialCall] = {}
        timeouts, breaks = _transport_errors()
        try:
            with self._client.chat.completions.create(**self._request(turn)) as stream:
                yield from _sentences(_deltas(stream, calls))
        except timeouts:
            yield Fail(f"The model endpoint said nothing for {self._timeout_s:g} s.", "timeout")
            return
        except openai.APIStatusError as error:
            yield Fail(_words(error), str(error.code or error.status_code))
            return
        except breaks as error:
            yield Fail(f"The model endpoint {self._client.base_url} cannot be reached: {error.__cause__ or error}")
            return
        except openai.APIError as error:  # an error in the middle of the stream
            yield Fail(_words(error), str(error.code or "server_error"))
            return
        for _, call in sorted(calls.items()):
            yield call.action()

    def _request(self, turn: Turn) -> dict[str, Any]:
        request = {
            "model": self._model,
            "messages": chat_messages(turn),
            "stream": True,
            **self._parameters,
        }
        if tools := chat_tools(turn):
            request |= {"tools": tools, "tool_choice": chat_choice(turn.tool_choice)}
        return request


def _transport_errors() -> tuple[_Errors, _Errors]:
    """What is raised where the endpoint is silent for too long, and where it is not there (any more)."""
    import openai

    timeouts: _Errors = (openai.APITimeoutError,)
    breaks: _Errors = (openai.APIConnectionError,)
    for name in _HTTP:  # older clients pass on what the streams of theirs raise
        if find_spec(name) is not None:
            http = import_module(name)
            timeouts += (http.TimeoutException,)
            breaks += (http.TransportError,)
    return timeouts, breaks


class _PartialCall:
    """A function call that arrives in pieces."""

    def __init__(self) -> None:
        self.name = self.arguments = ""

    def action(self) -> Action:
        try:
            arguments = json.loads(self.arguments or "{}")
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict):
            return Fail(f"The model called {self.name} with arguments that are no JSON object: {self.arguments}")
        return Call(self.name, arguments)


def _deltas(stream: Any, calls: dict[int, _PartialCall]) -> Iterator[str]:
    """The pieces of text; what is called is put into ``calls`` by its index."""
    for chunk in stream:
        for choice in chunk.choices[:1]:
            for piece in choice.delta.tool_calls or ():
                call = calls.setdefault(piece.index or 0, _PartialCall())
                call.name += piece.function.name or ""
                call.arguments += piece.function.arguments or ""
            if choice.delta.content:
                yield choice.delta.content


def _sentences(pieces: Iterator[str]) -> Iterator[Say]:
    """Whole sentences, with the space after them, so that together they are the text."""
    text = ""
    for piece in pieces:
        text += piece
        while found := _SENTENCE.search(text):
            sentence, text = text[: found.end()], text[found.end() :]
            if sentence.strip():
                yield Say(sentence)
    if text.strip():
        yield Say(text)


def _words(error: Any) -> str:
    """What the endpoint itself says; endpoints differ in where they say it."""
    body = error.body
    if isinstance(body, Mapping):
        body = body.get("message") or body.get("error") or body.get("detail") or body
        body = body.get("message", body) if isinstance(body, Mapping) else body
    return str(body or error.message)
