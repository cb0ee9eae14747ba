"""The page of the Flask example in a browser: somebody talks to it, interrupts, and leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from voicelive_agent.emulator import ScriptedBrain, Server, serve

from ..agent_driver import LONG, eventually
from ..browser.axe import faults, needs_axe
from ..browser.chromium import chromium, hum, missing, recording, silence

pytest.importorskip("flask", reason="flask is not installed")
pytest.importorskip("wsproto", reason="wsproto is not installed")

from .lab_app import App, running

if TYPE_CHECKING:
    from playwright.async_api import Page, Route

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(90),
    pytest.mark.skipif(bool(missing()), reason=f"not installed: {missing()}"),
]

LISTEN = """
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (to, ...more) {
  if (to instanceof AudioDestinationNode) {
    const meter = new AnalyserNode(to.context);
    const heard = new Float32Array(meter.fftSize);
    connect.call(this, meter);
    setInterval(() => {
      meter.getFloatTimeDomainData(heard);
      window.loudness = Math.max(...heard);
    }, 10);
  }
  return connect.call(this, to, ...more);
};
"""


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    """Wait for what a browser does not tell: until this holds."""
    with anyio.fail_after(seconds):
        while not await holds():  # noqa: ASYNC110
            await anyio.sleep(0.01)


class Visit:
    """Somebody on the page, and what the browser complained about."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self._note("error", str(error)))

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)

    async def sees(self, state: str, message: str = "") -> None:
        async def shown() -> bool:
            now = await self.page.inner_text("#state"), await self.page.inner_text("#message")
            return now[0] == state and message in now[1]

        await until(shown)

    async def hears(self, *, sound: bool, seconds: float) -> None:
        async def heard() -> bool:
            return bool(await self.page.evaluate("(window.loudness ?? 0) > 0.03")) is sound

        await until(heard, seconds)

    async def log(self) -> str:
        return await self.page.inner_text("#log")


@asynccontextmanager
async def visit(app: App, microphone: Path | None, *, permission: bool = True) -> AsyncIterator[Visit]:
    flags = ["--autoplay-policy=no-user-gesture-required"]
    async with chromium(microphone, *flags, permission=permission) as browser:
        page = await browser.new_page(bypass_csp=True)
        await page.add_init_script(LISTEN)
        somebody = Visit(page)
        await page.goto(app.url)
        await somebody.sees("idle", "Select 'Start Session'")
        yield somebody


@pytest.fixture
async def service() -> AsyncIterator[Server]:
    async with serve(brain=ScriptedBrain([(".", LONG)])) as server:
        yield server


async def test_a_conversation(service: Server, tmp_path: Path) -> None:
    said = silence(2) + hum(1) + silence(4) + hum(1) + silence(60)
    microphone = recording(tmp_path / "person.wav", said)
    async with running(service.url) as app, visit(app, microphone) as anna:
        await anna.page.click("#start")
        await anna.sees("ready", "Session ready")
        await anna.sees("assistant_speaking")
        await anna.hears(sound=True, seconds=5)
        await anna.sees("listening")
        await anna.hears(sound=False, seconds=1)
        await anna.sees("assistant_speaking")
        await anna.page.click("#interrupt")
        await anna.sees("ready", "Assistant finished")
        assert "Assistant interrupted after about" in await anna.log()
        assert "You: Hello." in await anna.log()
        assert await anna.page.is_disabled("#start")

        await anna.page.click("#stop")
        await eventually(lambda: service.connections == 0)
        await anna.sees("stopped", "Session ended.")
        await anna.page.click("#start")
        await anna.sees("ready")
        await anna.page.close()
        await eventually(lambda: service.connections == 0)
        assert anna.complaints == []


@needs_axe
async def test_no_serious_fault_of_access(service: Server, tmp_path: Path) -> None:
    microphone = recording(tmp_path / "person.wav", silence(2) + hum(1) + silence(60))
    async with running(service.url) as app, visit(app, microphone) as anna:
        assert await faults(anna.page) == []
        await anna.page.click("#start")
        await anna.sees("assistant_speaking")
        assert await faults(anna.page) == []


async def test_start_waits_until_the_server_has_told_the_state(service: Server) -> None:
    told = anyio.Event()
    async with running(service.url) as app, chromium(None) as browser:
        page = await browser.new_page()

        async def late(route: Route) -> None:
            await told.wait()
            await route.continue_()

        await page.route("**/events", late)
        await page.goto(app.url)
        assert await page.is_disabled("#start")
        told.set()
        await until(lambda: page.is_enabled("#start"))


async def test_without_a_microphone_no_session_is_opened(service: Server) -> None:
    async with running(service.url) as app:
        async with visit(app, None) as anna:
            await anna.page.click("#start")
            await anna.sees("error", "There is no microphone.")
            assert await anna.page.is_enabled("#start")
    assert service.connections == 0


async def test_a_configuration_that_cannot_work_is_shown() -> None:
    async with running("") as app, visit(app, None) as anna:
        await anna.page.evaluate(
            "navigator.mediaDevices.getUserMedia = async () => "
            "new MediaStreamAudioDestinationNode(new AudioContext()).stream"
        )
        await anna.page.click("#start")
        await anna.sees("error", "AZURE_VOICELIVE_ENDPOINT")
        assert await anna.page.is_enabled("#start")


async def test_the_log_keeps_its_last_lines(service: Server) -> None:
    async with running(service.url) as app, visit(app, None) as anna:
        await anna.page.evaluate(
            """() => {
              const log = document.getElementById('log');
              for (let i = 0; i < 300; i += 1) log.append(document.createElement('li'));
            }"""
        )
        app.process.terminate()  # the page notices, and says so

        async def noticed() -> bool:
            return "trying again" in await anna.log()

        await until(noticed)
        assert await anna.page.locator("#log li").count() == 250
