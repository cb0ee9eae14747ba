"""``--reload``: notice that code has changed, and forget it so that it is loaded anew.

Files are polled: that needs no package, works on every system and file system, and to look at a few files a few
times a second costs nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final, NamedTuple

import anyio

__all__ = ["Watch", "files_blamed", "forget", "users_modules"]

POLL_S: Final = 0.25
SETTLE_S: Final = 0.1
"""Editors write in several steps; a change is told when nothing has changed for so long."""


class _Stamp(NamedTuple):
    """What is different after a file was written."""

    modified_ns: int
    size: int
    inode: int


class Watch:
    """Files whose change is waited for. A file that is missing while an editor replaces it has not changed yet."""

    def __init__(self) -> None:
        self._stamps: dict[Path, _Stamp | None] = {}

    def add(self, files: Iterable[Path], *, read_ns: int | None = None) -> None:
        """Watch these too, as they are now; those watched already are compared with what they were before.

        ``read_ns`` is the time (of ``time.time_ns``) from which on they were read, which takes a while: what was
        written since then has changed already.
        """
        for file in files:
            if file not in self._stamps:
                stamp = _stamp(file)
                self._stamps[file] = None if read_ns is not None and _is_newer(stamp, read_ns) else stamp

    async def changed(self) -> list[Path]:
        """Wait for a change; the files that were changed, whose next change is waited for from now on."""
        changed: dict[Path, None] = {}
        while True:
            news = self._news()
            if changed and not news:
                return list(changed)
            changed |= dict.fromkeys(news)
            await anyio.sleep(SETTLE_S if changed else POLL_S)

    def _news(self) -> list[Path]:
        now = {file: _stamp(file) for file in self._stamps}
        changed = [file for file, stamp in now.items() if stamp is not None and stamp != self._stamps[file]]
        self._stamps |= {file: now[file] for file in changed}
        return changed


def _stamp(file: Path) -> _Stamp | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return _Stamp(status.st_mtime_ns, status.st_size, status.st_ino)


def _is_newer(stamp: _Stamp | None, read_ns: int) -> bool:
    """Whether it was written after that; a clock that is ahead, as that of a file server may be, says nothing."""
    return stamp is not None and read_ns < stamp.modified_ns <= time.time_ns()


def users_modules(root: Path, before: Collection[str]) -> dict[str, Path]:
    """The modules below ``root`` that were loaded since ``before``, and their files: not those of packages."""
    files = {
        name: Path(file).resolve()
        for name, module in list(sys.modules.items())
        if name not in before
        and name.partition(".")[0] != "voicelive_agent"
        and (file := getattr(module, "__file__", None))
    }
    return {name: file for name, file in files.items() if _is_users(file, root)}


def files_blamed(error: BaseException, root: Path) -> list[Path]:
    """The user's files that an error names: those it was raised in, and one that is no Python."""
    files: list[Path] = []
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, SyntaxError) and cause.filename:
            files.append(Path(cause.filename).resolve())
        traceback = cause.__traceback__
        while traceback is not None:
            files.append(Path(traceback.tb_frame.f_code.co_filename).resolve())
            traceback = traceback.tb_next
        cause = cause.__cause__
    return [file for file in files if _is_users(file, root)]


def _is_users(file: Path, root: Path) -> bool:
    return file.suffix == ".py" and file.is_relative_to(root) and "site-packages" not in file.parts


def forget(modules: Iterable[str]) -> None:
    """Let these modules be loaded anew when they are imported next."""
    for name in modules:
        sys.modules.pop(name, None)
