"""Logs that contain something: for `script:` jobs Snakemake leaves the file named in `log:` empty."""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relative_stability.core.errors import InputError, Stopped
from relative_stability.core.provenance import software
from relative_stability.core.store import writable

log = logging.getLogger("relative_stability")
FINISHED = "finished"  # the last word of a job that went well
STOPPED_BY = "stopped by"
STOPPED = 75  # exit code of a job that was asked to leave: try again


@contextmanager
def job_log(path: str, title: str) -> Iterator[logging.Logger]:
    """Log a job to its file, and warnings and errors to stderr as well.

    The first line names the job, the package's version and the commit. Bad input ends the job with its one sentence;
    anything else that fails leaves its traceback in the log.
    """
    try:
        with writable(path):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            file = logging.FileHandler(path, mode="a", encoding="utf-8")
    except InputError as error:
        print(f"{title}: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    screen = logging.StreamHandler(sys.stderr)
    screen.setLevel(logging.WARNING)
    screen.setFormatter(logging.Formatter(f"{title}: %(message)s"))
    log.setLevel(logging.INFO)
    outer, log.handlers[:] = log.handlers[:], [file, screen]
    log.propagate = False

    def show(message: Warning | str, *_: object, **__: object) -> None:
        log.warning("%s", message)

    made_by = software()
    log.info("%s, relative-stability %s, commit %s", title, made_by["package_version"], made_by["commit"])
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show
            yield log
            log.info(FINISHED)
    except InputError as error:
        log.error("%s", error)
        raise SystemExit(1) from None
    except Stopped as stopped:
        log.error("%s %s; what was done is kept, and the next start goes on from there", STOPPED_BY, stopped)
        raise SystemExit(STOPPED) from None
    except Exception:
        log.exception("failed; the whole traceback is also in %s", path)
        raise SystemExit(1) from None
    finally:
        log.handlers[:] = outer
        for handler in (file, screen):
            handler.close()
