"""`relative-stability status`: how far a config is."""

import argparse

from relative_stability.cli.configs import add_configs, grids


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser("status", help="what of a config is done, runs, failed, diverged or is missing")
    add_configs(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print a table for each sweep of each config."""
    from relative_stability.jobs.status import table

    for name, grid in grids(options).items():
        for sweep in grid.sweeps:
            print(f"{name}, {table(sweep)}\n")
