"""The code of the guides about transports, run against the far ends that the guides are about."""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from voicelive_agent.emulator import serve
from voicelive_agent.websocket import Limits
from voicelive_agent.websocket._limits import MESSAGE_COST
from voicelive_agent.websocket.browser import MAX_TEXT, RATES

from .net.far_acs import FarAcs
from .net.far_browser import FIELDS, FarBrowser
from .net.far_twilio import FarTwilio
from .net.servers import _uvicorn

GUIDES = Path(__file__).parents[1] / "docs" / "how-to"
PAGE_SAYS = ["hello", "played", "interrupt", "text", "ping", "pong", "bye"]


def blocks(page: str) -> list[str]:
    text = (GUIDES / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def run_blocks(page: str, *, without: str = "") -> dict[str, Any]:
    """What the code of a page defines, but for the blocks that need a package we do not have."""
    namespace: dict[str, Any] = {"__name__": "guide"}
    for code in blocks(page):
        if not without or without not in code:
            exec(code, namespace)
    return namespace


@pytest.fixture
async def emulated(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """A service for those who ask the environment."""
    async with serve() as server:
        monkeypatch.setenv("AZURE_VOICELIVE_ENDPOINT", server.url)
        yield


@asynccontextmanager
async def aiohttp_served(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def websockets_served(handler: Any) -> AsyncIterator[str]:
    from websockets.asyncio.server import serve as serve_websockets

    async with serve_websockets(handler, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"


# --- a sound card ---------------------------------------------------------------------------------------------


def test_the_code_for_a_sound_card_runs_without_one() -> None:
    guide = run_blocks("sound-card.md")
    assert {"converse", "converse_with_reference", "converse_in_turns", "main"} <= guide.keys()


# --- a telephone ----------------------------------------------------------------------------------------------


@pytest.fixture
def telephone() -> dict[str, Any]:
    return run_blocks("telephone.md", without="azure.communication")


async def test_somebody_calls_by_twilio_and_presses_a_key(telephone: dict[str, Any], emulated: None) -> None:
    async with aiohttp_served(telephone["app"]) as url, FarTwilio(url + "twilio/audio") as far:
        await far.heard(200)
        await far.press("#")
        await far.closed.wait()
    assert far.close_code == 1000


async def test_somebody_calls_by_communication_services(telephone: dict[str, Any], emulated: None) -> None:
    async with aiohttp_served(telephone["app"]) as url, FarAcs(url + "acs/audio") as far:
        await far.heard(200)


async def test_the_webhook_names_the_other_address(telephone: dict[str, Any]) -> None:
    request = type("Request", (), {"host": "library.example"})
    response = await telephone["incoming"](request)
    assert (response.content_type, response.text) == (
        "text/xml",
        '<Response><Connect><Stream url="wss://library.example/twilio/audio"/></Connect></Response>',
    )


def test_the_signature_is_that_of_twilios_documentation(telephone: dict[str, Any]) -> None:
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    form = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675309",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
    }
    good = "RSOYDt4T1cUTdK1PDd93/VVr8B8="
    check = telephone["is_from_twilio"]
    assert check(url, good, "12345", form)
    assert not check(url, good, "12346", form)
    assert not check(url + "1", good, "12345", form)
    assert not check(url, good, "12345", {**form, "Digits": "1235"})
    of_the_socket = b64encode(hmac.digest(b"12345", b"wss://library.example/twilio/audio", hashlib.sha1)).decode()
    assert check("wss://library.example/twilio/audio", of_the_socket, "12345")


# --- a page ---------------------------------------------------------------------------------------------------


def served(framework: str, guide: dict[str, Any]) -> AbstractAsyncContextManager[str]:
    match framework:
        case "aiohttp":
            return aiohttp_served(guide["aiohttp_app"])
        case "websockets":
            return websockets_served(guide["plain_voice"])
        case _:
            return _uvicorn(guide[f"{framework}_app"])  # Quart's are ASGI too


@pytest.mark.parametrize("framework", ["fastapi", "aiohttp", "quart", "websockets"])
async def test_a_page_talks_to_an_agent_in_every_framework(framework: str, emulated: None) -> None:
    for package in ("fastapi", "quart", "websockets", "uvicorn"):
        pytest.importorskip(package)
    guide = run_blocks("websocket.md")
    async with served(framework, guide) as url, FarBrowser(url + "voice") as page:
        await page.type("Is anybody there?")
        await page.heard(200)


def test_the_tables_of_messages_are_whole() -> None:
    text = (GUIDES / "websocket.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\|[^|]*\|$", text, re.MULTILINE)
    tables = [(kind, fields) for kind, fields in rows if fields.strip() != "Fields"]
    said = {kind: set(re.findall(r"`(\w+)`", fields)) for kind, fields in tables[: len(PAGE_SAYS)]}
    told = {kind: set(re.findall(r"`(\w+)`", fields)) for kind, fields in tables[len(PAGE_SAYS) :]}
    assert list(said) == PAGE_SAYS
    assert said["hello"] == {"rate", "ticket"}
    assert said["played"] == {"samples", "generation"}
    assert {kind: fields for kind, fields in told.items() if kind in FIELDS} == FIELDS


def test_the_figures_are_those_of_the_code() -> None:
    text = (GUIDES / "websocket.md").read_text(encoding="utf-8")
    usual = Limits()
    for name in ("max_message_bytes", "bytes_per_s", "start_s", "idle_s"):
        assert re.search(rf"^\| `{name}`[^|]*\| {getattr(usual, name):,.0f} \|", text, re.MULTILINE), name
    assert f"with {MESSAGE_COST} bytes added" in text
    assert f"`burst_s` ({usual.burst_s:.0f} s)" in text
    assert f"{RATES.start:,} to {RATES.stop - 1:,} Hz" in text
    assert f"1 to {MAX_TEXT:,} characters" in text
