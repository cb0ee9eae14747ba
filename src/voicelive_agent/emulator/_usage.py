"""Token counts: about four characters of text, 100 ms of input audio or 50 ms of output audio each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_TOKEN = re.compile(r" ?\w+| ?[^\w\s]|\s+")
_LOW_DETAIL, _HIGH_DETAIL = 85, 765
"""Tokens of an image: OpenAI's documented figures for low detail, and for 1024 x 1024 pixels otherwise."""


def tokens(text: str) -> list[str]:
    """Pieces of ``text`` as a model would stream them; together they are ``text``."""
    return _TOKEN.findall(text)


def count(text: str) -> int:
    """Tokens of ``text``, roughly."""
    return -(-len(text) // 4)


@dataclass(frozen=True, slots=True)
class Input:
    """Tokens of what a response was made from."""

    text: int = 0
    audio: int = 0
    image: int = 0

    @classmethod
    def of(cls, instructions: str, items: Sequence[Mapping[str, Any]], speech_ms: Mapping[str, float]) -> Input:
        """The tokens of the items that a model is shown; ``speech_ms`` has the length of each spoken one."""
        heard_ms = sum(speech_ms.get(item.get("id") or "", 0.0) for item in items)
        parts = [part for item in items for part in item.get("content") or ()]
        images = (part for part in parts if part["type"] == "input_image")
        return cls(
            text=sum(count(text) for text in (instructions, *map(text_of, items))),
            audio=round(heard_ms / 100),
            image=sum(_LOW_DETAIL if image.get("detail") == "low" else _HIGH_DETAIL for image in images),
        )


def text_of(item: Mapping[str, Any]) -> str:
    """All text of an item that a model would read."""
    if item["type"] != "message":
        return f"{item.get('name', '')}{item.get('arguments', '')}{item.get('output', '')}"
    return "".join(part.get("text") or "" for part in item["content"])


def usage(given: Input, output_text: int, output_audio_ms: float, *, cache_writes: bool) -> dict[str, Any]:
    """The usage object of response.done; ``cache_writes`` adds the field that newer cascade versions have."""
    output_audio = round(output_audio_ms / 50)
    input_tokens, output_tokens = given.text + given.audio + given.image, output_text + output_audio
    return {
        "total_tokens": input_tokens + output_tokens,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "input_token_details": {
            "cached_tokens": 0,
            **({"cache_write_tokens": 0} if cache_writes else {}),
            "text_tokens": given.text,
            "audio_tokens": given.audio,
            "image_tokens": given.image,
            "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": output_text, "audio_tokens": output_audio, "reasoning_tokens": 0},
    }
