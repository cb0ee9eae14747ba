"""Debian's Chromium, driven by Playwright, with a recording for a microphone."""

from __future__ import annotations

import importlib.util
import math
import os
import shutil
import wave
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.async_api import Browser

__all__ = ["FAKE_PERMISSION", "chromium", "hum", "missing", "recording", "silence"]

FAKE_PERMISSION = "--use-fake-ui-for-media-stream"
NAMES = ("chromium", "chromium-browser", "google-chrome")


def executable() -> str | None:
    """The browser: what CHROMIUM says, or the one that is installed."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


def missing() -> str:
    """What these tests need and is not installed; "" if nothing."""
    lacking = [] if importlib.util.find_spec("playwright") else ["playwright"]
    return " and ".join([*lacking, *([] if executable() else ["Chromium"])])


@asynccontextmanager
async def chromium(microphone: Path | None = None, *flags: str, permission: bool = True) -> AsyncIterator[Browser]:
    """A browser whose microphone plays this WAV file once; None: it has no microphone."""
    from playwright.async_api import async_playwright

    arguments = ["--no-sandbox", *flags]
    if permission:
        arguments.append(FAKE_PERMISSION)
    if microphone is not None:
        arguments += [
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-audio-capture={microphone}%noloop",
        ]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable(), args=arguments)
        try:
            yield browser
        finally:
            await browser.close()


def recording(path: Path, pcm: bytes, rate: int = 16_000) -> Path:
    """A WAV file of these samples."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm)
    return path


def silence(seconds: float, rate: int = 16_000) -> bytes:
    """Nothing to hear."""
    return bytes(round(seconds * rate) * 2)


def hum(seconds: float, rate: int = 16_000) -> bytes:
    """Speech, to ears that hear loudness: a tone that swells, which noise suppression takes for a voice."""
    samples = range(round(rate * seconds))
    swell = (9000 * (0.55 + 0.45 * math.sin(2 * math.pi * 4 * i / rate)) for i in samples)
    return array("h", (round(loud * math.sin(i / 8)) for i, loud in zip(samples, swell, strict=True))).tobytes()
