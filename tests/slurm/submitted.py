"""A project whose snakemake submits to SLURM, and what SLURM's own records say of its jobs."""

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.workflow.project import Project, copy_project

# The first look at a job comes after 2 s and not 40, and questions follow at once.
IMPATIENT = ("--slurm-init-seconds-before-status-checks", "2", "--max-status-checks-per-second", "1")
SMALL = """
training: {steps: 60, evaluations: 2, batch_size: 16}
nets: {fc: {depth: 2, width: 32}, fc2: {width: 32}, cnn: {width: 0.5}, lenet: {}}
stability: {images: 20, displacement: [1]}
datasets: {digits: {image_size: 12}}
"""
ALONE = "pack_minutes: 0\n"  # jobs of its own for each run
SLOW = (
    ALONE
    + """
engine: {checkpoint_minutes: 0.05}
training: {steps: 15000, evaluations: 2, batch_size: 16}
nets: {fc: {depth: 2, width: 32}, cnn: {width: 0.5}}
stability: {images: 20, displacement: [1]}
datasets: {digits: {image_size: 12}}
"""
)


def sweep(P: list[int], nets: str = "cnn", seeds: str = "0") -> str:
    """The sweep of a config."""
    return f"sweeps:\n  default: {{datasets: [digits], nets: [{nets}], P: {P}, seeds: [{seeds}]}}\n"


def project_with(folder: Path, config: str) -> Project:
    """A copy of the project with a config of its own."""
    project = copy_project(folder)
    (folder / "config/here.yaml").write_text(config)
    return project


def submit(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    """snakemake --profile slurm, to its end."""
    return project.snakemake("--profile", "slurm", *IMPATIENT, *arguments, config="config/here.yaml")


@contextmanager
def submitting(project: Project) -> Iterator[subprocess.Popen[str]]:
    """The same, not waited for; what it says goes to the file `said`. Nothing is left of it behind the block."""
    process = project.start("--profile", "slurm", *IMPATIENT, config="config/here.yaml")
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
            subprocess.run(["scancel", *(job["JobId"] for job in jobs() if job["WorkDir"] == str(project.path))])


def jobs() -> list[dict[str, str]]:
    """All jobs that SLURM remembers."""
    said = subprocess.run(["scontrol", "--oneliner", "show", "jobs"], capture_output=True, text=True).stdout
    return [dict(re.findall(r"(\w+)=(\S+)", line)) for line in said.splitlines() if line.startswith("JobId=")]


def last_job() -> int:
    """The number of the last job so far."""
    return max((int(job["JobId"]) for job in jobs()), default=0)


def jobs_after(number: int) -> list[dict[str, str]]:
    """Jobs that were submitted later."""
    return [job for job in jobs() if int(job["JobId"]) > number]


def until(true: Callable[[], object], process: subprocess.Popen[str] | None, seconds: float = 120) -> None:
    """Wait until something has come to pass, as long as a process, if one is meant, runs."""
    end = time.monotonic() + seconds
    while not true():
        assert process is None or process.poll() is None, "the process has ended"
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.1)


def scontrol(*arguments: str) -> None:
    """What an administrator types."""
    subprocess.run(["scontrol", *arguments], check=True, timeout=60)
