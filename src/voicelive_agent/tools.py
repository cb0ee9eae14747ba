"""Functions that the model may call: a typed Python function becomes a tool by ``@tool``.

    class Receptionist(VoiceAgent):
        @tool
        def opening_hours(self, day: Annotated[str, "a day of the week"]) -> str:
            \"\"\"When the library is open on a day of the week.\"\"\"
            return "closed" if day == "Sunday" else "9 to 17"

The name, the docstring's first paragraph and the type hints are what the model is told. What it answers is
untrusted input: the arguments are checked and converted to the annotated types before the function sees them, each
call has a time limit and its output a size limit, and whatever goes wrong is told to the model in words that it
can speak about.

Parameters may be str, int, float, bool, Literal, Enum, date, time, datetime, timedelta, UUID, Decimal, list, set,
tuple[X, ...], dict[str, X], dataclasses, TypedDicts, msgspec Structs, and unions of these with each other or None.
Descriptions come from ``Annotated[int, "how many"]`` (also within other types), ``msgspec.Meta`` or the docstring
(in Google, NumPy or reST form). A parameter annotated ``ToolContext`` is not shown to the model: it receives the
call's context.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar, cast, overload

from ._approval import ApprovalAnswer, ApprovalRequest
from ._tool import FILLER_AFTER_MS, MARK, Tool, ToolArgumentsError, ToolContext, build_tool, refuse

__all__ = ["ApprovalAnswer", "ApprovalRequest", "Tool", "ToolArgumentsError", "ToolContext", "tool"]

F = TypeVar("F", bound=Callable[..., object])


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(
    *,
    name: str = ...,
    timeout_s: float | None = ...,
    cancel_on_interruption: bool = ...,
    approval: bool = ...,
    filler: str = ...,
    filler_after_ms: int = ...,
) -> Callable[[F], F]: ...
def tool(
    function: F | None = None,
    /,
    *,
    name: str = "",
    timeout_s: float | None = None,
    cancel_on_interruption: bool = False,
    approval: bool = False,
    filler: str = "",
    filler_after_ms: int = FILLER_AFTER_MS,
) -> F | Callable[[F], F]:
    """Let the model call this function or method, sync or async. The function itself stays as it is.

    ``name`` is what the model calls it by (default: the function's name), ``timeout_s`` its time limit (default:
    the agent's). An interruption leaves a tool running unless ``cancel_on_interruption``: a cough must not
    half-make a booking. Plain functions run in a thread of their own, coroutines on the event loop.

    With ``approval`` it runs only after the agent's ``approve()`` has said so. ``filler`` is said once while it
    runs, after ``filler_after_ms`` (whole milliseconds) of silence: "One moment, please."

    Raises ``ConfigurationError`` if a setting cannot be, or the name, a parameter or its type cannot be told to
    the model.
    """

    def marked(function: F) -> F:
        given: object = function
        plain = given.__func__ if isinstance(given, staticmethod | classmethod) else given
        if not inspect.isfunction(plain):
            named = f"Write @tool(name={given!r:.80})." if isinstance(given, str) else ""
            refuse(function, "it is not a function", named or "Put a def with type hints around it.")
        _check_settings(function, name, timeout_s, filler, filler_after_ms)
        _check_switches(function, approval=approval, cancel_on_interruption=cancel_on_interruption)
        made = build_tool(plain, name, timeout_s)
        made = replace(
            made,
            cancel_on_interruption=cancel_on_interruption,
            approval=approval,
            filler=filler.strip(),
            filler_after_ms=filler_after_ms,
        )
        setattr(plain, MARK, made)
        return function

    return marked if function is None else marked(function)


def _check_settings(function: object, name: object, timeout_s: object, filler: object, after_ms: object) -> None:
    if not isinstance(name, str):
        refuse(function, f"name={name!r:.40}", "name is a text.")
    is_number = isinstance(timeout_s, int | float) and not isinstance(timeout_s, bool)
    if timeout_s is not None and not (is_number and 0 < cast(float, timeout_s) < math.inf):
        refuse(function, f"its time limit is {timeout_s!r:.40} s", "timeout_s is a positive number, or None.")
    if not isinstance(filler, str) or type(after_ms) is not int or after_ms < 0:
        fault = f"filler={filler!r:.40}, filler_after_ms={after_ms!r:.40}"
        refuse(function, fault, "filler is a text, filler_after_ms a whole number of milliseconds.")


def _check_switches(function: object, **switches: object) -> None:
    for name, value in switches.items():
        if not isinstance(value, bool):
            refuse(function, f"{name}={value!r:.40}", f"{name} is True or False.")
