"""What ``talk`` shows: lines for a log, or a live screen where there is a terminal and rich."""

from __future__ import annotations

import importlib.util
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, Self

from ..events import State
from ._transcript import Line

__all__ = ["HELP", "PlainScreen", "Screen", "View", "open_screen"]

HELP: Final = (
    ("space", "interrupt the agent (also: i)"),
    ("m", "mute the microphone, or unmute it"),
    ("t", "type instead of speaking"),
    ("q", "hang up (also: Ctrl-C)"),
    ("?", "show or hide this"),
)


@dataclass(frozen=True, slots=True)
class View:
    """How things stand."""

    state: State
    open: Sequence[Line]
    """Lines that may still change."""
    microphone_dbfs: float
    speaker_dbfs: float
    muted: bool
    keys: bool
    """Whether keys are read."""
    help: bool = False
    typed: str | None = None
    """What is being typed, if anything is."""


class Screen(Protocol):
    """Where it is shown. Anything but entering and leaving may be called on any thread, by one at a time."""

    interval_s: float
    """How often to show something."""
    live: bool
    """Whether it shows how things stand, and not only what has happened."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *exc_info: object) -> None: ...
    def show(self, lines: Sequence[Line], view: View) -> None:
        """Add lines for good, and show how things stand now."""


def open_screen(*, plain: bool) -> Screen:
    """The best one that there can be here."""
    dumb = os.environ.get("TERM") in ("dumb", "unknown")  # a window of an editor, say
    if plain or dumb or not sys.stdout.isatty() or importlib.util.find_spec("rich") is None:
        return PlainScreen()
    from ._live import LiveScreen

    return LiveScreen()


class PlainScreen:
    """A line for everything that has happened, with the second of the call in which it began."""

    interval_s = 0.1
    live = False

    def __enter__(self) -> Self:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # people say things that an old terminal cannot show
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def show(self, lines: Sequence[Line], view: View) -> None:
        """Print the lines."""
        for line in lines:  # each in one write: a hook may print at the same time
            print(f"{plain(line)}\n", end="", flush=True)


def plain(line: Line) -> str:
    """A line as text; what was not heard is in brackets."""
    label = f"{line.label}:" if line.label else ""
    text = line.text
    if line.cut:
        text = f"{text} [not heard: {line.unheard.strip()}]".lstrip()
    elif line.unheard:
        text += line.unheard
    first, *more = text.splitlines() or [""]
    indent = " " * 21
    return "\n".join([f"{line.at_s:8.2f} s  {label:<8} {first}", *(f"{indent}{each}" for each in more)])
