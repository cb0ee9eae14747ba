"""An agent on the sound card that says all that happens, and does what it is told."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import sys
import time
from contextlib import AsyncExitStack
from typing import Any

import sounddevice
from child import commands, options, say

from voicelive_agent import VoiceAgent, VoiceLiveError
from voicelive_agent.audio import AudioSink, AudioSource
from voicelive_agent.devices import Microphone, SoundCard, Speaker
from voicelive_agent.events import Event

LOUD = 8_000
BLOCK_BYTES = 300  # a message with audio is longer, a control message of a conversation without words is not


class Talker(VoiceAgent):
    def on_event(self, event: Event) -> None:
        plain = dataclasses.asdict(event).items()
        fields = {name: value if isinstance(value, int | str | None) else str(value) for name, value in plain}
        say(type(event).__name__, fields)


class StampedSpeaker(Speaker):
    """A speaker that says when it is silenced."""

    def flush(self) -> None:
        at, pending, in_flight = time.monotonic(), self.pending, self.in_flight
        super().flush()
        say("flush", at=at, pending_ms=self._ms(pending), in_flight_ms=self._ms(in_flight))

    def _ms(self, samples: int) -> float:
        return samples * 1000 / self.format.rate


class Stamps:
    """When a loud block came after a quiet one, and when the next block went to the network.

    Both are told when it has gone: what is written between them would be measured, too.
    """

    def __init__(self) -> None:
        self._was_loud = False
        self._captured_at: float | None = None

    def stream(self) -> type:
        """PortAudio's stream for microphones, with a look at every block."""
        stamps = self

        class StampedStream(sounddevice.RawInputStream):  # type: ignore[misc]
            def __init__(self, *, callback: Any, **settings: Any) -> None:
                def stamped(data: Any, *more: Any) -> None:
                    stamps.captured(memoryview(data).cast("B").cast("h"), time.monotonic())
                    callback(data, *more)

                super().__init__(callback=stamped, **settings)

        return StampedStream

    def captured(self, samples: memoryview[int], at: float) -> None:
        loud = max(samples) > LOUD
        if loud and not self._was_loud:
            self._captured_at = at
        self._was_loud = loud

    def socket(self) -> type[socket.socket]:
        """Sockets, with a look at everything of the size of a block of audio."""
        stamps = self

        class StampedSocket(socket.socket):
            def send(self, data: Any, *flags: int) -> int:
                at = time.monotonic()
                sent = super().send(data, *flags)
                if stamps._captured_at is not None and len(data) > BLOCK_BYTES:
                    say("captured", at=stamps._captured_at)
                    say("sent", at=at)
                    stamps._captured_at = None
                return sent

        return StampedSocket


async def obey(agent: VoiceAgent) -> None:
    async for command in commands():
        match command:
            case {"text": text}:
                agent.send_text(text)
            case {"say": text}:
                agent.say(text)
            case {"interrupt": _}:
                agent.interrupt()
            case {"stop": _}:
                agent.stop()


async def main(
    url: str,
    *,
    greeting: str | None = None,
    instructions: str | None = None,
    duplex: dict[str, Any] | None = None,
    microphone: dict[str, Any] | None = None,
    speaker: dict[str, Any] | None = None,
    half_duplex: bool = False,
) -> None:
    """With ``duplex`` on a SoundCard with these settings, else on a microphone and a speaker."""
    agent = Talker(url, "key", target="gpt-4.1", greeting=greeting)
    async with AsyncExitStack() as stack:
        source: AudioSource
        sink: AudioSink
        if duplex is not None:
            card = await stack.enter_async_context(SoundCard(**duplex))
            source, sink = card.microphone, card.speaker
            latency_ms = card.speaker.latency_ms
        else:
            speaking = await stack.enter_async_context(StampedSpeaker(**speaker or {}))
            hearing = Microphone(**microphone or {}, half_duplex=speaking if half_duplex else None)
            listening = await stack.enter_async_context(hearing)
            source, sink, latency_ms = listening, speaking, speaking.latency_ms
        say(
            "opened",
            source=str(source.format),
            sink=str(sink.format),
            rate=sink.format.rate,
            latency_ms=latency_ms,
        )
        obeying = asyncio.ensure_future(obey(agent))
        try:
            verdict = await agent.run(source, sink)
        finally:
            obeying.cancel()
        say("over", reason=verdict.reason.value)


if __name__ == "__main__":
    stamps = Stamps()
    sounddevice.RawInputStream = stamps.stream()
    socket.socket = stamps.socket()  # type: ignore[misc]
    try:
        asyncio.run(main(**options()))
    except VoiceLiveError as error:
        say("failed", error=type(error).__name__)
        sys.exit(f"talk.py: {error}")
