"""Recordings as somebody who speaks, and as somebody who listens.

Both keep time: a source is paced like a microphone, and a sink hears what is written to it at the speed of
speech, so that a conversation between files has the timing of one between people.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self, TypeAlias

import anyio

from ._paced import PacedQueue
from ._soundfile import kind_of, read_other
from ._wav import HEAD_BYTES, OtherCodec, WavFile, is_wav, read_wav
from ._wav_writer import WavWriter
from .audio import AudioFormat
from .errors import AudioFileError

__all__ = ["FileSource", "WavSink", "WavSource", "WavWriter"]

StrPath: TypeAlias = str | os.PathLike[str]


class _Recording(Protocol):
    """A file that was examined."""

    @property
    def format(self) -> AudioFormat: ...
    @property
    def frames(self) -> int: ...
    @property
    def truncated(self) -> bool: ...
    def blocks(self, file: BinaryIO, frames: int) -> Iterator[bytes]: ...


class FileSource:
    """A recording as a speaker: an AudioSource at the file's own rate and channels.

    WAV of every usual kind, and with ``pip install "voicelive-agent[audio]"`` also FLAC, Ogg, MP3, AIFF and more;
    how it begins decides what it is, and not its name. The format is 16-bit PCM, to which other samples are
    rounded; G.711 in a WAV file stays G.711, so that a recorded telephone reaches the service as it is.

    ``speed`` is 1.0 for real time, 8.0 for eight times as fast, None for as fast as it is asked. Each
    iteration reads the file from its beginning, ``block_ms`` of audio at a time; a block comes when a
    microphone would have recorded it, and a late reader gets at once what it missed. Never more than a block is in
    memory. ``clock`` returns seconds; by default it is the event loop's.

    The file is examined here: AudioFileError if it is missing, or is not such a file. ``truncated`` is true
    if a WAV file ends before its header says; what is there is played.
    """

    def __init__(
        self,
        path: StrPath,
        *,
        speed: float | None = 1.0,
        block_ms: int = 20,
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:
        if speed is not None and not speed > 0.0:
            raise ValueError(f"the speed must be positive, or None for as fast as possible, not {speed}")
        if block_ms < 1:
            raise ValueError(f"block_ms must be at least 1, not {block_ms}")
        self.path: Path = Path(path)
        self.speed = speed
        self.block_ms = block_ms
        self._clock = clock
        with _opened(self.path) as file:
            self._recording = self._examined(file)

    @property
    def format(self) -> AudioFormat:
        """Rate and channels of the file, as 16-bit PCM or as the G.711 that it holds."""
        return self._recording.format

    @property
    def frames(self) -> int:
        """Samples of each channel in the file."""
        return self._recording.frames

    @property
    def duration_s(self) -> float:
        """The length of the recording, whatever the speed."""
        return self.frames / self.format.rate

    @property
    def truncated(self) -> bool:
        """Whether a WAV file ends before its header says."""
        return self._recording.truncated

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the recording from its beginning. AudioFileError if it cannot be read any more."""
        begin, frames = self._clock(), 0
        with contextlib.closing(self._blocks()) as blocks:
            for pcm in blocks:
                frames += len(pcm) // self.format.frame_bytes
                due = 0.0 if self.speed is None else begin + frames / (self.format.rate * self.speed)
                # A deadline counted from the beginning cannot drift; even a late one lets other tasks run.
                await anyio.sleep(max(0.0, due - self._clock()))
                yield pcm

    def _blocks(self) -> Generator[bytes, None, None]:
        frames = max(1, self.format.rate * self.block_ms // 1000)
        with _opened(self.path) as file:
            yield from self._recording.blocks(file, frames)

    def _examined(self, file: BinaryIO) -> _Recording:
        head = file.read(HEAD_BYTES)
        if not is_wav(head):
            return read_other(file, self.path, kind_of(head, self.path))
        try:
            return read_wav(file, self.path)
        except OtherCodec as other:
            return read_other(file, self.path, f"a WAV file of {other.codec}")


class WavSource(FileSource):
    """A WAV file as a speaker: a :class:`FileSource` that needs no other package, and reads nothing else.

    Integers of 8, 16, 24 and 32 bits, floating point of 32 and 64, A-law and mu-law; plain, RF64, BW64 and
    WAVE_FORMAT_EXTENSIBLE; streamed and truncated files too.
    """

    def _examined(self, file: BinaryIO) -> WavFile:
        return read_wav(file, self.path)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file, whose failures are AudioFileErrors."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # opening a pipe would wait for somebody who writes
            what = "a directory" if stat.S_ISDIR(mode) else "a pipe or a device"
            raise AudioFileError(path, f"is {what}, not a file.", hint="Give the path of a recording.")
        with path.open("rb") as file:
            yield file
    except FileNotFoundError as missing:
        raise AudioFileError(
            path, "there is no such file.", hint=f"Check the path: it was looked for in {Path.cwd()}."
        ) from missing
    except OSError as failure:
        raise AudioFileError(
            path,
            f"cannot be read: {failure.strerror or failure}.",
            hint="It must be a file that you may read.",
        ) from failure


class WavSink:
    """A listener who records: an AudioSink whose file holds what was heard, when it was heard.

    The file (mono 16-bit PCM at ``rate``) runs from opening to closing, with silence where nothing was played
    and nothing of what was flushed. ``speed`` is how fast the listener hears, in seconds of audio per second
    of ``clock``. OSError if the file cannot be created, AudioFileError if its name is that of another kind of
    audio (``.mp3``).

    A full disk ends the recording but not the call: ``pending`` goes on as before, ``error`` says what
    happened, and :meth:`close` raises it once. Close it, or use ``async with``.
    """

    def __init__(
        self,
        path: StrPath,
        *,
        rate: int = 24_000,
        speed: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path: Path = Path(path)
        self._queue = PacedQueue(rate, clock, speed)
        self._writer = WavWriter(self.path, rate)
        self._unheard: deque[tuple[int, memoryview]] = deque()  # where each begins, and its samples
        self._half = b""
        self._closed = False
        self.error: OSError | None = None

    @property
    def format(self) -> AudioFormat:
        """Mono 16-bit PCM at the rate of the file."""
        return self._writer.format

    @property
    def pending(self) -> int:
        """Samples written and not yet heard."""
        return self._queue.pending

    @property
    def heard(self) -> int:
        """Samples heard so far, silence not included."""
        return self._queue.heard

    def write(self, pcm: bytes) -> None:
        """Take samples, to be heard after what is pending; half a sample waits for its other half."""
        if self._closed:
            raise ValueError(f"{self.path}: the recording is closed")
        self._record(self._queue.position)
        pcm = self._half + pcm
        samples = len(pcm) // 2
        self._half = pcm[2 * samples :]
        if samples:
            self._unheard.append((self._queue.write(samples), memoryview(pcm)[: 2 * samples]))

    def flush(self) -> None:
        """Drop what is not yet heard."""
        self._queue.flush()
        self._record(self._queue.end)
        self._unheard.clear()
        self._half = b""

    async def drain(self) -> None:
        """Wait until all of it was heard."""
        while pending := self.pending:  # noqa: ASYNC110 - no event ends this: only the clock does
            await anyio.sleep(pending / (self.format.rate * self._queue.speed))

    def close(self) -> None:
        """End the recording now. OSError, once, if it could not be written."""
        if self._closed:
            return
        self._closed = True
        self.flush()
        with self._noting_failure():
            if not self.error:
                self._writer.write_silence(self._queue.position - self._writer.frames)
        with self._noting_failure():
            self._writer.close()
        if self.error:
            raise self.error

    def _record(self, until: int) -> None:
        """Move what is heard before position ``until`` from memory into the file."""
        while self._unheard and self._unheard[0][0] < until:
            start, pcm = self._unheard.popleft()
            heard, unheard = pcm[: 2 * (until - start)], pcm[2 * (until - start) :]
            if unheard:
                self._unheard.appendleft((until, unheard))
            with self._noting_failure():
                if not self.error:
                    self._writer.write_silence(start - self._writer.frames)
                    self._writer.write(heard)

    @contextlib.contextmanager
    def _noting_failure(self) -> Iterator[None]:
        try:
            yield
        except OSError as failure:
            self.error = self.error or failure

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.close()
        except OSError:
            if exc is None:  # else what ended the block, a cancellation for one, is what matters
                raise
