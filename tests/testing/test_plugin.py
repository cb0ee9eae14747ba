"""The pytest plugin, in pytests of its own: with the plugins that other people use, and without any."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import textwrap
from importlib.metadata import entry_points
from pathlib import Path

import pytest

PLUGIN = "voicelive_agent.testing.plugin"
INSTALLED = any(each.value == PLUGIN for each in entry_points(group="pytest11"))
EXAMPLE = Path(__file__).parents[2] / "examples" / "testing"

AGENT = """
import pytest
from voicelive_agent import VoiceAgent
from voicelive_agent.emulator import Options


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Echo(VoiceAgent):
    greeting = "Good morning!"
"""
SYNCHRONOUS = """
def test_plain(voicelive_conversation):
    with voicelive_conversation(Echo, [("", "Yes.")]) as call:
        call.user_says("Really?")
        call.expect_says("yes")
"""
ASYNCHRONOUS = """
async def test_coroutine(voicelive_conversation):
    async with voicelive_conversation(Echo, [("", "Yes.")]) as call:
        await call.user_says("Really?")
        await call.expect_says("yes")


async def test_coroutine_over_the_socket(voicelive_emulator):
    agent = Echo(settings=voicelive_emulator.endpoint)
    async with agent.events() as events:
        async for event in events:
            if type(event).__name__ == "TurnEnded":
                agent.stop()
    assert [each["type"] for each in voicelive_emulator.received()][:2] == ["session.update", "response.create"]
"""


def pytest_run(folder: Path, *arguments: str, code: str = "", ini: str = "") -> subprocess.CompletedProcess[str]:
    """A pytest of its own in a folder, with our plugin and otherwise only those that are asked for."""
    if code:
        (folder / "test_it.py").write_text(AGENT + code, encoding="utf-8")
    (folder / "pytest.ini").write_text(f"[pytest]\n{ini}\n", encoding="utf-8")
    ours = () if INSTALLED else ("-p", PLUGIN)
    if "asyncio_mode" not in ini:
        ours += ("-p", "no:asyncio")  # whether it is installed or not
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", *ours, *arguments]
    environ = {name: value for name, value in os.environ.items() if "VOICELIVE" not in name}
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False, env=environ, timeout=55
    )


def check_passed(done: subprocess.CompletedProcess[str], count: int) -> None:
    assert f"{count} passed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0, done.stdout + done.stderr


# --- with what people use --------------------------------------------------------------------------------------


def test_with_anyios_plugin(tmp_path: Path) -> None:
    check_passed(pytest_run(tmp_path, code=SYNCHRONOUS + ASYNCHRONOUS, ini="anyio_mode = auto"), 3)


def has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


@pytest.mark.skipif(not has("pytest_asyncio"), reason="pytest-asyncio is not installed")
def test_with_pytest_asyncio_in_auto_mode(tmp_path: Path) -> None:
    done = pytest_run(
        tmp_path,
        "-p",
        "no:anyio",
        code=SYNCHRONOUS + ASYNCHRONOUS,
        ini="asyncio_mode = auto\nasyncio_default_fixture_loop_scope = function",
    )
    check_passed(done, 3)


@pytest.mark.skipif(not has("xdist"), reason="pytest-xdist is not installed")
def test_with_several_processes(tmp_path: Path) -> None:
    code = "".join(SYNCHRONOUS.replace("plain", f"plain_{index}") for index in range(6))
    check_passed(pytest_run(tmp_path, "-n", "2", code=code + ASYNCHRONOUS, ini="anyio_mode = auto"), 8)


def test_with_nothing_else(tmp_path: Path) -> None:
    check_passed(pytest_run(tmp_path, "-p", "no:anyio", "-p", "no:timeout", code=SYNCHRONOUS), 1)


def test_the_example_passes_as_it_is() -> None:
    ours = () if INSTALLED else ("-p", PLUGIN)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *ours, str(EXAMPLE)],
        cwd=EXAMPLE.parents[1],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=55,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


# --- what it does to those who do not use it -------------------------------------------------------------------


def test_loading_it_imports_next_to_nothing() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules); import voicelive_agent.testing.plugin; "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = {"voicelive_agent", "voicelive_agent.testing", "voicelive_agent.testing.plugin"}
    assert set(done.stdout.split()) <= ours


def test_a_run_that_does_not_use_it_does_not_see_it(tmp_path: Path) -> None:
    code = """
import sys
def test_nothing_is_loaded():
    assert "voicelive_agent._agent" not in sys.modules
    assert "numpy" not in sys.modules
"""
    (tmp_path / "test_other.py").write_text(code, encoding="utf-8")
    check_passed(pytest_run(tmp_path, "-p", "no:hypothesispytest", "--strict-markers"), 1)


# --- the fixtures ----------------------------------------------------------------------------------------------


def test_the_emulator_shows_what_crossed_its_socket(tmp_path: Path) -> None:
    code = """
@pytest.mark.voicelive(answers=[("ping", "pong")])
class TestMarked:
    def test_text(self, voicelive_emulator):
        import anyio

        class Caller(Echo):
            greeting = None

            def on_session_started(self, event):
                self.send_text("ping")

            def on_turn_ended(self, event):
                assert voicelive_emulator.connections == 1
                self.stop()

        assert voicelive_emulator.url.startswith("http://127.0.0.1:")
        anyio.run(Caller.from_env(voicelive_emulator.environ).run)
        [item] = voicelive_emulator.received("conversation.item.create")
        assert item["item"]["content"][0]["text"] == "ping"
        assert voicelive_emulator.sent()[0]["type"] == "session.created"
        assert "pong" in str(voicelive_emulator.sent())
        assert {each.connection for each in voicelive_emulator.crossed} == {1}
        times = [each.at_s for each in voicelive_emulator.crossed]
        assert times == sorted(times)

    @pytest.mark.voicelive(options=Options(max_session_s=0.01))
    def test_options(self, voicelive_emulator):
        import time
        import anyio
        from voicelive_agent import SessionLostError

        with pytest.raises(SessionLostError):
            anyio.run(Echo(voicelive_emulator.url).run)
        while not voicelive_emulator.closed:
            time.sleep(0.001)
        assert voicelive_emulator.closed[0][:2] == (1, 1001)

    @pytest.mark.voicelive(faults=[{"when": {"at": "handshake"}, "action": {"do": "refuse", "status": 429}}])
    def test_nobody_is_let_in(self, voicelive_emulator):
        import anyio
        from voicelive_agent.errors import RateLimitedError

        with pytest.raises(RateLimitedError):
            anyio.run(Echo(voicelive_emulator.url).run)

    @pytest.mark.voicelive(model="gpt-realtime", time="virtual", within_s=5)
    def test_conversation(self, voicelive_conversation):
        with voicelive_conversation(Echo) as call:
            call.user_types("ping")
            call.expect_says("pong")
        [started] = [each for each in call.events if type(each).__name__ == "SessionStarted"]
        assert "realtime" in started.granted["model"]
        with voicelive_conversation(Echo, [("ping", "peng")]) as call:
            call.user_types("ping")
            call.expect_says("peng")
"""
    check_passed(pytest_run(tmp_path, "--strict-markers", code=code), 4)


def test_a_script_is_a_file_of_answers_and_of_what_is_heard(tmp_path: Path) -> None:
    (tmp_path / "script.yaml").write_text("rules: [{when: anything, say: Yes.}]\n", encoding="utf-8")
    code = """
@pytest.mark.voicelive(answers="script.yaml")
def test_script(voicelive_conversation, voicelive_emulator):
    with voicelive_conversation(VoiceAgent) as call:
        call.user_types("Really?")
        call.expect_says("yes")
"""
    check_passed(pytest_run(tmp_path, code=code), 1)


def test_a_failure_shows_the_line_of_the_test_and_the_conversation(tmp_path: Path) -> None:
    code = """
def test_wrong(voicelive_conversation):
    with voicelive_conversation(Echo, [("", "Yes.")]) as call:
        call.user_says("Really?")
        call.expect_says("no", within_s=3)

async def test_wrong_as_well(voicelive_conversation):
    async with voicelive_conversation(Echo, [("", "Yes.")]) as call:
        await call.user_says("Really?")
        await call.expect_says("no", within_s=3)
"""
    done = pytest_run(tmp_path, code=code, ini="anyio_mode = auto")
    assert done.returncode == 1
    for line in (
        '>           call.expect_says("no", within_s=3)',
        '>           await call.expect_says("no", within_s=3)',
        "expected: the agent to say the words 'no'",
        "but:      the agent said 'Yes.' (the agent is ready, after 3 s)",
        "user:   says 'Really?'",
    ):
        assert line in done.stdout, done.stdout
    assert "runners.py" not in done.stdout
    assert "_stage.py" not in done.stdout


def test_a_marker_that_is_misspelt_is_an_error(tmp_path: Path) -> None:
    code = """
@pytest.mark.voicelive(answer=[])
def test_wrong(voicelive_conversation):
    pass
"""
    done = pytest_run(tmp_path, code=code)
    assert done.returncode == 1
    assert "voicelive does not take answer=...: it takes answers=..., options=..." in done.stdout


# --- the guide -------------------------------------------------------------------------------------------------


def blocks(language: str) -> list[str]:
    guide = (EXAMPLE.parents[1] / "docs" / "how-to" / "testing.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", guide, re.DOTALL)


def block(language: str, containing: str) -> str:
    [found] = [each for each in blocks(language) if containing in each]
    return found


def test_the_guide_shows_the_example() -> None:
    agent = (EXAMPLE / "receptionist.py").read_text(encoding="utf-8")
    tests = (EXAMPLE / "test_receptionist.py").read_text(encoding="utf-8")
    scenarios = (EXAMPLE / "scenarios" / "opening_hours.yaml").read_text(encoding="utf-8")
    assert block("python", "class Receptionist") in agent
    assert block("python", "async def test_the_same_words") in tests
    assert block("yaml", "scenarios:") in scenarios


def test_the_guides_wrong_test_fails_as_shown_and_the_right_one_passes(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE / "receptionist.py", tmp_path)
    test = tmp_path / "test_sunday.py"
    test.write_text(block("python", "def test_sunday"), encoding="utf-8")
    done = pytest_run(tmp_path)
    assert done.returncode == 1
    printed = [line.rstrip() for line in done.stdout.splitlines()]
    shown = [line.rstrip() for line in block("text", "call.expect_says").splitlines()]
    assert [line for line in shown if line not in printed and not TIMED.search(line)] == [], done.stdout
    assert [TIMED.sub("", line) for line in shown] == [
        TIMED.sub("", line) for line in printed[printed.index(shown[0]) :][: len(shown)]
    ]
    test.write_text(block("python", "def test_sunday").replace("9 to 17", "closed"), encoding="utf-8")
    check_passed(pytest_run(tmp_path), 1)


TIMED = re.compile(r" +\d+\.\d\d  |\d+ ms")
"""A tool that is a plain function takes a real millisecond or two."""


def test_the_guides_other_code_runs(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE / "receptionist.py", tmp_path)
    (tmp_path / "test_socket.py").write_text(block("python", "def test_too_many_calls"), encoding="utf-8")
    answers = block("python", "def test_sunday").partition("def ")[0]
    plain = textwrap.indent(block("python", "with Conversation("), "    ")
    (tmp_path / "test_plain.py").write_text(f"{answers}\ndef test_it():\n{plain}", encoding="utf-8")
    check_passed(pytest_run(tmp_path), 2)
