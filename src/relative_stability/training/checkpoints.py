"""Checkpoints of a run, in a side folder that Snakemake knows nothing of, and that goes when the run is done.

One file for each group of seeds that trains together, written whole or not at all, every few minutes and when a signal
asks the process to leave (SIGTERM and SIGINT, and SIGUSR1, which SLURM can send before a time limit).
"""

import json
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from torch import Tensor

from relative_stability.core.errors import InputError, Stopped
from relative_stability.core.logs import log
from relative_stability.core.store import read_tensors, write_tensors

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class Checkpoints:
    """The side folder of a run. digest: what the run's configuration has; minutes: between two checkpoints."""

    def __init__(self, folder: Path, digest: str, minutes: float) -> None:
        self.folder, self.digest, self.every = folder, digest, 60 * minutes
        self.saved = time.monotonic()
        self.asked = ""  # name of the signal that asked to leave

    def check_stopped(self) -> None:
        """Raise Stopped where a signal has asked to leave."""
        if self.asked:
            raise Stopped(self.asked)

    @property
    def due(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() - self.saved >= self.every

    def groups(self) -> list[str]:
        """Names of the groups that there are checkpoints of."""
        return sorted(path.stem for path in self.folder.glob("*.safetensors"))

    def save(self, group: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write the checkpoint of a group, in place of its former one."""
        metadata = {"digest": self.digest, "facts": json.dumps(facts)}
        write_tensors(self._path(group), {name: tensor.cpu() for name, tensor in tensors.items()}, metadata)
        self.saved = time.monotonic()

    def try_to_save(self, group: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """The same, but a disk that is full now does not end a training that may well be whole tomorrow."""
        try:
            self.save(group, tensors, facts)
        except InputError as error:
            log.warning("no checkpoint this time: %s", error)
            self.saved = time.monotonic()

    def load(self, group: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The last checkpoint of a group, or None. Raises InputError for a broken one and one of another run."""
        path = self._path(group)
        if not path.is_file():
            return None
        tensors, metadata = read_tensors(path, remade_by="train")
        if metadata.get("digest") != self.digest:
            raise InputError(
                f"{path} is the checkpoint of another configuration (its digest is {metadata.get('digest', 'none')}, "
                f"expected {self.digest}); delete it to train from the start"
            )
        return tensors, json.loads(metadata["facts"])

    def drop(self, group: str) -> None:
        """Remove the checkpoint of a group."""
        self._path(group).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove the folder: the run is done, and its results are on the disk."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def clear_if_empty(self) -> None:
        """Remove the folder of a run that failed before its first checkpoint."""
        if not self.groups():
            self.clear()

    def _path(self, group: str) -> Path:
        return self.folder / f"{group}.safetensors"

    @contextmanager
    def catching_signals(self) -> Iterator[None]:
        """Inside the block, signals ask to leave at the next good moment; a second Ctrl-C leaves at once."""

        def ask(number: int, frame: FrameType | None) -> None:
            if self.asked and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.asked = signal.Signals(number).name

        if threading.current_thread() is not threading.main_thread():
            log.info("not in the main thread: signals are not listened to")
            yield
            return
        before = {number: signal.signal(number, ask) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
