"""A ``sounddevice`` without a sound card: devices are a list, and time passes when a test says so.

A :class:`SoundSystem` stands for PortAudio and the hardware, and its :attr:`module` for what is imported. A
stream that was started calls back once for every :meth:`Stream.turn`, or all of them in time, by
:meth:`SoundSystem.play`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import anyio

Callback = Callable[..., None]


class PortAudioError(Exception):
    pass


@dataclass
class Hardware:
    """A device. ``rates`` are those that it does, ``channels`` those with which it can be opened."""

    name: str
    inputs: int = 0
    outputs: int = 0
    rate: int = 48_000
    rates: tuple[int, ...] = (16_000, 44_100, 48_000)
    channels: tuple[int, ...] = (1, 2)
    host_api: int = 0
    stuck: bool = False  # it can be opened, and then nothing happens


@dataclass
class Times:
    currentTime: float
    inputBufferAdcTime: float
    outputBufferDacTime: float


@dataclass
class Flags:
    input_overflow: bool = False
    output_underflow: bool = False


@dataclass
class Stream:
    """An open stream; what it played is in ``played``, what it hears next in ``hears``."""

    system: SoundSystem
    devices: list[Hardware]
    directions: tuple[str, ...]
    rate: int
    frames: int
    channels: dict[str, int]
    callback: Callback
    latency: float | tuple[float, float]
    settings: dict[str, Any]
    active: bool = False
    log: list[str] = field(default_factory=list)
    played: bytearray = field(default_factory=bytearray)
    hears: list[bytes] = field(default_factory=list)
    flags: Flags = field(default_factory=Flags)

    def start(self) -> None:
        if self.system.refuses_to_start:
            raise PortAudioError("Device unavailable [PaErrorCode -9985]")
        self.log.append("start")
        self.active = True

    def abort(self, ignore_errors: bool = True) -> None:
        self.log.append("abort")
        self.active = False

    def close(self, ignore_errors: bool = True) -> None:
        self.log.append("close")
        self.system.before_close()

    @property
    def open(self) -> bool:
        return "close" not in self.log

    def turn(self) -> None:
        """One block, as the audio thread does it."""
        now = self.system.now()
        times = Times(now + 5_000, now + 5_000 - self.system.input_s, now + 5_000 + self.system.output_s)
        recorded = bytes(2 * self.frames * self.channels.get("input", 0))
        if self.hears:
            recorded = self.hears.pop(0)
        playing = memoryview(bytearray(2 * self.frames * self.channels.get("output", 0)))
        buffers = [recorded, playing]
        given = [buffers[direction == "output"] for direction in self.directions]
        self.callback(*given, self.frames, times, self.flags)
        self.flags = Flags()
        self.played += playing

    @property
    def samples(self) -> list[int]:
        """All that was played."""
        return array("h", bytes(self.played)).tolist()


class SoundSystem:
    """The hardware of a machine, and what programs did with it."""

    def __init__(self, *hardware: Hardware) -> None:
        self.hardware = list(hardware)
        self.listed = list(hardware)  # what PortAudio saw when it was loaded
        self.host_apis = ["Fake API", "Other API"]
        self.default_input: str | None = next((device.name for device in hardware if device.inputs), None)
        self.default_output: str | None = next((device.name for device in hardware if device.outputs), None)
        self.streams: list[Stream] = []
        self.scans = 0
        self.input_s = 0.02
        self.output_s = 0.04
        self.refuses_to_start = False
        self.before_close: Callable[[], None] = lambda: None
        self.now: Callable[[], float] = anyio.current_time

    @property
    def stream(self) -> Stream:
        """The one that was opened last."""
        return self.streams[-1]

    async def play(self, seconds: float) -> None:
        """Let time pass, and every stream that runs call back for each of its blocks."""
        end = self.now() + seconds
        while self.now() < end - 1e-9:
            await anyio.sleep(0.02)
            for stream in self.streams:
                if stream.active and not any(device.stuck for device in stream.devices):
                    stream.turn()

    # --- as a module ---

    @property
    def module(self) -> ModuleType:
        module = ModuleType("sounddevice")
        vars(module).update(
            PortAudioError=PortAudioError,
            query_devices=self._query_devices,
            query_hostapis=lambda: [{"name": name} for name in self.host_apis],
            check_input_settings=lambda **settings: self._check("input", **settings),
            check_output_settings=lambda **settings: self._check("output", **settings),
            RawInputStream=lambda **settings: self._open(("input",), **settings),
            RawOutputStream=lambda **settings: self._open(("output",), **settings),
            RawStream=lambda **settings: self._open(("input", "output"), **settings),
            _terminate=self._terminate,
            _initialize=self._initialize,
            _exit_handler=lambda: None,
        )
        return module

    def _query_devices(self, kind: str | None = None) -> Any:
        known = [
            {
                "index": index,
                "name": device.name,
                "hostapi": device.host_api,
                "max_input_channels": device.inputs,
                "max_output_channels": device.outputs,
                "default_samplerate": float(device.rate),
            }
            for index, device in enumerate(self.listed)
        ]
        if kind is None:
            return known
        default = self.default_input if kind == "input" else self.default_output
        for device in known:
            if device["name"] == default:
                return device
        raise PortAudioError("Error querying device -1")

    def _check(self, direction: str, *, device: int, channels: int, dtype: str, samplerate: int) -> None:
        assert dtype == "int16"
        hardware = self.listed[device]
        most = hardware.inputs if direction == "input" else hardware.outputs
        if hardware not in self.hardware:
            raise PortAudioError("Device unavailable [PaErrorCode -9985]")
        if samplerate not in hardware.rates:
            raise PortAudioError("Invalid sample rate [PaErrorCode -9997]")
        if channels not in hardware.channels or channels > most:
            raise PortAudioError("Invalid number of channels [PaErrorCode -9998]")

    def _open(self, directions: tuple[str, ...], **settings: Any) -> Stream:
        pair = len(directions) == 2
        devices = settings["device"] if pair else (settings["device"],)
        channels = settings["channels"] if pair else (settings["channels"],)
        for direction, device, count in zip(directions, devices, channels, strict=True):
            self._check(direction, device=device, channels=count, dtype="int16", samplerate=settings["samplerate"])
        stream = Stream(
            system=self,
            devices=[self.listed[device] for device in devices],
            directions=directions,
            rate=settings["samplerate"],
            frames=settings["blocksize"],
            channels=dict(zip(directions, channels, strict=True)),
            callback=settings["callback"],
            latency=(self.input_s, self.output_s)
            if pair
            else self.input_s
            if "input" in directions
            else self.output_s,
            settings=settings,
        )
        self.streams.append(stream)
        return stream

    def _terminate(self) -> None:
        for stream in self.streams:
            assert not stream.open, "PortAudio would close it"

    def _initialize(self) -> None:
        self.scans += 1
        self.listed = list(self.hardware)
