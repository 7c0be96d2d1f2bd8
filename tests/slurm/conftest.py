"""A real SLURM on this machine for the tests of this folder, or the sentence why there is none."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

CLUSTER = Path(__file__).parent / "cluster.sh"
CONFIG = Path("/etc/slurm/slurm.conf")
MISSING = [program for program in ("slurmctld", "slurmd", "munged") if shutil.which(program) is None]
# mariadb-install-db, of one package, calls my_print_defaults, of another.
ACCOUNTANTS = ("slurmdbd", "mariadbd", "mariadb-install-db", "my_print_defaults")
MISSING_ACCOUNTANTS = [program for program in ACCOUNTANTS if shutil.which(program) is None]
# Who uses the cluster, of all test processes of this machine: {"kind": ..., "users": [process, ...]}.
USED = Path("/run/relative-stability-slurm.json")
LOCK = FileLock(USED.with_suffix(".lock"))


def pytest_collection_modifyitems(items):
    reason = "only root can start a SLURM here" if os.getuid() else ""
    if MISSING:
        reason = f"no SLURM here: install slurm-wlm and munge (missing: {', '.join(MISSING)})"
    elif CONFIG.exists() and "tests/slurm/cluster.sh" not in CONFIG.read_text():
        reason = "this machine has a SLURM of its own, which is left alone"
    # On most machines there is none, nor the right to start one; where it runs in earnest, CI, it is installed first.
    for item in items:
        if reason and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=reason))


@contextmanager
def running(kind: str) -> Iterator[None]:
    """A SLURM of some kind, shared with all who want the same; who wants another waits until these have done."""
    while not _joined(kind):
        time.sleep(1)
    try:
        yield
    finally:
        with LOCK:
            users = _users()
            users.remove(os.getpid())
            USED.write_text(json.dumps({"kind": kind, "users": users}))
            if not users:
                subprocess.run([CLUSTER, "stop"], check=True, timeout=120)
                assert not CONFIG.exists()
                USED.unlink()


def _joined(kind: str) -> bool:
    with LOCK:
        users = _users()
        if not users:
            accounts = ["accounts"] if kind == "accounts" else []
            started = subprocess.run([CLUSTER, "start", *accounts], capture_output=True, text=True, timeout=120)
            assert started.returncode == 0, started.stdout + started.stderr
        elif json.loads(USED.read_text())["kind"] != kind:
            return False
        USED.write_text(json.dumps({"kind": kind, "users": [*users, os.getpid()]}))
        return True


def _users() -> list[int]:
    """Those that are alive: a test process that was killed uses nothing any more."""
    users = json.loads(USED.read_text())["users"] if USED.exists() else []
    return [process for process in users if Path(f"/proc/{process}").exists()]


@pytest.fixture
def cluster():
    """A SLURM without accounts."""
    with running("plain"):
        yield


@pytest.fixture
def cluster_alone():
    """The same for this test alone, which will stop its controller."""
    with running("alone"):
        yield


@pytest.fixture
def cluster_with_accounts():
    """A SLURM that keeps accounts."""
    if MISSING_ACCOUNTANTS:
        packages = "slurmdbd, mariadb-server-core and mariadb-client-core"
        pytest.skip(f"no accounts here: install {packages} (missing: {', '.join(MISSING_ACCOUNTANTS)})")
    with running("accounts"):
        yield
