"""Images in a client's items: what is accepted, and how the brain is told of one."""

from __future__ import annotations

import base64
import binascii
import re
import struct

from ._errors import ClientError

IMAGE_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")
MAX_IMAGE_BYTES = 10 * 1024 * 1024
"""The service's own limit is not documented; a message as a whole may have 16 MiB."""

_DATA_URI = re.compile(r"data:([\w.+/-]+);base64,", re.ASCII)
_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD9))
"""JPEG markers that stand alone."""
_NOT_FRAMES = (0xC4, 0xC8, 0xCC)
"""JPEG markers among those of frames that begin something else."""


def image_note(uri: str, path: str) -> str:
    """What a brain that cannot see is told: ``[image/png, 12,345 bytes, 640x480]``.

    The emulator looks at no picture. ClientError for anything else than a data URI of a known kind, whose content
    is of that kind and not over 10 MiB.
    """
    match = _DATA_URI.match(uri)
    if match is None:
        raise _invalid(path, "an image is expected as a data URI (data:image/png;base64,...)")
    kind = match[1].lower()
    if kind not in IMAGE_TYPES:
        raise _invalid(path, f"'{kind[:40]}' is not one of {', '.join(IMAGE_TYPES)}")
    if (len(uri) - match.end()) * 3 // 4 > MAX_IMAGE_BYTES + 2:
        raise _invalid(path, f"the image is larger than {MAX_IMAGE_BYTES // 1024 // 1024} MiB")
    try:
        data = base64.b64decode(uri[match.end() :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise _invalid(path, f"the image is not base64 ({error})") from error
    size = _size_of(data, kind)
    if size is None:
        raise _invalid(path, f"the content is not {kind}")
    return f"[{kind}, {len(data):,} bytes, {size[0]}x{size[1]}]"


def _invalid(path: str, problem: str) -> ClientError:
    return ClientError(f"Invalid value for '{path}': {problem}.", code="invalid_value", param=path)


def _size_of(data: bytes, kind: str) -> tuple[int, int] | None:
    """Width and height as the header has them; None where it is no header of this kind."""
    try:
        if kind == "image/png":
            return struct.unpack_from(">II", data, 16) if data[:16] == _PNG else None
        if kind == "image/gif":
            return struct.unpack_from("<HH", data, 6) if data[:6] in (b"GIF87a", b"GIF89a") else None
        return _jpeg_size(data) if kind == "image/jpeg" else _webp_size(data)
    except struct.error:  # the header is cut short
        return None


_PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while True:
        mark, marker = struct.unpack_from("BB", data, at)
        if mark != 0xFF:
            return None
        if marker == 0xFF:  # filling
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        elif 0xC0 <= marker <= 0xCF and marker not in _NOT_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]


def _webp_size(data: bytes) -> tuple[int, int] | None:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    if data[12:16] == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if data[12:16] == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    low_width, high_width, low_height, high_height = struct.unpack_from("<HBHB", data, 24)
    return (low_width | high_width << 16) + 1, (low_height | high_height << 16) + 1
