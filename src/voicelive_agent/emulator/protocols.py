"""What plugs into the emulator: ears, a brain and a voice. Three small protocols, all of them blocking.

The session calls them only inside :class:`Job` objects, which a server runs on a worker thread and a test runs
inline; an implementation therefore may take its time, but must be safe to call from any one thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

FRAME = 512
"""Samples (16 kHz, mono) of one voice activity frame: 32 ms."""


class Listener(Protocol):
    """Voice activity of one stream; keeps whatever state it needs between frames."""

    def probability(self, frame: bytes) -> float:
        """How likely (0..1) it is that this frame (1,024 bytes of 16 kHz PCM16 mono) is speech. About 1 ms."""
        ...


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was heard in an utterance; ``text`` is empty where there was no speech."""

    text: str
    language: str = "en-US"


class Ears(Protocol):
    """Hears: voice activity per stream, and words per utterance."""

    def listener(self) -> Listener:
        """A fresh voice activity detector for one session."""
        ...

    def transcribe(self, pcm: bytes, *, language: str | None = None) -> Transcript:
        """The words in ``pcm`` (16 kHz PCM16 mono). Blocking, typically 0.1-0.4 s."""
        ...


@dataclass(frozen=True, slots=True)
class Say:
    """The brain speaks (or writes) this text. Several in a row become one message.

    ``realtime_factor`` is how many seconds of its audio are delivered per second, where that should differ from the
    session's (:attr:`Options.realtime_factor`): 0.5 is an answer that comes too slowly to be heard without gaps.
    """

    text: str
    realtime_factor: float | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """The brain calls a function of the session; ``arguments`` become its JSON."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wait:
    """The brain does nothing for this many milliseconds of the session's time, and goes on."""

    ms: float


@dataclass(frozen=True, slots=True)
class Fail:
    """The response fails here: response.done with status ``failed`` and this error."""

    message: str
    code: str = "server_error"


Action: TypeAlias = Say | Call | Wait | Fail


@dataclass(frozen=True, slots=True)
class Turn:
    """Everything a brain may look at to answer once.

    ``items`` are the conversation's items in order, as the service would hold them (dicts with ``type`` message /
    function_call / function_call_output, ``role``, ``content``, ``name``, ``arguments``, ``output`` ...).
    ``tools`` are the function tools in force; ``request`` is what ``response.create`` carried (instructions,
    metadata ...), empty for an answer that the service gives by itself.
    """

    items: Sequence[Mapping[str, Any]]
    instructions: str = ""
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: Any = "auto"
    request: Mapping[str, Any] = field(default_factory=dict)


class Brain(Protocol):
    """Thinks: decides what to say and which functions to call."""

    def answer(self, turn: Turn) -> Iterator[Action]:
        """The actions of one response, in order; may be lazy. Blocking is allowed."""
        ...


class Voice(Protocol):
    """Speaks: text to audio, in pieces, so that the first piece can be sent early."""

    @property
    def rate(self) -> int:
        """Samples per second of what :meth:`speak` yields (PCM16 mono)."""
        ...

    def speak(self, text: str) -> Iterator[bytes]:
        """The audio of ``text``, sentence by sentence. Text that cannot be spoken yields a short silence."""
        ...
