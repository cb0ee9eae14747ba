"""How tools are written, as type checkers see it; this file is checked and never run."""

from __future__ import annotations

from typing import Annotated, Any, assert_type

from voicelive_agent._tool import collect_tools
from voicelive_agent._tool_invocation import ToolResult, run_tool
from voicelive_agent._tool_threads import ToolThreads
from voicelive_agent.tools import Tool, ToolContext, tool


@tool
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


@tool(name="look-up", timeout_s=2.5, cancel_on_interruption=True)
async def look_up(word: str, context: ToolContext) -> list[str]:
    """Look a word up."""
    return [word, context.call_id]


class Shop:
    @tool
    def hours(self, day: Annotated[str, "a day of the week"]) -> str:
        return day

    @tool(timeout_s=1)
    async def order(self, item: str, *, count: int = 1) -> bool:
        return bool(item) and count > 0

    @tool
    @staticmethod
    def tax(amount: float) -> float:
        return amount * 0.2

    @staticmethod
    @tool
    def net(amount: float) -> float:
        return amount * 0.8

    @classmethod
    @tool
    def kind(cls, upper: bool) -> str:
        return cls.__name__.upper() if upper else cls.__name__


class Bakery(Shop):
    @tool
    def hours(self, day: str, season: str = "") -> str:
        return super().hours(day) + season

    @tool
    async def order(self, item: str, *, count: int = 1) -> bool:
        return await super().order(item, count=count)


async def decorated_functions_keep_their_signatures() -> None:
    assert_type(add(1), int)
    assert_type(await look_up("word", ToolContext(None, "call_1", "look-up")), list[str])
    assert_type(Shop().hours("Monday"), str)
    assert_type(Shop.hours(Shop(), "Monday"), str)
    assert_type(await Shop().order("bread", count=2), bool)
    assert_type(Shop().tax(1.0), float)
    assert_type(Shop.net(1.0), float)
    assert_type(Shop().kind(upper=True), str)
    assert_type(Bakery().hours("Monday", season="summer"), str)


def what_is_wrong_is_found() -> None:
    add("one")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Shop().hours()  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    Shop().tax("much")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    tool(timeout_s="1")  # type: ignore[call-overload] # pyright: ignore[reportCallIssue, reportArgumentType]
    tool(5)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue, reportArgumentType]


async def tools_are_collected_and_run(agent: object, threads: ToolThreads) -> None:
    tools = collect_tools(Bakery(), [add, look_up, Shop().hours])
    assert_type(tools, dict[str, Tool])
    assert_type(collect_tools(None, [*tools.values(), Shop().tax]), dict[str, Tool])
    assert_type(tools["add"].definition, dict[str, Any])
    assert_type(tools["add"].parameters, dict[str, Any])
    assert_type(tools["add"].timeout_s, float | None)
    assert_type(tools["add"].is_async, bool)
    assert_type(tools["add"].arguments('{"a": 1}'), dict[str, Any])

    context = ToolContext(agent, "call_1", "add")
    assert_type(context.cancelled.is_set(), bool)
    result = await run_tool(tools["add"], '{"a": 1}', context, threads=threads, timeout_s=30)
    assert_type(result, ToolResult)
    assert_type(result.output, str)
    assert_type(threads.abandoned, list[str])
    assert_type(await threads.run(add, 1, b=2), int)
    await threads.run(add, "one")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
