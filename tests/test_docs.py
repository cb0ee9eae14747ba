"""The documentation says what is true: its links, its code, its tables."""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import voicelive_agent
from voicelive_agent import errors, events
from voicelive_agent.cli import _parser

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
API = [DOCS / "reference" / f"{page}.md" for page in ("api", "api-config", "api-emulator")]
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
MODULES = ["voicelive_agent"] + [
    f"voicelive_agent.{module.name}"
    for module in pkgutil.iter_modules(voicelive_agent.__path__)
    if not module.name.startswith("_") and module.name not in ("cli", "errors", "events")
]
"""The modules whose names are on the pages of the API; all errors are, and events have a page of their own."""
ELSEWHERE = {
    "docs/how-to/audio-files.md": "test_example_files.py",
    "docs/how-to/emulator.md": "test_cli_emulator.py",
    "docs/how-to/emulator-answers.md": "emulator/test_script.py",
    "docs/how-to/own-transport.md": "test_docs.py",
    "docs/how-to/telephone.md": "test_docs_transports.py",
    "docs/how-to/testing.md": "testing/test_plugin.py",
    "docs/how-to/websocket.md": "test_docs_transports.py",
}
"""The pages whose code needs a service, a far end or files, and the test that runs it with them."""
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str = "python") -> list[str]:
    """The code blocks of a page in this language."""
    return [code for _, tag, code in FENCE.findall(read(page)) if tag == language]


def prose(page: Path) -> str:
    """A page without its code."""
    return re.sub(r"`[^`\n]+`", "code", FENCE.sub("", read(page)))


def anchors(page: Path) -> set[str]:
    """The fragments that a link into this page may have."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", read(page)), re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower() for heading in headings)
    return {re.sub(r"[\s-]+", "-", heading) for heading in plain}


def links(page: Path) -> Iterator[tuple[str, str]]:
    """The links of a page that stay in this repository, as (path, fragment)."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if not re.match(r"[a-z]+:", target):
            path, _, fragment = target.partition("#")
            yield path, fragment


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def subcommands() -> dict[str, argparse.ArgumentParser]:
    choices = [action.choices for action in _parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(choices[0])


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for path, fragment in links(page):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{path} does not exist"
        assert target.is_relative_to(ROOT), f"{path} is outside of the repository"
        if page.is_relative_to(DOCS):
            assert target.is_relative_to(DOCS), f"{path} is not part of the site"
        if fragment:
            assert fragment in anchors(target), f"{path} has no heading #{fragment}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_python_is_python(page: Path) -> None:
    for code in blocks(page):
        compile(textwrap.dedent(code), name(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)


@pytest.mark.parametrize("page", ["README.md", "docs/index.md", "docs/tutorial/first-agent.md"])
def test_what_a_beginner_copies_is_part_of_an_example(page: str) -> None:
    examples = [read(example) for example in (ROOT / "examples").rglob("*.py")]
    found = blocks(ROOT / page)
    assert found
    for code in found:
        assert any(code in example for example in examples), code


def test_the_readme_names_every_example_and_the_example_says_how_to_run_it_with_no_account() -> None:
    listed = re.findall(
        r"^\| .+ \| `(.+)` \|$", read(ROOT / "README.md").partition("## Examples")[2], re.MULTILINE
    )
    for example in (ROOT / "examples").glob("*.py"):
        (command,) = (command for command in listed if f"examples/{example.name}" in command)
        runs, _, _ = command.partition(f"examples/{example.name}")
        said = ast.get_docstring(ast.parse(read(example))) or ""
        assert f"{runs.strip()} examples/{example.name}" in said.replace(" hello.py", " examples/hello.py"), (
            command
        )
        assert re.search("emulator|no account", said), example


def test_the_readme_leads_to_every_page() -> None:
    linked = {path for path, _ in links(ROOT / "README.md")}
    pages = {name(page) for page in DOCS.rglob("*.md")} - {"docs/index.md"}
    assert not pages - linked


def test_the_way_to_test_is_that_of_the_example() -> None:
    example = read(ROOT / "examples" / "scripted_test.py")
    quoted = [code for code in blocks(DOCS / "how-to" / "test-your-agent.md") if "import" not in code]
    assert len(quoted) == 4
    assert all(code in example for code in quoted)


async def test_the_transport_of_the_guide_keeps_the_contract() -> None:
    page = DOCS / "how-to" / "own-transport.md"
    namespace: dict[str, object] = {}
    exec("\n".join(blocks(page)), namespace)
    check = namespace["check_the_line"]
    assert callable(check)
    await check()


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page) and name(page) not in ELSEWHERE], ids=name
)
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AZURE_VOICELIVE_ENDPOINT", "emulator")
    examples = [read(example) for example in (ROOT / "examples").rglob("*.py")]
    namespace: dict[str, object] = {"__name__": "guide"}
    for code in blocks(page):
        if not any(code in example for example in examples):
            exec(code, namespace)


@pytest.mark.parametrize("page", ELSEWHERE)
def test_the_code_of_the_other_pages_runs_elsewhere(page: str) -> None:
    assert blocks(ROOT / page)
    assert Path(page).name in read(ROOT / "tests" / ELSEWHERE[page])


def test_the_events_are_those_of_the_code() -> None:
    generate = module(DOCS / "generate.py")
    assert read(generate.PAGE) == generate.page(), "run: python docs/generate.py"


def test_every_command_and_option_is_documented() -> None:
    text = read(DOCS / "reference" / "command-line.md")
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    commands = subcommands()
    assert sections.keys() == commands.keys()
    for command, parser in commands.items():
        options = {option for action in parser._actions for option in action.option_strings} - {"-h", "--help"}
        documented = set(re.findall(r"^\| `(--?[a-z-]+)", sections[command], re.MULTILINE))
        assert documented == options, command


def test_every_environment_variable_is_documented() -> None:
    from voicelive_agent._settings import _NAMES

    text = read(DOCS / "how-to" / "connect-to-azure.md")
    for names in _NAMES.values():
        assert all(f"`{each}`" in text for each in names)


def test_every_page_is_in_the_navigation() -> None:
    navigation = re.findall(r": (\S+\.md)$", read(ROOT / "mkdocs.yml"), re.MULTILINE)
    assert sorted(navigation) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_in_the_api_pages(module: str) -> None:
    directives = re.findall(r"^::: ([\w.]+)\n((?:    .+\n)*)", "\n".join(map(read, API)), re.MULTILINE)
    shown = {name for name, _ in directives}
    for name, options in directives:
        shown |= {f"{name}.{member}" for member in re.findall(r"\w+", options.partition("members:")[2])}
    whole, ours = importlib.import_module(module).__all__, {*errors.__all__, *events.__all__}
    assert not {name for name in whole if not {f"{module}.{name}", f"voicelive_agent.{name}"} & shown} - ours


def test_every_member_of_an_agent_is_in_the_api_page() -> None:
    from voicelive_agent import VoiceAgent
    from voicelive_agent._hooks import HOOKS

    (shown,) = re.findall(r"^::: voicelive_agent.VoiceAgent\n((?:    .+\n)*)", read(API[0]), re.MULTILINE)
    listed = set(re.findall(r'- "?(\w+)"?$', shown, re.MULTILINE))
    assert listed == {name for name in dir(VoiceAgent) if not name.startswith("_")} - {*HOOKS.values()}
