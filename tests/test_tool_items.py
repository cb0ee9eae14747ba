"""What the history shows of tools."""

from __future__ import annotations

import pytest

from voicelive_agent._tool_items import MAX_TEXT, called, text_of
from voicelive_agent._wire import ItemInfo


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (ItemInfo(type="function_call", name="look", arguments='{"a": 1}'), 'look({"a": 1})'),
        (ItemInfo(type="function_call"), "()"),
        (ItemInfo(type="function_call_output", output="dust"), "dust"),
        (ItemInfo(type="function_call_output"), ""),
        (ItemInfo(type="message", role="user"), ""),
    ],
)
def test_a_function_call_and_its_result(item: ItemInfo, text: str) -> None:
    assert text_of(item) == text


def test_a_call_and_what_came_of_it() -> None:
    assert called("library.find", "{}") == "library.find({})"
    assert called("library.find", "{}", "shelf 7") == "library.find({}) -> shelf 7"


def test_of_a_long_result_the_beginning() -> None:
    assert text_of(ItemInfo(type="function_call_output", output="x" * MAX_TEXT)) == "x" * MAX_TEXT
    longer = text_of(ItemInfo(type="function_call_output", output="x" * (MAX_TEXT + 1)))
    assert longer == "x" * MAX_TEXT + " ..."
    assert called("f", "", "x" * (MAX_TEXT + 1)) == f"f() -> {longer}"
