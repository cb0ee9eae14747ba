"""A telephone call as Azure Communication Services streams it, from Microsoft's documentation of audio streaming.

https://learn.microsoft.com/azure/communication-services/how-tos/call-automation/audio-streaming-quickstart: JSON
text; ``AudioMetadata`` first, then ``AudioData`` with 20 ms of 16-bit PCM each (mono, 16 or 24 kHz), and
``DtmfData`` where it was enabled. The server sends ``AudioData``, which is queued and played, and ``StopAudio``,
which empties the queue. Nothing tells it what was played. What the service sends is in camelCase; of the server,
Microsoft's Python sample sends PascalCase and other ones camelCase, so both are understood here.
"""

from __future__ import annotations

import base64
import uuid
from datetime import UTC, datetime
from typing import Any

from .far import FRAME_MS, FarEnd, Malformed
from .line import Line

__all__ = ["FarAcs"]

PARTICIPANT = "8:acs:3d20e1de-0f28-41c5-84a0-4960fde5f411_0000000b-faeb-c708-99bf-a43a0d0036b0"


class FarAcs(FarEnd):
    """One call, at 16,000 or 24,000 Hz."""

    def __init__(self, url: str, *, rate: int = 16_000) -> None:
        self.frame_bytes = rate * FRAME_MS // 1000 * 2
        headers = {"x-ms-call-correlation-id": str(uuid.uuid4()), "x-ms-call-connection-id": str(uuid.uuid4())}
        super().__init__(url, Line(rate, 2), silence=bytes(self.frame_bytes), headers=headers)
        self.most_waiting = 0
        """The most bytes that were ever queued: a server that paces leaves little that StopAudio must reach."""

    async def begin(self) -> None:
        metadata = {
            "subscriptionId": str(uuid.uuid4()),
            "encoding": "PCM",
            "sampleRate": self.line.rate,
            "channels": 1,
            "length": self.frame_bytes,
        }
        await self.send({"kind": "AudioMetadata", "audioMetadata": metadata})

    async def send_audio(self, frame: bytes) -> None:
        data = {
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "participantRawID": PARTICIPANT,
            "data": base64.b64encode(frame).decode(),
            "silent": not any(frame),
        }
        await self.send({"kind": "AudioData", "audioData": data})

    async def press(self, digit: str) -> None:
        """Press a key."""
        await self.send({"kind": "DtmfData", "dtmfData": {"data": digit}})

    def receive(self, message: dict[str, Any]) -> None:
        content = _camel(message)
        match content["kind"]:
            case "AudioData":
                audio = base64.b64decode(_camel(content["audioData"])["data"], validate=True)
                if not audio or len(audio) % 2:
                    raise Malformed(f"{len(audio)} bytes are no 16-bit samples")
                self.hear(audio)
                self.most_waiting = max(self.most_waiting, self.line.waiting)
            case "StopAudio":
                if not isinstance(content["stopAudio"], dict):
                    raise Malformed("stopAudio is an object")
                self.cut()
            case other:
                raise Malformed(f"there is no kind {other!r}")


def _camel(message: dict[str, Any]) -> dict[str, Any]:
    return {name[:1].lower() + name[1:]: value for name, value in message.items()}
