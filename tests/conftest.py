"""Fixtures of the whole suite."""

from __future__ import annotations

import pytest

from voicelive_agent.emulator.speech import missing_packages


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What needs the speech packages is skipped by name where they are not installed."""
    if item.get_closest_marker("speech") and (missing := missing_packages()):
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The library's shell is asyncio only: the SDK's transport is aiohttp."""
    return "asyncio"
