"""Changes of the session while it is under way: one at a time, in order, and each is answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conversation_driver import STOPPED, Driver, plan

from voicelive_agent import _wire as wire
from voicelive_agent._outputs import FinishUpdate
from voicelive_agent._plan import Plan
from voicelive_agent._turn_detection import turn_policy
from voicelive_agent.errors import ConfigurationError, SessionLostError, SessionRefusedError
from voicelive_agent.events import RequestRefused, ServiceFailed, SettingNotGranted, Stalled, State

MANUAL: Mapping[str, Any] = {"turn_detection": None}


def to(**changes: Any) -> Callable[[Plan], Plan]:
    """A change that sets these fields of the session."""

    def change(old: Plan) -> Plan:
        session = {**old.session, **changes}
        return replace(old, session=session, turns=turn_policy(session))

    return change


def impossible(old: Plan) -> Plan:
    raise ConfigurationError("These do not go together.")


class Updating(Driver):
    """A driver that changes the session."""

    def update(self, ticket: int, change: Callable[[Plan], Plan]) -> None:
        self.feed(self.core.update_session, change, ticket=ticket)

    def grant(self, **session: Any) -> None:
        self.hear("session.updated", session=session)

    @property
    def sent(self) -> list[dict[str, Any]]:
        """What every session.update after the first said."""
        return [request.session for request in self.all(wire.UpdateSession)][1:]

    @property
    def finished(self) -> list[tuple[int, Any]]:
        return [(each.ticket, each.error or each.granted) for each in self.all(FinishUpdate)]

    def error_of(self, ticket: int) -> Any:
        (error,) = (each.error for each in self.all(FinishUpdate) if each.ticket == ticket)
        return error


@pytest.fixture
def drive() -> Updating:
    drive = Updating()
    drive.start()
    return drive


def test_the_whole_session_is_sent_and_the_granted_one_is_the_answer(drive: Updating) -> None:
    drive.update(1, to(temperature=0.7))
    assert drive.sent == [{**drive.plan.session, "temperature": 0.7}]
    assert drive.finished == []
    drive.grant(id="sess_1", temperature=0.7)
    assert drive.finished == [(1, {"id": "sess_1", "temperature": 0.7})]
    assert drive.core.deadline is None


def test_several_are_made_one_after_the_other_each_from_what_is_in_force(drive: Updating) -> None:
    drive.update(1, to(temperature=0.7))
    drive.update(2, to(instructions="Be long."))
    drive.update(3, to(voice="alloy"))
    assert len(drive.sent) == 1
    drive.grant(temperature=0.7)
    assert drive.sent[-1] == {**drive.plan.session, "temperature": 0.7, "instructions": "Be long."}
    drive.error("invalid_value", event_id=drive.all(wire.UpdateSession)[-1].event_id)
    assert drive.sent[-1] == {**drive.plan.session, "temperature": 0.7, "voice": "alloy"}  # not what was refused
    drive.grant(voice={"name": "alloy"})
    assert [ticket for ticket, _ in drive.finished] == [1, 2, 3]
    assert isinstance(drive.error_of(2), SessionRefusedError)


def test_before_the_first_session_it_waits() -> None:
    early = Updating()
    early.update(1, to(temperature=0.7))
    assert early.asked() == []
    early.start()
    assert early.asked() == ["session.update", "session.update"]
    early.grant(temperature=0.7)
    assert early.finished == [(1, {"temperature": 0.7})]


@pytest.mark.parametrize("named", [True, False])
def test_a_refusal_goes_to_who_asked_and_changes_nothing(drive: Updating, named: bool) -> None:
    drive.update(1, to(**MANUAL))
    event_id = drive.one(wire.UpdateSession).event_id if named else None
    drive.error("bad", event_id=event_id, message="Not this one.", param="session.turn_detection")
    refusal = drive.error_of(1)
    assert (refusal.reason, refusal.code, refusal.param) == ("Not this one.", "bad", "session.turn_detection")
    assert str(refusal) == "The service refused to change the session: Not this one. Mend turn_detection."
    assert not drive.all(RequestRefused)
    assert not drive.all(ServiceFailed)
    assert not drive.core.turns_by_hand
    assert drive.state() is State.READY


def test_an_error_about_something_else_is_no_refusal(drive: Updating) -> None:
    drive.update(1, to(temperature=0.7))
    drive.error("server_error", event_id=None)
    assert drive.told() == ["ServiceFailed"]
    drive.type("hello")
    drive.error("invalid_value", event_id=drive.all(wire.CreateItem)[-1].event_id)
    assert drive.told() == ["RequestRefused"]
    assert drive.finished == []


def test_a_refusal_without_a_reason_is_one_too(drive: Updating) -> None:
    drive.update(1, to(temperature=0.7))
    drive.hear("error", error={"event_id": drive.one(wire.UpdateSession).event_id})
    assert str(drive.error_of(1)) == "The service refused to change the session: no reason given."


def test_what_contradicts_what_is_in_force_by_then_is_not_sent(drive: Updating) -> None:
    drive.update(1, impossible)
    drive.update(2, to(temperature=0.7))
    assert isinstance(drive.error_of(1), ConfigurationError)
    assert len(drive.sent) == 1


def test_the_policy_follows_when_it_is_granted_and_not_before(drive: Updating) -> None:
    drive.update(1, to(**MANUAL))
    assert not drive.core.turns_by_hand
    drive.grant(turn_detection=None)
    assert drive.core.turns_by_hand
    drive.update(2, to(turn_detection={"type": "server_vad", "interrupt_response": False}))
    drive.grant()
    drive.answer(2_000)
    drive.user_begins()
    assert drive.asked(last=True) == []
    assert drive.state() is State.LISTENING
    assert drive.pending > 0  # not interrupted


def test_the_answer_of_a_user_who_is_not_answered_is_not_waited_for(drive: Updating) -> None:
    drive.update(1, to(turn_detection={"type": "server_vad", "create_response": False}))
    drive.grant()
    drive.user_speaks()
    assert drive.state() is State.READY


def test_who_lets_the_service_truncate_does_not(drive: Updating) -> None:
    drive.update(1, to(turn_detection={"type": "server_vad", "auto_truncate": True}))
    drive.grant()
    drive.answer(2_000)
    drive.wait(0.5)
    drive.interrupt()
    assert "conversation.item.truncate" not in drive.asked()


def test_every_difference_is_told_after_the_session_began() -> None:
    drive = Updating(plan(turn_detection={"type": "server_vad", "silence_duration_ms": 300}))
    drive.hear("session.created", session={})
    drive.grant(instructions="Be brief.", turn_detection={"type": "server_vad", "silence_duration_ms": 500})
    assert drive.told() == ["SessionStarted", "SettingNotGranted"]
    assert drive.one(SettingNotGranted) == SettingNotGranted("turn_detection.silence_duration_ms", 300, 500)
    drive.update(1, to(temperature=0.7))
    drive.grant(temperature=1.0, instructions="Be brief.")
    assert drive.one(SettingNotGranted).path == "temperature"
    drive.grant(temperature=2.0)  # nobody asked just now
    assert drive.told() == []


def test_nothing_is_waited_for_without_a_limit(drive: Updating) -> None:
    drive.update(1, to(temperature=0.7))
    drive.update(2, to(temperature=0.8))
    drive.wait(29)
    assert drive.finished == []
    drive.wait(2)
    assert drive.all(Stalled) == [Stalled("the answer to a session.update", 30_000)]
    assert str(drive.error_of(1)).endswith("no answer within 30 s.")
    assert drive.sent[-1]["temperature"] == 0.8
    drive.grant(temperature=0.8)
    assert drive.finished[-1] == (2, {"temperature": 0.8})


def test_the_end_of_the_call_is_an_answer_too(drive: Updating) -> None:
    drive.update(1, to(temperature=0.7))
    drive.update(2, to(temperature=0.8))
    drive.close()
    assert [ticket for ticket, _ in drive.finished] == [1, 2]
    for _, error in drive.finished:
        assert isinstance(error, SessionLostError)
        assert error.verdict == STOPPED
    other = Updating()
    other.start().close()
    assert other.finished == []


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(["want", "impossible", "grant", "refuse", "wait", "speak"]), max_size=25))
def test_every_change_is_answered_once_and_in_order(acts: list[str]) -> None:
    drive = Updating()
    drive.start()
    wanted = 0
    for act in [*acts, "close"]:
        answered = len(drive.finished)
        open_requests = len(drive.sent)
        match act:
            case "want" | "impossible":
                wanted += 1
                drive.update(wanted, to(temperature=wanted) if act == "want" else impossible)
            case "grant":
                drive.grant()
            case "refuse":
                drive.error("bad", param="session.temperature")
            case "wait":
                drive.wait(20)
            case "speak":
                drive.user_speaks()
            case _:
                drive.close()
        assert len(drive.sent) - open_requests <= 1 + (act == "wait")
        assert len(drive.finished) >= answered
    assert [ticket for ticket, _ in drive.finished] == list(range(1, wanted + 1))
