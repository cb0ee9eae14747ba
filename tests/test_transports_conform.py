"""Every transport of ours keeps the contracts, as the public checks understand them.

Files and memory in virtual time, WebSockets over real ones with far ends that play in real time, and the sound
card through PortAudio on a virtual one.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from voicelive_agent import AudioFormat, WavSink, WavSource, _conformance
from voicelive_agent.audio import AudioSink, AudioSource
from voicelive_agent.files import FileSource
from voicelive_agent.testing import MemorySink, MemorySource, check_sink, check_source
from voicelive_agent.websocket import WebSocketAudio, WebSocketLike

from .agent_driver import Microphone, silence, sink, source, virtual
from .audio.pulse import Card, missing
from .net.far import FarEnd
from .net.far_browser import FarBrowser
from .net.kinds import KINDS
from .net.servers import serve_aiohttp

RECORDINGS = Path(__file__).parent / "data" / "audio"
FORMATS = [
    AudioFormat(),
    AudioFormat(rate=8_000),
    AudioFormat(rate=44_100, channels=2),
    AudioFormat("g711_ulaw", 8_000),
    AudioFormat("g711_alaw", 8_000),
]

PATIENCE_MS = 10_000
"""How much later than in time something may be that this very process, which may not be let run, has to do."""


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second of speech may take long; that it does not come too soon is as strict as ever."""
    monkeypatch.setattr(_conformance, "LATE_MS", PATIENCE_MS)


# --- memory and files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS, ids=str)
@virtual
async def test_memory(format: AudioFormat) -> None:
    await check_sink(MemorySink(format, clock=anyio.current_time))
    block = bytes(format.rate // 50 * format.frame_bytes)
    for paced in (True, False):
        await check_source(MemorySource(*[block] * 100, format=format, paced=paced), live=paced)


@virtual
async def test_what_our_own_tests_speak_and_listen_with() -> None:
    await check_sink(sink(rate=16_000))
    await check_source(source(silence(3_000)), live=True)
    await check_source(Microphone(), live=True)


@pytest.mark.parametrize("rate", [8_000, 24_000, 44_100])
@pytest.mark.parametrize("speed", [1.0, 8.0])
@virtual
async def test_a_wav_file_as_a_sink(rate: int, speed: float, tmp_path: Path) -> None:
    async with WavSink(tmp_path / "heard.wav", rate=rate, speed=speed, clock=anyio.current_time) as recorder:
        await check_sink(recorder, speed=speed)
    assert WavSource(tmp_path / "heard.wav").frames > rate // 2


@pytest.mark.parametrize("make", [WavSource, FileSource])
@virtual
async def test_a_file_as_a_source(make: Callable[..., AudioSource]) -> None:
    path = RECORDINGS / "cards_001.wav"
    await check_source(make(path), live=True)
    await check_source(make(path, speed=None), chunks=10_000)  # to its end


async def test_a_wav_file_in_real_time(tmp_path: Path) -> None:
    async with WavSink(tmp_path / "heard.wav") as recorder:
        await check_sink(recorder, latency_ms=PATIENCE_MS)


# --- WebSockets ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def called(kind: str, far: Callable[[str], FarEnd] | None = None) -> AsyncIterator[WebSocketAudio[Any]]:
    """A far end of this kind has called, and is silent, in no more than real time."""
    answered: asyncio.Future[WebSocketAudio[Any]] = asyncio.Future()
    over = asyncio.Event()

    async def answer(ws: WebSocketLike, name: str) -> None:
        async with WebSocketAudio(ws, KINDS[name].dialect()) as audio:
            answered.set_result(audio)
            await over.wait()

    async with serve_aiohttp(answer) as url:
        caller = (far or KINDS[kind].far)(url + kind)
        caller.catches_up = False
        async with caller:
            try:
                yield await answered
            finally:
                over.set()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_websocket_as_a_sink(kind: str) -> None:
    async with called(kind) as audio:
        await check_sink(audio, latency_ms=PATIENCE_MS)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_websocket_as_a_source(kind: str) -> None:
    async with called(kind) as audio:
        await check_source(audio, live=True)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_websocket_whose_far_end_has_left(kind: str) -> None:
    async with called(kind) as audio:
        left: AudioSink = audio
        left.write(bytes(960))
    assert (left.pending, audio.in_flight) == (0, 0)
    left.write(bytes(960))
    left.flush()
    assert left.pending == 0
    rest = sum([len(chunk) async for chunk in audio])  # what was said and not yet taken, and then it is over
    assert rest <= audio.format.rate * audio.format.frame_bytes // 5


async def test_a_page_that_never_says_what_was_heard() -> None:
    with pytest.raises(AssertionError, match="must fall to 0"):
        async with called("browser", lambda url: FarBrowser(url, reports=False)) as audio:
            await check_sink(audio)


# --- the sound card ------------------------------------------------------------------------------------------

CARD_PROGRAM = """
import anyio
from voicelive_agent.devices import Microphone, SoundCard, Speaker
from voicelive_agent.testing import check_sink, check_source

async def main():
    async with Speaker() as speaker:
        await check_sink(speaker)
    async with Microphone() as microphone:
        await check_source(microphone, live=True)
    async with SoundCard(echo_reference=True) as card:
        await check_sink(card.speaker)
        await check_source(card.microphone, live=True)
    print("kept")

anyio.run(main)
"""


@pytest.mark.audio
@pytest.mark.linux
@pytest.mark.skipif(bool(missing()), reason=f"no virtual sound card: {missing()}")
def test_the_sound_card(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Card(tmp_path_factory.mktemp("card")) as card:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", CARD_PROGRAM],
            env=card.environ,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
    assert done.stdout == "kept\n", done.stderr
