"""A project whose snakemake submits to SLURM, and what SLURM's own records say of its jobs."""

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.workflow.project import Project, copy_project

# The first look at a job comes after 2 s and not 40, and the next ones follow every 2 s and not after 10 s, 20 s, ...
IMPATIENT = ("--slurm-init-seconds-before-status-checks", "2", "--max-status-checks-per-second", "1")
OFTEN = """__definitions__:
  - from snakemake_executor_plugin_slurm import Executor
  - "Executor.next_seconds_between_status_checks = property(lambda self: 2, lambda self, seconds: None)"
"""
SMALL = """
training: {steps: 60, evaluations: 2, batch_size: 16}
nets: {fc: {depth: 2, width: 32}, fc2: {width: 32}, cnn: {width: 0.5}, lenet: {}}
stability: {images: 20, displacement: [1]}
datasets: {digits: {image_size: 12}}
"""
ALONE = "pack_minutes: 0\n"  # jobs of its own for each run
# 40 s of training: a net that waits at every step lasts as long on a busy machine, and takes no core from other tests.
SLOW = (
    ALONE
    + """
engine: {checkpoint_minutes: 0.05}
training: {steps: 800, evaluations: 2, batch_size: 16}
nets: {fc: {depth: 2, width: 32}, cnn: {width: 0.5}}
stability: {images: 20, displacement: [1]}
datasets: {digits: {image_size: 12}}
"""
)

WAITING = """

import time

_cnn = cnn


def cnn(*arguments, **options):
    net = _cnn(*arguments, **options)
    net.register_forward_pre_hook(lambda net, _: time.sleep(0.05 * net.training))
    return net
"""


def sweep(P: list[int], nets: str = "cnn", seeds: str = "0") -> str:
    """The sweep of a config."""
    return f"sweeps:\n  default: {{datasets: [digits], nets: [{nets}], P: {P}, seeds: [{seeds}]}}\n"


def project_with(folder: Path, config: str, partition: str = "main") -> Project:
    """A copy of the project with a config of its own, and the profile for a partition."""
    project = copy_project(folder)
    (folder / "config/here.yaml").write_text(config)
    if "checkpoint_minutes" in config:
        with (folder / "src/relative_stability/nets/convolutional.py").open("a") as code:
            code.write(WAITING)
    profile = folder / "slurm/profile.v9+.yaml"
    text = profile.read_text()
    for old, new in (("__definitions__:\n", OFTEN), ("# slurm_partition: gpu", f"slurm_partition: {partition}")):
        assert old in text
        text = text.replace(old, new)
    profile.write_text(text)
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
            subprocess.run(["scancel", *(job["JobId"] for job in jobs_of(project))])


def jobs_of(project: Project, *states: str) -> list[dict[str, str]]:
    """What SLURM remembers of the jobs of a project, in the order of their numbers: of those in some states, or of all."""
    said = subprocess.run(["scontrol", "--oneliner", "show", "jobs"], capture_output=True, text=True).stdout
    jobs = [dict(re.findall(r"(\w+)=(\S+)", line)) for line in said.splitlines() if line.startswith("JobId=")]
    mine = [job for job in jobs if job["WorkDir"] == str(project.path) and (not states or job["JobState"] in states)]
    return sorted(mine, key=lambda job: int(job["JobId"]))


def trained(jobs: list[dict[str, str]]) -> list[dict[str, str]]:
    """Those jobs that asked for a GPU."""
    return [job for job in jobs if job.get("TresPerJob") == "gres:gpu:1"]


def until(true: Callable[[], object], process: subprocess.Popen[str] | None, seconds: float = 900) -> None:
    """Wait until something has come to pass, as long as a process, if one is meant, runs."""
    end = time.monotonic() + seconds
    while not true():
        assert process is None or process.poll() is None, "the process has ended"
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.3)


def scontrol(*arguments: str) -> None:
    """What an administrator types."""
    subprocess.run(["scontrol", *arguments], check=True, timeout=60)


def curves(project: Project) -> list[Path]:
    """Results of trainings."""
    return sorted(project.path.glob("results/training/**/*.nc"))


def checkpoints(project: Project) -> set[Path]:
    """Folders of trainings that have left something to go on from."""
    return {path.parent for path in project.path.glob("results/checkpoints/*/*.safetensors")}


def ended(project: Project, process: subprocess.Popen[str], seconds: float = 900) -> None:
    """It ends well."""
    code = process.wait(timeout=seconds)
    assert code == 0, (project.path / "said").read_text()


def log_of(project: Project, net: str, P: int) -> str:
    """The log of a training."""
    (log,) = project.path.glob(f"results/logs/training/digits/{net}/P{P}/*.log")
    return log.read_text()
