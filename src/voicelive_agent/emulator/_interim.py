"""Interim responses: a sentence that bridges the time until the real answer, or until a tool was called.

The emulator asks no second model. A static one is one of the client's texts; a generated one (``llm_...``) is what
its instructions dictate (``Say exactly: "..."``), else one of a few fixed sentences. Which one is taken depends on
the response's id alone, so that a session with a seed always says the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from ._context import Context
from ._look import Look
from ._usage import tokens

_THRESHOLD_MS = 2000
"""The service's default."""
_MOST_TOKENS = 50
_SENTENCES = ("One moment, please.", "Let me think about that.", "Just a second.", "Let me check that for you.")
_DICTATED = re.compile(r'Say exactly: "(.*)"', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Interim:
    """The interim response that one response may give, once."""

    text: str
    triggers: frozenset[str]
    """Any of ``latency`` and ``tool``."""
    threshold_s: float


def interim_of(context: Context, request: Mapping[str, Any], look: Look) -> Interim | None:
    """What the request or the session has configured; None where it says nothing or nothing can be said.

    Only a cascade with an Azure voice has interim responses, and only while it speaks.
    """
    given = request.get("interim_response") or context.config["interim_response"]
    if not given or context.profile.realtime or not look.azure_voice or not look.spoken:
        return None
    text = _text(given, crc32(look.id.encode()))
    threshold_ms = given.get("latency_threshold_ms")
    return (
        Interim(
            text=text,
            triggers=frozenset(given.get("triggers") or ("latency",)),  # documented
            threshold_s=(_THRESHOLD_MS if threshold_ms is None else threshold_ms) / 1000,
        )
        if text
        else None
    )


def _text(given: Mapping[str, Any], number: int) -> str:
    if given["type"] == "static_interim_response":
        texts = given.get("texts") or ("",)
        return str(texts[number % len(texts)])
    dictated = _DICTATED.search(given.get("instructions") or "")
    text = dictated[1] if dictated else _SENTENCES[number % len(_SENTENCES)]
    return "".join(tokens(text)[: given.get("max_completion_tokens") or _MOST_TOKENS])
