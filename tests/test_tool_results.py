"""What a tool returns, as the model is told."""

from __future__ import annotations

import datetime as dt
import enum
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
import pytest

from voicelive_agent._tool_invocation import ToolResult, run_tool
from voicelive_agent._tool_threads import ToolThreads

from .tool_driver import context, made


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Cheese(enum.StrEnum):
    BRIE = "brie"


@dataclass
class Guest:
    name: str
    born: dt.date | None = None


class Menu(msgspec.Struct):
    dishes: dict[str, float] = msgspec.field(default_factory=dict)


@pytest.fixture
def threads() -> Iterator[ToolThreads]:
    with ToolThreads() as pool:
        yield pool


class Opaque:
    def __repr__(self) -> str:
        return "<an opaque thing>"


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@dataclass
class Cycle:
    inner: list[object] = field(default_factory=list)


def cycle() -> Cycle:
    one = Cycle()
    one.inner.append(one)
    return one


RESULTS: list[tuple[object, str]] = [
    ("as it is", "as it is"),
    ("", ""),
    ('{"a": 1}', '{"a": 1}'),
    (Cheese.BRIE, '"brie"'),
    (5, "5"),
    (True, "true"),
    (1.5, "1.5"),
    ([1, "a", None], '[1,"a",null]'),
    ({"a": {"b": 1}}, '{"a":{"b":1}}'),
    (Guest("Ann", dt.date(1990, 1, 2)), '{"name":"Ann","born":"1990-01-02"}'),
    (Menu({"soup": 3.0}), '{"dishes":{"soup":3.0}}'),
    (dt.datetime(2030, 1, 2, 3, 4), '"2030-01-02T03:04:00"'),
    (Size.LARGE, '"large"'),
    ("half a \ud83d pair", "half a ? pair"),
    (Opaque(), "A value of type Opaque, which has no JSON form: <an opaque thing>"),
    (math.nan, "A value of type float, which has no JSON form: nan"),
    (-math.inf, "A value of type float, which has no JSON form: -inf"),
    ([Opaque()], "A value of type list, which has no JSON form: [<an opaque thing>]"),
    (Broken(), "A value of type Broken, which has no JSON form: (it cannot be shown: RuntimeError)"),
    (cycle(), "A value of type Cycle, which has no JSON form: Cycle(inner=[...])"),
    (["half a \ud83d pair"], "A value of type list, which has no JSON form: ['half a \\ud83d pair']"),
]


@pytest.mark.parametrize(("value", "output"), RESULTS, ids=[output for _, output in RESULTS])
async def test_results_are_written_for_the_model(threads: ToolThreads, value: object, output: str) -> None:
    def give() -> object:
        return value

    async def give_later() -> object:
        return value

    assert await run_tool(made(give), "", context(), threads=threads) == ToolResult(output)
    assert await run_tool(made(give_later), "", context(), threads=threads) == ToolResult(output)


async def test_no_result_is_ok_unless_one_was_announced(threads: ToolThreads) -> None:
    def says_nothing():  # type: ignore[no-untyped-def]
        pass

    def does() -> None:
        pass

    def finds() -> int | None:
        return None

    async def does_later() -> None:
        pass

    found = [
        (await run_tool(made(one), "", context(), threads=threads)).output
        for one in (says_nothing, does, finds, does_later)
    ]
    assert found == ["ok", "ok", "null", "ok"]


async def test_a_result_that_is_no_json_is_logged(threads: ToolThreads, caplog: pytest.LogCaptureFixture) -> None:
    def give() -> object:
        return Opaque()

    await run_tool(made(give), "", context(), threads=threads)
    assert "Tool give returned a Opaque, which is no JSON" in caplog.text


@pytest.mark.parametrize(("size", "limit"), [(32_001, 32_000), (1_000_000, 100), (60, 50), (50, 10)])
async def test_a_huge_result_is_cut_and_says_so(threads: ToolThreads, size: int, limit: int) -> None:
    def give() -> str:
        return "x" * size

    result = await run_tool(made(give), "", context(), threads=threads, max_output_chars=limit)
    remark = f" [cut: this was {size} characters long]"
    assert result.output.endswith(remark)
    assert len(result.output) == max(limit, len(remark))
    assert result.error == ""


async def test_a_result_that_just_fits_is_whole(threads: ToolThreads) -> None:
    def give() -> str:
        return "x" * 32_000

    assert await run_tool(made(give), "", context(), threads=threads) == ToolResult("x" * 32_000)


async def test_a_huge_repr_is_cut(threads: ToolThreads) -> None:
    def give() -> object:
        return [object() for _ in range(1000)]

    assert len((await run_tool(made(give), "", context(), threads=threads)).output) < 600
