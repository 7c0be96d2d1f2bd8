"""One process at a time trains a run, whatever started them.

A submitting process that was killed and started again submits what is still running a second time; both would train
the same run. The lock is a file in the run's side folder that its holder keeps locked (flock) as long as it lives, and
touches every few seconds. The first frees it the moment a process of this machine is gone, however it went; the second
serves where disks are shared between machines and locks are not: a holder that has not touched it for two minutes is
taken for dead.
"""

import errno
import fcntl
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from relative_stability.core.logs import log
from relative_stability.core.store import writable

NAME = "lock"
BEAT, DEAD = 15.0, 120.0  # seconds between two signs of life; without one for so long, a holder is dead
SETTLE = 2.0  # seconds after which two that signed at once see who was last


@contextmanager
def locked(
    folder: Path, heed: Callable[[], None] = lambda: None, beat: float = BEAT, dead: float = DEAD, poll: float = 1.0
) -> Iterator[bool]:
    """Hold the lock of a side folder inside the block; waits while another living process holds it.

    Yields whether it had to wait: what the other was to make may be there by now. heed: called while waiting, may
    raise. Raises InputError where the folder cannot be written to.
    """
    path = folder / NAME
    waited, file = False, _take(path, dead)
    while file is None:
        if not waited:
            log.warning("waits: this run is being trained by %s", described(path))
            waited = True
        heed()
        time.sleep(poll)
        file = _take(path, dead)
    stop = threading.Event()
    thread = threading.Thread(target=_beat, args=(path, stop, beat), daemon=True)
    thread.start()
    try:
        yield waited
    finally:
        stop.set()
        thread.join()
        with suppress(OSError):
            os.ftruncate(file, 0)  # whoever comes next, on whatever machine, finds that nobody holds it
        os.close(file)


def lately_held(folder: Path) -> bool:
    """Whether some process may hold the lock of a side folder: it gave a sign of life in the last two minutes."""
    path = folder / NAME
    with suppress(FileNotFoundError):
        return bool(_holder(path)) and time.time() - path.stat().st_mtime < DEAD
    return False


def clear_unless_held(folder: Path) -> None:
    """Remove the side folder of a run that is done, if its last holder was killed before it could."""
    with suppress(OSError):  # the holder may be clearing it just now
        if folder.is_dir() and not _alive(_holder(folder / NAME), folder / NAME, DEAD):
            shutil.rmtree(folder, ignore_errors=True)


def described(path: Path) -> str:
    """The holder in words: host, process and job."""
    holder = _holder(path)
    job = f", SLURM job {holder['job']}" if holder.get("job") else ""
    return f"process {holder.get('pid', 'unknown')} on {holder.get('host', 'unknown host')}{job}"


def _holder(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # gone, or its holder was killed while it wrote
    return found if isinstance(found, dict) else {}


def _take(path: Path, dead: float) -> int | None:
    """The open and locked file, or None while somebody else has it."""
    with writable(path), suppress(FileNotFoundError):  # where the folder was removed in between, as its run is done
        path.parent.mkdir(parents=True, exist_ok=True)
        file, taken = os.open(path, os.O_RDWR | os.O_CREAT, 0o644), False
        try:
            exact = _flock(file)
            if exact is not False and _is_at(file, path):
                former = _holder(path)
                sure = exact is True and former.get("host") in (None, os.uname().nodename)
                taken = (sure or not _alive(former, path, dead)) and _sign(file, path, sure)
            return file if taken else None
        finally:
            if not taken:
                os.close(file)
    return None


def _flock(file: int) -> bool | None:
    """Whether the lock was free, and is held now; None on a disk that knows no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL):
            return None
        raise
    return True


def _is_at(file: int, path: Path) -> bool:
    """Whether the file is still the one of this name: its last holder removes it when the run is done."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file), path.stat())
    return False


def _alive(holder: dict[str, Any], path: Path, dead: float) -> bool:
    """Whether the holder that the file names lives, as far as signs tell, by the clock of the disk."""
    if not holder:
        return False
    if holder.get("host") == os.uname().nodename and not _runs(holder.get("pid")):
        return False
    now = path.with_name(f".now.{uuid4().hex}")
    now.touch()
    try:
        return now.stat().st_mtime - path.stat().st_mtime < dead
    finally:
        now.unlink()


def _runs(pid: object) -> bool:
    try:
        os.kill(int(str(pid)), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        pass
    return True


def _sign(file: int, path: Path, sure: bool) -> bool:
    """Write who holds the lock. Where not the lock itself said so, whether nobody else has signed at the same time."""
    who = {"host": os.uname().nodename, "pid": os.getpid(), "job": os.environ.get("SLURM_JOB_ID", "")}
    mine = {**who, "token": uuid4().hex}
    os.ftruncate(file, 0)
    os.pwrite(file, json.dumps(mine).encode(), 0)
    os.fsync(file)
    if sure:
        return True
    time.sleep(SETTLE)
    return _holder(path) == mine


def _beat(path: Path, stop: threading.Event, beat: float) -> None:
    while not stop.wait(beat):
        with suppress(OSError):
            os.utime(path)
