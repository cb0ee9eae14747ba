"""An avatar: the handshake of its WebRTC connection, when it speaks, and a stand-in for its video.

No face is drawn and no media flows. What the client sees on its WebSocket is as documented; the order of these
events and the ``turn_id`` (that of the response) are guesses, as no session with an avatar was recorded.
"""

from __future__ import annotations

import base64
import struct
from typing import Any

from ._config import Config
from ._errors import ClientError
from ._ids import Ids
from ._sdp import answer
from ._timeline import Timeline


class Avatar:
    """The avatar of one session, if it has one."""

    def __init__(self, timeline: Timeline, ids: Ids, config: Config) -> None:
        self._timeline = timeline
        self._ids = ids
        self._config = config
        self._turn: str | None = None
        """The response being spoken."""
        self._silenced: str | None = None
        """The response that the client does not want to hear any more of."""
        self._fragments = 0

    @property
    def _settings(self) -> dict[str, Any] | None:
        settings: dict[str, Any] | None = self._config["avatar"]
        return settings

    def connect(self, client_sdp: str) -> None:
        """Answer an offer; raises ClientError where it is none, or there is nothing to connect."""
        settings = self._settings
        if settings is None:
            raise ClientError("The session has no avatar: set session.avatar first.", param="session.avatar")
        if settings.get("output_protocol") == "websocket":
            raise ClientError(
                "This avatar's video comes over the WebSocket; there is nothing to connect.",
                param="session.avatar.output_protocol",
            )
        server_sdp = answer(client_sdp, self._ids.letters)
        self._timeline.send("session.avatar.connecting", server_sdp=server_sdp)

    def speak(self, turn_id: str, output_index: int) -> bool:
        """Say some audio of a response; whether the client is to have that audio as a delta."""
        settings = self._settings
        if settings is None:
            return True
        if turn_id != self._silenced:
            if turn_id != self._turn:
                self.rest()
                self._turn = turn_id
                self._timeline.send("session.avatar.switch_to_speaking", turn_id=turn_id)
            if settings.get("output_protocol") == "websocket":
                self._send_video(output_index)
        return settings.get("output_audit_audio") is True

    def _send_video(self, output_index: int) -> None:
        self._fragments += 1
        data = _beginning() + _fragment(1) if self._fragments == 1 else _fragment(self._fragments)
        delta = base64.b64encode(data).decode("ascii")
        self._timeline.send("response.video.delta", output_index=output_index, codec="h264", delta=delta)

    def rest(self) -> None:
        """The answer is over."""
        turn, self._turn = self._turn, None
        if turn is not None:
            self._timeline.send("session.avatar.switch_to_idle", turn_id=turn)

    def clear(self) -> None:
        """Say no more of the present answer, as the client asks with output_audio_buffer.clear."""
        self._silenced = self._turn
        self._timeline.send("output_audio_buffer.cleared")
        self.rest()


def _box(kind: bytes, *content: bytes) -> bytes:
    """A box of ISO/IEC 14496-12."""
    payload = b"".join(content)
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


def _beginning() -> bytes:
    """The beginning of a fragmented MP4: it names its brands, and no track. Not playable."""
    header = struct.pack(">IIIIIIHHQ9I24xI", 0, 0, 0, 1000, 0, 0x10000, 0x100, 0, 0, *_UNITY, 2)
    return _box(b"ftyp", b"isom", struct.pack(">I", 512), b"isomiso6mp41") + _box(b"moov", _box(b"mvhd", header))


_UNITY = (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def _fragment(number: int) -> bytes:
    """A fragment whose only content is an H.264 access unit delimiter: it stands for a moment of video."""
    sequence = _box(b"mfhd", struct.pack(">II", 0, number))
    return _box(b"moof", sequence) + _box(b"mdat", struct.pack(">I", 2), b"\x09\xf0")
