"""A real SLURM on this machine for the tests of this folder, or the sentence why there is none."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CLUSTER = Path(__file__).parent / "cluster.sh"
MISSING = [program for program in ("slurmctld", "slurmd", "munged") if shutil.which(program) is None]
# mariadb-install-db, of one package, calls my_print_defaults, of another.
ACCOUNTANTS = ("slurmdbd", "mariadbd", "mariadb-install-db", "my_print_defaults")
MISSING_ACCOUNTANTS = [program for program in ACCOUNTANTS if shutil.which(program) is None]


def pytest_collection_modifyitems(items):
    reason = "only root can start a SLURM here" if os.getuid() else ""
    if MISSING:
        reason = f"no SLURM here: install slurm-wlm and munge (missing: {', '.join(MISSING)})"
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.workflow)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


def running(*arguments):
    """Two nodes of two GPUs each, pretended; gone behind the block."""
    started = subprocess.run([CLUSTER, "start", *arguments], capture_output=True, text=True, timeout=120)
    assert started.returncode == 0, started.stdout + started.stderr
    yield
    subprocess.run([CLUSTER, "stop"], check=True, timeout=120)
    assert not Path("/etc/slurm/slurm.conf").exists()


@pytest.fixture(scope="module")
def cluster():
    """A SLURM without accounts."""
    yield from running()


@pytest.fixture(scope="module")
def cluster_with_accounts():
    """A SLURM that keeps accounts."""
    if MISSING_ACCOUNTANTS:
        packages = "slurmdbd, mariadb-server-core and mariadb-client-core"
        pytest.skip(f"no accounts here: install {packages} (missing: {', '.join(MISSING_ACCOUNTANTS)})")
    yield from running("accounts")
