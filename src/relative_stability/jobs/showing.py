"""The stages that show what the others made, one function each: figures, films, claims, pages."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from relative_stability.core.store import expect
from relative_stability.jobs.stages import made_by
from relative_stability.plan.marks import digest_in, settle

Request = Mapping[str, Any]


def figure(
    request: Request, digests: Sequence[str], mark: str, sources: Sequence[str], pdf: str, png: str, numbers: str
) -> None:
    """A figure as PDF and PNG, and the numbers drawn as netCDF. digests: what the sources must have been made from."""
    from relative_stability.core.store import atomic, write_dataset
    from relative_stability.figures import draw

    drawn, picture = draw(request["kind"], sources, digests, request["select"], request["size"])
    drawn.attrs.update(made_by(request, digest_in(mark)))
    settle(mark)
    write_dataset(numbers, drawn)
    for path, options in ((pdf, {"metadata": {"CreationDate": None}}), (png, {"dpi": 200})):
        with atomic(path) as temporary:
            picture.savefig(temporary, format=Path(path).suffix[1:], **options)


def animation(kind: str, numbers: str, gif: str) -> None:
    """The film of a figure, from the numbers drawn."""
    from matplotlib.animation import PillowWriter

    from relative_stability.core.store import atomic
    from relative_stability.figures import animate

    with atomic(gif) as temporary:
        # The writer takes the format from the name.
        named = temporary.with_suffix(".gif")
        try:
            animate(kind, numbers).save(named, PillowWriter(fps=4), dpi=100)
            named.replace(temporary)
        finally:
            named.unlink(missing_ok=True)


def claims(request: Request, digests: Sequence[str], mark: str, sweeps: Sequence[str], table: str, page: str) -> None:
    """The claims checked on every sweep, as CSV and as a page in Markdown. digests: those that the sweeps must have."""
    from relative_stability.analysis.claims.diffeomorphisms import check_all, to_csv, to_markdown
    from relative_stability.analysis.sweep import open_sweep
    from relative_stability.core.store import write_text

    datasets = [open_sweep(path) for path in sweeps]
    for path, dataset, digest in zip(sweeps, datasets, digests, strict=True):
        expect(path, dataset.attrs, digest, remade_by="collect")
    rows = check_all(datasets)
    settle(mark)
    write_text(table, to_csv(rows))
    write_text(page, to_markdown(rows, datasets))


def report(request: Request, mark: str, out: str, **files: Any) -> None:
    """The report as HTML. files: see `figures.pages.report.report`."""
    from relative_stability.core.store import write_text
    from relative_stability.figures.pages import report as page

    text = page.report(request, **files)
    settle(mark)
    write_text(out, text)


def explorer(mark: str, out: str, **files: Any) -> None:
    """The explorer as HTML. files: see `figures.pages.explorer.explorer`."""
    from relative_stability.core.store import write_text
    from relative_stability.figures.pages import explorer as page

    text = page.explorer(**files)
    settle(mark)
    write_text(out, text)
