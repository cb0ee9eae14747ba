"""The live screen of ``talk``: finished lines scroll by, and below them is how things stand. Needs rich."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Self

from ..events import State
from ._screen import HELP, View
from ._transcript import Line

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.text import Text

__all__ = ["LiveScreen", "bar", "status", "written"]

QUIETEST_DBFS: Final = -60.0
LABEL_WIDTH: Final = 7
_STATES: Final = {
    State.CONNECTING: "yellow",
    State.READY: "green",
    State.LISTENING: "cyan",
    State.PROCESSING: "magenta",
    State.SPEAKING: "blue",
    State.ERROR: "red",
    State.CLOSED: "bright_black",
}
_LABELS: Final = {
    "you": "bold cyan",
    "agent": "bold blue",
    "tool": "magenta",
    "note": "yellow",
    "error": "bold red",
}
_TEXTS: Final = {"you": "", "agent": "", "note": "yellow", "error": "red"}


class LiveScreen:
    """Redraws the lower end of the terminal; what the user's own code prints appears above it."""

    interval_s = 0.1
    live = True

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console

        self._console = console or Console(highlight=False)

    def __enter__(self) -> Self:
        from rich.live import Live

        # A new one every time: one that is started again would write over the lines above it.
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._live.stop()

    def show(self, lines: Sequence[Line], view: View) -> None:
        """Print the lines above, and redraw what is below."""
        from rich.text import Text

        width = self._console.width
        rows = [row for line in lines for row in written(line, self._console, width)]
        with self._console:  # one write, so that nothing flickers
            if rows:
                self._console.print(Text("\n").join(rows))
            self._live.update(self._below(view, width), refresh=True)

    def _below(self, view: View, width: int) -> Group:
        from rich.console import Group
        from rich.text import Text

        foot = [status(view, width, ascii_only=self._console.options.ascii_only), *_foot(view)]
        for row in foot:
            row.no_wrap, row.overflow = True, "ellipsis"
        rows = [row for line in view.open for row in written(line, self._console, width)]
        room = max(1, self._console.height - len(foot) - 2)  # the end of a long answer is what is new
        return Group(*rows[-room:], Text(), *foot)


def written(line: Line, console: Console, width: int) -> list[Text]:
    """A line in rows of this width: dim is what was not heard yet, struck out what never will be."""
    from rich.text import Text

    text = Text(line.text or ("" if line.unheard else "..."), _TEXTS.get(line.label, "bright_black"))
    text.append(line.unheard, "strike bright_black" if line.cut else "bright_black")
    rows = []
    for number, row in enumerate(text.wrap(console, max(10, width - LABEL_WIDTH - 1))):
        row.rstrip()
        label = f"{'' if number else line.label:>{LABEL_WIDTH - 1}}  "
        rows.append(Text.assemble((label, _LABELS.get(line.label, "bright_black")), row))
    return rows


def status(view: View, width: int, *, ascii_only: bool) -> Text:
    """The state, and how loud both sides are."""
    from rich.text import Text

    cells = max(4, min(24, (width - 46) // 2))
    text = Text.assemble((f" {'*' if ascii_only else '●'} {view.state.value:<10}", f"bold {_STATES[view.state]}"))
    text.append("  you ", "cyan")
    if view.muted:
        text.append(f"{'muted':<{cells + 8}}", "yellow")
    else:
        text.append_text(bar(view.microphone_dbfs, cells, ascii_only=ascii_only))
    text.append("  agent ", "blue")
    return text.append_text(bar(view.speaker_dbfs, cells, ascii_only=ascii_only))


def bar(level_dbfs: float, cells: int, *, ascii_only: bool) -> Text:
    """A level from -60 dBFS to full scale, with its number."""
    from rich.text import Text

    full = round(cells * max(0.0, min(1.0, 1 - level_dbfs / QUIETEST_DBFS)))
    colour = "red" if level_dbfs > -3 else "yellow" if level_dbfs > -12 else "green"
    block, empty = ("#", ".") if ascii_only else ("━", "━")
    number = f"{level_dbfs:4.0f} dB" if level_dbfs > QUIETEST_DBFS else "       "
    return Text.assemble(
        (block * full, colour), (empty * (cells - full), "bright_black"), (f" {number}", "bright_black")
    )


def _foot(view: View) -> list[Text]:
    """What is being typed, or which keys there are."""
    from rich.text import Text

    if view.typed is not None:
        return [
            Text.assemble(
                (" > ", "bold cyan"), view.typed, ("_", "blink"), ("   Enter sends, Esc does not", "bright_black")
            )
        ]
    if not view.keys:
        return [Text(" Ctrl-C hangs up", "bright_black")]
    if view.help:
        return [Text.assemble((f" {key:>5}", "bold"), f"  {what}") for key, what in HELP]
    return [Text(" space interrupts   m mutes   t types   q hangs up   ? explains", "bright_black")]
