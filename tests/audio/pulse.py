"""A sound card made of software: a PulseAudio server of our own, whose devices are null sinks.

Programs use it through ALSA and PortAudio like any other card. What they play is recorded by :class:`Recorder`,
which knows to a fraction of a millisecond *when* each sample was heard. Nothing of the user's own sound is
touched: the server, its socket and its settings live in a folder of the test.

Programs run in child processes, since PortAudio reads the environment once, when it is loaded, and since it takes
its process down when the sound server dies.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Final, Self

import numpy as np

from .recording import Recording, Samples

RENDER_MS: Final = 2
"""The period of the card while it is recorded: null sinks render in pieces of what a recorder asks for."""
START_S: Final = 20.0
PRIORITY: Final = -11
"""The same as PulseAudio's own."""
_TOOLS = {"pulseaudio": "pulseaudio", "pactl": "pulseaudio-utils", "pacat": "pulseaudio-utils"}
_PCM = 'pcm.{name} {{ type asym {direction}.pcm {{ type pulse device "{name}" }} }}\n'
_ALSA = """\
pcm.!default { type pulse }
ctl.!default { type pulse }
pcm.pulse { type pulse }
"""
_LONGEST_SOCKET = 107  # characters that fit into the address of a socket


def missing() -> str:
    """What this machine lacks for a virtual sound card; "" if nothing."""
    tools = [package for tool, package in _TOOLS.items() if shutil.which(tool) is None]
    plugin = list(Path("/usr/lib").glob("*/alsa-lib/libasound_module_pcm_pulse.so"))
    lacks = sorted({*tools, *([] if plugin else ["libasound2-plugins"])})
    return f"apt-get install {' '.join(lacks)}" if lacks else ""


def prefer(pid: int) -> None:
    """Let a program run before others, where we may: as desktops do with sound, which stutters otherwise."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, pid, PRIORITY)


class Card:
    """A sound server with a speaker (``speaker``) and a microphone (``mic``), as the default devices of programs.

    ``environ`` is the environment in which a program uses this card. Other devices come and go with
    :meth:`add_speaker`, :meth:`add_microphone` and :meth:`remove`, as if they were plugged in and out; each is
    also an ALSA device of its name, for programs that start after it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = os.environ | {
            "XDG_RUNTIME_DIR": str(folder),
            "PULSE_RUNTIME_PATH": str(folder),
            "PULSE_STATE_PATH": str(folder),
            "PULSE_COOKIE": str(folder / "cookie"),
            "PULSE_SERVER": f"unix:{folder / 'native'}",
            # The system's file first, which says how plug-ins are loaded.
            "ALSA_CONFIG_PATH": f"/usr/share/alsa/alsa.conf:{folder / 'asoundrc'}",
            "PYTHONIOENCODING": "utf-8",
        }
        for name in ("PULSE_SINK", "PULSE_SOURCE", "PULSE_LATENCY_MSEC"):
            self.environ.pop(name, None)
        self._devices: dict[str, tuple[str, list[str]]] = {}  # direction, and modules
        self._server: subprocess.Popen[bytes] | None = None
        self._voices: list[subprocess.Popen[bytes]] = []
        self._files = count()

    # --- the server ---

    def __enter__(self) -> Self:
        socket = self.folder / "native"
        if len(str(socket)) > _LONGEST_SOCKET:
            raise RuntimeError(f"{socket} is too long for a socket: set TMPDIR to a shorter folder.")
        self._write_devices()
        command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--disallow-exit=no"]
        command += [f"--log-target=file:{self.folder / 'pulse.log'}"]
        command += ["-L", f"module-native-protocol-unix auth-anonymous=1 socket={socket}"]
        with open(self.folder / "pulse.err", "wb") as errors:
            self._server = subprocess.Popen(command, env=self.environ, stdout=errors, stderr=errors)
        deadline = time.monotonic() + START_S
        while self._try("info").returncode:
            if time.monotonic() > deadline or self._server.poll() is not None:
                raise RuntimeError(f"pulseaudio did not start: {(self.folder / 'pulse.err').read_text()}")
            time.sleep(0.02)
        self.add_speaker("speaker")
        self.add_microphone("mic")
        self.make_default("speaker")
        self.make_default("mic")
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.kill()

    def kill(self) -> None:
        """The sound server dies, as a crash would have it."""
        for process in [*self._voices, *([self._server] if self._server else [])]:
            process.kill()
            process.wait()
        self._voices, self._server = [], None

    def pactl(self, *arguments: str) -> str:
        """What the server's control program answers."""
        done = self._try(*arguments)
        assert done.returncode == 0, f"pactl {' '.join(arguments)}: {done.stderr}"
        return done.stdout.strip()

    def _try(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["pactl", *arguments]
        return subprocess.run(command, env=self.environ, capture_output=True, text=True, timeout=10, check=False)

    # --- devices ---

    def add_speaker(self, name: str, rate: int = 48_000, channels: int = 2) -> None:
        """A speaker; what it is heard to play is recorded from ``name``."""
        self._add(name, "playback", ["module-null-sink", *self._sink(name, rate, channels)])

    def add_microphone(self, name: str, rate: int = 48_000) -> None:
        """A microphone, and the room in front of it: what is said into ``name_in`` it hears."""
        room = ["module-null-sink", *self._sink(f"{name}_in", rate, 1)]
        self._add(
            name, "capture", room, ["module-remap-source", f"source_name={name}", f"master={name}_in.monitor"]
        )

    def add_monitor(self, name: str, speaker: str) -> None:
        """A microphone that hears exactly what a speaker plays: nothing but echo."""
        self._add(name, "capture", ["module-remap-source", f"source_name={name}", f"master={speaker}.monitor"])

    def remove(self, name: str) -> None:
        """Pull the plug of a device, if it is there."""
        _, modules = self._devices.pop(name, ("", []))
        for module in reversed(modules):
            self.pactl("unload-module", module)
        self._write_devices()

    def make_default(self, name: str) -> None:
        """Let programs that do not choose have this device."""
        sinks = [line.split()[1] for line in self.pactl("list", "short", "sinks").splitlines()]
        self.pactl("set-default-sink" if name in sinks else "set-default-source", name)

    @staticmethod
    def _sink(name: str, rate: int, channels: int) -> tuple[str, ...]:
        # Without rewinds a sink never renders more than 50 ms ahead; it would begin with two seconds.
        return f"sink_name={name}", f"rate={rate}", f"channels={channels}", "norewinds=1"

    def _add(self, name: str, direction: str, *modules: list[str]) -> None:
        assert name not in self._devices, f"there is a {name}: speakers and microphones share their names"
        self._devices[name] = direction, [self.pactl("load-module", *module) for module in modules]
        self._write_devices()

    def _write_devices(self) -> None:
        devices = [_PCM.format(name=name, direction=direction) for name, (direction, _) in self._devices.items()]
        (self.folder / "asoundrc").write_text(_ALSA + "".join(devices))

    # --- the room ---

    @contextmanager
    def record(self, speaker: str = "speaker", *, render_ms: int = RENDER_MS) -> Iterator[Recorder]:
        """Record what a speaker (or ``mic_in``, the room of a microphone) is heard to play."""
        recorder = Recorder(self, speaker, render_ms)
        try:
            recorder.wait_for(3 * render_ms / 1000)
            yield recorder
        finally:
            recorder.close()

    def say(self, pcm: bytes | Samples, rate: int, into: str = "mic_in") -> subprocess.Popen[bytes]:
        """Say something (PCM16 mono) into the room of a microphone; the process ends when it was said."""
        path = self.folder / f"said-{next(self._files)}.raw"
        path.write_bytes(pcm if isinstance(pcm, bytes) else pcm.astype("<i2").tobytes())
        command = ["pacat", "--playback", f"--device={into}", f"--rate={rate}", "--channels=1", "--format=s16le"]
        command += ["--latency-msec=40", "--raw", str(path)]
        self._voices.append(subprocess.Popen(command, env=self.environ, stderr=subprocess.DEVNULL))
        prefer(self._voices[-1].pid)
        return self._voices[-1]


class Recorder:
    """Records a null sink, and when it was heard.

    A null sink renders a piece right before its first sample is due, and its monitor hands the piece out in the
    same moment. So the arrival of a piece, less what the scheduler added, is the time of its first sample less one
    piece. What the scheduler added is never negative and mostly a few hundredths of a millisecond: the earliest of
    many arrivals (each put back to the beginning of the recording by the samples in between) is free of it. No
    figure of PulseAudio, ALSA or PortAudio enters; ``test_pulse.py`` compares it with them.
    """

    def __init__(self, card: Card, speaker: str, render_ms: int) -> None:
        described = card.pactl("list", "sinks")
        found = re.search(
            rf"Name: {re.escape(speaker)}\n.*?Sample Specification: \S+ \d+ch (\d+)Hz", described, re.S
        )
        assert found, f"no sink {speaker}: {described}"
        self.rate = int(found[1])
        command = ["parec", f"--device={speaker}.monitor", f"--rate={self.rate}", "--channels=1", "--format=s16le"]
        command.append(f"--latency-msec={render_ms}")
        self._process = subprocess.Popen(command, env=card.environ, stdout=subprocess.PIPE)
        prefer(self._process.pid)
        self._pieces: list[tuple[float, bytes]] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while piece := os.read(descriptor, 1 << 16):
            self._pieces.append((time.monotonic(), piece))

    def wait_for(self, seconds: float) -> None:
        """Wait until so much more is recorded."""
        wanted = self.recorded + round(seconds * self.rate)
        deadline = time.monotonic() + seconds + START_S
        while self.recorded < wanted:
            assert time.monotonic() < deadline, "the speaker is not recorded"
            time.sleep(0.005)

    @property
    def recorded(self) -> int:
        """Samples so far."""
        return sum(len(piece) for _, piece in self._pieces) // 2

    def take(self) -> Recording:
        """What was recorded so far."""
        pieces = list(self._pieces)
        data = b"".join(piece for _, piece in pieces)
        samples = np.frombuffer(data[: len(data) // 2 * 2], "<i2")
        ends = np.cumsum([len(piece) // 2 for _, piece in pieces])
        return Recording(samples, self.rate, np.array([at for at, _ in pieces]), ends)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._thread.join()
        if self._process.stdout is not None:
            self._process.stdout.close()
