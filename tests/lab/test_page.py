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
from ..browser.chromium import chromium, hum, missing
from ..browser.visitor import TAPS, Visitor

pytest.importorskip("flask", reason="flask is not installed")
pytest.importorskip("wsproto", reason="wsproto is not installed")

from .lab_app import App, running

if TYPE_CHECKING:
    from playwright.async_api import Page, Route

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(missing()), reason=f"not installed: {missing()}"),
]

WATCH = """
window.course = []; // what is shown and heard, in one order; a look at the page would miss what passes
window.seen = 0;
window.loud = false;
const show = () => {
  const [state, message] = ['state', 'message'].map((id) => document.getElementById(id).textContent);
  course.push({ state, message }, { loud });
};
new MutationObserver((records) => {
  if (records.some(({ target }) => target.id === 'status')) show();
}).observe(document, { subtree: true, attributeFilter: ['data-state'] });
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (to, ...more) {
  if (to instanceof AudioDestinationNode) {
    const meter = new AnalyserNode(to.context);
    const heard = new Float32Array(meter.fftSize);
    connect.call(this, meter);
    setInterval(() => {
      meter.getFloatTimeDomainData(heard);
      const now = Math.max(...heard) > 0.03;
      if (now !== loud) course.push({ loud: window.loud = now });
    }, 10);
  }
  return connect.call(this, to, ...more);
};
"""


COMES = """wanted => {
  const holds = (each) => 'state' in wanted
    ? each.state === wanted.state && each.message.includes(wanted.message) : each.loud === wanted.loud;
  const at = course.findIndex((each, i) => i >= seen && holds(each));
  if (at >= 0) window.seen = at + 1;
  return at >= 0;
}"""
ROOM = "taps.room = true;"


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
        """Wait for a state; those that came before it are not waited for any more."""
        await self.page.wait_for_function(COMES, arg={"state": state, "message": message})

    async def hears(self, *, sound: bool) -> None:
        """Wait for sound, or for silence, after what was waited for before."""
        await self.page.wait_for_function(COMES, arg={"loud": sound})

    async def log(self) -> str:
        return await self.page.inner_text("#log")


@asynccontextmanager
async def visit(app: App, microphone: Path | None, *before: str) -> AsyncIterator[Visit]:
    flags = ["--autoplay-policy=no-user-gesture-required"]
    async with chromium(microphone, *flags) as browser:
        page = await browser.new_page(bypass_csp=True)
        await page.add_init_script(WATCH)
        await page.add_init_script(path=TAPS)
        for script in before:
            await page.add_init_script(script)
        somebody = Visit(page)
        await page.goto(app.url)
        await somebody.sees("idle", "Select 'Start Session'")
        yield somebody


@pytest.fixture
async def service() -> AsyncIterator[Server]:
    async with serve(brain=ScriptedBrain([(".", LONG * 10)])) as server:  # it is always interrupted
        yield server


async def listened(page: Page) -> None:
    """The way for the microphone is open."""
    await page.wait_for_function("taps.sockets.at(-1)?.readyState === WebSocket.OPEN")


async def test_a_conversation(service: Server) -> None:
    async with running(service.url) as app, visit(app, None, ROOM) as anna:
        person = Visitor(anna.page)
        await anna.page.click("#start")
        await anna.sees("ready", "Session ready")
        await listened(anna.page)
        await person.says(hum(1))
        await anna.sees("assistant_speaking")
        await anna.hears(sound=True)
        await person.says(hum(1))
        await anna.sees("listening")
        await anna.hears(sound=False)
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
async def test_no_serious_fault_of_access(service: Server) -> None:
    async with running(service.url) as app, visit(app, None, ROOM) as anna:
        assert await faults(anna.page) == []
        await anna.page.click("#start")
        await anna.sees("ready")
        await listened(anna.page)
        await Visitor(anna.page).says(hum(1))
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


async def test_the_late_end_of_a_session_does_not_end_the_next_one(service: Server) -> None:
    """A page that is told late hears of the end when somebody has pressed Start again."""
    told = (
        "window.EventSource = class extends EventSource { constructor(url) { super(url); window.told = this; } };"
    )
    async with running(service.url) as app, visit(app, None, ROOM, told) as anna:
        ended = '{"type": "status", "state": "stopped", "message": "Session ended.", "connected": false}'
        await anna.page.evaluate(
            """data => {
              document.getElementById('start').click();
              told.onmessage({ data });
            }""",
            ended,
        )
        await anna.sees("ready")
        await listened(anna.page)
        assert await anna.page.evaluate("taps.live()") == 1
        await anna.page.click("#stop")
        await anna.sees("stopped", "Session ended.")


async def test_stop_while_the_browser_asks_ends_what_has_not_begun(service: Server) -> None:
    asks = "navigator.mediaDevices.getUserMedia = () => new Promise((_, no) => (window.refuse = no));"
    async with running(service.url) as app, visit(app, None, asks) as anna:
        await anna.page.click("#start")
        await anna.page.wait_for_function("'refuse' in window")
        await anna.page.click("#stop")
        await anna.sees("stopped", "Session ended.")
        await anna.page.evaluate("refuse(new DOMException('', 'NotAllowedError'))")
        assert await anna.page.is_enabled("#start")
        assert await anna.page.inner_text("#state") == "stopped"
        assert service.connections == 0


async def test_a_stop_does_not_overtake_its_start(service: Server) -> None:
    come = anyio.Event()
    async with running(service.url) as app, visit(app, None, ROOM) as anna:

        async def late(route: Route) -> None:
            await come.wait()
            await route.continue_()

        await anna.page.route("**/start-session", late)
        async with anna.page.expect_request("**/start-session"):
            await anna.page.click("#start")
        await anna.page.click("#stop")
        async with anna.page.expect_response("**/stop-session") as stopped:
            come.set()
        assert (await stopped.value).ok
        await anna.sees("stopped", "Session ended.")
        await eventually(lambda: service.connections == 0)
        assert await anna.page.evaluate("taps.live() + taps.sockets.length") == 0


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
