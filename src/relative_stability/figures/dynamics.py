"""D, G, R, the test error, and what else was measured at snapshots, against training time."""

from typing import TYPE_CHECKING

import pandas as pd
import xarray as xr

from relative_stability.analysis.sweep import at_reference, failed
from relative_stability.figures import series
from relative_stability.figures.style import finish, looks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALSO = {
    "intrinsic_dimension_dynamics": "intrinsic\ndimension",
    "alignment_dynamics": "alignment of the\noutput with the labels",
    "kernel_alignment_dynamics": "alignment of the\ntangent kernel",
}  # where they were measured


def numbers(sweep: xr.Dataset) -> xr.Dataset:
    """Means over seeds at the largest P and the reference displacement, with the steps: (dataset, net, snapshot)."""
    series.expect(sweep, "dynamics")
    part, where = at_reference(sweep.isel(P=-1))
    where = f"P = {int(sweep['P'][-1])}, {where}"
    if sweep.attrs.get("batch_norm") == "auto":  # and not the rule of nets after training
        where += "; batch norm, where there is any, with the statistics of each batch"
    errors = part["snapshot_test_error"]
    # A net that collapsed has no D, G and R, and its error enters no average either.
    part["snapshot_test_error"] = errors.where(~failed(part)).transpose(*errors.dims).assign_attrs(errors.attrs)
    names = [*(f"{q}_dynamics" for q in series.QUANTITIES), "snapshot_test_error", *(n for n in ALSO if n in part)]
    drawn = series.summary(part, names).assign_attrs(where=where)
    drawn["snapshot_step"] = part["snapshot_step"]
    return drawn


def draw(numbers: xr.Dataset) -> "Figure":
    """Datasets in rows, D, G, R and so on in columns; dotted across: at initialisation."""
    panels = {f"{q}_dynamics": label for q, label in series.meanings(numbers).items()}
    panels |= {name: word for name, word in ALSO.items() if f"{name}_mean" in numbers}
    table = series.long(numbers, panels | {"snapshot_test_error": "test error"})
    steps = numbers["snapshot_step"].to_dataframe().reset_index()[["dataset", "net", "snapshot", "snapshot_step"]]
    table = table.merge(steps.rename(columns={"snapshot_step": "step"}), on=["dataset", "net", "snapshot"])
    initial = table[table["step"] == 0].assign(state="init")
    ends = [initial.assign(step=step) for step in (table.loc[table["step"] > 0, "step"].min(), table["step"].max())]
    table = pd.concat([table.assign(state="trained"), *ends], ignore_index=True)
    grid, legend = series.lines(table, "step", "training time (steps)", looks(numbers))
    legend = {{"after training": "in training"}.get(word, word): line for word, line in legend.items()}
    return finish(grid.figure, series.note(numbers, numbers.attrs["where"]), legend)
