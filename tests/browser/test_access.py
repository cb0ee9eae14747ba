"""The page for everybody: keyboard, screen readers, themes, small screens, holding to talk."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import numpy as np
import pytest

from voicelive_agent.emulator import Call

from .axe import faults, needs_axe
from .chromium import chromium, hum, recording
from .site import Service, site, until
from .visitor import visitor

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = pytest.mark.browser

PHONE: dict[str, Any] = {"viewport": {"width": 375, "height": 720}, "has_touch": True, "is_mobile": True}


# --- what axe finds ---


@needs_axe
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", [{}, PHONE], ids=["desk", "phone"])
async def test_no_serious_fault(browser: Browser, scheme: str, screen: dict[str, Any]) -> None:
    rules = ("sunday", Call("opening_hours", {"day": "never"})), ("story", "A long story. " * 100)
    async with site(*rules, greetings=("Good morning!",)) as here:
        # axe reads the page's colours: not while they fade from one state to the next.
        async with visitor(browser, here.url, color_scheme=scheme, reduced_motion="reduce", **screen) as anna:
            assert await faults(anna.page) == []
            await anna.page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
            await anna.page.check("#hold-mode")
            await anna.press_start()
            await anna.sees_state("ready")
            await anna.type("Sunday?")
            await anna.sees("#transcript .tool.failed", "failed")
            await anna.sees_state("ready")
            assert await faults(anna.page) == []
            await anna.type("Tell me a story")
            await anna.sees_state("speaking")
            assert await faults(anna.page) == []
            await anna.page.wait_for_timeout(500)
            await anna.page.keyboard.press("Escape")
            await anna.page.locator("#transcript s").wait_for()
            await anna.press_stop()
            await anna.sees_state("ended")
            await here.app.drain()
            await anna.press_start()
            await anna.sees("#problem-text", "restarted")
            assert await faults(anna.page) == []


async def test_a_phone_shows_all_of_it_without_scrolling_sideways(browser: Browser) -> None:
    async with site(greetings=("Good morning!",)) as here, visitor(browser, here.url, **PHONE) as anna:
        await anna.press_start()
        await anna.sees_state("ready")
        await anna.type("word" * 100)
        await anna.sees("#transcript .words.user", "wordword")
        assert await anna.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_the_theme_is_chosen_and_remembered(browser: Browser) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    async with site() as here, visitor(browser, here.url, color_scheme="dark") as anna:
        dark = await anna.page.evaluate(ground)
        await anna.page.click("#theme")
        light = await anna.page.evaluate(ground)
        assert light != dark
        await anna.page.reload()
        await anna.sees("#theme", "Light")
        assert await anna.page.evaluate(ground) == light


# --- keyboard ---


async def test_everything_can_be_reached_by_keyboard_and_the_focus_is_seen(browser: Browser) -> None:
    async with site() as here, visitor(browser, here.url) as anna:
        reached = []
        for _ in range(12):
            await anna.page.keyboard.press("Tab")
            reached.append(
                await anna.page.evaluate(
                    "[document.activeElement.id || document.activeElement.textContent.trim().split(' ')[0],"
                    " getComputedStyle(document.activeElement).outlineStyle]"
                )
            )
        names = [name for name, _ in reached]
        wanted = ["theme", "main", "hold-mode", "transcript", "text", "Latency", "Configuration", "Log"]
        assert [name for name in names if name in wanted][: len(wanted)] == wanted
        assert all(outline == "solid" for name, outline in reached if name != "BODY" and name in wanted)


async def test_what_is_said_is_read_out_once_it_is_final(browser: Browser) -> None:
    async with site(greetings=("Good morning!",)) as here, visitor(browser, here.url) as anna:
        assert await anna.page.get_attribute("#state-box", "aria-live") == "polite"
        await anna.press_start()
        await anna.sees_state("ready")
        assert await anna.page.locator("#spoken p").all_text_contents() == ["Agent: Good morning!"]


# --- holding to talk ---


def heard_by(service: Service) -> np.ndarray:
    """What came from the microphone, 24 kHz, since the last time."""
    messages = [json.loads(text) for text in service.received]
    service.received.clear()
    parts = [base64.b64decode(each["audio"]) for each in messages if each["type"].endswith(".append")]
    return np.abs(np.frombuffer(b"".join(parts), "<i2").astype(np.int32))


async def hears_only_silence(service: Service) -> None:
    """So it is from here on, for 0.3 s of sound."""
    samples = 0
    heard_by(service)
    while samples < 24_000 * 0.3:
        await anyio.sleep(0.05)
        heard = heard_by(service)
        assert not heard.any()
        samples += len(heard)


async def test_only_what_is_said_while_holding_is_heard(tmp_path: Path) -> None:
    wave = recording(tmp_path / "hum.wav", hum(30) * 10)  # it hums as long as the test lasts
    async with chromium(wave) as speaking, site(says=("Hello.",)) as here, visitor(speaking, here.url) as anna:
        await anna.page.check("#hold-mode")
        await anna.press_start()
        await anna.sees_state("ready")
        await hears_only_silence(here.services[0])  # it is sent, not nothing
        await anna.page.keyboard.down("Space")  # the focus is on Stop, which is not pressed by it
        assert await anna.page.get_attribute("#hold", "aria-pressed") == "true"
        await anna.sees_state("listening")
        await until(lambda: heard_by(here.services[0]).max(initial=0) > 1000)
        await anna.page.keyboard.up("Space")
        await until(lambda: len(heard := heard_by(here.services[0])) and not heard.any())
        await hears_only_silence(here.services[0])
        await anna.sees("#transcript .words.user", "Hello.")
        await anna.page.locator("#hold").dispatch_event("pointercancel")
        await anna.page.hover("#hold")
        await anna.page.mouse.down()
        await anna.sees_state("listening")
        await anna.page.mouse.up()
        await anna.page.uncheck("#hold-mode")
        heard_by(here.services[0])
        await until(lambda: heard_by(here.services[0]).max(initial=0) > 1000)


async def test_a_space_in_a_message_is_a_space(browser: Browser) -> None:
    async with site() as here, visitor(browser, here.url) as anna:
        await anna.page.check("#hold-mode")
        await anna.press_start()
        await anna.sees_state("ready")
        await anna.page.focus("#text")
        await anna.page.keyboard.type("a b")
        assert await anna.page.input_value("#text") == "a b"
        assert await anna.page.get_attribute("#hold", "aria-pressed") == "false"
