"""The keys of a terminal: read one by one, and the terminal left as it was, whatever happens."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import aclosing
from types import SimpleNamespace
from typing import TextIO

import anyio
import pytest

from voicelive_agent.cli import _keys
from voicelive_agent.cli._keys import ConsoleKeyboard, Keyboard, open_keyboard

pytestmark = pytest.mark.linux
LINUX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has consoles instead of terminals")

if sys.platform != "win32":
    import pty
    import termios


class Terminal:
    """A pseudo-terminal: a program's side of it, and the keys that are pressed on the other."""

    def __init__(self) -> None:
        self.keys, self.number = pty.openpty()
        self.program: TextIO = os.fdopen(self.number, "r")

    def press(self, text: str | bytes) -> None:
        os.write(self.keys, text if isinstance(text, bytes) else text.encode())

    @property
    def settings(self) -> list[object]:
        return termios.tcgetattr(self.number)

    @property
    def echoes(self) -> bool:
        flags = self.settings[3]
        assert isinstance(flags, int)
        return bool(flags & termios.ECHO) and bool(flags & termios.ICANON)

    def hang_up(self) -> None:
        os.close(self.keys)
        self.keys = -1

    def close(self) -> None:
        if self.keys >= 0:
            os.close(self.keys)
        self.program.close()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """The terminal that we are run in."""
    made = Terminal()
    monkeypatch.setattr(sys, "stdin", made.program)
    monkeypatch.setattr(os, "tcgetpgrp", lambda number: os.getpgrp())
    yield made
    made.close()


def opened() -> Keyboard:
    keyboard = open_keyboard()
    assert keyboard is not None
    return keyboard


async def read(keyboard: Keyboard, count: int) -> str:
    """So many keys."""
    keys = ""
    async with aclosing(aiter(keyboard)) as pressed:  # type: ignore[type-var]
        async for key in pressed:  # type: ignore[attr-defined]
            keys += key
            if len(keys) == count:
                return keys
    return keys


# --- a terminal -------------------------------------------------------------------------------------------------


@LINUX
async def test_keys_come_one_by_one_and_without_enter(terminal: Terminal) -> None:
    with opened() as keyboard:
        terminal.press("m q")
        assert await read(keyboard, 3) == "m q"
        assert not terminal.echoes


@LINUX
async def test_keys_are_waited_for(terminal: Terminal) -> None:
    with opened() as keyboard:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.sleep, 0)
            with anyio.move_on_after(0.05) as waiting:
                await read(keyboard, 1)
            assert waiting.cancelled_caught
            terminal.press("x")
            assert await read(keyboard, 1) == "x"


@LINUX
async def test_arrows_and_the_like_are_no_keys_but_escape_is(terminal: Terminal) -> None:
    with opened() as keyboard:
        for special in ("\x1b[A", "\x1b[3~", "\x1b[1;5C", "\x1bOP", "\x1bm"):
            terminal.press(special)  # it may be read alone or with what follows
        terminal.press("\x1b")
        assert await read(keyboard, 1) == "\x1b"


@LINUX
async def test_keys_that_come_together_are_told_apart(terminal: Terminal) -> None:
    """Who is late reads several at once."""
    with opened() as keyboard:
        terminal.press("m\x1b[Aq\x1b\x1b")
        assert await read(keyboard, 4) == "mq\x1b\x1b"


@LINUX
async def test_a_letter_may_come_in_pieces(terminal: Terminal) -> None:
    with opened() as keyboard:
        first, second = "ß".encode()[:1], "ß".encode()[1:]
        terminal.press(first)
        async with anyio.create_task_group() as tasks:

            async def rest() -> None:
                await anyio.sleep(0.05)
                terminal.press(second + b"!")

            tasks.start_soon(rest)
            assert await read(keyboard, 2) == "ß!"


@LINUX
def test_the_terminal_is_restored(terminal: Terminal) -> None:
    before = terminal.settings
    with opened():
        assert terminal.settings != before
    assert terminal.settings == before


@LINUX
def test_the_terminal_is_restored_after_an_exception(terminal: Terminal) -> None:
    before = terminal.settings
    with pytest.raises(KeyboardInterrupt), opened():
        raise KeyboardInterrupt
    assert terminal.settings == before


@LINUX
async def test_it_can_be_left_and_entered_again(terminal: Terminal) -> None:
    before = terminal.settings
    keyboard = opened()
    with keyboard:
        pass
    with keyboard:
        terminal.press("x")
        assert await read(keyboard, 1) == "x"
    assert terminal.settings == before


@LINUX
async def test_a_terminal_that_goes_away_is_the_end_of_the_keys(terminal: Terminal) -> None:
    with opened() as keyboard:
        terminal.hang_up()
        assert await read(keyboard, 1) == ""


@LINUX
def test_a_terminal_that_is_gone_needs_no_restoring(terminal: Terminal) -> None:
    with opened():
        terminal.program.close()


@LINUX
async def test_a_terminal_that_cannot_be_read_any_more(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(number: int, size: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with opened() as keyboard:
        terminal.press("x")
        monkeypatch.setattr(os, "read", fail)
        assert await read(keyboard, 1) == ""


@LINUX
async def test_a_terminal_at_its_end_has_no_more_keys(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened() as keyboard:
        terminal.press("x")
        monkeypatch.setattr(os, "read", lambda number, size: b"")
        assert await read(keyboard, 1) == ""


# --- no terminal ------------------------------------------------------------------------------------------------


def test_without_a_terminal_there_are_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    for stdin in (None, io.StringIO("q"), closed):
        monkeypatch.setattr(sys, "stdin", stdin)
        assert open_keyboard() is None


@LINUX
def test_in_the_background_the_keys_are_not_ours(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "tcgetpgrp", lambda number: os.getpgrp() + 1)
    assert open_keyboard() is None


# --- a Windows console ------------------------------------------------------------------------------------------


class Console:
    """What ``msvcrt`` does, for these keys."""

    def __init__(self, keys: str) -> None:
        self.keys = list(keys)

    def kbhit(self) -> bool:
        return bool(self.keys)

    def getwch(self) -> str:
        return self.keys.pop(0)


async def test_a_console_is_asked_for_its_keys() -> None:
    console = Console("m")
    with ConsoleKeyboard(console) as keyboard:
        assert await read(keyboard, 1) == "m"
        async with anyio.create_task_group() as tasks:

            async def press() -> None:
                await anyio.sleep(0.06)
                console.keys += "\xe0Hq\x00;ü"  # an arrow and a function key are two each

            tasks.start_soon(press)
            assert await read(keyboard, 2) == "qü"
    assert console.keys == []


@LINUX
def test_on_windows_it_is_the_console(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    console = SimpleNamespace(kbhit=lambda: False, getwch=lambda: "")
    monkeypatch.setitem(sys.modules, "msvcrt", console)
    monkeypatch.setattr(_keys.sys, "platform", "win32")
    assert isinstance(open_keyboard(), ConsoleKeyboard)
