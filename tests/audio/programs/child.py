"""What the programs of this folder have in common: their options, and lines of JSON."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any


def options() -> dict[str, Any]:
    """What the test asks for."""
    asked: dict[str, Any] = json.loads(sys.argv[1])
    return asked


def say(kind: str, fields: Mapping[str, Any] | None = None, /, *, at: float | None = None, **more: Any) -> None:
    """Tell the test that something happened, now if not at another time."""
    line = {"kind": kind, "at": time.monotonic() if at is None else at, **(fields or {}), **more}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def read(path: str) -> bytes:
    """A file of raw PCM16."""
    return Path(path).read_bytes()


def write(path: str, pcm: bytes | bytearray) -> None:
    """Write such a file."""
    Path(path).write_bytes(pcm)


async def commands() -> AsyncIterator[dict[str, Any]]:
    """What the test says, line by line, until it has no more to say."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for text in reader:
        yield json.loads(text)
