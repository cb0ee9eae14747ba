"""A Dockerfile, read and replayed without Docker: its stages are folders, its commands run with paths into them.

Only what needs an account of another machine or root (``useradd``) is left out.
https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """One instruction: ``RUN`` and its text."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """An instruction in exec form as its words. ValueError if a shell would run it."""
        found = json.loads(self.text)
        if not isinstance(found, list):
            raise ValueError(f"{self.text} is not in exec form")
        return [str(word) for word in found]


@dataclass
class Stage:
    """From one FROM to the next."""

    image: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, name: str) -> list[Instruction]:
        return [each for each in self.instructions if each.name == name]

    def one(self, name: str) -> Instruction:
        (found,) = self.all(name)
        return found

    @property
    def environment(self) -> dict[str, str]:
        return dict(pair.split("=", 1) for each in self.all("ENV") for pair in each.text.split())


def read(path: Path) -> list[Stage]:
    """The stages of a Dockerfile."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    stages: list[Stage] = []
    for line in filter(str.strip, text.splitlines()):
        name, _, rest = line.strip().partition(" ")
        if name == "FROM":
            image, _, label = rest.partition(" AS ")
            stages.append(Stage(image, label))
        else:
            stages[-1].instructions.append(Instruction(name, rest.strip()))
    return stages


def ignored(context: Path) -> list[str]:
    """The patterns of ``.dockerignore``."""
    lines = (context / ".dockerignore").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@dataclass
class Replay:
    """The stages of a Dockerfile as folders below ``root``; ``python`` is the one of the base image."""

    context: Path
    root: Path
    python: Path
    stages: list[Stage]

    def folder(self, stage: Stage) -> Path:
        return self.root / (stage.name or "final")

    def run(self) -> Stage:
        """Replay everything; gives the last stage."""
        for stage in self.stages:
            self.folder(stage).mkdir(parents=True)
            for each in stage.instructions:
                if each.name == "WORKDIR":
                    self.inside(stage, each.text).mkdir(parents=True, exist_ok=True)
                elif each.name == "COPY":
                    self._copy(stage, each.text.split())
                elif each.name == "RUN" and not each.text.startswith("useradd "):
                    subprocess.run(
                        ["sh", "-ec", self._moved(stage, each.text)], check=True, env=self._environ(stage)
                    )
        return self.stages[-1]

    def command(
        self, stage: Stage, words: list[str], *, stderr: int | None = None, **environ: str
    ) -> subprocess.Popen[bytes]:
        """Start a command of this stage, with its variables and in its folder."""
        folder = self.inside(stage, stage.all("WORKDIR")[-1].text)
        environment = {**self._environ(stage), **environ}
        program = shutil.which(words[0], path=environment["PATH"]) or words[0]
        return subprocess.Popen([program, *words[1:]], cwd=folder, env=environment, stderr=stderr)

    def inside(self, stage: Stage, path: str) -> Path:
        """Where a path of a stage is on this machine."""
        return self.folder(stage) / path.lstrip("/")

    def _moved(self, stage: Stage, text: str) -> str:
        return re.sub(r"(?<![\w.:/-])/(?=\w)", f"{self.folder(stage)}/", text)

    def _environ(self, stage: Stage) -> dict[str, str]:
        path = f"{self.python.parent}{os.pathsep}{os.environ['PATH']}"
        kept = {
            name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "REQUESTS_"))
        }
        own = {name: self._moved(stage, value).replace("$PATH", path) for name, value in stage.environment.items()}
        return {"PATH": path, "HOME": str(self.root), **kept, **own}

    def _copy(self, stage: Stage, words: list[str]) -> None:
        flags = [word for word in words if word.startswith("--from=")]
        *sources, target = [word for word in words if word not in flags]
        if flags:
            (origin,) = [each for each in self.stages if each.name == flags[0].partition("=")[2]]
            base, skipped = self.folder(origin), []
        else:
            base, skipped = self.context, ignored(self.context)
        found: list[Path] = []
        for source in sources:
            found += [base] if source == "." else sorted(base.glob(source.strip("/")))
        if not found:
            raise FileNotFoundError(f"COPY {' '.join(sources)}: there is nothing")
        for path in found:
            self._copy_one(path, self.inside(stage, target), skipped, is_folder=target.endswith("/"))

    def _copy_one(self, path: Path, target: Path, skipped: list[str], *, is_folder: bool) -> None:
        if path.is_dir():  # its content, as Docker does

            def ignore(folder: str, names: list[str]) -> set[str]:
                top = Path(folder) == self.context
                patterns = [each.removeprefix("**/") for each in skipped if top or each.startswith("**/")]
                return {name for name in names for each in patterns if fnmatch.fnmatch(name, each)}

            shutil.copytree(path, target, symlinks=True, ignore=ignore, dirs_exist_ok=True)
        else:
            destination = target / path.name if is_folder else target
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, destination)
