"""Fixtures of the whole suite."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from voicelive_agent.emulator.speech import missing_packages


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


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The library's shell is asyncio only: the SDK's transport is aiohttp."""
    return "asyncio"
