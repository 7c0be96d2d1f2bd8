"""`relative-stability status`: how far a config is."""

import argparse
from pathlib import Path


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser("status", help="what of a config is done, runs, failed, diverged or is missing")
    parser.add_argument("configs", nargs="+", type=Path, help="configs, such as config/config.yaml")
    parser.add_argument("--schema", type=Path, default=Path("workflow/schemas/config.schema.yaml"))
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print a table for each sweep of each config."""
    from relative_stability.jobs.status import table
    from relative_stability.plan.config import Schema
    from relative_stability.plan.grid import read_grid

    schema = Schema(options.schema)
    for path in options.configs:
        for sweep in read_grid(path, schema).sweeps:
            print(f"{path}, {table(sweep)}\n")
