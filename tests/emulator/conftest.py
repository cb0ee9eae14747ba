"""Fixtures of the emulator's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from voicelive_agent.emulator import server


@pytest.fixture(scope="module")
def patient_server() -> Iterator[None]:
    """At its end a server waits for its threads, whatever else the machine does: its limit is for what hangs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "_WORK_TIMEOUT_S", 15.0)
        yield
