"""Avatars: configuration, the WebRTC handshake, and what the client sees while one speaks."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from voicelive_agent.emulator import Options

from .asking import refusal, updated
from .driver import Driver, audio_of, every, only, types

LISA = {"character": "lisa", "style": "casual-sitting", "customized": False}
OFFER = "\r\n".join(
    [
        "v=0",
        "o=- 46117 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0 1 2",
        "a=msid-semantic: WMS",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111 63",
        "c=IN IP4 0.0.0.0",
        "a=ice-ufrag:abcd",
        "a=ice-pwd:0123456789012345678901",
        "a=fingerprint:sha-256 00:11",
        "a=setup:actpass",
        "a=mid:0",
        "a=sendrecv",
        "a=rtcp-mux",
        "a=rtpmap:63 red/48000/2",
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 minptime=10;useinbandfec=1",
        "m=video 9 UDP/TLS/RTP/SAVPF 96 103",
        "a=setup:active",
        "a=mid:1",
        "a=recvonly",
        "a=rtcp-mux",
        "a=rtcp-rsize",
        "a=rtpmap:96 VP8/90000",
        "a=rtcp-fb:96 nack",
        "a=rtpmap:103 H264/90000",
        "a=rtcp-fb:103 nack pli",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "a=mid:2",
        "a=sctp-port:5000",
        "",
    ]
)


def packed(value: object) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


def offer(sdp: str = OFFER) -> str:
    return packed({"type": "offer", "sdp": sdp})


def with_avatar(options: Options | None = None, **avatar: Any) -> Driver:
    driver = Driver(options=options)
    driver.update(modalities=["text", "audio", "avatar"], avatar={**LISA, **avatar})
    return driver


def test_relays_are_named_where_the_client_names_none() -> None:
    avatar = updated(Driver().update(avatar=LISA))["avatar"]
    assert avatar["character"] == "lisa"
    assert avatar["output_protocol"] == "webrtc"
    (server,) = avatar["ice_servers"]
    assert server["urls"]
    assert server["username"]
    assert server["credential"]
    mine = [{"urls": ["stun:example.com"]}]
    assert updated(Driver().update(avatar={**LISA, "ice_servers": mine}))["avatar"]["ice_servers"] == mine
    assert "ice_servers" not in updated(Driver().update(avatar={**LISA, "output_protocol": "websocket"}))["avatar"]
    assert updated(Driver().update(avatar=None))["avatar"] is None


def connected(sdp: str = OFFER) -> list[str]:
    event = only(with_avatar().ask("session.avatar.connect", client_sdp=offer(sdp)), "session.avatar.connecting")
    answer = json.loads(base64.b64decode(event["server_sdp"], validate=True))
    assert answer["type"] == "answer"
    lines: list[str] = answer["sdp"].split("\r\n")
    assert lines.pop() == ""
    assert all(len(line) > 2 and line[1] == "=" for line in lines)
    return lines


def sections(lines: list[str]) -> list[list[str]]:
    starts = [index for index, line in enumerate(lines) if line.startswith("m=")]
    return [lines[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]


def test_an_offer_is_answered_section_by_section() -> None:
    lines = connected()
    assert lines[:4] == ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0"]
    assert "a=group:BUNDLE 0 1 2" in lines
    audio, video, data = sections(lines)
    assert audio[0] == "m=audio 9 UDP/TLS/RTP/SAVPF 111"
    assert {"a=mid:0", "a=sendrecv", "a=rtpmap:111 opus/48000/2", "a=rtcp-mux", "a=setup:active"} <= set(audio)
    assert video[0] == "m=video 9 UDP/TLS/RTP/SAVPF 103"
    assert {"a=mid:1", "a=sendonly", "a=rtpmap:103 H264/90000", "a=rtcp-fb:103 nack pli"} <= set(video)
    assert "a=setup:passive" in video
    assert not [line for line in video if "VP8" in line or ":96" in line]
    assert data[0] == "m=application 9 UDP/DTLS/SCTP webrtc-datachannel"
    assert {"a=mid:2", "a=sctp-port:5000"} <= set(data)
    for section in (audio, video, data):
        (fingerprint,) = [line for line in section if line.startswith("a=fingerprint:sha-256 ")]
        assert len(fingerprint.removeprefix("a=fingerprint:sha-256 ").split(":")) == 32
        assert [line[:12] for line in section if line.startswith(("a=ice-ufrag:", "a=ice-pwd:"))]


def test_the_first_codec_is_taken_where_none_is_known() -> None:
    lines = connected("v=0\r\nm=video 9 RTP/AVP 96 97\r\na=rtpmap:96 VP8/90000\r\n")
    assert sections(lines)[0][0] == "m=video 9 RTP/AVP 96"
    assert "a=sendrecv" in lines


@pytest.mark.parametrize(
    "client_sdp",
    [
        "not base64",
        base64.b64encode(b"{").decode(),
        base64.b64encode(b"\xff").decode(),
        packed([]),
        packed({"type": "answer", "sdp": OFFER}),
        packed({"type": "offer"}),
        offer(""),
        offer("hello"),
        offer("v=0\r\nnonsense\r\n"),
        offer("v=0\r\ns=-\r\n"),
        offer("v=0\r\nm=audio 9\r\n"),
    ],
)
def test_what_is_no_offer_is_refused(client_sdp: str) -> None:
    error = refusal(with_avatar().ask("session.avatar.connect", client_sdp=client_sdp, event_id="mine"))
    assert (error["code"], error["param"], error["event_id"]) == ("invalid_value", "client_sdp", "mine")


def test_there_must_be_an_avatar_to_connect() -> None:
    assert refusal(Driver().ask("session.avatar.connect", client_sdp=offer()))["param"] == "session.avatar"
    driver = with_avatar(output_protocol="websocket")
    error = refusal(driver.ask("session.avatar.connect", client_sdp=offer()))
    assert error["param"] == "session.avatar.output_protocol"


def test_an_avatar_speaks_instead_of_audio_deltas() -> None:
    events = with_avatar().say("Hi")
    names = types(events)
    assert "response.audio.delta" not in names
    speaking = only(events, "session.avatar.switch_to_speaking")
    idle = only(events, "session.avatar.switch_to_idle")
    response = only(events, "response.done")["response"]
    assert speaking["turn_id"] == idle["turn_id"] == response["id"]
    order = ["response.content_part.added", "session.avatar.switch_to_speaking", "response.audio.done"]
    order += ["response.done", "session.avatar.switch_to_idle"]
    assert [name for name in names if name in order] == order
    assert response["usage"]["output_token_details"]["audio_tokens"] > 0


def test_audio_for_an_audit_comes_all_the_same() -> None:
    events = with_avatar(output_audit_audio=True).say("Hi")
    assert audio_of(events) == audio_of(Driver().say("Hi"))
    assert "session.avatar.switch_to_speaking" in types(events)


def test_a_written_answer_moves_no_avatar() -> None:
    events = with_avatar().say("Hi", modalities=["text"])
    assert not [name for name in types(events) if "avatar" in name]


def boxes(data: bytes) -> list[bytes]:
    names = []
    while data:
        size, name = struct.unpack_from(">I4s", data)
        assert 8 <= size <= len(data)
        names.append(name)
        data = data[size:]
    return names


def test_video_over_the_websocket_is_a_stand_in_in_fragments() -> None:
    driver = with_avatar(output_protocol="websocket")
    deltas = list(every(driver.say("A sentence that takes several deltas to say."), "response.video.delta"))
    assert len(deltas) > 2
    assert {(delta["codec"], delta["output_index"]) for delta in deltas} == {("h264", 0)}
    pieces = [base64.b64decode(delta["delta"], validate=True) for delta in deltas]
    assert boxes(pieces[0]) == [b"ftyp", b"moov", b"moof", b"mdat"]
    assert {tuple(boxes(piece)) for piece in pieces[1:]} == {(b"moof", b"mdat")}
    later = next(every(driver.say("Again"), "response.video.delta"))
    assert boxes(base64.b64decode(later["delta"])) == [b"moof", b"mdat"]


def test_the_client_can_silence_the_avatar() -> None:
    driver = with_avatar(Options(realtime_factor=1.0), output_protocol="websocket")
    driver.send("response.create", response={"instructions": "Talk"})
    driver.wait(0.3)
    assert "session.avatar.switch_to_speaking" in types(driver.events)
    events = driver.ask("output_audio_buffer.clear")
    assert types(events)[:2] == ["output_audio_buffer.cleared", "session.avatar.switch_to_idle"]
    assert not [name for name in types(events) if name in ("response.video.delta", "response.audio.delta")]
    assert only(events, "response.done")["response"]["status"] == "completed"
    assert "session.avatar.switch_to_speaking" in types(driver.say("Again")), "the next answer is spoken"


def test_clearing_what_nobody_says_is_acknowledged() -> None:
    assert types(with_avatar().ask("output_audio_buffer.clear")) == ["output_audio_buffer.cleared"]


def test_an_avatar_rests_when_it_is_interrupted() -> None:
    driver = with_avatar(Options(realtime_factor=1.0))
    driver.send("response.create")
    driver.wait(0.2)
    events = driver.ask("response.cancel")
    assert types(events)[-2:] == ["response.done", "session.avatar.switch_to_idle"]
