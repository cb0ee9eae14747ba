"""Clients that mean no good, on real servers, beside somebody who only wants to talk.

Each is shut out with a close code that says why, or goes as it came; and whoever calls at the same time notices
nothing: every sample is heard, and in time.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from pathlib import Path

import pytest

from voicelive_agent import EndReason
from voicelive_agent.emulator import ToneVoice, serve
from voicelive_agent.emulator._audio import OutputEncoder, OutputFormat
from voicelive_agent.errors import TransportError
from voicelive_agent.websocket import Limits

from ..agent_driver import Recorder
from .attacks import ATTACKS, Attack
from .desk import Desk, Held
from .far_twilio import FarTwilio
from .line import digest
from .servers import SERVERS

pytestmark = [pytest.mark.usefixtures("nothing_left"), pytest.mark.e2e, pytest.mark.alone]

LIMITS = Limits(start_s=0.8, idle_s=1.5)
STORY = "One two three four five six seven. " * 3
FILES = Path("/proc/self/fd")
ROOT = Path(__file__).parents[2]


def judge(what: Attack, answer: int | None, call: Held) -> None:
    """AssertionError if it did not end as it should."""
    who = f"{what.name} ({what.kind})"
    assert answer == what.code or (what.deaf and answer is None), f"{who}: closed with {answer}"
    if what.hangs_up:
        assert call.error is None, f"{who}: {call.error!r}"
        assert call.verdict is not None
        assert call.verdict.reason is EndReason.HUNG_UP, f"{who}: {call.verdict}"
    else:
        assert isinstance(call.error, TransportError), f"{who}: {call.error!r} {call.verdict}"
        assert what.code in (None, call.error.close_code), f"{who}: {call.error}"


async def attacked(url: str) -> list[int | None]:
    """Let somebody else's process do all of it."""
    command = [sys.executable, "-m", "tests.net.attacks", url]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0
    answers: list[int | None] = json.loads(out)
    return answers


def told() -> bytes:
    """The story as the service sends it to a telephone."""
    encoder = OutputEncoder(OutputFormat.named("g711_ulaw"), ToneVoice.rate, azure_voice=True)
    return b"".join(
        [chunk for piece in ToneVoice().speak(STORY) for chunk in encoder.feed(piece)] + encoder.finish()
    )


def silent_ms(phone: FarTwilio) -> float:
    """How long the line was silent between the first sound and the last."""
    (first, _), (last, before) = phone.line.sounds[0], phone.line.sounds[-1]
    return (last - first) * 1000 - phone.ms(before)


def open_files() -> int:
    """How many files and sockets this process has open, where that can be told."""
    gc.collect()
    return len(os.listdir(FILES)) if FILES.exists() else 0


@pytest.mark.parametrize("server", ["aiohttp", "starlette", "websockets"])
async def test_whoever_means_no_good_is_shut_out_and_nobody_else_notices(server: str) -> None:
    before = open_files()
    async with serve() as emulator:
        desk = Desk(lambda: Recorder(emulator.url, greeting=STORY), limits=LIMITS)
        async with SERVERS[server](desk.answer) as url, asyncio.timeout(50):
            async with FarTwilio(f"{url}twilio-good") as phone:
                await phone.heard(100)
                answers = await attacked(url)
                await phone.heard(phone.ms(len(told())))
            calls = [await desk.ended(f"{what.kind}-{number}") for number, what in enumerate(ATTACKS)]
            await desk.ended("twilio-good")
        assert emulator.connections == 0
    for what, answer, call in zip(ATTACKS, answers, calls, strict=True):
        judge(what, answer, call)
    assert desk.verdict("twilio-good").reason is EndReason.HUNG_UP
    assert digest(phone.line.played) == digest(told())
    assert silent_ms(phone) < 250  # all of this has one processor, and 400 ms of audio are with the telephone
    assert open_files() <= before
