"""Texts to audio deltas, one step of the voice at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from ._audio import OutputEncoder, OutputFormat
from ._context import Context
from ._options import Job

_END = object()


class Voicing:
    """Speaks the texts of one message. Every piece of audio is a job, so an interruption just asks for no more."""

    def __init__(
        self,
        context: Context,
        format: OutputFormat,
        *,
        azure_voice: bool,
        on_chunk: Callable[[bytes], None],
        on_idle: Callable[[], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._context = context
        self._format = format
        self._azure_voice = azure_voice
        self._on_chunk, self._on_idle, self._on_error = on_chunk, on_idle, on_error
        self._texts: deque[str] = deque()
        self._pieces: Iterator[bytes] | None = None
        self._encoder: OutputEncoder | None = None
        self._stopped = False
        self.idle = True
        """Whether everything said so far has become audio."""

    def say(self, text: str) -> None:
        """Speak this after what came before."""
        self._texts.append(text)
        if self.idle:
            self.idle = False
            self._next()

    def stop(self) -> None:
        """Make no more audio."""
        self._stopped = True
        self._context.withdraw(self._then)

    def finish(self) -> None:
        """Hand out the remainder that fills no whole delta."""
        if self._encoder is not None:
            for chunk in self._encoder.finish():
                self._on_chunk(chunk)

    def _next(self) -> None:
        self._context.work(Job("speak", self._context.voice, self._run, self._then))

    def _run(self) -> object:
        if self._encoder is None:
            self._encoder = OutputEncoder(self._format, self._context.voice.rate, azure_voice=self._azure_voice)
        if self._pieces is None:
            self._pieces = iter(self._context.voice.speak(self._texts[0]))
        return next(self._pieces, _END)

    def _then(self, piece: object) -> None:
        if self._stopped:
            return
        if isinstance(piece, BaseException):
            self._on_error(piece)
        elif piece is _END:
            self._pieces = None
            self._texts.popleft()
            self.idle = not self._texts
            if self.idle:
                self._on_idle()
            else:
                self._next()
        elif not isinstance(piece, bytes) or len(piece) % 2:
            self._on_error(TypeError(f"The voice must yield whole 16-bit samples as bytes, not {piece!r:.40}."))
        else:
            assert self._encoder is not None
            for chunk in self._encoder.feed(piece):
                self._on_chunk(chunk)
            self._next()
