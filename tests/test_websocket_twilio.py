"""The Twilio dialect: the documented messages, marks and their generations, and what is left out."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelive_agent.audio import AudioFormat
from voicelive_agent.events import DtmfReceived
from voicelive_agent.websocket import StreamStart, Twilio
from voicelive_agent.websocket._outbox import Outbox
from voicelive_agent.websocket.dialect import (
    Action,
    Audio,
    Ignored,
    Left,
    Played,
    Refused,
    Rejected,
    Reply,
    RoundTrip,
    Tell,
)

SID = "MZ1"
START: dict[str, Any] = {
    "event": "start",
    "sequenceNumber": "1",
    "start": {
        "accountSid": "AC1",
        "streamSid": SID,
        "callSid": "CA1",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"language": "en", "odd": 5},
    },
    "streamSid": SID,
}


def said(dialect: Twilio, *messages: Any, now: float = 0.0) -> list[Action]:
    """What the dialect makes of these messages."""
    actions: list[Action] = []
    for message in messages:
        actions += dialect.receive(message if isinstance(message, str | bytes) else json.dumps(message), now)
    return actions


def probing(number: int, sid: str = SID) -> Reply:
    """The mark that measures the way there and back."""
    return Reply(f'{{"event":"mark","streamSid":"{sid}","mark":{{"name":"probe:{number}"}}}}')


def begun() -> Twilio:
    dialect = Twilio()
    actions = said(dialect, {"event": "connected", "protocol": "Call", "version": "1.0.0"}, START)
    assert actions == [probing(1)]
    return dialect


def media(audio: bytes, number: int = 2, **more: Any) -> dict[str, Any]:
    content = {"track": "inbound", "chunk": "1", "timestamp": "5", "payload": base64.b64encode(audio).decode()}
    return {"event": "media", "sequenceNumber": str(number), "media": content | more, "streamSid": SID}


def mark(name: Any, number: int = 9) -> dict[str, Any]:
    return {"event": "mark", "sequenceNumber": str(number), "mark": {"name": name}, "streamSid": SID}


# --- what Twilio says ----------------------------------------------------------------------------------------


def test_start_says_who_calls() -> None:
    dialect = begun()
    assert dialect.start == StreamStart(SID, "CA1", "AC1", {"language": "en"})
    assert dialect.format == AudioFormat("g711_ulaw", 8_000)


def test_a_start_with_the_least() -> None:
    dialect = Twilio()
    assert said(dialect, {"event": "start", "streamSid": "MZ2"}) == [probing(1, "MZ2")]
    assert dialect.start == StreamStart("MZ2")


@pytest.mark.parametrize(
    ("start", "refused"),
    [
        ({"event": "start"}, Refused(1007, "start without a streamSid")),
        ({"event": "start", "start": {"streamSid": ""}}, Refused(1007, "start without a streamSid")),
        ({"event": "start", "start": [SID], "streamSid": 5}, Refused(1007, "start without a streamSid")),
        (
            {"event": "start", "start": {"streamSid": SID, "mediaFormat": {"sampleRate": 16_000}}},
            Refused(1003, "the media format must be audio/x-mulaw, 8000 Hz, 1 channel"),
        ),
        (bytes(160), Refused(1003, "a binary message, where Twilio sends text")),
        ("[]", Refused(1007, "JSON, but no object")),
    ],
)
def test_a_stranger_is_refused(start: Any, refused: Refused) -> None:
    dialect = Twilio()
    assert said(dialect, start) == [refused]
    assert dialect.start is None


def test_a_second_start_changes_nothing() -> None:
    dialect = begun()
    assert said(dialect, START | {"sequenceNumber": "2"}) == [Rejected("a second start")]


def test_audio_comes_as_it_is() -> None:
    dialect = begun()
    assert said(dialect, media(b"abc", 2), media(b"d", 3), media(bytes(500), 7)) == [
        Audio(b"abc"),
        Audio(b"d"),
        Audio(bytes(500)),
    ]


def test_a_message_that_was_there_already_is_left_out() -> None:
    dialect = begun()
    again = Rejected("media with a sequence number that was there already")
    assert said(dialect, media(b"a", 2), media(b"a", 2), media(b"b", 1)) == [Audio(b"a"), again, again]
    unnumbered = media(b"c") | {"sequenceNumber": "x"}
    assert said(dialect, unnumbered, unnumbered | {"sequenceNumber": 2}) == [Audio(b"c"), Audio(b"c")]


@pytest.mark.parametrize(
    ("message", "action"),
    [
        (media(b"a", track="outbound"), Ignored("media of the track 'outbound'")),
        (media(b""), Rejected("media of no samples")),
        (media(b"a", payload="?"), Rejected("media: not base64: ")),
        (media(b"a", payload=None), Rejected("media: no base64 text")),
        ({"event": "media", "media": "a"}, Rejected("media: no base64 text")),
        (media(b"a") | {"streamSid": "MZ9"}, Rejected("media of another stream")),
        (mark("1:2:3"), Ignored("a mark that is not ours: '1:2:3'")),
        (mark("my label"), Ignored("a mark that is not ours: 'my label'")),
        (mark("٣:٣"), Ignored("a mark that is not ours: '٣:٣'")),
        (mark(5), Ignored("a mark that is not ours: 5")),
        (mark("3:1600"), Played(3, 1600)),
        ({"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": "#"}}, Tell(DtmfReceived("#"))),
        ({"event": "dtmf", "dtmf": {"digit": "12"}}, Rejected("dtmf: '12' is no key")),
        ({"event": "dtmf", "dtmf": {"digit": 1}}, Rejected("dtmf: 1 is no key")),
        ({"event": "video"}, Ignored("'video'")),
        ({"event": {}}, Ignored("a dict")),
        ({}, Ignored("None")),
    ],
)
def test_messages_of_twilio(message: Any, action: Action) -> None:
    (given,) = said(begun(), message)
    if isinstance(action, Rejected):
        assert isinstance(given, Rejected)
        assert given.fault.startswith(action.fault)
    else:
        assert given == action


def test_stop_is_the_end() -> None:
    (action,) = said(
        begun(), {"event": "stop", "sequenceNumber": "5", "stop": {"callSid": "CA1"}, "streamSid": SID}
    )
    assert isinstance(action, Left)


@pytest.mark.parametrize("kind", ["media", "mark", "dtmf", "stop"])
def test_nothing_comes_before_start(kind: str) -> None:
    assert said(Twilio(), {"event": kind}) == [Rejected(f"{kind} before start")]


@given(
    st.dictionaries(
        st.sampled_from(["event", "start", "media", "mark", "dtmf", "streamSid"]), st.text() | st.none()
    )
)
def test_no_message_is_worse_than_left_out(message: dict[str, Any]) -> None:
    for kind in ("start", "media", "mark", "dtmf"):
        for action in said(begun(), message | {"event": kind, "streamSid": SID}):
            assert isinstance(action, Ignored | Rejected)


# --- what Twilio is told -------------------------------------------------------------------------------------


def sent(outbox: Outbox, now: float = 0.0) -> list[dict[str, Any]]:
    return [json.loads(message) for message in iter(lambda: outbox.next(now) or "", "")]


def names(messages: list[dict[str, Any]]) -> list[str]:
    """What was sent, in short: the names of the marks and the bytes of audio."""
    return [
        message["mark"]["name"]
        if message["event"] == "mark"
        else str(len(base64.b64decode(message["media"]["payload"])))
        if message["event"] == "media"
        else message["event"]
        for message in messages
    ]


def test_audio_and_its_marks() -> None:
    outbox = Outbox(begun())
    outbox.write(bytes(range(256)))
    first, audio, last = sent(outbox)
    assert first == {"event": "mark", "streamSid": SID, "mark": {"name": "0:0"}}
    assert audio == {
        "event": "media",
        "streamSid": SID,
        "media": {"payload": base64.b64encode(bytes(range(256))).decode()},
    }
    assert last == {"event": "mark", "streamSid": SID, "mark": {"name": "0:256"}}


def test_a_mark_at_least_every_200_ms_and_at_the_end() -> None:
    outbox = Outbox(begun())
    outbox.write(bytes(4_000))
    assert names(sent(outbox)) == ["0:0", "1600", "0:1600", "1600", "0:3200", "800", "0:4000"]
    outbox.write(bytes(100))
    assert names(sent(outbox)) == ["100", "0:4100"], "the listener is not known to wait"


def test_small_pieces_have_a_mark_together() -> None:
    dialect = begun()
    outbox = Outbox(dialect)
    outbox.position.write(2_000)
    messages: list[str] = []
    for number in range(20):
        for message, samples in dialect.encode(bytes(100), outbox.position, last=number == 19, now=0.0):
            messages += names([json.loads(str(message))])
            outbox.position.send(samples, 0.0)
    assert messages == ["0:0", *["100"] * 16, "0:1600", *["100"] * 4, "0:2000"]


def test_clear_begins_a_generation_whose_marks_count() -> None:
    dialect = begun()
    outbox = Outbox(dialect)
    outbox.write(bytes(800))
    sent(outbox)
    outbox.flush()
    outbox.write(bytes(80))
    messages = sent(outbox)
    assert messages[0] == {"event": "clear", "streamSid": SID}
    assert names(messages) == ["clear", "1:0", "80", "1:80"]
    (played,) = said(dialect, mark("0:800"))
    assert played == Played(0, 800)
    assert not outbox.position.confirm(0, 800, 0.1), "which came back because of the clear"


def test_a_mark_that_waits_for_nothing_measures_the_round_trip() -> None:
    dialect = begun()
    outbox = Outbox(dialect)
    outbox.write(bytes(800))
    sent(outbox, 1.0)
    assert said(dialect, mark("0:0"), now=1.0625) == [RoundTrip(0.0625), Played(0, 0)]
    assert said(dialect, mark("0:0", 10), now=1.5) == [Played(0, 0)], "once"
    assert said(dialect, mark("0:800", 11), now=1.5) == [Played(0, 800)]


def test_the_round_trip_is_measured_several_times_before_the_first_word() -> None:
    dialect = begun()  # with the first probe, at 0.0
    assert said(dialect, mark("probe:1", 2), now=0.25) == [RoundTrip(0.25), probing(2)]
    assert said(dialect, mark("probe:1", 3), now=0.3) == [], "once"
    assert said(dialect, mark("probe:2", 4), now=0.375) == [RoundTrip(0.125), probing(3)]
    assert said(dialect, mark("probe:3", 5), now=0.5) == [RoundTrip(0.125), probing(4)]
    assert said(dialect, mark("probe:4", 6), now=0.625) == [RoundTrip(0.125)]


def test_a_probe_that_may_be_behind_audio_measures_nothing() -> None:
    dialect = begun()
    outbox = Outbox(dialect)
    outbox.write(bytes(800))
    sent(outbox, 0.125)
    assert said(dialect, mark("probe:1", 2), now=0.2) == []
    assert said(dialect, mark("0:0", 3), now=0.25) == [RoundTrip(0.125), Played(0, 0)]
