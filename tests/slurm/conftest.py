"""A real SLURM on this machine for the tests of this folder, or the sentence why there is none."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

CLUSTER = Path(__file__).parent / "cluster.sh"
HOUSE = Path("/run/relative-stability-slurm")
MISSING = [program for program in ("slurmctld", "slurmd", "munged") if shutil.which(program) is None]
# mariadb-install-db, of one package, calls my_print_defaults, of another.
ACCOUNTANTS = ("slurmdbd", "mariadbd", "mariadb-install-db", "my_print_defaults")
MISSING_ACCOUNTANTS = [program for program in ACCOUNTANTS if shutil.which(program) is None]
# Who uses which cluster, of all test processes of this machine: {name: [process, ...]}.
USED = HOUSE.with_suffix(".json")
LOCK = FileLock(USED.with_suffix(".lock"))


def pytest_collection_modifyitems(items):
    reason = "only root can start a SLURM here" if os.getuid() else ""
    if MISSING:
        reason = f"no SLURM here: install slurm-wlm and munge (missing: {', '.join(MISSING)})"
    # On most machines there is none, nor the right to start one; where it runs in earnest, CI, it is installed first.
    for item in items:
        if reason and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=reason))


@contextmanager
def running(name: str) -> Iterator[None]:
    """A SLURM, shared with all who want that of this name; this process is one of its users meanwhile."""
    with LOCK:
        users = _users()
        if not users.get(name):
            started = subprocess.run([CLUSTER, "start", name], capture_output=True, text=True, timeout=120)
            assert started.returncode == 0, started.stdout + started.stderr
        USED.write_text(json.dumps({**users, name: [*users.get(name, []), os.getpid()]}))
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLURM_CONF", str(HOUSE / name / "slurm.conf"))
            patch.setenv("PATH", str(HOUSE / name), prepend=os.pathsep)
            yield
    finally:
        with LOCK:
            users = _users()
            users[name].remove(os.getpid())
            USED.write_text(json.dumps(users))
            if not users[name]:
                subprocess.run([CLUSTER, "stop", name], check=True, timeout=120)


def _users() -> dict[str, list[int]]:
    """Those that are alive: a test process that was killed uses nothing any more."""
    used = json.loads(USED.read_text()) if USED.exists() else {}
    return {name: [user for user in users if Path(f"/proc/{user}").exists()] for name, users in used.items()}


@pytest.fixture
def cluster():
    """A SLURM without accounts."""
    with running("plain"):
        yield


@pytest.fixture
def cluster_alone():
    """The same for a single test, which will stop its controller. Its value is the controller's process id."""
    with running("alone"):
        yield int((HOUSE / "alone/slurmctld.pid").read_text())


@pytest.fixture
def cluster_with_accounts():
    """A SLURM that keeps accounts."""
    if MISSING_ACCOUNTANTS:
        packages = "slurmdbd, mariadb-server-core and mariadb-client-core"
        pytest.skip(f"no accounts here: install {packages} (missing: {', '.join(MISSING_ACCOUNTANTS)})")
    with running("accounts"):
        yield
