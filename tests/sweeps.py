"""A made-up sweep with known laws, for tests of what is drawn from and claimed of one."""

import numpy as np
import xarray as xr

from relative_stability.analysis.collect import attributes, combine, kind, run_dataset


def collected(cells):
    """The sweep of some runs, each given as labels, Datasets of what was measured by observable, and curves."""
    parts = [run_dataset(*cell) for cell in cells]
    order = {axis: list(dict.fromkeys(labels[axis] for labels, *_ in cells)) for axis in ("dataset", "net")}
    return combine(parts, order).assign_attrs(attributes(map(kind, parts)))


def made_up(
    nets=("fc", "cnn"),
    sizes=(32, 128, 512),
    seeds=4,
    diverged=(),
    collapsed=(),
    pretrained=(),
    linear=False,
    cuts=(3,),
    inside=False,
):
    """R = P^-½ after training and 1 before; D = 0.1; test error = 0.5 P^-½; noise of 2 % from seed to seed.

    inside: with depth, where R falls from layer to layer after training, and dynamics, where it falls with time.
    """
    generator = np.random.default_rng(0)
    axis = "magnitude" if linear else "displacement"
    dims = ("seed", "state", axis) if linear else ("seed", "state", "cut", axis)
    shape = (seeds, 2, 2) if linear else (seeds, 2, len(cuts), 2)
    cells = []
    for net in nets:
        for size in sizes:
            noise = np.exp(0.02 * generator.standard_normal(shape))
            state = np.array([1, size**-0.5]).reshape(1, 2, *[1] * (len(shape) - 2))
            bad = np.array([(net, size, seed) in diverged for seed in range(seeds)])
            trained = np.stack([np.zeros(seeds, bool), bad], 1).reshape(seeds, 2, *[1] * (len(shape) - 2))
            r, d = np.where(trained, np.nan, state * noise), np.where(trained, np.nan, 0.1 * noise)
            interval = np.stack([r * 0.9, r * 1.1], -1)
            stability = xr.Dataset(
                {
                    "R": (dims, r), "D": (dims, d), "G": (dims, d / r),
                    "R_interval": ((*dims, "bound"), interval),
                },
                {
                    "seed": range(seeds), "state": ["init", "trained"],
                    axis: (axis, [0.5, 1.0], {"units": "pixel"}), **({} if linear else {"cut": list(cuts)}),
                },
                {"trained_weights": "best", "perturbation": "subspace" if linear else "diffeomorphism", "digest": "x"},
            )  # fmt: skip
            if linear:
                stability["compression"] = (
                    ("seed", "state"),
                    np.stack([np.ones(seeds), np.full(seeds, size**0.5)], 1),
                )
                weights = generator.standard_normal((seeds, 2, 20, 5))
                stability["hidden_weight"] = ("seed", "state", "neuron", "feature"), weights
            error = np.stack(
                [np.full(seeds, 0.9), 0.5 * size**-0.5 * np.exp(0.02 * generator.standard_normal(seeds))], 1
            )
            error[bad, 1] = np.nan
            curves = xr.Dataset(
                {
                    "train_loss": (("seed", "epoch"), error), "test_error": (("seed", "epoch"), error),
                    "best_epoch": ("seed", np.where(bad, 0.0, size)),
                    "diverged_epoch": ("seed", np.where(bad, 7.0, np.nan)),
                    "collapsed": ("seed", np.array([(net, size, seed) in collapsed for seed in range(seeds)])),
                },
                {"seed": range(seeds), "epoch": [0, size]},
            )  # fmt: skip
            measured = {"output": stability}
            if inside:
                measured |= _inside(r, d, dims, stability.coords, stability.attrs, layers=3 + nets.index(net))
                snapshots = ("seed", "snapshot"), np.repeat(error[:, 1:], len(STEPS), 1)
                curves = curves.assign(snapshot_train_loss=snapshots, snapshot_test_error=snapshots)
            cells.append(
                (
                    {"dataset": "digits", "net": net, "architecture": net, "pretrained": net in pretrained, "P": size},
                    measured,
                    curves,
                )
            )
    sweep = collected(cells)
    sweep.attrs["sweep"] = "made_up"
    return sweep


STEPS = (1, 10, 100)  # of the snapshots, after that at initialisation


def _inside(r, d, dims, coords, attributes, layers):
    """Depth, R = R_output^(layer/layers), and dynamics, from R at initialisation to that of the output in equal steps."""
    deep = np.stack([r ** ((k + 1) / layers) for k in range(layers)], 2)
    early = np.stack([r[:, 0] ** (1 - k / 3) * r[:, 1] ** (k / 3) for k in range(len(STEPS) + 1)], 1)
    rest, found = {name: coords[name] for name in coords if name != "state"}, {}
    shape = ("seed", "snapshot", *dims[2:])
    for name, axes, R, D in (
        ("depth", ("seed", "state", "layer", *dims[2:]), deep, d[:, :, None]),
        ("dynamics", shape, early, d[:, :1]),
    ):
        D = np.broadcast_to(D, R.shape)
        interval = ((*axes, "bound"), np.stack([R * 0.9, R * 1.1], -1))
        found[name] = xr.Dataset({"R": (axes, R), "D": (axes, D), "G": (axes, D / R), "R_interval": interval}, rest)
        found[name].attrs = attributes
    found["depth"] = found["depth"].assign_coords(
        state=coords["state"], layer=[f"layer{k}" for k in range(layers)], depth=("layer", np.arange(layers))
    )
    found["dynamics"]["snapshot"] = np.arange(len(STEPS) + 1)
    for name in ("snapshot_step", "snapshot_epoch"):
        found["dynamics"][name] = "snapshot", np.array([0, *STEPS])
    return found
