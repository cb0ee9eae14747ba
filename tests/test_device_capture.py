"""From the audio thread to the reader, and what was heard from the speaker meanwhile."""

from __future__ import annotations

import asyncio
import random
import threading
from array import array

import anyio
import pytest

from voicelive_agent._device_capture import KEEP_MS, Capture, ReferenceLine
from voicelive_agent.audio import AudioFormat

RATE = 8_000
BLOCK = 160


def capture() -> Capture:
    return Capture(AudioFormat(rate=RATE), block_frames=BLOCK, loop=asyncio.get_running_loop())


def block(number: int) -> bytes:
    return bytes([number]) * (2 * BLOCK)


def on_a_thread(*blocks: bytes, into: Capture) -> None:
    def put() -> None:
        for pcm in blocks:
            into.put(pcm)

    thread = threading.Thread(target=put)
    thread.start()
    thread.join()


async def test_a_block_wakes_the_reader() -> None:
    heard = capture()
    got: list[bytes | None] = []

    async def read() -> None:
        for _ in range(3):
            got.append(await heard.get())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        on_a_thread(block(1), into=heard)
        await anyio.wait_all_tasks_blocked()
        assert got == [block(1)]
        on_a_thread(block(2), block(3), into=heard)
    assert got == [block(1), block(2), block(3)]
    assert heard.dropped == 0


async def test_thousands_of_blocks_arrive_in_order() -> None:
    """With the reader as slow or as quick as it happens to be, nothing is missed that was not dropped."""
    heard = capture()
    total = 3_000

    def put() -> None:
        for number in range(total):
            heard.put(number.to_bytes(2, "big") * BLOCK)

    thread = threading.Thread(target=put)
    thread.start()
    last, received = -1, 0
    while last < total - 1:
        pcm = await heard.get()
        assert pcm is not None
        number = int.from_bytes(pcm[:2], "big")
        assert number > last
        last, received = number, received + 1
    thread.join()
    # Before the first one that was read, nothing counts as dropped.
    assert heard.dropped <= (total - received) * BLOCK
    assert heard.dropped % BLOCK == 0


async def test_who_does_not_read_keeps_the_last_200_ms() -> None:
    heard = capture()
    on_a_thread(*(block(number) for number in range(50)), into=heard)
    kept = KEEP_MS // 20
    heard.begin()
    assert [await heard.get() for _ in range(kept)] == [block(number) for number in range(50 - kept, 50)]
    assert heard.dropped == 0  # it was never asked for
    on_a_thread(*(block(number) for number in range(kept + 3)), into=heard)
    await heard.get()
    assert heard.dropped == 3 * BLOCK
    heard.begin()
    on_a_thread(*(block(number) for number in range(50)), into=heard)
    await heard.get()
    assert heard.dropped == 3 * BLOCK


async def test_the_end_comes_after_what_there_is() -> None:
    heard = capture()
    on_a_thread(block(1), into=heard)
    heard.end()
    heard.end(ValueError("once is enough"))
    assert [await heard.get() for _ in range(3)] == [block(1), None, None]


async def test_an_error_reaches_a_reader_who_waits() -> None:
    heard = capture()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.lowlevel.checkpoint)
        asyncio.get_running_loop().call_soon(heard.end, ValueError("gone"))
        with pytest.raises(ValueError, match="gone"):
            await heard.get()


def test_a_loop_that_is_closed_is_no_trouble_for_the_audio_thread() -> None:
    loop = asyncio.new_event_loop()
    heard = Capture(AudioFormat(rate=RATE), block_frames=BLOCK, loop=loop)
    loop.close()
    for number in range(100):
        heard.put(block(number))


def test_blocks_longer_than_what_is_kept_are_kept_one_by_one() -> None:
    loop = asyncio.new_event_loop()
    heard = Capture(AudioFormat(rate=RATE), block_frames=RATE, loop=loop)
    heard.put(block(1))
    assert loop.run_until_complete(heard.get()) == block(1)
    loop.close()


# --- the echo reference ---


def noise(frames: int, seed: int = 1) -> list[int]:
    chance = random.Random(seed)
    return [chance.randrange(-20_000, 20_000) for _ in range(frames)]


def pcm(samples: list[int]) -> bytes:
    return array("h", samples).tobytes()


def through(line: ReferenceLine, played: list[int], recorded: list[int], delays_s: list[float]) -> list[int]:
    """The second channel of what comes out of one block after the other."""
    reference: list[int] = []
    for number, delay_s in enumerate(delays_s):
        part = slice(number * BLOCK, (number + 1) * BLOCK)
        both = array("h", line.process(pcm(recorded[part]), 1, pcm(played[part]), 1, delay_s))
        assert both[0::2].tolist() == recorded[part]
        reference += both[1::2].tolist()
    return reference


@pytest.mark.parametrize("delay_ms", [0, 3, 10, 20, 85, 1_890])
def test_the_reference_is_what_was_heard_when_the_microphone_recorded(delay_ms: int) -> None:
    """Or rather 3 ms before, so that no echo comes before its reference."""
    played, blocks = noise(200 * BLOCK), 200
    line = ReferenceLine(RATE)
    reference = through(line, played, noise(200 * BLOCK, seed=2), [delay_ms / 1000] * blocks)
    delay = max(0, delay_ms - 3) * RATE // 1000
    assert line.delay == delay
    assert reference == [0] * delay + played[: len(played) - delay]


def test_a_delay_that_no_card_has_is_bounded() -> None:
    line = ReferenceLine(RATE)
    through(line, noise(BLOCK), noise(BLOCK), [1e9])
    assert line.delay == 2 * RATE
    through(line, noise(4 * BLOCK), noise(4 * BLOCK), [-5.0] * 4)
    assert line.delay == 0


def test_reports_that_waver_do_not_move_it() -> None:
    """But it is the middle of the first 25, of which the very first may be wrong."""
    line = ReferenceLine(RATE)
    silence = [0] * 1_000 * BLOCK
    through(line, silence, silence, [0.06, 0.08, 0.081, *[0.08] * 22])
    assert line.delay == 0.077 * RATE
    through(line, silence, silence, [0.08 + 0.009 * (-1) ** (number // 40) for number in range(500)])
    assert line.delay == 0.077 * RATE
    through(line, silence, silence, [0.12] * 12)
    assert line.delay == 0.077 * RATE
    through(line, silence, silence, [0.12] * 13)  # the device is another one, or it had an underrun
    assert line.delay == 0.117 * RATE


@pytest.mark.parametrize("blocks", [10, 100])
def test_while_something_sounds_it_moves_only_if_it_must(blocks: int) -> None:
    line = ReferenceLine(RATE)
    silence = [0] * 200 * BLOCK
    through(line, silence, silence, [0.080] * 2)
    through(line, noise(blocks * BLOCK), silence, [0.085] * blocks)
    assert line.delay == 0.077 * RATE
    through(line, silence, silence, [0.085] * 6)
    assert line.delay == 0.082 * RATE


def test_of_several_channels_the_first_is_taken() -> None:
    line = ReferenceLine(RATE)
    both = array("h", line.process(pcm([1, -1, 2, -2]), 2, pcm([7, -7, -7, 8, -8, -8]), 3, 0.0))
    assert both.tolist() == [1, 7, 2, 8]
