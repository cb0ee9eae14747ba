"""``voicelive-agent serve``: the program, its page's routes, and how it ends."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from aiohttp import ClientSession

from voicelive_agent.emulator import serve

from .test_examples import environment

pytestmark = pytest.mark.e2e  # programs, run as people run them: once is enough

AGENT = """
from voicelive_agent import VoiceAgent

class Clerk(VoiceAgent):
    greeting = "Version one."
"""


@dataclass
class Program:
    process: subprocess.Popen[str]
    url: str

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(
                urllib.request.Request(self.url + path, headers=headers), timeout=10
            ) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def until(self, words: str) -> str:
        """Read its output until there is a line with these words."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if words in line:
                return line
        raise AssertionError(f"it ended without {words!r}")

    def end(self, number: int) -> tuple[int, str]:
        """Send a signal; its exit code, and the rest of its output."""
        self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=20)
        return self.process.returncode, output


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "voicelive_agent", "serve", *options]


@contextmanager
def running(*options: str, **environ: str) -> Iterator[Program]:
    process = subprocess.Popen(
        command("--port", "0", *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        env=environment(**environ),
    )
    try:
        program = Program(process, "")
        line = program.until("http://")
        found = re.search(r"http://\S+", line)
        assert found, line
        program.url = found[0]
        yield program
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "clerk.py"
    path.write_text(AGENT, encoding="utf-8")
    return path


def test_it_serves_the_page_with_somebodys_agent_and_ends(target: Path) -> None:
    with running(str(target), "--title", "The clerk", AZURE_VOICELIVE_ENDPOINT="emulator") as program:
        assert program.get("")[0] == 200
        status, config = program.get("config")
        assert (status, json.loads(config)["title"]) == (200, "The clerk")
        assert program.get("config", Host="evil.test")[0] == 403
        assert program.get("health")[0] == 200
        code, _ = program.end(signal.SIGTERM)
        assert code == 0


@pytest.mark.linux
def test_ctrl_c(target: Path) -> None:
    with running(str(target), AZURE_VOICELIVE_ENDPOINT="emulator") as program:
        assert program.end(signal.SIGINT)[0] == 130


async def greeting(program: Program) -> str:
    """What the page's transcript says first."""
    async with ClientSession(headers={"Origin": program.url.rstrip("/")}) as client:
        async with client.post(program.url + "start") as response:
            ticket = (await response.json())["ticket"]
        async with client.ws_connect(program.url + "ws") as socket:
            await socket.send_json({"type": "hello", "ticket": ticket})
            async for message in socket:
                content: dict[str, Any] = json.loads(message.data) if isinstance(message.data, str) else {}
                if content.get("type") == "transcript" and content["final"]:
                    await socket.send_json({"type": "bye"})
                    return str(content["text"])
    raise AssertionError("no greeting")


async def test_with_reload_the_next_visitor_gets_the_new_code(target: Path) -> None:
    async with serve() as emulator:
        with running(str(target), "--reload", AZURE_VOICELIVE_ENDPOINT=emulator.url) as program:
            assert await greeting(program) == "Version one."
            await anyio.Path(target).write_text(AGENT.replace("one", "two"), encoding="utf-8")
            await anyio.to_thread.run_sync(program.until, "The next visitor gets the new code")
            assert await greeting(program) == "Version two."
            await anyio.Path(target).write_text("class Clerk(", encoding="utf-8")
            await anyio.to_thread.run_sync(program.until, "stays in use")
            await anyio.to_thread.run_sync(program.until, "clerk.py")
            assert await greeting(program) == "Version two."


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["nobody.py"], "nobody.py"),
        (["--reload"], "--reload waits for a change of your code"),
        (["--sessions", "0"], "WebLimits.sessions is 0"),
        (["--allow-origin", "shop.example"], "is no origin"),
        (["--host", "203.0.113.1"], "Cannot listen on 203.0.113.1"),
    ],
)
def test_what_cannot_be_served_is_said_in_a_sentence(options: list[str], words: str) -> None:
    environ = environment(AZURE_VOICELIVE_ENDPOINT="emulator")
    done = subprocess.run(command(*options), capture_output=True, text=True, env=environ, timeout=40, check=False)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_one_agent_for_all_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "shared.py"
    path.write_text(AGENT + "\nagent = Clerk('emulator')\n", encoding="utf-8")
    done = subprocess.run(command(str(path)), capture_output=True, text=True, timeout=40, check=False)
    assert done.returncode == 2
    assert "the same agent twice" in done.stderr
