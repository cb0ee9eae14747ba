"""The examples that are servers, run as their docstrings say, and called by far ends."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from xml.etree import ElementTree

import aiohttp
import pytest

from voicelive_agent.emulator import Call, ScriptedBrain, serve

from ..agent_driver import spoken_samples
from ..faultserver import closed_port
from .far_acs import FarAcs
from .far_browser import FarBrowser
from .far_twilio import FarTwilio
from .kinds import KINDS

pytestmark = [pytest.mark.usefixtures("nothing_left"), pytest.mark.e2e, pytest.mark.alone]

EXAMPLES = Path(__file__).parents[2] / "examples"
GREETING = "City library, good morning!"
RULES = [(r"open on (\w+)", Call("opening_hours", {"day": r"\1"}))]


class Program:
    """An example that runs. ``out`` is what it printed, once it was ended."""

    def __init__(self, port: int) -> None:
        self.host = f"127.0.0.1:{port}"
        self.out = ""


@asynccontextmanager
async def running(example: str) -> AsyncIterator[Program]:
    """Run an example against an emulator until it is ended."""
    program = Program(port := closed_port())
    environ = {name: value for name, value in os.environ.items() if "VOICE" not in name} | {"PORT": str(port)}
    async with serve(brain=ScriptedBrain(RULES)) as emulator:
        endpoint = f"emulator:{emulator.url.rpartition(':')[2]}"
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(EXAMPLES / example),
            env=environ | {"AZURE_VOICELIVE_ENDPOINT": endpoint, "PYTHONIOENCODING": "utf-8"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(40):
                await listening(port, process)
                yield program
        finally:
            process.terminate()
            program.out = (await process.communicate())[0].decode()
            print(program.out)


async def listening(port: int, process: asyncio.subprocess.Process) -> None:
    """Wait until somebody answers at this port."""
    while True:
        assert process.returncode is None, "the example has ended"
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            await writer.wait_closed()
            return


async def a_stranger(url: str) -> None:
    """Somebody who connects and speaks no dialect."""
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as ws:
        await ws.send_str("{")
        assert (await ws.receive()).data == 1007


async def test_phone_twilio() -> None:
    async with running("phone_twilio.py") as program:
        async with aiohttp.ClientSession() as session:
            form = {"CallSid": "CA1", "From": "+15550100"}
            async with session.post(f"http://{program.host}/voice", data=form) as response:
                assert response.content_type == "text/xml"
                twiml = ElementTree.fromstring(await response.text())
        [stream] = twiml.findall("./Connect/Stream")
        assert stream.get("url") == f"wss://{program.host}/media"
        async with FarTwilio(f"ws://{program.host}/media") as phone:
            await phone.heard(spoken_samples(GREETING) / 24 - 5)
            await phone.say(KINDS["twilio"].speech(600))
            await phone.heard(spoken_samples(GREETING) / 24 + 300)  # an answer
            await phone.press("#")
            await phone.closed.wait()
        assert phone.close_code == 1000
        async with FarTwilio(f"ws://{program.host}/media") as another:
            await another.heard(200)
        await a_stranger(f"ws://{program.host}/media")
    assert "The far end was shut out (1007): not JSON" in program.out
    assert "Traceback" not in program.out
    assert f"{phone.call_sid} stopped" in program.out
    assert f"{another.call_sid} hung_up" in program.out


async def test_phone_acs() -> None:
    async with running("phone_acs.py") as program:
        async with aiohttp.ClientSession() as session:
            webhook = f"http://{program.host}/events"
            event = {
                "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
                "data": {"validationCode": "512d"},
            }
            async with session.post(webhook, json=[event]) as response:
                assert await response.json() == {"validationResponse": "512d"}
            event = {"eventType": "Microsoft.Communication.IncomingCall", "data": {"incomingCallContext": "eyJh"}}
            async with session.post(webhook, json=[event]) as response:
                assert response.status == 200
        async with FarAcs(f"ws://{program.host}/media", rate=24_000) as phone:
            await phone.heard(500)
            await phone.say(KINDS["browser"].speech(600))
            await phone.until(lambda: phone.cuts)
        await a_stranger(f"ws://{program.host}/media")
    assert "The far end was shut out (1007): not JSON" in program.out
    assert "Traceback" not in program.out
    assert "to be answered: eyJh" in program.out
    assert "cut off after about" in program.out
    assert "hung_up" in program.out


async def test_fastapi_app() -> None:
    async with running("fastapi_app.py") as program:
        url = f"ws://{program.host}/voice"
        async with FarBrowser(url) as page:
            await page.type("Are you open on Sunday?")
            await page.until(lambda: any(message["final"] for message in page.all("transcript")))
            await page.heard(len("closed") * 60 - 10)
        assert [message["text"] for message in page.all("transcript") if message["final"]] == ["closed"]
        assert {message["name"] for message in page.all("tool")} == {"opening_hours"}
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(url, origin="https://elsewhere.example")
            assert refused.value.status == 403
            ws = await session.ws_connect(url, origin=f"http://{program.host}")
            await ws.close()
