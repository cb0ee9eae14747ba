"""A person in front of the page: what they do, see and hear."""

from __future__ import annotations

import asyncio
import base64
import io
import re
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from playwright.async_api import Browser, Locator, Page

__all__ = ["IN_A_ROOM", "Sound", "Visitor", "visitor"]

TAPS = Path(__file__).parent / "taps.js"
LIMIT_S = 20
IN_A_ROOM = "taps.room = true"
"""A script for a page where the test speaks: a recording would begin when it likes, before anybody listens."""
WATCH_STATES = """
window.states = [];
window.seen = 0; // those before this were waited for
const note = (state) => { if (state !== states.at(-1)) states.push(state); };
document.addEventListener("readystatechange", () => note(document.body.dataset.state), { once: true });
new MutationObserver((records) => {
    const changes = records.filter(({ target }) => target === document.body);
    for (const { oldValue } of changes.slice(1)) note(oldValue); // several can be shown at once
    if (changes.length) note(document.body.dataset.state);
}).observe(document, { subtree: true, attributeFilter: ["data-state"], attributeOldValue: true });
"""
"""Keeps every state that the page shows: whoever looks a little later would miss one that passes."""
SEES_STATE = """wanted => {
    const lasting = new Set(["idle", "ready", "error", "ended"]);
    const isNow = (state, i) => i === states.length - 1 || !lasting.has(state);
    const holds = (state, i) => i >= seen && wanted.includes(state) && isNow(state, i);
    const at = states.findIndex(holds);
    if (at < 0) return null;
    window.seen = lasting.has(states[at]) ? at : at + 1;
    return states[at];
}"""
WATCH_POLICY = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => violations.push(event.violatedDirective));
"""


@dataclass(frozen=True)
class Sound:
    """What came out of a tap: samples, and the Unix time in seconds at which each was there."""

    rate: int
    samples: NDArray[np.int16]
    times: NDArray[np.float64]

    @property
    def loud(self) -> NDArray[np.intp]:
        """Where there is sound."""
        return np.flatnonzero(np.abs(self.samples.astype(np.int32)) > 100)

    @property
    def pitches(self) -> set[int]:
        """The loudest frequency of each 100 ms full of sound, in steps of 100 Hz."""
        size = self.rate // 10
        found = set()
        for at in range(0, len(self.samples) - size, size):
            piece = self.samples[at : at + size].astype(np.float64)
            if (
                np.square(piece).reshape(10, -1).mean(axis=1).min() > 1000**2
            ):  # all of it, not where it begins or ends
                spectrum = np.abs(np.fft.rfft(piece * np.hanning(size)))
                found.add(round(int(spectrum.argmax()) * self.rate / size / 100) * 100)
        return found


@dataclass
class Visitor:
    """One page, and what the browser complained about."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    # --- what they do ---

    async def press_start(self) -> None:
        """Press the one button."""
        await self.page.click("#main")

    press_stop = press_start

    async def type(self, text: str) -> None:
        """Write a message and send it."""
        await self.page.fill("#text", text)
        await self.page.press("#text", "Enter")

    async def says(self, pcm: bytes, rate: int = 16_000) -> None:
        """Speak, to a page that was opened with ``before=IN_A_ROOM``."""
        with io.BytesIO() as spoken:
            with wave.open(spoken, "wb") as file:
                file.setparams((1, 2, rate, 0, "NONE", ""))
                file.writeframes(pcm)
            await self.page.evaluate("wav => taps.say(wav)", base64.b64encode(spoken.getvalue()).decode())

    # --- what they see ---

    async def sees_state(self, *states: str, timeout_s: float = LIMIT_S) -> str:
        """Wait for one of these states; which it is.

        One that lasts is still there. One that passes was there after the one that was waited for before.
        """
        found = await self.page.wait_for_function(SEES_STATE, arg=states, timeout=timeout_s * 1000)
        return str(await found.json_value())

    async def state(self) -> str:
        return str(await self.page.evaluate("document.body.dataset.state"))

    async def sees(self, selector: str, text: str | re.Pattern[str], timeout_s: float = LIMIT_S) -> None:
        """Wait until a part of the page has this text in it."""
        await self.page.locator(selector, has_text=text).first.wait_for(state="visible", timeout=timeout_s * 1000)

    async def text(self, selector: str) -> str:
        return str(await self.page.evaluate("s => document.querySelector(s).textContent", selector))

    def words(self, who: str) -> Locator:
        """What somebody said."""
        return self.page.locator(f"#transcript .words.{who} p")

    async def log(self) -> str:
        return await self.text("#log")

    # --- what they hear ---

    async def taps(self, what: str) -> Any:
        return await self.page.evaluate(f"taps.{what}")

    async def hears(self, kind: str = "speaker") -> Sound:
        """What was heard since the last time."""
        taken = await self.page.evaluate("kind => taps.take(kind)", kind)
        samples = np.frombuffer(base64.b64decode(taken["pcm"]), "<i2")
        rate = int(taken["rate"]) or 1
        begins = np.array(taken["times"], dtype=np.float64) / 1000
        size = len(samples) // max(1, len(begins))
        times = np.repeat(begins, size)  # when a script has it, or the audio thread has rendered it
        return Sound(rate, samples, times)

    async def hears_nothing(self, seconds: float = 0.5) -> None:
        """Wait for silence; then there is so much of it."""
        async with asyncio.timeout(LIMIT_S):
            # No event tells that there is silence.
            while not len((sound := await self.hears()).samples) or len(sound.loud):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            silent_s = 0.0
            while silent_s < seconds:
                await asyncio.sleep(0.05)
                sound = await self.hears()
                assert not len(sound.loud)
                silent_s += len(sound.samples) / sound.rate


@asynccontextmanager
async def visitor(
    browser: Browser, url: str, *, tapped: bool = True, ours: bool = True, before: str = "", **context: Any
) -> AsyncIterator[Visitor]:
    """Open the page as a person of their own. ``tapped``: and listen in, which the page's policy would not allow.

    ``before`` is a script that runs before those of the page; ``ours`` is False for any other page.
    """
    opened = await browser.new_context(bypass_csp=tapped, **context)
    try:
        page = await opened.new_page()
        await (page.add_init_script(path=TAPS) if tapped else page.add_init_script(WATCH_POLICY))
        await page.add_init_script(WATCH_STATES)
        await page.add_init_script(before)
        person = Visitor(page)
        await page.goto(url)
        if ours:
            await page.locator("#config dt").first.wait_for(state="attached")
        yield person
    finally:
        await opened.close()
