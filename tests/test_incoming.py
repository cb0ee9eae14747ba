"""Messages of the service that are repeated, unknown, or not to be read."""

from __future__ import annotations

from voicelive_agent import _wire as wire
from voicelive_agent import events
from voicelive_agent._incoming import MAX_UNREADABLE, Incoming
from voicelive_agent._plan import Plan
from voicelive_agent._step import Step
from voicelive_agent._turn_detection import turn_policy


def step() -> Step:
    return Step(Plan(session={}, turns=turn_policy({})))


def is_news(incoming: Incoming, text: str) -> bool:
    return incoming.is_news(wire.decode(text))


def test_a_message_that_is_repeated_is_no_news() -> None:
    incoming = Incoming(step())
    text = '{"type":"warning","event_id":"same","warning":{"code":"w","message":"m"}}'
    assert [is_news(incoming, text), is_news(incoming, text)] == [True, False]
    for number in range(600):
        assert is_news(incoming, f'{{"type":"rate_limits.updated","event_id":"other_{number}"}}')
    assert is_news(incoming, text), "the memory for ids has an end"
    unnamed = '{"type":"warning","warning":{}}'
    assert is_news(incoming, unnamed)
    assert is_news(incoming, unnamed), "without an id nothing can be told apart"


def test_an_unknown_message_is_passed_on_unless_it_tells_nothing_new() -> None:
    made = step()
    incoming = Incoming(made)
    incoming.on_unknown(wire.Unknown("session.avatar.connecting", {"server_sdp": "x"}))
    assert made.take() == [events.MessageReceived("session.avatar.connecting", {"server_sdp": "x"})]
    incoming.on_unknown(wire.Unknown("response.content_part.added", {}))
    assert made.take() == []


def test_unreadable_messages_in_a_row_are_the_end() -> None:
    made = step()
    incoming = Incoming(made)
    bad = wire.decode("[")
    assert isinstance(bad, wire.Unreadable)
    for number in range(2 * MAX_UNREADABLE - 1):
        if number == MAX_UNREADABLE - 1:
            assert is_news(incoming, '{"type":"rate_limits.updated"}'), "a good one begins the count anew"
        else:
            assert incoming.is_news(bad)
            assert incoming.on_unreadable(bad) is None
            assert made.take() == [events.MessageRejected(bad.fault, bad.size)]
    verdict = incoming.on_unreadable(bad)
    assert verdict is not None
    assert (verdict.reason, bad.fault in verdict.detail) == (events.EndReason.PROTOCOL, True)
    assert "Voice Live" in verdict.hint
