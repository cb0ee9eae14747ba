"""What goes wrong, and what the page says about it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

import anyio
import anyio.to_thread
import pytest

from voicelive_agent import VoiceAgent
from voicelive_agent.emulator import serve
from voicelive_agent.web import WebLimits
from voicelive_agent.web._guard import Guard

from ..faultserver import closed_port
from .chromium import chromium, recording, silence
from .site import site, until
from .visitor import Visitor, visitor

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.async_api import Browser, Route

pytestmark = [pytest.mark.browser, pytest.mark.alone]


class Server:
    """A server that is a process; it is called to wait for its URL."""

    def __init__(self, port: int, endpoint: str) -> None:
        command = [sys.executable, str(Path(__file__).parent / "server.py"), str(port), endpoint]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def __call__(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """End it without a word."""
        with self._process:
            self._process.kill()

    def terminate(self) -> None:
        """Have it end as it should; it gives its visitors half a second."""
        self._process.terminate()


TYPED_BY_NOBODY = """
window.addEventListener("load", () => {
    document.getElementById("text").value = "Hello";
    document.getElementById("typing").dispatchEvent(new Event("submit", { cancelable: true }));
});
"""
"""A call that begins without a click: what a test evaluates later on counts as one."""


async def sees_problem(person: Visitor, title: str | re.Pattern[str], text: str = "") -> None:
    """The page says this, and could be started again."""
    await person.sees("#problem-title", title)
    await person.sees("#problem-text", text)
    assert await person.state() == "error"
    await person.sees("#main", "Start")


# --- the page itself ---


async def test_nothing_can_be_pressed_before_the_page_would_hear_it(browser: Browser) -> None:
    come = anyio.Event()
    async with site() as here:
        page = await browser.new_page()

        async def late(route: Route) -> None:
            await come.wait()
            await route.continue_()

        await page.route("**/static/problems.js", late)
        await page.goto(here.url, wait_until="commit")
        assert await page.is_disabled("#main")
        assert await page.is_disabled("#send")
        come.set()
        await page.locator("#main:enabled").wait_for()
        await page.locator("#send:enabled").wait_for()
        await page.close()


async def test_the_problem_comes_with_the_state_that_it_comes_with(browser: Browser) -> None:
    unseen = "window.requestAnimationFrame = () => 0;"  # what is shown waits as long as it ever does
    async with site() as here, visitor(browser, here.url, before=unseen) as anna:
        await here.app.drain()
        await anna.press_start()
        await sees_problem(anna, "No new calls just now")


# --- the microphone and the loudspeaker ---


async def test_no_permission(tmp_path: Path) -> None:
    quiet = recording(tmp_path / "quiet.wav", silence(1))
    async with chromium(quiet, "--deny-permission-prompts", permission=False) as browser:
        async with site() as here, visitor(browser, here.url) as anna:
            await anna.press_start()
            await sees_problem(anna, "The microphone is blocked", "Allow it")
            assert not here.app.sessions
            await anna.type("Hello")  # which needs none
            await anna.sees("#transcript .words.agent", "I heard: Hello")


async def test_no_microphone() -> None:
    async with chromium() as browser, site() as here, visitor(browser, here.url) as anna:
        await anna.press_start()
        await sees_problem(anna, "No microphone was found", "Connect one")
        await anna.type("Hello")
        await anna.sees("#transcript .words.agent", "I heard: Hello")


ASKS_FOR_EVER = """
navigator.mediaDevices.getUserMedia = () =>
    new Promise((_, reject) => (window.refuse = () => reject(new DOMException("", "NotAllowedError"))));
"""


async def test_what_the_server_refuses_is_said_while_the_browser_asks(browser: Browser) -> None:
    async with site() as here, visitor(browser, here.url, before=ASKS_FOR_EVER) as anna:
        await here.app.drain()
        await anna.press_start()
        await sees_problem(anna, "No new calls just now")


async def test_what_the_browser_refuses_after_stop_is_nobody_s_problem(browser: Browser) -> None:
    async with site() as here, visitor(browser, here.url, before=ASKS_FOR_EVER) as anna:
        await anna.press_start()
        await anna.page.wait_for_function("'refuse' in window")
        await anna.sees_state("starting")
        await anna.press_stop()
        await anna.sees_state("ended")
        await anna.page.evaluate("refuse(); new Promise((resolve) => setTimeout(resolve))")
        assert "blocked" not in await anna.log()
        assert await anna.page.locator("#problem").is_hidden()


async def late_for_the_microphone(anna: Visitor) -> anyio.Event:
    """Press Start, and have the microphone open before the server's answer, which comes when this is set."""
    come = anyio.Event()

    async def late(route: Route) -> None:
        await come.wait()
        await route.continue_()

    await anna.page.route("**/start", late)
    await anna.press_start()
    await anna.page.wait_for_function("taps.live() === 1")
    return come


async def test_stop_before_the_server_has_answered_closes_the_microphone(browser: Browser) -> None:
    async with site() as here, visitor(browser, here.url) as anna:
        come = await late_for_the_microphone(anna)
        await anna.press_stop()
        await anna.sees_state("ended")
        come.set()
        await anna.page.wait_for_function("taps.live() === 0")


async def test_a_late_refusal_closes_the_microphone(browser: Browser) -> None:
    async with site() as here, visitor(browser, here.url) as anna:
        await here.app.drain()
        come = await late_for_the_microphone(anna)
        come.set()
        await sees_problem(anna, "No new calls just now")
        await anna.page.wait_for_function("taps.live() === 0")


async def test_an_insecure_origin() -> None:
    async with chromium(None, "--host-resolver-rules=MAP library.test 127.0.0.1") as browser:
        async with site() as here, visitor(browser, here.url.replace("localhost", "library.test")) as anna:
            await anna.press_start()
            await sees_problem(anna, "This address is not secure", "https or from localhost")


async def test_blocked_autoplay() -> None:
    policy = "--autoplay-policy=document-user-activation-required"
    async with chromium(None, policy) as browser, site(greetings=("Good morning!",)) as here:
        async with visitor(browser, here.url, before=TYPED_BY_NOBODY) as anna:
            await anna.sees("#sound", "The browser keeps this page silent")
            assert not len((await anna.hears()).loud)
            await anna.page.click("#sound-on")
            await anna.page.locator("#sound").wait_for(state="hidden")
            await anna.sees_state("ready", timeout_s=20)
            assert len((await anna.hears()).loud)


async def test_the_microphone_is_taken_away(browser: Browser) -> None:
    async with site() as here, visitor(browser, here.url) as anna:
        await anna.press_start()
        await anna.sees_state("ready")
        await anna.page.evaluate("taps.track().dispatchEvent(new Event('ended'))")
        await anna.sees("#problem-title", "The microphone is gone")
        await anna.type("Hello")
        await anna.sees("#transcript .words.agent", "I heard: Hello")


# --- the server ---


@pytest.mark.parametrize(
    ("limits", "title", "text"),
    [
        (WebLimits(sessions=1), "The server is full", "All 1 places are taken"),
        (WebLimits(sessions_per_address=1), "Too many calls", "From your address there are 1 calls"),
    ],
    ids=["server", "address"],
)
async def test_no_place(browser: Browser, limits: WebLimits, title: str, text: str) -> None:
    async with site(limits=limits) as here, visitor(browser, here.url) as anna, visitor(browser, here.url) as ben:
        await anna.press_start()
        await anna.sees_state("ready")
        await ben.press_start()
        await sees_problem(ben, title, text)
        await anna.press_stop()
        await anna.sees_state("ended")
        await until(lambda: not here.app.sessions)
        await ben.press_start()
        await ben.sees_state("ready")
        assert await ben.page.locator("#problem").is_hidden()


async def test_a_server_that_is_about_to_go(browser: Browser) -> None:
    async with site() as here, visitor(browser, here.url) as anna:
        await here.app.drain()
        await anna.press_start()
        await sees_problem(anna, "No new calls just now", "being restarted")


async def test_a_server_that_does_not_know_this_page(browser: Browser) -> None:
    async with site() as here, visitor(browser, here.url) as anna:
        here.app.guard = Guard.of(hosts=["library.example"])
        await anna.press_start()
        await sees_problem(anna, "The server refused this page", "may not talk to this server")


async def test_a_ticket_that_is_not_good(browser: Browser) -> None:
    async with site() as here, visitor(browser, here.url) as anna:
        await anna.page.route("**/start", lambda route: route.fulfill(json={"ticket": "forged"}))
        await anna.press_start()
        await sees_problem(anna, "The server refused this call", "The ticket is unknown")


async def test_no_server(browser: Browser) -> None:
    async with site() as here:
        async with visitor(browser, here.url) as anna:
            await anna.page.context.set_offline(True)
            await anna.press_start()
            await sees_problem(anna, "The server cannot be reached", "Check your connection")
            assert await anna.taps("live()") == 0


@pytest.mark.parametrize("end", [Server.kill, Server.terminate], ids=["killed", "drained"])
async def test_a_server_that_is_restarted(browser: Browser, end: Callable[[Server], None]) -> None:
    port = closed_port()
    async with serve() as emulator:
        with Server(port, emulator.url) as first:
            url = await anyio.to_thread.run_sync(first)
            async with visitor(browser, url) as anna:
                await anna.press_start()
                await anna.sees_state("ready")
                end(first)
                await anna.sees_state("reconnecting")
                assert await anna.page.locator("#problem").is_hidden()
                with Server(port, emulator.url) as second:
                    await anyio.to_thread.run_sync(second)
                    await anna.sees_state("speaking", timeout_s=15)
                    await anna.sees("#transcript", "a new session begins")
                    await anna.sees_state("ready")
                    assert await anna.taps("captures") == 1  # the microphone was never let go
                    assert len((await anna.hears()).loud)


async def test_a_network_that_goes_and_comes_back(browser: Browser) -> None:
    async with site(greetings=("One.", "Two.")) as here, visitor(browser, here.url) as anna:
        await anna.press_start()
        await anna.sees_state("ready")
        await anna.page.evaluate("taps.sockets.at(-1).dispatchEvent(new CloseEvent('close', {code: 1006}))")
        await anna.sees_state("reconnecting")
        await anna.sees("#transcript .words.agent", "Two.", timeout_s=15)
        await anna.sees_state("ready")
        await anna.press_stop()
        await anna.sees_state("ended")


async def test_stop_while_it_reconnects(browser: Browser) -> None:
    async with site() as here, visitor(browser, here.url) as anna:
        await anna.press_start()
        await anna.sees_state("ready")
        await anna.page.context.set_offline(True)
        await anna.page.evaluate("taps.sockets.at(-1).dispatchEvent(new CloseEvent('close', {code: 1006}))")
        await anna.sees_state("reconnecting")
        await anna.press_stop()
        await anna.sees_state("ended")
        await anna.page.context.set_offline(False)
        await anna.page.wait_for_timeout(1500)
        assert await anna.state() == "ended"
        assert await anna.taps("live()") == 0


# --- the service ---


async def test_a_service_that_is_down(browser: Browser) -> None:
    async with site() as here, visitor(browser, here.url) as anna:
        make, here.app._make = here.app._make, lambda: VoiceAgent(f"http://127.0.0.1:{closed_port()}", "key")
        await anna.press_start()
        await sees_problem(anna, re.compile("The agent failed|The voice service cannot be reached"))
        here.app._make = make
        await anna.press_start()
        await anna.sees_state("ready")


async def test_a_service_that_says_goodbye(browser: Browser) -> None:
    async with site() as here, visitor(browser, here.url) as anna:
        await anna.press_start()
        await anna.sees_state("ready")
        await here.emulator.close()
        await anna.sees_state("ended")
        await anna.sees("#state-text", "The voice service ended the session")
        await anna.sees("#main", "Start")
        assert await anna.taps("live()") == 0


async def test_an_agent_that_cannot_be_made(browser: Browser) -> None:
    def broken() -> object:
        raise RuntimeError("a secret")

    async with site() as here, visitor(browser, here.url) as anna:
        here.app._make = broken  # type: ignore[assignment]
        await anna.press_start()
        await sees_problem(anna, "Something failed on the server", "The agent could not be made")
        assert "a secret" not in await anna.page.content()


async def test_an_agent_that_says_goodbye(browser: Browser) -> None:
    async with site() as here, visitor(browser, here.url) as anna:
        await anna.press_start()
        await anna.sees_state("ready")
        here.agents[-1].stop()
        await anna.sees_state("ended")
        await anna.sees("#state-text", "The agent ended the session")
        assert await anna.page.locator("#problem").is_hidden()
        await anna.press_start()
        await anna.sees_state("ready")
