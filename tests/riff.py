"""WAV files made by hand, sound and odd."""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

RATE = 8_000
SUBFORMAT = bytes.fromhex("000000001000800000aa00389b71")
PCM, FLOAT, ALAW, ULAW = 1, 3, 6, 7


def fmt(
    codec: int = PCM, channels: int = 1, rate: int = RATE, bits: int = 16, *, room: int | None = None
) -> bytes:
    """The description of the samples; ``room`` is the size of a frame if it is not the right one."""
    frame = channels * bits // 8 if room is None else room
    return struct.pack("<HHIIHH", codec, channels, rate, rate * frame & 0xFFFFFFFF, frame & 0xFFFF, bits)


def extensible(codec: int = PCM, channels: int = 1, rate: int = RATE, bits: int = 16, valid: int = 16) -> bytes:
    """The same as WAVE_FORMAT_EXTENSIBLE."""
    return fmt(0xFFFE, channels, rate, bits) + struct.pack("<HHIH", 22, valid, 3, codec) + SUBFORMAT


def chunk(name: bytes, content: bytes, size: int | None = None) -> bytes:
    """A chunk with its padding."""
    header = name + struct.pack("<I", len(content) if size is None else size)
    return header + content + bytes(len(content) % 2)


def riff(
    description: bytes,
    data: bytes,
    *,
    size: int | None = None,
    riff_size: int | None = None,
    name: bytes = b"RIFF",
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """A file: ``size`` is what the data chunk says; its padding is left out, as many do at the end of a file."""
    header = b"data" + struct.pack("<I", len(data) if size is None else size)
    chunks = before + chunk(b"fmt ", description) + header + data + after
    return name + struct.pack("<I", 4 + len(chunks) if riff_size is None else riff_size) + b"WAVE" + chunks


def ds64(data_size: int, table: bytes = b"") -> bytes:
    """The chunk of RF64 with the sizes that 32 bits cannot hold."""
    return chunk(b"ds64", struct.pack("<QQQI", data_size + 72 & 2**64 - 1, data_size, 0, len(table) // 12) + table)


def rf64(data: bytes, *, data_size: int | None = None, name: bytes = b"RF64") -> bytes:
    """A file of 16-bit PCM whose sizes are in ds64."""
    sizes = ds64(len(data) if data_size is None else data_size)
    return riff(fmt(), data, size=0xFFFFFFFF, riff_size=0xFFFFFFFF, name=name, before=sizes)


def ramp(samples: int, first: int = 1) -> bytes:
    """Samples of 16 bits that tell where they come from; never zero."""
    return struct.pack(f"<{samples}h", *((first + n) % 30_000 + 1 for n in range(samples)))


def saved(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


AUDIO = ramp(800)
LIST_CHUNK = chunk(b"LIST", b"INFOx")


@contextlib.contextmanager
def small_disk(folder: Path, size: str = "64k") -> Iterator[Path]:
    """A real file system that is soon full, mounted on this folder; the test is skipped where that cannot be."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux mounts a tmpfs")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
