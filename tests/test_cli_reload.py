"""Noticing that code has changed, and forgetting it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import anyio
import pytest

from voicelive_agent.cli._reload import POLL_S, Watch, files_blamed, forget, users_modules

from .agent_driver import virtual


@pytest.fixture
def own_modules() -> Iterator[None]:
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def watching(*files: Path) -> Watch:
    watch = Watch()
    watch.add(files)
    return watch


async def nothing_changes(watch: Watch) -> bool:
    with anyio.move_on_after(10 * POLL_S) as waiting:
        await watch.changed()
    return waiting.cancelled_caught


# --- noticing ---------------------------------------------------------------------------------------------------


@virtual
async def test_a_change_is_noticed_once(tmp_path: Path) -> None:
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text("1")
    two.write_text("2")
    watch = watching(one, two)
    assert await nothing_changes(watch)
    one.write_text("one")
    assert await watch.changed() == [one]
    assert await nothing_changes(watch)


@virtual
async def test_the_same_size_is_a_change_too(tmp_path: Path) -> None:
    file = tmp_path / "one.py"
    file.write_text("1")
    watch = watching(file)
    status = file.stat()
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
    assert await watch.changed() == [file]


@virtual
async def test_a_file_that_is_replaced_has_changed_when_it_is_there_again(tmp_path: Path) -> None:
    file, other = tmp_path / "one.py", tmp_path / "new.py"
    file.write_text("1")
    watch = watching(file)
    file.unlink()
    assert await nothing_changes(watch)
    other.write_text("1")
    other.rename(file)
    assert await watch.changed() == [file]


@virtual
async def test_several_steps_are_one_change(tmp_path: Path) -> None:
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text("1")
    two.write_text("2")
    watch = watching(one, two)

    async def save() -> None:
        for count, file in enumerate((one, two, one), 2):
            file.write_text("x" * count)
            await anyio.sleep(0.05)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(save)
        assert sorted(await watch.changed()) == [one, two]
    assert await nothing_changes(watch)


@virtual
async def test_what_changes_between_two_looks_is_not_lost(tmp_path: Path) -> None:
    """While the code is loaded anew, nobody waits; and files that are watched already are added again."""
    file = tmp_path / "one.py"
    file.write_text("1")
    watch = watching(file)
    file.write_text("one")
    watch.add([file])
    assert await watch.changed() == [file]


@virtual
async def test_what_was_written_while_it_was_read_has_changed(tmp_path: Path) -> None:
    """Loading the code takes a while, and somebody may save another version meanwhile."""
    before, while_read, ahead = (tmp_path / name for name in ("before.py", "while_read.py", "ahead.py"))
    read_ns = time.time_ns() - 1_000_000_000
    for file, after_ns in ((before, -1), (while_read, 1), (ahead, 3_600_000_000_000)):
        file.write_text("1")
        os.utime(file, ns=(read_ns, read_ns + after_ns))
    watch = Watch()
    watch.add([before, while_read, ahead], read_ns=read_ns)
    assert await watch.changed() == [while_read]
    assert await nothing_changes(watch)


@virtual
async def test_a_file_that_is_made_is_a_change(tmp_path: Path) -> None:
    file = tmp_path / "one.py"
    watch = watching(file)
    assert await nothing_changes(watch)
    file.write_text("1")
    assert await watch.changed() == [file]


# --- whose code it is -------------------------------------------------------------------------------------------


def module(name: str, file: Path | None) -> None:
    made = sys.modules[name] = ModuleType(name)
    if file is not None:
        made.__file__ = str(file)


@pytest.mark.usefixtures("own_modules")
def test_the_users_modules_are_those_below_their_folder(tmp_path: Path) -> None:
    before = set(sys.modules)
    root = tmp_path.resolve()
    module("users", root / "users.py")
    module("users.part", root / "users" / "part.py")
    module("installed", root / ".venv" / "lib" / "site-packages" / "installed.py")
    module("elsewhere", root.parent / "elsewhere.py")
    module("compiled", root / "compiled.so")
    module("voicelive_agent.cli.new", root / "src" / "voicelive_agent" / "cli" / "new.py")
    module("nowhere", None)
    assert users_modules(root, before) == {"users": root / "users.py", "users.part": root / "users" / "part.py"}
    assert users_modules(root, {*before, "users"}) == {"users.part": root / "users" / "part.py"}


@pytest.mark.usefixtures("own_modules")
def test_what_is_forgotten_is_loaded_anew() -> None:
    module("users", None)
    forget(["users", "never_there"])
    assert "users" not in sys.modules


def test_the_files_that_an_error_names(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    broken, caller = root / "broken.py", root / "caller.py"
    code = f"compile('x = = 1', {str(broken)!r}, 'exec')"
    try:
        exec(compile(code, str(caller), "exec"))
    except SyntaxError as error:
        outer = RuntimeError("while loading")
        outer.__cause__ = error
    assert files_blamed(outer, root) == [broken, caller]
    assert files_blamed(SyntaxError("without a file"), root) == []
