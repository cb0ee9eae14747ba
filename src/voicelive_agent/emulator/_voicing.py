"""Texts to audio deltas, one step of the voice at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from ._audio import OutputEncoder
from ._context import Context
from ._look import Look
from ._options import Job
from ._timing import Cues, Track, timed_pieces
from .protocols import SpokenPiece

_END = object()


class Voicing:
    """Speaks the texts of one message. Every piece of audio is a job, so an interruption just asks for no more."""

    def __init__(
        self,
        context: Context,
        look: Look,
        *,
        on_chunk: Callable[[bytes, Cues], None],
        on_idle: Callable[[], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._context = context
        self._look = look
        self._on_chunk, self._on_idle, self._on_error = on_chunk, on_idle, on_error
        self._texts: deque[str] = deque()
        self._pieces: Iterator[bytes] | Iterator[SpokenPiece] | None = None
        self._encoder: OutputEncoder | None = None
        self._track = Track(look.cues) if look.cues else None
        self._made_ms = 0.0  # by the voice
        self._sent_ms = 0.0  # in deltas
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
        """Hand out the remainder that fills no whole delta; what is said later begins with a short delta again."""
        if self._encoder is not None:
            self._hand_out(self._encoder.finish())
            self._encoder = None
            self._made_ms = self._sent_ms

    def _next(self) -> None:
        self._context.work(Job("speak", self._context.voice, self._run, self._then))

    def _run(self) -> object:
        voice, look = self._context.voice, self._look
        if self._encoder is None:
            self._encoder = OutputEncoder(look.format, voice.rate, azure_voice=look.azure_voice)
        if self._pieces is None:
            text = self._texts[0]
            self._pieces = timed_pieces(voice, text) if self._track else iter(voice.speak(text))
        return next(self._pieces, _END)

    def _then(self, piece: object) -> None:
        if self._stopped:
            return
        match piece:
            case BaseException():
                self._on_error(piece)
            case _ if piece is _END:
                self._pieces = None
                self._texts.popleft()
                self.idle = not self._texts
                if self.idle:
                    self._on_idle()
                else:
                    self._next()
            case bytes() if not len(piece) % 2:
                self._feed(SpokenPiece(piece))
            case SpokenPiece(pcm=bytes(pcm)) if not len(pcm) % 2:
                self._feed(piece)
            case _:
                self._on_error(
                    TypeError(f"The voice must yield whole 16-bit samples as bytes, not {piece!r:.40}.")
                )

    def _feed(self, piece: SpokenPiece) -> None:
        assert self._encoder is not None
        length_ms = len(piece.pcm) / 2 * 1000 / self._context.voice.rate
        if self._track:
            self._track.add(piece.words, self._made_ms, length_ms)
        self._made_ms += length_ms
        self._hand_out(self._encoder.feed(piece.pcm))
        self._next()

    def _hand_out(self, chunks: list[bytes]) -> None:
        for chunk in chunks:
            self._sent_ms += self._look.format.ms(len(chunk))
            self._on_chunk(chunk, self._track.take(self._sent_ms) if self._track else Cues())
