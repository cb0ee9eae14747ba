"""The inbox: in order, and never more than is worth hearing."""

from __future__ import annotations

from voicelive_agent.audio import AudioFormat
from voicelive_agent.websocket._inbox import EARLY_MS, LATE_MS, Inbox

ULAW = AudioFormat("g711_ulaw", 8_000)
BLOCK = bytes(160)  # 20 ms


def taken(inbox: Inbox) -> list[bytes]:
    return list(iter(inbox.take, None))


def test_what_is_put_is_taken_in_order() -> None:
    inbox = Inbox()
    inbox.put(b"a", ULAW)
    inbox.put(b"bc", ULAW)
    assert taken(inbox) == [b"a", b"bc"]
    assert inbox.take() is None


def test_before_anybody_listens_the_latest_is_kept() -> None:
    inbox = Inbox()
    for number in range(100):
        inbox.put(bytes([number]) * 160, ULAW)
    kept = taken(inbox)
    assert len(b"".join(kept)) == EARLY_MS * 8
    assert kept[-1] == bytes([99]) * 160
    assert inbox.skipped_ms == 2_000 - EARLY_MS


def test_whoever_listens_may_be_late() -> None:
    inbox = Inbox()
    inbox.listening = True
    for _ in range(LATE_MS // 20 + 5):
        inbox.put(BLOCK, ULAW)
    assert len(b"".join(taken(inbox))) == LATE_MS * 8
    assert inbox.skipped_ms == 100


def test_a_single_block_is_kept_however_long_it_is() -> None:
    inbox = Inbox()
    inbox.put(bytes(8_000), ULAW)
    assert taken(inbox) == [bytes(8_000)]
    assert inbox.skipped_ms == 0
