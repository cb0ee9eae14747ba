"""How exactly turns are found, and what noise does.   python tests/benchmarks/bench_vad.py [DIR] [--noise DIR]

DIR holds recordings (default: tests/data/audio; the layout is described in recordings.py); their labels are made
by the rule of tests/emulator/labels.py on the clean recording. Each recording stands between silences, at four
offsets to the grid of 32 ms, clean and in noise at 10 and 5 dB (clean speech to noise); an error is the time in
the event less the labelled time. Then 5 minutes of each noise alone: how many turns begin. --noise names a
directory of noises (WAV or FLAC, repeated as needed); without it pink noise and typing are made.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from recordings import AUDIO, RATE, Samples, noises, pcm16, recordings

from voicelive_agent.emulator import EmulatorSession, EnergyEars
from voicelive_agent.emulator.protocols import Ears, Listener
from voicelive_agent.emulator.speech.packages import missing_packages

sys.path.insert(0, str(Path(__file__).parents[1] / "emulator"))
from labels import labelled_ms

PREFIX_MS, SILENCE_MS = 320, 512


class SileroEars(EnergyEars):
    def listener(self) -> Listener:  # type: ignore[override]
        from voicelive_agent.emulator.speech.ears import SileroListener

        return SileroListener()


def turns(ears: Ears, sound: Samples) -> tuple[list[int], list[int]]:
    """When a session with this audio says that speech starts and stops."""
    session = EmulatorSession(ears=ears)
    session.start(0.0)
    detection = {"type": "server_vad", "prefix_padding_ms": PREFIX_MS, "silence_duration_ms": SILENCE_MS}
    update = {"input_audio_sampling_rate": RATE, "turn_detection": {**detection, "create_response": False}}
    session.receive(json.dumps({"type": "session.update", "session": update}), 0.0)
    pcm, size = pcm16(sound), 4 * RATE * 2
    for at in range(0, len(pcm), size):
        audio = base64.b64encode(pcm[at : at + size]).decode()
        session.receive(json.dumps({"type": "input_audio_buffer.append", "audio": audio}), 0.0)
    events = list(_events(session))
    return (
        [event["audio_start_ms"] for event in events if event["type"].endswith("speech_started")],
        [event["audio_end_ms"] for event in events if event["type"].endswith("speech_stopped")],
    )


def _events(session: EmulatorSession) -> Iterator[dict[str, Any]]:
    while session.deadline is not None:
        yield from session.poll(max(0.0, session.deadline))
        session.jobs()  # the words do not matter here


def accuracy(ears: Ears, directory: Path, noise: Samples | None, snr_db: float) -> str:
    random, starts, ends, wrong = np.random.default_rng(2), [], [], 0
    for recording in recordings(directory):
        begin_ms, end_ms = labelled_ms(pcm16(recording.samples))
        for offset in range(0, 512, 128):
            lead, tail = np.zeros(RATE + offset), np.zeros(3 * RATE // 2)
            stream = np.concatenate((lead, recording.samples, tail))
            if noise is not None:
                part = np.roll(noise, -int(random.integers(len(noise))))
                level = np.sqrt(np.mean(recording.samples**2) / np.mean(part**2) / 10 ** (snr_db / 10))
                stream = stream + level * np.resize(part, len(stream))
            found = turns(ears, stream)
            if [len(each) for each in found] != [1, 1]:
                wrong += 1
                continue
            lead_ms = len(lead) * 1000 / RATE
            starts.append(found[0][0] - (lead_ms + begin_ms - PREFIX_MS))
            ends.append(found[1][0] - (lead_ms + end_ms + SILENCE_MS))
    return f"start {_spread(starts)}  end {_spread(ends)}  not one turn: {wrong} of {wrong + len(starts)}"


def _spread(errors: list[float]) -> str:
    if not errors:
        return "-"
    size = np.abs(errors)
    return (
        f"|error| p50 {np.percentile(size, 50):3.0f} p95 {np.percentile(size, 95):3.0f} max {size.max():3.0f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", nargs="?", type=Path, default=AUDIO)
    parser.add_argument("--noise", type=Path)
    parser.add_argument("--minutes", type=float, default=5.0)
    options = parser.parse_args()
    listeners: dict[str, Ears] = {"energy": EnergyEars()}
    if missing_packages():
        print(f"without Silero; not installed: {', '.join(missing_packages())}")
    else:
        listeners["silero"] = SileroEars()
    for name, ears in listeners.items():
        print(f"{name:7} clean              {accuracy(ears, options.directory, None, 0)}")
        for kind, noise in noises(options.noise, 30).items():
            for snr_db in (10, 5):
                print(f"{name:7} {kind:12.12} {snr_db:2} dB {accuracy(ears, options.directory, noise, snr_db)}")
    for kind, noise in noises(options.noise, 60 * options.minutes).items():
        for name, ears in listeners.items():
            begin = time.perf_counter()
            count = len(turns(ears, noise)[0])
            cost = (time.perf_counter() - begin) / (60 * options.minutes)
            print(
                f"{name:7} {options.minutes:g} min of {kind}: {count} turns, {1000 * cost:.0f} ms per s of audio"
            )


if __name__ == "__main__":
    main()
