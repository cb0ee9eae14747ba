"""One sound card stream that is open, watched, and replaced when it is lost.

:class:`Card` is the event loop's side. :class:`_Stream` is one opening of it; its callback runs on the audio
thread, where it copies and swaps, and never waits for the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import anyio

from ._device_capture import Capture, ReferenceLine
from ._device_clock import StreamClock
from ._device_portaudio import (
    Buffer,
    DeviceId,
    Direction,
    Flags,
    PortAudioStream,
    Times,
    Wiring,
    aside,
    block_frames,
    detach,
)
from ._playout import Playout
from ._watchdog import CHECK_S, Signs, Watchdog
from .audio import AudioFormat, Call
from .errors import AudioDeviceError, DeviceLost
from .events import DeviceReopened, Event, Warned

__all__ = ["Card", "OnLoss", "Wanted"]

logger = logging.getLogger("voicelive_agent")

OnLoss: TypeAlias = Literal["raise", "reopen"]
"""What happens when a device is gone: the call ends with DeviceLost, or the default device takes its place."""

OPEN_S: Final = 8.0
"""The longest that opening is waited for: some Bluetooth headsets need seconds."""
CLOSE_S: Final = 2.0
"""The longest that closing is waited for. The stream of a device that is gone may never close."""
DRAIN_S: Final = 1.0
"""How much longer than it lasts the rest of the audio is waited for at the end."""
SILENCE_S: Final = 0.5
"""The longest that a speaker's last sounds are waited for after all was heard, or was flushed."""
RAN_S: Final = 2.0
"""A stream that stops by itself after it ran for less is not worth another try."""
RESTART_S: Final = 0.5
"""How long a stream that has stopped by itself may take to go on, on the same device."""
BACKOFF_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""The pauses before the attempts to open another device; the last one is repeated."""
STEADY_S: Final = 2.0
"""A new device that has not begun to work by then counts as refused."""
LIVELY_S: Final = 10.0
"""A device that worked for less than this before it was lost as well is one more failed attempt."""
GIVE_UP_S: Final = 60.0
"""An agent that nobody can hear costs money: without any device for so long, DeviceLost is raised after all."""
QUIET_S: Final = 3.0
"""A microphone that had sound and then gives exact zeros for so long is mentioned, once."""
SKIP_S: Final = 1.0
"""The most that is made up for at once while there is no device: after a longer pause the process was asleep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the user asked for. ``devices`` has one entry for each direction that is to be opened."""

    devices: Mapping[Direction, DeviceId]
    block_ms: int
    rate: int | None
    on_loss: OnLoss
    echo_reference: bool = False
    silence_s: float | None = None

    def __post_init__(self) -> None:
        if self.block_ms < 1:
            raise ValueError(f"block_ms must be at least 1, not {self.block_ms}")
        if self.rate is not None and self.rate < 1:
            raise ValueError(f"the rate must be positive, or None for the device's own, not {self.rate} Hz")
        if self.on_loss not in ("raise", "reopen"):
            raise ValueError(f'on_loss must be "raise" or "reopen", not {self.on_loss!r}')
        if self.silence_s is not None and not self.silence_s > 0.0:
            raise ValueError(f"lost_after_silence_s must be positive, or None for never, not {self.silence_s}")


class _Stream:
    """One opening of the card. ``attached`` is false before it takes over, and when it is lost."""

    STEADY_CALLS = 5  # the first ones fill the device's buffers, and prove nothing

    def __init__(self, card: Card, *, attached: bool) -> None:
        self.attached = attached
        self.steady = asyncio.Event()
        self.calls = 0
        self.called_at = card.clock()
        self.opened_at = self.called_at
        self.sound_at: float | None = None
        self.mentioned = False
        self.portaudio = PortAudioStream(
            block_ms=card.wanted.block_ms, on_open=self._on_open, on_block=self._on_block
        )
        self._card = card
        self._clock = StreamClock(self.portaudio.latency_s)
        self._reference: ReferenceLine | None = None

    @property
    def wiring(self) -> Wiring:
        """What it was opened with."""
        return self.portaudio.wiring

    def names(self) -> str:
        """Its devices' names."""
        return " with ".join(dict.fromkeys(device.name for device in self.wiring.devices.values()))

    def _on_open(self, wiring: Wiring) -> None:
        self._card.furnish(wiring)
        if self._card.wanted.echo_reference:
            self._reference = ReferenceLine(wiring.rate)

    @property
    def signs(self) -> Signs:
        """What the watchdog looks at."""
        return Signs(self.portaudio.active, self.calls, self.called_at, self.sound_at)

    def _on_block(
        self, recorded: Buffer | None, playing: Buffer | None, frames: int, times: Times, flags: Flags
    ) -> None:
        """PortAudio's callback, on the audio thread."""
        now = self._card.clock()
        self.called_at = now
        self.calls += 1
        if self.calls == self.STEADY_CALLS:
            self._card.post(self.steady.set)
        played = b""
        if playing is not None:
            played = self._play(len(playing), frames, now, times, flags)
            playing[:] = played
        if recorded is not None and self.attached:
            self._record(bytes(recorded), played, now, times, flags)

    def _play(self, size: int, frames: int, now: float, times: Times, flags: Flags) -> bytes:
        if not self.attached:
            return bytes(size)
        self._card.underruns += flags.output_underflow
        return self._card.playout.take(frames, heard_at=self._clock.heard_at(now, times), now=now)

    def _record(self, pcm: bytes, played: bytes, now: float, times: Times, flags: Flags) -> None:
        self._card.overflows += flags.input_overflow
        if pcm != bytes(len(pcm)):
            self.sound_at = now
        if self._reference is not None:
            channels, delay_s = self.wiring.channels, self._clock.round_trip(times)
            pcm = self._reference.process(pcm, channels["input"], played, channels["output"], delay_s)
        self._card.capture.put(pcm)


class Card:
    """A sound card in use: its queue to the speaker, its blocks from the microphone, and what holds them up.

    ``capture`` and ``playout`` are there while it is open, and outlive the device if that is replaced. All but
    ``clock``, ``post`` and the counters are the event loop's.
    """

    capture: Capture
    playout: Playout
    _loop: asyncio.AbstractEventLoop
    _timer: asyncio.TimerHandle
    _watchdog: Watchdog

    def __init__(self, wanted: Wanted, clock: Callable[[], float]) -> None:
        self.wanted = wanted
        self.clock = clock
        self.underruns = 0
        self.overflows = 0
        self.lost_frames = 0
        self.error: Exception | None = None
        self._call: Call | None = None
        self._stream: _Stream | None = None
        self._closed = False
        self._reopening: asyncio.Task[None] | None = None
        self._attempts = 0  # without lasting success
        self._bridged_at = 0.0  # until when, without a device, silence was given and audio thrown away

    # --- what the ends ask ---

    @property
    def stream(self) -> _Stream:
        """The stream that is, or was last, in use. RuntimeError if there was none."""
        if self._stream is None:
            raise RuntimeError("The sound card is not open: use `async with`.")
        return self._stream

    def format(self, direction: Direction) -> AudioFormat:
        """16-bit PCM, the same for the whole of the time."""
        _ = self.stream
        return self.capture.format if direction == "input" else self.playout.format

    def check_open(self) -> None:
        """Raise DeviceLost if it is lost, RuntimeError if it is not open (any more)."""
        if self.error is not None:
            raise self.error
        if self._closed:
            raise RuntimeError("The sound card is closed.")
        _ = self.stream

    def join(self, call: Call) -> None:
        """There is a call that wants to know."""
        self._call = call
        if self.error is not None:
            call.fail(self.error)

    def post(self, act: Callable[[], None]) -> None:
        """Do something on the event loop, from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there any more
            self._loop.call_soon_threadsafe(act)

    # --- opening and closing ---

    async def open(self) -> None:
        """Open it, once. AudioDeviceError if that cannot be."""
        if self._stream is not None:
            raise RuntimeError("A sound card is opened once: make another object for another time.")
        self._loop = asyncio.get_running_loop()
        stream = _Stream(self, attached=True)
        try:
            await self._start(stream, self.wanted.devices, rate=self.wanted.rate)
        except TimeoutError as late:
            raise AudioDeviceError(f"The sound card did not open within {OPEN_S:.0f} s.") from late
        self._stream = stream
        self._watchdog = self._make_watchdog()
        self._timer = self._loop.call_later(CHECK_S, self._tick)

    def furnish(self, wiring: Wiring) -> None:
        """Make what the first block needs, unless it is there: the format stays as it is."""
        rate, channels = wiring.rate, wiring.channels
        if "output" in channels and not hasattr(self, "playout"):
            self.playout = Playout(AudioFormat(rate=rate, channels=channels["output"]))
        if "input" in channels and not hasattr(self, "capture"):
            heard = AudioFormat(rate=rate, channels=2 if self.wanted.echo_reference else channels["input"])
            block = block_frames(rate, self.wanted.block_ms)
            self.capture = Capture(heard, block_frames=block, loop=self._loop)

    async def _start(self, stream: _Stream, devices: Mapping[Direction, DeviceId], **options: Any) -> None:
        """Open it aside. If that is given up, a cancellation included, it is closed when it has opened after
        all."""
        try:
            await aside(functools.partial(stream.portaudio.start, devices, **options), limit_s=OPEN_S)
        except BaseException:
            detach(stream.portaudio.close)
            raise

    async def leave(self, *, failed: bool) -> None:
        """Close it: after the last sample was heard, or at once (but without a click) if something ``failed``."""
        if self._closed:
            return
        try:
            if "output" in self.wanted.devices and not failed and self.error is None:
                left_s = self.playout.pending(self.clock()) / self.playout.format.rate
                with anyio.move_on_after(left_s + DRAIN_S):
                    await self.drain()
        finally:
            with anyio.CancelScope(shield=True):
                await self._close()

    async def drain(self) -> None:
        """Wait until all was heard. DeviceLost if that will never be."""
        self.check_open()
        while left := self.playout.pending(self.clock()):
            await anyio.sleep(left / self.playout.format.rate)
            self.check_open()

    async def _close(self) -> None:
        self._closed = True
        self._timer.cancel()
        if self._reopening is not None:
            self._reopening.cancel()
            await asyncio.wait({self._reopening})
        if "input" in self.wanted.devices:
            self.capture.end()
        if "output" in self.wanted.devices and self.stream.attached:
            await self._fall_silent()
        try:
            await aside(self.stream.portaudio.close, limit_s=CLOSE_S)
        except TimeoutError:
            logger.warning("%s does not close; it is left alone.", self.stream.names())

    async def _fall_silent(self) -> None:
        """Stop what is pending, and wait until the device has played what it was given, the fade included."""
        deadline = self.clock() + SILENCE_S
        if self.playout.pending(self.clock()):
            self.playout.flush()
        # The audio thread is not bothered with telling us.
        while self.playout.fading and self.clock() < deadline:  # noqa: ASYNC110
            await anyio.sleep(0.005)
        # Drivers err, and closing cuts off; once more their latency is enough for those that have no times at all.
        silent_at = self.playout.silent_at + self.stream.portaudio.latency_s["output"]
        await anyio.sleep(max(0.0, min(silent_at, deadline) - self.clock()))

    # --- watching ---

    def _make_watchdog(self) -> Watchdog:
        return Watchdog(self.clock(), block_s=self.wanted.block_ms / 1000, silence_s=self.wanted.silence_s)

    def _tick(self) -> None:
        now = self.clock()
        if self._reopening is not None:
            self._bridge(now)
        elif (fault := self._watchdog.check(now, self.stream.signs)) is not None:
            self._lose(fault, now)
        else:
            self._mention_silence()
        if self.error is None:
            pause_s = CHECK_S if self._reopening is None else self.wanted.block_ms / 1000
            self._timer = self._loop.call_later(pause_s, self._tick)

    def _mention_silence(self) -> None:
        """Once: whether it is muted, forbidden or not there any more, nothing here can tell."""
        microphone = self.stream.wiring.devices.get("input")
        if microphone is None or self._call is None or self.stream.mentioned:
            return
        if self._watchdog.quiet(self.stream.signs) > QUIET_S:
            self.stream.mentioned = True
            text = f"{microphone.name} has given exact silence for {QUIET_S:.0f} s: is it muted, or forbidden?"
            self._tell(Warned("microphone_silent", text))

    def _tell(self, event: Event) -> None:
        if self._call is not None:
            self._call.tell(event)
        else:
            logger.warning("%s", event)

    def _lose(self, fault: str, now: float) -> None:
        lost, lost_at = self.stream, self.stream.called_at  # its callback may wake up later
        restarts = not lost.portaudio.active and now - lost.opened_at > RAN_S
        lost.attached = False
        detach(lost.portaudio.close)
        error = DeviceLost(lost.names(), f"the device is lost: {fault}.", hint="Plug it in, or choose another.")
        if self.wanted.on_loss == "raise" and not restarts:
            self._fail(error)
            return
        if now - lost.opened_at > LIVELY_S:
            self._attempts = 0
        self._bridged_at = now
        self._reopening = self._loop.create_task(self._replace(lost, lost_at, error, restarts=restarts))
        self._reopening.add_done_callback(self._reopened)

    def _fail(self, error: Exception) -> None:
        self.error = error
        if "input" in self.wanted.devices:
            self.capture.end(error)
        if self._call is not None:
            self._call.fail(error)

    # --- without a device ---

    def _bridge(self, now: float) -> None:
        """Keep the clocks of both directions going: the service counts audio, and the agent what is heard."""
        elapsed_s, self._bridged_at = min(now - self._bridged_at, SKIP_S), now
        if "input" in self.wanted.devices:
            heard = self.capture.format
            self.capture.put(bytes(round(elapsed_s * heard.rate) * heard.frame_bytes))
        if "output" in self.wanted.devices:
            before = self.playout.queued
            self.playout.take(round(elapsed_s * self.playout.format.rate), heard_at=now, now=now)
            self.lost_frames += before - self.playout.queued

    async def _replace(self, lost: _Stream, lost_at: float, error: DeviceLost, *, restarts: bool) -> None:
        """Put another stream in the place of the lost one: on the same device, if only the stream has stopped.

        PortAudio's thread gives up where a busy machine has kept it waiting, and the device is as good as before.
        """
        if restarts:
            same: dict[Direction, DeviceId] = {end: device.index for end, device in lost.wiring.devices.items()}
            with contextlib.suppress(AudioDeviceError, TimeoutError), anyio.fail_after(RESTART_S):
                self._take_over(await self._replacement(lost.wiring, same), lost, lost_at)
                return
        if self.wanted.on_loss == "raise":
            self._fail(error)
            return
        self._tell(Warned("device_lost", f"{error.device}: {error.fault} Looking for another one."))
        await self._reopen(lost, lost_at, error)

    async def _reopen(self, lost: _Stream, lost_at: float, error: DeviceLost) -> None:
        began = self.clock()
        default: dict[Direction, DeviceId] = dict.fromkeys(lost.wiring.devices)
        while True:
            await anyio.sleep(BACKOFF_S[min(self._attempts, len(BACKOFF_S) - 1)])
            self._attempts += 1
            try:
                stream = await self._replacement(lost.wiring, default, rescan=True)
            except (AudioDeviceError, TimeoutError) as refusal:
                reason = str(refusal) or "it does not begin to work"
                logger.debug("No device in place of %s: %s", error.device, reason)
                if self.clock() - began > GIVE_UP_S:
                    self._fail(DeviceLost(error.device, f"{error.fault} There is no other: {reason}"))
                    return
            else:
                self._take_over(stream, lost, lost_at)
                return

    def _reopened(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._fail(error)

    async def _replacement(
        self, wiring: Wiring, devices: Mapping[Direction, DeviceId], *, rescan: bool = False
    ) -> _Stream:
        """These devices, working, with the format that the call has been agreed on."""
        stream = _Stream(self, attached=False)
        await self._start(stream, devices, rate=wiring.rate, channels=wiring.channels, rescan=rescan)
        try:
            with anyio.fail_after(STEADY_S):
                await stream.steady.wait()
        except BaseException:
            detach(stream.portaudio.close)
            raise
        return stream

    def _take_over(self, stream: _Stream, lost: _Stream, lost_at: float) -> None:
        now = self.clock()
        self._stream, self._reopening = stream, None
        self._watchdog = self._make_watchdog()
        stream.attached = True
        for direction, device in stream.wiring.devices.items():
            gap_ms = round((now - lost_at) * 1000)
            self._tell(DeviceReopened(direction, lost.wiring.devices[direction].name, device.name, gap_ms))
