"""Where audio comes from and where it goes: interfaces, and the choice of a format.

Nothing here does anything: sources and sinks are written elsewhere (or by you), and the agent's shell owns
the only converter. Whoever opens a source or a sink closes it; the agent only uses it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from .events import Event

__all__ = [
    "MAX_RATE",
    "SERVICE_RATES",
    "AudioFormat",
    "AudioSink",
    "AudioSource",
    "Call",
    "CallMember",
    "CallObserver",
    "EchoReference",
    "Encoding",
    "WireFormats",
    "negotiate",
    "samples_to_ms",
]

SERVICE_RATES = (8_000, 16_000, 24_000)
"""The sample rates in Hz of PCM that the service documents, ascending."""

MAX_RATE = 384_000
"""The highest sample rate in Hz that is converted; a higher one is not audio, but a damaged header."""

Encoding: TypeAlias = Literal["pcm16", "g711_ulaw", "g711_alaw"]
"""How one sample is written: 16-bit little-endian PCM, or one byte of G.711."""

EchoReference: TypeAlias = Literal["server", "client"]
"""What the service subtracts from the microphone: what it sent ("server"), or the second channel ("client")."""


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """What the bytes of a stream mean: encoding, sample rate in Hz, interleaved channels."""

    encoding: Encoding = "pcm16"
    rate: int = 24_000
    channels: int = 1

    def __post_init__(self) -> None:
        if self.encoding not in ("pcm16", "g711_ulaw", "g711_alaw"):
            raise ValueError(f"unknown encoding {self.encoding!r}: use pcm16, g711_ulaw or g711_alaw")
        if self.rate < 1 or self.channels < 1:
            raise ValueError(f"rate and channels must be positive, not {self.rate} Hz, {self.channels} channels")

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of every channel."""
        return self.channels * (2 if self.encoding == "pcm16" else 1)

    def __str__(self) -> str:
        return f"{self.encoding} {self.rate} Hz" + (f" x{self.channels}" if self.channels > 1 else "")


@runtime_checkable
class AudioSource(Protocol):
    """Audio from somebody who speaks: an asynchronous iterable of bytes in ``format``.

    Chunks may have any length that is a whole number of frames. The end of the iteration is the end of the
    speaker's side; a live source goes on for ever.

    A source may also have ``echo_cancellation``, an :data:`EchoReference` or None: what the service is asked to do
    about the agent's own voice, unless the configuration says it. With "client" its format has two channels, the
    second of which is what the listener hears. And it may be a :class:`CallMember` or a :class:`CallObserver`.
    """

    @property
    def format(self) -> AudioFormat:
        """The native format of the chunks; the agent converts if the service cannot take it."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...


@runtime_checkable
class AudioSink(Protocol):
    """A queue of audio that somebody listens to. All four members are synchronous and never block.

    ``pending`` is the truth that barge-in rests on: it falls with the *listener's* clock, only :meth:`write`
    raises it, and what :meth:`flush` could no longer stop (with the driver, on the wire) counts as heard.

    A sink may also have ``in_flight``, the samples of ``pending`` that a flush could no longer stop (without it:
    none), and ``estimated``, true where nothing confirms what was heard. And it may be a :class:`CallMember` or a
    :class:`CallObserver`.
    """

    @property
    def format(self) -> AudioFormat:
        """The native format that :meth:`write` takes."""
        ...

    @property
    def pending(self) -> int:
        """Samples (frames at ``format.rate``) taken and not yet heard."""
        ...

    def write(self, pcm: bytes) -> None:
        """Take all of ``pcm`` at once, to be heard after what is pending. An odd tail is played too."""

    def flush(self) -> None:
        """Drop what is not yet heard; ``pending`` is 0 when this returns."""


class Call(Protocol):
    """What a source or a sink may do to the call it takes part in. Only on the thread of the event loop."""

    def tell(self, event: Event) -> None:
        """An event for the agent's hooks, in its order among the others."""

    def fail(self, error: Exception) -> None:
        """End the call with this exception, which comes out of ``run()``."""

    def hang_up(self, detail: str) -> None:
        """The far end has left, as it may: the call ends with the reason ``hung_up``."""

    def interrupt(self) -> None:
        """Stop the agent's speech, as :meth:`voicelive_agent.VoiceAgent.interrupt`."""

    def send_text(self, text: str) -> None:
        """Let the user have typed this, as :meth:`voicelive_agent.VoiceAgent.send_text`."""


@runtime_checkable
class CallMember(Protocol):
    """A source or a sink that wants to act on its call."""

    def join(self, call: Call) -> None:
        """The call begins; once, though it be source and sink in one. Its end is ``SessionEnded``, or no word."""


@runtime_checkable
class CallObserver(Protocol):
    """A source or a sink that wants to know what happens, at once: before the hooks, and though they be slow."""

    def observe(self, event: Event) -> None:
        """Something happened. Must not block; what it raises ends the call."""


@dataclass(frozen=True, slots=True)
class WireFormats:
    """What goes over the wire in both directions, and how a session is told so.

    PCM at one of :data:`SERVICE_RATES`, or G.711 at 8 kHz; mono, except for PCM to the service whose second
    channel is the echo reference. ValueError for anything else.
    """

    input: AudioFormat
    output: AudioFormat

    def __post_init__(self) -> None:
        for wire in (self.input, self.output):
            rates = SERVICE_RATES if wire.encoding == "pcm16" else (8_000,)
            channels = (1, 2) if wire is self.input and wire.encoding == "pcm16" else (1,)
            if wire.rate not in rates or wire.channels not in channels:
                raise ValueError(
                    f"the service has no {wire}: use mono pcm16 at 8, 16 or 24 kHz, or G.711 at 8 kHz"
                )

    @property
    def input_audio_format(self) -> str:
        """The session's field of this name: ``pcm16``, ``g711_ulaw`` or ``g711_alaw``."""
        return self.input.encoding

    @property
    def input_audio_sampling_rate(self) -> int:
        """The session's field of this name, in Hz."""
        return self.input.rate

    @property
    def output_audio_format(self) -> str:
        """The session's field of this name, which names the rate unless it is the encoding's usual one."""
        if self.output.encoding != "pcm16" or self.output.rate == 24_000:
            return self.output.encoding
        return f"pcm16_{self.output.rate}hz"


def negotiate(
    source: AudioFormat | None, sink: AudioFormat | None, *, openai_voice: bool, echo_reference: bool = False
) -> WireFormats:
    """Choose the wire's formats so that as little as possible is converted, and nothing is lost.

    A telephone line is G.711 end to end; PCM at a rate of the service stays as it is; any other rate becomes
    the next higher one, at most 24 kHz. The voices of OpenAI speak PCM at 24 kHz or G.711 only. None, where
    there is no source or no sink, is PCM at 24 kHz. With ``echo_reference`` the source's second channel is that of
    the client echo reference, and both channels go to the service. ValueError if it has not two channels of PCM.
    """
    if echo_reference and (source is None or source.channels != 2 or source.encoding != "pcm16"):
        raise ValueError(f"an echo reference is the second of two channels of pcm16, and the source is {source}")
    speech = _nearest(sink)
    if openai_voice and speech.encoding == "pcm16":
        speech = AudioFormat()
    hearing = _nearest(source)
    return WireFormats(input=replace(hearing, channels=2) if echo_reference else hearing, output=speech)


def _nearest(native: AudioFormat | None) -> AudioFormat:
    """The mono format of the service that carries ``native`` with the least conversion."""
    if native is None:
        return AudioFormat()
    if native.encoding != "pcm16" and native.rate == 8_000 and native.channels == 1:
        return native
    # Stereo G.711 becomes PCM: its mono mix would have to be rounded to G.711 once more.
    return AudioFormat(rate=next((rate for rate in SERVICE_RATES if rate >= native.rate), SERVICE_RATES[-1]))


def samples_to_ms(samples: int, rate: int) -> int:
    """Return whole milliseconds, rounded down: what is claimed to be heard was heard."""
    return samples * 1000 // rate
