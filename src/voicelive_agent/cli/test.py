"""``voicelive-agent test``: conversations written down as YAML, held with an agent; a line for each of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..errors import ConfigurationError
from ..testing._junit import write_junit
from ..testing._play import as_if_served
from ..testing.scenario import Outcome, Scenario, load_scenarios
from ._target import Found, find, parse

__all__ = ["Options", "test"]


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    path: str
    target: str | None = None
    junit: str | None = None
    word: str | None = None
    verbose: bool = False
    fail_fast: bool = False


def test(options: Options) -> int:
    """Hold the conversations; 0 if all were as expected, 1 if one was not. ConfigurationError for a wrong file."""
    agents = _Agents(options.target)
    scenarios = list(_chosen(options))
    makers = [agents.of(scenario) for scenario in scenarios]  # before the first: a wrong file is no result
    began, outcomes = datetime.now(UTC), []
    for scenario, found in zip(scenarios, makers, strict=True):
        outcome = scenario.perform(found.make)
        outcomes.append(outcome)
        _print(outcome, verbose=options.verbose)
        if options.fail_fast and not outcome.passed:
            break
    if options.junit is not None:
        try:
            write_junit(Path(options.junit), outcomes, began)
        except OSError as error:
            raise ConfigurationError(
                f"Cannot write to {options.junit}: {error.strerror or error}.",
                hint="Choose another file with --junit.",
            ) from error
    return _summed_up(outcomes, len(scenarios))


# --- which ------------------------------------------------------------------------------------------------------


def _chosen(options: Options) -> Iterator[Scenario]:
    """The scenarios that are wanted. All files are read first, and all that is wrong with them is told at once."""
    found: list[Scenario] = []
    faults: list[ConfigurationError] = []
    for file in _files(Path(options.path)):
        try:
            found += load_scenarios(file)
        except ConfigurationError as error:
            faults.append(error)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise ConfigurationError("\n".join([f"{len(faults)} files are wrong.", *map(str, faults)]))
    word = (options.word or "").casefold()
    chosen = [each for each in found if word in f"{each.file.as_posix()} {each.name}".casefold()]
    if not chosen:
        names = ", ".join(repr(each.name) for each in found[:5])
        raise ConfigurationError(f"No scenario has {options.word!r} in its name.", hint=f"There are {names}.")
    yield from chosen


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    inside = sorted(each for each in path.rglob("*") if each.suffix in (".yaml", ".yml"))
    if not inside:
        raise ConfigurationError(f"{path}: there are no scenarios in it.", hint="They are files named *.yaml.")
    return inside


class _Agents:
    """Finds the agents of scenarios, each once."""

    def __init__(self, target: str | None) -> None:
        self._target = target
        self._found: dict[str, Found] = {}

    def of(self, scenario: Scenario) -> Found:
        """The agent that the command line names, or the scenario. ConfigurationError if neither does."""
        text = self._target
        if text is None:
            if scenario.agent is None:
                raise ConfigurationError(
                    f"{scenario.file}, line {scenario.line}: nobody says which agent is tested.",
                    hint="Write `agent: hello.py` into the file, or name it: voicelive-agent test FILE TARGET.",
                )
            text = self._seen_from(scenario.file.parent, scenario.agent)
        if text not in self._found:
            with as_if_served():
                self._found[text] = find(parse(text))
        return self._found[text]

    def _seen_from(self, folder: Path, text: str) -> str:
        """A file is named as it is seen from the scenario, a module as everywhere."""
        place, colon, name = text.partition(".py")
        return f"{folder / (place + colon)}{name}" if colon and not Path(place).is_absolute() else text


# --- what is printed --------------------------------------------------------------------------------------------


def _print(outcome: Outcome, *, verbose: bool) -> None:
    word = "passed" if outcome.passed else "FAILED"
    print(f"{word}  {outcome.place}  {outcome.scenario.name}  ({outcome.elapsed_s:.2f} s)", flush=True)
    if not outcome.passed:
        print(_indented(outcome.failure))
    if outcome.story and (verbose or not outcome.passed):
        print(_indented(outcome.story), flush=True)


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())


def _summed_up(outcomes: Sequence[Outcome], wanted: int) -> int:
    failed = sum(not each.passed for each in outcomes)
    parts = [f"{len(outcomes) - failed} passed", f"{failed} failed" if failed else ""]
    if len(outcomes) < wanted:
        parts.append(f"{wanted - len(outcomes)} not tried")
    print(", ".join(filter(None, parts)))
    sys.stdout.flush()
    return 1 if failed else 0
