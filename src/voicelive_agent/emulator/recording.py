"""Recordings of sessions: JSON Lines, one line for each frame, readable after a crash at any instant.

The first line is a header, the last one says how the connection ended::

    {"voicelive_recording": 1, "model": "gpt-4.1", "query": {...}, "started": "2026-09-01T10:00:00.000+00:00", ...}
    {"t_ms": 0.4, "from": "service", "event": {"type": "session.created", ...}}
    {"t_ms": 9.1, "from": "client", "event": {"type": "session.update", ...}}
    {"t_ms": 812.0, "from": "client", "closed": {"code": 1000, "reason": ""}}

A frame that is no JSON object has ``text`` or ``binary`` (base64) in the place of ``event``.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BufferedWriter
from itertools import count
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ..errors import ConfigurationError, VoiceLiveError
from ._redact import Redactor
from .observers import ConnectionInfo

__all__ = ["Closed", "Frame", "OtherFrame", "Recorder", "Recording", "RecordingError", "Sender", "load_recording"]

FORMAT = 1
Sender: TypeAlias = Literal["client", "service"]
_SUFFIX = ".jsonl"
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_TRACE_SENDERS: Mapping[str, Sender] = {"sent": "client", "received": "service"}
_log = logging.getLogger("voicelive_agent.emulator")


class RecordingError(VoiceLiveError, ValueError):
    """A file is not a recording that can be read; the message names the file and the line."""


class OtherFrame(dict[str, Any]):
    """What a service sent that is no event, told to observers as one: its type stands in brackets.

    ``(text)`` and ``(binary)`` are frames that are no JSON object, ``frame`` has what they hold; ``(close)`` is
    the service's close frame, ``(lost)`` the end of its connection without one.
    """

    def __init__(self, type: str, frame: str | bytes = "") -> None:
        super().__init__(type=f"({type})")
        self.frame = frame

    @classmethod
    def of(cls, frame: str | bytes) -> OtherFrame:
        """A frame that is no JSON object."""
        return cls("text" if isinstance(frame, str) else "binary", frame)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a recording. Exactly one of ``event``, ``text`` and ``binary`` is set."""

    line: int
    """Its line in the file, from 1."""
    t_ms: float
    """Since the connection was opened."""
    sender: Sender
    event: Mapping[str, Any] | None = None
    text: str | None = None
    binary: bytes | None = None

    @classmethod
    def other(cls, held: str | bytes) -> Frame:
        """A frame of a client that is no JSON object, of no recording."""
        if isinstance(held, str):
            return cls(0, 0.0, "client", text=held)
        return cls(0, 0.0, "client", binary=held)


@dataclass(frozen=True, slots=True)
class Closed:
    """How the connection ended. ``code`` is None where there was no close frame."""

    t_ms: float
    sender: Sender
    code: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Recording:
    """A recorded session: who was connected, every frame, and the end."""

    path: str
    model: str
    frames: tuple[Frame, ...]
    query: Mapping[str, str] = field(default_factory=dict)
    started: datetime | None = None
    """None where the file does not say."""
    source: str = ""
    """``emulator`` or ``proxy``, or where a trace comes from."""
    user_agent: str = ""
    audio: Literal["full", "left out", "cut"] = "full"
    """``left out``: lengths and hashes are in its place. ``cut``: only the beginning of each message is there."""
    texts: bool = True
    """Whether words were kept."""
    closed: Closed | None = None
    """None where the recording broke off before the end of the connection."""


def parsed(frame: str | bytes) -> dict[str, Any] | None:
    """The JSON object that a frame holds; None if it holds anything else."""
    try:
        value = json.loads(frame, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


# --- Writing --------------------------------------------------------------------------------------------------


class Recorder:
    """An observer that writes every connection to a file of its own.

    ``path`` is a directory (made if it is missing), or with the suffix ``.jsonl`` the file of the first
    connection; later ones get ``-2``, ``-3`` ... before the suffix. Files are never overwritten, and readable by
    their owner only. Keys, tokens and the headers of MCP tools are always hidden. ``audio=False`` keeps its length
    and hash instead, ``texts=False`` the length of whatever was said, written or instructed. What cannot be
    written ends the recording with one line in the log, and never the session. Raises ConfigurationError for a
    path that cannot be used.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, audio: bool = True, texts: bool = True, source: str = "emulator"
    ) -> None:
        self._path = Path(path)
        self._audio = audio
        self._texts = texts
        self._source = source
        self._tapes: dict[int, _Tape] = {}
        one_file = self._path.suffix == _SUFFIX
        if one_file and self._path.exists():
            raise ConfigurationError(
                f"The recording {self._path} exists already.", hint="Name another file, or a directory."
            )
        try:
            (self._path.parent if one_file else self._path).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"Recordings cannot be written to {self._path}: {error}.", hint="Name another directory."
            ) from error

    def opened(self, connection: ConnectionInfo, now: float) -> None:
        """Begin a file."""
        redactor = Redactor(audio=self._audio, texts=self._texts)
        query = redactor.query(connection.query)
        started = datetime.fromtimestamp(connection.opened_at, UTC)
        header = {
            "voicelive_recording": FORMAT,
            "model": connection.model,
            "query": query,
            "started": started.isoformat(timespec="milliseconds"),
            "source": self._source,
            "user_agent": query.get("x-ms-client-sdk", ""),
            "audio": self._audio,
            "texts": self._texts,
        }
        paths = self._candidates(connection, started)
        tape = self._tapes[id(connection)] = _Tape(connection, now, redactor, paths)
        tape.write(header)

    def received(self, connection: ConnectionInfo, message: str | bytes, now: float) -> None:
        """Write what the client sent."""
        self._tapes[id(connection)].frame("client", message, parsed(message), now)

    def sent(self, connection: ConnectionInfo, event: Mapping[str, Any], now: float) -> None:
        """Write what the service sent."""
        tape = self._tapes[id(connection)]
        if not isinstance(event, OtherFrame):
            tape.frame("service", "", event, now)
        elif event["type"] in ("(close)", "(lost)"):
            tape.service_ended = True
        else:
            tape.frame("service", event.frame, None, now)

    def closed(self, connection: ConnectionInfo, code: int | None, reason: str, now: float) -> None:
        """Write the end, and close the file."""
        tape = self._tapes.pop(id(connection))
        by_service = tape.service_ended or _by_service(code, reason)
        end = {"code": code or None, "reason": tape.redactor.text(reason)}
        tape.write({"t_ms": tape.ms(now), "from": "service" if by_service else "client", "closed": end})
        tape.close()

    def _candidates(self, connection: ConnectionInfo, started: datetime) -> Iterator[Path]:
        """Names for a new file; the first one that is free is taken."""
        if self._path.suffix == _SUFFIX:
            first = self._path
        else:
            # The model's name is the client's to choose: no separators, no dots.
            model = re.sub(r"[^A-Za-z0-9-]", "_", connection.model)[:40] or "agent"
            first = self._path / f"{started:%Y%m%dT%H%M%S}-{connection.number}-{model}{_SUFFIX}"
        yield first
        for number in count(2):
            yield first.with_name(f"{first.stem}-{number}{_SUFFIX}")


def _by_service(code: int | None, reason: str) -> bool:
    """Whether the service closed, judged by the code alone, as an observer is not told who did.

    Clients have had enough (1000), go away (1001, without a reason) or use codes of their own (from 3000).
    """
    return code is not None and 1001 <= code < 3000 and code not in (1005, 1006) and (code != 1001 or bool(reason))


class _Tape:
    """The file of one connection, until it cannot be written any more."""

    def __init__(
        self, connection: ConnectionInfo, opened_at: float, redactor: Redactor, paths: Iterator[Path]
    ) -> None:
        self.connection = connection  # held, so that its id() is not taken by another one
        self.redactor = redactor
        self.service_ended = False
        self._opened_at = opened_at
        self._file: BufferedWriter | None = None
        self._path = Path()
        try:
            self._file = self._create(paths)
        except OSError as error:
            self._stop(error)

    def _create(self, paths: Iterator[Path]) -> BufferedWriter:
        while True:
            self._path = next(paths)
            try:
                descriptor = os.open(self._path, _NEW_FILE, 0o600)
            except FileExistsError:
                continue
            return os.fdopen(descriptor, "wb")

    def ms(self, now: float) -> float:
        """Since the connection was opened."""
        return round((now - self._opened_at) * 1000, 3)

    def frame(self, sender: Sender, frame: str | bytes, event: Mapping[str, Any] | None, now: float) -> None:
        """Write one frame: its event if it holds one, else what it is made of."""
        line: dict[str, Any] = {"t_ms": self.ms(now), "from": sender}
        try:
            held = {"event": self.redactor.event(event)} if event is not None else self._other(frame)
        except RecursionError:  # nested as deep as the parser allows, which is deeper than this goes
            held = {"text": "[an event nested too deep to be looked through]"}
        self.write(line | held)

    def _other(self, frame: str | bytes) -> dict[str, Any]:
        if isinstance(frame, str):
            return {"text": self.redactor.text(frame)}
        # Latin-1 maps every byte to a character and back.
        shown = self.redactor.text(frame.decode("latin-1")).encode("latin-1")
        return {"binary": base64.b64encode(shown).decode()}

    def write(self, line: Mapping[str, Any]) -> None:
        """One line, handed to the system before this returns."""
        if self._file is None:
            return
        text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
        try:
            data = text.encode()
        except UnicodeEncodeError:  # half a surrogate pair, which JSON can spell and UTF-8 cannot
            data = json.dumps(line, separators=(",", ":")).encode()
        try:
            self._file.write(data + b"\n")
            self._file.flush()
        except OSError as error:
            self._stop(error)

    def _stop(self, error: OSError) -> None:
        _log.warning("The recording %s ends here: %s. The session goes on.", self._path, error)
        self.close()

    def close(self) -> None:
        """Close the file; on a full disk even that fails, and was reported."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()


# --- Reading --------------------------------------------------------------------------------------------------


def load_recording(path: str | os.PathLike[str]) -> Recording:
    """Read a recording, or a trace with a ``direction`` and ``data`` in each line.

    A last line that is broken off is left out. Raises RecordingError for anything else that is not a recording,
    and OSError for a file that cannot be read.
    """
    name = os.fspath(path)
    lines = [(number, raw) for number, raw in enumerate(Path(path).read_bytes().split(b"\n"), 1) if raw.strip()]
    values: list[tuple[int, dict[str, Any]]] = []
    for number, raw in lines:
        value = parsed(raw)
        if value is None:
            if (number, raw) == lines[-1] and values:
                break
            raise RecordingError(f"{name}:{number}: this line is not a JSON object.")
        values.append((number, value))
    if not values:
        raise RecordingError(f"{name}: the file is empty.", hint="A recording begins with a header.")
    header = values[0][1]
    if "_source" in header or "direction" in header:
        return _trace(name, values)
    version = header.get("voicelive_recording")
    if version != FORMAT:
        fault = "not a recording" if version is None else f"in format {version}, which this version does not know"
        raise RecordingError(f"{name}: the file is {fault}.", hint="Its first line is the header of a recording.")
    return _recording(name, header, values[1:])


def _recording(name: str, header: Mapping[str, Any], values: list[tuple[int, dict[str, Any]]]) -> Recording:
    frames: list[Frame] = []
    closed: Closed | None = None
    for number, value in values:
        try:
            if "closed" in value:
                end = value["closed"]
                closed = Closed(_time(value), _sender(value), end["code"], str(end["reason"]))
            else:
                frames.append(_frame(number, value))
        except (KeyError, TypeError, ValueError) as error:
            raise RecordingError(f"{name}:{number}: this line is not a frame: {error!r}.") from error
    try:
        return Recording(
            path=name,
            model=str(header["model"]),
            frames=tuple(frames),
            query=dict(header["query"]),
            started=datetime.fromisoformat(header["started"]),
            source=str(header["source"]),
            user_agent=str(header["user_agent"]),
            audio="full" if header["audio"] else "left out",
            texts=bool(header["texts"]),
            closed=closed,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RecordingError(f"{name}:1: this line is not a header: {error!r}.") from error


def _frame(number: int, value: Mapping[str, Any]) -> Frame:
    event, text, binary = value.get("event"), value.get("text"), value.get("binary")
    if sum(isinstance(each, kind) for each, kind in ((event, dict), (text, str), (binary, str))) != 1:
        raise ValueError("an event, a text or a binary is expected")
    data = None if binary is None else base64.b64decode(binary, validate=True)
    return Frame(number, _time(value), _sender(value), event, text, data)


def _time(value: Mapping[str, Any]) -> float:
    time = value["t_ms"]
    if isinstance(time, bool) or not isinstance(time, int | float) or time < 0:
        raise ValueError(f"t_ms is {time!r}")
    return float(time)


def _sender(value: Mapping[str, Any]) -> Sender:
    sender: Sender = value["from"]
    if sender not in ("client", "service"):
        raise ValueError(f"from is {sender!r}")
    return sender


def _trace(name: str, values: list[tuple[int, dict[str, Any]]]) -> Recording:
    """A trace without times, whose audio was cut."""
    source = ""
    frames: list[Frame] = []
    for number, value in values:
        if "_source" in value:
            source = str(value["_source"])
            continue
        sender, data = _TRACE_SENDERS.get(str(value.get("direction"))), value.get("data")
        if sender is None or not isinstance(data, dict):
            raise RecordingError(f"{name}:{number}: this line is not a message of a trace.")
        frames.append(Frame(number, 0.0, sender, data))
    created = next((frame.event for frame in frames if frame.event and frame.sender == "service"), {})
    session = created.get("session")
    model = str(session.get("model", "")) if isinstance(session, dict) else ""
    return Recording(name, model, tuple(frames), source=source, audio="cut")
