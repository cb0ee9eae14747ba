"""Calls of tools: how they run, how they fail, and how they are given up."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator

import anyio
import anyio.lowlevel
import pytest

from voicelive_agent._tool import collect_tools
from voicelive_agent._tool_invocation import ToolResult, run_tool, wrong_arguments
from voicelive_agent._tool_threads import ToolThreads
from voicelive_agent.errors import ToolError
from voicelive_agent.tools import ToolContext, tool

from .tool_driver import Picky, context, made

WAIT_S = 20.0  # how long a test waits for what must happen; reached only when it fails


@pytest.fixture
def threads() -> Iterator[ToolThreads]:
    with ToolThreads() as pool:
        yield pool


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(WAIT_S):
        while not condition():  # noqa: ASYNC110 - what it waits for happens in a thread
            await anyio.sleep(0.001)


def error_of(result: ToolResult) -> str:
    """The words that the model is told."""
    told = json.loads(result.output)
    assert list(told) == ["error"]
    return str(told["error"])


async def test_a_method_gets_its_object_arguments_and_context(threads: ToolThreads) -> None:
    seen: list[ToolContext] = []

    class Agent:
        name = "Ann"

        @tool
        def call(self, who: str, context: ToolContext, times: int = 1) -> str:
            seen.append(context)
            return f"{self.name} calls {who} {times}"

        @tool
        async def call_later(self, who: str, *, it: ToolContext | None = None) -> str:
            assert it is not None
            seen.append(it)
            return f"{self.name} will call {who}"

    agent = Agent()
    tools = collect_tools(agent)
    one = ToolContext(agent, "call_1", "call")
    assert await run_tool(tools["call"], '{"who": "Bob", "times": "2"}', one, threads=threads) == ToolResult(
        "Ann calls Bob 2"
    )
    assert await run_tool(tools["call_later"], '{"who": "Bob"}', one, threads=threads) == ToolResult(
        "Ann will call Bob"
    )
    assert seen == [one, one]
    assert not one.cancelled.is_set()


async def test_a_plain_function_runs_in_a_thread_and_a_coroutine_on_the_loop(threads: ToolThreads) -> None:
    ran: dict[str, threading.Thread] = {}

    def plain() -> None:
        ran["plain"] = threading.current_thread()

    async def coroutine() -> None:
        ran["coroutine"] = threading.current_thread()

    await run_tool(made(plain), "", context(), threads=threads)
    await run_tool(made(coroutine), "", context(), threads=threads)
    assert ran["coroutine"] is threading.current_thread()
    assert ran["plain"] is not threading.current_thread()


async def test_a_plain_function_that_returns_an_awaitable(threads: ToolThreads) -> None:
    def counted(function: Callable[[int], Awaitable[int]]) -> Callable[[int], Awaitable[int]]:
        @functools.wraps(function)
        def wrapper(x: int) -> Awaitable[int]:
            return function(x)

        return wrapper

    @counted
    async def double(x: int) -> int:
        await anyio.lowlevel.checkpoint()
        return 2 * x

    assert not made(double).is_async
    assert await run_tool(made(double), '{"x": 4}', context(), threads=threads) == ToolResult("8")


async def test_a_blocking_function_does_not_block_the_loop(threads: ToolThreads) -> None:
    entered, opened, beats = threading.Event(), threading.Event(), 0

    def block() -> int:
        entered.set()
        assert opened.wait(WAIT_S)
        return beats

    task = asyncio.create_task(run_tool(made(block), "", context(), threads=threads))
    await until(entered.is_set)
    for _ in range(100):  # the tool is inside and waits: each of these is the loop running
        await anyio.lowlevel.checkpoint()
        beats += 1
    opened.set()
    assert await task == ToolResult("100")


async def test_the_result_is_written_in_the_thread_too(threads: ToolThreads) -> None:
    class Telltale:
        def __repr__(self) -> str:
            return str(threading.current_thread().daemon)

    def give() -> object:
        return Telltale()

    assert (await run_tool(made(give), "", context(), threads=threads)).output.endswith(": True")


def test_arguments_can_be_looked_at_without_a_call() -> None:
    def look(at: int) -> str:
        raise NotImplementedError

    assert wrong_arguments(made(look), '{"at": 1}') is None
    wrong = wrong_arguments(made(look), "{")
    assert wrong is not None
    assert wrong.error == "arguments"
    assert "It takes at (integer)" in wrong.output


async def test_wrong_arguments_never_reach_the_function(threads: ToolThreads) -> None:
    def strict(x: int) -> None:
        raise AssertionError("called")

    result = await run_tool(made(strict), '{"x": "many"}', context(), threads=threads)
    assert result.error == "arguments"
    assert error_of(result) == (
        "The arguments of strict are wrong: Expected `int`, got `str` - at `$.x`. "
        "It takes x (integer). Call it again."
    )


async def test_a_tool_error_is_told_in_its_own_words(
    threads: ToolThreads, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse() -> None:
        raise ToolError("We are full on Sunday.", hint='Offer "Monday".')

    result = await run_tool(made(refuse), "", context(), threads=threads)
    assert result == ToolResult('{"error":"We are full on Sunday. Offer \\"Monday\\"."}', "raised")
    assert not caplog.records


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("bad day"), "fail failed: ValueError: bad day"),
        (KeyError("day"), "fail failed: KeyError: 'day'"),
        (ValueError("half a \ud83d pair"), "fail failed: ValueError: half a ? pair"),
        (Unspeakable(), "fail failed: Unspeakable: (it cannot be shown: RuntimeError)"),
        (TimeoutError("the database"), "fail failed: TimeoutError: the database"),
        (ExceptionGroup("both", [ValueError()]), "fail failed: ExceptionGroup: both (1 sub-exception)"),
        (StopIteration(3), None),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_an_exception_is_told_without_its_traceback_and_logged_with_it(
    threads: ToolThreads, caplog: pytest.LogCaptureFixture, error: Exception, said: str | None
) -> None:
    def fail() -> None:
        raise error

    async def fail_later() -> None:
        raise error

    for one in (fail, fail_later):
        one.__name__ = "fail"
        caplog.clear()
        result = await run_tool(made(one), "", context(), threads=threads)
        assert result.error == "raised"
        if said is None:
            assert error_of(result).startswith("fail failed: RuntimeError: ")
        else:
            assert error_of(result) == said
        (record,) = caplog.records
        assert (record.name, record.levelno) == ("voicelive_agent", logging.ERROR)
        assert record.exc_info is not None
        raised = record.exc_info[1]
        assert raised is error or (isinstance(raised, RuntimeError) and raised.__cause__ is error)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), asyncio.CancelledError()], ids=repr)
async def test_a_thread_that_wants_to_end_the_program_is_a_tool_that_failed(
    threads: ToolThreads, error: BaseException
) -> None:
    def leave() -> None:
        raise error

    result = await run_tool(made(leave), "", context(), threads=threads)
    assert result.error == "raised"
    assert type(error).__name__ in error_of(result)


async def test_a_coroutine_that_wants_to_end_the_program_does(threads: ToolThreads) -> None:
    class Exit(BaseException):
        pass

    async def leave() -> None:
        raise Exit

    with pytest.raises(Exit):
        await run_tool(made(leave), "", context(), threads=threads)


async def test_an_argument_that_cannot_be_made_is_a_tool_that_failed(threads: ToolThreads) -> None:
    def pick(it: Picky) -> None: ...

    result = await run_tool(made(pick), '{"it": {"value": 2}}', context(), threads=threads)
    assert (result.error, error_of(result)) == ("raised", "pick failed: LookupError: nothing is right")


async def test_an_error_without_words_is_an_error_all_the_same(threads: ToolThreads) -> None:
    def fail() -> None:
        raise ToolError("")

    result = await run_tool(made(fail), "", context(), threads=threads)
    assert (result.error, error_of(result)) == ("raised", "fail failed.")


async def test_a_huge_error_is_cut(threads: ToolThreads) -> None:
    def fail() -> None:
        raise ToolError("x" * 1000)

    result = await run_tool(made(fail), "", context(), threads=threads, max_output_chars=100)
    assert len(error_of(result)) == 100
    assert error_of(result).endswith("[cut: this was 1000 characters long]")


# --- time limits and cancellation --------------------------------------------------------------------------


async def test_a_coroutine_that_takes_too_long_is_cancelled(
    threads: ToolThreads, caplog: pytest.LogCaptureFixture
) -> None:
    ended = False

    async def hang() -> None:
        nonlocal ended
        try:
            await anyio.sleep_forever()
        finally:
            ended = True

    one = context()
    result = await run_tool(made(hang), "", one, threads=threads, timeout_s=0.01)
    assert result.error == "timeout"
    assert error_of(result) == "hang took too long and was given up; it may or may not have worked."
    assert ended
    assert one.cancelled.is_set()
    assert "Tool hang took more than 0.01 s" in caplog.text


async def test_a_function_that_takes_too_long_is_abandoned_and_can_notice(threads: ToolThreads) -> None:
    noticed = threading.Event()

    @tool(name="slow")
    def hang(context: ToolContext) -> None:
        if context.cancelled.wait(WAIT_S):
            noticed.set()

    one = context()
    result = await run_tool(made(hang), "", one, threads=threads, timeout_s=0.01)
    assert result.error == "timeout"
    await until(noticed.is_set)
    await until(lambda: not threads.abandoned)


async def test_abandoned_functions_are_known_by_the_name_of_their_tool(threads: ToolThreads) -> None:
    opened = threading.Event()

    @tool(name="slow", timeout_s=0.01)
    def hang() -> None:
        assert opened.wait(WAIT_S)

    assert (await run_tool(made(hang), "", context(), threads=threads)).error == "timeout"
    assert threads.abandoned == ["slow"]
    opened.set()
    await until(lambda: not threads.abandoned)


async def test_the_limit_of_the_tool_goes_before_that_of_the_agent(threads: ToolThreads) -> None:
    @tool(timeout_s=0.01)
    async def hurried() -> None:
        await anyio.sleep_forever()

    @tool(timeout_s=WAIT_S)
    async def patient() -> str:
        await anyio.sleep(0.02)
        return "done"

    assert (await run_tool(made(hurried), "", context(), threads=threads, timeout_s=WAIT_S)).error == "timeout"
    assert (await run_tool(made(patient), "", context(), threads=threads, timeout_s=0.001)).output == "done"


async def test_a_time_limit_of_the_tool_itself_is_its_own_failure(threads: ToolThreads) -> None:
    async def ask() -> None:
        async with asyncio.timeout(0.001):
            await anyio.sleep_forever()

    result = await run_tool(made(ask), "", context(), threads=threads, timeout_s=WAIT_S)
    assert result.error == "raised"
    assert error_of(result).startswith("ask failed: TimeoutError")


async def test_cancelling_the_call_cancels_the_coroutine_and_is_passed_on(threads: ToolThreads) -> None:
    started, ended = anyio.Event(), anyio.Event()

    async def hang() -> None:
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    one = context()
    task = asyncio.create_task(run_tool(made(hang), "", one, threads=threads))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
    assert one.cancelled.is_set()


async def test_cancelling_the_call_abandons_the_function(threads: ToolThreads) -> None:
    entered, noticed = threading.Event(), threading.Event()

    def hang(it: ToolContext) -> None:
        entered.set()
        if it.cancelled.wait(WAIT_S):
            noticed.set()

    async with anyio.create_task_group() as group:
        group.start_soon(functools.partial(run_tool, made(hang), "", context(), threads=threads))
        await until(entered.is_set)
        group.cancel_scope.cancel()
    with anyio.fail_after(WAIT_S):
        await until(noticed.is_set)


async def test_a_tool_that_was_cancelled_by_something_else_has_failed(
    threads: ToolThreads, caplog: pytest.LogCaptureFixture
) -> None:
    async def wait_for_another() -> None:
        another = asyncio.create_task(anyio.sleep_forever())
        another.cancel()
        await another

    result = await run_tool(made(wait_for_another), "", context(), threads=threads)
    assert result.error == "cancelled"
    assert error_of(result) == "wait_for_another was cancelled before it was done."
    assert "Tool wait_for_another was cancelled by itself." in caplog.text


async def test_a_tool_that_cancels_its_own_task_has_failed(threads: ToolThreads) -> None:
    async def give_up() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await anyio.sleep_forever()

    async with anyio.create_task_group():  # as in a call
        result = await run_tool(made(give_up), "", context(), threads=threads)
    assert (result.error, error_of(result)) == ("cancelled", "give_up was cancelled before it was done.")


async def test_many_calls_at_once(threads: ToolThreads) -> None:
    all_inside = threading.Barrier(8, timeout=WAIT_S)

    @tool
    def meet(number: int) -> int:
        all_inside.wait()
        return number

    one, results = made(meet), []

    async def call(number: int) -> None:
        results.append(await run_tool(one, json.dumps({"number": number}), context(), threads=threads))

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(call, number)
    assert sorted(int(result.output) for result in results) == list(range(8))


HUNG = """
import asyncio, threading
from voicelive_agent._tool import collect_tools
from voicelive_agent._tool_invocation import run_tool
from voicelive_agent._tool_threads import ToolThreads
from voicelive_agent.tools import ToolContext, tool

@tool(timeout_s=0.01)
def hung() -> None:
    threading.Event().wait()

async def main():
    (one,) = collect_tools(None, [hung]).values()
    with ToolThreads() as threads:
        result = await run_tool(one, "{}", ToolContext(None, "call_1", "hung"), threads=threads)
        print(result.error, threads.abandoned, flush=True)

asyncio.run(main())
print("over", flush=True)
"""


def test_a_hung_tool_does_not_keep_the_program_alive() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HUNG], capture_output=True, text=True, timeout=WAIT_S, check=False
    )
    assert done.stdout.split("\n") == ["timeout ['hung']", "over", ""]
    assert (done.returncode, done.stderr) == (0, "Tool hung took more than 0.01 s and was given up.\n")
