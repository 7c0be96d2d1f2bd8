"""A clone of the project with the golden run done, and a way to ask Snakemake what it would do."""

import multiprocessing
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[2]
CONFIG = "config/test.yaml"
LOADED = multiprocessing.get_context("forkserver")
LOADED.set_forkserver_preload(["snakemake.cli", "snakemake.report", "jsonschema"])


@dataclass
class Project:
    """A copy of the project in a folder of its own, run with its own source."""

    path: Path

    def snakemake(self, *arguments: str, config: str | None = CONFIG) -> subprocess.CompletedProcess[str]:
        """Run snakemake as a user does, with the environment's own commands and this copy's package."""
        return subprocess.run(self.command(*arguments, config=config), capture_output=True, timeout=900, **self.own)

    def dry_run(self, *arguments: str, config: str | None = CONFIG) -> subprocess.CompletedProcess[str]:
        """The same with --dry-run, in a process that forks from one which has imported Snakemake, and not this package."""
        command = self.command("--dry-run", *arguments, config=config)
        with TemporaryDirectory() as folder:
            said = Path(folder) / "said"
            process = LOADED.Process(target=_fork, args=(command[3:], self.path, self.own["env"], said))
            process.start()
            process.join(timeout=600)
            assert process.exitcode is not None, "it does not end"
            return subprocess.CompletedProcess(command, process.exitcode, said.read_text(), "")

    def start(self, *arguments: str, config: str | None = CONFIG) -> subprocess.Popen[str]:
        """The same, not waited for; what it says is added to the file `said`."""
        with (self.path / "said").open("a") as said:
            return subprocess.Popen(self.command(*arguments, config=config), stdout=said, stderr=said, **self.own)

    def command(self, *arguments: str, config: str | None) -> list[str]:
        """The command line."""
        return [sys.executable, "-m", "snakemake", *arguments, *(["--configfile", config] if config else [])]

    @property
    def own(self) -> dict[str, Any]:
        """Where and with what a command runs here."""
        environment = {**os.environ, "PYTHONPATH": str(self.path / "src")}
        return {"cwd": self.path, "env": environment, "text": True}

    def status(self, config: str = CONFIG) -> str:
        """What `relative-stability status` says."""
        ran = self.command_line("status", config)
        ran.check_returncode()
        return ran.stdout

    def command_line(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `relative-stability`, of this copy."""
        code = "import sys; from relative_stability.cli.main import main; sys.exit(main(sys.argv[1:]))"
        return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, **self.own)

    def jobs(self, config: str = CONFIG, *arguments: str) -> dict[str, int]:
        """What a dry run would do: jobs by rule, without those that stand for their inputs."""
        result = self.dry_run(*arguments, config=config)
        assert result.returncode == 0, result.stdout + result.stderr
        text = result.stdout + result.stderr
        if "Nothing to be done" in text:
            return {}
        table = text[text.index("Job stats:") :]
        found = dict(re.findall(r"^(\w+)\s+(\d+)$", table, re.MULTILINE))
        return {rule: int(count) for rule, count in found.items() if rule not in ("all", "figures", "claims", "total")}

    def refused(self, config: str) -> str:
        """What snakemake says of a config that it refuses, before any job starts."""
        result = self.dry_run(config=config)
        assert result.returncode != 0, result.stdout
        assert "Job stats" not in result.stdout + result.stderr
        return result.stdout + result.stderr

    @contextmanager
    def edited(self, file: str, old: str, new: str) -> Iterator[str]:
        """A file with one text replaced, and put back with its time. Yields its path."""
        path = self.path / file
        text, times = path.read_text(), (path.stat().st_atime, path.stat().st_mtime)
        assert text.count(old) >= 1, f"{file} has no {old!r}"
        # Bytecode is told from its source by size and second, and two edits of a second are alike in both.
        compiled = Path(cache_from_source(str(path)))
        compiled.unlink(missing_ok=True)
        path.write_text(text.replace(old, new, 1))
        try:
            yield file
        finally:
            path.write_text(text)
            os.utime(path, times)
            compiled.unlink(missing_ok=True)


def _fork(arguments: list[str], folder: Path, environment: dict[str, str], said: Path) -> None:
    """What `python -m snakemake` does, all but its start."""
    from snakemake.cli import main

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path.insert(0, environment["PYTHONPATH"])
    with said.open("w") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    main(arguments)


def copy_project(target: Path) -> Project:
    """The project's files as they are now, without results and environment."""
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    for name in names:
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return Project(target)
