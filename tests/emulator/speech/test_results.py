"""What functions answered, in sentences."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelive_agent.emulator.speech.results import pending_outputs, spoken_results


def items(output: Any, name: str = "get_weather") -> list[dict[str, Any]]:
    return [
        {"type": "message", "role": "user", "content": []},
        {"type": "function_call", "call_id": "1", "name": name, "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": output},
    ]


@pytest.mark.parametrize(
    ("output", "spoken"),
    [
        ("sunny", "Weather: sunny."),
        ('"sunny."', "Weather: sunny."),
        ("21", "Weather: 21."),
        ("null", "Weather: done."),
        ("true", "Weather: yes."),
        ("false", "Weather: no."),
        ("", "Weather: no answer."),
        ("[]", "Weather: nothing."),
        ('["rain", "wind", "fog"]', "Weather: rain, wind and fog."),
        ('{"tempMax": 21.5, "skies": ["clear", "blue"]}', "Weather: temp max 21.5, skies clear and blue."),
        (json.dumps(list(range(13))), "Weather: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 3 more."),
        ('{"error": "no such city"}', "Sorry, that did not work: no such city."),
        ('{"error": {"code": 5, "message": "no such city"}}', "Sorry, that did not work: no such city."),
        ('{"error": true, "message": "no such city"}', "Sorry, that did not work: no such city."),
        ('{"error": null, "sky": "blue"}', "Weather: error done, sky blue."),
        ('{"ok": false, "reason": "it is closed"}', "Sorry, that did not work: it is closed."),
        ('{"status": "error"}', "Sorry, that did not work: no reason given."),
        ("Error: no such city.", "Sorry, that did not work: no such city."),
    ],
)
def test_outputs(output: str, spoken: str) -> None:
    assert spoken_results(items(output)) == spoken


def test_an_output_that_is_no_text() -> None:
    assert spoken_results(items({"sky": "blue"})) == "Weather: sky blue."


def test_several_outputs_are_named_by_what_they_are_about() -> None:
    conversation = [
        *items("sunny"),
        {"type": "function_call", "call_id": "2", "name": "time", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "2", "output": "noon"},
        {"type": "function_call_output", "call_id": "3", "output": "unknown call"},
    ]
    assert spoken_results(conversation) == "Weather: sunny. Time: noon. Result: unknown call."


def test_the_tools_of_mcp_servers() -> None:
    call = {"type": "mcp_call", "id": "1", "server_label": "library", "name": "find_book", "arguments": "{}"}
    refused = {"type": "tool_execution_error", "message": "The user did not approve this call."}
    assert pending_outputs([call]) == []
    assert spoken_results([call | {"output": "shelf 7"}]) == "Find book: shelf 7."
    assert spoken_results([call | {"error": refused}]) == (
        "Sorry, that did not work: The user did not approve this call."
    )


def test_what_was_spoken_about_is_not_pending() -> None:
    conversation = items("sunny")
    assert pending_outputs(conversation) == [conversation[-1]]
    assert pending_outputs([*conversation, {"type": "message", "role": "assistant", "content": []}]) == []


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_output_is_a_sentence(value: Any) -> None:
    assert spoken_results(items(json.dumps(value))).endswith(".")
