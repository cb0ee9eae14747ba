"""The dialect of Azure Communication Services: the documented messages, in both casings, and paced audio."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelive_agent.audio import AudioFormat
from voicelive_agent.events import DtmfReceived
from voicelive_agent.websocket import AudioMetadata, AzureCommunicationServices
from voicelive_agent.websocket._outbox import Outbox
from voicelive_agent.websocket.acs import LEAD_MS
from voicelive_agent.websocket.dialect import Action, Audio, Ignored, Refused, Rejected, Tell

METADATA: dict[str, Any] = {
    "kind": "AudioMetadata",
    "audioMetadata": {
        "subscriptionId": "89e8",
        "encoding": "PCM",
        "sampleRate": 16000,
        "channels": 1,
        "length": 640,
    },
}


def said(dialect: AzureCommunicationServices, *messages: Any) -> list[Action]:
    actions: list[Action] = []
    for message in messages:
        actions += dialect.receive(message if isinstance(message, str | bytes) else json.dumps(message), 0.0)
    return actions


def begun(**metadata: Any) -> AzureCommunicationServices:
    dialect = AzureCommunicationServices()
    content = METADATA["audioMetadata"] | metadata
    assert said(dialect, METADATA | {"audioMetadata": content}) == []
    return dialect


def data(audio: bytes, **more: Any) -> dict[str, Any]:
    content = {
        "timestamp": "2024-11-15T19:16:12.925Z",
        "participantRawID": "8:acs:1",
        "data": base64.b64encode(audio).decode(),
        "silent": False,
    }
    return {"kind": "AudioData", "audioData": content | more}


@pytest.mark.parametrize("rate", [16_000, 24_000])
def test_metadata_says_the_rate(rate: int) -> None:
    dialect = begun(sampleRate=rate)
    assert dialect.start == AudioMetadata("89e8", rate)
    assert dialect.format == AudioFormat(rate=rate)


def test_names_in_pascal_case_are_understood() -> None:
    dialect = AzureCommunicationServices()
    content = {"SubscriptionId": "1", "Encoding": "pcm", "SampleRate": 24000, "Channels": 1}
    assert said(dialect, {"Kind": "audioMetadata", "AudioMetadata": content}) == []
    assert dialect.start == AudioMetadata("1", 24_000)
    frame = base64.b64encode(b"ab").decode()
    assert said(dialect, {"Kind": "AudioData", "AudioData": {"Data": frame, "Silent": False}}) == [Audio(b"ab")]


@pytest.mark.parametrize(
    "metadata",
    [
        {"encoding": "OPUS"},
        {"encoding": None},
        {"sampleRate": 8_000},
        {"sampleRate": "16000"},
        {"sampleRate": True},
        {"channels": 2},
    ],
)
def test_what_is_not_understood_is_refused(metadata: dict[str, Any]) -> None:
    dialect = AzureCommunicationServices()
    content = METADATA["audioMetadata"] | metadata
    (action,) = said(dialect, METADATA | {"audioMetadata": content})
    assert isinstance(action, Refused)
    assert action.code == 1003
    assert action.reason.startswith("mono PCM at 16000 or 24000 Hz is understood, not ")
    assert dialect.start is None


@pytest.mark.parametrize(
    ("message", "action"),
    [
        (data(b"abcd"), Audio(b"abcd")),
        (data(b"", silent=True), Audio(bytes(640))),
        (data(b"", silent=True, data=None), Audio(bytes(640))),
        (data(b"ab", silent=True), Audio(b"ab")),
        (data(b""), Rejected("AudioData of no samples")),
        (data(b"", silent="yes"), Rejected("AudioData of no samples")),
        (data(b"abc"), Rejected("AudioData: 3 bytes are no whole samples")),
        (data(b"", data="?"), Rejected("AudioData: not base64")),
        (data(b"", data=5), Rejected("AudioData: no base64 text")),
        ({"kind": "AudioData"}, Rejected("AudioData without audioData")),
        ({"kind": "AudioData", "audioData": []}, Rejected("AudioData without audioData")),
        (METADATA, Rejected("a second AudioMetadata")),
        ({"kind": "DtmfData", "dtmfData": {"data": "3"}}, Tell(DtmfReceived("3"))),
        ({"kind": "DtmfData", "dtmfData": {"data": "three"}}, Rejected("DtmfData: 'three' is no key")),
        ({"kind": "DtmfData", "dtmfData": {}}, Rejected("DtmfData: None is no key")),
        ({"kind": "TranscriptionData"}, Ignored("'TranscriptionData'")),
        ({"kind": 5}, Ignored("5")),
        ({}, Ignored("None")),
        (bytes(640), Refused(1003, "a binary message, where the service sends text")),
        ("{", Refused(1007, "not JSON")),
    ],
)
def test_messages_of_the_service(message: Any, action: Action) -> None:
    (given,) = said(begun(), message)
    assert type(given) is type(action)
    assert str(given).startswith(str(action).rstrip("')"))


def test_nothing_comes_before_the_metadata() -> None:
    assert said(AzureCommunicationServices(), data(b"ab")) == [Rejected("AudioData before AudioMetadata")]


def test_of_unmixed_audio_one_participant_is_heard() -> None:
    dialect = begun()
    assert said(
        dialect,
        data(b"ab"),
        data(b"cd", participantRawID="8:acs:2"),
        data(b"ef"),
        data(b"gh", participantRawID=None),
    ) == [Audio(b"ab"), Ignored("AudioData of another participant"), Audio(b"ef"), Audio(b"gh")]


@given(st.dictionaries(st.sampled_from(["kind", "audioData", "dtmfData", "audioMetadata"]), st.text() | st.none()))
def test_no_message_is_worse_than_left_out(message: dict[str, Any]) -> None:
    for kind in ("AudioData", "DtmfData", "AudioMetadata"):
        (action,) = said(begun(), message | {"kind": kind})
        assert isinstance(action, Rejected)


def test_audio_goes_out_in_frames_just_before_they_are_due() -> None:
    dialect = begun()
    outbox = Outbox(dialect)
    pcm = bytes(range(250)) * 64  # 500 ms
    outbox.write(pcm)
    heard, now = b"", 0.0
    while outbox:
        while (text := outbox.next(now)) is not None:
            message = json.loads(text)
            assert message == {"Kind": "AudioData", "AudioData": message["AudioData"], "StopAudio": None}
            frame = base64.b64decode(message["AudioData"]["Data"])
            assert len(frame) == 640
            heard += frame
        assert outbox.position.ahead(now) <= 16 * (LEAD_MS + 20)
        now += outbox.due_in(now) or 0.0
    assert heard == pcm
    assert 0.4 < now < 0.5
    assert not dialect.confirms


def test_stop_audio_drops_what_is_queued_there() -> None:
    outbox = Outbox(begun())
    outbox.write(bytes(6_400))
    assert outbox.next(0.0) is not None
    outbox.flush()
    message = outbox.next(0.0)
    assert isinstance(message, str)
    assert json.loads(message) == {"Kind": "StopAudio", "AudioData": None, "StopAudio": {}}
    assert outbox.next(0.0) is None
