"""Recordings with transcripts, and noise, for the benchmarks of hearing.

A directory of recordings has a ``manifest.json``, a list of objects with ``file`` and ``transcript`` (as
``tests/data/audio`` has), or a text file beside each recording (``a.wav``, ``a.txt``). Recordings are WAV; other
formats are read where PyAV, which comes with faster-whisper, is installed. Everything becomes 16 kHz mono.
"""

from __future__ import annotations

import json
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from voicelive_agent._pcm import Resampler, to_mono

AUDIO = Path(__file__).parents[1] / "data" / "audio"
RATE = 16_000
Samples = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Recording:
    name: str
    transcript: str
    samples: Samples


def recordings(directory: Path) -> list[Recording]:
    """Every recording of the directory that has a transcript."""
    manifest = directory / "manifest.json"
    if manifest.is_file():
        entries = json.loads(manifest.read_text(encoding="utf-8"))
        said = [(entry["file"], entry["transcript"]) for entry in entries]
    else:
        texts = sorted(directory.rglob("*.txt"))
        said = [
            (str(path.relative_to(directory)), text.read_text(encoding="utf-8").strip())
            for text in texts
            for path in sorted(text.parent.glob(f"{text.stem}.*"))
            if path.suffix.lower() in (".wav", ".flac", ".mp3", ".ogg")
        ]
    if not said:
        raise SystemExit(f"{directory} has neither a manifest.json nor recordings with text files beside them.")
    return [Recording(name, text, read(directory / name)) for name, text in said]


def read(path: Path) -> Samples:
    """The samples, from -1 to 1."""
    pcm = _wave(path) if path.suffix.lower() == ".wav" else _decoded(path)
    return np.frombuffer(pcm, "<i2") / 32768


def _wave(path: Path) -> bytes:
    with wave.open(str(path), "rb") as file:
        if file.getsampwidth() != 2:
            raise SystemExit(f"{path} is not 16-bit PCM.")
        pcm = to_mono(file.readframes(file.getnframes()), file.getnchannels())
        resampler = Resampler(file.getframerate(), RATE)
        return resampler.process(pcm) + resampler.finish()


def _decoded(path: Path) -> bytes:
    import av

    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    with av.open(str(path)) as container:
        frames = [piece for frame in container.decode(audio=0) for piece in resampler.resample(frame)]
    return b"".join(frame.to_ndarray().tobytes() for frame in frames)


def pcm16(samples: Samples) -> bytes:
    return np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()


def noises(directory: Path | None, seconds: float) -> dict[str, Samples]:
    """The recordings of a directory, repeated to this length; without one, noise and typing made here."""
    if directory is not None:
        found = {path.stem: read(path) for path in sorted(directory.iterdir()) if path.suffix in (".wav", ".flac")}
        return {name: np.resize(sound, int(seconds * RATE)) for name, sound in found.items()}
    random, size = np.random.default_rng(1), int(seconds * RATE)
    spectrum = np.fft.rfft(random.normal(0, 1, size)) / np.sqrt(np.maximum(1, np.arange(size // 2 + 1)))
    spectrum[: int(20 * seconds)] = 0
    pink = np.fft.irfft(spectrum, size)
    typing, at = random.normal(0, 0.004, size), 0
    while at < size - RATE:
        length = int(random.uniform(0.005, 0.03) * RATE)
        decay = np.exp(-5 * np.arange(length) / length)
        typing[at : at + length] += random.normal(0, random.uniform(0.1, 0.5), length) * decay
        at += int(random.uniform(0.06, 0.25) * RATE)
    return {"pink": 0.05 * pink / np.sqrt(np.mean(pink**2)), "typing": typing}


def mixed(speech: Samples, noise: Samples, snr_db: float) -> Samples:
    """Speech in noise that is so many dB fainter, as powers over the whole recording."""
    noise = np.resize(noise, len(speech))
    return speech + noise * np.sqrt(np.mean(speech**2) / np.mean(noise**2) / 10 ** (snr_db / 10))
