"""docs/how-to/deploy.md says of the templates and of the script what they say themselves."""

from __future__ import annotations

import re
from pathlib import Path

import yaml  # type: ignore[import-untyped]

from .bicep_template import parameters

ROOT = Path(__file__).parents[2]
WEB_APP = ROOT / "examples" / "web_app"
GUIDE = (ROOT / "docs" / "how-to" / "deploy.md").read_text(encoding="utf-8")
SCRIPT = (WEB_APP / "deploy.sh").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading."""
    section = GUIDE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_what_can_be_chosen_is_there_with_its_default() -> None:
    source = (WEB_APP / "infra" / "main.bicepparam").read_text(encoding="utf-8")
    names = dict(re.findall(r"param (\w+) = .*readEnvironmentVariable\('(\w+)'", source))
    defaults = {
        names[name]: value for name, value in parameters(WEB_APP / "infra" / "main.bicepparam", {}).items()
    }
    chosen = set(yaml.safe_load((WEB_APP / "azure.yaml").read_text(encoding="utf-8"))["pipeline"]["variables"])
    table = {tuple(re.findall(r"`(\w+)`", row[0])): row[1].replace("`", "") for row in rows("Choose")}
    assert {name for group in table for name in group} == chosen - {"APP_HOST"}  # that one is --host
    for group, told in table.items():
        values = ["{}" if defaults[name] == {} else defaults[name] for name in group]
        shown = ["true" if value is True else str(value) or "the service's" for value in values]
        assert told == ", ".join(shown)


def test_the_commands_are_those_of_the_script() -> None:
    told = [match[1] for row in rows("Deploy") if (match := re.search(r"deploy\.sh (\w+)", row[0]))]
    assert f"    {' | '.join(told)})\n" in SCRIPT  # the branch that takes an action


def test_every_error_that_is_quoted_is_one_of_ours() -> None:
    quoted = re.findall(r"`([^`]+)`", " ".join(row[0] for row in rows("When it does not work")))
    of_azure = {"InsufficientQuota", "FlagMustBeSetForRestore", "TasksOperationsNotAllowed"}
    web = (ROOT / "src" / "voicelive_agent" / "web" / "_app.py").read_text(encoding="utf-8")
    assert [text for text in quoted if text not in SCRIPT + web and text not in of_azure | {"--purge"}] == []
