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

import asyncio
import dataclasses
import enum
import functools
import inspect
import json
import logging
import math
import re
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Literal, NoReturn, TypeAlias, TypeVar, Union, cast, get_args, get_type_hints, overload

import anyio
import msgspec

from ._approval import ApprovalAnswer, ApprovalRequest
from ._schema import Schema, object_schema, parameter_docs, property_schema, summary, unknown_field, usage
from ._tool_threads import ToolThreads
from .errors import ConfigurationError, ToolError

__all__ = [
    "ApprovalAnswer",
    "ApprovalRequest",
    "Tool",
    "ToolArgumentsError",
    "ToolContext",
    "ToolFailure",
    "ToolResult",
    "ToolThreads",
    "collect_tools",
    "run_tool",
    "tool",
    "wrong_arguments",
]

F = TypeVar("F", bound=Callable[..., object])
ToolFailure: TypeAlias = Literal["", "arguments", "raised", "timeout", "cancelled"]

_logger = logging.getLogger("voicelive_agent")

_MARK = "__voicelive_tool__"
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_REPR_CHARS = 500
_FILLER_AFTER_MS = 1_500
_MAX_OUTPUT_CHARS = 32_000


@dataclass(frozen=True, slots=True)
class ToolContext:
    """One call of a tool: ask for it by a parameter with this annotation.

    ``agent`` is the agent whose conversation this is. ``cancelled`` is set when the call was given up (its time
    ran out, it was interrupted, the conversation ended): a plain function that runs long looks at
    ``cancelled.is_set()`` or waits with ``cancelled.wait(seconds)``; a coroutine is cancelled anyway.
    """

    agent: Any  # the agent's class is above this module; a tool knows its own
    call_id: str
    name: str
    cancelled: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What the model is told: ``output``, and "" or how it failed in ``error``."""

    output: str
    error: ToolFailure = ""


class ToolArgumentsError(ToolError):
    """The model's arguments do not fit; the text tells it what to mend."""


@dataclass(frozen=True, eq=False)
class Tool:
    """A function that the model may call; made by ``@tool`` and ``collect_tools``.

    ``parameters`` is the JSON schema of the arguments. ``timeout_s`` is this tool's own time limit, or None. For
    the other settings see :func:`tool`. A tool can be called like its function.
    """

    function: Callable[..., object]
    name: str
    description: str
    parameters: Schema
    timeout_s: float | None
    cancel_on_interruption: bool
    approval: bool
    filler: str
    filler_after_ms: int
    _decoder: msgspec.json.Decoder[msgspec.Struct] = field(repr=False)
    _context_parameters: tuple[str, ...] = field(repr=False)
    _is_method: bool = field(repr=False)
    _none: str = field(repr=False)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function, as if it were no tool."""
        return self.function(*args, **kwargs)

    @property
    def is_async(self) -> bool:
        """Whether the function is a coroutine function; others run in a thread."""
        return inspect.iscoroutinefunction(self.function)

    @property
    def definition(self) -> dict[str, Any]:
        """The tool as ``session.update`` has it."""
        described = {"description": self.description} if self.description else {}
        return {"type": "function", "name": self.name, **described, "parameters": self.parameters}

    def arguments(self, text: str) -> dict[str, Any]:
        """The JSON text that the model wrote, as checked and converted keyword arguments.

        Models are sloppy, so numbers and booleans may be written as strings, and no text is no arguments. Unknown
        names, at any depth, are rejected: a model that invents one believes that it did something. Raises a
        ``ToolError`` whose words tell the model what to mend.
        """
        try:
            values = self._decoder.decode(text.strip() or "{}")
            # Numbers are of no interest here, and as texts they cannot be too large.
            plain = json.loads(text.strip() or "{}", strict=False, parse_int=str, parse_float=str)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
            raise self._wrong(str(error)) from error
        if unknown := unknown_field(self.parameters, plain):
            raise self._wrong(unknown)
        fields = ((name, getattr(values, name)) for name in values.__struct_fields__)
        arguments = {name: value for name, value in fields if value is not msgspec.UNSET}
        for name, value in arguments.items():
            if isinstance(value, float) and not math.isfinite(value):  # written as text, which hides it from JSON
                raise self._wrong(f"`{value}` is no number - at `$.{name}`")
        return arguments

    def _wrong(self, fault: str) -> ToolArgumentsError:
        takes = usage(self.parameters)
        hint = f"It takes {takes}. Call it again." if takes else "It takes no arguments. Call it with {}."
        return ToolArgumentsError(f"The arguments of {self.name} are wrong: {fault}.", hint=hint)


# --- making tools ------------------------------------------------------------------------------------------


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
    filler_after_ms: int = _FILLER_AFTER_MS,
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
            _refuse(function, "it is not a function", "Put a def with type hints around it.")
        _check_settings(function, name, timeout_s, filler, filler_after_ms)
        _check_switches(function, approval=approval, cancel_on_interruption=cancel_on_interruption)
        made = _build(plain, name, timeout_s)
        made = dataclasses.replace(
            made,
            cancel_on_interruption=cancel_on_interruption,
            approval=approval,
            filler=filler.strip(),
            filler_after_ms=filler_after_ms,
        )
        setattr(plain, _MARK, made)
        return function

    return marked if function is None else marked(function)


def collect_tools(instance: object | None, extra: Iterable[Tool | Callable[..., object]] = ()) -> dict[str, Tool]:
    """The tools of an object's class, bound to the object, and those of a list, by name.

    A subclass that overrides a tool decorates its method too, or sets the name to None to take the tool away;
    overriding it with a function that is no tool is refused, as that may be either. Functions in ``extra`` need no
    decorator. Raises ``ConfigurationError`` for those, for two tools of one name, and for what ``@tool`` refuses.
    """
    if isinstance(extra, str | bytes | Mapping) or not isinstance(extra, Iterable):
        raise ConfigurationError(f"tools={extra!r:.80}:", hint="It is a list of functions: tools=[function].")
    tools: dict[str, Tool] = {}
    for one in [*_class_tools(instance), *map(_as_tool, extra)]:
        if one.name in tools:
            other = getattr(tools[one.name].function, "__qualname__", "another one")
            _refuse(one.function, f"{other} is called {one.name!r} too", "Give one of them @tool(name=...).")
        tools[one.name] = one
    return tools


def _class_tools(instance: object) -> Iterator[Tool]:
    marked: dict[str, Tool] = {}
    for cls in reversed(type(instance).__mro__):
        for attribute, value in vars(cls).items():
            mark = getattr(getattr(value, "__func__", value), _MARK, None)
            if isinstance(mark, Tool):
                marked[attribute] = mark
            elif attribute in marked and value is None:
                del marked[attribute]
            elif attribute in marked:
                _refuse(value, "it overrides a tool", "Decorate it with @tool too, or set it to None.")
    for attribute, mark in marked.items():
        yield dataclasses.replace(mark, function=getattr(instance, attribute))


def _as_tool(function: Tool | Callable[..., object]) -> Tool:
    if isinstance(function, Tool):
        return function
    mark = getattr(function, _MARK, None)
    made = dataclasses.replace(mark, function=function) if isinstance(mark, Tool) else _build(function)
    if made._is_method and not inspect.ismethod(function):
        _refuse(function, "it is a method without its object", "Give the method of an instance.")
    return made


def _build(function: Callable[..., object], name: str = "", timeout_s: float | None = None) -> Tool:
    name = name or getattr(function, "__name__", "")
    if not name:
        _refuse(function, "it is not a function", "Put a def with type hints around it.")
    if not _NAME.fullmatch(name):
        _refuse(
            function, f"{name!r} cannot be its name", "Use @tool(name=...): up to 64 of a-z, A-Z, 0-9, _ and -."
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        _refuse(function, "it is a generator", "A tool returns its result at once: return a list.")
    signature = _signature(function)
    found = list(_parameters(function, signature))
    ours = [parameter for parameter in found if not parameter.is_context]
    properties = _properties(function, ours)
    return Tool(
        function=function,
        name=name,
        description=summary(function.__doc__),
        parameters=object_schema(properties, [parameter.name for parameter in ours if parameter.required]),
        timeout_s=timeout_s,
        cancel_on_interruption=False,
        approval=False,
        filler="",
        filler_after_ms=_FILLER_AFTER_MS,
        _decoder=msgspec.json.Decoder(
            msgspec.defstruct(
                name, [parameter.field for parameter in ours], kw_only=True, forbid_unknown_fields=True
            ),
            strict=False,
        ),
        _context_parameters=tuple(parameter.name for parameter in found if parameter.is_context),
        _is_method=len(found) < len(signature.parameters),
        _none="ok" if signature.return_annotation in (inspect.Signature.empty, None, "None") else "null",
    )


@dataclass(frozen=True, slots=True)
class _Parameter:
    name: str
    hint: Any
    default: object

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty

    @property
    def is_context(self) -> bool:
        return ToolContext in (self.hint, *get_args(self.hint))  # "ToolContext | None" as well

    @property
    def field(self) -> tuple[str, Any] | tuple[str, Any, Any]:
        """Its field in the struct that is decoded: what is left out stays out, for the function's own default."""
        if self.required:
            return self.name, self.hint
        return self.name, Union[self.hint, msgspec.UnsetType], msgspec.UNSET  # noqa: UP007 - a hint may be no type


def _signature(function: Callable[..., object]) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError, NameError) as error:
        fault, fix = f"its signature cannot be read ({error})", "Put a def around it; define its types above it."
        _refuse(function, fault, fix, error)


def _parameters(function: Callable[..., object], signature: inspect.Signature) -> Iterator[_Parameter]:
    """All but ``self``, which is a first parameter of this name (or ``cls``) that has no annotation."""
    namespace = getattr(inspect.unwrap(function), "__globals__", {})
    for index, (name, parameter) in enumerate(signature.parameters.items()):
        bare = parameter.annotation is parameter.empty
        if bare and index == 0 and name in ("self", "cls"):
            continue
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            fault = f"its parameter {name!r} is {parameter.kind.description}"
            _refuse(function, fault, "A model gives arguments by name: use plain parameters.")
        if bare:
            _refuse(function, f"its parameter {name!r} has no type hint", f"Write {name}: str, for example.")
        try:
            holder = SimpleNamespace(__annotations__={name: parameter.annotation})
            hint = get_type_hints(holder, namespace, include_extras=True)[name]
        except (NameError, AttributeError, SyntaxError, TypeError) as error:
            _refuse(
                function,
                f"the type hint of its parameter {name!r} cannot be read ({error})",
                "Define or import its type at the top of the module, above the tool, not under TYPE_CHECKING.",
                error,
            )
        yield _Parameter(name, hint, parameter.default)


def _properties(function: Callable[..., object], parameters: Iterable[_Parameter]) -> dict[str, Schema]:
    docs = parameter_docs(function.__doc__)
    properties: dict[str, Schema] = {}
    for parameter in parameters:
        words = docs.get(parameter.name, "")
        try:
            properties[parameter.name] = property_schema(
                parameter.hint, description=words, default=parameter.default
            )
        except TypeError as error:
            fault = f"the type of its parameter {parameter.name!r} cannot be told to the model ({error})"
            _refuse(function, fault, "Use the types that voicelive_agent.tools lists.", error)
    return properties


def _check_settings(function: object, name: object, timeout_s: object, filler: object, after_ms: object) -> None:
    if not isinstance(name, str):
        _refuse(function, f"name={name!r:.40}", "name is a text.")
    is_number = isinstance(timeout_s, int | float) and not isinstance(timeout_s, bool)
    if timeout_s is not None and not (is_number and 0 < cast(float, timeout_s) < math.inf):
        _refuse(function, f"its time limit is {timeout_s!r:.40} s", "timeout_s is a positive number, or None.")
    if not isinstance(filler, str) or type(after_ms) is not int or after_ms < 0:
        fault = f"filler={filler!r:.40}, filler_after_ms={after_ms!r:.40}"
        _refuse(function, fault, "filler is a text, filler_after_ms a whole number of milliseconds.")


def _check_switches(function: object, **switches: object) -> None:
    for name, value in switches.items():
        if not isinstance(value, bool):
            _refuse(function, f"{name}={value!r:.40}", f"{name} is True or False.")


def _refuse(function: object, fault: str, fix: str, cause: Exception | None = None) -> NoReturn:
    name = getattr(function, "__qualname__", repr(function))
    raise ConfigurationError(f"{name} cannot be a tool: {fault}.", hint=fix) from cause


# --- running them ------------------------------------------------------------------------------------------


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
        return failed("raised", str(error))
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
    return answer if isinstance(answer, str) else _written(tool, await answer)


def _written(tool: Tool, result: object) -> str:
    if result is None:
        return tool._none
    if isinstance(result, str) and not isinstance(result, enum.Enum):
        return result
    try:
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
