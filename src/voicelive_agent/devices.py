"""The sound card: a microphone, a speaker, or both with one clock, through PortAudio.

Nothing here resamples or mixes: a device is opened at its own rate and, if it can, with one channel, and the
agent converts. ``sounddevice`` is imported when something is opened, since it needs the PortAudio library, which
a server has not.

**Devices that go away.** PortAudio reports nothing, so every open device is watched: one whose callback is not
called for half a second, or whose stream has stopped and does not start again, is lost. Then ``on_loss`` decides:
"raise" ends the call with :class:`~voicelive_agent.errors.DeviceLost`; "reopen" opens the default device instead,
as soon as there is one, while the agent stays connected. In between the microphone gives silence and the speaker's
audio is lost, both in real time. The call is told by ``Warned("device_lost", ...)`` and
:class:`~voicelive_agent.events.DeviceReopened`; after a minute without a device DeviceLost is raised after all.
The format stays as it is, so a device that does not do the rate of the lost one cannot take its place.

PortAudio looks for devices only when it is loaded, and loading it anew closes all its streams in the process. So
a device that was plugged in later is found only if no other stream of this library is open: use one
:class:`SoundCard` rather than a microphone and a speaker where devices come and go, and do not use
``sounddevice`` elsewhere in a program that reopens devices. (Where the system's default is a name behind which a
sound server chooses, as with PulseAudio and PipeWire, it is found anyhow.) When a sound server dies, PortAudio
itself may crash the process.

**A muted microphone** gives exact zeros, and so does one whose stream the system has moved to a device without
sound; nothing tells the two apart. So that alone is not a loss: after 3 s there is one
``Warned("microphone_silent", ...)``, and who knows that nobody mutes says ``lost_after_silence_s``.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Final, Self

from ._device_card import Card, OnLoss, Wanted
from ._device_portaudio import Device, Direction, list_devices
from .audio import AudioFormat, Call, EchoReference

__all__ = ["Device", "Microphone", "OnLoss", "SoundCard", "Speaker", "list_devices"]

TAIL_S: Final = 0.2
"""How long a half-duplex microphone stays deaf after the speaker's last sample: rooms echo."""


class _End:
    """One direction of a card: what a microphone and a speaker have in common."""

    _direction: Direction
    _card: Card

    @property
    def format(self) -> AudioFormat:
        """16-bit PCM at the device's rate. RuntimeError before it is open."""
        return self._card.format(self._direction)

    @property
    def rate(self) -> int:
        """Its sample rate in Hz."""
        return self.format.rate

    @property
    def device(self) -> str:
        """The name of the device that is really open."""
        return self._card.stream.wiring.devices[self._direction].name

    @property
    def latency_ms(self) -> float:
        """The delay that PortAudio reports for this direction, in milliseconds."""
        return self._card.stream.portaudio.latency_s[self._direction] * 1000

    def join(self, call: Call) -> None:
        """The call begins: it is told when the device is lost."""
        self._card.join(call)

    async def __aenter__(self) -> Self:
        await self._card.open()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._card.leave(failed=exc_type is not None)


class Microphone(_End):
    """A microphone, as an AudioSource: ``async with Microphone() as microphone``.

    ``device`` is an index, a part of a name, or None for the system's default; ``rate`` None is the device's own.
    Blocks of ``block_ms`` come as soon as they are recorded; who does not read gets the last 200 ms. One reader.

    ``echo_cancellation`` is what the service is asked to do about the agent's own voice ("server" or None; see
    :class:`SoundCard` for "client"). With ``half_duplex``, a speaker, the microphone gives silence while that one
    plays and 0.2 s longer: for machines that echo and cannot cancel it, at the price that nobody can interrupt by
    speaking. ``on_loss`` and ``lost_after_silence_s``: see the module.

    Opening raises AudioDeviceError; iterating raises DeviceLost.
    """

    _direction = "input"

    def __init__(
        self,
        device: int | str | None = None,
        *,
        block_ms: int = 20,
        rate: int | None = None,
        echo_cancellation: EchoReference | None = "server",
        on_loss: OnLoss = "raise",
        lost_after_silence_s: float | None = None,
        half_duplex: Speaker | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if echo_cancellation not in ("server", None):
            raise ValueError(
                f'echo_cancellation must be "server" or None, not {echo_cancellation!r}: '
                "for the client's echo reference use SoundCard(echo_reference=True)"
            )
        wanted = Wanted(
            devices={"input": device},
            block_ms=block_ms,
            rate=rate,
            on_loss=on_loss,
            silence_s=lost_after_silence_s,
        )
        self._set_up(Card(wanted, clock), echo_cancellation, half_duplex)

    @classmethod
    def _of(cls, card: Card, echo_cancellation: EchoReference, half_duplex: Speaker | None) -> Microphone:
        self = cls.__new__(cls)
        self._set_up(card, echo_cancellation, half_duplex)
        return self

    def _set_up(self, card: Card, echo_cancellation: EchoReference | None, half_duplex: Speaker | None) -> None:
        self._card = card
        self._half_duplex = half_duplex
        self.echo_cancellation: EchoReference | None = echo_cancellation

    @property
    def overflows(self) -> int:
        """How often PortAudio lost audio because the callback came too late."""
        return self._card.overflows

    @property
    def dropped_ms(self) -> int:
        """Audio that was dropped because nobody read it in time, since somebody first did."""
        return self._card.capture.dropped * 1000 // self.rate

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield blocks until it is closed. DeviceLost if the device is gone and no other takes its place."""
        self._card.check_open()
        capture = self._card.capture
        capture.begin()
        while (pcm := await capture.get()) is not None:
            yield bytes(len(pcm)) if self._is_deaf else pcm

    @property
    def _is_deaf(self) -> bool:
        return self._half_duplex is not None and self._half_duplex._is_sounding(TAIL_S)


class Speaker(_End):
    """A speaker, as an AudioSink: ``async with Speaker() as speaker``.

    ``device`` is an index, a part of a name, or None for the system's default; ``rate`` None is the device's own.
    Leaving the block waits until the last sample was heard; with an exception, a cancellation included, it
    silences what is left at once. ``on_loss``: see the module.

    Opening raises AudioDeviceError; ``write``, ``pending`` and ``drain`` raise DeviceLost.
    """

    _direction = "output"

    def __init__(
        self,
        device: int | str | None = None,
        *,
        block_ms: int = 20,
        rate: int | None = None,
        on_loss: OnLoss = "raise",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        wanted = Wanted(devices={"output": device}, block_ms=block_ms, rate=rate, on_loss=on_loss)
        self._card = Card(wanted, clock)

    @classmethod
    def _of(cls, card: Card) -> Speaker:
        self = cls.__new__(cls)
        self._card = card
        return self

    @property
    def pending(self) -> int:
        """Samples written and not yet heard: those that are queued, and those whose time at the converter has
        not come."""
        self._card.check_open()
        return self._card.playout.pending(self._card.clock())

    @property
    def in_flight(self) -> int:
        """The samples pending that the device has: a flush does not stop them, and they will be heard."""
        self._card.check_open()
        return self._card.playout.in_flight(self._card.clock())

    def write(self, pcm: bytes) -> None:
        """Queue audio, to be heard after what is pending."""
        self._card.check_open()
        self._card.playout.write(pcm)

    def flush(self) -> None:
        """Drop what the device has not yet: it is silent within one block, after a fade of 5 ms."""
        _ = self._card.stream
        self._card.playout.flush()

    async def drain(self) -> None:
        """Wait until all of it was heard."""
        await self._card.drain()

    @property
    def underruns(self) -> int:
        """How often the device had nothing to play because the callback came too late."""
        return self._card.underruns

    @property
    def lost_ms(self) -> int:
        """Audio that was played to nobody, since there was no device."""
        return self._card.lost_frames * 1000 // self.rate

    def _is_sounding(self, tail_s: float) -> bool:
        """Whether something is to be heard, or was until ``tail_s`` ago; what flush() could not stop included."""
        _ = self._card.stream
        now, playout = self._card.clock(), self._card.playout
        return bool(playout.pending(now)) or now < playout.silent_at + tail_s


class SoundCard:
    """Microphone and speaker on one stream with one clock: ``async with SoundCard() as card``.

    ``card.microphone`` and ``card.speaker`` are the source and the sink. ``input`` and ``output`` are indices,
    parts of names, or None for the defaults; both run at one ``rate``, by default the speaker's own if the
    microphone does it too. The rest as for :class:`Microphone` and :class:`Speaker`.

    With ``echo_reference`` the microphone has two channels, and asks the service for client echo cancellation:
    the second is exactly what the speaker plays, fades and silence included, at the instant at which it is
    heard (3 ms before, for PortAudio's times err, and no echo comes before its reference). So the service
    subtracts what really sounded, not what it sent, which it takes to be heard at once.
    """

    def __init__(
        self,
        input: int | str | None = None,
        output: int | str | None = None,
        *,
        block_ms: int = 20,
        rate: int | None = None,
        echo_reference: bool = False,
        half_duplex: bool = False,
        on_loss: OnLoss = "raise",
        lost_after_silence_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        wanted = Wanted(
            devices={"input": input, "output": output},
            block_ms=block_ms,
            rate=rate,
            on_loss=on_loss,
            echo_reference=echo_reference,
            silence_s=lost_after_silence_s,
        )
        self._card = Card(wanted, clock)
        self.speaker: Speaker = Speaker._of(self._card)
        self.microphone: Microphone = Microphone._of(
            self._card, "client" if echo_reference else "server", self.speaker if half_duplex else None
        )

    async def __aenter__(self) -> Self:
        await self._card.open()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._card.leave(failed=exc_type is not None)
