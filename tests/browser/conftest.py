"""The browser that the tests of this folder share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from .chromium import chromium, missing, recording, silence

if TYPE_CHECKING:
    from playwright.async_api import Browser


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What needs a browser is skipped by name where there is none."""
    if item.get_closest_marker("browser") and (lacking := missing()):
        pytest.skip(f"not installed: {lacking}")


@pytest.fixture(scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    """A browser with a microphone in a silent room."""
    if lacking := missing():
        pytest.skip(f"not installed: {lacking}")
    quiet = recording(tmp_path_factory.mktemp("microphone") / "quiet.wav", silence(1))
    async with chromium(quiet) as opened:
        yield opened
