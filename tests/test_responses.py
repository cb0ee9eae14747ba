"""One owner of responses: who asked for which, which one is open, and which is over for ever."""

from __future__ import annotations

import pytest

from voicelive_agent import _wire as wire
from voicelive_agent._responses import _MAX_GONE, Response, Responses, Want


def info(response_id: str, tag: str | None = None, **metadata: str) -> wire.ResponseInfo:
    return wire.ResponseInfo(response_id, metadata={**metadata, **({"vla": tag} if tag else {})})


def created(responses: Responses, response_id: str, tag: str | None = None, *, now: float = 1.0) -> Response:
    response = responses.created(info(response_id, tag), now)
    assert response is not None
    return response


# --- asking -------------------------------------------------------------------------------------------------


def test_a_response_is_asked_for_with_a_tag_that_comes_back() -> None:
    responses, want = Responses(), Want({"instructions": "Say hello"}, ticket=4)
    request = responses.create(want, "vla_1", 2.0)
    assert request == wire.CreateResponse(
        event_id="vla_1", response={"instructions": "Say hello", "metadata": {"vla": "vla_1"}}
    )
    assert (responses.in_flight, responses.in_flight_at, want.event_id) == (want, 2.0, "vla_1")
    assert want.params == {"instructions": "Say hello"}


@pytest.mark.parametrize(("want", "answers"), [(Want(), True), (Want({"instructions": "Say hello"}), False)])
def test_only_what_has_no_text_of_its_own_answers_what_was_said(want: Want, answers: bool) -> None:
    assert want.answers is answers


def test_while_one_is_asked_for_or_open_another_would_be_refused() -> None:
    responses = Responses()
    assert not responses.busy
    responses.create(Want(), "vla_1", 0.0)
    assert responses.busy
    response = created(responses, "r1", "vla_1")
    assert responses.busy
    responses.retire(response)
    assert not responses.busy


def test_a_refused_one_is_asked_for_again_first_when_the_other_is_done() -> None:
    responses, first, second = Responses(), Want(ticket=1), Want(ticket=2)
    responses.wants.append(second)
    responses.create(first, "vla_1", 0.0)
    responses.postpone(5.0)
    assert (list(responses.wants), responses.in_flight, responses.blocked_at) == ([first, second], None, 5.0)
    assert responses.busy
    responses.postpone(6.0)
    assert (list(responses.wants), responses.blocked_at) == ([first, second], 6.0)


@pytest.mark.parametrize("news", ["created", "retired"])
def test_news_of_a_response_say_that_no_unknown_one_is_in_the_way(news: str) -> None:
    responses = Responses()
    responses.postpone(5.0)
    if news == "created":
        created(responses, "r1")
    else:
        responses.retire(Response("r0", None, 0.0))
    assert responses.blocked_at is None


@pytest.mark.parametrize("ticket", [None, 7])
def test_whoever_waits_for_one_that_is_given_up_can_be_told(ticket: int | None) -> None:
    responses = Responses()
    responses.create(Want(ticket=ticket), "vla_1", 0.0)
    assert responses.give_up() == ticket
    assert responses.in_flight is None
    assert responses.give_up() is None


def test_an_answer_of_the_services_own_covers_what_was_asked_before_and_nothing_else() -> None:
    responses = Responses()
    asked, fresh, speech = Want(event_id="vla_1"), Want(), Want({"instructions": "x"}, event_id="vla_2")
    awaited = Want(ticket=7, event_id="vla_3")
    responses.wants.extend([asked, fresh, speech, awaited])
    assert responses.covered() == [7], "whoever waits for it has to be told"
    assert list(responses.wants) == [fresh, speech]


# --- which is whose -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", ["vla_1", None])
def test_a_response_belongs_to_who_asked_for_it(tag: str | None) -> None:
    responses, want = Responses(), Want(ticket=3, uninterruptible=True)
    responses.create(want, "vla_1", 0.0)
    response = created(responses, "r1", tag, now=1.5)
    assert (response.want, response.ticket, response.uninterruptible) == (want, 3, True)
    assert (responses.open, responses.in_flight, response.progress_at) == (response, None, 1.5)


def test_a_response_of_somebody_else_is_adopted_and_ours_still_awaited() -> None:
    responses, want = Responses(), Want()
    responses.create(want, "vla_1", 0.0)
    response = created(responses, "r1", "vla_0")
    assert (response.want, response.ticket, response.uninterruptible) == (None, None, False)
    assert responses.in_flight is want


@pytest.mark.parametrize("metadata", [None, {}, {"k": "v"}])
def test_a_response_that_nobody_asked_for_is_adopted(metadata: dict[str, str] | None) -> None:
    responses = Responses()
    response = responses.created(wire.ResponseInfo("r1", metadata=metadata), 1.0)
    assert response is not None
    assert (response.want, responses.open) == (None, response)


def test_a_response_is_created_once() -> None:
    responses = Responses()
    response = created(responses, "r1")
    assert responses.created(info("r1"), 2.0) is None
    responses.retire(response)
    assert responses.created(info("r1"), 3.0) is None
    assert responses.open is None


def test_a_message_finds_its_response_and_is_a_sign_of_life() -> None:
    responses = Responses()
    response = created(responses, "r1")
    assert responses.find("r1", 9.0) is response
    assert response.progress_at == 9.0


def test_a_message_of_a_response_whose_creation_was_not_seen_adopts_it() -> None:
    responses, want = Responses(), Want()
    responses.create(want, "vla_1", 0.0)
    response = responses.find("r1", 9.0)
    assert response is not None
    assert (response.id, response.want, response.progress_at) == ("r1", want, 9.0)
    assert responses.open is response


@pytest.mark.parametrize("response_id", ["r0", "r9"])
def test_a_message_of_another_response_than_the_open_one_is_nobodys(response_id: str) -> None:
    responses = Responses()
    responses.retire(created(responses, "r0"))
    response = created(responses, "r1", now=1.0)
    assert responses.find(response_id, 9.0) is None
    assert (responses.open, response.progress_at) == (response, 1.0)


def test_what_is_over_is_over_for_the_next_thousand_responses() -> None:
    responses = Responses()
    for number in range(_MAX_GONE + 1):
        responses.retire(created(responses, f"r{number}"))
    assert [responses.find(f"r{number}", 0.0) for number in range(1, _MAX_GONE + 1)] == [None] * _MAX_GONE
    assert responses.find("r0", 0.0) is not None  # so old that nobody will ask


def test_an_earlier_response_that_is_over_leaves_the_open_one_open() -> None:
    responses = Responses()
    first = created(responses, "r1")
    second = created(responses, "r2")
    responses.retire(first)
    assert responses.open is second
    assert responses.find("r1", 0.0) is None


# --- what is to be heard --------------------------------------------------------------------------------------


def test_something_is_coming_while_it_is_wanted_asked_for_or_open() -> None:
    responses = Responses()
    assert not responses.coming
    responses.wants.append(Want())
    assert responses.coming
    responses.create(responses.wants.popleft(), "vla_1", 0.0)
    assert responses.coming
    response = created(responses, "r1", "vla_1")
    assert responses.coming
    response.dropped = True
    assert not responses.coming
    assert responses.busy


@pytest.mark.parametrize("where", ["in flight", "open", "audible"])
def test_what_must_not_be_interrupted_is_so_from_the_asking_to_the_last_sample(where: str) -> None:
    responses = Responses()
    responses.create(Want(uninterruptible=True), "vla_1", 0.0)
    if where != "in flight":
        response = created(responses, "r1", "vla_1")
        if where == "audible":
            responses.retire(response)
            responses.audible.append(response)
    assert responses.uninterruptible
    if where != "in flight":
        response.dropped = True
        assert not responses.uninterruptible


def test_whatever_else_is_said_may_be_interrupted() -> None:
    responses = Responses()
    assert not responses.uninterruptible
    responses.create(Want(), "vla_1", 0.0)
    created(responses, "r1", "vla_1")
    assert not responses.uninterruptible


def test_in_a_scope_nothing_may_be_interrupted_but_what_nobody_hears() -> None:
    responses = Responses()
    responses.hold(1)
    assert not responses.uninterruptible
    responses.create(Want(), "vla_1", 0.0)
    assert responses.uninterruptible
    responses.retire(created(responses, "r1", "vla_1"))
    responses.create(Want(silent=True), "vla_2", 0.0)
    assert not responses.uninterruptible
    response = created(responses, "r2", "vla_2")
    assert response.silent
    assert not responses.uninterruptible
    responses.retire(response)
    response = created(responses, "r3")
    assert responses.uninterruptible
    responses.hold(-1)
    assert not responses.protects(response)


def test_what_is_out_of_band_is_recognised_by_its_metadata_alone() -> None:
    responses = Responses()
    responses.create(Want({"metadata": {"a": "b"}}, silent=True), "vla_1", 0.0)
    theirs = created(responses, "r1")
    assert not theirs.silent
    responses.retire(theirs)
    assert created(responses, "r2", "vla_1").silent


def test_a_message_is_mentioned_once_and_in_order() -> None:
    response = Response("r1", None, 0.0)
    for item_id in "abab":
        response.mention(item_id)
    assert response.items == ["a", "b"]


def test_one_answer_is_asked_for_whatever_is_to_be_answered() -> None:
    responses = Responses()
    responses.wants.append(Want({"instructions": "x"}))
    responses.want_answer()
    responses.want_answer()
    assert [want.answers for want in responses.wants] == [False, True]


def test_what_speaks_about_results_answers_even_if_it_may_not_call_again() -> None:
    assert Want().answers
    assert Want({"tool_choice": "none"}, rounds=8).answers
    assert not Want({"instructions": "x"}).answers


def test_what_has_to_wait_is_the_next_one_but_a_filler_is_not_kept() -> None:
    responses, first = Responses(), Want({"instructions": "first"})
    responses.wants.append(Want())
    responses.put_back(Want({"instructions": "Hm."}, filler=True))
    responses.put_back(first)
    assert list(responses.wants) == [first, Want()]
