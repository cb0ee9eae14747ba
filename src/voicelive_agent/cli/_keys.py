"""The keys of the terminal, one by one and without Enter. What the terminal was, it is again afterwards."""

from __future__ import annotations

import codecs
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from types import TracebackType
from typing import Final, Protocol, Self

import anyio

__all__ = ["Keyboard", "open_keyboard"]

POLL_S: Final = 0.05
ESCAPE: Final = "\x1b"
SEQUENCE: Final = re.compile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|O[ -~]|[^\x1b])")
"""What an arrow, another special key, or a letter with Alt sends (ECMA-48, 5.4). Escape itself is alone."""


class Keyboard(Protocol):
    """Keys, for as long as it is entered; it can be left and entered again."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    def __aiter__(self) -> AsyncIterator[str]: ...


def open_keyboard() -> Keyboard | None:
    """That of the terminal we are run in; None where there is none, or where it is not ours to read."""
    try:
        terminal = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
    except (OSError, ValueError):  # closed, or replaced by something without a number
        terminal = None
    if terminal is None:
        return None
    if sys.platform == "win32":
        import msvcrt

        return ConsoleKeyboard(msvcrt)
    else:  # noqa: RET505  (only so do type checkers know that it is not for Windows)
        is_ours = os.tcgetpgrp(terminal) == os.getpgrp()  # in the background we would be stopped for reading
        return TerminalKeyboard(terminal) if is_ours else None


if sys.platform != "win32":
    import termios
    import tty

    class TerminalKeyboard:
        """A POSIX terminal in cbreak mode: no echo, no line editing; Ctrl-C and Ctrl-Z do what they always do."""

        def __init__(self, terminal: int) -> None:
            self._terminal = terminal

        def __enter__(self) -> Self:
            self._saved = termios.tcgetattr(self._terminal)
            tty.setcbreak(self._terminal)
            return self

        def __exit__(
            self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
        ) -> None:
            with suppress(termios.error):  # the terminal itself has gone, and with it what there was to restore
                termios.tcsetattr(self._terminal, termios.TCSANOW, self._saved)

        async def __aiter__(self) -> AsyncIterator[str]:
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            while True:
                await anyio.wait_readable(self._terminal)
                try:
                    pressed = os.read(self._terminal, 1024)
                except OSError:
                    return  # the terminal has gone
                if not pressed:
                    return
                # Where we are late there are several keys at once: what follows an arrow is none of it.
                for key in SEQUENCE.sub("", decoder.decode(pressed)):
                    yield key


class Console(Protocol):
    """What is needed of ``msvcrt``."""

    def kbhit(self) -> bool: ...
    def getwch(self) -> str: ...


class ConsoleKeyboard:
    """A Windows console, which can only be asked."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    async def __aiter__(self) -> AsyncIterator[str]:
        while True:
            while self._console.kbhit():
                key = self._console.getwch()
                if key in ("\x00", "\xe0"):  # an arrow or a function key: its code follows
                    self._console.getwch()
                else:
                    yield key
            await anyio.sleep(POLL_S)
