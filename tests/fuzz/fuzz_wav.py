"""Fuzzes WAV files: any bytes are a recording or an AudioFileError, and cost bounded memory and time.

    python tests/fuzz/fuzz_wav.py -max_total_time=60 [CORPUS]

Needs atheris (``nox -s fuzz`` installs it). Without a corpus it starts from a small file of every kind.
"""

from __future__ import annotations

import io
import struct
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["voicelive_agent"]):
    from voicelive_agent._wav import read_wav
    from voicelive_agent.audio import MAX_RATE
    from voicelive_agent.errors import AudioFileError

NAME = Path("in.wav")
BLOCK = 160


class Counted(io.BytesIO):
    """A file that knows how much was read of it, and how often."""

    taken = 0
    calls = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        self.calls += 1
        return data


def one_input(data: bytes) -> None:
    """Examine and play it. The header costs at most two reads a chunk, the audio one read a block."""
    file = Counted(data)
    try:
        recording = read_wav(file, NAME)
    except AudioFileError:
        return
    finally:
        assert file.calls <= 2_002
        assert file.taken <= 12 + 1_000 * (8 + 40)
    assert 1 <= recording.format.rate <= MAX_RATE
    assert 0 < recording.frames * recording.stored_frame_bytes <= len(data)
    played = 0
    for block in recording.blocks(file, BLOCK):
        frames, rest = divmod(len(block), recording.format.frame_bytes)
        assert 0 < frames <= BLOCK
        assert not rest
        played += frames
    assert played == recording.frames


def seeds(folder: Path) -> None:
    """A file of every kind of sample and header."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return name + struct.pack("<I", len(content)) + content

    for codec, bits in [(1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64), (6, 8), (7, 8), (0x55, 0)]:
        for channels in (1, 2):
            frame = channels * bits // 8
            plain = struct.pack("<HHIIHH", codec, channels, 8_000, 8_000 * frame, frame, bits)
            wide = b"\xfe\xff" + plain[2:] + struct.pack("<HHIH", 22, bits, 3, codec)
            wide += bytes.fromhex("000000001000800000aa00389b71")
            audio = chunk(b"LIST", b"INFO") + chunk(b"data", bytes(range(96)))
            sizes = chunk(b"ds64", struct.pack("<QQQI", 200, 96, 0, 0))
            for name, body in {
                b"RIFF": chunk(b"fmt ", plain) + audio,
                b"RF64": sizes + chunk(b"fmt ", wide) + audio[:-100] + b"\xff" * 4 + audio[-96:],
            }.items():
                file = folder / f"{name.decode()}-{codec}-{bits}-{channels}"
                file.write_bytes(name + struct.pack("<I", 4 + len(body)) + b"WAVE" + body)


def main() -> None:
    arguments = sys.argv
    if all(argument.startswith("-") for argument in arguments[1:]):
        corpus = Path(tempfile.mkdtemp(prefix="voicelive-fuzz-"))
        seeds(corpus)
        arguments = [*arguments, str(corpus)]
    atheris.Setup(arguments, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
