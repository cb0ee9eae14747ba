"""The pytest plugin: an emulator of Voice Live, and conversations with your agent, as fixtures.

pytest loads this in every run where the library is installed, so nothing is imported before it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ._play import Answers, MakesAgent
    from ._served import ServedEmulator
    from .conversation import Conversation

_ABOUT = (
    "voicelive(answers=..., options=..., faults=..., speech=..., model=..., time=..., within_s=...): how the "
    "fixtures voicelive_emulator (answers, options, faults, speech) and voicelive_conversation (all but faults) "
    "are set up. What a test says comes before what its class or module says."
)
_EMULATOR = ("answers", "options", "faults", "speech")
_CONVERSATION = ("answers", "options", "speech", "model", "time", "within_s")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", _ABOUT)


@pytest.fixture
def voicelive_emulator(request: pytest.FixtureRequest) -> Iterator[ServedEmulator]:
    """An emulator of Voice Live on a real socket, for this test alone."""
    from ._served import served

    marked = _marked(request, _EMULATOR)
    speech = marked.pop("speech", False)
    with served(**marked, speech_packages=speech) as emulator:
        yield emulator


@pytest.fixture
def voicelive_conversation(request: pytest.FixtureRequest) -> Callable[..., Conversation]:
    """Make a conversation with your agent: ``with voicelive_conversation(MyAgent, answers) as call``.

    What the test is marked with stands for the arguments that are left out.
    """
    from .conversation import Conversation

    marked = _marked(request, _CONVERSATION)

    def make(agent: MakesAgent, *answers: Answers, **arguments: Any) -> Conversation:
        said = {"answers": answers[0]} if answers else {}
        return Conversation(agent, *answers[1:], **{**marked, **said, **arguments})

    return make


def _marked(request: pytest.FixtureRequest, wanted: tuple[str, ...]) -> dict[str, Any]:
    """What ``@pytest.mark.voicelive`` says, that which is nearest to the test first."""
    said: dict[str, Any] = {}
    for marker in request.node.iter_markers("voicelive"):
        unknown = [f"{name}=..." for name in marker.kwargs if name not in {*_EMULATOR, *_CONVERSATION}]
        if marker.args or unknown:
            raise pytest.UsageError(
                f"@pytest.mark.voicelive does not take {', '.join([*map(repr, marker.args), *unknown])}: "
                f"it takes {', '.join(f'{name}=...' for name in dict.fromkeys((*_EMULATOR, *_CONVERSATION)))}."
            )
        said = {**marker.kwargs, **said}
    return {name: value for name, value in said.items() if name in wanted}
