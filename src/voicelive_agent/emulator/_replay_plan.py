"""A recording as a plan: what the client is expected to send, and what each event of the service waits for.

Messages and audio are apart, because a client that streams a microphone sends its audio in other pieces and
between other messages each time. An event waits for the messages that were sent before it, for the event before
it, and for the recorded amount of audio only where it speaks of audio: a VAD event, or an error.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ..errors import ConfigurationError
from ._redact import Redactor, is_left_out, left_out
from .recording import Frame, OtherFrame, Recording, RecordingError

__all__ = ["APPENDS", "COMMITS", "Expected", "Piece", "Plan", "Step", "event_of"]

APPENDS = ("input_audio_buffer.append", "input_audio.turn.append")
COMMITS = ("input_audio_buffer.commit", "input_audio.turn.end")
_CAUSED_BY_AUDIO = (
    "error",
    "input_audio_buffer.committed",
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
)
_LIFETIME_S = 3600
"""Of a session whose recording does not say when it started: what realtime models have."""
_LARGEST = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Expected:
    """A message of the recorded client."""

    line: int
    event: Mapping[str, Any]
    audio: int
    """How much audio came before it."""


@dataclass(frozen=True, slots=True)
class Step:
    """What the service did next, and when: ``event`` is None for the end of the connection."""

    event: dict[str, Any] | None
    messages: int
    """How many messages of the client come first."""
    audio: int
    """How much audio comes first."""
    delay_s: float
    """After the last thing that it waits for."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The audio of one recorded append."""

    line: int
    bytes: int
    sha256: str


class Plan:
    """The recording, prepared once for all sessions that serve it. Amounts of audio are bytes, or where a trace
    holds only their beginnings the number of appends.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.messages: list[Expected] = []
        self.pieces: list[Piece] = []
        self.steps: list[Step] = []
        self._audio = 0
        self._last_ms = 0.0
        for frame in recording.frames:
            if frame.sender == "client":
                self._expect(frame)
            else:
                self._answer(frame)
        closed = recording.closed
        served = None if closed is None or closed.sender == "client" else (closed.code, closed.reason)
        self.closing: tuple[int | None, str] | None = served
        """The close code and reason, if it was the service that ended the connection."""
        if closed is not None and self.closing is not None:
            self._step(None, 0, closed.t_ms)

    def _expect(self, frame: Frame) -> None:
        event = Redactor().event(event_of(frame))
        if event.get("type") in APPENDS:
            piece = _piece(self.recording.path, frame.line, event.get("audio"))
            self._audio += 1 if self.recording.audio == "cut" else piece.bytes
            self.pieces.append(piece)
            self._last_ms = frame.t_ms
        else:
            self.messages.append(Expected(frame.line, event, self._audio))
            self._last_ms = frame.t_ms

    def _answer(self, frame: Frame) -> None:
        if frame.event is None:
            raise ConfigurationError(
                f"{self.recording.path}:{frame.line}: what the service sent is no event, and cannot be replayed.",
                hint="Take the line out of the recording.",
            )
        event: dict[str, Any] = _with_audio(self.recording.path, frame.line, frame.event)
        self._step(event, self._audio if event.get("type") in _CAUSED_BY_AUDIO else 0, frame.t_ms)

    def _step(self, event: dict[str, Any] | None, audio: int, t_ms: float) -> None:
        delay_s = max(t_ms - self._last_ms, 0.0) / 1000
        self.steps.append(Step(event, len(self.messages), audio, delay_s))
        self._last_ms = t_ms

    def expiry_shift_s(self, unix_time: float) -> int:
        """What to add to the recorded ``expires_at`` of a session that starts now."""
        if self.recording.started is not None:
            return round(unix_time - self.recording.started.timestamp())
        sessions = (step.event.get("session") for step in self.steps if step.event)
        recorded = [s["expires_at"] for s in sessions if isinstance(s, Mapping) and is_time(s.get("expires_at"))]
        return round(unix_time) + _LIFETIME_S - recorded[0] if recorded else 0

    @property
    def bytes_per_ms(self) -> float:
        """Of the client's audio, by the first session.update that says it."""
        for expected in self.messages:
            session = expected.event.get("session")
            if expected.event.get("type") == "session.update" and isinstance(session, Mapping):
                if str(session.get("input_audio_format", "")).startswith("g711"):
                    return 8.0
                rate = session.get("input_audio_sampling_rate")
                if isinstance(rate, int) and rate > 0:
                    return rate * 2 / 1000
        return 48.0

    def length_s(self, audio: int) -> str:
        """An amount of audio in words."""
        if self.recording.audio == "cut":
            return f"{audio} appends"
        return f"{timedelta(milliseconds=round(audio / self.bytes_per_ms)).total_seconds():g} s ({audio} bytes)"


def is_time(value: object) -> bool:
    """Whether this is a time in Unix seconds."""
    return isinstance(value, int) and not isinstance(value, bool)


def event_of(frame: Frame) -> Mapping[str, Any]:
    """The event in a frame; for any other frame an event that shows what it holds."""
    if frame.event is not None:
        return frame.event
    held = frame.text if frame.text is not None else frame.binary or b""
    return {**OtherFrame.of(held), "frame": held if isinstance(held, str) else base64.b64encode(held).decode()}


def _piece(path: str, line: int, audio: object) -> Piece:
    stands_for = audio if is_left_out(audio) else left_out(audio if isinstance(audio, str) else "")
    assert isinstance(stands_for, Mapping)
    return Piece(line, _length(path, line, stands_for), str(stands_for["sha256"]))


def _length(path: str, line: int, audio: Mapping[str, Any]) -> int:
    length = audio["bytes"]
    if not is_time(length) or not 0 <= length <= _LARGEST:
        raise RecordingError(f"{path}:{line}: {length!r} is not a length of audio.")
    return int(length)


def _with_audio(path: str, line: int, value: Any) -> Any:
    """Silence of the right length where the audio was left out."""
    if is_left_out(value):
        return base64.b64encode(bytes(_length(path, line, value))).decode()
    if isinstance(value, Mapping):
        return {key: _with_audio(path, line, each) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_audio(path, line, each) for each in value]
    return value
