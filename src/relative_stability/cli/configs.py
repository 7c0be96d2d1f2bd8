"""How the verbs name configs: alone, or in the layers that snakemake takes."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from relative_stability.core.errors import InputError

if TYPE_CHECKING:
    from relative_stability.plan.grid import Grid

SCHEMA = Path("workflow/schemas/config.schema.yaml")


def add_configs(parser: argparse.ArgumentParser) -> None:
    """Add the options that name configs."""
    parser.add_argument("configs", nargs="*", type=Path, help="configs, each by itself, such as config/*.yaml")
    parser.add_argument(
        "--configfile", "--configfiles", nargs="+", action="append", default=[], type=Path, metavar="FILE",
        help="one config of several files, later ones over earlier ones, as snakemake takes them; after the others",
    )  # fmt: skip
    parser.add_argument("--config", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="laid over each")
    parser.add_argument("--schema", type=Path, default=SCHEMA)


def layers(options: argparse.Namespace) -> list[list[Path]]:
    """The files of each config that is named. Raises InputError where none is."""
    found: list[list[Path]] = [[path] for path in options.configs] + options.configfile
    if not found:
        raise InputError("a config is missing; name one, such as config/config.yaml")
    return found


def grids(options: argparse.Namespace, absent: bool = False) -> "dict[str, Grid]":
    """The grid of each config that is named, by its files. absent: whether raw pictures may be elsewhere."""
    from relative_stability.plan.config import Schema
    from relative_stability.plan.files import named
    from relative_stability.plan.grid import read_grid

    schema = Schema(options.schema)
    return {
        named(files, options.config): read_grid(files, schema, options.config, absent=absent)
        for files in layers(options)
    }
