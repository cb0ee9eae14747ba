"""Between the agent and its transports: how loud it is, on both sides, and a microphone that can be muted.

Nothing is changed on the way, except by muting; everything else that a transport can do is passed on.
"""

from __future__ import annotations

from array import array
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Final

from .._pcm import alaw_to_pcm, level_dbfs, ulaw_to_pcm
from .._pump import SILENCE
from ..audio import AudioFormat, AudioSink, AudioSource, Call, CallMember, CallObserver, EchoReference
from ..errors import VoiceLiveError
from ..events import Event

__all__ = ["MeteredSink", "MeteredSource"]

WINDOW_MS: Final = 100
"""What a level is the mean of: long enough not to flicker, short enough to follow syllables."""

_DECODERS: Final = {"g711_ulaw": ulaw_to_pcm, "g711_alaw": alaw_to_pcm}


class MeteredSource:
    """A source whose level can be read, and which can be muted: the agent then hears silence of equal length."""

    def __init__(self, source: AudioSource) -> None:
        self._source = source
        self._recent = b""
        self.muted: bool = False

    @property
    def format(self) -> AudioFormat:
        """That of the source."""
        return self._source.format

    @property
    def echo_cancellation(self) -> EchoReference | None:
        """What the source says about echo."""
        reference: EchoReference | None = getattr(self._source, "echo_cancellation", None)
        return reference

    @property
    def level_dbfs(self) -> float:
        """How loud the first channel was in the last 100 ms, muted or not."""
        return _level(self._recent, self.format)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        window = _window_bytes(self.format)
        chunks = aiter(self._source)
        try:
            async for chunk in chunks:
                self._recent = (self._recent + chunk)[-window:]
                yield SILENCE[self.format.encoding] * len(chunk) if self.muted else chunk
        finally:
            self._recent = b""
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()

    def join(self, call: Call) -> None:
        """Let the source take part in the call."""
        if isinstance(self._source, CallMember):
            self._source.join(call)

    def observe(self, event: Event) -> None:
        """Let the source know what happens."""
        if isinstance(self._source, CallObserver):
            self._source.observe(event)


class MeteredSink:
    """A sink that knows how loud is what the listener hears *now*, and tells ``watch`` every event at once."""

    def __init__(self, sink: AudioSink, watch: Callable[[Event], None]) -> None:
        self._sink = sink
        self._watch = watch
        self._audio = bytearray()  # what is pending, and the window before it

    @property
    def format(self) -> AudioFormat:
        """That of the sink."""
        return self._sink.format

    @property
    def pending(self) -> int:
        """Samples written and not yet heard, as the sink says."""
        return self._sink.pending

    @property
    def in_flight(self) -> int:
        """Samples of these that a flush could no longer stop, as the sink says."""
        return int(getattr(self._sink, "in_flight", 0))

    @property
    def estimated(self) -> bool:
        """Whether the sink only estimates what was heard."""
        return bool(getattr(self._sink, "estimated", False))

    @property
    def level_dbfs(self) -> float:
        """How loud the last 100 ms were that the listener heard; -120 while nothing is playing."""
        try:
            pending = self._forget()
        except VoiceLiveError:  # a device that is lost: it ends the call, and not the one who only looks at it
            return -120.0
        return _level(bytes(self._audio[: len(self._audio) - pending]), self.format) if pending else -120.0

    def write(self, pcm: bytes) -> None:
        """Hand it to the sink."""
        self._sink.write(pcm)
        self._audio += pcm
        self._forget()

    def flush(self) -> None:
        """Silence the sink."""
        self._sink.flush()
        self._audio.clear()

    def join(self, call: Call) -> None:
        """Let the sink take part in the call."""
        if isinstance(self._sink, CallMember):
            self._sink.join(call)

    def observe(self, event: Event) -> None:
        """Let the sink know what happens, and whoever watches."""
        if isinstance(self._sink, CallObserver):
            self._sink.observe(event)
        self._watch(event)

    def _forget(self) -> int:
        """Drop what was heard before the window; how many bytes are pending."""
        pending = min(self._sink.pending * self.format.frame_bytes, len(self._audio))
        old = len(self._audio) - pending - _window_bytes(self.format)
        del self._audio[: max(0, old)]
        return pending


def _window_bytes(format: AudioFormat) -> int:
    return format.rate * WINDOW_MS // 1000 * format.frame_bytes


def _level(audio: bytes, format: AudioFormat) -> float:
    """The level of the first channel: with an echo reference, the second one is not the speaker's."""
    decode = _DECODERS.get(format.encoding)
    pcm = decode(audio) if decode else audio[: len(audio) - len(audio) % format.frame_bytes]
    if format.channels > 1:
        pcm = array("h", pcm)[:: format.channels].tobytes()
    return level_dbfs(pcm)
