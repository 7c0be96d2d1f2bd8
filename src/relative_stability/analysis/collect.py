"""A sweep put together from the parts of its runs, each of which goes where its labels say."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from relative_stability.analysis.parts import MADE_BY, Part
from relative_stability.analysis.statistics import geometric_interval
from relative_stability.analysis.sweep import AXES, QUANTITIES
from relative_stability.core.errors import InputError
from relative_stability.core.store import Variable

Labels = Mapping[str, Any]  # of a run: dataset, net, P, and seeds, which follow each other
Spans = Mapping[str, slice]  # of a run along each of AXES
ROUNDING = 1e-6  # other machines may round otherwise what runs have in common


def positions(labels: Mapping[str, Iterable[Any]]) -> dict[str, dict[Any, int]]:
    """Where each label stands along its axis."""
    return {axis: {label: k for k, label in enumerate(labels[axis])} for axis in AXES}


def spans(run: Labels, where: Mapping[str, Mapping[Any, int]]) -> dict[str, slice]:
    """What a run takes up of each axis. where: see `positions`."""
    firsts = {axis: where[axis][run[axis]] for axis in AXES[:3]}
    first = where["seed"][run["seeds"][0]]
    return {**{axis: slice(k, k + 1) for axis, k in firsts.items()}, "seed": slice(first, first + len(run["seeds"]))}


class Collection:
    """The arrays of a sweep over datasets, nets, P and seeds, a grid that its runs fill.

    Names stand in the order of the config, numbers ascending. A run that is larger than those before it makes the
    arrays grow; smaller ones are padded, with NaN or "".
    """

    def __init__(self, runs: Sequence[Labels]) -> None:
        """runs: all that will be added."""
        labels: dict[str, Iterable[Any]] = {axis: dict.fromkeys(run[axis] for run in runs) for axis in AXES[:2]}
        labels["P"] = sorted({run["P"] for run in runs})
        labels["seed"] = sorted({seed for run in runs for seed in run["seeds"]})
        self._where = positions(labels)
        self._arrays: dict[str, _Array] = {}
        self._attributes: dict[tuple[tuple[str, Any], ...], None] = {}

    def add(self, run: Labels, part: Part) -> None:
        """Put a run where it belongs. Raises InputError if it was measured at other settings than those before it."""
        at = spans(run, self._where)
        for name, variable in part.variables.items():
            if name not in self._arrays:
                sizes = {axis: len(labels) for axis, labels in self._where.items()}
                self._arrays[name] = _Array(name, variable, sizes)
            self._arrays[name].put(variable, at)
        self._attributes[tuple(part.attributes.items())] = None

    @property
    def exact(self) -> bool:
        """Whether runs have in common what they share bit by bit. If not, the last one counts, and others are lost."""
        return all(array.exact for array in self._arrays.values())

    @property
    def attributes(self) -> dict[str, str | int | float]:
        """What is true of all runs, all that made them (such as both devices), and which variables are coordinates."""
        found: dict[str, dict[Any, None]] = {}
        for key, value in (one for attributes in self._attributes for one in attributes):
            found.setdefault(key, {})[value] = None
        shared = {key: next(iter(values)) for key, values in found.items() if len(values) == 1}
        several = {key: ", ".join(sorted(found[key])) for key in MADE_BY if len(found.get(key, ())) > 1}
        names = sorted(name for name in self._arrays if self._rank(name) == 2)
        return {**shared, **several, "coordinates": " ".join(names)}

    @property
    def variables(self) -> dict[str, Variable]:
        """Everything: what was measured, its coordinates, what is known of each net, and means over seeds.

        D, G and R each stand also as their geometric mean over the seeds, R_over_seeds, with an interval that says
        what other seeds would give.
        """
        found = {name: self._arrays[name].variable for name in sorted(self._arrays, key=self._rank)}
        means = [_over_seeds(f"{q}{end}", found) for q in QUANTITIES for end in ("", "_depth", "_dynamics")]
        return found | {name: variable for mean in means for name, variable in mean.items()}

    def _rank(self, name: str) -> int:
        dims = self._arrays[name].dims
        return 1 if dims == (name,) else 2 if dims[0] == "net" else 0


class _Array:
    """One variable of a sweep, as far as its runs are known."""

    def __init__(self, name: str, like: Variable, sizes: Mapping[str, int]) -> None:
        """sizes: lengths of the axes; other dimensions are as long as in the longest run."""
        kind: Any = object if like.values.dtype.kind == "U" else like.values.dtype
        self._name, self.dims, self._words = name, like.dims, (like.long_name, like.units)
        self._fill = {"O": "", "f": np.nan}.get(np.dtype(kind).kind, 0)
        shape = [sizes.get(dim, n) for dim, n in zip(like.dims, like.values.shape, strict=True)]
        self._values = np.full(shape, self._fill, kind)
        self._coordinate = like.dims == (name,) and name not in AXES
        if self._coordinate:
            self._values[:] = like.values
        self._shared = not set(AXES) <= set(like.dims)
        self._known: set[tuple[int, ...]] = set()  # where a shared variable has been filled
        self.exact = True

    @property
    def variable(self) -> Variable:
        values = self._values.astype(str) if self._values.dtype == object else self._values
        return Variable(self.dims, values, *self._words)

    def put(self, found: Variable, at: Spans) -> None:
        """What one run holds."""
        if self._words != (found.long_name, found.units):  # runs of other versions may word it differently
            long_name, units = self._words
            self._words = long_name * (long_name == found.long_name), units * (units == found.units)
        if self._coordinate:
            self._check(found.values)
        self._grow(found, at)
        inside = tuple(at.get(dim, slice(n)) for dim, n in zip(found.dims, found.values.shape, strict=True))
        if self._shared and not self._coordinate:
            self._share(found.values, inside, at)
        else:
            self._values[inside] = found.values

    def _check(self, values: np.ndarray) -> None:
        """The coordinate of the longest run is begun by those of all others."""
        both = min(len(self._values), len(values))
        if not np.array_equal(self._values[:both], values[:both]):
            raise self._conflict(self._values, values)

    def _grow(self, found: Variable, at: Spans) -> None:
        old, new = self._values.shape, found.values.shape
        shape = tuple(a if dim in at else max(a, b) for dim, a, b in zip(self.dims, old, new, strict=True))
        kind = self._values.dtype if self._values.dtype == object else np.result_type(self._values, found.values)
        if shape != old or kind != self._values.dtype:
            grown = np.full(shape, self._fill, kind)
            grown[tuple(map(slice, old))] = self._values
            self._values = grown

    def _share(self, values: np.ndarray, inside: tuple[slice, ...], at: Spans) -> None:
        """What several runs have in common, such as the epochs of all seeds."""
        corner = tuple(at[dim].start for dim in self.dims if dim in at)
        slot = self._values[tuple(at.get(dim, slice(None)) for dim in self.dims)]
        before = slot.copy()
        slot[...] = self._fill
        self._values[inside] = values
        if corner in self._known and not np.array_equal(before, slot, equal_nan=slot.dtype.kind == "f"):
            if slot.dtype.kind == "f" and not np.allclose(before, slot, rtol=ROUNDING, equal_nan=True):
                raise self._conflict(before, slot)
            self.exact = False
        self._known.add(corner)

    def _conflict(self, *values: np.ndarray) -> InputError:
        one, other = (found.ravel().tolist() for found in values)
        return InputError(
            f"{self._name} is {one} in one run of the sweep and {other} in another: their files do not belong together"
        )


def _over_seeds(name: str, variables: Mapping[str, Variable]) -> dict[str, Variable]:
    if name not in variables:
        return {}
    dims, values, long_name, _ = variables[name]
    mean, low, high = geometric_interval(np.moveaxis(values, dims.index("seed"), 0))
    rest, words = tuple(dim for dim in dims if dim != "seed"), long_name or name
    interval = f"{words}: 95 % interval of the geometric mean, for other seeds"
    return {
        f"{name}_over_seeds": Variable(rest, mean, f"{words}: geometric mean over seeds"),
        f"{name}_over_seeds_interval": Variable(("bound", *rest), np.stack([low, high]), interval),
        "bound": Variable(("bound",), np.array(["lower", "upper"]), "", ""),
    }
