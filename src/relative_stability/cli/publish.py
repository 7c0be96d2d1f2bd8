"""`relative-stability publish`: what the sweeps of a config have found, in a folder that is small enough for git."""

import argparse
import io
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from relative_stability.cli.configs import add_configs, grids, layers
from relative_stability.core.errors import InputError

if TYPE_CHECKING:
    from relative_stability.plan.grid import Grid
    from relative_stability.plan.outputs import Claims, Figure, Sweep

MAX_PICTURE = 300_000  # bytes
LIBRARIES = ("torchvision", "numpy", "xarray", "snakemake")


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser("publish", help="put a config's sweeps, figures, claims and times into a folder")
    add_configs(parser)
    parser.add_argument("folder", type=Path, help="where to, such as docs/reproduction")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Publish a config whose results are there. Raises InputError where one is not, or is of another config."""
    import yaml

    from relative_stability.plan.files import read_layers

    ((config, grid), *others), (files, *_) = grids(options).items(), layers(options)
    if others:
        raise InputError(f"publish takes one config, and {1 + len(others)} are named; give layers with --configfile")
    folder = options.folder
    for result in grid.published:
        _expect(result, config)
    for name in ("sweeps", "figures"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for file in [*(sweep.path for sweep in grid.sweeps), *grid.claims.files]:
        _write(folder / Path(file).relative_to("results"), Path(file).read_bytes())
    for figure in grid.figures:
        _write(folder / "figures" / f"{figure.name}.png", smaller(Path(figure.path).with_suffix(".png")))
    if len(files) > 1 or options.config:
        text = f"# {config}\n" + yaml.safe_dump(read_layers(files, options.config), sort_keys=False, allow_unicode=True)
        _write(folder / "config.yaml", text.encode())
    elif files[0].resolve() != (folder / "config.yaml").resolve():
        shutil.copyfile(files[0], folder / "config.yaml")
    _write(folder / "made.md", made(config, grid).encode())


def _expect(result: "Sweep | Figure | Claims", config: str) -> None:
    """That a result is there and was made for what this config asks."""
    from relative_stability.plan.marks import is_made

    for file in result.files:
        if not (is_made(result.mark) and Path(file).is_file()):
            raise InputError(f"{file} is not what {config} asks for: run snakemake with it first")


def smaller(png: Path) -> bytes:
    """A picture in 256 colours, a third of the bytes. Raises InputError where that is more than a page should load."""
    from PIL import Image

    with Image.open(png) as picture, io.BytesIO() as file:
        picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(file, "png", optimize=True)
        found = file.getvalue()
    if len(found) > MAX_PICTURE:
        raise InputError(
            f"{png} has {len(found) // 1000} kB, and at most {MAX_PICTURE // 1000} kB are published: "
            "`select` fewer values in its entry under figures"
        )
    return found


def made(config: str, grid: "Grid") -> str:
    """A page in Markdown: the time of each stage, what the estimates were worth, versions and devices."""
    from tabulate import tabulate

    from relative_stability.analysis.sweep import open_sweep
    from relative_stability.cli.estimate import table
    from relative_stability.figures.pages.report import duration, makers, stage

    stages = [stage(name, count, map(Path, timed)) for name, count, timed in grid.report.stages]
    rows = [
        [s.name, s.results, *([s.jobs, duration(s.seconds), duration(s.longest)] if s.jobs else "–––")] for s in stages
    ]
    found = makers(open_sweep(sweep.path) for sweep in grid.sweeps)
    found |= {f"{library} (when published)": version(library) for library in LIBRARIES}
    headers = ["stage", "results", "jobs timed", "time of these", "longest"]
    _, costs = table(config, grid).split("\n", 1)
    return "\n".join(
        [
            "# How these results were made",
            "",
            "## Time",
            "Of all jobs of a stage, added up, as Snakemake has timed them: several ran at once.",
            "",
            tabulate(rows, headers, tablefmt="github", disable_numparse=True),
            "",
            "## What was estimated and what it took",
            costs,
            "",
            "## Made by",
            tabulate([[name.replace("_", " "), value] for name, value in found.items()], ["", ""], tablefmt="github",
                     disable_numparse=True),
            "",
        ]
    )  # fmt: skip


def _write(path: Path, content: bytes) -> None:
    from relative_stability.core.store import atomic

    with atomic(path) as temporary:
        temporary.write_bytes(content)
