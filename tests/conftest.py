"""Fixtures of the whole suite."""

from __future__ import annotations

import asyncio
import gc
import math
import sys
from collections.abc import AsyncIterator, Generator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from coverage import Coverage
from hypothesis import HealthCheck, settings

from voicelive_agent.emulator.speech import missing_packages

ROOT = Path(__file__).parent.parent
_measured: Path | None = None

# How long an example takes says something about the machine, and nothing about us.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What needs the speech packages is skipped by name where they are not installed."""
    if item.get_closest_marker("speech") and (missing := missing_packages()):
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test wrote to the log can go to another process: half a character, which some log, could not."""
    report = yield
    report.sections = [(name, text.encode(errors="replace").decode()) for name, text in report.sections]
    return report


def pytest_collectstart(collector: pytest.Collector) -> None:
    """What importing a file of tests runs is measured as run by that file; maxi_cov.py asks for it."""
    if isinstance(collector, pytest.Module):
        _measure_as(collector.path)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> None:
    """What a test runs, with its fixtures, is measured as run by its file."""
    _measure_as(item.path)


def _measure_as(path: Path) -> None:
    """From now on, where anything is measured; only a change is told, since each makes coverage.py write."""
    global _measured
    if path != _measured and (coverage := Coverage.current()):
        coverage.switch_context(path.relative_to(ROOT).as_posix())
        _measured = path


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The library's shell is asyncio only: the SDK's transport is aiohttp."""
    return "asyncio"


@pytest.fixture
def unhurried_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a hook takes on a busy machine is nothing for a log of which every line is known."""
    monkeypatch.setattr("voicelive_agent._agent.SLOW_HOOK_S", math.inf)


@pytest.fixture
async def nothing_left(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """No task, no open HTTP session, no ResourceWarning, nothing reported to the event loop."""
    gc.freeze()  # only what the test makes is to be collected
    loop = asyncio.get_running_loop()
    complaints: list[object] = []
    sessions: list[aiohttp.ClientSession] = []
    make_session = aiohttp.ClientSession.__init__

    def remember(session: aiohttp.ClientSession, *args: Any, **options: Any) -> None:
        make_session(session, *args, **options)
        sessions.append(session)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", remember)
    monkeypatch.setattr(sys, "unraisablehook", lambda args: complaints.append(args.exc_value))
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    yield
    for _ in range(3):  # connection_lost comes one turn of the loop after close()
        await asyncio.sleep(0)
    assert all(session.closed for session in sessions)
    sessions.clear()
    gc.collect()
    assert not complaints
    assert not [task for task in asyncio.all_tasks() if "TestRunner" not in repr(task)]
