"""Service messages and requests, to and from the JSON of the Voice Live protocol.

Only what the conversation needs is typed; every other message stays as it came (:class:`Unknown`), and what
cannot be read is a value too (:class:`Unreadable`): decoding never raises. No SDK here: its models cost five to
ten times as much as these structs, and this module must be checkable without it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, TypeAlias, get_args

import msgspec
import pybase64

# --- from the service --------------------------------------------------------------------------------------


class _Received(msgspec.Struct, frozen=True, tag_field="type", kw_only=True):
    event_id: str | None = None


class ErrorInfo(msgspec.Struct, frozen=True):
    """What the service says about something that failed."""

    message: str | None = None
    type: str | None = None
    code: str | None = None
    param: str | None = None
    event_id: str | None = None


class WarningInfo(msgspec.Struct, frozen=True):
    """What the service says about something that may surprise."""

    message: str | None = None
    code: str | None = None


class ItemInfo(msgspec.Struct, frozen=True):
    """A conversation item: a message, a function call, its output, or a kind not read here."""

    id: str | None = None
    type: str | None = None
    role: str | None = None
    status: str | None = None
    name: str | None = None
    call_id: str | None = None
    arguments: str | None = None
    server_label: str | None = None
    approval_request_id: str | None = None
    tools: Any = None
    output: Any = None
    error: Any = None


class ResponseInfo(msgspec.Struct, frozen=True):
    """A response as it is created and as it ends."""

    id: str
    status: str | None = None
    status_details: dict[str, Any] | None = None
    output: list[ItemInfo] | None = None
    usage: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


class SessionCreated(_Received, frozen=True, tag="session.created"):
    """The socket is open and the service has a session with its own defaults."""

    session: dict[str, Any]


class SessionUpdated(_Received, frozen=True, tag="session.updated"):
    """The service accepted a configuration; the whole session is echoed."""

    session: dict[str, Any]


class ErrorReceived(_Received, frozen=True, tag="error"):
    """Something failed; ``error.event_id`` names the request that it answers, if it answers one."""

    error: ErrorInfo


class WarningReceived(_Received, frozen=True, tag="warning"):
    """Informational; nothing changed."""

    warning: WarningInfo


class SpeechBegan(_Received, frozen=True, tag="input_audio_buffer.speech_started"):
    """The service heard the user begin to speak."""

    item_id: str
    audio_start_ms: int = 0


class SpeechEnded(_Received, frozen=True, tag="input_audio_buffer.speech_stopped"):
    """The service heard the user stop."""

    item_id: str
    audio_end_ms: int = 0


class InputCommitted(_Received, frozen=True, tag="input_audio_buffer.committed"):
    """The user's audio became an item."""

    item_id: str
    previous_item_id: str | None = None


class ItemCreated(_Received, frozen=True, tag="conversation.item.created"):
    """An item is in the conversation now."""

    item: ItemInfo = ItemInfo()
    previous_item_id: str | None = None


class ItemDeleted(_Received, frozen=True, tag="conversation.item.deleted"):
    """An item is no longer in the conversation."""

    item_id: str


class ItemTruncated(_Received, frozen=True, tag="conversation.item.truncated"):
    """An item's audio now ends here, for the model too."""

    item_id: str
    audio_end_ms: int = 0


class UserTranscriptDelta(_Received, frozen=True, tag="conversation.item.input_audio_transcription.delta"):
    """A few more of the user's words."""

    item_id: str
    delta: str | None = None


class UserTranscript(_Received, frozen=True, tag="conversation.item.input_audio_transcription.completed"):
    """All of the user's words of one item."""

    item_id: str
    transcript: str | None = None
    language: str | None = None


class UserTranscriptFailed(_Received, frozen=True, tag="conversation.item.input_audio_transcription.failed"):
    """The user's words of one item are not to be had."""

    item_id: str
    error: ErrorInfo


class ResponseCreated(_Received, frozen=True, tag="response.created"):
    """An answer began."""

    response: ResponseInfo


class ResponseDone(_Received, frozen=True, tag="response.done"):
    """An answer has ended, one way or another; its audio may still have to be played."""

    response: ResponseInfo


class OutputItemAdded(_Received, frozen=True, tag="response.output_item.added"):
    """An answer got another item."""

    response_id: str
    item: ItemInfo = ItemInfo()


class OutputItemDone(_Received, frozen=True, tag="response.output_item.done"):
    """An item of an answer is complete."""

    response_id: str
    item: ItemInfo = ItemInfo()


class CallArgumentsDone(_Received, frozen=True, tag="response.function_call_arguments.done"):
    """The arguments of a function call are complete."""

    response_id: str
    call_id: str
    item_id: str = ""
    name: str | None = None
    arguments: str | None = None


class McpArgumentsDone(_Received, frozen=True, tag="response.mcp_call_arguments.done"):
    """The arguments of a call of an MCP server's tool are complete."""

    item_id: str
    response_id: str = ""
    arguments: str | None = None


class McpCallStarted(_Received, frozen=True, tag="response.mcp_call.in_progress"):
    """The service runs a tool of an MCP server."""

    item_id: str


class McpCallCompleted(_Received, frozen=True, tag="response.mcp_call.completed"):
    """The tool has answered; its output is in the item."""

    item_id: str


class McpCallFailed(_Received, frozen=True, tag="response.mcp_call.failed"):
    """The tool has failed; the error is in the item."""

    item_id: str


class McpToolsListed(_Received, frozen=True, tag="mcp_list_tools.completed"):
    """The tools of an MCP server are known; they are in the item."""

    item_id: str


class McpListingFailed(_Received, frozen=True, tag="mcp_list_tools.failed"):
    """The tools of an MCP server are not to be had; the session goes on without them."""

    item_id: str


class TextDelta(_Received, frozen=True, tag="response.text.delta"):
    """A few more words of a written answer."""

    response_id: str
    item_id: str
    delta: str


class TextDone(_Received, frozen=True, tag="response.text.done"):
    """All words of a written answer."""

    response_id: str
    item_id: str
    text: str


class TranscriptDelta(_Received, frozen=True, tag="response.audio_transcript.delta"):
    """A few more words of a spoken answer; they run ahead of the audio."""

    response_id: str
    item_id: str
    delta: str


class TranscriptDone(_Received, frozen=True, tag="response.audio_transcript.done"):
    """All words of a spoken answer."""

    response_id: str
    item_id: str
    transcript: str


class WordTimestamp(_Received, frozen=True, tag="response.audio_timestamp.delta"):
    """Where in an item's audio a word is."""

    response_id: str
    item_id: str
    text: str
    audio_offset_ms: float = 0
    audio_duration_ms: float = 0


class AudioDelta(_Received, frozen=True, tag="response.audio.delta"):
    """A piece of an item's audio, still in base64."""

    response_id: str
    item_id: str
    delta: str


class AudioDone(_Received, frozen=True, tag="response.audio.done"):
    """All of an item's audio has been sent."""

    response_id: str
    item_id: str


class Unknown(msgspec.Struct, frozen=True):
    """A message that the conversation has no rule for."""

    type: str
    data: dict[str, Any]
    event_id: str | None = None


class Unreadable(msgspec.Struct, frozen=True):
    """A message that is not what it should be; ``fault`` says why."""

    fault: str
    size: int
    event_id: str | None = None


_Typed: TypeAlias = (
    SessionCreated
    | SessionUpdated
    | ErrorReceived
    | WarningReceived
    | SpeechBegan
    | SpeechEnded
    | InputCommitted
    | ItemCreated
    | ItemDeleted
    | ItemTruncated
    | UserTranscriptDelta
    | UserTranscript
    | UserTranscriptFailed
    | ResponseCreated
    | ResponseDone
    | OutputItemAdded
    | OutputItemDone
    | CallArgumentsDone
    | McpArgumentsDone
    | McpCallStarted
    | McpCallCompleted
    | McpCallFailed
    | McpToolsListed
    | McpListingFailed
    | TextDelta
    | TextDone
    | TranscriptDelta
    | TranscriptDone
    | WordTimestamp
    | AudioDelta
    | AudioDone
)
Message: TypeAlias = _Typed | Unknown | Unreadable

_TYPES: Final = frozenset(str(cls.__struct_config__.tag) for cls in get_args(_Typed))
_decode: Final[Callable[[bytes | str], _Typed]] = msgspec.json.Decoder(_Typed).decode
_decode_any: Final = msgspec.json.Decoder(Any).decode


def decode(data: bytes | str) -> Message:
    """One service message as a value. Never raises: see :class:`Unknown` and :class:`Unreadable`."""
    try:
        return _decode(data)
    except msgspec.ValidationError as error:  # JSON, but not one of ours
        return _decode_other(data, str(error))
    except (ValueError, RecursionError) as error:  # DecodeError and UnicodeDecodeError are ValueErrors
        return Unreadable(f"not JSON: {error}", len(data))


def _decode_other(data: bytes | str, fault: str) -> Unknown | Unreadable:
    try:
        value = _decode_any(data)
    except (ValueError, RecursionError) as error:
        return Unreadable(f"not JSON: {error}", len(data))
    if not isinstance(value, dict):
        return Unreadable(f"a JSON {type(value).__name__}, not an object", len(data))
    event_id = value.get("event_id")
    event_id = event_id if isinstance(event_id, str) else None
    match value.get("type"):
        case str(kind) if kind not in _TYPES:
            return Unknown(kind, value, event_id)
        case str(kind):
            return Unreadable(f"{kind}: {fault}", len(data), event_id)
        case _:
            return Unreadable("a message without a type", len(data), event_id)


# --- base64 audio ------------------------------------------------------------------------------------------


def base64_bytes(text: str) -> int:
    """How many bytes ``text`` stands for, without decoding it."""
    return max(0, len(text) * 3 // 4 - text.count("=", -2))


def base64_decode(text: str) -> bytes:
    """The bytes. Raises ValueError where ``text`` is not base64."""
    return pybase64.b64decode(text, validate=True)


# --- to the service ----------------------------------------------------------------------------------------


class _Request(msgspec.Struct, frozen=True, tag_field="type", omit_defaults=True, kw_only=True):
    event_id: str


class UpdateSession(_Request, frozen=True, tag="session.update"):
    """Configure the session; always the whole of it, since the service may merge or replace."""

    session: dict[str, Any]


class CreateItem(_Request, frozen=True, tag="conversation.item.create"):
    """Put an item into the conversation, after ``previous_item_id`` ("root": at the start)."""

    item: dict[str, Any]
    previous_item_id: str | None = None


class DeleteItem(_Request, frozen=True, tag="conversation.item.delete"):
    """Make the model forget an item."""

    item_id: str


class TruncateItem(_Request, frozen=True, tag="conversation.item.truncate"):
    """Make the model forget what was not heard of an item."""

    item_id: str
    content_index: int
    audio_end_ms: int


class CommitInput(_Request, frozen=True, tag="input_audio_buffer.commit"):
    """Make an item of the microphone audio that was sent: the user's turn ends by hand."""


class CreateResponse(_Request, frozen=True, tag="response.create"):
    """Ask for an answer."""

    response: dict[str, Any]


class CancelResponse(_Request, frozen=True, tag="response.cancel"):
    """Stop an answer that is still being made."""

    response_id: str


Request: TypeAlias = (
    UpdateSession | CreateItem | DeleteItem | TruncateItem | CommitInput | CreateResponse | CancelResponse
)

_encode: Final = msgspec.json.Encoder().encode


def encode(request: Request) -> str:
    """The JSON text of a request. What is no character (half of a surrogate pair) becomes a question mark."""
    try:
        return _encode(request).decode()
    except UnicodeEncodeError:  # from a tool that lists files, for example: Python's names of files have such
        text = json.dumps(msgspec.to_builtins(request), ensure_ascii=False)
        return text.encode(errors="replace").decode()


def request_type(request: Request) -> str:
    """The protocol's name of a request."""
    return str(request.__struct_config__.tag)


def append_audio(audio: bytes) -> str:
    """The JSON text that sends a piece of microphone audio: fifty a second, so it is made by hand."""
    return '{"type":"input_audio_buffer.append","audio":"' + pybase64.b64encode(audio).decode("ascii") + '"}'
