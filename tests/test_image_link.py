"""Images behind links, downloaded from a real server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import web

from voicelive_agent._image_link import download, is_link, shown_link
from voicelive_agent._images import MAX_IMAGE_BYTES, load_image
from voicelive_agent.errors import ImageError

from .faultserver import closed_port
from .test_images import png

Handler = Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """A server whose every page is what the handler makes of it; the address of its root."""
    server = web.Server(handler)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def picture(request: web.Request) -> web.StreamResponse:
    return web.Response(body=png(), content_type="application/octet-stream")


@pytest.mark.parametrize(
    ("image", "known"),
    [
        ("https://example.com/cat.png", True),
        ("HTTP://example.com/cat.png", True),
        ("data:image/png;base64,AAAA", False),
        ("ftp://example.com/cat.png", False),
        ("cat.png", False),
        (b"https://example.com/cat.png", False),
    ],
)
def test_what_a_link_is(image: object, known: bool) -> None:
    assert is_link(image) is known


def test_a_key_in_a_link_is_not_shown() -> None:
    assert shown_link("https://a.blob.example/cat.png?sig=secret#x") == "https://a.blob.example/cat.png"


async def test_what_is_behind_it_is_known_by_its_own_bytes() -> None:
    async with serving(picture) as root:
        data = await download(f"{root}/cat?sig=1")
    assert data == png()
    assert load_image(data, "the link").uri.startswith("data:image/png;base64,")


async def test_it_may_lead_elsewhere_but_not_for_ever() -> None:
    async def leading(request: web.Request) -> web.StreamResponse:
        step = int(request.path[1:])
        if step == 0:
            return await picture(request)
        raise web.HTTPFound(f"/{step - 1}")

    async with serving(leading) as root:
        assert await download(f"{root}/2") == png()
        with pytest.raises(ImageError, match=r"cannot be downloaded \(TooManyRedirects\)"):
            await download(f"{root}/9")


async def test_an_error_page_is_no_image() -> None:
    async def missing(request: web.Request) -> web.StreamResponse:
        return web.Response(status=404, body=png())

    async with serving(missing) as root:
        with pytest.raises(ImageError, match=r"cat answered with HTTP 404\. Check the link") as refused:
            await download(f"{root}/cat?sig=secret")
    assert "secret" not in str(refused.value)


async def test_no_more_is_read_than_an_image_may_have() -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionError):
            while True:
                await response.write(bytes(100_000))
                sent += 100_000
        return response

    async with serving(endless) as root:
        data = await download(root)
    assert len(data) == MAX_IMAGE_BYTES + 1
    assert sent < 5 * MAX_IMAGE_BYTES, "what nobody reads is in the buffers of the socket"
    with pytest.raises(ImageError, match="the link is larger than 3 MB"):
        load_image(data, "the link")


async def test_nobody_waits_for_ever() -> None:
    forgotten = asyncio.Event()

    async def silent(request: web.Request) -> web.StreamResponse:
        await forgotten.wait()
        return await picture(request)

    async with serving(silent) as root:
        with pytest.raises(ImageError, match=r"took longer than 0\.05 s"):
            await download(root, limit_s=0.05)
        forgotten.set()


@pytest.mark.parametrize("place", ["127.0.0.1:closed", ""])
async def test_where_nothing_is_the_error_names_the_link_and_no_key(place: str) -> None:
    place = place.replace("closed", str(closed_port()))
    with pytest.raises(ImageError, match=f"http://{place}/cat cannot be downloaded") as refused:
        await download(f"http://{place}/cat?sig=secret")
    assert "secret" not in str(refused.value)
