"""How well and how fast the emulator hears and answers.   python tests/benchmarks/bench_wer.py [DIR] [--noise DIR]

DIR holds recordings with transcripts (default: tests/data/audio; the layout is described in recordings.py). The
word errors are counted clean and in noise at 10 and 5 dB; --noise names a directory of noises, without it pink
noise and typing are made.

Each recording is cut as voice activity detection would cut it (300 ms before the speech, 500 ms after) and goes
through ears, brain and voice. Errors are words after ``speech.normalise``. Times are medians of the runs. STT is
the transcription; audio is from the text to the first piece of the answer's audio (brain and voice); total is the
work between the decision that speech has ended and the first audio.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path

from recordings import AUDIO, RATE, Recording, mixed, noises, pcm16, recordings

from voicelive_agent.emulator.protocols import FRAME, Brain, Call, Ears, Say, Turn, Voice
from voicelive_agent.emulator.speech import load_speech
from voicelive_agent.emulator.speech.normalise import normalise, word_errors

MOVE = {
    "type": "function",
    "name": "move",
    "description": "Move the robot.",
    "parameters": {
        "type": "object",
        "properties": {
            "direction": {"type": "string", "enum": ["forward", "backward", "left", "right"]},
            "meters": {"type": "number"},
        },
        "required": ["direction", "meters"],
    },
}


def cut(ears: Ears, pcm: bytes) -> bytes:
    """From 300 ms before the first frame of speech to 500 ms after the last."""
    stream = bytes(2 * RATE) + pcm + bytes(2 * RATE)
    listener, size = ears.listener(), 2 * FRAME
    starts = range(0, len(stream) - size + 1, size)
    speech = [start for start in starts if listener.probability(stream[start : start + size]) >= 0.5]
    if not speech:
        return b""
    return stream[max(0, speech[0] - 2 * RATE * 300 // 1000) : speech[-1] + size + 2 * RATE * 500 // 1000]


def turn(text: str, *, tools: bool = False) -> Turn:
    items = [{"type": "message", "role": "user", "content": [{"type": "input_audio", "transcript": text}]}]
    return Turn(items, tools=[MOVE] if tools else [])


def first_audio(brain: Brain, voice: Voice, text: str) -> bytes:
    said = "".join(action.text for action in brain.answer(turn(text)) if isinstance(action, Say))
    return next(iter(voice.speak(said)))


def answer(brain: Brain, text: str) -> str:
    actions = brain.answer(turn(text, tools=True))
    return " ".join(
        f"{one.name}({json.dumps(one.arguments)})" if isinstance(one, Call) else one.text for one in actions
    )


def in_noise(ears: Ears, found: list[Recording], noise_directory: Path | None) -> None:
    """Word errors with each noise at 10 and 5 dB."""
    for name, noise in noises(noise_directory, 30).items():
        for snr_db in (10, 5):
            words = errors = 0
            for recording in found:
                heard = ears.transcribe(cut(ears, pcm16(mixed(recording.samples, noise, snr_db)))).text
                errors += word_errors(recording.transcript, heard)
                words += len(normalise(recording.transcript))
            print(f"in {name} at {snr_db} dB: word errors {errors}/{words} = {100 * errors / words:.1f} %")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", nargs="?", type=Path, default=AUDIO)
    parser.add_argument("--noise", type=Path)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    runs, found = options.runs, recordings(options.directory)
    begin = time.perf_counter()
    ears, brain, voice = load_speech()
    load_s = time.perf_counter() - begin
    busy = f", load average {os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else ""
    print(f"loaded in {load_s:.2f} s; {runs} runs{busy}")
    print(f"{'recording':18} {'s':>5} {'errors':>8} {'STT ms':>7} {'audio ms':>8} {'total ms':>8}  heard")
    words = errors = 0
    stts: list[float] = []
    audios: list[float] = []
    totals: list[float] = []
    answers = []
    for recording in found:
        pcm = cut(ears, pcm16(recording.samples))
        stt, audio = [], []
        for _ in range(runs):
            begin = time.perf_counter()
            text = ears.transcribe(pcm).text
            heard = time.perf_counter()
            first_audio(brain, voice, text)
            stt.append(1e3 * (heard - begin))
            audio.append(1e3 * (time.perf_counter() - heard))
        total = [one + other for one, other in zip(stt, audio, strict=True)]
        wrong, said = word_errors(recording.transcript, text), len(normalise(recording.transcript))
        words, errors = words + said, errors + wrong
        stts, audios, totals = [*stts, *stt], [*audios, *audio], [*totals, *total]
        answers.append(answer(brain, text))
        figures = [f"{statistics.median(one):{width}.0f}" for one, width in ((stt, 7), (audio, 8), (total, 8))]
        print(f"{recording.name:18} {len(pcm) / 2 / RATE:5.1f} {wrong:3}/{said:<4} {' '.join(figures)}  {text}")
    print(f"word errors {errors}/{words} = {100 * errors / words:.1f} %")
    in_noise(ears, found, options.noise)
    for name, figures_ms in (("STT", stts), ("first audio", audios), ("total", totals)):
        p95 = sorted(figures_ms)[int(0.95 * len(figures_ms))]
        print(f"{name:12} p50 {statistics.median(figures_ms):4.0f} ms, p95 {p95:4.0f} ms")
    print("answers with a function move(direction, meters):")
    for one in answers:
        print(f"  {one}")


if __name__ == "__main__":
    main()
