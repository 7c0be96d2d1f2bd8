"""What the lock of a run does where its holder is of another machine, or the disk can do little."""

import os
import shutil
import time

import filelock
import pytest

from relative_stability.training import lock
from relative_stability.training.lock import clear_unless_held, lately_held, locked

FAST = {"dead": 0.6, "poll": 0.01}


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(lock, "SETTLE", 0.05)


@pytest.fixture(params=["a disk that exchanges names", "one that does not"])
def disk(request, monkeypatch):
    """NFS and some others refuse to exchange two names in one step."""
    if request.param == "one that does not":
        for module in (filelock._soft, filelock._util):
            monkeypatch.setattr(module, "exchange_names", lambda *_: False)


def held_by(folder, age=0.0, host="node7", pid=12, start="", dead=FAST["dead"]):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / lock.NAME
    path.write_text(f"filelock/2\npid={pid}\nhost={host}\nmode=lease\ntoken=x\nduration={dead!r}\n{start}")
    os.utime(path, (time.time() - age,) * 2)
    return path


def holder(folder):
    return dict(line.split("=") for line in (folder / lock.NAME).read_text().splitlines()[1:])


def test_it_says_who_holds_it_and_is_gone_behind_the_block(tmp_path):
    with locked(tmp_path / "side", **FAST) as waited:
        assert not waited and lately_held(tmp_path / "side")
        found = holder(tmp_path / "side")
        assert found["pid"] == str(os.getpid()) and found["host"].startswith(os.uname().nodename)
    assert not lately_held(tmp_path / "side") and not (tmp_path / "side" / lock.NAME).exists()


@pytest.mark.parametrize("age", [0, 1000])
def test_a_holder_on_another_machine_is_waited_for_until_it_gives_no_sign(disk, tmp_path, caplog, age):
    """By this machine's own clock: that of the disk may differ."""
    held_by(tmp_path, age)
    started = time.monotonic()
    with caplog.at_level("WARNING", "relative_stability"), locked(tmp_path, **FAST) as waited:
        assert waited and 0.5 <= time.monotonic() - started < 5
        assert holder(tmp_path)["pid"] == str(os.getpid())
    assert "waits: this run is being trained by process 12 on node7" in caplog.text


def test_a_holder_that_gives_signs_of_life_is_waited_for(disk, tmp_path):
    path, started = held_by(tmp_path), time.monotonic()

    def check_stopped():
        if time.monotonic() - started < 2:
            os.utime(path)

    with locked(tmp_path, check_stopped, **FAST):
        assert time.monotonic() - started > 2.5


def test_the_holder_gives_signs_of_life(tmp_path):
    with locked(tmp_path, **FAST):
        path = tmp_path / lock.NAME
        os.utime(path, (0, 0))
        time.sleep(0.3)
        assert time.time() - path.stat().st_mtime < 1


def test_a_dead_process_of_this_machine_is_known_at_once(tmp_path):
    with locked(tmp_path, **FAST):
        host = holder(tmp_path)["host"]
    held_by(tmp_path, host=host, pid=2**22 + 1, start="start=1\n")
    started = time.monotonic()
    with locked(tmp_path, **FAST):
        assert time.monotonic() - started < 0.4


def test_the_last_of_two_that_take_a_dead_holders_lock_has_it(monkeypatch, tmp_path):
    """The other took it between a look at the lock and its removal."""
    sleep, lost = time.sleep, []
    monkeypatch.setattr(filelock._soft, "exchange_names", lambda *_: False)

    def meanwhile(seconds):
        if seconds == lock.SETTLE and not lost:
            (tmp_path / lock.NAME).unlink()
            lost.append(held_by(tmp_path, pid=13))
        sleep(seconds)

    monkeypatch.setattr(lock.time, "sleep", meanwhile)
    held_by(tmp_path)
    started = time.monotonic()
    with locked(tmp_path, **FAST):
        assert lost and time.monotonic() - started > 1.2  # the other was waited for as well
        assert holder(tmp_path)["pid"] == str(os.getpid())


def test_waiting_can_be_stopped(tmp_path):
    held_by(tmp_path)

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), locked(tmp_path, check_stopped=stop, **FAST):
        pass


@pytest.mark.parametrize("text", ["", "{", "filelock/2\npid="])
def test_a_lock_that_was_cut_short_while_it_was_signed_is_free_after_a_while(tmp_path, text):
    (tmp_path / lock.NAME).write_text(text)
    with locked(tmp_path, **FAST):
        assert holder(tmp_path)["pid"] == str(os.getpid())


def test_a_folder_that_its_last_holder_removed_is_made_again(tmp_path):
    with locked(tmp_path / "side", **FAST):
        shutil.rmtree(tmp_path / "side")
        with locked(tmp_path / "side", **FAST) as waited:
            assert not waited


def test_a_file_in_the_place_of_the_folder_is_held_by_nobody(tmp_path):
    (tmp_path / "file").touch()
    assert not lately_held(tmp_path / "file")


def test_the_folder_of_a_run_that_is_done_is_removed_unless_its_holder_may_live(tmp_path):
    held_by(tmp_path / "a", age=1000)
    held_by(tmp_path / "b", dead=lock.DEAD)
    for name in "ab":
        clear_unless_held(tmp_path / name)
    assert not (tmp_path / "a").exists() and (tmp_path / "b").exists()
    with locked(tmp_path / "c", **FAST):
        host = holder(tmp_path / "c")["host"]
    held_by(tmp_path / "b", dead=lock.DEAD, host=host, pid=2**22 + 1, start="start=1\n")
    clear_unless_held(tmp_path / "b")
    assert not (tmp_path / "b").exists()
