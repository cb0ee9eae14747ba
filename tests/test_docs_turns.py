"""The guide to turns: its code runs, and does what the text around it says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.test_docs import DOCS, blocks, read
from tests.test_image_link import serving
from tests.test_images import GIF_START, JPEG, PICTURE, png

from voicelive_agent import SessionConfig, State, VoiceAgent
from voicelive_agent._image_link import download
from voicelive_agent._images import MAX_IMAGE_BYTES, load_image
from voicelive_agent.errors import ImageError
from voicelive_agent.events import AgentSpoke, TurnEnded, UserSpoke

from .agent_driver import LONG, Line, Microphone, Recorder, calling, emulated, sink, tone, virtual

PAGE = DOCS / "how-to" / "turns.md"


@pytest.fixture(scope="module")
def guide() -> dict[str, Any]:
    """The names that the page's code defines."""
    namespace: dict[str, Any] = {"__name__": "guide"}
    exec("\n".join(blocks(PAGE)), namespace)
    return namespace


def recording(kind: type[VoiceAgent], line: Line) -> Any:
    """An agent of this kind that writes down its events."""
    return type(kind.__name__, (Recorder, kind), {})(line)


@virtual
async def test_open_microphone(guide: dict[str, Any]) -> None:
    line = Line(says=["my number is"])
    agent = recording(guide["Patient"], line)
    async with calling(agent, Microphone(tone(500)), sink()):
        await agent.until(lambda: agent.all(TurnEnded))
    assert line.sent("session.update")[0]["session"]["turn_detection"]["silence_duration_ms"] == 900


@virtual
async def test_push_to_talk(guide: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    import anyio

    agent = recording(guide["Walkie"], Line(says=["hello"]))
    async with calling(agent, Microphone(tone(1000)), sink()):
        agent.button(True)
        await anyio.sleep(0.5)
        agent.button(False)
        await agent.until(lambda: agent.all(TurnEnded))
    assert [event.text for event in agent.all(UserSpoke)] == ["hello"]
    assert capsys.readouterr().out.split("\n")[:3] == ["not recording", "recording", "not recording"]


@virtual
async def test_text(guide: dict[str, Any]) -> None:
    line = Line()
    agent = Recorder(line)
    async with calling(agent):
        guide["greet"](agent)
        await agent.until(lambda: agent.all(TurnEnded))
        assert len(line.sent("response.create")) == 1
        guide["insist"](agent, "Now!")
        await agent.until(lambda: len(agent.all(TurnEnded)) == 2)
    assert [item.text for item in agent.history if item.role == "user"][2:] == ["Now!"]


async def test_images(guide: dict[str, Any], tmp_path: Path) -> None:
    photo = tmp_path / "sign.jpg"
    photo.write_bytes(JPEG)
    show: Callable[[VoiceAgent, Path], Awaitable[None]] = guide["show"]
    agent = Recorder(Line(lambda: emulated(("32x16", "Exit."))))
    async with calling(agent):
        await show(agent, photo)
        await agent.until(lambda: agent.all(TurnEnded))
    assert [event.text for event in agent.all(AgentSpoke)] == ["Exit."]


@virtual
async def test_all_of_it(guide: dict[str, Any], tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(png())
    agent = Recorder(Line(says=["what is this"]), config=SessionConfig(turn_detection=None))
    async with calling(agent, Microphone(tone(3000)), sink()):
        await guide["visit"](agent, photo)
        await agent.until(lambda: agent.all(TurnEnded) and agent.state is State.READY)
    assert [item.text for item in agent.history if item.role == "user"] == [
        "The visitor stands in room 3.",
        "what is this",
        f"And this? [image/png, {len(png())} bytes]",
        "Thank you!",
    ]


@virtual
async def test_text_does_not_silence_the_agent() -> None:
    class Talker(Recorder):
        greeting = LONG

    agent = Talker(Line())
    async with calling(agent, None, sink()):
        await agent.reach(State.SPEAKING)
        agent.send_text("one")
        agent.send_text("two")
        await agent.until(lambda: len(agent.all(TurnEnded)) == 2 and agent.state is State.READY)
    assert [turn.status for turn in agent.all(TurnEnded)] == ["completed", "completed"]


@pytest.mark.parametrize(
    ("image", "row"),
    [
        (b"%PDF-1.7", "another kind"),
        (JPEG[:-2], "a file that is cut off"),
        (GIF_START + PICTURE * 12, "a picture that moves"),
    ],
)
def test_the_errors_are_quoted_as_they_are(image: bytes | str, row: str) -> None:
    with pytest.raises(ImageError) as refused:
        load_image(image)
    assert str(refused.value).startswith(quoted(row))


async def test_so_is_that_of_a_link() -> None:
    async def missing(request: web.Request) -> web.StreamResponse:
        return web.Response(status=404)

    async with serving(missing) as root:
        with pytest.raises(ImageError) as refused:
            await download(f"{root}/cat.png")
    assert str(refused.value).startswith(quoted("a link that leads nowhere").replace("https://example.com", root))


def quoted(row: str) -> str:
    """The error that the table has in this row, up to where it leaves out the rest."""
    (line,) = (line for line in read(PAGE).splitlines() if line.startswith(f"| {row} "))
    return line.split("`")[1].removesuffix(", ...")


def test_the_limit_is_that_of_the_code() -> None:
    assert f"It may have {MAX_IMAGE_BYTES // 1_000_000} MB" in read(PAGE)
