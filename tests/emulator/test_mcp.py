"""MCP: the events of a session by a scripted client, and real servers behind the emulator's socket."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from azure.ai.voicelive import models
from azure.ai.voicelive.aio import VoiceLiveConnection, connect
from azure.core.credentials import AzureKeyCredential

from voicelive_agent.emulator import (
    Call,
    HttpMcpClient,
    McpError,
    McpResult,
    McpServer,
    McpTool,
    Options,
    Say,
    Script,
    ScriptedBrain,
    Turn,
    mcp,
    serve,
)
from voicelive_agent.errors import ConfigurationError

from .driver import Driver, Event, collapsed, every, noise, only, silence, types
from .mcp_servers import Tools, serving

FIND = McpTool("find_book", "Find a book.", {"type": "object", "properties": {"title": {"type": "string"}}})
RULES = [
    (r"find (\w+)", Call("find_book", {"title": r"\1"})),
    ("both", [Call("find_book", {"title": "a"}), Call("get_time", {})]),
    ("two", [Call("find_book", {"title": "a"}), Call("find_book", {"title": "b"})]),
    ("moment", ["One moment.", Call("find_book", {"title": "a"})]),
]


class ScriptedClient:
    """An MCP client without a network: ``tools`` of any server, and ``results`` by the name of the tool."""

    def __init__(self, *tools: McpTool, **results: McpResult | Exception) -> None:
        self.tools: Sequence[McpTool] | Exception = tools or (FIND,)
        self.results = results
        self.listed: list[McpServer] = []
        self.calls: list[tuple[str, str, Mapping[str, Any]]] = []

    def list_tools(self, server: McpServer) -> Sequence[McpTool]:
        self.listed.append(server)
        if isinstance(self.tools, Exception):
            raise self.tools
        return self.tools

    def call(self, server: McpServer, name: str, arguments: Mapping[str, Any]) -> McpResult:
        self.calls.append((server.label, name, arguments))
        result = self.results.get(name, McpResult("shelf 7"))
        if isinstance(result, Exception):
            raise result
        return result


def library(**more: Any) -> dict[str, Any]:
    return {"type": "mcp", "server_label": "library", "server_url": "http://127.0.0.1/mcp", **more}


def driver(client: ScriptedClient | None, *tools: dict[str, Any], **settings: Any) -> Driver:
    settings.setdefault("brain", ScriptedBrain(RULES))
    made = Driver(mcp=client, **settings)
    made.update(tools=list(tools))
    return made


# --- Listing ----------------------------------------------------------------------------------------------


def test_the_tools_of_a_server_are_listed() -> None:
    client = ScriptedClient(FIND, McpTool("burn", annotations={"destructiveHint": True}))
    events = driver(client, library(authorization="t", headers={"a": "b"})).events[1:]
    assert types(events) == [
        "session.updated",
        "conversation.item.created",
        "mcp_list_tools.in_progress",
        "mcp_list_tools.completed",
    ]
    item = events[1]["item"]
    assert (item["type"], item["server_label"]) == ("mcp_list_tools", "library")
    find = {"name": "find_book", "description": "Find a book.", "input_schema": FIND.input_schema}
    burn = {
        "name": "burn",
        "description": "",
        "input_schema": {"type": "object", "properties": {}},
        "annotations": {"destructiveHint": True},
    }
    assert item["tools"] == [find, burn]
    assert events[2]["item_id"] == events[3]["item_id"] == item["id"]
    [server] = client.listed
    assert (server.url, server.authorization, server.headers) == ("http://127.0.0.1/mcp", "t", {"a": "b"})
    assert "'t'" not in repr(server)


@pytest.mark.parametrize("client", [None, ScriptedClient()])
def test_a_listing_that_fails_is_told_and_logged_and_the_session_goes_on(
    client: ScriptedClient | None, caplog: pytest.LogCaptureFixture
) -> None:
    if client:
        client.tools = McpError("library answered with HTTP 401.")
    with caplog.at_level(logging.WARNING, "voicelive_agent.emulator"):
        made = driver(client, library(authorization="s3cret"))
    assert types(made.events)[-2:] == ["mcp_list_tools.in_progress", "mcp_list_tools.failed"]
    assert ("HTTP 401" if client else "no MCP client") in caplog.text
    assert "s3cret" not in caplog.text
    assert only(made.say("find Emma"), "response.function_call_arguments.done")["name"] == "find_book"


def test_only_allowed_tools_are_there() -> None:
    client = ScriptedClient(FIND, McpTool("burn"))
    made = driver(client, library(allowed_tools=["burn"], require_approval="never"))
    assert [tool["name"] for tool in only(made.events, "conversation.item.created")["item"]["tools"]] == ["burn"]
    made.say("find Emma")
    assert client.calls == []


def test_a_server_is_listed_again_only_when_it_has_changed() -> None:
    client = ScriptedClient()
    made = driver(client, library())
    assert types(made.update(instructions="x")) == ["session.updated"]
    assert types(made.update(tools=[library()])) == ["session.updated"]
    assert len(made.update(tools=[library(allowed_tools=[])])) == 4
    assert len(client.listed) == 2


def test_a_listing_that_comes_too_late_says_nothing() -> None:
    made = Driver(mcp=ScriptedClient())
    made.working = False
    made.update(tools=[library()])
    made.update(tools=[])
    made.working = True
    assert made.take() == []


class Watching:
    def __init__(self) -> None:
        self.turns: list[Turn] = []

    def answer(self, turn: Turn) -> Iterator[Say]:
        self.turns.append(turn)
        yield Say("Ok.")


def test_the_brain_sees_the_tools_of_servers_among_its_functions() -> None:
    brain = Watching()
    client = ScriptedClient(FIND, McpTool("get_time", "Another one."))
    made = driver(client, library(), {"type": "function", "name": "get_time"}, brain=brain)
    made.say("Hi")
    made.update(tools=[])
    made.say("Hi")
    parameters = {"type": "object", "properties": {"title": {"type": "string"}}}
    find = {"type": "function", "name": "find_book", "description": "Find a book.", "parameters": parameters}
    assert [list(turn.tools) for turn in brain.turns] == [[{"type": "function", "name": "get_time"}, find], []]


# --- Calls ------------------------------------------------------------------------------------------------

CALL = [
    "response.created",
    "response.output_item.added",
    "conversation.item.created",
    "response.mcp_call_arguments.delta",
    "response.mcp_call_arguments.done",
]
RUN = ["response.mcp_call.in_progress", "response.mcp_call.completed", "response.output_item.done"]


def asked(made: Driver, text: str = "find Emma") -> list[Event]:
    """The events of the answer, without the user's item."""
    return made.say(text)[1:]


@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-realtime"])
def test_a_call_without_approval(model: str) -> None:
    client = ScriptedClient()
    made = driver(client, library(require_approval="never"), model=model)
    events = asked(made)
    assert collapsed(types(events)) == [*CALL, *RUN, "response.done"]
    added = only(events, "response.output_item.added")["item"]
    assert {name: added[name] for name in ("type", "server_label", "name", "arguments")} == {
        "type": "mcp_call",
        "server_label": "library",
        "name": "find_book",
        "arguments": "",
    }
    arguments = only(events, "response.mcp_call_arguments.done")["arguments"]
    assert arguments == "".join(each["delta"] for each in every(events, "response.mcp_call_arguments.delta"))
    assert json.loads(arguments) == {"title": "Emma"}
    item = only(events, "response.output_item.done")["item"]
    assert item == {**added, "arguments": arguments, "output": "shelf 7"}
    assert only(events, "response.done")["response"]["output"] == [item]
    assert client.calls == [("library", "find_book", {"title": "Emma"})]
    assert (
        only(made.ask("conversation.item.retrieve", item_id=item["id"]), "conversation.item.retrieved")["item"]
        == item
    )


def test_the_result_is_spoken_when_the_client_asks_for_it() -> None:
    class Reader:
        def answer(self, turn: Turn) -> Iterator[Call | Say]:
            outputs = [item["output"] for item in turn.items if item["type"] == "mcp_call"]
            yield Say(outputs[0]) if outputs else Call("find_book", {})

    made = driver(ScriptedClient(), library(require_approval="never"), brain=Reader())
    made.say("Find it")
    assert only(made.ask("response.create"), "response.audio_transcript.done")["transcript"] == "shelf 7"


SHELVES = r"""rules = [
    {"when": {"output_of": "find_book"}, "call": "get_shelf", "arguments": {"of": r"\0"}},
    {"when": {"output_of": "get_time"}, "call": "get_shelf", "arguments": {"of": r"\0"}},
    {"when": {"output_of": "get_shelf"}, "say": r"Shelf: \0"},
    {"when": {"says": "both"}, "do": [{"call": "find_book"}, {"call": "get_shelf"}]},
    {"when": {"says": "time"}, "call": "get_time"},
    {"when": {"says": "beside"}, "do": [{"call": "get_shelf"}, {"call": "get_time"}]},
    {"when": "anything", "call": "find_book"},
]
"""


APPROVED = r"""rules = [
    {"when": {"output_of": "find_book"}, "say": r"\0"},
    {"when": {"matches": "find"}, "call": "find_book"},
    {"when": "anything", "say": "All right."},
]
"""


@pytest.fixture
def shelves(tmp_path: Path) -> Driver:
    """A script that asks for the shelf of what it has found."""
    path = tmp_path / "shelves.py"
    path.write_text(SHELVES, encoding="utf-8")
    client = ScriptedClient(FIND, McpTool("get_shelf"), get_shelf=McpResult("seven"))
    time = {"type": "function", "name": "get_time"}
    return driver(client, library(require_approval="never"), time, brain=Script.load(path))


def outputs(events: Sequence[Event]) -> list[str]:
    """What a response consists of: the names of calls, and the texts of messages."""
    items = only(events, "response.done")["response"]["output"]
    return [item.get("name") or item["content"][0]["transcript"] for item in items]


def test_a_result_that_a_further_call_has_answered_is_not_answered_again(shelves: Driver) -> None:
    assert outputs(shelves.say("Emma?")) == ["find_book"]
    assert outputs(shelves.ask("response.create")) == ["get_shelf"]
    assert outputs(shelves.ask("response.create")) == ["Shelf: seven"]


def test_a_call_of_a_server_answers_the_output_of_a_function(shelves: Driver) -> None:
    call = only(shelves.say("time"), "response.output_item.done")["item"]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "noon"}
    shelves.ask("conversation.item.create", item=output)
    assert outputs(shelves.ask("response.create")) == ["get_shelf"]
    assert outputs(shelves.ask("response.create")) == ["Shelf: seven"]


def test_results_of_calls_made_at_once_are_all_answered(shelves: Driver) -> None:
    assert outputs(shelves.say("both")) == ["find_book", "get_shelf"]
    assert outputs(shelves.ask("response.create")) == ["get_shelf", "Shelf: seven"]


def test_a_function_beside_a_call_of_a_server(shelves: Driver) -> None:
    call = only(shelves.say("beside"), "response.function_call_arguments.done")
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "noon"}
    shelves.ask("conversation.item.create", item=output)
    assert outputs(shelves.ask("response.create")) == ["Shelf: seven", "get_shelf"]


@pytest.mark.parametrize("brain", ["script", "rules"])
@pytest.mark.parametrize(("approve", "said"), [(True, "shelf 7"), (False, "The user did not approve this call.")])
def test_a_result_that_comes_after_more_was_said_is_still_new(
    brain: str, approve: bool, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "answers.py"
    path.write_text(APPROVED, encoding="utf-8")
    settings = {"brain": Script.load(path)} if brain == "script" else {}
    made = driver(ScriptedClient(), library(), **settings)
    waiting = [each["item"] for each in every(made.say("find Emma"), "conversation.item.created")]
    requests = [item["id"] for item in waiting if item["type"] == "mcp_approval_request"]
    assert said not in outputs(made.say("Please do."))
    for request in requests:
        answer_approval(made, request, approve)
    assert outputs(made.ask("response.create")) == [said]
    assert said not in outputs(made.say("Thanks."))


@pytest.mark.parametrize(
    ("deleted", "said"), [(None, ["first second"]), ("call", ["second"]), ("answer", ["first second"])]
)
def test_results_that_come_late_are_told_in_order_and_without_what_was_deleted(
    deleted: str | None, said: list[str]
) -> None:
    client = ScriptedClient()
    made = driver(client, library())
    items = [each["item"] for each in every(asked(made, "two"), "conversation.item.created")]
    requests = [item["id"] for item in items if item["type"] == "mcp_approval_request"]
    call = next(item["id"] for item in items if item["type"] == "mcp_call")
    answer = only(made.say("Go on."), "response.output_item.done")["item"]["id"]
    if deleted:
        made.ask("conversation.item.delete", item_id={"call": call, "answer": answer}[deleted])
    for request, result in zip(requests, ("first", "second"), strict=True):
        client.results["find_book"] = McpResult(result)
        answer_approval(made, request, True)
    assert outputs(made.ask("response.create")) == said


def test_a_late_result_stays_where_the_item_before_it_was_deleted() -> None:
    made, _, request = wait_for_approval(ScriptedClient())
    answer = only(made.say("Go on."), "response.output_item.done")["item"]["id"]
    *_, response = every(answer_approval(made, request, True), "conversation.item.created")
    for item in (response["item"]["id"], answer):
        made.ask("conversation.item.delete", item_id=item)
    assert outputs(made.ask("response.create")) == ["I heard: Go on."]


def test_a_response_that_leaves_no_item_answers_no_result(shelves: Driver) -> None:
    shelves.say("Emma?")
    shelves.working = False
    shelves.send("response.create")
    shelves.send("response.cancel")
    shelves.working = True
    shelves.settle()
    assert outputs(shelves.ask("response.create", response={"conversation": "none"})) == ["get_shelf"]
    assert outputs(shelves.ask("response.create")) == ["get_shelf"]


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (McpResult("No such book.", failed=True), {"type": "tool_execution_error", "message": "No such book."}),
        (McpError("Down.", kind="http_error", code=503), {"type": "http_error", "code": 503, "message": "Down."}),
        (ValueError("x"), {"type": "protocol_error", "message": "ValueError: x"}),
    ],
)
def test_a_call_that_fails(result: McpResult | Exception, error: dict[str, Any]) -> None:
    made = driver(ScriptedClient(find_book=result), library(require_approval="never"))
    events = asked(made)
    assert types(events)[-4:] == [RUN[0], "response.mcp_call.failed", RUN[2], "response.done"]
    item = only(events, "response.output_item.done")["item"]
    assert item["error"] == error
    assert "output" not in item
    assert only(events, "response.done")["response"]["status"] == "completed"


def test_a_message_before_the_call_and_a_function_beside_it() -> None:
    time = {"type": "function", "name": "get_time"}
    made = driver(ScriptedClient(), library(require_approval="never"), time)
    events = asked(made, "both")
    output = only(events, "response.done")["response"]["output"]
    assert [item["type"] for item in output] == ["mcp_call", "function_call"]
    output = only(asked(made, "moment"), "response.done")["response"]["output"]
    assert [item["type"] for item in output] == ["message", "mcp_call"]


def test_the_response_waits_for_all_of_its_calls() -> None:
    client = ScriptedClient()
    made = driver(client, library(require_approval="never"))
    events = asked(made, "two")
    assert types(events)[-1] == "response.done"
    assert len(client.calls) == types(events).count("response.mcp_call.completed") == 2


def test_a_function_of_the_client_goes_before_a_tool_of_the_same_name() -> None:
    client = ScriptedClient()
    made = driver(client, library(require_approval="never"), {"type": "function", "name": "find_book"})
    assert only(asked(made), "response.function_call_arguments.done")["name"] == "find_book"
    assert client.calls == []


# --- Approvals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "needed"),
    [
        (None, True),
        ("always", True),
        ("never", False),
        ({"never": ["find_book"]}, False),
        ({"never": ["other"]}, True),
        ({"always": ["find_book"]}, True),
        ({"always": ["find_book"], "never": ["find_book"]}, True),
        ({"never": {"tool_names": ["find_book"]}}, False),
        ({"always": {"tool_names": ["other"]}, "never": {"tool_names": []}}, True),
    ],
)
def test_who_has_to_approve(given: Any, needed: bool) -> None:
    server = McpServer.of(library(require_approval=given))
    assert server.needs_approval("find_book") is needed


def wait_for_approval(client: ScriptedClient) -> tuple[Driver, list[Event], str]:
    made = driver(client, library())
    events = asked(made)
    request = list(every(events, "conversation.item.created"))[-1]["item"]
    assert request["type"] == "mcp_approval_request"
    return made, events, request["id"]


def answer_approval(made: Driver, request_id: str, approve: bool) -> list[Event]:
    item = {"type": "mcp_approval_response", "approval_request_id": request_id, "approve": approve}
    return made.ask("conversation.item.create", item=item)


def test_an_approved_call() -> None:
    client = ScriptedClient()
    made, events, request_id = wait_for_approval(client)
    assert collapsed(types(events)) == [*CALL, "conversation.item.created", "response.done"]
    request = list(every(events, "conversation.item.created"))[-1]["item"]
    assert {name: request[name] for name in ("server_label", "name", "arguments")} == {
        "server_label": "library",
        "name": "find_book",
        "arguments": '{"title": "Emma"}',
    }
    assert client.calls == []
    events = answer_approval(made, request_id, True)
    assert types(events) == ["conversation.item.created", *RUN]
    item = events[-1]["item"]
    assert (item["output"], item["approval_request_id"]) == ("shelf 7", request_id)
    assert client.calls == [("library", "find_book", {"title": "Emma"})]


def test_a_refused_call_never_runs_and_the_model_is_told() -> None:
    client = ScriptedClient()
    made, events, request_id = wait_for_approval(client)
    assert types(answer_approval(made, request_id, False)) == ["conversation.item.created"]
    assert client.calls == []
    call = next(iter(every(events, "conversation.item.created")))["item"]
    item = only(made.ask("conversation.item.retrieve", item_id=call["id"]), "conversation.item.retrieved")["item"]
    assert item["error"]["message"] == "The user did not approve this call."


def test_an_approval_that_nothing_waits_for() -> None:
    made, _, request_id = wait_for_approval(ScriptedClient())
    error = only(answer_approval(made, "mcpr_no", True), "error")["error"]
    assert (error["code"], error["param"]) == ("invalid_value", "item.approval_request_id")
    answer_approval(made, request_id, True)
    assert types(answer_approval(made, request_id, True)) == ["error"]


# --- Interruptions ----------------------------------------------------------------------------------------


def test_a_running_call_is_not_cancelled() -> None:
    client = ScriptedClient()
    made = driver(client, library(require_approval="never"))
    made.working = False
    made.say("find Emma")
    while not any(job.kind == "mcp" for job in made.kept):
        made.work()
        made.take()
    assert types(made.ask("response.cancel")) == ["response.done"]
    made.working = True
    assert types(made.take()) == RUN[1:]
    assert client.calls
    assert only(made.say("Hello"), "response.done")["response"]["status"] == "completed"


def test_a_call_that_was_cut_off_before_it_was_whole_never_starts() -> None:
    client = ScriptedClient()
    brain = ScriptedBrain([("", ["A story. " * 20, Call("find_book", {"title": "a"})])])
    options = Options(realtime_factor=1.0)
    made = driver(client, library(require_approval="never"), brain=brain, options=options)
    made.send("response.create")
    made.wait(1.0)
    made.append(silence(0.3) + noise(0.5))
    made.settle()
    assert only(made.events, "response.done")["response"]["status"] == "cancelled"
    assert client.calls == []


# --- Real servers -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tools() -> Iterator[Tools]:
    with serving() as running:
        yield running


@pytest.fixture(scope="module")
def tools_by_sse() -> Iterator[Tools]:
    with serving(sse=True) as running:
        yield running


@asynccontextmanager
async def session(url: str, **server: Any) -> AsyncIterator[VoiceLiveConnection]:
    """A session with this server among its tools, by the SDK, up to session.updated."""
    async with serve(brain=ScriptedBrain(RULES), mcp=HttpMcpClient(timeout_s=15)) as emulator:
        key = AzureKeyCredential("key")
        async with connect(endpoint=emulator.url, credential=key, model="gpt-4.1") as connection:
            tool = models.MCPServer(server_label="library", server_url=url, **server)
            await connection.session.update(session=models.RequestSession(tools=[tool]))
            yield connection


async def until(connection: VoiceLiveConnection, kind: type[models.ServerEvent]) -> list[models.ServerEvent]:
    events: list[models.ServerEvent] = []
    async with asyncio.timeout(30):
        while not events or not isinstance(events[-1], kind):
            events.append(await connection.recv())
    return events


async def find(connection: VoiceLiveConnection, text: str = "find Emma") -> list[models.ServerEvent]:
    content: list[models.MessageContentPart] = [models.InputTextContentPart(text=text)]
    await connection.conversation.item.create(item=models.UserMessageItem(content=content))
    await connection.response.create()
    return await until(connection, models.ServerEventResponseDone)


def called(events: Sequence[models.ServerEvent]) -> models.ResponseMCPCallItem:
    [done] = [event for event in events if isinstance(event, models.ServerEventResponseOutputItemDone)]
    assert isinstance(done.item, models.ResponseMCPCallItem)
    return done.item


async def test_a_real_server_is_listed_and_called(tools: Tools) -> None:
    tools.calls.clear()
    settings = {"authorization": "s3cret", "headers": {"x-team": "a"}, "require_approval": "never"}
    async with session(tools.url, **settings) as connection:
        events = await until(connection, models.ServerEventMcpListToolsCompleted)
        listed = [each.item for each in events if isinstance(each, models.ServerEventConversationItemCreated)]
        assert isinstance(listed[0], models.ResponseMCPListToolItem)
        assert [tool.name for tool in listed[0].tools] == ["find_book", "borrow", "burn"]
        assert listed[0].tools[0].input_schema["required"] == ["title"]
        assert called(await find(connection)).output == "Emma: shelf 7"
    assert tools.calls == [("find_book", {"title": "Emma"})]
    assert all(headers["authorization"] == "Bearer s3cret" for headers in tools.headers[-3:])
    assert all(headers["x-team"] == "a" for headers in tools.headers[-3:])


async def test_a_real_server_by_server_sent_events(tools_by_sse: Tools) -> None:
    async with session(tools_by_sse.url, require_approval="never") as connection:
        await until(connection, models.ServerEventMcpListToolsCompleted)
        assert called(await find(connection)).output == "Emma: shelf 7"


async def approved(
    connection: VoiceLiveConnection, events: Sequence[models.ServerEvent], approve: bool
) -> models.ResponseMCPApprovalRequestItem:
    items = [each.item for each in events if isinstance(each, models.ServerEventConversationItemCreated)]
    [request] = [item for item in items if isinstance(item, models.ResponseMCPApprovalRequestItem)]
    assert request.id is not None
    answer = models.MCPApprovalResponseRequestItem(approval_request_id=request.id, approve=approve)
    await connection.conversation.item.create(item=answer)
    return request


async def test_a_real_call_with_an_approval(tools: Tools) -> None:
    tools.calls.clear()
    async with session(tools.url) as connection:
        await until(connection, models.ServerEventMcpListToolsCompleted)
        request = await approved(connection, await find(connection), True)
        assert (request.name, request.server_label) == ("find_book", "library")
        assert called(await until(connection, models.ServerEventResponseOutputItemDone)).output == "Emma: shelf 7"
    assert len(tools.calls) == 1


async def test_a_real_call_that_is_refused(tools: Tools) -> None:
    tools.calls.clear()
    async with session(tools.url) as connection:
        await until(connection, models.ServerEventMcpListToolsCompleted)
        await approved(connection, await find(connection), False)
        events = await find(connection, "Hello")
        assert not [each for each in events if "mcp_call" in each.type]
    assert tools.calls == []


async def test_approval_by_tool_and_a_tool_that_fails(tools: Tools) -> None:
    tools.calls.clear()
    rules = [("burn", Call("burn", {"title": "x"})), ("borrow", Call("borrow", {"title": "x"}))]
    server = models.MCPServer(
        server_label="library",
        server_url=tools.url,
        require_approval={"never": ["burn"]},
        allowed_tools=["burn", "borrow"],
    )
    async with serve(brain=ScriptedBrain(rules)) as emulator:
        key = AzureKeyCredential("key")
        async with connect(endpoint=emulator.url, credential=key, model="gpt-4.1") as connection:
            await connection.session.update(session=models.RequestSession(tools=[server]))
            await until(connection, models.ServerEventMcpListToolsCompleted)
            failed = called(await find(connection, "burn it"))
            assert failed.error["type"] == "tool_execution_error"
            assert "Books do not burn here." in failed.error["message"]
            await approved(connection, await find(connection, "borrow it"), True)
            done = called(await until(connection, models.ServerEventResponseOutputItemDone))
            assert json.loads(str(done.output)) == {"title": "x", "days": 14}


async def test_a_server_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with session(f"http://127.0.0.1:{port}/mcp") as connection:
        await until(connection, models.ServerEventMcpListToolsFailed)
        done = (await find(connection, "Hello"))[-1]
        assert isinstance(done, models.ServerEventResponseDone)
        assert done.response.status == "completed"


# --- The client -------------------------------------------------------------------------------------------


def failure(ask: Callable[[], object]) -> McpError:
    with pytest.raises(McpError) as caught:
        ask()
    return caught.value


def test_what_goes_wrong_is_told_in_words(tools: Tools) -> None:
    client = HttpMcpClient(timeout_s=15)
    found = McpServer(label="library", url=tools.url)
    assert client.call(found, "no_such_tool", {}) == McpResult("Unknown tool: no_such_tool", failed=True)
    lost = McpServer(label="library", url=f"{tools.url}x")
    error = failure(lambda: client.list_tools(lost))
    assert (str(error), error.kind, error.code) == ("library answered with HTTP 404.", "http_error", 404)


@pytest.mark.parametrize("sse", [False, True])
def test_a_token_that_is_refused(sse: bool) -> None:
    with serving(token="right", sse=sse) as tools:
        client = HttpMcpClient(timeout_s=15)
        wrong = McpServer(label="library", url=tools.url, authorization="wrong")
        error = failure(lambda: client.list_tools(wrong))
        assert (error.kind, error.code) == ("http_error", 401)
        right = McpServer(label="library", url=tools.url, authorization="Bearer right")
        assert len(client.list_tools(right)) == 3


def test_a_server_that_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = McpServer(label="library", url=f"http://127.0.0.1:{silent.getsockname()[1]}/mcp")
        error = failure(lambda: HttpMcpClient(timeout_s=0.3).list_tools(server))
    assert str(error) == "library did not answer within 0.3 s."


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicelive_agent.emulator.mcp.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"voicelive-agent\[mcp\]"):
        HttpMcpClient().list_tools(McpServer(label="a", url="http://127.0.0.1/mcp"))
    with pytest.raises(ConfigurationError, match="timeout_s"):
        HttpMcpClient(timeout_s=0)


class Raw(BaseHTTPRequestHandler):
    """An older MCP server by hand: two pages of tools, calls that it refuses, and a page that is no MCP at all."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path != "/mcp":
            return self.reply(b"<html>", "text/html")
        if "id" not in asked:
            return self.reply(b"", "text/plain", 202)
        params = asked.get("params") or {}
        replies: dict[str, dict[str, Any]] = {
            "initialize": {
                "protocolVersion": params.get("protocolVersion"),
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "raw", "version": "1"},
            },
            "tools/list": {"tools": [{"name": "b", "inputSchema": {"type": "object"}}]},
        }
        if asked["method"] == "tools/list" and "cursor" not in params:
            first = {"name": "a", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}}
            replies["tools/list"] = {"tools": [first], "nextCursor": "2"}
        reply: dict[str, Any] = {"jsonrpc": "2.0", "id": asked["id"]}
        if asked["method"] in replies:
            reply["result"] = replies[asked["method"]]
        else:
            code = -32601 if asked["method"] == "server/discover" else -32000
            reply["error"] = {"code": code, "message": "Not today."}
        return self.reply(json.dumps(reply).encode(), "application/json")

    def reply(self, data: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self.reply(b"", "text/plain", 405)

    do_DELETE = do_GET

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def raw() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Raw)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_older_server_with_several_pages_of_tools(raw: str) -> None:
    server = McpServer(label="raw", url=f"{raw}/mcp")
    schema = {"type": "object"}
    listed = HttpMcpClient(timeout_s=15).list_tools(server)
    assert listed == [McpTool("a", "", schema, {"readOnlyHint": True}), McpTool("b", "", schema)]
    error = failure(lambda: HttpMcpClient(timeout_s=15).call(server, "a", {}))
    assert (str(error), error.kind, error.code) == ("Not today.", "protocol_error", -32000)


def test_what_is_no_mcp_server_at_all(raw: str) -> None:
    error = failure(lambda: HttpMcpClient(timeout_s=15).list_tools(McpServer(label="raw", url=f"{raw}/page")))
    assert error.kind == "protocol_error"
    assert str(error)


def test_an_url_that_is_none() -> None:
    error = failure(lambda: HttpMcpClient(timeout_s=15).list_tools(McpServer(label="raw", url="nowhere")))
    assert str(error)


def test_results_without_text() -> None:
    picture = SimpleNamespace(type="image", data="AA==")
    assert mcp._text([SimpleNamespace(type="text", text="a"), picture], None) == "a\n[image]"
    assert mcp._text([], {"a": 1}) == '{"a": 1}'
    assert mcp._text([], None) == ""
