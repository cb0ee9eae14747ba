"""Images: told apart by how they begin, refused with the kind that was found, encoded for the service."""

from __future__ import annotations

import base64
import re
import struct
import zlib
from pathlib import Path

import pytest

from voicelive_agent._images import KINDS, MAX_IMAGE_BYTES, check_detail, load_image
from voicelive_agent.emulator._images import image_note
from voicelive_agent.errors import ImageError, VoiceLiveError


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int = 2, height: int = 2) -> bytes:
    """A real image: every decoder takes it."""
    rows = zlib.compress((b"\0" + b"\x80" * 3 * width) * height)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


JPEG = (
    b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(9) + b"\xff\xff\xc0\x00\x0b\x08\x00\x10\x00\x20\x01\x01\x11\x00"
    b"\xff\xda\x00\x02picture\xff\xd9"
)
PICTURE = b"\x2c" + bytes(8) + b"\x80" + bytes(6) + b"\x02\x02\x44\x01\x00"
"""One of a GIF, with a table of colours of its own."""
GIF_START = b"GIF89a" + struct.pack("<HH", 3, 4) + b"\x80\x00\x00" + bytes(6) + b"\x21\xf9\x04\x00\x0a\x00\x00\x00"
GIF = GIF_START + PICTURE + b"\x3b"
WEBP = b"RIFF\x21\x00\x00\x00WEBPVP8L\x10\x00\x00\x00\x2f" + struct.pack("<I", 7 | 8 << 14) + bytes(16)
IMAGES = {"image/png": png(), "image/jpeg": JPEG, "image/gif": GIF, "image/webp": WEBP}


@pytest.mark.parametrize("kind", IMAGES)
def test_every_kind_is_known_by_its_first_bytes(kind: str) -> None:
    image = load_image(IMAGES[kind])
    head, _, encoded = image.uri.partition(",")
    assert head == f"data:{kind};base64"
    assert base64.b64decode(encoded) == IMAGES[kind]
    assert image.note == f"[{kind}, {len(IMAGES[kind]):,} bytes]"
    assert image.part("high") == {"type": "input_image", "image_url": image.uri, "detail": "high"}


@pytest.mark.parametrize("kind", IMAGES)
def test_the_emulator_takes_them_too(kind: str) -> None:
    assert image_note(load_image(IMAGES[kind]).uri, "image_url").startswith(f"[{kind}, ")


def test_these_are_all_kinds() -> None:
    assert set(IMAGES) == set(KINDS)


@pytest.mark.parametrize("wrapped", [bytearray(png()), memoryview(png())])
def test_any_bytes_will_do(wrapped: bytearray | memoryview) -> None:
    assert load_image(wrapped) == load_image(png())


def test_a_file_is_read_whatever_its_name_says(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(png())
    assert load_image(path) == load_image(png())


def test_a_data_uri_is_taken_as_it_is() -> None:
    uri = load_image(JPEG).uri
    for same in (
        uri.replace("image/jpeg", "image/jpg"),
        uri.replace("data:image/jpeg;base", "DATA:Image/JPEG;Base"),
    ):
        assert load_image(same).uri == uri
    assert load_image(uri).uri == uri
    assert load_image("data:;base64," + base64.b64encode(GIF).decode()).uri == load_image(GIF).uri


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"%PDF-1.7 ...", "application/pdf"),
        (b"BM\x00\x00", "image/bmp"),
        (b"II*\x00", "image/tiff"),
        (b"MM\x00*", "image/tiff"),
        (b"\x00\x00\x00\x18ftypheic", "image/heic"),
        (b"\x00\x00\x00\x18ftypavif", "image/avif"),
        (b"\x00\x00\x00\x18ftypisom", "video/mp4"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "audio/wav"),
        (b"\x00\x00\x01\x00", "image/x-icon"),
        (b'<?xml version="1.0"?><svg/>', "image/svg+xml"),
        (b"<svg xmlns='...'>", "image/svg+xml"),
        (b"\n<html>", "text/html"),
        (b"GIF88a", "of an unknown kind"),
        (b"RIFF\n\n\n\nWEB", "of an unknown kind"),
        (b"hello", "of an unknown kind"),
    ],
)
def test_what_is_found_instead_is_named(data: bytes, found: str) -> None:
    with pytest.raises(ImageError, match="The service takes image/png, image/jpeg") as refused:
        load_image(data)
    assert refused.value.message == f"The image is {found}."


def test_a_size_full_of_line_ends_is_no_obstacle() -> None:
    with pytest.raises(ImageError, match="is image/webp that is cut off"):
        load_image(b"RIFF\n\n\n\nWEBPVP8 ")


@pytest.mark.parametrize("kind", IMAGES)
def test_an_image_is_all_there_or_refused(kind: str) -> None:
    """Whatever an upload that broke off has left of it."""
    image = IMAGES[kind]
    refused = 0
    for end in range(1, len(image)):
        try:
            load_image(image[:end])
        except ImageError as error:
            assert re.search("of an unknown kind|is cut off", str(error))  # noqa: PT017
            refused += 1
    # A PNG's last checksum and a GIF's last mark may be missing: there is nothing to see in them.
    assert len(image) - refused - 1 == {"image/png": 4, "image/gif": 1}.get(kind, 0)


def test_a_thumbnail_has_an_end_of_its_own() -> None:
    thumbnail = b"\xff\xe1\x00\x0aEXIF\xff\xd8\xff\xd9"
    photo = JPEG[:2] + thumbnail + JPEG[2:]
    assert load_image(photo).note.startswith("[image/jpeg")
    with pytest.raises(ImageError, match="is image/jpeg that is cut off"):
        load_image(photo[:-1])


@pytest.mark.parametrize("kind", IMAGES)
def test_what_follows_the_image_is_no_matter(kind: str) -> None:
    assert load_image(IMAGES[kind] + b"made by a camera").note.startswith(f"[{kind}")


def test_a_picture_that_moves_is_refused() -> None:
    animation = b"RIFF\x10\x00\x00\x00WEBPVP8XANMFANMF"
    for moving, kind in ((GIF_START + PICTURE * 2 + b"\x3b", "gif"), (animation, "webp")):
        with pytest.raises(ImageError, match=f"is an animated image/{kind} of 2 pictures.*give one picture"):
            load_image(moving)


def test_a_gif_without_a_picture_is_none() -> None:
    with pytest.raises(ImageError, match="cut off"):
        load_image(GIF_START + b"\x3b")


def test_a_file_is_named_in_the_error(tmp_path: Path) -> None:
    path = tmp_path / "letter.png"
    path.write_bytes(b"%PDF-1.7")
    with pytest.raises(ImageError, match=r"letter\.png is application/pdf"):
        load_image(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_image(tmp_path / "none.png")


def test_nothing_is_no_image() -> None:
    with pytest.raises(ImageError, match="is empty"):
        load_image(b"")


def test_the_limit_is_of_bytes_before_base64(tmp_path: Path) -> None:
    largest = png().ljust(MAX_IMAGE_BYTES, b"\0")
    uri = load_image(largest).uri
    assert load_image(uri).note == "[image/png, 3,000,000 bytes]"
    path = tmp_path / "huge.png"
    path.write_bytes(largest + b"\0")
    too_long = "data:image/png;base64," + base64.b64encode(largest + b"\0\0\0").decode()
    for huge in (largest + b"\0", path, too_long):
        with pytest.raises(ImageError, match="larger than 3 MB") as refused:
            load_image(huge)
        assert "Scale it down" in refused.value.hint


@pytest.mark.parametrize("text", ["photo.png", "/etc/passwd", "file:///etc/passwd", "", "data:image/png"])
def test_text_never_names_a_file(text: str) -> None:
    with pytest.raises(ImageError, match=r"neither a data URI nor a link.*a file is a Path"):
        load_image(text)


@pytest.mark.parametrize(
    ("uri", "fault"),
    [
        ("data:image/png,hello", "is not base64"),
        ("data:image/png;base64,a", "is not base64"),
        ("data:image/png;base64,\u00e4\u00e4\u00e4\u00e4", "is not base64"),
        (
            "data:image/png;base64," + base64.b64encode(JPEG).decode(),
            "says that it is image/png, and is image/jpeg",
        ),
        ("data:image/png;base64,", "is empty"),
    ],
)
def test_a_data_uri_is_checked(uri: str, fault: str) -> None:
    with pytest.raises(ImageError, match=fault):
        load_image(uri)


@pytest.mark.parametrize("thing", [None, 3, ["x"]])
def test_anything_else_is_no_image(thing: object) -> None:
    with pytest.raises(TypeError, match="An image is bytes, a Path or a data URI"):
        load_image(thing)  # type: ignore[arg-type]


def test_the_detail_is_one_of_three() -> None:
    for detail in ("auto", "low", "high"):
        check_detail(detail)
    with pytest.raises(ImageError, match="detail is 'full'"):
        check_detail("full")


def test_the_error_is_of_the_family() -> None:
    assert issubclass(ImageError, VoiceLiveError)
    assert issubclass(ImageError, ValueError)
