"""``voicelive-agent talk`` and ``devices``: whole programs, as a person runs them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import struct
import sys
import textwrap
import wave
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from voicelive_agent import WavSource, cli, devices
from voicelive_agent.cli import talk
from voicelive_agent.cli._options import Audio
from voicelive_agent.cli._reload import forget, users_modules
from voicelive_agent.devices import Device
from voicelive_agent.errors import AudioDeviceError

from .agent_driver import LONG, eventually, silence
from .faultserver import CREATED, FaultServer, Peer, closed_port
from .test_lifecycle import PROGRAMS, SIGNALS, START_S, ended, line_with, program

pytestmark = pytest.mark.e2e  # programs, run as people run them: once is enough

if sys.platform != "win32":
    import fcntl
    import pty
    import termios

ROOT = Path(__file__).parents[1]
HELLO = ROOT / "examples" / "hello.py"
WITHOUT_SPEECH = PROGRAMS / "without_speech.py"
"""The whole command line; its emulator hears "Hello." in everything, and starts at once."""
RECORDING = ROOT / "tests" / "data" / "audio" / "cards_001.wav"
CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
SPEECHLESS = "from voicelive_agent import VoiceAgent\nclass Speechless(VoiceAgent):\n    pass\n"
TALKATIVE = f"from voicelive_agent import VoiceAgent\nclass Talkative(VoiceAgent):\n    greeting = {LONG!r}\n"


@pytest.fixture
def quiet(tmp_path: Path) -> Path:
    """A minute of somebody who says nothing."""
    return write_wav(tmp_path / "quiet.wav", silence(60_000))


def write_wav(path: Path, pcm: bytes) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 24_000, 0, "NONE", ""))
        file.writeframes(pcm)
    return path


def write(path: Path, code: str) -> Path:
    path.write_text(textwrap.dedent(code), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing leads to Azure, and what a call in this process has loaded is forgotten."""
    for name in list(os.environ):
        if "VOICELIVE" in name or "VOICE_LIVE" in name:
            monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    forget(users_modules(tmp_path, ()))


# --- whole programs, between files ------------------------------------------------------------------------------


async def test_hello_talks_as_its_docstring_says(tmp_path: Path) -> None:
    answer = tmp_path / "answer.wav"
    assert "voicelive-agent talk hello.py --emulator" in HELLO.read_text(encoding="utf-8")
    files = ("--source", RECORDING, "--sink", answer)
    async with program(WITHOUT_SPEECH, "talk", HELLO, "--emulator", *files) as process:
        out, errors = await asyncio.wait_for(process.communicate(), START_S)
    lines = out.decode().splitlines()
    assert (process.returncode, errors) == (0, b"")
    assert any('pip install "voicelive-agent[emulator]"' in line for line in lines)
    assert "you: Hello." in lines  # its own print
    said = [line.split("s  ", 1)[1].strip() for line in lines if re.match(r" +\d+\.\d\d s  ", line)]
    assert said[0] == f"Receptionist of {HELLO}, on the emulator."
    assert said[1] == "Connected."
    assert said[2].startswith("agent:")
    assert "good morning!" in said[2]
    assert "you:     Hello." in said
    assert "agent:   I heard: Hello." in said
    assert any(re.match(r"turn: +answered after \d+ ms \(\d+ ms of them to notice", line) for line in said)
    assert said[-1] == "Ended: source finished."
    assert WavSource(answer).duration_s > 1


async def test_without_a_target_there_is_somebody(tmp_path: Path) -> None:
    files = ("--source", RECORDING, "--sink", tmp_path / "answer.wav")
    async with program(WITHOUT_SPEECH, "talk", "--emulator", *files) as process:
        out, errors = await asyncio.wait_for(process.communicate(), START_S)
    assert (process.returncode, errors) == (0, b"")
    assert b"Assistant, on the emulator." in out
    assert b"What can I do for you?" in out


@SIGNALS
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (getattr(signal, "SIGHUP", 1), 129)], ids=str
)
async def test_a_signal_hangs_up(
    number: int, code: int, tmp_path: Path, quiet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: list[int | None] = []

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.text(CREATED)
        await peer.read_text()
        await peer.text({"type": "session.updated", "session": {}})
        codes.append(await peer.closing())
        await peer.close(1000)

    target = write(tmp_path / "speechless.py", SPEECHLESS)
    files = ("--source", quiet, "--sink", tmp_path / "answer.wav")
    async with FaultServer(script) as server:
        monkeypatch.setenv("AZURE_VOICELIVE_ENDPOINT", server.url)
        async with program(WITHOUT_SPEECH, "talk", target, *files) as process:
            await line_with(process, "Connected.")
            process.send_signal(number)
            got, out, errors = await ended(process)
        await server.finished()
    assert (got, errors) == (code, "")
    assert out.strip().endswith("Ended: stopped.")
    assert codes == [1000]


@SIGNALS
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=str)
async def test_a_signal_while_the_agent_speaks(number: int, code: int, tmp_path: Path, quiet: Path) -> None:
    answer = tmp_path / "answer.wav"
    target = write(
        tmp_path / "talkative.py",
        f"{TALKATIVE}    def on_state_changed(self, event):\n        print(event.new.value, flush=True)\n",
    )
    files = ("--source", quiet, "--sink", answer)
    async with program(WITHOUT_SPEECH, "talk", target, "--emulator", *files) as process:
        await line_with(process, "speaking")
        process.send_signal(number)
        got, out, errors = await ended(process)
    assert (got, errors) == (code, "")
    assert "[not heard: " in out
    assert WavSource(answer).duration_s < 10  # of 12 s of speech


@SIGNALS
async def test_a_hook_that_hangs_does_not_keep_it_from_hanging_up(tmp_path: Path, quiet: Path) -> None:
    target = write(
        tmp_path / "hanging.py",
        f"""
        import asyncio
        {SPEECHLESS.splitlines()[0]}
        class Hanging(VoiceAgent):
            async def on_session_started(self, event):
                print("the hook waits", flush=True)
                await asyncio.sleep(3600)
        """,
    )
    files = ("--source", quiet, "--sink", tmp_path / "answer.wav")
    async with program(WITHOUT_SPEECH, "talk", target, "--emulator", *files) as process:
        await line_with(process, "the hook waits")
        process.send_signal(signal.SIGTERM)
        code, _, errors = await ended(process)
    assert (code, errors) == (143, "")


@SIGNALS
async def test_a_reader_that_goes_away_ends_it(tmp_path: Path, quiet: Path) -> None:
    gone = tmp_path / "gone"
    target = write(
        tmp_path / "brief.py",
        f"""
        import asyncio
        from pathlib import Path
        {SPEECHLESS.splitlines()[0]}
        class Brief(VoiceAgent):
            async def on_session_started(self, event):
                while not Path({str(gone)!r}).exists():
                    await asyncio.sleep(0.01)
                self.say("Hello there.")
        """,
    )
    arguments = [WITHOUT_SPEECH, "talk", target, "--emulator", "--source", quiet, "--sink", tmp_path / "a.wav"]
    reader, writer = os.pipe()
    process = await asyncio.create_subprocess_exec(
        sys.executable, *map(str, arguments), stdout=writer, stderr=PIPE
    )
    os.close(writer)
    while b"Connected." not in os.read(reader, 4096):
        pass
    os.close(reader)
    gone.touch()  # only now is there something to tell
    _, errors = await asyncio.wait_for(process.communicate(), START_S)
    assert (process.returncode, errors) == (1, b"")


async def test_a_hook_that_raises_is_shown_in_its_own_lines(tmp_path: Path, quiet: Path) -> None:
    target = write(
        tmp_path / "failing.py",
        f"""
        {SPEECHLESS.splitlines()[0]}
        class Failing(VoiceAgent):
            def on_session_started(self, event):
                self.look_up("nobody")

            def look_up(self, name):
                return {{}}[name]
        """,
    )
    files = ("--source", quiet, "--sink", tmp_path / "answer.wav")
    async with program(WITHOUT_SPEECH, "talk", target, "--emulator", *files) as process:
        out, errors = await asyncio.wait_for(process.communicate(), START_S)
    assert process.returncode == 1
    lines = errors.decode().splitlines()
    assert lines[0] == "voicelive-agent: KeyError: 'nobody'."
    shown = target.relative_to(Path.cwd()) if target.is_relative_to(Path.cwd()) else target
    assert [line for line in lines[1:] if "File" in line] == [
        f'  File "{shown}", line 5, in on_session_started',
        f'  File "{shown}", line 8, in look_up',
    ]
    assert b"Ended: failed (KeyError: 'nobody')." in out


async def test_a_call_that_is_lost_is_a_failure(
    tmp_path: Path, quiet: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.text(CREATED)
        await peer.read_text()
        await peer.text({"type": "session.updated", "session": {}})
        await peer.close(1011, "out of order")

    async with FaultServer(script) as server:
        monkeypatch.setenv("AZURE_VOICELIVE_ENDPOINT", server.url)
        files = ("--source", quiet, "--sink", tmp_path / "answer.wav")
        async with program(WITHOUT_SPEECH, "talk", *files) as process:
            _, errors = await asyncio.wait_for(process.communicate(), START_S)
    assert process.returncode == 1
    assert errors.startswith(b"voicelive-agent: The session ended: ")
    assert errors.count(b"\n") == 1


# --- what keeps it from beginning -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.py"], "nowhere.py: there is no such file."),
        (["hello.py"], "AZURE_VOICELIVE_ENDPOINT (or AZURE_VOICE_LIVE_ENDPOINT) is not set"),
        ([], "AZURE_VOICELIVE_ENDPOINT (or AZURE_VOICE_LIVE_ENDPOINT) is not set"),
        (
            ["--reload"],
            "--reload waits for a change of your code. Name it: voicelive-agent talk hello.py --reload.",
        ),
        (
            ["--source", "a.wav", "--input", "3"],
            "--input is about a sound card, and --source is a file instead of it.",
        ),
        (
            ["--sink", "a.wav", "--output", "3"],
            "--output is about a sound card, and --sink is a file instead of it.",
        ),
        (["--source", "a.wav", "--echo-reference"], "Leave out --echo-reference or --source."),
        (["--sink", "a.wav", "--echo-reference"], "Leave out --echo-reference or --sink."),
        (["--sink", "a.wav", "--half-duplex"], "Leave out --half-duplex or --sink."),
        (["--source", "a.wav", "--sink", "b.wav", "--reopen"], "Leave out --reopen or --source."),
        (
            ["--source", "hello.py", "--sink", "./hello.py"],
            "--source and --sink are the same file, ./hello.py, and recording would overwrite it.",
        ),
        (["tone.wav"], "tone.wav is no Python code. A recording that is to be the user is --source FILE."),
    ],
    ids=" ".join,
)
def test_what_cannot_work_is_one_clear_line(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "hello.py", SPEECHLESS)
    (tmp_path / "tone.wav").write_bytes(b"RIFF\0\0\0\0WAVE")
    assert cli.main(["talk", *arguments]) == 2
    out, errors = capsys.readouterr()
    assert words in errors
    assert errors.startswith("voicelive-agent: ")
    assert errors.count("\n") == 1
    assert out == ""


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["--source", "nowhere.wav", "--sink", "a.wav"], "nowhere.wav: there is no such file."),
        (["--source", "quiet.wav", "--sink", "nowhere/a.wav"], "Cannot write to nowhere/a.wav: No such file"),
    ],
)
def test_files_that_cannot_be_used(
    files: list[str],
    words: str,
    tmp_path: Path,
    quiet: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AZURE_VOICELIVE_ENDPOINT", f"http://127.0.0.1:{closed_port()}")
    assert cli.main(["talk", *files]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "a.wav").exists()


def test_a_service_that_is_not_there(
    tmp_path: Path, quiet: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AZURE_VOICELIVE_ENDPOINT", f"http://127.0.0.1:{closed_port()}")
    assert cli.main(["talk", "--source", str(quiet), "--sink", str(tmp_path / "a.wav")]) == 2
    assert capsys.readouterr().err.startswith("voicelive-agent: ")


# --- code that changes ------------------------------------------------------------------------------------------


@SIGNALS
async def test_reload_starts_anew_when_the_code_has_changed(tmp_path: Path, quiet: Path) -> None:
    code = """
        from voicelive_agent import VoiceAgent
        from words import GREETING
        class Changing(VoiceAgent):
            greeting = GREETING
    """
    target = write(tmp_path / "changing.py", code)
    words = write(tmp_path / "words.py", "GREETING = 'First.'")
    files = ("--source", quiet, "--sink", tmp_path / "answer.wav")
    async with program(WITHOUT_SPEECH, "talk", target, "--emulator", "--reload", *files) as process:
        await line_with(process, "agent:   First.")
        write(words, "GREETING = 'Again.'")  # of the same size, and perhaps in the same second
        await line_with(process, "Changed: words.py.")
        await line_with(process, "Ended: stopped.")
        await line_with(process, "agent:   Again.")
        write(target, "class Changing(VoiceAgent:")
        await line_with(process, "changing.py, line 1: ")
        await line_with(process, "Waiting for a change of the code.")
        write(words, "GREETING = 'Third.'")
        write(target, code + "    1 / 0\n")
        await line_with(process, "ZeroDivisionError")
        await line_with(process, "Waiting for a change of the code.")
        write(target, code)
        await line_with(process, "agent:   Third.")
        process.send_signal(signal.SIGTERM)
        got, _, errors = await ended(process)
    assert (got, errors) == (143, "")


@SIGNALS
async def test_reload_waits_after_a_call_that_is_over(tmp_path: Path) -> None:
    target = write(tmp_path / "changing.py", SPEECHLESS + "    greeting = 'First.'\n")
    short = write_wav(tmp_path / "short.wav", silence(100))
    files = ("--source", short, "--sink", tmp_path / "answer.wav")
    async with program(WITHOUT_SPEECH, "talk", target, "--emulator", "--reload", *files) as process:
        await line_with(process, "Ended: source finished.")
        await line_with(process, "Waiting for a change of the code.")
        write(target, SPEECHLESS + "    def on_session_started(self, event): raise LookupError('now')\n")
        await line_with(process, "LookupError: now.")
        await line_with(process, "Waiting for a change of the code.")
        process.send_signal(signal.SIGINT)
        code, _, errors = await ended(process)
    assert (code, errors) == (130, "")


async def test_reload_begins_with_code_that_is_broken_in_a_neighbour(tmp_path: Path) -> None:
    target = write(tmp_path / "changing.py", "import neighbour\n" + SPEECHLESS)
    neighbour = write(tmp_path / "neighbour.py", "x = = 1")
    short = write_wav(tmp_path / "short.wav", silence(100))
    files = ("--source", short, "--sink", tmp_path / "answer.wav")
    async with program(WITHOUT_SPEECH, "talk", target, "--emulator", "--reload", *files) as process:
        await line_with(process, "neighbour.py, line 1: invalid syntax")
        await line_with(process, "Waiting")
        write(neighbour, "x = 1")
        await line_with(process, "Connected.")


# --- on a terminal ----------------------------------------------------------------------------------------------


class Terminal:
    """A program on a pseudo-terminal of its own: what is on the screen, and the keys."""

    def __init__(self, process: Process, number: int, before: list[Any]) -> None:
        self.process = process
        self._number = number
        self._before = before
        self._got = b""

    @property
    def text(self) -> str:
        """Everything that was ever shown."""
        return CODES.sub("", self._got.decode(errors="replace")).replace("\r", "")

    @property
    def codes(self) -> str:
        """The same with its codes."""
        return self._got.decode(errors="replace")

    async def until(self, word: str, *, after: int = 0) -> int:
        """Wait until this is shown; where it ends."""
        async with asyncio.timeout(START_S):
            while (at := self.text.find(word, after)) < 0:
                await asyncio.sleep(0.01)
                self.read()
        return at + len(word)

    def read(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):  # nothing there, or the program has gone
            while data := os.read(self._number, 65_536):
                self._got += data

    def press(self, keys: str) -> None:
        os.write(self._number, keys.encode())

    @property
    def is_restored(self) -> bool:
        return termios.tcgetattr(self._number) == self._before

    async def end(self) -> int:
        code = await asyncio.wait_for(self.process.wait(), START_S)
        self.read()
        return code


@asynccontextmanager
async def on_a_terminal(*arguments: str | Path, width: int = 100, height: int = 30) -> AsyncIterator[Terminal]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    os.set_blocking(ours, False)
    # The first terminal that the leader of a session opens is the session's, and sends it the signals of its keys.
    opens = ("sh", "-c", 'exec "$@" <"$TTY" >"$TTY" 2>&1', "sh", sys.executable)
    environ = os.environ | {"TTY": os.ttyname(theirs), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "CI"):
        environ.pop(name, None)
    process = await asyncio.create_subprocess_exec(
        *opens, *map(str, arguments), stdin=DEVNULL, start_new_session=True, env=environ
    )
    terminal = Terminal(process, ours, termios.tcgetattr(ours))
    try:
        yield terminal
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(theirs)
        os.close(ours)


@SIGNALS
@pytest.mark.linux
async def test_the_live_screen_and_its_keys(tmp_path: Path, quiet: Path) -> None:
    pytest.importorskip("rich")
    target = write(
        tmp_path / "talkative.py", f"{TALKATIVE}    def on_interrupted(self, event):\n        print('ha!')\n"
    )
    files = ("--source", quiet, "--sink", tmp_path / "answer.wav")
    async with on_a_terminal(WITHOUT_SPEECH, "talk", target, "--emulator", *files) as terminal:
        await terminal.until("agent  One two three")
        await terminal.until("● speaking")
        assert "space interrupts   m mutes   t types   q hangs up   ? explains" in terminal.text
        await terminal.until("agent ━━━━━━━━━━━━━━━━━━━━━━━━  -")  # a level: it is heard
        assert not terminal.is_restored
        at = len(terminal.text)
        terminal.press("m")
        at = await terminal.until("you muted", after=at)
        terminal.press(" ")
        at = await terminal.until("ha!", after=at)  # what a hook prints
        at = await terminal.until("● ready", after=at)
        assert re.search(r"\x1b\[(\d+;)*9(;\d+)*m", terminal.codes)  # what was not heard is struck out
        terminal.press("tHow are you")
        at = await terminal.until("> How are you", after=at)
        terminal.press("?\r")
        at = await terminal.until("you  How are you?", after=at)
        at = await terminal.until("agent  I heard: How are you?", after=at)
        terminal.press("?")
        at = await terminal.until("hang up (also: Ctrl-C)", after=at)
        terminal.press("q")
        assert await terminal.end() == 0
        end = terminal.codes[terminal.codes.rindex("Ended: stopped.") :]
        assert end.count("\x1b[2K") >= 6  # the keys and the levels are wiped away
        assert terminal.is_restored
        assert terminal.codes.rindex("\x1b[?25h") > terminal.codes.rindex("\x1b[?25l")  # the cursor is back


@SIGNALS
@pytest.mark.linux
@pytest.mark.parametrize(("key", "code"), [("\x03", 130), ("q", 0)], ids=["Ctrl-C", "q"])
async def test_plain_lines_on_a_terminal_have_keys_too(key: str, code: int, tmp_path: Path, quiet: Path) -> None:
    target = write(
        tmp_path / "talkative.py",
        f"{TALKATIVE}    def on_state_changed(self, event):\n        print(event.new.value, flush=True)\n",
    )
    files = ("--source", quiet, "--sink", tmp_path / "answer.wav")
    async with on_a_terminal(WITHOUT_SPEECH, "talk", target, "--emulator", "--plain", *files) as terminal:
        await terminal.until("Keys: space interrupts, m mutes, q hangs up.")
        await terminal.until("Connected.")
        terminal.press("m")
        await terminal.until("Muted.")
        await terminal.until("speaking")
        terminal.press(" ")
        await terminal.until("[not heard: ")
        assert not terminal.is_restored
        terminal.press(key)
        assert await terminal.end() == code
        assert terminal.is_restored
        assert "\x1b" not in terminal.codes


@SIGNALS
@pytest.mark.linux
async def test_ctrl_z_and_back(tmp_path: Path, quiet: Path) -> None:
    target = write(tmp_path / "talkative.py", TALKATIVE)
    files = ("--source", quiet, "--sink", tmp_path / "answer.wav")
    async with on_a_terminal(WITHOUT_SPEECH, "talk", target, "--emulator", "--plain", *files) as terminal:
        await terminal.until("Connected.")
        status = Path(f"/proc/{terminal.process.pid}/status")
        terminal.press("\x1a")
        await eventually(lambda: "T (stopped)" in status.read_text())
        assert terminal.is_restored
        terminal.process.send_signal(signal.SIGCONT)
        await eventually(lambda: not terminal.is_restored)
        terminal.press("q")
        assert await terminal.end() == 0
        assert terminal.is_restored


# --- devices ----------------------------------------------------------------------------------------------------

LAPTOP = [
    Device(0, "Built-in Microphone", "Core Audio", 1, 0, 48_000, is_default_input=True, is_default_output=False),
    Device(1, "Built-in Speaker", "Core Audio", 0, 2, 44_100, is_default_input=False, is_default_output=True),
    Device(12, "Headset", "Core Audio", 1, 2, 16_000, is_default_input=False, is_default_output=False),
]


def test_devices_are_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(devices, "list_devices", lambda: LAPTOP)
    assert cli.main(["devices"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "    Nr  Device               Host API    In  Out      Rate",
        ">    0  Built-in Microphone  Core Audio   1    -  48000 Hz",
        " <   1  Built-in Speaker     Core Audio   -    2  44100 Hz",
        "    12  Headset              Core Audio   1    2  16000 Hz",
        "",
        "> is the default microphone, < the default speaker. Name one with --input and --output.",
    ]


def test_devices_are_json_for_programs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(devices, "list_devices", lambda: LAPTOP[:1])
    assert cli.main(["devices", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "index": 0,
            "name": "Built-in Microphone",
            "host_api": "Core Audio",
            "inputs": 1,
            "outputs": 0,
            "rate": 48_000,
            "is_default_input": True,
            "is_default_output": False,
        }
    ]


@pytest.mark.parametrize(("options", "out"), [([], ""), (["--json"], "[]\n")])
def test_without_devices_there_are_files(
    options: list[str], out: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(devices, "list_devices", list)
    assert cli.main(["devices", *options]) == 2
    said = capsys.readouterr()
    assert said.out == out
    assert said.err.startswith("voicelive-agent: There is no sound card. Plug one in, or use files: ")


def test_without_portaudio_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> list[Device]:
        raise AudioDeviceError("The PortAudio library is missing.", hint="apt install libportaudio2")

    monkeypatch.setattr(devices, "list_devices", fail)
    assert cli.main(["devices"]) == 2
    assert capsys.readouterr().err == (
        "voicelive-agent: The PortAudio library is missing. apt install libportaudio2\n"
    )


@pytest.mark.parametrize(("text", "device"), [("3", 3), ("0", 0), ("Headset", "Headset"), ("3 in 1", "3 in 1")])
def test_a_device_is_a_number_or_a_name(text: str, device: int | str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[talk.Options] = []

    def note(options: talk.Options) -> int:
        seen.append(options)
        return 0

    monkeypatch.setattr(talk, "talk", note)
    assert cli.main(["talk", "--input", text, "--output", text, "--plain"]) == 0
    assert seen == [talk.Options(None, Audio(input=device, output=device), plain=True)]
