"""Token counts: about four characters of text, 100 ms of input audio or 50 ms of output audio each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_TOKEN = re.compile(r" ?\w+| ?[^\w\s]|\s+")


def tokens(text: str) -> list[str]:
    """Pieces of ``text`` as a model would stream them; together they are ``text``."""
    return _TOKEN.findall(text)


def count(text: str) -> int:
    """Tokens of ``text``, roughly."""
    return -(-len(text) // 4)


def text_of(item: Mapping[str, Any]) -> str:
    """All text of an item that a model would read."""
    if item["type"] != "message":
        return f"{item.get('name', '')}{item.get('arguments', '')}{item.get('output', '')}"
    return "".join(part.get("text") or "" for part in item["content"])


def usage(
    *,
    input_text: int = 0,
    input_audio_ms: float = 0,
    output_text: int = 0,
    output_audio_ms: float = 0,
    cache_writes: bool,
) -> dict[str, Any]:
    """The usage object of response.done; ``cache_writes`` adds the field that newer cascade versions have."""
    input_audio, output_audio = round(input_audio_ms / 100), round(output_audio_ms / 50)
    details = {"cached_tokens": 0, **({"cache_write_tokens": 0} if cache_writes else {})}
    details |= {"text_tokens": input_text, "audio_tokens": input_audio, "image_tokens": 0}
    return {
        "total_tokens": input_text + input_audio + output_text + output_audio,
        "input_tokens": input_text + input_audio,
        "output_tokens": output_text + output_audio,
        "input_token_details": {
            **details,
            "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": output_text, "audio_tokens": output_audio, "reasoning_tokens": 0},
    }


def read_tokens(texts: Iterable[str]) -> int:
    """Tokens of several texts."""
    return sum(count(text) for text in texts)
