"""Which functions become tools, what the model is told about them, and where they are collected."""

from __future__ import annotations

import datetime as dt
import enum
import functools
import json
import math
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import pytest

from voicelive_agent._tool import collect_tools
from voicelive_agent.errors import ConfigurationError
from voicelive_agent.tools import ToolContext, tool

from .tool_driver import made

if TYPE_CHECKING:
    from decimal import Decimal as Hidden


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


# --- what the model is told --------------------------------------------------------------------------------


def test_definition() -> None:
    @tool(timeout_s=3.5, cancel_on_interruption=True)
    def book_table(
        people: Annotated[int, msgspec.Meta(ge=1)],
        at: Annotated[dt.datetime, "When they come."],
        *,
        size: Size = Size.SMALL,
        wishes: list[str] | None = None,
        name: str = "",
    ) -> str:
        """Book a table
        in the restaurant.

        More than the model has to know.

        Args:
            people: How many guests.
            name: Who books.
        """
        raise NotImplementedError

    one = made(book_table)
    assert one.definition == {
        "type": "function",
        "name": "book_table",
        "description": "Book a table in the restaurant.",
        "parameters": {
            "type": "object",
            "properties": {
                "people": {"type": "integer", "minimum": 1, "description": "How many guests."},
                "at": {
                    "type": "string",
                    "format": "date-time",
                    "description": "When they come. Like 2030-12-31T14:30:00.",
                },
                "size": {"type": "string", "enum": ["small", "large"]},
                "wishes": {"type": "array", "items": {"type": "string"}},
                "name": {"type": "string", "description": "Who books."},
            },
            "additionalProperties": False,
            "required": ["people", "at"],
        },
    }
    assert (one.timeout_s, one.cancel_on_interruption, one.is_async) == (3.5, True, False)
    json.dumps(one.definition)


def test_the_least_definition() -> None:
    @tool
    async def ping():  # type: ignore[no-untyped-def]
        return "pong"

    one = made(ping)
    assert one.definition == {
        "type": "function",
        "name": "ping",
        "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
    }
    assert (one.timeout_s, one.cancel_on_interruption, one.is_async) == (None, False, True)


def test_how_it_is_used_is_nothing_for_the_model() -> None:
    @tool(approval=True, filler=" One moment. ", filler_after_ms=700)
    def pay() -> None: ...

    @tool
    def look() -> None: ...

    assert made(pay).definition["name"] == "pay"
    assert (made(pay).approval, made(pay).filler, made(pay).filler_after_ms) == (True, "One moment.", 700)
    assert (made(look).approval, made(look).filler, made(look).filler_after_ms) == (False, "", 1_500)
    assert set(made(pay).definition) == set(made(look).definition)


@pytest.mark.parametrize(
    "settings",
    [{"filler": None}, {"filler": "Hm.", "filler_after_ms": -1}, {"filler": "Hm.", "filler_after_ms": 0.5}],
)
def test_a_filler_is_a_text_after_whole_milliseconds(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be a tool: filler=.*whole number of milliseconds"):

        @tool(**settings)
        def look() -> None: ...


def test_the_context_is_not_shown_to_the_model() -> None:
    def look(context: ToolContext, what: str) -> str:
        raise NotImplementedError

    def look_again(what: str, context: ToolContext | None = None) -> str:
        raise NotImplementedError

    assert list(made(look).parameters["properties"]) == ["what"]
    assert list(made(look_again).parameters["properties"]) == ["what"]


def test_the_decorated_function_stays_what_it_is() -> None:
    def double(x: int) -> int:
        return 2 * x

    assert tool(double) is double
    assert tool(name="twice")(double) is double
    assert double(4) == 8
    assert made(double)(5) == 10


# --- where tools come from ---------------------------------------------------------------------------------


class Shop:
    def __init__(self, owner: str = "Ann") -> None:
        self.owner = owner

    @tool
    def who(self) -> str:
        """Who owns it."""
        return self.owner

    @tool(name="open-hours")
    async def hours(self, day: str) -> str:
        """When it is open."""
        return f"{day}: 9 to 17"

    @tool
    @staticmethod
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    @staticmethod
    @tool
    def subtract(a: int, b: int) -> int:
        """Subtract."""
        return a - b

    @classmethod
    @tool
    def kind(cls) -> str:
        """What it is."""
        return cls.__name__

    def no_tool(self, whatever):  # type: ignore[no-untyped-def]
        raise NotImplementedError


class Bakery(Shop):
    @tool(timeout_s=1)
    def who(self, politely: bool = False) -> str:
        """Who bakes."""
        return super().who().upper() + "!" * politely

    add = None  # type: ignore[assignment]

    @tool
    def bread(self) -> str:
        return "rye"


def test_the_tools_of_a_class_are_bound_to_the_instance() -> None:
    tools = collect_tools(Shop("Eve"))
    assert list(tools) == ["who", "open-hours", "add", "subtract", "kind"]
    assert tools["who"]() == "Eve"
    assert tools["who"].description == "Who owns it."
    assert tools["open-hours"].is_async
    assert tools["add"](1, b=2) == 3
    assert tools["subtract"](3, 2) == 1
    assert tools["kind"]() == "Shop"
    assert all("self" not in one.parameters["properties"] for one in tools.values())


def test_a_subclass_overrides_adds_and_takes_away() -> None:
    tools = collect_tools(Bakery("Eve"))
    assert list(tools) == ["who", "open-hours", "subtract", "kind", "bread"]
    assert tools["who"](politely=True) == "EVE!"
    assert (tools["who"].description, tools["who"].timeout_s) == ("Who bakes.", 1)
    assert tools["kind"]() == "Bakery"


def test_two_instances_share_nothing() -> None:
    one, other = collect_tools(Shop("one")), collect_tools(Shop("other"))
    assert (one["who"](), other["who"]()) == ("one", "other")


def test_the_nearest_of_several_bases_wins() -> None:
    class Left(Shop):
        @tool
        def who(self) -> str:
            return "left"

    class Right(Shop):
        @tool
        def who(self) -> str:
            return "right"

    class Both(Left, Right):
        pass

    assert collect_tools(Both())["who"]() == "left"


def test_overriding_a_tool_without_the_decorator_is_refused() -> None:
    class Forgetful(Shop):
        def who(self) -> str:
            return "nobody"

    with pytest.raises(ConfigurationError, match=r"Forgetful\.who cannot be a tool: it overrides a tool.*@tool"):
        collect_tools(Forgetful())


def test_a_property_is_no_tool() -> None:
    class Clock:
        @property
        @tool
        def now(self) -> str:
            raise NotImplementedError

    with pytest.raises(ConfigurationError, match=r"Clock\.now cannot be a tool: it is a property\. Leave out"):
        collect_tools(Clock())


def test_functions_methods_and_tools_can_be_given() -> None:
    def plain(x: int) -> int:
        return x + 1

    class Other:
        def method(self, x: int) -> int:
            return x + 2

    tools = collect_tools(None, [plain, Other().method, Shop("Eve").who, made(Shop.add)])
    assert list(tools) == ["plain", "method", "who", "add"]
    assert [tools["plain"](1), tools["method"](1), tools["who"](), tools["add"](1, 2)] == [2, 3, "Eve", 3]
    assert list(tools["method"].parameters["properties"]) == ["x"]


def test_given_tools_join_those_of_the_class() -> None:
    def plain() -> None:
        raise NotImplementedError

    assert list(collect_tools(Bakery(), [plain])) == ["who", "open-hours", "subtract", "kind", "bread", "plain"]


def test_other_decorators_may_be_above_and_below() -> None:
    def loud(function: Callable[..., str]) -> Callable[..., str]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> str:
            return function(*args, **kwargs).upper()

        return wrapper

    class Speaker:
        @loud
        @tool
        def above(self, word: str) -> str:
            return word

        @tool
        @loud
        def below(self, word: str) -> str:
            return word

    tools = collect_tools(Speaker())
    assert [tools["above"]("hi"), tools["below"]("hi")] == ["HI", "HI"]
    assert tools["below"].parameters["required"] == ["word"]


def test_two_tools_of_one_name_are_refused() -> None:
    @tool(name="who")
    def another() -> str:
        raise NotImplementedError

    with pytest.raises(ConfigurationError, match=r"another cannot be a tool: Shop\.who is called 'who' too"):
        collect_tools(Shop(), [another])


def test_a_method_needs_its_object() -> None:
    with pytest.raises(ConfigurationError, match=r"Shop\.who cannot be a tool: it is a method without its object"):
        collect_tools(None, [Shop.who])


# --- what cannot be a tool ---------------------------------------------------------------------------------


def no_hint(x) -> None: ...  # type: ignore[no-untyped-def]
def no_hint_self(x: int, self) -> None: ...  # type: ignore[no-untyped-def]
def many(*args: int) -> None: ...
def keywords(**kwargs: int) -> None: ...
def positional(x: int, /) -> None: ...
def bad_type(good: int, x: complex) -> None: ...
def bad_inner_type(x: list[bytes]) -> None: ...
def bad_hint(x: "Hidden") -> None: ...  # noqa: UP037
def bad_nested_hint(x: "list[Nowhere]") -> None: ...  # type: ignore[name-defined] # noqa: UP037, F821
def bad_value(x: list[int].nothing) -> None: ...  # type: ignore[valid-type]
def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (no_hint, "no_hint cannot be a tool: its parameter 'x' has no type hint. Write x: str"),
        (no_hint_self, "no_hint_self cannot be a tool: its parameter 'self' has no type hint"),
        (many, "many cannot be a tool: its parameter 'args' is variadic positional"),
        (keywords, "keywords cannot be a tool: its parameter 'kwargs' is variadic keyword"),
        (positional, "positional cannot be a tool: its parameter 'x' is positional-only"),
        (bad_type, "bad_type cannot be a tool: the type of its parameter 'x' cannot be told"),
        (bad_inner_type, "bad_inner_type cannot be a tool: the type of its parameter 'x' cannot be told"),
        (bad_hint, "bad_hint cannot be a tool: the type hint of its parameter 'x' cannot be read"),
        (bad_nested_hint, "bad_nested_hint cannot be a tool: the type hint of its parameter 'x' cannot be read"),
        (bad_value, "bad_value cannot be a tool: the type hint of its parameter 'x' cannot be read"),
        (generator, "generator cannot be a tool: it is a generator"),
        (async_generator, "async_generator cannot be a tool: it is a generator"),
        (lambda: 1, "'<lambda>' cannot be its name"),
        (functools.partial(int, "1"), "cannot be a tool: it is not a function"),
        (dict.fromkeys, "its parameter 'iterable' is positional-only"),
        (Shop, "Shop cannot be a tool: it is not a function"),
        (5, "5 cannot be a tool: it is not a function"),
    ],
)
def test_what_cannot_be_a_tool_is_refused_by_name(function: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        collect_tools(None, [function])
    assert said in str(caught.value)
    assert caught.value.hint


def test_the_decorator_refuses_at_once() -> None:
    with pytest.raises(ConfigurationError, match="no_hint cannot be a tool"):
        tool(no_hint)


def test_a_callable_without_a_signature_is_refused() -> None:
    def unreadable() -> None: ...

    unreadable.__signature__ = "none"  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match="unreadable cannot be a tool: its signature cannot be read"):
        tool(unreadable)


@pytest.mark.parametrize("function", [Shop().no_tool, functools.partial(int), print, 5], ids=type)
def test_the_decorator_is_for_functions(function: Any) -> None:
    with pytest.raises(ConfigurationError, match="it is not a function"):
        tool(function)


def test_a_name_is_given_by_its_name() -> None:
    with pytest.raises(ConfigurationError, match=r"it is not a function\. Write @tool\(name='book'\)\."):
        tool("book")  # type: ignore[call-overload]


@pytest.mark.parametrize("name", ["two words", "dot.ted", "ünlaut", "a" * 65, "line\n", "a/b"])
def test_a_name_that_the_service_refuses(name: str) -> None:
    def fine() -> None: ...

    with pytest.raises(ConfigurationError, match=r"cannot be its name. Use @tool\(name="):
        tool(name=name)(fine)


@pytest.mark.parametrize("name", ["a", "A-1_b", "9", "a" * 64])
def test_a_name_that_the_service_takes(name: str) -> None:
    def fine() -> None: ...

    assert list(collect_tools(None, [tool(name=name)(fine)])) == [name]


@pytest.mark.parametrize("timeout_s", [0, -1, math.inf, math.nan, "5", True])
def test_a_time_limit_is_a_positive_number(timeout_s: Any) -> None:
    def fine() -> None: ...

    with pytest.raises(ConfigurationError, match="its time limit is"):
        tool(timeout_s=timeout_s)(fine)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"name": 5}, "name=5"),
        ({"approval": "always"}, "approval='always'"),
        ({"cancel_on_interruption": 1}, "cancel_on_interruption=1"),
    ],
)
def test_a_setting_of_the_wrong_type_is_named(settings: dict[str, Any], said: str) -> None:
    def fine() -> None: ...

    with pytest.raises(ConfigurationError, match=said):
        tool(**settings)(fine)


@pytest.mark.parametrize("tools", [5, None, "abc", {"a": 1}, test_a_setting_of_the_wrong_type_is_named])
def test_tools_are_a_list(tools: Any) -> None:
    with pytest.raises(ConfigurationError, match="It is a list of functions"):
        collect_tools(None, tools)


def test_importing_tools_loads_nothing_heavy() -> None:
    heavy = "{'azure', 'aiohttp', 'numpy', 'sounddevice'}"
    check = f"import sys, voicelive_agent.tools; print({heavy} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=20, check=False)
    assert (done.stdout.strip(), done.stderr) == ("set()", "")
