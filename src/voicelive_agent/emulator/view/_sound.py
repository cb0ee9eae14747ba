"""What was said in a session, kept for a while: the audio of one side, its levels, and WAV files of it."""

from __future__ import annotations

import binascii
import struct
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from ..._pcm import Resampler, alaw_to_pcm, interleave, level_dbfs, split, ulaw_to_pcm

__all__ = ["EMPTY_WAV", "WAV_RATE", "Budget", "Chunk", "Format", "Track", "mixed", "wav"]

WAV_RATE: Final = 24_000
"""Samples per second of the recording of a whole session, whatever its sides have."""
EMPTY_WAV: Final = 44
"""Bytes of a WAV file without samples."""
TRACK_S: Final = 600.0
"""Seconds of audio kept per session and side."""
TOTAL_BYTES: Final = 128 * 1024 * 1024
"""Of all sessions together; the oldest audio goes first."""
_QUIETEST_DB: Final = 60.0
_BUCKET_S: Final = 0.1
_DECODERS: Final = {"g711_ulaw": ulaw_to_pcm, "g711_alaw": alaw_to_pcm}


@dataclass(frozen=True, slots=True)
class Format:
    """How the audio of one side is written in its events."""

    name: str = "pcm16"
    rate: int = 24_000
    channels: int = 1

    @classmethod
    def of_input(cls, session: dict[str, object]) -> Format:
        """What a session's object says about appended audio."""
        name = str(session.get("input_audio_format") or "pcm16")
        echo = session.get("input_audio_echo_cancellation")
        channels = echo.get("channels") if isinstance(echo, dict) else 1
        rate = session.get("input_audio_sampling_rate")
        if name in _DECODERS or not isinstance(rate, int):
            rate = 8_000 if name in _DECODERS else 24_000
        return cls(name, rate, 2 if channels == 2 else 1)

    @classmethod
    def of_output(cls, name: object) -> Format:
        """What ``output_audio_format`` says, such as ``pcm16_16000hz``."""
        if name in _DECODERS:
            return cls(str(name), 8_000)
        digits = str(name or "").removeprefix("pcm16_").removesuffix("hz")
        return cls("pcm16", int(digits) if digits.isdecimal() and int(digits) else 24_000)

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return (1 if self.name in _DECODERS else 2) * self.channels

    def to_pcm(self, raw: bytes) -> bytes:
        """PCM16 mono at the format's rate: of two channels the first, which is the microphone."""
        decode = _DECODERS.get(self.name)
        return decode(raw) if decode else split(raw, self.channels)[0]


@dataclass(slots=True, eq=False)
class Chunk:
    """The audio of one event."""

    number: int
    """1 for the first chunk of its track."""
    position_s: float
    """Where it begins in the stream of its side: seconds of audio before it."""
    at_s: float
    """When it begins, in seconds since the session was opened."""
    item_id: str
    format: Format
    raw: bytes
    until_s: float = float("inf")
    """When an interruption ended it, in seconds since the session was opened."""
    _levels: list[float] | None = field(default=None, repr=False)

    @property
    def duration_s(self) -> float:
        """How long it sounds."""
        return len(self.raw) / self.format.frame_bytes / self.format.rate

    @property
    def levels(self) -> list[float]:
        """Loudness of each 100 ms, 0 (-60 dBFS or less) to 1 (full scale). Computed when it is first asked for."""
        if self._levels is None:
            pcm = self.format.to_pcm(self.raw)
            size = max(1, round(self.format.rate * _BUCKET_S)) * 2
            pieces = (pcm[at : at + size] for at in range(0, len(pcm), size))
            self._levels = [round(max(0.0, 1 + level_dbfs(piece) / _QUIETEST_DB), 2) for piece in pieces]
        return self._levels


class Budget:
    """How much audio all sessions keep together: where it is more, the oldest is dropped, whosever it is."""

    def __init__(self, limit: int = TOTAL_BYTES) -> None:
        self._limit = limit
        self._owners: OrderedDict[Chunk, Track] = OrderedDict()
        self.used: int = 0

    def took(self, track: Track, chunk: Chunk) -> None:
        """A track keeps one more chunk."""
        self._owners[chunk] = track
        self.used += len(chunk.raw)
        while self.used > self._limit:
            next(iter(self._owners.values())).drop_oldest()

    def gave(self, chunk: Chunk) -> None:
        """A track has dropped a chunk."""
        self.used -= len(chunk.raw)
        del self._owners[chunk]


class Track:
    """The last minutes of one side of a session."""

    def __init__(self, budget: Budget, longest_s: float = TRACK_S) -> None:
        self._budget = budget
        self._longest_s = longest_s
        self._kept_s = 0.0
        self.chunks: deque[Chunk] = deque()
        self.count: int = 0
        """How many chunks there ever were."""
        self.position_s: float = 0.0
        """Seconds of audio there ever were."""
        self.end_s: float = 0.0
        """When all of it is over, in seconds since the session was opened."""

    def add(self, audio: str, format: Format, at_s: float, item_id: str = "") -> None:
        """Keep the audio (base64) of an event. What is none is left out, as the session refuses it itself."""
        try:
            raw = binascii.a2b_base64(audio, strict_mode=True)  # b64decode checks with a regular expression
        except (binascii.Error, ValueError):
            return
        raw = raw[: len(raw) // format.frame_bytes * format.frame_bytes]
        if not raw:
            return
        self.count += 1
        chunk = Chunk(self.count, self.position_s, at_s, item_id, format, raw)
        self.chunks.append(chunk)
        self.position_s += chunk.duration_s
        self.end_s = at_s + chunk.duration_s
        self._kept_s += chunk.duration_s
        self._budget.took(self, chunk)
        while self._kept_s > self._longest_s and len(self.chunks) > 1:
            self.drop_oldest()

    def cut(self, at_s: float) -> None:
        """What is not over at this time was interrupted."""
        for chunk in reversed(self.chunks):
            if chunk.at_s + chunk.duration_s <= at_s or chunk.until_s <= at_s:
                break
            chunk.until_s = at_s
        self.end_s = min(self.end_s, at_s)

    def drop_oldest(self) -> None:
        """Forget the first chunk."""
        chunk = self.chunks.popleft()
        self._kept_s -= chunk.duration_s
        self._budget.gave(chunk)

    def since(self, number: int) -> list[Chunk]:
        """The chunks after the one with this number."""
        new = max(0, min(self.count - number, len(self.chunks)))
        return list(islice(self.chunks, len(self.chunks) - new, None))


def wav(chunks: Iterable[Chunk], start_s: float = 0.0, end_s: float = float("inf")) -> bytes:
    """A mono WAV file of these chunks, one behind the other, from ``start_s`` to ``end_s`` of their stream."""
    pieces: list[bytes] = []
    rate = 0
    for chunk in chunks:
        pcm = chunk.format.to_pcm(chunk.raw)
        first = max(0, round((start_s - chunk.position_s) * chunk.format.rate))
        last = len(pcm) // 2 if end_s == float("inf") else round((end_s - chunk.position_s) * chunk.format.rate)
        pcm = pcm[2 * first : 2 * max(first, last)]
        rate = rate or chunk.format.rate
        pieces.append(pcm if chunk.format.rate == rate else _resampled(pcm, chunk.format.rate, rate))
    return _file(b"".join(pieces), rate or WAV_RATE, 1)


def mixed(user: Sequence[Chunk], agent: Sequence[Chunk]) -> bytes:
    """A stereo WAV file of a session: the user on the left, the answers on the right, each when it was."""
    chunks = [*user, *agent]
    start_s = min((chunk.at_s for chunk in chunks), default=0.0)
    sides = [_placed(side, start_s) for side in (user, agent)]
    longest = max(map(len, sides))
    return _file(interleave([side.ljust(longest, b"\0") for side in sides]), WAV_RATE, 2)


def _placed(chunks: Sequence[Chunk], start_s: float) -> bytes:
    """The chunks of one side at the places where they begin; runs of them are resampled as one."""
    out = bytearray()
    for run in _runs(chunks):
        pcm = _resampled(b"".join(chunk.format.to_pcm(chunk.raw) for chunk in run), run[0].format.rate, WAV_RATE)
        first = 2 * round((run[0].at_s - start_s) * WAV_RATE)
        until = run[-1].until_s
        heard = pcm if until == float("inf") else pcm[: 2 * max(0, round((until - run[0].at_s) * WAV_RATE))]
        out += bytes(max(0, first - len(out)))
        out[first:] = heard
    return bytes(out)


def _runs(chunks: Sequence[Chunk]) -> list[list[Chunk]]:
    """Chunks that follow each other without a gap (a millisecond is none), in one format."""
    runs: list[list[Chunk]] = []
    for chunk in chunks:
        last = runs[-1][-1] if runs else None
        joined = last is not None and abs(last.at_s + last.duration_s - chunk.at_s) < 0.001
        if last is not None and joined and last.format == chunk.format:
            runs[-1].append(chunk)
        else:
            runs.append([chunk])
    return runs


def _resampled(pcm: bytes, rate: int, wanted: int) -> bytes:
    if rate == wanted:
        return pcm
    resampler = Resampler(rate, wanted)
    return resampler.process(pcm) + resampler.finish()


def _file(pcm: bytes, rate: int, channels: int) -> bytes:
    frame = 2 * channels
    header = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", 36 + len(pcm), b"WAVE", b"fmt ", 16, 1, channels, rate, rate * frame, frame, 16),
        *(b"data", len(pcm)),
    )
    return header + pcm
