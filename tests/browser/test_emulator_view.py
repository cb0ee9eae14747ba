"""The emulator's live view in a browser: what it shows, plays and hides, by keyboard, on phones, in the dark."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import anyio
import pytest

from voicelive_agent.emulator import Call, EnergyEars, Options, ScriptedBrain, serve
from voicelive_agent.emulator.view import LiveView

from .chromium import hum, silence

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page, Route

pytestmark = pytest.mark.browser

AXE = find_spec("axe_playwright_python")
PHONE: dict[str, Any] = {"viewport": {"width": 375, "height": 720}, "has_touch": True, "is_mobile": True}
PATH = "/voice-live/realtime?api-version=2026-07-15&api-key=sesame&model="
NASTY = "<img src=x onerror=alert(1)>"


class Client:
    """A client of the emulator, with a raw socket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def until(self, kind: str) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while True:
                event: dict[str, Any] = await self.socket.receive_json()
                if event["type"] == kind:
                    return event

    async def send(self, type: str, **fields: Any) -> None:
        await self.socket.send_json({"type": type, **fields})

    async def say(self, text: str) -> None:
        content = [{"type": "input_text", "text": text}]
        await self.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
        await self.send("response.create")

    async def speak(self) -> None:
        pcm = silence(0.4, 24_000) + hum(1.2, 24_000) + silence(0.8, 24_000)
        await self.send("input_audio_buffer.append", audio=base64.b64encode(pcm).decode())


@asynccontextmanager
async def emulator(**settings: Any) -> AsyncIterator[str]:
    view = LiveView()
    brain = ScriptedBrain([("weather", Call("get_weather", {"city": "Rome"})), ("tags", NASTY)])
    settings.setdefault("ears", EnergyEars(["When do you open?"]))
    async with serve(brain=brain, observers=[view], extensions=[view.extend], **settings) as server:
        yield server.url


@asynccontextmanager
async def client(url: str, model: str = "gpt-4.1") -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as http, http.ws_connect(url + PATH + model) as socket:
        connected = Client(socket)
        await connected.until("session.created")
        yield connected


@asynccontextmanager
async def page(browser: Browser, url: str, **settings: Any) -> AsyncIterator[Page]:
    """The page; it may complain about nothing."""
    context = await browser.new_context(**settings)
    complaints: list[str] = []
    try:
        opened = await context.new_page()
        opened.on("console", lambda message: complaints.append(message.text))
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        await opened.goto(url)
        yield opened
        assert complaints == []
    finally:
        await context.close()


async def converse(caller: Client) -> None:
    """A spoken turn, a tool, and an error."""
    await caller.speak()
    await caller.until("response.done")
    await caller.say("What is the weather?")
    call = await caller.until("response.function_call_arguments.done")
    await caller.until("response.done")
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}
    await caller.send("conversation.item.create", item=output)
    await caller.send("response.create")
    await caller.until("response.done")
    await caller.send("response.cancel")
    await caller.until("error")


async def faults(shown: Page) -> list[str]:
    """What axe-core finds serious or worse."""
    assert AXE is not None
    assert AXE.origin is not None
    await shown.evaluate((Path(AXE.origin).with_name("axe.min.js")).read_text(encoding="utf-8"))
    found: dict[str, Any] = await shown.evaluate("axe.run()")
    assert len(found["passes"]) > 10
    return [
        f"{fault['id']}: {fault['help']}: {[node['html'] for node in fault['nodes']]}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
    ]


async def test_a_conversation_appears_as_it_happens(browser: Browser) -> None:
    async with emulator() as url, page(browser, url) as shown:
        await shown.locator("#welcome", has_text=url).wait_for()
        async with client(url) as caller:
            await shown.locator("#model", has_text="1 · gpt-4.1").wait_for()
            await converse(caller)
            for side, text in (
                ("user", "When do you open?"),
                ("agent", "I heard: When do you open?"),
                ("tool", "→ sunny"),
                ("agent", "sunny"),
                ("error", "response_cancel_not_active"),
            ):
                await shown.locator(f"#lines .{side}", has_text=text).first.wait_for()
            assert "open" in str(await shown.text_content("#count"))
            label = str(await shown.get_attribute("#levels", "aria-label"))
            assert "2.4 s of the user's audio" in label
        await shown.locator("#state", has_text="Closed with 1000").wait_for()
        assert await shown.locator("#sessions button").get_attribute("data-state") == "closed"


async def test_events_are_filtered_and_opened(browser: Browser) -> None:
    async with emulator() as url, client(url) as caller, page(browser, url) as shown:
        await converse(caller)
        rows = shown.locator("#events li")
        await shown.locator("#events .type", has_text="error").wait_for()
        assert await rows.filter(has_text="input_audio_buffer.append", visible=True).count() == 0
        await shown.check("#with-audio")
        await rows.filter(has_text="input_audio_buffer.append").locator("summary").click()
        await shown.locator("#events pre", has_text="characters)").wait_for()
        assert not await shown.is_checked("#follow")
        await shown.uncheck("#from-server")
        await shown.fill("#filter", "RESPONSE.")
        visible = rows.filter(visible=True)
        assert await visible.locator(".type").all_text_contents() == ["response.create"] * 2 + ["response.cancel"]
        assert str(await shown.text_content("#shown")).startswith("3 of ")


async def test_what_was_said_is_played(browser: Browser) -> None:
    async with emulator() as url, client(url) as caller, page(browser, url) as shown:
        await converse(caller)
        audio = "document.getElementById('audio')"
        await shown.evaluate(f"{audio}.loop = true")  # it does not end before it was stopped
        await shown.locator("#lines .user button").first.click()
        await shown.wait_for_function(f"() => {audio}.currentTime > 0.2")
        assert 1.5 < await shown.evaluate(f"{audio}.duration") < 2.4
        await shown.locator("#lines .user button", has_text="Stop").click()
        assert await shown.evaluate(f"{audio}.paused")
        await shown.click("#play-all")
        await shown.wait_for_function(f"() => {audio}.currentTime > 0.2")
        await shown.wait_for_function(f"() => {audio}.duration > 2.3")
        async with shown.expect_download() as started:
            await shown.click("#download")
        assert (await started.value).suggested_filename == "session-1.wav"


async def test_the_newest_session_is_shown_until_one_is_chosen(browser: Browser) -> None:
    async with emulator() as url, page(browser, url) as shown, client(url) as first:
        await first.say("Hello")
        await shown.locator("#model", has_text="1 ·").wait_for()
        async with client(url, "gpt-realtime"):
            await shown.locator("#model", has_text="2 · gpt-realtime").wait_for()
            await shown.locator("#sessions button").nth(1).click()
            await shown.locator("#lines .user", has_text="Hello").wait_for()
            async with client(url):
                await shown.locator("#sessions button").nth(2).wait_for()
                assert str(await shown.text_content("#model")).startswith("1 ·")


async def test_nothing_of_another_session_stands_under_the_one_that_is_chosen(browser: Browser) -> None:
    come = anyio.Event()
    async with emulator() as url, page(browser, url) as shown, client(url) as first:

        async def late(route: Route) -> None:
            await come.wait()
            await route.continue_()

        await first.say("Hello")
        await shown.locator("#model", has_text="1 ·").wait_for()
        async with client(url, "gpt-realtime") as second:
            await second.say("Good evening")
            await shown.locator("#lines .user", has_text="Good evening").wait_for()
            await shown.route("**/view/stream?session=1", late)
            await shown.locator("#sessions button").nth(1).click()
            await shown.locator("#model", has_text="1 ·").wait_for()
            assert await shown.locator("#lines li, #events li").count() == 0
            come.set()
            await shown.locator("#lines .user", has_text="Hello").wait_for()


async def test_it_finds_the_emulator_again(browser: Browser) -> None:
    context = await browser.new_context()
    try:
        shown = await context.new_page()
        async with emulator() as url, client(url):
            await shown.goto(url)
            await shown.locator("#model", has_text="1 ·").wait_for()
        await shown.locator("#lost").wait_for()
        async with emulator(port=int(url.rpartition(":")[2])):
            await shown.locator("#welcome").wait_for(timeout=20_000)
            assert not await shown.is_visible("#lost")
    finally:
        await context.close()


async def test_what_is_said_is_text_and_never_a_page(browser: Browser) -> None:
    async with emulator() as url, page(browser, url) as shown, client(url, NASTY) as caller:
        await caller.say(f"tags {NASTY}")
        await shown.locator("#lines .agent", has_text=NASTY).wait_for()
        assert await shown.locator("main img").count() == 0


@pytest.mark.skipif(AXE is None, reason="not installed: axe-playwright-python")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", [{}, PHONE], ids=["desk", "phone"])
async def test_no_serious_fault(browser: Browser, scheme: str, screen: dict[str, Any]) -> None:
    async with emulator(options=Options(realtime_factor=20)) as url:
        async with page(browser, url, color_scheme=scheme, **screen) as shown:
            await shown.locator("#welcome").wait_for()
            assert await faults(shown) == []
            async with client(url) as caller:
                await converse(caller)
                await shown.locator("#lines .error").wait_for()
                await shown.locator("#events summary").first.click()
                await shown.locator("#events pre", has_text="session").first.wait_for()
                assert await faults(shown) == []
                assert await shown.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_everything_can_be_reached_by_keyboard(browser: Browser) -> None:
    async with emulator() as url, client(url) as caller, page(browser, url) as shown:
        await converse(caller)
        await shown.locator("#lines .error").wait_for()
        reached: list[str] = []
        for _ in range(40):
            await shown.keyboard.press("Tab")
            focused = await shown.evaluate(
                "[document.activeElement.id || document.activeElement.tagName,"
                " getComputedStyle(document.activeElement).outlineStyle]"
            )
            if focused[0] not in ("BODY", "audio"):
                assert focused[1] != "none", focused
            reached.append(focused[0])
            if focused[0] == "SUMMARY":
                break
        await shown.keyboard.press("Enter")
        await shown.locator("#events pre:visible", has_text="type").first.wait_for()
        order = [
            name
            for name in reached
            if name in ("theme", "play-all", "audio", "download", "lines", "filter", "events")
        ]
        assert list(dict.fromkeys(order)) == [
            "theme",
            "play-all",
            "audio",
            "download",
            "lines",
            "filter",
            "events",
        ]


async def test_the_theme_is_chosen_and_remembered(browser: Browser) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    async with emulator() as url, page(browser, url, color_scheme="dark") as shown:
        dark = await shown.evaluate(ground)
        await shown.click("#theme")
        light = await shown.evaluate(ground)
        assert light != dark
        await shown.reload()
        await shown.locator("#theme", has_text="light").wait_for()
        assert await shown.evaluate(ground) == light
