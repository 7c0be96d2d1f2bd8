"""What a lock does where flock does not reach: other machines, and disks that know no locks."""

import errno
import fcntl
import json
import os
import time
from types import SimpleNamespace

import pytest

from relative_stability.training import lock
from relative_stability.training.lock import described, locked

FAST = {"beat": 0.02, "dead": 0.6, "poll": 0.01}


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(lock, "SETTLE", 0.05)


def held_by(folder, age=0.0, **who):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / lock.NAME
    path.write_text(json.dumps({"host": "node7", "pid": 12, "job": "345", "token": "x", **who}))
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_it_says_who_holds_it(monkeypatch, tmp_path):
    monkeypatch.setenv("SLURM_JOB_ID", "99")
    with locked(tmp_path / "side", **FAST) as waited:
        assert not waited
        assert described(tmp_path / "side" / lock.NAME) == (
            f"process {os.getpid()} on {os.uname().nodename}, SLURM job 99"
        )


def test_a_holder_on_another_machine_is_waited_for_until_it_gives_no_sign(tmp_path, caplog):
    held_by(tmp_path)
    started = time.monotonic()
    with caplog.at_level("WARNING", "relative_stability"), locked(tmp_path, **FAST) as waited:
        assert waited and time.monotonic() - started >= 0.5
    assert "waits: this run is being trained by process 12 on node7, SLURM job 345" in caplog.text


def test_a_holder_on_another_machine_that_was_silent_for_long_is_dead(tmp_path):
    held_by(tmp_path, age=5)
    with locked(tmp_path, **FAST) as waited:
        assert not waited and described(tmp_path / lock.NAME).startswith(f"process {os.getpid()} ")


def test_the_holder_gives_signs_of_life(tmp_path):
    with locked(tmp_path, **FAST):
        path = tmp_path / lock.NAME
        os.utime(path, (0, 0))
        time.sleep(0.3)
        assert time.time() - path.stat().st_mtime < 1


def test_a_lock_that_was_given_back_is_free_for_every_machine(monkeypatch, tmp_path):
    """A job that was asked to leave is started again elsewhere at once."""
    with locked(tmp_path, **FAST):
        assert lock.lately_held(tmp_path)
    assert not lock.lately_held(tmp_path)
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(nodename="node8"))
    started = time.monotonic()
    with locked(tmp_path, **FAST) as waited:
        assert not waited and time.monotonic() - started < 0.5


def test_waiting_heeds(tmp_path):
    held_by(tmp_path)

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), locked(tmp_path, heed=stop, **FAST):
        pass


@pytest.fixture
def lockless(monkeypatch):
    """A disk that knows no locks."""

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_without_locks_a_dead_process_of_this_machine_is_known(lockless, tmp_path):
    held_by(tmp_path, host=os.uname().nodename, pid=2**22 + 1)
    with locked(tmp_path, **FAST) as waited:
        assert not waited


def test_without_locks_a_living_process_is_waited_for(lockless, tmp_path):
    held_by(tmp_path, host=os.uname().nodename, pid=os.getppid())
    with locked(tmp_path, **FAST) as waited:
        assert waited


def test_without_locks_the_last_of_two_that_sign_at_once_has_it(lockless, monkeypatch, tmp_path):
    sleep = time.sleep

    def meanwhile(seconds):
        if seconds == lock.SETTLE and not signed:
            signed.append(held_by(tmp_path))
        sleep(seconds)

    signed = []
    monkeypatch.setattr(lock.time, "sleep", meanwhile)
    with locked(tmp_path, **FAST) as waited:
        assert waited  # for node7 to fall silent


@pytest.mark.parametrize("text", ["", "{", "[1]", "null"])
def test_a_lock_that_was_cut_short_while_it_was_signed_is_free(tmp_path, text):
    (tmp_path / lock.NAME).write_text(text)
    with locked(tmp_path, **FAST) as waited:
        assert not waited


def test_a_folder_that_its_last_holder_removed_is_made_again(tmp_path):
    import shutil

    with locked(tmp_path / "side", **FAST):
        shutil.rmtree(tmp_path / "side")
        with locked(tmp_path / "side", **FAST) as waited:
            assert not waited
