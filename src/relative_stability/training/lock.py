"""One process at a time trains a run, whatever started them.

A submitting process that was killed and started again submits what is still running a second time; both would train
the same run. The lock is a file in the run's side folder, a lease of filelock's, which needs no locks of the disk: its
holder touches it every few seconds. It is free at once when the holder was a process of this machine that is gone, and
when it was one of another machine, after two minutes in which it was not touched.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import SoftFileLease, Timeout

from relative_stability.core.errors import InputError
from relative_stability.core.logs import log
from relative_stability.core.store import writable

NAME = "lock"
DEAD = 120.0  # seconds without a sign of life after which a holder is dead
SETTLE = 2.0  # seconds after which two that removed a dead holder's lock at once see which of them has it


@contextmanager
def locked(
    folder: Path, check_stopped: Callable[[], None] = lambda: None, dead: float = DEAD, poll: float = 1.0
) -> Iterator[bool]:
    """Hold the lock of a side folder inside the block; waits while another living process holds it.

    Yields whether it had to wait: what the other was to make may be there by now. check_stopped: called while waiting,
    may raise. Raises InputError where the folder cannot be written to.
    """
    lock, waited, sign, since = _lease(folder, dead), False, (0, 0), time.monotonic()
    while not _take(lock):
        if not waited:
            log.warning("waits: this run is being trained by %s", _described(lock))
            waited = True
        check_stopped()
        time.sleep(poll)
        # Where a disk cannot exchange two names, as NFS, filelock leaves a dead holder's lock to us.
        if (now := _sign(lock)) != sign:
            sign, since = now, time.monotonic()
        elif time.monotonic() - since > 1.2 * dead:
            lock.force_break()
            if _take(lock):
                time.sleep(SETTLE)
                if lock.is_lock_held_by_us:
                    break
                lock.release()
    try:
        yield waited
    finally:
        lock.release()


def lately_held(folder: Path) -> bool:
    """Whether some process may hold the lock of a side folder: it gave a sign of life in the last two minutes."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return time.time() - (folder / NAME).stat().st_mtime < DEAD
    return False


def clear_unless_held(folder: Path) -> None:
    """Remove the side folder of a run that is done, if its last holder was killed before it could."""
    with suppress(InputError):
        if folder.is_dir() and (not lately_held(folder) or _take(_lease(folder))):
            shutil.rmtree(folder, ignore_errors=True)


def _lease(folder: Path, dead: float = DEAD) -> SoftFileLease:
    return SoftFileLease(folder / NAME, lease_duration=dead, heartbeat_interval=dead / 8, blocking=False)


def _take(lock: SoftFileLease) -> bool:
    path = Path(lock.lock_file)
    with writable(path), suppress(FileNotFoundError, Timeout):  # where the folder was removed, as its run is done
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        return True
    return False


def _sign(lock: SoftFileLease) -> tuple[int, int]:
    """What changes with every sign of life. The file is opened as NFS then looks at the disk anew."""
    with suppress(OSError), Path(lock.lock_file).open("rb") as file:
        found = os.fstat(file.fileno())
        return found.st_ino, found.st_mtime_ns
    return 0, 0


def _described(lock: SoftFileLease) -> str:
    owner = lock.owner
    return f"process {owner.pid} on {owner.hostname.partition('?')[0]}" if owner else "another process"
