"""Microphone, speaker and both in one, on a sound card of which everything is known.

Time is virtual, and PortAudio's threads do what they do at once; that these are threads is the business of
``test_device_portaudio.py``, and that all of it sounds as it should of ``tests/audio``.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from array import array
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Literal

import anyio
import anyio.lowlevel
import pytest

from voicelive_agent import _device_card, _device_portaudio, devices
from voicelive_agent.audio import AudioFormat, AudioSink, AudioSource, CallMember
from voicelive_agent.devices import Microphone, SoundCard, Speaker
from voicelive_agent.errors import AudioDeviceError, DeviceLost
from voicelive_agent.events import DeviceReopened, Event, Warned
from voicelive_agent.testing import check_sink, check_source, run_virtual

from .fake_sounddevice import Hardware, SoundSystem

RATE = 16_000
BLOCK = RATE // 50
LATENCY_S = 0.04


def pcm(*samples: int) -> bytes:
    return array("h", samples).tobytes()


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Iterator[SoundSystem]:
    made = SoundSystem(
        Hardware("Microphone", inputs=2, rate=RATE),
        Hardware("Speaker", outputs=2, rate=RATE),
        Hardware("Other", 1, 1),
    )
    monkeypatch.setitem(sys.modules, "sounddevice", made.module)
    monkeypatch.setattr(_device_portaudio, "_open", set())
    monkeypatch.setattr(_device_portaudio, "_call_at_exit", lambda act: None)

    async def aside(work: Callable[[], Any], *, limit_s: float) -> Any:
        await anyio.lowlevel.checkpoint()
        return work()

    monkeypatch.setattr(_device_card, "aside", aside)
    monkeypatch.setattr(_device_card, "detach", lambda work: work())
    yield made
    assert [stream.log[-1] for stream in made.streams] == ["close"] * len(made.streams), "left open"


class Caller:
    """A call that remembers what it was told, and when."""

    def __init__(self) -> None:
        self.told: list[tuple[float, Event]] = []
        self.failed: list[tuple[float, Exception]] = []

    def tell(self, event: Event) -> None:
        self.told.append((anyio.current_time(), event))

    def fail(self, error: Exception) -> None:
        self.failed.append((anyio.current_time(), error))

    def hang_up(self, detail: str) -> None:
        raise NotImplementedError

    def interrupt(self) -> None:
        raise NotImplementedError

    def send_text(self, text: str) -> None:
        raise NotImplementedError

    @property
    def events(self) -> list[Event]:
        return [event for _, event in self.told]


class Listening:
    """Reads a microphone, in a task."""

    def __init__(self, microphone: Microphone) -> None:
        self.microphone = microphone
        self.blocks: list[tuple[float, bytes]] = []
        self.error: Exception | None = None
        self.over = False

    async def run(self) -> None:
        try:
            async for block in self.microphone:
                self.blocks.append((anyio.current_time(), block))
        except Exception as error:  # noqa: BLE001  (looked at by the tests)
            self.error = error
        self.over = True

    @property
    def samples(self) -> int:
        return sum(len(block) for _, block in self.blocks) // self.microphone.format.frame_bytes


def virtual(test: Callable[[SoundSystem], Awaitable[None]]) -> Callable[[SoundSystem], None]:
    """Make a test of a coroutine, in virtual time."""

    def run(system: SoundSystem) -> None:
        run_virtual(test, system)

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def a_microphone(**options: Any) -> Microphone:
    return Microphone(clock=anyio.current_time, **options)


def a_speaker(**options: Any) -> Speaker:
    return Speaker(clock=anyio.current_time, **options)


def a_card(**options: Any) -> SoundCard:
    return SoundCard(clock=anyio.current_time, **options)


# --- what they are ----------------------------------------------------------------------------------------------


@virtual
async def test_they_keep_the_contracts(system: SoundSystem) -> None:
    async with a_card() as card:
        assert isinstance(card.microphone, AudioSource)
        assert isinstance(card.microphone, CallMember)
        assert isinstance(card.speaker, AudioSink)
        assert isinstance(card.speaker, CallMember)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(system.play, 60)
            await check_source(card.microphone, live=True)
            await check_sink(card.speaker)
            tasks.cancel_scope.cancel()


@virtual
async def test_they_say_what_is_open(system: SoundSystem) -> None:
    async with a_microphone(device="micro", block_ms=10) as microphone, a_speaker() as speaker:
        assert microphone.format == AudioFormat(rate=RATE, channels=1)
        assert (microphone.device, microphone.rate, microphone.latency_ms) == ("Microphone", RATE, 20.0)
        assert (speaker.device, speaker.rate, speaker.latency_ms) == ("Speaker", RATE, 40.0)
        assert (speaker.underruns, speaker.lost_ms, microphone.overflows, microphone.dropped_ms) == (0, 0, 0, 0)
        assert [stream.frames for stream in system.streams] == [RATE // 100, BLOCK]
        assert microphone.echo_cancellation == "server"
    assert (microphone.device, speaker.rate, speaker.underruns) == (
        "Microphone",
        RATE,
        0,
    )  # for who asks afterwards


def test_devices_are_told_by_the_module(system: SoundSystem) -> None:
    assert [device.name for device in devices.list_devices()] == ["Microphone", "Speaker", "Other"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Microphone(block_ms=0), "block_ms must be at least 1"),
        (lambda: Speaker(rate=0), "the rate must be positive"),
        (lambda: SoundCard(on_loss="panic"), 'on_loss must be "raise" or "reopen"'),  # type: ignore[arg-type]
        (lambda: Microphone(lost_after_silence_s=0), "lost_after_silence_s must be positive"),
        (lambda: Microphone(echo_cancellation="client"), r"use SoundCard\(echo_reference=True\)"),
    ],
)
def test_wrong_options_are_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


@virtual
async def test_nothing_works_before_it_is_open_and_it_opens_once(system: SoundSystem) -> None:
    speaker, microphone = a_speaker(), a_microphone()
    for use in (lambda: speaker.format, lambda: speaker.pending, speaker.flush, lambda: microphone.device):
        with pytest.raises(RuntimeError, match="is not open: use `async with`"):
            use()
    with pytest.raises(RuntimeError, match="is not open"):
        speaker.write(b"")
    with pytest.raises(RuntimeError, match="is not open"):
        await anext(aiter(microphone))
    async with speaker:
        with pytest.raises(RuntimeError, match="is opened once"):
            await speaker.__aenter__()
    with pytest.raises(RuntimeError, match="is closed"):
        speaker.write(b"")
    with pytest.raises(RuntimeError, match="is closed"):
        _ = speaker.pending
    speaker.flush()  # nothing to silence
    await speaker.__aexit__(None, None, None)


# --- opening and closing ----------------------------------------------------------------------------------------


@virtual
async def test_a_device_that_does_not_open_is_told(system: SoundSystem) -> None:
    system.refuses_to_start = True
    with pytest.raises(AudioDeviceError, match="Device unavailable"):
        async with a_speaker():
            pass
    with pytest.raises(AudioDeviceError, match="There is no input device 'nobody'"):
        async with a_microphone(device="nobody"):
            pass


@virtual
async def test_a_device_that_hangs_while_it_opens_is_told_and_closed_later(system: SoundSystem) -> None:
    starts: list[Callable[[], None]] = []

    async def aside(work: Callable[[], Any], *, limit_s: float) -> Any:
        starts.append(work)
        with anyio.fail_after(limit_s):
            await anyio.sleep_forever()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_device_card, "aside", aside)
        with pytest.raises(AudioDeviceError, match="did not open within 8 s"):
            async with a_microphone():
                pass
    starts[0]()  # now it opens
    assert system.stream.log == ["start", "abort", "close"]


@virtual
async def test_a_device_that_hangs_while_it_closes_is_left_alone(system: SoundSystem) -> None:
    async def aside(work: Callable[[], Any], *, limit_s: float) -> Any:
        with anyio.fail_after(limit_s):
            await anyio.sleep_forever()

    logged: list[str] = []
    logger = logging.getLogger("voicelive_agent")
    handler = logging.Handler()
    handler.emit = lambda record: logged.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    try:
        async with a_microphone() as microphone:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(_device_card, "aside", aside)
                began = anyio.current_time()
                await microphone.__aexit__(None, None, None)
        assert anyio.current_time() - began == pytest.approx(2.0)
    finally:
        logger.removeHandler(handler)
    assert logged == ["Microphone does not close; it is left alone."]
    system.stream.close()


@virtual
async def test_leaving_waits_until_the_last_sample_was_heard(system: SoundSystem) -> None:
    wave = list(range(1, 1 + RATE // 2))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(system.play, 5)
        async with a_speaker() as speaker:
            speaker.write(pcm(*wave))
            await anyio.sleep(0.1)
            began = anyio.current_time()
        assert anyio.current_time() - began == pytest.approx(0.4 + 0.02 + 2 * LATENCY_S, abs=0.021)
        tasks.cancel_scope.cancel()
    assert [sample for sample in system.stream.samples if sample] == wave


@pytest.mark.parametrize("reason", ["error", "cancellation"])
def test_leaving_with_an_error_is_silence_at_once_with_a_fade(system: SoundSystem, reason: str) -> None:
    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(system.play, 5)
            with anyio.CancelScope() as scope:
                try:
                    async with a_speaker() as speaker:
                        speaker.write(pcm(*[10_000] * 2 * RATE))
                        await anyio.sleep(0.1)
                        began = anyio.current_time()
                        if reason == "error":
                            raise KeyError
                        scope.cancel()
                        await anyio.sleep_forever()
                except KeyError:
                    pass
            assert anyio.current_time() - began < 0.03 + 2 * LATENCY_S
            tasks.cancel_scope.cancel()

    run_virtual(main)
    heard = system.stream.samples
    fade = [sample for sample in heard if 0 < sample < 10_000]
    assert len(fade) == RATE // 200
    assert fade == sorted(fade, reverse=True)
    assert heard[-1] == 0


@virtual
async def test_leaving_a_stream_that_does_not_move_takes_a_limited_time(system: SoundSystem) -> None:
    """Before the watchdog has noticed: the rest, a second more, and the end."""
    began = anyio.current_time()
    async with a_speaker() as speaker:
        speaker.write(pcm(*[1] * BLOCK))
        speaker._card._timer.cancel()
    assert anyio.current_time() - began == pytest.approx(0.02 + 1.0 + 0.5, abs=0.02)


# --- the speaker ------------------------------------------------------------------------------------------------


@virtual
async def test_what_is_pending_falls_with_the_converter(system: SoundSystem) -> None:
    async with a_speaker() as speaker:
        speaker.write(pcm(*[1] * 4 * BLOCK))
        assert (speaker.pending, speaker.in_flight) == (4 * BLOCK, 0)
        await system.play(0.04)
        assert (speaker.pending, speaker.in_flight) == (4 * BLOCK, 2 * BLOCK)
        await anyio.sleep(0.03)
        assert speaker.pending == pytest.approx(4 * BLOCK - BLOCK // 2, abs=1)
        await system.play(0.04)
        speaker.flush()
        assert (speaker.pending, speaker.in_flight) == (0, 0)
        await speaker.drain()


@virtual
async def test_underruns_and_overflows_are_counted(system: SoundSystem) -> None:
    async with a_card() as card:
        for stream in system.streams:
            stream.flags.input_overflow = stream.flags.output_underflow = True
        await system.play(0.1)
        assert (card.speaker.underruns, card.microphone.overflows) == (1, 1)


# --- the microphone ---------------------------------------------------------------------------------------------


@virtual
async def test_blocks_come_when_they_are_recorded(system: SoundSystem) -> None:
    async with anyio.create_task_group() as tasks:
        async with a_microphone() as microphone:
            listening = Listening(microphone)
            tasks.start_soon(listening.run)
            await anyio.wait_all_tasks_blocked()
            system.stream.hears = [pcm(*[number] * BLOCK) for number in range(1, 4)]
            began = anyio.current_time()
            await system.play(0.06)
            await anyio.lowlevel.checkpoint()
        assert [block for _, block in listening.blocks] == [pcm(*[number] * BLOCK) for number in range(1, 4)]
        assert [at - began for at, _ in listening.blocks] == pytest.approx([0.02, 0.04, 0.06])
        await anyio.wait_all_tasks_blocked()
        assert listening.over  # closed is the end
        assert listening.error is None


@virtual
async def test_audio_that_nobody_reads_is_dropped_and_counted(system: SoundSystem) -> None:
    async with a_microphone() as microphone:
        await system.play(1.0)
        chunks = aiter(microphone)
        await anext(chunks)
        assert microphone.dropped_ms == 0
        await system.play(1.0)
        await anext(chunks)
        assert microphone.dropped_ms == 1_000 - 20  # it had 9 blocks yet, and one of 10 now
        await chunks.aclose()  # type: ignore[attr-defined]


@virtual
async def test_a_half_duplex_microphone_is_deaf_while_the_speaker_sounds(system: SoundSystem) -> None:
    async with a_speaker() as speaker, a_microphone(half_duplex=speaker) as microphone:
        async with anyio.create_task_group() as tasks:
            listening = Listening(microphone)
            tasks.start_soon(listening.run)
            system.streams[1].hears = [pcm(*[7] * BLOCK)] * 100
            await system.play(0.1)
            speaker.write(pcm(*[1] * 5 * BLOCK))
            await system.play(1.0)
            tasks.cancel_scope.cancel()
    deaf = [at for at, block in listening.blocks if not any(block)]
    heard = [any(block) for _, block in listening.blocks]
    assert heard[:4] == [True] * 4
    # From the writing until 0.2 s after the last sample was heard, and then it hears again.
    assert deaf[-1] - deaf[0] == pytest.approx(0.1 + LATENCY_S + 0.2, abs=0.021)
    assert heard[-10:] == [True] * 10
    assert [at for at, block in listening.blocks if any(block) and deaf[0] < at < deaf[-1]] == []


# --- both in one ------------------------------------------------------------------------------------------------


@virtual
async def test_a_card_is_one_stream(system: SoundSystem) -> None:
    async with a_card(input="micro", output="speak", rate=48_000) as card:
        assert len(system.streams) == 1
        assert system.stream.directions == ("input", "output")
        assert (card.microphone.device, card.speaker.device) == ("Microphone", "Speaker")
        assert (card.microphone.latency_ms, card.speaker.latency_ms) == (20.0, 40.0)
        assert card.microphone.format == card.speaker.format == AudioFormat(rate=48_000)
        assert card.microphone.echo_cancellation == "server"
    assert system.stream.log == ["start", "abort", "close"]


@virtual
async def test_the_echo_reference_is_what_is_heard_flushes_and_fades_included(system: SoundSystem) -> None:
    async with a_card(echo_reference=True) as card, anyio.create_task_group() as tasks:
        assert card.microphone.echo_cancellation == "client"
        assert card.microphone.format == AudioFormat(rate=RATE, channels=2)
        listening = Listening(card.microphone)
        tasks.start_soon(listening.run)
        system.stream.hears = [pcm(*[3] * BLOCK)] * 200
        await system.play(0.6)  # it has learned the delay
        card.speaker.write(pcm(*range(1, 1 + RATE)))
        await system.play(0.25)
        card.speaker.flush()
        await system.play(0.5)
        tasks.cancel_scope.cancel()
    both = array("h", b"".join(block for _, block in listening.blocks))
    assert all(len(block) % 4 == 0 for _, block in listening.blocks)
    assert set(both[0::2]) == {3}
    reference, played = both[1::2].tolist(), system.stream.samples
    delay = round((0.02 + LATENCY_S - 0.003) * RATE)
    assert reference[delay:] == played[: len(reference) - delay]
    assert any(reference)


@virtual
async def test_a_card_may_be_half_duplex(system: SoundSystem) -> None:
    async with a_card(half_duplex=True) as card, anyio.create_task_group() as tasks:
        listening = Listening(card.microphone)
        tasks.start_soon(listening.run)
        card.speaker.write(pcm(*[1] * BLOCK))
        system.stream.hears = [pcm(*[7] * BLOCK)] * 30
        await system.play(0.5)
        tasks.cancel_scope.cancel()
    heard = [any(block) for _, block in listening.blocks]
    assert heard == sorted(heard)
    assert set(heard) == {False, True}


# --- devices that go away ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["no callbacks", "stopped"])
def test_a_lost_microphone_raises_where_it_is_read(system: SoundSystem, loss: str) -> None:
    async def main() -> None:
        call = Caller()
        async with a_microphone() as microphone, anyio.create_task_group() as tasks:
            microphone.join(call)
            listening = Listening(microphone)
            tasks.start_soon(listening.run)
            await system.play(1.0)
            began = anyio.current_time()
            if loss == "stopped":
                system.stream.active = False
            await anyio.sleep(1.0)
            assert listening.over
            assert isinstance(listening.error, DeviceLost)
            assert listening.error.device == "Microphone"
            ((failed_at, error),) = call.failed
            assert error is listening.error
            assert failed_at - began < (0.2 if loss == "stopped" else 0.7)
            assert len(listening.blocks) == 50
            again = Listening(microphone)
            await again.run()
            assert again.error is error
            late = Caller()
            microphone.join(late)
            assert [error for _, error in late.failed] == [error]
        assert call.events == []

    run_virtual(main)


@virtual
async def test_a_lost_speaker_raises_where_it_is_used_but_not_where_it_is_left(system: SoundSystem) -> None:
    call = Caller()
    async with a_speaker() as speaker:
        speaker.join(call)
        speaker.write(pcm(*[1] * 5 * RATE))
        await system.play(1.0)
        waiting: list[Exception] = []

        async def drain() -> None:
            try:
                await speaker.drain()
            except DeviceLost as lost:
                waiting.append(lost)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(drain)
            await anyio.sleep(1.0)
            assert len(call.failed) == 1
            for use in (lambda: speaker.pending, lambda: speaker.in_flight, lambda: speaker.write(b"")):
                with pytest.raises(DeviceLost, match="Speaker: the device is lost: no audio for"):
                    use()
            assert speaker.format.rate == RATE  # the pump still wants to know
            speaker.flush()
        assert len(waiting) == 1


@virtual
async def test_a_lost_stream_that_wakes_up_is_silent(system: SoundSystem) -> None:
    async with a_card() as card:
        card.speaker.write(pcm(*[1] * 5 * RATE))
        await system.play(1.0)
        await anyio.sleep(1.0)
        await_silence = len(system.stream.played)
        system.stream.turn()
        assert not any(system.stream.samples[await_silence // 2 :])
        assert not card._card.capture._blocks or card._card.capture._put == 50 * BLOCK


@virtual
async def test_a_suspended_process_loses_nothing(system: SoundSystem) -> None:
    call = Caller()
    async with a_microphone() as microphone:
        microphone.join(call)
        await system.play(1.0)
        loop = asyncio.get_running_loop()
        loop._now += 3_600.0  # type: ignore[attr-defined]
        await system.play(2.0)
    assert (call.events, call.failed) == ([], [])


@virtual
async def test_silence_is_mentioned_once(system: SoundSystem) -> None:
    call = Caller()
    async with a_microphone() as microphone:
        microphone.join(call)
        for _ in range(2):
            system.stream.hears = [pcm(*[1] * BLOCK)] * 50
            await system.play(6.0)
    (warned,) = call.events
    assert isinstance(warned, Warned)
    assert warned.code == "microphone_silent"
    assert "Microphone has given exact silence for 3 s" in warned.message
    assert call.failed == []


@virtual
async def test_a_microphone_that_never_gave_a_sound_is_mentioned_too(system: SoundSystem) -> None:
    call = Caller()
    async with a_microphone() as microphone:
        await system.play(1.0)
        microphone.join(call)
        await system.play(6.0)
    (warned,) = call.events
    assert isinstance(warned, Warned)
    assert warned.message.endswith("is it muted, or forbidden?")


@virtual
async def test_silence_is_a_loss_for_who_says_so(system: SoundSystem) -> None:
    async with a_microphone(lost_after_silence_s=0.5) as microphone, anyio.create_task_group() as tasks:
        listening = Listening(microphone)
        tasks.start_soon(listening.run)
        system.stream.hears = [pcm(*[1] * BLOCK)] * 10
        await system.play(1.5)
        assert isinstance(listening.error, DeviceLost)
        assert "only exact silence" in str(listening.error)


# --- and come back ----------------------------------------------------------------------------------------------


def replaced(call: Caller) -> list[DeviceReopened]:
    return [event for event in call.events if isinstance(event, DeviceReopened)]


@virtual
async def test_a_lost_microphone_is_replaced_while_it_gives_silence(system: SoundSystem) -> None:
    call = Caller()
    async with anyio.create_task_group() as tasks:
        async with a_microphone(on_loss="reopen") as microphone:
            microphone.join(call)
            listening = Listening(microphone)
            tasks.start_soon(listening.run)
            system.stream.hears = [pcm(*[1] * BLOCK)] * 500
            await system.play(1.0)
            system.hardware[0].stuck = True
            system.hardware.append(Hardware("Headset", inputs=1, rate=48_000))
            system.default_input = "Headset"  # which PortAudio has not seen yet
            lost_at = anyio.current_time()
            await system.play(3.0)
            system.stream.hears = [pcm(*[2] * BLOCK)] * 500
            await system.play(1.0)
            assert microphone.device == "Headset"
            assert microphone.format == AudioFormat(rate=RATE)
        (told_at, warned), (reopened_at, reopened) = call.told
        assert isinstance(warned, Warned)
        assert warned.code == "device_lost"
        assert warned.message.startswith("Microphone: the device is lost: no audio for 0.")
        assert told_at - lost_at < 0.7
        assert isinstance(reopened, DeviceReopened)
        assert (reopened.direction, reopened.lost, reopened.device) == ("input", "Microphone", "Headset")
        assert reopened.gap_ms == round((reopened_at - lost_at) * 1000)
        # Silence in real time, from when the loss was noticed until it was mended.
        silence = [(at, block) for at, block in listening.blocks if told_at < at <= reopened_at]
        assert not any(any(block) for _, block in silence)
        assert sum(len(block) for _, block in silence) // 2 / RATE == pytest.approx(
            reopened_at - told_at, abs=0.05
        )
        assert listening.blocks[-1][1] == pcm(*[2] * BLOCK)
        assert call.failed == []


@virtual
async def test_a_lost_speakers_audio_goes_by_until_there_is_another(system: SoundSystem) -> None:
    call = Caller()
    async with a_speaker(on_loss="reopen", device="other") as speaker:
        speaker.join(call)
        speaker.write(pcm(*[1] * 20 * RATE * 3))
        assert speaker.rate == 48_000
        await system.play(1.0)
        system.hardware[2].stuck = True
        readings = [speaker.pending]
        for _ in range(200):
            await system.play(0.02)
            readings.append(speaker.pending)
        (reopened,) = replaced(call)
        assert (reopened.direction, reopened.lost, reopened.device) == ("output", "Other", "Speaker")
        assert readings == sorted(readings, reverse=True)
        # It stood still until the loss was noticed, and has fallen with the clock since.
        assert (readings[0] - readings[-1]) / 48_000 == pytest.approx(4.0 - 0.6, abs=0.15)
        assert speaker.lost_ms == pytest.approx(reopened.gap_ms - 600, abs=100)
        assert system.stream.samples[-100:] == [1] * 100
        speaker.flush()


@virtual
async def test_both_directions_of_a_card_come_back_together(system: SoundSystem) -> None:
    call = Caller()
    async with a_card(on_loss="reopen", echo_reference=True) as card:
        card.microphone.join(call)
        card.speaker.join(call)
        await system.play(1.0)
        system.hardware[1].stuck = True
        await system.play(1.5)
        system.hardware[1].stuck = False
        await system.play(2.0)
        assert [event.direction for event in replaced(call)] == ["input", "output"]
        assert [event.code for event in call.events if isinstance(event, Warned)] == ["device_lost"]
        assert card.microphone.format.channels == 2


@virtual
async def test_attempts_become_rare_and_end_with_the_reason(system: SoundSystem) -> None:
    """The only other device does not do the rate of the call."""
    call = Caller()
    async with a_microphone(on_loss="reopen") as microphone, anyio.create_task_group() as tasks:
        microphone.join(call)
        listening = Listening(microphone)
        tasks.start_soon(listening.run)
        await system.play(1.0)
        system.hardware[:] = [Hardware("Studio", inputs=1, rate=96_000, rates=(96_000,))]
        system.default_input = "Studio"
        for stream in system.streams:
            stream.active = False
        began = anyio.current_time()
        await anyio.sleep(90.0)
        ((failed_at, error),) = call.failed
        assert isinstance(error, DeviceLost)
        assert error.device == "Microphone"
        assert "There is no other: [0] Studio (Fake API) cannot be opened at 16000 Hz." in str(error)
        assert listening.error is error
        assert 60.0 < failed_at - began < 66.0
        assert 13 < system.scans < 20


@virtual
async def test_a_device_that_opens_and_does_nothing_is_no_other(system: SoundSystem) -> None:
    call = Caller()
    async with a_microphone(on_loss="reopen") as microphone:
        microphone.join(call)
        await system.play(1.0)
        system.hardware[0].stuck = True
        await system.play(8.0)
        assert replaced(call) == []
        assert len(system.streams) > 2
        assert [stream.open for stream in system.streams[:-1]] == [False] * (len(system.streams) - 1)
        system.hardware[0].stuck = False
        await system.play(8.0)
        assert len(replaced(call)) == 1


@virtual
async def test_a_stream_that_only_stopped_goes_on_on_the_same_device(system: SoundSystem) -> None:
    call = Caller()
    async with a_microphone() as microphone, anyio.create_task_group() as tasks:
        microphone.join(call)
        listening = Listening(microphone)
        tasks.start_soon(listening.run)
        await system.play(3.0)
        system.stream.active = False
        await system.play(3.0)
        (event,) = replaced(call)
        assert (event.lost, event.device) == ("Microphone", "Microphone")
        assert event.gap_ms < 500
        assert call.failed == []
        heard_s = sum(len(block) for _, block in listening.blocks) / 2 / RATE
        assert heard_s == pytest.approx(6.0, abs=0.15), "from the notice on (0.1 s), silence stands in for the gap"
        tasks.cancel_scope.cancel()


@virtual
async def test_a_device_that_does_not_go_on_is_lost_within_a_second(system: SoundSystem) -> None:
    call = Caller()
    async with a_microphone() as microphone:
        microphone.join(call)
        await system.play(3.0)
        system.hardware[:] = [Hardware("Studio", inputs=1, rate=96_000, rates=(96_000,))]
        system.stream.active = False
        began = anyio.current_time()
        await anyio.sleep(2.0)
        ((failed_at, error),) = call.failed
        assert isinstance(error, DeviceLost)
        assert error.device == "Microphone"
        assert failed_at - began < 1.0


@pytest.mark.parametrize(("lasts_s", "pause"), [(1.0, "longer"), (15.0, "as short")])
def test_who_is_lost_again_soon_waits_longer(
    system: SoundSystem, lasts_s: float, pause: Literal["longer", "as short"]
) -> None:
    async def main() -> None:
        call = Caller()
        async with a_microphone(on_loss="reopen") as microphone:
            microphone.join(call)
            await system.play(15.0)
            gaps: list[int] = []
            for _ in range(3):
                system.stream.active = False
                await system.play(lasts_s + 1.0)
                gaps.append(replaced(call)[-1].gap_ms)
            assert len(replaced(call)) == 3
            if pause == "longer":
                assert gaps[0] < gaps[1] < gaps[2]
            else:
                assert max(gaps) - min(gaps) <= 100

    run_virtual(main)


@virtual
async def test_who_leaves_while_there_is_no_device_does_not_wait(system: SoundSystem) -> None:
    async with a_microphone(on_loss="reopen"):
        await system.play(1.0)
        system.hardware[0].stuck = True
        await system.play(1.0)
        began = anyio.current_time()
    assert anyio.current_time() - began < 0.01
    opened = len(system.streams)
    await anyio.sleep(10.0)
    assert len(system.streams) == opened


@virtual
async def test_a_long_sleep_without_a_device_is_not_made_up_for(system: SoundSystem) -> None:
    async with a_microphone(on_loss="reopen") as microphone, anyio.create_task_group() as tasks:
        listening = Listening(microphone)
        tasks.start_soon(listening.run)
        await system.play(1.0)
        system.hardware[0].stuck = True
        await system.play(1.0)
        before = listening.samples
        asyncio.get_running_loop()._now += 3_600.0  # type: ignore[attr-defined]
        await system.play(0.1)
        assert RATE < listening.samples - before < 1.2 * RATE
        tasks.cancel_scope.cancel()


@virtual
async def test_a_fault_of_the_reopening_itself_is_not_swallowed(system: SoundSystem) -> None:
    call = Caller()
    async with a_microphone(on_loss="reopen") as microphone:
        microphone.join(call)
        await system.play(1.0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_device_card, "_Stream", lambda *_, **__: 1 / 0)
            system.stream.active = False
            await system.play(1.0)
        assert [type(error) for _, error in call.failed] == [ZeroDivisionError]


def test_without_a_call_it_is_logged(system: SoundSystem, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with a_microphone(on_loss="reopen"):
            await system.play(1.0)
            system.stream.active = False
            await system.play(1.0)

    run_virtual(main)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "device_lost" in caplog.text
    assert "DeviceReopened" in caplog.text


def test_a_loop_that_is_gone_does_not_trouble_the_audio_thread(system: SoundSystem) -> None:
    """Somebody who never leaves the block, and ends the loop."""
    kept: list[SoundCard] = []

    async def main() -> None:
        card = a_card()
        await card.__aenter__()
        kept.append(card)

    run_virtual(main)
    system.now = lambda: 5.0
    kept[0]._card.clock = system.now
    for _ in range(30):
        system.stream.turn()
    system.stream.close()
