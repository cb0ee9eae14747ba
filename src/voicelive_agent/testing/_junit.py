"""A report in the JUnit format that Azure DevOps, GitHub actions and GitLab read."""

from __future__ import annotations

import re
import xml.etree.ElementTree as xml
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from .scenario import Outcome

__all__ = ["write_junit"]

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(path: Path, outcomes: Iterable[Outcome], began: datetime) -> None:
    """Write the report: a suite for each file, a case for each scenario. OSError where it cannot be written."""
    suites: dict[Path, list[Outcome]] = {}
    for outcome in outcomes:
        suites.setdefault(outcome.scenario.file, []).append(outcome)
    everything = [outcome for each in suites.values() for outcome in each]
    root = xml.Element("testsuites", {"name": "voicelive-agent", **_counts(everything)})
    for file, each in suites.items():
        when = began.isoformat(timespec="seconds")
        suite = xml.SubElement(root, "testsuite", {"name": file.as_posix(), "timestamp": when, **_counts(each)})
        for outcome in each:
            _add_case(suite, outcome)
    tree = xml.ElementTree(root)
    xml.indent(tree)
    path.parent.mkdir(parents=True, exist_ok=True)
    tree.write(path, encoding="utf-8", xml_declaration=True)


def _counts(outcomes: list[Outcome]) -> dict[str, str]:
    return {
        "tests": str(len(outcomes)),
        "failures": str(sum(not each.passed for each in outcomes)),
        "errors": "0",
        "skipped": "0",
        "time": f"{sum(each.elapsed_s for each in outcomes):.3f}",
    }


def _add_case(suite: xml.Element, outcome: Outcome) -> None:
    scenario = outcome.scenario
    case = xml.SubElement(
        suite,
        "testcase",
        name=_clean(scenario.name),
        classname=_clean(scenario.file.with_suffix("").as_posix().replace("/", ".").lstrip(".")),
        file=scenario.file.as_posix(),
        line=str(outcome.line or scenario.line),
        time=f"{outcome.elapsed_s:.3f}",
    )
    if not outcome.passed:
        first = next((line for line in outcome.failure.splitlines() if line.startswith("expected")), "")
        told = _clean(first or outcome.failure.splitlines()[0])
        failure = xml.SubElement(case, "failure", type="ExpectationFailed", message=told)
        failure.text = _clean(f"{outcome.place}: {outcome.failure}\n\n{outcome.story}")
    xml.SubElement(case, "system-out").text = _clean(outcome.story)


def _clean(text: str) -> str:
    """Without the characters that XML does not allow."""
    return _NOT_XML.sub("�", text)
