"""The stage `train` as a process: killed, doubled, out of space, out of memory, unwelcome."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from relative_stability import datasets
from relative_stability.core.store import open_dataset, read_tensors
from relative_stability.datasets.prepared import write_prepared
from relative_stability.plan.runs import digest
from tests.training.small import OPTIONS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
MADE = {"stage": "prepare"}
KILLS = 32


class Forker:
    """`forker.py`, which runs stages in processes that start at once."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.training.forker"], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def start(self, order):
        """The number of the process that runs this stage now."""
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def wait(self):
        """Its exit code."""
        return int(self.process.stdout.readline())

    def run(self, order):
        self.start(order)
        return self.wait()

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=300)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def forkers():
    started = [Forker(), Forker()]
    yield started
    for forker in started:
        forker.close()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "digits.nc"
    options = {"image_size": 12}
    made = {"digest": digest(MADE)}
    write_prepared(path, datasets.load("digits", **options), datasets.facts("digits", **options), made)
    return path


def order(folder, data, minutes=0.0, seeds="0-1", P=64, name="run", **training):
    request = {
        "stage": "train", "dataset": MADE, "net": {"architecture": "cnn", "width": 0.25}, "P": P, "seeds": seeds,
        "training": {**OPTIONS, "steps": 60, "evaluations": 3, "snapshots": 3, "augmentation": ["crop"], **training},
    }  # fmt: skip
    arguments = {
        "request": request, "digest": digest(request), "dataset": str(data), "curves": str(folder / f"{name}.nc"),
        "weights": str(folder / f"{name}.safetensors"), "device": "cpu", "threads": 1,
        "checkpoints": str(folder / "side" / digest(request)), "engine": {"checkpoint_minutes": minutes},
    }  # fmt: skip
    return {"stage": "train", "log": str(folder / f"{name}.log"), "arguments": arguments}


def made(order):
    """What lies in the two files: curves bit by bit, and the bytes of the weights."""
    curves = open_dataset(order["arguments"]["curves"])
    values = {name: (v.dims, v.values.tobytes()) for name, v in curves.variables.items()}
    return values, Path(order["arguments"]["weights"]).read_bytes()


def listed(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_killed_at_random_moments_it_ends_as_if_nothing_had_been(forkers, data, tmp_path):
    (tmp_path / "calm").mkdir(), (tmp_path / "killed").mkdir()
    calm, stormy = order(tmp_path / "calm", data), order(tmp_path / "killed", data)
    assert forkers[0].run(calm) == 0
    chance, kills, finished, restarts = random.Random(0), 0, 0, []
    while kills < KILLS or not finished:
        process = forkers[0].start(stormy)
        time.sleep(chance.uniform(0, 0.5))
        with suppress(ProcessLookupError):  # it was done before
            os.kill(process, signal.SIGKILL)
        code = forkers[0].wait()
        assert code in (0, -signal.SIGKILL), Path(stormy["log"]).read_text()
        kills += code != 0
        if code == 0:
            assert made(stormy) == made(calm)
            assert listed(tmp_path / "killed") == listed(tmp_path / "calm") == ["run.log", "run.nc", "run.safetensors"]
            restarts.append(int(open_dataset(stormy["arguments"]["curves"]).attrs["restarts"]))
            finished += 1
            for file in ("curves", "weights"):
                Path(stormy["arguments"][file]).unlink()
    assert max(restarts) >= 2, restarts


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_signal_makes_it_leave_with_a_checkpoint_and_a_sentence(forkers, data, tmp_path, name):
    (tmp_path / "calm").mkdir()
    options = {"minutes": 60, "P": 256, "steps": 800, "evaluations": 2, "augmentation": []}
    mine = order(tmp_path, data, **options)
    process = forkers[0].start(mine)
    _until(lambda: "epoch" in Path(mine["log"]).read_text() if Path(mine["log"]).exists() else False)
    os.kill(process, getattr(signal, name))
    assert forkers[0].wait() == 75
    said = Path(mine["log"]).read_text()
    assert f"stopped by {name}; what was done is kept, and the next start goes on from there" in said
    assert "Traceback" not in said
    _, metadata = read_tensors(Path(mine["arguments"]["checkpoints"]) / "seed0.safetensors")
    taken = json.loads(metadata["facts"])["taken"]
    assert 0 < taken < 800 and not Path(mine["arguments"]["curves"]).exists()
    assert forkers[0].run(mine) == 0
    assert f"seed0: goes on after {taken} of 800 steps" in Path(mine["log"]).read_text()
    calm = order(tmp_path / "calm", data, **options)
    assert forkers[0].run(calm) == 0 and made(mine) == made(calm)


def test_two_processes_never_train_one_run(forkers, data, tmp_path):
    """The second waits, and takes what the first has made."""
    mine = order(tmp_path, data, minutes=60, steps=600)
    again = {**mine, "log": str(tmp_path / "second.log")}
    first = forkers[0].start(mine)
    _until(lambda: (Path(mine["arguments"]["checkpoints"]) / "lock").exists())
    forkers[1].start(again)
    assert forkers[0].wait() == 0 and forkers[1].wait() == 0
    said = Path(again["log"]).read_text()
    assert f"waits: this run is being trained by process {first} on {os.uname().nodename}" in said
    assert "taken as another process has finished it" in said
    assert "epoch" not in said
    assert listed(tmp_path) == ["run.log", "run.nc", "run.safetensors", "second.log"]


def test_the_lock_of_a_killed_process_is_free_at_once(forkers, data, tmp_path):
    """The second was waiting, and goes on from the checkpoint of the first."""
    (tmp_path / "calm").mkdir()
    options = {"steps": 300, "evaluations": 2, "augmentation": []}
    mine = order(tmp_path, data, **options)
    again = {**mine, "log": str(tmp_path / "second.log")}
    first = forkers[0].start(mine)
    _until(lambda: (Path(mine["arguments"]["checkpoints"]) / "seed0.safetensors").exists())
    forkers[1].start(again)
    _until(lambda: "waits" in Path(again["log"]).read_text() if Path(again["log"]).exists() else False)
    os.kill(first, signal.SIGKILL)
    assert forkers[0].wait() == -signal.SIGKILL and forkers[1].wait() == 0
    assert "seed0: goes on after" in Path(again["log"]).read_text()
    calm = order(tmp_path / "calm", data, minutes=60, **options)
    assert forkers[1].run(calm) == 0 and made(mine) == made(calm)


def _until(true, timeout=300):
    end = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.005)


def refused(forker, order):
    """The one sentence with which the stage ends; nothing of it is on the disk."""
    assert forker.run(order) == 1
    text = Path(order["log"]).read_text()
    assert "Traceback" not in text, text
    lines = [line.split(" ERROR ")[1] for line in text.splitlines() if " ERROR " in line]
    assert len(lines) == 1
    for file in ("curves", "weights"):
        path = Path(order["arguments"][file])
        assert not path.exists() and not list(path.parent.glob("*.tmp")), listed(path.parent)
    return lines[0]


@pytest.fixture
def tiny_disk(tmp_path):
    """A real disk of 200 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("a disk can be mounted by root alone")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("minutes", [0.0, 60])
def test_a_full_disk_is_one_sentence(forkers, data, tmp_path, tiny_disk, minutes):
    mine = order(tiny_disk, data, minutes=minutes, steps=8)
    mine["log"] = str(tmp_path / "run.log")
    mine["arguments"]["request"]["net"] = {"architecture": "cnn", "width": 4}
    sentence = refused(forkers[0], mine)
    assert "run.safetensors cannot be written (" in sentence and "No space left on device" in sentence
    assert "MB are free there: make room" in sentence


def test_a_disk_that_was_full_before_is_one_sentence(forkers, data, tmp_path, tiny_disk):
    """On such a disk files can be made, and nothing be written to them."""
    with suppress(OSError):
        (tiny_disk / "fill").write_bytes(b"x" * 400_000)
    mine = order(tiny_disk, data)
    mine["log"] = str(tmp_path / "run.log")
    sentence = refused(forkers[0], mine)
    assert "lock cannot be written (No space left on device)" in sentence


def test_an_unwritable_folder_is_one_sentence(forkers, data, tmp_path):
    (tmp_path / "side").write_text("a file where a folder should be")
    sentence = refused(forkers[0], order(tmp_path, data))
    assert "lock cannot be written (a file stands where a folder belongs: remove it)" in sentence


def test_no_memory_is_one_sentence(forkers, data, tmp_path):
    """A CPU without enough of it, for real: the process may use no more than it has, and 300 MB."""
    mine = order(tmp_path, data, P=1024, batch_size=1024, seeds="0", snapshots=0, augmentation=[], steps=2)
    mine["arguments"]["request"]["net"] = {"architecture": "cnn", "width": 8}
    forker = Forker()
    try:
        status = Path(f"/proc/{forker.process.pid}/status")
        _until(lambda: "libtorch_cpu" in Path(f"/proc/{forker.process.pid}/maps").read_text())
        time.sleep(4)
        used = int(next(line for line in status.read_text().splitlines() if line.startswith("VmSize")).split()[1])
        most = 1024 * (used + 300_000)
        resource.prlimit(forker.process.pid, resource.RLIMIT_AS, (most, most))
        sentence = refused(forker, mine)
    finally:
        forker.close()
    assert sentence == (
        "out of memory at a batch of 1024 samples for 1 seed(s) at once; take a smaller batch_size, or give the job "
        "more memory"
    )


def test_a_run_that_fails_before_its_first_checkpoint_leaves_no_folder(forkers, data, tmp_path):
    mine = order(tmp_path, data, minutes=60)
    mine["arguments"]["dataset"] = str(tmp_path / "missing.nc")
    refused(forkers[0], mine)
    assert listed(tmp_path) == ["run.log"]
