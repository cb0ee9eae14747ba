"""A transport of your own: an intercom that is a TCP connection with raw audio in both directions.

    AZURE_VOICELIVE_ENDPOINT=emulator python examples/own_transport.py 5000

with ``voicelive-agent emulator`` in another terminal. Then ring, with headphones on; on Linux, for example:

    arecord -q -t raw -f S16_LE -r 16000 | nc 127.0.0.1 5000 | aplay -q -t raw -f S16_LE -r 16000

``Intercom`` is all that a transport has to be. docs/how-to/own-transport.md explains it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

from voicelive_agent import AgentSpoke, AudioFormat, UserSpoke, VoiceAgent, VoiceLiveError

RATE = 16_000
BLOCK_S = 0.02
BLOCK_BYTES = round(RATE * BLOCK_S) * 2


class Intercom:
    """The far end of a line, as source and sink."""

    format = AudioFormat(rate=RATE)
    estimated = True  # nobody tells what was heard: what was sent counts as heard

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer, self._unsent = reader, writer, bytearray()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield await self._reader.readexactly(BLOCK_BYTES)
        except asyncio.IncompleteReadError as end:  # the last block, and half a sample is no sound
            yield end.partial[: len(end.partial) // 2 * 2]

    @property
    def pending(self) -> int:
        return len(self._unsent) // 2

    def write(self, pcm: bytes) -> None:
        self._unsent += pcm

    def flush(self) -> None:
        self._unsent.clear()

    async def send_in_time(self) -> None:
        """Send every block when it is due and not before: what is sent cannot be taken back."""
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            self._writer.write(self._unsent[:BLOCK_BYTES])
            del self._unsent[:BLOCK_BYTES]
            await self._writer.drain()  # who does not listen has heard nothing: pending stays as it is
            due = max(due, clock() - 5 * BLOCK_S) + BLOCK_S
            await asyncio.sleep(due - clock())


class Porter(VoiceAgent):
    """Who answers the intercom."""

    instructions = "You are the porter of an office building. Be brief."
    greeting = "Good morning! Whom are you visiting?"

    def on_user_spoke(self, event: UserSpoke) -> None:
        print("visitor:", event.text, flush=True)

    def on_agent_spoke(self, event: AgentSpoke) -> None:
        print("porter: ", event.text, flush=True)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hold one call. There may be several at a time."""
    line = Intercom(reader, writer)
    try:
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(line.send_in_time())
            verdict = await Porter.from_env().run(line, line)
            sending.cancel()
        print("over:   ", verdict.reason.value, flush=True)
    except* (ConnectionError, VoiceLiveError) as errors:
        print("failed: ", errors.exceptions[0], file=sys.stderr)
    finally:
        writer.close()


async def main(port: int) -> None:
    """Wait for somebody who rings."""
    server = await asyncio.start_server(answer, "127.0.0.1", port)
    print("listening at port", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000))
