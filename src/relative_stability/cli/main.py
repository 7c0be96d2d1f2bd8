"""The command `relative-stability`."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from relative_stability import __version__
from relative_stability.cli import confirm, estimate, measure, publish, status
from relative_stability.cli.configs import add_configs, grids
from relative_stability.core.errors import InputError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; bad input ends it with one sentence and exit code 2."""
    parser = argparse.ArgumentParser(prog="relative-stability", description=__doc__)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    prune = verbs.add_parser("prune", help="list results that no given config refers to, or delete them")
    add_configs(prune)
    prune.add_argument("--results", type=Path, default=Path("results"))
    prune.add_argument("--delete", action="store_true", help="delete what is listed")
    prune.set_defaults(run=_prune)
    confirm.add_parser(verbs)
    estimate.add_parser(verbs)
    measure.add_parser(verbs)
    publish.add_parser(verbs)
    status.add_parser(verbs)
    options = parser.parse_args(arguments)
    try:
        code = int(options.run(options) or 0)
        sys.stdout.flush()
        return code
    except InputError as error:
        print(f"relative-stability: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # who reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def _prune(options: argparse.Namespace) -> None:
    from relative_stability.cli.prune import unreferenced

    files = unreferenced(options.results, grids(options, absent=True).values())
    size = sum(file.stat().st_size for file in files)
    for file in files:
        print(file)
        if options.delete:
            file.unlink()
            if file.parent.parent.name == "checkpoints" and not any(file.parent.iterdir()):
                file.parent.rmdir()
    done = "deleted" if options.delete else "would be deleted; nothing was"
    print(f"{len(files)} files, {size / 1e6:.1f} MB, {done}", file=sys.stderr)
