"""The command line: what it says, what it returns, and how the emulator's process lives and ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from voicelive_agent import AgentSpoke, EndReason, SessionLostError, __version__, cli
from voicelive_agent.events import SessionStarted

from .agent_driver import Microphone, Recorder, calling
from .test_lifecycle import PROGRAMS, SIGNALS, ended, line_with, program

EMULATOR = ("-m", "voicelive_agent", "emulator", "--scripted", "--port", "0")


def url_in(line: str) -> str:
    return next(word for word in line.split() if word.startswith("http://"))


# --- the emulator --------------------------------------------------------------------------------------------


@SIGNALS
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
async def test_the_emulator_serves_until_a_signal_and_says_goodbye(number: signal.Signals) -> None:
    async with program(*EMULATOR) as process:
        url = url_in(await line_with(process, "Voice Live emulator at"))
        agent = Recorder(url)
        call = asyncio.ensure_future(agent.run(Microphone()))
        await agent.until(lambda: agent.all(SessionStarted))
        agent.send_text("hello")
        await agent.until(lambda: agent.all(AgentSpoke))
        process.send_signal(number)
        with pytest.raises(SessionLostError) as lost:
            await call
        code, out, errors = await ended(process)
    assert lost.value.verdict.close_code == 1001
    assert lost.value.verdict.reason is EndReason.SERVICE_CLOSED
    assert code == 0
    assert out.strip().endswith("Stopped.")
    assert errors == ""


@SIGNALS
async def test_a_key_can_be_demanded() -> None:
    async with program(*EMULATOR, "--api-key", "sesame") as process:
        url = url_in(await line_with(process, "Voice Live emulator at"))
        agent = Recorder(url, "sesame")
        async with calling(agent):
            pass
        with pytest.raises(Exception, match="401"):
            await Recorder(url, "open").run()
        process.send_signal(signal.SIGTERM)
        await ended(process)


@pytest.mark.parametrize("options", [[], ["--scripted"]], ids=["without packages", "scripted"])
def test_a_port_that_is_taken_is_one_clear_line(
    options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from voicelive_agent.cli import emulator

    monkeypatch.setattr(emulator, "missing_packages", lambda: ["hibari-tts"])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.main(["emulator", *options, "--port", str(port)]) == 2
    out, errors = capsys.readouterr()
    assert ("hibari-tts" in out) == (not options)
    assert f"Cannot listen on port {port}: " in errors
    assert "Choose another one with --port." in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize("port", ["-1", "65536", "99999"])
def test_a_port_that_does_not_exist_is_one_clear_line(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code: Any = cli.main(["emulator", "--scripted", "--port", port])
    except SystemExit as exit:
        code = exit.code
    assert code == 2
    assert port in capsys.readouterr().err


# --- the demo ------------------------------------------------------------------------------------------------


async def test_the_demo_without_speech_packages_says_how_to_get_them(tmp_path: Path) -> None:
    async with program(PROGRAMS / "without_speech.py", "demo", "--out", tmp_path / "demo") as process:
        out, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert b'pip install "voicelive-agent[emulator]"' in errors
    assert errors.count(b"\n") == 1
    assert out == b""
    assert not (tmp_path / "demo").exists()


def test_the_demo_says_where_it_cannot_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from voicelive_agent.emulator.speech import missing_packages

    if missing_packages():
        pytest.skip("the speech packages are asked for first, and are not installed")
    taken = tmp_path / "file"
    taken.touch()
    assert cli.main(["demo", "--out", str(taken)]) == 2
    assert "Choose a folder with --out." in capsys.readouterr().err


# --- the rest ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "COMMAND"),
        (["nonsense"], "invalid choice: 'nonsense'"),
        (["emulator", "--port", "many"], "'many'"),
        (["emulator", "--latency", "some"], "invalid choice: 'some'"),
        (["demo", "--faster"], "unrecognized arguments: --faster"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_exit_code_2(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        cli.main(arguments)
    assert exit.value.code == 2
    errors = capsys.readouterr().err
    assert words in errors
    assert "usage: voicelive-agent" in errors


@pytest.mark.parametrize(("option", "words"), [("--version", __version__), ("--help", "emulator")])
def test_help_and_version(option: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        cli.main([option])
    assert exit.value.code == 0
    assert words in capsys.readouterr().out


def test_ctrl_c_is_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_emulator", interrupted)
    assert cli.main(["emulator"]) == 130


@pytest.mark.skipif(os.name == "nt", reason="the script has another name there")
async def test_the_installed_command_is_the_same() -> None:
    script = Path(sys.executable).with_name("voicelive-agent")
    if not script.exists():
        pytest.skip("the package is not installed as a command here")
    async with program(script, "--version") as process:
        out, _ = await asyncio.wait_for(process.communicate(), 30)
    assert out.decode().split() == ["voicelive-agent", __version__]
