"""From the far end to the service and back, bit for bit: what both sides speak is not transcoded on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import pytest

from voicelive_agent import EndReason, _pcm

from ..agent_driver import Recorder
from .desk import Desk
from .echo_service import echoing
from .far import FarEnd
from .far_acs import FarAcs
from .far_browser import FarBrowser
from .far_twilio import FarTwilio
from .line import digest
from .servers import serve_aiohttp

pytestmark = [pytest.mark.usefixtures("nothing_left"), pytest.mark.e2e, pytest.mark.alone]

SAID_MS, ECHOED_MS = 2_000, 1_200

Formats = dict[str, Any]
ULAW = {"input_audio_format": "g711_ulaw", "input_audio_sampling_rate": 8_000, "output_audio_format": "g711_ulaw"}


def pcm(rate: int, output: str) -> Formats:
    return {
        "input_audio_format": "pcm16",
        "input_audio_sampling_rate": rate,
        "output_audio_format": output,
    }


@pytest.fixture
def converters(monkeypatch: pytest.MonkeyPatch) -> list[_pcm.Converter]:
    """All converters that are made. One that is the identity gives back the very object that it is given."""
    made: list[_pcm.Converter] = []

    class Watched(_pcm.Converter):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(self)

        def process(self, data: bytes) -> bytes:
            result = super().process(data)
            assert result is data
            return result

    monkeypatch.setattr(_pcm, "Converter", Watched)
    return made


@pytest.mark.parametrize(
    ("name", "make", "formats"),
    [
        ("twilio", FarTwilio, ULAW),
        ("twilio", partial(FarTwilio, packet_ms=20), ULAW),
        ("acs", partial(FarAcs, rate=16_000), pcm(16_000, "pcm16_16000hz")),
        ("acs", partial(FarAcs, rate=24_000), pcm(24_000, "pcm16")),
        ("browser", partial(FarBrowser, rate=24_000), pcm(24_000, "pcm16")),
        ("browser", partial(FarBrowser, rate=16_000), pcm(16_000, "pcm16_16000hz")),
        ("browser", partial(FarBrowser, rate=8_000), pcm(8_000, "pcm16_8000hz")),
    ],
)
async def test_every_byte_goes_to_the_service_and_comes_back(
    name: str, make: Callable[[str], FarEnd], formats: Formats, converters: list[_pcm.Converter]
) -> None:
    line = make("ws://nowhere/").line
    ms = line.rate * line.sample_bytes // 1000
    # Every code there is, and no two pieces alike: what is lost, doubled or out of order shows.
    said = bytes(range(256)) + Random(7).randbytes(SAID_MS * ms - 256)
    async with echoing(limit=ECHOED_MS * ms) as service:
        desk = Desk(lambda: Recorder(service.url))
        async with serve_aiohttp(desk.answer) as url, asyncio.timeout(30):
            async with make(url + name) as far:
                await far.say(said)
                await far.heard(ECHOED_MS)
                heard = bytes(service.heard)
            call = await desk.ended(name)
    assert desk.verdict(name).reason is EndReason.HUNG_UP
    assert {key: service.session[key] for key in formats} == formats
    # What the service heard is what was said, from where it began to listen, without a gap.
    assert digest(said) == digest(bytes(far.sent[: len(said)]))
    assert heard in bytes(far.sent)
    assert len(heard) >= len(service.echoed) == ECHOED_MS * ms
    assert digest(far.line.played) == digest(heard[: ECHOED_MS * ms])
    assert call.audio.stats.skipped_ms <= 200
    assert [converter.identity for converter in converters] == [True, True]
