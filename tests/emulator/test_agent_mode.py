"""Foundry agents: asked for in the URL, described in the session, and failing."""

from __future__ import annotations

from typing import Any

import pytest

from voicelive_agent.emulator import Options

from .asking import created, refusal, updated
from .driver import Driver, only, types

NAMED = {"agent-name": "librarian", "agent-project-name": "city"}
CLASSIC = {"agent-id": "asst_1", "project_id": "city"}


def agent(**options: Any) -> Driver:
    return Driver(model="", query=NAMED, options=Options(**options))


@pytest.mark.parametrize(
    ("query", "name", "id"),
    [
        (NAMED, "librarian", "librarian"),
        (CLASSIC, "asst_1", "asst_1"),
        ({"agent_id": "asst_1", "project_id": "city"}, "asst_1", "asst_1"),
        ({**NAMED, **CLASSIC}, "librarian", "asst_1"),
    ],
)
def test_the_session_names_its_agent(query: dict[str, str], name: str, id: str) -> None:
    described = created(Driver(model="", query=query))["agent"]
    assert (described["type"], described["name"], described["agent_id"]) == ("agent", name, id)
    assert described["thread_id"].startswith("thread_")


def test_a_conversation_can_be_continued_by_its_id() -> None:
    assert created(Driver(model="", query={**NAMED, "conversation-id": "c1"}))["agent"]["thread_id"] == "c1"


def test_a_session_without_an_agent_has_no_such_field() -> None:
    assert "agent" not in created(Driver())


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"agent-name": "librarian"}, "agent-project-name"),
        ({"agent-project-name": "city"}, "agent-name"),
        ({"agent-id": "asst_1"}, "project_id"),
    ],
)
def test_an_agent_needs_a_name_and_a_project(query: dict[str, str], param: str) -> None:
    driver = Driver(model="", query=query)
    driver.settle()
    assert types(driver.events) == ["error"]
    assert driver.events[0]["error"]["param"] == param
    assert driver.session.closing == (1008, "bad_request")


@pytest.mark.parametrize("name", ["instructions", "model"])
def test_model_and_instructions_are_the_agents_own(name: str) -> None:
    assert refusal(agent().update(**{name: "x"}))["param"] == f"session.{name}"
    assert types(agent().update(**{name: None}))[-1] == "session.updated"


def test_an_agent_is_a_cascade_with_an_azure_voice() -> None:
    driver = Driver(model="gpt-realtime", query=NAMED)
    session = created(driver)
    assert session["voice"]["type"] == "azure-standard"
    assert (session["model"], session["instructions"]) == (None, None)
    assert refusal(driver.update(voice="alloy"))["param"] == "session.voice"
    voice = {"type": "azure-standard", "name": "en-US-AndrewNeural"}
    assert updated(driver.update(voice=voice))["voice"] == voice
    assert only(driver.say("Hi"), "response.done")["response"]["status"] == "completed"


def test_an_agent_that_does_not_start_is_an_error_and_the_end() -> None:
    driver = agent(agent_failure="initialization")
    driver.settle()
    error = only(driver.events, "error")["error"]
    assert types(driver.events) == ["error"]
    assert (error["type"], error["code"]) == ("server_error", "agent_initialization_failed")
    assert driver.session.closing == (1006, "")


def test_an_agent_that_cannot_answer_fails_each_response() -> None:
    driver = agent(agent_failure="message")
    for _ in range(2):
        response = only(driver.say("Hi"), "response.done")["response"]
        assert response["status"] == "failed"
        assert response["status_details"]["error"]["code"] == "message_creation_failed"
        assert response["status_details"]["error"]["message"] == "Failed to create message"


def test_a_failure_of_agents_concerns_only_agents() -> None:
    for failure in ("initialization", "message"):
        driver = Driver(options=Options(agent_failure=failure))
        assert only(driver.say("Hi"), "response.done")["response"]["status"] == "completed"
