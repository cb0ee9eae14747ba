"""What clients do that mean no good, as a program of its own: whoever attacks has his own processor to do it with.

    python -m tests.net.attacks ws://127.0.0.1:8080/

All attacks, one shortly after the other. Prints a list in JSON: the close code that answered each, or null.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from .rawclient import BINARY, CONTINUATION, TEXT, RawClient, frame

__all__ = ["ATTACKS", "Attack"]

STREAM = {"streamSid": "MZ1", "callSid": "CA1", "accountSid": "AC1", "tracks": ["inbound"]}
MEDIA = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
START = {"event": "start", "streamSid": "MZ1", "start": {**STREAM, "mediaFormat": MEDIA}}
METADATA = {"encoding": "PCM", "sampleRate": 24_000, "channels": 1}
BEGIN: dict[str, list[object]] = {
    "browser": [{"type": "hello"}],
    "twilio": [{"event": "connected"}, START],
    "acs": [{"kind": "AudioMetadata", "audioMetadata": METADATA}],
}
OPUS = {**STREAM, "mediaFormat": {"encoding": "audio/opus"}}
SLOW = METADATA | {"sampleRate": 1}
FRAGMENT = frame(CONTINUATION, bytes(1_000), fin=False)

Act = Callable[[RawClient], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Attack:
    """What somebody does after a proper beginning, and the close code that answers it (None: it goes as it came).

    ``hangs_up``: it only leaves, which is no fault. ``deaf``: the answer may not reach it, since it does not read,
    or sends so much that the system throws the connection away.
    """

    name: str
    kind: str
    act: Act
    code: int | None
    begins: bool = True
    hangs_up: bool = False
    deaf: bool = False


def says(*messages: object) -> Act:
    async def act(client: RawClient) -> None:
        for message in messages:
            await (client.binary(message) if isinstance(message, bytes) else client.text(message))

    return act


def sends(*frames: bytes) -> Act:
    async def act(client: RawClient) -> None:
        for each in frames:
            await client.raw(each)

    return act


def floods(message: bytes, times: int = 10_000) -> Act:
    """Much more than anybody has to say, as fast as it goes."""

    async def act(client: RawClient) -> None:
        for _ in range(times // 100):
            await client.raw(message * 100)

    return act


async def waits(client: RawClient) -> None:
    """Nothing more, not even a heartbeat."""


async def never_reads(client: RawClient) -> None:
    """Goes on speaking, but takes nothing."""
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    silence = {"kind": "AudioData", "audioData": {"data": "AAAA", "silent": False}}
    with suppress(ConnectionError):
        for _ in range(140):
            await client.text(silence)
            await asyncio.sleep(0.05)
    client.writer.transport.resume_reading()  # type: ignore[attr-defined]


async def resets(client: RawClient) -> None:
    """Is gone."""
    client.writer.transport.abort()


async def half_closes(client: RawClient) -> None:
    """Closes its half without a word."""
    client.writer.write_eof()


ATTACKS = [
    Attack("never reads", "acs", never_reads, 1008, deaf=True),
    Attack("no JSON", "browser", says("{"), 1007),
    Attack("no JSON", "twilio", says("{"), 1007),
    Attack("no JSON", "acs", says("{"), 1007),
    Attack("JSON, but no object", "browser", says("[]"), 1007),
    Attack("nested JSON", "twilio", says("[" * 60_000), 1007),
    Attack("NaN", "acs", says('{"kind": NaN}'), 1007),
    Attack("binary for text", "twilio", says(b"\xff" * 160), 1003),
    Attack("binary for text", "acs", says(bytes(640)), 1003),
    Attack("half a sample", "browser", says(b"odd"), 1007),
    Attack("a field too many", "browser", says({"type": "text", "text": "hi", "instructions": "obey"}), 1008),
    Attack("a field too few", "browser", says({"type": "played", "samples": 1}), 1008),
    Attack("a novel", "browser", says({"type": "text", "text": "x" * 5_000}), 1008),
    Attack("heard too much", "browser", says({"type": "played", "samples": 10**9, "generation": 0}), 1008),
    Attack("heard the future", "browser", says({"type": "played", "samples": 0, "generation": 9}), 1008),
    Attack("a forged mark", "twilio", says({"event": "mark", "mark": {"name": "0:99999999"}}), 1008),
    Attack("another format", "twilio", says({"event": "start", "start": OPUS}), 1003, begins=False),
    Attack("another rate", "acs", says({"kind": "AudioMetadata", "audioMetadata": SLOW}), 1003, begins=False),
    Attack("a huge message", "browser", says(bytes(70_000)), 1009),
    Attack("a huge text", "twilio", says("x" * 70_000), 1009),
    Attack("claims a tebibyte", "browser", sends(frame(BINARY, bytes(1_000), claims=1 << 40)), 1009),
    Attack("endless fragments", "browser", sends(frame(BINARY, bytes(1_000), fin=False), *[FRAGMENT] * 200), 1009),
    Attack("no UTF-8", "twilio", sends(frame(TEXT, b"\xff\xff")), 1007),
    Attack("an unknown opcode", "browser", sends(frame(3, b"?")), 1002),
    Attack("says nothing", "browser", waits, 1008, begins=False),
    Attack("says nothing", "twilio", waits, 1008, begins=False),
    Attack("only says hello", "browser", waits, 1008, hangs_up=True),
    Attack("floods audio", "browser", floods(frame(BINARY, bytes(960)), 3_000), 1008, deaf=True),
    Attack("floods nothing", "browser", floods(frame(BINARY)), 1008, deaf=True),
    Attack("floods pings", "browser", floods(frame(TEXT, b'{"type":"ping"}')), 1008, deaf=True),
    Attack("floods riddles", "twilio", floods(frame(TEXT, b'{"event":"x"}')), 1008, deaf=True),
    Attack("resets", "browser", resets, None, hangs_up=True),
    Attack("resets", "twilio", resets, None, begins=False),
    Attack("half closes", "acs", half_closes, None, hangs_up=True),
]


async def attack(url: str, number: int) -> int | None:
    """Do it; the close code that answers it, or None."""
    what = ATTACKS[number]
    await asyncio.sleep(number * 0.03)
    async with RawClient(f"{url}{what.kind}-{number}", receive_buffer=4_096) as client:
        closing = asyncio.ensure_future(client.closing())
        try:
            with suppress(ConnectionError):
                if what.begins:
                    await says(*BEGIN[what.kind])(client)
                await what.act(client)
            return await closing
        finally:
            closing.cancel()


async def main(url: str) -> None:
    """All of them."""
    answers = await asyncio.gather(*(attack(url, number) for number in range(len(ATTACKS))))
    print(json.dumps(answers))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
