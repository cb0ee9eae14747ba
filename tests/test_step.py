"""What one step collects, and the order in which it is handed out."""

from __future__ import annotations

from voicelive_agent import _wire as wire
from voicelive_agent._outputs import End, MoveSpeech, Play, StopPlayback
from voicelive_agent._plan import Plan
from voicelive_agent._step import Step
from voicelive_agent._turn_detection import turn_policy
from voicelive_agent.events import EndReason, Stalled, Verdict, Warned


def step() -> Step:
    return Step(Plan(session={}, turns=turn_policy({})))


def test_a_step_without_news_has_nothing_to_do() -> None:
    assert step().take() == []


def test_outputs_are_handed_out_once() -> None:
    made = step()
    made.tell(Warned("code", "text"))
    assert made.take() == [Warned("code", "text")]
    assert made.take() == []


def test_silence_then_the_service_then_the_audio_then_the_user_then_the_end() -> None:
    made, verdict = step(), Verdict(EndReason.STOPPED)
    cancel = wire.CancelResponse(event_id="e1", response_id="r")
    delete = wire.DeleteItem(event_id="e2", item_id="i")
    made.out.append(End(verdict))
    made.tell(Warned("first", ""))
    made.out.append(Play("a", 1, ""))
    made.ask(cancel)
    made.move(3, "interrupted")
    made.out.append(Play("b", 1, ""))
    made.ask(delete)
    made.tell(Stalled("last", 1))
    made.out.append(StopPlayback())
    assert made.take() == [
        StopPlayback(),
        cancel,
        delete,
        Play("a", 1, ""),
        Play("b", 1, ""),
        Warned("first", ""),
        MoveSpeech(3, "interrupted"),
        Stalled("last", 1),
        End(verdict),
    ]


def test_what_was_asked_for_can_be_recognised_when_it_is_refused() -> None:
    made = step()
    request = wire.DeleteItem(event_id=made.requests.new_id(), item_id="i")
    made.ask(request)
    assert made.requests.refused(wire.ErrorInfo(event_id=request.event_id)) is request


def test_a_response_that_nobody_waits_for_moves_nobody() -> None:
    made = step()
    made.move(None, "heard")
    made.move(0, "heard")
    assert made.take() == [MoveSpeech(0, "heard")]
