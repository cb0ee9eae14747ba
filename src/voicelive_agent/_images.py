"""Images for the agent: what they are, checked by their first bytes, and as the service takes them.

The service takes an image as a data URI in an item of the conversation. A file is only read where a ``Path`` names
it, so that text from a stranger never does.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

from .errors import ImageError

Detail: TypeAlias = Literal["auto", "low", "high"]
"""How closely the model looks: low costs fewer tokens, auto leaves it to the model."""

MAX_IMAGE_BYTES: Final = 3_000_000
"""The largest image. The service documents no limit of its own; but it sends an item back when it is created, and
what is longer than 4 MiB (the SDK's limit, and ours) ends the connection. In base64 this is 4,000,000 bytes."""

KINDS: Final = ("image/png", "image/jpeg", "image/webp", "image/gif")

_SIGNATURES: Final[tuple[tuple[bytes, str], ...]] = (
    (rb"\x89PNG\r\n\x1a\n", "image/png"),
    (rb"\xff\xd8\xff", "image/jpeg"),
    (rb"GIF8[79]a", "image/gif"),
    (rb"RIFF....WEBP", "image/webp"),
    (rb"RIFF....WAVE", "audio/wav"),
    (rb"BM", "image/bmp"),
    (rb"II\*\x00|MM\x00\*", "image/tiff"),
    (rb"....ftypavi[fs]", "image/avif"),
    (rb"....ftyp(hei[cfmsx]|hev[cmsx]|mif1|msf1)", "image/heic"),
    (rb"....ftyp", "video/mp4"),
    (rb"\x00\x00\x01\x00", "image/x-icon"),
    (rb"%PDF-", "application/pdf"),
    (rb"\s*(<\?xml|<svg|<!DOCTYPE svg)", "image/svg+xml"),
    (rb"\s*(<!DOCTYPE html|<html)", "text/html"),
)
"""How the kinds of files begin that people have: those that are taken, and those that are named when refused."""

_OTHER_NAMES: Final = {"image/jpg": "image/jpeg"}
"""Names that data URIs have for a kind, and that are not its own."""

_DATA_URI: Final = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(;[\w.=+-]+)*?(;base64)?,", re.ASCII | re.IGNORECASE)

_STILL: Final = "Models look at still images (for OpenAI's it is documented): give one picture of it."


@dataclass(frozen=True, slots=True)
class Image:
    """An image that the service will take."""

    uri: str
    note: str
    """What the history shows: ``[image/png, 12,345 bytes]``."""

    def part(self, detail: Detail) -> dict[str, Any]:
        """The image as a part of an item."""
        return {"type": "input_image", "image_url": self.uri, "detail": detail}


def check_detail(detail: object) -> None:
    """Refuse what is no level of detail, with an ImageError."""
    if detail not in get_args(Detail):
        raise ImageError(f"detail is {detail!r:.40}.", hint="It is auto, low or high.")


def load_image(image: bytes | bytearray | memoryview | Path | str, where: str = "The image") -> Image:
    """Read, check and encode an image, which errors call ``where`` unless it is a file; blocks while one is read.

    Raises :class:`~voicelive_agent.errors.ImageError` for what is no image that the service takes, OSError for a
    file that cannot be read, and TypeError for anything else than bytes, a Path or a data URI.
    """
    claimed = None
    match image:
        case Path():
            where = str(image)
            with image.open("rb") as file:
                data = file.read(MAX_IMAGE_BYTES + 1)
        case bytes() | bytearray() | memoryview():
            data = bytes(image)
        case str():
            data, claimed = _from_uri(image)
        case _:
            raise TypeError(f"This is no image: {image!r:.80}. An image is bytes, a Path or a data URI.")
    kind = _checked(where, data, claimed)
    uri = f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
    return Image(uri, f"[{kind}, {len(data):,} bytes]")


def _checked(where: str, data: bytes, claimed: str | None) -> str:
    """The kind of an image that may be sent; ``claimed`` is what its data URI says."""
    if not data:
        raise ImageError(f"{where} is empty.")
    if len(data) > MAX_IMAGE_BYTES:
        limit = f"{MAX_IMAGE_BYTES // 1_000_000} MB"
        raise ImageError(f"{where} is larger than {limit}.", hint="Scale it down: models look at far less.")
    kind = next((kind for start, kind in _SIGNATURES if re.match(start, data, re.DOTALL)), "of an unknown kind")
    if kind not in KINDS:
        raise ImageError(f"{where} is {kind}.", hint=f"The service takes {', '.join(KINDS)}: convert it.")
    if _OTHER_NAMES.get(claimed or kind, claimed or kind) != kind:
        raise ImageError(f"{where} says that it is {claimed}, and is {kind}.", hint="Mend the data URI.")
    pictures, whole = _ENDS[kind](data)
    if pictures > 1:
        raise ImageError(f"{where} is an animated {kind} of {pictures} pictures.", hint=_STILL)
    if not whole:
        raise ImageError(f"{where} is {kind} that is cut off.", hint="Its end is missing: was all of it read?")
    return kind


# How many pictures it has, as far as that can be told, and whether its end is there. What is complete but for the
# mark of its end, and what has something after it, is shown by every program, and so taken.


def _png_end(data: bytes) -> tuple[int, bool]:
    return 1, b"IEND" in data


def _jpeg_end(data: bytes) -> tuple[int, bool]:
    at = 2
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] != b"\xda":  # a thumbnail has an end of its own
        filling = data[at + 1 : at + 2] == b"\xff"
        at += 1 if filling else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return 1, b"\xff\xd9" in data[at:]


def _webp_end(data: bytes) -> tuple[int, bool]:
    return data.count(b"ANMF") or 1, len(data) >= 8 + int.from_bytes(data[4:8], "little")


def _gif_end(data: bytes) -> tuple[int, bool]:
    """A GIF is a header, and then blocks of sized pieces: pictures (2C) and extensions (21)."""
    pictures = 0
    try:
        at = 13 + _gif_colours(data[10])
        while at < len(data) and data[at] in (0x21, 0x2C):
            if data[at] == 0x2C:
                pictures += 1
                at += 11 + _gif_colours(data[at + 9])
            else:
                at += 2
            while data[at]:
                at += 1 + data[at]
            at += 1
    except IndexError:
        return pictures, False
    return pictures, pictures > 0


def _gif_colours(flags: int) -> int:
    """The bytes of the table of colours that these flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


_ENDS: Final[dict[str, Callable[[bytes], tuple[int, bool]]]] = {
    "image/png": _png_end,
    "image/jpeg": _jpeg_end,
    "image/webp": _webp_end,
    "image/gif": _gif_end,
}


def _from_uri(text: str) -> tuple[bytes, str | None]:
    """The content of a data URI, and the kind that it names."""
    if (head := _DATA_URI.match(text)) is None:
        hint = "Text is a data URI (data:image/png;base64,...) or a link; a file is a Path: Path('photo.png')."
        raise ImageError(f"The image is text, and neither a data URI nor a link: {text[:40]!r}.", hint=hint)
    if head[3] is None:
        raise ImageError("The data URI of the image is not base64.", hint="Use data:image/png;base64,...")
    encoded = len(text) - head.end()
    if encoded * 3 // 4 > MAX_IMAGE_BYTES + 2:  # before it is decoded; the rest is checked after
        return bytes(MAX_IMAGE_BYTES + 1), None
    try:
        return base64.b64decode(text[head.end() :], validate=True), head[1] and head[1].lower()
    except (binascii.Error, ValueError) as error:
        raise ImageError(f"The image is not base64: {error}.") from error
