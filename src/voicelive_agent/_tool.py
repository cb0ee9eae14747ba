"""What a tool is, how one is made of a function, and which ones an agent has."""

from __future__ import annotations

import inspect
import json
import math
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, Final, NoReturn, Union, get_args, get_type_hints

import msgspec

from ._schema import Schema, object_schema, parameter_docs, property_schema, summary, unknown_field, usage
from .errors import ConfigurationError, ToolError

__all__ = [
    "FILLER_AFTER_MS",
    "MARK",
    "Tool",
    "ToolArgumentsError",
    "ToolContext",
    "build_tool",
    "collect_tools",
    "refuse",
]

FILLER_AFTER_MS: Final = 1_500
MARK: Final = "__voicelive_tool__"
"""The attribute in which a decorated function keeps its tool."""

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


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


class ToolArgumentsError(ToolError):
    """The model's arguments do not fit; the text tells it what to mend."""


@dataclass(frozen=True, eq=False)
class Tool:
    """A function that the model may call; made by ``@tool``.

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


# --- of functions ---


def build_tool(function: Callable[..., object], name: str = "", timeout_s: float | None = None) -> Tool:
    """The tool of a function, with the settings that ``@tool`` has by default. Raises ``ConfigurationError``."""
    name = name or getattr(function, "__name__", "")
    if not name or isinstance(function, type):
        refuse(function, "it is not a function", "Put a def with type hints around it.")
    if not _NAME.fullmatch(name):
        refuse(
            function, f"{name!r} cannot be its name", "Use @tool(name=...): up to 64 of a-z, A-Z, 0-9, _ and -."
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        refuse(function, "it is a generator", "A tool returns its result at once: return a list.")
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
        filler_after_ms=FILLER_AFTER_MS,
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
        refuse(function, fault, fix, error)


def _parameters(function: Callable[..., object], signature: inspect.Signature) -> Iterator[_Parameter]:
    """All but ``self``, which is a first parameter of this name (or ``cls``) that has no annotation."""
    namespace = getattr(inspect.unwrap(function), "__globals__", {})
    for index, (name, parameter) in enumerate(signature.parameters.items()):
        bare = parameter.annotation is parameter.empty
        if bare and index == 0 and name in ("self", "cls"):
            continue
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            fault = f"its parameter {name!r} is {parameter.kind.description}"
            refuse(function, fault, "A model gives arguments by name: use plain parameters.")
        if bare:
            refuse(function, f"its parameter {name!r} has no type hint", f"Write {name}: str, for example.")
        try:
            holder = SimpleNamespace(__annotations__={name: parameter.annotation})
            hint = get_type_hints(holder, namespace, include_extras=True)[name]
        except (NameError, AttributeError, SyntaxError, TypeError) as error:
            refuse(
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
            refuse(function, fault, "Use the types that voicelive_agent.tools lists.", error)
    return properties


def refuse(function: object, fault: str, fix: str, cause: Exception | None = None) -> NoReturn:
    """Raise the ConfigurationError that names the function, what is wrong with it, and the fix."""
    name = getattr(function, "__qualname__", repr(function))
    raise ConfigurationError(f"{name} cannot be a tool: {fault}.", hint=fix) from cause


# --- of an agent ---


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
            refuse(one.function, f"{other} is called {one.name!r} too", "Give one of them @tool(name=...).")
        tools[one.name] = one
    return tools


def _class_tools(instance: object) -> Iterator[Tool]:
    marked: dict[str, Tool] = {}
    for cls in reversed(type(instance).__mro__):
        for attribute, value in vars(cls).items():
            mark = getattr(getattr(value, "__func__", value), MARK, None)
            if hasattr(getattr(value, "fget", None), MARK):
                refuse(value.fget, "it is a property", "Leave out @property: the model calls a method.")
            if isinstance(mark, Tool):
                marked[attribute] = mark
            elif attribute in marked and value is None:
                del marked[attribute]
            elif attribute in marked:
                refuse(value, "it overrides a tool", "Decorate it with @tool too, or set it to None.")
    for attribute, mark in marked.items():
        yield replace(mark, function=getattr(instance, attribute))


def _as_tool(function: Tool | Callable[..., object]) -> Tool:
    if isinstance(function, Tool):
        return function
    mark = getattr(function, MARK, None)
    made = replace(mark, function=function) if isinstance(mark, Tool) else build_tool(function)
    if made._is_method and not inspect.ismethod(function):
        refuse(function, "it is a method without its object", "Give the method of an instance.")
    return made
