"""``VoiceAgent.talk()``: a conversation for programs that are not asynchronous, and how Ctrl-C ends it."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Self

import pytest

from voicelive_agent import EndReason, Verdict, VoiceAgent, WavSource, devices
from voicelive_agent.audio import AudioFormat
from voicelive_agent.emulator import serve
from voicelive_agent.events import SessionStarted
from voicelive_agent.testing import MemorySink, connect

from .agent_driver import Microphone, emulated, silence, source
from .faultserver import CREATED, FaultServer, Peer
from .test_lifecycle import SIGNALS, ended, line_with, program

SPEAK = """
import os, sys
from voicelive_agent import State, StateChanged, VoiceAgent, WavSink
from voicelive_agent.testing import MemorySource

class Talkative(VoiceAgent):
    greeting = "One two three four five six seven eight nine ten. " * 10

    def on_state_changed(self, event):
        if event.new is State.SPEAKING:
            print("SPEAKING", flush=True)

speaker = WavSink(sys.argv[2])
verdict = Talkative(sys.argv[1]).talk(MemorySource(*[bytes(960)] * 3_000), speaker)
print(verdict.reason.value, verdict.detail, "pending", speaker.pending)
speaker.close()
"""


class Device:
    """A microphone or a speaker that writes down what is done with it."""

    made: list[str]

    async def __aenter__(self) -> Self:
        self.made.append(f"open {type(self).__name__}")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.made.append(f"close {type(self).__name__}")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done with the sound card, of which there is none."""
    log: list[str] = []

    class FakeMicrophone(Device, Microphone):
        made = log

    class FakeSpeaker(Device, MemorySink):
        made = log

    monkeypatch.setattr(devices, "Microphone", FakeMicrophone)
    monkeypatch.setattr(devices, "Speaker", FakeSpeaker)
    return log


class Brief(VoiceAgent):
    """Hangs up as soon as the service has answered."""

    def __init__(self) -> None:
        super().__init__(connect(emulated()))

    def on_session_started(self, event: SessionStarted) -> None:
        self.stop()


def test_without_anything_it_is_microphone_and_speaker(made: list[str]) -> None:
    assert Brief().talk() == Verdict(EndReason.STOPPED)
    assert made == ["open FakeSpeaker", "open FakeMicrophone", "close FakeMicrophone", "close FakeSpeaker"]


def test_what_is_given_is_used_and_not_closed(made: list[str]) -> None:
    sink = MemorySink(AudioFormat())
    agent = VoiceAgent(connect(emulated()), greeting="Hi.")
    assert agent.talk(source(silence(500)), sink) == Verdict(EndReason.SOURCE_FINISHED)
    assert sink.played
    assert made == []


def test_only_what_is_missing_is_opened(made: list[str]) -> None:
    Brief().talk(sink=MemorySink(AudioFormat()))
    assert made == ["open FakeMicrophone", "close FakeMicrophone"]
    made.clear()
    Brief().talk(source(silence(20)))
    assert made == ["open FakeSpeaker", "close FakeSpeaker"]


def test_what_a_hook_raises_comes_out_as_it_was(made: list[str]) -> None:
    class Failing(Brief):
        def on_session_started(self, event: SessionStarted) -> None:
            raise LookupError("in a hook")

    with pytest.raises(LookupError, match="in a hook"):
        Failing().talk()
    assert made[-1] == "close FakeSpeaker"


async def test_inside_of_an_event_loop_it_says_what_to_use() -> None:
    with pytest.raises(RuntimeError, match=r"await agent\.run\("):
        Brief().talk()


@SIGNALS
async def test_ctrl_c_is_how_it_ends(tmp_path: Path) -> None:
    heard = tmp_path / "heard.wav"
    async with serve() as server:
        async with program("-c", SPEAK, server.url, heard) as process:
            await line_with(process, "SPEAKING")
            process.send_signal(signal.SIGINT)
            assert await ended(process) == (0, "stopped Ctrl-C pending 0\n", "")
    assert WavSource(heard).duration_s < 15  # of 30 s of speech


@SIGNALS
async def test_ctrl_c_says_goodbye_to_the_service(tmp_path: Path) -> None:
    codes: list[int | None] = []

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.text(CREATED)
        await peer.read_text()
        await peer.text({"type": "session.updated", "session": {}})
        await peer.text({"type": "response.created", "response": {"id": "r"}})
        audio = {"type": "response.audio.delta", "response_id": "r", "item_id": "i", "delta": "AAAA" * 100_000}
        await peer.text(audio)
        codes.append(await peer.closing())
        await peer.close(1000)

    async with FaultServer(script) as server:
        async with program("-c", SPEAK, server.url, tmp_path / "heard.wav") as process:
            await line_with(process, "SPEAKING")
            process.send_signal(signal.SIGINT)
            code, _, errors = await ended(process)
        await server.finished()
    assert (code, errors) == (0, "")
    assert codes == [1000]


@SIGNALS
async def test_ctrl_c_before_the_service_has_answered(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        asked.set()
        await peer.read()

    async with FaultServer(script) as server:
        async with program("-c", SPEAK, server.url, tmp_path / "heard.wav") as process:
            await asked.wait()
            process.send_signal(signal.SIGINT)
            assert await ended(process) == (0, "stopped Ctrl-C pending 0\n", "")
