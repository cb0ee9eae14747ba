"""Fault scripts without any I/O: what is decided when, and what is refused with which words."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelive_agent.emulator.faults import (
    Close,
    ConnectionFaults,
    Corrupt,
    Delay,
    Drop,
    Duplicate,
    DuplicateTranscript,
    Error,
    Expire,
    Fault,
    FaultAction,
    FaultPlan,
    FaultScript,
    Fin,
    Frame,
    HalfOpen,
    Hang,
    NoPong,
    Pause,
    Redirect,
    Refuse,
    Reorder,
    Reset,
    Send,
    Silence,
    Slow,
    When,
    action_of,
)
from voicelive_agent.errors import ConfigurationError

Event = dict[str, Any]


def faulty(*faults: tuple[When, FaultAction], number: int = 1, seed: int = 0) -> ConnectionFaults:
    connection = ConnectionFaults(FaultScript(tuple(Fault(*fault) for fault in faults), seed), number)
    connection.open(0.0)
    return connection


def event(kind: str, n: int = 0, **fields: Any) -> Event:
    return {"event_id": f"event_{n}", "type": kind, **fields}


def out(faults: ConnectionFaults, *events: Event, now: float = 0.0) -> list[Any]:
    """What is done about these events: the JSON of frames, other steps as they are."""
    for one in events:
        faults.send(one, now)
    return [json.loads(step.data) if isinstance(step, Frame) else step for step in faults.poll(now)]


A, B, C = event("a", 1), event("b", 2), event("c", 3)
SENT_B = When(at="sent", type="b")
AUDIO = event("response.audio.delta", 1, delta=base64.b64encode(bytes(6)).decode())


# --- Nothing goes wrong -----------------------------------------------------------------------------------


@given(st.lists(st.sampled_from([A, B, AUDIO])))
def test_an_empty_script_changes_nothing(events: list[Event]) -> None:
    faults = ConnectionFaults(FaultScript())
    assert faults.handshake() == []
    faults.open(1.0)
    assert out(faults, *events, now=1.0) == events
    faults.receive("x", 1.0)
    assert faults.arrived(1.0) == ["x"]
    assert faults.deadline is None
    assert faults.reads_at <= 1.0


# --- When -------------------------------------------------------------------------------------------------


def test_at_the_handshake() -> None:
    script = FaultScript((Fault(When(at="handshake", connection=2), Refuse(status=429)),))
    assert [ConnectionFaults(script, number).handshake() for number in (1, 2, 3)] == [[], [Refuse(status=429)], []]


def test_on_opening_and_after_a_time() -> None:
    faults = faulty((When(at="open"), Error(code="x")), (When(at="time", after_s=2), Close()))
    (error,) = out(faults)
    assert error["error"]["code"] == "x"
    assert faults.deadline == 2.0
    assert out(faults, A, now=1.9) == [A]
    assert out(faults, now=2.0) == [Close()]
    assert faults.deadline is None
    assert out(faults, A, now=3.0) == []


def test_every_so_many_seconds() -> None:
    faults = faulty((When(at="time", after_s=1, always=True), Send(text="tick")))
    seen = [len(faults.poll(now)) for now in (0.5, 1.0, 1.5, 2.0, 9.5, 9.9, 10.5)]
    assert seen == [0, 1, 0, 1, 1, 0, 1]


def test_at_the_nth_event_of_a_type() -> None:
    assert out(faulty((When(at="sent", type="b", nth=2), Drop())), A, B, B, B) == [A, B, B]
    assert out(faulty((When(at="sent", type="[ab]", nth=2, always=True), Drop())), A, B, A, C, B) == [A, C]
    assert out(faulty((When(at="sent"), Drop())), A, B) == [B]


def test_at_an_event_of_the_client() -> None:
    faults = faulty((When(at="received", type="x.*"), Error(event_id="$event_id")))
    faults.receive('{"type": "y"}', 0.0)
    faults.receive("[1]", 0.0)
    faults.receive("{", 0.0)
    faults.receive("[" * 100_000, 0.0)
    assert faults.poll(0.0) == []
    faults.receive('{"type": "x.y", "event_id": "mine"}', 0.0)
    (error,) = out(faults)
    assert error["error"]["event_id"] == "mine"
    assert len(faults.arrived(0.0)) == 5


@pytest.mark.parametrize("when", [When(at="audio", deltas=3), When(at="audio", audio_bytes=13)])
def test_after_an_amount_of_audio(when: When) -> None:
    faults = faulty((when, Fin()))
    assert out(faults, AUDIO, A, AUDIO) == [AUDIO, A, AUDIO]
    assert out(faults, AUDIO, AUDIO) == [AUDIO, Fin()]


def test_by_chance_but_the_same_each_time() -> None:
    def survivors(seed: int, number: int = 1) -> list[int]:
        faults = faulty((When(at="sent", always=True, probability=0.3), Drop()), seed=seed, number=number)
        return [step["n"] for step in out(faults, *(event("a", n=n) | {"n": n} for n in range(300)))]

    assert survivors(1) == survivors(1)
    assert len({tuple(survivors(seed, number)) for seed in (1, 2) for number in (1, 2)}) == 4
    assert 150 < len(survivors(1)) < 270
    assert out(faulty((When(at="sent", always=True, probability=0.0), Drop())), A, B) == [A, B]


# --- Events -----------------------------------------------------------------------------------------------


def test_an_event_is_lost_doubled_or_late() -> None:
    assert out(faulty((SENT_B, Drop())), A, B, C) == [A, C]
    assert out(faulty((SENT_B, Duplicate())), A, B, C) == [A, B, B, C]
    assert out(faulty((SENT_B, Reorder())), A, B, C, A) == [A, C, B, A]
    assert out(faulty((SENT_B, Reorder(behind="d*"))), A, B, C, event("done"), A) == [A, C, event("done"), B, A]
    assert out(faulty((SENT_B, Reorder(behind="never"))), A, B, C) == [A, C]


def test_a_copy_may_differ() -> None:
    faults = faulty((SENT_B, Duplicate(changes={"x": 1}, new_id=True)))
    first, second = out(faults, B)
    assert first == B
    assert second["x"] == 1
    assert second["event_id"] != B["event_id"]


def test_what_follows_a_delayed_event_waits_for_it() -> None:
    faults = faulty((SENT_B, Delay(by_ms=500)))
    assert out(faults, A, B, C) == [A]
    assert faults.deadline == 0.5
    assert out(faults, A, now=0.4) == []
    assert out(faults, now=0.5) == [B, C, A]


def test_several_faults_at_one_event() -> None:
    faults = faulty((SENT_B, Duplicate()), (SENT_B, Corrupt(how="unknown_type")), (SENT_B, Close(code=4000)))
    steps = out(faults, B, C)
    assert [step["type"] for step in steps[:2]] == ["session.unheard_of"] * 2
    assert steps[2:] == [Close(code=4000)]


@pytest.mark.parametrize(
    ("corrupt", "data"),
    [
        (Corrupt(how="bad_json"), "{nope"),
        (Corrupt(how="truncated"), '{"event_id":"event_1",'),
        (Corrupt(how="not_object", value=[1, 2]), "[1, 2]"),
        (Corrupt(how="not_object"), "null"),
        (Corrupt(how="empty"), ""),
        (Corrupt(how="binary"), b"\xff\xfe\x00\x80"),
        (Corrupt(how="missing_field", field="type"), '{"event_id":"event_1"}'),
        (Corrupt(how="missing_field", field="nothing"), '{"event_id":"event_1","type":"conversation"}'),
        (Corrupt(how="wrong_type", field="type", value=3), '{"event_id":"event_1","type":3}'),
        (Corrupt(how="unknown_type"), '{"event_id":"event_1","type":"session.unheard_of"}'),
    ],
)
def test_spoiled_events(corrupt: Corrupt, data: str | bytes) -> None:
    faults = faulty((When(at="sent"), corrupt))
    faults.send(event("conversation", 1), 0.0)
    (frame,) = faults.poll(0.0)
    assert isinstance(frame, Frame)
    assert frame.data == data
    assert frame.event is None or json.loads(data) == frame.event


def test_deep_json() -> None:
    faults = faulty((When(at="sent"), Corrupt(how="deep")))
    faults.send(A, 0.0)
    (frame,) = faults.poll(0.0)
    assert isinstance(frame, Frame)
    with pytest.raises(RecursionError):
        json.loads(frame.data)


def test_spoiled_audio() -> None:
    (bad,) = out(faulty((When(at="sent"), Corrupt(how="bad_base64"))), AUDIO)
    with pytest.raises(ValueError, match=r"base64|[Ii]ncorrect|[Nn]on|[Oo]nly"):
        base64.b64decode(bad["delta"], validate=True)
    (odd,) = out(faulty((When(at="sent"), Corrupt(how="odd_bytes"))), AUDIO)
    assert base64.b64decode(odd["delta"], validate=True) == bytes(5)
    (odd,) = out(faulty((When(at="sent"), Corrupt(how="odd_bytes"))), {**AUDIO, "delta": "A"})
    assert base64.b64decode(odd["delta"], validate=True) == bytes(1)


@given(st.integers(1, 5000), st.sampled_from([A, AUDIO]))
def test_oversized_is_more_than_the_limit_and_not_much_more(size: int, sent: Event) -> None:
    faults = faulty((When(at="sent"), Corrupt(how="oversized", size=size)))
    faults.send(sent, 0.0)
    (frame,) = faults.poll(0.0)
    assert isinstance(frame, Frame)
    assert size < len(frame.data) <= max(size, 200) + 60
    assert len(base64.b64decode(json.loads(frame.data).get("delta", ""), validate=True)) % 2 == 0


@pytest.mark.parametrize("empty", ["first", "second"])
def test_transcripts_of_deep_noise_suppression(empty: Any) -> None:
    heard = event("conversation.item.input_audio_transcription.completed", 1, item_id="i", transcript="Hello")
    item = event(
        "conversation.item.created",
        2,
        previous_item_id=None,
        item={"id": "i", "content": [{"type": "input_audio"}]},
    )
    typed = event("conversation.item.created", 3, item={"id": "j", "content": [{"type": "input_text"}]})
    faults = faulty((When(at="sent", always=True), DuplicateTranscript(empty=empty)))
    other = event("other", 4)
    steps = out(faults, heard, item, typed, other)
    texts = [step["transcript"] for step in steps[:2]]
    assert texts == (["", "Hello"] if empty == "first" else ["Hello", ""])
    assert steps[2] == item
    assert steps[3]["previous_item_id"] == "i"
    assert steps[4:] == [typed, other]
    assert len({step["event_id"] for step in steps}) == len(steps)


def test_what_the_client_sends_goes_wrong_the_same_way() -> None:
    faults = faulty(
        (When(at="received", type="a"), Drop()),
        (When(at="received", type="b"), Duplicate()),
        (When(at="received", type="c"), Delay(by_ms=100)),
    )
    for data in ('{"type":"a"}', '{"type":"b"}', '{"type":"c"}', b"not json"):
        faults.receive(data, 0.0)
    assert [json.loads(data)["type"] for data in faults.arrived(0.0)] == ["b", "b"]
    assert faults.deadline == faults.reads_at == 0.1
    assert faults.arrived(0.1) == ['{"type":"c"}', b"not json"]


def test_frames_that_are_no_events_pass_the_faults_of_events() -> None:
    for action in (Duplicate(), DuplicateTranscript()):
        faults = faulty((When(at="received"), action))
        faults.receive(b"\xff", 0.0)
        assert set(faults.arrived(0.0)) == {b"\xff"}
    faults = faulty((When(at="received"), Corrupt(how="truncated")))
    faults.receive(b"\xffabc", 0.0)
    assert len(faults.arrived(0.0)) == 1


# --- The connection ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [Close(), Fin(), Reset(), HalfOpen()])
def test_after_the_end_there_is_nothing(end: FaultAction) -> None:
    faults = faulty((SENT_B, end), (When(at="time", after_s=1, always=True), Send(text="x")))
    assert out(faults, A, B, C) == [A, B, end]
    faults.receive("x", 5.0)
    assert faults.poll(5.0) == []
    assert faults.arrived(5.0) == []
    assert faults.deadline is None


def test_no_pong_goes_on() -> None:
    assert out(faulty((When(at="open"), NoPong())), A) == [NoPong(), A]


def test_silence_loses_events_but_not_the_close() -> None:
    faults = faulty((When(at="open"), Silence()))
    assert out(faults, A, B) == []
    faults.do(Close(), 1.0)
    assert out(faults, now=1.0) == [Close()]


def test_a_slow_line_takes_its_time() -> None:
    size = len(json.dumps(A, separators=(",", ":")))
    faults = faulty((When(at="open"), Slow(bytes_per_s=size)))
    assert out(faults, A, A) == []
    assert faults.deadline == 1.0
    assert out(faults, now=1.0) == [A]
    assert out(faults, now=2.0) == [A]


def test_a_slow_reader_says_when_to_read_on() -> None:
    faults = faulty((When(at="open"), Slow(bytes_per_s=10, direction="received")))
    faults.receive("x" * 20, 1.0)
    assert faults.arrived(1.0) == []
    assert faults.reads_at == 3.0
    assert faults.arrived(3.0) == ["x" * 20]


def test_a_pause_holds_back_what_waits_and_what_comes() -> None:
    faults = faulty((SENT_B, Pause(for_s=1.0)))
    assert out(faults, A, B, C) == []
    assert out(faults, now=1.0) == [A, B, C]


def test_an_event_may_quote_the_one_it_happens_at() -> None:
    said = {"type": "x", "id": "$item.id", "list": ["$type", "$item.id.deeper", 3], "map": {"k": "$nothing"}}
    faults = faulty((SENT_B, Send(event=said)))
    *_, step = out(faults, {**B, "item": {"id": "i"}})
    assert {key: step[key] for key in said} == {"type": "x", "id": "i", "list": ["b", None, 3], "map": {"k": None}}
    assert step["event_id"].startswith("event_")


def test_frames_of_any_kind() -> None:
    faults = faulty((When(at="open"), Send(text="x")), (When(at="open"), Send(binary="/w==")))
    assert [step.data for step in faults.poll(0.0) if isinstance(step, Frame)] == ["x", b"\xff"]


def test_both_ways_to_expire() -> None:
    error, close = out(faulty((When(at="open"), Expire())))
    assert error["error"]["code"] == "session_expired"
    assert close == Close(code=1001, reason="session_expired")
    assert out(faulty((When(at="open"), Expire(form="bare")))) == [close]


def test_what_is_done_now_happens_to_the_next_event() -> None:
    faults = faulty()
    faults.do(Drop(), 0.0)
    assert out(faults, A, B) == [B]
    with pytest.raises(ValueError, match="only happens at the handshake"):
        faults.do(Hang(), 0.0)


def test_an_in_memory_connection() -> None:
    """The decisions alone, around a session without a socket."""
    from voicelive_agent.emulator import EmulatorSession

    session, faults = EmulatorSession(seed=1), faulty((When(at="sent", type="response.done"), Reset()))
    session.start(0.0)
    faults.receive(json.dumps({"type": "response.create"}), 0.0)
    steps: list[Any] = []
    while not isinstance(steps[-1] if steps else None, Reset):
        for data in faults.arrived(0.0):
            session.receive(data, 0.0)
        for job in session.jobs():
            session.finish(job, job.run(), 0.0)
        for said in session.poll(0.0):
            faults.send(said, 0.0)
        steps += faults.poll(0.0)
    assert steps[-2].event["type"] == "response.done"


# --- Scripts and their JSON -------------------------------------------------------------------------------

ENTRY = {"when": {"at": "sent", "type": "b"}, "action": {"do": "close", "code": 4000}}


def test_a_script_from_everywhere(tmp_path: Path) -> None:
    expected = FaultScript((Fault(SENT_B, Close(code=4000)),))
    file = tmp_path / "faults.json"
    file.write_text(json.dumps([ENTRY]), encoding="utf-8")
    for source in (expected, [ENTRY], {"faults": [ENTRY]}, file, str(file), expected.to_json(), expected.faults):
        assert FaultScript.of(source) == expected
    assert FaultScript.of({"seed": 4, "faults": [ENTRY | {"comment": "why"}]}).seed == 4
    assert FaultScript.of("reset").faults[0].action == Reset()
    assert FaultScript.of([{"when": "open", "action": "fin"}]).faults == (Fault(When(at="open"), Fin()),)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("[", "faults is not valid JSON"),
        ("[" * 100_000, "faults is not valid JSON"),
        ("3", "faults must be a list of entries, not 3"),
        ('"x"', 'faults must be a list of entries, not "x"'),
        ('{"sed": 1}', "faults.sed is no field of a script"),
        ('{"seed": "x"}', 'faults.seed must be an integer, not "x"'),
        ('{"seed": true}', "faults.seed must be an integer"),
        ("[1]", r"faults\[0\] must be an object with when and action, not 1"),
        ("[" + "{}," * 1000 + "{}]", "has 1001 entries"),
        ('[{"when": "open"}]', r"faults\[0\].action is missing"),
        ('[{"action": "fin"}]', r"faults\[0\].when is missing"),
        ('[{"when": "open", "action": "fin", "x": 1}]', r"faults\[0\].x is no field of an entry"),
        ('[{"when": 1, "action": "fin"}]', r"faults\[0\].when must be an object or a string"),
        ('[{"when": "now", "action": "fin"}]', r"faults\[0\].when.at must be one of .*not 'now'"),
        ('[{"when": {}, "action": "fin"}]', r"faults\[0\].when.at is missing"),
        ('[{"when": {"at": "open", "nth": 2}, "action": "fin"}]', "when.nth has no meaning at 'open'"),
        ('[{"when": {"at": "sent", "nth": "2"}, "action": "fin"}]', 'when.nth must be an integer, not "2"'),
        ('[{"when": {"at": "sent", "nth": 0}, "action": "fin"}]', "when.nth must be at least 1"),
        (
            '[{"when": {"at": "sent", "tpe": "x"}, "action": "fin"}]',
            "when.tpe is no field of it. Its fields are: at",
        ),
        ('[{"when": {"at": "time", "after_s": -1}, "action": "fin"}]', "when.after_s must be at least 0"),
        ('[{"when": {"at": "time", "after_s": NaN}, "action": "fin"}]', "when.after_s must be a number"),
        (
            '[{"when": {"at": "time", "always": true}, "action": "fin"}]',
            "when.after_s must be greater than 0 where",
        ),
        ('[{"when": {"at": "open", "always": true}, "action": "fin"}]', "when.always has no meaning at 'open'"),
        ('[{"when": {"at": "open", "always": 1}, "action": "fin"}]', "when.always must be true or false"),
        (
            '[{"when": {"at": "open", "probability": 2}, "action": "fin"}]',
            "when.probability must be between 0 and 1",
        ),
        ('[{"when": {"at": "open", "connection": 0}, "action": "fin"}]', "when.connection must be at least 1"),
        ('[{"when": {"at": "audio"}, "action": "fin"}]', r"deltas or audio_bytes \(one of them\)"),
        ('[{"when": {"at": "audio", "deltas": 1, "audio_bytes": 1}, "action": "fin"}]', "one of them"),
        ('[{"when": "open", "action": 1}]', r"faults\[0\].action must be an object or a string"),
        (
            '[{"when": "open", "action": "explode"}]',
            'do must be the name of an action, not "explode". One of: close,',
        ),
        ('[{"when": "open", "action": {"code": 1}}]', "do must be the name of an action, not null"),
        (
            '[{"when": "open", "action": {"do": "fin", "x": 1}}]',
            "action.x is no field of it. Its fields are: none",
        ),
        ('[{"when": "open", "action": {"do": "close", "code": 99}}]', "action.code must be between 1000 and 4999"),
        ('[{"when": "open", "action": {"do": "close", "code": 1006}}]', "1006 is never in a close frame: use fin"),
        ('[{"when": "open", "action": "refuse"}]', "action: Refuse only happens at the handshake|never happens"),
        ('[{"when": "handshake", "action": "fin"}]', "action: Fin .* at the handshake"),
        ('[{"when": "open", "action": "drop"}]', "action: Drop needs an event"),
        ('[{"when": "open", "action": "pause"}]', "action.for_s is missing"),
        ('[{"when": "open", "action": {"do": "pause", "for_s": 0}}]', "action.for_s must be greater than 0"),
        ('[{"when": "open", "action": {"do": "send"}}]', r"action.event, text or binary \(one of them\)"),
        ('[{"when": "open", "action": {"do": "send", "event": 1}}]', "action.event must be an object, not 1"),
        ('[{"when": "open", "action": {"do": "send", "binary": "?"}}]', "action.binary must be base64"),
        ('[{"when": "sent", "action": {"do": "corrupt", "how": "x"}}]', "action.how must be one of"),
        ('[{"when": "sent", "action": {"do": "corrupt", "how": "wrong_type"}}]', "action.field must be given"),
        (
            '[{"when": "sent", "action": {"do": "corrupt", "how": "deep", "size": 0}}]',
            "action.size must be between",
        ),
        ('[{"when": "handshake", "action": {"do": "refuse", "status": 302}}]', "action.status must be 200 or"),
        (
            '[{"when": "handshake", "action": {"do": "refuse", "retry_after_s": -1}}]',
            "retry_after_s must be at least",
        ),
        ('[{"when": "handshake", "action": {"do": "redirect", "status": 200}}]', "status must be a redirection"),
        (
            '[{"when": "handshake", "action": {"do": "redirect", "location": "a\\nb"}}]',
            "location must be printable",
        ),
        (
            '[{"when": "handshake", "action": {"do": "refuse", "code": ["a long one", "' + "x" * 99 + '"]}}]',
            r"\.\.\.",
        ),
    ],
)
def test_what_is_wrong_is_named(given: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        FaultScript.from_json(given)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("no such", "no fault script 'no such'"),
        ("missing.json", "missing.json cannot be read"),
        (3, "must be a list"),
    ],
)
def test_sources_that_are_none(source: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        FaultScript.of(source)


def test_values_are_checked_in_python_too() -> None:
    for make in (
        lambda: Close(code=5),
        lambda: Close(reason="x" * 124),
        lambda: Slow(bytes_per_s=math.inf),
        lambda: Slow(bytes_per_s=1, direction="up"),  # type: ignore[arg-type]
        lambda: Expire(form="x"),  # type: ignore[arg-type]
        lambda: DuplicateTranscript(empty="x"),  # type: ignore[arg-type]
        lambda: Fault(When(at="open"), Redirect()),
    ):
        with pytest.raises(ValueError, match=r"must|handshake"):
            make()


def test_json_and_back() -> None:
    for action in (
        Corrupt(how="wrong_type", field="x", value=[1]),
        Slow(bytes_per_s=2),
        Send(event={"type": "x"}),
    ):
        script = (
            FaultScript((Fault(When(at="audio", deltas=2, probability=0.5), action),))
            if not isinstance(action, Corrupt)
            else FaultScript((Fault(SENT_B, action),), seed=5)
        )
        assert FaultScript.from_json(json.dumps(script.to_json())) == script
    assert action_of("drop", "x") == Drop()


# --- Plans ------------------------------------------------------------------------------------------------


def test_a_plan_counts_its_connections() -> None:
    plan = FaultPlan([{"when": {"at": "handshake", "connection": 2}, "action": "refuse"}])
    assert [len(plan.connection().handshake()) for _ in range(3)] == [0, 1, 0]
    assert plan.connections == 3
    plan.load(plan.script)
    assert [len(plan.connection().handshake()) for _ in range(3)] == [0, 1, 0]


def test_a_connection_may_ask_for_faults_of_its_own() -> None:
    plan = FaultPlan("unavailable")
    plan.sets["mine"] = FaultScript.named("rate-limited")
    wanted = [None, "mine", " redirect ", '[{"when": "handshake", "action": "hang"}]', "[]"]
    found = [plan.connection(name).handshake() for name in wanted]
    assert [type(actions[0]).__name__ if actions else None for actions in found] == [
        "Refuse", "Refuse", "Redirect", "Hang", None,
    ]  # fmt: skip
    with pytest.raises(ConfigurationError, match=r"no fault script 'x'. There are: .*mine"):
        plan.connection("x")
    with pytest.raises(ConfigurationError, match=r"x-voicelive-faults\[0\] must be an object"):
        plan.connection("[1]")
