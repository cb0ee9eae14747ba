"""PortAudio, as this library uses it: which devices there are, which of them fits, and one open stream.

The only module that imports ``sounddevice``, inside functions: it raises OSError where PortAudio is missing. Its
calls may take long or, with a device that is gone, never return; so :func:`aside` makes them on a thread of
their own, one at a time, since PortAudio is not made for several.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

import anyio

from .errors import AudioDeviceError

__all__ = [
    "COMMON_RATES",
    "Block",
    "Device",
    "DeviceId",
    "Direction",
    "PortAudioStream",
    "Times",
    "Wiring",
    "aside",
    "block_frames",
    "detach",
    "list_devices",
    "resolve",
]

_T = TypeVar("_T")

Direction: TypeAlias = Literal["input", "output"]
DeviceId: TypeAlias = int | str | None
"""An index, a part of a name, or None for the system's default."""

COMMON_RATES: Final = (8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000)
"""The rates in Hz that are tried to say which ones a device has."""
EXIT_S: Final = 1.0
"""The longest that the end of the process waits for a call of PortAudio."""
BUSY_S: Final = 1.0
"""How long a call waits for another one that may never return."""


@dataclass(frozen=True, slots=True)
class Device:
    """A sound device. ``inputs`` and ``outputs`` are channels, ``rate`` is its own sample rate in Hz."""

    index: int
    name: str
    host_api: str
    inputs: int
    outputs: int
    rate: int
    is_default_input: bool
    is_default_output: bool

    def channels(self, direction: Direction) -> int:
        """Channels of this direction, 0 if it has none."""
        return self.inputs if direction == "input" else self.outputs

    def is_default(self, direction: Direction) -> bool:
        """Whether the system takes it when none is named."""
        return self.is_default_input if direction == "input" else self.is_default_output

    def __str__(self) -> str:
        return f"[{self.index}] {self.name} ({self.host_api})"


class Wiring(NamedTuple):
    """What a stream is opened with: a device and its channels for each direction, and one rate in Hz."""

    devices: Mapping[Direction, Device]
    channels: Mapping[Direction, int]
    rate: int


# --- threads --------------------------------------------------------------------------------------------------

_turn = threading.Lock()


def _take_turn() -> threading.Lock:
    """Wait for the call that is being made; if that one hangs, it keeps its lock, and the others use a new one."""
    global _turn
    while not (turn := _turn).acquire(timeout=BUSY_S):
        if turn is _turn:
            _turn = threading.Lock()
    return turn


@contextlib.contextmanager
def _portaudio() -> Iterator[Any]:
    """The module, loaded, and nobody else in it. AudioDeviceError where PortAudio is missing."""
    turn = _take_turn()
    try:
        _call_at_exit(_leave)  # before sounddevice's own: what is registered first is called last
        try:
            import sounddevice
        except OSError as missing:
            raise AudioDeviceError(
                "The PortAudio library is missing:",
                hint="install it with `apt install libportaudio2` or `brew install portaudio`.",
            ) from missing
        _call_at_exit(_spare_hanging)
        if _leaving.is_set():
            raise AudioDeviceError("The program is ending:", hint="no device is opened any more.")
        yield sounddevice
    finally:
        turn.release()


async def aside(work: Callable[[], _T], *, limit_s: float) -> _T:
    """Do something on a thread of its own; TimeoutError if that takes too long, and then it is left alone."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()

    def settle(outcome: Callable[[], None]) -> None:
        if not future.done():  # else nobody waits any more
            outcome()

    def run() -> None:
        try:
            outcome = functools.partial(future.set_result, work())
        except Exception as error:  # noqa: BLE001  (it is raised where it is waited for)
            outcome = functools.partial(future.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, outcome)

    detach(run)
    with anyio.fail_after(limit_s):
        return await future


def detach(work: Callable[[], None]) -> None:
    """Do something on a thread of its own, and do not wait for it.

    The thread is a daemon: one that hangs in a driver must not keep the process from ending.
    """

    def run() -> None:
        _initialize_com()
        work()

    threading.Thread(target=run, name="voicelive-agent: sound card", daemon=True).start()


def _initialize_com() -> None:
    """On Windows, some of PortAudio's host APIs need COM on every thread that uses them.

    It is never given back: what was opened here outlives this thread.
    """
    if sys.platform == "win32":
        import ctypes

        ctypes.windll.ole32.CoInitializeEx(None, 0)  # 0: what is made here is for all threads


# --- devices --------------------------------------------------------------------------------------------------


def list_devices() -> list[Device]:
    """The sound devices, as PortAudio saw them when it was loaded. AudioDeviceError if it is missing."""
    with _portaudio() as sd:
        return _devices(sd)


def _devices(sd: Any) -> list[Device]:
    apis = sd.query_hostapis()
    default_input, default_output = _default(sd, "input"), _default(sd, "output")
    return [
        Device(
            index=index,
            name=info["name"],
            host_api=apis[info["hostapi"]]["name"],
            inputs=info["max_input_channels"],
            outputs=info["max_output_channels"],
            rate=round(info["default_samplerate"]),
            is_default_input=index == default_input,
            is_default_output=index == default_output,
        )
        for index, info in enumerate(sd.query_devices())
    ]


def _default(sd: Any, direction: Direction) -> int | None:
    try:
        index: int = sd.query_devices(kind=direction)["index"]
    except (sd.PortAudioError, ValueError):
        return None
    return index


def resolve(
    sd: Any,
    wanted: Mapping[Direction, DeviceId],
    *,
    rate: int | None,
    channels: Mapping[Direction, int] | None = None,
) -> Wiring:
    """Choose devices, channels and a rate: mono and the devices' own rate, unless they are given.

    AudioDeviceError if there is no such device, listing what there is, or if it does not do that rate, naming
    those that it does.
    """
    known = _devices(sd)
    devices = {direction: _found(known, direction, name) for direction, name in wanted.items()}
    # The speaker's rate first: what it plays is listened to.
    own = dict.fromkeys(devices[direction].rate for direction in sorted(devices, reverse=True))
    candidates = list(own) if rate is None else [rate]
    faults: list[str] = []
    for candidate in candidates:
        if (fitting := _channels(sd, devices, channels, candidate, faults)) is not None:
            return Wiring(devices, fitting, candidate)
    names = " with ".join(str(device) for device in dict.fromkeys(devices.values()))
    if working := [one for one in COMMON_RATES if _channels(sd, devices, channels, one, []) is not None]:
        tried = " or ".join(map(str, candidates))
        hint = f"What works is rate={', '.join(map(str, working))}; rate=None takes the device's own."
        raise AudioDeviceError(f"{names} cannot be opened at {tried} Hz.", hint=hint)
    raise AudioDeviceError(
        f"{names} cannot be opened: {faults[0]}.",
        hint="Another program may hold it, or the system may not allow its use: look at its privacy settings.",
    )


def _found(known: list[Device], direction: Direction, name: DeviceId) -> Device:
    able = [device for device in known if device.channels(direction)]
    if name is None:
        matches = [device for device in able if device.is_default(direction)]
    elif isinstance(name, int):
        matches = [device for device in able if device.index == name]
    else:
        matches = [device for device in able if name.lower() in device.name.lower()]
        exact = [device for device in matches if device.name.lower() == name.lower()]
        matches = exact or matches
        if len({device.name for device in matches}) == 1:
            # The same one through several host APIs: the usual one, if it is among them.
            usual = {device.host_api for device in able if device.is_default(direction)}
            matches = [device for device in matches if device.host_api in usual][:1] or matches[:1]
    if len(matches) == 1:
        return matches[0]
    if name is None:
        fault = f"There is no default {direction} device."
    elif not matches:
        fault = f"There is no {direction} device {name!r}."
    else:
        fault = f"There are several {direction} devices {name!r}."
    listed = "; ".join(str(device) for device in (matches or able))
    raise AudioDeviceError(
        fault, hint=f"There is: {listed}." if listed else f"No {direction} device was found at all."
    )


def _channels(
    sd: Any,
    devices: Mapping[Direction, Device],
    fixed: Mapping[Direction, int] | None,
    rate: int,
    faults: list[str],
) -> dict[Direction, int] | None:
    """The channels with which all of them can be opened at this rate: one, if possible. None if they cannot."""
    found: dict[Direction, int] = {}
    for direction, device in devices.items():
        most = device.channels(direction)
        candidates = [fixed[direction]] if fixed else sorted({1, min(2, most), most})
        check = sd.check_input_settings if direction == "input" else sd.check_output_settings
        for channels in candidates:
            try:
                check(device=device.index, channels=channels, dtype="int16", samplerate=rate)
            except (sd.PortAudioError, ValueError) as refusal:
                faults.append(str(refusal))
            else:
                found[direction] = channels
                break
        else:
            return None
    return found


# --- streams --------------------------------------------------------------------------------------------------


class Times(Protocol):
    """PortAudio's times of a block, in seconds of the stream's own clock; 0 where the host API has none."""

    currentTime: float
    inputBufferAdcTime: float
    outputBufferDacTime: float


class Flags(Protocol):
    """What PortAudio says about the time before a block."""

    input_overflow: bool
    output_underflow: bool


Buffer: TypeAlias = Any
"""One of CFFI: bytes() copies it, and a slice of it can be assigned."""
Block: TypeAlias = Callable[[Buffer | None, Buffer | None, int, Times, Flags], None]
"""Input, output (None where the stream has none), frames, times, flags; on the audio thread."""

_open: set[PortAudioStream] = set()


class PortAudioStream:
    """One stream of 16-bit samples. All methods may take long: see :func:`aside`.

    ``wiring`` and ``latency_s`` are known when it opens, before the first block.
    """

    wiring: Wiring

    def __init__(self, *, block_ms: int, on_open: Callable[[Wiring], None], on_block: Block) -> None:
        self.latency_s: dict[Direction, float] = {}
        self._block_ms = block_ms
        self._on_open = on_open
        self._on_block = on_block
        self._raw: Any = None
        self._unwanted = False
        self._state = threading.Lock()

    def start(
        self,
        wanted: Mapping[Direction, DeviceId],
        *,
        rate: int | None,
        channels: Mapping[Direction, int] | None = None,
        rescan: bool = False,
    ) -> None:
        """Choose devices as :func:`resolve` does, open and start: nobody changes the list of devices in between.

        With ``rescan``, PortAudio looks for devices again, unless a stream of this library is open. It does so
        only when it is loaded anew, and that closes every stream of the process: a microphone that works must
        not fall silent because a speaker is sought. Streams that other parts of the program opened are not known
        here.

        AudioDeviceError if it is refused. What was closed meanwhile is closed at once when it has opened.
        """
        with _portaudio() as sd:
            if rescan and not _open:
                sd._terminate()
                sd._initialize()
            self.wiring = resolve(sd, wanted, rate=rate, channels=channels)
            self._on_open(self.wiring)
            raw = self._started(sd)
            _open.add(self)
        with self._state:
            self._raw = raw
            unwanted = self._unwanted
        if unwanted:
            self.close()

    def _started(self, sd: Any) -> Any:
        try:
            with contextlib.ExitStack() as undo:
                raw = self._make(sd)
                undo.callback(raw.close)
                self.latency_s.update(self._latency(raw.latency))
                raw.start()
                undo.pop_all()
        except (sd.PortAudioError, ValueError) as refusal:
            names = " with ".join(str(device) for device in dict.fromkeys(self.wiring.devices.values()))
            hint = "Another program may hold it."
            raise AudioDeviceError(f"{names} cannot be opened: {refusal}.", hint=hint) from refusal
        return raw

    @property
    def active(self) -> bool:
        """Whether PortAudio believes in it; a stream that is closed is not active."""
        import sounddevice as sd

        try:
            return self._raw is not None and bool(self._raw.active)
        except sd.PortAudioError:
            return False

    def close(self) -> None:
        """Close it, and drop what the device still has: to have that played hangs where the device is gone."""
        with self._state:
            self._unwanted = True
            raw, self._raw = self._raw, None
        if raw is None:
            return
        with _portaudio():
            raw.abort(ignore_errors=True)
            raw.close(ignore_errors=True)
            _open.discard(self)

    @property
    def closing(self) -> bool:
        """Whether it is being closed, or hangs in that."""
        return self._unwanted

    def _make(self, sd: Any) -> Any:
        on_block = self._on_block
        devices, channels = self.wiring.devices, self.wiring.channels
        frames = block_frames(self.wiring.rate, self._block_ms)
        settings = {"samplerate": self.wiring.rate, "blocksize": frames, "dtype": "int16", "latency": "low"}
        if len(devices) == 2:
            return sd.RawStream(
                device=(devices["input"].index, devices["output"].index),
                channels=(channels["input"], channels["output"]),
                callback=on_block,
                **settings,
            )
        if "input" in devices:
            return sd.RawInputStream(
                device=devices["input"].index,
                channels=channels["input"],
                callback=lambda data, frames, times, flags: on_block(data, None, frames, times, flags),
                **settings,
            )
        return sd.RawOutputStream(
            device=devices["output"].index,
            channels=channels["output"],
            callback=lambda data, frames, times, flags: on_block(None, data, frames, times, flags),
            **settings,
        )

    def _latency(self, reported: float | tuple[float, float]) -> dict[Direction, float]:
        if isinstance(reported, tuple):
            return {"input": reported[0], "output": reported[1]}
        return dict.fromkeys(self.wiring.devices, reported)


def block_frames(rate: int, block_ms: int) -> int:
    """Frames of a block."""
    return max(1, rate * block_ms // 1000)


# --- the end of the process -----------------------------------------------------------------------------------

_leaving = threading.Event()


@functools.cache
def _call_at_exit(act: Callable[[], object]) -> None:
    """Once."""
    atexit.register(act)


@functools.cache
def _leave() -> bool:
    """Let nobody into PortAudio any more, and wait for who is in it; False if that one hangs.

    A thread that loads it or opens a device (when Ctrl-C comes) crashes if it is unloaded meanwhile, be it by
    sounddevice's own exit or by the end of the process.
    """
    _leaving.set()
    return _turn.acquire(timeout=EXIT_S)  # and it is not given back


def _spare_hanging() -> None:
    """Keep sounddevice from unloading PortAudio under a thread, and from waiting for a stream that hangs."""
    import sounddevice as sd

    if not _leave() or any(stream.closing for stream in _open):
        atexit.unregister(sd._exit_handler)
