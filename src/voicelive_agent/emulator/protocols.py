"""What plugs into the emulator: ears, a brain and a voice. Three small protocols, all of them blocking.

The session calls them only inside :class:`Job` objects, which a server runs on a worker thread and a test runs
inline; an implementation therefore may take its time, but must be safe to call from any one thread at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

FRAME = 512
"""Samples (16 kHz, mono) of one voice activity frame: 32 ms."""


class Listener(Protocol):
    """Voice activity of one stream; keeps whatever state it needs between frames."""

    def probability(self, frame: bytes) -> float:
        """How likely (0..1) it is that this frame (1,024 bytes of 16 kHz PCM16 mono) is speech. About 1 ms."""
        ...


@dataclass(frozen=True, slots=True)
class Word:
    """A word and when it was said, in milliseconds from the beginning of the utterance's audio."""

    text: str
    start_ms: float
    end_ms: float
    probability: float = 1.0


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was heard in an utterance; ``text`` is empty where there was no speech.

    ``words`` may say when each word was said; where it is empty and a client asks for times, they are estimated.
    """

    text: str
    language: str = "en-US"
    words: Sequence[Word] = ()


class Ears(Protocol):
    """Hears: voice activity per stream, and words per utterance.

    Ears may be able to do more: :class:`RunningEars`, :class:`TimingEars`.
    """

    def listener(self) -> Listener:
        """A fresh voice activity detector for one session."""
        ...

    def transcribe(self, pcm: bytes, *, language: str | None = None) -> Transcript:
        """The words in ``pcm`` (16 kHz PCM16 mono). Blocking, typically 0.1-0.4 s."""
        ...


@runtime_checkable
class RunningEars(Protocol):
    """Ears that can hear an utterance before it is over.

    Asked by turn detection with ``end_of_utterance_detection`` or ``remove_filler_words``. With ears that cannot,
    a turn ends by silence alone, and a filler word is noticed only after the turn.
    """

    def transcribe_so_far(self, pcm: bytes, *, language: str | None = None) -> Transcript:
        """The words so far in ``pcm``, to which more may come; asked any number of times for one utterance.

        ``transcribe`` follows once for each utterance, also for one that turns out to have no words.
        """
        ...


@runtime_checkable
class TimingEars(Protocol):
    """Ears that can tell when each word was said."""

    def transcribe_words(self, pcm: bytes, *, language: str | None = None) -> Transcript:
        """The same as ``transcribe`` with ``words``; asked where a client wants phrases or log probabilities."""
        ...


@dataclass(frozen=True, slots=True)
class Say:
    """The brain speaks (or writes) this text. Several in a row become one message.

    ``realtime_factor`` is how many seconds of audio are delivered per second from here to the end of the message,
    where that should differ from the session's (:attr:`Options.realtime_factor`): 0.5 is an answer that comes too
    slowly to be heard without gaps.
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
    """The brain does nothing for this many milliseconds of the session's time, and goes on.

    What was said before is delivered meanwhile, and a cancellation ends the wait.
    """

    ms: float


@dataclass(frozen=True, slots=True)
class Fail:
    """The response ends here, after what was said before: response.done with status ``failed`` and this error.

    The code ``content_filter`` is no error: the status is then ``incomplete``, with that reason.
    """

    message: str
    code: str = "server_error"


@dataclass(frozen=True, slots=True)
class Search:
    """The service searches the web or the files it was given, as an agent's own tools do.

    The client only sees that it happens. ``queries`` and ``results`` (objects with ``file_id``, ``filename``,
    ``score``, ``text`` or ``attributes``) belong to a search of files; the results are shown where the session's
    ``include`` has ``file_search_call.results``.
    """

    kind: Literal["web", "file"]
    queries: Sequence[str] = ()
    results: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Annotate:
    """A source or another note (any JSON object) on the spoken message so far; a written one shows none."""

    annotation: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Invocation:
    """An event of a hosted agent (any JSON object) that is passed through as it is."""

    delta: Mapping[str, Any]


Action: TypeAlias = Say | Call | Wait | Fail | Search | Annotate | Invocation


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
    silence_ms: float = 0.0
    """Where the emulator asks by itself because the user is silent: for how long. See :class:`Prompting`."""
    answered: Collection[str] | None = None
    """The ids of the items whose result (an output of a function, a finished call of an MCP tool) an earlier
    response has answered: with speech, or with a further call. A call of an MCP tool has its result in itself, so
    the order of the items does not tell a chain of calls from calls made at once. None where it is not known, for
    the ``input_items`` of a response.create."""


class Brain(Protocol):
    """Thinks: decides what to say and which functions to call."""

    def answer(self, turn: Turn) -> Iterator[Action]:
        """The actions of one response, in order; may be lazy. Blocking is allowed."""
        ...


@runtime_checkable
class Prompting(Brain, Protocol):
    """A brain that also wants to speak when the user says nothing."""

    @property
    def silences_ms(self) -> Sequence[float]:
        """After how long a silence it is asked (with :attr:`Turn.silence_ms`), ascending; each once, until the
        user has spoken again."""
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


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """When a word sounds, in milliseconds from the start of the piece of audio that it is in.

    ``visemes`` are pairs of a time within the word (milliseconds from its start) and a mouth position (0..21);
    without them they are guessed from the letters.
    """

    text: str
    offset_ms: float
    duration_ms: float
    visemes: Sequence[tuple[float, int]] = ()


@dataclass(frozen=True, slots=True)
class SpokenPiece:
    """A piece of a voice's audio (PCM16 mono) and its words, in order."""

    pcm: bytes
    words: Sequence[SpokenWord] = ()


@runtime_checkable
class TimedVoice(Voice, Protocol):
    """A voice that knows when it says each word; for any other one the times are estimated from its audio."""

    def speak_timed(self, text: str) -> Iterator[SpokenPiece]:
        """What :meth:`speak` yields, with the words in it."""
        ...
