"""Which device is meant, what it can do, and streams that are opened and closed on threads of their own."""

from __future__ import annotations

import asyncio
import atexit
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest

from voicelive_agent import _device_portaudio as portaudio
from voicelive_agent._device_portaudio import (
    Device,
    Direction,
    PortAudioStream,
    Wiring,
    aside,
    block_frames,
    detach,
    list_devices,
)
from voicelive_agent._device_portaudio import (
    resolve as resolve_with,
)
from voicelive_agent.errors import AudioDeviceError

from .fake_sounddevice import Hardware, SoundSystem

MIC = Hardware("Built-in Microphone", inputs=2)
SPEAKER = Hardware("Built-in Speaker", outputs=2, rate=44_100)
HEADSET = Hardware("USB Headset", inputs=1, outputs=2, rate=16_000, rates=(16_000,))

Make = Callable[..., SoundSystem]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Make a machine with this hardware the one that we run on."""

    def make(*hardware: Hardware) -> SoundSystem:
        system = SoundSystem(*hardware)
        system.now = lambda: 0.0
        monkeypatch.setitem(sys.modules, "sounddevice", system.module)
        return system

    monkeypatch.setattr(portaudio, "_open", set())
    yield make
    atexit.unregister(portaudio._spare_hanging)
    atexit.unregister(portaudio._leave)
    portaudio._call_at_exit.cache_clear()


@pytest.fixture
def leaving(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The end of the process may be played, and is taken back."""
    monkeypatch.setattr(portaudio, "EXIT_S", 0.01)
    monkeypatch.setattr(portaudio, "_turn", threading.Lock())
    yield
    portaudio._leave.cache_clear()
    portaudio._leaving.clear()


def resolve(*arguments: Any, **options: Any) -> Wiring:
    return resolve_with(sys.modules["sounddevice"], *arguments, **options)


def name_of(direction: Direction, device: int | str | None, **options: Any) -> str:
    return resolve({direction: device}, rate=None, **options).devices[direction].name


# --- devices --------------------------------------------------------------------------------------------------


def test_what_there_is(machine: Make) -> None:
    machine(MIC, SPEAKER)
    assert list_devices() == [
        Device(0, "Built-in Microphone", "Fake API", 2, 0, 48_000, is_default_input=True, is_default_output=False),
        Device(1, "Built-in Speaker", "Fake API", 0, 2, 44_100, is_default_input=False, is_default_output=True),
    ]
    assert str(list_devices()[1]) == "[1] Built-in Speaker (Fake API)"


def test_a_machine_without_any(machine: Make) -> None:
    machine()
    assert list_devices() == []
    with pytest.raises(
        AudioDeviceError, match=r"There is no default output device\. No output device was found at all\."
    ):
        name_of("output", None)


def test_without_portaudio_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    with pytest.raises(AudioDeviceError) as caught:
        list_devices()
    assert str(caught.value) == (
        "The PortAudio library is missing: "
        "install it with `apt install libportaudio2` or `brew install portaudio`."
    )


@pytest.mark.parametrize(
    ("direction", "given", "name"),
    [
        ("input", None, "Built-in Microphone"),
        ("output", None, "Built-in Speaker"),
        ("input", 2, "USB Headset"),
        ("input", "USB Headset", "USB Headset"),
        ("output", "usb", "USB Headset"),
        ("input", "built-in", "Built-in Microphone"),  # the speaker of that name cannot hear
    ],
)
def test_a_device_is_meant_by_index_or_name(
    machine: Make, direction: Direction, given: int | str | None, name: str
) -> None:
    machine(MIC, SPEAKER, HEADSET)
    assert name_of(direction, given) == name


def test_an_exact_name_is_no_part_of_another(machine: Make) -> None:
    machine(Hardware("Mic", inputs=1), Hardware("Mic 2", inputs=1))
    assert name_of("input", "mic") == "Mic"


@pytest.mark.parametrize(("default", "index"), [("Headset", 2), (None, 1)])
def test_one_device_of_several_host_apis_is_taken_through_the_usual_one(
    machine: Make, default: str | None, index: int
) -> None:
    other = Hardware("Microphone", inputs=1, host_api=1)
    system = machine(Hardware("Headset", inputs=1), other, Hardware("Microphone", inputs=1))
    system.default_input = default
    assert resolve({"input": "micro"}, rate=None).devices["input"].index == index


@pytest.mark.parametrize(
    ("direction", "given", "words"),
    [
        ("input", "Built-in Speaker", "There is no input device 'Built-in Speaker'. There is: [0]"),
        (
            "output",
            "nonsense",
            "There is no output device 'nonsense'. There is: [1] Built-in Speaker (Fake API); [2]",
        ),
        ("output", 0, "There is no output device 0."),
        ("output", 17, "There is no output device 17."),
        ("output", "", "There are several output devices ''. There is: [1] Built-in Speaker (Fake API); [2] USB"),
    ],
)
def test_a_wrong_name_lists_what_there_is(
    machine: Make, direction: Direction, given: int | str, words: str
) -> None:
    machine(MIC, SPEAKER, HEADSET)
    with pytest.raises(AudioDeviceError) as caught:
        name_of(direction, given)
    assert str(caught.value).startswith(words)


# --- rates and channels -----------------------------------------------------------------------------------------


def test_a_device_is_opened_with_one_channel_at_its_own_rate(machine: Make) -> None:
    machine(MIC, SPEAKER, HEADSET)
    wiring = resolve({"output": None}, rate=None)
    assert (wiring.rate, wiring.channels) == (44_100, {"output": 1})


@pytest.mark.parametrize(("outputs", "channels"), [(2, (2,)), (8, (2, 8)), (8, (8,))])
def test_a_device_that_cannot_be_mono_is_opened_as_it_can(
    machine: Make, outputs: int, channels: tuple[int, ...]
) -> None:
    machine(Hardware("Surround", outputs=outputs, channels=channels))
    assert resolve({"output": None}, rate=None).channels == {"output": channels[0]}


def test_a_rate_that_is_given_is_the_rate(machine: Make) -> None:
    machine(MIC)
    assert resolve({"input": None}, rate=16_000).rate == 16_000


def test_a_rate_that_a_device_has_not_names_those_that_it_has(machine: Make) -> None:
    machine(MIC)
    with pytest.raises(AudioDeviceError) as caught:
        resolve({"input": None}, rate=24_000)
    assert str(caught.value) == (
        "[0] Built-in Microphone (Fake API) cannot be opened at 24000 Hz. "
        "What works is rate=16000, 44100, 48000; rate=None takes the device's own."
    )


def test_two_devices_have_one_rate_the_speakers_if_the_microphone_has_it(machine: Make) -> None:
    machine(MIC, SPEAKER, HEADSET)
    wiring = resolve({"input": None, "output": None}, rate=None)
    assert (wiring.rate, wiring.channels) == (44_100, {"input": 1, "output": 1})
    assert resolve({"input": "usb", "output": None}, rate=None).rate == 16_000


def test_two_devices_without_a_common_rate_are_told(machine: Make) -> None:
    machine(Hardware("A", inputs=1, rate=16_000, rates=(16_000,)), Hardware("B", outputs=1, rates=(48_000,)))
    with pytest.raises(
        AudioDeviceError, match=r"\[0\] A .* with \[1\] B .* cannot be opened: Invalid sample rate"
    ):
        resolve({"input": None, "output": None}, rate=None)


def test_two_devices_whose_own_rates_are_no_common_ones_are_told_which_is(machine: Make) -> None:
    machine(
        Hardware("A", inputs=1, rate=16_000, rates=(16_000, 32_000)),
        Hardware("B", outputs=1, rate=48_000, rates=(48_000, 32_000)),
    )
    with pytest.raises(
        AudioDeviceError, match=r"cannot be opened at 48000 or 16000 Hz. What works is rate=32000;"
    ):
        resolve({"input": None, "output": None}, rate=None)


def test_a_device_that_is_gone_cannot_be_opened(machine: Make) -> None:
    system = machine(MIC)
    system.hardware.clear()
    with pytest.raises(AudioDeviceError, match=r"cannot be opened: Device unavailable .*privacy settings"):
        resolve({"input": None}, rate=None)


def test_the_format_of_a_call_is_kept(machine: Make) -> None:
    machine(MIC, HEADSET)
    assert resolve({"input": None}, rate=16_000, channels={"input": 2}).channels == {"input": 2}
    with pytest.raises(AudioDeviceError):
        resolve({"input": "usb"}, rate=16_000, channels={"input": 2})


# --- streams ----------------------------------------------------------------------------------------------------


class Started(PortAudioStream):
    """A stream of a kind that is started without saying more."""

    def __init__(self, *directions: Direction, on_block: Any = None) -> None:
        self.opened: list[Wiring] = []
        super().__init__(block_ms=20, on_open=self.opened.append, on_block=on_block or (lambda *_: None))
        self._directions = directions

    def begin(self, **options: Any) -> None:
        self.start(dict.fromkeys(self._directions), rate=None, **options)


@pytest.mark.parametrize(
    ("directions", "latency_s"),
    [
        (("input",), {"input": 0.02}),
        (("output",), {"output": 0.04}),
        (("input", "output"), {"input": 0.02, "output": 0.04}),
    ],
)
def test_a_stream_opens_runs_and_closes(
    machine: Make, directions: tuple[Direction, ...], latency_s: dict[Direction, float]
) -> None:
    system = machine(MIC, SPEAKER)
    blocks: list[tuple[bool, bool, int]] = []
    stream = Started(
        *directions, on_block=lambda heard, said, frames, *_: blocks.append((heard is None, said is None, frames))
    )
    assert not stream.active
    stream.begin()
    assert stream.active
    assert stream.latency_s == latency_s
    assert system.stream.settings["dtype"] == "int16"
    system.stream.turn()
    rate = 44_100 if "output" in directions else 48_000
    assert blocks == [("input" not in directions, "output" not in directions, block_frames(rate, 20))]
    assert stream.opened == [stream.wiring]
    assert not stream.closing
    stream.close()
    stream.close()
    assert system.stream.log == ["start", "abort", "close"]
    assert not stream.active
    assert stream.closing


def test_a_stream_that_is_refused_is_closed_again(machine: Make) -> None:
    system = machine(MIC)
    system.refuses_to_start = True
    stream = Started("input")
    with pytest.raises(AudioDeviceError, match="cannot be opened: Device unavailable"):
        stream.begin()
    assert system.stream.log == ["close"]
    assert not stream.active


def test_a_stream_that_nobody_wants_any_more_closes_when_it_has_opened(machine: Make) -> None:
    system = machine(MIC)
    stream = Started("input")
    stream.close()
    stream.begin()
    assert system.stream.log == ["start", "abort", "close"]


def test_a_stream_that_portaudio_does_not_know_any_more_is_not_active(machine: Make) -> None:
    system = machine(MIC)
    stream = Started("input")
    stream.begin()

    class Gone:
        @property
        def active(self) -> bool:
            raise system.module.PortAudioError("Invalid stream pointer")

    stream._raw = Gone()
    assert not stream.active


def test_devices_are_looked_for_again_only_if_that_closes_nothing(machine: Make) -> None:
    system = machine(MIC, SPEAKER)
    stream = Started("input")
    stream.begin()
    system.hardware.append(HEADSET)
    other = Started("output")
    other.begin(rescan=True)
    assert (system.scans, len(list_devices())) == (0, 2)
    other.close()
    stream.close()
    other = Started("output")
    other.begin()
    assert system.scans == 0
    other.close()
    other = Started("output")
    other.begin(rescan=True)
    assert (system.scans, len(list_devices())) == (1, 3)
    other.close()


@pytest.fixture
def spared(leaving: None) -> Iterator[list[object]]:
    """What was taken out of the exit."""
    spared: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atexit, "unregister", spared.append)
        yield spared


def test_at_the_exit_sounddevice_closes_what_is_open(machine: Make, spared: list[object]) -> None:
    machine(MIC)
    Started("input").begin()
    portaudio._spare_hanging()
    assert spared == []


def test_a_stream_that_hangs_when_it_is_closed_does_not_keep_the_process(
    machine: Make, spared: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the exit sounddevice would try once more."""
    system = machine(MIC)
    stream = Started("input")
    stream.begin()
    closing, hangs = threading.Event(), threading.Event()

    def hang() -> None:
        closing.set()
        assert hangs.wait(10)

    system.before_close = hang
    detach(stream.close)
    assert closing.wait(10)
    portaudio._spare_hanging()
    assert spared == [sys.modules["sounddevice"]._exit_handler]
    monkeypatch.undo()
    hangs.set()


def test_a_stream_that_hangs_and_is_not_waited_for_any_more_does_not_keep_the_process_either(
    machine: Make, spared: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(MIC)
    stream = Started("input")
    stream.begin()
    monkeypatch.setattr(stream, "_unwanted", True)  # and another lock is in use
    portaudio._spare_hanging()
    assert spared == [sys.modules["sounddevice"]._exit_handler]


def test_the_exit_waits_for_who_is_in_portaudio_and_lets_nobody_in_after_that(
    machine: Make, spared: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while a device is being opened: to unload PortAudio under the thread that opens it crashes."""
    machine(MIC)
    monkeypatch.setattr(portaudio, "EXIT_S", 10)
    portaudio._turn.acquire()
    exits = threading.Thread(target=portaudio._spare_hanging)
    exits.start()
    assert exits.is_alive()
    portaudio._turn.release()
    exits.join(10)
    assert spared == []
    assert portaudio._turn.locked()
    portaudio._leave()  # the other one: it does not wait for itself


def test_who_has_loaded_portaudio_when_the_process_ends_opens_nothing(machine: Make, leaving: None) -> None:
    machine(MIC)
    portaudio._leaving.set()
    with pytest.raises(AudioDeviceError, match="The program is ending"):
        list_devices()


def test_one_call_at_a_time_but_one_that_hangs_stops_the_others_only_once(
    machine: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(MIC)
    monkeypatch.setattr(portaudio, "BUSY_S", 0.01)
    monkeypatch.setattr(portaudio, "_turn", threading.Lock())
    hanging = portaudio._take_turn()
    assert len(list_devices()) == 1
    assert portaudio._turn is not hanging
    assert hanging.locked()
    assert not portaudio._turn.locked()
    hanging.release()  # it came back after all, to a lock that nobody uses


def test_of_several_that_waited_for_it_one_puts_the_lock_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    new = threading.Lock()

    class Hanging:
        @staticmethod
        def acquire(timeout: float) -> bool:
            monkeypatch.setattr(portaudio, "_turn", new)  # somebody else was quicker
            return False

    monkeypatch.setattr(portaudio, "_turn", Hanging)
    assert portaudio._take_turn() is new
    assert new.locked()


# --- threads ----------------------------------------------------------------------------------------------------


async def test_work_aside_gives_its_result_or_its_error() -> None:
    here = threading.current_thread()
    there = await aside(threading.current_thread, limit_s=10)
    assert there is not here
    assert there.daemon

    def fail() -> None:
        raise AudioDeviceError("no")

    with pytest.raises(AudioDeviceError, match="no"):
        await aside(fail, limit_s=10)


async def test_work_that_takes_too_long_is_left_alone() -> None:
    release = threading.Event()
    with pytest.raises(TimeoutError):
        await aside(lambda: release.wait(10), limit_s=0.01)
    release.set()


async def test_work_whose_waiter_was_cancelled_is_left_alone() -> None:
    begun, release, over = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        release.wait(10)
        over.set()

    waiting = asyncio.ensure_future(aside(work, limit_s=10))
    assert await asyncio.to_thread(begun.wait, 10)
    waiting.cancel()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await asyncio.to_thread(over.wait, 10)


def test_work_that_outlives_the_loop_ends_in_peace() -> None:
    begun, release, threads = threading.Event(), threading.Event(), []

    def work() -> None:
        threads.append(threading.current_thread())
        begun.set()
        assert release.wait(10)

    with pytest.raises(TimeoutError):
        anyio.run(lambda: aside(work, limit_s=0.01))
    assert begun.wait(10)  # it may be later than the loop's end
    release.set()
    threads[0].join(10)
    assert not threads[0].is_alive()


def test_com_is_made_ready_on_windows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import ctypes

    calls: list[tuple[object, ...]] = []

    class Ole32:
        @staticmethod
        def CoInitializeEx(*arguments: object) -> None:
            calls.append(arguments)

    monkeypatch.setattr(ctypes, "windll", type("Dlls", (), {"ole32": Ole32}), raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    portaudio._initialize_com()
    assert calls == []
    monkeypatch.setattr(sys, "platform", "win32")
    portaudio._initialize_com()
    assert calls == [(None, 0)]


@pytest.mark.parametrize(("rate", "block_ms", "frames"), [(44_100, 20, 882), (22_050, 1, 22), (100, 1, 1)])
def test_a_block_is_whole_frames_and_never_none(rate: int, block_ms: int, frames: int) -> None:
    assert block_frames(rate, block_ms) == frames


def test_a_wiring_is_made_by_hand_as_well() -> None:
    device = Device(0, "Mic", "API", 1, 0, 8_000, is_default_input=True, is_default_output=False)
    assert (device.channels("input"), device.channels("output")) == (1, 0)
    assert Wiring({"input": device}, {"input": 1}, 8_000).rate == 8_000
