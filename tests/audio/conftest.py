"""The virtual sound card that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .pulse import Card, missing


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What needs a sound card is skipped by name where none can be made."""
    if item.get_closest_marker("audio") and (lacking := missing()):
        pytest.skip(f"no virtual sound card: {lacking}")


@pytest.fixture(scope="session")
def card(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Card]:
    with Card(tmp_path_factory.mktemp("card")) as made:
        yield made
