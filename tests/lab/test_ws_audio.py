"""The microphone's WebSocket of the Flask example, frame by frame."""

from __future__ import annotations

import importlib.util
import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("flask", reason="flask is not installed")
pytest.importorskip("wsproto", reason="wsproto is not installed")

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Event, Message, Ping, Pong, Request

HEADERS = [
    ("Host", "here"),
    ("Upgrade", "websocket"),
    ("Connection", "keep-alive, Upgrade"),
    ("Sec-Websocket-Version", "13"),
    ("Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Content-Length", ""),  # Werkzeug has it so
]


def load() -> ModuleType:
    path = Path(__file__).parents[2] / "examples" / "lab_flask_app" / "ws_audio.py"
    spec = importlib.util.spec_from_file_location("ws_audio", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ws_audio = load()


class Client:
    """The browser's end, and what the other end made of it."""

    def __init__(self, ours: socket.socket, theirs: socket.socket) -> None:
        self.socket = ours
        self.socket.settimeout(10)
        self.websocket = WSConnection(ConnectionType.CLIENT)
        self.got: list[bytes] = []
        request = self.websocket.send(Request(host="here", target="/ws-audio")).decode()
        key = next(line for line in request.split("\r\n") if line.lower().startswith("sec-websocket-key: "))
        headers = dict(HEADERS) | {"Sec-Websocket-Key": key.partition(": ")[2]}
        self.serving = threading.Thread(target=self._serve, args=(theirs, headers))
        self.serving.start()

    def _serve(self, theirs: socket.socket, headers: dict[str, str]) -> None:
        with theirs:
            self.got.extend(ws_audio.receive(theirs, headers.items(), "/ws-audio"))

    def send(self, event: Event) -> None:
        self.socket.sendall(self.websocket.send(event))

    def next(self) -> Event:
        """What the server says next."""
        while True:
            for event in self.websocket.events():
                return event
            data = self.socket.recv(4096)
            self.websocket.receive_data(data or None)

    def end(self) -> list[bytes]:
        """Wait for the other end to be done."""
        self.serving.join(10)
        assert not self.serving.is_alive()
        return self.got


@pytest.fixture
def client() -> Iterator[Client]:
    with linked() as one:
        assert isinstance(one.next(), AcceptConnection)
        yield one


@contextmanager
def linked() -> Iterator[Client]:
    ours, theirs = socket.socketpair()
    one = Client(ours, theirs)
    try:
        yield one
    finally:
        ours.close()
        one.end()


def test_messages_come_whole_and_in_order(client: Client) -> None:
    client.send(BytesMessage(data=b"ab"))
    client.send(BytesMessage(data=b"c", message_finished=False))
    client.send(Ping(payload=b"?"))
    client.send(BytesMessage(data=b"", message_finished=False))
    client.send(BytesMessage(data=b"d"))
    assert client.next() == Pong(payload=b"?")
    client.send(CloseConnection(code=1001))
    closed = client.next()
    assert isinstance(closed, CloseConnection)
    assert closed.code == 1001
    assert client.end() == [b"ab", b"cd"]


def test_text_is_no_audio(client: Client) -> None:
    client.send(Message(data="hello"))
    closed = client.next()
    assert isinstance(closed, CloseConnection)
    assert closed.code == 1003
    assert client.end() == []


def test_a_message_that_is_too_long_in_pieces_is_refused(client: Client) -> None:
    piece = bytes(ws_audio.MAX_MESSAGE // 2)
    client.send(BytesMessage(data=piece, message_finished=False))
    client.send(BytesMessage(data=piece, message_finished=False))
    with suppress(OSError):  # it may be refused before all of it was taken
        client.send(BytesMessage(data=b"one more"))
    closed = client.next()
    assert isinstance(closed, CloseConnection)
    assert closed.code == 1009
    assert client.end() == []


@pytest.mark.parametrize("garbage", [b"\xff" * 64, b"\x82\x05plain", bytes(range(0x70, 0x90))], ids=len)
def test_garbage_ends_it(client: Client, garbage: bytes) -> None:
    client.socket.sendall(garbage)
    client.socket.shutdown(socket.SHUT_WR)
    assert all(isinstance(each, bytes) for each in client.end())


def test_who_breaks_off_is_gone(client: Client) -> None:
    client.send(BytesMessage(data=b"ab"))
    client.socket.close()
    assert client.end() == [b"ab"]


class Patient(socket.socket):
    """A connection on which time passes when the test says so."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(fileno=connection.detach())
        self.limits: list[float | None] = []
        self.comes: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        """What is received; None: nothing was, for as long as the limit is."""

    def settimeout(self, value: float | None, /) -> None:
        self.limits.append(value)

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        if (data := self.comes.get(timeout=10)) is None:
            raise TimeoutError
        return data


def test_who_says_nothing_is_asked_and_then_gone() -> None:
    ours, theirs = socket.socketpair()
    patient = Patient(theirs)
    client = Client(ours, patient)
    assert isinstance(client.next(), AcceptConnection)
    patient.comes.put(None)
    assert isinstance(client.next(), Ping)
    patient.comes.put(client.websocket.send(Pong()))
    patient.comes.put(client.websocket.send(BytesMessage(data=b"ab")))
    patient.comes.put(None)
    assert isinstance(client.next(), Ping)
    patient.comes.put(None)
    assert client.end() == [b"ab"]
    assert patient.limits == [ws_audio.SILENCE_S]
    ours.close()


@pytest.mark.parametrize(
    "missing", ["Host", "Upgrade", "Connection", "Sec-Websocket-Version", "Sec-Websocket-Key"]
)
def test_what_is_no_handshake_is_refused_before_anything_is_sent(missing: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with pytest.raises(ws_audio.NotAWebSocket):
            ws_audio.receive(theirs, [each for each in HEADERS if each[0] != missing], "/ws-audio")
        ours.setblocking(False)
        with pytest.raises(BlockingIOError):
            ours.recv(1)


def test_a_handshake_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ws_audio.NotAWebSocket):
        ws_audio.receive(None, [*HEADERS, ("Sec-Websocket-Protocol", "a\nb")], "/ws-audio")
