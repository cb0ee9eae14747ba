"""The agent's own requests, and which error answers which."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelive_agent import _wire as wire
from voicelive_agent._requests import _MAX_OPEN, Requests


def made(requests: Requests) -> dict[str, wire.Request]:
    """Two of every kind, all open, the older first."""
    new: dict[str, wire.Request] = {}
    for n in (1, 2):
        new[f"update{n}"] = requests.add(wire.UpdateSession(event_id=requests.new_id(), session={}))
        new[f"create{n}"] = requests.add(wire.CreateItem(event_id=requests.new_id(), item={"id": f"c{n}"}))
        new[f"delete{n}"] = requests.add(wire.DeleteItem(event_id=requests.new_id(), item_id=f"d{n}"))
        truncate = wire.TruncateItem(event_id=requests.new_id(), item_id=f"t{n}", content_index=0, audio_end_ms=n)
        new[f"truncate{n}"] = requests.add(truncate)
        new[f"respond{n}"] = requests.add(wire.CreateResponse(event_id=requests.new_id(), response={}))
        new[f"cancel{n}"] = requests.add(wire.CancelResponse(event_id=requests.new_id(), response_id=f"r{n}"))
    return new


NAMES = list(made(Requests()))


def test_ids_are_never_used_twice() -> None:
    requests = Requests()
    assert len({requests.new_id() for _ in range(1_000)}) == 1_000


def test_a_request_that_goes_out_stays_as_it_is() -> None:
    request = wire.CancelResponse(event_id="vla_9", response_id="r")
    assert Requests().add(request) is request


@pytest.mark.parametrize("name", NAMES)
def test_an_error_answers_the_request_that_it_names_and_answers_it_once(name: str) -> None:
    requests = Requests()
    request = made(requests)[name]
    error = wire.ErrorInfo(event_id=request.event_id, code="response_cancel_not_active", param="session.voice")
    assert requests.refused(error) is request
    assert requests.refused(error) is None


def test_an_error_that_names_a_request_of_somebody_else_answers_none_of_ours() -> None:
    requests = Requests()
    made(requests)
    assert requests.refused(wire.ErrorInfo(event_id="theirs", code="response_cancel_not_active")) is None


@pytest.mark.parametrize("event_id", [None, ""])
@pytest.mark.parametrize(
    ("code", "param", "name"),
    [
        ("response_cancel_not_active", None, "cancel"),
        ("conversation_already_has_active_response", None, "respond"),
        ("invalid_value", None, "truncate"),
        ("invalid_value", "audio_end_ms", "truncate"),
        ("unsupported_content_type", None, "truncate"),
        ("item_truncate_invalid_item_id", None, "truncate"),
        ("item_delete_invalid_item_id", None, "delete"),
        ("invalid_request_error", "session.turn_detection", "update"),
        ("invalid_request_error", "session", "update"),
        ("invalid_value", "session.voice.name", "update"),
        (None, "session.voice", "update"),
        ("cannot_update_voice", None, "update"),
        ("ec_not_supported", None, "update"),
        ("invalid_ec_channels_requires_client", None, "update"),
        ("invalid_ec_reference_channels", None, "update"),
        ("invalid_ec_channels_format", None, "update"),
        ("change_in_ec_channels_not_allowed", None, "update"),
    ],
)
def test_an_error_without_an_id_answers_the_oldest_request_that_it_can_mean(
    event_id: str | None, code: str | None, param: str | None, name: str
) -> None:
    requests = Requests()
    new = made(requests)
    error = wire.ErrorInfo(event_id=event_id, code=code, param=param)
    assert requests.refused(error) is new[f"{name}1"]
    assert requests.refused(error) is new[f"{name}2"]
    assert requests.refused(error) is None


@pytest.mark.parametrize(
    ("code", "param"),
    [(None, None), ("server_error", None), ("invalid_request_error", "sessions.x"), ("session_expired", "item")],
)
def test_an_error_that_can_mean_anything_answers_nothing(code: str | None, param: str | None) -> None:
    requests = Requests()
    made(requests)
    assert requests.refused(wire.ErrorInfo(code=code, param=param)) is None


@pytest.mark.parametrize(
    ("kind", "name", "subject"),
    [
        (wire.UpdateSession, "update", None),
        (wire.CreateItem, "create", "c"),
        (wire.DeleteItem, "delete", "d"),
        (wire.TruncateItem, "truncate", "t"),
        (wire.CreateResponse, "respond", None),
        (wire.CancelResponse, "cancel", "r"),
    ],
)
def test_a_confirmation_answers_the_request_about_its_subject(
    kind: type[wire.Request], name: str, subject: str | None
) -> None:
    requests = Requests()
    new = made(requests)
    if subject is not None:
        assert requests.confirmed(kind, subject + "2") is new[f"{name}2"]
        assert requests.confirmed(kind, subject + "2") is None
    assert requests.confirmed(kind) is new[f"{name}1"]
    assert requests.refused(wire.ErrorInfo(event_id=new[f"{name}1"].event_id)) is None


def test_what_is_about_nothing_is_not_about_something() -> None:
    requests = Requests()
    requests.add(wire.CreateResponse(event_id="e1", response={}))
    requests.add(wire.CreateItem(event_id="e2", item={"type": "function_call_output"}))
    assert requests.confirmed(wire.CreateResponse, "resp_1") is None
    assert requests.confirmed(wire.CreateItem, "item_1") is None


@given(st.integers(1, 3 * _MAX_OPEN))
def test_what_is_never_answered_is_forgotten_oldest_first(count: int) -> None:
    requests = Requests()
    ids = [requests.add(wire.DeleteItem(event_id=requests.new_id(), item_id="i")).event_id for _ in range(count)]
    known = [event_id for event_id in ids if requests.refused(wire.ErrorInfo(event_id=event_id)) is not None]
    assert known == ids[-_MAX_OPEN:]
