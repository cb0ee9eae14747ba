"""What one step of the conversation machine costs.   python tests/benchmarks/bench_core.py

CPU time per message of a spoken turn as the cascade sends it: 40 pieces of words, 15 deltas of 500 ms of audio,
and a listener who hears in real time. Medians over 9 runs of 40 turns. "decode" is ``_wire.decode``, "step" is
``Conversation.receive`` with the message decoded already; what an audio delta costs later (base64, conversion,
the sink) is not part of the core.
"""

from __future__ import annotations

import base64
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from voicelive_agent import _wire as wire
from voicelive_agent._conversation import Conversation
from voicelive_agent._plan import Plan
from voicelive_agent._turn_detection import turn_policy

RATE = 24_000
TURNS = 40
RUNS = 9
SESSION = {"turn_detection": {"type": "server_vad", "silence_duration_ms": 500}}
AUDIO = base64.b64encode(bytes(RATE)).decode()  # 500 ms


def turn(number: int) -> Iterator[dict[str, Any]]:
    """The messages of one turn."""
    user, answer, response = f"item_{number}", f"msg_{number}", f"resp_{number}"
    ids = {"response_id": response, "item_id": answer, "output_index": 0, "content_index": 0}
    item = {"id": answer, "object": "realtime.item", "type": "message", "role": "assistant", "content": []}
    yield {"type": "input_audio_buffer.speech_started", "item_id": user, "audio_start_ms": 0}
    yield {"type": "input_audio_buffer.speech_stopped", "item_id": user, "audio_end_ms": 1_000}
    yield {"type": "input_audio_buffer.committed", "item_id": user, "previous_item_id": None}
    completed = "conversation.item.input_audio_transcription.completed"
    yield {"type": completed, "item_id": user, "content_index": 0, "transcript": "What time is it?"}
    yield {"type": "conversation.item.created", "item": {"id": user, "type": "message", "role": "user"}}
    yield {"type": "response.created", "response": {"id": response, "status": "in_progress", "output": []}}
    yield {"type": "response.output_item.added", "response_id": response, "output_index": 0, "item": item}
    yield {"type": "conversation.item.created", "item": item, "previous_item_id": user}
    yield {"type": "response.content_part.added", **ids, "part": {"type": "audio", "transcript": ""}}
    for _ in range(40):
        yield {"type": "response.audio_transcript.delta", **ids, "delta": "word "}
    for _ in range(15):
        yield {"type": "response.audio.delta", **ids, "delta": AUDIO}
    yield {"type": "response.audio.done", **ids}
    yield {"type": "response.audio_transcript.done", **ids, "transcript": "word " * 40}
    yield {"type": "response.content_part.done", **ids, "part": {"type": "audio", "transcript": "word " * 40}}
    yield {"type": "response.output_item.done", "response_id": response, "output_index": 0, "item": item}
    yield {"type": "response.done", "response": {"id": response, "status": "completed", "output": [item]}}


def session() -> list[bytes]:
    """The whole session, as it comes from the socket."""
    messages: list[dict[str, Any]] = [
        {"type": "session.created", "session": {"id": "s"}},
        {"type": "session.updated", "session": {"id": "s"}},
    ]
    for number in range(TURNS):
        messages += turn(number)
    return [json.dumps({"event_id": f"event_{at}", **message}).encode() for at, message in enumerate(messages)]


def run(raw: list[bytes], decode_ns: dict[str, list[int]], step_ns: dict[str, list[int]]) -> None:
    """One session; appends what each message cost to the lists of its kind."""
    conversation = Conversation(Plan(session=SESSION, turns=turn_policy(SESSION)))
    clock, now, end = time.perf_counter_ns, 0.0, 0.0  # end: when the listener will have heard everything
    for data in raw:
        begin = clock()
        message = wire.decode(data)
        decoded = clock()
        conversation.receive(message, pending=max(0, round((end - now) * RATE)), now=now)
        stepped = clock()
        kind = type(message).__name__
        decode_ns[kind].append(decoded - begin)
        step_ns[kind].append(stepped - decoded)
        if isinstance(message, wire.AudioDelta):
            end = max(now, end) + 0.5
        now = end if isinstance(message, wire.ResponseDone) else now + 0.01
        if isinstance(message, wire.ResponseDone):
            conversation.tick(pending=0, now=now)


def main() -> None:
    raw = session()
    runs: list[tuple[dict[str, list[int]], dict[str, list[int]]]] = []
    for _ in range(RUNS):
        runs.append((defaultdict(list), defaultdict(list)))
        run(raw, *runs[-1])
    print(f"{'message':<22}{'per turn':>9}{'decode us':>11}{'step us':>9}")
    for kind in sorted(runs[0][1], key=lambda kind: -sum(runs[0][1][kind])):
        decode, step = (statistics.median(cost for one in runs for cost in one[at][kind]) / 1000 for at in (0, 1))
        print(f"{kind:<22}{len(runs[0][1][kind]) / TURNS:>9.1f}{decode:>11.2f}{step:>9.2f}")
    totals = [sum(map(sum, step.values())) / TURNS / 1000 for _, step in runs]
    print(f"the whole turn: {statistics.median(totals):.0f} us of steps, {len(raw) / TURNS:.0f} messages")


if __name__ == "__main__":
    main()
