"""An image behind a link, downloaded by this program: the service takes data, and fetches nothing from the web."""

from __future__ import annotations

import re
from typing import Final, TypeGuard

from ._images import MAX_IMAGE_BYTES
from .errors import ImageError

LIMIT_S: Final = 10.0
"""How long a download may take in all: somebody waits for the answer about it."""
MAX_REDIRECTS: Final = 3


def is_link(image: object) -> TypeGuard[str]:
    """Whether this is the address of an image on the web."""
    return isinstance(image, str) and re.match(r"https?://", image, re.IGNORECASE) is not None


def shown_link(link: str) -> str:
    """The link as errors show it: without its query, which may be a key to it."""
    return re.split(r"[?#]", link, maxsplit=1)[0][:120]


async def download(link: str, *, limit_s: float = LIMIT_S) -> bytes:
    """What is behind the link, as far as an image may be long, and a byte more if it is longer.

    Raises :class:`~voicelive_agent.errors.ImageError` where it cannot be had.
    """
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=limit_s)
    data = bytearray()
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(link, max_redirects=MAX_REDIRECTS) as response,
        ):
            if response.status != 200:
                fault = f"{shown_link(link)} answered with HTTP {response.status}."
                raise ImageError(fault, hint="Check the link, or give the image itself.")
            async for chunk in response.content.iter_chunked(65_536):
                data += chunk
                if len(data) > MAX_IMAGE_BYTES:
                    break
    except TimeoutError as error:
        raise ImageError(
            f"{shown_link(link)} took longer than {limit_s:g} s.", hint="Give the image itself."
        ) from error
    except aiohttp.ClientError as error:
        # Not the error's own words: they may have the whole link in them.
        fault = f"{shown_link(link)} cannot be downloaded ({type(error).__name__})."
        raise ImageError(fault, hint="Check the link, or give the image itself.") from error
    return bytes(data[: MAX_IMAGE_BYTES + 1])
