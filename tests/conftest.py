"""Fixtures of the whole suite."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The library's shell is asyncio only: the SDK's transport is aiohttp."""
    return "asyncio"
