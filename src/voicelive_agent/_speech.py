"""What ``say()`` returns: something that is being said, and how it goes."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, Final

from ._outputs import SpeechStatus

__all__ = ["Speech", "SpeechStatus"]

_FINAL: Final = frozenset({"heard", "interrupted", "dropped"})


class Speech:
    """Something the agent was asked to say. Await it to learn how it went.

    ``status`` goes from "queued" over "speaking" (its first sample is heard) to one of "heard" (its last one),
    "interrupted" or "dropped" (nothing of it was heard).
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._status: SpeechStatus = "queued"
        self._done = asyncio.Event()

    @property
    def status(self) -> SpeechStatus:
        """How far it is."""
        return self._status

    def __await__(self) -> Generator[Any, None, SpeechStatus]:
        yield from self._done.wait().__await__()
        return self._status

    def __repr__(self) -> str:
        return f"Speech({self.text!r}, status={self._status!r})"

    def _move(self, status: SpeechStatus) -> None:
        self._status = status
        if status in _FINAL:
            self._done.set()
