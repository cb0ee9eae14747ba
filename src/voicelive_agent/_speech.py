"""What ``say()`` and ``respond()`` return: something that is being said or thought, and how it goes."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, Final

from ._outputs import SpeechStatus
from .errors import ReplyError

__all__ = ["Reply", "Speech", "SpeechStatus"]

_FINAL: Final = frozenset({"heard", "interrupted", "dropped"})


class Speech:
    """Something the agent was asked to say. Await it to learn how it went.

    ``status`` goes from "queued" over "speaking" (its first sample is heard) to one of "heard" (its last one),
    "interrupted" or "dropped" (nothing of it was heard). ``text`` is "" where the words are left to the model;
    ``heard_text`` is what of it was heard, known when it is over: all of it, or up to the interruption (by the
    service's word timestamps, or else by proportion).
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.heard_text: str = ""
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

    def _move(self, status: SpeechStatus, text: str = "") -> None:
        self._status = status
        if status in _FINAL:
            self.heard_text = text if status != "dropped" else ""
            self._done.set()


class Reply:
    """An answer out of band, for the program alone. Await it for its text.

    Raises :class:`~voicelive_agent.errors.ReplyError` where none came: the response failed or was refused, or the
    conversation ended first. It may be awaited more than once, or not at all.
    """

    def __init__(self) -> None:
        self._text: str | None = None
        self._fault = ""
        self._done = asyncio.Event()

    @property
    def done(self) -> bool:
        """Whether awaiting it would not wait."""
        return self._done.is_set()

    def __await__(self) -> Generator[Any, None, str]:
        yield from self._done.wait().__await__()
        if self._text is None:
            raise ReplyError(f"There is no reply: {self._fault}.")
        return self._text

    def __repr__(self) -> str:
        return f"Reply({self._text!r})" if self._text is not None else f"Reply(<{self._fault or 'queued'}>)"

    def _move(self, status: SpeechStatus, text: str = "") -> None:
        if status == "heard":
            self._text = text
        else:
            self._fault = text.rstrip(".") or "the response was given up"
        self._done.set()
