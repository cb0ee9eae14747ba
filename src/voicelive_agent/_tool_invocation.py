"""Calling a tool with what the model wrote, and turning whatever happens into words for the model."""

from __future__ import annotations

import asyncio
import enum
import functools
import inspect
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import anyio
import msgspec

from ._tool import Tool, ToolArgumentsError, ToolContext
from ._tool_threads import ToolThreads
from .errors import ToolError

__all__ = ["ToolFailure", "ToolResult", "run_tool", "wrong_arguments"]

ToolFailure: TypeAlias = Literal["", "arguments", "raised", "timeout", "cancelled"]

_logger = logging.getLogger("voicelive_agent")

_REPR_CHARS = 500
_MAX_OUTPUT_CHARS = 32_000


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What the model is told: ``output``, and "" or how it failed in ``error``."""

    output: str
    error: ToolFailure = ""


async def run_tool(
    tool: Tool,
    arguments: str,
    context: ToolContext,
    *,
    threads: ToolThreads,
    timeout_s: float | None = None,
    max_output_chars: int = _MAX_OUTPUT_CHARS,
) -> ToolResult:
    """Call a tool with the JSON text that the model wrote, and turn whatever happens into words for the model.

    ``timeout_s`` is the limit for a tool that has none of its own. A plain function that overruns it, or whose
    call is cancelled, goes on in its thread (``threads.abandoned``); its context says so.

    A text is given to the model as it is, anything else as JSON; None is "null", or "ok" where the function does
    not announce a result (``-> None``, or no annotation). What has no JSON form is described by type and repr.
    Failures are ``{"error": "..."}``: a ``ToolError`` in its own words, any other exception by class and text,
    without the traceback, which is logged. Raises only this task's cancellation and what is no ``Exception``.
    """
    limit_s = timeout_s if tool.timeout_s is None else tool.timeout_s
    failed = functools.partial(_failed, max_chars=max_output_chars)
    try:
        kwargs = tool.arguments(arguments) | dict.fromkeys(tool._context_parameters, context)
        with anyio.move_on_after(limit_s):
            return ToolResult(_bounded(await _output(tool, kwargs, threads), max_output_chars))
        context.cancelled.set()
        _logger.warning("Tool %s took more than %g s and was given up.", tool.name, limit_s)
        return failed("timeout", f"{tool.name} took too long and was given up; it may or may not have worked.")
    except asyncio.CancelledError:
        context.cancelled.set()
        if _is_cancelled():
            raise
        _logger.warning("Tool %s was cancelled by itself.", tool.name, exc_info=True)
        return failed("cancelled", f"{tool.name} was cancelled before it was done.")
    except ToolArgumentsError as error:
        return failed("arguments", str(error))
    except ToolError as error:
        return failed("raised", str(error) or f"{tool.name} failed.")
    except Exception as error:
        _logger.exception("Tool %s raised.", tool.name)
        return failed("raised", f"{tool.name} failed: {type(error).__name__}: {_text(str, error)}")


def wrong_arguments(tool: Tool, arguments: str) -> ToolResult | None:
    """What the model is told of arguments that do not fit; None if they do. Nothing is called."""
    try:
        tool.arguments(arguments)
    except ToolArgumentsError as error:
        return _failed("arguments", str(error), max_chars=_MAX_OUTPUT_CHARS)
    return None


def _is_cancelled() -> bool:
    """Whether this task is being cancelled, rather than something that the tool was waiting for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _output(tool: Tool, kwargs: dict[str, Any], threads: ToolThreads) -> str:
    def call() -> str | Awaitable[object]:
        """Also writes the result, in the thread of a plain function: that runs its code too, and may take time."""
        result = tool(**kwargs)
        return cast(Awaitable[object], result) if inspect.isawaitable(result) else _written(tool, result)

    call.__name__ = tool.name
    # A plain function may still return an awaitable: a coroutine function under a decorator that is none.
    answer = call() if tool.is_async else await threads.run(call)
    if isinstance(answer, str):
        return answer
    # In a task of its own: a tool that cancels the task it is in has failed, and does not end the conversation.
    return _written(tool, await asyncio.ensure_future(answer))


def _written(tool: Tool, result: object) -> str:
    if result is None:
        return tool._none
    if isinstance(result, str) and not isinstance(result, enum.Enum):
        return result
    try:
        if isinstance(result, float) and not math.isfinite(result):
            raise ValueError("JSON has no such number")  # msgspec writes null, and the model would say so
        return msgspec.json.encode(result).decode()
    except Exception as error:  # noqa: BLE001 - it may be anything, and run code of its own; logged below
        kind = type(result).__qualname__
        _logger.warning("Tool %s returned a %s, which is no JSON: %s", tool.name, kind, _text(str, error))
        return f"A value of type {kind}, which has no JSON form: {_bounded(_text(repr, result), _REPR_CHARS)}"


def _text(convert: Callable[[object], str], value: object) -> str:
    """``str(value)`` or ``repr(value)``, also of an object whose own method for it raises."""
    try:
        return convert(value)
    except Exception as error:  # noqa: BLE001 - said in the text, where it was wanted
        return f"(it cannot be shown: {type(error).__name__})"


def _failed(kind: ToolFailure, message: str, *, max_chars: int) -> ToolResult:
    return ToolResult(msgspec.json.encode({"error": _bounded(message, max_chars)}).decode(), kind)


def _bounded(text: str, max_chars: int) -> str:
    """At most this many characters, with a note if some are missing; also made sure to be encodable."""
    remark = f" [cut: this was {len(text)} characters long]"
    kept = text if len(text) <= max_chars else text[: max(max_chars - len(remark), 0)] + remark
    return kept.encode(errors="replace").decode()
