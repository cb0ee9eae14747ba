"""The errors a client can cause, as the service words them."""

from __future__ import annotations

from typing import Any


class ClientError(Exception):
    """A client message that is answered with an ``error`` event; the session goes on."""

    def __init__(
        self,
        message: str,
        *,
        code: str = "invalid_request_error",
        param: str | None = None,
        type: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
        self.type = type

    def details(self, event_id: str | None) -> dict[str, Any]:
        """The ``error`` object; ``event_id`` is the one of the client's message."""
        return {
            "message": self.message,
            "type": self.type,
            "code": self.code,
            "param": self.param,
            "event_id": event_id,
        }


def commit_empty(buffered_ms: float) -> ClientError:
    """A commit of less than 100 ms."""
    return ClientError(
        "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
        f"but buffer only has {buffered_ms:.2f}ms of audio.",
        code="input_audio_buffer_commit_empty",
    )


def cancel_not_active() -> ClientError:
    """A cancel with nothing to cancel."""
    return ClientError(
        "Cancellation failed: no active response found", code="response_cancel_not_active", param=None
    )


def active_response(response_id: str) -> ClientError:
    """A response.create while another one is in progress."""
    return ClientError(
        f"Conversation already has an active response in progress: {response_id}. "
        "Wait until the response is finished before creating a new one.",
        code="conversation_already_has_active_response",
    )


def unknown_item(operation: str, item_id: str) -> ClientError:
    """An item operation on an id that the conversation does not hold."""
    return ClientError(
        f"Error {_PARTICIPLES[operation]} item: the item with id '{item_id}' does not exist.",
        code=f"item_{operation}_invalid_item_id",
        param="item_id",
    )


_PARTICIPLES = {"retrieve": "retrieving", "delete": "deleting", "truncate": "truncating"}


def not_truncatable() -> ClientError:
    """A truncate of something else than an audio answer, or of any item of a cascade model."""
    return ClientError(
        "Only model output audio messages can be truncated", code="unsupported_content_type", param="item_id"
    )


def already_shorter(length_ms: int, audio_end_ms: int) -> ClientError:
    """A truncate beyond the end of the audio."""
    return ClientError(
        f"Audio content of {length_ms}ms is already shorter than {audio_end_ms}ms",
        code="invalid_value",
        param="audio_end_ms",
    )


def session_expired(limit_s: float) -> ClientError:
    """The session reached its time limit; the socket is closed next."""
    return ClientError(
        f"Your session hit the maximum duration of {limit_s / 60:g} minutes.", code="session_expired"
    )


def unknown_call(call_id: str) -> ClientError:
    """The output of a call that the conversation does not hold."""
    return ClientError(
        f"Tool call ID '{call_id}' not found in conversation.", code="invalid_tool_call_id", param="item.call_id"
    )


def agent_failed(name: str) -> ClientError:
    """A Foundry agent that does not start; the socket is gone next."""
    return ClientError(
        f"Failed to initialize AI agent '{name}', check connection string and the identity permissions",
        code="agent_initialization_failed",
        type="server_error",
    )
