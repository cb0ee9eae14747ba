"""One call of ``talk``: the agent, its audio, the screen and the keys, until one of them ends it.

Everything here runs on the event loop except showing, which has a thread: a terminal that takes nothing (a slow
line, Ctrl-S) must not stop the conversation.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from typing import Final

import anyio
import anyio.to_thread

from .._agent import VoiceAgent
from ..errors import VoiceLiveError
from ..events import Event, SessionStarted, State
from ..history import History
from ._keys import ESCAPE, Keyboard
from ._level import MeteredSink, MeteredSource
from ._options import Audio
from ._reload import Watch
from ._screen import Screen, View
from ._signals import received
from ._target import explained
from ._transcript import Line, Transcript

__all__ = ["Session", "told"]

POLITE_S: Final = 1.0
"""How long a call may take to end by itself when it is asked to; then it is cancelled."""
SILENT_DBFS: Final = -120.0


def told(error: Exception) -> str:
    """An error as it is told: in its own words if it is ours, else with the lines of the user's code."""
    return str(error) if isinstance(error, VoiceLiveError) else explained(error)


class Session:
    """One call, or none without an agent. With a ``watch`` it is followed by waiting for the code to change.

    ``failure`` is what ended the call if nobody asked for its end, or why there is no agent; ``began`` whether it
    came to a call.
    """

    _scope: anyio.CancelScope

    def __init__(
        self,
        agent: VoiceAgent | None,
        audio: Audio,
        *,
        screen: Screen,
        keyboard: Keyboard | None = None,
        watch: Watch | None = None,
        notes: Sequence[str] = (),
        failure: Exception | None = None,
    ) -> None:
        self.failure = failure
        self.began: bool = False
        self._agent = agent
        self._audio = audio
        self._screen = screen
        self._keyboard = keyboard
        self._watch = watch
        began = time.monotonic()
        self._transcript = Transcript(lambda: time.monotonic() - began)
        for note in notes:
            self._transcript.note(note)
        self._source: MeteredSource | None = None
        self._sink: MeteredSink | None = None
        self._unshown: list[Line] = []
        self._typed: str | None = None
        self._help = False
        self._ending = False
        self._code: int | None = 0

    def run(self) -> int | None:
        """Hold the call; the exit code, or None when the code has changed. KeyboardInterrupt after Ctrl-C."""
        with ExitStack() as terminal:
            if self._keyboard is not None:
                terminal.enter_context(self._keyboard)
            terminal.enter_context(self._screen)
            anyio.run(self._hold)
        return self._code

    async def _hold(self) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                self._scope = tasks.cancel_scope
                for work in (self._obey_signals, self._obey_keys, self._show_for_ever, self._notice_changes):
                    tasks.start_soon(work)
                if self._agent is not None:
                    await self._converse(self._agent)
                if self._watch is not None and not self._ending:
                    if self.failure is not None:
                        self._transcript.note(told(self.failure), "error")
                    self._transcript.note("Waiting for a change of the code.")
                    await anyio.sleep_forever()
                tasks.cancel_scope.cancel()
        finally:
            self._show()

    # --- the call ---

    async def _converse(self, agent: VoiceAgent) -> None:
        try:
            async with AsyncExitStack() as stack:
                source, sink = await self._audio.open(stack)
                for what, side in (("Microphone", source), ("Speaker", sink)):
                    if (device := getattr(side, "device", None)) is not None:
                        self._transcript.note(f"{what}: {device}.")
                self._source, self._sink = MeteredSource(source), MeteredSink(sink, self._observe)
                try:
                    await agent.run(self._source, self._sink)
                finally:
                    self._source = self._sink = None  # before they are closed: from then on they answer nothing
        except Exception as error:  # noqa: BLE001  (the border to hooks, devices and files: it is reported)
            self.failure = error

    def _observe(self, event: Event) -> None:
        self.began = self.began or isinstance(event, SessionStarted)
        self._transcript.observe(event)

    def _end(self, code: int | None) -> None:
        """End it politely, for the first reason that there was."""
        if self._ending:
            return
        self._ending, self._code = True, code
        if self._agent is None or self._source is None:
            self._scope.cancel()  # there is no call to be ended
        else:
            self._agent.stop()
            self._scope.deadline = anyio.current_time() + POLITE_S

    # --- what may end it ---

    async def _obey_signals(self) -> None:
        """SIGTERM and SIGHUP hang up. Ctrl-C needs nothing here: asyncio cancels the call."""
        names = ["SIGTERM", "SIGHUP", *(["SIGTSTP"] if self._keyboard is not None else [])]
        numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
        with received(*numbers) as signals:
            async for number in signals:
                if number.name == "SIGTSTP":
                    self._sleep_in_background()
                else:
                    self._end(128 + number)

    def _sleep_in_background(self) -> None:
        """Ctrl-Z: the shell gets its terminal back as it was, and the screen comes back with us."""
        assert self._keyboard is not None
        self._screen.__exit__(None, None, None)
        self._keyboard.__exit__(None, None, None)
        if sys.platform != "win32":
            os.kill(os.getpid(), signal.SIGSTOP)
        self._keyboard.__enter__()
        self._screen.__enter__()

    async def _notice_changes(self) -> None:
        if self._watch is not None:
            changed = await self._watch.changed()
            self._transcript.note(f"Changed: {', '.join(file.name for file in changed)}.")
            self._end(None)

    # --- the keys ---

    async def _obey_keys(self) -> None:
        if self._keyboard is not None:
            async for key in self._keyboard:
                if self._typed is None:
                    self._press(key)
                else:
                    self._type(self._typed, key)

    @property
    def _talking(self) -> VoiceAgent | None:
        """The agent, while it is in a call."""
        return self._agent if self._agent is not None and self._agent.state is not State.CLOSED else None

    def _press(self, key: str) -> None:
        match key:
            case " " | "i":
                if (agent := self._talking) is not None:
                    agent.interrupt()
            case "m":
                if self._source is not None:
                    self._source.muted = not self._source.muted
                    self._transcript.note("Muted." if self._source.muted else "Not muted any more.")
            case "t":
                if self._screen.live and self._talking is not None:
                    self._typed = ""
            case "?" | "h":
                self._help = not self._help
            case "q" | "\x04":
                self._end(0)
            case _:
                pass

    def _type(self, typed: str, key: str) -> None:
        """One more key of a line that is typed instead of spoken."""
        match key:
            case "\r" | "\n":
                if typed.strip() and (agent := self._talking) is not None:
                    agent.send_text(typed)
                    self._transcript.note(typed, "you")
                self._typed = None
            case "\x7f" | "\b":
                self._typed = typed[:-1]
            case _ if key == ESCAPE:
                self._typed = None
            case _:
                self._typed = typed + key if key.isprintable() else typed

    # --- the screen ---

    async def _show_for_ever(self) -> None:
        try:
            while True:
                lines, view = self._lines(), self._view()
                if lines or self._screen.live:
                    await anyio.to_thread.run_sync(self._screen.show, lines, view)
                del self._unshown[: len(lines)]
                await anyio.sleep(self._screen.interval_s)
        except BrokenPipeError as error:  # whoever read our output has gone
            self.failure = self.failure or error
            self._end(1)

    def _show(self) -> None:
        """The last lines, when all is over."""
        self._screen.show(self._lines(over=True), self._view())

    def _lines(self, *, over: bool = False) -> list[Line]:
        """What is to be added to the screen; kept until it was, since showing may be cut short."""
        self._unshown += self._transcript.settled(self._history, over=over)
        return list(self._unshown)

    @property
    def _history(self) -> History:
        return self._agent.history if self._agent is not None else History()

    def _view(self) -> View:
        return View(
            state=self._transcript.state,
            open=self._transcript.open(self._history),
            microphone_dbfs=self._source.level_dbfs if self._source is not None else SILENT_DBFS,
            speaker_dbfs=self._sink.level_dbfs if self._sink is not None else SILENT_DBFS,
            muted=self._source is not None and self._source.muted,
            keys=self._keyboard is not None,
            help=self._help,
            typed=self._typed,
        )
