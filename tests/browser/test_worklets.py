"""The two audio worklets, sample by sample: in the browser, but not in real time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from .site import site
from .visitor import visitor

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.alone]

QUANTUM = 128
RATES = pytest.mark.parametrize("rate", [24_000, 48_000])

ANSWERING = """
    const spy = `const register = registerProcessor;
    globalThis.registerProcessor = (name, Processor) => register(name, class extends Processor {
        constructor(...options) {
            super(...options);
            const { onmessage } = this.port;
            this.port.onmessage = (event) => {
                onmessage.call(this.port, event);
                this.port.postMessage("taken");
            };
        }
    });`;
    const answering = URL.createObjectURL(new Blob([spy], { type: "text/javascript" }));
    let told = 0, answered = () => {};
    const tell = (port, message, transfer = []) => { told += 1; port.postMessage(message, transfer); };
    const hears = (port, work) => (port.onmessage = ({ data }) => {
        if (data === "taken") { told -= 1; answered(); } else work(data);
    });
    const settle = () => new Promise((resolve) => (answered = () => told || resolve())());
"""
"""Says when the audio thread has taken a message: then all that it said before has come, too."""

PLAY = """async ({ rate, seconds, steps }) => {
    ANSWERING
    const context = new OfflineAudioContext(1, rate * seconds, rate);
    await context.audioWorklet.addModule(answering);
    await context.audioWorklet.addModule("static/playback-worklet.js");
    const player = new AudioWorkletNode(context, "playback", { channelCount: 1, outputChannelCount: [1] });
    const reports = [];
    hears(player.port, (data) => reports.push(data));
    player.connect(context.destination);
    for (const { at, messages } of steps) {
        const post = () => { for (const { tone, flush } of messages) {
            if (tone !== undefined) {
                const pcm = Int16Array.from({ length: tone }, (_, i) => 8000 * Math.cos(i / 7)).buffer;
                tell(player.port, { pcm }, [pcm]);
            } else tell(player.port, { flush });
        } };
        if (at === 0) { post(); await settle(); }
        else context.suspend(at / rate).then(post).then(settle).then(() => context.resume());
    }
    const output = await context.startRendering();
    tell(player.port, {});
    await settle();
    return { reports, samples: [...output.getChannelData(0)] };
}""".replace("ANSWERING", ANSWERING)

RECORD = """async ({ rate, seconds }) => {
    ANSWERING
    const context = new OfflineAudioContext(1, rate * seconds, rate);
    await context.audioWorklet.addModule(answering);
    await context.audioWorklet.addModule("static/capture-worklet.js");
    const source = new OscillatorNode(context, { frequency: 440 });
    const recorder = new AudioWorkletNode(context, "capture", { channelCount: 1, outputChannelCount: [1] });
    const blocks = [];
    hears(recorder.port, (data) => blocks.push([...new Int16Array(data.pcm)]));
    source.connect(recorder).connect(context.destination);
    source.start();
    const half = context.suspend(seconds / 2);
    half.then(() => tell(recorder.port, { open: false })).then(settle).then(() => context.resume());
    const output = await context.startRendering();
    tell(recorder.port, {});
    await settle();
    return { blocks, echo: Math.max(...output.getChannelData(0)) };
}""".replace("ANSWERING", ANSWERING)


async def play(browser: Browser, rate: int, *steps: tuple[int, list[dict[str, int]]]) -> Any:
    """What two seconds sound like, and what the worklet says; ``steps`` are samples and messages."""
    async with site() as here, visitor(browser, here.url) as anna:  # its policy has no scripts of ours
        told = [{"at": at, "messages": messages} for at, messages in steps]
        return await anna.page.evaluate(PLAY, {"rate": rate, "seconds": 2, "steps": told})


def tone(samples: int) -> NDArray[np.float64]:
    wave: NDArray[np.float64] = np.trunc(8000 * np.cos(np.arange(samples) / 7)) / 32768
    return wave


@RATES
async def test_what_is_played_is_what_came_and_all_of_it_is_counted(browser: Browser, rate: int) -> None:
    samples = rate + 77
    result = await play(browser, rate, (0, [{"tone": 480}, {"tone": samples - 480}]))
    expected = np.concatenate([tone(480), tone(samples - 480)])
    assert np.allclose(result["samples"][:samples], expected, atol=1e-6)
    assert np.abs(result["samples"][samples + rate // 100 :]).max() == 0
    counts = [report["played"] for report in result["reports"]]
    assert counts[-1] == samples
    assert counts == sorted(set(counts))
    assert max(np.diff(counts, prepend=0)) <= rate * 0.05 + QUANTUM  # a report every 50 ms


@RATES
async def test_a_flush_is_silence_within_one_quantum(browser: Browser, rate: int) -> None:
    at = 100 * QUANTUM
    result = await play(browser, rate, (0, [{"tone": rate}]), (at, [{"flush": 1}]))
    samples, expected = np.array(result["samples"]), tone(rate)
    assert np.allclose(samples[:at], expected[:at], atol=1e-6)
    assert np.abs(samples[at + QUANTUM :]).max() == 0
    fading = np.abs(samples[at : at + QUANTUM])
    assert fading.max() > 0  # it fades
    assert (fading <= np.abs(expected[at : at + QUANTUM]) + 1e-6).all()
    assert np.abs(np.diff(samples[at - 1 : at + QUANTUM])).max() < 2 * np.abs(np.diff(expected)).max()  # no click
    assert all(report["flush"] == 0 and report["played"] <= at for report in result["reports"])


async def test_what_comes_after_a_flush_counts_from_nothing(browser: Browser) -> None:
    at = 100 * QUANTUM
    result = await play(browser, 24_000, (0, [{"tone": 24_000}]), (at, [{"flush": 7}, {"tone": 4_800}]))
    later = [report for report in result["reports"] if report["flush"] == 7]
    assert later[-1]["played"] == 4_800
    fade = 72  # 3 ms
    assert np.allclose(result["samples"][at + fade : at + 4_800], tone(4_800)[fade:], atol=1e-6)


async def test_a_buffer_that_runs_dry_does_not_click(browser: Browser) -> None:
    result = await play(browser, 24_000, (0, [{"tone": 22_000 // 44 * 44}]))
    samples = np.array(result["samples"])
    steps = np.abs(np.diff(samples))
    assert steps[22_000 - 200 : 22_000 + 400].max() < 0.06  # a quarter of the amplitude
    assert not samples[22_000 + 400 :].any()


async def test_more_than_the_buffer_holds_is_kept(browser: Browser) -> None:
    steps = (0, [{"tone": 24_000}] * 3), (QUANTUM * 100, [{"tone": 24_000}] * 3)
    result = await play(browser, 24_000, *steps)
    assert np.allclose(result["samples"], np.tile(tone(24_000), 2), atol=1e-6)


@RATES
async def test_the_microphone_is_blocks_of_20_ms_and_silent_ones_when_closed(browser: Browser, rate: int) -> None:
    async with site() as here, visitor(browser, here.url) as anna:
        result = await anna.page.evaluate(RECORD, {"rate": rate, "seconds": 2})
    blocks = result["blocks"]
    assert {len(block) for block in blocks} == {rate // 50}
    assert len(blocks) == 100  # 1.0 seconds of audio per second
    assert max(map(max, blocks[:50])) > 30_000
    assert not any(map(any, blocks[51:]))
    assert result["echo"] == 0  # nobody hears the own voice
