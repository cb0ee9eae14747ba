"""The brain behind a chat completions endpoint, against a real HTTP server that speaks its stream."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from voicelive_agent.emulator import Action, Call, Fail, OpenAIBrain, Say, Turn
from voicelive_agent.errors import ConfigurationError

from .driver import Driver, only

TOOL = {"type": "function", "name": "get_weather", "description": "Weather.", "parameters": {"type": "object"}}


class Endpoint(ThreadingHTTPServer):
    """Answers each request with the next of ``replies``; ``requests`` are what was asked, with the headers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies: list[Any] = []
        self.requests: list[tuple[dict[str, Any], dict[str, str]]] = []
        self.gone = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what some tests are about."""
        self.gone.set()


class Handler(BaseHTTPRequestHandler):
    server: Endpoint
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.append((body, dict(self.headers.items())))
        reply = self.server.replies.pop(0)
        if callable(reply):
            reply(self)
        elif isinstance(reply, tuple):
            self.refuse(*reply)
        else:
            self.stream(reply)

    def refuse(self, status: int, body: Any) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.send_header("content-type", "text/plain" if isinstance(body, str) else "application/json")
        self.end_headers()
        self.wfile.write(data)

    def begin(self, length: int | None = None) -> None:
        self.send_response(200)
        if length is not None:
            self.send_header("content-length", str(length))
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()

    def put(self, data: Any) -> None:
        self.wfile.write(f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode())
        self.wfile.flush()

    def stream(self, deltas: list[dict[str, Any]]) -> None:
        self.begin()
        for delta in deltas:
            self.put(chunk(delta))
        self.put({"id": "c", "object": "chat.completion.chunk", "choices": [], "usage": None})
        self.put("[DONE]")

    def log_message(self, *arguments: Any) -> None:
        pass


def chunk(delta: dict[str, Any]) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def text(*pieces: str) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": ""}, *({"content": piece} for piece in pieces)]


def called(index: int, name: str | None, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"tool_calls": [{"index": index, "id": f"call_{index}", "type": "function", "function": function}]}


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def user(*content: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": list(content)}


def typed(words: str) -> dict[str, Any]:
    return user({"type": "input_text", "text": words})


def answered(endpoint: Endpoint, turn: Turn | None = None, **settings: Any) -> list[Action]:
    return list(OpenAIBrain(endpoint.url, "m", **settings).answer(turn or Turn([typed("Hi")])))


# --- Answers ----------------------------------------------------------------------------------------------


def test_text_is_spoken_sentence_by_sentence(endpoint: Endpoint) -> None:
    endpoint.replies = [text("Hello th", "ere. It is 3.5", " degrees! Re", "ally?\nYes")]
    actions = answered(endpoint)
    assert actions == [Say("Hello there. "), Say("It is 3.5 degrees! "), Say("Really?\n"), Say("Yes")]


def test_the_first_sentence_is_there_before_the_rest_is_written(endpoint: Endpoint) -> None:
    go_on = threading.Event()

    def slow(handler: Handler) -> None:
        handler.begin()
        handler.put(chunk({"content": "One. "}))
        assert go_on.wait(20)
        handler.put(chunk({"content": "Two."}))
        handler.put("[DONE]")

    endpoint.replies = [slow]
    answer = OpenAIBrain(endpoint.url, "m").answer(Turn([typed("Hi")]))
    assert next(answer) == Say("One. ")
    go_on.set()
    assert list(answer) == [Say("Two.")]


def test_calls_come_in_pieces_and_several_at_once(endpoint: Endpoint) -> None:
    endpoint.replies = [
        [
            {"content": "Moment."},
            called(0, "get_weather", ""),
            called(0, None, '{"city": '),
            called(1, "get_time", ""),
            called(0, None, '"Rome"}'),
        ]
    ]
    turn = Turn([typed("Hi")], tools=[TOOL])
    assert answered(endpoint, turn) == [
        Say("Moment."),
        Call("get_weather", {"city": "Rome"}),
        Call("get_time", {}),
    ]


def test_an_answer_in_a_session(endpoint: Endpoint) -> None:
    endpoint.replies = [text("It is sunny. ", "Bye.")]
    events = Driver(brain=OpenAIBrain(endpoint.url, "m")).say("Weather?")
    assert only(events, "response.audio_transcript.done")["transcript"] == "It is sunny. Bye."
    assert endpoint.requests[0][0]["messages"][-1] == {"role": "user", "content": "Weather?"}


# --- Requests ---------------------------------------------------------------------------------------------


def test_the_conversation_as_messages(endpoint: Endpoint) -> None:
    endpoint.replies = [text("Ok.")]
    image = {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"}
    items: list[dict[str, Any]] = [
        {"type": "mcp_list_tools", "id": "l", "server_label": "s", "tools": []},
        user({"type": "input_audio", "transcript": "Weather?"}),
        {"type": "message", "role": "assistant", "content": [{"type": "audio", "transcript": "Moment."}]},
        {"type": "function_call", "call_id": "1", "name": "a", "arguments": '{"x": 1}'},
        {"type": "function_call", "call_id": "2", "name": "b", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "2", "output": "two"},
        {"type": "function_call_output", "call_id": "1", "output": "one"},
        {"type": "mcp_call", "id": "m", "name": "find", "arguments": "{}", "output": "found"},
        {"type": "message", "role": "assistant", "content": [{"type": "audio", "transcript": ""}]},
        user({"type": "input_text", "text": "What is this?"}, image),
        {"type": "function_call", "call_id": "3", "name": "never_answered", "arguments": "{}"},
        {"type": "mcp_call", "id": "n", "name": "buy", "arguments": "{}", "error": {"message": "refused"}},
    ]
    answered(endpoint, Turn(items, instructions="Be brief."))
    [(request, _)] = endpoint.requests

    def call(id: str, name: str, arguments: str = "{}") -> dict[str, Any]:
        return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}

    def tool(id: str, content: str) -> dict[str, Any]:
        return {"role": "tool", "tool_call_id": id, "content": content}

    assert request["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "Moment.", "tool_calls": [call("1", "a", '{"x": 1}'), call("2", "b")]},
        tool("1", "one"),
        tool("2", "two"),
        {"role": "assistant", "content": None, "tool_calls": [call("m", "find")]},
        tool("m", "found"),
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
            ],
        },
        {"role": "assistant", "content": None, "tool_calls": [call("n", "buy")]},
        tool("n", "Error: refused"),
    ]
    assert "tools" not in request
    assert "tool_choice" not in request


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("required", "required"),
        ({"type": "function", "name": "get_weather"}, {"type": "function", "function": {"name": "get_weather"}}),
    ],
)
def test_tools_settings_and_the_key(endpoint: Endpoint, given: Any, sent: Any) -> None:
    endpoint.replies = [text("Ok.")]
    turn = Turn([typed("Hi")], tools=[TOOL], tool_choice=given)
    answered(endpoint, turn, api_key="s3cret", headers={"x-team": "a"}, parameters={"temperature": 0.2})
    [(request, headers)] = endpoint.requests
    function = {"name": "get_weather", "description": "Weather.", "parameters": {"type": "object"}}
    assert request["tools"] == [{"type": "function", "function": function}]
    assert request["tool_choice"] == sent
    assert (request["model"], request["stream"], request["temperature"]) == ("m", True, 0.2)
    sent_headers = {name.lower(): value for name, value in headers.items()}
    assert sent_headers["authorization"] == "Bearer s3cret"
    assert sent_headers["x-team"] == "a"


# --- Failures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "fail"),
    [
        (
            404,
            {"error": {"message": "model 'm' not found", "code": "model_not_found"}},
            ("m' not found", "model_not"),
        ),
        (400, {"error": "too long"}, ("too long", "400")),
        (422, {"detail": "no tools here"}, ("no tools here", "422")),
        (429, {"error": {"message": "Slow down."}}, ("Slow down.", "429")),
        (500, "it broke", ("it broke", "500")),
    ],
)
def test_a_refusal_fails_the_response_in_the_words_of_the_endpoint(
    endpoint: Endpoint, status: int, body: Any, fail: tuple[str, str]
) -> None:
    endpoint.replies = [(status, body)]
    [action] = answered(endpoint)
    assert isinstance(action, Fail)
    assert fail[0] in action.message
    assert action.code.startswith(fail[1])
    assert len(endpoint.requests) == 1  # nothing is retried


def test_an_error_in_the_middle_of_the_stream(endpoint: Endpoint) -> None:
    def broken(handler: Handler) -> None:
        handler.begin()
        handler.put(chunk({"content": "Well. Then"}))
        handler.put({"error": {"message": "out of memory", "code": "oom"}})

    endpoint.replies = [broken]
    assert answered(endpoint) == [Say("Well. "), Fail("out of memory", "oom")]


def test_an_endpoint_that_says_nothing(endpoint: Endpoint) -> None:
    done = threading.Event()
    endpoint.replies = [lambda handler: done.wait(20)]
    try:
        assert answered(endpoint, timeout_s=0.2) == [Fail("The model endpoint said nothing for 0.2 s.", "timeout")]
    finally:
        done.set()


def test_an_endpoint_that_stops_in_the_middle(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()

    def stuck(handler: Handler) -> None:
        handler.begin()
        handler.put(chunk({"content": "Well. "}))
        done.wait(20)

    endpoint.replies = [stuck]
    settimeout = socket.socket.settimeout
    try:
        answer = OpenAIBrain(endpoint.url, "m", timeout_s=30).answer(Turn([typed("Hi")]))
        assert next(answer) == Say("Well. ")
        # From here on nothing comes, and its time is up at once; until then the endpoint had as long as it took.
        monkeypatch.setattr(socket.socket, "settimeout", lambda self, _: settimeout(self, 0.05))
        assert list(answer) == [Fail("The model endpoint said nothing for 30 s.", "timeout")]
    finally:
        done.set()


def test_an_endpoint_that_breaks_off_in_the_middle(endpoint: Endpoint) -> None:
    def gone(handler: Handler) -> None:
        handler.begin(length=10_000)
        handler.put(chunk({"content": "Well. "}))

    endpoint.replies = [gone]
    said, failed = answered(endpoint)
    assert said == Say("Well. ")
    assert isinstance(failed, Fail)
    assert f"{endpoint.url}/ cannot be reached: peer closed connection" in failed.message


def test_an_endpoint_that_is_not_there(endpoint: Endpoint) -> None:
    url = endpoint.url
    endpoint.socket.close()
    [action] = OpenAIBrain(url, "m").answer(Turn([typed("Hi")]))
    assert isinstance(action, Fail)
    assert "cannot be reached" in action.message
    assert url in action.message


@pytest.mark.parametrize("arguments", ["{", "[1]"])
def test_arguments_that_are_no_object(endpoint: Endpoint, arguments: str) -> None:
    endpoint.replies = [[called(0, "f", arguments)]]
    [action] = answered(endpoint)
    assert isinstance(action, Fail)
    assert action.message == f"The model called f with arguments that are no JSON object: {arguments}"


def test_an_answer_nobody_wants_any_more_hangs_up(endpoint: Endpoint) -> None:
    def endless(handler: Handler) -> None:
        handler.begin()
        until = time.monotonic() + 20
        while time.monotonic() < until:
            handler.put(chunk({"content": "More. " * 100}))

    endpoint.replies = [endless]
    answer = OpenAIBrain(endpoint.url, "m").answer(Turn([typed("Hi")]))
    assert next(answer) == Say("More. ")
    del answer
    assert endpoint.gone.wait(10)


def test_wrong_settings() -> None:
    with pytest.raises(ConfigurationError, match="not an http URL"):
        OpenAIBrain("localhost:11434", "m")
    with pytest.raises(ConfigurationError, match="timeout_s"):
        OpenAIBrain("http://localhost/v1", "m", timeout_s=0)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicelive_agent.emulator.openai_compatible.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"voicelive-agent\[llm\]"):
        OpenAIBrain("http://localhost/v1", "m")
