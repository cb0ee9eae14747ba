"""After an interruption the service's record becomes what was heard: every way, and every refusal."""

from __future__ import annotations

import pytest

from voicelive_agent import _wire as wire
from voicelive_agent._corrections import Corrections
from voicelive_agent._requests import Requests
from voicelive_agent.history import MAX_ITEMS, History

TEXT = "The library is open from nine to five."
HEARD = "The library"


class Desk:
    """Corrections with all that they work on: u (user), then a and b (two items of response r)."""

    def __init__(self, *, enabled: bool = True, truncates: bool = True) -> None:
        self.history = History()
        self.requests = Requests()
        self.corrections = Corrections(self.history, self.requests, enabled=enabled, truncates=truncates)
        self.history.mention("u", "user")
        self.spoke("a", heard_ms=300)
        self.spoke("b", heard_ms=300)

    def spoke(self, item_id: str, *, heard_ms: int) -> None:
        self.history.mention(item_id, "assistant")
        self.history.say(item_id, TEXT)
        self.history.progress(item_id, heard_ms=heard_ms, received_ms=1_000, complete=True)

    def cut(self, item_id: str, *, response_open: bool = False) -> list[wire.Request]:
        return self.corrections.cut(item_id, "r", response_open=response_open)[1]

    def refuse(self, request: wire.Request, *, open_response: str | None = None) -> list[wire.Request] | None:
        """The service refuses it by its id."""
        assert self.requests.refused(wire.ErrorInfo(event_id=request.event_id)) is request
        return self.corrections.refused(request, open_response=open_response)

    def told(self, item_id: str) -> str:
        return self.history[item_id].told


def replaced(requests: list[wire.Request] | None, item_id: str, *, after: str, text: str = HEARD) -> str:
    """Check that the item is deleted and made again from the words heard; the id of the new one."""
    assert requests is not None
    delete, create = requests
    assert delete == wire.DeleteItem(event_id=delete.event_id, item_id=item_id)
    assert isinstance(create, wire.CreateItem)
    new_id = str(create.item["id"])
    content = [{"type": "text", "text": text}]
    assert create.item == {"id": new_id, "type": "message", "role": "assistant", "content": content}
    assert create.previous_item_id == after
    assert new_id != item_id
    return new_id


def deleted(requests: list[wire.Request] | None, item_id: str) -> bool:
    assert requests is not None
    (delete,) = requests
    return delete == wire.DeleteItem(event_id=delete.event_id, item_id=item_id)


# --- truncation ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("response_open", [False, True])
def test_the_audio_is_truncated_at_what_was_heard(response_open: bool) -> None:
    desk = Desk()
    item, requests = desk.corrections.cut("a", "r", response_open=response_open)
    assert (item.heard_text, item.heard_ms, item.received_ms, item.interrupted) == (HEARD, 300, 1_000, True)
    (truncate,) = requests
    assert truncate == wire.TruncateItem(
        event_id=truncate.event_id, item_id="a", content_index=0, audio_end_ms=300
    )
    assert desk.told("a") == "unknown"
    desk.corrections.truncated("a")
    assert desk.told("a") == "truncated"
    assert desk.corrections.response_ended("r") == []


def test_an_item_is_cut_once() -> None:
    desk = Desk()
    first, requests = desk.corrections.cut("a", "r", response_open=False)
    desk.corrections.truncated("a")
    again, more = desk.corrections.cut("a", "r", response_open=False)
    assert (len(requests), more) == (1, [])
    assert again.heard_text == first.heard_text
    assert desk.told("a") == "truncated"


def test_an_item_without_history_is_cut_too() -> None:
    desk = Desk()
    item, requests = desk.corrections.cut("new", "r", response_open=False)
    assert (item.role, item.text, item.interrupted) == ("assistant", "", True)
    assert deleted(requests, "new")


def test_where_the_service_corrects_by_itself_nothing_is_asked_for() -> None:
    desk = Desk(enabled=False)
    assert desk.cut("a") == []
    assert desk.cut("b", response_open=True) == []
    assert desk.corrections.response_ended("r") == []
    assert (desk.history["a"].heard_text, desk.told("a")) == (HEARD, "unknown")
    desk.corrections.truncated("a")
    assert desk.told("a") == "truncated"


# --- truncation refused -------------------------------------------------------------------------------------


def test_a_truncation_refused_after_the_response_is_replaced_at_once() -> None:
    desk = Desk()
    (truncate,) = desk.cut("a")
    new_id = replaced(desk.refuse(truncate), "a", after="u")
    desk.corrections.deleted("a")
    assert desk.told("a") == "unknown"  # half way
    assert desk.corrections.created(new_id)
    assert desk.told("a") == "rewritten"
    assert desk.history["a"].text == TEXT
    assert desk.corrections.response_ended("r") == []


def test_a_truncation_refused_while_the_response_is_open_waits_for_its_end() -> None:
    desk = Desk()
    (truncate,) = desk.cut("a", response_open=True)
    assert desk.refuse(truncate, open_response="r") == []
    assert desk.corrections.response_ended("another") == []
    replaced(desk.corrections.response_ended("r"), "a", after="u")
    assert desk.corrections.response_ended("r") == []


def test_an_item_is_replaced_once_even_if_its_truncation_is_refused_again() -> None:
    desk = Desk()
    (truncate,) = desk.cut("a")
    replaced(desk.refuse(truncate), "a", after="u")
    assert desk.corrections.refused(truncate, open_response=None) == []


def test_a_truncation_refused_while_another_response_is_open_does_not_wait() -> None:
    desk = Desk()
    (truncate,) = desk.cut("a", response_open=True)
    replaced(desk.refuse(truncate, open_response="r2"), "a", after="u")


def test_after_one_refusal_nothing_is_truncated_any_more() -> None:
    desk = Desk()
    (truncate,) = desk.cut("a")
    new_id = replaced(desk.refuse(truncate), "a", after="u")
    replaced(desk.cut("b"), "b", after=new_id)


def test_a_truncation_that_was_confirmed_cannot_be_refused() -> None:
    desk = Desk()
    (truncate,) = desk.cut("a")
    desk.corrections.truncated("a")
    assert desk.refuse(truncate) == []
    assert desk.told("a") == "truncated"
    assert [type(request) for request in desk.cut("b")] == [wire.TruncateItem]


def test_a_refusal_about_an_item_that_was_forgotten_long_ago_changes_nothing() -> None:
    desk = Desk()
    (truncate,) = desk.cut("a")
    for number in range(MAX_ITEMS):
        desk.history.mention(f"i{number}", "user")
    assert desk.refuse(truncate) == []


# --- no truncation ------------------------------------------------------------------------------------------


def test_where_truncation_is_unknown_the_item_is_replaced() -> None:
    desk = Desk(truncates=False)
    new_id = replaced(desk.cut("a"), "a", after="u")
    desk.corrections.created(new_id)
    assert desk.told("a") == "rewritten"


def test_a_replacement_waits_for_the_end_of_its_response() -> None:
    desk = Desk(truncates=False)
    assert desk.cut("a", response_open=True) == []
    assert desk.told("a") == "unknown"
    replaced(desk.corrections.response_ended("r"), "a", after="u")


def test_items_of_one_response_keep_their_order() -> None:
    desk = Desk(truncates=False)
    assert desk.cut("b", response_open=True) == []  # the newest is cut first
    assert desk.cut("a", response_open=True) == []
    requests = desk.corrections.response_ended("r")
    new_b = replaced(requests[:2], "b", after="a")
    new_a = replaced(requests[2:], "a", after="u")
    service = ["u", "a", "b"]
    for request in requests:
        if isinstance(request, wire.DeleteItem):
            service.remove(request.item_id)
        elif isinstance(request, wire.CreateItem) and request.previous_item_id is not None:
            service.insert(service.index(request.previous_item_id) + 1, str(request.item["id"]))
    assert service == ["u", new_a, new_b]
    assert desk.history.previous_on_service("b") == new_a


@pytest.mark.parametrize("truncates", [True, False])
def test_where_nothing_was_heard_the_item_is_deleted(truncates: bool) -> None:
    desk = Desk(truncates=truncates)
    desk.spoke("c", heard_ms=0)
    assert deleted(desk.cut("c"), "c")
    assert desk.told("c") == "unknown"
    desk.corrections.deleted("c")
    assert desk.told("c") == "deleted"


def test_where_less_than_a_word_was_heard_the_item_is_truncated_or_else_deleted() -> None:
    desk = Desk()
    desk.spoke("c", heard_ms=10)
    (truncate,) = desk.cut("c")
    assert deleted(desk.refuse(truncate), "c")


def test_what_was_deleted_is_not_there_to_come_after() -> None:
    desk = Desk(truncates=False)
    desk.spoke("c", heard_ms=0)
    desk.spoke("d", heard_ms=300)
    desk.cut("c")
    replaced(desk.cut("d"), "d", after="b")


def test_an_answer_cut_before_its_audio_came_is_deleted_though_its_words_ran_ahead() -> None:
    desk = Desk()
    desk.history.mention("c", "assistant")
    desk.history.say("c", TEXT)
    assert desk.cut("c", response_open=True) == []
    assert deleted(desk.corrections.response_ended("r"), "c")
    assert desk.history["c"].heard_text == ""


# --- other refusals ------------------------------------------------------------------------------------------


def test_where_the_deletion_is_refused_the_record_stays_unknown() -> None:
    desk = Desk(truncates=False)
    desk.spoke("c", heard_ms=0)
    (delete,) = desk.cut("c")
    assert desk.refuse(delete) == []
    assert desk.told("c") == "unknown"


def test_where_the_words_heard_are_refused_nothing_comes_after_them() -> None:
    desk = Desk(truncates=False)
    _, create = desk.cut("a")
    assert desk.refuse(create) == []
    assert desk.told("a") == "unknown"
    replaced(desk.cut("b"), "b", after="u")
    assert isinstance(create, wire.CreateItem)
    assert not desk.corrections.created(str(create.item["id"]))


@pytest.mark.parametrize(
    "request_",
    [
        wire.UpdateSession(event_id="e", session={}),
        wire.CreateItem(event_id="e", item={"type": "function_call_output"}),
        wire.CreateItem(event_id="e", item={"id": "vla_99"}),
        wire.CreateResponse(event_id="e", response={}),
        wire.CancelResponse(event_id="e", response_id="r"),
    ],
)
def test_the_requests_of_others_are_left_to_them(request_: wire.Request) -> None:
    desk = Desk(truncates=False)
    desk.cut("a")
    assert desk.corrections.refused(request_, open_response=None) is None


# --- what the service says of other items ---------------------------------------------------------------------


def test_an_item_that_the_service_made_is_no_replacement() -> None:
    desk = Desk(truncates=False)
    desk.cut("a")
    assert not desk.corrections.created("item_of_the_service")
    assert desk.told("a") == "unknown"


def test_a_replacement_is_confirmed_once() -> None:
    desk = Desk(truncates=False)
    new_id = replaced(desk.cut("a"), "a", after="u")
    assert [desk.corrections.created(new_id), desk.corrections.created(new_id)] == [True, False]


def test_items_that_the_service_removes_by_itself_are_known_to_be_gone() -> None:
    desk = Desk()
    desk.corrections.deleted("u")
    desk.corrections.truncated("b")
    desk.corrections.deleted("never seen")
    assert (desk.told("u"), desk.told("b")) == ("deleted", "truncated")
