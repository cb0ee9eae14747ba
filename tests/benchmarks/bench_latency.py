"""The emulator's answer: from the decision that the person has stopped to the first piece of audio.

    python tests/benchmarks/bench_latency.py [ROUNDS]

Recorded people speak in real time over a real socket to an emulator in a process of its own; a bare aiohttp client
notes when ``speech_stopped`` and the first ``response.audio.delta`` arrive.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import statistics
import subprocess
import sys
import wave
from pathlib import Path

import aiohttp

CLIPS = sorted((Path(__file__).parent.parent / "data" / "audio").glob("*.wav"))
SESSION = {
    "modalities": ["text", "audio"],
    "input_audio_sampling_rate": 16_000,
    "turn_detection": {"type": "server_vad", "silence_duration_ms": 500},
}


async def speak(socket: aiohttp.ClientWebSocketResponse, clip: Path) -> None:
    """Send a recording and two seconds of silence at the pace of a microphone."""
    with wave.open(str(clip)) as file:
        audio = file.readframes(file.getnframes()) + bytes(2 * 2 * 16_000)
    due = asyncio.get_running_loop().time()
    for at in range(0, len(audio), 640):
        text = base64.b64encode(audio[at : at + 640]).decode()
        await socket.send_json({"type": "input_audio_buffer.append", "audio": text})
        due += 0.020
        await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))


async def turn(url: str, clip: Path) -> dict[str, float]:
    """One answer: milliseconds after speech_stopped, by kind of event (the last utterance of the clip counts)."""
    loop, times = asyncio.get_running_loop(), dict[str, float]()
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            f"{url}/voice-live/realtime?api-version=2026-07-15&model=gpt-4.1",
            headers={"api-key": "k"},
            max_msg_size=0,
        ) as socket,
    ):
        await socket.send_json({"type": "session.update", "session": SESSION})
        speaking = asyncio.create_task(speak(socket, clip))
        async for message in socket:
            kind = json.loads(message.data)["type"]
            if kind == "input_audio_buffer.speech_stopped":
                times = {kind: loop.time()}
            elif times:
                times.setdefault(kind, loop.time())
            if kind == "response.done" and speaking.done():
                break
            if kind == "response.done":
                await speaking
                break
    began = times.pop("input_audio_buffer.speech_stopped")
    return {kind: (at - began) * 1000 for kind, at in times.items()}


async def measure(url: str, rounds: int) -> None:
    kinds = ("conversation.item.input_audio_transcription.completed", "response.audio.delta")
    print(f"{'clip':24} {'transcript ms':>14} {'first audio ms':>15}")
    firsts = []
    for _ in range(rounds):
        for clip in CLIPS:
            times = await turn(url, clip)
            firsts.append(times[kinds[1]])
            print(f"{clip.stem:24} {times[kinds[0]]:14.0f} {times[kinds[1]]:15.0f}", flush=True)
    firsts.sort()
    p95 = firsts[min(len(firsts) - 1, round(0.95 * len(firsts)))]
    print(f"audio: p50 {statistics.median(firsts):.0f} ms, p95 {p95:.0f} ms, n = {len(firsts)}; aim: p50 <= 350")


def main() -> None:
    command = [sys.executable, "-m", "voicelive_agent", "emulator", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as emulator:
        assert emulator.stdout is not None
        try:
            for line in emulator.stdout:
                if match := re.search(r"http://127\.0\.0\.1:\d+", line):
                    asyncio.run(measure(match.group(), int(sys.argv[1]) if len(sys.argv) > 1 else 3))
                    break
        finally:
            emulator.terminate()


if __name__ == "__main__":
    main()
