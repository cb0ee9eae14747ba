"""The microphone's WebSocket, on the connection of a request that Werkzeug serves.

WSGI knows no WebSocket, but Werkzeug hands out the socket under a request. wsproto speaks the protocol, without
any I/O; the thread that Werkzeug has started for the request does the reading.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator
from typing import Final

import h11
from flask import Response
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Request, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

MAX_MESSAGE: Final = 256 * 1024
"""Bytes: 5 s of audio, where the lab's page sends 0.15 s or what it has gathered in half a second."""
SILENCE_S: Final = 20.0
"""Who says nothing for so long is asked, and who does not answer for as long again is gone."""
OF_HANDSHAKE: Final = re.compile(r"(host|upgrade|connection|sec-websocket-.*)$", re.IGNORECASE)
TOO_BIG: Final = 1009
NO_TEXT: Final = 1003


class NotAWebSocket(Exception):
    """The request does not ask for a WebSocket, or not as RFC 6455 wants it."""


class Over(Response):
    """No answer: the connection was a WebSocket's, and is at its end."""

    def __call__(self, *arguments: object) -> Iterable[bytes]:
        # How Werkzeug is told that there is nobody left to answer.
        raise ConnectionAbortedError


def receive(connection: socket.socket, headers: Iterable[tuple[str, str]], path: str) -> Iterator[bytes]:
    """Accept the WebSocket, and yield its binary messages until it ends. :class:`NotAWebSocket`."""
    websocket = WSConnection(ConnectionType.SERVER)
    try:
        named = [(name.encode(), value.encode("latin-1")) for name, value in headers if OF_HANDSHAKE.match(name)]
        websocket.initiate_upgrade_connection(named, path)
        if not any(isinstance(event, Request) for event in websocket.events()):
            raise NotAWebSocket
    except (RemoteProtocolError, h11.ProtocolError, UnicodeError) as error:
        raise NotAWebSocket(str(error)) from error
    return _messages(connection, websocket)


def _messages(connection: socket.socket, websocket: WSConnection) -> Iterator[bytes]:
    connection.settimeout(SILENCE_S)
    try:
        connection.sendall(websocket.send(AcceptConnection()))
        message = bytearray()
        while True:
            _read(connection, websocket)
            for event in websocket.events():
                match event:
                    case BytesMessage(data=data):
                        message += data
                        if len(message) > MAX_MESSAGE:
                            connection.sendall(websocket.send(CloseConnection(TOO_BIG, "too much at once")))
                            return
                        if event.message_finished:
                            yield bytes(message)
                            message.clear()
                    case TextMessage():
                        connection.sendall(websocket.send(CloseConnection(NO_TEXT, "audio is binary")))
                        return
                    case Ping():
                        connection.sendall(websocket.send(event.response()))
                    case CloseConnection():
                        connection.sendall(websocket.send(event.response()))
                        return
    except (OSError, LocalProtocolError):
        return  # it is gone, in the middle of something
    finally:
        _close(connection)


def _read(connection: socket.socket, websocket: WSConnection) -> None:
    """Take what comes, and ask who says nothing. OSError when nobody is there any more."""
    try:
        data = connection.recv(65_536)
    except TimeoutError:
        connection.sendall(websocket.send(Ping()))
        data = connection.recv(65_536)
    if not data:
        raise ConnectionResetError
    websocket.receive_data(data)


def _close(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is closed
