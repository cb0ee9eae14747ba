"""Measure each module by its own tests alone: every branch of it, or this fails.

A module that is only covered by tests of something else has nobody who says what it is for. There is one process
for each row of the table, in which nothing else is measured:

    python tests/maxi_cov.py              # all rows
    python tests/maxi_cov.py _wire tools  # the rows of these modules

Where the whole suite was measured just before, each line is known with the file of tests that ran it: conftest.py
says so. A row whose own files ran all of it there is not run again. Any other has its process, whose word counts:
in a process shared with others a cache that they have filled may hide what its tests run by themselves.

    python tests/maxi_cov.py --suite .coverage
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from coverage import Coverage

PACKAGE = "voicelive_agent"
TESTS = Path(__file__).parent
ROOT = TESTS.parent
CONFIGURATION = str(ROOT / "pyproject.toml")

# modules: their own tests (files without "test_" and ".py"; * stands for several)
TABLE = {
    "events _tool_events _trouble_events": "events",
    "errors _connection": "errors",
    "audio": "audio",
    "history": "history",
    "_paced": "paced",
    "_pcm": "pcm pcm_samples",
    "_wire": "wire",
    "_outputs": "outputs",
    "_playback": "playback",
    "_turnclock": "turnclock",
    "_turns _plan": "turns",
    "_manual_turns": "manual_turns*",
    "_typed": "typed_items",
    "_images _image_link _user_input": "user_input images image_link",
    "_requests": "requests",
    "_responses": "responses",
    "_corrections": "corrections",
    "_toolcalls": "toolcalls",
    "_approval _approvals": "approvals",
    "_batches": "batches",
    "_mcp_calls": "mcp_calls",
    "_tool_items": "tool_items",
    "_asking": "asking",
    "_step": "step",
    "_incoming": "incoming",
    "_conversation _answers _waiting _user_speech": "conversation* answers* asking* manual_turns* updates",
    "_pump": "pump",
    "_buffer": "buffer",
    "_hooks": "hooks",
    "_speech speech _responding": "speech responding",
    "_endings": "endings",
    "_schema": "schema",
    "_tool_threads": "tool_threads",
    "_tool tools": "tools tool_arguments",
    "_tool_invocation": "tool_invocation tool_results",
    "_session_fields": "session_fields",
    "_session_parts _voices": "session_parts",
    "_session_config": "session_config",
    "_combinations": "combinations",
    "_granted": "granted",
    "_updates": "updates",
    "_call_audio": "call_audio",
    "_awaited _agent_session": "agent_session agent_tool_use agent_tool_sets",
    "_turn_detection": "turn_detection",
    "_settings": "settings",
    "_targets": "targets",
    "config": "config",
    "files": "files",
    "_wav": "wav",
    "_wav_writer": "wav_writer",
    "_soundfile": "soundfile",
    "_conformance": "conformance",
    "cli/_target": "cli_target",
    "cli/_screen cli/_transcript cli/_live": "cli_screen",
    "cli/_level": "cli_level",
    "cli/_reload": "cli_reload",
    "_playout": "playout",
    "_watchdog": "watchdog",
    "_device_capture": "device_capture",
    "_device_clock": "device_clock",
    "_device_portaudio": "device_portaudio",
    "devices _device_card": "devices",
    "websocket/_position": "websocket_position",
    "websocket/_limits": "websocket_limits",
    "websocket/_inbox": "websocket_inbox",
    "websocket/_outbox": "websocket_outbox",
    "websocket/dialect": "websocket_dialect",
    "websocket/_adapters": "websocket_adapters",
    "websocket/_audio": "websocket_audio",
    "websocket/browser": "websocket_browser",
    "websocket/twilio": "websocket_twilio",
    "websocket/acs": "websocket_acs",
    "web/_tickets": "web/tickets",
    "web/_visitors": "web/visitors",
    "web/_guard": "web/guard",
    "emulator/observers": "emulator/observers",
    "emulator/faults emulator/_fault_actions emulator/_fault_script emulator/_fault_json": "emulator/faults "
    "emulator/fault_rows",
    "emulator/replay emulator/_matching emulator/_replay_plan": "emulator/replay",
    "emulator/script emulator/_script_file emulator/_script_rules emulator/_script_yaml "
    "emulator/_written": "emulator/script",
    "emulator/echo": "emulator/echo",
    "emulator/threaded": "emulator/threaded",
    "emulator/_client_events emulator/_images emulator/_turn_input": "emulator/client_events",
    "emulator/_avatar emulator/_sdp": "emulator/avatar",
    "emulator/event_log": "emulator/event_log",
    "testing/_time": "testing",
    "testing/_likeness testing/_person": "testing/conversation",
}


class Row(NamedTuple):
    """One row of the table: what there is of its modules and tests, and a line for each module without any."""

    names: str
    modules: list[str]
    tests: list[Path]
    lines: list[str]


class Result(NamedTuple):
    """How it went with one row: a line for each module, and what failed."""

    lines: list[str]
    failed: bool
    output: str = ""


class Suite:
    """A measured run of the whole suite, and what importing the modules runs, whoever imports them first."""

    IMPORTED = "imported"

    def __init__(self, data: str, rows: Sequence[Row], directory: Path) -> None:
        self._report = directory / "report.json"
        importing = Coverage(str(directory / "imported"), context=self.IMPORTED, config_file=CONFIGURATION)
        with importing.collect():
            for row in rows:
                for module in row.modules:
                    import_module(f"{PACKAGE}.{module.replace('/', '.')}")
        importing.save()
        self._coverage = Coverage(str(directory / "suite"), config_file=CONFIGURATION)
        self._coverage.combine([data, str(directory / "imported")], keep=True)

    def judge(self, row: Row) -> Result | None:
        """The result of a row whose own tests ran all of it; None if this run cannot tell."""
        own = [f"^{re.escape(context_of(path))}$" for path in row.tests]
        files = [str(file_of(module)) for module in row.modules]
        data = self._coverage.get_data()
        data.set_query_contexts(own)
        if not own or not all(data.lines(file) for file in files):
            return None
        self._coverage.json_report(include=files, outfile=str(self._report), contexts=[*own, f"^{self.IMPORTED}$"])
        result = judged(row, json.loads(self._report.read_text(encoding="utf-8"))["files"])
        return None if result.failed else result


def main(arguments: Sequence[str]) -> int:
    """Measure the rows of the wanted modules, or all; the exit code."""
    parser = argparse.ArgumentParser(description="Measure each module by its own tests alone.")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="only the rows of these")
    parser.add_argument("--suite", metavar="FILE", help="what coverage.py measured in a run of the whole suite")
    options = parser.parse_args(arguments)
    wanted = set(options.modules)
    if unknown := wanted - {module for modules in TABLE for module in modules.split()}:
        print(f"not in the table: {', '.join(sorted(unknown))}")
        return 2
    rows = [row_of(*each) for each in TABLE.items() if not wanted or wanted & set(each[0].split())]
    failed = False
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor(os.cpu_count()) as pool:
        suite = Suite(options.suite, rows, Path(directory)) if options.suite else None
        known = {row.names: suite.judge(row) for row in rows} if suite else {}
        for result in pool.map(lambda row: known.get(row.names) or measure(row, Path(directory)), rows):
            print(*result.lines, sep="\n", flush=True)
            if result.output:
                print(result.output, flush=True)
            failed = failed or result.failed
    if suite:
        print(f"{sum(each is None for each in known.values())} of {len(rows)} rows were run by themselves")
    return int(failed)


def row_of(names: str, patterns: str) -> Row:
    """Look what there is of a row of the table."""
    modules = [module for module in names.split() if file_of(module).exists()]
    tests = [path for name in patterns.split() for path in sorted(TESTS.glob(pattern_of(name)))]
    lines = [f"{module:<18} skipped: no such module" for module in names.split() if module not in modules]
    if not tests:
        lines += [f"{module:<18} skipped: it has no tests ({patterns})" for module in modules]
    return Row(names, modules, tests, lines)


def measure(row: Row, directory: Path) -> Result:
    """Run the tests of one row and look at its modules."""
    if not row.modules or not row.tests:
        return Result(row.lines, failed=False)
    data = directory / f"{row.modules[0].replace('/', '.')}.coverage"
    # Not --source with names: to find them coverage imports their packages, and asyncio with them, and forgets all
    # of it again; an asyncio imported anew has exceptions of its own, which its C code never raises.
    files = ",".join(str(file_of(module)) for module in row.modules)
    tests = map(str, row.tests)
    run = coverage("run", "--branch", f"--include={files}", f"--data-file={data}", "-m", "pytest", "-q", *tests)
    if run.returncode != 0:
        return Result([*row.lines, f"{row.names:<18} its tests fail"], failed=True, output=run.stdout + run.stderr)
    report = coverage("json", "-q", f"--data-file={data}", "-o", "-")
    return judged(row, json.loads(report.stdout)["files"] if report.returncode == 0 else {})


def judged(row: Row, measured: dict[str, Any]) -> Result:
    """What a report of coverage.py means for the modules of a row."""
    inside = {Path(name).parts[Path(name).parts.index(PACKAGE) + 1 :]: each for name, each in measured.items()}
    found = {"/".join(parts).removesuffix(".py"): summary for parts, summary in inside.items()}
    each = [line_of(module, found.get(module)) for module in row.modules]
    return Result(row.lines + [line for line, _ in each], failed=not all(whole for _, whole in each))


def file_of(module: str) -> Path:
    """``web/_guard`` -> ``src/voicelive_agent/web/_guard.py``."""
    return ROOT / "src" / PACKAGE / f"{module}.py"


def context_of(path: Path) -> str:
    """The name under which coverage.py has what a file of tests ran: ``tests/web/test_guard.py``."""
    return path.relative_to(ROOT).as_posix()


def pattern_of(name: str) -> str:
    """``web/guard`` -> ``web/test_guard.py``."""
    folder, slash, stem = name.rpartition("/")
    return f"{folder}{slash}test_{stem}.py"


def coverage(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run coverage.py where its configuration is."""
    command = [sys.executable, "-m", "coverage", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False)


def line_of(module: str, measured: dict[str, Any] | None) -> tuple[str, bool]:
    """What to print about a module, and whether all of it was run."""
    if measured is None:
        return f"{module:<18} never imported by its tests", False
    summary = measured["summary"]
    if not summary["missing_lines"] and not summary["missing_branches"]:
        return f"{module:<18} 100 %", True
    branches = [f"{start}->{end}" for start, end in measured["missing_branches"]]
    missing = ", ".join(map(str, [*measured["missing_lines"], *branches]))
    return f"{module:<18} {summary['percent_covered']:.1f} %, not run: {missing}", False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
