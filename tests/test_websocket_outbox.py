"""The outgoing queue: in order, in pieces, in time; and what a flush takes back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, ClassVar

from hypothesis import given
from hypothesis import strategies as st

from voicelive_agent.audio import AudioFormat
from voicelive_agent.websocket import Dialect
from voicelive_agent.websocket._outbox import Outbox
from voicelive_agent.websocket._position import Position
from voicelive_agent.websocket.dialect import Message


class Plain(Dialect[None]):
    """Audio as it is, with a stamp before it."""

    piece_ms: ClassVar[int] = 10

    def __init__(self) -> None:
        super().__init__(AudioFormat(rate=1_000))
        self.last: list[bool] = []

    def encode(self, audio: bytes, position: Position, *, last: bool, now: float) -> Iterable[tuple[Message, int]]:
        self.last.append(last)
        return [(f"at {position.sent}", 0), (audio, len(audio) // 2)]

    def flush(self, generation: int) -> str:
        return f"flush {generation}"


class Paced(Plain):
    confirms: ClassVar[bool] = False
    lead_ms: ClassVar[int | None] = 15


def sent(outbox: Outbox, now: float = 0.0) -> list[Message]:
    """All that is due."""
    return list(iter(lambda: outbox.next(now), None))


def audio(samples: int, first: int = 0) -> bytes:
    return b"".join((first + sample).to_bytes(2, "little") for sample in range(samples))


def test_text_and_audio_keep_their_order() -> None:
    outbox = Outbox(Plain())
    outbox.put("one")
    outbox.write(audio(4))
    outbox.put("two")
    assert outbox
    assert sent(outbox) == ["one", "at 0", audio(4), "two"]
    assert not outbox
    assert outbox.next(0.0) is None
    assert outbox.due_in(0.0) is None


def test_audio_is_cut_and_joined_to_pieces() -> None:
    dialect = Plain()
    outbox = Outbox(dialect)
    outbox.write(audio(3))
    outbox.write(audio(4, 3))
    outbox.write(audio(20, 7))
    messages = sent(outbox)
    assert [len(message) // 2 for message in messages if isinstance(message, bytes)] == [10, 10, 7]
    assert b"".join(message for message in messages if isinstance(message, bytes)) == audio(27)
    assert messages[::2] == ["at 0", "at 10", "at 20"]
    assert dialect.last == [False, False, True]


def test_half_a_sample_waits_for_the_other_half() -> None:
    outbox = Outbox(Plain())
    outbox.write(b"\x01")
    assert not outbox
    assert outbox.position.written == 0
    outbox.write(b"\x00\x02")
    assert sent(outbox)[1] == b"\x01\x00"
    outbox.flush()
    outbox.write(audio(1, 7))
    assert sent(outbox)[-1] == audio(1, 7), "what was flushed has no other half"


def test_what_was_not_sent_was_never_written() -> None:
    outbox = Outbox(Plain())
    outbox.put("one")
    outbox.write(audio(30))
    outbox.flush()
    assert sent(outbox) == ["one"]
    assert outbox.position.pending(0.0) == 0


def test_a_flush_goes_first_and_text_stays() -> None:
    outbox = Outbox(Plain())
    outbox.write(audio(30))
    assert [outbox.next(0.0), outbox.next(0.0)] == ["at 0", audio(10)]
    outbox.put("one")
    outbox.flush()
    outbox.flush()
    outbox.write(audio(2))
    assert sent(outbox) == ["flush 1", "one", "at 0", audio(2)]


def test_what_a_piece_became_is_taken_back_too() -> None:
    outbox = Outbox(Plain())
    outbox.write(audio(5))
    assert outbox.next(0.0) == "at 0"
    assert outbox.position.sent == 0, "the audio itself has not been sent"
    outbox.flush()
    assert sent(outbox) == []
    outbox.write(audio(5))
    outbox.put("bye")
    outbox.drop_audio()
    assert sent(outbox) == ["bye"]


def test_a_paced_dialect_is_sent_no_more_than_its_lead() -> None:
    outbox = Outbox(Paced())
    outbox.write(audio(100))
    outbox.put("behind")
    assert [message for message in sent(outbox) if isinstance(message, bytes)] == [audio(10), audio(10, 10)]
    due = outbox.due_in(0.0)
    assert due == 0.005
    assert outbox.next(0.004) is None
    assert outbox.next(due) == "at 20"
    assert outbox.due_in(due) == 0.0, "the piece that belongs to it"
    assert outbox.next(due) == audio(10, 20)
    now, at = due, 30
    while at < 100:
        wait = outbox.due_in(now)
        assert wait
        now += wait
        messages = sent(outbox, now)
        at += sum(len(message) // 2 for message in messages if isinstance(message, bytes))
        assert outbox.position.ahead(now) <= 15 + 10
    assert outbox.position.heard(now) >= 75
    assert sent(outbox, now) == ["behind"] or messages[-1] == "behind"


@given(st.lists(st.one_of(st.binary(max_size=60), st.just("flush"), st.integers(0, 9), st.none()), max_size=30))
def test_no_sample_is_lost_or_said_twice(steps: list[Any]) -> None:
    """Audio and flushes in any order, sent one message at a time at any time: the far end hears what was left."""
    outbox = Outbox(Plain())
    expected, heard = bytearray(), bytearray()
    for step in [*steps, None]:
        if step == "flush":
            outbox.flush()
            expected = bytearray(heard)
        elif isinstance(step, bytes):
            outbox.write(step)
            expected += step
        elif isinstance(step, int):
            outbox.put(json.dumps({"number": step}))
        else:
            for message in sent(outbox):
                if isinstance(message, bytes):
                    heard += message
                elif message.startswith("flush"):
                    assert message == f"flush {outbox.position.generation}"
    assert bytes(heard) == bytes(expected[: len(expected) // 2 * 2])


def test_all_is_heard_when_the_far_end_says_so() -> None:
    outbox = Outbox(Plain())
    assert outbox.all_heard(0.0)
    outbox.write(audio(50))
    assert not outbox.all_heard(9.0), "it is not even sent"
    sent(outbox)
    assert not outbox.all_heard(9.0)
    outbox.position.confirm(0, 50, 0.05)
    assert outbox.all_heard(0.05)


def test_who_says_nothing_is_given_time_for_the_last_word() -> None:
    outbox = Outbox(Paced())
    assert outbox.all_heard(0.0)
    outbox.write(audio(10))
    assert not outbox.all_heard(9.0), "it is not even sent"
    sent(outbox, 9.0)
    assert outbox.position.pending(9.02) == 0
    assert not outbox.all_heard(9.2)
    assert outbox.all_heard(9.22)
