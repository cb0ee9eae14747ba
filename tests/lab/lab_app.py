"""The Flask example as a process of its own, and browsers without a screen: what each of its visitors is told."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from aiohttp import ClientResponse, ClientSession, ClientTimeout, CookieJar

APP = Path(__file__).parents[2] / "examples" / "lab_flask_app" / "flask_app.py"
LIMIT_S = 20


@dataclass
class App:
    """The running app. ``lab_port`` is where it serves the lab's microphone, if it was asked to."""

    process: subprocess.Popen[bytes]
    log: Path
    url: str = ""
    lab_port: int = 0

    @property
    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def terminate(self) -> int:
        """SIGTERM, and the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LIMIT_S)


def environment(**more: str) -> dict[str, str]:
    """Ours without what would lead the app to Azure, or to a port that is taken."""
    clean = {
        name: text for name, text in os.environ.items() if "VOICELIVE" not in name and "VOICE_LIVE" not in name
    }
    return clean | {"PYTHONIOENCODING": "utf-8", "PORT": "0", "HOST": "127.0.0.1"} | more


@asynccontextmanager
async def running(endpoint: str, **more: str) -> AsyncIterator[App]:
    """The app, talking to this endpoint, until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: ASYNC220  (it takes no time)
                [sys.executable, str(APP)],
                env=environment(AZURE_VOICE_LIVE_ENDPOINT=endpoint, **more),
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
            )
        app = App(process, log)
        try:
            with anyio.fail_after(LIMIT_S):
                while not (found := re.search(r"Open (http://\S+)", app.said)):
                    assert process.poll() is None, app.said
                    await anyio.sleep(0.02)
                app.url = found[1]
                while "LAB_WS_PORT" in more and not app.lab_port:
                    await anyio.sleep(0.02)
                    if port := re.search(r"/ws-audio on port (\d+)", app.said):
                        app.lab_port = int(port[1])
            yield app
        finally:
            process.kill()
            process.wait(LIMIT_S)


@dataclass
class Browser:
    """One visitor: a cookie jar, a stream of events, and what came on it."""

    http: ClientSession
    url: str
    told: list[dict[str, Any]] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    _reached: int = 0

    @property
    def origin(self) -> dict[str, str]:
        return {"Origin": self.url}

    async def post(self, path: str, content: object = None, **more: Any) -> tuple[int, Any]:
        """As the page posts: the status, and the JSON of the answer."""
        body = {} if content is None else {"json": content}
        headers = self.origin | more.pop("headers", {})
        async with self.http.post(self.url + path, headers=headers, **body, **more) as answer:
            return answer.status, await answer.json()

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.http.get(self.url + path) as answer:
            return answer.status, await answer.json()

    # --- the stream ---

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """``/events`` is open, and its first message, the state, was read."""
        async with self.http.get(self.url + "/events", headers={"Accept": "text/event-stream"}) as stream:
            assert stream.status == 200, await stream.text()
            assert stream.headers["Content-Type"].startswith("text/event-stream")
            before = len(self.told)
            reading = asyncio.ensure_future(self._read(stream))
            try:
                await self.until(lambda: len(self.told) > before)
                yield
            finally:
                reading.cancel()
                await asyncio.wait([reading])
                stream.close()

    async def _read(self, stream: ClientResponse) -> None:
        async for line in stream.content:
            if line.startswith(b"data: "):
                self.told.append(json.loads(line[6:]))
                self.news.set()
            else:
                assert re.match(rb":|retry: \d|\s*$", line), line

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until this holds after something was told."""
        with anyio.fail_after(LIMIT_S):
            while not holds():
                self.news.clear()
                await self.news.wait()

    async def reach(self, state: str, message: str | None = None) -> dict[str, Any]:
        """Wait for this state, with this message, after the one that was waited for before."""

        def found() -> int | None:
            for i, each in enumerate(self.statuses[self._reached :], self._reached):
                if each["state"] == state and message in (None, each["message"]):
                    return i
            return None

        await self.until(lambda: found() is not None)
        at = found()
        assert at is not None
        self._reached = at + 1
        return self.statuses[at]

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [each for each in self.told if each["type"] == kind]

    @property
    def statuses(self) -> list[dict[str, Any]]:
        return self.all("status")

    @property
    def states(self) -> list[tuple[str, str]]:
        return [(each["state"], each["message"]) for each in self.statuses]

    @property
    def logged(self) -> list[str]:
        return [each["msg"] for each in self.all("log") if "msg" in each]


@asynccontextmanager
async def browser(app: App) -> AsyncIterator[Browser]:
    """Somebody who has opened the page."""
    jar = CookieJar(unsafe=True)  # the server has an address and no name
    async with ClientSession(cookie_jar=jar, timeout=ClientTimeout(LIMIT_S)) as http:
        one = Browser(http, app.url)
        async with http.get(app.url) as page:
            assert page.status == 200
        yield one


@asynccontextmanager
async def talking(app: App) -> AsyncIterator[Browser]:
    """Somebody whose session is ready."""
    async with browser(app) as one, one.listening():
        status, answer = await one.post("/start-session")
        assert (status, answer["started"]) == (200, True)
        await one.reach("ready")
        yield one
